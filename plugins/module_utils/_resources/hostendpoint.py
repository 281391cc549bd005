# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host endpoint: its fields, its canonical form, and its form after Calico stores it.

Plain data. What each API version accepts is in validation_v1 and validation_v3, how it is written as a manifest in
manifest, and how it is stored in _datastore.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Dict, NamedTuple, Tuple

from .._core.ip import canonical_ip, is_address, parse_address
from .._core.protocols import SPELLINGS, WITH_PORTS_V3
from .resource import Ref, Resource

HOST_ENDPOINT = "HostEndpoint"

# The names of the protocols that have ports, by the digits of their numbers.
_PROTOCOLS = {str(number): SPELLINGS[number] for number in WITH_PORTS_V3}


class Port(NamedTuple):
    """A named port of an endpoint (Calico v3 only)."""

    name: str
    protocol: str
    port: int

    def canonical(self) -> Port:
        """The port with the name of its protocol instead of its number.

        calicoctl accepts both, but Felix ignores an endpoint with a number, which leaves its interface open (measured
        with v3.32.1).
        """
        return self._replace(protocol=_PROTOCOLS.get(self.protocol.lstrip("0"), self.protocol))

    def without_zeros(self) -> Port:
        """The port with the number of its protocol as Calico stores it."""
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
        """The endpoint as Calico v1 returns it after storing it: canonical addresses, the IPv4 ones first.

        Calico keeps them in two lists (libcalico-go release-v2.6, lib/client/hostendpoint.go). A stored string that is
        not an address is kept.
        """
        found = [_comparable_ip(ip) for ip in self.expected_ips]
        addresses = (*[ip for ip in found if ":" not in ip], *[ip for ip in found if ":" in ip])
        return self if addresses == self.expected_ips else dataclasses.replace(self, expected_ips=addresses)

    def with_protocol_names(self) -> HostEndpoint:
        """The endpoint as stored for Calico v3: addresses as given, protocols of ports by name, as Felix requires."""
        ports = tuple([port.canonical() for port in self.ports])
        return self if ports == self.ports else dataclasses.replace(self, ports=ports)

    def without_duplicates(self) -> HostEndpoint:
        """The endpoint without repeated addresses and profiles, which have no effect and which Kubernetes rejects."""
        expected_ips, profiles = tuple(dict.fromkeys(self.expected_ips)), tuple(dict.fromkeys(self.profiles))
        if (expected_ips, profiles) == (self.expected_ips, self.profiles):
            return self
        return dataclasses.replace(self, expected_ips=expected_ips, profiles=profiles)

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
    """The resource, which must be a host endpoint: for code that reads the fields of that kind."""
    if not isinstance(resource, HostEndpoint):
        raise TypeError("{0} is not a host endpoint".format(resource))
    return resource


def _comparable_ip(text: str) -> str:
    """The canonical address; a stored string that is not an address, which Calico v3 reads anyway, is unchanged."""
    try:
        return canonical_ip(text)
    except ValueError:
        return text


def _ip_order(text: str) -> Tuple[int, int, str]:
    return (*parse_address(text), text) if is_address(text) else (0, 0, text)
