# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""From the bytes of a message to its classic view: line ends, MIME parts, decoding, HTML.

One `.pxi` file per noun, in the order of a message's way.  All of it works on C arrays without the
GIL and makes no Python object per header or part; every allocation is checked and becomes
MemoryError; every step takes time and memory linear in its input, whatever the message looks like.
Bytes in, bytes out: nothing here knows files, sockets, clocks or randomness.

The readable faces are `dspamd.mail.view_classic`, `dspamd.mail.message` and
`dspamd.mail.transparency`; the rules are those of reference/engine.md 1, quoted by section.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t, SIZE_MAX
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen

cdef extern from "<string.h>" nogil:
    void* memmem(const void*, size_t, const void*, size_t)

include "memory.pxi"
include "bytes.pxi"
include "line_ends.pxi"
include "decode.pxi"
include "mime.pxi"
include "html.pxi"
include "view.pxi"
