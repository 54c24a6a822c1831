# HTML as the text that the tokenizer sees (engine.md 1.10).
#
# This is no parser: it follows the original's rules and oddities, because dictionaries depend on them.  The
# output never grows beyond the input; copying the value of an unclosed link stops there, so no input
# makes it read anything more than a few times.

LATIN = (  # entities of 161 to 223; the accented letters give the upper-case byte in any case
    "iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 "
    "sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest agrave aacute "
    "acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth "
    "ntilde ograve oacute ocirc otilde ouml times oslash ugrave uacute ucirc uuml yacute thorn szlig"
)
OTHER_BYTES = {
    "nbsp": 32, "quot": 34, "amp": 38, "apos": 39, "lt": 60, "gt": 62, "divide": 247, "yuml": 255
}
SILENT = (  # known, but they give nothing
    "oelig scaron fnof circ tilde alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi omicron pi rho sigma sigmaf tau upsilon phi chi psi omega upsih piv ensp emsp thinsp zwnj "
    "zwj lrm rlm ndash mdash lsquo rsquo sbquo ldquo rdquo bdquo dagger bull hellip permil prime "
    "lsaquo rsaquo oline frasl euro image weierp real trade alefsym larr uarr rarr darr harr crarr "
    "forall part exist empty nabla isin notin ni prod sum minus lowast radic prop infin ang and or "
    "cap cup int there4 sim cong asymp ne equiv le ge sub sup nsub sube supe oplus otimes perp sdot "
    "lceil rceil lfloor rfloor lang rang loz spades clubs hearts diams"
)

cdef enum:
    ENTITY_SLOTS = 1024
    ENTITY_NAME = 8  # no name is longer

cdef uint64_t[ENTITY_SLOTS] ENTITY  # the name's letters as one number, or 0
cdef uint8_t[ENTITY_SLOTS] ENTITY_BYTE


cdef inline uint32_t entity_slot(uint64_t name) noexcept nogil:
    """Where a name is, or the free place where it would be."""
    cdef uint32_t slot = <uint32_t>((name * 0x9E3779B97F4A7C15ULL) >> 54)
    while ENTITY[slot] and ENTITY[slot] != name:
        slot = (slot + 1) % ENTITY_SLOTS
    return slot


cdef int _fill_entities() except -1:
    cdef uint32_t slot
    values = dict.fromkeys(SILENT.split(), 0)
    values.update(zip(LATIN.split(), range(161, 224)), **OTHER_BYTES)
    for name, value in values.items():
        number = int.from_bytes(name.encode("ascii"), "little")
        slot = entity_slot(number)
        ENTITY[slot] = number
        ENTITY_BYTE[slot] = value
    return 0


_fill_entities()

cdef enum:
    LINKS = 17  # tags whose attribute may be a link; they need white space after the name
    LINE_ENDS = 27  # from LINKS up to here: tags that leave a line end
    TAGS = 37  # from LINE_ENDS up to here: tags whose content is skipped
    SAME_LETTER = 6  # no letter begins more of them

cdef const char* TAG[TAGS]
TAG[:] = [
    "<a", "<img", "<input", "<iframe", "<frame", "<script", "<form", "<embed", "<area", "<base", "<link",
    "<source", "<body", "<blockquote", "<q", "<ins", "<del",
    "<p>", "<p ", "<p\t", "<tr", "<option", "<br", "<li", "<div", "</select>", "</table>",
    "<applet", "<embed", "<frameset", "<frame", "<iframe", "<noembed", "<noscript", "<object", "<script",
    "<style",
]
cdef const char* LINK_ATTRIBUTE[LINKS]
LINK_ATTRIBUTE[:] = [
    "href", "src", "src", "src", "src", "src", "action", "src", "href", "href", "href",
    "src", "background", "cite", "cite", "cite", "cite",
]
cdef const char* SKIPPED_END[TAGS - LINE_ENDS]
SKIPPED_END[:] = [
    "</applet>", "</embed>", "</frameset>", "</frame>", "</iframe>", "</noembed>", "</noscript>",
    "</object>", "</script>", "</style>",
]
cdef uint8_t[256][SAME_LETTER] TAGS_BY_LETTER  # indexes into TAG in its order, then TAGS


