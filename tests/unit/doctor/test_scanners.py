"""The doctor examines clamd, blacklists and the names of servers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.doctor.scanners import dns, judged_name, names, virus_scanner
from dspamd.doctor.site import Site
from tests.support.clamd import Clamd
from tests.support.name_server import BROKEN, name_server

TEST, OTHER = "2.0.0.127.rbl.example", "1.0.0.127.rbl.example"


def site_of(folder: Path, *lines: str) -> Site:
    (folder / "dspam.conf").write_text("\n".join((f"Home {folder}", f"ServerPID {folder}/pid", *lines)))
    return Site.of(Config.load(folder / "dspam.conf"))


async def test_clamd_that_stops(tmp_path: Path) -> None:
    with Clamd() as clamd:
        site = site_of(tmp_path, "ClamAVHost 127.0.0.1", f"ClamAVPort {clamd.port}")
        (well,) = await virus_scanner(site)
        clamd.stop()
        (stopped,) = await virus_scanner(site)
        waits = site_of(tmp_path, f"ClamAVHost {clamd.socket}", "ClamAVOnFailure defer")
        (gone,) = await virus_scanner(waits)
    assert (well.severity, stopped.severity, gone.severity) == ("fine", "problem", "problem")
    assert stopped.what.startswith("clamd does not scan: ")
    assert stopped.why == "mail passes, and nobody looks for viruses in it (ClamAVOnFailure accept)"
    assert gone.why == "all mail waits (ClamAVOnFailure defer)"
    assert await virus_scanner(site_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("records", "severity", "what"),
    [
        ({TEST: "127.0.0.2"}, "fine", "the blacklist rbl.example answers"),
        ({}, "problem", "the blacklist rbl.example does not list its test address 127.0.0.2"),
        (
            {TEST: "127.255.255.254"},
            "problem",
            "the blacklist rbl.example does not list its test address 127.0.0.2: it says 127.255.255.254",
        ),
        (
            {TEST: "127.0.0.2", OTHER: "127.0.0.2"},
            "problem",
            "the blacklist rbl.example lists even 127.0.0.1",
        ),
        ({TEST: BROKEN, OTHER: BROKEN}, "problem", "the blacklist rbl.example does not answer: "),
    ],
)
async def test_a_blacklist(records: Mapping[str, str], severity: str, what: str, tmp_path: Path) -> None:
    async with name_server(records) as server:
        (found,) = await dns(site_of(tmp_path, "Lookup rbl.example", f"DNSServer {server.place}"))
    assert (found.severity, found.what[: len(what)]) == (severity, what)


def test_names(tmp_path: Path) -> None:
    site = site_of(
        tmp_path, "DeliveryHost mx.example", "DeliveryHost.a.example /run/x", "DeliveryProto SMTP",
        "ClamAVHost 192.0.2.1", "PgSQLServer ::1", "DeliveryHost.b.example mail.example",
    )  # fmt: skip
    assert names(site.config) == ["mail.example", "mx.example"]
    assert judged_name("mx.example", "", 0.1).severity == "fine"
    assert judged_name("mx.example", "", 2.0).severity == "advice"
    assert judged_name("mx.example", "not known", 0.0).severity == "problem"
