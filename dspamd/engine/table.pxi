# What is known of one user, and its form in bytes.
#
# A table in bytes: its magic, then one zlib stream with variable-length numbers: bits, lessons, spam, innocent, readings
# (form 1 has none), number of used slots, and then for each column in turn (gap to the slot before, weight, squares, spam,
# innocent) the numbers of all used slots.  Numbers of one kind that stand together compress better.
#
# A change in bytes: records one behind the other.  A record: lessons (1; 2 for a lesson of the expert who reads words; their
# negations take one back), spam, innocent (signed), number of slots, and for each slot its gap to the one before (unsigned),
# its step and its squares (signed).  The steps of `spam` and `innocent` hold for each slot of the record.

cdef enum:
    MOST_BYTES = 10  # of a number as `put` writes it
    MOST_CELLS = 16  # bytes of a slot: five numbers below 2^18, and a share of the numbers in front
    MOST = 65535  # of what a slot counts
    READING = 2  # in the place of lessons: the record is one of `readings`
    SEED_LESSONS = 50  # measured: less forgets what the seed knows, more hides what a user teaches

cdef int64_t MOST_LESSONS = 1 << 40  # more only if bytes are damaged
cdef double WEIGHT_UNIT = 1.0 / 64  # one step of a weight
cdef double SQUARES_UNIT = 1.0 / 32768  # one step of a sum of squares

_MAGIC = b"dspamd weights 2\n"
_FIRST_MAGIC = b"dspamd weights 1\n"  # without readings

cdef inline int64_t between(int64_t low, int64_t number, int64_t high) noexcept nogil:
    return low if number < low else high if number > high else number


cdef inline size_t put(uint8_t* out, uint64_t number) noexcept nogil:
    """Write a number, 7 bits a byte, the lowest first; the length, at most 10 bytes."""
    cdef size_t n = 0
    while number >= 128:
        out[n] = <uint8_t>(number & 127) | 128
        number >>= 7
        n += 1
    out[n] = <uint8_t>number
    return n + 1


cdef inline uint64_t unsigned(int64_t number) noexcept nogil:
    """A signed number as an unsigned one that is small if it is near zero."""
    return (<uint64_t>number << 1) ^ <uint64_t>(number >> 63)


cdef struct Reader:
    const uint8_t* at
    const uint8_t* end
    bint damaged


cdef inline Reader reading(bytes data):
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(data)
    return Reader(at, at + len(data), False)


cdef inline uint64_t get(Reader* reader) noexcept nogil:
    """The next number; 0, and `damaged`, if there is none."""
    cdef uint64_t number = 0
    cdef int shift = 0
    cdef uint8_t byte
    while reader.at < reader.end and shift < 64:
        byte = reader.at[0]
        reader.at += 1
        number |= <uint64_t>(byte & 127) << shift
        if byte < 128:
            return number
        shift += 7
    reader.damaged = True
    return 0


cdef inline int64_t get_signed(Reader* reader) noexcept nogil:
    cdef uint64_t number = get(reader)
    return <int64_t>(number >> 1) ^ -<int64_t>(number & 1)


