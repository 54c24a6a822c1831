# Header fields: names, order, words, shapes, addresses, hops.

cdef enum:
    FIELDS_BYTES = 65536  # of the header of a message or part that are looked at
    MOST_FIELDS = 400
    VALUE_MOST = 8192  # bytes of a field's value
    FIELD_WORDS = 200
    SUBJECT_WORDS = 60
    NAME_BYTES = 60
    TYPE_BYTES = 100
    PARAMETER_BYTES = 250
    HOPS_READ = 8
    HOP_BYTES = 1000  # of a Received field
    SHAPE_BYTES = 120

DROPPED_FIELDS = (
    b"x-spam", b"x-dspam", b"x-bogosity", b"x-crm114", b"x-virus", b"x-rspam", b"x-uid", b"status", b"x-status",
    b"x-keywords", b"x-mozilla", b"content-length", b"lines", b"x-original-date", b"delivery-date", b"x-evolution",
    b"xref", b"x-amavis",
)
"""What filters, mailboxes and readers add: it says nothing of the message, or is not there when it arrives."""

RESULT_FIELDS = (
    b"arc-", b"received-spf", b"x-authentication-results", b"x-original-authentication-results",
    b"authentication-warning", b"x-dkim", b"dkim-filter", b"domainkey-status",
)
"""What others say they have checked: anybody can write it."""

SIGNATURE_FIELDS = (b"dkim-signature", b"domainkey-signature", b"x-google-dkim-signature")
"""They consist of numbers that no other message has."""


cdef enum FieldKind:
    ANY_FIELD
    DROPPED_FIELD
    CHECKS_FIELD
    SIGNED_FIELD
    DATE_FIELD
    TYPE_FIELD
    ENCODING_FIELD
    DISPOSITION_FIELD
    ID_FIELD
    HOP_FIELD
    SUBJECT_FIELD
    SENDER_FIELD
    SHAPED_FIELD

cdef enum:
    PREFIXES = 64

cdef struct Prefix:
    char[NAME_BYTES] text
    size_t length
    FieldKind kind
    bint whole

cdef Prefix[PREFIXES] _prefixes
cdef size_t _prefix_count = 0
cdef uint8_t[256] _first_of_prefix


cdef int _add_prefix(bytes text, FieldKind kind, bint whole) except -1:
    global _prefix_count
    cdef Prefix* prefix = &_prefixes[_prefix_count]
    memcpy(prefix.text, PyBytes_AS_STRING(text), <size_t>len(text) + 1)
    prefix.length, prefix.kind, prefix.whole = <size_t>len(text), kind, whole
    _first_of_prefix[<uint8_t>prefix.text[0]] = 1
    _prefix_count += 1
    return 0


cdef int _fill_fields() except -1:
    for text, kind in (
        (b"date", DATE_FIELD), (b"content-type", TYPE_FIELD), (b"content-transfer-encoding", ENCODING_FIELD),
        (b"content-disposition", DISPOSITION_FIELD), (b"message-id", ID_FIELD), (b"received", HOP_FIELD),
        (b"authentication-results", CHECKS_FIELD), (b"subject", SUBJECT_FIELD), (b"from", SENDER_FIELD), (b"to", SHAPED_FIELD), (b"x-mailer", SHAPED_FIELD),
    ):
        _add_prefix(text, kind, True)
    for text in DROPPED_FIELDS + RESULT_FIELDS:
        _add_prefix(text, DROPPED_FIELD, False)
    for text in SIGNATURE_FIELDS:
        _add_prefix(text, SIGNED_FIELD, True)
    return 0


cdef FieldKind field_kind(const uint8_t* lower, size_t length) noexcept nogil:
    cdef size_t i
    if _first_of_prefix[lower[0]]:
        for i in range(_prefix_count):
            if (
                length == _prefixes[i].length
                or (length > _prefixes[i].length and not _prefixes[i].whole)
            ) and memcmp(lower, _prefixes[i].text, _prefixes[i].length) == 0:
                return _prefixes[i].kind
    return ANY_FIELD


