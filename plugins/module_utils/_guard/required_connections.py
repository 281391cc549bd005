# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of a host as a task gives them to the guard: its interfaces, and which connections it needs."""

from __future__ import annotations

import functools
import socket
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._core.errors import InvalidInput, brief, shown
from .._core.ip import Address, is_link_local, is_loopback, parse_address
from .._core.protocols import TCP, WITH_PORTS, parse_protocol
from .._dataplane.resolution import LOOPBACK, Interface, parse_interfaces, without_length
from .._policies._felix.failsafes import parse_failsafes
from .._policies.connection import IN, LOCAL, OUT, Connection, new_packet
from .._policies.model import DATAPLANES
from .guard import HostFacts

SSH_PORT = 22
_FACTS = ("interfaces", "default_interface", "ssh", "require", "reached_at", "failsafes", "dataplane")
_SSH = ("peer", "address", "port")
_REQUIRED = ("direction", "protocol", "port", "peer")
_RULES = {IN: "G03", OUT: "G04"}


class _Needed:
    """One connection that a host needs."""

    def __init__(self, given: Mapping[str, Any], where: str) -> None:
        """Raises InvalidInput."""
        _check_keys(given, _REQUIRED, where)
        direction = given.get("direction")
        if not isinstance(direction, str) or direction not in _RULES:
            raise InvalidInput(["{0}.direction: {1} is neither in nor out".format(where, shown(direction))])
        self.direction = direction
        try:
            self.protocol = parse_protocol(given.get("protocol"))
        except ValueError as exc:
            raise InvalidInput(["{0}.protocol: {1} {2}".format(where, shown(given.get("protocol")), exc)]) from exc
        self.port = _port(given.get("port"), where) if given.get("port") is not None else None
        if (self.port is None) == (self.protocol in WITH_PORTS):
            problem = (
                "port is missing, which {0} has" if self.port is None else "port is given, which {0} does not have"
            )
            raise InvalidInput(["{0}: {1}".format(where, problem.format(given.get("protocol")))])
        self.peer = given.get("peer") or ""
        if not isinstance(self.peer, str):
            raise InvalidInput(["{0}.peer: {1} is no address and no name".format(where, shown(self.peer))])


def check_required(given: Optional[Sequence[Mapping[str, Any]]]) -> None:
    """Raise InvalidInput for what is no connection in the option guard_require."""
    for index, each in enumerate(given or ()):
        _Needed(each, "guard_require[{0}]".format(index))


def parse_host_facts(node: str, given: Any, required_of_all: Optional[Sequence[Mapping[str, Any]]]) -> HostFacts:
    """The facts of a node, and what every node needs besides. Raises InvalidInput."""
    where = "guard_facts[{0}]".format(brief(node))
    _check_keys(given, _FACTS, where)
    addresses, default = given.get("interfaces"), given.get("default_interface") or ""
    interfaces = parse_interfaces(addresses, where + ".interfaces")
    if not isinstance(default, str):
        raise InvalidInput(["{0}.default_interface: {1} is not the name of an interface".format(where, shown(default))])
    host = _RoutingTable(interfaces, default)
    required: List[Connection] = []
    possible: List[Connection] = []
    doubts: List[Tuple[str, str]] = []
    through, port = "", SSH_PORT
    if given.get("ssh") is not None:
        ssh = _check_keys(given["ssh"], _SSH, where + ".ssh")
        port = _port(ssh.get("port") or SSH_PORT, where + ".ssh")
        ends = {option: _end(ssh.get(option) or "", where + ".ssh." + option, doubts) for option in ("peer", "address")}
        sure, maybe = host.ssh(ends["peer"], ends["address"], port)
        required += sure
        possible += maybe
        if sure and not maybe:
            through = sure[0].in_interface
        if not sure and not maybe:
            doubts.append(
                ("G03", "nobody knows which interface Ansible's connection to tcp port {0} uses".format(port))
            )
    needed = [_Needed(each, "{0}.require[{1}]".format(where, index)) for index, each in _numbered(given, where)]
    needed += [_Needed(each, "guard_require[{0}]".format(index)) for index, each in enumerate(required_of_all or ())]
    for each in needed:
        try:
            sure, maybe = host.connections(each)
        except _NotKnown as exc:
            doubts.append((_RULES[each.direction], str(exc)))
        else:
            required += sure
            possible += maybe
    failsafes = parse_failsafes(given.get("failsafes"), where + ".failsafes")
    dataplane = parse_dataplane(given.get("dataplane"), where + ".dataplane")
    return HostFacts(addresses, tuple(required), through, port, tuple(doubts), tuple(possible), failsafes, dataplane)


