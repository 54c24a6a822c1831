# The slots of a table in memory: those that are used, packed.
#
# A page has 256 slots: a bit for each says whether it is used, and the used ones have cells, in order.  The cell
# of a slot follows from the number of bits before its own.  Four small numbers fit a cell, as they do in 98 of 100 slots; else the
# cell has the mark -128 in place of a weight, and the index of a wide slot.  Every slot has its exact numbers.
#
# So a user costs some 5 bytes for a slot that their mail uses, not 8 for each that there could be.

cdef enum:
    BITS = 18  # of a slot's number; the trial of the joint model found 2^17 too few and 2^19 no better
    SLOTS = 1 << BITS
    PAGE_SLOTS = 256
    PAGES = SLOTS // PAGE_SLOTS
    CELLS_MORE = 8  # room that a page grows by
    ALLOCATED = 16  # bytes that an allocation costs beside its own
    AHEAD = 8  # features whose memory is asked for before it is needed
    WIDE_MARK = 0x80

cdef struct Slot:
    int16_t weight
    uint16_t squares
    uint16_t spam
    uint16_t innocent


cdef struct Page:
    uint64_t[4] used
    uint8_t[4] before  # how many slots before each word of `used` are used
    uint32_t* cells
    uint16_t count
    uint16_t room


cdef struct Slots:
    Page* pages
    Slot* wide
    uint32_t wide_count
    uint32_t wide_room


cdef inline bint is_zero(Slot slot) noexcept nogil:
    return (slot.weight | slot.squares | slot.spam | slot.innocent) == 0


cdef inline uint32_t ones(uint64_t bits) noexcept nogil:
    """How many bits are 1; not every processor that we are built for has an instruction for it."""
    bits -= bits >> 1 & <uint64_t>0x5555555555555555
    bits = (bits & <uint64_t>0x3333333333333333) + (bits >> 2 & <uint64_t>0x3333333333333333)
    bits = (bits + (bits >> 4)) & <uint64_t>0x0F0F0F0F0F0F0F0F
    return <uint32_t>(bits * <uint64_t>0x0101010101010101 >> 56)


cdef inline uint32_t cells_before(const Page* page, uint32_t place) noexcept nogil:
    """How many slots of a page before one are used."""
    return page.before[place >> 6] + ones(page.used[place >> 6] & ((<uint64_t>1 << (place & 63)) - 1))


cdef inline bint has_cell(const Page* page, uint32_t place) noexcept nogil:
    return (page.used[place >> 6] >> (place & 63) & 1) != 0


cdef inline Slot unpacked_slot(const Slots* slots, uint32_t cell) noexcept nogil:
    if cell & 255 == WIDE_MARK:
        return slots.wide[cell >> 8]
    return Slot(<int8_t>(cell & 255), <uint8_t>(cell >> 8), <uint8_t>(cell >> 16), <uint8_t>(cell >> 24))


