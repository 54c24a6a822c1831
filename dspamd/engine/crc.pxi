# The number of a token: CRC-64, reflected, 0xD800000000000000, start 0 (engine.md 2.1).
#
# Eight tables, one per distance to the end of the text, let eight bytes be added with eight
# independent look-ups.  A rest of n < 8 bytes uses the same eight look-ups: the bytes beyond it are
# masked to zero and fall on table[0], which is 0, so words of any length take no branch.  For
# that, eight more tables lie in front of the eight, and only their zeros are ever read.

cdef uint64_t[16 * 256] CRC
cdef uint64_t[9] BYTES  # BYTES[n] keeps the first n bytes of a loaded word


cdef inline uint64_t eight_bytes(const uint8_t* text) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, text, 8)
    return le64toh(bits)


cdef int _fill_crc() noexcept:
    cdef uint64_t crc
    cdef int i, bit, distance
    memset(CRC, 0, sizeof(CRC))
    for i in range(256):
        crc = i
        for bit in range(8):
            crc = (crc >> 1) ^ (0xD800000000000000ULL if crc & 1 else 0)
        CRC[8 * 256 + i] = crc
    for distance in range(1, 8):
        for i in range(256):
            crc = CRC[(7 + distance) * 256 + i]
            CRC[(8 + distance) * 256 + i] = (crc >> 8) ^ CRC[8 * 256 + (crc & 255)]
    for i in range(8):
        BYTES[i] = (1ULL << (8 * i)) - 1
    BYTES[8] = ~0ULL
    return 0


_fill_crc()


cdef inline uint64_t crc_byte(uint64_t crc, uint8_t byte) noexcept nogil:
    return (crc >> 8) ^ CRC[8 * 256 + ((crc ^ byte) & 255)]


cdef inline uint64_t crc_bits(uint64_t crc, uint64_t bits, uint32_t n) noexcept nogil:
    """Add the n (0..8) low bytes of `bits`; the rest of `bits` is ignored."""
    cdef uint64_t x = (crc ^ bits) & BYTES[n]
    cdef const uint64_t* table = CRC + (7 + n) * 256
    return (
        ((crc >> (4 * n)) >> (4 * n))
        ^ table[x & 255]
        ^ (table - 256)[(x >> 8) & 255]
        ^ (table - 512)[(x >> 16) & 255]
        ^ (table - 768)[(x >> 24) & 255]
        ^ (table - 1024)[(x >> 32) & 255]
        ^ (table - 1280)[(x >> 40) & 255]
        ^ (table - 1536)[(x >> 48) & 255]
        ^ (table - 1792)[x >> 56]
    )


cdef inline uint64_t crc_text(uint64_t crc, const uint8_t* text, size_t length) noexcept nogil:
    """Add a text of any length; reads nothing beyond it."""
    while length >= 8:
        crc = crc_bits(crc, eight_bytes(text), 8)
        text += 8
        length -= 8
    while length:
        crc = crc_byte(crc, text[0])
        text += 1
        length -= 1
    return crc


def crc64(const unsigned char[::1] text not None, uint64_t crc=0):
    """The token number of `text`; `crc` continues from the number of what came before it."""
    return crc_text(crc, &text[0], text.shape[0]) if text.shape[0] else crc
