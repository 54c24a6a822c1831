# Words of a text, letters of a field, and words that hide.

cdef enum:
    WORD_BYTES = 60  # longer words are cut
    WORD_ROOM = 4 * WORD_BYTES
    SPACED_LETTERS = 4  # single letters in a row that are taken for a word

cdef enum:  # kinds of bytes in a text
    BREAK = 1
    CAPITAL = 2
    WIDE = 4  # no ASCII
    FIGURE = 8  # a digit, or a sign that stands for a letter
    ALPHA = 16
    LINK_MARK = 32  # a colon, or the `w` of `www.`

cdef uint8_t[256] BYTE
cdef uint8_t[256] STANDS_FOR  # the letter that a digit or sign is written for, or 0


cdef int _fill_bytes() except -1:
    for c in range(256):
        BYTE[c] = WIDE if c >= 128 else 0
    for c in (*range(33), 127, *b"<>\"'(){}[];,=|*`~^\\"):
        BYTE[c] |= BREAK
    for c in list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        BYTE[c] |= CAPITAL | ALPHA
        BYTE[c + 32] |= ALPHA
    for c in list(b":wW"):
        BYTE[c] |= LINK_MARK
    for c in list(b"0123456789@$!"):
        BYTE[c] |= FIGURE
    for sign, letter in zip(list(b"01345789@$!"), list(b"oieastbgasi"), strict=True):
        STANDS_FOR[<int>sign] = letter
    return 0


cdef struct Words:  # what words of a text become
    Kind kind
    Kind cased  # what those with capitals become, too; or `kind`: nothing
    uint64_t seed  # the hash of the field
    const uint8_t* field
    size_t field_length
    size_t left  # so many more are looked at
    bint looks_for_disguise, links


cdef int touch_word(Features features, const Words* words, const uint8_t* text, size_t length) except -1 nogil:
    return features.touch(
        words.kind, hash_text(text, length) + words.seed, words.field, words.field_length, text, length
    )


cdef int split_text(Features features, const uint8_t* text, size_t length, Words* words) except -1 nogil:
    """Touch the words of a text."""
    cdef size_t i = 0, start, n
    cdef uint8_t kinds, kind
    cdef uint8_t[WORD_BYTES + 8] lower
    cdef uint8_t[WORD_BYTES] spaced
    cdef size_t spaced_length = 0
    while i < length and words.left:
        while i < length and BYTE[text[i]] & BREAK:
            i += 1
        start = i
        kinds = 0
        n = 0
        while i < length:
            kind = BYTE[text[i]]
            if kind & BREAK:
                break
            kinds |= kind
            if n < WORD_BYTES:
                lower[n] = LOWER[text[i]]
                n += 1
            i += 1
        if n == 0:
            break
        if words.links and kinds & LINK_MARK:
            touch_link(features, text + start, i - start)
        if kinds & WIDE:
            split_wide(features, text + start, i - start, words)
            continue
        while n > 1 and (lower[n - 1] == b"." or lower[n - 1] == b":" or lower[n - 1] == b"?"):
            n -= 1
        words.left -= 1
        touch_word(features, words, lower, n)
        if words.cased != words.kind and kinds & CAPITAL:
            features.touch(words.cased, hash_text(text + start, n) + words.seed, NULL, 0, text + start, n)
        if words.looks_for_disguise:
            if n == 1 and kinds & ALPHA:
                if spaced_length < WORD_BYTES:
                    spaced[spaced_length] = lower[0]
                    spaced_length += 1
            else:
                if spaced_length >= SPACED_LETTERS:
                    touch_spaced(features, spaced, spaced_length)
                spaced_length = 0
                if kinds & FIGURE and kinds & ALPHA:
                    touch_disguised(features, lower, n)
                elif n >= 2 * SPACED_LETTERS - 1 and kinds & ALPHA:
                    touch_dotted(features, lower, n)
    if spaced_length >= SPACED_LETTERS:
        touch_spaced(features, spaced, spaced_length)
    return 0


# -- words beyond ASCII


cdef struct Wide:  # a word that is being read
    uint32_t[WORD_BYTES] code
    size_t length
    uint8_t kinds  # of all its characters
    bint invisible


