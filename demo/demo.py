"""A real dspamd, sample mail, a mistake, and its correction: `make demo`.

It starts the daemon on SQLite in a temporary folder, with a sink as the next hop; teaches
it a few dozen messages as `dspamc` would; sends it others by LMTP as a mail server would;
shows each verdict with its reasons; and corrects a mistake through the `spam-` address
as a user would.  A second daemon, with the settings of DSPAM, gets the same mail.

The exit status is 0 only if all of that worked.
"""

from __future__ import annotations

import queue
import re
import smtplib
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

SAMPLE = Path(__file__).with_name("sample.tar.xz")
TAUGHT = 60  # of the spam and of the ham; the rest is sent
PATIENCE_S = 30.0

DSPAM_CONF = """\
Home {folder}
StorageDriver libsqlite3_drv.so
{scoring}
Preference "signatureLocation=headers"
Preference "spamAction=tag"
Preference "showFactors=on"
ServerHost 127.0.0.1
ServerPort {port}
ServerPID {folder}/dspam.pid
ServerMode auto
ServerPass.demo secret
ServerParameters "--deliver=innocent,spam"
StripRcptDomain on
ParseToHeaders on
ChangeModeOnParse on
ChangeUserOnParse user
DeliveryHost 127.0.0.1
DeliveryPort {sink}
DeliveryProto SMTP
"""

NEW = """\
Algorithm joint
TrainingMode tone"""
OLD = """\
TrainingMode teft
Algorithm graham burton
Tokenizer osb
PValue bcr"""


@dataclass(frozen=True)
class Mail:
    """A message of the sample with its true label, `spam` or `ham`."""

    label: str
    content: bytes


class Sink:
    """The next hop: keeps messages in the order of arrival."""

    def __init__(self) -> None:
        self.arrivals: queue.Queue[bytes] = queue.Queue()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        self.arrivals.put(content)
        return "250 2.0.0 Thank you"


def main() -> None:
    mails = read_sample()
    taught = [mail for label in ("spam", "ham") for mail in mails[label][:TAUGHT]]
    sent = [mail for label in ("spam", "ham") for mail in mails[label][TAUGHT:]]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dspamd-demo-")))
        sink, sink_port = Sink(), free_port()
        controller = Controller(sink, hostname="127.0.0.1", port=sink_port)
        controller.start()
        stack.callback(controller.stop)
        port, old_port = free_port(), free_port()
        stack.enter_context(daemon(folder / "new", NEW, port, sink_port))
        stack.enter_context(daemon(folder / "old", OLD, old_port, sink_port))
        print(f"dspamd listens on port {port}, with what it knows in {folder}.\n")

        teach(port, taught)
        verdicts = [(mail, ask(port, sink, mail.content)) for mail in sent]
        show(verdicts)
        teach(old_port, taught, shown=False)
        old = [(mail, ask(old_port, sink, mail.content)) for mail in sent]
        print(f"DSPAM's settings (graham, burton, osb, teft) get {rights(old)} of {len(old)} right.\n")
        correct(port, sink, mistake(verdicts))
    print(NEXT)


NEXT = """
What to do next:
  README.md            Postfix in ten lines
  make run             keep a daemon running, its files below build/run
  docs/                the manual pages"""


def read_sample() -> dict[str, list[Mail]]:
    """The bundled messages by label."""
    mails: dict[str, list[Mail]] = {"spam": [], "ham": []}
    with tarfile.open(SAMPLE) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            label = member.name.partition("/")[0]
            mails[label].append(Mail(label, file.read().replace(b"\n", b"\r\n")))
    return mails


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def daemon(folder: Path, scoring: str, port: int, sink_port: int) -> Iterator[None]:
    """A daemon, as long as the context lasts."""
    folder.mkdir()
    config = folder / "dspam.conf"
    config.write_text(DSPAM_CONF.format(folder=folder, scoring=scoring, port=port, sink=sink_port))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dspamd"), "--config", config],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"dspamd did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def listens(port: int) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", port), 1)):
            return True
    except OSError:
        return False


