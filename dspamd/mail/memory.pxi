# Growing arrays, sets of byte strings with search by prefix, and memory that is reused for later messages.
#
# Everything hashed here comes from mail, so an attacker chooses it.  The hash functions multiply by
# secrets that the interpreter draws at its start (the salt of `hash`, PYTHONHASHSEED): no sender
# can prepare strings or tokens that collide.  The secrets decide only where entries lie in a table, never
# the result.

cdef uint64_t SECRET = <uint64_t><int64_t>hash(b"dspamd: tokens") | 1
cdef uint64_t SECOND_SECRET = <uint64_t><int64_t>hash(b"dspamd: strings") | 1


cdef int out_of_memory() except -1 with gil:
    raise MemoryError


cdef void* room(void* block, size_t* capacity, size_t needed, size_t item) except NULL nogil:
    """`block`, moved if it must grow, with room for at least `needed` items; growth doubles."""
    cdef size_t larger
    if needed <= capacity[0] and block != NULL:
        return block
    larger = max(needed, 2 * capacity[0], <size_t>64)
    block = realloc(block, larger * item) if larger <= SIZE_MAX // 2 // item else NULL
    if block == NULL:
        out_of_memory()
    capacity[0] = larger
    return block


cdef void strings_free(Strings* strings) noexcept nogil:
    free(strings.pool)
    free(strings.slots)


cdef String* _place(const Strings* strings, uint64_t hash, const uint8_t* text, size_t length) noexcept nogil:
    cdef size_t slot = (mixed(hash) >> 32) & strings.slot_mask
    cdef String* found
    while True:
        found = &strings.slots[slot]
        if found.length == 0:
            return found
        if (
            found.hash == hash
            and found.length == length
            and memcmp(strings.pool + found.at, text, length) == 0
        ):
            return found
        slot = (slot + 1) & strings.slot_mask


cdef int _strings_grow(Strings* strings) except -1 nogil:
    cdef String* old = strings.slots
    cdef size_t old_size = strings.slot_mask + 1 if old else 0, i
    cdef size_t size = max(<size_t>64, 2 * old_size)
    strings.slots = <String*>calloc(size, sizeof(String))
    if strings.slots == NULL:
        strings.slots = old
        out_of_memory()
    strings.slot_mask = size - 1
    for i in range(old_size):
        if old[i].length:
            _place(strings, old[i].hash, strings.pool + old[i].at, old[i].length)[0] = old[i]
    free(old)
    return 0


cdef int strings_add(Strings* strings, const uint8_t* text, size_t length) except -1 nogil:
    """Add a string of 1 to STRING_SIZE bytes."""
    cdef uint64_t hash = 0
    cdef String* place
    cdef size_t i
    if 2 * strings.count >= strings.slot_mask:
        _strings_grow(strings)
    for i in range(length):
        hash = hash * SECOND_SECRET + text[i] + 1
    place = _place(strings, hash, text, length)
    if place.length:
        return 0
    strings.pool = <uint8_t*>room(
        strings.pool, &strings.pool_capacity, strings.pool_length + length, sizeof(uint8_t)
    )
    memcpy(strings.pool + strings.pool_length, text, length)
    place.hash, place.at, place.length = hash, strings.pool_length, length
    strings.pool_length += length
    strings.count += 1
    strings.lengths[length] = True
    strings.longest = max(strings.longest, length)
    return 0


cdef bint strings_begin(const Strings* strings, const uint8_t* text, size_t length) noexcept nogil:
    """Whether a member is the beginning of `text`, at most STRING_SIZE look-ups."""
    cdef uint64_t hash = 0
    cdef size_t i
    for i in range(min(length, strings.longest)):
        hash = hash * SECOND_SECRET + text[i] + 1
        if strings.lengths[i + 1] and _place(strings, hash, text, i + 1).length:
            return True
    return False


cdef bint strings_have(const Strings* strings, const uint8_t* text, size_t length) noexcept nogil:
    cdef uint64_t hash = 0
    cdef size_t i
    if length == 0 or length > strings.longest or not strings.lengths[length]:
        return False
    for i in range(length):
        hash = hash * SECOND_SECRET + text[i] + 1
    return _place(strings, hash, text, length).length != 0


cdef extern from *:
    """
    #include <malloc.h>
    #ifdef __GLIBC__
    static void keep_freed(int size) { mallopt(M_TRIM_THRESHOLD, size); mallopt(M_MMAP_THRESHOLD, size); }
    #else
    static void keep_freed(int size) { (void)size; }
    #endif
    """
    void keep_freed(int size) nogil


def keep_memory(int size):
    """Let the process keep `size` bytes (at most 32 MiB) of the memory of a message for the next one.

    Without this, glibc gives them back to the system after each message and has them cleared again
    for the next, which takes as long as the message itself.
    """
    keep_freed(size)
