# HTML: what a reader sees, what is hidden, and the tags.
#
# A scanner of tags, as forgiving as a browser: no tree is built.  A text is hidden while an element is open
# that is not shown, or has no size.  Targets of links are put into the text where they stand.

cdef enum:
    TAG_BYTES = 20
    ATTRIBUTE_BYTES = 30
    VALUE_BYTES = 40  # of a value that becomes a feature
    TARGET_BYTES = 2000
    STYLE_BYTES = 500
    ANCHOR_BYTES = 300  # of the text of a link, that may show a host

cdef enum TagKind:
    INLINE_TAG
    BLOCK_TAG  # words do not go on behind it
    RAW_TAG  # its content is no text
    ANCHOR_TAG

cdef enum AttributeKind:
    OTHER_ATTRIBUTE
    TARGET_ATTRIBUTE
    TEXT_ATTRIBUTE  # shown, or written to be found
    STYLE_ATTRIBUTE
    HIDDEN_ATTRIBUTE

cdef enum:
    NAME_SLOTS = 512  # of known names, by hash

cdef struct KnownName:
    uint64_t hash
    uint32_t meaning
    bint void  # a tag that has no end

cdef KnownName[NAME_SLOTS] _tags
cdef KnownName[NAME_SLOTS] _attributes
cdef KnownName[8 * NAME_SLOTS] _entities

_TAGS = {
    BLOCK_TAG: "br p div td th tr li ul ol dl dt dd table h1 h2 h3 h4 h5 h6 body title hr center blockquote pre option form",
    RAW_TAG: "script style",
    ANCHOR_TAG: "a",
}
_VOID = "area base br col embed hr img input link meta param source track wbr".split()
_ATTRIBUTES = {
    TARGET_ATTRIBUTE: "href src action background",
    TEXT_ATTRIBUTE: "alt title content",
    STYLE_ATTRIBUTE: "style",
    HIDDEN_ATTRIBUTE: "hidden",
}


cdef int _learn_name(KnownName* names, size_t size, bytes name, uint32_t meaning, bint void) except -1:
    cdef uint64_t hash = hash_text(<const uint8_t*>PyBytes_AS_STRING(name), <size_t>len(name))
    cdef size_t slot = hash & (size - 1)
    while names[slot].hash and names[slot].hash != hash:
        slot = (slot + 1) & (size - 1)
    names[slot].hash, names[slot].void = hash, void
    names[slot].meaning = meaning or names[slot].meaning
    return 0


cdef inline const KnownName* known_name(const KnownName* names, size_t size, uint64_t hash) noexcept nogil:
    """What is known of a name; NULL if nothing."""
    cdef size_t slot = hash & (size - 1)
    while names[slot].hash:
        if names[slot].hash == hash:
            return &names[slot]
        slot = (slot + 1) & (size - 1)
    return NULL


cdef int _fill_names() except -1:
    for meaning, names in _TAGS.items():
        for name in names.split():
            _learn_name(_tags, NAME_SLOTS, name.encode(), meaning, name in _VOID)
    for name in _VOID:
        _learn_name(_tags, NAME_SLOTS, name.encode(), 0, True)
    for meaning, names in _ATTRIBUTES.items():
        for name in names.split():
            _learn_name(_attributes, NAME_SLOTS, name.encode(), meaning, False)
    for name, code in html.entities.name2codepoint.items():
        _learn_name(_entities, 8 * NAME_SLOTS, name.encode(), code, False)
    _learn_name(_entities, 8 * NAME_SLOTS, b"apos", 39, False)
    return 0


cdef struct Markup:
    Buffer* visible
    Buffer* hidden
    uint64_t hidden_tag  # the element that hides what is in it
    size_t hidden_depth  # how many of that name are open
    size_t anchor  # where the text of the open link begins in `visible`, or SIZE_MAX
    uint8_t[HOST_BYTES] host  # where it leads
    size_t host_length


cdef inline Buffer* place_of(Markup* markup) noexcept nogil:
    """Where text goes that stands here."""
    return markup.hidden if markup.hidden_depth else markup.visible


