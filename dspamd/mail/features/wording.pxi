# What a feature means, in words: the wordings of kinds.pxi, filled in.
#
#   %f  the name of a field, as people write it        %g  the same text as it is: a tag, a result, a word
#   %t  the text                                       %n  the text, which is the name of a field
#   %d  its last labels, if it is the name of a host   %s  bytes, of which the text is the power of two


cdef uint32_t spell_feature(
    const Feature* feature, const uint8_t* pool, const char* wording, uint8_t* out
) noexcept nogil:
    """Write a wording with the texts of a feature, at most 255 bytes; returns the length."""
    cdef const uint8_t* field = pool + feature.at
    cdef const uint8_t* text = field + feature.field_length
    cdef size_t length = <size_t>feature.length - feature.field_length, n = 0, k, host
    while wording[0]:
        if wording[0] != b"%":
            n = printed(out, n, <const uint8_t*>wording, 1)
            wording += 1
            continue
        k = n
        if wording[1] == b"f" or wording[1] == b"g":
            n = printed(out, n, field, feature.field_length)
        elif wording[1] == b"s":
            n = print_bytes(out, n, text, length)
        elif length == 0 and k and out[k - 1] == b" ":
            n = print_text(out, n, "(none)")
        else:
            host = site_start(text, length) if wording[1] == b"d" else 0
            n = printed(out, n, text + host, length - host)
        if wording[1] == b"f" or wording[1] == b"n":
            capitalize(out + k, n - k)
        wording += 2
    return <uint32_t>n


cdef size_t site_start(const uint8_t* text, size_t length) noexcept nogil:
    """Where the last two labels of a host begin, or three if both are short: `example.co.uk`."""
    cdef size_t at = length, end = length, labels = 0
    cdef bint country = False
    while at:
        at -= 1
        if text[at] == b".":
            labels += 1
            if labels == 1:
                country = end - at == 3
            elif labels == 3 or not country or end - at > 4:
                return at + 1
            end = at
    return 0


cdef size_t print_bytes(uint8_t* out, size_t n, const uint8_t* digits, size_t length) noexcept nogil:
    """Append the sizes from a power of two up to the next one."""
    cdef size_t power = 0, i, unit
    for i in range(length):
        power = min(10 * power + (digits[i] & 15), <size_t>60)
    unit = power // 10
    power -= 10 * unit
    n = print_number(out, n, <size_t>1 << power)
    n = print_text(out, n, " to ")
    n = print_number(out, n, <size_t>2 << power)
    return print_text(out, n, " bytes" if unit == 0 else " kB" if unit == 1 else " MB")


cdef size_t print_text(uint8_t* out, size_t n, const char* text) noexcept nogil:
    return printed(out, n, <const uint8_t*>text, strlen(text))


cdef size_t print_number(uint8_t* out, size_t n, size_t number) noexcept nogil:
    cdef uint8_t[20] digits
    cdef size_t first = 20
    while first == 20 or number:
        first -= 1
        digits[first] = <uint8_t>(<uint8_t>b"0" + number % 10)
        number //= 10
    return printed(out, n, digits + first, 20 - first)


cdef size_t printed(uint8_t* out, size_t n, const uint8_t* text, size_t length) noexcept nogil:
    """Append a text to a name as far as it goes: whole characters; `?` for what cannot be printed."""
    cdef size_t at = 0, start, size
    cdef uint32_t code
    while at < length:
        start = at
        code = next_code(text, length, &at)
        if code < 0x80:
            if n >= FEATURE_NAME_SIZE:
                break
            out[n] = text[start] if 32 <= code < 127 else <uint8_t>b"?"
            n += 1
            continue
        size = code_size(code)
        if n + size > FEATURE_NAME_SIZE:
            break
        if not is_printable(code):
            out[n] = b"?"
            n += 1
        else:
            n += put_code(code, out + n)
    return n


cdef void capitalize(uint8_t* name, size_t length) noexcept nogil:
    """Write the name of a field as people do."""
    cdef size_t i
    for i in range(length):
        if (i == 0 or name[i - 1] == b"-") and b"a" <= name[i] <= b"z":
            name[i] -= 32
    for i in range(length):
        if (i == 0 or name[i - 1] == b"-") and length - i >= 2:
            if begins(name + i, length - i, "id") and (length - i == 2 or name[i + 2] == b"-"):
                name[i + 1] = b"D"
            elif begins(name + i, length - i, "mime") and (length - i == 4 or name[i + 4] == b"-"):
                memcpy(name + i, <const char*>b"MIME", 4)
