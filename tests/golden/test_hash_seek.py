"""A hash file that DSPAM 3.10.2 alone wrote, crowded enough that records lie as far as `HashMaxSeek` allows.

858 of its records are at that distance, and three come after the last place of their extent, which
DSPAM 3.10.2 leaves free where it passes.
"""

from __future__ import annotations

import lzma
import re
import struct
from array import array
from collections import Counter
from pathlib import Path

import pytest

from dspamd.commands import css as css_commands
from dspamd.commands import dspam_2sql, dspam_admin, dspam_clean, dspam_dump
from dspamd.engine.model import Totals
from dspamd.maintenance.conformance.steps import counts, learn
from dspamd.storage.contract import Storage
from dspamd.storage.files import css
from tests.golden.data import FOLDER
from tests.support.site import Site

TOKENS = 93_485
SEEK = 10
LATE = (2, 3)  # hits of a program that did not see the record at the last distance

Hits = dict[int, tuple[int, int]]
Output = pytest.CaptureFixture[str]


def records(content: bytes) -> list[tuple[int, int, int]]:
    """Token, spam and innocent hits of each record in use."""
    found, at = [], 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        at += css.HEADER.size
        for token, innocent, spam in struct.iter_unpack("<3Q", content[at : at + 24 * size]):
            if token:
                found.append((token, spam & 2**28 - 1, innocent & 2**28 - 1))
        at += 24 * size
    return found


def farthest(content: bytes) -> list[int]:
    """Tokens of the first extent that are as far from their home as they may be."""
    (size,) = struct.unpack_from("<Q", content)
    table = struct.iter_unpack("<3Q", content[css.HEADER.size :][: 24 * size])
    return [token for place, (token, *_) in enumerate(table) if token and (place - token) % size == SEEK]


@pytest.fixture(scope="module")
def content() -> bytes:
    return lzma.decompress((FOLDER / "original_only.css.xz").read_bytes())


@pytest.fixture(scope="module")
def known(content: bytes) -> Hits:
    return {token: (spam, innocent) for token, spam, innocent in records(content)}


@pytest.fixture
def doubled(content: bytes, known: Hits) -> bytes:
    """The file with second records of the tokens that were not seen, in an extent of their own."""
    size, tokens = 4_099, farthest(content)
    places = {token % size: token for token in tokens}
    extent = bytearray(css.header(size) + bytes(24 * size))
    for place, token in places.items():
        struct.pack_into("<3Q", extent, css.HEADER.size + 24 * place, token, LATE[1], LATE[0])
    first = bytearray(content)  # one of the tokens that found no place in the extent
    (records_there,) = struct.unpack_from("<Q", content)
    last = css.HEADER.size + 24 * (records_there - 1)
    token, *_ = struct.unpack_from("<3Q", content, css.HEADER.size)
    assert token % records_there == records_there - 3
    struct.pack_into("<3Q", first, last, token, LATE[1], LATE[0])
    return bytes(first + extent)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> Site:
    site = Site(tmp_path, monkeypatch, "libhash_drv.so")
    site.configure("HashRecMax 98317", f"HashMaxSeek {SEEK}", "HashPctIncrease 10")
    put(site, content)
    return site


def file(site: Site) -> Path:
    return site.folder / "data" / "bob" / "bob.css"


def put(site: Site, content: bytes) -> None:
    file(site).parent.mkdir(parents=True, exist_ok=True)
    file(site).write_bytes(content)


def summed(content: bytes) -> Hits:
    """The hits of each token, in all of its records."""
    spam, innocent = Counter[int](), Counter[int]()
    for token, s, i in records(content):
        spam[token] += s
        innocent[token] += i
    return {token: (spam[token], innocent[token]) for token in spam}


def test_what_was_recorded(content: bytes, known: Hits) -> None:
    assert (len(known), len(farthest(content))) == (TOKENS, 858)
    assert len(records(content)) == TOKENS


def test_reading_and_listing(site: Site, known: Hits) -> None:
    async def read(storage: Storage) -> Hits:
        return await counts(storage, "bob", list(known))

    assert site.on_store(read) == known
    assert site.known("bob") == known


def test_learning_writes_no_token_twice(site: Site, content: bytes, known: Hits) -> None:
    async def teach(storage: Storage) -> None:
        await learn(storage, "bob", list(known), 1, 0, spam_learned=1)

    site.on_store(teach)
    learned = file(site).read_bytes()
    assert len(learned) == len(content)
    assert [token for token, *_ in records(learned)] == [token for token, *_ in records(content)]
    assert site.known("bob") == {token: (s + 1, i) for token, (s, i) in known.items()}


def test_dspam_dump(site: Site, known: Hits, capsys: Output) -> None:
    assert dspam_dump.main(["bob"]) == 0
    fields = (line.split() for line in capsys.readouterr().out.splitlines())
    assert {int(field[0]): (int(field[2]), int(field[4])) for field in fields} == known


def test_dspam_2sql(site: Site, known: Hits, capsys: Output) -> None:
    assert dspam_2sql.main(["-d", "mysql_drv"]) == 0
    rows = re.findall(r"\(1, (\d+), (\d+), (\d+), '", capsys.readouterr().out)
    assert {int(token): (int(spam), int(innocent)) for token, spam, innocent in rows} == known
    assert len(rows) == TOKENS


def test_copying_to_another_store(site: Site, known: Hits, tmp_path: Path) -> None:
    old = tmp_path / "old.conf"
    old.write_text((tmp_path / "dspam.conf").read_text())
    target = site.folder / "new"
    target.mkdir()
    text = old.read_text().replace("libhash_drv.so", "libsqlite3_drv.so")
    (tmp_path / "dspam.conf").write_text(text.replace(f"Home {site.folder}", f"Home {target}"))
    assert dspam_admin.main(["copy", str(old)]) == 0
    assert site.known("bob") == known
    assert site.totals("bob") == Totals(11, 19, 11, 0, 0, 2, 0, 0)


@pytest.mark.parametrize("command", ["cssclean", "csscompress", "dspam_clean --compact"])
@pytest.mark.parametrize("double", [False, True])
def test_writing_it_anew(
    command: str,
    double: bool,
    site: Site,
    content: bytes,
    doubled: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    """Double records are joined, and nothing is lost."""
    before = doubled if double else content
    put(site, before)
    wanted = summed(before)
    if double:
        assert len(records(before)) > len(wanted) == TOKENS
        assert site.known("bob") == wanted
    match command:
        case "dspam_clean --compact":
            assert dspam_clean.main(["--compact", "bob"]) == 0
        case name:
            monkeypatch.setattr("sys.argv", [name, str(file(site))])
            assert {"cssclean": css_commands.clean, "csscompress": css_commands.compress}[name]() == 0
    after = file(site).read_bytes()
    assert len(records(after)) == TOKENS
    assert summed(after) == wanted
    assert css.totals(after) == css.totals(before)


def test_who_lowers_the_limit_still_sees_all_of_it(site: Site, known: Hits) -> None:
    """A walk through the file looks everywhere; mail sees the record again after a rewrite."""
    site.configure("HashRecMax 98317", "HashMaxSeek 3")
    assert site.known("bob") == known
    assert dspam_clean.main(["--compact", "bob"]) == 0
    assert site.known("bob") == known


def test_a_double_record_goes_with_its_token(site: Site, doubled: bytes) -> None:
    put(site, doubled)
    tokens = farthest(doubled)

    async def remove(storage: Storage) -> int:
        return await storage.delete_tokens("bob", array("Q", tokens))

    assert site.on_store(remove) == len(tokens)
    assert not site.known("bob").keys() & set(tokens)
