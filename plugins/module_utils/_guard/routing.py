# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of its interfaces a host uses for a connection."""

from __future__ import annotations

import functools
import socket
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .._core.errors import shown
from .._core.ip import Address, is_link_local, is_loopback, parse_address
from .._core.protocols import TCP
from .._dataplane.resolution import LOOPBACK, Interface, without_length
from .._policies.connection import IN, LOCAL, OUT, Connection, new_packet


class RequiredConnection(NamedTuple):
    """A connection that a host requires."""

    # IN or OUT.
    direction: str
    protocol: int
    # None for a protocol without ports.
    port: Optional[int]
    # Address or name of the other end; "" for any.
    peer: str


class UnknownPath(Exception):
    """The path of a connection cannot be determined."""


class Peer(NamedTuple):
    """The other end of a connection."""

    version: int
    # None when it is unknown.
    number: Optional[int]
    # The interface of a link-local address.
    zone: str = ""

    @property
    def address(self) -> Optional[Address]:
        return None if self.number is None else (self.version, self.number)


# An interface, and the host's own address there.
Way = Tuple[Interface, Address]
# Certain connections, and possible ones.
_Connections = Tuple[List[Connection], List[Connection]]


class RoutingTable:
    """Which of a host's interfaces a connection uses, by the networks of the interfaces and the default route."""

    def __init__(self, interfaces: Dict[str, Interface], default: str) -> None:
        self._interfaces = [each for each in interfaces.values() if each.name != LOOPBACK]
        self._default = default
        self._own = {address for each in interfaces.values() for address in each.addresses}
        # All addresses that are reachable beyond the link.
        self._global = [
            (each, own)
            for each in self._interfaces
            for own in each.addresses
            if not (is_loopback(own) or own[0] == 6 and is_link_local(own))
        ]

    def ssh(self, peers: Sequence[Peer], addresses: Sequence[Peer], port: int) -> _Connections:
        """Ansible's connection; none when its interface is unknown."""
        sure, maybe = self._find_ssh_ways(peers, addresses)

        def connection(way: Way) -> Connection:
            interface, own = way
            number = next((each.number for each in peers if each.version == own[0]), None)
            # An address that is not on the interface may be on the loopback.
            here = [each[:2] for each in addresses if each[:2] in self._own and each.version == own[0]]
            return Connection(IN, new_packet(own[0], TCP, number, (here or [own])[0][1], port), interface.name)

        return [connection(way) for way in sure], [connection(way) for way in maybe]

    def _find_ssh_ways(self, peers: Sequence[Peer], addresses: Sequence[Peer]) -> Tuple[List[Way], List[Way]]:
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
        # The address may be translated on the path.
        local = [each for each in addresses if is_link_local(each)]
        versions = dict.fromkeys([*[each.version for each in addresses], 4, 6])
        for peer in [*local, *peers] or [Peer(version, None) for version in versions]:
            sure, maybe = self.find_ways(peer)
            if sure or maybe:
                return sure, maybe
        return [], []

    def _other_ways(self, way: Way, peers: Sequence[Peer]) -> List[Way]:
        """Interfaces other than the one with the address that a connection to an own address may come through."""
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

    def connections(self, needed: RequiredConnection) -> _Connections:
        """The connections of a required one; none when the host has no address of the peer's version of IP.

        Raises UnknownPath.
        """
        required: List[Connection] = []
        possible: List[Connection] = []
        for peer in resolve_peer(needed.peer) if needed.peer else [Peer(4, None), Peer(6, None)]:
            sure, maybe = self._connections(needed, peer)
            required += sure
            possible += maybe
        return required, possible

    def _connections(self, needed: RequiredConnection, peer: Peer) -> _Connections:
        version, number = peer[:2]
        if needed.direction == OUT and number is not None and (is_loopback(peer) or (version, number) in self._own):
            packet = new_packet(version, needed.protocol, number, number, needed.port)
            return [Connection(LOCAL, packet, LOOPBACK, LOOPBACK)], []
        sure, maybe = self.find_ways(peer)
        if not sure and not maybe:
            if is_link_local(peer) or not any(own[0] == version for _each, own in self._global):
                return [], []
            text = "cannot determine the interface of a required {0} IPv{1} connection; set default_interface"
            raise UnknownPath(text.format({IN: "inbound", OUT: "outbound"}[needed.direction], version))

        def connection(way: Way) -> Connection:
            interface, own = way
            if needed.direction == IN:
                packet = new_packet(version, needed.protocol, number, own[1], needed.port)
                return Connection(IN, packet, interface.name)
            packet = new_packet(version, needed.protocol, own[1], number, needed.port)
            return Connection(OUT, packet, "", interface.name)

        return [connection(way) for way in sure], [connection(way) for way in maybe]

    def find_ways(self, peer: Peer) -> Tuple[List[Way], List[Way]]:
        """The interface to a peer and the host's own address there, and other possible interfaces.

        The interface is the one whose networks contain the peer, else that of the default route. A connection from an
        unknown peer may come through any interface.
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
            # The peer may be in an unknown network.
            maybe = [way for way in maybe if without_length(way[0], peer.version)]
        return [sure], maybe

    def _on_link(self) -> List[Way]:
        """The interfaces with IPv6, each with one address, preferably link-local."""
        found = []
        for each in self._interfaces:
            own = [address for address in each.addresses if address[0] == 6]
            local = [address for address in own if is_link_local(address)]
            found += [(each, address) for address in (local or own)[:1]]
        return found


def resolve_peer(peer: str) -> List[Peer]:
    """The addresses of a peer given by address or name. Raises UnknownPath."""
    found, problem = _looked_up(peer)
    if problem:
        raise UnknownPath("cannot resolve {0}, an end of a required connection: {1}".format(shown(peer), problem))
    return found


# Maximum number of characters of a host name in DNS.
_LONGEST_NAME = 253


@functools.lru_cache(maxsize=None)
def _looked_up(peer: str) -> Tuple[List[Peer], str]:
    """The addresses, and why they are unknown."""
    if len(peer) > _LONGEST_NAME or not peer.isprintable():
        # The system would cut it at a NUL, and a long name takes Python long.
        return [], "it is not a host name"
    address, _percent, zone = peer.partition("%")
    try:
        return [Peer(*parse_address(address), zone)], ""
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(peer, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return [], str(exc)
    texts = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
    return [Peer(*parse_address(text)) for text in texts], ""
