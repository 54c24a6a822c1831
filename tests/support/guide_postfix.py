"""A Postfix with files of etc/postfix, in place of the lines of the tests that have the same names.

Only ports and folders are others, since those of the machine are not ours.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping

from tests.support.documents import ROOT
from tests.support.postfix import Postfix, let_cool

FILES = ROOT / "etc/postfix"


def shipped(*names: str) -> str:
    """The text of some files of etc/postfix."""
    return "".join((FILES / name).read_text() for name in names)


class GuidePostfix(Postfix):
    """`main` and `master` are lines of the guide for the files of that name; `places` are ours for theirs."""

    def __init__(
        self,
        users: Iterable[str],
        *,
        main: str = "",
        master: str = "",
        places: Mapping[str, str],
        back: int | None = None,
        outcomes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("smtp:[127.0.0.1]:1", users, back=back, outcomes=outcomes)
        self._guide = {"main.cf": main, "master.cf": master}
        self._places = places

    def _lay_out(self) -> None:
        super()._lay_out()
        etc = self.folder / "etc"
        for file, name in ("main.cf", r"\w+(?= *=)"), ("master.cf", r"\S+ +(?:inet|unix)(?= )"):
            before, lines = map(_single_spaced, ((etc / file).read_text(), self._here(self._guide[file])))
            names = "|".join(map(re.escape, re.findall(f"^{name}", lines, re.M))) or "-"
            (etc / file).write_text(re.sub(rf"^({names}) .*\n(  .*\n)*", "", before, flags=re.M) + lines)
        for table in FILES.glob("pgsql-*.cf"):
            (etc / table.name).write_text(self._here(table.read_text()))
        let_cool(etc)
        subprocess.run(["postmap", "-c", etc, f"hash:{etc}/mailboxes"], check=True, timeout=30)

    def _here(self, text: str) -> str:
        """A text with our places."""
        ours = {
            "/etc/postfix": str(self.folder / "etc"),
            "smtp      inet": f"127.0.0.1:{self.inbound} inet",
            "127.0.0.1:10034": f"127.0.0.1:{self.back}",
            **self._places,
        }
        for theirs, place in ours.items():
            text = text.replace(theirs, place)
        return text


def _single_spaced(text: str) -> str:
    """The lines of master.cf with one space before the type of a service."""
    return re.sub(r"^(\S+) +(inet|unix) ", r"\1 \2 ", text, flags=re.M)
