"""The doctor examines the settings of a Postfix."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from dspamd.app import endpoints
from dspamd.config.config import Config
from dspamd.delivery.connection import Target
from dspamd.delivery.dispatch import targets
from dspamd.doctor.mail_server import judged_address, judged_postfix
from dspamd.doctor.postfix import Postfix, Route, Service, routes, tables

MAIN = {"message_size_limit": "10240000", "default_process_limit": "100"}
FRONT = {"content_filter": "dspam:[127.0.0.1]:10033", "receive_override_options": "no_address_mappings"}
TRANSPORT = Service("dspam", "unix", "20", "lmtp", {"lmtp_send_xforward_command": "yes"})
BACK = Service("127.0.0.1:10034", "inet", "-", "smtpd", {"content_filter": ""})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "dspam.conf").write_text(
        f"Home {tmp_path}\nServerHost 127.0.0.1\nServerPort 10033\nParseToHeaders on\n"
        "DeliveryHost 127.0.0.1\nDeliveryPort 10034\nDeliveryProto SMTP\n"
    )
    return Config.load(tmp_path / "dspam.conf")


def front(**own: str) -> Service:
    return Service("smtp", "inet", "-", "smtpd", own)


def told(
    config: Config, *services: Service, main: Mapping[str, str] = MAIN, silent: tuple[Target, ...] = ()
) -> list[tuple[str, str]]:
    postfix = Postfix({**MAIN, **main}, services)
    found = judged_postfix(postfix, config, endpoints(config), targets(config), list(silent))
    return [(str(each.severity), each.what) for each in found]


def test_as_the_guide_says(config: Config) -> None:
    assert told(config, front(**FRONT), TRANSPORT, BACK) == []


@pytest.mark.parametrize(
    "main",
    [
        {"content_filter": "dspam:[127.0.0.1]:10033"},
        {"virtual_transport": "dspam:inet:127.0.0.1:10033"},
        {"virtual_transport": "dspam:[127.0.0.1]:10099, [127.0.0.1]:10033"},
        {"mailbox_transport": "dspam:inet:[localhost]:10033"},
        {"mailbox_command": '/usr/bin/dspamc --user "$USER" --deliver=stdout | /usr/bin/maildrop'},
    ],
)
def test_other_ways_to_us(config: Config, main: dict[str, str]) -> None:
    service = front(receive_override_options="no_address_mappings")
    assert told(config, service, TRANSPORT, BACK, main=main) == []


@pytest.mark.parametrize(
    "path", ["dspam/dspam.sock", "/dspam/dspam.sock", "/var/spool/postfix/dspam/dspam.sock"]
)
def test_a_socket_in_the_queue_of_postfix(tmp_path: Path, path: str) -> None:
    (tmp_path / "dspam.conf").write_text(
        f"Home {tmp_path}\nServerDomainSocketPath /var/spool/postfix/dspam/dspam.sock\n"
        "DeliveryHost 127.0.0.1\nDeliveryPort 10034\nDeliveryProto SMTP\n"
    )
    main = {"queue_directory": "/var/spool/postfix"}
    service = front(**FRONT | {"content_filter": f"dspam:unix:{path}"})
    assert told(Config.load(tmp_path / "dspam.conf"), service, TRANSPORT, BACK, main=main) == []


def test_tables_of_transports(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables in main.cf, in texts and in databases that postmap(1) can list; others lead nowhere we know."""
    ours = "dspam:[127.0.0.1]:10033"
    (tmp_path / "main.cf").touch()
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    (tmp_path / "text").write_text(f"# {ours}\n\n/^spam-/ {ours}\n/^x/\trelay:[192.0.2.1]\n")
    (tmp_path / "listed").write_text(f"example.org\t{ours}\n")
    subprocess.run(["postmap", f"hash:{tmp_path}/listed"], check=True, timeout=60)
    assert list(routes(f"regexp:{tmp_path}/text")) == [("/^spam-/", ours), ("/^x/", "relay:[192.0.2.1]")]
    assert list(routes(f"cidr:/nonexistent/x, proxy:hash:{tmp_path}/listed")) == [("example.org", ours)]
    assert list(routes("regexp:{{/^a/ smtp:} {/^(spam|notspam)-/ " + ours + "}}")) == [
        ("/^a/", "smtp:"), ("/^(spam|notspam)-/", ours)
    ]  # fmt: skip
    assert list(routes(f"hash:{tmp_path}/none ldap:/nonexistent/x")) == []
    service = front(receive_override_options="no_address_mappings")
    found = Postfix(MAIN, (service, TRANSPORT, BACK), (Route("example.org", ours),))
    assert list(judged_postfix(found, config, endpoints(config), targets(config), [])) == []


