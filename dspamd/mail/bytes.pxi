# Kinds of bytes (white space, letter, digit, delimiter), and searching bytes.
#
# Letters are ASCII, whatever the locale says; bytes from 128 are neither letters nor white space
# (engine.md 0).

cdef uint8_t[256] _kind
cdef uint8_t[256] _lower


cdef int _fill_kinds() except -1:
    letters, digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", b"0123456789"
    word = frozenset(b" .,;:\n\t\r@-+*")
    marks = bytes(range(33, 127)).translate(None, letters + digits + b"!'")
    sparse = frozenset(b" \t\n\r" + marks)
    for kind, members in (
        (SPACE, frozenset(b" \t\n\v\f\r")),
        (LETTER, frozenset(letters)),
        (DIGIT, frozenset(digits)),
        (BODY_WORD, word),
        (HEADER_WORD, word - frozenset(b".")),
        (BODY_SPARSE, sparse),
        (HEADER_SPARSE, sparse - frozenset(b"._-")),
    ):
        for c in members:
            _kind[<int>c] |= <uint8_t>kind
    for c, lower in enumerate(list(bytes(range(256)).lower())):
        _lower[<int>c] = <uint8_t>lower
    memset(HEX, -1, sizeof(HEX))
    for c in frozenset(b"0123456789abcdefABCDEF"):
        HEX[<int>c] = <int8_t>int(chr(c), 16)
    memset(BASE64, -1, sizeof(BASE64))
    for value, c in enumerate(list(letters + digits + b"+/")):
        BASE64[<int>c] = <int8_t>value
    return 0


_fill_kinds()
KIND = _kind
LOWER = _lower


cdef size_t position_of(const uint8_t* text, size_t start, size_t length, const char* lower) noexcept nogil:
    """Index of the next text equal to `lower` in any case, or `length`."""
    cdef size_t i
    cdef uint8_t first = <uint8_t>lower[0]
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
