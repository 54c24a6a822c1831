# Shared by the extensions: growing arrays, sets of byte strings, kinds of bytes.

from libc.stdint cimport int8_t, uint8_t, uint64_t
from libc.string cimport memchr, strlen

cdef enum:
    STRING_SIZE = 127  # the original's buffers for boundaries and headings


cdef struct String:
    uint64_t hash
    size_t at  # in the pool
    size_t length  # 0: a free place


cdef struct Strings:  # a set of byte strings, asked for members that begin a text
    uint8_t* pool
    size_t pool_length, pool_capacity
    String* slots
    size_t slot_mask, count
    bint[STRING_SIZE + 1] lengths  # which lengths there are
    size_t longest


cdef uint64_t SECRET, SECOND_SECRET


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    """A hash of `value` whose high bits may be used."""
    value *= SECRET
    return (value ^ (value >> 32)) * SECOND_SECRET


cdef void* room(void* block, size_t* capacity, size_t needed, size_t item) except NULL nogil
cdef int out_of_memory() except -1 with gil

cdef void strings_free(Strings* strings) noexcept nogil
cdef int strings_add(Strings* strings, const uint8_t* text, size_t length) except -1 nogil
cdef bint strings_begin(const Strings* strings, const uint8_t* text, size_t length) noexcept nogil
cdef bint strings_have(const Strings* strings, const uint8_t* text, size_t length) noexcept nogil

cdef enum:
    SPACE = 1
    LETTER = 2
    DIGIT = 4
    BODY_WORD = 8  # delimiters of word and chain (2.5)
    HEADER_WORD = 16
    BODY_SPARSE = 32  # delimiters of osb and sbph (2.6)
    HEADER_SPARSE = 64


cdef const uint8_t* KIND  # of each byte
cdef const uint8_t* LOWER


cdef inline bint begins(const uint8_t* text, size_t length, const char* lower) noexcept nogil:
    """Whether `text` begins with `lower` (in lower case), whatever its case."""
    cdef size_t i = 0
    while lower[i]:
        if i >= length or LOWER[text[i]] != <uint8_t>lower[i]:
            return False
        i += 1
    return True


cdef inline bint is_named(const uint8_t* text, size_t length, const char* lower) noexcept nogil:
    return length == strlen(lower) and begins(text, length, lower)


cdef inline size_t position(const uint8_t* text, size_t start, size_t length, uint8_t byte) noexcept nogil:
    """Index of the next `byte` from `start` on, or `length`."""
    cdef const uint8_t* found = NULL
    if start < length:
        found = <const uint8_t*>memchr(text + start, byte, length - start)
    return <size_t>(found - text) if found else length


cdef struct Buffer:
    uint8_t* at
    size_t length, capacity


cdef int append(Buffer* buffer, const void* text, size_t length) except -1 nogil


cdef int8_t[256] HEX  # value of a digit, or -1
cdef int8_t[256] BASE64

cdef size_t position_of(const uint8_t* text, size_t start, size_t length, const char* lower) noexcept nogil
cdef size_t cut_signature(uint8_t* body, size_t length) noexcept nogil
