"""dspam-retrain-forward: teaches every message whose signature a forwarded mail brings (reference/cli.md 8).

For aliases of a mail server, and for dovecot's pipe backend: the mail is on standard input, and
each signature in it, in its header or text or in an original attached to it, is one correction by
`dspam`.  With the sources `corpus` and `inoculation` the mail itself is what is taught.

Who is taught: `--user`; else the user behind spam- or notspam- in `--rcpt-to`, which says the class
as well; else the sender; else who calls.  `--debug` says on standard error what is done.

Exit status: 0; 64 wrong usage; 75 no user, or try again; else that of the first correction that
failed, or CorrectionFailureExit where there is no signature.
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
    """A command line: values of options that have one, and which switches are on."""

    texts: dict[str, str] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=lambda: dict(_SWITCHES))

    @property
    def alias(self) -> re.Match[str] | None:
        """Class and user in the address that the mail came to."""
        return _ALIAS.fullmatch(self.texts.get("--rcpt-to", ""))

    @property
    def label(self) -> str:
        """spam or innocent; empty if nobody says which."""
        if "--class" in self.texts:
            return self.texts["--class"]
        return _CLASSES[self.alias[1]] if self.alias else ""

    @property
    def user(self) -> str:
        """Raises UsageError if nobody is named, and who calls has no name."""
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
    """What a command line says.  Raises UsageError."""
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
    """The signatures in a message that count: of headers and texts, or of one of them (--full-email=no)."""
    whole, texts = switches["--full-email"], switches["--bodies-only"]
    ids = signature.every(message, in_headers=whole or not texts, in_texts=whole or texts)
    if switches["--skip-first"]:
        ids = ids[1:]
    return ids[:1] if switches["--first-only"] else ids


def _correct(options: Options) -> int:
    """One correction for each signature; the status of the worst."""
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
