# From a view to tokens: words, chains and sparse windows of the two texts of the classic one (engine.md 2.4 to
# 2.6), the features of the modern one.
#
# A token's number is never computed from its name: the CRC of a heading, of a word, of a word and a
# separator is extended by what follows, and names that begin alike share it.  Only a window of sbph
# that may give names of more than 255 bytes is spelled, since such names are cut before they are
# numbered; two words and a heading are never that long.

cdef enum:
    WORD_SIZE = 50  # words of this length and longer are ignored
    WINDOW = 5
    PADDING = 8  # words are loaded eight bytes at a time
    CHUNK = 1024  # words walked before the table is asked for more room

cdef enum Tokenizer:
    WORD_TOKENIZER
    CHAIN_TOKENIZER
    SBPH_TOKENIZER
    OSB_TOKENIZER

cdef struct Walk:
    Tokenizer tokenizer
    bint noise  # keep the streams
    uint8_t source
    uint32_t heading, heading_length
    uint64_t prefix  # the CRC of what stands in front of each name
    uint32_t prefix_length
    uint32_t mark
    uint32_t plain_mark  # PLAIN_MARK, unless the heading has a '+' of its own
    bint ignored
    bint senders_only  # no words, only the whitelist token


cdef struct Loaded:  # a word, ready to be added to a CRC
    const uint8_t* text
    uint32_t blocks  # of eight bytes, in front of the last
    uint32_t rest  # bytes in the last one, 1 to 8
    uint64_t bits  # of the last one


cdef inline void load(Tokens tokens, uint32_t word, Loaded* loaded) noexcept nogil:
    loaded.text = tokens.text + tokens.words[word].at
    loaded.blocks = (tokens.words[word].length - 1) >> 3
    loaded.rest = tokens.words[word].length - 8 * loaded.blocks
    loaded.bits = eight_bytes(loaded.text + 8 * loaded.blocks)


cdef inline uint64_t crc_word(uint64_t crc, const Loaded* word) noexcept nogil:
    cdef uint32_t i
    for i in range(word.blocks):
        crc = crc_bits(crc, eight_bytes(word.text + 8 * i), 8)
    return crc_bits(crc, word.bits, word.rest)


cdef int tokenize_body(Tokens tokens, Walk* walk, uint32_t start, uint32_t end) except -1 nogil:
    walk.source, walk.mark, walk.plain_mark = BODY_SOURCE, 0, <uint32_t>PLAIN_MARK
    walk.prefix = walk.prefix_length = walk.heading = walk.heading_length = 0
    return tokenize_line(tokens, walk, start, end)


# -- headers


cdef int tokenize_headers(
    Tokens tokens, Walk* walk, uint32_t length, bint whitelist, const Strings* ignored
) except -1 nogil:
    cdef uint32_t at = 0, end
    walk.source = HEADER_SOURCE
    set_heading(tokens, walk, 0, 0, ignored)
    while at < length:
        end = <uint32_t>position(tokens.text, at, length, b"\n")
        if end > at:
            tokenize_header_line(tokens, walk, at, end, whitelist, ignored)
        at = end + 1
    return 0


cdef int tokenize_header_line(
    Tokens tokens, Walk* walk, uint32_t at, uint32_t end, bint whitelist, const Strings* ignored
) except -1 nogil:
    """Words of one physical line: those behind a new heading's colon, else those up to the first colon."""
    cdef const uint8_t* text = tokens.text
    cdef uint32_t piece = at, colon, start, stop
    while piece < end and text[piece] == b":":
        piece += 1
    colon = <uint32_t>position(text, piece, end, b":")
    if is_heading(text + piece, colon - piece):
        set_heading(tokens, walk, piece, min(colon - piece, <uint32_t>STRING_SIZE), ignored)
        start, stop = <uint32_t>min(colon + 1, end), end
    else:
        start, stop = piece, colon
    if whitelist and walk.heading_length == 4 and memcmp(text + walk.heading, b"From", 4) == 0:
        touch_sender(tokens, walk, <uint32_t>min(at + 5, end), stop if stop >= at + 5 else end)
    return 0 if walk.ignored or walk.senders_only else tokenize_line(tokens, walk, start, stop)