cdef struct Entity:  # a message or a part of one: what its header says of its body
    bint top  # the message itself
    size_t fields, hops
    size_t type_length, charset_length, boundary_length, file_length
    uint8_t[TYPE_BYTES] type
    uint8_t[CHARSET_SIZE] charset
    uint8_t[PARAMETER_BYTES] boundary
    uint8_t[PARAMETER_BYTES] file
    Transfer transfer
    bint attached
    uint64_t last_name  # the hash of the field before
    size_t last_length
    uint8_t[NAME_BYTES] last


cdef struct Field:
    FieldKind kind
    uint8_t[NAME_BYTES] name  # lower case
    size_t name_length
    uint64_t hash  # of the name
    const uint8_t* value  # trimmed, perhaps folded
    size_t length


cdef size_t read_fields(
    Features features, Work* work, Entity* entity, const uint8_t* text, size_t at, size_t length
) except? 0 nogil:
    """Read the header that begins at `at`; returns where the body begins."""
    cdef size_t start = at, end, colon
    while at < length:
        end = position(text, at, length, b"\n")
        if end == at or (end == at + 1 and text[at] == b"\r"):
            return min(end + 1, length)
        colon = field_colon(text, at, end)
        if colon == end:
            if at == start and begins(text + at, end - at, "from "):  # of a mailbox
                at = min(end + 1, length)
                start = at
                continue
            return at
        while end + 1 < length and (text[end + 1] == b" " or text[end + 1] == b"\t"):
            end = position(text, end + 1, length, b"\n")
        if entity.fields < MOST_FIELDS and at - start < FIELDS_BYTES:
            read_field(features, work, entity, text, at, colon, end)
        at = min(end + 1, length)
    return length


cdef size_t field_colon(const uint8_t* text, size_t at, size_t end) noexcept nogil:
    """Where the colon behind the name of a field is, or `end` if the line is no field."""
    cdef size_t i = at
    while i < end and i - at < NAME_BYTES and text[i] > b" ":
        if text[i] == b":":
            return i if i > at else end
        i += 1
    return end


cdef int append_senders(const uint8_t* text, size_t length, Buffer* out) except -1 nogil:
    """Append the From fields of a message as they are: the tokenizer makes the whitelist token of them."""
    cdef size_t at = 0, end
    cdef bint within = False  # a From field, which may be folded
    while at < length and text[at] != b"\n" and text[at] != b"\r" and out.length < FIELDS_BYTES:
        end = min(position(text, at, length, b"\n") + 1, length)
        if text[at] != b" " and text[at] != b"\t":
            within = begins(text + at, end - at, "from:")
        if within:
            append(out, text + at, end - at)
        at = end
    return 0


cdef int read_field(
    Features features, Work* work, Entity* entity, const uint8_t* text, size_t at, size_t colon, size_t end
) except -1 nogil:
    cdef Field field
    cdef size_t i
    field.name_length = colon - at
    for i in range(field.name_length):
        field.name[i] = LOWER[text[at + i]]
    field.kind = field_kind(field.name, field.name_length)
    entity.fields += 1
    if field.kind == DROPPED_FIELD or strings_have(&work.ignored, field.name, field.name_length):
        return 0
    field.hash = hash_text(field.name, field.name_length)
    at, colon = colon + 1, at
    while at < end and KIND[text[at]] & SPACE:
        at += 1
    while end > at and KIND[text[end - 1]] & SPACE:
        end -= 1
    field.value, field.length = text + at, min(end - at, <size_t>VALUE_MOST)
    if field.kind == CHECKS_FIELD:
        return touch_checks(features, work, &field) if entity.top else 0
    touch_field_name(features, entity, &field, text + colon)
    if field.kind == DATE_FIELD:
        return touch_date(features, work, &field)
    if field.kind == SIGNED_FIELD:
        return 0
    if field.kind == HOP_FIELD:
        entity.hops += 1
        return touch_hop(features, &field, entity.hops)
    if field.kind == ID_FIELD:
        return touch_id(features, &field)
    if field.kind == TYPE_FIELD:
        read_type(features, work, entity, &field)
    elif field.kind == ENCODING_FIELD:
        read_encoding(features, entity, &field)
    elif field.kind == DISPOSITION_FIELD:
        read_disposition(work, entity, &field)
    return touch_value(features, work, entity, &field)


