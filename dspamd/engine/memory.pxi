# Growing arrays, and sets of byte strings that answer by prefix.
#
# Everything hashed here comes from mail, so an attacker chooses it.  The hash functions multiply by
# secrets that the interpreter draws at its start (the salt of `hash`, PYTHONHASHSEED): nobody can
# prepare strings or tokens that collide.  The secrets decide only where entries lie in a table, never
# what comes out.

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


cdef inline uint64_t mixed(uint64_t value) noexcept nogil:
    """A hash of `value` whose high bits may be used."""
    value *= SECRET
    return (value ^ (value >> 32)) * SECOND_SECRET
