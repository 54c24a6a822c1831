# The features of one message: a table of values, and what each of them says.
#
# A value never changes and is the same on every machine, because dictionaries keep it; where it lies in the
# table is secret (memory.pxi), so that nobody can prepare a message whose features collide there.

cdef enum:
    LONGEST_TEXT = 200  # bytes of a feature's text that are kept


cdef inline uint64_t scrambled(uint64_t value) noexcept nogil:
    """Each bit of the result depends on each bit of `value`."""
    value ^= value >> 32
    value *= 0xD6E8FEB86659FD93ULL
    value ^= value >> 29
    value *= 0x9FB21C651E98DF25ULL
    value ^= value >> 32
    return value


cdef inline uint64_t hash_step(uint64_t hash, uint64_t bits) noexcept nogil:
    hash = (hash ^ bits) * 0x9E3779B97F4A7C15ULL
    return hash ^ hash >> 31


cdef inline uint64_t hash_text(const uint8_t* text, size_t length) noexcept nogil:
    """A hash of a text; `scrambled` makes a value of it."""
    cdef uint64_t hash = length * 0xA0761D6478BD642FULL, bits
    cdef uint32_t first, last
    while length > 8:
        memcpy(&bits, text, 8)
        hash = hash_step(hash, le64toh(bits))
        text += 8
        length -= 8
    if length >= 4:
        memcpy(&first, text, 4)
        memcpy(&last, text + length - 4, 4)
        return hash_step(hash, le32toh(first) | <uint64_t>le32toh(last) << 32)
    if length:
        return hash_step(hash, text[0] | <uint64_t>text[length >> 1] << 8 | <uint64_t>text[length - 1] << 16)
    return hash


@cython.final
@cython.no_gc
cdef class Features:
    """The features of a message: distinct, in the order of first touch; made by `features_of`, never changed."""

    def __dealloc__(self):
        free(self.features)
        free(self.pool)
        free(self.slots)

    cdef int rehash(self, size_t size) except -1 nogil:
        cdef uint32_t* larger = <uint32_t*>calloc(size, sizeof(uint32_t))
        cdef size_t slot
        cdef uint32_t i
        if larger == NULL:
            out_of_memory()
        free(self.slots)
        self.slots, self.slot_mask = larger, size - 1
        for i in range(self.count):
            slot = (mixed(self.features[i].value) >> 32) & self.slot_mask
            while larger[slot]:
                slot = (slot + 1) & self.slot_mask
            larger[slot] = i + 1
        return 0

    cdef int touch(
        self,
        uint32_t kind,
        uint64_t hash,
        const uint8_t* field,
        size_t field_length,
        const uint8_t* text,
        size_t length,
    ) except -1 nogil:
        """Add a feature, unless it is there or its group is full; `hash` is that of all it says."""
        cdef uint32_t group = GROUP_OF[kind]
        cdef uint64_t value = <uint64_t>group << 60 | scrambled(hash + SEED[kind]) >> 4
        cdef size_t slot = (mixed(value) >> 32) & self.slot_mask
        cdef uint32_t i
        cdef Feature* feature
        while True:
            i = self.slots[slot]
            if i == 0:
                break
            if self.features[i - 1].value == value:
                return 0
            slot = (slot + 1) & self.slot_mask
        if self.counts[group] >= MOST[group]:
            return 0
        self.counts[group] += 1
        if self.count == self.capacity:
            self.features = <Feature*>room(self.features, &self.capacity, self.count + 1, sizeof(Feature))
        field_length = min(field_length, <size_t>LONGEST_TEXT // 2)
        length = min(length, <size_t>LONGEST_TEXT - field_length)
        if self.pool_length + field_length + length > self.pool_capacity:
            self.pool = <uint8_t*>room(
                self.pool, &self.pool_capacity, self.pool_length + field_length + length, 1
            )
        feature = &self.features[self.count]
        feature.value, feature.kind = value, <uint8_t>kind
        feature.at = <uint32_t>self.pool_length
        feature.field_length, feature.length = <uint8_t>field_length, <uint8_t>(field_length + length)
        if field_length:
            memcpy(self.pool + self.pool_length, field, field_length)
        if length:
            memcpy(self.pool + self.pool_length + field_length, text, length)
        self.pool_length += field_length + length
        self.count += 1
        self.slots[slot] = self.count
        if self.slot_mask < 2 * <size_t>self.count:
            self.rehash(4 * (self.slot_mask + 1))
        return 0

    # -- names

    cdef uint32_t spell(self, uint32_t i, uint8_t* out) noexcept nogil:
        """Write what feature i means, in at most 255 bytes of UTF-8 without controls; returns the length."""
        return spell_feature(&self.features[i], self.pool, WORDING[self.features[i].kind], out)

    cdef uint32_t spell_topic(self, uint32_t i, uint8_t* out) noexcept nogil:
        """Write what feature i is about in the same way; features that say nearly the same have one topic."""
        return spell_feature(&self.features[i], self.pool, TOPIC[self.features[i].kind], out)

    # -- the Python face

    def __len__(self):
        return self.count

    @property
    def values(self):
        """The features in the order of first touch, array('Q')."""
        cdef array.array values = array.clone(array.array("Q"), <Py_ssize_t>self.count, zero=False)
        cdef uint32_t i
        for i in range(self.count):
            values.data.as_ulonglongs[i] = self.features[i].value
        return values

    def name(self, uint32_t i):
        """What feature i means: a line of UTF-8, at most 255 bytes.  IndexError if there are not so many."""
        cdef uint8_t[FEATURE_NAME_SIZE] name
        if i >= self.count:
            raise IndexError(i)
        return PyBytes_FromStringAndSize(<char*>name, self.spell(i, name))

    def topic(self, uint32_t i):
        """What feature i is about, in the same form; features that say nearly the same have one topic."""
        cdef uint8_t[FEATURE_NAME_SIZE] topic
        if i >= self.count:
            raise IndexError(i)
        return PyBytes_FromStringAndSize(<char*>topic, self.spell_topic(i, topic))
