# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IP addresses and networks: parsing, formatting and comparison."""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from typing import Any, Optional, Sequence, Tuple

from .errors import shown

# Version of IP and the address as a number.
Address = Tuple[int, int]
# Version of IP, and the first and the last address as numbers.
Net = Tuple[int, int, int]
# The bits of an address, by the version of IP.
BITS = {4: 32, 6: 128}


@functools.lru_cache(maxsize=65536)
def canonical_ip(text: str) -> str:
    """The address as Go's net.IP writes it: RFC 5952, and an IPv4-mapped IPv6 address as IPv4.

    Raises ValueError for a string that Go's net.ParseIP rejects, such as a zone ("fe80::1%eth0") or a leading zero
    ("01.2.3.4"), whatever this Python's ipaddress accepts.
    """
    if _IPV4.fullmatch(text):
        return text
    if _is_plain_ipv6(text):
        try:
            compressed = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
        except OSError as exc:
            raise ValueError(str(exc)) from exc
        # The C library writes some IPv6 addresses with an IPv4 address at the end, and Go does not.
        if "." not in compressed:
            return compressed
    return _canonical_ip(text)


# Without leading zeros, as in Go.
_OCTET = r"(?:0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_IPV4 = re.compile(r"{0}(?:\.{0}){{3}}".format(_OCTET))


def _canonical_ip(text: str) -> str:
    """canonical_ip for every address, at a tenth of the speed."""
    if "%" in text:
        raise ValueError("an address with a zone")
    octets = text.rpartition(":")[2].split(".")
    if len(octets) > 1 and any(len(octet) > 1 and octet.startswith("0") for octet in octets):
        raise ValueError("an address with a leading zero")
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@functools.lru_cache(maxsize=65536)
def parse_address(text: str) -> Address:
    """The address of a string. Raises ValueError if Go's net.ParseIP rejects it."""
    canonical = canonical_ip(text)
    family = socket.AF_INET6 if ":" in canonical else socket.AF_INET
    return (6 if ":" in canonical else 4), int.from_bytes(socket.inet_pton(family, canonical), "big")


def is_address(text: str) -> bool:
    """Whether Go's net.ParseIP accepts the string."""
    if ":" not in text and _IPV4.fullmatch(text):
        return True
    try:
        # As canonical_ip does it, without keeping what most callers need only once.
        if _is_plain_ipv6(text):
            socket.inet_pton(socket.AF_INET6, text)
        else:
            canonical_ip(text)
    except (OSError, ValueError):
        return False
    return True


def _is_plain_ipv6(text: str) -> bool:
    return ":" in text and "." not in text and "%" not in text


def format_address(address: Address) -> str:
    """The address as a string."""
    version, number = address
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))


def is_loopback(address: Sequence[Any]) -> bool:
    """Whether it is a loopback address; False if the number is None."""
    version, number = address[:2]
    return number is not None and (number >> 24 == 127 if version == 4 else number == 1)


def is_link_local(address: Sequence[Any]) -> bool:
    """Whether it is a link-local IPv6 address; False if the number is None."""
    version, number = address[:2]
    return version == 6 and number is not None and number >> 118 == 0x3FA


_PREFIX_LENGTH = re.compile("[0-9]{1,4}")


@functools.lru_cache(maxsize=65536)
def parse_net(text: str) -> Net:
    """A network, or an address, which is a network of one. Bits after the prefix are ignored, as in iptables.

    Raises ValueError for a string that libcalico-go's IPNet rejects (lib/net/ipnet.go). A network of IPv4-mapped IPv6
    addresses is a network of IPv4 addresses there.
    """
    address, slash, length = text.partition("/")
    version, number = parse_address(address)
    bits = BITS[version]
    if not slash:
        return version, number, number
    most = 128 if ":" in address else 32
    if not _PREFIX_LENGTH.fullmatch(length) or int(length) > most:
        raise ValueError("{0} is not a valid network".format(shown(text)))
    hosts = bits - max(0, int(length) - (most - bits))
    first = number >> hosts << hosts
    return version, first, first + (1 << hosts) - 1


def format_net(text: str, is_masked: bool) -> str:
    """The network as libcalico-go's IPNet writes it: 10.0.0.1 becomes 10.0.0.1/32; if masked, without host bits.

    Raises ValueError like parse_net.
    """
    version, first, last = parse_net(text)
    number = first if is_masked else parse_address(text.partition("/")[0])[1]
    length = BITS[version] - (last - first).bit_length()
    return "{0}/{1}".format(canonical_ip(format_address((version, number))), length)


def parse_prefix_length(text: str, version: int) -> int:
    """The length of a prefix, which for IPv4 may be a netmask, as in older facts. Raises ValueError."""
    bits = BITS[version]
    if version == 4 and "." in text:
        number = parse_address(text)[1]
        length = bin(number).count("1")
        if number == (1 << bits) - (1 << bits - length):
            return length
    elif _PREFIX_LENGTH.fullmatch(text) and int(text) <= bits:
        return int(text)
    raise ValueError("{0} is not a valid prefix length".format(shown(text)))


def is_in_net(net: Net, version: int, number: Optional[int]) -> Optional[bool]:
    """Whether the network holds the address; None for a number of None in the network's version."""
    if net[0] != version:
        return False
    return None if number is None else net[1] <= number <= net[2]
