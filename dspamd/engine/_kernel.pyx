# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The hot loops of the engine: from the view of a message to its tokens, and from hits to a verdict.

One extension, one `.pxi` file per noun, in the order of a message's way through it.  All of it works
on packed C arrays without the GIL and makes no Python object per token, part or header; every
allocation is checked and becomes MemoryError; every step takes time and memory linear in its input,
whatever the message looks like.  Bytes and numbers in, values out: nothing here knows files,
sockets, clocks or randomness.

To learn how spam is recognized, begin with probability.pxi (Graham's "A Plan for Spam", Robinson's
correction for rare tokens) and combination.pxi (Graham, Burton, Robinson, Fisher's chi-square), go on
with noise.pxi and training.pxi, and see them put together in run.pxi.  confidence.pxi has another way.

The readable face is `dspamd.engine.tokenizer`; the rules are those of
reference/engine.md, quoted by section.
"""

cimport cython
from cpython cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t, UINT32_MAX, UINT64_MAX, SIZE_MAX
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen

from dspamd.mail._features cimport Features
from dspamd.mail._view cimport (
    BODY_SPARSE, BODY_WORD, DIGIT, HEADER_SPARSE, HEADER_WORD, KIND, LETTER, LOWER, SPACE, STRING_SIZE,
    Strings, begins, mixed, out_of_memory, position, room, strings_add, strings_free, strings_have,
)

import array

cdef extern from "<endian.h>" nogil:
    uint64_t le64toh(uint64_t)
    uint64_t htole64(uint64_t)

include "crc.pxi"
include "names.pxi"
include "tokens.pxi"
include "links.pxi"
include "words.pxi"
include "probability.pxi"
include "combination.pxi"
include "confidence.pxi"
include "noise.pxi"
include "training.pxi"
include "changes.pxi"
include "run.pxi"
