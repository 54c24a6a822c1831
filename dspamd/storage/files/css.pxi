# The hash files of DSPAM: finding, changing and removing records in the bytes of a `.css` file.
#
# A file is a row of extents, each a header and an open-addressed table of records
# (reference/storage.md 6).  This code knows bytes in memory only; storage/files/hash_file.py maps, locks
# and grows the file.  Numbers are little-endian.  A token gets at most one record: the search goes through
# all extents before it takes a free one.  If another program did not see that record, the token has a
# second one in a later extent, whose hits count too (`css_joined`).

from posix.types cimport off_t

import os

cdef extern from "<endian.h>" nogil:
    uint32_t le32toh(uint32_t)

cdef extern from "<sys/mman.h>" nogil:
    int mincore(void* address, size_t length, unsigned char* pages)

cdef extern from "<unistd.h>" nogil:
    int getpagesize()

cdef extern from "<fcntl.h>" nogil:
    int posix_fallocate(int file, off_t start, off_t length)

cdef extern from *:
    void css_prefetch "__builtin_prefetch"(const void* address) noexcept nogil

cdef enum:
    CSS_AHEAD = 16  # tokens: their records are on the way from memory while others are looked at
    CSS_BATCH = 128  # tokens stored at once
    CSS_PAGES = 1024  # asked for at once
    CSS_HEADER = 80
    CSS_FLAGS = 72
    CSS_XOR = 1  # flag: a table of 2**k records, placed by folding the token
    CSS_AGE_SHIFT = 28

cdef uint64_t CSS_HITS = (1 << CSS_AGE_SHIFT) - 1


cdef struct Record:
    uint64_t token, innocent, spam  # little-endian; 0 in place of a token: free


cdef struct Extent:
    Record* records
    uint64_t size
    bint folded


cdef struct Table:  # the file
    uint8_t* bytes
    size_t length
    uint64_t seek  # a record is at most so many places after its home


cdef inline bint css_extent(const Table* table, size_t* at, Extent* extent) noexcept nogil:
    """The extent at `at`, which moves on; false at the end, or if the file is broken."""
    cdef uint64_t size
    if table.length - at[0] < CSS_HEADER:
        return False
    size = le64toh((<uint64_t*>(table.bytes + at[0]))[0])
    if size == 0 or size > (table.length - at[0] - CSS_HEADER) // sizeof(Record):
        return False
    extent.size = size
    extent.folded = (le32toh((<uint32_t*>(table.bytes + at[0] + CSS_FLAGS))[0]) & 3) == CSS_XOR
    extent.records = <Record*>(table.bytes + at[0] + CSS_HEADER)
    at[0] += CSS_HEADER + size * sizeof(Record)
    return True


cdef inline uint64_t css_home(const Extent* extent, uint64_t token) noexcept nogil:
    """Where the search for a token begins."""
    cdef uint64_t home = 0, bits = 0
    if not extent.folded or extent.size < 2:
        return token % extent.size
    while extent.size >> bits > 1:
        bits += 1
    while token:
        home ^= token & (extent.size - 1)
        token >>= bits
    return home


cdef inline Record* css_within(
    const Extent* extent, uint64_t seek, uint64_t token, uint64_t home, Record** vacant
) noexcept nogil:
    """The record of a token in an extent, or NULL and the free record for it, if there is one.

    DSPAM 3.10.2 searches `seek` places after the home, and skips the last place of the extent unless that
    is the home; its later branch searches the last place, too, but one place fewer.  We find the records of
    both.  A new record goes where the branch puts it, so that both find it, except at the last place.
    """
    cdef uint64_t place = home, last = extent.size - 1, reach = min(seek, last), distance = 0
    cdef bint passing
    cdef Record* record
    vacant[0] = NULL
    while distance <= reach and distance <= last:
        record = &extent.records[place]
        if record.token == htole64(token):
            return record
        passing = place == last and distance > 0
        if record.token == 0:
            if vacant[0] == NULL and distance < seek:
                vacant[0] = record
            if not passing:
                return NULL
        reach += <uint64_t>passing
        distance += 1
        place = place + 1 if place < last else 0
    return NULL


