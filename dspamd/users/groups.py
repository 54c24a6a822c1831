"""Groups: the file that defines them, and their effect for one user.

A line is `name:type:member,member,...`; empty lines and lines that begin with `#` or `;` do not
count.  Blanks matter, case does not.

    shared            members use the dictionary of the group
    shared,managed    its quarantine and its log, too
    merged            the counters of the group are added to those of each member
    classification    dictionaries that are not sure ask those of the other members; if some
                      members are written `*user`, everybody asks only these, and they
                      overrule the dictionary of a new user
    inoculation       the others learn spam that one member reports, and with RBLInoculate mail of
                      a member that a blacklist lists

`*` and `*@domain` mean many users in shared and merged groups; in merged groups
`-user` and `-*@domain` exclude some, and the last entry about a user counts.

Lines count in the order of the file; a shared group excludes the lines after it
(reference/engine.md 9.2, storage.md 8).  Pure: text in, values out.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dspamd.errors import Problem

_NAME_BYTES = 100
_REFUSED = re.compile(r".*[/\x00-\x1f\x7f]|(.*@)?\.{0,2}\Z|\.{1,2}@", re.DOTALL)
"""No store keeps such a name: its path would lead to files that are not those of the group."""


class Kind(enum.Enum):
    """The types of lines."""

    SHARED = "shared"
    MANAGED = "shared,managed"
    MERGED = "merged"
    CLASSIFICATION = "classification"
    INOCULATION = "inoculation"


class Asks(enum.Enum):
    """When the dictionary of a user asks those of others."""

    PEERS = enum.auto()  # when it is not sure
    GLOBAL = enum.auto()  # and always, as long as it has learned little mail


@dataclass(frozen=True, slots=True)
class Membership:
    """The part of one user in the groups."""

    shared: str | None = None  # the group whose dictionary they use
    managed: bool = False  # its quarantine and log, too
    merged: str | None = None  # the group whose counters are added to their own
    asks: Asks | None = None
    peers: tuple[str, ...] = ()  # users whose dictionaries are asked, in this order
    inoculated: tuple[str, ...] = ()  # users who learn the spam that they report


ALONE = Membership()
"""In no group."""


@dataclass(frozen=True, slots=True)
class Group:
    """One line of the file.

    `positions` maps the members, in lower case, to their places.  For a member who is listed
    twice it has the place that counts: the last one in a merged group, else the first.
    """

    name: str
    kind: Kind
    members: tuple[str, ...]
    positions: Mapping[str, int]

    @classmethod
    def of(cls, name: str, kind: Kind, members: tuple[str, ...]) -> Group:
        places = list(enumerate(members))
        if kind is not Kind.MERGED:
            places.reverse()
        return cls(name, kind, members, {member.lower(): place for place, member in places})

    def join(self, user: str, found: Membership) -> Membership:
        """The membership of `user` (lower case) after this line; `found` is that before it."""
        match self.kind:
            case Kind.SHARED | Kind.MANAGED:
                if found.merged is None and found.asks is None and self._place(user) >= 0:
                    return replace(found, shared=self.name, managed=self.kind is Kind.MANAGED)
            case Kind.MERGED:
                foreign = found.merged is None and self.name.lower() != user
                if foreign and self._place(user) > self._place(user, "-"):
                    return replace(found, merged=self.name)
            case Kind.CLASSIFICATION:
                return self._consulted(user, found)
            case Kind.INOCULATION if user in self.positions:
                return replace(found, inoculated=_joined(found.inoculated, self._others(user)))
        return found

    def _consulted(self, user: str, found: Membership) -> Membership:
        """The membership after a classification line; the first entry counts: the user or a `*user`."""
        named = self.positions.get(user, len(self.members))
        starred = [place for place, member in enumerate(self.members) if member[:1] == "*" != member]
        if starred and starred[0] < named:
            asks, others = Asks.GLOBAL, tuple(self.members[place][1:] for place in starred)
        elif named < len(self.members):
            asks, others = Asks.PEERS, self._others(user)
        else:
            return found
        if found.asks not in (None, asks):
            return found
        others = tuple(other for other in others if other.lower() != user)
        return replace(found, asks=asks, peers=_joined(found.peers, others))

    def _others(self, user: str) -> tuple[str, ...]:
        """The members who are users, except one."""
        return tuple(member for member in self.members if member[0] != "*" and member.lower() != user)

    def _place(self, user: str, sign: str = "") -> int:
        """The place where the line last names a user, by name or by wildcard; -1: nowhere."""
        _, at, domain = user.partition("@")
        words = (user, f"*@{domain}", "*") if at else (user, "*")
        return max(self.positions.get(sign + word, -1) for word in words)


class Groups:
    """The groups of a site."""

    def __init__(self, groups: Sequence[Group] = ()) -> None:
        self._groups = tuple(groups)

    @classmethod
    def parse(cls, text: str, file: str) -> tuple[Groups, list[Problem]]:
        """The groups of the valid lines, and the problems of the others."""
        groups, problems = [], []
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            if not line or line[0] in "#;":
                continue
            try:
                groups.append(_group(line))
            except ValueError as error:
                problems.append(Problem(file, number, str(error)))
        return cls(groups), problems

    def membership(self, user: str) -> Membership:
        """The membership of a user."""
        found, name = ALONE, user.lower()
        for group in self._groups:
            found = group.join(name, found)
            if found.shared is not None:
                break
        return found


def _group(line: str) -> Group:
    """The group that a line defines.  Raises ValueError with the problem."""
    name, *rest = line.split(":", 2)
    if len(rest) < 2:
        raise ValueError("not of the form name:type:members")
    if _REFUSED.match(name) or len(os.fsencode(name)) > _NAME_BYTES:
        raise ValueError("no user could have the name of this group")
    try:
        kind = Kind(rest[0].lower())
    except ValueError:
        raise ValueError(f"unknown type of group {rest[0]!r}") from None
    members = tuple(member for member in rest[1].split(",") if member)
    if not members:
        raise ValueError("a group without members")
    return Group.of(name, kind, members)


def _joined(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Names of both, each once in any case of letters, in order."""
    names: dict[str, str] = {}
    for name in (*some, *more):
        names.setdefault(name.lower(), name)
    return tuple(names.values())
