# The links of a body (engine.md 2.3): the pieces of each become tokens, then it is blanked, so that the
# words around it are neighbours.

cdef int tokenize_links(Tokens tokens, uint32_t body, uint32_t length) except -1 nogil:
    """Touch the pieces of every URL of the body and blank it (2.3)."""
    cdef uint8_t* text = tokens.text + body
    cdef uint32_t at, end
    cdef const char* key
    cdef int k
    tokens.begin_line(0, URL_SOURCE, 0, 0)
    for k in range(3):
        key = b"http://" if k == 0 else b"www." if k == 1 else b"href="
        at = next_link(text, 0, length, key)
        while at < length:
            end = link_end(text, at, length, <uint32_t>strlen(key))
            touch_link(tokens, text, at, end)
            memset(text + at, b" ", end - at)
            at = next_link(text, end, length, key)
    return 0


cdef uint32_t next_link(const uint8_t* text, uint32_t start, uint32_t length, const char* key) noexcept nogil:
    """Index of the next `key`, or `length`; looks for its first byte that is no letter, which is rare."""
    cdef uint32_t sign = 0, at
    while KIND[<uint8_t>key[sign]] & LETTER:
        sign += 1
    at = start + sign
    while at < length:
        at = <uint32_t>position(text, at, length, <uint8_t>key[sign])
        if at < length and begins(text + at - sign, length - at + sign, key):
            return at - sign
        at += 1
    return length


cdef uint32_t link_end(const uint8_t* text, uint32_t at, uint32_t length, uint32_t key) noexcept nogil:
    cdef uint32_t end = at
    while end < length and 33 <= text[end] <= 127 and text[end] != b">":
        if (text[end] == b'"' or text[end] == b"'") and end - at > key:
            break
        end += 1
    return end


cdef int touch_link(Tokens tokens, const uint8_t* text, uint32_t at, uint32_t end) except -1 nogil:
    cdef uint32_t start, size
    cdef uint64_t prefix = crc_text(0, b"Url*", 4)
    while at < end:
        start = at
        while at < end and not KIND[text[at]] & BODY_WORD:
            at += 1
        if at > start:
            size = min(at - start, <uint32_t>(NAME_SIZE - 4))
            tokens.reserve(1)
            tokens.touch(crc_text(prefix, text + start, size), <uint32_t>tokens.word_count, 1, 0)
            tokens.add_word(start, size)
        at += 1
    return 0