cdef inline Record* css_behind(
    const Extent* extent, uint64_t token, uint64_t home, const Record* first
) noexcept nogil:
    """The second record of a token in an extent, if its first one is at the last place; else NULL.

    A program that skips that place does not see the first one, and writes another after it.
    """
    cdef uint64_t last = extent.size - 1, place
    if first != &extent.records[last] or home == last:
        return NULL
    for place in range(home):
        if extent.records[place].token == htole64(token):
            return &extent.records[place]
        if extent.records[place].token == 0:
            return NULL
    return NULL


cdef Record* css_record(const Table* table, uint64_t token, Record** vacant, Extent* within) noexcept nogil:
    """The record of a token and its extent, or NULL and the first free record for it, if there is one."""
    cdef size_t at = 0
    cdef uint64_t home = 0, size = 0
    cdef Record* record
    cdef Record* free
    vacant[0] = NULL
    while css_extent(table, &at, within):
        if within.folded or within.size != size:  # most extents have the size of the one before
            home, size = css_home(within, token), within.size
        record = css_within(within, table.seek, token, home, &free)
        if record != NULL:
            return record
        if vacant[0] == NULL:
            vacant[0] = free
    return NULL


cdef void css_locate(
    const Table* table, const uint64_t* tokens, size_t count, Record** found, uint64_t* homes, uint64_t* missing
) noexcept nogil:
    """The record of each token, or NULL; `homes` and `missing` are room for `count` numbers.

    The search goes through one extent after the other for all missing tokens: so it can prefetch the
    memory of each, and need not wait for it.
    """
    cdef size_t at = 0, i, asked, count_missing = 0, rest
    cdef Extent extent
    cdef Record* vacant
    for i in range(count):
        found[i] = NULL
        if tokens[i]:
            missing[count_missing] = i
            count_missing += 1
    while count_missing and css_extent(table, &at, &extent):
        for i in range(count_missing):
            homes[i] = css_home(&extent, tokens[missing[i]])
        rest = 0
        for i in range(count_missing):
            if i + CSS_AHEAD < count_missing:
                css_prefetch(&extent.records[homes[i + CSS_AHEAD]])
            asked = missing[i]
            found[asked] = css_within(&extent, table.seek, tokens[asked], homes[i], &vacant)
            if found[asked] == NULL:
                missing[rest] = asked
                rest += 1
        count_missing = rest


cdef Table css_table(uint8_t[::1] file, uint64_t seek) noexcept:
    cdef Table table
    table.bytes = &file[0] if file.shape[0] else NULL
    table.length = <size_t>file.shape[0]
    table.seek = seek
    return table


cdef array.array css_cut(array.array numbers, Py_ssize_t length):
    array.resize(numbers, length)
    return numbers


