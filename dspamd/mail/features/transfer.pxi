# Transfer encodings, encoded words and charsets: from bytes of mail to UTF-8.
#
# Decoders stop when they have written as much as will be looked at, so a long part costs no more than
# a short one.

cdef enum:
    CHARSET_SIZE = 40

cdef enum Transfer:
    PLAIN_TRANSFER
    BASE64_TRANSFER
    QUOTED_TRANSFER

CODECS = {
    name.encode(): codec
    for codec, names in {
        "gb18030": "gb18030 gb2312 gbk cp936 x-gbk euc-cn gb_2312-80 csgb2312",
        "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
        "hz": "hz hz-gb-2312",
        "cp932": "shift_jis shift-jis sjis x-sjis ms_kanji csshiftjis cp932 windows-31j",
        "euc_jis_2004": "euc-jp eucjp x-euc-jp cseucpkdfmtjapanese",
        "iso2022_jp_ext": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 csiso2022jp",
        "iso2022_kr": "iso-2022-kr csiso2022kr",
        "cp949": "euc-kr euckr ks_c_5601-1987 ks_c_5601-1989 ksc5601 cp949 windows-949 uhc korean",
        "cp874": "tis-620 windows-874 iso-8859-11 cp874",
        "koi8_r": "koi8-r koi8 cskoi8r koi",
        "koi8_u": "koi8-u koi8-ru",
        "mac_roman": "macintosh mac x-mac-roman",
        "mac_cyrillic": "x-mac-cyrillic",
        "utf_16": "utf-16 utf16 unicode",
        "utf_16_le": "utf-16le",
        "utf_16_be": "utf-16be",
        "utf_32": "utf-32",
        "utf_7": "utf-7 unicode-1-1-utf-7",
        **{f"iso8859_{n}": f"iso-8859-{n} iso8859-{n} iso_8859-{n}" for n in (*range(2, 11), 13, 14, 15, 16)},
        "iso8859_6": "iso-8859-6 iso-8859-6-i iso-8859-6-e",
        "cp1255": "windows-1255 cp1255 iso-8859-8 iso-8859-8-i iso-8859-8-e",
        **{f"cp{n}": f"windows-{n} cp{n} x-cp{n}" for n in (1250, 1251, 1253, 1254, 1256, 1257, 1258)},
        **{f"cp{n}": f"ibm{n} cp{n}" for n in (437, 850, 852, 855, 866)},
    }.items()
    for name in names.split()
}
"""Names of charsets in mail, and the codec for each.

What is not here is read as UTF-8 with faults, as characters.pxi says: UTF-8, ASCII, ISO 8859-1 and windows-1252.
"""


cdef int convert(
    const uint8_t* charset, size_t charset_length, const uint8_t* text, size_t length, Buffer* out
) except -1 with gil:
    """Append a text in UTF-8 to `out` if its charset needs a codec; returns whether it did."""
    cdef uint8_t[CHARSET_SIZE] lower
    cdef size_t i
    cdef bytes converted
    if charset_length > CHARSET_SIZE:
        return 0
    for i in range(charset_length):
        lower[i] = LOWER[charset[i]]
    codec = CODECS.get(PyBytes_FromStringAndSize(<char*>lower, <Py_ssize_t>charset_length))
    if codec is None:
        return 0
    converted = (
        PyBytes_FromStringAndSize(<char*>text, <Py_ssize_t>length).decode(codec, "replace").encode("utf-8", "replace")
    )
    append(out, PyBytes_AS_STRING(converted), <size_t>len(converted))
    return 1


cdef inline bint needs_charset(const uint8_t* text, size_t length) noexcept nogil:
    """Whether the charset says anything: no ASCII, or ASCII that shifts (ISO 2022, HZ, UTF-7 have no mark of their own)."""
    return not is_ascii(text, length) or memchr(text, 0x1B, length) != NULL


cdef inline bint shifts(const uint8_t* charset, size_t length) noexcept nogil:
    """Whether a charset writes everything in ASCII without an escape."""
    return (
        begins(charset, length, "utf-7")
        or begins(charset, length, "hz")
        or begins(charset, length, "unicode-1-1")
        or begins(charset, length, "utf-16")
        or begins(charset, length, "utf-32")
    )


cdef int append_text(
    const uint8_t* charset, size_t charset_length, const uint8_t* text, size_t length, Buffer* out
) except -1 nogil:
    """Append a text in UTF-8, perhaps with faults."""
    if length == 0:  # there may be no buffer yet
        return 0
    if charset_length and (needs_charset(text, length) or shifts(charset, charset_length)):
        if convert(charset, charset_length, text, length, out):
            return 0
    return append(out, text, length)


# -- transfer encodings


cdef int decode_transfer(
    Transfer transfer, const uint8_t* text, size_t length, size_t most, Buffer* out
) except -1 nogil:
    """Append at most `most` decoded bytes to `out`."""
    if transfer == PLAIN_TRANSFER:
        return append(out, text, min(length, most))
    out.at = <uint8_t*>room(out.at, &out.capacity, out.length + min(length, most) + 3, 1)
    if transfer == BASE64_TRANSFER:
        out.length += from_base64(text, length, most, out.at + out.length)
    else:
        out.length += from_quoted(text, length, most, False, out.at + out.length)
    return 0


