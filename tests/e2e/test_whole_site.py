"""Two hundred users, a directory, a virus scanner, a blacklist and all kinds of groups on one site.

In small; `make site` sends thirty times as many mails.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.whole_site import live


async def test_everything_is_where_it_should_be(tmp_path: Path) -> None:
    account = await live(tmp_path, 300)
    assert not account.problems, account
