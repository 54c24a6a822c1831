"""Postfix's side: mail goes to dspamd, and comes back to a listener that does not send it there again."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import NamedTuple

from dspamd.app import endpoints
from dspamd.config.config import Config, contains
from dspamd.daemon.listen import Endpoint
from dspamd.delivery.connection import Target
from dspamd.delivery.dispatch import targets
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.postfix import Postfix, Service, in_use, looked_up, read
from dspamd.doctor.site import Site

LOCAL = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::")
_TRANSPORTS = (
    "virtual_transport",
    "mailbox_transport",
    "local_transport",
    "relay_transport",
    "default_transport",
)
_NEXT_HOP = re.compile(r"(?:inet:)?\[?([^\[\]]*?)\]?:(\w+)$")
_PROGRAM = re.compile(r"/dspamc?\b")
_RETRAINING = re.compile(r"^(?!!)(?!.*\(\?!).*(?<![a-z])(?:not)?spam(?![a-z])", re.IGNORECASE)
_ADDRESSES = ("transport_maps", "virtual_alias_maps", "virtual_mailbox_maps", "alias_maps")
_ONCE = "no_address_mappings"
_RELOAD = "postfix reload"
_CONNECT_S = 3.0
_LISTENER = (
    "content_filter=",
    "receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters",
    "smtpd_relay_restrictions=",
    "smtpd_recipient_restrictions=permit_mynetworks,reject",
    "mynetworks=127.0.0.0/8",
    "smtpd_authorized_xforward_hosts=127.0.0.0/8",
)


class Way(NamedTuple):
    """A setting that sends mail to us: the service that it is for (None: all), its name and value."""

    service: Service | None
    name: str
    value: str
    retrains: bool = False  # it is for the addresses of corrections alone


def mail_server(site: Site) -> Iterator[Diagnosis]:
    """What Postfix of this host is set to do; nothing if there is none."""
    if not in_use():
        yield fine("no Postfix is set up on this host")
        return
    postfix, ours, hops = read(), endpoints(site.config), targets(site.config)
    found = list(judged_postfix(postfix, site.config, ours, hops, list(filter(_silent, hops))))
    if site.config.ParseToHeaders:
        address = f"spam-{_user(site)}@{_domain(site.config, postfix)}"
        found += judged_address(address, _known(postfix, address))
    yield from found or [fine("Postfix sends mail to dspamd, and takes it back without sending it again")]


def judged_postfix(
    postfix: Postfix, config: Config, ours: list[Endpoint], hops: list[Target], silent: list[Target]
) -> Iterator[Diagnosis]:
    """The settings of Postfix against ours; nothing listens at the `silent` ones of the next hops."""
    settings = list(_settings(postfix))
    ways = [way for way in settings if leads_to(postfix, way.value, ours)]
    back = next((each for hop in hops for each in postfix.listeners() if listens_at(each, hop)), None)
    astray = [way for way in settings if way not in ways and _is_astray(postfix, way)]
    yield from (_astray(way, ours) for way in astray)
    asked = _PROGRAM.search(postfix.value("mailbox_command"))
    if not asked and all(way.retrains for way in (*ways, *astray)):
        yield _no_way(ours, sure=back is not None, corrections=bool(ways))
    for hop in silent if ways and _speaks_smtp(config) else ():
        if not any(listens_at(each, hop) for each in postfix.listeners()):
            yield _no_listener(hop)
    if back is not None:
        yield from _back(postfix, back, ours, config)
    for way in ways:
        yield from _on_the_way(postfix, way, back, config)


def _settings(postfix: Postfix) -> Iterator[Way]:
    """The settings that say where mail goes, to us or elsewhere."""
    for service in (*postfix.listeners(), None):
        if service is None or "content_filter" in service.own:  # others inherit it
            yield Way(service, "content_filter", postfix.value("content_filter", service))
    for name in _TRANSPORTS:
        yield Way(None, name, postfix.value(name))
    for addresses, value in postfix.routes:
        yield Way(None, "transport_maps", value, _RETRAINING.search(addresses) is not None)


def leads_to(postfix: Postfix, value: str, ours: list[Endpoint]) -> bool:
    """Whether a transport with its next hop is one of our addresses, or calls dspam itself."""
    if not value:
        return False
    transport = postfix.transport(value)
    if transport and transport.program == "pipe" and _PROGRAM.search(transport.command):
        return True
    hops = map(str.strip, value.partition(":")[2].split(","))
    return any(_is_ours(postfix, hop, ours) for hop in hops)


def _is_ours(postfix: Postfix, hop: str, ours: list[Endpoint]) -> bool:
    if hop.startswith("unix:"):
        return bool(_paths(postfix, hop.removeprefix("unix:")) & {endpoint.path for endpoint in ours})
    place = _NEXT_HOP.match(hop)
    return place is not None and any(_same(place[1], place[2], endpoint) for endpoint in ours)


def _is_astray(postfix: Postfix, way: Way) -> bool:
    """Whether a setting is meant for us, by the name of its transport, and leads elsewhere on this host."""
    name, _, hop = way.value.partition(":")
    transport = postfix.transport(way.value)
    if not name.startswith("dspam") or transport is None or transport.program not in ("lmtp", "smtp"):
        return False
    place = _NEXT_HOP.match(hop)
    return place[1] in LOCAL if place else hop.startswith("unix:")


def _astray(way: Way, ours: list[Endpoint]) -> Diagnosis:
    where = f"{way.name} of {way.service.name}" if way.service else way.name
    listens = " and ".join(map(_next_hop, ours))
    name = way.value.partition(":")[0]
    what = f"{where} of Postfix is {way.value}, but dspamd listens at {listens}"
    why = "users cannot correct a verdict by mail" if way.retrains else "all mail waits in the queue"
    return problem(what, why, f"set it to {name}:{_next_hop(ours[0])}, then {_RELOAD}")


def _next_hop(place: Endpoint) -> str:
    """An endpoint of ours, as Postfix names it."""
    return f"unix:{place.path}" if place.path else f"[{place.host or '127.0.0.1'}]:{place.port}"


def _paths(postfix: Postfix, path: str) -> set[str]:
    """What the path of a socket may be: a client of Postfix works in its queue, and may be shut in there."""
    return {path, f"{postfix.value('queue_directory')}/{path.removeprefix('/')}"}


def _same(host: str, port: str, endpoint: Endpoint) -> bool:
    if endpoint.path or port != str(endpoint.port):
        return False
    return not endpoint.host or host == endpoint.host or (host in LOCAL and endpoint.host in LOCAL)


def listens_at(service: Service, hop: Target) -> bool:
    """Whether a listener is this next hop."""
    return _is_local(hop) and service.port == str(hop.port)


def _is_local(hop: Target) -> bool:
    return hop.host in LOCAL or hop.host.startswith("127.")


def _speaks_smtp(config: Config) -> bool:
    return config.DeliveryProto.upper() == "SMTP"


def _silent(hop: Target) -> bool:
    """Whether nothing on this host listens at a next hop that is to be here."""
    if not _is_local(hop):
        return False
    try:
        socket.create_connection(hop, timeout=_CONNECT_S).close()
    except OSError:
        return True
    return False


def _no_listener(hop: Target) -> Diagnosis:
    name = f"{hop.host}:{hop.port}"
    settings = " ".join(f"'{name}/inet/{setting}'" for setting in _LISTENER)
    cure = f"postconf -M {name}/inet='{name} inet n - n - - smtpd'\npostconf -P {settings}\n{_RELOAD}"
    what = f"no service of Postfix listens at {name}, where dspamd hands filtered mail over"
    return problem(what, "all mail waits in the queue", cure)


def _no_way(ours: list[Endpoint], *, sure: bool, corrections: bool) -> Diagnosis:
    hop = _next_hop(ours[0])
    cure = (
        "postconf -M dspam/unix='dspam unix - - n - 20 lmtp'\n"
        "postconf -P dspam/unix/lmtp_send_xforward_command=yes "
        "dspam/unix/disable_mime_output_conversion=yes\n"
        f"postconf -P smtp/inet/content_filter='dspam:{hop}' "
        f"smtp/inet/receive_override_options={_ONCE}\n{_RELOAD}"
    )
    what = f"Postfix of this host sends no mail to dspamd{' but corrections' * corrections}"
    return (problem if sure else advice)(what, "no mail is filtered, unless another host sends it", cure)


def _back(postfix: Postfix, back: Service, ours: list[Endpoint], config: Config) -> Iterator[Diagnosis]:
    """The listener that takes filtered mail."""
    value = postfix.value("content_filter", back)
    if leads_to(postfix, value, ours):
        why = "mail loops between Postfix and dspamd, until Postfix gives it up and returns it"
        what = f"the listener {back.name}, our next hop, sends its mail to dspamd again ({value})"
        yield problem(what, why, f"postconf -P {back.key}/content_filter= && {_RELOAD}")
    limit = postfix.processes(back)
    if limit is not None and limit < config.DeliveryConnections:
        wanted = config.DeliveryConnections
        what = f"the listener {back.name} serves {limit} connections, DeliveryConnections is {wanted}"
        why = "under load messages wait for a connection that Postfix does not take"
        yield advice(
            what, why, f"set DeliveryConnections {limit} in {config.file}, or raise its limit in master.cf"
        )


def _on_the_way(postfix: Postfix, way: Way, back: Service | None, config: Config) -> Iterator[Diagnosis]:
    """The transport that brings mail to us, and what is done before."""
    transport = postfix.transport(way.value)
    name = way.value.partition(":")[0]
    if transport is None:
        why = "all mail waits in the queue"
        cure = f"postconf -M {name}/unix='{name} unix - - n - 20 lmtp' && {_RELOAD}"
        yield problem(f"{way.name} names the transport {name}, which master.cf lacks", why, cure)
        return
    if transport.program == "lmtp":
        yield from _transport(postfix, transport, config)
    if way.name == "content_filter" and back is not None:
        front = way.service or _heir(postfix, back)
        if front is not None and front is not back:
            yield from _mapped(postfix, front, back)


def _heir(postfix: Postfix, back: Service) -> Service | None:
    """A listener for which the content_filter of main.cf counts."""
    heirs = (each for each in postfix.listeners() if "content_filter" not in each.own)
    return next((each for each in heirs if each is not back), None)


def _transport(postfix: Postfix, transport: Service, config: Config) -> Iterator[Diagnosis]:
    ours, theirs = config.ServerMaxMessageSize, int(postfix.value("message_size_limit") or 0)
    if ours and (not theirs or theirs > ours):
        size = theirs or "any number of"
        what = f"Postfix takes messages of {size} bytes, dspamd of {ours} (ServerMaxMessageSize)"
        why = "mail between these sizes is accepted, and then returned to its sender"
        yield problem(what, why, f"postconf message_size_limit={ours} && {_RELOAD}")
    if postfix.value("lmtp_send_xforward_command", transport) != "yes":
        why = "dspamd does not learn which clients are your own, and the log has no queue id of Postfix"
        if config.ParseToHeaders and contains(config.RetrainFrom, "local"):
            why += ": corrections by mail count for the sender alone (RetrainFrom local)"
        cure = f"postconf -P {transport.key}/lmtp_send_xforward_command=yes && {_RELOAD}"
        yield advice(f"the transport {transport.name} does not send XFORWARD", why, cure)
    sessions = postfix.processes(transport)
    if sessions is None or sessions > config.ServerMaxConnections:
        what = (
            f"the transport {transport.name} may open {sessions or 'any number of'} sessions, "
            f"ServerMaxConnections is {config.ServerMaxConnections}"
        )
        why = "dspamd refuses the others for the moment, and their mail comes late"
        cure = f"set ServerMaxConnections higher in {config.file}, or a limit of processes in master.cf"
        yield advice(what, why, cure)


def _mapped(postfix: Postfix, front: Service, back: Service) -> Iterator[Diagnosis]:
    """Aliases must be expanded once: before dspamd, or after it."""
    option = "receive_override_options"
    before, after = (_ONCE not in postfix.value(option, each) for each in (front, back))
    if before and after:
        why = "who is in an alias and in what it leads to gets mail twice, and always_bcc copies it twice"
        cure = f"postconf -P {front.key}/{option}={_ONCE} && {_RELOAD}"
        yield advice("Postfix expands aliases before dspamd and again after it", why, cure)
    if not before and not after:
        cure = f"remove {_ONCE} from {option} of {back.name} in master.cf; {_RELOAD}"
        yield problem("Postfix never expands aliases", "mail for an alias is refused", cure)


def judged_address(address: str, known: bool) -> Iterator[Diagnosis]:
    """Whether Postfix knows an address for corrections."""
    if not known:
        why = "users cannot correct a verdict by mail, though ParseToHeaders is on"
        cure = (
            "add to main.cf the lines of etc/postfix/main.cf that begin with virtual_mailbox_maps and "
            f"transport_maps, with your domain; then {_RELOAD}"
        )
        yield advice(f"no table of Postfix has an address such as {address}", why, cure)


def _known(postfix: Postfix, address: str) -> bool:
    """Whether a table has the address; a table of aliases, its local part."""
    local = address.partition("@")[0]
    return any(
        looked_up(local if name == "alias_maps" else address, postfix.value(name)) is not None
        for name in _ADDRESSES
    )


def _user(site: Site) -> str:
    """The local part of some user, or of nobody."""
    users = site.home.owners("log", "sdb", "css") or ["somebody"]
    return users[0].partition("@")[0]


def _domain(config: Config, postfix: Postfix) -> str:
    """A domain of the site."""
    named = [*config.RetrainDomain]
    for name in ("virtual_mailbox_domains", "virtual_alias_domains", "mydestination"):
        named += [
            word for word in re.split(r"[,\s]+", postfix.value(name)) if re.fullmatch(r"[\w.-]+\.\w+", word)
        ]
    return next(iter(named), postfix.value("mydomain"))