def teach(port: int, mails: list[Mail], *, shown: bool = True) -> None:
    """Feed labelled mail over the protocol of dspamc, with a progress bar if it is to be shown."""
    with smtplib.LMTP("127.0.0.1", port, timeout=PATIENCE_S) as lmtp:
        lmtp.ehlo("demo")
        for done, mail in enumerate(mails, 1):
            label = "spam" if mail.label == "spam" else "innocent"
            options = f"--class={label} --source=corpus"
            hand_over(lmtp, f'MAIL FROM: <secret@demo> DSPAMPROCESSMODE="{options}"', "demo", mail.content)
            if shown and (sys.stdout.isatty() or done == len(mails)):
                bar = "█" * (30 * done // len(mails))
                print(f"\rTeaching {bar:░<30} {done}/{len(mails)} messages", end="", flush=True)
    print("\n" if shown else "", end="\n" if shown else "")


def ask(
    port: int, sink: Sink, content: bytes, user: str = "demo", sender: str = "sender@example.net"
) -> Message:
    """Send one message as a mail server does; the message as it was handed to the next hop."""
    with smtplib.LMTP("127.0.0.1", port, timeout=PATIENCE_S) as lmtp:
        lmtp.ehlo("demo-mail-server")
        hand_over(lmtp, f"MAIL FROM:<{sender}>", f"{user}@example.org", content)
    # Handed over before it was acknowledged: it is there.
    return message_from_bytes(sink.arrivals.get_nowait())


def hand_over(lmtp: smtplib.LMTP, mail_from: str, recipient: str, content: bytes) -> None:
    """One transaction with one recipient, every step of which must be accepted."""
    for command, wanted in ((mail_from, 250), (f"RCPT TO:<{recipient}>", 250), ("DATA", 354)):
        expect(wanted, lmtp.docmd(command))
    lmtp.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
    expect(250, lmtp.getreply())


def expect(wanted: int, reply: tuple[int, bytes]) -> None:
    if reply[0] != wanted:
        sys.exit(f"dspamd answered {reply[0]} {reply[1].decode()}")


NUMBERS = ("Result", "Probability", "Confidence")


def show(verdicts: list[tuple[Mail, Message]]) -> None:
    """A line for each message; a cross marks a mistake."""
    print(f"  {'Subject':<36} {'Verdict':<9} {'Prob.':<6} {'Conf.':<6} Strongest reasons, in points for spam")
    for mail, answer in verdicts:
        mark = " " if right(mail, answer) else "✗"
        subject = str(answer["Subject"])[:36]
        verdict, probability, confidence = (answer[f"X-DSPAM-{name}"] for name in NUMBERS)
        why = ", ".join(deciding(answer))
        print(f"{mark} {subject:<36} {verdict:<9} {probability:<6} {confidence:<6} {why}")
    print(f"\n{rights(verdicts)} of {len(verdicts)} right, after {2 * TAUGHT} messages.\n")


def rights(verdicts: list[tuple[Mail, Message]]) -> int:
    return sum(right(mail, answer) for mail, answer in verdicts)


def right(mail: Mail, answer: Message) -> bool:
    return (mail.label == "spam") == (answer["X-DSPAM-Result"] == "Spam")


def deciding(answer: Message) -> list[str]:
    """The three strongest reasons; the points of each stand in front of it."""
    reasons = re.findall(r"^\s+([-+]\d+\.\d .*), \d\.\d+,?\s*$", str(answer["X-DSPAM-Factors"]), re.M)
    return [reason[:44] for reason in reasons[:3]]


def mistake(verdicts: list[tuple[Mail, Message]]) -> tuple[Mail, Message]:
    """A spam that was taken for innocent; without one, an innocent message that its user calls spam."""
    innocent = [(mail, answer) for mail, answer in verdicts if answer["X-DSPAM-Result"] == "Innocent"]
    return min(innocent, key=lambda verdict: (right(*verdict), -float(verdict[1]["X-DSPAM-Probability"])))


def correct(port: int, sink: Sink, mistake: tuple[Mail, Message]) -> None:
    """Forward a message to the `spam-` address, and ask again."""
    mail, answer = mistake
    what = "No spam got through. Suppose" if right(mail, answer) else "A spam got through:"
    told = " were spam. We forward it" if right(mail, answer) else ". We forward it"
    print(f"{what} {str(answer['Subject'])!r}{told} to spam-demo@example.org,")
    forwarded = (
        b"From: demo@example.org\r\nTo: spam-demo@example.org\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: message/rfc822\r\n\r\n"
        + answer.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    )
    confirmation = ask(port, sink, forwarded, "spam-demo", "demo@example.org")
    reclassified = confirmation["X-DSPAM-Reclassified"]
    print(f"dspamd confirms (X-DSPAM-Reclassified: {reclassified}), and we send it again:\n")
    again = ask(port, sink, mail.content)
    for when, message in (("before", answer), ("after", again)):
        print(f"  {when:<7}{message['X-DSPAM-Result']:<9} probability {message['X-DSPAM-Probability']}")
    if reclassified != "Spam" or again["X-DSPAM-Result"] != "Spam":
        sys.exit("It did not learn.")
    print("\nIt learned.")


if __name__ == "__main__":
    main()