cdef int read_markup(
    Features features, const uint8_t* text, size_t length, Buffer* visible, Buffer* hidden
) except -1 nogil:
    """Append the texts of a page to `visible` and `hidden`, and touch its tags."""
    cdef Markup markup
    cdef size_t at = 0, open
    memset(&markup, 0, sizeof(Markup))
    markup.visible, markup.hidden, markup.anchor = visible, hidden, SIZE_MAX
    while at < length:
        open = position(text, at, length, b"<")
        append_entities(features, text + at, open - at, place_of(&markup))
        at = open
        if at < length:
            at = read_tag(features, &markup, text, at, length)
    return 0


cdef size_t read_tag(
    Features features, Markup* markup, const uint8_t* text, size_t at, size_t length
) except? 0 nogil:
    """Read what begins with `<` at `at`; returns where the text goes on."""
    cdef size_t i = at + 1, start, n
    cdef bint closing = False, hides = False
    cdef uint8_t[TAG_BYTES] tag
    cdef uint64_t hash
    cdef const KnownName* known
    cdef uint32_t meaning
    if length - at >= 4 and memcmp(text + at, <const char*>b"<!--", 4) == 0:
        return read_comment(features, markup, text, at + 4, length)
    if i < length and text[i] == b"?":
        return min(position(text, i, length, b">") + 1, length)
    if i < length and text[i] == b"/":
        closing = True
        i += 1
    start = i
    while i < length and i - start < TAG_BYTES and (KIND[text[i]] & (LETTER | DIGIT) or text[i] == b"!"):
        tag[i - start] = LOWER[text[i]]
        i += 1
    n = i - start
    if n == 0:
        append(place_of(markup), text + at, 1)
        return at + 1
    hash = hash_text(tag, n)
    known = known_name(_tags, NAME_SLOTS, hash)
    meaning = known.meaning if known else <uint32_t>INLINE_TAG
    if not closing:
        features.touch(TAG, hash, tag, n, NULL, 0)
    if meaning == BLOCK_TAG:
        append(place_of(markup), b"\n", 1)
    if meaning == ANCHOR_TAG:
        end_anchor(features, markup)
    i = read_attributes(features, markup, tag, n, hash, meaning, text, i, length, &hides)
    if closing:
        if markup.hidden_depth and hash == markup.hidden_tag:
            markup.hidden_depth -= 1
    elif not (known and known.void):
        if markup.hidden_depth:
            markup.hidden_depth += hash == markup.hidden_tag
        elif hides:
            markup.hidden_tag, markup.hidden_depth = hash, 1
            append(markup.visible, b" ", 1)
        if meaning == RAW_TAG:
            return end_of_raw(tag, n, text, i, length)
    return i


cdef size_t end_of_raw(const uint8_t* tag, size_t n, const uint8_t* text, size_t at, size_t length) noexcept nogil:
    """Where the end of a script or a style begins."""
    cdef size_t i
    while True:
        at = position(text, at, length, b"<")
        if length - at < n + 2:
            return length
        if text[at + 1] == b"/":
            for i in range(n):
                if LOWER[text[at + 2 + i]] != tag[i]:
                    break
            else:
                return at
        at += 1


cdef size_t read_comment(
    Features features, Markup* markup, const uint8_t* text, size_t at, size_t length
) except? 0 nogil:
    cdef const uint8_t* end = <const uint8_t*>memmem(text + at, length - at, b"-->", 3)
    cdef size_t n = markup.visible.length
    touch_fact(features, FACT, "HTML has a comment")
    if n and not KIND[markup.visible.at[n - 1]] & SPACE:
        touch_fact(features, FACT, "HTML has a comment inside a word")
    return <size_t>(end - text) + 3 if end else length


