# A message as a flat list of parts (engine.md 1.2 to 1.6).
#
# Boundaries never expire and match by prefix, so a line is compared with the set of all boundaries at
# once.  Bodies are slices of the message.  The data of a header is copied into one buffer, because
# continuation lines may follow even after its part has ended; the newest header is always the last
# one in that buffer.  Its search for a boundary parameter is kept and resumed line by line: a header
# folded a million times is read once.

cdef enum MediaType:
    TEXT
    MULTIPART
    MESSAGE
    OTHER_TYPE

cdef enum Subtype:
    PLAIN
    HTML
    SIGNED
    OTHER_SUBTYPE

cdef enum Encoding:
    EIGHT_BIT
    QUOTED_PRINTABLE
    BASE64_ENCODING
    OTHER_ENCODING

cdef struct Header:
    size_t name, name_length  # in the message
    size_t data, data_length  # in Mime.data

cdef struct Part:
    size_t first_header, header_count
    size_t body, body_length  # in the message
    MediaType type
    Subtype subtype
    Encoding encoding
    bint attachment

cdef enum Stage:  # of the search for a boundary parameter (1.5)
    WANT_NAME
    WANT_EQUALS
    WANT_QUOTE
    WANT_VALUE
    FOUND

cdef struct Search:
    Stage stage
    size_t at


