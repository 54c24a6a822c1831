"""dspam-retrain-forward: corrects all messages whose signatures are in a mail (reference/cli.md 8).

It is for aliases of a mail server, and for dovecot's pipe backend.  It reads the mail from
standard input, and lets `dspam` correct the message of each signature in the header, in the text,
or in an attached original.  With the sources `corpus` and `inoculation` it learns the mail itself.

The user is that of `--user`; else the one after spam- or notspam- in `--rcpt-to`, which also names
the class; else the sender; else the caller.  `--debug` prints each step on standard error.

Exit status: 0; 64 wrong usage; 75 no user, or try again; else that of the first correction that
failed, or CorrectionFailureExit if the mail has no signature.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from dspamd.commands import dspam, tool
from dspamd.config.config import Config
from dspamd.errors import ConfigError, UsageError
from dspamd.mail import signature
from dspamd.mail.message import Message
from dspamd.users.trust import login_name

USAGE = """\
usage: dspam-retrain-forward --source=error|corpus|inoculation [--class=spam|innocent] [--user USER]
	[--rcpt-to ADDRESS] [--mail-from=ADDRESS] [--mode=MODE] [--client] [--bin-dir=PATH] [--help]
	[--full-email[=yes|no]] [--headers-only[=yes|no]] [--bodies-only[=yes|no]]
	[--first-only[=yes|no]] [--skip-first[=yes|no]] [--debug[=yes|no]]
"""
_TEXTS = {"--user", "--rcpt-to", "--mail-from", "--class", "--source", "--mode", "--bin-dir"}
_SWITCHES = {
    "--client": False, "--debug": False,
    "--full-email": True, "--headers-only": True, "--bodies-only": False,
    "--first-only": False, "--skip-first": False,
}  # fmt: skip
_CLASSES = {"spam": "spam", "ham": "innocent", "notspam": "innocent", "nonspam": "innocent"}
_ALIAS = re.compile(r"(ham|notspam|nonspam|spam)-(.+)")


@dataclass(slots=True)
class Options:
    """A command line: the options with a value, and the switches."""

    texts: dict[str, str] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=lambda: dict(_SWITCHES))

    @property
    def alias(self) -> re.Match[str] | None:
        """Class and user in the address that the mail came to."""
        return _ALIAS.fullmatch(self.texts.get("--rcpt-to", ""))

    @property
    def label(self) -> str:
        """spam or innocent; empty if no option names the class."""
        if "--class" in self.texts:
            return self.texts["--class"]
        return _CLASSES[self.alias[1]] if self.alias else ""

    @property
    def user(self) -> str:
        """The user.  Raises UsageError if no option names one and the caller has no name."""
        named = self.texts.get("--user") or (self.alias and self.alias[2]) or self.texts.get("--mail-from")
        return named or login_name(os.getuid())

    def command(self, *more: str) -> list[str]:
        """The words for dspam."""
        mode = [f"--mode={self.texts['--mode']}"] if "--mode" in self.texts else []
        client = ["--client"] if self.switches["--client"] else []
        taught = (f"--source={self.texts['--source']}", f"--class={self.label}")
        return [*client, *taught, *mode, "--user", self.user, *more]


COMMAND = tool.Command(
    "dspam-retrain-forward",
    USAGE,
    complaint="dspam-retrain-forward: {error}\n{usage}",
    wrong_usage=os.EX_USAGE,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    options = parse(words)
    try:
        command = options.command()
    except UsageError as error:
        sys.stderr.write(f"dspam-retrain-forward: {error}\n")
        return os.EX_TEMPFAIL
    if options.texts["--source"] != "error":
        return _run(options, command)
    return _correct(options)


def parse(words: list[str]) -> Options:
    """The options of a command line.  Raises UsageError."""
    options, rest = Options(), list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in _TEXTS:
            if not equals and not rest:
                raise UsageError(f"{name} needs a value")
            options.texts[name] = value if equals else rest.pop(0)
        elif name in _SWITCHES and value.lower() in ("", "yes", "no"):
            options.switches[name] = value.lower() != "no"
        else:
            raise UsageError(f"unknown option {name}")
    if options.label not in ("spam", "innocent"):
        raise UsageError("--class=spam or --class=innocent is needed")
    if options.texts.get("--source") not in ("error", "corpus", "inoculation"):
        raise UsageError("--source=error, corpus or inoculation is needed")
    return options


def wanted(message: Message, switches: dict[str, bool]) -> list[str]:
    """The signatures that count: in headers and texts, or in one of them (--full-email=no)."""
    whole, texts = switches["--full-email"], switches["--bodies-only"]
    ids = signature.every(message, in_headers=whole or not texts, in_texts=whole or texts)
    if switches["--skip-first"]:
        ids = ids[1:]
    return ids[:1] if switches["--first-only"] else ids


def _correct(options: Options) -> int:
    """Correct by each signature; the status of the worst failure."""
    ids = wanted(Message(sys.stdin.buffer.read()), options.switches)
    if not ids:
        sys.stderr.write("dspam-retrain-forward: Unable to find a valid signature\n")
        try:
            return Config.load().CorrectionFailureExit
        except ConfigError as error:
            sys.stderr.write(f"dspam-retrain-forward: {error}\n")
            return os.EX_TEMPFAIL
    failed = [status for id_ in ids if (status := _run(options, options.command(f"--signature={id_}")))]
    return os.EX_TEMPFAIL if os.EX_TEMPFAIL in failed else (failed or [os.EX_OK])[0]


def _run(options: Options, words: list[str]) -> int:
    if options.switches["--debug"]:
        sys.stderr.write(f"dspam {' '.join(words)}\n")
    return dspam.main(words)


if __name__ == "__main__":
    sys.exit(main())