cdef size_t from_base64(const uint8_t* text, size_t length, size_t most, uint8_t* out) noexcept nogil:
    """Bytes outside the alphabet are skipped; groups that are padded may be followed by others."""
    cdef size_t i, n = 0
    cdef uint32_t group = 0
    cdef int bits = 0, value
    for i in range(length):
        value = BASE64[text[i]]
        if value < 0:
            if text[i] == b"=":
                bits = 0
            continue
        group = group << 6 | <uint32_t>value
        bits += 6
        if bits >= 8:
            if n >= most:
                break
            bits -= 8
            out[n] = <uint8_t>(group >> bits)
            n += 1
    return n


cdef size_t from_quoted(
    const uint8_t* text, size_t length, size_t most, bint in_word, uint8_t* out
) noexcept nogil:
    """Quoted-printable, or in an encoded word Q, where `_` is a space."""
    cdef size_t i = 0, n = 0, k
    cdef uint8_t byte
    while i < length and n < most:
        byte = text[i]
        i += 1
        if byte == b"=":
            if i + 1 < length and HEX[text[i]] >= 0 and HEX[text[i + 1]] >= 0:
                byte = <uint8_t>(HEX[text[i]] << 4 | HEX[text[i + 1]])
                i += 2
            else:
                k = i
                while k < length and (text[k] == b" " or text[k] == b"\t" or text[k] == b"\r"):
                    k += 1
                if k < length and text[k] == b"\n":
                    i = k + 1
                    continue
                i = max(i, k)
        elif in_word and byte == b"_":
            byte = b" "
        out[n] = byte
        n += 1
    return n


# -- encoded words (RFC 2047)


cdef struct EncodedWord:
    const uint8_t* charset
    size_t charset_length
    bint quoted
    const uint8_t* payload
    size_t payload_length
    size_t end  # behind the word


cdef bint find_encoded_word(const uint8_t* text, size_t at, size_t length, EncodedWord* word) noexcept nogil:
    """Whether an encoded word lies at `at`; the search for its end goes no further than its end."""
    cdef size_t start = at + 2, mark, end
    cdef const uint8_t* found
    if at + 6 > length or text[at] != b"=" or text[at + 1] != b"?":
        return False
    mark = position(text, start, min(length, start + CHARSET_SIZE + 1), b"?")
    if mark + 3 > length or text[mark] != b"?" or text[mark + 2] != b"?" or mark == start:
        return False
    if LOWER[text[mark + 1]] != b"b" and LOWER[text[mark + 1]] != b"q":
        return False
    word.charset, word.charset_length = text + start, position(text, start, mark, b"*") - start
    word.quoted = LOWER[text[mark + 1]] == b"q"
    word.payload = text + mark + 3
    found = <const uint8_t*>memmem(word.payload, length - mark - 3, b"?=", 2)
    end = <size_t>(found - text) if found else length
    word.payload_length = end - mark - 3
    word.end = min(end + 2, length)
    return True


cdef int decode_field(
    const uint8_t* text, size_t length, Buffer* bytes_, Buffer* out, bint* encoded
) except -1 nogil:
    """Append a field's value to `out` in one line of UTF-8, its encoded words decoded.

    Neighbours with the same charset are put together before they are read: senders cut characters
    in two.  A word that does not end goes to the end of the field.
    """
    cdef size_t at = 0, next, k
    cdef EncodedWord word, other
    cdef bint more
    while at < length:
        if not find_encoded_word(text, at, length, &word):
            next = at + 1
            while next < length and not (text[next] == b"=" and next + 1 < length and text[next + 1] == b"?"):
                next += 1
            append_unfolded(text + at, next - at, out)
            at = next
            continue
        encoded[0] = True
        bytes_.length = 0
        while True:
            if word.quoted:
                decode_word_payload(&word, True, bytes_)
            else:
                decode_word_payload(&word, False, bytes_)
            at = k = word.end
            while k < length and KIND[text[k]] & SPACE:
                k += 1
            more = find_encoded_word(text, k, length, &other)
            if more:
                at = k
            if not (
                more
                and other.charset_length == word.charset_length
                and memcmp(other.charset, word.charset, word.charset_length) == 0
            ):
                break
            word = other
        append_text(word.charset, word.charset_length, bytes_.at, bytes_.length, out)
    return 0


cdef int decode_word_payload(const EncodedWord* word, bint quoted, Buffer* out) except -1 nogil:
    out.at = <uint8_t*>room(out.at, &out.capacity, out.length + word.payload_length + 3, 1)
    if quoted:
        out.length += from_quoted(word.payload, word.payload_length, SIZE_MAX, True, out.at + out.length)
    else:
        out.length += from_base64(word.payload, word.payload_length, SIZE_MAX, out.at + out.length)
    return 0


cdef int append_unfolded(const uint8_t* text, size_t length, Buffer* out) except -1 nogil:
    """Append text without its line ends."""
    cdef size_t i, n = out.length
    append(out, text, length)
    for i in range(length):
        if text[i] != b"\n" and text[i] != b"\r":
            out.at[n] = text[i]
            n += 1
    out.length = n
    return 0
