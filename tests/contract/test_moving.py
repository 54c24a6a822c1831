"""Users move from any store to any other with everything of theirs; interrupted moves can be done again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest

from dspamd.engine.model import Totals
from dspamd.maintenance.conformance.steps import learning, new
from dspamd.maintenance.moving import importing
from dspamd.maintenance.moving.archive import Archive, Contents
from dspamd.maintenance.moving.comparing import compare
from dspamd.maintenance.moving.exporting import export
from dspamd.maintenance.moving.importing import Import, Mode, Refused, forget_position
from dspamd.maintenance.moving.leaving import remove
from dspamd.maintenance.moving.merging import NotMerged, merge
from dspamd.maintenance.moving.possessions import Site, Tally, tally
from dspamd.maintenance.moving.renaming import NotRenamed, rename
from dspamd.storage.contract import POSITION, Change, Signature
from dspamd.storage.sql.common import Server
from tests.support.belongings import Breaking, Killed, furnish_user, holdings, site
from tests.support.drivers import DRIVERS

ONLY_BOB = Change(learning([77], 1, 2, spam_learned=1), Signature("4c873d4a27475", b"only of Bob"))
BOB = "o'brien+x@example.org"
MANUAL = Path(__file__).parents[2] / "docs/dspam-export.5"
DOCUMENTED = set(re.findall(r"^\.TP\n\.B (\w+)$", MANUAL.read_text(), re.MULTILINE))  # kinds of records
PAIRS = list(zip(DRIVERS, (*DRIVERS[1:], DRIVERS[0]), strict=True))

Sites = Callable[[str, str], AbstractAsyncContextManager[Site]]


@pytest.fixture
def sites(tmp_path: Path, furnish: Callable[[str, Path], None]) -> Sites:
    """Opens a site of a driver, at a place."""

    @asynccontextmanager
    async def opened(name: str, place: str) -> AsyncIterator[Site]:
        folder = tmp_path / place
        furnish(name, folder)
        found = site(name, folder)
        await found.storage.open()
        try:
            yield found
        finally:
            await found.storage.close()

    return opened


async def exported(site: Site, name: str, path: Path) -> tuple[Archive, Contents]:
    """The checked archive of a user."""
    file = BytesIO()
    await export(site, name, file, lambda _: None)
    return written(file.getvalue(), path)


def written(content: bytes, path: Path) -> tuple[Archive, Contents]:
    path.write_bytes(content)
    archive = Archive(path)
    *_, contents = archive.check()
    assert isinstance(contents, Contents)
    return archive, contents


async def bring(site: Site, name: str, archive: Archive, contents: Contents, mode: Mode) -> None:
    """Import, but for the last step."""
    done = await Import(site, name, archive, contents, mode).run(lambda _: None)
    assert done.left_out == ()


async def in_spite_of_kills(
    site: Site, work: Callable[[Site], Awaitable[object]], after: type[Exception] | tuple[()] = ()
) -> None:
    """Do work that is killed after its first change, and done again until its second one, and so on.

    `after`: what it raises if it was killed after its very last step.
    """
    for calls in range(100):
        try:
            await work(site._replace(storage=Breaking(site.storage, calls)))  # type: ignore[arg-type]
        except Killed:
            continue
        except after:
            assert calls
        return
    raise AssertionError("it never ends")


@pytest.mark.parametrize(("source", "target"), PAIRS)
async def test_everything_arrives(source: str, target: str, sites: Sites, tmp_path: Path) -> None:
    async with sites(source, "source") as here, sites(target, "target") as there:
        await furnish_user(here, BOB)
        archive, contents = await exported(here, BOB, tmp_path / "archive")
        assert {"dspamd_export", *contents.counts, "end"} == DOCUMENTED
        await bring(there, BOB, archive, contents, Mode.NEW)
        await forget_position(there.storage, BOB, contents)
        assert await holdings(there, BOB) == await holdings(here, BOB)
        assert await compare(there, BOB, archive, contents, exact=True) == []
        assert await tally(there, BOB) == await tally(here, BOB)
        with pytest.raises(Refused, match="is known here"):
            await bring(there, BOB, archive, contents, Mode.NEW)
        await bring(there, BOB, archive, contents, Mode.REPLACE)
        assert await holdings(there, BOB) == await holdings(here, BOB)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_interrupted_imports_go_on(
    driver: str, sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "LOADED_AT_ONCE", 2)
    async with sites("sqlite", "source") as here, sites(driver, "target") as there:
        await furnish_user(here, BOB)
        archive, contents = await exported(here, BOB, tmp_path / "archive")
        await in_spite_of_kills(there, lambda site: bring(site, "bob", archive, contents, Mode.NEW))
        with pytest.raises(Refused, match="was interrupted"):
            await bring(there, "bob", archive, contents, Mode.MERGE)
        await forget_position(there.storage, "bob", contents)
        assert (await holdings(there, "bob"))[:-1] == (await holdings(here, BOB))[:-1]
        await in_spite_of_kills(there, lambda site: bring(site, "bob", archive, contents, Mode.MERGE))
        found = await holdings(there, "bob")
        assert found.totals == Totals(16, 12, 10, 8, 6, 4, 2, 16)
        assert set(found.tokens.values()) == {
            (2 * spam, 2 * innocent) for spam, innocent in (await holdings(here, BOB)).tokens.values()
        }
        assert found.weights == [tuple(2 * n for n in slot) for slot in (await holdings(here, BOB)).weights]
        assert found.files == (await holdings(here, BOB)).files


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_user_gets_another_name(driver: str, sites: Sites, tmp_path: Path) -> None:
    async with sites(driver, "here") as here:
        await furnish_user(here, BOB)
        await furnish_user(here, "ann", features=2)
        before, others = await holdings(here, BOB), await holdings(here, "ann")
        with pytest.raises(NotRenamed, match="ann is known"):
            await rename(here, BOB, "ann")
        with pytest.raises(NotRenamed, match="nothing to rename"):
            await rename(here, "nobody", "new")
        await in_spite_of_kills(here, lambda site: rename(site, BOB, "new+name"), after=NotRenamed)
        after = await holdings(here, "new+name")
        assert after[:-1] == before[:-1]
        assert after.system_lines == [line.replace(BOB, "new+name") for line in before.system_lines]
        assert await holdings(here, "ann") == others
        mailbox = here.home.file("new+name", "mbox")
        assert places_of(BOB, tmp_path) == [mailbox]  # the mail in it names its old recipient


@pytest.mark.parametrize("driver", DRIVERS)
async def test_users_are_joined(
    driver: str, sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "LOADED_AT_ONCE", 2)
    async with sites(driver, "here") as here:
        await furnish_user(here, BOB)
        await furnish_user(here, "ann", features=2)
        await here.storage.apply(await new(here.storage, BOB), ONLY_BOB)
        await here.storage.set_preference(BOB, "showFactors", "on")
        await here.storage.set_preference("ann", "spamAction", "deliver")
        before, others = await holdings(here, BOB), await holdings(here, "ann")
        for wrong in ((BOB, "nobody"), ("nobody", BOB), (BOB, BOB)):
            with pytest.raises(NotMerged):
                await merge(here, *wrong, lambda _: None)
        await in_spite_of_kills(here, lambda site: merge(site, BOB, "ann", lambda _: None), after=NotMerged)
        after = await holdings(here, "ann")
        assert after.totals == before.totals.joined(others.totals)
        assert after.tokens == {
            token: tuple(a + b for a, b in zip(hits, others.tokens.get(token, (0, 0)), strict=True))
            for token, hits in before.tokens.items()
        }
        assert after.signatures == before.signatures | others.signatures
        assert after.weights == [
            tuple(map(int.__add__, *slots)) for slots in zip(before.weights, others.weights, strict=True)
        ]
        assert after.preferences == {"spamAction": "deliver", "showFactors": "on"}
        assert after.files["mbox"] == others.files["mbox"] + before.files["mbox"]
        assert after.files["log"] == others.files["log"]  # both have the same line
        assert len(after.system_lines) == 2
        assert await tally(here, BOB) == Tally()
        assert places_of(BOB, tmp_path) == [here.home.file("ann", "mbox")]
        assert places_of("merging", tmp_path) == []
        assert all(
            not id_.startswith(POSITION)
            for id_, _ in await here.storage.signatures(await new(here.storage, "ann"))
        )


UIDS = """SELECT table_name FROM information_schema.columns
WHERE column_name = 'uid' AND table_schema NOT IN ('information_schema', 'pg_catalog', 'mysql', 'sys')"""


def raw_uids(driver: str, folder: Path, request: pytest.FixtureRequest) -> set[str]:
    """All numbers of users in all tables of a server, by SQL; none for a store of files."""
    if driver == "postgres":
        database = Server.from_file(folder / "pgsql.data").database
        psql = request.getfixturevalue("postgres_server").psql
        tables = psql(UIDS, database).split()
        return {
            line.strip() for table in tables for line in psql(f"SELECT uid FROM {table}", database).split()
        }
    if driver == "mysql":
        server, query = (
            Server.from_file(folder / "mysql.data"),
            request.getfixturevalue("mariadb_server").query,
        )
        of_database = f"{UIDS} AND table_schema = '{server.database}'"
        tables = [table for (table,) in query(of_database, server)]
        return {str(uid) for table in tables for (uid,) in query(f"SELECT uid FROM {table}", server)}
    return set()


def places_of(name: str, folder: Path) -> list[Path]:
    """The files that have a name in their name or content."""
    return [
        path
        for path in folder.rglob("*")
        if name in path.name or (path.is_file() and name.encode() in path.read_bytes())
    ]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_nothing_is_left_of_who_is_removed(
    driver: str, sites: Sites, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with sites(driver, "here") as here:
        await furnish_user(here, BOB)
        await furnish_user(here, "ann")
        assert await tally(here, BOB) == Tally(14, 6, 2, 1, 1, 1, 2, 1, 3, 1, 1)
        others, uid = await holdings(here, "ann"), str(await new(here.storage, BOB))
        if driver in ("postgres", "mysql"):
            assert uid in raw_uids(driver, tmp_path / "here", request)
        await in_spite_of_kills(here, lambda site: remove(site, BOB))
        assert await tally(here, BOB) == Tally()
        assert await holdings(here, "ann") == others
        assert uid not in raw_uids(driver, tmp_path / "here", request)
        assert places_of(BOB, tmp_path) == []
