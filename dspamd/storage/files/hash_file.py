"""One user's hash file: the `.css` file mapped into memory, and the signatures beside it.

The files are those of DSPAM (reference/storage.md 6), and we take its locks, so that
both programs can work on them.  We read and change counters in place; the journal keeps
the bytes that a change overwrites until it is complete (`storage/files/journal.py`).

DSPAM forgets when a token was hit last.  Its `cssclean` counts ages in bits above the
hits; we count them ourselves, on the first change of each day, so that tokens have a
day of last hit, up to 255 days back.

On a full disk, a write into a hole of a mapped file would kill the process.  So a file of
usual size gets all its blocks before it is mapped; a large one keeps its holes, and a hole
gets blocks before it gets a record.
"""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from itertools import compress
from mmap import mmap
from pathlib import Path

from dspamd.engine.model import Hits, Learned, Snapshot, TokenChange, Totals
from dspamd.errors import TempFail
from dspamd.files import replacement
from dspamd.storage.clock import day_number
from dspamd.storage.contract import Block, Change, Correct, Signature, Stale, Stored, TokenRow, hits_of
from dspamd.storage.correction import in_effect, record, rises
from dspamd.storage.files import block_file, css
from dspamd.storage.files._css import (
    css_after,
    css_age,
    css_delete,
    css_find,
    css_joined,
    css_plan,
    css_resident,
    css_store,
)
from dspamd.storage.files.compaction import ROOM, compacted, doubled, used
from dspamd.storage.files.css import Shape
from dspamd.storage.files.file_lock import FileLock, Seen
from dspamd.storage.files.journal import HEAD_BYTES, Before, Journal, write_file
from dspamd.storage.files.signature_files import SignatureFiles, correction_of, name_of
from dspamd.telemetry import log

HITS_MAX = 2**28 - 1
_OLDEST_COUNT = 366  # days; an older value is not ours, but comes from DSPAM's padding
_BLOCK_BYTES = 512  # of st_blocks, see stat(2)
_SOLID_BYTES = 2**24  # a larger file may have holes
# Limits of a look that takes less than a millisecond.
_GLANCED_TOKENS = 10_000
_GLANCED_BYTES = 2**26
_MOMENT_S = 1.0
_WORTH = 2  # compact a file if that makes it smaller by this factor
_FEW_EXTENTS = 8  # that follow each other as with DSPAM
_AHEAD = 40  # batches of tokens that are found at once: 1.6 MB of numbers
_MOMENT = 1_000_000  # tokens that can be rewritten within a second, while mail waits


