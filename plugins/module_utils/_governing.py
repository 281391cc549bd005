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

from . import _json
from ._errors import InvalidInput, brief, shown
from ._hostendpoint import CALICO_OWNER_LABEL, V1, HostEndpoint
from ._plan import Stored
from ._traffic import Address, Net, address_of, is_link_local, net_of
from ._validation import ignored_by_felix, problems_of

# Calico v3's name for all interfaces that no other endpoint governs.
ALL_INTERFACES = "*"
LOOPBACK = "lo"
# What a NetworkPolicy asks for besides its selector.
_NAMESPACE_LABEL = "projectcalico.org/namespace"
# What Felix takes of a profile's name, though Calico v3 takes more (felix calc/validation_filter.go).
_MOST_OF_A_PROFILE = 128


class Candidate(NamedTuple):
    """An endpoint of a node, stored or asked about."""

    endpoint: HostEndpoint
    # Why Felix takes it for missing, which leaves its interface open; "" when it does not.
    rejected: str = ""
    # Why nobody knows whether it does; "" when that is known.
    doubt: str = ""
    # What is stored, of one that cannot be read.
    text: str = ""

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


def candidate_of(stored: Stored, api_version: str) -> Candidate:
    """A stored endpoint as Felix sees it."""
    if stored.error:
        endpoint = HostEndpoint(name=stored.name, node=stored.node_of_key)
        # Calico v3's own reader may take more of JSON than this collection's.
        if stored.is_certain and (api_version == V1 or stored.misplaced or not _is_json(stored.value)):
            return Candidate(endpoint, rejected=stored.error)
        return Candidate(endpoint, doubt="{0} cannot be read: {1}".format(endpoint, stored.error), text=stored.value)
    return candidate_from(stored.endpoint, api_version)


def candidate_from(endpoint: HostEndpoint, api_version: str) -> Candidate:
    if api_version == V1:
        doubt = "{0} expects an empty address".format(endpoint) if "" in endpoint.expected_ips else ""
        return Candidate(endpoint, ignored_by_felix(endpoint, api_version), doubt)
    labels = {key: value for key, value in endpoint.labels.items() if key != CALICO_OWNER_LABEL}
    problems = problems_of(dataclasses.replace(endpoint, labels=labels), api_version)
    if not problems and any(len(profile) > _MOST_OF_A_PROFILE for profile in endpoint.profiles):
        problems = ["profiles: a name is longer than {0}".format(_MOST_OF_A_PROFILE)]
    doubt = "maybe Felix takes {0} for missing: {1}".format(endpoint, problems[0]) if problems else ""
    if _NAMESPACE_LABEL in endpoint.labels:
        doubt = doubt or "{0} has the label {1}, so NetworkPolicies may select it".format(endpoint, _NAMESPACE_LABEL)
    return Candidate(endpoint, doubt=doubt)


def _is_json(text: str) -> bool:
    try:
        _json.load(text)
    except _json.Ambiguous:
        return True
    except ValueError:
        return False
    return True


def interfaces_from(given: Any, where: str = "interfaces") -> Dict[str, Interface]:
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
                addresses.append(address_of(text.partition("/")[0]))
                if "/" in text:
                    nets.append(net_of(text))
            except ValueError as exc:
                problem = "{0}[{1}]: {2} is not an IP address".format(where, brief(name), shown(text))
                raise InvalidInput([problem]) from exc
        found[name] = Interface(name, tuple(addresses), tuple(nets))
    loopback = (address_of("127.0.0.1"), address_of("::1"))
    found.setdefault(LOOPBACK, Interface(LOOPBACK, loopback))
    return found


def without_length(interface: Interface, version: int) -> List[Address]:
    """The addresses of the interface of which it is not known in what network they are."""
    if interface.name == LOOPBACK:
        return []
    addresses = [each for each in interface.addresses if each[0] == version and not is_link_local(each)]
    return [
        each
        for each in addresses
        if not any(net[0] == version and net[1] <= each[1] <= net[2] for net in interface.nets)
    ]


def governed(interface: Interface, candidates: Iterable[Candidate]) -> Interface:
    """The interface with its endpoints, of those of the node."""
    wanting = [candidate for candidate in candidates if _wants(candidate, interface)]
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
    return any(address in interface.addresses for address in addresses_of(endpoint))


def addresses_of(endpoint: HostEndpoint) -> List[Address]:
    """The expected addresses that are addresses."""
    found = []
    for text in endpoint.expected_ips:
        try:
            found.append(address_of(text))
        except ValueError:
            pass
    return found
