# Many probabilities become one number (engine.md 4).
#
# The most interesting tokens, those farthest from 0.5, are chosen once; each algorithm is then a walk
# over them (naive and chi-square: over all tokens) that returns its number.  A caller that wants to know
# which entries it used passes a `Uses` with room: the same walk that decided also explains.
#
# <float> marks single precision, as in probability.pxi.

from libc.math cimport exp, frexp, log, pow

cdef enum:
    GRAHAM_USES = 15  # Graham, "A Plan for Spam"; engine.md 4.2
    ROBINSON_USES = 25  # 4.4
    BURTON_USES = 27  # 4.3
    MOST_CHOICES = 27


cdef extern from *:
    """
    /* Robinson's geometric means: engine.md 4.4 */
    #define MEAN_STRENGTH 0.01
    #define MEAN_ASSUMED 0.5
    #define MEAN_LOW 0.3 /* what is between them is not used */
    #define MEAN_HIGH 0.7
    /* Fisher's chi-square: engine.md 4.5 */
    #define CHI_STRENGTH 0.1 /* of f(w) */
    #define CHI_ASSUMED 0.05 /* strength times assumption */
    #define CHI_DISTANCE 0.45 /* from 0.5; nearer tokens are not used */
    #define CHI_NONE 0.401 /* the result if no token is used */
    #define CHI_SMALL 1e-200 /* products below are put aside */
    """
    const double MEAN_STRENGTH, MEAN_ASSUMED, MEAN_LOW, MEAN_HIGH
    const double CHI_STRENGTH, CHI_ASSUMED, CHI_DISTANCE, CHI_NONE, CHI_SMALL


cdef enum:  # the algorithms, in the order in which their verdicts are asked (4.7)
    NAIVE
    GRAHAM
    BURTON
    ROBINSON
    CHI_SQUARE
    ALGORITHMS
    CONFIDENCE = ALGORITHMS  # confidence.pxi, which is not asked beside others


cdef struct Choice:  # an interesting token
    double delta  # |0.5 - p|
    double p
    uint32_t entry
    uint32_t frequency


cdef struct Uses:
    uint32_t* entry  # NULL: only the number is wanted
    uint32_t count


cdef inline void use(Uses* uses, uint32_t entry) noexcept nogil:
    if uses.entry != NULL:
        uses.entry[uses.count] = entry
    uses.count += 1


cdef bint _beats(
    float delta, const Scored* entry, const Choice* choice, const Scored* entries, Tokens tokens
) noexcept nogil:
    """Whether a candidate goes above a choice: its delta in single, the other's in double precision (Q-P1).

    Because 0.1f > 0.1, a later token usually beats an equal earlier one; frequency and complexity
    decide only where single precision is exact.
    """
    if delta != choice.delta:
        return delta > choice.delta
    if entry.frequency != choice.frequency:
        return entry.frequency > choice.frequency
    return tokens.complexity(entry.index) >= tokens.complexity(entries[choice.entry].index)


cdef uint32_t choose(
    const Scored* entries, uint32_t n, Tokens tokens, uint32_t size, Choice* choices
) noexcept nogil:
    """Choose up to `size` interesting tokens, the most interesting first; how many there are (4.1)."""
    cdef Choice[MOST_CHOICES + 1] ranked  # from least to most interesting
    cdef const Scored* entry
    cdef uint32_t length = 0, at, k
    cdef double delta
    for k in range(n):
        entry = &entries[k]
        if entry.pattern or entry.frequency == 0:
            continue
        delta = fabs(0.5 - entry.p)
        at = 0
        if length and _beats(<float>delta, entry, &ranked[0], entries, tokens):
            at = length
            while not _beats(<float>delta, entry, &ranked[at - 1], entries, tokens):
                at -= 1
        elif length == size:
            continue
        if length == size:  # the least interesting one leaves
            at -= 1
            memmove(&ranked[0], &ranked[1], at * sizeof(Choice))
        else:
            memmove(&ranked[at + 1], &ranked[at], (length - at) * sizeof(Choice))
            length += 1
        ranked[at] = Choice(delta, entry.p, k, entry.frequency)
    for k in range(length):
        choices[k] = ranked[length - 1 - k]
    return length


cdef double graham(const Choice* choices, uint32_t n, Uses* uses) noexcept nogil:
    """"A Plan for Spam": the fifteen most interesting, abc / (abc + (1-a)(1-b)(1-c)) (4.2)."""
    cdef float spam = 1, innocent = 1
    cdef uint32_t k
    for k in range(min(n, <uint32_t>GRAHAM_USES)):
        spam = <float>(spam * choices[k].p)
        innocent = <float>(innocent * (1 - choices[k].p))
        use(uses, choices[k].entry)
    return <float>(spam / <float>(spam + innocent))


