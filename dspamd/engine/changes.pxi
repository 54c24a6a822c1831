# Changes of hits as a whole: with their tokens in order, and two of them as one.
#
# A text of 20 MB can have 7.5 million tokens.  Python would hold its lock for seconds to sort them.


cdef struct Moved:  # the change of one token
    uint64_t token
    int spam
    int innocent


cdef int fill(Moved* moved, change, Py_ssize_t n) except -1:
    """Copy a change of `n` tokens (`TokenChange`); ValueError if its arrays are not parallel."""
    cdef const uint64_t[::1] tokens = change.tokens
    cdef const int[::1] spam = change.spam, innocent = change.innocent
    cdef Py_ssize_t k
    if not n == tokens.shape[0] == spam.shape[0] == innocent.shape[0]:
        raise ValueError("a change is not parallel")
    with nogil:
        for k in range(n):
            moved[k].token, moved[k].spam, moved[k].innocent = tokens[k], spam[k], innocent[k]
    return 0


cdef void sort_moved(Moved* moved, Moved* spare, size_t n, uint64_t first) noexcept nogil:
    """Sort by the distance of tokens from `first`: a radix sort, whose eight passes end where they begin."""
    cdef size_t[256] start
    cdef size_t k, total, number
    cdef int shift, digit
    for shift in range(0, 64, 8):
        memset(start, 0, sizeof(start))
        for k in range(n):
            start[((moved[k].token - first) >> shift) & 255] += 1
        total = 0
        for digit in range(256):
            number = start[digit]
            start[digit] = total
            total += number
        for k in range(n):
            digit = <int>(((moved[k].token - first) >> shift) & 255)
            spare[start[digit]] = moved[k]
            start[digit] += 1
        moved, spare = spare, moved


cdef inline int summed(int one, int other) noexcept nogil:
    """The sum of two steps, as far as a step can go."""
    cdef int64_t sum = <int64_t>one + other
    return <int>min(max(sum, -<int64_t>0x7FFFFFFF), <int64_t>0x7FFFFFFF)


cdef object change_of(const Moved* moved, size_t n):
    """The `TokenChange` of tokens in order, in which each is there once."""
    cdef array.array tokens = array.clone(array.array("Q"), <Py_ssize_t>n, zero=False)
    cdef array.array spam = array.clone(array.array("i"), <Py_ssize_t>n, zero=False)
    cdef array.array innocent = array.clone(array.array("i"), <Py_ssize_t>n, zero=False)
    cdef uint64_t* token = <uint64_t*>tokens.data.as_voidptr
    cdef int* more_spam = spam.data.as_ints
    cdef int* more_innocent = innocent.data.as_ints
    cdef size_t k, count = 0
    with nogil:
        for k in range(n):
            if count and token[count - 1] == moved[k].token:
                more_spam[count - 1] = summed(more_spam[count - 1], moved[k].spam)
                more_innocent[count - 1] = summed(more_innocent[count - 1], moved[k].innocent)
            else:
                token[count] = moved[k].token
                more_spam[count], more_innocent[count] = moved[k].spam, moved[k].innocent
                count += 1
    array.resize(tokens, <Py_ssize_t>count)
    array.resize(spam, <Py_ssize_t>count)
    array.resize(innocent, <Py_ssize_t>count)
    return TokenChange(tokens, spam, innocent)


def ascending(*changes, uint64_t first=0):
    """Changes (`TokenChange`) as one, in which each token is there once, with the sum of its steps.

    Tokens ascend from `first` on; those below it come last.  ValueError for arrays that are not parallel.
    """
    cdef Py_ssize_t n = 0, size
    cdef Moved* moved
    for change in changes:
        n += len(change.tokens)
    moved = <Moved*>malloc(2 * (<size_t>n + 1) * sizeof(Moved))
    if moved == NULL:
        raise MemoryError
    try:
        n = 0
        for change in changes:
            size = len(change.tokens)
            fill(moved + n, change, size)
            n += size
        with nogil:
            sort_moved(moved, moved + n, <size_t>n, first)
        return change_of(moved, <size_t>n)
    finally:
        free(moved)


def floored(change, hits):
    """The change (`TokenChange`) as far as it takes no counter below zero.

    `hits` (`Hits`) has the counters of the known tokens, each once.  ValueError for arrays that are not parallel.
    """
    cdef const uint64_t[::1] known = hits.tokens, spam_hits = hits.spam, innocent_hits = hits.innocent
    cdef Py_ssize_t n = known.shape[0], size = len(change.tokens), k
    cdef Moved* moved
    cdef Moved* before
    cdef array.array spam = array.clone(array.array("i"), size, zero=False)
    cdef array.array innocent = array.clone(array.array("i"), size, zero=False)
    cdef int* less_spam = spam.data.as_ints
    cdef int* less_innocent = innocent.data.as_ints
    cdef const Moved* found
    if not n == spam_hits.shape[0] == innocent_hits.shape[0]:
        raise ValueError("hits are not parallel")
    before = <Moved*>malloc((2 * <size_t>n + <size_t>size + 1) * sizeof(Moved))
    if before == NULL:
        raise MemoryError
    moved = before + 2 * n
    try:
        fill(moved, change, size)
        with nogil:
            for k in range(n):
                before[k].token = known[k]
                before[k].spam = <int>min(spam_hits[k], <uint64_t>0x7FFFFFFF)
                before[k].innocent = <int>min(innocent_hits[k], <uint64_t>0x7FFFFFFF)
            sort_moved(before, before + n, <size_t>n, 0)
            for k in range(size):
                found = moved_at(before, n, moved[k].token)
                less_spam[k] = <int>max(moved[k].spam, -found.spam if found != NULL else 0)
                less_innocent[k] = <int>max(moved[k].innocent, -found.innocent if found != NULL else 0)
        return TokenChange(change.tokens, spam, innocent)
    finally:
        free(before)


cdef const Moved* moved_at(const Moved* moved, Py_ssize_t n, uint64_t token) noexcept nogil:
    """That of a token in a sorted array; NULL if it is not there."""
    cdef Py_ssize_t low = 0, high = n, middle
    while low < high:
        middle = (low + high) // 2
        if moved[middle].token < token:
            low = middle + 1
        else:
            high = middle
    return &moved[low] if low < n and moved[low].token == token else NULL
