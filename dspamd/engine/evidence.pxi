# What tables say of a message, and what a lesson adds to the first of them.
#
# Three experts are asked.  The first is logistic regression with AdaGrad steps; each feature has the
# value n^-1/4, where n is the size of its group, and all values together have length 1.  The second takes each
# feature by itself: how clearly its counters speak for one class, and how often it was seen (EDDC, exponential
# differential document counts).  The third is the first once more, but reads words alone: it does not lean on
# where a mail comes from and how it is built.  The log-odds are the mean of the first and the third, and the evidence
# of the second, summed by the values of features and limited.  Each expert learns where its own margin is too small.
#
# The weight that the third gives a feature is in the neighbour of its slot: no room of its own, one look at memory.
#
# A message follows the label that a user gave it.  Users err, too: a label against a verdict that was very sure moves
# the weights only as far as this message needs to follow it, and counts nothing.

cdef enum:
    GROUPS = 16
    MOST_TABLES = 4
    READ = 2  # groups below are words of the text and the subject, which the third expert reads

cdef double RATE = 0.3  # of a step of the first expert
cdef double BOOST = 2.0  # how much larger its first steps are, ...
cdef double BOOSTED = 200.0  # ... while it had fewer lessons than about this
cdef double EPSILON = 1e-5
cdef double NEAR = 0.02  # it learns unless its probability is as near to the label, ...
cdef double READ_NEAR = 0.08  # ... and the third expert unless its own is as near
cdef double READ_SHARE = 0.5  # of the third expert in the mean, ...
cdef double UNREAD = 20.0  # ... half of that after so many of its lessons: an older block has none
cdef double FEW = 0.25  # how much the difference of two counters must stand out
cdef double RARE = 8.0  # a feature that was seen less often than about this has less confidence
cdef double SUREST = 1e-6  # a single feature is never surer than this
cdef double WEIGHT = 6.25  # of the second expert beside the first
cdef double LIMIT = 6.0  # log-odds that the second expert can add
cdef double MARGIN = 0.07  # log-odds of a mean feature that the second expert wants, ...
cdef double ENOUGH = 1.7  # ... and never a larger sum than this
cdef double LEAN = 0.3  # log-odds that are still ham, because a lost ham is worse than a missed spam, ...
cdef double CAUTION = 1.0  # ... and how many more without lessons, ...
cdef double CAUTIOUS = 30.0  # ... half of them after so many
cdef double LOPSIDED = 6.0  # how many more while more spam than ham is known, times log-odds of known mail, ...
cdef double REDRESSED = 5.0  # ... half of them after so much ham: before it, what all mail has looks like spam
cdef double SURE = 7.0  # log-odds against a label that make it doubtful, ...
cdef double UNTRIED = 60.0  # ... twice as many after so many lessons: early verdicts are too sure
cdef double TURNED = 1.0  # log-odds by which a message at least follows a label against its verdict


cdef struct Part:  # a slot that the message has
    uint32_t slot
    uint32_t first  # index of its first feature
    double value
    double read  # its value for the third expert


cdef struct Step:  # how an expert learns
    double error
    double pull
    bint moves


ctypedef const Slots* SlotsOfTable


cdef struct Known:  # what the tables know of a slot, together
    double weight
    double spam
    double innocent
    double read  # weight of the third expert


cdef int by_slot(const void* a, const void* b) noexcept nogil:
    cdef const Part* x = <const Part*>a
    cdef const Part* y = <const Part*>b
    if x.slot != y.slot:
        return 1 if x.slot > y.slot else -1
    return <int>(x.first > y.first) - <int>(x.first < y.first)


cdef uint32_t merged(Part* parts, uint32_t length) noexcept nogil:
    """Sort parts by slot and join those of one slot; how many are left."""
    cdef uint32_t k, kept = 0
    qsort(parts, length, sizeof(Part), by_slot)
    for k in range(length):
        if kept and parts[kept - 1].slot == parts[k].slot:
            parts[kept - 1].value += parts[k].value
            parts[kept - 1].read += parts[k].read
        else:
            parts[kept] = parts[k]
            kept += 1
    return kept