@pytest.mark.parametrize(
    ("addresses", "retrain"),
    [
        (r"/^(spam|notspam)-[^@]+@example\.org$/", True),
        ("spam-bob@example.org", True),
        ("spam@example.org", True),
        ("example.org", False),
        ("*", False),
        ("nospammers.example.org", False),
        ("!/^spam-/", False),
        ("/^(?!spam-|notspam-).*@example.org$/", False),
    ],
)
def test_a_route_for_corrections_is_no_way_for_mail(config: Config, addresses: str, retrain: bool) -> None:
    route = Route(addresses, FRONT["content_filter"])
    postfix = Postfix(MAIN, (front(), TRANSPORT, BACK), (route,))
    found = judged_postfix(postfix, config, endpoints(config), targets(config), [])
    expected = ["Postfix of this host sends no mail to dspamd but corrections"] if retrain else []
    assert [each.what for each in found] == expected


@pytest.mark.parametrize("hop", ["[127.0.0.1]:10035", "unix:dspam/other.sock"])
def test_a_way_that_leads_to_none_of_our_listeners(config: Config, hop: str) -> None:
    (astray,) = told(config, front(content_filter=f"dspam:{hop}"), TRANSPORT, BACK)
    what = f"content_filter of smtp of Postfix is dspam:{hop}, but dspamd listens at [127.0.0.1]:10033"
    assert astray == ("problem", what)


@pytest.mark.parametrize("value", ["", "amavis:[127.0.0.1]:10024", "dspam:[192.0.2.1]:10033"])
def test_no_way_to_us(config: Config, value: str) -> None:
    nothing = "Postfix of this host sends no mail to dspamd"
    assert told(config, front(content_filter=value), TRANSPORT, BACK) == [("problem", nothing)]
    # Without our second listener, Postfix may have another purpose here.
    assert told(config, front(content_filter=value), TRANSPORT) == [("advice", nothing)]


def test_a_pipe_to_dspam_is_a_way(config: Config) -> None:
    pipe = Service("dspam", "unix", "10", "pipe flags=Rhq user=dspam argv=/usr/bin/dspam --client")
    assert told(
        config, front(content_filter="dspam:"), pipe, BACK, main={"receive_override_options": ""}
    ) == [("advice", "Postfix expands aliases before dspamd and again after it")]


def test_mail_would_loop(config: Config) -> None:
    """The second listener inherits the content_filter of main.cf."""
    back = Service("127.0.0.1:10034", "inet", "-", "smtpd", {"receive_override_options": "no_milters"})
    ((severity, what),) = told(config, front(), TRANSPORT, back, main=FRONT)
    assert severity == "problem"
    assert what.startswith("the listener 127.0.0.1:10034, our next hop, sends its mail to dspamd again")


def test_nothing_listens_at_the_next_hop(config: Config) -> None:
    hop = Target("127.0.0.1", 10034)
    listens = "no service of Postfix listens at 127.0.0.1:10034, where dspamd hands filtered mail over"
    assert told(config, front(**FRONT), TRANSPORT, silent=(hop,)) == [("problem", listens)]
    assert told(config, front(**FRONT), TRANSPORT) == []  # another program is there


@pytest.mark.parametrize(
    ("services", "main", "expected"),
    [
        (
            (front(**FRONT), BACK),
            {},
            ("problem", "content_filter names the transport dspam, which master.cf lacks"),
        ),
        (
            (front(**FRONT), TRANSPORT, BACK),
            {"message_size_limit": "0"},
            ("problem", "Postfix takes messages of any number of bytes, dspamd of 104857600"),
        ),
        (
            (front(**FRONT), Service("dspam", "unix", "20", "lmtp"), BACK),
            {},
            ("advice", "the transport dspam does not send XFORWARD"),
        ),
        (
            (front(**FRONT), Service("dspam", "unix", "0", "lmtp", TRANSPORT.own), BACK),
            {},
            ("advice", "the transport dspam may open any number of sessions, ServerMaxConnections is 200"),
        ),
        (
            (front(**FRONT), TRANSPORT, BACK),
            {"default_process_limit": "50"},
            ("advice", "the listener 127.0.0.1:10034 serves 50 connections, DeliveryConnections is 100"),
        ),
        (
            (front(content_filter=FRONT["content_filter"]), TRANSPORT, BACK),
            {},
            ("advice", "Postfix expands aliases before dspamd and again after it"),
        ),
        (
            (front(**FRONT), TRANSPORT, BACK),
            {"receive_override_options": "no_address_mappings"},
            ("problem", "Postfix never expands aliases"),
        ),
    ],
)
def test_a_setting(
    config: Config, services: tuple[Service, ...], main: dict[str, str], expected: tuple[str, str]
) -> None:
    ((severity, what),) = told(config, *services, main=main)
    assert severity == expected[0]
    assert what.startswith(expected[1])


def test_an_address_for_corrections() -> None:
    assert list(judged_address("spam-bob@example.org", True)) == []
    (diagnosis,) = judged_address("spam-bob@example.org", False)
    assert "spam-bob@example.org" in diagnosis.what


def test_a_list_of_tables() -> None:
    maps = "hash:/etc/a, regexp:{{/^(a|b), c@x$/ y z:1}} $x proxy:mysql:/etc/b"
    assert list(tables(maps)) == ["hash:/etc/a", "regexp:{{/^(a|b), c@x$/ y z:1}}", "proxy:mysql:/etc/b"]