cdef int split_wide(Features features, const uint8_t* text, size_t length, Words* words) except -1 nogil:
    """Touch the words of a text without ASCII breaks: letters in words, dense scripts and pictures in pairs."""
    cdef Wide word
    cdef size_t at = 0
    cdef uint32_t code, before = 0  # the dense character in front
    cdef bint paired = True
    cdef uint8_t kind
    word.length, word.kinds, word.invisible = 0, 0, False
    while at < length and words.left:
        code = next_code(text, length, &at)
        kind = kind_of(code)
        if kind & INVISIBLE:
            word.invisible = word.invisible or word.length > 0
            continue
        if kind & (DENSE | SEPARATOR):
            end_wide(features, &word, words)
        elif word.length < WORD_BYTES:
            word.code[word.length] = code
            word.length += 1
            word.kinds |= kind
        if kind & DENSE:
            if before:
                touch_pair(features, words, before, code)
            paired = before != 0
            before = code
        elif before:
            if not paired:
                touch_pair(features, words, 0, before)
            before = 0
    if before and not paired:
        touch_pair(features, words, 0, before)
    return end_wide(features, &word, words)


cdef int touch_pair(Features features, Words* words, uint32_t first, uint32_t second) except -1 nogil:
    """Touch two neighbours of a dense script, or one that has none."""
    cdef uint8_t[2 * FOLDED_SIZE] folded
    cdef size_t n = 0
    if words.left:
        words.left -= 1
        if first:
            n = put_folded(first, folded)
        n += put_folded(second, folded + n)
        touch_word(features, words, folded, n)
    return 0


cdef size_t put_folded(uint32_t code, uint8_t* out) except? 0 nogil:
    """Write what a character becomes without its case and form; at most FOLDED_SIZE bytes."""
    cdef const Character* character
    if code >= PAGES * PAGE:
        return put_code(code, out)
    character = character_of(code)
    memcpy(out, character.folded, character.folded_length)
    return character.folded_length


cdef int end_wide(Features features, Wide* word, Words* words) except -1 nogil:
    """Touch the word that was read, and begin another."""
    cdef uint8_t[WORD_BYTES * FOLDED_SIZE] text
    cdef size_t i, n = 0
    while word.length > 1 and word.code[word.length - 1] in (b".", b":", b"?"):
        word.length -= 1
    if word.length and words.left:
        words.left -= 1
        if word.kinds & MARK:
            compose(word)
        for i in range(word.length):
            n += put_folded(word.code[i], text + n)
        touch_word(features, words, text, min(n, <size_t>WORD_ROOM))
        if words.looks_for_disguise and word.kinds & LATIN and word.kinds & LOOKALIKE:
            touch_lookalike(features, word)
        if words.looks_for_disguise and word.invisible:
            touch_fact(features, HIDING_FACT, "invisible characters inside a word")
        if words.cased != words.kind and word.kinds & UPPER:
            n = 0
            for i in range(word.length):
                n += put_code(word.code[i], text + n)
            features.touch(words.cased, hash_text(text, n) + words.seed, NULL, 0, text, n)
    word.length, word.kinds, word.invisible = 0, 0, False
    return 0


cdef int compose(Wide* word) except -1 with gil:
    """Put letters and the marks behind them together, as NFKC does."""
    composed = unicodedata.normalize("NFKC", "".join([chr(<int>word.code[i]) for i in range(word.length)]))
    word.length = 0
    for character in composed[:WORD_BYTES]:
        word.code[word.length] = <uint32_t>ord(character)
        word.length += 1
    return 0


# -- words that hide


cdef int touch_fact(Features features, Kind kind, const char* text) except -1 nogil:
    cdef size_t length = strlen(text)
    return features.touch(kind, hash_text(<const uint8_t*>text, length), NULL, 0, <const uint8_t*>text, length)


cdef int touch_spaced(Features features, const uint8_t* letters, size_t length) except -1 nogil:
    return features.touch(SPACED_WORD, hash_text(letters, length), NULL, 0, letters, length)


cdef int touch_dotted(Features features, const uint8_t* word, size_t length) except -1 nogil:
    """Touch the word that letters with a sign behind each of them spell: `v-i-a-g-r-a`."""
    cdef uint8_t[WORD_BYTES] letters
    cdef size_t i, n = 0
    for i in range(length):
        if (i & 1) == (BYTE[word[i]] & ALPHA != 0):
            return 0
        if i & 1 == 0:
            letters[n] = word[i]
            n += 1
    return touch_spaced(features, letters, n)


