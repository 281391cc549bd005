# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to evaluate, and their packets. Plain data."""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from .._core.errors import InvalidInput, shown
from .._core.ip import Address, parse_address
from .._core.protocols import ICMP, ICMPV6, WITH_PORTS, parse_protocol

IN, OUT, FORWARD, LOCAL = "in", "out", "forward", "local"
DIRECTIONS = (IN, OUT, FORWARD, LOCAL)

# ICMP types of an echo request and its answer, by the version of IP.
ECHO = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}

# Linux chooses the source port of a connection from this range (net.ipv4.ip_local_port_range).
EPHEMERAL = (32768, 60999)

# The first and the last of some ports.
Ports = Tuple[int, int]


class Packet(NamedTuple):
    """The fields that rules match. An unknown address is None; ports are None if the protocol has no ports."""

    version: int
    protocol: int
    source: Optional[int]
    destination: Optional[int]
    sport: Optional[Ports]
    dport: Optional[Ports]
    # Type and code of ICMP, of either version.
    icmp: Optional[Tuple[int, int]]

    def answer(self) -> Packet:
        """The first packet of the answer."""
        icmp = self.icmp and (ECHO_REPLY[self.version], 0)
        return self._replace(
            source=self.destination, destination=self.source, sport=self.dport, dport=self.sport, icmp=icmp
        )


class Connection(NamedTuple):
    """A new connection: its first packet and its direction. An interface is "" if it is not given."""

    direction: str
    packet: Packet
    in_interface: str = ""
    out_interface: str = ""


def parse_connection(given: Mapping[str, Any], where: str) -> Connection:
    """The connection of a module's suboptions; `where` begins the messages. Raises InvalidInput."""
    problems: List[str] = []

    def take(option: str, convert: Any) -> Any:
        value = given.get(option)
        if value is None or value == "":
            return None
        try:
            return convert(value)
        except ValueError as exc:
            problems.append("{0}.{1}: {2} {3}".format(where, option, shown(value), exc))
            return None

    protocol = take("protocol", parse_protocol)
    source, destination = take("src", _address), take("dst", _address)
    port, sport = take("port", _port), take("sport", _port)
    icmp_type = take("icmp_type", _icmp_type)
    if not problems:
        problems += ["{0}: {1}".format(where, problem) for problem in _contradictions(given, protocol, source)]
    if problems:
        raise InvalidInput(problems)
    if destination[0] != source[0]:
        raise InvalidInput(["{0}: src and dst have different IP versions".format(where)])
    packet = new_packet(source[0], protocol, source[1], destination[1], port)
    if sport is not None:
        packet = packet._replace(sport=(sport, sport))
    if icmp_type is not None:
        packet = packet._replace(icmp=(icmp_type, 0))
    return Connection(given["direction"], packet, given.get("in_interface") or "", given.get("out_interface") or "")


def new_packet(
    version: int, protocol: int, source: Optional[int], destination: Optional[int], port: Optional[int]
) -> Packet:
    """The first packet of a connection, with any source port; for ICMP, an echo request."""
    with_ports = protocol in WITH_PORTS
    return Packet(
        version=version,
        protocol=protocol,
        source=source,
        destination=destination,
        sport=EPHEMERAL if with_ports else None,
        dport=(port, port) if with_ports and port is not None else None,
        icmp=(ECHO[version], 0) if protocol == {4: ICMP, 6: ICMPV6}[version] else None,
    )


def _contradictions(given: Mapping[str, Any], protocol: Optional[int], source: Optional[Address]) -> List[str]:
    if given.get("direction") not in DIRECTIONS:
        return ["direction is missing; set one of {0}".format(", ".join(DIRECTIONS))]
    missing = [option for option in ("protocol", "src", "dst") if given.get(option) in (None, "")]
    if missing:
        return ["{0} is missing".format(missing[0])]
    ports = [option for option in ("port", "sport") if given.get(option) is not None]
    if protocol in WITH_PORTS and "port" not in ports:
        return ["port is missing; {0} requires it".format(given["protocol"])]
    if protocol not in WITH_PORTS and ports:
        return ["{0} must not be set for {1}".format(ports[0], given["protocol"])]
    if protocol in (ICMP, ICMPV6) and source and protocol != {4: ICMP, 6: ICMPV6}[source[0]]:
        return ["{0} is not the ICMP of IPv{1}".format(given["protocol"], source[0])]
    if protocol not in (ICMP, ICMPV6) and given.get("icmp_type") is not None:
        return ["icmp_type must not be set for {0}".format(given["protocol"])]
    return []


def _address(value: Any) -> Address:
    try:
        return parse_address(str(value))
    except ValueError as exc:
        raise ValueError("is not a valid IP address") from exc


def _port(value: Any) -> int:
    if not 0 <= int(value) <= 65535:
        raise ValueError("is not a valid port: a number from 0 to 65535")
    return int(value)


def _icmp_type(value: Any) -> int:
    if not 0 <= int(value) <= 255:
        raise ValueError("is not a valid ICMP type: a number from 0 to 255")
    return int(value)
