# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The table of slots in which a scorer keeps what it knows of a user, and what a message adds to it.

A feature (a 32-bit number, whose first four bits are its group) belongs to one slot, which several may
share.  A slot holds a weight of logistic regression, the sum of squares that its steps adapt to (AdaGrad),
and how many messages of each class had it.  All four are integers, and a lesson adds integers, so lessons
can be added in any order, and a lesson is taken back by adding its negation.

    Table     the slots of one user, or of the seed that all start with
    Evidence  what tables say of the features of a message, and the change that a lesson makes

`dspamd.engine.joint` is the readable face; table.pxi says how a table and a change are written as bytes, slots.pxi
how a table is kept in memory.
"""

cimport cython
from cpython cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport INFINITY, exp, fabs, floor, fmax, log, sqrt, tanh
from libc.stdint cimport int8_t, int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcpy, memmove, memset

import array
import zlib

cdef extern from "<endian.h>" nogil:
    uint32_t le32toh(uint32_t)
    uint32_t htole32(uint32_t)

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void*)

include "slots.pxi"
include "table.pxi"
include "evidence.pxi"
