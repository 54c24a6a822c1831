"""The next hop: whether it takes mail, what it offers, and whether it is not ourselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dspamd.delivery.connection import Refused, Target
from dspamd.delivery.dispatch import reach, targets
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.greeting import heard, reason, version
from dspamd.doctor.site import Site

_CONNECT_S = 6.0
_LISTENER = (
    "with Postfix it is the second listener of master.cf, without content_filter (docs/postfix.md),\n"
    "and DeliveryHost and DeliveryPort are its address"
)


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop as it answers: by its first line, and then by its offers, or by a refusal."""

    target: Target
    greeting: str = ""
    offers: Mapping[str, str] | None = None
    trouble: str = ""  # why there are no offers
    lmtp: bool = False


async def next_hop(site: Site, connect_s: float = _CONNECT_S) -> list[Diagnosis]:
    """Each host that the configuration names; `connect_s` is for each of two connections."""
    hops = await asyncio.gather(*(_asked(site, target, connect_s) for target in targets(site.config)))
    return [diagnosis for hop in hops for diagnosis in judged_hop(hop)]


async def _asked(site: Site, target: Target, connect_s: float) -> Hop:
    lmtp = site.config.DeliveryProto.upper() == "LMTP"
    try:
        async with asyncio.timeout(connect_s):
            greeting = await heard(*target)
    except TimeoutError:
        return Hop(target, trouble=f"it says nothing within {connect_s:g} s")
    if isinstance(greeting, OSError):
        return Hop(target, trouble=reason(greeting))
    try:
        connection = await reach(site.config, target, connect_s)
    except Refused as refusal:
        return Hop(target, greeting, trouble=f"it refuses to talk to us: {refusal.reply.message}")
    except (OSError, UnicodeError) as error:
        return Hop(target, greeting, trouble=str(error))
    connection.close()
    return Hop(target, greeting, connection.offers, lmtp=lmtp)


def judged_hop(hop: Hop) -> Iterator[Diagnosis]:
    """Whether it is one that takes all mail."""
    place = f"the next hop {hop.target}"
    if version(hop.greeting):
        why = "mail loops between dspamd and itself, until the mail server gives it up and returns it"
        yield problem(f"{place} is a dspamd, probably this one", why, f"name another next hop;\n{_LISTENER}")
    elif hop.offers is None:
        why = "all mail waits in the queue of the mail server until it takes mail"
        cure = f"start it; for Postfix: postfix status; postfix reload;\n{_LISTENER}"
        yield problem(f"{place} does not take mail: {hop.trouble}", why, cure)
    else:
        lacks = list(_lacking(place, hop, hop.offers))
        yield from lacks or [fine(f"{place} takes mail, and offers what we need")]


def _lacking(place: str, hop: Hop, offers: Mapping[str, str]) -> Iterator[Diagnosis]:
    if "8bitmime" not in offers:
        why = "8-bit text, such as umlauts, goes there all the same and may arrive damaged; signatures break"
        yield advice(f"{place} does not offer 8BITMIME", why, "for Postfix: smtpd_discard_ehlo_keywords =")
    if "smtputf8" not in offers:
        why = "mail from or to addresses that are not ASCII is returned to its sender"
        yield advice(f"{place} does not offer SMTPUTF8", why, "for Postfix: smtputf8_enable = yes")
    if "xforward" not in offers and not hop.lmtp:
        why = "its log names dspamd as the client of all mail, not the host that sent it"
        cure = "for Postfix, in its second listener: -o smtpd_authorized_xforward_hosts=127.0.0.0/8"
        yield advice(f"{place} does not offer us XFORWARD", why, cure)
