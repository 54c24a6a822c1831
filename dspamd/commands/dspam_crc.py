"""dspam_crc: the number under which a token is stored (reference/cli.md 8).

It reads no configuration and is for everybody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from dspamd.commands import help
from dspamd.engine.tokenizer import crc64

USAGE = "syntax: dspam_crc [token]\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 without a token."""
    words = sys.argv[1:] if arguments is None else arguments
    if help.answered(words, "dspam_crc", USAGE):
        return os.EX_OK
    if not words:
        sys.stdout.write(USAGE)
        return 1
    token = os.fsencode(words[0])
    sys.stdout.buffer.write(b"TOKEN: '%s' CRC: %d\n" % (token, crc64(token)))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