class HashFile:
    """An open hash file, an `OwnerFile`."""

    def __init__(self, path: Path, shape: Shape, busy_s: float, until: float) -> None:
        self.until = until
        self.inode = 0
        self._path = path
        self._shape = shape
        self._busy_s = busy_s
        self._map: mmap | None = None
        self._holes = -1  # the descriptor of a file that has some
        self._resident_until = 0.0  # by the monotonic clock
        self._ahead = array("Q")  # tokens that a walk through all of them needs next
        self._signatures = SignatureFiles(path.with_suffix(".sig"))
        self._blocks = path.with_suffix(".block")
        self._lock = FileLock(path.with_suffix(".lock"), path, HEAD_BYTES)
        self._journal = Journal(path.with_suffix(".journal"))
        with self._locked(write=False):
            pass

    def close(self) -> None:
        self._journal.close()
        self._unmap()

    def _unmap(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
            self._resident_until = 0.0
        if self._holes >= 0:
            os.close(self._holes)
            self._holes = -1

    @contextmanager
    def _locked(self, *, write: bool) -> Iterator[mmap]:
        """Hold the lock, and the file as it is now."""
        until = min(self.until, time.monotonic() + self._busy_s)
        with self._lock.held(until, shared=not write, journal=self._journal.descriptor) as seen:
            file = self._sound(seen)
            if file is None and write:
                file = self._mended()
            if file is not None:
                yield file
                return
        with self._lock.held(until):
            yield self._mended()

    def _sound(self, seen: Seen) -> mmap | None:
        """The mapped file, if it still is the one of that name, and complete."""
        if self._map is None or (seen.inode, seen.length) != (self.inode, len(self._map)):
            return None
        pending = self._journal.pending() if seen.begun is None else seen.begun
        return None if pending else self._map

    def _mended(self) -> mmap:
        """Make, convert, repair and map the file, and undo a change that began and did not finish."""
        if not self._path.exists() or not self._path.stat().st_size:  # DSPAM left that on a full disk
            self._replace(css.opening(self._shape.records, folded=self._shape.folded))
        file = self._mapped()
        length, native = css.sound_length(file), css.converted(file)
        if native is not None:
            self._replace(native)
            log.get().info("hash_file_converted", file=str(self._path))
            file = self._mapped()
        elif length is None:
            raise TempFail("Storage is not available", detail=f"{self._path} is no hash file")
        elif length != len(file):
            log.get().warning("hash_file_mended", file=str(self._path), was=len(file), length=length)
            os.truncate(self._path, length)
            file = self._mapped()
        self._undo(file)
        return file

    def _replace(self, content: bytes | bytearray) -> None:
        """Replace the file by this content and free records after it."""
        with replacement(self._path) as fresh:
            write_file(fresh, content, durable=True)
            os.truncate(fresh, css.sound_length(content) or 0)
            self._give(fresh)

    def _give(self, fresh: Path) -> None:
        """Give a new file the owner of the old one, as far as we may; the group matters most."""
        with suppress(FileNotFoundError):
            old = self._path.stat()
            for user, group in ((-1, old.st_gid), (old.st_uid, -1)):
                with suppress(PermissionError):
                    os.chown(fresh, user, group)

    def _mapped(self) -> mmap:
        self._unmap()
        file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            state = os.fstat(file)
            if state.st_size < css.HEADER.size:
                raise TempFail("Storage is not available", detail=f"{self._path} is too short")
            if state.st_blocks * _BLOCK_BYTES < state.st_size:  # it has holes, or is compressed
                if self._may_have_holes(state.st_size):
                    self._holes = os.dup(file)
                else:
                    os.posix_fallocate(file, 0, state.st_size)
            self._map = mmap(file, state.st_size)
            self.inode = state.st_ino
        finally:
            os.close(file)
        return self._map

    def _may_have_holes(self, length: int) -> bool:
        return length > _SOLID_BYTES and not self._shape.solid

    def glance(self, tokens: array[int]) -> Snapshot | None:
        """`read` if it neither blocks nor takes long: no writer, and all pages in memory; else None."""
        if len(tokens) > _GLANCED_TOKENS or self._map is None or len(self._map) > _GLANCED_BYTES:
            return None
        try:
            with self._lock.held(until=0, shared=True, journal=self._journal.descriptor) as seen:
                file = self._sound(seen)
                if file is None or not self._resident(file):
                    return None
                return Snapshot(css.totals(file), self._hits(file, tokens))
        except (OSError, TempFail):
            return None

    def _resident(self, file: mmap) -> bool:
        """Whether all of the file was in memory a moment ago: it takes the system longer to give that up."""
        if (now := time.monotonic()) > self._resident_until and css_resident(file):
            self._resident_until = now + _MOMENT_S
        return now <= self._resident_until

    def read(self, tokens: array[int]) -> Snapshot:
        with self._locked(write=False) as file:
            return Snapshot(css.totals(file), self._hits(file, tokens))

    def _hits(self, file: mmap, tokens: array[int]) -> Hits:
        return Hits(*css_find(file, self._shape.seek, tokens)[:3])

    def apply(self, change: Change, today: date) -> None:
        with self._locked(write=True) as file:
            learned, totals = change.learned, css.totals(file)
            day = day_number(change.day or today)  # of the files; tokens age by days that go by here
            files = {}
            if change.signature is not None:
                files[name_of(change.signature.id)] = change.signature.data
            if change.correct is not None:
                content = self._correct(file, change.correct, change)  # `Stale` for an id that none can have
                files[correction_of(change.correct.signature)] = content
            blocks = {}
            if (block := change.block) is not None:
                blocks[block.name] = block_file.length(self._blocks / block.name)
            self._count_days(file, today)
            after = totals.plus(learned.totals)
            tokens, spam, innocent, *new = self._plan(file, after, learned.tokens)
            before = Before(
                totals, tokens, spam, innocent, dict.fromkeys(files), blocks
            )  # as if they were new
            try:
                if not self._begun_with_new(before, files, day):
                    overwritten = {name: self._signatures.content(name) for name in files}
                    self._journal.begin(before._replace(files=overwritten))
                    self._signatures.write(files, day)
                self._store(file, tokens, *new)
                css.set_totals(self._mapping(), after)
                if block is not None:
                    block_file.append(self._blocks / block.name, blocks[block.name], block.data)
            except BaseException:
                self._undo(self._mapping())
                raise
            self._journal.clear()

    def load(self, rows: Sequence[TokenRow], position: Signature, today: date) -> None:
        self.apply(Change(Learned(Totals(), hits_of(rows)), position), today)

    def _begun_with_new(self, before: Before, files: Mapping[str, bytes], day: int) -> bool:
        """Begin a change that comes with one new file, a signature, as most do; False for any other."""
        if len(files) != 1:
            return False
        ((name, content),) = files.items()
        return self._journal.begin_with(before, self._signatures.folder / name, content, day)

    def _mapping(self) -> mmap:
        """The file; it may have a new mapping because it grew."""
        assert self._map is not None
        return self._map

    def _plan(self, file: mmap, after: Totals, tokens: TokenChange) -> tuple[array[int], ...]:
        limits = (after.spam_learned, after.innocent_learned) if self._shape.limited else (HITS_MAX, HITS_MAX)
        return css_plan(file, self._shape.seek, *tokens, *limits)

    def _correct(self, file: mmap, correct: Correct, change: Change) -> bytes:
        """Check the guard of a correction; the content of its record, empty if none is in force then."""
        if not change.begins:
            stored = self._signatures.stored(correct.signature)
            if stored is None or (stored.correction and stored.correction.label) != correct.expected:
                raise Stale
        if correct.label is None:
            return b""
        learned = change.learned
        if not rises(learned):
            learned = in_effect(learned, Snapshot(css.totals(file), self._hits(file, learned.tokens.tokens)))
        return b"%s\n%s" % (correct.label.value.encode(), record(correct, learned, change.block))

    def _store(self, file: mmap, tokens: array[int], spam: array[int], innocent: array[int]) -> None:
        """Set counters; the file grows as far as it may, and tokens without a place are lost."""
        at = lost = 0
        while (at := css_store(file, self._shape.seek, tokens, spam, innocent, at, self._holes)) < len(
            tokens
        ):
            if self._extend(file):
                file = self._mapping()
            else:
                at, lost = at + 1, lost + 1
        if lost:
            log.get().warning("hash_file_full", file=str(self._path), lost=lost)

    def _extend(self, file: mmap) -> bool:
        """Append an extent, if that is allowed.

        After the first ones, where there may be any number, it has a third of all records at least:
        a search visits each extent, so their number must not follow that of the tokens.
        """
        extents, shape = css.extents(file), self._shape
        if not shape.extend or (shape.extents and len(extents) > shape.extents):
            return False
        least = sum(extents) // 2 if len(extents) >= _FEW_EXTENTS and not shape.extents else 0
        head = css.opening(max(least, extents[-1] * (100 + shape.percent) // 100), folded=shape.folded)
        records, length = css.extents(head)[0], len(file)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            size = css.HEADER.size + records * css.RECORD_BYTES
            if self._may_have_holes(length + size):
                os.ftruncate(descriptor, length + size)
            else:
                os.posix_fallocate(descriptor, length, size)
            os.pwrite(descriptor, head, length)
        except OSError:
            os.ftruncate(descriptor, length)
            raise
        finally:
            os.close(descriptor)
        self._mapped()
        return True

    def _undo(self, file: mmap) -> None:
        """Restore the bytes that an unfinished change overwrote."""
        if not self._journal.pending():
            return
        before = self._journal.read()
        if before is not None:
            new = [not (s or i) for s, i in zip(before.spam, before.innocent, strict=True)]
            css_delete(file, self._shape.seek, array("Q", compress(before.tokens, new)))
            known = [not is_new for is_new in new]
            tokens, spam, innocent = (array("Q", compress(column, known)) for column in before[1:4])
            css_store(file, self._shape.seek, tokens, spam, innocent, 0, self._holes)
            css.set_totals(file, before.totals)
            self._signatures.restore(before.files)
            for name, length in before.blocks.items():
                block_file.cut(self._blocks / name, length)
        self._journal.clear()

    def _count_days(self, file: mmap, today: date) -> None:
        """Let all records age by the days since this was done last."""
        elapsed = self._elapsed(file, today)
        if elapsed:
            css_age(file, elapsed)
        css.set_day(file, day_number(today))

    def _elapsed(self, file: mmap, today: date) -> int:
        """The days that are not counted in the ages of the records."""
        elapsed = day_number(today) - css.day(file)
        return elapsed if 0 < elapsed <= _OLDEST_COUNT else 0

    def signature(self, signature: str) -> Stored | None:
        with self._locked(write=False):
            return self._signatures.stored(signature)

    def delete_signature(self, signature: str) -> bool:
        with self._locked(write=True):
            return self._signatures.delete(signature)

    def signatures(self) -> list[tuple[str, int]]:
        with self._locked(write=False):
            return self._signatures.all()

    def block(self, name: str, since: int) -> Block:
        with self._locked(write=False):
            return block_file.read(self._blocks / name, since)

    def fold(self, name: str, version: int, data: bytes, expected: int | None) -> bool:
        with self._locked(write=True):
            return block_file.fold(self._blocks / name, version, data, expected)

    def blocks(self) -> list[str]:
        with self._locked(write=False):
            return block_file.names(self._blocks)

    def tokens(self, after: int, limit: int, today: date, *, ordered: bool = True) -> list[TokenRow]:
        with self._locked(write=False) as file:
            day = day_number(today) - self._elapsed(file, today)
            while some := self._following(file, after, limit):
                rows = css_joined(file, self._shape.seek, some)
                if rows[0]:
                    return [
                        TokenRow(token, spam, innocent, day - age)
                        for token, spam, innocent, age in zip(*rows, strict=True)
                    ]
                after = some[-1]  # all of them were removed meanwhile
            return []

    def _following(self, file: mmap, after: int, limit: int) -> array[int]:
        """The tokens that follow: some of many, because any search visits all records."""
        if not after or not self._ahead or not self._ahead[0] <= after < self._ahead[-1]:
            self._ahead = css_after(file, after, _AHEAD * limit)
            return self._ahead[:limit]
        first = bisect_right(self._ahead, after)
        return self._ahead[first : first + limit]

    def delete_tokens(self, tokens: array[int]) -> int:
        """Where this is cut short, an extent may have a record twice; the first one counts."""
        with self._locked(write=True) as file:
            return css_delete(file, self._shape.seek, tokens)

    def extents(self) -> list[tuple[int, int]]:
        """Of each extent, how many records it has, and how many of them are in use."""
        with self._locked(write=False) as file:
            return list(zip(css.extents(file), used(file), strict=True))

    def compact(self, *, whole: bool) -> bool:
        """Make the file smaller, if it becomes much smaller; all at once, there is never a next step.

        If it is `whole`, also to join the records of tokens that have several.
        """
        with self._locked(write=True) as file:
            taken = sum(used(file))
            records = max(self._shape.records, ROOM * taken)
            worth = _WORTH * (css.HEADER.size + records * css.RECORD_BYTES) <= len(file)
            if (worth and (whole or taken <= _MOMENT)) or (whole and doubled(file, taken)):
                self._rewrite(file, taken, records)
        return False

    def rewrite(self, least: int) -> None:
        """Put all records into one extent of a fitting size, of at least so many records."""
        with self._locked(write=True) as file:
            self._rewrite(file, sum(used(file)), least)

    def _rewrite(self, file: mmap, taken: int, least: int) -> None:
        was = len(file)
        self._replace(compacted(file, taken, self._shape.seek, least, folded=self._shape.folded))
        log.get().info("hash_file_compacted", file=str(self._path), was=was, length=len(self._mapped()))
