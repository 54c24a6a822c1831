"""dspam_admin seed and retrain-model: what they learn, print and leave unchanged."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
from array import array
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from dspamd.commands import dspam_admin
from dspamd.engine._weights import Evidence, Table
from dspamd.engine.joint import JOINT, WeightedRun
from dspamd.engine.model import (
    Hits,
    Label,
    Learned,
    Lesson,
    ScoreOptions,
    Snapshot,
    Source,
    TokenOptions,
    Totals,
)
from dspamd.engine.scorers import SCORERS
from dspamd.engine.tokenizer import tokenize
from dspamd.evaluation import teaching
from dspamd.evaluation.teaching import Owner
from dspamd.filter.blocks import Blocks
from dspamd.filter.dictionary import Dictionaries
from dspamd.filter.seed import seed_in
from dspamd.mail.view import SignaturePass
from dspamd.mail.views import VIEWS
from dspamd.request.request import Request
from dspamd.storage.contract import Block, BlockChange, Change, Signature, Storage, Uid
from dspamd.users.users import Users
from tests.support.labelled_mail import unpacked
from tests.support.logged import Logged
from tests.support.pipeline import (
    BASE,
    BOTH,
    ERROR_INNOCENT,
    ERROR_SPAM,
    HAM,
    SPAM,
    PipelineFixture,
    open_pipeline,
    signature_of,
)
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
JOINT_BASE = BASE.replace("graham burton", "joint")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged) -> Site:
    """A site whose log stays out of the output of the commands."""
    folder = tmp_path / "home"
    folder.mkdir()
    site = Site(folder, monkeypatch)
    site.configure("Algorithm joint", "UserLog on")
    return site


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with the folders ham and spam, 80 messages each."""
    return unpacked(tmp_path / "corpus").parent


def first(corpus: Path, count: int) -> list[str]:
    """The options that name the first messages of each class, as folders."""
    words = []
    for label in ("ham", "spam"):
        folder = corpus / f"first-{label}"
        folder.mkdir()
        for file in sorted((corpus / label).iterdir())[:count]:
            shutil.copy(file, folder)
        words += [f"--{label}", str(folder)]
    return words


def rest(corpus: Path, label: str, count: int) -> list[bytes]:
    return [file.read_bytes() for file in sorted((corpus / label).iterdir())[count:]]


def on_pipeline(
    site: Site, work: Callable[[PipelineFixture], Awaitable[None]], *lines: str, base: str = JOINT_BASE
) -> None:
    """Let mail flow on the stores of a site."""

    async def run() -> None:
        async with open_pipeline(site.folder, "UserLog on", *lines, base=base) as b:
            await work(b)

    asyncio.run(run())


async def says(b: PipelineFixture, mails: Iterable[bytes], user: str) -> list[bool]:
    """Whether mails would be spam for a user."""
    verdicts = [(await b.process(mail, Request(classify=True), user)).verdict for mail in mails]
    assert None not in verdicts
    return [verdict.result.spam for verdict in verdicts if verdict is not None]


def scored(mail: bytes, table: Table, lesson: Lesson | None) -> WeightedRun:
    view = VIEWS["modern"](mail, signature_pass=SignaturePass(cut_tags=True), document=False)
    tokens = tokenize(view, TokenOptions(view="modern"))
    options = ScoreOptions(algorithms=frozenset({"joint"}))
    return JOINT.score(tokens, Snapshot(Totals(), Hits.none(), (table,)), options, lesson)


def taught(*mails: tuple[bytes, bool]) -> Table:
    """A table that has learned these mails; True: the mail is spam."""
    table = Table()
    for mail, spam in mails:
        lesson = Lesson(Label.SPAM if spam else Label.INNOCENT, Source.CORPUS)
        table.add(scored(mail, table, lesson).learned.block)
    return table


def block(site: Site, owner: str) -> Block:
    async def read(storage: Storage) -> Block:
        uid = await storage.uid(owner, create=False)
        assert uid is not None
        return await storage.block(uid, "joint")

    return site.on_store(read)


def known(site: Site, owner: str) -> Table:
    """The weights of an owner, from their block."""
    stored = block(site, owner)
    table = Table.read(stored.base or b"")
    for change in stored.changes:
        table.add(change)
    return table


