# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that somebody asks about, addresses and networks. Plain data."""

from __future__ import annotations

import functools
import re
import socket
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._core.errors import InvalidInput, shown
from .._resources.hostendpoint import canonical_ip

IN, OUT, FORWARD, LOCAL = "in", "out", "forward", "local"
DIRECTIONS = (IN, OUT, FORWARD, LOCAL)

ICMP, IPIP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 4, 6, 17, 58, 132, 136
# As Calico names them, in lower case.
PROTOCOLS = {"icmp": ICMP, "tcp": TCP, "udp": UDP, "icmpv6": ICMPV6, "sctp": SCTP, "udplite": UDPLITE}
WITH_PORTS = frozenset([TCP, UDP, SCTP, UDPLITE])

# An echo request, and the answer to it; by the version of IP.
ECHO = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}

# From these Linux takes the source port of a connection (net.ipv4.ip_local_port_range).
EPHEMERAL = (32768, 60999)

# Version of IP and the address as a number.
Address = Tuple[int, int]
# Version of IP, and the first and the last address as numbers.
Net = Tuple[int, int, int]
# The first and the last of some ports.
Ports = Tuple[int, int]


class Packet(NamedTuple):
    """What rules look at. An address that is not known is None; ports are None where the protocol has none."""

    version: int
    protocol: int
    source: Optional[int]
    destination: Optional[int]
    sport: Optional[Ports]
    dport: Optional[Ports]
    # Of ICMP of either version: type and code.
    icmp: Optional[Tuple[int, int]]

    def answer(self) -> Packet:
        """The first packet that comes back."""
        icmp = self.icmp and (ECHO_REPLY[self.version], 0)
        return self._replace(
            source=self.destination, destination=self.source, sport=self.dport, dport=self.sport, icmp=icmp
        )


class Connection(NamedTuple):
    """A new connection: its first packet, and where it goes. An interface is "" when nobody said it."""

    direction: str
    packet: Packet
    in_interface: str = ""
    out_interface: str = ""


@functools.lru_cache(maxsize=65536)
def parse_address(text: str) -> Address:
    """Raises ValueError for what Go's net.ParseIP refuses."""
    canonical = canonical_ip(text)
    family = socket.AF_INET6 if ":" in canonical else socket.AF_INET
    return (6 if ":" in canonical else 4), int.from_bytes(socket.inet_pton(family, canonical), "big")


def format_address(address: Address) -> str:
    """The address as text."""
    version, number = address
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))


def is_loopback(address: Sequence[Any]) -> bool:
    """Whether it is an address of the loopback; not when the number is None."""
    version, number = address[:2]
    return number is not None and (number >> 24 == 127 if version == 4 else number == 1)


def is_link_local(address: Sequence[Any]) -> bool:
    """Whether it is a link-local address of IPv6; not when the number is None."""
    version, number = address[:2]
    return version == 6 and number is not None and number >> 118 == 0x3FA


_BITS = {4: 32, 6: 128}
_PREFIX_LENGTH = re.compile("[0-9]{1,4}")


@functools.lru_cache(maxsize=65536)
def parse_net(text: str) -> Net:
    """A network, or an address, which is a network of one. Bits behind the prefix don't count, as in iptables.

    Raises ValueError for what libcalico-go's IPNet refuses (lib/net/ipnet.go); one of IPv4-mapped IPv6 addresses is
    one of IPv4 addresses there.
    """
    address, slash, length = text.partition("/")
    version, number = parse_address(address)
    bits = _BITS[version]
    if not slash:
        return version, number, number
    most = 128 if ":" in address else 32
    if not _PREFIX_LENGTH.fullmatch(length) or int(length) > most:
        raise ValueError("{0} is not a network".format(shown(text)))
    hosts = bits - max(0, int(length) - (most - bits))
    first = number >> hosts << hosts
    return version, first, first + (1 << hosts) - 1


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
        raise InvalidInput(["{0}: src and dst are of different versions of IP".format(where)])
    packet = new_packet(source[0], protocol, source[1], destination[1], port)
    if sport is not None:
        packet = packet._replace(sport=(sport, sport))
    if icmp_type is not None:
        packet = packet._replace(icmp=(icmp_type, 0))
    return Connection(given["direction"], packet, given.get("in_interface") or "", given.get("out_interface") or "")


def new_packet(
    version: int, protocol: int, source: Optional[int], destination: Optional[int], port: Optional[int]
) -> Packet:
    """The first packet of a connection, with any source port; of ICMP an echo request."""
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
        return ["direction is missing: one of {0}".format(", ".join(DIRECTIONS))]
    missing = [option for option in ("protocol", "src", "dst") if given.get(option) in (None, "")]
    if missing:
        return ["{0} is missing".format(missing[0])]
    ports = [option for option in ("port", "sport") if given.get(option) is not None]
    if protocol in WITH_PORTS and "port" not in ports:
        return ["port is missing, which {0} has".format(given["protocol"])]
    if protocol not in WITH_PORTS and ports:
        return ["{0} is given, which {1} does not have".format(ports[0], given["protocol"])]
    if protocol in (ICMP, ICMPV6) and source and protocol != {4: ICMP, 6: ICMPV6}[source[0]]:
        return ["{0} is not the ICMP of IPv{1}".format(given["protocol"], source[0])]
    if protocol not in (ICMP, ICMPV6) and given.get("icmp_type") is not None:
        return ["icmp_type is given, which {0} does not have".format(given["protocol"])]
    return []


_NUMBER = re.compile("0*[0-9]{1,3}")


def parse_protocol(value: Any) -> int:
    """The number of a protocol that is given by name or number. Raises ValueError."""
    text = str(value).lower() if isinstance(value, (str, int)) else ""
    if text in PROTOCOLS:
        return PROTOCOLS[text]
    if _NUMBER.fullmatch(text) and 1 <= int(text[-3:]) <= 255:
        return int(text[-3:])
    raise ValueError("is not a protocol: {0} or a number from 1 to 255".format(", ".join(PROTOCOLS)))


def _address(value: Any) -> Address:
    try:
        return parse_address(str(value))
    except ValueError as exc:
        raise ValueError("is not an IP address") from exc


def _port(value: Any) -> int:
    if not 0 <= int(value) <= 65535:
        raise ValueError("is not a port: a number from 0 to 65535")
    return int(value)


def _icmp_type(value: Any) -> int:
    if not 0 <= int(value) <= 255:
        raise ValueError("is not a type of ICMP: a number from 0 to 255")
    return int(value)