cdef int touch_disguised(Features features, const uint8_t* word, size_t length) except -1 nogil:
    """Touch the word that is meant by digits and signs among letters: `v1agra`, `fr3e`."""
    cdef uint8_t[WORD_BYTES] letters
    cdef size_t i, figures = 0
    while length > 1 and (word[length - 1] == b"!" or word[length - 1] == b"$"):
        length -= 1
    if length < 4:
        return 0
    for i in range(length):
        letters[i] = word[i]
        if not BYTE[word[i]] & ALPHA:
            letters[i] = STANDS_FOR[word[i]]
            figures += 1
            if letters[i] == 0:
                return 0
    if figures == 0 or 3 * figures > length or not BYTE[word[length - 1]] & ALPHA:
        return 0
    return features.touch(DISGUISED_WORD, hash_text(letters, length), NULL, 0, letters, length)


cdef int touch_lookalike(Features features, const Wide* word) except -1 nogil:
    """Touch the word that letters of two alphabets look like."""
    cdef uint8_t[WORD_BYTES * FOLDED_SIZE] letters
    cdef size_t i, n = 0
    cdef uint8_t latin
    touch_fact(features, HIDING_FACT, "letters of two alphabets in a word")
    for i in range(word.length):
        latin = character_of(word.code[i]).latin if word.code[i] < PAGES * PAGE else 0
        if latin:
            letters[n] = latin
            n += 1
        else:
            n += put_folded(word.code[i], letters + n)
    return features.touch(DISGUISED_WORD, hash_text(letters, n), NULL, 0, letters, n)


# -- letters


cdef enum:
    GRAM_TEXT = 200  # characters whose neighbours are looked at


cdef int touch_grams(
    Features features, Kind kind, const uint8_t* text, size_t length, size_t most
) except -1 nogil:
    """Touch all sequences of four and five characters of a text's beginning, each with the word that it is of."""
    cdef uint8_t[4 * GRAM_TEXT] lower
    cdef size_t[GRAM_TEXT + 1] start
    cdef size_t at = 0, n = 0, count = 0, i, size, gram, word, word_length
    cdef uint32_t code
    while at < length and count < most:
        start[count] = n
        if text[at] < 0x80:
            lower[n] = LOWER[text[at]]
            n += 1
            at += 1
        else:
            code = next_code(text, length, &at)
            n += put_code(code, lower + n)
        count += 1
    start[count] = n
    for size in range(4, 6):
        for i in range(size, count + 1):
            gram = start[i - size]
            word = longest_word(lower, n, gram, start[i], &word_length)
            features.touch(
                kind, hash_text(lower + gram, start[i] - gram), lower + word, word_length,
                lower + gram, start[i] - gram,
            )
    return 0


cdef size_t longest_word(
    const uint8_t* text, size_t length, size_t at, size_t end, size_t* word_length
) noexcept nogil:
    """Where the word begins of which most is between `at` and `end`; that piece itself, if there is none."""
    cdef size_t i = at, first, best = 0, word = at
    word_length[0] = end - at
    while i < end:
        first = i
        while i < end and not BYTE[text[i]] & BREAK:
            i += 1
        if i - first > best:
            best, word = i - first, first
        i += 1
    if best == 0:
        return at
    i = word + best
    while word and not BYTE[text[word - 1]] & BREAK:
        word -= 1
    while i < length and not BYTE[text[i]] & BREAK:
        i += 1
    while i - word > 1 and (text[i - 1] == b"." or text[i - 1] == b":" or text[i - 1] == b"?"):
        i -= 1
    word_length[0] = i - word
    return word


cdef size_t shape_of(const uint8_t* text, size_t length, size_t most, uint8_t* out) noexcept nogil:
    """Write a text with `A`, `a` and `9` for its runs of capitals, small letters and digits."""
    cdef size_t i, n = 0
    cdef uint8_t sign, before = 0
    for i in range(length):
        if n == most:
            break
        sign = text[i]
        if KIND[sign] & DIGIT:
            sign = b"9"
        elif b"A" <= sign <= b"Z":
            sign = b"A"
        elif b"a" <= sign <= b"z":
            sign = b"a"
        if sign == before and (sign == b"9" or sign == b"A" or sign == b"a"):
            continue
        out[n] = before = sign
        n += 1
    return n
