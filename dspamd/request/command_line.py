"""The words of a command line, and the options in them.

The same words arrive in three ways: on the command line of `dspam` and `dspamc`, as
`ServerParameters` for mail that comes by LMTP, and as `DSPAMPROCESSMODE` from `dspamc`.
`divide` finds the options in the words; `join` and `split` write and read them for the protocol
(reference/cli.md 3, 4; protocols.md 3).  `dspamd.request.request` knows what the values mean.

`dspamc` starts once per message and imports this module, so the module imports nothing itself:
no `re`, no `typing`.  Pure.
"""

from __future__ import annotations

from dspamd import __version__

Item = tuple[str, str]  # option name without dashes and its value; ("", word) for any other word

_LISTS = ("user", "rcpt-to")
_OURS = (*_LISTS, "fail")  # `join` leaves them out
_PLAIN = ("classify", "process", "stdout", "client", "daemon", "nofork", "debug", "help", "version")
_VALUED = ("mail-from", "class", "source", "mode", "feature", "deliver", "signature", "profile", "fail")
OPTIONS = _LISTS + _PLAIN + _VALUED

# Words of releases before 3.4.  3.10.2 takes them for arguments of the delivery agent, and the
# spam for new mail.
_ALIASES: dict[str, tuple[Item, ...]] = {
    "--addspam": (("class", "spam"), ("source", "error")),
    "--falsepositive": (("class", "innocent"), ("source", "error")),
}

# Scripts cut the lists of --class, --source and --mode out of this line.
SYNTAX = (
    "Syntax: dspam [--help|--version|[--client|--daemon [--nofork]] [--debug] "
    "--mode=[toe|tum|teft|notrain|unlearn] --user [user1 user2 ... userN] [--feature=[no,wh,tb=N]] "
    "[--class=[spam|innocent]] [--source=[error|corpus|inoculation]] [--profile=[PROFILE]] "
    "[--deliver=[spam,[innocent|nonspam],summary,stdout]] [--process|--classify] [--stdout] "
    "[--mail-from=sender-address] [--rcpt-to recipient-address(es)] [--signature=DSPAM-Signature] "
    "[passthru-arguments]]\n"
)


def divide(words: list[str]) -> list[Item]:
    """The options in their order; a list option makes an item for each of its names.

    A list ends before a word that starts with a dash and before an empty word;
    `--` ends a list and makes no item.
    """
    items: list[Item] = []
    inside = ""  # the list option whose names follow
    for word in words:
        if inside and word and not word.startswith("-"):
            items.append((inside, word))
            continue
        swallowed = inside and word == "--"
        inside = word[2:] if word.startswith("--") and word[2:] in _LISTS else ""
        if not inside and not swallowed:
            items.extend(_ALIASES.get(word) or (_item(word),))
    return items


def _item(word: str) -> Item:
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        if name in (_VALUED if equals else _PLAIN):
            return name, value
    return "", word


def values(items: list[Item], option: str) -> list[str]:
    """Every value of one option."""
    return [value for name, value in items if name == option]


def untrusted(items: list[Item], login: str, uid: int) -> str:
    """Why an untrusted caller may not ask for this; empty if they may (reference/cli.md 2)."""
    caller = f"e.g.. root or Trusted User [uid={uid}({login})]"
    for name, value in items:
        if name in _LISTS and value != login:
            return (
                f"Option --{name} requires special privileges when user does not match current user, {caller}"
            )
        if name == "profile":
            return f"Option --profile requires special privileges; {caller}"
    return ""


def refusal(option: str, value: str) -> str:
    """Why no message may have this option; empty if it may."""
    if option == "user" and ("../" in value or "..\\" in value):
        return "Illegal username ('../' or '..\\' not allowed in username)"
    if option == "rcpt-to" and not is_address(value):
        return f"Invalid email address: {value}"
    if option == "fail" and value not in ("pass", "tempfail"):
        return f"No such failure mode '{value}': --fail=pass or --fail=tempfail"
    return ""


def is_address(text: str) -> bool:
    """Whether a text is an address: dot-joined words, `@`, and a domain with a dot (RFC 5321 4.1.2)."""
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    if len(labels) < 2 or not all(label and _atom_end(label, 0) == len(label) for label in labels):
        return False
    at = -1
    while True:  # a word, and a dot after it unless it is the last one
        at = _word_end(local, at + 1)
        if at == len(local):
            return True
        if at < 0 or local[at] != ".":
            return False


