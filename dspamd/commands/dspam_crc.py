"""dspam_crc: prints the number of a token in dictionaries (reference/cli.md 8).

It reads no configuration, and everybody may call it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from dspamd.commands import tool
from dspamd.engine.tokenizer import crc64
from dspamd.errors import UsageError

USAGE = "syntax: dspam_crc [token]\n"


COMMAND = tool.Command("dspam_crc", USAGE, complains_on_stdout=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 without a token."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    if not words:
        raise UsageError
    token = os.fsencode(words[0])
    sys.stdout.buffer.write(b"TOKEN: '%s' CRC: %d\n" % (token, crc64(token)))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
