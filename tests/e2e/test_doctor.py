"""The doctor on real servers: what it says of a fault, and that its cure mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspamd import __version__
from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis
from dspamd.doctor.mail_server import mail_server
from dspamd.doctor.site import Site
from tests.support.account import TRUST
from tests.support.daemon import PROGRAM, Daemon
from tests.support.mail_site import MailSite
from tests.support.ports import free_port, greets
from tests.support.postfix import Postfix
from tests.support.silent_disk import silent_disk
from tests.support.wait import until

OURS = f"version {__version__}"


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


def test_postfix_that_sends_mail_where_we_do_not_listen(postfix: Postfix, ours: int, tmp_path: Path) -> None:
    elsewhere = free_port()
    for astray in (found := examined(tmp_path, elsewhere, postfix.back)):
        listens = f"is dspam:[127.0.0.1]:{ours}, but dspamd listens at [127.0.0.1]:{elsewhere}"
        assert (astray.severity, listens in astray.what) == ("problem", True)
    assert {each.what.partition(" ")[0] for each in found} == {"content_filter", "transport_maps"}


def dspam_admin(config: Path, *words: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit status, and severity and text of the findings by subject."""
    done = subprocess.run(
        [PROGRAM.with_name("dspam_admin"), "doctor", "--json", *words],
        env={**os.environ, "DSPAM_CONF": str(config)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    findings = defaultdict(list)
    for each in json.loads(done.stdout)["findings"]:
        findings[each["subject"]].append((each["severity"], each["what"]))
    return done.returncode, findings


def test_a_healthy_site(own_site: MailSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """All servers answer, and the daemon runs."""
    front, daemon = own_site.front, own_site.daemon
    monkeypatch.setenv("MAIL_CONFIG", str(front.folder / "etc"))
    status, found = dspam_admin(daemon.config, "--fix")
    assert (status, found["daemon"]) == (
        0,
        [("fine", f"the daemon at 127.0.0.1:{daemon.port} answers, {OURS}")],
    )
    subjects = ("files", "Postfix", "next hop", "open files", "versions", "database")
    assert found["open files"][0][1].startswith("the daemon may open enough files")
    assert {severity for subject in subjects for severity, _ in found[subject]} == {"fine"}


def test_a_daemon_that_is_its_own_next_hop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an address that the configuration alone does not give away."""
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    daemon = Daemon(tmp_path, free_port())
    daemon.configure(f"ServerHost 0.0.0.0\nDeliveryHost 127.0.0.2\nDeliveryPort {daemon.port}\n")
    with daemon:
        status, found = dspam_admin(daemon.config)
    loop = f"the next hop 127.0.0.2:{daemon.port} is a dspamd, probably this one"
    assert (status, found["next hop"]) == (1, [("problem", loop)])


def test_a_disk_that_does_not_answer(tmp_path: Path) -> None:
    """The doctor says which, and ends."""
    config = tmp_path / "dspam.conf"
    config.write_text(f"Home {tmp_path}/home\nServerPID {tmp_path}/pid\nStorageDriver sqlite3\n{TRUST}\n")
    home = tmp_path / "home"
    user = home / "data" / "bob"
    user.mkdir(parents=True)
    for place, named in ((home, home), (home / "data", home / "data"), (user, f"a folder below {home}")):
        with silent_disk(place):
            program = (
                "import sys; from dspamd.doctor import places; places.PATIENCE_S = 0.5;"
                "from dspamd.commands import dspam_admin; sys.exit(dspam_admin.main(['doctor', '--json']))"
            )
            done = subprocess.run(
                [sys.executable, "-c", program],
                env=os.environ | {"DSPAM_CONF": str(config)},
                capture_output=True,
                text=True,
                timeout=60,
            )
        assert done.returncode == 1, done.stderr
        found = [each["what"] for each in json.loads(done.stdout)["findings"]]
        assert f"{named} did not answer within 0.5 s; nothing else was examined" in found