cdef int _fill_tags() except -1:
    cdef int k, j
    memset(TAGS_BY_LETTER, TAGS, sizeof(TAGS_BY_LETTER))
    for k in range(TAGS):
        j = 0
        while TAGS_BY_LETTER[<uint8_t>TAG[k][1]][j] != TAGS:
            j += 1
        TAGS_BY_LETTER[<uint8_t>TAG[k][1]][j] = <uint8_t>k
    return 0


_fill_tags()


cdef struct Html:
    const uint8_t* text
    size_t length
    uint8_t* out
    size_t written  # never more than length
    const char* skip  # the close tag up to which nothing is text, or NULL
    bint visible
    bint after_cell  # a </td> was the last tag


cdef inline bint html_begins(const Html* html, size_t i, const char* lower) noexcept nogil:
    return begins(html.text + i, html.length - i, lower)


cdef inline uint8_t html_byte(const Html* html, size_t i) noexcept nogil:
    return html.text[i] if i < html.length else 0


cdef inline void emit(Html* html, uint8_t byte) noexcept nogil:
    if html.written < html.length:
        html.out[html.written] = byte
        html.written += 1


cdef void emit_text(Html* html, size_t start, size_t end) noexcept nogil:
    cdef size_t n = min(end - start, html.length - html.written)
    memcpy(html.out + html.written, html.text + start, n)
    html.written += n


cdef size_t strip_html(const uint8_t* text, size_t length, uint8_t* out) noexcept nogil:
    """Write the text of an HTML body to `out`, which has room for `length` bytes."""
    cdef Html html
    cdef size_t i = 0
    cdef uint8_t byte
    html.text, html.length, html.out, html.written = text, length, out, 0
    html.skip, html.visible, html.after_cell = NULL, True, False
    while i < length and html.written < length:
        byte = text[i]
        if byte == b"<" and (html.skip or i + 1 < length):
            i = strip_tag(&html, i)
            continue
        if byte == b"<":
            html.after_cell, html.visible = False, True
        elif html.skip:
            i += 1
            continue
        elif not KIND[byte] & SPACE:
            html.visible = True
        if byte == b"&" and html_byte(&html, i + 1) == b"#":
            i = numeric_entity(&html, i)
            html.visible = False
        elif byte == b"&" and named_entity(&html, &i):
            html.visible = False
        elif html.visible:
            emit(&html, byte)
        i += 1
    return html.written


cdef size_t strip_tag(Html* html, size_t i) noexcept nogil:
    """Handle the `<` at i, which is not the last byte or lies in skipped text; returns where to go on."""
    cdef uint8_t byte
    cdef size_t end
    if html.skip:
        if html_begins(html, i, html.skip):
            i += strlen(html.skip) - 1
            html.skip = NULL
        return i + 1
    if html_begins(html, i, "</td>"):
        html.after_cell = True
        return i + 5
    if html.after_cell and html_begins(html, i, "<td"):
        if html.written and not KIND[html.out[html.written - 1]] & SPACE:
            emit(html, b" ")
        html.visible = False
    else:
        html.after_cell, html.visible = False, True
    byte = html.text[i + 1]
    if not (KIND[byte] & LETTER or byte == b"/" or byte == b"!"):
        html.visible = True
        emit(html, b"<")
        end = position(html.text, i + 1, html.length, b"<")
        emit_text(html, i + 1, end)
        return end + 1  # the next "<" is swallowed
    end = i + 1
    while end < html.length and html.text[end] != b"<" and html.text[end] != b">":
        end += 1
    known_tag(html, i, end)
    return end + 1 if html_byte(html, end) == b">" else end


