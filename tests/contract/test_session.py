"""The whole filter on each driver: the recorded session, and what DSPAM left behind after it.

A message for bob, corrected to spam by its signature; one for alice, then the same as spam
from a corpus.  A store that DSPAM left must give the verdicts of one that we filled ourselves
by the same session, and correct by the signatures that DSPAM wrote.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dspamd.app import Parts
from dspamd.config.config import Config
from dspamd.engine.arrival import Arrival, arrival_of, unmarked
from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.engine.tokenizer import Tokens
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Verdict
from dspamd.maintenance.conformance.steps import all_tokens, totals
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.storage.contract import Storage
from dspamd.storage.files import css
from tests.support.drivers import address
from tests.support.recorded_stores import (
    HASH_LEFT,
    HASH_SINGLE,
    LIBRARIES,
    MYSQL_TABLES,
    POSTGRES,
    POSTGRES_CONTROL,
    RECORDED,
    hash_file,
    mysql_database,
    mysql_rows,
    postgres_rows,
    postgres_script,
    sqlite_file,
    sqlite_rows,
)

SETTINGS = """
TrustedDeliveryAgent /bin/true
TrainingMode teft
Algorithm graham burton
Feature whitelist
ProcessorURLContext on
"""
TOLD = {row["id"]: row["stdin"].encode("latin-1") for row in POSTGRES["transcript"]}
DELIVER = Request(deliver_innocent=True, deliver_spam=True)
CORPUS = Request(lesson=Lesson(Label.SPAM, Source.CORPUS))
NEXT = b"From: x@spam.example\nTo: bob@example.net\nSubject: hi there cheap\n\nbody words buy pills here\n"


class Filter:
    """The pipeline on the store in one folder."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.storage: Storage = parts.storage

    async def process(self, content: bytes, user: str, request: Request = DELIVER) -> Verdict:
        recipient = Recipient(f"{user}@example.net".encode())
        mail = InboundMessage(Envelope(b"", (recipient,), content))
        verdict = (await self._parts.pipeline.process(mail, Delivery(user, recipient, request))).verdict
        assert verdict is not None
        return verdict

    async def missed(self, signature: str, user: str) -> None:
        """Spam was not recognized."""
        request = Request(lesson=Lesson(Label.SPAM, Source.ERROR), signature=signature)
        await self.process(b"", user, request)

    async def learned(self, user: str) -> tuple[Totals, dict[int, tuple[int, int]]]:
        uid = await self.storage.uid(user, create=False)
        assert uid is not None
        hits = {row.token: (row.spam, row.innocent) for row in await all_tokens(self.storage, uid)}
        return await totals(self.storage, uid), hits


@asynccontextmanager
async def filtering(folder: Path, driver: str, tokenizer: str = "chain") -> AsyncIterator[Filter]:
    lines = f"Home {folder}\nStorageDriver {LIBRARIES[driver]}\nTokenizer {tokenizer}\n{SETTINGS}"
    async with Parts(Config.from_text(lines)) as parts:
        yield Filter(parts)


class Signatures(NamedTuple):
    bob: str
    alice: str


async def session(site: Filter) -> Signatures:
    """The recorded steps that change dictionaries; the verdicts are those recorded."""
    first = await site.process(TOLD["process-bob"], "bob")
    assert (first.result.name, round(first.result.probability, 4)) == ("Innocent", 0.0023)
    second = await site.process(TOLD["process-alice"], "alice")
    assert (second.result.name, round(second.result.probability, 4)) == ("Innocent", 0.0076)
    await site.process(TOLD["corpus-alice"], "alice", CORPUS)
    assert first.signature and second.signature
    await site.missed(first.signature, "bob")
    return Signatures(first.signature, second.signature)


def recorded(uid: str) -> dict[int, tuple[int, int]]:
    """The hits of a user after the recorded session."""
    lines = postgres_rows("dspam_token_data")
    return {int(token) % 2**64: (int(s), int(i)) for user, token, s, i, _ in lines if user == uid}


