"""The common code of the drivers of SQL servers."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.errors import ConfigError, PermFail
from dspamd.storage.sql.common import (
    Server,
    UserTable,
    owner_name,
    retried,
    signed,
    storable,
    unsigned,
)


def test_a_server_is_what_the_options_say(tmp_path: Path) -> None:
    config = Config.from_text(
        "Home /h\nPgSQLServer db.example.org\nPgSQLPort 5433\nPgSQLUser dspam\nPgSQLDb mail\n"
        'PgSQLPass "a long # password of more than 31 characters"\n'
    )
    server = Server.from_config(config, "PgSQL", tmp_path / "pgsql.data")
    assert server == Server(
        "db.example.org", 5433, "dspam", "a long # password of more than 31 characters", "mail"
    )
    assert "password" not in repr(server).replace("password=", "")


def test_a_server_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mysql.data"
    file.write_text("localhost\n\ndspam\np w\ndspamdb\n")
    config = Config.from_text("Home /h")
    assert Server.from_config(config, "MySQL", file) == Server("localhost", 0, "dspam", "p w", "dspamdb")
    file.write_text("localhost\nport\n")
    with pytest.raises(ConfigError, match=r"mysql\.data"):
        Server.from_config(config, "MySQL", file)


def test_users_are_in_the_table_of_the_site() -> None:
    config = Config.from_text("Home /h\nMySQLVirtualTable people\nMySQLVirtualUIDField number")
    assert UserTable.from_config(config, "MySQL") == UserTable("people", "number", "username")


@pytest.mark.parametrize("name", ["", "a\0b", "a\udce4", "x" * 129])
def test_names_that_no_database_can_keep(name: str) -> None:
    with pytest.raises(PermFail):
        owner_name(name)


def test_any_text_can_be_asked_for() -> None:
    assert storable("4c873d4a27473") == "4c873d4a27473"
    assert storable("ü") == "ü"
    for odd in ("a\0b", "a\udcffb"):
        assert "\0" not in storable(odd)
        storable(odd).encode()


def test_tokens_keep_their_bits() -> None:
    tokens = array("Q", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
    assert list(signed(tokens)) == [0, 1, 2**63 - 1, -(2**63), -1]
    assert unsigned(signed(tokens)) == tokens


async def test_what_was_given_up_is_done_again() -> None:
    attempts = 0

    async def work() -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise InterruptedError
        return attempts

    assert await retried(work, lambda error: isinstance(error, InterruptedError)) == 4


@pytest.mark.parametrize(("error", "attempts"), [(InterruptedError, 6), (ZeroDivisionError, 1)])
async def test_trying_has_an_end(error: type[Exception], attempts: int) -> None:
    tried = 0

    async def work() -> None:
        nonlocal tried
        tried += 1
        raise error

    with pytest.raises(error):
        await retried(work, lambda error: isinstance(error, InterruptedError))
    assert tried == attempts