cdef void known_tag(Html* html, size_t i, size_t end) noexcept nogil:
    """Handle tags with an effect: a link, a line end, skipped content."""
    cdef const uint8_t* candidates = TAGS_BY_LETTER[LOWER[html.text[i + 1]]]
    cdef size_t after
    cdef uint8_t last
    cdef int j, k
    for j in range(SAME_LETTER):
        k = candidates[j]
        if k == TAGS:
            return
        if not html_begins(html, i, TAG[k]):
            continue
        after = i + strlen(TAG[k])
        if k >= LINE_ENDS:
            html.skip = SKIPPED_END[k - LINE_ENDS]
        elif k >= LINKS:
            last = html.out[html.written - 1] if html.written else b"\n"
            if last != b"\n" and last != b"\r":
                emit(html, b"\n")
        elif KIND[html_byte(html, after)] & SPACE:
            emit_link(html, after + 1, end, LINK_ATTRIBUTE[k])
        else:
            continue
        return


cdef void emit_link(Html* html, size_t start, size_t end, const char* attribute) noexcept nogil:
    """Write the value of `attribute` if it is a link; the value may run past the tag's end."""
    cdef size_t at = start
    cdef uint8_t delimiter = b">"
    while not html_begins(html, at, attribute):
        at += 1
        if at > end or at > start + 50 or at >= html.length:
            return
    at = after_space(html, at + strlen(attribute))
    if html_byte(html, at) != b"=":
        return
    at = after_space(html, at + 1)
    if html_byte(html, at) == b'"' or html_byte(html, at) == b"'":
        delimiter = html.text[at]
        at += 1
    if at >= html.length or not (
        html_begins(html, at, "http:") or html_begins(html, at, "https:") or html_begins(html, at, "ftp:")
    ):
        return
    emit(html, b" ")
    # No more than fits is searched for the delimiter, or unclosed links would cost n * n.
    end = min(html.length, at + html.length - html.written)
    emit_text(html, at, position(html.text, at, end, delimiter))
    emit(html, b" ")


cdef inline size_t after_space(const Html* html, size_t i) noexcept nogil:
    while KIND[html_byte(html, i)] & SPACE:
        i += 1
    return i


cdef size_t numeric_entity(Html* html, size_t i) noexcept nogil:
    """Handle `&#` at i; returns the last byte that belongs to it."""
    cdef size_t digits
    cdef int value = 0
    while html_byte(html, i + 2) == b"0":
        i += 1
    for digits in range(5):
        if not KIND[html_byte(html, i + 2 + digits)] & DIGIT:
            break
        value = 10 * value + html.text[i + 2 + digits] - 48
    else:
        digits = 5
    if (digits == 2 or digits == 4) and html_byte(html, i + 2 + digits) == b";":
        if 32 <= value <= 255:
            emit(html, <uint8_t>value)
        return i + 2 + digits
    while i < html.length and html.text[i] != b";" and html.text[i] != b" " and html.text[i] != b"\t":
        i += 1
    return i


cdef bint named_entity(Html* html, size_t* i) noexcept nogil:
    """Handle a known name after `&` at i, which moves to the last byte that belongs to it."""
    cdef uint64_t name = 0
    cdef size_t n = 0, at = i[0] + 1
    cdef uint32_t slot
    cdef uint8_t byte
    if html_begins(html, i[0], "&thetasym"):  # the one that needs no ";"
        i[0] += 8
        return True
    while n < ENTITY_NAME:
        byte = html_byte(html, at + n)
        if not KIND[byte] & (LETTER | DIGIT):
            break
        name |= <uint64_t>LOWER[byte] << (8 * n)
        n += 1
    slot = entity_slot(name)
    if n == 0 or ENTITY[slot] != name or html_byte(html, at + n) != b";":
        return False
    if ENTITY_BYTE[slot]:
        emit(html, ENTITY_BYTE[slot])
    i[0] = at + n
    return True