def mailed(folder: Path, *mails: bytes) -> str:
    """A folder with mails, as if they came in this order."""
    folder.mkdir()
    for number, mail in enumerate(mails):
        date = f"Date: Mon, 02 Jan 2006 15:04:{number:02} +0000\n".encode()
        (folder / f"{99 - number}").write_bytes(date + mail.replace(b"\r\n", b"\n"))
    return str(folder)


@pytest.mark.parametrize("algorithm", [name for name, each in SCORERS.items() if each.block])
def test_a_new_user_with_a_seed_recognizes_its_kind_of_spam(
    site: Site, corpus: Path, tmp_path: Path, capsys: Output, algorithm: str
) -> None:
    site.configure(f"Algorithm {algorithm}")
    file, base = tmp_path / "seed", BASE.replace("graham burton", algorithm)
    assert dspam_admin.main(["seed", str(file), *first(corpus, 60)]) == 0
    out, err = capsys.readouterr()
    assert out == f"60 ham and 60 spam read; {file} has {file.stat().st_size} bytes\n"
    assert err == ""
    assert file.stat().st_mode & 0o777 == 0o644
    seed = seed_in(file, SCORERS[algorithm])
    assert isinstance(seed, Table)
    assert 0 < min(seed.spam, seed.innocent) <= max(seed.spam, seed.innocent) <= 50
    assert len(seed) > 1000
    spam, ham = rest(corpus, "spam", 60), rest(corpus, "ham", 60)

    async def with_seed(b: PipelineFixture) -> None:
        assert sum(await says(b, spam, "ann")) >= 16
        assert sum(await says(b, ham, "ann")) <= 2

    async def without(b: PipelineFixture) -> None:
        assert sum(await says(b, spam + ham, "ann")) == 0

    on_pipeline(site, with_seed, f"SeedModel {file}", base=base)
    on_pipeline(site, without, base=base)


def test_lessons_of_a_user_outweigh_the_seed(site: Site, tmp_path: Path) -> None:
    file, extra = tmp_path / "seed", b" ".join(b"word%d" % k for k in range(40))
    ham = mailed(tmp_path / "ham", *[HAM, HAM + extra] * 15)  # one lesson is not enough
    spam = mailed(tmp_path / "spam", *[SPAM, SPAM + extra] * 15)
    assert dspam_admin.main(["seed", str(file), "--ham", ham, "--spam", spam]) == 0

    async def teach(b: PipelineFixture) -> None:
        assert await says(b, [SPAM, HAM], "ann") == [True, False]
        for _ in range(5):
            if not (await says(b, [SPAM], "ann"))[0]:
                break
            seen = signature_of(await b.process(SPAM, BOTH, "ann"))
            await b.process(b"\n\n", Request(lesson=ERROR_INNOCENT, signature=seen), "ann")
        assert await says(b, [SPAM, HAM], "ann") == [False, False]
        assert await says(b, [SPAM, HAM], "ben") == [True, False]

    on_pipeline(site, teach, f"SeedModel {file}")


def test_a_seed_contains_no_text_and_nothing_of_a_single_message(site: Site, tmp_path: Path) -> None:
    """The seed leaves out slots of a single message, so a seed of unlike messages has no word of them."""
    words = [b"unheard", b"singular"]
    mails = [b"%s-%s: %s\n\n%s\n" % (word, word, word, word * 3) for word in words]
    ham, spam = mailed(tmp_path / "ham", mails[0]), mailed(tmp_path / "spam", mails[1])
    file = tmp_path / "seed"
    assert dspam_admin.main(["seed", str(file), "--ham", ham, "--spam", spam]) == 0
    both = taught((mails[0], False), (mails[1], True))
    seed = Table.read(file.read_bytes())
    assert len(seed) < len(both)
    assert all(seed.slot(n) == (0, 0, 0, 0) for n in range(1 << 18) if sum(both.slot(n)[2:]) == 1)


