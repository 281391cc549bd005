# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path of a packet: its incoming and outgoing interface."""

from __future__ import annotations

import dataclasses
from typing import List, Mapping, Optional, Tuple, cast

from .._core.ip import Address, format_address, is_in_net, is_loopback
from .._policies.connection import IN, LOCAL, OUT, Connection
from .resolution import LOOPBACK, Interface, without_length

_NO_LENGTH = (
    "cannot determine its interface, since {0} of {1} has no prefix length: add the lengths to interfaces, such as "
    "{{eth0: [192.0.2.7/24]}}, or set {2}"
)


@dataclasses.dataclass(frozen=True)
class Path:
    """The path of a packet. An interface is None if the packet does not enter, or does not leave."""

    into: Optional[Interface]
    out: Optional[Interface]
    direction: str

    @property
    def interfaces(self) -> List[Interface]:
        found = [each for each in (self.into, self.out) if each]
        return found[:1] if self.direction == LOCAL else found

    @property
    def incoming(self) -> Interface:
        """The incoming interface, unless the direction is OUT."""
        return cast(Interface, self.into)

    @property
    def outgoing(self) -> Interface:
        """The outgoing interface, unless the direction is IN."""
        return cast(Interface, self.out)

    def back(self) -> Path:
        return Path(self.out, self.into, {IN: OUT, OUT: IN}.get(self.direction, self.direction))


class PathFinder:
    """Finds the path of a connection among the interfaces of a host."""

    def __init__(self, interfaces: Mapping[str, Interface]) -> None:
        self._interfaces = interfaces

    def find(self, connection: Connection) -> Tuple[Optional[Path], str]:
        """The path of the first packet; None and the reason if it is unknown."""
        packet, direction = connection.packet, connection.direction
        if direction == LOCAL:
            return Path(self._interfaces[LOOPBACK], self._interfaces[LOOPBACK], LOCAL), ""
        into = out = None
        if direction != OUT:
            own = packet.destination if direction == IN else None
            into, why = self._interface(connection, "in_interface", packet.source, own)
            if into is None:
                return None, why
        if direction != IN:
            own = packet.source if direction == OUT else None
            out, why = self._interface(connection, "out_interface", packet.destination, own)
            if out is None:
                return None, why
        return Path(into, out, direction), ""

    def _interface(
        self, connection: Connection, option: str, other: Optional[int], own: Optional[int]
    ) -> Tuple[Optional[Interface], str]:
        """The interface that the option names, else the interface whose networks hold the other end, or else, behind a
        gateway, the interface with the host's own address. None and the reason if it is uncertain.
        """
        name, version = getattr(connection, option), connection.packet.version
        if name:
            found = self._interfaces.get(name)
            return found, "" if found else "{0}: the host has no interface {1}".format(option, name)
        matching = [each for each in self._interfaces.values() if _is_behind(each, version, other)]
        nets = [net for each in matching for net in each.nets if is_in_net(net, version, other)]
        if not matching and own is not None:
            matching = self._behind_gateway((version, own))
        for each in self._interfaces.values():
            for address in without_length(each, version) if each not in matching else ():
                # Its network may hold the other end, or be the more specific of two.
                if not nets or any(is_in_net(net, *address) for net in nets):
                    return None, _NO_LENGTH.format(format_address(address), each.name, option)
        if len(matching) == 1:
            return matching[0], ""
        problem = "more than one interface leads there" if matching else "no interface has these addresses"
        return None, "{0}: set {1}".format(problem, option)

    def _behind_gateway(self, own: Address) -> List[Interface]:
        """The interfaces that a connection of one of the host's own addresses may use."""
        having = [each for each in self._interfaces.values() if own in each.addresses]
        if [each.name for each in having] != [LOOPBACK] or is_loopback(own):
            return having
        # Such as an address of a service.
        others = [each for each in self._interfaces.values() if each.name != LOOPBACK]
        return [each for each in others if any(address[0] == own[0] for address in each.addresses)]


def _is_behind(interface: Interface, version: int, number: Optional[int]) -> bool:
    return any(is_in_net(net, version, number) for net in interface.nets)