cdef double burton(const Choice* choices, uint32_t n, Uses* uses) noexcept nogil:
    """Graham's formula over 27 uses, where a token that occurs twice is used twice (4.3)."""
    cdef double spam = 1, innocent = 1
    cdef uint32_t k, repeat, used = 0
    for k in range(n):
        for repeat in range(2 if choices[k].frequency > 1 else 1):
            if used < BURTON_USES:
                spam *= choices[k].p
                innocent *= 1 - choices[k].p
                used += 1
                use(uses, choices[k].entry)
    return spam / (spam + innocent)


cdef double robinson(const Choice* choices, uint32_t n, Uses* uses) noexcept nogil:
    """Robinson's geometric means P = 1 - ((1-p)...)^(1/n), Q = 1 - (p...)^(1/n) as one number (4.4).

    It is also the confidence of every verdict.  The n of his f(w) is here the number of choices,
    not a number of hits (Q-P3).
    """
    cdef double strength = min(n, <uint32_t>ROBINSON_USES), P, Q
    cdef float spam = 1, innocent = 1, q
    cdef uint32_t k, repeat, used = 0
    for k in range(n):
        if used == ROBINSON_USES:
            break
        q = <float>((MEAN_STRENGTH * MEAN_ASSUMED + strength * choices[k].p) / (MEAN_STRENGTH + strength))
        use(uses, choices[k].entry)
        if MEAN_LOW <= q <= MEAN_HIGH:
            continue
        for repeat in range(2 if choices[k].frequency > 1 else 1):
            if used < ROBINSON_USES:
                spam = <float>(spam * q)
                innocent = <float>(innocent * <float>(1 - q))
                used += 1
                if repeat:
                    use(uses, choices[k].entry)
    if used == 0:
        return 0
    P = 1 - pow(innocent, 1.0 / used)
    Q = 1 - pow(spam, 1.0 / used)
    return <float>(((P - Q) / (P + Q) + 1) / 2)


cdef double chi_square_tail(double x, uint32_t v) noexcept nogil:
    """The chance that chi-square with v (even) degrees of freedom exceeds x: Robinson's C-1."""
    cdef double m = x / 2, term = exp(-m), total = term
    cdef uint32_t j
    for j in range(1, v // 2):
        term *= m / j
        total += term
    return min(total, 1.0)


cdef double chi_square(const Scored* entries, uint32_t n, Method method, Uses* uses) noexcept nogil:
    """Fisher's inverse chi-square over all tokens that are nearly sure (4.5).

    The products would underflow: whenever one gets small, its binary exponent is put aside.
    """
    cdef double spam = 1, innocent = 1, fw, hits, a, b
    cdef int64_t spam_exponent = 0, innocent_exponent = 0
    cdef uint32_t k, used = 0
    cdef int shift
    for k in range(n):
        if entries[k].pattern:
            continue
        fw = entries[k].p
        if method != ROBINSON_METHOD:
            hits = <double>(entries[k].spam + entries[k].innocent)
            fw = (CHI_ASSUMED + hits * fw) / (CHI_STRENGTH + hits)
        if not fabs(0.5 - fw) > CHI_DISTANCE:
            continue
        spam *= 1 - fw
        innocent *= fw
        if spam < CHI_SMALL:
            spam = frexp(spam, &shift)
            spam_exponent += shift
        if innocent < CHI_SMALL:
            innocent = frexp(innocent, &shift)
            innocent_exponent += shift
        used += 1
        use(uses, k)
    if used == 0:
        return <float>CHI_NONE
    a = 1 - chi_square_tail(-2 * (log(spam) + <double>spam_exponent * log(2.0)), 2 * used)
    b = 1 - chi_square_tail(-2 * (log(innocent) + <double>innocent_exponent * log(2.0)), 2 * used)
    return <float>((a - b + 1) / 2)


cdef double naive(const Scored* entries, uint32_t n, Uses* uses) noexcept nogil:
    """The product over all tokens, as a sum of logarithms: it must not underflow to 0/0."""
    cdef double odds = 0  # ln of innocent : spam
    cdef uint32_t k
    for k in range(n):
        if not entries[k].pattern:
            odds += log(1 - entries[k].p) - log(entries[k].p)
            use(uses, k)
    return <float>(1 / (1 + exp(odds)))


cdef inline double least_interesting(const Choice* choices, uint32_t chosen) noexcept nogil:
    return choices[chosen - 1].p if chosen else 0.5


cdef double naive_strict(
    const Choice* choices, uint32_t chosen, uint32_t n, bint control, Uses* uses
) noexcept nogil:
    """The original's formula: the least interesting choice, once for each entry (4.6, Q-N1).

    `control`: its SQL stores put one more entry into the table of each message (7.6).
    """
    cdef double p = least_interesting(choices, chosen)
    cdef float spam = 1, innocent = 1
    cdef uint32_t k
    for k in range(n + <uint32_t>control):
        spam = <float>(spam * p)
        innocent = <float>(innocent * (1 - p))
        if k < n:
            use(uses, k)
    return <float>(spam / <float>(spam + innocent))
