"""The doctor knows what qmail and Courier make of our exit statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.doctor.exit_statuses import exit_statuses, judged_statuses
from dspamd.doctor.site import Site
from tests.support.documents import blocks

SCANS = "ClamAVHost 127.0.0.1\nClamAVPort 3310\n"


@pytest.mark.parametrize(
    "text, found",
    [
        ("", ["qmail tries again after exit status 1"]),
        ("CorrectionFailureExit 69\n", ["qmail tries again after exit status 69"]),
        ("CorrectionFailureExit 0\n", []),
        (f"CorrectionFailureExit 100\n{SCANS}", []),
        (
            f"CorrectionFailureExit 100\n{SCANS}ClamAVResponse reject\n",
            ["qmail may pipe mail through dspamc"],
        ),
        ("CorrectionFailureExit 100\nClamAVResponse reject\n", []),
    ],
)
def test_statuses(text: str, found: list[str]) -> None:
    judged = list(judged_statuses("qmail", Config.from_text(f"Home /x\nStorageDriver hash_drv\n{text}")))
    assert [each.what for each in judged] == found
    assert all(each.why and each.cure for each in judged)


@pytest.mark.parametrize("page", ["qmail", "maildrop"])
def test_the_guides_have_nothing_to_mend(page: str) -> None:
    (block,) = blocks(page, "conf")
    assert not list(judged_statuses(page, Config.from_text(f"Home /x\nStorageDriver hash_drv\n{block.text}")))


def test_the_servers_of_the_host_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = Config.from_text(f"Home {tmp_path}\nStorageDriver hash_drv\nCorrectionFailureExit 100\n")
    servers = {"qmail": tmp_path, "Courier": tmp_path / "nothing"}
    monkeypatch.setattr("dspamd.doctor.exit_statuses.SERVERS", servers)
    assert [each.what for each in exit_statuses(Site.of(config))] == [
        "qmail understands the exit statuses of dspamc"
    ]
