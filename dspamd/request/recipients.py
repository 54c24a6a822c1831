"""The deliveries of a message: one for each recipient.

A delivery is one message for one user.  In mail by LMTP each recipient names its user (StripRcptDomain,
plus addresses, Broken case); with `--user` in ServerParameters the recipients are for the
hand-over only.  A command names its users and recipients itself (reference/cli.md 3.4).

Mail to `spam-user@` and `notspam-user@` is a correction (ParseToHeaders, RetrainAddress,
ChangeModeOnParse, ChangeUserOnParse: reference/protocols.md 6).  Each recipient counts
alone: a message can be a correction for one and plain mail for the next.

Pure: a configuration and an envelope in, deliveries out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from dspamd.config.config import Config, contains
from dspamd.engine.model import Label, Lesson, Source
from dspamd.mail.message import Message
from dspamd.request.envelope import Recipient
from dspamd.request.request import Request, parse
from dspamd.request.retrain_address import RetrainAddress, in_header, of_recipient


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one user: the user, the address that gets it, the request."""

    user: str
    recipient: Recipient
    request: Request


def requested(
    config: Config, words: Sequence[str], *, trusted: bool = True, login: str = "", uid: int = 0
) -> Request:
    """The request that these words make under a configuration.  Raises UsageError."""
    aliases = {
        word: label
        for word, label in ((config.ClassAliasSpam, Label.SPAM), (config.ClassAliasNonspam, Label.INNOCENT))
        if word
    }
    return parse(
        words,
        trusted=trusted,
        login=login,
        uid=uid,
        class_aliases=aliases,
        lower_case=contains(config.Broken, "case"),
    )


def readdress(config: Config, message: Message, request: Request) -> Request:
    """The request as the headers of the message change it.

    They name the owner of mail released from a quarantine and, with `RetrainAddress header`,
    retraining addresses.  The user of an untrusted caller stays: the caller wrote the message, and may
    act for themselves only.
    """
    request = _released(message, request)
    if not config.ParseToHeaders or config.RetrainAddress != "header":
        return request
    found = _ours(config, in_header(message))
    if found is None:
        return request
    request = _reporting(config, request, found)
    user = _user_on_parse(config, found)
    return dataclasses.replace(request, users=(user,)) if user and request.trusted else request


def unnamed(config: Config, message: Message) -> tuple[str, ...]:
    """The users of a message if the caller of a command names none: the retraining address in its To.

    An alias of the mail server pipes reports into a command in this way.
    """
    if not config.ParseToHeaders or config.ChangeUserOnParse == "off":
        return ()
    found = _ours(config, in_header(message))
    return (found.whole,) if found else ()


def _ours(config: Config, found: RetrainAddress | None) -> RetrainAddress | None:
    """A retraining address as we process it, None if its domain is not ours (RetrainDomain).

    Its user has the case of the address, or small letters with `Broken case`, like that of any recipient.
    """
    if found is None:
        return None
    domains = [domain.lower() for domain in config.RetrainDomain]
    if domains and found.user and found.address.rpartition("@")[2].lower() not in domains:
        return None
    if contains(config.Broken, "case"):
        return found._replace(user=found.user.lower(), address=found.address.lower())
    return found


def _reporting(config: Config, request: Request, found: RetrainAddress) -> Request:
    """The request of mail that came to a retraining address.

    A client that asks for the lesson itself, or may act for themselves only, needs no other permission.
    """
    if not config.ChangeModeOnParse or request.classify:
        return request
    report = found if request.trusted and request.lesson is None else None
    return dataclasses.replace(request, lesson=Lesson(found.label, Source.ERROR), report=report)


def _user_on_parse(config: Config, found: RetrainAddress) -> str:
    """The user that a retraining address names (ChangeUserOnParse); empty: none."""
    match config.ChangeUserOnParse:
        case "on" | "user":
            return found.user
        case "full":
            return found.address
    return ""


