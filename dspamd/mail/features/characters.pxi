# Characters: UTF-8 as mail has it, and what a character is in a word.
#
# Texts are UTF-8 with faults: a byte that belongs to no character is one of windows-1252, which is
# what mail without a charset, or with a wrong one, most often means.
#
# Compatibility forms (NFKC: full-width letters, ligatures, letters in circles) and case are folded with
# Python's tables, which are copied by pages of 256 characters when the first of them is seen.

cdef enum:
    PAGE = 256
    PAGES = 1024  # the first four planes; in the others are no letters
    FOLDED_SIZE = 12

cdef enum:  # what a character is in a word
    SEPARATOR = 1
    INVISIBLE = 2
    UPPER = 4
    DENSE = 8  # of a script without spaces between words, or a picture: taken in pairs
    MARK = 16  # may be composed with the character before it
    LATIN = 32
    LOOKALIKE = 64  # of Greek or Cyrillic
    UNPRINTABLE = 128


cdef struct Character:
    uint8_t kind
    uint8_t latin  # the Latin letter that it looks like, or 0
    uint8_t folded_length
    uint8_t[FOLDED_SIZE] folded  # UTF-8


ctypedef Character* Page
cdef Page[PAGES] _pages
cdef uint32_t[32] WINDOWS_1252


LOOKALIKES = {
    **dict(zip("авекмнорстухіјѕԁԛԝһ", "abekmhopctyxijsdqwh", strict=True)),
    **dict(zip("αβεικνορτυχγω", "abeikvoptuxyw", strict=True)),
}
"""Letters of Cyrillic and Greek, and the Latin ones that a reader takes them for."""

