# Each token counts as much as it is to be trusted: an exponential differential with a confidence factor.
#
# A token's hits are taken for messages of equally large classes: a spam and b innocent ones.  Its lean
# d = ((a - b)^2 - 1/4t) / t^2, with t = a + b, is 1 for a token of one class alone and 0 for one that is
# even; the eighth power leaves little but tokens that hardly ever err, and 1 + 8/t tames rare ones.  All
# tokens of a message vote with the logarithm of their odds, so nothing is chosen, and how often a token
# occurs does not matter.
#
# The idea is that of Yerazunis' "exponential differential document count"; constants were chosen by
# evaluation (docs/accuracy.md).

cdef extern from *:
    """
    #define LEAN_DOUBT 0.25 /* what chance may add to the difference */
    #define RARE 8.0 /* hits that halve the weight of a token */
    #define CERTAIN 1e-6 /* no token is more certain */
    #define TRUE_EVIDENCE 0.4 /* logarithm of the true odds for each unit of the sum */
    #define LEAST_ODDS 3.0 /* logarithm of the odds that no verdict reaches without lessons, */
    #define ODDS_OF_LESSON 0.1 /* what each lesson of the rarer class adds to it, */
    #define MOST_ODDS 10.0 /* and that no verdict ever reaches */
    #define BENEFIT_OF_DOUBT 2.0 /* with bias: sum up to which a message is innocent */
    #define SURE 42.0 /* sum from which mode tone learns nothing */
    #define SURE_SHARE 0.07 /* the same for each token of a short message */
    """
    const double LEAN_DOUBT, RARE, CERTAIN
    const double TRUE_EVIDENCE, LEAST_ODDS, ODDS_OF_LESSON, MOST_ODDS
    const double BENEFIT_OF_DOUBT, SURE, SURE_SHARE


cdef inline double confident_p(const Scored* entry, const Scale* scale) noexcept nogil:
    """The probability of a token; 0.5 while it, or a whole class, is unknown."""
    cdef double most, a, b, t, lean
    if not (scale.spam > 0 and scale.innocent > 0 and (entry.spam > 0 or entry.innocent > 0)):
        return 0.5
    most = max(scale.spam, scale.innocent)
    a = <double>entry.spam * (most / scale.spam)
    b = <double>entry.innocent * (most / scale.innocent)
    t = a + b
    lean = ((a - b) * (a - b) - LEAN_DOUBT / t) / (t * t)
    if not lean > 0:
        return 0.5
    lean *= lean
    lean *= lean
    lean *= lean
    return min(max(0.5 + lean / (1 + RARE / t) * (a / t - 0.5), CERTAIN), 1 - CERTAIN)


cdef double evidence(const Scored* entries, uint32_t n, const Scored* sender, double* spam) noexcept nogil:
    """The sum of the logarithms of all odds: positive for spam; `spam` becomes the sum of those for it.

    The sender's token does not vote: it counts messages that teach nothing else, too.
    """
    cdef double vote, total = 0
    cdef uint32_t k
    spam[0] = 0
    for k in range(n):
        if entries[k].p != 0.5 and &entries[k] != sender:
            vote = log(entries[k].p / (1 - entries[k].p))
            total += vote
            if vote > 0:
                spam[0] += vote
    return total


cdef double chance_of_spam(double sum, const Scale* scale) noexcept nogil:
    """The probability that a sum of evidence stands for: calibrated, and never certain with few lessons."""
    cdef double odds = TRUE_EVIDENCE * sum
    cdef double most = min(MOST_ODDS, LEAST_ODDS + ODDS_OF_LESSON * min(scale.spam, scale.innocent))
    return 1 / (1 + exp(-odds / (1 + fabs(odds) / most)))