def _released(message: Message, request: Request) -> Request:
    """A false positive released from a shared quarantine names its owner in X-DSPAM-User."""
    corrects = request.lesson is not None and request.lesson[:2] == (Label.INNOCENT, Source.ERROR)
    if not corrects or not request.trusted:
        return request
    owner = message.first("X-DSPAM-User")
    return (
        dataclasses.replace(request, users=(owner.strip().decode("utf-8", "surrogateescape"),))
        if owner
        else request
    )


def deliveries(config: Config, request: Request, recipients: Sequence[Recipient]) -> list[Delivery]:
    """One delivery for each recipient, or for each user where there are no recipients.

    The n-th recipient belongs to the n-th user; further recipients belong to the first
    user, which serves a fixed `--user` in ServerParameters.
    """
    named = [_named(config, request, user) for user in request.users]
    if not recipients:
        return [
            Delivery(user, recipient_of(given), request)
            for user, given in zip(named, request.users, strict=True)
        ]
    if not named:
        return [Delivery(user_of(config, each.text), each, request) for each in recipients]
    users = named + named[:1] * max(0, len(recipients) - len(named))
    return [Delivery(user, recipient, request) for user, recipient in zip(users, recipients, strict=False)]


def reports(config: Config, message: Message, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """The deliveries, those to a retraining address turned into corrections."""
    if not config.ParseToHeaders or config.RetrainAddress == "header":
        return list(deliveries)
    original = _original(config, message) if len(deliveries) == 1 else ""
    return [_report(config, delivery, original) for delivery in deliveries]


def _original(config: Config, message: Message) -> str:
    """The recipient before any alias, from the top header, which Postfix writes with `flags=O`."""
    value = message.first("X-Original-To") if config.RetrainAddress == "original" else None
    return (value or b"").strip(b"<>").decode("utf-8", "surrogateescape")


def _report(config: Config, delivery: Delivery, original: str) -> Delivery:
    found = _ours(config, of_recipient(delivery.recipient, original)) if delivery.request.trusted else None
    if found is None:
        return delivery
    user = without_detail(config, _user_on_parse(config, found)) or _behind_prefix(config, delivery, found)
    return Delivery(user, delivery.recipient, _reporting(config, delivery.request, found))


def _behind_prefix(config: Config, delivery: Delivery, found: RetrainAddress) -> str:
    """The user of a report if nothing else names one: that of the recipient without its prefix."""
    for name in (user_of, without_detail):
        if delivery.user == name(config, delivery.recipient.text):
            return name(config, found.address)
    return delivery.user


def addressed(config: Config, recipients: Sequence[Recipient]) -> list[Recipient]:
    """The recipients as we process and hand over their mail: in small letters with `Broken case`."""
    if not contains(config.Broken, "case"):
        return list(recipients)
    return [Recipient(recipient.address.lower(), recipient.parameters) for recipient in recipients]


def recipient_of(user: str) -> Recipient:
    """The recipient of mail for a user of whom only the name is known."""
    return Recipient(user.encode("utf-8", "surrogateescape"))


def user_of(config: Config, address: str) -> str:
    """The user that an address names (config.md 4.1 items 12 to 14 and 134)."""
    if contains(config.Broken, "case"):
        address = address.lower()
    user = without_detail(config, address)
    if config.StripRcptDomain:
        local, at, _ = user.rpartition("@")
        return local if at else user
    return user


def _named(config: Config, request: Request, name: str) -> str:
    """The user that `--user` names; untrusted callers can name only themselves, in full."""
    return without_detail(config, name) if request.trusted else name


def without_detail(config: Config, address: str) -> str:
    """The address without the detail after PlusedCharacter in its local part."""
    if not config.EnablePlusedDetail:
        return address
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = address, ""
    local = local.split(config.PlusedCharacter[:1], 1)[0] or local
    user = f"{local}{at}{domain}"
    return user.lower() if config.PlusedUserLowercase else user
