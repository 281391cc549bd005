# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which endpoint governs an interface of a host.

felix, endpoint_mgr.go (resolveHostEndpoints): of the endpoints with the interface's name, or without an interface name
and with one of its addresses, the first by name. The interface decides on traffic, not the address.
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
    """An endpoint of a node, stored or to be evaluated."""

    endpoint: HostEndpoint
    # Why Felix treats it as missing, which leaves its interface open; "" if it does not.
    rejected: str = ""
    # Why that is unknown; "" if it is known.
    doubt: str = ""
    # The stored value of an unreadable endpoint.
    text: str = ""
    # The name in the key (Calico v3).
    key: str = ""

    @property
    def name(self) -> str:
        return self.endpoint.name


@dataclasses.dataclass(frozen=True)
class Interface:
    """An interface of a host, and the endpoints that match it."""

    name: str
    addresses: Tuple[Address, ...] = ()
    # The known networks behind it.
    nets: Tuple[Net, ...] = ()
    governing: Optional[Candidate] = None
    shadowed: Tuple[Candidate, ...] = ()
    # Endpoints that would govern it if Felix accepted them.
    rejected: Tuple[Candidate, ...] = ()
    # Why the governing endpoint is uncertain; "" if it is certain.
    doubt: str = ""


def read_candidate(stored: Stored, api_version: ApiVersion) -> Candidate:
    """A stored endpoint as Felix reads it: in v3 its name is that in the metadata, not in the key."""
    endpoint = as_host_endpoint(stored.resource)
    if not stored.error:
        return build_candidate(endpoint, api_version)._replace(key=stored.name)
    if not stored.is_certain:
        return Candidate(endpoint, doubt="{0} cannot be read: {1}".format(endpoint, stored.error), text=stored.value)
    if stored.codec.decode_for_felix is None or stored.misplaced:
        return Candidate(endpoint, rejected=stored.error)
    try:
        found = as_host_endpoint(stored.codec.decode_for_felix(stored.content))
    except ValueError as exc:
        return Candidate(endpoint, rejected=str(exc))
    if not found.name or not found.node:
        return Candidate(endpoint, rejected=stored.error)
    return build_candidate(found, api_version)._replace(key=stored.name)


def build_candidate(endpoint: HostEndpoint, api_version: ApiVersion) -> Candidate:
    rejected, doubt = api_version.why_ignored(endpoint), api_version.find_doubt(endpoint)
    return Candidate(endpoint, rejected, doubt, key=endpoint.name)


def known_by_name(candidates: Iterable[Candidate]) -> List[Candidate]:
    """One candidate of each name: of several keys with one name (Calico v3), the smallest key counts."""
    found: Dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda each: each.key.encode("utf-8", "surrogatepass")):
        found.setdefault(candidate.name, candidate)
    return list(found.values())


def parse_interfaces(given: Any, where: str = "interfaces") -> Dict[str, Interface]:
    """The interfaces of a host: addresses, optionally with a prefix length, by name. Raises InvalidInput."""
    if given is None:
        raise InvalidInput(["{0}: is missing; set a mapping of interfaces to addresses".format(where)])
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
                problem = "{0}[{1}]: {2} is not a valid IP address".format(where, brief(name), shown(text))
                raise InvalidInput([problem]) from exc
        found[name] = Interface(name, tuple(addresses), tuple(nets))
    loopback = (parse_address("127.0.0.1"), parse_address("::1"))
    found.setdefault(LOOPBACK, Interface(LOOPBACK, loopback))
    return found


def without_length(interface: Interface, version: int) -> List[Address]:
    """The addresses of the interface whose network is unknown."""
    if interface.name == LOOPBACK:
        return []
    addresses = [each for each in interface.addresses if each[0] == version and not is_link_local(each)]
    return [each for each in addresses if not any(is_in_net(net, *each) for net in interface.nets)]


def governed(interface: Interface, candidates: Iterable[Candidate], is_excluded: bool = False) -> Interface:
    """The interface with its endpoints of the node. If Felix ignores it, only a wildcard endpoint governs it."""
    matching = [candidate for candidate in candidates if _is_match(candidate, interface)]
    if is_excluded:
        matching = [each for each in matching if each.endpoint.interface_name == ALL_INTERFACES]
    rejected = [candidate for candidate in matching if candidate.rejected]
    wildcards = [each for each in matching if not each.rejected and each.endpoint.interface_name == ALL_INTERFACES]
    named = [each for each in matching if not each.rejected and each.endpoint.interface_name != ALL_INTERFACES]
    # A wildcard endpoint governs only if no other endpoint does.
    accepted = _in_order(named) + _in_order(wildcards)
    return dataclasses.replace(
        interface,
        governing=accepted[0] if accepted else None,
        shadowed=tuple(accepted[1:]),
        rejected=tuple(_in_order(rejected)),
        doubt=accepted[0].doubt if accepted else "",
    )


def _in_order(candidates: Iterable[Candidate]) -> List[Candidate]:
    return sorted(candidates, key=lambda candidate: candidate.name.encode("utf-8", "surrogatepass"))


def _is_match(candidate: Candidate, interface: Interface) -> bool:
    endpoint = candidate.endpoint
    if not endpoint.interface_name and not endpoint.expected_ips:
        # Its interface and addresses could not be read.
        return bool(candidate.rejected or candidate.doubt)
    if endpoint.interface_name:
        return endpoint.interface_name in (interface.name, ALL_INTERFACES)
    return any(address in interface.addresses for address in parse_expected_ips(endpoint))


def parse_expected_ips(endpoint: HostEndpoint) -> List[Address]:
    """The valid expected addresses."""
    found = []
    for text in endpoint.expected_ips:
        try:
            found.append(parse_address(text))
        except ValueError:
            pass
    return found
