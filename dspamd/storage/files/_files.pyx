# cython: language_level=3, boundscheck=False, wraparound=False
"""Sequences of system calls on a small file, without the interpreter in between.

Python gives up its lock for every system call and takes it again afterwards.  In a thread beside a
busy event loop both are a change of threads, which costs more than such a call; storing one
signature made seventeen of them.  `file_lock.py` and `journal.py` use this module.

Everything blocks, and raises OSError with the path.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EACCES, EAGAIN, EINTR, ENOENT, errno
from libc.string cimport memcmp, memset
from posix.fcntl cimport F_RDLCK, F_SETLK, F_WRLCK, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, fcntl, flock, open
from posix.stat cimport fchmod, fstat, futimens, stat, struct_stat
from posix.time cimport timespec
from posix.types cimport mode_t, off_t
from posix.unistd cimport SEEK_SET, close, fsync, ftruncate, pread, pwrite

import os

cdef extern from "<fcntl.h>" nogil:
    int O_CLOEXEC

cdef enum:
    PIECE = 65536  # bytes
    HEAD = 64  # bytes that `begun` reads, at most
    DAY_S = 86400
    ANY_DAY = -1
    EMPTY = 0  # states of a journal
    BEGUN = 1
    UNLINKED = 2
    _BUSY = -1
    _GONE = -2

BUSY, GONE = _BUSY, _GONE
"""Results of `lock` instead of a file: another process holds the lock; the file was removed meanwhile."""


def lock(bytes path not None, bint shared, mode_t mode, bytes beside not None, int journal, size_t head):
    """Open a file, created if necessary, and try its POSIX lock: its descriptor, BUSY or GONE.

    It also returns the state under the lock: number and length of the file `beside` it (0 without
    one), and the result of `begun` for an open journal (None without one).
    """
    cdef const char* name = path
    cdef const char* other = beside
    cdef flock wanted
    cdef struct_stat state
    cdef int file, answer, failed = 0, found = UNLINKED
    memset(&wanted, 0, sizeof(wanted))
    memset(&state, 0, sizeof(state))
    wanted.l_type = <short>(F_RDLCK if shared else F_WRLCK)
    wanted.l_whence = SEEK_SET
    with nogil:
        file = answer = open(name, O_RDWR | O_CREAT | O_CLOEXEC, mode)
        if file < 0:
            failed = errno
        else:
            if fcntl(file, F_SETLK, &wanted) < 0:
                answer = _BUSY
                failed = 0 if errno in (EACCES, EAGAIN) else errno
            elif fstat(file, &state) < 0:
                failed = errno
            elif state.st_nlink == 0:
                answer = _GONE
            elif stat(other, &state) < 0:
                failed = 0 if errno == ENOENT else errno
                memset(&state, 0, sizeof(state))
            if not failed and answer >= 0 and journal >= 0:
                found = beginning(journal, head)
                failed = -found if found < 0 else 0
            if failed or answer < 0:
                close(file)
    if failed:
        raise OSError(failed, os.strerror(failed), os.fsdecode(path))
    return answer, state.st_ino, state.st_size, None if found == UNLINKED else found == BEGUN


def begun(int file, size_t length):
    """Whether any of the first bytes of an open file is not zero; None if it has no name any more."""
    cdef int found
    with nogil:
        found = beginning(file, length)
    if found < 0:
        raise OSError(-found, os.strerror(-found))
    return None if found == UNLINKED else found == BEGUN


cdef int beginning(int file, size_t length) noexcept nogil:
    """How an open file begins, or the number of an error, below 0."""
    cdef unsigned char head[HEAD]
    cdef struct_stat state
    cdef ssize_t count, i
    if fstat(file, &state) < 0:
        return -errno
    if state.st_nlink == 0:
        return UNLINKED
    count = pread(file, head, min(length, <size_t>HEAD), 0)
    if count < 0:
        return -errno
    for i in range(count):
        if head[i]:
            return BEGUN
    return EMPTY


def begin(int journal, bytes record not None, bytes path not None, content, mode_t mode, long day):
    """Write `record` to the start of an open journal, then a new file; whether the name was free.

    The file gets the given day, see `write`.  False also if the directory does not exist: then only
    the record is written.
    """
    cdef const char* name = path
    cdef const char* told = record
    cdef size_t length = <size_t>len(record)
    cdef struct_stat state
    cdef Py_buffer view
    cdef int failed = 0
    cdef bint fresh
    PyObject_GetBuffer(content, &view, PyBUF_SIMPLE)
    with nogil:
        fresh = stat(name, &state) < 0
        if fresh:
            failed = poured(journal, told, length, False)
        if fresh and not failed:
            failed = written(name, <const char*>view.buf, <size_t>view.len, mode, False, day)
            if failed == ENOENT:
                failed, fresh = 0, False
    PyBuffer_Release(&view)
    if failed:
        raise OSError(failed, os.strerror(failed), os.fsdecode(path))
    return fresh


def write(bytes path not None, content, mode_t mode, bint durable, day):
    """Give a file this content and this mode, whatever the umask is.

    `durable`: and force it to the disk; many zeros in a row become a hole.

    `day`, counted from 1970-01-01, is when the file was changed, by our clock: that of the file system may
    be another machine's.  None: that is of no importance.
    """
    cdef const char* name = path
    cdef Py_buffer view
    cdef long wanted = ANY_DAY if day is None else day
    cdef int failed
    PyObject_GetBuffer(content, &view, PyBUF_SIMPLE)
    with nogil:
        failed = written(name, <const char*>view.buf, <size_t>view.len, mode, durable, wanted)
    PyBuffer_Release(&view)
    if failed:
        raise OSError(failed, os.strerror(failed), os.fsdecode(path))


cdef int written(
    const char* name, const char* content, size_t length, mode_t mode, bint durable, long day
) noexcept nogil:
    """0 or the number of the error."""
    cdef struct_stat state
    cdef int failed = 0
    cdef int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    if file < 0:
        return errno
    if fstat(file, &state) < 0 or (state.st_mode & 0o777 != mode and fchmod(file, mode) < 0):
        failed = errno
    elif durable and ftruncate(file, <off_t>length) < 0:
        failed = errno
    else:
        failed = poured(file, content, length, durable)
    if not failed and day != ANY_DAY:
        failed = dated(file, day)
    if not failed and durable and fsync(file) < 0:
        failed = errno
    if close(file) < 0 and not failed and errno != EINTR:
        failed = errno
    return failed


cdef int dated(int file, long day) noexcept nogil:
    """Move the time of change into this day, as near as possible to that of the file system."""
    cdef timespec times[2]
    cdef struct_stat state
    if fstat(file, &state) < 0:
        return errno
    if state.st_mtim.tv_sec // DAY_S == day:
        return 0
    times[0] = state.st_atim
    times[1].tv_sec = day * DAY_S + (DAY_S - 1 if state.st_mtim.tv_sec // DAY_S > day else 0)
    times[1].tv_nsec = 0
    return errno if futimens(file, times) < 0 else 0


cdef int poured(int file, const char* content, size_t length, bint holes) noexcept nogil:
    """Write everything from the start; where the disk fills up the kernel writes a part, then says so.

    `holes`: pieces of zeros are left out.
    """
    cdef size_t at = 0, piece = length
    cdef ssize_t count
    while at < length:
        piece = min(length - at, <size_t>PIECE) if holes else length - at
        if holes and content[at] == 0 and memcmp(content + at, content + at + 1, piece - 1) == 0:
            at += piece
            continue
        count = pwrite(file, content + at, piece, <off_t>at)
        if count < 0:
            if errno == EINTR:
                continue
            return errno
        at += <size_t>count
    return 0
