# The number of a token: CRC-64, reflected, 0xD800000000000000, start 0 (engine.md 2.1).
#
# The polynomial is x^64 + x^4 + x^3 + x + 1, and in reflected order a factor x is a shift to the right
# by one.  So the bits that a text pushes out of the 64 come back multiplied by x^4 + x^3 + x + 1: three
# shifts.  Eight bytes are added with a dozen operations on registers; there is no table, which would
# fight for the cache with the tables that the tokens go to.

cdef inline uint64_t eight_bytes(const uint8_t* text) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, text, 8)
    return le64toh(bits)


cdef inline uint64_t reduced(uint64_t out) noexcept nogil:
    """`out` * x^64 modulo the polynomial."""
    # Its four last bits are pushed out a second time.
    out ^= out << 63 ^ out << 61 ^ out << 60
    return out ^ out >> 1 ^ out >> 3 ^ out >> 4


cdef inline uint64_t crc_bits(uint64_t crc, uint64_t bits, uint32_t n) noexcept nogil:
    """Add the n (1..8) low bytes of `bits`; the rest of `bits` is ignored."""
    return (crc >> (4 * n)) >> (4 * n) ^ reduced((crc ^ bits) << (64 - 8 * n))


cdef inline uint64_t crc_byte(uint64_t crc, uint8_t byte) noexcept nogil:
    return crc_bits(crc, byte, 1)


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
    return crc_text(crc, &text[0], <size_t>text.shape[0]) if text.shape[0] else crc