cdef inline uint32_t slot_of(uint32_t feature) noexcept nogil:
    return <uint32_t>(feature * <uint32_t>2654435761) >> (32 - BITS)


cdef inline double dither(uint32_t slot, uint64_t lesson) noexcept nogil:
    """A number from 0 up to 1 that looks random: rounding with it is right in the mean, and repeatable."""
    cdef uint64_t x = (lesson << 32) ^ slot
    x ^= x >> 32
    x *= <uint64_t>0xD6E8FEB86659FD93
    x ^= x >> 32
    x *= <uint64_t>0xD6E8FEB86659FD93
    return <double>(x >> 40) / 16777216.0


cdef inline int64_t rounded(double number, double share) noexcept nogil:
    """The next integer above if the part behind the point exceeds `share`, else that below."""
    cdef int64_t whole = <int64_t>floor(number)
    return whole + <int64_t>(number - <double>whole > share)


cdef inline double sigma(double logit) noexcept nogil:
    return 1 / (1 + exp(-logit))


cdef inline double evidence(double spam, double innocent) noexcept nogil:
    """The log-odds of a feature by itself, from its counters scaled to the larger class."""
    cdef double both = spam + innocent, difference, confidence, p
    if both <= 0:
        return 0
    difference = (spam - innocent) * (spam - innocent) - FEW / both
    if difference <= 0:
        return 0
    confidence = difference / (both * both)
    confidence *= confidence
    confidence *= confidence
    confidence *= confidence
    p = 0.5 + confidence / (1 + RARE / both) * (spam / both - 0.5)
    p = SUREST if p < SUREST else 1 - SUREST if p > 1 - SUREST else p
    return log(p / (1 - p))


cdef void find_values(double* values, const uint32_t* sizes, int groups) noexcept nogil:
    """The value of a feature of each group, if the first so many groups are seen."""
    cdef double length = 0
    cdef int group
    for group in range(groups):
        length += sqrt(<double>sizes[group])
    for group in range(GROUPS):
        values[group] = 1 / sqrt(sqrt(<double>sizes[group]) * length) if group < groups and sizes[group] else 0


