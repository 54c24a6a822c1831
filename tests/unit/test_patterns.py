"""Patterns and parsers that see bytes of a mail: each reads its own worst case in a bounded time.

`SEES_MAIL` has the worst cases, `NEVER_MAIL` says why no mail reaches the others.  A pattern in neither
fails `test_no_pattern_is_forgotten`, so its author must think of its worst case.  Mail made to cost much
goes through everything together in `tests/unit/engine/test_bombs.py`.
"""

from __future__ import annotations

import ast
import contextlib
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import dspamd
from dspamd.commands import dspam_logrotate
from dspamd.delivery import connection, digest, replies, smtp
from dspamd.engine import _kernel
from dspamd.engine.model import Hits, TokenChange
from dspamd.errors import Reply, UsageError
from dspamd.evaluation import corpus
from dspamd.filter import verdict
from dspamd.filter.scan import blocklist, source
from dspamd.home import home
from dspamd.home.history import Fields
from dspamd.mail import _features, _view, forward, headers, kept, mime, signature
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.mail.transparency import Collector, stuffed
from dspamd.request import request, retrain_address
from dspamd.server import command, dialogue, dlmtp
from dspamd.storage.files import signature_files
from dspamd.telemetry import log
from dspamd.users import groups, lookup, lookup_source, users

pytestmark = pytest.mark.no_cover  # tracing would add to the times measured here

PARSERS = {
    "ast", "base64", "binascii", "codecs", "configparser", "csv", "difflib", "email", "fnmatch", "html",
    "http", "ipaddress", "json", "mailbox", "mimetypes", "quopri", "shlex", "textwrap", "tomllib",
    "urllib", "xml",
}  # fmt: skip
"""Modules of the standard library that read texts, and might read one in more time than its length."""

NEVER_MAIL = {
    "adoption.report": "only writes figures",
    "adoption.steps": "only writes commands",
    "commands.completion": "texts of our own commands",
    "commands.css: json": "only writes figures",
    "commands.dspam_2sql: json": "only writes dictionaries",
    "commands.dspam_crc: json": "only writes a word of the command line",
    "commands.dspam_dump: json": "only writes a dictionary",
    "commands.dspam_merge: json": "how far we came, as we wrote it",
    "commands.dspam_merge: shlex": "only writes a command",
    "commands.health: http.client": "what our own daemon answers",
    "commands.dspam_clean": "words of a command line",
    "commands.moving: json": "only writes figures",
    "commands.renaming.tell_of_groups": "the administrator's file of groups",
    "commands.dspam_stats: json": "only writes figures",
    "commands.dspam_maintenance": "words of a command line",
    "commands.dspam_notify": "the administrator's text of the letter",
    "commands.dspam_retrain_forward": "words of a command line",
    "commands.corpus_training: json": "only writes figures",
    "commands.learning_maildirs: json": "only writes figures",
    "commands.learner._SUMMARY": "a line that dspamc prints",
    "commands.dspam_admin: json": "only writes explanations",
    "commands.dspam_eval: json": "only writes figures",
    "doctor.": "answers and settings of the site's own programs, files of the system",
    "maintenance.moving.": "an archive that the administrator made",
    "storage.files.readers: urllib.parse": "only writes the path of a file",
    "evaluation.configurations": "words of a command line",
    "evaluation.imap": "a command line, and the server's lists of flags",
    "evaluation.maildirs": "names of folders and files",
    "evaluation.plots: xml.sax": "names of configurations",
    "config.config": "dspam.conf",
    "delivery.digest._PLACES": "the administrator's text of the letter",
    "delivery.digest: email.errors": "only a class is used",
    "delivery.digest: email.utils": "only writes the time of day",
    "delivery.notices": "only writes the time of day",
    "config.directives": "dspam.conf",
    "storage.files._css": "hash files",
    "mail._view.keep_memory": "a number",
    "config.option_types": "dspam.conf, preferences",
    "users.lookup_ldap": "settings, names of users",
    "config.manual": "our own texts",
    "maintenance.config_checks": "dspam.conf",
    "config.preferences": "config.preferences",
    "filter.scan.rbl": "dspam.conf",
    "config.client_config": "dspam.conf",
    "storage.block._NAME": "names that we give to blocks",
    "storage.sql.common.": "files that the administrator names",
    "storage.mysql.tables": "what the server says of its tables",
    "storage.files.sqlite_file": "numbers of ours",
    "users.preferences.User": "config.preferences",
}
"""Reasons, by the beginning of a place."""

