# How much a token speaks for spam: its hits become a probability (engine.md 3).
#
# The formula is that of Graham's "A Plan for Spam"; Robinson's "A statistical approach to the spam
# problem" corrects it for rare tokens; markov weighs hits by the shape of the name instead.
#
# Numbers are double precision, except where (<float>x) stands: there the original rounded to single
# precision, and equal verdicts need the same rounding.

from libc.math cimport fabs

cdef extern from *:
    """
    /* Graham, "A Plan for Spam", with the values of engine.md 3.2. */
    #define LEAST_P 0.0001
    #define MOST_P 0.9999
    #define UNKNOWN_P 0.4 /* of a token that says nothing */
    #define UNKNOWN_SPAM_P 0.7 /* the same in a message that its user calls spam */
    #define INNOCENT_P 0.01 /* at most, of a token seen in innocent mail alone */
    #define SPAM_P 0.99 /* at least, of a token seen in spam alone */
    /* Robinson, "A statistical approach to the spam problem": f(w), engine.md 3.2. */
    #define ROBINSON_STRENGTH 0.1 /* s */
    #define ROBINSON_ASSUMED 0.5 /* x */
    /* markov: engine.md 3.3 */
    #define MARKOV_NEUTRAL 0.50
    #define MARKOV_NEUTRAL_BIASED 0.49
    #define MARKOV_SCALE 256
    #define MARKOV_HITS 16
    /* Statistical sedation: engine.md 3.1 */
    #define SHARE_STEP 20.0 /* percent of spam that count once */
    """
    const double LEAST_P, MOST_P, UNKNOWN_P, UNKNOWN_SPAM_P, INNOCENT_P, SPAM_P
    const double ROBINSON_STRENGTH, ROBINSON_ASSUMED
    const double MARKOV_NEUTRAL, MARKOV_NEUTRAL_BIASED
    const int MARKOV_SCALE, MARKOV_HITS
    const double SHARE_STEP


cdef enum:  # statistical sedation (3.1)
    MINIMUM_HITS = 5
    MINIMUM_PATTERN_HITS = 25  # with sedation
    SEDATED_BELOW = 1000  # innocent messages up to which the difference to spam counts,
    SHARED_BELOW = 2500  # and up to which the share of spam does
    DIFFERENCE_STEP = 200  # messages


cdef enum Method:
    GRAHAM_METHOD  # "bcr"
    ROBINSON_METHOD
    MARKOV_METHOD
    CONFIDENCE_METHOD  # confidence.pxi


cdef struct Scored:  # a token of the message, or a noise reduction pattern, in one user's eyes
    uint64_t value
    int64_t spam  # messages of that class that contained it
    int64_t innocent
    double p
    uint32_t frequency
    uint32_t index  # into Tokens, or into the patterns
    bint pattern


cdef struct Scale:  # everything but the token itself that decides a probability
    Method method
    double spam  # messages learned
    double innocent
    int64_t bias  # what an innocent hit counts: 2, or 1 without bias
    double unknown  # start value; 3.2
    int64_t minimum  # hits below which a token says nothing
    int64_t pattern_minimum
    double pattern_spam  # messages that taught patterns
    double pattern_innocent


cdef inline double clamp(double p) noexcept nogil:
    """p within [LEAST_P, MOST_P]: no token is ever certain.  NaN stays NaN."""
    if p < LEAST_P:
        return LEAST_P
    return MOST_P if p > MOST_P else p


cdef int64_t minimum_hits(int64_t spam, int64_t innocent, int64_t sedation, bint pattern) noexcept nogil:
    """Statistical sedation: the fewer innocent than spam messages, the more hits are asked (3.1).

    `spam` and `innocent` are messages learned and classified, `sedation` is the training buffer, 0..10.
    """
    cdef int64_t base = MINIMUM_PATTERN_HITS if pattern and sedation else MINIMUM_HITS, sedated = 0
    cdef float share
    if sedation > 0 and innocent < SEDATED_BELOW and innocent < spam:
        sedated = base + sedation // 2 + sedation * ((spam - innocent) // DIFFERENCE_STEP)
    elif sedation > 0 and SEDATED_BELOW <= innocent < SHARED_BELOW and spam > innocent:
        share = <float>(<double>spam / <double>(spam + innocent) * 100)
        sedated = <int64_t><float>(<double>(base + sedation // 2) + <float>(<double>sedation * <double><float>(share / SHARE_STEP)))
    return sedated if pattern else max(base, sedated)  # so patterns normally need none (Q-P5)


cdef inline double graham_p(const Scored* entry, const Scale* scale) noexcept nogil:
    """p = (s/S) / (s/S + b*i/I), as in "A Plan for Spam"; one-sided tokens are nearly sure (3.2)."""
    cdef double p = scale.unknown, x, y, sure
    cdef double s = <double>entry.spam
    cdef double i = <double>(entry.innocent * scale.bias)
    cdef bint taught = scale.spam > 0 and scale.innocent > 0
    if taught:
        if entry.pattern:
            x = s / scale.pattern_spam
            y = <double>entry.innocent / scale.pattern_innocent
        else:
            x = s / scale.spam
            y = i / scale.innocent
        p = x / (x + y)  # patterns: 0/0 and inf/inf are NaN, and NaN is never interesting
    if entry.spam == 0 and entry.innocent > 0:
        p = INNOCENT_P
        if taught:
            sure = (1 / scale.spam) / (1 / scale.spam + i / scale.innocent)
            p = min(p, sure)
    elif entry.spam > 0 and entry.innocent == 0:
        p = SPAM_P
        if taught:
            sure = (s / scale.spam) / (s / scale.spam + scale.bias / scale.innocent)
            p = max(p, sure)
    if entry.spam + scale.bias * entry.innocent < (scale.pattern_minimum if entry.pattern else scale.minimum):
        p = UNKNOWN_P
    return clamp(p)


cdef double robinson_p(double p, const Scored* entry) noexcept nogil:
    """Robinson's f(w) = (s*x + n*p) / (s + n) (3.2)."""
    cdef double n = <double>(entry.spam + entry.innocent)
    return (ROBINSON_STRENGTH * ROBINSON_ASSUMED + n * p) / (ROBINSON_STRENGTH + n)


cdef double markov_p(const Scored* entry, const Scale* scale, Tokens tokens) noexcept nogil:
    """Neutral, moved by the hits times the weight of the name (3.3).

    Without a name there is no weight: tokens from a signature stay neutral, and so do patterns and
    every token of the From header (Q-P6).
    """
    cdef double s = <double>entry.spam, i = <double>entry.innocent, weight
    if entry.pattern or not tokens.named or tokens.shape[entry.index].mark & (FROM_MARK | BNR_MARK):
        return 0.5
    weight = tokens.weight(entry.index)
    if scale.bias == 2:
        return clamp(
            MARKOV_NEUTRAL_BIASED
            + weight * (s - 2 * i) / (MARKOV_HITS * (s + 2 * i + 1) * MARKOV_SCALE)
        )
    return clamp(MARKOV_NEUTRAL + weight * (s - i) / (MARKOV_HITS * (s + i + 1) * MARKOV_SCALE))


cdef inline double probability(const Scored* entry, const Scale* scale, Tokens tokens) noexcept nogil:
    """The probability of a token or pattern, by the method of the user."""
    cdef double p
    if scale.method == CONFIDENCE_METHOD:
        return confident_p(entry, scale)
    if scale.method == MARKOV_METHOD:
        return markov_p(entry, scale, tokens)
    p = graham_p(entry, scale)
    if scale.method == ROBINSON_METHOD and not entry.pattern:
        return robinson_p(p, entry)
    return p