DENSE_RANGES = (
    (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x19E0, 0x19FF), (0x1A20, 0x1AAF),
    (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x312F), (0x3131, 0x318E), (0x31A0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF66, 0xFFDC), (0x1B000, 0x1B2FF),
    (0x20000, 0x3FFFF),
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Chinese, Japanese, Korean, Yi."""

IGNORABLE = {0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)}
"""Characters that show nothing, beside the category of formats."""


cdef int _fill_windows_1252() except -1:
    for i in range(32):
        WINDOWS_1252[i] = <uint32_t>ord(bytes([128 + i]).decode("windows-1252", "replace"))
    return 0


def _character(code):
    """kind, latin, folded of a character."""
    character = chr(code)
    if code < 128:  # what separates words in ASCII is known before (words.pxi)
        return UPPER | LATIN if character.isupper() else LATIN if character.islower() else 0, 0, character.lower().encode()
    category = unicodedata.category(character)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())
    if category == "Cf" or code in IGNORABLE:
        return INVISIBLE, 0, b""
    if any(low <= code <= high for low, high in DENSE_RANGES) and category[0] != "P":
        return DENSE, 0, folded.encode()
    if category == "So" or 0x1F000 <= code < 0x1FB00:
        return DENSE, 0, folded.encode() if " " not in folded else character.encode()
    if category[0] in "ZPC" or " " in folded:
        return SEPARATOR, 0, b""
    kind = 0
    if category in ("Lu", "Lt"):
        kind |= UPPER
    if 0x0300 <= code < 0x0370 or code in (0x3099, 0x309A):
        kind |= MARK
    name = unicodedata.name(character, "")
    if name.startswith("LATIN"):
        kind |= LATIN
    elif name.startswith(("CYRILLIC", "GREEK")):
        kind |= LOOKALIKE
    return kind, ord(LOOKALIKES.get(folded, "\0")), folded.encode()


cdef Character* _fill_page(uint32_t page) except NULL with gil:
    cdef Character* characters
    cdef uint32_t i, code
    cdef bytes folded
    if _pages[page] != NULL:
        return _pages[page]
    characters = <Character*>calloc(PAGE, sizeof(Character))
    if characters == NULL:
        raise MemoryError
    for i in range(<uint32_t>PAGE):
        code = page * PAGE + i
        if 0xD800 <= code < 0xE000:
            characters[i].kind = SEPARATOR | UNPRINTABLE
            continue
        kind, latin, folded = _character(code)
        characters[i].kind, characters[i].latin = kind if chr(<int>code).isprintable() else kind | UNPRINTABLE, latin
        characters[i].folded_length = <uint8_t>min(len(folded), <Py_ssize_t>FOLDED_SIZE)
        memcpy(characters[i].folded, PyBytes_AS_STRING(folded), characters[i].folded_length)
    publish(&_pages[page], characters)
    return characters


cdef extern from *:
    """
    #define publish(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
    #define published(place) __atomic_load_n(place, __ATOMIC_ACQUIRE)
    """
    void publish(Character** place, Character* value) nogil
    Character* published(Character** place) nogil


cdef inline const Character* character_of(uint32_t code) except? NULL nogil:
    """What a character of the first four planes is."""
    cdef Character* page = published(&_pages[code >> 8])
    if page == NULL:
        page = _fill_page(code >> 8)
    return &page[code & 255]


cdef inline uint8_t kind_of(uint32_t code) except? 255 nogil:
    if code < PAGES * PAGE:
        return character_of(code).kind
    return INVISIBLE if 0xE0000 <= code < 0xE1000 else 0


cdef bint is_printable(uint32_t code) noexcept nogil:
    """Whether a character may stand in a line that people read."""
    if code >= PAGES * PAGE:
        return False
    if published(&_pages[code >> 8]) == NULL:
        with gil:
            try:
                _fill_page(code >> 8)
            except MemoryError:
                return False
    return not _pages[code >> 8][code & 255].kind & UNPRINTABLE


# -- UTF-8


cdef inline size_t code_size(uint32_t code) noexcept nogil:
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


cdef inline size_t put_code(uint32_t code, uint8_t* out) noexcept nogil:
    """Write a character as UTF-8; returns the number of bytes, at most four."""
    if code < 0x80:
        out[0] = <uint8_t>code
        return 1
    if code < 0x800:
        out[0] = <uint8_t>(0xC0 | code >> 6)
        out[1] = <uint8_t>(0x80 | code & 63)
        return 2
    if code < 0x10000:
        out[0] = <uint8_t>(0xE0 | code >> 12)
        out[1] = <uint8_t>(0x80 | code >> 6 & 63)
        out[2] = <uint8_t>(0x80 | code & 63)
        return 3
    out[0] = <uint8_t>(0xF0 | code >> 18)
    out[1] = <uint8_t>(0x80 | code >> 12 & 63)
    out[2] = <uint8_t>(0x80 | code >> 6 & 63)
    out[3] = <uint8_t>(0x80 | code & 63)
    return 4


cdef inline uint32_t next_code(const uint8_t* text, size_t length, size_t* at) noexcept nogil:
    """The character at `at`, which moves behind it; `at` is less than `length`."""
    cdef uint32_t first = text[at[0]], code
    cdef size_t more = 0, i
    if first < 0x80:
        at[0] += 1
        return first
    if 0xC2 <= first < 0xE0:
        more, code = 1, <uint32_t>(first & 31)
    elif 0xE0 <= first < 0xF0:
        more, code = 2, <uint32_t>(first & 15)
    elif 0xF0 <= first < 0xF5:
        more, code = 3, <uint32_t>(first & 7)
    if more and at[0] + more < length:
        for i in range(1, more + 1):
            if text[at[0] + i] & 0xC0 != 0x80:
                break
            code = code << 6 | text[at[0] + i] & 63
        else:
            if code_size(code) == more + 1 and not 0xD800 <= code < 0xE000 and code < 0x110000:
                at[0] += more + 1
                return code
    at[0] += 1
    return WINDOWS_1252[first - 128] if first < 160 else first


cdef inline bint is_ascii(const uint8_t* text, size_t length) noexcept nogil:
    cdef uint64_t bits, all = 0
    while length >= 8:
        memcpy(&bits, text, 8)
        all |= bits
        text += 8
        length -= 8
    while length:
        all |= text[0]
        text += 1
        length -= 1
    return all & 0x8080808080808080ULL == 0
