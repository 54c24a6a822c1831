"""dspam in a process of its own: the same parts as in the daemon, for one message, which may be in a pipe.

It is also how the daemon starts under its old name, in the foreground or not.  See `dspam` for what all
that prints and returns.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dspamd.commands import dspamd
from dspamd.commands.complaint import (
    Trouble,
    WrongUsage,
    hold_standard_streams,
    status_of_pass,
    tell,
    unprintable,
)
from dspamd.commands.spool import write_all
from dspamd.config.client_config import BadValue, Settings, config_path
from dspamd.config.config import Config, contains
from dspamd.errors import INTERNAL, ConfigError, Failure, PermFail, TempFail, UsageError
from dspamd.filter.training import UnknownSignature
from dspamd.filter.transaction import InboundMessage
from dspamd.request import command_line
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery, deliveries, readdress, reports, requested, unnamed
from dspamd.request.request import Request
from dspamd.telemetry import log
from dspamd.telemetry.log_target import Syslog
from dspamd.users.trust import login_name, trusted

if TYPE_CHECKING:
    from dspamd.app import Parts

UMASK = 0o006


def main(given: list[str], items: list[command_line.Item]) -> int:
    """Run the command with the options of its words; returns its exit status."""
    options = {name for name, _ in items}
    if "version" in options:
        sys.stdout.write(version())
        return os.EX_OK
    if "daemon" not in options:
        hold_standard_streams()
    uid = os.getuid()
    mail = Mail(items)
    try:
        config = Config.load()
        may_all = trusted(config, uid)
        if "daemon" in options and may_all:
            return dspamd.start(config) if "nofork" in options else background(config)
        share_files(config)
        request = requested(config, given, trusted=may_all, login=login_name(uid), uid=uid)
        return Run(config, request, mail).main()
    except ConfigError as error:
        if "daemon" in options:  # the daemon has no message to lose
            complain(str(error))
            return error.exit_status
        return mail.fail(Trouble(str(error)))
    except UsageError as error:
        return mail.fail(WrongUsage(str(error)))


class Mail:
    """The message on standard input, and the output in its place."""

    def __init__(self, items: list[command_line.Item]) -> None:
        self._items = items
        self._content: bytes | None = None

    @property
    def content(self) -> bytes:
        """The message as it came; empty if there is none."""
        if self._content is None:
            if command_line.values(self._items, "signature"):
                self._content = b"\n\n"  # the signature replaces it, and no caller may write one
            else:
                self._content = sys.stdin.buffer.read() if sys.stdin else b""
        return self._content

    @property
    def wanted(self) -> bool:
        """Whether the caller wants mail on standard output."""
        settings = self._settings
        return command_line.asks_for_mail(self._items, settings.text("ClassAliasSpam") if settings else "")

    @property
    def passes(self) -> bool:
        """Whether to print the mail as it came if it cannot be filtered."""
        settings = self._settings
        if settings is None:
            return command_line.passes(self._items, "")
        directive, spam = settings.text("OnFilterFailure"), settings.text("ClassAliasSpam")
        return command_line.passes(self._items, directive, spam)

    @property
    def _settings(self) -> Settings | None:
        """The settings of a client, because the configuration itself may be bad."""
        try:
            return Settings(config_path())
        except (OSError, BadValue):
            return None

    def fail(self, trouble: Trouble) -> int:
        """End without a verdict: report the reason, print the mail if allowed; the exit status."""
        if trouble.final or not self.passes or not self.content:
            tell("dspam", str(trouble))
            return trouble.status
        try:
            self.show(self.content)
        except Trouble as unprinted:
            trouble = unprinted
        tell("dspam", f"the mail goes on unfiltered: {trouble}")
        return status_of_pass(trouble, again=self._teaches)

    @property
    def _teaches(self) -> bool:
        """Whether the call is a lesson, by its options or by a retraining address."""
        settings = self._settings
        try:
            addresses = settings is not None and settings.flag("ParseToHeaders")
        except BadValue:
            addresses = True
        if command_line.teaches(self._items, addresses=addresses):
            return True
        return addresses and not command_line.values(self._items, "user")  # To names it

    def show(self, output: bytes) -> None:
        """Print output in place of the message.  Raises Trouble."""
        try:
            write_all(sys.stdout.fileno() if sys.stdout else 1, output)
        except OSError as error:
            raise unprintable(error) from None


def share_files(config: Config) -> None:
    """Write files for our account and the group of the mail programs.

    DSPAM's programs had the set-group-id bit (reference/storage.md 1.3).  Ours do not, so root takes the
    group of Home: the daemon could not use files of root's own group, and mail would wait.
    """
    os.umask(UMASK)
    if os.geteuid() == 0:
        with suppress(OSError):  # no Home, so no files to share
            os.setegid(Path(config.Home).stat().st_gid)


def complain(text: str) -> None:
    """Print a line about a failure."""
    sys.stderr.write(f"dspam: {text}\n")


def version() -> str:
    """The version, and the settings that scripts look for, if the caller may see them."""
    try:
        config = Config.load()
    except ConfigError:
        return command_line.version([])
    if not trusted(config, os.getuid()):
        return command_line.version([])
    parameters = command_line.parameters(
        config.Home, config.StorageDriver, config.file, config.DirectoryLayout
    )
    return command_line.version(parameters)


def background(config: Config) -> int:
    """Start the daemon in the background; returns when it is ready, or with its exit status."""
    dspamd.hold_standard_streams()
    news, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        if os.read(news, 1):
            return os.EX_OK
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.setsid()
    os.close(news)
    nothing = os.open(os.devnull, os.O_RDWR)
    for taken in (0, 1):  # a terminal or a pipe stays with the caller
        os.dup2(nothing, taken)
    os.close(nothing)

    def ready() -> None:
        os.write(tell, b"!")
        os.close(tell)

    return dspamd.start(config, ready)


class Run:
    """One message for all users of a request."""

    def __init__(self, config: Config, request: Request, mail: Mail) -> None:
        self._config = config.with_profile(request.profile) if request.profile else config
        self._request, self._mail = request, mail
        self._output: list[bytes] = []
        self._failures: list[Failure] = []
        self._complaints: list[str] = []
        self._unlearned: list[str] = []  # corrections without a valid signature
        self._spam = False

    def main(self) -> int:
        """Read the message, process it, print the output; returns the exit status."""
        log.configure(self._config.LogLevel, self._config.LogFormat, Syslog("dspam"))
        for warning in self._request.warnings:
            log.get().warning("options", text=warning)
        if not self._request.users and not self._config.ParseToHeaders:
            raise UsageError("Unable to determine the destination user")
        content = self._message()
        try:
            asyncio.run(self._process(content))
        except (UsageError, ConfigError):
            raise
        except Exception as error:
            self._bug(error, "dspam")
        return self._finish()

    def _message(self) -> bytes:
        content = self._mail.content
        if not content:
            raise UsageError("empty message (no data received)")
        return content.replace(b"\r\n", b"\n") if contains(self._config.Broken, "lineStripping") else content

    def _finish(self) -> int:
        """Print the output at the end; returns the exit status."""
        if (self._deferred or self._left_out) and self._mail.passes:
            return self._mail.fail(Trouble("; ".join(self._complaints or self._unlearned), self._status()))
        for complaint in self._complaints:
            complain(complaint)
        if self._deferred and self._mail.wanted:
            return self._status()  # mail printed now would come a second time
        try:
            self._mail.show(b"".join(self._output))
        except Trouble as trouble:
            return self._mail.fail(trouble)
        return self._status()

    @property
    def _left_out(self) -> bool:
        """Whether there is no output, only because corrections have no valid signature."""
        others = any(not isinstance(failure, UnknownSignature) for failure in self._failures)
        return bool(self._unlearned) and not others and not any(self._output)

    @property
    def _deferred(self) -> list[Failure]:
        """The failures that may pass with time."""
        return [failure for failure in self._failures if not isinstance(failure, PermFail)]

    async def _process(self, content: bytes) -> None:
        from dspamd.app import Parts

        mail = InboundMessage(Envelope(self._request.sender, (), content))
        users = self._request.users or unnamed(self._config, mail.message)
        if not users:
            raise UsageError("Unable to determine the destination user")
        request = readdress(self._config, mail.message, dataclasses.replace(self._request, users=users))
        recipients = [Recipient(os.fsencode(address)) for address in request.recipients]
        try:
            async with Parts(self._config) as parts:
                for delivery in reports(
                    self._config, mail.message, deliveries(self._config, request, recipients)
                ):
                    await self._one(parts, mail, delivery)
        except Failure as failure:  # the store could not be opened
            self._failed(failure, "storage")

    async def _one(self, parts: Parts, mail: InboundMessage, delivery: Delivery) -> None:
        """Process the message for one user; a failure affects no other user."""
        try:
            outcome = await parts.pipeline.process(mail, delivery)
            self._output += (outcome.summary, outcome.printed)
            if not outcome.reply.ok:  # it has a virus
                raise PermFail(outcome.reply.text)
        except Failure as failure:
            self._failed(failure, delivery.user)
        except Exception as error:
            self._bug(error, delivery.user)
        else:
            self._spam |= outcome.verdict is not None and outcome.verdict.result.spam

    def _bug(self, error: Exception, whose: str) -> None:
        log.get().exception("bug", user=whose)
        self._failed(TempFail(INTERNAL.text, detail=repr(error)), whose)

    def _failed(self, failure: Failure, whose: str) -> None:
        log.get().warning("failed", user=whose, reply=str(failure.reply), reason=failure.detail)
        complaint = f"{whose}: {failure}".replace("\n", " ")
        if isinstance(failure, UnknownSignature):
            self._unlearned.append(complaint)
            failure.exit_status = self._config.CorrectionFailureExit
            if self._strict or not failure.exit_status:
                return
        self._failures.append(failure)
        self._complaints.append(complaint)

    @property
    def _strict(self) -> bool:
        return self._config.StrictCompatibility

    def _status(self) -> int:
        """The exit status; a failure counts before spam, because the caller must try again."""
        if self._failures:
            if self._strict:
                return 256 - len(self._failures)
            return os.EX_TEMPFAIL if self._deferred else self._failures[0].exit_status
        return 99 if self._spam and contains(self._config.Broken, "returnCodes") else os.EX_OK
