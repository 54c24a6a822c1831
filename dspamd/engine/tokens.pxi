# The token table of one message (engine.md 2.2).
#
# While the words are walked, entries are in the order of their first touch; `arrange` then makes
# arrays of them in iteration order (ascending value mod 24593, equal remainders by first touch), and
# from then on nothing changes any more: one table serves all users and threads.
#
# The table does not store names.  A token keeps its `Shape`, the first word and a mask of the words
# after it, from which `spell` builds the name; the words point into the text, which stays in memory.
#
# Fields that other files may read (all arrays in iteration order, `count` long):
#
#   count               entries
#   value[i]            the token
#   frequency[i]        touches; a signature's byte for tokens loaded from one (may be 0)
#   shape[i]            what its name is made of (names.pxi)
#   named               False if loaded from a signature: no names, no marks, spell gives 0
#   grouped             the tokens are features: groups in their top four bits, no shapes; see mail/features/
#   whitelist_index     index of the whitelist token, or -1
#   order[k], order_length; chained[k], chained_length
#                       the two streams of engine.md 5 as indexes; empty unless options.noise
#   find(value)         index of a token, or -1
#   spell(i, out)       writes the name (at most 255 bytes), returns its length
#   complexity(i), weight(i)   engine.md 2.7
# All methods named here need no GIL.

cdef enum:
    RECORD = 16  # bytes of a token in a signature (engine.md 8.2)
    OF_A_SENDER = 2  # the frequency of the whitelist token among features, which have 1
    ORDER_MODULUS = 24593

cdef uint64_t CONTROL = 11624422384514212933ULL  # a pseudo token (engine.md 7.6)

cdef enum Source:  # where the words of a line lie, and what stands in front of them
    BODY_SOURCE
    HEADER_SOURCE
    URL_SOURCE


cdef struct Line:  # words that share a prefix and may form windows
    uint32_t first  # its first word
    uint32_t heading  # where its heading lies in `text`
    uint8_t heading_length
    uint8_t source


cdef struct Entry:  # a token while the words are walked
    uint64_t value
    uint32_t frequency
    Shape shape


cdef void _sort_by(const uint32_t* key, uint32_t* order, uint32_t* spare, uint32_t n) noexcept nogil:
    """Fill `order` with 0..n-1, stably sorted by 16-bit keys."""
    cdef uint32_t[256] start
    cdef uint32_t* source = spare
    cdef uint32_t* target = order
    cdef uint32_t i, digit, total, number
    cdef int shift
    for i in range(n):
        order[i] = i
    for shift in range(0, 16, 8):
        source, target = target, source
        memset(start, 0, sizeof(start))
        for i in range(n):
            start[(key[i] >> shift) & 255] += 1
        total = 0
        for digit in range(256):
            number = start[digit]
            start[digit] = total
            total += number
        for i in range(n):
            digit = (key[source[i]] >> shift) & 255
            target[start[digit]] = source[i]
            start[digit] += 1


cdef inline void write_record(uint8_t* record, uint64_t value, uint32_t frequency) noexcept nogil:
    """A token of a signature: its number, little-endian, one byte of frequency, seven of zero."""
    value = htole64(value)
    memset(record, 0, RECORD)
    memcpy(record, &value, 8)
    record[8] = <uint8_t>frequency


