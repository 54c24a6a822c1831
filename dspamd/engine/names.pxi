# The name of a token: how it is built from words, and what its form says (engine.md 2.6, 2.7).
#
# A name consists of up to five fields, joined by `+`; a field is a word or `#`, which stands for a
# word that is left out.  Names are cut at 255 bytes.  Where `+` and `#` come from the tokenizer
# alone, complexity and weight depend on the mask of the fields and are taken from two tables.

cdef enum:
    NAME_SIZE = 255

cdef struct Word:
    uint32_t at
    uint32_t length


cdef struct Shape:
    uint32_t word  # the first field
    uint8_t mask  # bit j: word + j is part of the name; other fields up to the highest are '#'
    uint8_t mark


cdef enum:  # marks
    FROM_MARK = 1  # the name begins with `From*`
    BNR_MARK = 2  # ... with `bnr.`
    PLAIN_MARK = 4  # '+' and '#' in the name come from the mask alone: weight by table


cdef double[32] MASK_WEIGHT
cdef uint8_t[32] MASK_COMPLEXITY


cdef uint32_t name_complexity(const uint8_t* name, uint32_t length) noexcept nogil:
    """1 + the number of `+`, where the byte after a counted `+` is skipped."""
    cdef uint32_t i = 0, complexity = 1
    while i < length:
        if name[i] == b"+":
            complexity += 1
            i += 1
        i += 1
    return complexity


cdef double name_weight(const uint8_t* name, uint32_t length) noexcept nogil:
    """4^(complexity - sparse - 1) for up to five fields with a literal at both ends, else 1."""
    cdef uint32_t i, sparse = 0, complexity = name_complexity(name, length)
    if complexity > 5 or length == 0:
        return 1.0
    if length > 1 and (
        (name[0] == b"#" and name[1] == b"+") or (name[length - 1] == b"#" and name[length - 2] == b"+")
    ):
        return 1.0
    for i in range(2, length):
        if name[i - 2] == b"+" and name[i - 1] == b"#" and name[i] == b"+":
            sparse += 1
    return <double>(1 << 2 * (complexity - sparse - 1)) if complexity > sparse else 1.0


cdef int _fill_masks() noexcept:
    cdef uint8_t[10] name
    cdef uint32_t mask, field, length
    for mask in range(1, 32):
        length = 0
        for field in range(5):
            if mask >> field:
                name[length] = <uint8_t>(b"w" if mask >> field & 1 else b"#")
                name[length + 1] = b"+"
                length += 2
        MASK_WEIGHT[mask] = name_weight(name, length - 1)
        MASK_COMPLEXITY[mask] = <uint8_t>name_complexity(name, length - 1)
    return 0


_fill_masks()


cdef inline uint32_t append_field(uint8_t* out, uint32_t length, const uint8_t* text, uint32_t n) noexcept nogil:
    """Add `text` to a name, as far as it goes; returns the new length."""
    n = min(n, NAME_SIZE - length)
    memcpy(out + length, text, n)
    return length + n
