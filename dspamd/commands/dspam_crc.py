"""dspam_crc: prints the number of a token in dictionaries (reference/cli.md 8).

It reads no configuration, and everybody may call it.  `--json` prints an object, with the number also in
the form of dspam-export(5).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from dspamd.commands import tool
from dspamd.engine.tokenizer import crc64
from dspamd.errors import UsageError

USAGE = "syntax: dspam_crc [token]\n"


COMMAND = tool.Command(
    "dspam_crc", USAGE, complains_on_stdout=True, further="\t--json: print an object (beside the token)\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 without a token."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    if not words:
        raise UsageError
    as_json = len(words) == 2 and "--json" in words  # alone it is a token, as any text
    text = words[1] if as_json and words[0] == "--json" else words[0]
    token = os.fsencode(text)
    number = crc64(token)
    if as_json:
        from dspamd.maintenance.moving.archive import token_text  # the other form starts faster without it

        found = {"text": text, "token": token_text(number), "crc": str(number)}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.buffer.write(b"TOKEN: '%s' CRC: %d\n" % (token, number))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
