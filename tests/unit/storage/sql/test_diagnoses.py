"""Judgements on any SQL server."""

from __future__ import annotations

import pytest

from dspamd.storage.sql.common import UserTable
from dspamd.storage.sql.diagnoses import Connections, judged_clocks, judged_connections, missing_keys

USERS = UserTable("dspam_virtual_uids", "uid", "username")


def test_keys() -> None:
    found: dict[str, set[tuple[str, ...]]] = {
        "dspam_token_data": {("token", "uid")},
        "dspam_signature_data": {("created_on",)},
        "dspam_virtual_uids": {("uid",)},
    }
    assert [each.table for each in missing_keys(found, USERS)] == [
        "dspam_signature_data",
        "dspam_virtual_uids",
    ]
    own = UserTable("accounts.people", "id", "login")  # it may be a view
    assert [each.table for each in missing_keys(found, own)] == ["dspam_signature_data"]


@pytest.mark.parametrize(
    ("allowed", "others", "ours", "severity"),
    [(100, 20, 80, None), (100, 21, 80, "advice"), (100, 0, 101, "problem")],
)
def test_connections(allowed: int, others: int, ours: int, severity: str | None) -> None:
    found = [each.severity for each in judged_connections(Connections(allowed, others, ours), "X")]
    assert found == ([severity] if severity else [])


def test_clocks() -> None:
    assert list(judged_clocks(1000.0, 1059.0)) == []
    (late,) = judged_clocks(1000.0, 1100.0)
    assert late.what == "the clock of the server is 100 s behind ours"
    (early,) = judged_clocks(1100.0, 1000.0)
    assert early.what == "the clock of the server is 100 s ahead of ours"