cdef size_t read_attributes(
    Features features,
    Markup* markup,
    const uint8_t* tag,
    size_t tag_length,
    uint64_t tag_hash,
    uint32_t meaning,
    const uint8_t* text,
    size_t i,
    size_t length,
    bint* hides,
) except? 0 nogil:
    """Touch the attributes of a tag; returns where the text goes on behind it."""
    cdef size_t start, n, value
    cdef uint8_t[ATTRIBUTE_BYTES] name
    cdef uint8_t quote
    cdef uint64_t hash
    cdef const KnownName* known
    while i < length and text[i] != b">":
        if KIND[text[i]] & SPACE or text[i] == b"/":
            i += 1
            continue
        start = i
        n = 0
        while i < length and not KIND[text[i]] & SPACE and text[i] != b"=" and text[i] != b">":
            if n < ATTRIBUTE_BYTES:
                name[n] = LOWER[text[i]]
                n += 1
            i += 1
        if i == start:  # a stray `=`
            i += 1
            continue
        hash = hash_text(name, n)
        features.touch(TAG_ATTRIBUTE, hash + 3 * tag_hash, tag, tag_length, name, n)
        known = known_name(_attributes, NAME_SLOTS, hash)
        if known and known.meaning == HIDDEN_ATTRIBUTE:
            hides[0] = True
        while i < length and KIND[text[i]] & SPACE:
            i += 1
        if i == length or text[i] != b"=":
            continue
        i += 1
        while i < length and KIND[text[i]] & SPACE:
            i += 1
        quote = 0
        if i < length and (text[i] == b'"' or text[i] == b"'"):
            quote = text[i]
            i += 1
        value = i
        if quote:
            i = position(text, i, length, quote)
        else:
            while i < length and not KIND[text[i]] & SPACE and text[i] != b">":
                i += 1
        use_attribute(
            features, markup, meaning, known.meaning if known else <uint32_t>OTHER_ATTRIBUTE,
            name, n, hash, text + value, i - value, hides,
        )
        if quote and i < length:
            i += 1
    return min(i + 1, length)


cdef int use_attribute(
    Features features,
    Markup* markup,
    uint32_t tag_meaning,
    uint32_t meaning,
    const uint8_t* name,
    size_t name_length,
    uint64_t name_hash,
    const uint8_t* value,
    size_t length,
    bint* hides,
) except -1 nogil:
    cdef uint8_t[VALUE_BYTES] lower
    cdef size_t i, n
    cdef Buffer* out
    if meaning == TARGET_ATTRIBUTE or meaning == TEXT_ATTRIBUTE:
        out = place_of(markup)
        append(out, b" ", 1)
        n = out.length
        append_entities(features, value, min(length, <size_t>TARGET_BYTES), out)
        if tag_meaning == ANCHOR_TAG and meaning == TARGET_ATTRIBUTE and out == markup.visible:
            begin_anchor(markup, out.at + n, out.length - n)
        append(out, b" ", 1)
        if tag_meaning == ANCHOR_TAG and markup.anchor != SIZE_MAX:
            markup.anchor = out.length
        return 0
    if meaning == STYLE_ATTRIBUTE and style_hides(value, length):
        hides[0] = True
    n = min(length, <size_t>VALUE_BYTES)
    for i in range(n):
        lower[i] = LOWER[value[i]]
    return features.touch(
        ATTRIBUTE_VALUE, hash_text(lower, n) + 5 * name_hash, name, name_length, lower, n
    )


cdef bint style_hides(const uint8_t* value, size_t length) noexcept nogil:
    """Whether a style shows nothing: `display: none`, `visibility: hidden`, a font or height of nothing."""
    cdef uint8_t[STYLE_BYTES] style
    cdef size_t i, n = 0
    for i in range(min(length, <size_t>STYLE_BYTES)):
        if KIND[value[i]] & SPACE:
            continue
        style[n] = LOWER[value[i]]
        n += 1
    for i in range(n):
        if style[i] == b":":
            if ends(style, i, "display") and begins(style + i + 1, n - i - 1, "none"):
                return True
            if ends(style, i, "visibility") and begins(style + i + 1, n - i - 1, "hidden"):
                return True
            if (ends(style, i, "font-size") or ends(style, i, "max-height") or ends(style, i, "opacity")) and is_nothing(
                style + i + 1, n - i - 1
            ):
                return True
    return False


cdef bint ends(const uint8_t* text, size_t length, const char* lower) noexcept nogil:
    """Whether `text` ends in a name."""
    cdef size_t n = strlen(lower)
    return (
        length >= n
        and memcmp(text + length - n, lower, n) == 0
        and (length == n or not (KIND[text[length - n - 1]] & LETTER or text[length - n - 1] == b"-"))
    )


cdef bint is_nothing(const uint8_t* value, size_t length) noexcept nogil:
    """Whether a size is zero, or one pixel, which nobody reads."""
    if length and value[0] == b"1":
        return begins(value + 1, length - 1, "px") or begins(value + 1, length - 1, "pt")
    return length > 0 and value[0] == b"0" and (length == 1 or not (KIND[value[1]] & DIGIT or value[1] == b"."))


