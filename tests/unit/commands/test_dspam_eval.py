"""dspam_eval: digits repeat, runs continue, and bad input gives a clear error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dspamd.commands import dspam_eval
from dspamd.evaluation.replay import Replay
from dspamd.evaluation.saved import load
from dspamd.request.request import Request
from tests.support.account import TRUST
from tests.support.labelled_mail import unpacked
from tests.support.pipeline import BOTH, ERROR_SPAM, HAM, SPAM, open_pipeline, signature_of

COMPARED = ("chain:", "osb:Tokenizer=osb", "toe:TrainingMode=toe,Feature=whitelist")

EXPECTED = [
    ["chain", "4.8906", "8.983", "3", "16", "100.000", "12", "19", "0.11335"],
    ["osb", "12.3359", "14.459", "5", "24", "100.000", "17", "29", "0.18273"],
    ["toe", "4.8906", "8.983", "3", "16", "100.000", "12", "19", "0.11335"],
]
"""The table of accuracy: it changes when DSPAM's own scorers do."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", lambda *_: handler)  # keep the handler of the tests


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Path]:
    yield unpacked(tmp_path / "corpus")


def figures(file: Path) -> dict[str, Any]:
    """The figures of a run, without those of time."""
    found: dict[str, Any] = json.loads(file.read_text())
    for configuration in found["configurations"]:
        assert set(configuration.pop("cpu_us")) == {"view_tokens", "score", "learn", "store"}
    return found


def measured(index: Path, *words: str) -> dict[str, Any]:
    file = index.parent / "figures.json"
    assert dspam_eval.main(["--index", str(index), "--json", str(file), *words]) == 0
    return figures(file)