def css_resident(uint8_t[::1] file not None):
    """Whether a mapped file is in memory, so that a reader need not wait for a disk."""
    cdef unsigned char pages[CSS_PAGES]
    cdef size_t page = <size_t>getpagesize(), at = 0, piece
    cdef size_t i, length = <size_t>file.shape[0]
    while at < length:
        piece = min(length - at, CSS_PAGES * page)
        if mincore(&file[at], piece, pages):
            return False
        for i in range((piece + page - 1) // page):
            if not pages[i] & 1:
                return False
        at += piece
    return True


def css_find(uint8_t[::1] file not None, uint64_t seek, array.array tokens not None):
    """Those of `tokens` that have a record: tokens, spam hits, innocent hits, ages in days ('Q')."""
    cdef Table table = css_table(file, seek)
    cdef Py_ssize_t i, n = len(tokens), known = 0
    cdef list columns = [array.clone(tokens, n, False) for _ in range(4)]
    cdef array.array found = array.clone(tokens, n, False)  # addresses of records
    cdef const uint64_t* asked = <uint64_t*>tokens.data.as_voidptr
    cdef Record** records = <Record**>found.data.as_voidptr
    cdef uint64_t* hits[4]
    for i in range(4):
        hits[i] = <uint64_t*>(<array.array>columns[i]).data.as_voidptr
    with nogil:
        css_locate(&table, asked, <size_t>n, records, hits[2], hits[3])
        for i in range(n):
            if records[i] != NULL:
                hits[0][known] = asked[i]
                hits[1][known] = le64toh(records[i].spam) & CSS_HITS
                hits[2][known] = le64toh(records[i].innocent) & CSS_HITS
                hits[3][known] = css_age_of(records[i])
                known += 1
    return tuple([css_cut(column, known) for column in columns])


cdef inline uint64_t css_age_of(const Record* record) noexcept nogil:
    """The days since the last hit, as far as they were counted: two nibbles above the hits."""
    return (le64toh(record.innocent) >> CSS_AGE_SHIFT & 15) | (le64toh(record.spam) >> CSS_AGE_SHIFT & 15) << 4


cdef inline uint64_t css_changed(uint64_t hits, int change, uint64_t limit) noexcept nogil:
    cdef int64_t changed = <int64_t>(hits & CSS_HITS) + change
    return min(<uint64_t>changed, limit, CSS_HITS) if changed > 0 else 0


def css_plan(
    uint8_t[::1] file not None, uint64_t seek, array.array tokens not None,
    array.array spam not None, array.array innocent not None, uint64_t spam_limit, uint64_t innocent_limit,
):
    """What changes of hits ('i') make of the counters: tokens, spam and innocent before, and after ('Q').

    Counters stay between 0 and the limit; before, they are as stored, with ages, 0 without a record.
    Tokens that have no hits before nor after are left out.
    """
    cdef Table table = css_table(file, seek)
    cdef Py_ssize_t i, n = len(tokens), planned = 0
    cdef list columns = [array.clone(tokens, n, False) for _ in range(5)]
    cdef array.array found = array.clone(tokens, n, False)  # addresses of records
    cdef const uint64_t* asked = <uint64_t*>tokens.data.as_voidptr
    cdef const int* spam_change = spam.data.as_ints
    cdef const int* innocent_change = innocent.data.as_ints
    cdef Record** records = <Record**>found.data.as_voidptr
    cdef uint64_t* plan[5]
    cdef uint64_t new_spam, new_innocent
    cdef Record* record
    if len(spam) != n or len(innocent) != n:
        raise ValueError("a change for each token")
    for i in range(5):
        plan[i] = <uint64_t*>(<array.array>columns[i]).data.as_voidptr
    with nogil:
        css_locate(&table, asked, <size_t>n, records, plan[3], plan[4])
        for i in range(n):
            record = records[i]
            new_spam = css_changed(le64toh(record.spam) if record else 0, spam_change[i], spam_limit)
            new_innocent = css_changed(
                le64toh(record.innocent) if record else 0, innocent_change[i], innocent_limit
            )
            if asked[i] and (record != NULL or new_spam or new_innocent):
                plan[0][planned] = asked[i]
                plan[1][planned] = le64toh(record.spam) if record else 0
                plan[2][planned] = le64toh(record.innocent) if record else 0
                plan[3][planned], plan[4][planned] = new_spam, new_innocent
                planned += 1
    return tuple([css_cut(column, planned) for column in columns])


def css_store(
    uint8_t[::1] file not None, uint64_t seek, array.array tokens not None,
    array.array spam not None, array.array innocent not None, Py_ssize_t first, int holes=-1,
):
    """Set counters, from token number `first` on; the number of the first that has no place, else of all.

    `holes`: the descriptor of a mapped file with holes, which get blocks before a write.  Raises
    OSError if the disk has none left; a write to the map would then kill the process.
    """
    cdef Table table = css_table(file, seek)
    cdef Py_ssize_t i = first, n = min(len(tokens), len(spam), len(innocent))
    cdef const uint64_t* asked = <uint64_t*>tokens.data.as_voidptr
    cdef const uint64_t* new_spam = <uint64_t*>spam.data.as_voidptr
    cdef const uint64_t* new_innocent = <uint64_t*>innocent.data.as_voidptr
    cdef Record* records[CSS_BATCH]
    cdef uint64_t homes[CSS_BATCH]
    cdef uint64_t missing[CSS_BATCH]
    cdef Record* record
    cdef Record* vacant = NULL
    cdef Extent extent
    cdef int failed = 0
    with nogil:
        while i < n:
            if (i - first) % CSS_BATCH == 0:
                css_locate(&table, asked + i, <size_t>min(n - i, CSS_BATCH), records, homes, missing)
            record = records[(i - first) % CSS_BATCH]
            if record == NULL:  # or it was there twice, and has one since
                record = css_record(&table, asked[i], &vacant, &extent)
            if record == NULL:
                record = vacant
            if record == NULL:
                break
            if holes >= 0 and record.token == 0:
                failed = css_solid(&table, record, holes)
                if failed:
                    break
            record.spam = htole64(new_spam[i])
            record.innocent = htole64(new_innocent[i])
            record.token = htole64(asked[i])
            i += 1
    if failed:
        raise OSError(failed, os.strerror(failed))
    return i


cdef int css_solid(const Table* table, const Record* record, int file) noexcept nogil:
    """Give the pages of a record blocks on the disk; 0 or the number of the error."""
    cdef size_t page = <size_t>getpagesize(), start = <size_t>(<uint8_t*>record - table.bytes)
    cdef size_t end = min(table.length, (start + sizeof(Record) + page - 1) // page * page)
    start -= start % page
    return posix_fallocate(file, <off_t>start, <off_t>(end - start))


def css_delete(uint8_t[::1] file not None, uint64_t seek, array.array tokens not None):
    """Remove tokens, with all their records; how many there were."""
    cdef Table table = css_table(file, seek)
    cdef Py_ssize_t i, n = len(tokens), removed = 0
    cdef const uint64_t* asked = <uint64_t*>tokens.data.as_voidptr
    cdef Record* record
    cdef Record* vacant
    cdef Extent extent
    with nogil:
        for i in range(n):
            record = css_record(&table, asked[i], &vacant, &extent) if asked[i] else NULL
            removed += record != NULL
            while record != NULL:
                css_vacate(&extent, <uint64_t>(record - extent.records))
                record = css_record(&table, asked[i], &vacant, &extent)
    return removed


cdef void css_vacate(const Extent* extent, uint64_t hole) noexcept nogil:
    """Free a record, and close the gap: searches stop at a free record, except at the last place."""
    cdef uint64_t place = hole, last = extent.size - 1, home, steps
    for steps in range(last):
        place = place + 1 if place < last else 0
        if extent.records[place].token == 0:
            if place == last:
                continue
            break
        home = css_home(extent, le64toh(extent.records[place].token))
        if (hole < home and home <= place) if hole < place else (hole < home or home <= place):
            continue  # its search begins after the hole
        extent.records[hole] = extent.records[place]
        hole = place
    memset(&extent.records[hole], 0, sizeof(Record))


cdef inline void css_add(Record* sum, uint64_t token, const Record* record) noexcept nogil:
    """Add the hits of a record to those of a token; it is as young as the younger of both."""
    cdef uint64_t spam = le64toh(record.spam), innocent = le64toh(record.innocent), age = css_age_of(record)
    if sum.token == htole64(token):
        age = min(age, css_age_of(sum))
        spam = min((spam & CSS_HITS) + (le64toh(sum.spam) & CSS_HITS), CSS_HITS)
        innocent = min((innocent & CSS_HITS) + (le64toh(sum.innocent) & CSS_HITS), CSS_HITS)
    sum.spam = htole64(spam & CSS_HITS | age >> 4 << CSS_AGE_SHIFT)
    sum.innocent = htole64(innocent & CSS_HITS | (age & 15) << CSS_AGE_SHIFT)
    sum.token = htole64(token)


cdef Record css_sum(const Table* table, uint64_t seek, uint64_t token) noexcept nogil:
    """The sum of the hits in all records of a token; no token if it has no record."""
    cdef size_t at = 0
    cdef uint64_t home
    cdef Extent extent
    cdef Record sum
    cdef Record* record
    cdef Record* vacant
    memset(&sum, 0, sizeof(sum))
    while token and css_extent(table, &at, &extent):
        home = css_home(&extent, token)
        record = css_within(&extent, seek, token, home, &vacant)
        if record != NULL:
            css_add(&sum, token, record)
            record = css_behind(&extent, token, home, record)
        if record != NULL:
            css_add(&sum, token, record)
    return sum


def css_joined(uint8_t[::1] file not None, uint64_t seek, array.array tokens not None):
    """Those of `tokens` that have records: tokens, spam and innocent hits of all records together, ages ('Q').

    A token that is not within `seek` is searched everywhere: an earlier `seek` may have put it there.
    """
    cdef Table table = css_table(file, seek)
    cdef Py_ssize_t i, n = len(tokens), known = 0
    cdef list columns = [array.clone(tokens, n, False) for _ in range(4)]
    cdef const uint64_t* asked = <uint64_t*>tokens.data.as_voidptr
    cdef uint64_t* hits[4]
    cdef Record sum
    for i in range(4):
        hits[i] = <uint64_t*>(<array.array>columns[i]).data.as_voidptr
    with nogil:
        for i in range(n):
            sum = css_sum(&table, seek, asked[i])
            if not sum.token:
                sum = css_sum(&table, UINT64_MAX, asked[i])
            if sum.token:
                hits[0][known] = asked[i]
                hits[1][known] = le64toh(sum.spam) & CSS_HITS
                hits[2][known] = le64toh(sum.innocent) & CSS_HITS
                hits[3][known] = css_age_of(&sum)
                known += 1
    return tuple([css_cut(column, known) for column in columns])


def css_pour(uint8_t[::1] file not None, uint8_t[::1] fresh not None, uint64_t seek):
    """Add all records of a file to a fresh one; its number of tokens, or -1 if one has no place in it.

    This joins the records of a token, except a copy in the same extent, which an interrupted removal left.
    """
    cdef Table table = css_table(file, UINT64_MAX)
    cdef Table target = css_table(fresh, seek)
    cdef size_t at = 0
    cdef uint64_t i, token, home
    cdef Py_ssize_t count = 0
    cdef Extent extent, within
    cdef Record* record
    cdef Record* first
    cdef Record* place
    cdef Record* vacant
    with nogil:
        while count >= 0 and css_extent(&table, &at, &extent):
            for i in range(extent.size):
                record = &extent.records[i]
                token = le64toh(record.token)
                if token == 0:
                    continue
                home = css_home(&extent, token)
                first = css_within(&extent, UINT64_MAX, token, home, &vacant)
                if first != NULL and first != record and css_behind(&extent, token, home, first) != record:
                    continue
                place = css_record(&target, token, &vacant, &within)
                if place == NULL:
                    place = vacant
                    count += 1
                if place == NULL:
                    count = -1
                    break
                css_add(place, token, record)
    return count


def css_after(uint8_t[::1] file not None, uint64_t after, size_t limit):
    """The tokens of the `limit` records that come first above `after`, each once, ascending ('Q')."""
    cdef Table table = css_table(file, 0)
    cdef array.array smallest = array.clone(array.array("Q"), <Py_ssize_t>limit, False)
    cdef uint64_t* heap = <uint64_t*>smallest.data.as_voidptr  # the largest is on top
    cdef size_t at = 0, count = 0, single = 0
    cdef uint64_t i, token
    cdef Extent extent
    with nogil:
        while limit and css_extent(&table, &at, &extent):
            for i in range(extent.size):
                token = le64toh(extent.records[i].token)
                if token <= after:
                    continue
                if count < limit:
                    heap[count] = token
                    count += 1
                    if count == limit:
                        css_heapify(heap, count)
                elif token < heap[0]:
                    heap[0] = token
                    css_sink(heap, count, 0)
        if count < limit:
            css_heapify(heap, count)
        at = count
        while at > 1:
            at -= 1
            heap[0], heap[at] = heap[at], heap[0]
            css_sink(heap, at, 0)
        for at in range(count):
            if at == 0 or heap[at] != heap[single - 1]:
                heap[single] = heap[at]
                single += 1
    return css_cut(smallest, <Py_ssize_t>single)


cdef void css_heapify(uint64_t* heap, size_t count) noexcept nogil:
    cdef size_t i = count // 2
    while i:
        i -= 1
        css_sink(heap, count, i)


cdef void css_sink(uint64_t* heap, size_t count, size_t i) noexcept nogil:
    """Move a number down to where it is larger than what is below it."""
    cdef uint64_t number = heap[i]
    cdef size_t child = 2 * i + 1
    while child < count:
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= number:
            break
        heap[i] = heap[child]
        i, child = child, 2 * child + 1
    heap[i] = number


def css_age(uint8_t[::1] file not None, uint64_t days):
    """Let all records be so many days older; ages stop at 255."""
    cdef Table table = css_table(file, 0)
    cdef size_t at = 0
    cdef uint64_t i, age
    cdef Record* record
    cdef Extent extent
    with nogil:
        while css_extent(&table, &at, &extent):
            for i in range(extent.size):
                record = &extent.records[i]
                if record.token:
                    age = min(css_age_of(record) + days, <uint64_t>255)
                    record.innocent = htole64(le64toh(record.innocent) & CSS_HITS | (age & 15) << CSS_AGE_SHIFT)
                    record.spam = htole64(le64toh(record.spam) & CSS_HITS | age >> 4 << CSS_AGE_SHIFT)