# -- links


cdef int begin_anchor(Markup* markup, const uint8_t* target, size_t length) noexcept nogil:
    """Remember where a link leads, to compare it with what it shows."""
    cdef size_t start = link_start(target, length), end
    if start < length:
        end = host_of(target, length, &start)
        if end > start:
            markup.host_length = min(end - start, <size_t>HOST_BYTES)
            memcpy(markup.host, target + start, markup.host_length)
            markup.anchor = markup.visible.length
    return 0


cdef int end_anchor(Features features, Markup* markup) except -1 nogil:
    """Compare the host that the text of a link shows, if it does, with the one that it leads to."""
    cdef const uint8_t* text
    cdef size_t i = 0, length, start, end, n
    if markup.anchor == SIZE_MAX:
        return 0
    text = markup.visible.at + markup.anchor
    length = min(markup.visible.length - markup.anchor, <size_t>ANCHOR_BYTES)
    markup.anchor = SIZE_MAX
    while i < length and BYTE[text[i]] & BREAK:
        i += 1
    n = i
    while n < length and not BYTE[text[n]] & BREAK:
        n += 1
    start = i + link_start(text + i, n - i)
    if start >= n:
        return 0
    end = host_of(text, n, &start)
    if end > start and not same_site(text + start, end - start, markup.host, markup.host_length):
        touch_fact(features, LINK_FACT, "link shows another host than it leads to")
    return 0


cdef bint same_site(const uint8_t* a, size_t a_length, const uint8_t* b, size_t b_length) noexcept nogil:
    """Whether two hosts agree in their last two labels."""
    cdef size_t dots = 0
    while a_length and b_length:
        if LOWER[a[a_length - 1]] != LOWER[b[b_length - 1]]:
            return False
        dots += a[a_length - 1] == b"."
        if dots == 2:
            return True
        a_length -= 1
        b_length -= 1
    return (a_length == 0 or a[a_length - 1] == b".") and (b_length == 0 or b[b_length - 1] == b".")


# -- entities


cdef int append_entities(Features features, const uint8_t* text, size_t length, Buffer* out) except -1 nogil:
    """Append a text with its references decoded."""
    cdef size_t at = 0, start, size
    cdef uint32_t code
    cdef uint8_t[4] encoded
    while True:
        start = at
        at = position(text, at, length, b"&")
        append(out, text + start, at - start)
        if at == length:
            return 0
        size = read_reference(text + at, length - at, &code)
        if size == 0:
            append(out, b"&", 1)
            at += 1
            continue
        if text[at + 1] == b"#":
            touch_fact(features, FACT, "HTML has characters as numbers")
        append(out, encoded, put_code(code, encoded))
        at += size


cdef inline uint32_t next_digit(uint32_t value, uint32_t base, uint32_t digit) noexcept nogil:
    """A number with one digit more; from 0x110000 on it stays so, because that is no character."""
    return value * base + digit if value < 0x110000 else value


cdef size_t read_reference(const uint8_t* text, size_t length, uint32_t* code) noexcept nogil:
    """The length of the reference that begins with `&`, and its character; 0 if it is none."""
    cdef size_t i = 1
    cdef uint32_t value = 0
    cdef const KnownName* known
    if length > 2 and text[1] == b"#":
        if LOWER[text[2]] == b"x":
            i = 3
            while i < length and i < 12 and HEX[text[i]] >= 0:
                value = next_digit(value, 16, <uint32_t>HEX[text[i]])
                i += 1
            if i == 3:
                return 0
        else:
            i = 2
            while i < length and i < 12 and KIND[text[i]] & DIGIT:
                value = next_digit(value, 10, <uint32_t>(text[i] & 15))
                i += 1
            if i == 2:
                return 0
        if 128 <= value < 160:
            value = WINDOWS_1252[value - 128]
        if value == 0 or value >= 0x110000 or 0xD800 <= value < 0xE000:
            value = 0xFFFD
        code[0] = value
    else:
        while i < length and i < 10 and KIND[text[i]] & (LETTER | DIGIT):
            i += 1
        known = known_name(_entities, 8 * NAME_SLOTS, hash_text(text + 1, i - 1)) if i > 1 else NULL
        if known == NULL:
            return 0
        code[0] = known.meaning
    if i < length and text[i] == b";":
        i += 1
    return i