def test_errors_are_reported_before_mail_is_read(site: Site, tmp_path: Path, capsys: Output) -> None:
    assert dspam_admin.main(["seed", "/nowhere/seed", "--ham", "/no", "--spam", "/no"]) == 1
    assert capsys.readouterr() == ("", "seed: /nowhere is no folder that we may write to\n")
    assert dspam_admin.main(["seed", str(tmp_path / "seed"), "--ham", "/no", "--spam", "/no"]) == 2
    assert '"/no" must be either' in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    full = mailed(tmp_path / "full", HAM)
    assert (
        dspam_admin.main(["seed", str(tmp_path / "seed"), "--ham", full, "--spam", f"{tmp_path}/none"]) == 2
    )
    assert capsys.readouterr().err == "the corpus: there is no spam\n"
    assert not (tmp_path / "seed").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["seed"], "seed: a file, --ham and --spam are needed"),
        (["seed", "file"], "seed: a file, --ham and --spam are needed"),
        (["seed", "--ham", "a", "--spam", "b"], "seed: a file, --ham and --spam are needed"),
        (["seed", "one", "two", "--ham", "a", "--spam", "b"], "seed: a file, --ham and --spam are needed"),
        (["seed", "file", "--ham", "a"], "seed: --ham and --spam are both needed"),
        (["seed", "file", "--mail", "a"], "seed: unrecognized arguments: --mail"),
        (["retrain-model"], "retrain-model: a user is needed"),
        (["retrain-model", "bob", "--spam", "a"], "retrain-model: --ham and --spam are both needed"),
    ],
)
def test_missing_or_unknown_words_are_wrong_usage(
    words: list[str], complaint: str, site: Site, capsys: Output
) -> None:
    assert dspam_admin.main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(complaint)
    assert err.endswith(dspam_admin.USAGE)


@pytest.mark.parametrize("words", ["retrain-model bob", "seed FILE --ham HAM --spam HAM"])
def test_an_algorithm_without_weights_is_refused(
    words: str, site: Site, tmp_path: Path, capsys: Output
) -> None:
    site.configure("Algorithm graham burton")
    site.teach("bob", Totals(1, 1))
    places = {"FILE": str(tmp_path / "seed"), "HAM": mailed(tmp_path / "ham", HAM)}
    assert dspam_admin.main([places.get(word, word) for word in words.split()]) == 78
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.search(
        r"dspam\.conf:5: Algorithm graham burton .* dspam_train .* Algorithm joint or logistic$", err
    )
    assert not (tmp_path / "seed").exists()


async def mail_of_bob(b: PipelineFixture) -> None:
    """Three innocent mails, a missed spam, and a mail that the user first reports and then takes back."""
    for number in range(3):
        await b.process(HAM.replace(b"agenda", b"agenda%d" % number))
    missed = signature_of(await b.process(SPAM))
    await b.process(b"\n\n", Request(lesson=ERROR_SPAM, signature=missed))
    seen = signature_of(await b.process(HAM.replace(b"lunch", b"dinner")))
    for lesson in ERROR_SPAM, ERROR_INNOCENT:
        await b.process(b"\n\n", Request(lesson=lesson, signature=seen))


def taught_by_bob() -> Table:
    """A table that has learned the mail of bob."""
    return taught(
        *[(HAM.replace(b"agenda", b"agenda%d" % number), False) for number in range(3)],
        (SPAM, True),
        (HAM.replace(b"lunch", b"dinner"), False),
    )


def test_knowledge_is_made_anew_from_signatures(site: Site, capsys: Output) -> None:
    on_pipeline(site, mail_of_bob)
    site.on_store(lambda storage: folded(storage, b""))
    assert len(known(site, "bob")) == 0
    totals = site.totals("bob")
    assert dspam_admin.main(["retrain-model", "bob"]) == 0
    assert capsys.readouterr() == ("bob: 4 ham and 1 spam used\n", "")
    assert known(site, "bob").write() == taught_by_bob().write()
    assert site.totals("bob") == totals


async def folded(storage: Storage, data: bytes) -> None:
    """Replace the knowledge of bob by data."""
    uid = await storage.uid("bob", create=False)
    assert uid is not None
    version = (await storage.block(uid, "joint")).version
    assert await storage.fold(uid, "joint", version + 1, data)


