"""A user with something of every kind, in the store and below Home, and a look at all of it."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.engine._weights import Evidence, Table
from dspamd.engine.model import Label, Learned, TokenChange, Totals
from dspamd.home import user_files
from dspamd.home.home import Home
from dspamd.maintenance.conformance.counters import EDGES
from dspamd.maintenance.conformance.steps import all_tokens, new, totals
from dspamd.maintenance.moving.possessions import Site, signatures
from dspamd.storage.contract import Block, BlockChange, Change, Correct, Signature, Storage, Stored
from dspamd.storage.drivers import open_storage

TOTALS = Totals(7, 6, 5, 4, 3, 2, 1, 8)
SYSTEM_LINE = (
    "1795164800\tS\tjp@example.org\t{sig}\tsubject\t0.000824\t{user}\tQuarantined\t<abc@example.org>\n"
)
_FEATURES = 8
DRIVER_NAMES = {"sqlite": "sqlite3", "hash": "hash_drv", "postgres": "pgsql_drv", "mysql": "mysql_drv"}


class Holdings(NamedTuple):
    """Everything of a user, in a form that is the same for all stores."""

    totals: Totals
    tokens: dict[int, tuple[int, int]]
    signatures: dict[str, Stored | None]
    weights: list[tuple[int, int, int, int]]  # the first slots of the block `joint`
    preferences: dict[str, str]
    files: dict[str, bytes]
    system_lines: list[str]


def site(name: str, folder: Path) -> Site:
    """A site of a driver whose data are below a furnished folder; the caller opens its store."""
    file = folder / "dspam.conf"
    file.write_text(f"TrainingMode teft\nHome {folder}\nStorageDriver {DRIVER_NAMES[name]}\n")
    config, home = Config.load(file), Home(folder)
    return Site(config, open_storage(config, home), home)


def lesson(*features: int) -> bytes:
    """A change of the block `joint`."""
    return Evidence(array("Q", features), (Table(),)).lesson(True, 1e9)


def first_slots(block: Block) -> list[tuple[int, int, int, int]]:
    """Those of a whole block `joint`."""
    table = Table.read(block.base or b"")
    for change in block.changes:
        table.add(change)
    return [table.slot(n) for n in range(_FEATURES)]


async def furnish_user(site: Site, name: str, features: int = 3) -> None:
    """Give a user something of every kind; users with other `features` have other weights."""
    storage, home = site.storage, site.home
    uid = await new(storage, name)
    hits = TokenChange(array("Q", EDGES), array("i", (0, 1, 2, 3, 4, 5)), array("i", (9, 0, 7, 6, 5, 4)))
    await storage.apply(uid, Change(Learned(TOTALS, hits), Signature("4c873d4a27473", b"plain")))
    corrected = Learned(
        Totals(spam_learned=1), TokenChange(array("Q", EDGES[:1]), array("i", [1]), array("i", [0]))
    )
    change = Change(
        corrected,
        Signature("4c873d4a27474", bytes(range(256))),
        Correct("4c873d4a27474", None, Label.SPAM, provisional=True),
        block=BlockChange("joint", lesson(*range(features))),
    )
    await storage.apply(uid, change)
    await storage.set_preference(name, "spamAction", "tag")
    for ending, content in {
        "log": b"1795164800\tS\tx\t4c873d4a27473\tsub\xfcject\tQuarantined\t\n\n",
        "retrain.log": b"1795164801\t4c873d4a27474\tspam\n",
        "blocklist": b"example.net\n",
        "mbox": b"From QUARANTINE Fri Nov 20 08:56:05 2026\nSubject: a\n\nbody of "
        + name.encode()
        + b"\n\n\n",
        "stats": b"4,0,0,0,25,25\n",
        "firstrun": b"1795164800",
    }.items():
        home.prepare(home.file(name, ending)).write_bytes(content)
    user_files.add_file(home.file(name, "corpus") / "spam/4c873d4a27473.msg", b"From: x\n\nspam\n")
    home.prepare(home.opt_in(name)).touch()
    with home.system_log.open("a") as log:
        log.write(SYSTEM_LINE.format(user="somebody@else", sig="1"))
        log.write(SYSTEM_LINE.format(user=name, sig=f"of-{features}"))
        log.write(SYSTEM_LINE.format(user="nobody@else", sig="2"))


async def holdings(site: Site, name: str) -> Holdings:
    """Everything of a user."""
    storage, home = site.storage, site.home
    uid = await new(storage, name)
    files = {ending: path.read_bytes() for ending, path in user_files.others(home, name)}
    for ending in (*user_files.LINES, user_files.MAILBOX):
        path = home.file(name, ending)
        files[ending] = path.read_bytes() if path.exists() else b""
    files |= {f"opt-{way}": b"" for way in user_files.opted(home, name)}
    system = home.system_log.read_text().splitlines() if home.system_log.exists() else []
    return Holdings(
        await totals(storage, uid),
        {row.token: (row.spam, row.innocent) for row in await all_tokens(storage, uid)},
        {id_: await storage.signature(uid, id_) for id_, _ in await signatures(storage, uid)},
        first_slots(await storage.block(uid, "joint")),
        dict(await storage.preferences(name)),
        files,
        [line for line in system if f"\t{name}\t" in line],
    )


class Breaking:
    """A `Storage` that does its work and fails then, at the call of that number, as if it had been killed."""

    def __init__(self, storage: Storage, calls: int) -> None:
        self._storage, self.calls = storage, calls

    def __getattr__(self, name: str) -> object:
        method = getattr(self._storage, name)
        if name not in (
            "apply",
            "load",
            "fold",
            "set_preference",
            "delete_signature",
            "delete_owner",
            "rename_owner",
        ):
            return method

        async def breaking(*arguments: object, **named: object) -> object:
            result = await method(*arguments, **named)
            self.calls -= 1
            if self.calls < 0:
                raise Killed
            return result

        return breaking


class Killed(BaseException):
    """Nobody catches it."""