def _word_end(text: str, start: int) -> int:
    """The end of the atom or quoted string that begins at `start`; -1 if there is none."""
    if text[start : start + 1] != '"':
        end = _atom_end(text, start)
        return end if end > start else -1
    at = start + 1
    while at < len(text) and text[at] not in '"\r\n':
        at += 1
        if text[at - 1] == "\\":
            if text[at : at + 1] in ("", "\r", "\n"):
                return -1
            at += 1
    return at + 1 if text[at : at + 1] == '"' else -1


def _atom_end(text: str, start: int) -> int:
    while start < len(text) and text[start] > " " and text[start] not in '\x7f()<>@,;:\\".[]':
        start += 1
    return start


def asks_for_mail(items: list[Item], spam: str = "") -> bool:
    """Whether the client wants us to print the mail, and nothing else.

    A client that asks for a verdict would take it for the mail; with --signature there is no mail.  We
    print a mail that the client teaches if `--deliver` names its class; `spam` is another word for that
    class (ClassAliasSpam).
    """
    delivered = [name for value in values(items, "deliver") for name in value.split(",")]
    if "summary" in delivered or any(name in ("classify", "signature") for name, _ in items):
        return False
    if "stdout" in delivered:
        return True
    if not values(items, "stdout"):
        return False
    taught = values(items, "class")[-1:]
    if taught and taught[0] in ("spam", spam):
        return "spam" in delivered
    return "innocent" in delivered or "nonspam" in delivered


def passes(items: list[Item], otherwise: str, spam: str = "") -> bool:
    """Whether we print mail unchanged if we cannot filter it: `--fail`, else the configured word.

    `spam` as for `asks_for_mail`.
    """
    return asks_for_mail(items, spam) and [otherwise, *values(items, "fail")][-1].lower() != "tempfail"


def teaches(items: list[Item], *, addresses: bool) -> bool:
    """Whether the client teaches; its lesson is lost unless its caller tries again.

    It teaches with `--class`, or, if `addresses` count (ParseToHeaders), by a retraining address.
    """
    if values(items, "class"):
        return True
    named = [value.lower() for option in _LISTS for value in values(items, option)] if addresses else []
    return any(name.startswith(("spam-", "notspam-")) for name in named)


def join(items: list[Item]) -> str:
    """The text of DSPAMPROCESSMODE: all items except the lists, which travel as RCPT commands, and `--fail`.

    The daemon splits the text at blanks; the protocol cannot quote them.
    Raises ValueError for a word with a line end, which would end the command.
    """
    text = "".join(f"{_spell(name, value)} " for name, value in items if name not in _OURS)
    if "\n" in text or "\r" in text:
        raise ValueError("An option may not contain a line end")
    return text.replace('"', '\\"')


def recipients(items: list[Item]) -> str:
    """The words before the text of `join` for our own daemon, which reads --rcpt-to.

    Raises ValueError as `join` does.
    """
    named = values(items, "rcpt-to")
    return join([("", word) for word in ("--rcpt-to", *named, "--")]) if named else ""


def _spell(name: str, value: str) -> str:
    if not name:
        return value or '""'
    return f"--{name}={value}" if name in _VALUED else f"--{name}"


def split(text: str) -> list[str]:
    """The words of ServerParameters, or of DSPAMPROCESSMODE with its quotes unescaped.

    There is no quoting; `""` stands for an empty word.
    """
    return ["" if word == '""' else word for word in text.split()]


def version(parameters: list[str]) -> str:
    """The answer to --version.

    The web pages read the line `DSPAM Anti-Spam Suite`; scripts read the settings in
    `Configuration parameters:`, which only trusted callers get.
    """
    banner = (
        "\nDSPAM Anti-Spam Suite 3.10.2 (agent/library)\n\n"
        f"dspamd {__version__}, compatible with the release named above.\n"
        "Licensed under the Apache License, version 2.0.\n\n"
    )
    settings = " ".join(f"'{parameter}'" for parameter in parameters)
    return f"{banner}Configuration parameters:  {settings}\n\n" if parameters else banner


def parameters(home: str, driver: str, config_file: str, layout: str) -> list[str]:
    """The settings that maintenance scripts look for in the answer to --version.

    `layout` is that of the data directory: `normal`, `large` or `domain`.
    """
    folder = config_file.rpartition("/")[0]
    shown = [f"--with-dspam-home={home}", f"--sysconfdir={folder}", f"--with-storage-driver={driver}"]
    shown += ["--enable-daemon", "--enable-preferences-extension", "--enable-virtual-users"]
    shown += ["--enable-long-usernames"]
    return shown + ([f"--enable-{layout}-scale"] if layout in ("large", "domain") else [])
