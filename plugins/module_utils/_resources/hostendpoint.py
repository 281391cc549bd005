# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host endpoint: its fields, its canonical form, and what equal means.

Plain data. What each API generation accepts is in _validation.py, how it is written as a resource in _resource.py,
how it is stored in _datastore.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
import socket
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .._core.errors import brief

# The API generations, by the apiVersion of their resources.
V1 = "v1"
V3 = "projectcalico.org/v3"

# Endpoints with this label belong to Calico's kube-controllers, which rewrite and delete them as they see fit
# (kube-controllers/pkg/controllers/node/hostendpoints.go).
CALICO_OWNER_LABEL = "projectcalico.org/created-by"


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
class HostEndpoint:
    """A host endpoint with the texts that the user or the datastore gave.

    An empty field and an absent one are the same, as they are for Calico.
    """

    name: str = ""
    node: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interface_name: str = ""
    expected_ips: Tuple[str, ...] = ()
    profiles: Tuple[str, ...] = ()
    ports: Tuple[Port, ...] = ()
    # Only those that are given: what else is stored is neither compared nor removed (Calico v3 only).
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        name, node = brief(self.name, 255), brief(self.node, 255)
        return "host endpoint {0} on node {1}".format(name or "(no name)", node or "(no node)")

    @property
    def is_calicos_own(self) -> bool:
        return CALICO_OWNER_LABEL in self.labels

    def patched(self, fields: Mapping[str, Any]) -> HostEndpoint:
        """With the given fields instead; labels are merged, and a label given as None goes."""
        fields = dict(fields)
        if "labels" in fields:
            merged = dict(self.labels, **fields["labels"])
            fields["labels"] = {key: value for key, value in merged.items() if value is not None}
        return dataclasses.replace(self, **fields)

    def canonical(self) -> HostEndpoint:
        """The form in which equal endpoints are the same: two endpoints are equal when their canonical forms are."""
        return dataclasses.replace(
            self,
            labels=dict(sorted(self.labels.items())),
            expected_ips=tuple(sorted({_comparable_ip(ip) for ip in self.expected_ips}, key=_ip_order)),
            ports=tuple(sorted({port.without_zeros() for port in self.ports})),
            annotations=dict(sorted(self.annotations.items())),
        )

    def as_stored(self, api_version: str) -> HostEndpoint:
        """As a generation gives it back once it is stored.

        v1 keeps canonical addresses, the IPv4 ones in one list and the IPv6 ones in another
        (libcalico-go release-v2.6, lib/client/hostendpoint.go); v3 keeps the texts, and protocols of ports are written
        by name, as Felix asks for. A stored text that is not an address stays as it is.
        """
        if api_version != V1:
            ports = tuple([port.canonical() for port in self.ports])
            return self if ports == self.ports else dataclasses.replace(self, ports=ports)
        found = [_comparable_ip(ip) for ip in self.expected_ips]
        addresses = (*[ip for ip in found if ":" not in ip], *[ip for ip in found if ":" in ip])
        return self if addresses == self.expected_ips else dataclasses.replace(self, expected_ips=addresses)

    def as_options(self, api_version: str) -> Dict[str, Any]:
        """As the modules' options, so that what a module returns can be given to one."""
        options: Dict[str, Any] = {
            "name": self.name,
            "node": self.node,
            "labels": dict(sorted(self.labels.items())),
            "interface_name": self.interface_name,
            "expected_ips": list(self.expected_ips),
            "profiles": list(self.profiles),
        }
        if api_version == V3:
            options["ports"] = [port._asdict() for port in self.ports]
        if self.annotations:
            options["annotations"] = dict(sorted(self.annotations.items()))
        return options


FIELDS = ("node", "labels", "interface_name", "expected_ips", "profiles", "ports", "annotations")


def changed_fields(before: Optional[HostEndpoint], after: Optional[HostEndpoint]) -> List[str]:
    """Names of the fields that differ; against None, the ones that are not empty."""
    if before is None or after is None:
        known = before or after
        return [field for field in FIELDS if field != "node" and getattr(known, field, None)]
    differing = [field for field in FIELDS if getattr(before, field) != getattr(after, field)]
    if differing:
        before, after = before.canonical(), after.canonical()
    return [field for field in differing if getattr(before, field) != getattr(after, field)]


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
