# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's checks of the connections that a host requires."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, Mapping, Optional, Sequence, Set, Tuple

from .._core.ip import Address, format_address
from .._core.protocols import PROTOCOLS
from .._dataplane.host import HostDataplane
from .._dataplane.resolution import Interface
from .._policies.connection import IN, LOCAL, Connection, Packet
from .._policies.model import ALLOW, DENY
from .host_facts import CHECK_OF_DIRECTION
from .host_state import HostState
from .verdict import UNKNOWN, UNSAFE, WARNING, GuardFinding

_NAMES: Dict[int, str] = {number: name for name, number in PROTOCOLS.items()}
_AS_BEFORE = " (already denied before this change)"
_GOVERNED_BY_OTHER = ", and then {0} governs {1} of node {2}"


def check_connections(host: HostState, name: str, touched: Mapping[str, Interface]) -> Iterator[GuardFinding]:
    """G03, G04 and G13 of the connections through these interfaces, for the endpoint of this name."""
    if not touched:
        return
    for rule, text in host.facts.doubts:
        yield GuardFinding(rule, UNKNOWN, text)
    for connection in host.facts.required:
        interfaces = host.after.find_interfaces(connection)
        through = [interface for interface in interfaces if interface.name in touched]
        if through or not interfaces:
            others = [
                _GOVERNED_BY_OTHER.format(each.governing.name, each.name, host.node)
                for each in through
                if each.governing and each.governing.name != name
            ]
            yield from _check_required(host, connection, "".join(others))
    for connection in host.facts.possible:
        for interface in host.after.find_interfaces(connection):
            if interface.name in touched:
                yield from _check_possible(host, connection, interface.name)
    yield from _check_neighbours(host, touched)


def _check_required(host: HostState, connection: Connection, where: str) -> Iterator[GuardFinding]:
    host.checked.add(connection)
    answer = host.after.evaluate(connection)
    if answer.verdict == ALLOW:
        return
    level = UNKNOWN if answer.verdict == UNKNOWN else UNSAFE
    if level == UNSAFE and host.was_denied(connection):
        level, where = WARNING, where + _AS_BEFORE
    text = "{0} is required{1}: {2}".format(format_connection(connection), where, answer.reason)
    yield GuardFinding(CHECK_OF_DIRECTION[connection.direction], level, text)


def _check_possible(host: HostState, connection: Connection, name: str) -> Iterator[GuardFinding]:
    answer = host.after.evaluate(connection)
    if answer.verdict == UNKNOWN or answer.verdict == DENY and not host.was_denied(connection):
        text = "{0} is required and may use {1}: {2}"
        yield GuardFinding(
            CHECK_OF_DIRECTION[connection.direction],
            UNKNOWN,
            text.format(format_connection(connection), name, answer.reason),
        )


def _check_neighbours(host: HostState, touched: Mapping[str, Interface]) -> Iterator[GuardFinding]:
    if not host.after.felix.polices_ipv6:
        return
    through = _over_ipv6(host.after, host.facts.required)
    maybe = _over_ipv6(host.after, host.facts.possible)
    for name, interface in sorted(touched.items()):
        is_needed = name in through or name in maybe
        if not is_needed and not any(_is_global(address) for address in interface.addresses):
            continue
        answer = host.after.neighbours(name)
        if answer.verdict == ALLOW:
            continue
        level, more = WARNING, ""
        if is_needed:
            level = UNSAFE if answer.verdict == DENY and name in through else UNKNOWN
            if answer.verdict == DENY and host.was_without_neighbours(name):
                level, more = WARNING, _AS_BEFORE
        text = "neighbour discovery (icmpv6 types 135 and 136) does not pass {0} in both directions, so IPv6 fails{1}"
        yield GuardFinding("G13", level, text.format(name, more))


def _over_ipv6(host: HostDataplane, connections: Iterable[Connection]) -> Set[str]:
    """The interfaces that IPv6 connections use."""
    over_ipv6 = [each for each in connections if each.direction != LOCAL and each.packet.version == 6]
    return {interface.name for connection in over_ipv6 for interface in host.find_interfaces(connection)}


def _is_global(address: Address) -> bool:
    """Whether this is an IPv6 address beyond the link and the host: not fe80::/10, not ::1."""
    version, number = address
    return version == 6 and number >> 118 != 0x3FA and number != 1


def check_other_hosts(
    hosts: Iterable[HostState], changed: Mapping[Address, Sequence[int]]
) -> Iterator[Tuple[int, GuardFinding]]:
    """Findings about required connections of other hosts that rules no longer allow.

    Such rules select an end of the connection. `changed` are the indexes of changed endpoints by address.
    """
    for host in hosts:
        for connection in host.facts.required:
            if connection in host.checked:
                continue
            packet = connection.packet
            ends = [(packet.version, number) for number in (packet.source, packet.destination) if number is not None]
            numbers = {number for end in ends for number in changed.get(end, ())}
            finding = _check_ungoverned(host, connection) if numbers else None
            if finding:
                yield from ((number, finding) for number in sorted(numbers))


def _check_ungoverned(host: HostState, connection: Connection) -> Optional[GuardFinding]:
    """The finding about a connection that no changed endpoint governs; None when it does not get worse."""
    answer = host.after.evaluate(connection)
    if answer.verdict == ALLOW:
        return None
    before = host.before.evaluate(connection).verdict
    if before == DENY or before == answer.verdict:
        return None
    text = "on node {0}, {1} is required, and rules there stop allowing it: {2}"
    level = UNSAFE if answer.verdict == DENY else UNKNOWN
    return GuardFinding(
        CHECK_OF_DIRECTION[connection.direction],
        level,
        text.format(host.node, format_connection(connection), answer.reason),
    )


def format_connection(connection: Connection) -> str:
    """The connection in words, such as "tcp port 22 from 192.0.2.9"."""
    packet = connection.packet
    text = format_protocol(packet)
    if connection.direction == IN:
        return "{0} from {1}".format(text, _format_end(packet.version, packet.source))
    return "{0} to {1}".format(text, _format_end(packet.version, packet.destination))


def format_protocol(packet: Packet) -> str:
    """The protocol, and the port if it has any."""
    protocol = _NAMES.get(packet.protocol, "protocol {0}".format(packet.protocol))
    return protocol + (" port {0}".format(packet.dport[0]) if packet.dport else "")


def _format_end(version: int, number: Optional[int]) -> str:
    return "an unknown address" if number is None else format_address((version, number))
