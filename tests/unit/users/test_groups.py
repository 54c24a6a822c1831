"""The meaning of a file of groups for a user: the rules of reference/engine.md 9.2 and storage.md 8."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.users.groups import ALONE, Asks, Groups, Membership


def membership(text: str, user: str) -> Membership:
    groups, problems = Groups.parse(text, "group")
    assert problems == []
    return groups.membership(user)


def shared(name: str, *, managed: bool = False) -> Membership:
    return Membership(shared=name, managed=managed)


@pytest.mark.parametrize(
    ("text", "user", "expected"),
    [
        ("", "bob", ALONE),
        ("# g:shared:bob\n;g:shared:bob\n\n", "bob", ALONE),
        ("g:shared:alice,bob", "bob", shared("g")),
        ("g:shared:alice,bob\r\n", "bob", shared("g")),
        ("g:SHARED:Alice,BOB\n", "bOb", shared("g")),
        ("g:shared:alice, bob\n", "bob", ALONE),  # blanks count
        ("g:Shared,Managed:bob\n", "bob", shared("g", managed=True)),
        ("g:shared:*\n", "anybody@example.org", shared("g")),
        ("g:shared:*@example.org\n", "bob@Example.ORG", shared("g")),
        ("g:shared:*@example.org\n", "bob@example.com", ALONE),
        ("g:shared:*@example.org\n", "bob", ALONE),
        ("g:shared:bob\nh:shared:bob\n", "bob", shared("g")),
        ("g:merged:bob\n", "bob", Membership(merged="g")),
        ("g:merged:*\n", "G", ALONE),  # a group is no member of itself
        ("g:merged:bob\nh:merged:bob\n", "bob", Membership(merged="g")),
        ("g:merged:bob\nh:shared:bob\n", "bob", Membership(merged="g")),
        ("h:shared:bob\ng:merged:bob\n", "bob", shared("h")),
        ("g:merged:*,-bob\n", "bob", ALONE),
        ("g:merged:*,-bob\n", "alice", Membership(merged="g")),
        ("g:merged:*,-*@example.org,bob@example.org\n", "bob@example.org", Membership(merged="g")),
        ("g:merged:*,-*@example.org,bob@example.org\n", "alice@example.org", ALONE),
        # These three kinds of lines sent the original into an endless loop.
        ("g:merged:*,alice\n", "alice", Membership(merged="g")),
        ("g:merged:-bob,*\n", "bob", Membership(merged="g")),
        ("g:merged:-bob,*\n", "alice", Membership(merged="g")),
        ("g:classification:bob,*guru,alice\n", "bob", Membership(asks=Asks.PEERS, peers=("alice",))),
        ("g:classification:*guru,bob,alice\n", "bob", Membership(asks=Asks.GLOBAL, peers=("guru",))),
        ("g:classification:alice,bob,carol\n", "bob", Membership(asks=Asks.PEERS, peers=("alice", "carol"))),
        ("g:classification:alice,bob\n", "dave", ALONE),
        ("g:classification:bob,*,alice\n", "bob", Membership(asks=Asks.PEERS, peers=("alice",))),
        ("g:classification:bob\n", "bob", Membership(asks=Asks.PEERS)),
        (
            "g:classification:*guru,*sage\n",
            "bob",
            Membership(asks=Asks.GLOBAL, peers=("guru", "sage")),
        ),
        ("g:classification:*guru,*sage\n", "Guru", Membership(asks=Asks.GLOBAL, peers=("sage",))),
        (
            "g:classification:bob,alice\nh:classification:*guru\ni:classification:Alice,carol,bob\n",
            "bob",
            Membership(asks=Asks.PEERS, peers=("alice", "carol")),
        ),
        (
            "h:classification:*guru\ng:classification:bob,alice\n",
            "bob",
            Membership(asks=Asks.GLOBAL, peers=("guru",)),
        ),
        (
            "g:classification:bob,alice\nh:shared:bob\n",
            "bob",
            Membership(asks=Asks.PEERS, peers=("alice",)),
        ),
        ("h:shared:bob\ng:classification:bob,alice\n", "bob", shared("h")),
        (
            "g:merged:bob\nh:classification:bob,alice\n",
            "bob",
            Membership(merged="g", asks=Asks.PEERS, peers=("alice",)),
        ),
        ("g:inoculation:alice,bob,carol\n", "bob", Membership(inoculated=("alice", "carol"))),
        ("g:inoculation:*\n", "bob", ALONE),
        (
            "g:inoculation:alice,bob\nh:inoculation:bob,carol,ALICE\n",
            "bob",
            Membership(inoculated=("alice", "carol")),
        ),
        ("g:shared:bob\nh:inoculation:bob,carol\n", "bob", shared("g")),
        # A user's report must not change which dictionary they use.
        (
            "h:inoculation:bob,carol\ng:shared:bob\n",
            "bob",
            Membership(shared="g", inoculated=("carol",)),
        ),
    ],
)
def test_membership(text: str, user: str, expected: Membership) -> None:
    assert membership(text, user) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("g", "not of the form name:type:members"),
        ("g:shared", "not of the form name:type:members"),
        ("g:neural:bob", "unknown type of group 'neural'"),
        ("g: shared:bob", "unknown type of group ' shared'"),
        ("g:shared:", "a group without members"),
        ("g:shared:,,", "a group without members"),
        *(
            (f"{name}:shared:bob", "no user could have the name of this group")
            for name in ("", ".", "..", "a/b", "../a", "a\tb", "a\x7f", "bob@", "bob@..", "..@x", "x" * 101)
        ),
    ],
)
def test_a_line_without_sense_is_refused_and_the_others_count(line: str, problem: str) -> None:
    groups, problems = Groups.parse(f"# ours\n{line}\ng:shared:alice\n", "/etc/group")
    assert [str(each) for each in problems] == [f"/etc/group:2: {problem}"]
    assert groups.membership("alice") == shared("g")
    assert groups.membership("bob") == ALONE


@pytest.mark.parametrize("name", ["g", "sales team", "a@example.org", "@example.org", "größe", "x" * 100])
def test_names_of_groups(name: str) -> None:
    assert membership(f"{name}:shared:bob\n", "bob") == shared(name)


MEMBERS = st.lists(
    st.sampled_from(["ann", "bob@x", "*", "*@x", "*ann", "*guru", "-ann", "-*@x", "-*", "", "guru"])
)
LINES = st.builds(
    lambda name, kind, members: f"{name}:{kind}:{','.join(members)}",
    st.sampled_from(["g", "h", "ann"]),
    st.sampled_from(["shared", "shared,managed", "merged", "classification", "inoculation"]),
    MEMBERS,
)


@given(st.lists(LINES | st.text(max_size=20)), st.sampled_from(["ann", "bob@x", "guru", ""]))
def test_whatever_the_file_says(lines: list[str], user: str) -> None:
    groups, _ = Groups.parse("\n".join(lines), "group")
    found = groups.membership(user)
    assert user not in found.peers + found.inoculated
    assert found.shared is None or (found.merged, found.asks) == (None, None)
    assert not found.managed or found.shared
    assert not found.peers or found.asks
    assert found.merged != user
    for names in (found.peers, found.inoculated):
        assert len({name.lower() for name in names}) == len(names)


@pytest.mark.no_cover  # tracing would add to the times measured here
def test_a_site_may_have_many_users_and_groups() -> None:
    """A membership takes time for each group, not for each member."""
    lines = [f"g{n}:merged:" + ",".join(f"u{n}.{m}" for m in range(1000)) for n in range(100)]
    groups, problems = Groups.parse("\n".join(lines), "group")
    assert problems == []
    started = time.process_time()
    assert groups.membership("u99.999") == Membership(merged="g99")
    assert time.process_time() - started < 0.01