Use = Callable[[bytes], object]


class Worst(NamedTuple):
    """A text that is hard to read: `pump` many times, between `start` and `end`."""

    pump: bytes
    start: bytes = b""
    end: bytes = b""

    def text(self, size: int) -> bytes:
        return self.start + self.pump * (size // len(self.pump)) + self.end


BODY = b"A: b\n\n"
FIELDS = b"From: x\nSubject: y\n\n"
QUOTED = b"X-DSPAM-Signature:"
HTML = b"Content-Type: text/html\n\n"
TYPE = b"Content-Type: text/plain; "
RELEASED = b"X-DSPAM-Quarantined: 1\n\n"
MULTIPART = b"Content-Type: multipart/mixed; boundary=b\n"


def text_of(use: Callable[[str], object]) -> Use:
    return lambda data: use(data.decode("latin-1"))


def message_of(use: Callable[[Message], object]) -> Use:
    return lambda data: use(Message(data))


def argument_of(use: Callable[[bytes], object]) -> Use:
    def read(data: bytes) -> None:
        with contextlib.suppress(command.SyntaxFault):
            use(data)

    return read


def option_of(name: str) -> Use:
    def read(data: bytes) -> None:
        with contextlib.suppress(UsageError):
            request.parse([f"--{name}", data.decode("latin-1")])

    return read


def signatures(message: Message) -> None:
    signature.find(message)
    signature.every(message)
    signature.reported(message)


def edited(message: Message) -> None:
    rewrite(message, Rewrite(lines=(b"A: b",), subject_tag=b"s", text_tag=b"t", signature="1,a"))


def coded(data: bytes) -> None:
    for encoding in (b"base64", b"quoted-printable"):
        mime.reversible(encoding, data)
        mime.decoded(encoding, data)
        mime.encoded(encoding, data, b"\r\n")


def summarized(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as mbox:
        mbox.write(b"From QUARANTINE\nSubject: " + data)
        mbox.flush()
        digest.compose(b"$l", "bob", digest.read(Path(mbox.name)), url="http://x/")


def quarantined(data: bytes) -> None:
    kept.entry(data, "then")


def on_the_wire(data: bytes) -> None:
    Collector().feed(data)
    for _ in stuffed(data):
        continue


HEADER_LINES = [Worst(b"a\n\r", b"Subject: "), Worst(b"\n "), Worst(b"A: b\n"), Worst(b" ", b"Subject:")]
LINE_ENDS = [Worst(b"\r"), Worst(b"\n"), Worst(b"\r\n."), Worst(b"\n."), Worst(b"\r\r\n"), Worst(b"\0")]


def lesson(data: bytes) -> TokenChange:
    """The bytes as tokens that lose a hit."""
    tokens = array("Q", data[: len(data) // 8 * 8])
    steps = array("i", [-1]) * len(tokens)
    return TokenChange(tokens, steps, steps)


def taken_back(data: bytes) -> None:
    """Take hits from tokens that have some."""
    change = lesson(data)
    known = array("Q", sorted(set(change.tokens)))
    _kernel.floored(change, Hits(known, known, known))


SEES_MAIL: dict[str, tuple[Use, list[Worst]]] = {
    "commands.dspam_logrotate._TIME": (dspam_logrotate._TIME.match, [Worst(b"1")]),
    "delivery.digest._STAMP": (
        lambda data: digest._STAMP.fullmatch(data),
        [Worst(b"From QUARANTINE "), Worst(b"1", b"From QUARANTINE Fri Nov 20 ")],
    ),
    "delivery.digest: email.header": (
        summarized,
        [
            Worst(b"=?a?q?x"),
            Worst(b"=?a?q?x?="),
            Worst(b"=?a?b?=?="),
            Worst(b"=?"),
            Worst(b"?="),
            Worst(b"\r"),
        ],
    ),
    "delivery.digest: html": (summarized, [Worst(b"<&"), Worst(b'"')]),
    "delivery.digest: urllib.parse": (summarized, [Worst(b"%", b"a\nX-DSPAM-Signature: ")]),
    "delivery.smtp._CONTROL": (lambda data: smtp._CONTROL.search(data), [Worst(b"a")]),
    "delivery.connection._REPLY": (connection._REPLY.match, [Worst(b"2")]),
    "delivery.replies._UNPRINTABLE": (
        text_of(lambda text: replies._UNPRINTABLE.sub("?", text)),
        [Worst(b"\xff")],
    ),
    "delivery.replies._ENHANCED": (
        text_of(replies._ENHANCED.match),
        [Worst(b"2.2.2"), Worst(b" ", b"2.2.2")],
    ),
    "mail._view.with_lf": (_view.with_lf, LINE_ENDS),
    "mail._view.with_crlf": (_view.with_crlf, LINE_ENDS),
    "mail._view.line_ends": (on_the_wire, LINE_ENDS),
    "engine._kernel.ascending": (
        lambda data: _kernel.ascending(lesson(data)),
        [Worst(b"a"), Worst(b"7 bytes")],
    ),  # one token, many tokens
    "engine._kernel.floored": (taken_back, [Worst(b"a"), Worst(b"7 bytes")]),
    "engine._kernel.crc64": (_kernel.crc64, [Worst(b"a")]),
    "users.groups._REFUSED": (
        text_of(groups._REFUSED.match),
        [Worst(b"@"), Worst(b"."), Worst(b"@."), Worst(b"a")],
    ),
    "home.history: codecs": (
        message_of(Fields.of),
        [Worst(b"\xe2\x82", b"Subject: "), Worst(b"\t", b"From:")],
    ),
    "home.home._REFUSED": (text_of(home._REFUSED.search), [Worst(b"a")]),
    "telemetry.log._plain": (text_of(log._plain), [Worst(b"a", end=b" ")]),
    "users.lookup._CONTROL": (text_of(lookup._CONTROL.search), [Worst(b"a")]),
    "users.lookup_source._MARK": (text_of(lookup_source._MARK.findall), [Worst(b"%"), Worst(b"a")]),
    "mail.forward._CHARSET": (
        message_of(forward.forwarded),
        [Worst(b"a", TYPE + b"charset=", b"\n\n" + FIELDS)],
    ),
    "mail.forward._FIELD": (
        message_of(forward.forwarded),
        [Worst(each, BODY) for each in (b"a:", b"From: ", b"From: x\n", b"*", b"a" * 31 + b":")],
    ),
    "mail.forward._GAP": (
        message_of(forward.forwarded),
        [Worst(each, BODY) for each in (b"\n", b">\n", b"> \n", b" ", b"\n ", b"Subject: x\n\n")],
    ),
    "mail.forward._UNQUOTED": (
        message_of(forward.forwarded),
        [Worst(b">", BODY + b"> " + FIELDS.replace(b"\n", b"\n> ")), Worst(b">\n", BODY + FIELDS)],
    ),
    "mail.headers._END": (Message, HEADER_LINES),
    "mail.headers._FIELD_END": (message_of(Fields.of), HEADER_LINES),
    "mail.headers._STRAY": (
        headers.sound,
        [
            Worst(b"a"),
            Worst(b"a "),
            Worst(b" ", b"a"),
            Worst(b"a:\n"),
            Worst(b"\n"),
            Worst(b"\r"),
            Worst(b">"),
        ],
    ),
    "mail.headers: base64": (headers.encoded_word, [Worst(b"\xc3\xa4")]),
    "mail.kept._FROM_LINE": (quarantined, [Worst(b">"), Worst(b"\n>"), Worst(b"\nFrom "), Worst(b"\n\n")]),
    "mail.kept._QUOTED_LINE": (
        message_of(kept.released),
        [
            Worst(b">", RELEASED),
            Worst(b"\n>", RELEASED),
            Worst(b"\n>>From ", RELEASED),
            Worst(b"\n", RELEASED),
        ],
    ),
    "mail.kept._SIZE": (message_of(kept.released), [Worst(b"1", b"X-DSPAM-Quarantined: ")]),
    "mail.mime._BODY_EVENT": (
        mime.parts,
        [Worst(b"--a\n", MULTIPART + b"\n"), Worst(b"-", MULTIPART + b"\n"), Worst(b"\n", MULTIPART)],
    ),
    "mail.mime._FIRST_WORD": (mime.parts, [Worst(b" ", b"Content-Type:"), Worst(b'"', b"Content-Type:")]),
    "mail.mime._HEAD_EVENT": (
        mime.parts,
        [Worst(b"--a\n", MULTIPART), Worst(b"--b\n", MULTIPART), Worst(b"a\n"), Worst(b"\r")],
    ),
    "mail.mime._parameter": (
        mime.parts,
        [
            Worst(b";charset", TYPE),
            Worst(b";charset  ", TYPE),
            Worst(b" ", TYPE + b"charset"),
            Worst(b' charset="', TYPE),
            Worst(b";charset=;", TYPE),
            Worst(b"\n charset=", TYPE),
        ],
    ),
    "mail.mime: base64": (coded, [Worst(b"a"), Worst(b"="), Worst(b"\xff"), Worst(b"\n")]),
    "mail.mime: binascii": (coded, [Worst(b"=\n"), Worst(b" "), Worst(b" \n"), Worst(b"=0"), Worst(b"\r")]),
    "mail.rewrite._HTML_END": (
        message_of(edited),
        [Worst(b"</bod", HTML), Worst(b"</", HTML), Worst(b"</htm", HTML), Worst(b"<", HTML)],
    ),
    "mail.signature.TAG": (
        message_of(signatures),
        [Worst(b"!DSPAM:", BODY), Worst(b" ", BODY + b"!DSPAM:"), Worst(b"a", BODY + b"!DSPAM:")],
    ),
    "mail.signature._ID": (text_of(signature.valid), [Worst(b"a", end=b"!"), Worst(b",", end=b"\n")]),
    "mail.signature._QUOTED": (
        message_of(signatures),
        [
            Worst(b"<" + QUOTED + b">", BODY + QUOTED),
            Worst(b"<" + QUOTED, BODY + QUOTED),
            Worst(QUOTED, BODY),
            Worst(QUOTED + b" ", BODY),
            Worst(b">", BODY + QUOTED),
            Worst(b"&nbsp;", BODY + QUOTED),
            Worst(b"a", BODY + QUOTED),
        ],
    ),
    "request.command_line.is_address": (
        option_of("rcpt-to"),
        [
            Worst(b"a."),
            Worst(b'"'),
            Worst(b'"."'),
            Worst(b"\\", b'"'),
            Worst(b".a", b"a@a", b"@"),
            Worst(b"a@"),
        ],
    ),
    "request.request._Draft._sender": (option_of("mail-from"), [Worst(b"a")]),
    "request.request._Draft._take_buffer": (option_of("feature=tb="), [Worst(b" "), Worst(b"a")]),
    "request.request: difflib": (option_of(""), [Worst(b"a"), Worst(b"deliver"), Worst(b"r")]),
    "request.retrain_address._ADDRESS": (
        message_of(retrain_address.in_header),
        [Worst(b"a", b"To: spam-"), Worst(b" spam-", b"To:"), Worst(b"<spam", b"To:"), Worst(b"To: spam-\n")],
    ),
    "request.retrain_address._HEX": (
        text_of(retrain_address._HEX.findall),
        [Worst(b"+"), Worst(b"+2"), Worst(b"+20")],
    ),
    "request.retrain_address._QUOTED": (
        message_of(retrain_address.in_header),
        [Worst(b'"', b"To: "), Worst(b"\\", b'To: "'), Worst(b'"\\"', b"To: "), Worst(b"a,", b"To: ")],
    ),
    "evaluation.corpus: email.utils": (
        corpus.time_of,
        [Worst(b" "), Worst(b"1 "), Worst(b"(", b"Mon, 1 Jan "), Worst(b"-", b"1 Jan 2012 00:00:00 +")],
    ),
    "filter.scan.blocklist._DOMAIN_END": (
        message_of(blocklist.sender_domain),
        [Worst(b"@", b"From: "), Worst(b"a", b"From: @"), Worst(b" ", b"From: @")],
    ),
    "filter.scan.source._FROM": (
        message_of(source.source),
        [
            Worst(b"from ", b"Received: "),
            Worst(b"from [", b"Received: "),
            Worst(b"from []", b"Received: "),
            Worst(b"Received: from a [10.0.0.1]\n"),
        ],
    ),
    "filter.scan.source._IN_PARENTHESES": (
        message_of(source.source),
        [Worst(b"(", b"Received: (qmail)\nReceived: "), Worst(b"(a)", b"Received: (qmail)\nReceived: ")],
    ),
    "filter.scan.source.address": (text_of(source.address), [Worst(b" "), Worst(b"ipv6:")]),
    "filter.scan.source: ipaddress": (
        text_of(source.address),
        [Worst(b"1."), Worst(b"1"), Worst(b":"), Worst(b"1:"), Worst(b"%", b"::")],
    ),
    "server.command._BARE": (argument_of(command.mail_path), [Worst(b"a", b"FROM:"), Worst(b" ", b"FROM:")]),
    "server.command._BRACKETED": (
        argument_of(command.mail_path),
        [
            Worst(b'"', b"FROM:<"),
            Worst(b'"a\\"', b"FROM:<"),
            Worst(b"\\", b'FROM:<"'),
            Worst(b'"a"', b"FROM:<"),
        ],
    ),
    "server.command._CONTROL": (argument_of(command.mail_path), [Worst(b"a", b"FROM:<", b"\1>")]),
    "server.command._PARAMETER": (
        argument_of(command.mail_path),
        [
            Worst(b"a-", b"FROM:<a> ", b"\1"),
            Worst(b" a=", b"FROM:<a>", b"\1"),
            Worst(b" ", b"FROM:<a>", b"\1"),
        ],
    ),
    "server.command._SOURCE_ROUTE": (
        argument_of(command.mail_path),
        [Worst(b"@", b"FROM:<", b">"), Worst(b"@a,", b"FROM:<", b">"), Worst(b":", b"FROM:<@", b">")],
    ),
    "server.command._UNBALANCED": (argument_of(command.mail_path), [Worst(b"<", b"FROM:<")]),
    "server.command._XFORWARD": (
        argument_of(command.xforward_attributes),
        [Worst(b"a"), Worst(b"NAME="), Worst(b" NAME=a")],
    ),
    "server.dialogue._BREAKS": (
        text_of(lambda text: dialogue.written(Reply(550, "5.0.0", text))),
        [Worst(b"\n"), Worst(b"a"), Worst(b"\ra")],
    ),
    "server.dlmtp._OPTIONS": (
        argument_of(dlmtp.login),
        [
            Worst(b" ", b"FROM:<a>"),
            Worst(b"DSPAMPROCESSMODE", b"FROM:<a> "),
            Worst(b"\\", b'FROM:<a> DSPAMPROCESSMODE="'),
            Worst(b' DSPAMPROCESSMODE=\\"', b'FROM:<a> DSPAMPROCESSMODE="'),
        ],
    ),
    "storage.files.signature_files._ID": (text_of(signature_files._ID.fullmatch), [Worst(b"a"), Worst(b" ")]),
    "users.users._UID": (text_of(users._UID.match), [Worst(b"1")]),
    "filter.verdict._BREAKS": (text_of(verdict._one_line), [Worst(b"\n"), Worst(b"\na")]),
    "filter.verdict._UNPRINTABLE": (verdict.escaped, [Worst(b"a"), Worst(b"%")]),
}
"""How a text reaches a pattern, and the texts that are hardest for it."""

BY_HAND = {"request.command_line.is_address"}
"""Texts that look like a pattern and are none."""

TESTED_ELSEWHERE = {
    "engine._kernel.Headings", "mail._view.Mime", "engine._kernel.Run", "engine._kernel.Tokens",
    "mail._view.flatten_message", "engine._kernel.tokenize_view", "mail._features.Features",
    "mail._features.features_of", "engine._kernel.tokenize_features",
}  # fmt: skip
"""By `tests/unit/engine/test_bombs.py`."""


@pytest.mark.parametrize("place", SEES_MAIL)
def test_the_worst_case_takes_a_bounded_time(place: str) -> None:
    """Small sizes come first: they find a pattern that is slower than linear before it takes for ever.

    All take less than 0.25 s on a quiet machine; two that share a core slow each other down.
    """
    use, worst = SEES_MAIL[place]
    for each in worst:
        for size in (1 << 14, 1 << 17, 1 << 20):
            text = each.text(size)
            assert any(seconds(use, text) < 1 for _ in range(3)), (each, size)


def seconds(use: Use, text: bytes) -> float:
    """Processor time, so that a busy machine does not matter."""
    start = time.process_time()
    use(text)
    return time.process_time() - start


def test_no_pattern_is_forgotten() -> None:
    package = Path(dspamd.__file__).parent
    found = set(kernel_functions())
    for file in package.rglob("*.py"):
        module = ".".join(file.relative_to(package).with_suffix("").parts)
        found |= set(places(ast.parse(file.read_text()), module))
    seen = SEES_MAIL.keys() | TESTED_ELSEWHERE
    unknown = {place for place in found - seen if not place.startswith(tuple(NEVER_MAIL))}
    assert not unknown, (
        "give each its worst case in SEES_MAIL, or the reason why it never sees a mail in NEVER_MAIL"
    )
    gone = seen - found - BY_HAND
    assert not gone, "what is not there any more"


def kernel_functions() -> Iterator[str]:
    """The functions and classes that are compiled, and so may look at bytes."""
    for module in (_view, _features, _kernel):
        for name, value in vars(module).items():
            if callable(value) and not name.startswith("_") and value.__module__ == module.__name__:
                yield f"{module.__name__.removeprefix('dspamd.')}.{name}"


def places(tree: ast.Module, module: str) -> Iterator[str]:
    """Where a module uses `re`: the constant that holds the pattern, or the function; and its parsers."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            yield from _used(statement, f"{module}.{ast.unparse(target)}")
        else:
            yield from _used(statement, module)


def _used(node: ast.AST, where: str) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}"
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
        yield where
    if isinstance(node, ast.Import):
        yield from (f"{where}: {each.name}" for each in node.names if each.name.partition(".")[0] in PARSERS)
    if isinstance(node, ast.ImportFrom) and node.module:
        assert node.module != "re", f"{where}: write `import re`, so that its uses are found"
        if node.module.partition(".")[0] in PARSERS:
            yield f"{where}: {node.module}"
    for child in ast.iter_child_nodes(node):
        yield from _used(child, where)
