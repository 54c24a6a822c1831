# A message and its parts, one after the other: header, body, and where the next one begins.
#
# Boundaries are those of the multiparts that are open, so a line is compared with a few at most.  A boundary that
# never comes makes a text of its multipart.

cdef enum:
    MOST_DEPTH = 12  # multiparts and messages in each other
    MOST_PARTS = 100
    MOST_LINES = 1000000  # with a dash, that are searched for boundaries
    TEXT_MOST = 65536  # bytes of a text part that are looked at
    PAGE_MOST = 131072  # of one with HTML
    TEXTS_MOST = 262144  # of all text parts of a message
    ATTACHMENT_MOST = 4000  # of another part
    PART_WORDS = 4000


cdef struct Boundary:
    size_t length
    uint8_t[PARAMETER_BYTES] text


cdef struct Work:  # what is needed while a message is read
    Buffer value, bytes, decoded, text, visible, hidden
    Boundary[MOST_DEPTH] open
    size_t depth  # boundaries that are open
    size_t messages  # in each other
    size_t parts, lines
    size_t left  # bytes of texts that may still be looked at
    bint cuts_tags
    Style style
    Strings ignored  # names of fields that are left out
    Strings our_hosts  # whose checks are believed


cdef void free_work(Work* work) noexcept nogil:
    free(work.value.at)
    free(work.bytes.at)
    free(work.decoded.at)
    free(work.text.at)
    free(work.visible.at)
    free(work.hidden.at)
    strings_free(&work.ignored)
    strings_free(&work.our_hosts)


cdef int read_message(Features features, Work* work, const uint8_t* text, size_t length, bint document) except -1 nogil:
    """Touch all features of a message."""
    cdef size_t at = 0
    cdef bint top = True
    if document:
        touch_text(features, work, False, NULL, 0, PLAIN_TRANSFER, text, length)
    else:
        while at < length and work.parts < MOST_PARTS:
            at = read_entity(features, work, text, at, length, top)
            top = False
    touch_style(features, &work.style)
    return touch_magnitude(features, "size of the message is 2^", "the message", length)


cdef size_t read_entity(
    Features features, Work* work, const uint8_t* text, size_t at, size_t length, bint top
) except? 0 nogil:
    """Read a message or a part, as far as its body is not made of parts; returns where the next one begins."""
    cdef Entity entity
    cdef size_t body, end, next, depth
    memset(&entity, 0, sizeof(Entity))
    entity.top = top
    body = read_fields(features, work, &entity, text, at, length)
    if top:
        touch_number(features, SIZE, "number of Received fields: ", min(entity.hops, <size_t>40))
        touch_shown_number(
            features, SIZE, "number of fields, halved: ", "pairs of fields in the header: ", entity.fields // 2
        )
    if begins(entity.type, entity.type_length, "multipart/") and entity.boundary_length and work.depth < MOST_DEPTH:
        depth = work.depth
        work.open[depth].length = entity.boundary_length
        memcpy(work.open[depth].text, entity.boundary, entity.boundary_length)
        work.depth += 1
        next = find_boundary(work, text, body, length, &end)
        if work.depth > depth and next < length:
            return next
        work.depth = min(work.depth, depth)
    elif (
        is_named(entity.type, entity.type_length, "message/rfc822")
        and entity.transfer == PLAIN_TRANSFER
        and work.messages < MOST_DEPTH
        and body < length
    ):
        work.messages += 1
        return body
    else:
        next = find_boundary(work, text, body, length, &end)
    work.parts += 1
    read_body(features, work, &entity, text + body, end - body)
    return next


cdef size_t find_boundary(Work* work, const uint8_t* text, size_t at, size_t length, size_t* end) noexcept nogil:
    """Find the next boundary from the line at `at` on; returns where the part behind it begins.

    `end` becomes the end of what is before.  Multiparts that end there are closed; what follows the last
    boundary of a multipart is skipped.
    """
    cdef size_t line = at, stop, dash, k
    cdef bint found = False, closes
    end[0] = length
    while work.depth and line < length:
        dash = position(text, line, length, b"-")  # there are none in base64
        if dash > line and (dash == length or text[dash - 1] != b"\n"):
            line = position(text, dash, length, b"\n") + 1
            work.lines += 1
            if work.lines > MOST_LINES:
                break
            continue
        line = dash
        stop = position(text, line, length, b"\n")
        if stop - line > 2 and text[line] == b"-" and text[line + 1] == b"-":
            for k in range(work.depth):
                if is_boundary(&work.open[work.depth - 1 - k], text + line + 2, stop - line - 2, &closes):
                    if not found:
                        end[0] = line
                    found = True
                    work.depth -= k
                    if not closes:
                        return min(stop + 1, length)
                    work.depth -= 1
                    break
        work.lines += 1
        if work.lines > MOST_LINES:
            break
        line = stop + 1
    return length


cdef bint is_boundary(const Boundary* boundary, const uint8_t* line, size_t length, bint* closes) noexcept nogil:
    """Whether a line is this boundary; it may be followed by white space."""
    cdef size_t n = boundary.length
    if length < n or memcmp(line, boundary.text, n) != 0:
        return False
    closes[0] = length >= n + 2 and line[n] == b"-" and line[n + 1] == b"-"
    return closes[0] or n == length or KIND[line[n]] & SPACE != 0


