# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of a host as a task gives them to the guard: its interfaces, and which connections it needs."""

from __future__ import annotations

import functools
import socket
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ._errors import InvalidInput, shown
from ._governing import LOOPBACK, Interface, interfaces_from
from ._guard import Facts
from ._traffic import IN, LOCAL, OUT, TCP, WITH_PORTS, Address, Connection, address_of, new_packet, protocol_of

SSH_PORT = 22
_FACTS = ("interfaces", "default_interface", "ssh", "require", "reached_at")
_SSH = ("peer", "address", "port")
_REQUIRED = ("direction", "protocol", "port", "peer")
_RULES = {IN: "G03", OUT: "G04"}


class _Needed:
    """One connection that a host needs."""

    def __init__(self, given: Mapping[str, Any], where: str) -> None:
        """Raises InvalidInput."""
        _check_keys(given, _REQUIRED, where)
        self.direction = given.get("direction")
        if self.direction not in _RULES:
            raise InvalidInput(["{0}.direction: {1} is neither in nor out".format(where, shown(self.direction))])
        try:
            self.protocol = protocol_of(given.get("protocol"))
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


def facts_of(node: str, given: Any, required: Optional[Sequence[Mapping[str, Any]]]) -> Facts:
    """The facts of a node, and what every node needs besides. Raises InvalidInput."""
    where = "guard_facts[{0}]".format(node)
    _check_keys(given, _FACTS, where)
    addresses = given.get("interfaces")
    if not isinstance(addresses, Mapping) or not all(isinstance(each, list) for each in addresses.values()):
        raise InvalidInput(["{0}.interfaces: {1} is no mapping of lists of addresses".format(where, shown(addresses))])
    interfaces = interfaces_from(addresses)
    host = _Host(interfaces, given.get("default_interface") or "")
    connections: List[Connection] = []
    doubts: List[Tuple[str, str]] = []
    through, port = "", SSH_PORT
    if given.get("ssh") is not None:
        ssh = _check_keys(given["ssh"], _SSH, where + ".ssh")
        port = _port(ssh.get("port") or SSH_PORT, where + ".ssh")
        connection = host.ssh(ssh.get("peer") or "", ssh.get("address") or "", port)
        if connection:
            connections.append(connection)
            through = connection.in_interface
        else:
            doubts.append(
                ("G03", "nobody knows which interface Ansible's connection to tcp port {0} uses".format(port))
            )
    needed = [_Needed(each, "{0}.require[{1}]".format(where, index)) for index, each in _numbered(given, where)]
    needed += [_Needed(each, "guard_require[{0}]".format(index)) for index, each in enumerate(required or ())]
    for each in needed:
        try:
            connections += host.connections(each)
        except _NotKnown as exc:
            doubts.append((_RULES[each.direction], str(exc)))
    return Facts(addresses, tuple(connections), through, port, tuple(doubts))


def _numbered(given: Mapping[str, Any], where: str) -> Iterator[Tuple[int, Any]]:
    required = given.get("require") or []
    if not isinstance(required, list):
        raise InvalidInput(["{0}.require: {1} is no list".format(where, shown(required))])
    return enumerate(required)


class _NotKnown(Exception):
    """It cannot be told which way a connection goes."""


class _Host:
    """Which of its interfaces a connection uses, as far as the networks and the default route tell."""

    def __init__(self, interfaces: Dict[str, Interface], default: str) -> None:
        self._interfaces = interfaces
        self._default = default
        self._own = {address: each for each in interfaces.values() for address in each.addresses}

    def ssh(self, peer: str, address: str, port: int) -> Optional[Connection]:
        """Ansible's connection; None when it is not known which interface it comes through."""
        own = _address(address)
        source = _address(peer)
        if own not in self._own:
            # The address may be translated on its way.
            way = self._way(source or (4, None)) or (None if source else self._way((6, None)))
            if way is None:
                return None
            interface, own = way
        else:
            interface = self._own[own]
        version = own[0]
        number = source[1] if source and source[0] == version else None
        return Connection(IN, new_packet(version, TCP, number, own[1], port), interface.name)

    def connections(self, needed: _Needed) -> List[Connection]:
        """Those of one that is needed; none when the host has no address of the peer's version of IP."""
        peers = _resolved(needed.peer) if needed.peer else [(4, None), (6, None)]
        return [found for found in (self._connection(needed, peer) for peer in peers) if found]

    def _connection(self, needed: _Needed, peer: Tuple[int, Optional[int]]) -> Optional[Connection]:
        version, number = peer
        if needed.direction == OUT and number is not None and self._is_own(peer):
            packet = new_packet(version, needed.protocol, number, number, needed.port)
            return Connection(LOCAL, packet, LOOPBACK, LOOPBACK)
        if not any(each[0] == version and not _is_local(each) for each in self._own):
            return None
        way = self._way(peer)
        if way is None:
            text = "nobody knows which interface a connection {0} of IPv{1} uses that is needed: give default_interface"
            raise _NotKnown(text.format(needed.direction, version))
        interface, own = way
        if needed.direction == IN:
            packet = new_packet(version, needed.protocol, number, own[1], needed.port)
            return Connection(IN, packet, interface.name)
        packet = new_packet(version, needed.protocol, own[1], number, needed.port)
        return Connection(OUT, packet, "", interface.name)

    def _is_own(self, address: Address) -> bool:
        return address in self._own or _is_local(address)

    def _way(self, peer: Tuple[int, Optional[int]]) -> Optional[Tuple[Interface, Address]]:
        """The interface to a peer and its own address: behind whose networks it is, else the default route's."""
        version, number = peer
        ways = [
            (each, own)
            for each in self._interfaces.values()
            for own in each.addresses
            if own[0] == version and not _is_local(own)
        ]
        for interface, own in ways:
            if number is not None and any(
                net[0] == version and net[1] <= number <= net[2] and net[1] <= own[1] <= net[2]
                for net in interface.nets
            ):
                return interface, own
        by_default = [way for way in ways if way[0].name == self._default]
        if not by_default and len({way[0].name for way in ways}) == 1:
            by_default = ways
        return by_default[0] if by_default else None


def _is_local(address: Tuple[int, Optional[int]]) -> bool:
    """Loopback and link-local addresses, which nobody from afar uses."""
    version, number = address
    if number is None:
        return False
    if version == 4:
        return number >> 24 == 127
    return number == 1 or number >> 118 == 0x3FA


def _address(text: str) -> Optional[Address]:
    try:
        return address_of(text.partition("/")[0]) if text else None
    except ValueError:
        return None


@functools.lru_cache(maxsize=None)
def _resolved(peer: str) -> List[Address]:
    """The addresses of a peer that is given by address or by name. Raises _NotKnown."""
    known = _address(peer)
    if known:
        return [known]
    try:
        found = socket.getaddrinfo(peer, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise _NotKnown("the address of {0}, which is needed, is not known: {1}".format(shown(peer), exc)) from exc
    return [address_of(address) for address in dict.fromkeys(each[4][0].partition("%")[0] for each in found)]


def _port(value: Any, where: str) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = -1
    if not 0 < port <= 65535:
        raise InvalidInput(["{0}.port: {1} is not a port: a number from 1 to 65535".format(where, shown(value))])
    return port


def _check_keys(given: Any, known: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(["{0}: {1} is no mapping".format(where, shown(given))])
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        raise InvalidInput(["{0}: {1} is none of {2}".format(where, ", ".join(unknown), ", ".join(known))])
    return given
