# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""From the bytes of a message to its features: the modern view.

One `.pxi` file per noun, in `features/`.  A feature is something that one can say of a message, as a
number of 64 bits: `body contains "cheap"`, `link to host example.org`.  All of it works on C arrays without
the GIL, except where a text needs a codec or a character Python's tables; every allocation is checked and becomes
MemoryError; every step takes time and memory linear in its input, and of a long message only so much is
looked at.  Bytes in, features out: nothing here knows files, sockets, clocks or randomness.

The readable face is `dspamd.mail.view_modern`.
"""

cimport cython
from cpython cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t, SIZE_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen

from dspamd.mail._view cimport (
    BASE64, DIGIT, HEX, KIND, LETTER, LOWER, SPACE, STRING_SIZE, Buffer, Strings, append, begins, cut_signature, is_named, mixed,
    out_of_memory, position, position_of, room, strings_add, strings_free, strings_have,
)

import array
import html.entities
import unicodedata

cdef extern from "<endian.h>" nogil:
    uint32_t le32toh(uint32_t)
    uint64_t le64toh(uint64_t)

cdef extern from "<string.h>" nogil:
    void* memmem(const void*, size_t, const void*, size_t)

include "features/kinds.pxi"
include "features/characters.pxi"
include "features/table.pxi"
include "features/wording.pxi"
include "features/transfer.pxi"
include "features/words.pxi"
include "features/links.pxi"
include "features/markup.pxi"
include "features/fields.pxi"
include "features/style.pxi"
include "features/entities.pxi"

_fill_kinds()
_fill_windows_1252()
_fill_bytes()
_fill_links()
_fill_names()
_fill_fields()


cdef int add_names(Strings* strings, names) except -1:
    """Add names to a set; those that are too long match nothing."""
    cdef bytes name
    for name in names:
        if 0 < len(name) <= STRING_SIZE:
            strings_add(strings, <const uint8_t*>PyBytes_AS_STRING(name), <size_t>len(name))
    return 0


def features_of(bytes message not None, bint document, bint cut_tags, ignored, our_hosts):
    """The features of a message with LF line ends.

    `document`: a text without headers.  `cut_tags`: the first signature tag of each part is left out.  `ignored`: names
    of fields, `our_hosts`: those of servers whose checks are believed, in lower case.
    """
    cdef Features features = Features()
    cdef Work work
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(message)
    cdef size_t length = <size_t>len(message)
    memset(&work, 0, sizeof(Work))
    work.left, work.cuts_tags = <size_t>TEXTS_MOST, cut_tags
    try:
        add_names(&work.ignored, ignored)
        add_names(&work.our_hosts, our_hosts)
        with nogil:
            features.rehash(4096)
            read_message(features, &work, text, length, document)
            work.value.length = 0
            if not document:
                append_senders(text, length, &work.value)
        features.senders = PyBytes_FromStringAndSize(<char*>work.value.at, <Py_ssize_t>work.value.length)
    finally:
        free_work(&work)
    return features