cdef inline bint is_heading(const uint8_t* piece, uint32_t length) noexcept nogil:
    return length > 0 and piece[0] != b"\t" and position(piece, 0, length, b" ") == length


cdef int set_heading(
    Tokens tokens, Walk* walk, uint32_t at, uint32_t length, const Strings* ignored
) except -1 nogil:
    cdef const uint8_t* heading = tokens.text + at
    cdef const uint8_t* to_lower = LOWER  # once: it belongs to another extension
    cdef uint8_t[STRING_SIZE] lower
    cdef uint32_t i
    walk.heading, walk.heading_length = at, length
    walk.prefix = crc_byte(crc_text(0, heading, length), b"*")
    walk.prefix_length = length + 1
    walk.mark = 0
    walk.plain_mark = 0 if length and memchr(heading, b"+", length) != NULL else PLAIN_MARK
    if length >= 4 and memcmp(heading, b"From", 4) == 0 and (length == 4 or heading[4] == b"*"):
        walk.mark |= FROM_MARK
    if length >= 4 and memcmp(heading, b"bnr.", 4) == 0:
        walk.mark |= BNR_MARK
    for i in range(length):
        lower[i] = to_lower[heading[i]]
    walk.ignored = length > 0 and (
        strings_have(ignored, lower, length) or (length >= 8 and memcmp(heading, b"X-DSPAM-", 8) == 0)
    )
    return 0


cdef int touch_sender(Tokens tokens, Walk* walk, uint32_t at, uint32_t end) except -1 nogil:
    """The whitelist token (6.1): the whole line, not its words."""
    cdef uint32_t word = <uint32_t>tokens.word_count
    cdef uint64_t value
    if at < end and tokens.text[at] == b" ":
        at += 1
    end = min(end, at + NAME_SIZE - walk.prefix_length)
    tokens.begin_line(word, walk.source, walk.heading, walk.heading_length)
    tokens.add_word(at, end - at)
    tokens.reserve(1)
    value = crc_text(walk.prefix, tokens.text + at, end - at)
    tokens.whitelist_index = tokens.touch(value, word, 1, walk.mark)
    return 0


# -- words of a line, or of the whole body


cdef int tokenize_line(Tokens tokens, Walk* walk, uint32_t start, uint32_t end) except -1 nogil:
    cdef uint32_t first = <uint32_t>tokens.word_count, last, chunk = first, stop
    cdef uint32_t touches = 16 if walk.tokenizer == SBPH_TOKENIZER else 4
    split_words(tokens, walk, start, end)
    last = <uint32_t>tokens.word_count
    if first == last:
        return 0
    tokens.begin_line(first, walk.source, walk.heading, walk.heading_length)
    while chunk < last:
        stop = min(last, chunk + CHUNK)
        tokens.reserve(touches * (stop - chunk))
        if walk.noise:
            tokens.reserve_streams(touches * (stop - chunk))
        if walk.tokenizer == OSB_TOKENIZER:
            touch_pairs(tokens, walk, chunk, stop, last)
        elif walk.tokenizer == SBPH_TOKENIZER:
            touch_windows(tokens, walk, chunk, stop, last)
        else:
            touch_words(tokens, walk, first, chunk, stop)
        chunk = stop
    return 0


cdef int split_words(Tokens tokens, const Walk* walk, uint32_t at, uint32_t end) except -1 nogil:
    cdef const uint8_t* text = tokens.text
    cdef const uint8_t* kind = KIND  # once: it belongs to another extension
    cdef bint sparse = walk.tokenizer == SBPH_TOKENIZER or walk.tokenizer == OSB_TOKENIZER
    cdef bint body = walk.source == BODY_SOURCE
    cdef uint8_t delimiter
    cdef uint32_t start, length
    if sparse:
        delimiter = <uint8_t>(BODY_SPARSE if body else HEADER_SPARSE)
    else:
        delimiter = <uint8_t>(BODY_WORD if body else HEADER_WORD)
    while at < end:
        while at < end and kind[text[at]] & delimiter:
            at += 1
        start = at
        while at < end and not kind[text[at]] & delimiter:
            at += 1
        length = at - start
        if 0 < length < WORD_SIZE:
            while not sparse and length > 1 and text[start + length - 2] == b"!":
                length -= 1
            tokens.add_word(start, length)
    return 0


