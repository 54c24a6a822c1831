# What a byte is: white space, letter, digit, delimiter; and searching bytes.
#
# Letters are ASCII, whatever the locale says; bytes from 128 are neither letters nor white space
# (engine.md 0).

cdef uint8_t[256] _kind
cdef uint8_t[256] _lower
cdef int8_t[256] HEX  # value of a digit, or -1
cdef int8_t[256] BASE64


cdef int _fill_kinds() except -1:
    word = b" .,;:\n\t\r@-+*"
    sparse = b" \t\n\r" + bytes(c for c in range(33, 127) if not chr(c).isalnum() and c not in b"!'")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef int c
    for c in range(256):
        _kind[c] = (
            (SPACE if c in b" \t\n\v\f\r" else 0)
            | (LETTER if c < 128 and chr(c).isalpha() else 0)
            | (DIGIT if c in b"0123456789" else 0)
            | (BODY_WORD if c in word else 0)
            | (HEADER_WORD if c in word and c != ord(".") else 0)
            | (BODY_SPARSE if c in sparse else 0)
            | (HEADER_SPARSE if c in sparse and c not in b"._-" else 0)
        )
        _lower[c] = c | 32 if 65 <= c <= 90 else c
        HEX[c] = b"0123456789abcdef".find(_lower[c])
        BASE64[c] = alphabet.find(c)
    return 0


_fill_kinds()
KIND = _kind
LOWER = _lower


cdef size_t position_of(const uint8_t* text, size_t start, size_t length, const char* lower) noexcept nogil:
    """Index of the next text equal to `lower` in any case, or `length`."""
    cdef size_t i
    cdef uint8_t first = lower[0]
    for i in range(start, length):
        if LOWER[text[i]] == first and begins(text + i, length - i, lower):
            return i
    return length


cdef int append(Buffer* buffer, const void* text, size_t length) except -1 nogil:
    if length == 0:
        return 0
    buffer.at = <uint8_t*>room(buffer.at, &buffer.capacity, buffer.length + length, 1)
    memcpy(buffer.at + buffer.length, text, length)
    buffer.length += length
    return 0
