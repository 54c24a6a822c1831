"""A site that somebody made as a guide says, for mail programs of this machine with accounts of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.account import TRUST
from tests.support.daemon import daemon_of
from tests.support.documents import blocks, with_lines
from tests.support.local_account import programs
from tests.support.ports import free_port


@contextmanager
def folder_for_all(*names: str) -> Iterator[Path]:
    """A folder that other accounts may enter, with these programs of ours in `bin`."""
    with tempfile.TemporaryDirectory(prefix="dspamd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        programs(folder / "bin", *names)
        yield folder


class GuideSite:
    """A daemon, not started, with etc/dspam.conf and the first lines of a page of docs/.

    `lines` replace those of the same name; `programs` is where our programs are for all accounts, `back` the
    port to which the daemon returns mail.
    """

    def __init__(self, page: str, folder: Path, programs: Path, lines: str = "") -> None:
        folder.mkdir()
        self.folder, self.programs = folder, programs
        self.back = free_port()
        self.daemon = daemon_of("dspam.conf", folder, self.back)
        guide, *_ = blocks(page, "conf")
        lines = with_lines(guide.text.replace("/run/dspam", str(folder)), lines)
        text = with_lines(self.daemon.config.read_text(), lines)
        self.daemon.config.write_text(f"{TRUST}\n{text}")
        self.daemon.config.chmod(0o644)
