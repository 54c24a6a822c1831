# Bayesian noise reduction (engine.md 5; Zdziarski's "Bayesian Noise Reduction").
#
# Three neighbouring tokens make a pattern: their probabilities, rounded to 0.05.  Patterns are learned
# like tokens.  If a pattern clearly belongs to one class, its tokens that say the opposite are noise,
# which a spammer added to confuse the filter; they lose that occurrence.
#
# A pattern is written in base 21 as one number below 2*9261 (stream, then three roundings); that
# number stands in the place of a word in the `Tokens` table that holds the patterns.

cdef enum:
    STEPS = 21  # 0.00, 0.05 .. 1.00
    WINDOWS = 9261  # 21^3
    PATTERN_SIZE = 21  # bytes of a name
    PATTERN_TOTAL = 18522  # the pattern that counts messages, `bnr.t|`
    PATTERN_MODULUS = 3079
    COLLECT_ABOVE = 1000  # innocent messages from which patterns are learned,
    REDUCE_ABOVE = 2500  # and from which they are trusted


cdef extern from *:
    """
    /* Zdziarski, "Bayesian Noise Reduction"; engine.md 5 */
    #define DECIDED_DISTANCE 0.25 /* from 0.5, beyond which a pattern is decided */
    #define CONTRADICTION 0.33 /* from its pattern, beyond which a token is noise */
    """
    const double DECIDED_DISTANCE, CONTRADICTION


cdef inline uint32_t twentieths(double p) noexcept nogil:
    """p cut to hundredths in single precision, then rounded up to twentieths."""
    return (<uint32_t><float>(<float>p * 100.0) + 4) // 5


