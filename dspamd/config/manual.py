"""The sample dspam.conf and the manual page dspam.conf(5), made from the option table.

    python -m dspamd.config.manual sample >etc/dspam.conf
    python -m dspamd.config.manual man >docs/dspam.conf.5

Run it at the top of the source tree after a change of the table; a test compares
both files with its output.  `etc/ignore-headers.txt` lists the headers that sites do
not tokenize.

The manual page uses the man(7) macros.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dspamd.config.option import Option
from dspamd.config.option_types import FLAG
from dspamd.config.options import SECTIONS
from dspamd.config.preferences import PREFERENCES

_IGNORE_HEADERS = Path("etc/ignore-headers.txt")

_SUFFIXES = {"client": "Relay1", "profile": "DECAlpha"}
"""Names after the dot in examples."""

_SAMPLE_HEAD = """\
# dspam.conf - configuration of dspamd and its commands, see dspam.conf(5).
#
# Directive value "value with blanks"   # comment
#
# It fits etc/postfix: dspamd takes mail from Postfix by LMTP, adds headers, changes nothing else, and
# returns it by SMTP. Users correct a verdict by forwarding mail to spam-USER or notspam-USER.
# `dspamd --check-config` reports what is missing.
#
# Commented lines show defaults and examples.
"""

_MAN_HEAD = r""".\" Made from the option table by python -m dspamd.config.manual; do not edit.
.TH DSPAM.CONF 5 "" dspamd "File formats"
.SH NAME
dspam.conf \- configuration of the dspamd spam filter
.SH SYNOPSIS
.I /etc/dspam/dspam.conf
.SH DESCRIPTION
Each line holds a directive and its values, separated by blanks:
.PP
.RS
.EX
Trust         root dspam
ServerIdent   "mail.example.org"   # a comment
.EE
.RE
.PP
The case of directives does not matter.
A value in double quotes may have blanks; there are no escapes.
A
.B #
or
.B ;
outside quotes starts a comment.
The parser ignores a directive without a value.
.PP
A list may span several lines; their values add up.
For every other directive the first value counts; for switches,
.B on
wins over
.BR off .
.BR on ,
.BR yes ,
.B true
and
.B 1
mean the same.
Sizes are in bytes and may end in
.BR k ,
.B M
or
.BR G .
.PP
Some directives may have a dot and a name after them:
.I profile
is a storage profile (see
.BR DefaultProfile ),
.I domain
the domain of a recipient,
.I client
the name that a client gives.
A profile or domain without a line of its own takes the plain directive.
.PP
The daemon warns of unknown directives.
It reports all invalid values together, with file and line, and does not start with them (exit status 78);
a running daemon keeps its configuration.
"""

_MAN_TAIL = r""".SH ENVIRONMENT
.TP
.B DSPAM_CONF
Another file to read, unless the program runs with borrowed privileges.
.SH DIFFERENCES FROM DSPAM 3.10.2
A
.B #
or
.B ;
inside quotes starts no comment.
.B Include
also takes files and patterns, and reads directories in the order of names.
Every address may be a host name or an IPv6 address.
Invalid numbers are errors and not 0; so are words that are neither on nor off.
.B StorageDriver
is required, and so is the name of the database of an SQL server.
.B Algorithm
and
.B TrainingMode
have defaults.
A profile falls back to the plain directives.
With
.B StrictCompatibility on
comments begin where DSPAM began them.
"""


def sample(ignore_headers: Iterable[str]) -> str:
    """The sample file."""
    parts = [_SAMPLE_HEAD]
    for title, options in SECTIONS.items():
        parts.append(f"\n# --- {title} {'-' * (70 - len(title))}\n")
        parts += [block for option in options for block in _sample_option(option)]
        if title == "Headers that are not tokens":
            parts += [f"IgnoreHeader {name}\n" for name in ignore_headers]
    return "".join(parts)


def _sample_option(option: Option[Any]) -> Iterator[str]:
    yield "\n"
    for line in textwrap.wrap(option.help, 76):
        yield f"# {line}\n"
    if option.kind.words and option.kind is not FLAG:
        yield f"# {option.kind.text}\n"
    name = option.name if option.bare else f"{option.name}.{_SUFFIXES[option.suffix]}"
    for value in (option.sample or f"# {option.default}").split("\n"):
        active = option.used and not value.startswith("# ")
        yield f"{'' if active else '#'}{name} {value.removeprefix('# ')}\n"


def man() -> str:
    """The manual page."""
    parts = [_MAN_HEAD]
    for title, options in SECTIONS.items():
        parts.append(f".SH {_roff(title.upper())}\n")
        parts += [line for option in options for line in _man_option(option)]
    parts.append(".SH PREFERENCES\nThe preferences that\n.B Preference\nand\n.B AllowOverride\ntake:\n")
    parts.append(_roff(", ".join(PREFERENCES)) + ".\n")
    return "".join(parts) + _MAN_TAIL


def _man_option(option: Option[Any]) -> Iterator[str]:
    suffix = f"\\fR[\\fP.\\fI{option.suffix}\\fP\\fR]\\fP" if option.suffix else ""
    if not option.bare:
        suffix = f".\\fI{option.suffix}\\fP"
    many = " ..." if option.many else ""
    yield f".TP\n\\fB{option.name}\\fP{suffix} \\fI{_roff(option.kind.text)}\\fP{many}\n"
    yield _roff(option.help) + "\n"
    if option.default:
        yield f"Default: {_roff(option.default)}.\n"
    if not option.used:
        reason = f": {option.instead}" if option.instead else " in this release"
        yield f"Understood, but without effect{reason}.\n"


def _roff(text: str) -> str:
    """Text without macros and typographic dashes."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def main() -> None:
    match sys.argv[1:]:
        case ["sample"]:
            sys.stdout.write(sample(_IGNORE_HEADERS.read_text("ascii").split()))
        case ["man"]:
            sys.stdout.write(man())
        case _:
            sys.exit("usage: python -m dspamd.config.manual sample|man")


if __name__ == "__main__":
    main()