cdef void touch_words(
    Tokens tokens, Walk* walk, uint32_t line, uint32_t first, uint32_t last
) noexcept nogil:
    """word and chain: each word of first..last, and the pair that it ends; `line` is the line's first."""
    cdef Loaded word
    cdef uint64_t value, before = 0
    cdef uint32_t i, entry
    cdef bint stream = walk.noise and walk.source == BODY_SOURCE
    if first > line:
        load(tokens, first - 1, &word)
        before = crc_word(walk.prefix, &word)
    for i in range(first, last):
        load(tokens, i, &word)
        value = crc_word(walk.prefix, &word)
        entry = tokens.touch(value, i, 1, walk.mark)
        if stream:
            tokens.order[tokens.order_length] = entry
            tokens.order_length += 1
        if walk.tokenizer == CHAIN_TOKENIZER and i > line:
            entry = tokens.touch(crc_word(crc_byte(before, b"+"), &word), i - 1, 3, walk.mark)
            if stream:
                tokens.chained[tokens.chained_length] = entry
                tokens.chained_length += 1
        before = value


cdef void touch_pairs(
    Tokens tokens, const Walk* walk, uint32_t first, uint32_t last, uint32_t end
) noexcept nogil:
    """osb: each word of first..last with each of the four behind it, in a line that ends at `end`."""
    cdef Loaded[8] loaded  # word w lies at w & 7
    cdef uint32_t start, known = first, size, field, entry, mark = walk.mark | walk.plain_mark
    cdef uint64_t open  # the CRC of the name up to its second word
    for start in range(first, last):
        size = min(end - start, <uint32_t>WINDOW)
        while known < start + size:
            load(tokens, known, &loaded[known & 7])
            known += 1
        open = crc_byte(crc_word(walk.prefix, &loaded[start & 7]), b"+")
        for field in range(1, size):
            entry = tokens.touch(
                crc_word(open, &loaded[(start + field) & 7]), start, 1 << field | 1, mark
            )
            if walk.noise:
                tokens.order[tokens.order_length] = entry
                tokens.order_length += 1
            open = crc_bits(open, 0x2B23, 2)  # "#+"


cdef void touch_windows(
    Tokens tokens, const Walk* walk, uint32_t first, uint32_t last, uint32_t end
) noexcept nogil:
    """sbph: all names of the windows that start with first..last, in a line that ends at `end`."""
    cdef Loaded[8] loaded  # word w lies at w & 7
    cdef uint32_t start, known = first, size
    cdef uint64_t[1 << WINDOW] number
    for start in range(first, last):
        size = min(end - start, <uint32_t>WINDOW)
        while known < start + size:
            load(tokens, known, &loaded[known & 7])
            known += 1
        number_window(walk, loaded, start, size, number)
        touch_window(tokens, walk, start, size, number)


cdef inline void number_window(
    const Walk* walk, const Loaded* loaded, uint32_t start, uint32_t size, uint64_t* number
) noexcept nogil:
    """number[mask]: the CRC of each name of the window (2.6)."""
    cdef uint64_t[1 << WINDOW] open  # the CRC of the name so far and the separator behind it
    cdef uint32_t field, mask
    number[1] = crc_word(walk.prefix, &loaded[start & 7])
    open[1] = crc_byte(number[1], b"+")
    for field in range(1, size):
        for mask in range(1, 1 << field, 2):
            number[mask | 1 << field] = crc_word(open[mask], &loaded[(start + field) & 7])
            open[mask | 1 << field] = crc_byte(number[mask | 1 << field], b"+")
            open[mask] = crc_bits(open[mask], 0x2B23, 2)  # "#+"