cdef uint32_t spell_pattern(uint32_t pattern, uint8_t* name) noexcept nogil:
    """Write `bnr.s|0.00_0.40_1.00_` and return its length."""
    cdef uint32_t k, step, length = 6
    memcpy(name, b"bnr.s|", 6)
    if pattern == PATTERN_TOTAL:
        name[4] = b"t"
        return length
    if pattern >= WINDOWS:
        name[4] = b"c"
    for k in range(3):
        step = pattern // <uint32_t>(STEPS * STEPS if k == 0 else STEPS if k == 1 else 1) % STEPS
        name[length] = <uint8_t>(b"1" if step == STEPS - 1 else b"0")
        name[length + 1] = b"."
        name[length + 2] = <uint8_t>(c"0" + step * 5 // 10 % 10)
        name[length + 3] = <uint8_t>(b"5" if step & 1 else b"0")
        name[length + 4] = b"_"
        length += 5
    return length


cdef uint64_t pattern_value(uint32_t pattern) noexcept nogil:
    cdef uint8_t[PATTERN_SIZE] name
    return crc_text(0, name, spell_pattern(pattern, name))


cdef inline uint32_t slide(uint32_t window, uint32_t step) noexcept nogil:
    """The window of three after one more token."""
    return window % (STEPS * STEPS) * STEPS + step


cdef uint32_t collect(
    uint8_t* seen, uint32_t* found, const Scored* entries, const uint32_t* stream, uint32_t length
) noexcept nogil:
    """Write the windows of one stream, each once, in the order of their coming; how many there are."""
    cdef uint32_t k, window = 0, count = 0
    for k in range(length):
        window = slide(window, twentieths(entries[stream[k]].p))
        if not seen[window]:
            seen[window] = 1
            found[count] = window
            count += 1
    return count


cdef Tokens patterns_of(Tokens tokens, const Scored* entries):
    """The patterns of a message as a table of their own; those of words come before those of pairs."""
    cdef Tokens patterns = Tokens()
    cdef uint8_t* seen = <uint8_t*>calloc(2 * WINDOWS, 1)
    cdef uint32_t* found = <uint32_t*>malloc(4 * (2 * WINDOWS + 1) * sizeof(uint32_t))
    cdef uint32_t* key = found + (2 * WINDOWS + 1)
    cdef uint32_t* order = key + (2 * WINDOWS + 1)
    cdef uint32_t k, words, n
    try:
        if seen == NULL or found == NULL:
            raise MemoryError
        with nogil:
            words = collect(seen, found, entries, tokens.order, tokens.order_length)
            n = words + collect(
                seen + WINDOWS, found + words, entries, tokens.chained, tokens.chained_length
            )
            for k in range(words, n):
                found[k] += WINDOWS
            found[n] = PATTERN_TOTAL
            n += 1
            # Equal remainders of the table's own modulus stand in the order of this one (5).
            for k in range(n):
                key[k] = <uint32_t>(pattern_value(found[k]) % PATTERN_MODULUS)
            _sort_by(key, order, order + (2 * WINDOWS + 1), n)
            patterns.reserve(n)
            for k in range(n):
                patterns.touch(pattern_value(found[order[k]]), found[order[k]], 0, BNR_MARK)
            patterns.arrange()
    finally:
        free(seen)
        free(found)
    return patterns


cdef void believe(Scored* patterns, Tokens found, Scale* scale) noexcept nogil:
    """Make entries of the patterns; their hits are there already."""
    cdef uint32_t k
    for k in range(found.count):
        patterns[k].value, patterns[k].index = found.value[k], found.shape[k].word
        patterns[k].frequency, patterns[k].pattern = 1, True
        if patterns[k].index == PATTERN_TOTAL:
            scale.pattern_spam, scale.pattern_innocent = <double>patterns[k].spam, <double>patterns[k].innocent
    for k in range(found.count):
        patterns[k].p = probability(&patterns[k], scale, found)


cdef int reduce_noise(Scored* entries, const Scored* patterns, uint32_t n, Tokens tokens) except -1:
    """Free both streams of their noise."""
    cdef float* belief = <float*>calloc(PATTERN_TOTAL + 1, sizeof(float))
    cdef uint8_t* noise = <uint8_t*>calloc(max(tokens.order_length, tokens.chained_length) + 1, 1)
    cdef uint32_t k
    try:
        if belief == NULL or noise == NULL:
            raise MemoryError
        with nogil:
            for k in range(n):
                belief[patterns[k].index] = <float>patterns[k].p
            reduce_stream(entries, tokens.order, tokens.order_length, belief, noise)
            memset(noise, 0, tokens.order_length)
            reduce_stream(entries, tokens.chained, tokens.chained_length, belief + WINDOWS, noise)
    finally:
        free(belief)
        free(noise)
    return 0


cdef void reduce_stream(
    Scored* entries, const uint32_t* stream, uint32_t length, const float* belief, uint8_t* noise
) noexcept nogil:
    """Take an occurrence from every token that a decided pattern around it contradicts.

    `belief` is the probability of each window, which NaN never decides; `noise` is `length` zeros.
    """
    cdef uint32_t k, member, window = 0
    cdef float v
    for k in range(length):
        window = slide(window, twentieths(entries[stream[k]].p))
        v = belief[window]
        if fabs(0.5 - v) > DECIDED_DISTANCE:
            for member in range(k - min(k, <uint32_t>2), k + 1):
                if fabs(<float>(<float>entries[stream[member]].p - v)) > <float>CONTRADICTION:
                    noise[member] = 1
    for k in range(length):
        if noise[k] and entries[stream[k]].frequency:
            entries[stream[k]].frequency -= 1


cdef int merge(
    Scored** entries, uint32_t* count, const Scored* patterns, uint32_t n, Tokens tokens
) except -1:
    """Make the patterns part of the message, behind tokens of the same remainder."""
    cdef const Scored* words = entries[0]
    cdef Scored* merged = <Scored*>malloc((<size_t>count[0] + n + 1) * sizeof(Scored))
    cdef uint32_t i = 0, k, length = 0
    if merged == NULL:
        raise MemoryError
    with nogil:
        for k in range(n):
            if tokens.find(patterns[k].value) >= 0:
                continue  # the sender wrote it into the mail: it stays a word
            while i < count[0] and words[i].value % ORDER_MODULUS <= patterns[k].value % ORDER_MODULUS:
                merged[length] = words[i]
                length += 1
                i += 1
            merged[length] = patterns[k]
            length += 1
        memcpy(merged + length, words + i, (count[0] - i) * sizeof(Scored))
    free(entries[0])
    entries[0], count[0] = merged, length + count[0] - i
    return 0
