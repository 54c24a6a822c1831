# Transfer decodings and encoded words (engine.md 1.6, 1.7).
#
# Every decoder returns the length of its output, never more than that of its input, so `out` may be
# `text` itself.  All of them stop at the first NUL, where the original's text ends.

cdef size_t decode_base64(const uint8_t* text, size_t length, uint8_t* out) noexcept nogil:
    """Skips bytes outside the alphabet, ends at `=`; the result ends in a newline."""
    cdef size_t i, n = 0, written
    cdef uint32_t group = 0
    cdef int symbols = 0, value
    for i in range(length):
        value = BASE64[text[i]]
        if value >= 0:
            group = group << 6 | <uint32_t>value
            symbols += 1
            if symbols == 4:
                out[n] = <uint8_t>(group >> 16)
                out[n + 1] = <uint8_t>(group >> 8)
                out[n + 2] = <uint8_t>group
                n += 3
                group = symbols = 0
        elif text[i] == b"=":
            if symbols >= 2:
                out[n] = <uint8_t>(group >> 4 if symbols == 2 else group >> 10)
                n += 1
            if symbols == 3:
                out[n] = <uint8_t>(group >> 2)
                n += 1
            break
    written = position(out, 0, n, 0)
    if written and out[written - 1] != b"\n":
        out[written] = b"\n"
        written += 1
    return written


cdef size_t decode_quoted(const uint8_t* text, size_t length, uint8_t* out) noexcept nogil:
    """Soft line breaks vanish, `=` and two digits are a byte, any other `=` stays."""
    cdef size_t i = 0, n = 0
    cdef uint8_t byte
    while i < length:
        byte = text[i]
        if byte == b"=" and i + 1 < length:
            if text[i + 1] == b"\n":
                i += 2
                continue
            if i + 2 < length:
                if text[i + 1] == b"\r" and text[i + 2] == b"\n":
                    i += 3
                    continue
                if HEX[text[i + 1]] >= 0 and HEX[text[i + 2]] >= 0:
                    byte = <uint8_t>(HEX[text[i + 1]] << 4 | HEX[text[i + 2]])
                    i += 2
        if byte == 0:
            break
        out[n] = byte
        n += 1
        i += 1
    return n


cdef size_t decode_percent(const uint8_t* text, size_t length, uint8_t* out) noexcept nogil:
    """`%` and two digits are a byte."""
    cdef size_t i = 0, n = 0
    cdef uint8_t byte
    while i < length:
        byte = text[i]
        if byte == b"%" and i + 2 < length and HEX[text[i + 1]] >= 0 and HEX[text[i + 2]] >= 0:
            byte = <uint8_t>(HEX[text[i + 1]] << 4 | HEX[text[i + 2]])
            i += 2
        if byte == 0:
            break
        out[n] = byte
        n += 1
        i += 1
    return n


cdef size_t unfolded(const uint8_t* data, size_t length, uint8_t* out) noexcept nogil:
    """A header's data in one line: line ends vanish, with the white space after them."""
    cdef size_t i = 0, n = 0
    while i < length:
        if data[i] == b"\n":
            i += 1
            while i < length and KIND[data[i]] & SPACE:
                i += 1
        else:
            out[n] = data[i]
            n += 1
            i += 1
    return n


cdef size_t NO_WORD = SIZE_MAX


cdef size_t decode_word(uint8_t* text, size_t length) noexcept nogil:
    """Decode the first encoded word of an unfolded header where it lies; the rest of the line is lost.

    Returns the new length, or NO_WORD if there is none and the header stays as it is.
    """
    cdef size_t start = position_of(text, 0, length, "=?"), i = start, piece, kind = 0
    cdef int number
    if start == length:
        return NO_WORD
    for number in range(4):  # "=", charset, kind, payload; a run of "?" counts once
        while i < length and text[i] == b"?":
            i += 1
        if i == length:
            return NO_WORD
        piece = i
        i = position(text, i, length, b"?")
        if number == 2:
            kind = piece
    if LOWER[text[kind]] == b"b":
        return start + decode_base64(text + piece, i - piece, text + start)
    if LOWER[text[kind]] == b"q":
        return start + decode_quoted(text + piece, i - piece, text + start)
    return NO_WORD
