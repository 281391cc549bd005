# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host endpoint: its fields, its canonical form, and what Calico keeps of it.

Plain data. What each API version accepts is in validation_v1 and validation_v3, how it is written as a manifest in
manifest, and how it is stored in _datastore.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
import socket
from typing import Any, ClassVar, Dict, NamedTuple, Tuple, cast

from .resource import Ref, Resource

HOST_ENDPOINT = "HostEndpoint"

# The protocols that have ports, by their numbers.
_PROTOCOLS = {"6": "TCP", "17": "UDP", "132": "SCTP"}


class Port(NamedTuple):
    """A named port of an endpoint (Calico v3 only)."""

    name: str
    protocol: str
    port: int

    def canonical(self) -> Port:
        """With the name of a protocol that is given by its number.

        calicoctl takes both, but Felix ignores an endpoint with a number, which leaves its interface open (measured
        with v3.32.1).
        """
        return self._replace(protocol=_PROTOCOLS.get(self.protocol.lstrip("0"), self.protocol))

    def without_zeros(self) -> Port:
        """With the number of a protocol as Calico stores it."""
        return self._replace(protocol=self.protocol.lstrip("0") or self.protocol)


@dataclasses.dataclass(frozen=True)
class HostEndpoint(Resource):
    """A host endpoint."""

    KIND: ClassVar[str] = HOST_ENDPOINT
    FIELDS: ClassVar[Tuple[str, ...]] = (
        "node",
        "labels",
        "interface_name",
        "expected_ips",
        "profiles",
        "ports",
        "annotations",
    )
    UNREADABLE_EFFECT: ClassVar[str] = "the interface that it is meant for is open"

    interface_name: str = ""
    expected_ips: Tuple[str, ...] = ()
    profiles: Tuple[str, ...] = ()
    ports: Tuple[Port, ...] = ()

    def canonical(self) -> HostEndpoint:
        return dataclasses.replace(
            super().canonical(),
            expected_ips=tuple(sorted({_comparable_ip(ip) for ip in self.expected_ips}, key=_ip_order)),
            ports=tuple(sorted({port.without_zeros() for port in self.ports})),
        )

    def with_sorted_ips(self) -> HostEndpoint:
        """As Calico v1 returns it once it is stored: canonical addresses, the IPv4 ones first.

        It keeps them in two lists (libcalico-go release-v2.6, lib/client/hostendpoint.go). A stored string that is
        not an address is kept.
        """
        found = [_comparable_ip(ip) for ip in self.expected_ips]
        addresses = (*[ip for ip in found if ":" not in ip], *[ip for ip in found if ":" in ip])
        return self if addresses == self.expected_ips else dataclasses.replace(self, expected_ips=addresses)

    def with_protocol_names(self) -> HostEndpoint:
        """As it is stored for Calico v3: addresses as given, and protocols of ports by name, as Felix requires."""
        ports = tuple([port.canonical() for port in self.ports])
        return self if ports == self.ports else dataclasses.replace(self, ports=ports)

    def as_options(self) -> Dict[str, Any]:
        options: Dict[str, Any] = {
            "name": self.name,
            "node": self.node,
            "labels": dict(sorted(self.labels.items())),
            "interface_name": self.interface_name,
            "expected_ips": list(self.expected_ips),
            "profiles": list(self.profiles),
            "ports": [port._asdict() for port in self.ports],
        }
        if self.annotations:
            options["annotations"] = dict(sorted(self.annotations.items()))
        return options


def host_endpoint_ref(name: str, node: str = "") -> Ref:
    return Ref(HOST_ENDPOINT, name, node)


def as_host_endpoint(resource: Resource) -> HostEndpoint:
    """A resource that is known to be a host endpoint, for whoever looks at the fields that only those have."""
    return cast(HostEndpoint, resource)


@functools.lru_cache(maxsize=65536)
def canonical_ip(text: str) -> str:
    """The address as Go's net.IP writes it: RFC 5952, and an IPv4-mapped IPv6 address as IPv4.

    Raises ValueError for what Go's net.ParseIP refuses, a zone ("fe80::1%eth0") and a leading zero ("01.2.3.4")
    among it, whatever this Python's ipaddress thinks of them.
    """
    if _IPV4.fullmatch(text):
        return text
    if ":" in text and "." not in text and "%" not in text:
        try:
            compressed = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
        except OSError as exc:
            raise ValueError(str(exc)) from exc
        # The system's library writes some IPv6 addresses with an IPv4 one at their end, and Go does not.
        if "." not in compressed:
            return compressed
    return _canonical_ip(text)


# An octet has no leading zero, nor has one for Go.
_OCTET = r"(?:0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_IPV4 = re.compile(r"{0}(?:\.{0}){{3}}".format(_OCTET))


def _canonical_ip(text: str) -> str:
    """The same for every address, at a tenth of the speed."""
    if "%" in text:
        raise ValueError("an address with a zone")
    octets = text.rpartition(":")[2].split(".")
    if len(octets) > 1 and any(len(octet) > 1 and octet.startswith("0") for octet in octets):
        raise ValueError("an address with a leading zero")
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _comparable_ip(text: str) -> str:
    """The canonical address; of a stored text that is none, which Calico v3 reads all the same, the text."""
    try:
        return canonical_ip(text)
    except ValueError:
        return text


def _ip_order(text: str) -> Tuple[int, int, str]:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0, 0, text
    return address.version, int(address), text
