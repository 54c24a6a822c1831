# How texts are written: capitals, figures and marks among the letters, and the lines.
#
# Shares and lengths are told roughly, so that two texts which are written alike have them in common.

cdef struct Style:  # of all texts that a reader sees
    size_t[256] bytes  # how often each stands there
    size_t length
    size_t lines, blank, quoted, indented
    size_t longest


cdef void read_style(Style* style, const uint8_t* text, size_t length) noexcept nogil:
    """Count what shows how a text is written; space behind its end says nothing."""
    cdef size_t i, at = 0, end, first
    while length and KIND[text[length - 1]] & SPACE:
        length -= 1
    for i in range(length):
        style.bytes[text[i]] += 1
    style.length += length
    while at < length:
        end = position(text, at, length, b"\n")
        first = at
        while first < end and KIND[text[first]] & SPACE:
            first += 1
        style.lines += 1
        style.blank += <size_t>(first == end)
        style.indented += <size_t>(at < first < end)
        style.quoted += <size_t>(first < end and text[first] == b">")
        style.longest = max(style.longest, end - at)
        at = end + 1


cdef int touch_style(Features features, const Style* style) except -1 nogil:
    """Touch how the texts of a message are written."""
    cdef size_t capitals = 0, small = 0, figures = 0, i
    if style.length == 0:
        return 0
    for i in range(26):
        capitals += style.bytes[65 + i]
        small += style.bytes[97 + i]
    for i in range(10):
        figures += style.bytes[48 + i]
    touch_step(features, "capitals in 1,000 letters", 1000 * capitals // max(capitals + small, <size_t>1))
    touch_step(features, "digits in 1,000 characters", 1000 * figures // style.length)
    touch_step(features, "exclamation marks in 10,000 characters", 10000 * style.bytes[33] // style.length)
    touch_step(features, "question marks in 10,000 characters", 10000 * style.bytes[63] // style.length)
    touch_step(features, "dollar signs in 10,000 characters", 10000 * style.bytes[36] // style.length)
    touch_step(features, "apostrophes in 10,000 characters", 10000 * style.bytes[39] // style.length)
    touch_step(features, "commas in 10,000 characters", 10000 * style.bytes[44] // style.length)
    touch_step(features, "empty lines in 100", 100 * style.blank // style.lines)
    touch_step(features, "indented lines in 100", 100 * style.indented // style.lines)
    touch_step(features, "quoted lines in 100", 100 * style.quoted // style.lines)
    touch_step(features, "characters in a line", style.length // style.lines)
    return touch_step(features, "characters in the longest line", style.longest)


cdef int touch_step(Features features, const char* what, size_t number) except -1 nogil:
    """Touch a number, of which the first two bits are kept."""
    cdef size_t shift = 0
    while number >> shift > 3:
        shift += 1
    return touch_number(features, STEP, what, number >> shift << shift)