def test_figures_of_a_small_corpus(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(index, *COMPARED)
    told = capsys.readouterr().out.split("\n\n")
    assert [line.split()[:9] for line in told[0].splitlines()[2:]] == EXPECTED
    assert (found["messages"], found["ham"], found["spam"], found["users"]) == (160, 80, 80, 1)
    for configuration, line in zip(found["configurations"], EXPECTED, strict=True):
        (order,) = configuration["orders"]
        assert configuration["name"] == line[0]
        wrong = int(line[3]) + int(line[4])
        assert len(order["errors"]) == wrong
        assert sum(each["ham_lost"] + each["spam_missed"] for each in order["tenths"]) == wrong
        assert sum(each["messages"] for each in order["reliability"]) == 160
        assert order["users"]["user"]["messages"] == 160
    assert found["configurations"][2]["settings"] == {"TrainingMode": "toe", "Feature": "whitelist"}
    assert not (tmp_path / "cache/dspam_eval").exists()  # nothing remains


def test_the_digits_do_not_depend_on_the_number_of_processes(index: Path) -> None:
    words = (*COMPARED[:2], "--shuffle", "2", "--noise", "2", "--unreported", "20", "--delay", "5")
    one = measured(index, *words, "--jobs", "1")
    assert one == measured(index, *words, "--jobs", "2")
    orders = [order["figures"] for order in one["configurations"][0]["orders"]]
    assert orders[0] != orders[1]
    mean, spread = one["configurations"][0]["mean"]["lam"], one["configurations"][0]["sd"]["lam"]
    assert mean == pytest.approx((orders[0]["lam"] + orders[1]["lam"]) / 2)
    assert spread == pytest.approx(abs(orders[0]["lam"] - orders[1]["lam"]) / 2**0.5)


STEPS = """
import sys
from dspamd.commands import dspam_eval
from dspamd.evaluation import run
from dspamd.evaluation.replay import Replay
process = Replay.process
async def stepwise(self, item):
    sys.stdin.readline()
    await process(self, item)
Replay.process = stepwise
run._SAVING_SHARE = float("inf")  # keep the state after each message
sys.exit(dspam_eval.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_stopped_goes_on(
    by: signal.Signals, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = measured(index, "osb:Tokenizer=osb", "--delay", "3")
    state = tmp_path / "state"
    words = ["--index", str(index), "--state", str(state), "--delay", "3", "--jobs", "1", "osb:Tokenizer=osb"]
    with subprocess.Popen(
        [sys.executable, "-c", STEPS, *words], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b"\n" * 40)
        child.stdin.flush()
        while not (found := [load(path) for path in state.glob("*.state")]) or len(found[0].record) < 40:  # type: ignore[union-attr]
            assert child.poll() is None
        child.send_signal(by)
        _, said = child.communicate()
    assert (child.returncode, b"goes on" in said) == ((-9, False) if by is signal.SIGKILL else (75, True))

    steps = 0
    process = Replay.process

    async def counted(self: Replay, item: Any) -> None:
        nonlocal steps
        steps += 1
        await process(self, item)

    monkeypatch.setattr(Replay, "process", counted)
    assert dspam_eval.main([*words, "--json", str(tmp_path / "again.json")]) == 0
    assert steps == 160 - 40
    assert figures(tmp_path / "again.json") == expected
    assert dspam_eval.main(words) == 0  # a complete run is only reported again
    assert steps == 160 - 40


def test_another_measurement_does_not_go_on_from_there(index: Path, tmp_path: Path) -> None:
    """The state belongs to these messages, settings and habits of users."""
    state = tmp_path / "state"

    def states(*words: str) -> int:
        measured(index, "--state", str(state), "--jobs", "1", *words)
        return len(list(state.iterdir()))

    assert states("a:Tokenizer=osb") == 1
    assert states("b:Tokenizer=osb") == 1  # the same under another name
    assert states("a:Tokenizer=word") == 2
    assert states("a:Tokenizer=osb", "--delay", "1") == 3
    assert states("a:Tokenizer=osb", "--shuffle", "1") == 4
    os.utime(index.parent / "ham/000.eml", (1, 1))
    assert states("a:Tokenizer=osb") == 5


def test_a_broken_state_is_not_used(index: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    expected = measured(index, "--state", str(state), "a:")
    (file,) = state.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert measured(index, "--state", str(state), "a:") == expected


def test_plots(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new/plots"
    measured(index, "--plots", str(folder), "a:", "b:Tokenizer=osb")
    assert sorted(path.name for path in folder.iterdir()) == ["learning.svg", "reliability.svg", "roc.svg"]
    for path in folder.iterdir():
        root = ElementTree.parse(path).getroot()
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"a", "b"} <= {*texts}
        lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
        assert len(lines) == (3 if path.name == "reliability.svg" else 2)
        for line in lines:
            for point in line.attrib["points"].split():
                x, y = map(float, point.split(","))
                assert 69 <= x <= 741
                assert 43 <= y <= 465


def test_maildirs_and_users(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = index.parent
    words = ["--ham", str(folder / "ham"), "--spam", str(folder / "spam"), "--order", "name"]
    file = folder / "figures.json"
    assert dspam_eval.main([*words, "--json", str(file)]) == 0
    assert figures(file)["configurations"][0]["name"] == "defaults"
    users = folder / "users"
    users.write_text(f"{folder}/ham ann\n{folder}/spam ben\n")
    assert dspam_eval.main([*words, "--users", str(users), "--json", str(file)]) == 0
    found = figures(file)["configurations"][0]["orders"][0]["users"]
    assert {user: each["messages"] for user, each in found.items()} == {"ann": 80, "ben": 80}
    assert found["ann"]["ham_lost"] == 0  # a user who never got spam


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        ([], 1, "one of --index, --ham with --spam, and --history is needed"),
        (["--index", "x", "--history", "bob"], 1, "one of --index"),
        (["--ham", "x"], 1, "--ham and --spam are both needed"),
        (["--index", "x", "--jobs", "many"], 1, "a number is expected, not 'many'"),
        (["--index", "x", "--noise", "101"], 1, "a share from 0 to 100 is expected"),
        (["--index", "x", "--order", "size"], 1, "invalid choice: 'size'"),
        (["--index", "x", "--nonsense"], 1, "unrecognized arguments: --nonsense"),
        (["--index", "{here}/none"], 2, 'Failed to open index file "{here}/none"'),
        (["--index", "{here}/bad"], 2, "{here}/bad:2: 'maybe' is neither spam nor ham"),
        (["--index", "{here}/gone"], 2, "{here}/gone:1: {here}/nothing: No such file or directory"),
        (["--index", "{here}/hams"], 2, "{here}/hams: there is no spam"),
        (["--index", "{index}", "a:Tokenizer=chop"], 78, "Tokenizer chop"),
        (["--index", "{index}", "a:", "a:"], 1, "two configurations are called 'a'"),
        (["--index", "{index}", "/none.conf"], 78, "/none.conf: cannot be read"),
        (["--index", "{index}", "--json", "/none/x.json"], 1, "/none is no folder"),
        (["--index", "{index}", "--plots", "{index}/x"], 1, "Not a directory"),
    ],
)
def test_bad_input(
    words: list[str],
    status: int,
    complaint: str,
    index: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "one").write_text("Subject: a\n\ntext\n")
    (tmp_path / "bad").write_text("ham one\nmaybe one\n")
    (tmp_path / "gone").write_text("ham nothing\n")
    (tmp_path / "hams").write_text("ham one\n")
    names = {"here": tmp_path, "index": index}
    assert dspam_eval.main([word.format(**names) for word in words]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint.format(**names) in err


async def _site(folder: Path) -> None:
    """A site that judged six messages, all as ham; its user corrected two of the three spams."""
    base = "StorageDriver sqlite3_drv\nTokenizer osb\nUserLog on\nTrainingMode teft\n"
    base += 'Preference "signatureLocation=headers"\nDeliveryHost 127.0.0.1\nDeliveryProto SMTP\n'
    async with open_pipeline(folder, base=base) as site:
        for number, content in enumerate([HAM, SPAM] * 3):
            outcome = await site.process(content, BOTH, "bob")
            if number < 4 and content is SPAM:
                lesson = Request(lesson=ERROR_SPAM, signature=signature_of(outcome))
                await site.process(b"", lesson, "bob")


async def test_history_of_a_site(tmp_path: Path) -> None:
    """What nobody corrected is what we said of it, here the third spam; other tokens cannot be tried."""
    home = tmp_path / "home"
    home.mkdir()
    await _site(home)
    config = tmp_path / "dspam.conf"
    config.write_text(f"Home {home}\nStorageDriver sqlite3_drv\nTokenizer osb\n{TRUST}\n")
    environment = os.environ | {"DSPAM_CONF": str(config)}
    command = [
        sys.executable,
        "-m",
        "dspamd.commands.dspam_eval",
        "--history",
        "bob",
        "--config",
        str(config),
    ]

    def run(*words: str, command: Sequence[str] = command) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], env=environment, capture_output=True, text=True)

    file = tmp_path / "figures.json"
    done = run("teft:", "toe:TrainingMode=toe", "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    found = figures(file)
    assert (found["messages"], found["ham"], found["spam"]) == (6, 4, 2)
    assert [each["name"] for each in found["configurations"]] == ["teft", "toe"]
    done = run("word:Tokenizer=word")
    assert (done.returncode, done.stdout) == (2, "")
    assert "word: it makes other tokens than those that the signatures hold" in done.stderr
    assert "--config" not in done.stderr
    done = run(command=command[:-2])
    assert done.returncode == 2
    assert done.stderr.endswith(f"; --config {config} measures with the tokens of the site\n")
    for log in home.rglob("bob.log"):
        log.unlink()
    done = run("teft:")
    assert done.returncode == 2
    assert "4 messages are left out: no correction" in done.stderr
    assert "bob: there is no ham" in done.stderr
