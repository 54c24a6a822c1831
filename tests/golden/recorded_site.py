"""A site that answers recorded command lines of `dspam` in this process."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import re
import sys
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dspamd import app
from dspamd.commands import dspam
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from tests.golden.data import messages
from tests.support.account import TRUST


class Ended(NamedTuple):
    status: int
    stdout: bytes
    stderr: str
    agent: bytes  # what the delivery agent wrote down


class RecordedSite:
    """A home, a configuration like the recorded one, and a delivery agent that records its input."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *, strict: bool) -> None:
        folder.mkdir()
        self._folder = folder
        self._given: list[str] = []
        self._numbers = itertools.count(10)
        self.config = folder / "dspam.conf"
        lda = folder / "lda"
        lda.write_text(
            f"#!/bin/sh\nexec >> {folder}/agent\n"
            "echo ARGV:\nfor word; do printf '[%s]\\n' \"$word\"; done\n"
            f"echo STDIN:\ncat\necho END\nexit $(cat {folder}/exit)\n"
        )
        lda.chmod(0o755)
        self.config.write_text(
            f"Home {folder}\nStorageDriver libhash_drv.so\n{TRUST}\n"
            f'TrustedDeliveryAgent "{lda} -d %u"\nUntrustedDeliveryAgent "{lda} -d %u"\n'
            "TrainingMode teft\nTokenizer osb\nAlgorithm graham burton\nPValue bcr\nFeature whitelist\n"
            'Preference "signatureLocation=headers"\nPreference "enableWhitelist=on"\n'
            "ProcessorURLContext on\nProcessorBias on\n"
            f"StrictCompatibility {'on' if strict else 'off'}\n"
        )
        patch.setenv("DSPAM_CONF", str(self.config))
        patch.setattr(app, "SignatureIds", lambda **_: self._new_signature)

    def _new_signature(self, _: object) -> str:
        """The id that the original made here, or any where the recording does not show it."""
        return self._given.pop(0) if self._given else f"6b000cff{next(self._numbers)}"

    def run(self, row: dict[str, Any]) -> Ended:
        shown = row["stdout"] + row.get("delivery_agent", "")
        self._given = list(dict.fromkeys(re.findall(r"6b000c[0-9a-f]{2}[0-9]{11,}", shown)))
        exits = re.fullmatch(r"delivery agent exits (\d+)", row.get("note", ""))
        (self._folder / "exit").write_text(exits[1] if exits else "0")
        (self._folder / "agent").write_bytes(b"")
        stdin, stdout, stderr = io.BytesIO(stdin_of(row)), self._folder / "stdout", io.StringIO()
        with pytest.MonkeyPatch.context() as patch, stdout.open("w") as output:
            patch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
            patch.setattr(sys, "stdout", output)
            patch.setattr(sys, "stderr", stderr)
            if "as_user" in row:
                for function in ("getuid", "geteuid"):
                    patch.setattr(os, function, lambda: int(row["as_user"]))
            status = dspam.main(row["argv"][1:])
        return Ended(status, stdout.read_bytes(), stderr.getvalue(), (self._folder / "agent").read_bytes())

    def totals(self, user: str) -> Totals:
        async def read() -> Totals:
            async with app.Parts(Config.load(self.config)) as parts:
                uid = await parts.storage.uid(user, create=False)
                assert uid is not None
                return (await parts.storage.read(uid, array("Q"))).totals

        return asyncio.run(read())


def stdin_of(row: dict[str, Any]) -> bytes:
    if "stdin_ref" in row:
        return messages("corpus_messages.tar.gz")[row["stdin_ref"]]
    return str(row["stdin"]).encode("latin-1")
