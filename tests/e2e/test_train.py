"""dspam_train --client: the daemon classifies and learns, the command shows the success."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.commands import dspam_train
from tests.support.daemon import Daemon
from tests.support.ports import free_port

SETTINGS = """\
ServerMode auto
ServerPass.trainer secret
ClientHost 127.0.0.1
ClientPort {port}
ClientIdent secret@trainer
"""


@pytest.fixture
def corpora(tmp_path: Path) -> list[str]:
    """Spam and innocent mail that a new dictionary can separate."""
    for name, words in (("spam", "cheap pills buy now"), ("ham", "minutes of our meeting attached")):
        (tmp_path / name).mkdir()
        for number in range(12):
            text = f"From: {name}@example.org\nSubject: {words}\n\n{words} {number}\n"
            (tmp_path / name / f"{number:02}").write_text(text)
    return [str(tmp_path / "spam"), str(tmp_path / "ham")]


@pytest.mark.parametrize("client", [[], ["--client"]], ids=["by itself", "client"])
def test_training(
    client: list[str],
    corpora: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    daemon = Daemon(tmp_path, free_port())
    daemon.configure(SETTINGS.format(port=daemon.port))
    monkeypatch.setenv("DSPAM_CONF", str(daemon.config))
    with daemon:
        assert dspam_train.main(["bob", *client, *corpora]) == 0
    lines = capsys.readouterr().out.splitlines()
    results = [line.partition("] ")[0] + line.rpartition(":")[2] for line in lines if line.startswith("[")]
    assert len(results) == 24
    assert results[:2] == ["[test: nonspam PASS", "[test: spam    FAIL (Innocent)"]
    assert results[-2:] == ["[test: nonspam PASS", "[test: spam    PASS"]
    assert lines[-2].startswith("    TP:")
    assert ("event=message " in daemon.output) == bool(client)