@cython.final
@cython.no_gc
cdef class Table:
    """What is known of a user: slots, and the number of lessons; all zero if new.

    `lessons` moved weights, `readings` those of the expert who reads words; `spam` and `innocent` moved counters.
    """

    cdef Slots slots
    cdef readonly int64_t lessons, readings, spam, innocent

    def __cinit__(self):
        self.slots.pages = <Page*>calloc(PAGES, sizeof(Page))
        if self.slots.pages == NULL:
            raise MemoryError

    def __dealloc__(self):
        free_slots(&self.slots)

    def __len__(self):
        """The number of slots that are used."""
        cdef uint32_t* numbers = numbers_of(&self.slots)
        try:
            return numbers[0]
        finally:
            free(numbers)

    @property
    def memory(self):
        """Bytes that the slots take."""
        return bytes_of(&self.slots)

    def copy(self):
        cdef Table other = Table()
        copy_slots(&other.slots, &self.slots)
        other.lessons, other.readings = self.lessons, self.readings
        other.spam, other.innocent = self.spam, self.innocent
        return other

    def seed(self, int64_t lessons=SEED_LESSONS):
        """A table for others to begin with: these weights, and counters as if of so many lessons at most.

        Slots that only one message had are left out, unless they have a weight for the words of a neighbour.  The sums of squares are 0: who begins with it learns
        in large steps, so their own mail soon counts more.
        """
        cdef Table seed = Table()
        cdef int64_t most = max(self.spam, self.innocent)
        cdef double scale = min(1.0, <double>lessons / <double>most) if most else 1.0
        cdef Slot mine, neighbour
        cdef uint32_t* numbers = numbers_of(&self.slots)
        cdef uint32_t k
        seed.readings = self.readings
        seed.spam, seed.innocent = <int64_t>(<double>self.spam * scale + 0.5), <int64_t>(<double>self.innocent * scale + 0.5)
        try:
            for k in range(1, numbers[0] + 1):
                mine, neighbour = slot_at(&self.slots, numbers[k]), slot_at(&self.slots, numbers[k] ^ 1)
                mine.squares = 0
                if mine.spam + mine.innocent <= 1:
                    mine.spam = mine.innocent = 0
                    if neighbour.spam + neighbour.innocent <= 1:
                        continue
                mine.spam, mine.innocent = <uint16_t>(mine.spam * scale + 0.5), <uint16_t>(mine.innocent * scale + 0.5)
                put_slot(&seed.slots, numbers[k], mine)
            return seed
        finally:
            free(numbers)

    def merge(self, Table other not None):
        """Add what another table knows, as if its lessons had been learned here, too."""
        self.lessons += other.lessons
        self.readings += other.readings
        self.spam += other.spam
        self.innocent += other.innocent
        self.add_slots(&other.slots)

    cdef void count(self, int64_t lessons, int64_t spam, int64_t innocent) noexcept:
        """Add what the head of a record says."""
        if lessons == READING or lessons == -READING:
            self.readings = max(0, self.readings + lessons // READING)
        else:
            self.lessons = max(0, self.lessons + lessons)
        self.spam = max(0, self.spam + spam)
        self.innocent = max(0, self.innocent + innocent)

    cdef int add_slots(self, const Slots* theirs) except -1:
        """Add the numbers of all slots of another table.  Raises MemoryError."""
        cdef uint32_t* numbers = numbers_of(theirs)
        cdef Slot more
        cdef uint32_t k
        try:
            with nogil:
                for k in range(1, numbers[0] + 1):
                    more = slot_at(theirs, numbers[k])
                    put_slot(
                        &self.slots,
                        numbers[k],
                        sum_of(slot_at(&self.slots, numbers[k]), more.weight, more.squares, more.spam, more.innocent),
                    )
        finally:
            free(numbers)
        return 0

    def slot(self, uint32_t number):
        """Weight, sum of squares, spam, innocent of a slot, as integers."""
        cdef Slot slot = slot_at(&self.slots, number & (SLOTS - 1))
        return slot.weight, slot.squares, slot.spam, slot.innocent

    def add(self, bytes change not None):
        """Add the records of a change.  Raises ValueError, and adds nothing, if they are damaged, or MemoryError."""
        cdef Reader reader = reading(change)
        walk(&reader, self, False)
        if reader.damaged:
            raise ValueError("a change of weights is damaged")
        reader = reading(change)
        walk(&reader, self, True)

    def write(self):
        """The table as bytes."""
        cdef uint32_t* numbers = numbers_of(&self.slots)
        cdef uint32_t used = numbers[0], k
        cdef size_t n = 0, column
        cdef uint8_t* out = <uint8_t*>malloc((<size_t>used + 8) * MOST_CELLS)
        cdef Slot* slots = <Slot*>malloc((<size_t>used + 1) * sizeof(Slot))
        try:
            if out == NULL or slots == NULL:
                raise MemoryError
            with nogil:
                n += put(out + n, BITS)
                n += put(out + n, <uint64_t>self.lessons)
                n += put(out + n, <uint64_t>self.spam)
                n += put(out + n, <uint64_t>self.innocent)
                n += put(out + n, <uint64_t>self.readings)
                n += put(out + n, used)
                for k in range(used):
                    n += put(out + n, <uint64_t>(numbers[k + 1] - numbers[k] if k else numbers[1] + 1))
                    slots[k] = slot_at(&self.slots, numbers[k + 1])
                for column in range(1, 5):
                    for k in range(used):
                        n += put(out + n, cell(&slots[k], column))
            packer = zlib.compressobj(level=1, strategy=zlib.Z_HUFFMAN_ONLY)
            return _MAGIC + packer.compress(<bytes>out[:<Py_ssize_t>n]) + packer.flush()
        finally:
            free(numbers)
            free(slots)
            free(out)

    @staticmethod
    def read(bytes written not None):
        """The table that was written.  Raises ValueError if it is damaged."""
        cdef Table table = Table()
        cdef Reader reader
        cdef uint32_t* places
        cdef Slot* slots
        cdef uint32_t used, k
        cdef int64_t place = -1
        cdef size_t column
        cdef bytes numbers
        if not written:
            return table
        if not written.startswith((_MAGIC, _FIRST_MAGIC)):
            raise ValueError("weights of an unknown form")
        numbers = inflated(written[len(_MAGIC):])
        reader = reading(numbers)
        if get(&reader) != BITS:
            raise ValueError("weights of an unknown size")
        table.lessons = between(0, <int64_t>get(&reader), MOST_LESSONS)
        table.spam = between(0, <int64_t>get(&reader), MOST_LESSONS)
        table.innocent = between(0, <int64_t>get(&reader), MOST_LESSONS)
        if written.startswith(_MAGIC):
            table.readings = between(0, <int64_t>get(&reader), MOST_LESSONS)
        used = <uint32_t>between(0, <int64_t>get(&reader), SLOTS)
        places = <uint32_t*>malloc((used + 1) * sizeof(uint32_t))
        slots = <Slot*>calloc(used + 1, sizeof(Slot))
        try:
            if places == NULL or slots == NULL:
                raise MemoryError
            with nogil:
                for k in range(used):
                    place += <int64_t>(get(&reader) & (2 * SLOTS - 1))
                    if not 0 <= place < SLOTS:
                        reader.damaged = True
                        break
                    places[k] = <uint32_t>place
                if not reader.damaged:
                    for column in range(1, 5):
                        for k in range(used):
                            set_cell(&slots[k], &reader, column)
                    reserve_pages(&table.slots, places, used)
                    for k in range(used):
                        put_slot(&table.slots, places[k], slots[k])
            if reader.damaged or reader.at != reader.end:
                raise ValueError("weights are damaged")
            return table
        finally:
            free(places)
            free(slots)


cdef int reserve_pages(Slots* slots, const uint32_t* numbers, uint32_t used) except -1 nogil:
    """Room for exactly these slots, whose numbers are in order.  Raises MemoryError."""
    cdef uint32_t k, first = 0
    for k in range(1, used + 1):
        if k == used or numbers[k] // PAGE_SLOTS != numbers[first] // PAGE_SLOTS:
            reserve_cells(&slots.pages[numbers[first] // PAGE_SLOTS], k - first)
            first = k
    return 0


cdef uint32_t* numbers_of(const Slots* slots) except NULL:
    """A number, and so many numbers of slots that are not all zero; the caller frees them.  Raises MemoryError."""
    cdef uint32_t* numbers = <uint32_t*>malloc((SLOTS + 1) * sizeof(uint32_t))
    if numbers == NULL:
        raise MemoryError
    with nogil:
        numbers[0] = used_slots(slots, numbers + 1)
    return numbers


cdef bytes inflated(bytes packed):
    """The numbers of a written table, at most what a table can have."""
    unpacker = zlib.decompressobj()
    try:
        numbers = unpacker.decompress(packed, SLOTS * MOST_CELLS)
    except zlib.error as error:
        raise ValueError(f"weights are damaged: {error}") from None
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("weights are damaged: their end is missing")
    return numbers


cdef inline int64_t few(int64_t number) noexcept nogil:
    """A number of a change, which damage cannot make so large that sums overflow."""
    return between(-MOST_LESSONS, number, MOST_LESSONS)


cdef inline Slot sum_of(Slot slot, int64_t weight, int64_t squares, int64_t spam, int64_t innocent) noexcept nogil:
    """A slot to which numbers are added, each within its limits."""
    return Slot(
        <int16_t>between(-32768, slot.weight + weight, 32767),
        <uint16_t>between(0, slot.squares + squares, MOST),
        <uint16_t>between(0, slot.spam + spam, MOST),
        <uint16_t>between(0, slot.innocent + innocent, MOST),
    )


cdef inline uint64_t cell(const Slot* slot, size_t column) noexcept nogil:
    if column == 1:
        return unsigned(slot.weight)
    return slot.squares if column == 2 else slot.spam if column == 3 else slot.innocent


cdef inline void set_cell(Slot* slot, Reader* reader, size_t column) noexcept nogil:
    if column == 1:
        slot.weight = <int16_t>between(-32768, get_signed(reader), 32767)
    elif column == 2:
        slot.squares = <uint16_t>get(reader)
    elif column == 3:
        slot.spam = <uint16_t>get(reader)
    else:
        slot.innocent = <uint16_t>get(reader)


cdef int walk(Reader* reader, Table table, bint adds) except -1:
    """Add the records that are read to a table, or make room for them.  Raises MemoryError, never where there is room."""
    cdef int64_t lessons, spam, innocent, step, squares, place
    cdef uint64_t count
    cdef uint32_t slots = 0
    while reader.at < reader.end and not reader.damaged:
        lessons, spam, innocent = few(get_signed(reader)), few(get_signed(reader)), few(get_signed(reader))
        count = get(reader)
        place = -1
        if adds:
            table.count(lessons, spam, innocent)
        while count and not reader.damaged:
            count -= 1
            place += <int64_t>(get(reader) & (2 * SLOTS - 1))
            step, squares = few(get_signed(reader)), few(get_signed(reader))
            if not 0 <= place < SLOTS:
                reader.damaged = True
            elif adds:
                put_slot(
                    &table.slots,
                    <uint32_t>place,
                    sum_of(slot_at(&table.slots, <uint32_t>place), step, squares, spam, innocent),
                )
            else:
                reserve_cell(&table.slots, <uint32_t>place)
                slots += 1
    if not adds:
        reserve_wide(&table.slots, slots)
    return 0


def negated(bytes change not None):
    """The change that takes this one back.  Raises ValueError if it is damaged."""
    cdef Reader reader = reading(change)
    cdef uint8_t* out = <uint8_t*>malloc(2 * <size_t>len(change) + 16)
    cdef size_t n = 0
    cdef uint64_t count
    cdef int field
    if out == NULL:
        raise MemoryError
    try:
        while reader.at < reader.end and not reader.damaged:
            for field in range(3):
                n += put(out + n, unsigned(-few(get_signed(&reader))))
            count = get(&reader)
            n += put(out + n, count)
            while count and not reader.damaged:
                count -= 1
                n += put(out + n, get(&reader))
                n += put(out + n, unsigned(-few(get_signed(&reader))))
                n += put(out + n, unsigned(-few(get_signed(&reader))))
        if reader.damaged:
            raise ValueError("a change of weights is damaged")
        return <bytes>out[:<Py_ssize_t>n]
    finally:
        free(out)