cdef int read_body(Features features, Work* work, const Entity* entity, const uint8_t* text, size_t length) except -1 nogil:
    """Touch what is in a body that is not made of parts."""
    touch_file_name(features, entity)
    if (
        entity.type_length == 0
        or begins(entity.type, entity.type_length, "text/")
        or begins(entity.type, entity.type_length, "message/")
        or begins(entity.type, entity.type_length, "multipart/")
    ):
        return touch_text(
            features, work, is_named(entity.type, entity.type_length, "text/html"),
            entity.charset, entity.charset_length, entity.transfer, text, length,
        )
    return touch_attachment(features, work, entity, text, length)


cdef int touch_text(
    Features features,
    Work* work,
    bint page,
    const uint8_t* charset,
    size_t charset_length,
    Transfer transfer,
    const uint8_t* text,
    size_t length,
) except -1 nogil:
    """Touch the words, links and tags of a text part."""
    cdef Buffer* read = &work.text
    cdef size_t most = min(work.left, <size_t>(PAGE_MOST if page else TEXT_MOST)), wide, i
    cdef Words words
    work.decoded.length = work.text.length = work.visible.length = work.hidden.length = 0
    decode_transfer(transfer, text, length, most, &work.decoded)
    work.left -= min(work.left, work.decoded.length)
    if work.cuts_tags and work.decoded.length:
        work.decoded.length = cut_signature(work.decoded.at, work.decoded.length)
    append_text(charset, charset_length, work.decoded.at, work.decoded.length, &work.text)
    if page or position_of(work.text.at, 0, min(work.text.length, <size_t>2000), "<html") < min(
        work.text.length, <size_t>2000
    ):
        page = True
        read_markup(features, work.text.at, work.text.length, &work.visible, &work.hidden)
        read = &work.visible
    words.kind, words.cased = BODY_WORD, CASED_WORD
    words.seed, words.field, words.field_length = 0, NULL, 0
    words.left, words.looks_for_disguise, words.links = <size_t>PART_WORDS, True, True
    split_text(features, read.at, read.length, &words)
    read_style(&work.style, read.at, read.length)
    if work.hidden.length:
        touch_fact(features, HIDING_FACT, "HTML has hidden text")
        words.kind = words.cased = HIDDEN_WORD
        words.looks_for_disguise = False
        split_text(features, work.hidden.at, work.hidden.length, &words)
    if read.length == 0:
        return 0
    wide = 0
    for i in range(read.length):
        wide += read.at[i] >> 7
    touch_shown_number(
        features, SIZE, "tenths of the text beyond ASCII: ", "tenths of the text that are no ASCII: ",
        1 + 10 * wide // read.length if wide else 0,
    )
    if page:
        return touch_magnitude(features, "size of a page is 2^", "an HTML text", read.length)
    return touch_magnitude(features, "size of a text is 2^", "a text", read.length)


cdef int touch_magnitude(Features features, const char* what, const char* shown, size_t size) except -1 nogil:
    """Touch the power of two that a size begins with."""
    cdef size_t power = 0
    while size >> power > 1:
        power += 1
    return touch_shown_number(features, MAGNITUDE, what, shown, power)


cdef int touch_attachment(
    Features features, Work* work, const Entity* entity, const uint8_t* text, size_t length
) except -1 nogil:
    """Touch the type, size and beginning of a part that is no text."""
    work.decoded.length = 0
    decode_transfer(entity.transfer, text, length, ATTACHMENT_MOST, &work.decoded)
    features.touch(ATTACHED_TYPE, hash_text(entity.type, entity.type_length), NULL, 0, entity.type, entity.type_length)
    if entity.transfer == BASE64_TRANSFER:
        length = length // 4 * 3
    touch_magnitude(features, "size of an attachment is 2^", "an attachment", length)
    if work.decoded.length:
        features.touch(
            ATTACHMENT_START, hash_text(work.decoded.at, work.decoded.length), NULL, 0, entity.type, entity.type_length
        )
    if entity.attached:
        touch_fact(features, FACT, "there is an attachment")
    return 0


cdef int touch_file_name(Features features, const Entity* entity) except -1 nogil:
    """Touch the words of an attachment's name, and its extension."""
    cdef Words words
    cdef uint8_t[PARAMETER_BYTES] lower
    cdef size_t i, n = 0, dot = entity.file_length
    if entity.file_length == 0:
        return 0
    words.kind = words.cased = FILE_WORD
    words.seed, words.field, words.field_length = 0, NULL, 0
    words.left, words.looks_for_disguise, words.links = 10, False, False
    split_text(features, entity.file, entity.file_length, &words)
    for i in range(entity.file_length):
        if entity.file[i] == b".":
            dot = i
    for i in range(dot, entity.file_length):
        lower[n] = LOWER[entity.file[i]]
        n += 1
    return features.touch(EXTENSION, hash_text(lower, n), NULL, 0, lower, n) if n else 0
