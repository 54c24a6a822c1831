# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The hash files of DSPAM, as bytes in memory: finding, changing and removing records.

Works on packed C arrays without the GIL and makes no Python object per record.
"""

from cpython cimport array
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, UINT32_MAX, UINT64_MAX, SIZE_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

import array

cdef extern from "<endian.h>" nogil:
    uint64_t le64toh(uint64_t)
    uint64_t htole64(uint64_t)

include "css.pxi"