@cython.final
cdef class Evidence:
    """What tables say of the features of a message.

    `values` are tokens, array('Q'), whose first 32 bits are features; the one at index `sender` is none.  The first
    table is the user's own, up to three others are added to it.  `counted`: the second expert has a say, and learns.
    Raises ValueError for no tables, or too many.
    """

    cdef Part* parts
    cdef readonly uint32_t count  # features
    cdef readonly uint32_t length  # parts
    cdef readonly double weighed, counted_up, read  # log-odds of the first and third expert, sum of the second
    cdef double values, seen  # sums of all values, and of those of features that some lesson had
    cdef double read_share
    cdef bint counted
    cdef tuple tables
    cdef SlotsOfTable[MOST_TABLES] slots
    cdef int table_count
    cdef int64_t lessons, readings, spam
    cdef readonly int64_t innocent  # lessons of ham
    cdef double spam_scale, innocent_scale

    def __cinit__(self, values, tuple tables not None, Py_ssize_t sender=-1, bint counted=True):
        cdef const uint64_t[::1] numbers = values
        cdef Table table
        if not 1 <= len(tables) <= MOST_TABLES:
            raise ValueError(f"{len(tables)} tables, 1 to {MOST_TABLES} are possible")
        self.tables, self.counted, self.table_count = tables, counted, <int>len(tables)
        for i, table in enumerate(tables):
            self.slots[<int>i] = &table.slots
            self.spam += table.spam
            self.innocent += table.innocent
            self.readings += table.readings
        self.read_share = READ_SHARE * <double>self.readings / (UNREAD + <double>self.readings)
        self.lessons = (<Table>tables[0]).lessons
        self.parts = <Part*>malloc((<size_t>numbers.shape[0] + 1) * sizeof(Part))
        if self.parts == NULL:
            raise MemoryError
        # Python's lock is kept: another thread could add to a table, and move its cells, and features are few.
        self.place(numbers, sender)
        self.weigh()

    def __dealloc__(self):
        free(self.parts)

    cdef void place(self, const uint64_t[::1] values, Py_ssize_t sender) noexcept nogil:
        """Find the slots and the values of the features."""
        cdef uint32_t[GROUPS] sizes
        cdef double[GROUPS] share, read
        cdef uint32_t feature, count = 0, k
        cdef int group
        cdef Py_ssize_t i
        memset(sizes, 0, sizeof(sizes))
        for i in range(values.shape[0]):
            if i != sender:
                feature = <uint32_t>(values[i] >> 32)
                sizes[feature >> 28] += 1
                self.parts[count] = Part(slot_of(feature), <uint32_t>i, <double>(feature >> 28), 0)
                count += 1
        find_values(share, sizes, GROUPS)
        find_values(read, sizes, READ)
        for k in range(count):
            group = <int>self.parts[k].value
            self.parts[k].value, self.parts[k].read = share[group], read[group]
            self.values += share[group]
        self.count = self.length = count

    cdef inline Known known(self, uint32_t slot) noexcept nogil:
        """What the tables know of a slot; counters are scaled."""
        cdef Known known = Known(0, 0, 0, 0)
        cdef Slot found
        cdef int16_t neighbour = 0
        cdef int i
        for i in range(self.table_count):
            found = slot_beside(self.slots[i], slot, &neighbour)
            known.weight += found.weight
            known.spam += found.spam
            known.innocent += found.innocent
            known.read += neighbour
        known.weight *= WEIGHT_UNIT
        known.read *= WEIGHT_UNIT
        known.spam *= self.spam_scale
        known.innocent *= self.innocent_scale
        return known

    cdef void weigh(self) noexcept nogil:
        """Ask the experts."""
        cdef double most = <double>max(self.spam, self.innocent)
        cdef Known known
        cdef uint32_t k
        cdef int i
        self.spam_scale = self.innocent_scale = 1
        if self.spam and self.innocent:
            self.spam_scale, self.innocent_scale = most / <double>self.spam, most / <double>self.innocent
        for k in range(self.count):
            for i in range(self.table_count):
                if k + AHEAD < self.count:
                    fetch_page(self.slots[i], self.parts[k + AHEAD].slot)
            known = self.known(self.parts[k].slot)
            self.weighed += known.weight * self.parts[k].value
            self.read += known.read * self.parts[k].read
            self.counted_up += self.counts_for(known) * self.parts[k].value
            if known.spam + known.innocent > 0:
                self.seen += self.parts[k].value

    cdef double counts_for(self, Known known) noexcept nogil:
        """The evidence of a slot for the second expert, who says nothing before both classes have a lesson."""
        return evidence(known.spam, known.innocent) if self.counted and self.spam and self.innocent else 0

    @property
    def logit(self):
        """The log-odds of spam."""
        cdef double mean = self.weighed + self.read_share * (self.read - self.weighed)
        return mean + LIMIT * tanh(WEIGHT * self.counted_up / LIMIT)

    @property
    def familiar(self):
        """How much of the message some lesson had, from 0 to 1: with less of it the log-odds are to be believed less."""
        return self.seen / self.values if self.values else 0.0

    @property
    def threshold(self):
        """The log-odds above which the message is taken for spam: 0.3, up to 1.3 while little is known, and `lopsided`."""
        return self.doubt() + self.lopsided

    @property
    def lopsided(self):
        """Log-odds that say nothing, because little ham is known beside the spam; infinite if none is."""
        cdef double more
        if not self.innocent:
            return INFINITY
        more = log((1 + <double>self.spam) / (0.5 + <double>self.innocent))
        return LOPSIDED * fmax(0, more) * REDRESSED / (REDRESSED + <double>self.innocent)

    cdef double doubt(self) noexcept nogil:
        """The threshold that lessons aim at: they need not outweigh what ham, once it is known, takes away by itself."""
        return LEAN + CAUTION * CAUTIOUS / (CAUTIOUS + <double>(self.spam + self.innocent))

    @property
    def experience(self):
        """The number of lessons of the class that had fewer; of all lessons, if counters have no say."""
        return min(self.spam, self.innocent) if self.counted else self.lessons

    def share(self, uint32_t k):
        """Of the `k`-th slot of the message: index of its first feature, spam, innocent, and its part of the log-odds.

        Raises IndexError from `length` on.
        """
        if k >= self.length:
            raise IndexError(k)
        cdef Part part = self.parts[k]
        cdef Known known = self.known(part.slot)
        cdef double limited = 1 if self.counted_up == 0 else LIMIT * tanh(WEIGHT * self.counted_up / LIMIT) / self.counted_up
        cdef int64_t spam = 0, innocent = 0
        cdef int i
        for i in range(self.table_count):
            spam += slot_at(self.slots[i], part.slot).spam
            innocent += slot_at(self.slots[i], part.slot).innocent
        cdef double weight = (1 - self.read_share) * known.weight + limited * self.counts_for(known)
        return part.first, spam, innocent, weight * part.value + self.read_share * known.read * part.read

    def lesson(self, bint spam, double margin=1.0, bint turns=True):
        """The change that teaches a label, as bytes; empty if all experts are sure of it, or there are no features.

        `margin` is a multiple of the margins within which they learn.  0: they learn if they are wrong.  `turns`: the message
        follows the label afterwards; else it moves by an ordinary step, however wrong they are.
        """
        cdef double side = 1.0 if spam else -1.0
        cdef Step first = self.step(spam, self.weighed, NEAR, margin), third = self.step(spam, self.read, READ_NEAR, margin)
        cdef bint counts = first.moves  # a seed and the list of features need counters, whether or not they have a say
        cdef double against = (self.doubt() - self.logit) * side
        cdef bint doubtful = against > SURE * (1 + UNTRIED / (1 + <double>self.lessons))
        cdef Part* read
        cdef uint32_t length
        if not self.count:
            return b""
        if self.counted:
            counts = self.counted_up * side < margin * min(ENOUGH, MARGIN * self.values)
            counts = counts or not (self.spam if spam else self.innocent)
        read = <Part*>malloc((<size_t>self.count + 1) * sizeof(Part))
        if read == NULL:
            raise MemoryError
        try:
            self.length = merged(self.parts, self.length)
            length = self.neighbours(read)
            if turns and against >= 0:
                counts = counts and not doubtful
                self.turn(&first, &third, read, length, side, against + TURNED, doubtful)
            third.moves = third.moves and length
            change = self.record(self.parts, self.length, first, spam if counts else -1, 1) if first.moves or counts else b""
            return change + self.record(read, length, third, -1, READING) if third.moves else change
        finally:
            free(read)

    cdef Step step(self, bint spam, double logit, double near, double margin) noexcept nogil:
        """How an expert learns a label of whose log-odds it is as sure as `logit`."""
        cdef double error = (1.0 if spam else 0.0) - sigma(logit)
        cdef double rate = RATE * (1 + BOOST * BOOSTED / (BOOSTED + <double>self.lessons))
        return Step(error, rate * error, fabs(error) >= 0.5 - margin * (0.5 - near))

    cdef uint32_t neighbours(self, Part* read) noexcept nogil:
        """The slots of the third expert, with its values; how many there are."""
        cdef uint32_t k, length = 0
        for k in range(self.length):
            if self.parts[k].read > 0:
                read[length] = Part(self.parts[k].slot ^ 1, self.parts[k].first, self.parts[k].read, 0)
                length += 1
        return merged(read, length)

    cdef void turn(
        self, Step* first, Step* third, const Part* read, uint32_t length, double side, double wanted, bint doubtful
    ) noexcept nogil:
        """Let the log-odds move at least as far as is wanted.  What is doubtful moves them no farther, and is no error."""
        cdef double reach, reads, lacks
        first.moves = third.moves = True
        if doubtful:
            first.error = first.pull = third.error = third.pull = 0
        reach = (1 - self.read_share) * self.reach(self.parts, self.length, first.error)
        reads = self.read_share * self.reach(read, length, third.error)
        lacks = wanted - (first.pull * reach + third.pull * reads) * side
        if lacks > 0:
            first.pull += lacks / (reach + reads) * side
            third.pull += lacks / (reach + reads) * side

    cdef double reach(self, const Part* parts, uint32_t length, double error) noexcept nogil:
        """By how much `record` moves the log-odds of an expert for each unit of `pull`."""
        cdef const Slots* own = self.slots[0]
        cdef double reach = 0, gradient
        cdef uint32_t k
        for k in range(length):
            gradient = error * parts[k].value
            reach += parts[k].value * parts[k].value / sqrt(
                EPSILON + (slot_at(own, parts[k].slot).squares * SQUARES_UNIT + gradient * gradient)
            )
        return reach

    cdef bytes record(self, const Part* parts, uint32_t length, Step step, int label, int kind):
        """A record of table.pxi: an expert's step, and the label (spam 1, innocent 0, none -1) that is counted."""
        cdef const Slots* own = self.slots[0]
        cdef uint64_t lesson = <uint64_t>(self.lessons + self.readings + self.spam + self.innocent)
        cdef double gradient, squares
        cdef int64_t weight, more, before = -1
        cdef uint32_t k, slot
        cdef size_t n = 0
        cdef uint8_t* out = <uint8_t*>malloc((<size_t>length + 4) * 3 * MOST_BYTES)
        if out == NULL:
            raise MemoryError
        n += put(out + n, unsigned(kind if step.moves else 0))
        n += put(out + n, unsigned(label == 1))
        n += put(out + n, unsigned(label == 0))
        n += put(out + n, length)
        for k in range(length):
            slot, weight, more = parts[k].slot, 0, 0
            if step.moves:
                gradient = step.error * parts[k].value
                squares = slot_at(own, slot).squares * SQUARES_UNIT + gradient * gradient
                more = rounded(gradient * gradient / SQUARES_UNIT, dither(slot, lesson))
                weight = rounded(
                    step.pull * parts[k].value / sqrt(EPSILON + squares) / WEIGHT_UNIT, dither(~slot, lesson)
                )
            n += put(out + n, <uint64_t>(<int64_t>slot - before))
            n += put(out + n, unsigned(weight))
            n += put(out + n, unsigned(more))
            before = slot
        try:
            return <bytes>out[:<Py_ssize_t>n]
        finally:
            free(out)


def packed(values, Py_ssize_t sender=-1):
    """The features of tokens, 4 bytes each, least significant first; the token at `sender` is left out."""
    cdef const uint64_t[::1] numbers = values
    cdef Py_ssize_t i, count = numbers.shape[0] - (0 <= sender < numbers.shape[0])
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 4 * count)
    cdef uint8_t* at = <uint8_t*>PyBytes_AS_STRING(out)
    cdef uint32_t feature
    for i in range(numbers.shape[0]):
        if i != sender:
            feature = htole32(<uint32_t>(numbers[i] >> 32))
            memcpy(at, &feature, 4)
            at += 4
    return out


def unpacked(const uint8_t[::1] features not None):
    """Tokens with these features, array('Q'); an odd rest is ignored."""
    cdef Py_ssize_t i, count = features.shape[0] // 4
    cdef array.array values = array.clone(array.array("Q"), count, zero=False)
    cdef uint64_t[::1] numbers = values
    cdef uint32_t feature
    for i in range(count):
        memcpy(&feature, &features[4 * i], 4)
        numbers[i] = <uint64_t>le32toh(feature) << 32
    return values