@cython.final
@cython.no_gc
cdef class Tokens:
    """The tokens of one message; made by `tokenize` and `from_signature`, never changed."""

    cdef uint32_t count
    cdef uint64_t* value
    cdef uint32_t* frequency
    cdef Shape* shape
    cdef bint named
    cdef readonly bint grouped
    cdef int64_t whitelist_index
    cdef uint32_t* order
    cdef uint32_t* chained
    cdef uint32_t order_length, chained_length

    cdef Entry* entries  # in order of first touch; gone once arranged
    cdef size_t capacity, order_capacity, chained_capacity
    cdef uint32_t* slots  # index + 1 of the entry, or 0; open addressing
    cdef size_t slot_mask

    cdef Word* words
    cdef Line* lines
    cdef size_t word_count, word_capacity, line_count, line_capacity
    cdef uint8_t* text  # header text, then body text with its URLs blanked, then padding
    cdef const uint8_t* body_text  # of `body`: the names of URL tokens lie there
    cdef bytes headers, body  # the view, kept for names and for the text signature
    cdef Features features  # if they are the view: shape[i].word is an index of one, unless the mask says a word
    cdef bint text_signature  # sbph: a signature is the text itself

    def __cinit__(self):
        self.whitelist_index = -1

    def __dealloc__(self):
        free(self.entries)
        free(self.value)
        free(self.frequency)
        free(self.shape)
        free(self.order)
        free(self.chained)
        free(self.slots)
        free(self.words)
        free(self.lines)
        free(self.text)

    # -- building

    cdef int reserve(self, size_t more) except -1 nogil:
        """Make room for `more` new entries, so that `touch` need not look."""
        cdef size_t needed = self.count + more
        if needed >= UINT32_MAX:
            out_of_memory()
        self.entries = <Entry*>room(self.entries, &self.capacity, needed, sizeof(Entry))
        if self.slots == NULL or self.slot_mask < self.capacity + self.capacity // 2:
            self.rehash(self.capacity + self.capacity // 2)
        return 0

    cdef int rehash(self, size_t wanted) except -1 nogil:
        cdef size_t size = 1024
        cdef uint32_t i
        while size <= wanted:
            size *= 2
        free(self.slots)
        self.slots = <uint32_t*>calloc(size, sizeof(uint32_t))
        if self.slots == NULL:
            out_of_memory()
        self.slot_mask = size - 1
        for i in range(self.count):
            self.slots[self.entry_slot(self.entries[i].value)] = i + 1
        return 0

    cdef inline size_t entry_slot(self, uint64_t value) noexcept nogil:
        """Where `value` is in the table, or the free place where it would go."""
        cdef size_t slot = (mixed(value) >> 32) & self.slot_mask
        while self.slots[slot] and self.entries[self.slots[slot] - 1].value != value:
            slot = (slot + 1) & self.slot_mask
        return slot

    cdef inline uint32_t touch(
        self, uint64_t value, uint32_t word, uint32_t mask, uint32_t mark
    ) noexcept nogil:
        """Count one token; there must be room (`reserve`).  Returns its index."""
        cdef size_t slot = self.entry_slot(value)
        cdef uint32_t i = self.slots[slot]
        cdef Entry* entry
        if i:
            self.entries[i - 1].frequency += 1
            return i - 1
        i = self.count
        self.slots[slot] = i + 1
        self.count = i + 1
        entry = &self.entries[i]
        entry.value, entry.frequency = value, 1
        entry.shape.word, entry.shape.mask, entry.shape.mark = word, <uint8_t>mask, <uint8_t>mark
        return i

    cdef int keep_sender(self) except -1 nogil:
        """Of all entries keep the whitelist token only: the features are the others."""
        if self.whitelist_index >= 0:
            self.entries[0] = self.entries[self.whitelist_index]
            self.entries[0].frequency = OF_A_SENDER
            self.count, self.whitelist_index = 1, 0
            self.rehash(self.slot_mask)
        return 0

    cdef int reserve_streams(self, size_t more) except -1 nogil:
        self.order = <uint32_t*>room(
            self.order, &self.order_capacity, self.order_length + more, sizeof(uint32_t)
        )
        self.chained = <uint32_t*>room(
            self.chained, &self.chained_capacity, self.chained_length + more, sizeof(uint32_t)
        )
        return 0

    cdef int keep(self, bytes headers, bytes body, bint text_signature) except -1:
        """Take the texts of a view: the first step of tokenizing."""
        cdef size_t header_length = <size_t>len(headers), body_length = <size_t>len(body)
        self.headers, self.body, self.text_signature = headers, body, text_signature
        self.body_text = <const uint8_t*>PyBytes_AS_STRING(body)
        self.named = True
        self.text = <uint8_t*>malloc(header_length + body_length + PADDING)
        if self.text == NULL:
            raise MemoryError
        memcpy(self.text, PyBytes_AS_STRING(headers), header_length)
        memcpy(self.text + header_length, self.body_text, body_length)
        memset(self.text + header_length + body_length, 0, PADDING)
        return 0

    cdef int begin_line(self, uint32_t first, uint8_t source, uint32_t heading, uint32_t length) except -1 nogil:
        """The words from `first` on stand behind this heading."""
        cdef Line* line
        self.lines = <Line*>room(self.lines, &self.line_capacity, self.line_count + 1, sizeof(Line))
        line = &self.lines[self.line_count]
        line.first, line.heading, line.heading_length, line.source = first, heading, <uint8_t>length, source
        self.line_count += 1
        return 0

    cdef inline int add_word(self, uint32_t at, uint32_t length) except -1 nogil:
        if self.word_count == self.word_capacity:
            self.words = <Word*>room(self.words, &self.word_capacity, self.word_count + 1, sizeof(Word))
        self.words[self.word_count].at = at
        self.words[self.word_count].length = length
        self.word_count += 1
        return 0

    cdef int arrange(self) except -1 nogil:
        """Turn the entries into arrays in iteration order: a stable radix sort in two passes."""
        cdef uint32_t n = self.count, i
        cdef uint32_t* work = <uint32_t*>malloc((3 * <size_t>n + 1) * sizeof(uint32_t))
        cdef uint32_t* place
        cdef const Entry* entry
        self.value = <uint64_t*>malloc(max(n, <size_t>1) * sizeof(uint64_t))
        self.frequency = <uint32_t*>malloc(max(n, <size_t>1) * sizeof(uint32_t))
        self.shape = <Shape*>malloc(max(n, <size_t>1) * sizeof(Shape))
        if work == NULL or self.value == NULL or self.frequency == NULL or self.shape == NULL:
            free(work)
            out_of_memory()
        place = work + 2 * <size_t>n
        for i in range(n):
            place[i] = <uint32_t>(self.entries[i].value % ORDER_MODULUS)
        _sort_by(place, work, work + n, n)
        place[0] = 0
        for i in range(n):
            entry = &self.entries[work[i]]
            self.value[i], self.frequency[i], self.shape[i] = entry.value, entry.frequency, entry.shape
            place[work[i] + 1] = i + 1
        self.settle(place)
        free(work)
        free(self.entries)
        self.entries = NULL
        return 0

    cdef void settle(self, const uint32_t* place) noexcept nogil:
        """Turn references to entries into indexes of the arrays; entry i went to place[i + 1] - 1."""
        cdef size_t k
        for k in range(self.slot_mask + 1):  # without a branch: place[0] is 0
            self.slots[k] = place[self.slots[k]]
        for k in range(self.order_length):
            self.order[k] = place[self.order[k] + 1] - 1
        for k in range(self.chained_length):
            self.chained[k] = place[self.chained[k] + 1] - 1
        if self.whitelist_index >= 0:
            self.whitelist_index = <int64_t>place[self.whitelist_index + 1] - 1

    # -- reading

    cdef int64_t find(self, uint64_t value) noexcept nogil:
        cdef size_t slot = (mixed(value) >> 32) & self.slot_mask
        while self.slots[slot] and self.value[self.slots[slot] - 1] != value:
            slot = (slot + 1) & self.slot_mask
        return <int64_t>self.slots[slot] - 1

    cdef const Line* line_of(self, uint32_t word) noexcept nogil:
        cdef size_t low = 0, high = self.line_count, middle
        while high - low > 1:
            middle = (low + high) // 2
            if self.lines[middle].first <= word:
                low = middle
            else:
                high = middle
        return &self.lines[low]

    cdef uint32_t spell(self, uint32_t i, uint8_t* out) noexcept nogil:
        """Write the name of entry i, cut to 255 bytes, and return its length."""
        if not self.named:
            return 0
        if self.grouped and self.shape[i].mask == 0:
            return self.features.spell(self.shape[i].word, out)
        return self.spell_shape(self.shape[i].word, self.shape[i].mask, out)

    cdef uint32_t spell_topic(self, uint32_t i, uint8_t* out) noexcept nogil:
        if self.named and self.grouped and self.shape[i].mask == 0:
            return self.features.spell_topic(self.shape[i].word, out)
        return self.spell(i, out)

    cdef uint32_t spell_shape(self, uint32_t word, uint32_t mask, uint8_t* out) noexcept nogil:
        cdef const Line* line = self.line_of(word)
        cdef const uint8_t* text = self.text
        cdef uint32_t length = 0
        if line.source == HEADER_SOURCE:
            length = append_field(out, length, self.text + line.heading, line.heading_length)
            length = append_field(out, length, b"*", 1)
        elif line.source == URL_SOURCE:
            length = append_field(out, length, b"Url*", 4)
            text = self.body_text
        while mask:
            if mask & 1:
                length = append_field(out, length, text + self.words[word].at, self.words[word].length)
            else:
                length = append_field(out, length, b"#", 1)
            mask >>= 1
            word += 1
            if mask:
                length = append_field(out, length, b"+", 1)
        return length

    cdef inline uint32_t complexity(self, uint32_t i) noexcept nogil:
        cdef uint8_t[NAME_SIZE] name
        if not self.named or self.grouped:
            return 1
        if self.shape[i].mark & PLAIN_MARK:
            return MASK_COMPLEXITY[self.shape[i].mask]
        return name_complexity(name, self.spell(i, name))

    cdef inline double weight(self, uint32_t i) noexcept nogil:
        cdef uint8_t[NAME_SIZE] name
        if not self.named or self.grouped:
            return 1.0
        if self.shape[i].mark & PLAIN_MARK:
            return MASK_WEIGHT[self.shape[i].mask]
        return name_weight(name, self.spell(i, name))

    # -- the Python face

    def __len__(self):
        return self.count

    @property
    def values(self):
        """The tokens in iteration order, array('Q')."""
        return _array("Q", self.value, self.count, sizeof(uint64_t))

    @property
    def frequencies(self):
        """How often each token was touched, array('I')."""
        return _array("I", self.frequency, self.count, sizeof(uint32_t))

    @property
    def order_stream(self):
        """Indexes of the tokens of the first noise reduction stream, array('I')."""
        return _array("I", self.order, self.order_length, sizeof(uint32_t))

    @property
    def chained_stream(self):
        """Indexes of the tokens of the second noise reduction stream, array('I')."""
        return _array("I", self.chained, self.chained_length, sizeof(uint32_t))

    @property
    def whitelist(self):
        """The token of the sender's From line, or None."""
        return self.value[self.whitelist_index] if self.whitelist_index >= 0 else None

    def index(self, uint64_t value):
        """Where a token is in iteration order; ValueError if it is not in the message."""
        cdef int64_t i = self.find(value)
        if i < 0:
            raise ValueError(f"{value} is not a token of this message")
        return i

    def name(self, uint32_t i):
        """The name of token i, at most 255 bytes; empty if loaded from a signature.

        IndexError if there are not so many tokens.
        """
        cdef uint8_t[NAME_SIZE] name
        if i >= self.count:
            raise IndexError(i)
        return PyBytes_FromStringAndSize(<char*>name, self.spell(i, name))

    def topic(self, uint32_t i):
        """What token i is about: some features say nearly the same, and have one topic; else its name."""
        cdef uint8_t[NAME_SIZE] topic
        if i >= self.count:
            raise IndexError(i)
        return PyBytes_FromStringAndSize(<char*>topic, self.spell_topic(i, topic))

    def signature(self):
        """The bytes that the store keeps to train this message later (engine.md 8.2)."""
        cdef bytes records
        cdef uint8_t* record
        cdef uint32_t i
        if self.text_signature:
            return self.headers + b"\x01" + self.body + b"\0"
        records = PyBytes_FromStringAndSize(NULL, RECORD * <Py_ssize_t>self.count)
        record = <uint8_t*>PyBytes_AS_STRING(records)
        with nogil:
            for i in range(self.count):
                write_record(record + RECORD * <size_t>i, self.value[i], self.frequency[i])
        return records

    @staticmethod
    def from_signature(const unsigned char[::1] records not None, bint grouped=False):
        """The tokens of a stored signature of 16-byte records; an odd rest is ignored.

        So is the pseudo token by which DSPAM's SQL drivers noted changes (engine.md 7.6).
        `grouped`: they are features, and the whitelist token is the one that says so.
        """
        cdef Tokens tokens = Tokens()
        cdef size_t n = <size_t>records.shape[0] // RECORD, k
        cdef const uint8_t* record = &records[0] if n else NULL
        cdef uint32_t i
        with nogil:
            tokens.reserve(n)
            for k in range(n):
                if eight_bytes(record + RECORD * k) == CONTROL:
                    continue
                i = tokens.touch(eight_bytes(record + RECORD * k), 0, 0, 0)
                tokens.entries[i].frequency = record[RECORD * k + 8]
                if grouped and tokens.entries[i].frequency == OF_A_SENDER:
                    tokens.whitelist_index = i
            tokens.grouped = grouped
            tokens.arrange()
        return tokens

    @staticmethod
    def recalled(const uint64_t[::1] values not None, sender=None):
        """Features without names, each once, in iteration order; `sender` is the whitelist token, if there is one."""
        cdef Tokens tokens = Tokens()
        cdef size_t n = <size_t>values.shape[0], k
        cdef uint64_t whitelist = 0 if sender is None else sender
        cdef bint listed = sender is not None
        with nogil:
            tokens.reserve(n + 1)
            for k in range(n):
                tokens.touch(values[k], 0, 0, 0)
            if listed:
                tokens.whitelist_index = tokens.touch(whitelist, 0, 0, 0)
            tokens.grouped = True
            tokens.arrange()
        return tokens


cdef object _array(str typecode, const void* items, size_t n, size_t item):
    cdef array.array copy = array.clone(array.array(typecode), <Py_ssize_t>n, zero=False)
    if n:
        memcpy(copy.data.as_voidptr, items, n * item)
    return copy
