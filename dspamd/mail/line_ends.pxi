# The two forms of line ends: LF in files and for the engine, CR LF on the wire (RFC 5321 2.3.8).
#
# A message of many megabytes is turned without the GIL, and not copied if it has the form already.

def with_lf(bytes text not None):
    """`text` with LF for every CR LF; a CR alone stays.  Raises MemoryError."""
    cdef const uint8_t* source = <const uint8_t*>PyBytes_AS_STRING(text)
    cdef size_t length = <size_t>len(text), at, end, written
    cdef uint8_t* out
    with nogil:
        at = position(source, 0, length, b"\r")
    if at == length:
        return text
    out = <uint8_t*>malloc(length)
    if out == NULL:
        raise MemoryError
    try:
        with nogil:
            memcpy(out, source, at)
            written = at
            while at < length:  # at a CR
                end = position(source, at + 1, length, b"\r")
                if at + 1 < length and source[at + 1] == b"\n":
                    at += 1
                memcpy(out + written, source + at, end - at)
                written += end - at
                at = end
        return PyBytes_FromStringAndSize(<char*>out, <Py_ssize_t>written)
    finally:
        free(out)


def with_crlf(bytes text not None):
    """`text` with CR LF for every LF that has no CR before it.  Raises MemoryError."""
    cdef const uint8_t* source = <const uint8_t*>PyBytes_AS_STRING(text)
    cdef size_t length = <size_t>len(text), at = 0, start = 0, bare = 0
    cdef bytes copy
    cdef uint8_t* out
    with nogil:
        while at < length:
            at = position(source, at, length, b"\n") + 1
            bare += <size_t>is_bare(source, at, length)
    if bare == 0:
        return text
    copy = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(length + bare))
    out = <uint8_t*>PyBytes_AS_STRING(copy)
    with nogil:
        at = 0
        while at < length:
            at = position(source, at, length, b"\n") + 1
            if is_bare(source, at, length):
                memcpy(out, source + start, at - 1 - start)
                out += at - 1 - start
                out[0], out[1] = <uint8_t>b"\r", <uint8_t>b"\n"
                out += 2
                start = at
        if start < length:
            memcpy(out, source + start, length - start)
    return copy


cdef inline bint is_bare(const uint8_t* text, size_t end, size_t length) noexcept nogil:
    """Whether a line that ends before `end` ends in a LF without CR."""
    return end <= length and (end < 2 or text[end - 2] != b"\r")


def line_ends(const uint8_t[::1] text not None):
    """Whether a text has a CR or LF that is not in a CR LF, and whether a dot follows a CR LF.

    A text with neither can go over the wire as it is."""
    cdef const uint8_t* source
    cdef size_t length = <size_t>text.shape[0], at = 0, pairs = 0, feeds = 0
    cdef bint bare = False, dots = False
    if length == 0:
        return False, False
    source = &text[0]
    with nogil:
        while at < length:
            at = position(source, at, length, b"\r") + 1
            if at >= length or source[at] != b"\n":
                bare |= at <= length
            else:
                pairs += 1
                dots |= at + 1 < length and source[at + 1] == b"."
        at = 0
        while not bare and feeds <= pairs:
            at = position(source, at, length, b"\n") + 1
            if at > length:
                break
            feeds += 1
    return bare or feeds != pairs, dots