async def test_the_session(name: str, storage: Storage, tmp_path: Path) -> None:
    async with filtering(tmp_path, name) as site:
        signatures = await session(site)
        assert await site.learned("bob") == (Totals(spam_learned=1, spam_misclassified=1), recorded("1"))
        assert await site.learned("alice") == (Totals(1, 1, 0, 0, 1), recorded("2"))
        for (_, _, data, *_), user, id in zip(
            postgres_rows("dspam_signature_data"), ("bob", "alice"), signatures, strict=True
        ):
            uid = await site.storage.uid(user, create=False)
            assert uid is not None
            stored = await site.storage.signature(uid, id)
            assert stored is not None
            assert unmarked(stored.data).hex() == data.replace(POSTGRES_CONTROL, "")
            assert arrival_of(stored.data) == Arrival(Label.INNOCENT, learned=True)


class Left(NamedTuple):
    """A store that DSPAM left: below `folder`, by `driver`, with a signature of one user."""

    folder: Path
    driver: str
    user: str
    signature: str


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    driver = request.param
    folder = tmp_path / "theirs"
    folder.mkdir()
    if driver == "sqlite":
        sqlite_file(folder, "bob")
        ((signature, *_),) = sqlite_rows("dspam_signature_data")
        return Left(folder, driver, "bob", signature)
    if driver == "postgres":
        server = request.getfixturevalue("postgres_server")
        (folder / "pgsql.data").write_text(address(server.new_database(postgres_script())))
        lines = postgres_rows("dspam_signature_data")
    else:
        server, site = request.getfixturevalue("mariadb_server"), RECORDED["mysql"]
        database = mysql_database(server, site, *MYSQL_TABLES)
        (folder / "mysql.data").write_text(address(database))
        lines = mysql_rows(site, "dspam_signature_data")
    (signature,) = (id for uid, id, *_ in lines if uid == "2")
    return Left(folder, driver, "alice", signature)


async def test_a_database_that_dspam_left_goes_on_as_ours(left: Left, tmp_path: Path) -> None:
    async with filtering(left.folder, left.driver) as theirs, filtering(tmp_path / "ours", "sqlite") as ours:
        signatures = await session(ours)
        assert await theirs.learned(left.user) == await ours.learned(left.user)
        for content in (TOLD["process-alice"], TOLD["process-bob"], NEXT):
            their, our = [await site.process(content, left.user) for site in (theirs, ours)]
            assert their.result == our.result
        if left.user == "alice":  # DSPAM had corrected that of bob before, and only we remember that
            await theirs.missed(left.signature, left.user)
            await ours.missed(signatures.alice, left.user)
        assert await theirs.learned(left.user) == await ours.learned(left.user)


@pytest.mark.parametrize("row", HASH_SINGLE, ids=lambda row: "-".join(row["config"].values()))
async def test_a_hash_file_that_dspam_left_goes_on_as_ours(row: dict[str, Any], tmp_path: Path) -> None:
    hash_file(tmp_path / "theirs", bytes.fromhex(row["css_hex"]))
    async with (
        filtering(tmp_path / "theirs", "hash", "word") as theirs,
        filtering(tmp_path / "ours", "sqlite", "word") as ours,
    ):
        for message in row["messages"]:
            await ours.process(message.encode("latin-1"), "bob")
        assert await theirs.learned("bob") == await ours.learned("bob")
        their, our = [await site.process(NEXT, "bob") for site in (theirs, ours)]
        assert their.result == our.result
        assert await theirs.learned("bob") == await ours.learned("bob")


async def test_signature_files_that_dspam_left_correct_its_dictionaries(tmp_path: Path) -> None:
    """Each user has the signature of one message, of which we know nothing else."""
    for path, data in HASH_LEFT["sig_hex"].items():
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes.fromhex(data))
        hash_file(tmp_path, css.header(37), Path(path).parts[1])
    async with filtering(tmp_path, "hash") as site:
        for path, data in HASH_LEFT["sig_hex"].items():
            user, id = Path(path).parts[1], Path(path).stem
            await site.missed(id, user)
            tokens = Tokens.from_signature(bytes.fromhex(data)).values
            wanted = Totals(spam_learned=1, spam_misclassified=1), dict.fromkeys(tokens, (1, 0))
            assert await site.learned(user) == wanted