def _end(text: Any, where: str, doubts: List[Tuple[str, str]]) -> List[_Peer]:
    """An end of Ansible's connection. That it is not known is a doubt. Raises InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput(["{0}: {1} is no address and no name".format(where, shown(text))])
    try:
        return _resolved(text.partition("/")[0]) if text else []
    except _NotKnown as exc:
        doubts.append(("G03", str(exc)))
        return []


def _numbered(given: Mapping[str, Any], where: str) -> Iterator[Tuple[int, Any]]:
    required = given.get("require") or []
    if not isinstance(required, list):
        raise InvalidInput(["{0}.require: {1} is no list".format(where, shown(required))])
    return enumerate(required)


def parse_dataplane(given: Any, where: str) -> str:
    """The dataplane of a host's Felix; "" when it is not given. Raises InvalidInput."""
    if given in (None, ""):
        return ""
    if not isinstance(given, str) or given not in DATAPLANES:
        raise InvalidInput(["{0}: {1} is not {2}".format(where, shown(given), " or ".join(DATAPLANES))])
    return given


class _NotKnown(Exception):
    """It cannot be told which way a connection goes."""


class _Peer(NamedTuple):
    """The other end of a connection."""

    version: int
    # None when nobody knows it.
    number: Optional[int]
    # Of a link-local address: the interface.
    zone: str = ""

    @property
    def address(self) -> Optional[Address]:
        return None if self.number is None else (self.version, self.number)


# An interface, and the host's own address there.
_Way = Tuple[Interface, Address]
# What surely is so, and what may be so.
_Connections = Tuple[List[Connection], List[Connection]]