@cython.final
@cython.no_gc
cdef class Mime:
    """The parts of one message; `split` fills it."""

    cdef const uint8_t* text
    cdef size_t length
    cdef Part* parts
    cdef Header* headers
    cdef Buffer data
    cdef Strings boundaries  # without the leading "--"
    cdef Search search  # in the newest header
    cdef size_t part_count, part_capacity, header_count, header_capacity

    def __dealloc__(self):
        free(self.parts)
        free(self.headers)
        free(self.data.at)
        strings_free(&self.boundaries)

    cdef int split(self) except -1 nogil:
        cdef size_t at = 0, end
        cdef bint in_body = False, typing = False  # typing: the line before belongs to a Content-Type
        cdef const uint8_t* line
        self.begin_part()
        while at < self.length:
            end = position(self.text, at, self.length, b"\n")
            line = self.text + at
            if in_body:
                typing = begins(line, end - at, "content-type") or (
                    typing and (line[0] == b" " or line[0] == b"\t")
                )
                if typing:
                    self.announce_in_body(line, end - at)
            if self.hits_boundary(line, end - at):
                if in_body:
                    self.end_body(at)
                self.end_part()
                self.begin_part()
                in_body = False
            elif not in_body:
                if end == at or line[0] == b"\r":
                    in_body, typing = True, False
                    self.parts[self.part_count - 1].body = min(end + 1, self.length)
                elif line[0] == b" " or line[0] == b"\t":
                    self.continue_header(line, end - at)
                else:
                    self.begin_header(at, end)
            at = end + 1
        if in_body:
            self.end_body(self.length)
        self.end_part()
        return 0

    cdef bint hits_boundary(self, const uint8_t* line, size_t length) noexcept nogil:
        return (
            length > 2
            and line[0] == b"-"
            and line[1] == b"-"
            and strings_begin(&self.boundaries, line + 2, length - 2)
        )

    cdef int begin_part(self) except -1 nogil:
        cdef Part* part
        self.parts = <Part*>room(self.parts, &self.part_capacity, self.part_count + 1, sizeof(Part))
        part = &self.parts[self.part_count]
        memset(part, 0, sizeof(Part))
        part.first_header = self.header_count
        part.type, part.subtype, part.encoding = TEXT, PLAIN, OTHER_ENCODING
        self.part_count += 1
        return 0

    cdef void end_body(self, size_t at) noexcept nogil:
        cdef Part* part = &self.parts[self.part_count - 1]
        part.body_length = at - part.body

    cdef int end_part(self) except -1 nogil:
        """Decode the encoded words of the part's headers."""
        cdef Part* part = &self.parts[self.part_count - 1]
        cdef Header* header
        cdef uint8_t* data
        cdef uint8_t* line
        cdef size_t i, length
        part.header_count = self.header_count - part.first_header
        for i in range(part.first_header, self.header_count):
            header = &self.headers[i]
            data = self.data.at + header.data
            if position(data, 0, header.data_length, b"?") == header.data_length:
                continue
            line = <uint8_t*>malloc(header.data_length)
            if line == NULL:
                out_of_memory()
            length = decode_word(line, unfolded(data, header.data_length, line))
            if length != NO_WORD:
                memcpy(data, line, length)
                header.data_length = length
                if i == self.header_count - 1:
                    self.data.length = header.data + length
                    self.search.stage, self.search.at = WANT_NAME, 0
            free(line)
        return 0

    # -- headers

    cdef int begin_header(self, size_t at, size_t end) except -1 nogil:
        cdef Header* header
        cdef size_t colon = position(self.text, at, end, b":"), start = colon + 1
        while start < end and (self.text[start] == b" " or self.text[start] == b"\t"):
            start += 1
        self.headers = <Header*>room(
            self.headers, &self.header_capacity, self.header_count + 1, sizeof(Header)
        )
        header = &self.headers[self.header_count]
        header.name, header.name_length = at, colon - at
        header.data, header.data_length = self.data.length, 0
        self.header_count += 1
        self.search.stage, self.search.at = WANT_NAME, 0
        if start < end:
            append(&self.data, self.text + start, end - start)
            header.data_length = end - start
        self.understand(header)
        return 0

    cdef int continue_header(self, const uint8_t* line, size_t length) except -1 nogil:
        cdef Header* header
        if self.header_count == 0:
            return 0
        header = &self.headers[self.header_count - 1]
        append(&self.data, b"\n", 1)
        append(&self.data, line, length)
        header.data_length += length + 1
        self.understand(header)
        return 0

    cdef int understand(self, Header* header) except -1 nogil:
        """Read the facts that a header gives about its part; called again for each continuation line (1.4)."""
        cdef const uint8_t* name = self.text + header.name
        cdef const uint8_t* data = self.data.at + header.data
        cdef size_t length = header.data_length
        cdef Part* part = &self.parts[self.part_count - 1]
        if is_named(name, header.name_length, "content-type"):
            self.understand_type(part, data, length)
        elif is_named(name, header.name_length, "content-transfer-encoding"):
            if begins(data, length, "8bit"):
                part.encoding = EIGHT_BIT
            elif begins(data, length, "quoted-printable"):
                part.encoding = QUOTED_PRINTABLE
            elif begins(data, length, "base64"):
                part.encoding = BASE64_ENCODING
            else:
                part.encoding = OTHER_ENCODING
        elif is_named(name, header.name_length, "content-disposition"):
            part.attachment = begins(data, length, "attachment")
        return 0

    cdef int understand_type(self, Part* part, const uint8_t* data, size_t length) except -1 nogil:
        part.type, part.subtype = OTHER_TYPE, OTHER_SUBTYPE
        if begins(data, length, "text"):
            part.type = TEXT
            if length > 5 and begins(data + 5, length - 5, "html"):
                part.subtype = HTML
            elif length > 5 and begins(data + 5, length - 5, "plain"):
                part.subtype = PLAIN
        elif begins(data, length, "message"):
            part.type = MESSAGE
        elif begins(data, length, "multipart"):
            part.type = MULTIPART
            if length > 10 and begins(data + 10, length - 10, "signed"):
                part.subtype = SIGNED
            self.announce(data, length, &self.search)
        return 0

    # -- boundaries

    cdef int announce(self, const uint8_t* data, size_t length, Search* search) except -1 nogil:
        """Look for a boundary parameter in a header and remember it."""
        cdef size_t n = boundary_parameter(data, length, search)
        if n:
            strings_add(&self.boundaries, data + search.at, n)
        return 0

    cdef int announce_in_body(self, const uint8_t* line, size_t length) except -1 nogil:
        """The same for a line of a body: this is how multiparts inside messages get split."""
        cdef Search search
        cdef size_t n
        search.stage, search.at = WANT_NAME, 0
        n = boundary_parameter(line, length, &search)
        if n and not self.hits_boundary(line + search.at, n):
            strings_add(&self.boundaries, line + search.at, n)
        return 0


cdef size_t boundary_parameter(const uint8_t* data, size_t length, Search* search) noexcept nogil:
    """Length of the boundary's value, which lies at `search.at`; 0: not there, or not yet, or returned before."""
    cdef size_t at = search.at, end
    if search.stage == WANT_NAME:
        at = position_of(data, at, length, "boundary")
        if at < length:
            search.stage = WANT_EQUALS
    if search.stage == WANT_EQUALS:
        at = position(data, at, length, b"=")
        if at < length:
            at += 1
            search.stage = WANT_QUOTE
    if search.stage == WANT_QUOTE:
        while at < length and KIND[data[at]] & SPACE:
            at += 1
        if at < length:
            at += data[at] == b'"'
            search.stage = WANT_VALUE
    if search.stage == WANT_VALUE:
        while at < length and ends_value(data[at]):
            at += 1
        if at < length:
            search.stage = FOUND
            search.at = end = at
            while end < length and end - at < STRING_SIZE and not ends_value(data[end]):
                end += 1
            return end - at
    search.at = at
    return 0


cdef inline bint ends_value(uint8_t byte) noexcept nogil:
    return byte == b" " or byte == b'"' or byte == b";" or byte == b"\n" or byte == b"\t"
