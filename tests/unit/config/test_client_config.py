"""dspamc reads dspam.conf as the daemon does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.config import client_config
from dspamd.config.client_config import Settings, split_line
from dspamd.config.directives import classic_words, words

LINES = st.lists(st.sampled_from(["Trust", "a", '"', " ", "\t", "#", ";", "b c", '""', "é"])).map("".join)


@given(LINES)
def test_lines_divide_as_for_the_daemon(line: str) -> None:
    assert split_line(line, strict=False) == words(line)


@given(LINES)
def test_strict_lines_divide_as_for_the_daemon(line: str) -> None:
    assert split_line(line, strict=True) == classic_words(line)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "dspam.conf"


def test_values(conf: Path) -> None:
    conf.write_text(
        'Home /x\nclienthost\t"/a b/s"  # the socket\r\nCLIENTHOST /second\nTrust root mail\n  trust dspam\n'
        "# ClientPort 24\nIgnoreHeader X-Trust\nBroken ReturnCodes\nClientIdent\n"
    )
    client_config = Settings(str(conf))
    assert client_config.text("ClientHost") == "/a b/s"
    assert client_config.all("Trust") == ["root", "mail", "dspam"]
    assert client_config.text("ClientPort", "24") == "24"
    assert client_config.text("ClientIdent") == ""
    assert client_config.matches("Broken", "returnCodes")
    assert not client_config.matches("Broken", "case")


def test_a_comment_sign_in_quotes(conf: Path) -> None:
    conf.write_text('ClientIdent "se#cret@relay"\n')
    assert Settings(str(conf)).text("ClientIdent") == "se#cret@relay"
    conf.write_text('ClientIdent "se#cret@relay"\nStrictCompatibility on\n')
    assert Settings(str(conf)).text("ClientIdent") == "se"


def test_include(conf: Path) -> None:
    folder = conf.parent / "d"
    folder.mkdir()
    (folder / "2.conf").write_text("Trust two\n")
    (folder / "1.conf").write_text(f"Trust one\nInclude {conf}\n")
    (folder / ".3.conf").write_text("Trust three\n")
    (folder / "4.txt").write_text("Trust four\n")
    conf.write_text("Trust first\nInclude d d/4.txt\nInclude d/*.conf\nTrust last\n")
    assert Settings(str(conf)).all("Trust") == ["first", "one", "two", "four", "one", "two", "last"]


def test_a_file_that_cannot_be_read(conf: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Settings(str(conf))


def test_what_is_included_for_others_to_read_is_passed_over(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (conf.parent / "secret.conf").write_text("ClientIdent secret@relay\n")
    conf.write_text("Include secret.conf\nClientHost /s\n")
    open_file = open

    def guarded(path: str, **options: Any) -> Any:
        if path.endswith("secret.conf"):
            raise PermissionError(13, "Permission denied", path)
        return open_file(path, **options)

    monkeypatch.setattr(client_config, "open", guarded, raising=False)
    assert Settings(str(conf)).text("ClientHost") == "/s"
    assert Settings(str(conf)).text("ClientIdent") == ""
