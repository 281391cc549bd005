# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which endpoint governs an interface of a host.

felix, endpoint_mgr.go (resolveHostEndpoints): of those that have the interface's name, or have no name and expect one
of its addresses, the one whose name comes first. The interface decides on traffic, not the address.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .._core.errors import InvalidInput, brief, shown
from .._core.ip import Address, Net, is_in_net, is_link_local, parse_address, parse_net
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint

# Calico v3's name for all interfaces that no other endpoint governs.
ALL_INTERFACES = "*"
LOOPBACK = "lo"


class Candidate(NamedTuple):
    """An endpoint of a node, stored or asked about."""

    endpoint: HostEndpoint
    # Why Felix takes it for missing, which leaves its interface open; "" when it does not.
    rejected: str = ""
    # Why nobody knows whether it does; "" when that is known.
    doubt: str = ""
    # What is stored, of one that cannot be read.
    text: str = ""
    # The name in the key of Calico v3.
    key: str = ""

    @property
    def name(self) -> str:
        return self.endpoint.name


@dataclasses.dataclass(frozen=True)
class Interface:
    """An interface of a host, and who wants to govern it."""

    name: str
    addresses: Tuple[Address, ...] = ()
    # The networks behind it, as far as they are known.
    nets: Tuple[Net, ...] = ()
    governing: Optional[Candidate] = None
    shadowed: Tuple[Candidate, ...] = ()
    # Those that would, if Felix took them.
    rejected: Tuple[Candidate, ...] = ()
    # Why it is not known which one governs; "" when it is.
    doubt: str = ""


def read_candidate(stored: Stored, api_version: ApiVersion) -> Candidate:
    """A stored endpoint as Felix sees it: in v3 it is known by the name in its metadata, not by its key."""
    endpoint = as_host_endpoint(stored.resource)
    if not stored.error:
        return build_candidate(endpoint, api_version)._replace(key=stored.name)
    if not stored.is_certain:
        return Candidate(endpoint, doubt="{0} cannot be read: {1}".format(endpoint, stored.error), text=stored.value)
    if stored.codec.decode_for_felix is None or stored.misplaced:
        return Candidate(endpoint, rejected=stored.error)
    try:
        found = as_host_endpoint(stored.codec.decode_for_felix(stored.value))
    except ValueError as exc:
        return Candidate(endpoint, rejected=str(exc))
    if not found.name or not found.node:
        return Candidate(endpoint, rejected=stored.error)
    return build_candidate(found, api_version)._replace(key=stored.name)


def build_candidate(endpoint: HostEndpoint, api_version: ApiVersion) -> Candidate:
    rejected, doubt = api_version.why_ignored(endpoint), api_version.find_doubt(endpoint)
    return Candidate(endpoint, rejected, doubt, key=endpoint.name)


def known_by_name(candidates: Iterable[Candidate]) -> List[Candidate]:
    """Of those of one name, which Calico v3 may have under several keys, the one with the smallest key."""
    found: Dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda each: each.key.encode("utf-8", "surrogatepass")):
        found.setdefault(candidate.name, candidate)
    return list(found.values())


def parse_interfaces(given: Any, where: str = "interfaces") -> Dict[str, Interface]:
    """The interfaces of a host: addresses, maybe with the length of a prefix, by name. Raises InvalidInput."""
    if not isinstance(given, Mapping):
        raise InvalidInput(["{0}: {1} is not a mapping of interfaces to addresses".format(where, shown(given))])
    found = {}
    for name, texts in given.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidInput(["{0}[{1}]: {2} is not a list of addresses".format(where, brief(name), shown(texts))])
        addresses, nets = [], []
        for text in texts:
            try:
                addresses.append(parse_address(text.partition("/")[0]))
                if "/" in text:
                    nets.append(parse_net(text))
            except ValueError as exc:
                problem = "{0}[{1}]: {2} is not an IP address".format(where, brief(name), shown(text))
                raise InvalidInput([problem]) from exc
        found[name] = Interface(name, tuple(addresses), tuple(nets))
    loopback = (parse_address("127.0.0.1"), parse_address("::1"))
    found.setdefault(LOOPBACK, Interface(LOOPBACK, loopback))
    return found


def without_length(interface: Interface, version: int) -> List[Address]:
    """The addresses of the interface of which it is not known in what network they are."""
    if interface.name == LOOPBACK:
        return []
    addresses = [each for each in interface.addresses if each[0] == version and not is_link_local(each)]
    return [each for each in addresses if not any(is_in_net(net, *each) for net in interface.nets)]


def governed(interface: Interface, candidates: Iterable[Candidate], is_excluded: bool = False) -> Interface:
    """The interface with its endpoints, of those of the node. Where Felix passes over it, a wildcard governs it."""
    wanting = [candidate for candidate in candidates if _wants(candidate, interface)]
    if is_excluded:
        wanting = [each for each in wanting if each.endpoint.interface_name == ALL_INTERFACES]
    rejected = [candidate for candidate in wanting if candidate.rejected]
    wildcards = [each for each in wanting if not each.rejected and each.endpoint.interface_name == ALL_INTERFACES]
    named = [each for each in wanting if not each.rejected and each.endpoint.interface_name != ALL_INTERFACES]
    # A wildcard is only asked where no other endpoint governs.
    taken = _in_order(named) + _in_order(wildcards)
    return dataclasses.replace(
        interface,
        governing=taken[0] if taken else None,
        shadowed=tuple(taken[1:]),
        rejected=tuple(_in_order(rejected)),
        doubt=taken[0].doubt if taken else "",
    )


def _in_order(candidates: Iterable[Candidate]) -> List[Candidate]:
    return sorted(candidates, key=lambda candidate: candidate.name.encode("utf-8", "surrogatepass"))


def _wants(candidate: Candidate, interface: Interface) -> bool:
    endpoint = candidate.endpoint
    if not endpoint.interface_name and not endpoint.expected_ips:
        # What it wanted could not be read.
        return bool(candidate.rejected or candidate.doubt)
    if endpoint.interface_name:
        return endpoint.interface_name in (interface.name, ALL_INTERFACES)
    return any(address in interface.addresses for address in parse_expected_ips(endpoint))


def parse_expected_ips(endpoint: HostEndpoint) -> List[Address]:
    """The expected addresses that are addresses."""
    found = []
    for text in endpoint.expected_ips:
        try:
            found.append(parse_address(text))
        except ValueError:
            pass
    return found