def keep(site: Site, owner: str, **mails: bytes) -> None:
    """Store the signatures of mails under their names, without verdicts, lessons and corrections."""

    async def store(storage: Storage) -> None:
        uid = await storage.uid(owner, create=True)
        assert uid is not None
        for name, mail in mails.items():
            signature = Signature(name, scored(mail, Table(), None).signature)
            await storage.apply(uid, Change(Learned.nothing(), signature))

    site.on_store(store)


def write_log(site: Site, user: str, **verdicts: str) -> None:
    """Write the log of a user, with the letter of the verdict for each signature."""
    file = site.folder / "data" / user / f"{user}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"1\t{letter}\tx@y\t{name}\thi\t-\t-\n" for name, letter in verdicts.items()))


def test_mail_of_unknown_class_is_counted_and_left_out(site: Site, capsys: Output) -> None:
    keep(site, "bob", t0000000_1=HAM, t0000000_2=SPAM, t0000000_3=HAM + b"again\n")
    write_log(site, "bob", t0000000_2="S", t0000000_1="I")
    assert dspam_admin.main(["retrain-model", "bob"]) == 0
    assert capsys.readouterr() == (
        "bob: 1 ham and 1 spam used; 1 left out: neither a correction nor a line in the log\n",
        "",
    )
    assert known(site, "bob").write() == taught((SPAM, True), (HAM, False)).write()  # as in the log


