# What a message changes in the hits of its tokens (engine.md 7.4 and 7.5).
#
# Steps are signed and not cut at zero: the store adds them to counters that others may have moved
# meanwhile.  The totals are the business of modes.py.

cdef enum:
    TUM_ENOUGH = 50  # hits from which tum leaves a token alone,

cdef double TUM_SURE = 0.70  # if the verdict has at least this confidence


cdef struct Teaching:  # how a run teaches
    bint spam  # what the message counts as
    bint taught  # by its user; else by our own verdict
    bint error  # the user corrects us
    bint inoculation
    bint unlearn
    bint by_signature
    bint takes_back  # a correction undoes what the wrong verdict taught
    bint occurrence  # a token counts as often as it occurs
    bint strict


cdef struct Step:
    int spam
    int innocent


cdef Step step_of(const Scored* entry, const Teaching* teaching) noexcept nogil:
    """The change of the hits of one token (7.4)."""
    cdef int once = 1, mine, other = 0
    cdef int64_t known = entry.spam if teaching.spam else entry.innocent
    cdef int64_t opposite = entry.innocent if teaching.spam else entry.spam
    # Full text can inoculate against spam only; a signature works both ways.
    cdef bint inoculated = teaching.inoculation and (teaching.spam or teaching.by_signature)
    if teaching.occurrence:
        once = <int>min(entry.frequency, <uint32_t>0x7FFFFFFF)
    mine = once
    if teaching.unlearn and not (inoculated and teaching.strict and not teaching.by_signature):  # Q-T5
        mine = -once
    elif inoculated:
        mine = 5 if opposite < 2 and known < 5 else 2
    elif teaching.error and teaching.takes_back:
        other = -once
    return Step(mine, other) if teaching.spam else Step(other, mine)
