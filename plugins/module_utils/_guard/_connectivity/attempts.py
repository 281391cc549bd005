# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections that an expectation is about: attempts from one host to another, or from or to an address."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..._core.ip import Address
from ..._dataplane.resolution import LOOPBACK
from ..._policies.connection import IN, OUT, Connection, new_packet
from ..._policies.model import ALLOW
from ..routing import Peer, Way
from .expectations import Expectation
from .hosts import DeclaredHost

_NO_WAY = "cannot determine the interface of {0} for {1}; gather the fact default_ipv4, or set default_interface"


class Attempt(NamedTuple):
    """A connection, as the host with the expectation and as the peer see it. Their ports are missing."""

    version: int
    source: int
    destination: int
    # The interfaces of the source and of the destination; "" if their networks determine it.
    out_interface: str = ""
    in_interface: str = ""
    # Whether it takes this path.
    is_certain: bool = True

    def build(self, direction: str, protocol: int, port: Optional[int]) -> Connection:
        """The connection on the host that it leaves (OUT) or enters (IN)."""
        packet = new_packet(self.version, protocol, self.source, self.destination, port)
        if direction == OUT:
            return Connection(OUT, packet, "", self.out_interface)
        return Connection(IN, packet, self.in_interface)


# The attempts, and why some are unknown; "" if all are known.
Attempts = Tuple[List[Attempt], str]


def list_attempts_between(
    own: DeclaredHost, peer: DeclaredHost, expectation: Expectation, only: Optional[Address] = None
) -> Attempts:
    """Connections between two hosts. An allowed one takes the usual path, a denied one has every destination address.

    `only`: an address of the peer, if it is meant.
    """
    ends = (own, peer) if expectation.direction == OUT else (peer, own)
    found: List[Attempt] = []
    problems: List[str] = []
    for version in expectation.versions:
        ways = [_list_ways(each, version, only if each is peer else None) for each in ends]
        if all(ways):
            list_of_version = _list_usual if expectation.expect == ALLOW else _list_all
            try:
                found += list_of_version(ends, ways, version)
            except _NoWay as exc:
                problems.append(str(exc))
    if not found and not problems:
        problems.append("{0} and {1} have no addresses of a common version of IP".format(own.name, peer.name))
    return found, "; ".join(problems)


def list_attempts_with(own: DeclaredHost, address: Address, expectation: Expectation) -> Attempts:
    """Connections of a host with an address of no known host."""
    version, number = address
    sure, maybe = own.routes.find_ways(Peer(version, number))
    found: List[Attempt] = []
    for is_certain, ways in ((True, sure), (False, maybe)):
        for interface, (_version, here) in ways:
            if expectation.direction == OUT:
                found.append(Attempt(version, here, number, interface.name, "", is_certain))
            else:
                found.append(Attempt(version, number, here, "", interface.name, is_certain))
    if expectation.direction == IN and expectation.expect != ALLOW:
        found += [Attempt(version, number, here) for of, here in own.addresses if of == version]
    if found:
        return found, ""
    if _list_ways(own, version, None):
        return [], _NO_WAY.format(own.name, "the peer")
    return [], "{0} has no IPv{1} address".format(own.name, version)


class _NoWay(Exception):
    """The interface of a connection cannot be determined."""


def _list_ways(host: DeclaredHost, version: int, only: Optional[Address]) -> List[Way]:
    """The interfaces of a host with their addresses that other hosts may see."""
    addresses = host.addresses if only is None else (only,)
    return [
        (interface, address)
        for interface in host.interfaces.values()
        for address in interface.addresses
        if interface.name != LOOPBACK and address[0] == version and address in addresses
    ]


def _list_usual(ends: Sequence[DeclaredHost], ways: Sequence[List[Way]], version: int) -> List[Attempt]:
    """The connection in the first network that both hosts have, else between the addresses of their default routes."""
    for out, source in ways[0]:
        for net in out.nets:
            for _into, destination in ways[1]:
                if all(net[1] <= number <= net[2] for number in (source[1], destination[1])) and net[0] == version:
                    return [Attempt(version, source[1], destination[1], out.name)]
    (out, source), (_into, destination) = (_find_default(*each) for each in zip(ends, ways))
    return [Attempt(version, source[1], destination[1], out.name)]


def _find_default(host: DeclaredHost, ways: List[Way]) -> Way:
    default = [way for way in ways if way[0].name == host.default_interface]
    if default or len({way[0].name for way in ways}) == 1:
        return (default or ways)[0]
    raise _NoWay(_NO_WAY.format(host.name, "another host of the inventory"))


def _list_all(ends: Sequence[DeclaredHost], ways: Sequence[List[Way]], version: int) -> List[Attempt]:
    """The connections to each address of the destination, by the routes of the source."""
    return [each for _into, destination in ways[1] for each in _list_to(ends[0], ways[0], (version, destination[1]))]


def _list_to(source: DeclaredHost, ways: List[Way], destination: Address) -> Iterator[Attempt]:
    version, number = destination
    sure, maybe = source.routes.find_ways(Peer(version, number))
    usable = [way[1] for way in ways]
    found = [(way, way in sure) for way in (*sure, *maybe) if way[1] in usable] or [(way, True) for way in ways]
    for (interface, here), is_certain in found:
        yield Attempt(version, here[1], number, interface.name, "", is_certain)
