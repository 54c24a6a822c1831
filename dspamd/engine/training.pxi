# The changes that a message makes in the hits of its tokens (engine.md 7.4 and 7.5).
#
# Steps are signed and not cut at zero: the store adds them to counters that others may have moved
# meanwhile.  modes.py finds the changes of the totals.

from dspamd.engine.model import TokenChange
from dspamd.engine.modes import UNLIMITED


cdef struct Teaching:  # how a run teaches
    bint spam  # the message counts as spam
    bint taught  # by its user; else by our own verdict
    bint error  # the user corrects us
    bint inoculation
    bint unlearn
    bint by_signature
    bint takes_back  # a correction undoes the lesson of the wrong verdict
    bint occurrence  # a token counts as often as it occurs
    bint control  # all known tokens get the step of the control token, and new ones one hit
    bint strict
    int64_t most_hits  # tokens with as many do not change, except the sender and patterns (7.5)


cdef extern from *:
    """
    #define MARGIN 0.8 /* confidence below which mode tone learns */
    """
    const double MARGIN


cdef enum:  # hits that an inoculation gives (7.4)
    FULL_DOSE = 5  # to a token that has fewer of its class, and
    HARDLY_OPPOSITE = 2  # fewer of the other class than this;
    SMALL_DOSE = 2  # to others


cdef struct Step:
    int spam
    int innocent


cdef inline Step step_of(const Scored* entry, Teaching teaching) noexcept nogil:
    """The change of the hits of one token (7.4)."""
    cdef int once = 1, mine, other = 0
    cdef int64_t known = entry.spam if teaching.spam else entry.innocent
    cdef int64_t opposite = entry.innocent if teaching.spam else entry.spam
    # Full text can inoculate against spam only; a signature works both ways.
    cdef bint inoculated = teaching.inoculation and (teaching.spam or teaching.by_signature)
    if teaching.occurrence and not teaching.control:
        once = <int>min(entry.frequency, <uint32_t>0x7FFFFFFF)
    mine = once
    if teaching.unlearn and not (inoculated and teaching.strict and not teaching.by_signature):  # Q-T5
        mine = -once
    elif inoculated and teaching.control:  # Q-T9
        mine = SMALL_DOSE if known or opposite else 1
    elif inoculated:
        mine = FULL_DOSE if opposite < HARDLY_OPPOSITE and known < FULL_DOSE else SMALL_DOSE
    elif teaching.error and teaching.takes_back:
        other = -once
    return Step(mine, other) if teaching.spam else Step(other, mine)


cdef object steps_of(const Scored* entries, uint32_t n, const Scored* sender, Teaching teaching):
    """The changes of all tokens that are written (`TokenChange`), in iteration order (7.5)."""
    cdef array.array tokens = array.clone(array.array("Q"), n, zero=False)
    cdef array.array spam = array.clone(array.array("i"), n, zero=False)
    cdef array.array innocent = array.clone(array.array("i"), n, zero=False)
    cdef uint64_t* token = <uint64_t*>tokens.data.as_voidptr
    cdef int* more_spam = spam.data.as_ints
    cdef int* more_innocent = innocent.data.as_ints
    cdef const Scored* entry
    cdef Step step
    cdef uint32_t k, count = 0
    with nogil:
        for k in range(n):
            entry = &entries[k]
            if entry.pattern or entry == sender or entry.spam + entry.innocent < teaching.most_hits:
                step = step_of(entry, teaching)
                token[count] = entry.value
                more_spam[count], more_innocent[count] = step.spam, step.innocent
                count += 1
    array.resize(tokens, count)
    array.resize(spam, count)
    array.resize(innocent, count)
    return TokenChange(tokens, spam, innocent)
