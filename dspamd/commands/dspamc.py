"""dspamc: hands a message to the daemon and prints the answer.

It takes the options of `dspam`, reads the message from standard input and talks to
the daemon at ClientHost (a socket path, or a host with ClientPort) in its own
dialect of LMTP (`client`).  Over the network ClientIdent is our password; a socket
needs none, because there the daemon asks the kernel which account is calling.  The
daemon checks the options and does all the work; its refusal is our usage error.  dspamc
prints only what the caller asks for, and only after it has the whole answer; a failure
is one line on standard error, and one in syslog.

A caller that wants the mail itself on standard output may be a pipe, which has the
status of its last program: without output it would deliver an empty mail.  So if the
mail cannot be filtered, dspamc prints it as it came and exits 0 (1 after wrong usage).
A lesson in the same call is not learned then, so it exits as if it had printed nothing.
With `--fail=tempfail`, or `OnFilterFailure tempfail`, it prints nothing.

SIGTERM, SIGINT and SIGHUP are failures like any other until dspamc prints something; after that it
ignores them.  If one comes while dspamc reads a mail for standard output, it reads the mail to its end.
The same signal may have ended the writer of the mail, so the end may be missing: unless the mail is in
a file, the exit status is 75.

Exit status: 0 done; 1 wrong usage or empty message; 69 refused for good; 75 try
again, which includes a daemon that is down and a configuration that is wrong,
because the mail server then keeps the mail; 99 spam, with `Broken returnCodes`
(a failure counts before spam).  `StrictCompatibility on` gives the numbers of
3.10.2: 22, 251, 255 and below.

The program starts once per message, and must start fast: no argparse, no `socket`,
and `dspamd.config.client_config` instead of the option table.
"""

from __future__ import annotations

import os
import sys

from dspamd.commands.client import Answer, Daemon, open_message, read_answer, send_message
from dspamd.commands.complaint import (
    Trouble,
    WrongUsage,
    answered_help,
    hold_standard_streams,
    status_of_pass,
    tell,
    unprintable,
)
from dspamd.commands.interruption import Interruption
from dspamd.commands.spool import Spool, write_all
from dspamd.commands.standard_input import StandardInput
from dspamd.config.client_config import BadValue, Settings, config_path
from dspamd.request import command_line
from dspamd.request.command_line import Item

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Errand:
    """One message on its way to the daemon and back."""

    def __init__(self, items: list[Item], interruption: Interruption) -> None:
        self._items = items
        self._interruption = interruption
        self._settings: Settings | None = None  # until they are read
        self._input = StandardInput(interruption)
        self._addressed = False  # the mail itself names a retraining address

    @property
    def strict(self) -> bool:
        return self._settings is not None and self._settings.flag("StrictCompatibility")

    @property
    def passes(self) -> bool:
        """Whether dspamc prints the mail as it came if it cannot be filtered."""
        directive = self._settings.text("OnFilterFailure") if self._settings else ""
        return command_line.passes(self._items, directive, self._spam_class)

    def status_of_pass(self, trouble: Trouble) -> int:
        """The exit status after printing the mail as it came."""
        try:
            addresses = self._settings is not None and self._settings.flag("ParseToHeaders")
        except BadValue:
            addresses = True
        teaches = self._addressed or command_line.teaches(self._items, addresses=addresses)
        return status_of_pass(trouble, again=teaches or self._input.doubtful, strict=self.strict)

    @property
    def _spam_class(self) -> str:
        return self._settings.text("ClassAliasSpam") if self._settings else ""

    def original(self) -> Iterator[bytes]:
        """The mail as it came.  Raises Trouble."""
        return self._input.as_it_came()

    def run(self) -> int:
        """Ask the daemon, and print the answer; returns the exit status.  Raises Trouble."""
        try:
            self._settings = settings = read_settings()
            items = check_caller(self._items, settings)
            answer = self._ask(items, settings)
        except Trouble:
            raise
        except BadValue as error:
            raise Trouble(str(error)) from None
        except Exception as error:  # our bug must not cost a mail
            raise Trouble(f"{type(error).__name__}: {error}") from error
        trouble = answer.trouble
        if trouble and not trouble.final and command_line.asks_for_mail(items, self._spam_class):
            raise trouble  # mail printed now would come a second time
        show(answer.output.pieces())
        if trouble:
            raise trouble
        return 99 if answer.spam and settings.matches("Broken", "returnCodes") else 0

    def _ask(self, items: list[Item], settings: Settings) -> Answer:
        host, ident = settings.text("ClientHost"), settings.text("ClientIdent")
        by_account = host.startswith("/") and not ident and not settings.flag("StrictCompatibility")
        if not host or not (by_account or "@" in ident):
            raise Trouble("Invalid client configuration: ClientHost and ClientIdent are needed", classic=22)
        port, refused = settings.number("ClientPort", 24), settings.number("CorrectionFailureExit", 1)
        users = command_line.values(items, "user")
        if not users and not settings.flag("ParseToHeaders"):
            raise WrongUsage("Unable to determine the destination user")
        options, recipients = sent_options(items)
        mail = self._message()
        if not mail:
            raise WrongUsage("empty message (no data received)")
        if not users:
            users = addressed_user(settings, next(mail.pieces()))
            self._addressed = bool(users)
        if not users:
            raise WrongUsage("Unable to determine the destination user")
        if any(character in user for user in users for character in "\r\n<>"):
            raise WrongUsage("Illegal username")
        daemon = Daemon(host, str(port), self._interruption)
        try:
            stuffed = open_message(daemon, ident, options, users, recipients)
            send_message(daemon, mail.pieces())
            answer = read_answer(daemon, len(users), stuffed=stuffed)
        finally:
            daemon.quit()
        if command_line.values(items, "source")[-1:] in (["error"], ["folder"]):
            answer.refused = refused
        return answer

    def _message(self) -> Spool:
        """The whole message, read before the daemon has to wait.  Raises Trouble."""
        if command_line.values(self._items, "signature"):
            # There is no message; send two line ends instead.
            stand_in = Spool()
            stand_in.write(b"\n\n")
            return stand_in
        return self._input.read(to_the_end=self.passes)