cdef int touch_field_name(Features features, Entity* entity, const Field* field, const uint8_t* name) except -1 nogil:
    """Touch the name of a field, how it is spelled, and which one it follows."""
    if not entity.top:
        return features.touch(PART_FIELD, field.hash, field.name, field.name_length, NULL, 0)
    features.touch(FIELD_NAME, field.hash, field.name, field.name_length, NULL, 0)
    features.touch(
        FIELD_SPELLING, hash_text(name, field.name_length), NULL, 0, name, field.name_length
    )
    if field.kind != HOP_FIELD or entity.hops == 0:
        if entity.last_length:
            features.touch(
                FIELD_PAIR, 5 * entity.last_name + field.hash,
                entity.last, entity.last_length, field.name, field.name_length,
            )
        else:
            features.touch(FIRST_FIELD, field.hash, field.name, field.name_length, NULL, 0)
    entity.last_name, entity.last_length = field.hash, field.name_length
    memcpy(entity.last, field.name, field.name_length)
    return 0


cdef int touch_value(Features features, Work* work, const Entity* entity, Field* field) except -1 nogil:
    """Touch the words of a field, and what else its text shows."""
    cdef Words words
    cdef Buffer* value = &work.value
    cdef bint encoded = False
    value.length = 0
    decode_field(field.value, field.length, &work.bytes, value, &encoded)
    if value.length == 0:
        return 0
    words.kind = words.cased = PROGRAM_WORD if names_program(field) else FIELD_WORD
    words.seed, words.field, words.field_length = 7 * field.hash, field.name, field.name_length
    words.left, words.looks_for_disguise, words.links = <size_t>FIELD_WORDS, False, False
    split_text(features, value.at, value.length, &words)
    touch_domains(features, field, value)
    if not entity.top:
        return 0
    if field.kind == SUBJECT_FIELD:
        touch_subject(features, value, encoded)
    elif field.kind == SENDER_FIELD:
        touch_grams(features, SENDER_GRAM, value.at, value.length, GRAM_TEXT // 2)
    elif field.kind == SHAPED_FIELD:
        touch_shape(features, FIELD_SHAPE, field, value.at, min(value.length, <size_t>100), 40)
    return 0


cdef bint names_program(const Field* field) noexcept nogil:
    """Whether a field says which program wrote the message."""
    return is_named(field.name, field.name_length, "x-mailer") or is_named(field.name, field.name_length, "user-agent")


cdef int touch_shape(
    Features features, Kind kind, const Field* field, const uint8_t* text, size_t length, size_t most
) except -1 nogil:
    cdef uint8_t[SHAPE_BYTES] shape
    cdef size_t n = shape_of(text, length, most, shape)
    return features.touch(
        kind, hash_text(shape, n) + 11 * field.hash, field.name, field.name_length, shape, n
    )


cdef int touch_domains(Features features, const Field* field, const Buffer* value) except -1 nogil:
    """Touch what stands behind each `@`."""
    cdef size_t at = 0, end, n
    cdef uint8_t[HOST_BYTES] lower
    while True:
        at = position(value.at, at, value.length, b"@")
        if at == value.length:
            return 0
        end = at = at + 1
        n = 0
        while end < value.length and n < HOST_BYTES and IN_HOST[value.at[end]] and value.at[end] not in b"@%_":
            lower[n] = LOWER[value.at[end]]
            n += 1
            end += 1
        features.touch(
            SENDER_DOMAIN if field.kind == SENDER_FIELD else FIELD_DOMAIN,
            hash_text(lower, n) + 13 * field.hash, field.name, field.name_length, lower, n,
        )


cdef int touch_subject(Features features, const Buffer* value, bint encoded) except -1 nogil:
    cdef Words words
    cdef size_t i, marks = 0, capitals = 0, small = 0
    words.kind, words.cased = SUBJECT_OR_BODY_WORD, SUBJECT_CASED_WORD
    words.seed, words.field, words.field_length = 0, NULL, 0
    words.left, words.looks_for_disguise, words.links = <size_t>SUBJECT_WORDS, True, False
    split_text(features, value.at, value.length, &words)
    touch_grams(features, SUBJECT_GRAM, value.at, value.length, GRAM_TEXT)
    if encoded:
        touch_fact(features, FACT, "Subject is encoded")
    for i in range(value.length):
        marks += value.at[i] == b"!"
        capitals += BYTE[value.at[i]] & CAPITAL != 0
        small += BYTE[value.at[i]] & (ALPHA | CAPITAL) == ALPHA
    if marks:
        touch_number(features, EXCLAMATIONS, "", marks)
    if capitals > 3 and small < 2:
        touch_fact(features, FACT, "Subject is written in capitals")
    return 0


cdef int touch_number(Features features, Kind kind, const char* what, size_t number) except -1 nogil:
    """Touch a number of something."""
    return touch_shown_number(features, kind, what, what, number)


cdef int touch_shown_number(
    Features features, Kind kind, const char* what, const char* shown, size_t number
) except -1 nogil:
    """Touch a number of something that people call otherwise than we do."""
    cdef uint8_t[20] digits
    cdef size_t n = 20
    while True:
        n -= 1
        digits[n] = <uint8_t>(<uint8_t>b"0" + number % 10)
        number //= 10
        if number == 0:
            break
    return features.touch(
        kind, hash_text(digits + n, 20 - n) + 17 * hash_text(<const uint8_t*>what, strlen(what)),
        <const uint8_t*>shown, strlen(shown), digits + n, 20 - n,
    )


cdef int touch_date(Features features, Work* work, const Field* field) except -1 nogil:
    """Touch the zone and the shape of a date: the date itself says nothing of other messages."""
    cdef size_t zone = field.length
    while zone and field.value[zone - 1] != b"+" and field.value[zone - 1] != b"-":
        zone -= 1
    if zone and field.length - zone >= 4:
        features.touch(ZONE, hash_text(field.value + zone - 1, 5), NULL, 0, field.value + zone - 1, 5)
    else:
        touch_fact(features, FACT, "Date has no time zone")
    return touch_shape(features, FIELD_SHAPE, field, field.value, min(field.length, <size_t>40), 40)


cdef int touch_id(Features features, const Field* field) except -1 nogil:
    """Touch the shape and the host of a Message-ID."""
    cdef size_t at = position(field.value, 0, field.length, b"@"), n = 0, i
    cdef uint8_t[HOST_BYTES] lower
    touch_shape(features, FIELD_SHAPE, field, field.value, field.length, 60)
    if at == field.length:
        return touch_fact(features, FACT, "Message-ID has no host")
    touch_shape(features, LOCAL_SHAPE, field, field.value, at, 40)
    for i in range(at + 1, min(field.length, at + 1 + HOST_BYTES)):
        if field.value[i] == b">":
            break
        lower[n] = LOWER[field.value[i]]
        n += 1
    return features.touch(
        ID_HOST, hash_text(lower, n) + 13 * field.hash, field.name, field.name_length, lower, n
    )


# -- Received


cdef int touch_hop(Features features, const Field* field, size_t number) except -1 nogil:
    """Touch names, addresses and networks of a hop; not its number and date."""
    cdef size_t stop = min(field.length, <size_t>HOP_BYTES), at = 0, start, i
    cdef bint identifies = False  # the word in front is `id`: this one is a number that no other message has
    if number > HOPS_READ:
        return 0
    for i in range(stop):
        if field.value[stop - 1 - i] == b";":
            stop = stop - 1 - i
            break
    touch_shape(features, FIELD_SHAPE, field, field.value, stop, SHAPE_BYTES)
    while at < stop:
        while at < stop and not KIND[field.value[at]] & (LETTER | DIGIT):
            at += 1
        start = at
        while at < stop and (KIND[field.value[at]] & (LETTER | DIGIT) or field.value[at] in b".-_@"):
            at += 1
        if at > start and not identifies:
            touch_hop_word(features, field.value + start, min(at - start, <size_t>HOST_BYTES), min(number, <size_t>3))
        identifies = is_named(field.value + start, at - start, "id")
    return 0


cdef int touch_hop_word(Features features, const uint8_t* text, size_t length, size_t number) except -1 nogil:
    cdef uint8_t[HOST_BYTES] lower
    cdef uint8_t place = <uint8_t>(<uint8_t>b"0" + number)
    cdef size_t i, dots = 0, first
    cdef bint numeric = True
    cdef uint64_t hash
    for i in range(length):
        lower[i] = LOWER[text[i]]
        if lower[i] == b".":
            dots += 1
        elif not KIND[lower[i]] & DIGIT:
            numeric = False
    hash = hash_text(lower, length)
    if numeric and dots == 3:
        first = position(lower, 0, length, b".")
        features.touch(HOP_ADDRESS, hash, lower, first, lower + first, length - first)
        features.touch(
            HOP_ADDRESS_AT, hash + number * 0x9E3779B97F4A7C15ULL, lower, first, lower + first, length - first
        )
        for i in range(first, length):
            if lower[i] == b".":
                features.touch(HOP_NETWORK, hash_text(lower, i), lower, first, lower + first, i - first)
        return 0
    features.touch(HOP_WORD, hash, NULL, 0, lower, length)
    features.touch(HOP_WORD_AT, hash + number * 0x9E3779B97F4A7C15ULL, &place, 1, lower, length)
    for i in range(length):
        if lower[i] == b"." and i + 1 < length and not numeric:
            features.touch(HOP_DOMAIN, hash_text(lower + i + 1, length - i - 1), NULL, 0, lower + i + 1, length - i - 1)
    return 0


# -- Authentication-Results (RFC 8601)


cdef int touch_checks(Features features, Work* work, const Field* field) except -1 nogil:
    """Touch the results of a server that is ours, and the domains that they are about; others may be invented."""
    cdef uint8_t[HOST_BYTES] token, result
    cdef size_t at = 0, n = check_token(field, &at, token), size = 0, sign
    if not strings_have(&work.our_hosts, token, n):
        return 0
    while at < field.length:
        n = check_token(field, &at, token)
        if n == 0:  # the end of a result
            at += 1
            size = 0
            continue
        sign = position(token, 0, n, b"=")
        if sign == n:
            continue
        if size == 0:
            size = n
            memcpy(result, token, n)
            features.touch(CHECK, hash_text(result, size), NULL, 0, result, size)
        elif is_named(token, sign, "header.d") or is_named(token, sign, "header.from") or is_named(
            token, sign, "smtp.mailfrom"
        ):
            at_domain(token, n, &sign)
            features.touch(
                CHECKED_DOMAIN, hash_text(token + sign, n - sign) + 19 * hash_text(result, size),
                result, size, token + sign, n - sign,
            )
    return 0


cdef void at_domain(const uint8_t* token, size_t length, size_t* start) noexcept nogil:
    """Move `start` from the sign in front of an address to its domain."""
    cdef size_t at = position(token, start[0], length, b"@")
    start[0] = at + 1 if at < length else start[0] + 1


cdef size_t check_token(const Field* field, size_t* at, uint8_t* out) noexcept nogil:
    """Write the next word in lower case, without comments and quotes; 0 at a semicolon and at the end."""
    cdef size_t n = 0, depth = 0
    cdef uint8_t byte
    while at[0] < field.length:
        byte = field.value[at[0]]
        if byte == b"(":
            depth += 1
        elif depth:
            if byte == b")":
                depth -= 1
        elif byte == b";":
            break
        elif KIND[byte] & SPACE:
            if n:
                break
        elif byte != b'"' and n < HOST_BYTES:
            out[n] = LOWER[byte]
            n += 1
        at[0] += 1
    return n


# -- fields that say how to read the body


cdef int read_type(Features features, Work* work, Entity* entity, Field* field) except -1 nogil:
    cdef size_t n = 0
    cdef bint slash = False
    while n < field.length and n < TYPE_BYTES and field.value[n] != b";" and not KIND[field.value[n]] & SPACE:
        entity.type[n] = LOWER[field.value[n]]
        slash = slash or entity.type[n] == b"/"
        n += 1
    entity.type_length = n if slash else 0
    entity.charset_length = parameter(field, "charset", entity.charset, CHARSET_SIZE)
    for n in range(entity.charset_length):
        entity.charset[n] = LOWER[entity.charset[n]]
    entity.boundary_length = parameter(field, "boundary", entity.boundary, PARAMETER_BYTES)
    if entity.file_length == 0:
        read_file_name(work, entity, field, "name")
    features.touch(
        MESSAGE_TYPE if entity.top else PART_TYPE,
        hash_text(entity.type, entity.type_length), NULL, 0, entity.type, entity.type_length,
    )
    features.touch(CHARSET, hash_text(entity.charset, entity.charset_length), NULL, 0, entity.charset, entity.charset_length)
    return touch_shape(features, BOUNDARY_SHAPE, field, entity.boundary, entity.boundary_length, 60)


cdef int read_encoding(Features features, Entity* entity, Field* field) except -1 nogil:
    cdef uint8_t[32] lower
    cdef size_t n = 0
    while n < field.length and n < 32 and field.value[n] != b";" and not KIND[field.value[n]] & SPACE:
        lower[n] = LOWER[field.value[n]]
        n += 1
    entity.transfer = PLAIN_TRANSFER
    if is_named(lower, n, "base64"):
        entity.transfer = BASE64_TRANSFER
    elif is_named(lower, n, "quoted-printable"):
        entity.transfer = QUOTED_TRANSFER
    return features.touch(
        MESSAGE_ENCODING if entity.top else PART_ENCODING, hash_text(lower, n), NULL, 0, lower, n
    )


cdef int read_disposition(Work* work, Entity* entity, Field* field) except -1 nogil:
    entity.attached = begins(field.value, field.length, "attachment")
    return read_file_name(work, entity, field, "filename")


cdef int read_file_name(Work* work, Entity* entity, const Field* field, const char* name) except -1 nogil:
    """Keep the name of an attachment as UTF-8."""
    cdef uint8_t[PARAMETER_BYTES] raw
    cdef size_t n = parameter(field, name, raw, PARAMETER_BYTES)
    cdef bint encoded = False
    if n == 0:
        return 0
    work.value.length = 0
    decode_field(raw, n, &work.bytes, &work.value, &encoded)
    entity.file_length = min(work.value.length, <size_t>PARAMETER_BYTES)
    if entity.file_length:
        memcpy(entity.file, work.value.at, entity.file_length)
    return 0


cdef size_t parameter(const Field* field, const char* name, uint8_t* out, size_t most) noexcept nogil:
    """Write the value of a parameter; of one in pieces the first (RFC 2231); returns its length, 0 if it is not there."""
    cdef const uint8_t* text = field.value
    cdef size_t i = position(text, 0, field.length, b";"), n = 0, size = strlen(name), quotes = 0
    cdef bint extended = False
    while i < field.length:
        while i < field.length and (text[i] == b";" or KIND[text[i]] & SPACE):
            i += 1
        if begins(text + i, field.length - i, name):
            i += size
            extended = False
            while i < field.length and (text[i] == b"*" or KIND[text[i]] & (DIGIT | SPACE)):
                extended = text[i] == b"*"
                i += 1
            if i < field.length and text[i] == b"=":
                i += 1
                break
        i = next_parameter(text, i, field.length)
    while i < field.length and KIND[text[i]] & SPACE:
        i += 1
    if i >= field.length:
        return 0
    if text[i] == b'"':
        i += 1
        while i < field.length and text[i] != b'"' and n < most:
            if text[i] == b"\\" and i + 1 < field.length:
                i += 1
            out[n] = text[i]
            n += 1
            i += 1
    else:
        while i < field.length and text[i] != b";" and not KIND[text[i]] & SPACE and n < most:
            out[n] = text[i]
            n += 1
            i += 1
    if extended:
        return decode_extended(out, n)
    return n


cdef size_t next_parameter(const uint8_t* text, size_t i, size_t length) noexcept nogil:
    """Where the `;` behind a parameter is, outside of quotes."""
    while i < length and text[i] != b";":
        if text[i] == b'"':
            i = position(text, i + 1, length, b'"')
        i += 1
    return min(i, length)


cdef size_t decode_extended(uint8_t* text, size_t length) noexcept nogil:
    """Decode `charset'language'%41%42` where it lies (RFC 2231 4)."""
    cdef size_t i = position(text, 0, length, b"'"), n = 0
    i = position(text, i + 1, length, b"'") if i < length else length
    i = i + 1 if i < length else 0
    while i < length:
        if text[i] == b"%" and i + 2 < length and HEX[text[i + 1]] >= 0 and HEX[text[i + 2]] >= 0:
            text[n] = <uint8_t>(HEX[text[i + 1]] << 4 | HEX[text[i + 2]])
            i += 3
        else:
            text[n] = text[i]
            i += 1
        n += 1
    return n
