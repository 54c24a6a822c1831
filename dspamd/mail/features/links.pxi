# Links: hosts, the domains above them, pieces of paths.

cdef enum:
    HOST_BYTES = 200
    PATH_PIECES = 12
    PIECE_BYTES = 40
    LABEL_CODES = 63

cdef uint8_t[256] IN_HOST
cdef uint8_t[256] ENDS_PIECE


cdef int _fill_links() except -1:
    for c in (*b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-@%_", *range(128, 256)):
        IN_HOST[<int>c] = 1
    for c in list(b"/?&.-_%#:"):
        ENDS_PIECE[<int>c] = 1
    return 0


cdef size_t link_start(const uint8_t* text, size_t length) noexcept nogil:
    """Where the host of the link in a word begins; `length` if there is no link."""
    cdef size_t colon = 0
    while True:
        colon = position(text, colon, length, b":")
        if colon == length:
            break
        if length - colon > 3 and text[colon + 1] == b"/" and text[colon + 2] == b"/":
            return colon + 3
        if colon == 6 and begins(text, length, "mailto"):
            return 7
        colon += 1
        if colon > HOST_BYTES:
            return length
    return 0 if length > 4 and begins(text, length, "www.") else length


cdef size_t host_of(const uint8_t* text, size_t length, size_t* start) noexcept nogil:
    """Find the host in what follows `start`; returns its end, and moves `start` behind user names."""
    cdef size_t end = start[0], most = min(length, start[0] + HOST_BYTES)
    while end < most and IN_HOST[text[end]]:
        if text[end] == b"@":
            start[0] = end + 1
        end += 1
    return end


cdef int touch_link(Features features, const uint8_t* text, size_t length) except -1 nogil:
    """Touch the parts of the link in a word, if there is one."""
    cdef size_t start = link_start(text, length), host, end, i, piece, pieces = 0
    cdef uint8_t[4 * HOST_BYTES] name
    cdef uint8_t[PIECE_BYTES] lower
    cdef bint numeric = True
    if start >= length:
        return 0
    host = start
    end = host_of(text, length, &host)
    if end <= host:
        return 0
    for i in range(host, end):
        if not KIND[text[i]] & DIGIT and text[i] != b".":
            numeric = False
    if numeric:
        touch_fact(features, LINK_FACT, "link to a number instead of a name")
    if host > start:
        touch_fact(features, LINK_FACT, "link with a user name")
    touch_host(features, text + host, end - host, name)
    i = end
    while i < length and pieces < PATH_PIECES:
        piece = i
        i += 1
        while i < length and not ENDS_PIECE[text[i]] and i - piece < PIECE_BYTES:
            i += 1
        for end in range(piece, i):
            lower[end - piece] = LOWER[text[end]]
        features.touch(LINK_PATH, hash_text(lower, i - piece), NULL, 0, lower, i - piece)
        pieces += 1
    return 0


cdef int touch_host(Features features, const uint8_t* text, size_t length, uint8_t* name) except -1 nogil:
    """Touch a host and the domains above it, with the letters that its labels stand for."""
    cdef size_t at = 0, end, n = 0, i
    cdef bint international = False
    while length > 1 and text[length - 1] == b".":
        length -= 1
    while at <= length:
        end = position(text, at, length, b".")
        n += put_label(text + at, end - at, name + n, &international)
        if end < length:
            name[n] = b"."
            n += 1
        at = end + 1
    if international:
        touch_fact(features, LINK_FACT, "link to an international name")
    features.touch(LINK_HOST, hash_text(name, n), NULL, 0, name, n)
    for i in range(n):
        if name[i] == b"." and i + 1 < n:
            features.touch(LINK_DOMAIN, hash_text(name + i + 1, n - i - 1), NULL, 0, name + i + 1, n - i - 1)
    return 0


cdef size_t put_label(const uint8_t* text, size_t length, uint8_t* out, bint* international) except? 0 nogil:
    """Write a label of a host in lower case, decoded if it is encoded (RFC 3492); at most 4 bytes for one."""
    cdef uint32_t[LABEL_CODES] codes
    cdef size_t i, n = 0, at = 0
    if length > 4 and length <= LABEL_CODES and begins(text, length, "xn--"):
        i = decode_punycode(text + 4, length - 4, codes)
        if i:
            international[0] = True
            for at in range(i):
                n += put_code(codes[at], out + n)
            return n
    while at < length:
        if text[at] < 128:
            out[n] = LOWER[text[at]]
            n += 1
            at += 1
        else:
            international[0] = True
            n += put_folded_letter(next_code(text, length, &at), out + n)
    return n


cdef size_t put_folded_letter(uint32_t code, uint8_t* out) except? 0 nogil:
    """Write a character in lower case, or as it is if that is longer than four bytes."""
    cdef const Character* character
    if code < PAGES * PAGE:
        character = character_of(code)
        if character.folded_length <= code_size(code):
            memcpy(out, character.folded, character.folded_length)
            return character.folded_length
    return put_code(code, out)


cdef size_t decode_punycode(const uint8_t* text, size_t length, uint32_t* out) noexcept nogil:
    """The characters of a label (RFC 3492 6.2), at most LABEL_CODES; 0 if it is none."""
    cdef size_t n = 0, at = 0, i
    cdef uint64_t code = 128, place = 0, before, weight, k, threshold, digit, bias = 72, delta
    for i in range(length):
        if text[i] == b"-":
            at = i + 1
    for i in range(at - 1 if at else 0):
        if text[i] >= 128:
            return 0
        out[n] = LOWER[text[i]]
        n += 1
    while at < length:
        before, weight, k = place, 1, 36
        while True:
            if at == length:
                return 0
            if KIND[text[at]] & DIGIT:
                digit = 26 + text[at] - <uint8_t>b"0"
            elif KIND[text[at]] & LETTER:
                digit = LOWER[text[at]] - <uint8_t>b"a"
            else:
                return 0
            at += 1
            place += digit * weight
            if place > 1 << 30:
                return 0
            threshold = 1 if k <= bias else 26 if k >= bias + 26 else k - bias
            if digit < threshold:
                break
            weight *= 36 - threshold
            if weight > 1 << 30:
                return 0
            k += 36
        delta = (place - before) // (2 if before else 700)
        delta += delta // (n + 1)
        k = 0
        while delta > 455:
            delta //= 35
            k += 36
        bias = k + 36 * delta // (delta + 38)
        code += place // (n + 1)
        place %= n + 1
        if code >= 0x110000 or 0xD800 <= code < 0xE000 or n == LABEL_CODES:
            return 0
        memmove(out + place + 1, out + place, (n - place) * sizeof(uint32_t))
        out[place] = <uint32_t>code
        place += 1
        n += 1
    return n if place else 0