def read_settings() -> Settings:
    """Raises Trouble if the configuration cannot be read."""
    path = config_path()
    try:
        return Settings(path)
    except OSError as error:
        from dspamd.file_errors import explained  # slow to load

        raise Trouble(explained(error, path)) from None
    except BadValue as error:
        raise Trouble(str(error)) from None


def show(output: Iterable[bytes]) -> int:
    """Print the output; returns its number of bytes.  Raises Trouble."""
    size = 0
    try:
        for piece in output:
            write_all(1, piece)
            size += len(piece)
    except OSError as error:
        raise unprintable(error) from None
    return size


def sent_options(items: list[Item]) -> tuple[str, str]:
    """The options for every daemon, and those for our own daemon.  Raises Trouble."""
    for problem in filter(None, (command_line.refusal(*item) for item in items)):
        raise WrongUsage(problem)
    try:
        return command_line.join(items), command_line.recipients(items)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


def check_caller(items: list[Item], settings: Settings) -> list[Item]:
    """The options that this caller may use; an untrusted one may name only themselves."""
    uid = os.getuid()
    if uid == 0 or not settings.flag("TrustedUserSecurity", "on"):
        return items
    import pwd

    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        raise WrongUsage("Unable to determine the runtime user") from None
    if settings.matches("Trust", login):
        return items
    if problem := command_line.untrusted(items, login, uid):
        raise WrongUsage(problem)
    return [("user", login), *(item for item in items if item[0] not in ("user", "rcpt-to", ""))]


def addressed_user(settings: Settings, beginning: bytes) -> list[str]:
    """The retraining address in the message, if there is one (protocols.md 6)."""
    if not settings.flag("ParseToHeaders"):
        return []
    # Only mail to a retraining address, without a user on the command line, loads these.
    from pathlib import Path

    from dspamd.config.config import Config
    from dspamd.mail.message import Message
    from dspamd.request.recipients import unnamed

    return list(unnamed(Config.load(Path(settings.path)), Message(beginning)))


def show_version() -> None:
    """Print the version, and the settings that scripts look for, if they can be read."""
    try:
        settings = read_settings()
    except Trouble:
        sys.stdout.write(command_line.version([]))
        return
    parameters = command_line.parameters(
        settings.text("Home"),
        settings.text("StorageDriver"),
        settings.path,
        settings.text("DirectoryLayout").lower(),
    )
    sys.stdout.write(command_line.version(parameters))


def main(arguments: list[str] | None = None) -> int:
    """Run the program, by default with the words of its command line; returns the exit status."""
    hold_standard_streams()
    given = sys.argv[1:] if arguments is None else arguments
    items = command_line.divide(given)
    if answered_help(given, items):
        return 0
    if command_line.values(items, "version"):
        show_version()
        return 0
    # A user who types a message at a terminal may end the program at any time.
    with Interruption(off=os.isatty(0)) as interruption:
        errand = Errand(items, interruption)
        try:
            return run(errand)
        except Trouble as trouble:
            tell("dspamc", str(trouble))
            return trouble.classic if errand.strict else trouble.status


def run(errand: Errand) -> int:
    """The errand, or the mail as it came; returns the exit status.  Raises Trouble."""
    try:
        return errand.run()
    except Trouble as trouble:
        if trouble.final or not errand.passes or not show(errand.original()):
            raise
        tell("dspamc", f"the mail goes on unfiltered: {trouble}")
        return errand.status_of_pass(trouble)


if __name__ == "__main__":
    sys.exit(main())