def test_signatures_of_another_scorer_cannot_be_used(site: Site, tmp_path: Path, capsys: Output) -> None:
    on_pipeline(site, mail_of_bob, base=BASE)
    capsys.readouterr()  # the log of the pipeline, unless an earlier test redirected it
    assert dspam_admin.main(["retrain-model", "bob"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "bob: no message can be used, what is known stays as it was; "
        "5 left out: their signatures are of another Algorithm, which keeps other tokens: "
        "name folders of mail with --ham and --spam\n"
    )
    assert block(site, "bob").version == 0

    async def one_more(b: PipelineFixture) -> None:
        await b.process(HAM)

    on_pipeline(site, one_more)
    assert dspam_admin.main(["retrain-model", "bob"]) == 0
    assert capsys.readouterr() == (
        "bob: 1 ham and 0 spam used; "
        "5 left out: their signatures are of another Algorithm, which keeps other tokens\n",
        "",
    )
    ham, spam = mailed(tmp_path / "ham", HAM, HAM), mailed(tmp_path / "spam", SPAM)
    assert dspam_admin.main(["retrain-model", "bob", "--ham", ham, "--spam", spam]) == 0
    assert capsys.readouterr() == ("bob: 2 ham and 1 spam used\n", "")


@pytest.mark.parametrize("settings", ["ShadowAlgorithm joint", "Algorithm joint\nShadowAlgorithm logistic"])
def test_a_message_with_two_signatures_is_one(site: Site, capsys: Output, settings: str) -> None:
    """One signature is the shadow's; the command uses that of its Algorithm, with the correction."""
    base = BASE if settings.startswith("Shadow") else re.sub("(?m)^Algorithm .*\n", "", BASE)
    on_pipeline(site, mail_of_bob, base=f"{base}{settings}\n")
    assert dspam_admin.main(["retrain-model", "bob"]) == 0
    assert capsys.readouterr() == ("bob: 4 ham and 1 spam used\n", "")
    assert known(site, "bob").write() == taught_by_bob().write()


def test_knowledge_is_made_anew_from_folders_oldest_first(site: Site, tmp_path: Path) -> None:
    site.teach("bob", Totals(3, 3))
    mails = [HAM, HAM.replace(b"agenda", b"lunch break"), HAM.replace(b"minutes", b"hours")]
    ham, spam = mailed(tmp_path / "ham", *mails), mailed(tmp_path / "spam", SPAM)
    for _ in range(2):  # earlier knowledge does not count
        assert dspam_admin.main(["retrain-model", "bob", "--ham", ham, "--spam", spam]) == 0
        files = [Path(ham) / name for name in ("99", "98", "97")]
        first, *others = [(file.read_bytes(), False) for file in files]
        # The first ham and the spam have the same second, so the path decides their order.
        expected = taught(first, ((Path(spam) / "99").read_bytes(), True), *others)
        assert known(site, "bob").write() == expected.write()


def test_a_damaged_block_is_replaced(site: Site, capsys: Output) -> None:
    keep(site, "bob", one=HAM, two=SPAM)
    write_log(site, "bob", one="I", two="S")
    site.on_store(lambda storage: folded(storage, b"not what we wrote"))
    assert dspam_admin.main(["retrain-model", "bob"]) == 0
    assert capsys.readouterr() == ("bob: 1 ham and 1 spam used\n", "")
    assert known(site, "bob").write() == taught((HAM, False), (SPAM, True)).write()


def test_an_unknown_user_stops_the_run_before_it_changes_anything(site: Site, capsys: Output) -> None:
    on_pipeline(site, mail_of_bob)
    before = block(site, "bob")
    assert dspam_admin.main(["retrain-model", "bob", "nobody"]) == 1
    assert capsys.readouterr() == (
        "",
        "nobody is unknown: there is no dictionary of nobody; "
        "to teach a new user, name folders of mail with --ham and --spam\n",
    )
    assert block(site, "bob") == before


def test_a_new_user_is_taught_from_folders(site: Site, tmp_path: Path, capsys: Output) -> None:
    ham, spam = mailed(tmp_path / "ham", HAM), mailed(tmp_path / "spam", SPAM)
    assert dspam_admin.main(["retrain-model", "new", "--ham", ham, "--spam", spam]) == 0
    assert capsys.readouterr() == ("new: 1 ham and 1 spam used\n", "")
    assert len(known(site, "new")) > 0


def test_a_folder_is_no_place_for_a_seed(site: Site, tmp_path: Path, capsys: Output) -> None:
    mail = mailed(tmp_path / "mail", HAM)
    assert dspam_admin.main(["seed", str(tmp_path), "--ham", mail, "--spam", mail]) == 1
    assert f"seed: {tmp_path} is a folder, the name of a file is needed\n" in capsys.readouterr().err


def test_a_group_is_retrained_once_with_the_logs_of_its_members(site: Site, capsys: Output) -> None:
    (site.folder / "group").write_text("team:shared:ann,ben\n")
    keep(site, "team", one=HAM, two=SPAM)
    write_log(site, "ann", one="I")
    write_log(site, "ben", two="S")
    assert dspam_admin.main(["retrain-model", "ann"]) == 0
    assert capsys.readouterr().out.startswith("team: 1 ham and 0 spam used; 1 left out: neither")
    assert dspam_admin.main(["retrain-model", "ann", "ben"]) == 0
    assert capsys.readouterr() == ("team: 1 ham and 1 spam used\n", "")


MARK = array("Q", [0x7ABCDEF << 32])  # a feature that no mail has


class Busy:
    """A store where the daemon appends lessons before each look at the block and before its replacement.

    `moments` are the numbers of these; the first look has none.
    """

    def __init__(self, storage: Storage, moments: Collection[int], fold_after: int = 0) -> None:
        self._storage, self._moments, self._fold_after = storage, moments, fold_after
        self.passed, self.appended = 0, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage, name)

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        await self._learn(uid)
        if self.passed == self._fold_after:
            at = (await self._storage.block(uid, name)).version
            assert await self._storage.fold(uid, name, at, Table().write())
        return await self._storage.block(uid, name, since=since)

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        await self._learn(uid)
        return await self._storage.fold(uid, name, version, data, expected=expected)

    async def _learn(self, uid: Uid) -> None:
        self.passed += 1
        if self.passed - 1 in self._moments:
            self.appended += 1
            change = BlockChange("joint", Evidence(MARK, (Table(),)).lesson(True, 1e9))
            await self._storage.apply(uid, Change(Learned.nothing(), block=change))


def busy(patch: pytest.MonkeyPatch, moments: Collection[int], fold_after: int = 0) -> list[Busy]:
    """Let the daemon learn while the next commands run."""
    opened: list[Busy] = []

    async def owners(
        names: Sequence[str], users: Users, dictionaries: Dictionaries, *, create: bool
    ) -> list[Owner]:
        opened.append(Busy(dictionaries.storage, moments, fold_after))
        found = await teaching_owners(names, users, dictionaries, create=create)
        storage = cast(Storage, opened[-1])
        return [replace(each, dictionary=replace(each.dictionary, storage=storage)) for each in found]

    teaching_owners = teaching.owners
    patch.setattr(teaching, "owners", owners)
    return opened