class _RoutingTable:
    """Which of its interfaces a connection uses, as far as the networks and the default route tell."""

    def __init__(self, interfaces: Dict[str, Interface], default: str) -> None:
        self._interfaces = [each for each in interfaces.values() if each.name != LOOPBACK]
        self._default = default
        self._own = {address for each in interfaces.values() for address in each.addresses}
        # All of its addresses that others than neighbours reach.
        self._global = [
            (each, own)
            for each in self._interfaces
            for own in each.addresses
            if not (is_loopback(own) or own[0] == 6 and is_link_local(own))
        ]

    def ssh(self, peers: Sequence[_Peer], addresses: Sequence[_Peer], port: int) -> _Connections:
        """Ansible's connection; none when it is not known which interface it comes through."""
        sure, maybe = self._ways_of_ssh(peers, addresses)

        def connection(way: _Way) -> Connection:
            interface, own = way
            number = next((each.number for each in peers if each.version == own[0]), None)
            # An address that is not on the interface may be on the loopback.
            here = [each[:2] for each in addresses if each[:2] in self._own and each.version == own[0]]
            return Connection(IN, new_packet(own[0], TCP, number, (here or [own])[0][1], port), interface.name)

        return [connection(way) for way in sure], [connection(way) for way in maybe]

    def _ways_of_ssh(self, peers: Sequence[_Peer], addresses: Sequence[_Peer]) -> Tuple[List[_Way], List[_Way]]:
        ways = [
            ((each, own.address), own.zone)
            for own in addresses
            for each in self._interfaces
            if own.address in each.addresses
        ]
        if ways:
            # Interfaces may have the same link-local address.
            named = [way for way, zone in ways if zone == way[0].name]
            found = named or [way for way, _zone in ways]
            if len(found) > 1 and found[0][1] == found[1][1]:
                return [], found
            return found[:1], self._other_ways(found[0], peers)
        # The address may be translated on its way.
        local = [each for each in addresses if is_link_local(each)]
        versions = dict.fromkeys([*[each.version for each in addresses], 4, 6])
        for peer in [*local, *peers] or [_Peer(version, None) for version in versions]:
            sure, maybe = self._ways(peer)
            if sure or maybe:
                return sure, maybe
        return [], []

    def _other_ways(self, way: _Way, peers: Sequence[_Peer]) -> List[_Way]:
        """By which interfaces a connection to an own address may come in, but the one that has it."""
        interface, own = way
        if is_link_local(own):
            return []
        numbers = [each.number for each in peers if each.version == own[0] and each.number is not None]
        behind = [
            each
            for each in self._interfaces
            if any(net[0] == own[0] and net[1] <= number <= net[2] for net in each.nets for number in numbers)
        ]
        maybe = behind if interface not in behind else []
        maybe = maybe or [each for each in self._interfaces if without_length(each, own[0]) and each not in behind]
        return [(each, own) for each in maybe if each is not interface]

    def connections(self, needed: _Needed) -> _Connections:
        """Those of one that is needed; none when the host has no address of the peer's version of IP.

        Raises _NotKnown.
        """
        required: List[Connection] = []
        possible: List[Connection] = []
        for peer in _resolved(needed.peer) if needed.peer else [_Peer(4, None), _Peer(6, None)]:
            sure, maybe = self._connections(needed, peer)
            required += sure
            possible += maybe
        return required, possible

    def _connections(self, needed: _Needed, peer: _Peer) -> _Connections:
        version, number = peer[:2]
        if needed.direction == OUT and number is not None and (is_loopback(peer) or (version, number) in self._own):
            packet = new_packet(version, needed.protocol, number, number, needed.port)
            return [Connection(LOCAL, packet, LOOPBACK, LOOPBACK)], []
        sure, maybe = self._ways(peer)
        if not sure and not maybe:
            if is_link_local(peer) or not any(own[0] == version for _each, own in self._global):
                return [], []
            text = "nobody knows which interface a connection {0} of IPv{1} uses that is needed: give default_interface"
            raise _NotKnown(text.format(needed.direction, version))

        def connection(way: _Way) -> Connection:
            interface, own = way
            if needed.direction == IN:
                packet = new_packet(version, needed.protocol, number, own[1], needed.port)
                return Connection(IN, packet, interface.name)
            packet = new_packet(version, needed.protocol, own[1], number, needed.port)
            return Connection(OUT, packet, "", interface.name)

        return [connection(way) for way in sure], [connection(way) for way in maybe]

    def _ways(self, peer: _Peer) -> Tuple[List[_Way], List[_Way]]:
        """The interface to a peer and the host's own address there, and the interfaces that it may be besides.

        It is the one behind whose networks the peer is, else that of the default route. From anywhere, a connection
        may come through any.
        """
        if is_link_local(peer):
            ways = self._on_link()
            named = [way for way in ways if way[0].name == peer.zone] or (ways if len(ways) == 1 else [])
            return (named, []) if named else ([], ways)
        ways = [way for way in self._global if way[1][0] == peer.version]
        if peer.number is not None:
            for interface, own in ways:
                for net in interface.nets:
                    if net[0] == peer.version and net[1] <= peer.number <= net[2] and net[1] <= own[1] <= net[2]:
                        return [(interface, own)], []
        first = {interface.name: (interface, own) for interface, own in reversed(ways)}
        sure = first.pop(self._default, None) or (first.popitem()[1] if len(first) == 1 else None)
        if sure is None:
            return [], []
        maybe = [first[name] for name in sorted(first)]
        if peer.number is not None:
            # It may be in a network that is not known.
            maybe = [way for way in maybe if without_length(way[0], peer.version)]
        return [sure], maybe

    def _on_link(self) -> List[_Way]:
        """The interfaces with IPv6, each with one address, best its link-local one."""
        found = []
        for each in self._interfaces:
            own = [address for address in each.addresses if address[0] == 6]
            local = [address for address in own if is_link_local(address)]
            found += [(each, address) for address in (local or own)[:1]]
        return found


def _resolved(peer: str) -> List[_Peer]:
    """The addresses of a peer that is given by address or by name. Raises _NotKnown."""
    found, problem = _looked_up(peer)
    if problem:
        raise _NotKnown("the address of {0}, which is needed, is not known: {1}".format(shown(peer), problem))
    return found


# Characters of a host's name in DNS.
_LONGEST_NAME = 253


@functools.lru_cache(maxsize=None)
def _looked_up(peer: str) -> Tuple[List[_Peer], str]:
    """The addresses, or why they are not known."""
    if len(peer) > _LONGEST_NAME or not peer.isprintable():
        # The system would cut it at a NUL, and Python takes long for a long one.
        return [], "it is not a host name"
    address, _percent, zone = peer.partition("%")
    try:
        return [_Peer(*parse_address(address), zone)], ""
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(peer, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return [], str(exc)
    texts = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
    return [_Peer(*parse_address(text)) for text in texts], ""


def _port(value: Any, where: str) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError, OverflowError):
        port = -1
    if not 0 < port <= 65535:
        raise InvalidInput(["{0}.port: {1} is not a port: a number from 1 to 65535".format(where, shown(value))])
    return port


def _check_keys(given: Any, known: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(["{0}: {1} is no mapping".format(where, shown(given))])
    unknown = [brief(key) for key in given if key not in known]
    if unknown:
        raise InvalidInput(["{0}: {1} is none of {2}".format(where, ", ".join(unknown), ", ".join(known))])
    return given