cdef inline void touch_window(
    Tokens tokens, const Walk* walk, uint32_t start, uint32_t size, const uint64_t* number
) noexcept nogil:
    cdef uint32_t mask, entry, field, mark = walk.mark | walk.plain_mark
    cdef uint32_t length = walk.prefix_length + WINDOW - 1
    cdef uint8_t[NAME_SIZE] name
    cdef uint64_t value
    for field in range(size):
        length += tokens.words[start + field].length
    if length > NAME_SIZE:
        mark = walk.mark
    for field in range(size):
        for mask in range(1 << field | 1, 2 << field, 2):
            value = number[mask]
            if length > NAME_SIZE:
                value = crc_text(0, name, tokens.spell_shape(start, mask, name))
            entry = tokens.touch(value, start, mask, mark)
            if walk.noise:
                tokens.order[tokens.order_length] = entry
                tokens.order_length += 1


# -- the Python face


@cython.final
@cython.no_gc
cdef class Headings:
    """Names of headers whose words are no tokens; lower case, longer ones than 127 bytes match nothing."""

    cdef Strings names

    def __init__(self, names):
        cdef bytes name
        for name in names:
            if 0 < len(name) <= STRING_SIZE:
                strings_add(&self.names, <const uint8_t*>PyBytes_AS_STRING(name), <size_t>len(name))

    def __dealloc__(self):
        strings_free(&self.names)


cdef dict TOKENIZERS = {
    "word": WORD_TOKENIZER, "chain": CHAIN_TOKENIZER, "sbph": SBPH_TOKENIZER, "osb": OSB_TOKENIZER
}


def tokenize_view(
    bytes headers not None,
    bytes body not None,
    str tokenizer not None,
    bint url_context,
    bint whitelist,
    bint noise,
    Headings ignored not None,
):
    """The tokens of a view; ValueError for an unknown tokenizer, OverflowError from 4 GiB of text."""
    cdef Tokens tokens = Tokens()
    cdef Walk walk
    cdef size_t header_length = <size_t>len(headers), body_length = <size_t>len(body)
    if tokenizer not in TOKENIZERS:
        raise ValueError(f"there is no tokenizer {tokenizer!r}")
    if header_length + body_length + PADDING >= UINT32_MAX:
        raise OverflowError("a message's text must be shorter than 4 GiB")
    memset(&walk, 0, sizeof(Walk))
    walk.tokenizer, walk.noise = TOKENIZERS[tokenizer], noise
    tokens.keep(headers, body, tokenizer == "sbph")
    with nogil:
        tokens.reserve(min((header_length + body_length) // 2, <size_t>4096))
        if url_context:
            tokenize_links(tokens, <uint32_t>header_length, <uint32_t>body_length)
        tokenize_headers(tokens, &walk, <uint32_t>header_length, whitelist, &ignored.names)
        tokenize_body(
            tokens, &walk, <uint32_t>header_length, <uint32_t>(header_length + body_length)
        )
        tokens.arrange()
    return tokens


def tokenize_features(Features features not None, bytes senders not None):
    """The tokens of the modern view: its features, and the whitelist token of the last of `senders`."""
    cdef Tokens tokens = Tokens()
    cdef Walk walk
    cdef Strings no_names
    cdef uint32_t i, length = <uint32_t>min(<size_t>len(senders), <size_t>UINT32_MAX)
    memset(&walk, 0, sizeof(Walk))
    memset(&no_names, 0, sizeof(Strings))
    walk.senders_only = True
    tokens.grouped, tokens.features = True, features
    tokens.keep(senders, b"", False)
    with nogil:
        tokens.reserve(1)
        tokenize_headers(tokens, &walk, length, True, &no_names)
        tokens.keep_sender()
        tokens.reserve(features.count)
        for i in range(features.count):
            tokens.touch(features.features[i].value, i, 0, 0)
        tokens.arrange()
    return tokens
