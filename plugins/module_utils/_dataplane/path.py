# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path of a packet: the interfaces that it comes in and goes out by."""

from __future__ import annotations

import dataclasses
from typing import List, Mapping, Optional, Tuple, cast

from .._core.ip import Address, format_address, is_in_net, is_loopback
from .._policies.connection import IN, LOCAL, OUT, Connection
from .resolution import LOOPBACK, Interface, without_length

_NO_LENGTH = (
    "which interface it uses is unknown, since {0} of {1} has no prefix length: give the lengths in interfaces, such "
    "as {{eth0: [192.0.2.7/24]}}, or {2}"
)


@dataclasses.dataclass(frozen=True)
class Path:
    """The way of a packet. An interface is None where it does not come in, or go out."""

    into: Optional[Interface]
    out: Optional[Interface]
    direction: str

    @property
    def interfaces(self) -> List[Interface]:
        found = [each for each in (self.into, self.out) if each]
        return found[:1] if self.direction == LOCAL else found

    @property
    def incoming(self) -> Interface:
        """The interface that it comes in by, unless it only goes out."""
        return cast(Interface, self.into)

    @property
    def outgoing(self) -> Interface:
        """The interface that it goes out by, unless it only comes in."""
        return cast(Interface, self.out)

    def back(self) -> Path:
        return Path(self.out, self.into, {IN: OUT, OUT: IN}.get(self.direction, self.direction))


class PathFinder:
    """The interfaces of a host, which find the path of a connection."""

    def __init__(self, interfaces: Mapping[str, Interface]) -> None:
        self._interfaces = interfaces

    def find(self, connection: Connection) -> Tuple[Optional[Path], str]:
        """The way of the first packet; None, and why, when it is not known."""
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
        """The interface that the option names, else the one behind whose networks the other end is, or else, since it
        is behind a gateway, the one that has the host's own address. None, and why, where that is not certain.
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
                # Its network may have the other end in it, or be the nearer one of two.
                if not nets or any(is_in_net(net, *address) for net in nets):
                    return None, _NO_LENGTH.format(format_address(address), each.name, option)
        if len(matching) == 1:
            return matching[0], ""
        problem = "more than one interface leads there" if matching else "no interface has these addresses"
        return None, "{0}: give {1}".format(problem, option)

    def _behind_gateway(self, own: Address) -> List[Interface]:
        """The interfaces by which a connection of one of the host's own addresses comes and goes."""
        having = [each for each in self._interfaces.values() if own in each.addresses]
        if [each.name for each in having] != [LOOPBACK] or is_loopback(own):
            return having
        # Such as an address of a service.
        others = [each for each in self._interfaces.values() if each.name != LOOPBACK]
        return [each for each in others if any(address[0] == own[0] for address in each.addresses)]


def _is_behind(interface: Interface, version: int, number: Optional[int]) -> bool:
    return any(is_in_net(net, version, number) for net in interface.nets)
