# What the engine may read of the features of a message.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    GROUPS = 16
    FEATURE_NAME_SIZE = 255


cdef struct Feature:
    uint64_t value  # its group in the top four bits, below them a hash of its kind and text
    uint32_t at  # its text, in the pool
    uint8_t kind
    uint8_t field_length  # the text begins with so many bytes that are the name of a field, a tag, ...
    uint8_t length  # of the whole text


cdef class Features:
    cdef uint32_t count
    cdef Feature* features  # in the order of first touch
    cdef size_t capacity
    cdef uint8_t* pool
    cdef size_t pool_length, pool_capacity
    cdef uint32_t* slots  # index + 1 of the feature, or 0; open addressing
    cdef size_t slot_mask
    cdef uint32_t[GROUPS] counts
    cdef readonly bytes senders

    cdef int rehash(self, size_t size) except -1 nogil
    cdef int touch(
        self,
        uint32_t kind,
        uint64_t hash,
        const uint8_t* field,
        size_t field_length,
        const uint8_t* text,
        size_t length,
    ) except -1 nogil
    cdef uint32_t spell(self, uint32_t i, uint8_t* out) noexcept nogil
    cdef uint32_t spell_topic(self, uint32_t i, uint8_t* out) noexcept nogil