cdef inline Slot slot_at(const Slots* slots, uint32_t number) noexcept nogil:
    """The numbers of a slot; all zero if it is not used."""
    cdef const Page* page = &slots.pages[number // PAGE_SLOTS]
    cdef uint32_t place = number % PAGE_SLOTS
    if not has_cell(page, place):
        return Slot(0, 0, 0, 0)
    return unpacked_slot(slots, page.cells[cells_before(page, place)])


cdef inline Slot slot_beside(const Slots* slots, uint32_t number, int16_t* neighbour) noexcept nogil:
    """The numbers of a slot, and the weight of its neighbour, in one look."""
    cdef const Page* page = &slots.pages[number // PAGE_SLOTS]
    cdef uint32_t even = number % PAGE_SLOTS & ~<uint32_t>1, odd = number & 1, cells
    cdef uint64_t both = page.used[even >> 6] >> (even & 63) & 3
    neighbour[0] = 0
    if not both:
        return Slot(0, 0, 0, 0)
    cells = cells_before(page, even)
    if both >> (odd ^ 1) & 1:
        neighbour[0] = unpacked_slot(slots, page.cells[cells + ((both & 1) if not odd else 0)]).weight
    if not both >> odd & 1:
        return Slot(0, 0, 0, 0)
    return unpacked_slot(slots, page.cells[cells + ((both & 1) if odd else 0)])


cdef inline void fetch_page(const Slots* slots, uint32_t number) noexcept nogil:
    """Let the page of a slot come into the cache."""
    prefetch(&slots.pages[number // PAGE_SLOTS])


cdef int reserve_cells(Page* page, uint32_t room) except -1 nogil:
    """Room for so many cells in a page.  Raises MemoryError."""
    cdef uint32_t* cells
    if room > page.room:
        cells = <uint32_t*>realloc(page.cells, room * sizeof(uint32_t))
        if cells == NULL:
            raise MemoryError
        page.cells, page.room = cells, <uint16_t>room
    return 0


cdef int reserve_cell(Slots* slots, uint32_t number) except -1 nogil:
    """Give a slot a cell, so that `put_slot` has room.  Raises MemoryError."""
    cdef Page* page = &slots.pages[number // PAGE_SLOTS]
    cdef uint32_t place = number % PAGE_SLOTS, at, word
    if has_cell(page, place):
        return 0
    if page.count == page.room:
        reserve_cells(page, page.room + CELLS_MORE)
    at = cells_before(page, place)
    memmove(&page.cells[at + 1], &page.cells[at], (page.count - at) * sizeof(uint32_t))
    page.cells[at] = 0
    page.used[place >> 6] |= <uint64_t>1 << (place & 63)
    for word in range((place >> 6) + 1, 4):
        page.before[word] += 1
    page.count += 1
    return 0


cdef int reserve_wide(Slots* slots, uint32_t more) except -1 nogil:
    """Room for so many more wide slots.  Raises MemoryError."""
    cdef uint32_t room = slots.wide_count + more
    cdef Slot* wide
    if room <= slots.wide_room:
        return 0
    wide = <Slot*>realloc(slots.wide, room * sizeof(Slot))
    if wide == NULL:
        raise MemoryError
    slots.wide, slots.wide_room = wide, room
    return 0


cdef int put_slot(Slots* slots, uint32_t number, Slot slot) except -1 nogil:
    """Set the numbers of a slot.  Raises MemoryError; never if a cell and a wide slot were reserved."""
    cdef Page* page = &slots.pages[number // PAGE_SLOTS]
    cdef uint32_t place = number % PAGE_SLOTS
    cdef uint32_t* cell
    if not has_cell(page, place):
        if is_zero(slot):
            return 0
        reserve_cell(slots, number)
    cell = &page.cells[cells_before(page, place)]
    if cell[0] & 255 == WIDE_MARK:
        slots.wide[cell[0] >> 8] = slot
    elif -128 < slot.weight < 128 and slot.squares < 256 and slot.spam < 256 and slot.innocent < 256:
        cell[0] = (
            <uint32_t>(slot.weight & 255) | <uint32_t>slot.squares << 8 | <uint32_t>slot.spam << 16
            | <uint32_t>slot.innocent << 24
        )
    else:
        if slots.wide_count == slots.wide_room:
            reserve_wide(slots, CELLS_MORE)
        slots.wide[slots.wide_count] = slot
        cell[0] = slots.wide_count << 8 | WIDE_MARK
        slots.wide_count += 1
    return 0


cdef uint32_t used_slots(const Slots* slots, uint32_t* numbers) noexcept nogil:
    """The numbers of the slots that are not all zero, in order, at most SLOTS; how many there are."""
    cdef uint32_t used = 0, number, k, at
    cdef const Page* page
    for k in range(<uint32_t>PAGES):
        page, at = &slots.pages[k], 0
        for number in range(<uint32_t>PAGE_SLOTS if page.count else 0):
            if has_cell(page, number):
                if not is_zero(unpacked_slot(slots, page.cells[at])):
                    numbers[used] = k * PAGE_SLOTS + number
                    used += 1
                at += 1
    return used


cdef int copy_slots(Slots* slots, const Slots* others) except -1 nogil:
    """Make slots that are all zero the same as others.  Raises MemoryError."""
    cdef uint32_t k, count
    cdef uint32_t* cells
    if others.wide_count:
        reserve_wide(slots, others.wide_count)
        memcpy(slots.wide, others.wide, others.wide_count * sizeof(Slot))
        slots.wide_count = others.wide_count
    for k in range(<uint32_t>PAGES):
        count = others.pages[k].count
        if not count:
            continue
        reserve_cells(&slots.pages[k], count)
        cells = slots.pages[k].cells
        slots.pages[k] = others.pages[k]
        slots.pages[k].cells, slots.pages[k].room = cells, <uint16_t>count
        memcpy(cells, others.pages[k].cells, count * sizeof(uint32_t))
    return 0


cdef size_t bytes_of(const Slots* slots) noexcept nogil:
    """The memory that slots take."""
    cdef size_t size = PAGES * sizeof(Page) + slots.wide_room * sizeof(Slot)
    cdef uint32_t k
    for k in range(<uint32_t>PAGES):
        size += slots.pages[k].room * sizeof(uint32_t) + ALLOCATED
    return size


cdef void free_slots(Slots* slots) noexcept nogil:
    cdef uint32_t k
    if slots.pages != NULL:
        for k in range(<uint32_t>PAGES):
            free(slots.pages[k].cells)
    free(slots.pages)
    free(slots.wide)
