"""The doctor on real servers: what it says of a fault, and that its cure mends it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis
from dspamd.doctor.mail_server import mail_server
from dspamd.doctor.site import Site
from tests.support.ports import free_port, greets
from tests.support.postfix import Postfix
from tests.support.wait import until


@pytest.fixture
def ours() -> int:
    """The port of our daemon, which need not run."""
    return free_port()


@pytest.fixture
def postfix(ours: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postfix]:
    with Postfix(f"dspam:[127.0.0.1]:{ours}", ["bob"]) as postfix:
        monkeypatch.setenv("MAIL_CONFIG", str(postfix.folder / "etc"))
        yield postfix


def examined(folder: Path, ours: int, next_hop: int) -> list[Diagnosis]:
    (folder / "dspam.conf").write_text(
        f"Home {folder}\nServerPID {folder}/pid\nServerHost 127.0.0.1\nServerPort {ours}\nParseToHeaders on\n"
        f"DeliveryHost 127.0.0.1\nDeliveryPort {next_hop}\nDeliveryProto SMTP\n"
    )
    return list(mail_server(Site.of(Config.load(folder / "dspam.conf"))))


def carried_out(diagnosis: Diagnosis) -> None:
    subprocess.run(["sh", "-e", "-c", diagnosis.cure], check=True, timeout=60)


def test_postfix_as_the_guide_says(postfix: Postfix, ours: int, tmp_path: Path) -> None:
    (well,) = examined(tmp_path, ours, postfix.back)
    assert well.severity == "fine"


def test_postfix_without_the_second_listener(postfix: Postfix, ours: int, tmp_path: Path) -> None:
    back = free_port()
    (missing,) = examined(tmp_path, ours, back)
    assert missing.severity == "problem"
    assert missing.what.startswith(f"no service of Postfix listens at 127.0.0.1:{back}")
    carried_out(missing)
    until(lambda: greets(back), "the second listener")
    (well,) = examined(tmp_path, ours, back)
    assert well.severity == "fine"


def test_postfix_whose_second_listener_sends_mail_to_us_again(
    postfix: Postfix, ours: int, tmp_path: Path
) -> None:
    (loop,) = examined(tmp_path, ours, postfix.inbound)
    assert loop.severity == "problem"
    assert "sends its mail to dspamd again" in loop.what


def test_postfix_that_does_not_know_us(postfix: Postfix, tmp_path: Path) -> None:
    ours = free_port()
    (missing,) = examined(tmp_path, ours, postfix.back)
    assert (missing.severity, missing.what) == ("problem", "Postfix of this host sends no mail to dspamd")
