"""dspam_admin adopt on the data of DSPAM 3.10.2, for each driver: it reports the data and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from dspamd.commands import dspam_admin
from dspamd.home.home import Home
from tests.support.drivers import DRIVERS, address
from tests.support.mariadb_server import MariaDB
from tests.support.postgres_server import PostgreSQL
from tests.support.recorded_stores import (
    HASH_SINGLE,
    LIBRARIES,
    MYSQL_TABLES,
    RECORDED,
    hash_file,
    mysql_database,
    mysql_rows,
    postgres_rows,
    postgres_script,
    sqlite_file,
    sqlite_rows,
)

Output = pytest.CaptureFixture[str]
Dump = Callable[[], object]

TOKENS = {
    "sqlite": len(sqlite_rows("dspam_token_data")),
    "hash": HASH_SINGLE[0]["dump"].count(" S: "),
    "mysql": len(mysql_rows(RECORDED["mysql"], "dspam_token_data")),
    "postgres": len(postgres_rows("dspam_token_data")),
}
CONFIG = """
Home {home}
StorageDriver /usr/lib/dspam/{library}
TrustedDeliveryAgent "/usr/bin/procmail"
Algorithm graham burton naive
Preference "spamAction=quarantine"
Tokeniser chain
ServerPort 24
"""


def left_by_dspam(driver: str, folder: Path, request: pytest.FixtureRequest) -> Dump:
    """A site as DSPAM left it; a function that returns all contents of its database."""
    home = Home(folder)
    config = CONFIG.format(home=folder, library=LIBRARIES[driver])
    folder.joinpath("dspam.conf").write_text(config)
    home.prepare(home.file("bob", "mbox")).write_text(
        "From QUARANTINE\nSubject: a\n\nb\n\nFrom QUARANTINE\n\nc\n"
    )
    if driver == "sqlite":
        sqlite_file(folder, "bob")
    if driver == "hash":
        hash_file(folder, bytes.fromhex(HASH_SINGLE[0]["css_hex"]))
    if driver == "mysql":
        mariadb: MariaDB = request.getfixturevalue("mariadb_server")
        server = mysql_database(mariadb, RECORDED["mysql"], *MYSQL_TABLES)
        mariadb.query("DROP USER IF EXISTS reader")
        mariadb.query("CREATE USER reader IDENTIFIED BY 'x'")
        mariadb.query(f"GRANT SELECT ON {server.database}.* TO reader")
        folder.joinpath("mysql.data").write_text(
            f"{server.host}\n{server.port}\nreader\nx\n{server.database}\n"
        )
        tables = sorted(MYSQL_TABLES)
        return lambda: (
            mariadb.query("SHOW TABLES", server),
            [sorted(mariadb.query(f"SELECT * FROM {table}", server)) for table in tables],
        )
    if driver == "postgres":
        postgres: PostgreSQL = request.getfixturevalue("postgres_server")
        server = postgres.new_database(postgres_script())
        folder.joinpath("pgsql.data").write_text(address(server))
        rows = "SELECT relname, query_to_xml('TABLE ' || relname, true, true, '') FROM pg_class"
        query = f"{rows} WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        return lambda: postgres.psql(query, server.database)
    return lambda: None


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below a folder, with the time of their last change and their content."""
    return {
        str(path): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_live_site_is_only_read(
    driver: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: Output
) -> None:
    site, mail = tmp_path / "site", tmp_path / "mail"
    for folder in (site, mail):
        folder.mkdir()
    dump = left_by_dspam(driver, site, request)
    for n, text in enumerate(("buy cheap pills", "the minutes of the meeting")):
        message = EmailMessage()
        message["From"], message["Subject"] = "x@example.org", text
        message["X-DSPAM-Result"] = "Innocent"
        message.set_content(text)
        mail.joinpath(str(n)).write_bytes(message.as_bytes())
    before = dump(), files(site)
    words = ["adopt", str(site / "dspam.conf"), "--maildir", str(mail), "--user", "bob"]
    assert dspam_admin.main([*words, "--json"]) == 0
    assert (dump(), files(site)) == before
    out, err = capsys.readouterr()
    found: dict[str, Any] = json.loads(out)
    assert err == ""
    assert found["count"]["total"]["tokens"] == TOKENS[driver]
    assert found["count"]["total"]["quarantined"] == 2
    assert found["count"]["users"] == (2 if driver in ("mysql", "postgres") else 1)
    assert found["comparison"]["messages"] == 2
    assert found["comparison"]["then"] == 2
    assert [each["quirk"] for each in found["differences"]][:3] == ["Q-T2", "Q-M17", "Q-N1"]
    assert any("Tokeniser" in each["text"] for each in found["warnings"])
    commands = [command for step in found["forward"] for command in step["commands"]]
    order = ["postfix stop", "systemctl stop dspam", "systemctl start dspamd", "postfix start"]
    assert [command for command in commands if command in order] == order
    assert dspam_admin.main(words) == 0
    out = capsys.readouterr().out
    assert (dump(), files(site)) == before
    assert "nothing was changed" in out
    assert "2 messages of bob" in out
    assert "The way back" in out
