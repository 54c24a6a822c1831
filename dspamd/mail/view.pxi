# The classic view: header text and body text as the original's tokenizer got them (engine.md 1.8, 1.9).

cdef enum:
    HEADER_SIZE = 1023  # a longer header loses its tail and its newline: the next one is glued to it
    SIGNATURE_SIZE = 128


cdef struct Pass:  # the search for a signature, which changes the text
    bint wanted
    bint headers_only
    bint cut_tags
    bint protected_part  # bodies are decoded for us alone: nothing is cut, encodings stay
    bint rewritten  # this part's transfer encoding has become 8bit


cdef int flatten(Mime mime, Pass* work, Buffer* headers, Buffer* body) except -1 nogil:
    cdef Part* part
    cdef size_t i
    work.protected_part = work.headers_only
    for i in range(mime.part_count):
        part = &mime.parts[i]
        if part.type == MULTIPART and part.subtype == SIGNED:
            work.protected_part = True
        if part.header_count == 0:
            continue
        work.rewritten = (
            work.wanted and not work.protected_part and has_text(part, i) and is_encoded(part)
        )
        flatten_headers(mime, part, work.rewritten, headers)
        if has_text(part, i):
            flatten_body(mime, part, work, body)
    return 0


cdef inline bint has_text(const Part* part, size_t number) noexcept nogil:
    return part.type == TEXT or part.type == MESSAGE or (number == 0 and part.type == MULTIPART)


cdef inline bint is_encoded(const Part* part) noexcept nogil:
    return not part.attachment and (part.encoding == BASE64_ENCODING or part.encoding == QUOTED_PRINTABLE)


cdef int flatten_headers(Mime mime, const Part* part, bint rewritten, Buffer* out) except -1 nogil:
    cdef const Header* header
    cdef const uint8_t* name
    cdef const uint8_t* data
    cdef size_t i, start, length
    for i in range(part.first_header, part.first_header + part.header_count):
        header = &mime.headers[i]
        name = mime.text + header.name
        data, length = mime.data.at + header.data, header.data_length
        if rewritten and is_named(name, header.name_length, "content-transfer-encoding"):
            data, length = b"8bit", 4
        start = out.length
        append(out, name, min(header.name_length, <size_t>HEADER_SIZE))
        append(out, b": ", 2)
        append(out, data, min(length, <size_t>HEADER_SIZE))
        append(out, b"\n", 1)
        out.length = min(out.length, start + HEADER_SIZE)
    return 0


cdef int flatten_body(Mime mime, const Part* part, Pass* work, Buffer* out) except -1 nogil:
    """Append the text of a part to the body text, decoding and stripping where it lies."""
    cdef const uint8_t* text = mime.text + part.body
    cdef size_t length = part.body_length
    cdef uint8_t* body
    cdef uint8_t* page = NULL
    out.at = <uint8_t*>room(out.at, &out.capacity, out.length + length, 1)
    body = out.at + out.length
    if is_encoded(part) and part.encoding == BASE64_ENCODING:
        length = decode_base64(text, length, body)
    elif is_encoded(part):
        length = decode_quoted(text, length, body)
    else:
        memcpy(body, text, length)
    if work.wanted and work.cut_tags and not work.protected_part:
        length = cut_signature(body, length)
    if part.encoding == EIGHT_BIT or work.rewritten:
        length = decode_percent(body, length, body)
    if part.subtype == HTML and length:
        page = <uint8_t*>malloc(length)
        if page == NULL:
            out_of_memory()
        memcpy(page, body, length)
        length = strip_html(page, length, body)
        free(page)
    out.length += length
    return 0


cdef size_t cut_signature(uint8_t* body, size_t length) noexcept nogil:
    """Take the first signature tag out of a body (8.3): up to one byte after the identifier."""
    cdef size_t start = find_text(body, 0, length, b"!DSPAM:", 7), at = start + 7, n = 0
    if start == length:
        start = find_text(body, 0, length, b"X-DSPAM-Signature:", 18)
        at = find_text(body, start, length, b": ", 2) + 2
        if at > length:
            return length
    while at + n < length and (KIND[body[at + n]] & (LETTER | DIGIT) or body[at + n] in b" ,"):
        n += 1
    if n >= SIGNATURE_SIZE:
        return length
    at = min(at + n + 1, length)
    memmove(body + start, body + at, length - at)
    return length - (at - start)


cdef size_t find_text(
    const uint8_t* text, size_t start, size_t length, const char* wanted, size_t size
) noexcept nogil:
    """Index of the next `wanted`, or `length`."""
    cdef const uint8_t* found = NULL
    if start < length:
        found = <const uint8_t*>memmem(text + start, length - start, wanted, size)
    return <size_t>(found - text) if found else length


def flatten_message(bytes message not None, bint search, bint headers_only, bint cut_tags):
    """Header text and body text of a message with LF line ends and without NUL.

    `search`: do what the search for a signature does before (1.8), with its two conditions.
    """
    cdef Mime mime = Mime()
    cdef Pass work
    cdef Buffer headers, body
    memset(&headers, 0, sizeof(Buffer))
    memset(&body, 0, sizeof(Buffer))
    work.wanted, work.headers_only, work.cut_tags = search, headers_only, cut_tags
    mime.text = <const uint8_t*>PyBytes_AS_STRING(message)
    mime.length = <size_t>len(message)
    try:
        with nogil:
            mime.split()
            flatten(mime, &work, &headers, &body)
        return (
            PyBytes_FromStringAndSize(<char*>headers.at, <Py_ssize_t>headers.length),
            PyBytes_FromStringAndSize(<char*>body.at, <Py_ssize_t>body.length),
        )
    finally:
        free(headers.at)
        free(body.at)