@pytest.mark.parametrize("chance", range(6))
@pytest.mark.parametrize("has_block", [True, False])
def test_lessons_of_the_daemon_during_the_run_are_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, chance: int, has_block: bool
) -> None:
    """After five looks between messages, a lesson may come before each look and each attempt to replace."""
    moments = {1 + 5, 2 + 5, *random.Random(chance).choices(range(1, 16), k=3 * chance)}
    if has_block:
        on_pipeline(site, mail_of_bob)
    else:
        site.teach("bob", Totals(1, 1))
    remembered, ham = Blocks(), mailed(tmp_path / "ham", *[HAM] * 4)
    on = [remembered_of(site, remembered)]
    opened = busy(monkeypatch, moments)
    spam = mailed(tmp_path / "spam", SPAM)
    assert dspam_admin.main(["retrain-model", "bob", "--ham", ham, "--spam", spam]) == 0
    assert capsys.readouterr() == ("bob: 4 ham and 1 spam used\n", "")
    now = known(site, "bob")
    lessons = opened[0].appended
    assert now.slot(slot_of(MARK[0]))[2:] == (lessons, 0)
    assert now.spam >= lessons + 1 >= 3
    # A worker that remembers the old knowledge takes the new one.
    on.append(remembered_of(site, remembered))
    assert on[1] == now.write() != on[0]


def remembered_of(site: Site, blocks: Blocks) -> bytes:
    """The knowledge of bob in a worker that has these blocks in memory."""

    async def look(storage: Storage) -> bytes:
        uid = await storage.uid("bob", create=False)
        assert uid is not None
        return (await blocks.weights(storage, uid, "joint", JOINT)).write()

    return site.on_store(look)


def slot_of(feature: int) -> int:
    """The slot of a feature: a lesson about that feature alone is counted only in this slot."""
    table = Table()
    table.add(Evidence(array("Q", [feature]), (table,)).lesson(True, 1e9))
    (slot,) = (n for n in range(1 << 18) if table.slot(n)[2:] != (0, 0))
    return slot


def test_lessons_that_were_folded_during_the_run_are_reported(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    on_pipeline(site, mail_of_bob)
    busy(monkeypatch, range(1, 4), fold_after=3)
    assert dspam_admin.main(["retrain-model", "bob"]) == 0
    out, err = capsys.readouterr()
    assert out == "bob: 4 ham and 1 spam used\n"
    assert err == "bob: the daemon learned so much meanwhile that some of it is missing: call it again\n"
    assert known(site, "bob").slot(slot_of(MARK[0]))[2:] == (2, 0)


def test_the_group_and_the_seed_count_as_in_the_daemon(site: Site, tmp_path: Path) -> None:
    """A user does not learn what the group and the seed know already."""
    ham, spam = mailed(tmp_path / "ham", *[HAM] * 30), mailed(tmp_path / "spam", *[SPAM] * 30)
    file = tmp_path / "seed"
    assert dspam_admin.main(["seed", str(file), "--ham", ham, "--spam", spam]) == 0
    site.teach("bob", Totals(1, 1))
    lessons = []
    for lines in (), (f"SeedModel {file}",):
        site.configure("Algorithm joint", *lines)
        assert dspam_admin.main(["retrain-model", "bob", "--ham", ham, "--spam", spam]) == 0
        lessons.append(known(site, "bob").lessons)
    site.configure("Algorithm joint")
    site.teach("site", Totals(1, 1))
    assert dspam_admin.main(["retrain-model", "site", "--ham", ham, "--spam", spam]) == 0
    (site.folder / "group").write_text("site:merged:*\n")
    assert dspam_admin.main(["retrain-model", "bob", "--ham", ham, "--spam", spam]) == 0
    lessons.append(known(site, "bob").lessons)
    assert max(lessons[1:]) < lessons[0]
