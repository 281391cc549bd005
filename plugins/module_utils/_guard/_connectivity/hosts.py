# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts whose connectivity is declared, and their peers: hosts and groups of the inventory."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Collection, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..._core.errors import InvalidInput, brief, shown
from ..._core.ip import Address, is_link_local, is_loopback, parse_address
from ..._dataplane.resolution import LOOPBACK, Interface, parse_interfaces
from ..._policies._felix.failsafes import NONE_GIVEN, GivenFailsafes, parse_failsafes
from ..._resources.nested_options import check_keys
from ..required_connections import parse_dataplane
from ..routing import RoutingTable
from .expectations import Expectation, parse_expectations

_KEYS = ("hosts", "groups")
_HOST_KEYS = ("node", "groups", "addresses", "expectations", "facts")


@dataclasses.dataclass(frozen=True, eq=False)
class DeclaredHost:
    """A host of the inventory with its expectations."""

    name: str
    # "" if it is unknown.
    node: str
    expectations: Tuple[Expectation, ...] = ()
    # The groups, or the name, under which a matrix shows it.
    groups: Tuple[str, ...] = ()
    # Addresses by interface, as given; None if the facts are unknown.
    given: Optional[Mapping[str, Sequence[str]]] = None
    interfaces: Mapping[str, Interface] = dataclasses.field(default_factory=dict)
    default_interface: str = ""
    # The addresses by which other hosts may reach it, or see it.
    addresses: Tuple[Address, ...] = ()
    failsafes: GivenFailsafes = NONE_GIVEN
    dataplane: str = ""

    @functools.cached_property
    def routes(self) -> RoutingTable:
        return RoutingTable(dict(self.interfaces), self.default_interface)

    @functools.cached_property
    def own(self) -> FrozenSet[Address]:
        """All addresses of its interfaces."""
        return frozenset(address for each in self.interfaces.values() for address in each.addresses)


@dataclasses.dataclass(frozen=True)
class Connectivity:
    """All declared expectations, and what is known of the inventory."""

    hosts: Mapping[str, DeclaredHost] = dataclasses.field(default_factory=dict)
    # Names of the hosts of each group.
    groups: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(host.expectations for host in self.hosts.values())

    def list_all(self) -> Iterator[Tuple[DeclaredHost, Expectation]]:
        """Each expectation with its host."""
        return ((host, expectation) for host in self.hosts.values() for expectation in host.expectations)

    @functools.cached_property
    def by_address(self) -> Dict[Address, List[DeclaredHost]]:
        """The hosts that have each address."""
        found: Dict[Address, List[DeclaredHost]] = {}
        for host in self.hosts.values():
            for address in host.addresses:
                found.setdefault(address, []).append(host)
        return found


NONE_DECLARED = Connectivity()


def parse_connectivity(given: Any, facts: Mapping[str, Any], where: str = "connectivity") -> Connectivity:
    """The hosts and groups of the option connectivity. Raises InvalidInput.

    `facts`: {node: its guard facts}, of hosts that have no facts of their own in the option.
    """
    if not given:
        return NONE_DECLARED
    check_keys(given, _KEYS, where)
    groups = _parse_groups(given.get("groups", {}), where + ".groups")
    hosts: Dict[str, DeclaredHost] = {}
    for name, each in _as_mapping(given.get("hosts", {}), where + ".hosts").items():
        hosts[name] = _parse_host(name, each, facts, "{0}.hosts[{1}]".format(where, brief(name)))
    problems = [
        "{0}.groups[{1}]: {2} is not one of the hosts".format(where, brief(group), shown(name))
        for group, names in groups.items()
        for name in names
        if name not in hosts
    ]
    problems += [
        "{0}.hosts[{1}].expectations[{2}].peer: {3}".format(where, brief(host.name), index, problem)
        for host in hosts.values()
        for index, problem in find_unknown_peers(host.expectations, hosts, groups)
    ]
    if problems:
        raise InvalidInput(problems)
    return Connectivity(hosts, groups)


def find_unknown_peers(
    expectations: Sequence[Expectation], hosts: Collection[str], groups: Collection[str]
) -> List[Tuple[int, str]]:
    """The index and the problem of each expectation whose peer is unknown."""
    text = "{0} is neither an address or a network, nor a group or a host of the inventory"
    return [
        (index, text.format(shown(each.peer)))
        for index, each in enumerate(expectations)
        if each.net is None and each.peer not in groups and each.peer not in hosts
    ]


def _as_mapping(given: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(["{0}: {1} is not a mapping".format(where, shown(given))])
    return given


def _parse_groups(given: Any, where: str) -> Mapping[str, Sequence[str]]:
    for group, names in _as_mapping(given, where).items():
        _parse_names(names, "{0}[{1}]".format(where, brief(group)))
    return _as_mapping(given, where)


def _parse_names(given: Any, where: str) -> List[str]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise InvalidInput(["{0}: {1} is not a list of names".format(where, shown(given))])
    return given


def _parse_host(name: str, given: Any, all_facts: Mapping[str, Any], where: str) -> DeclaredHost:
    check_keys(given, _HOST_KEYS, where)
    node = given.get("node") or ""
    if not isinstance(node, str):
        raise InvalidInput(["{0}.node: {1} is not a string".format(where, shown(node))])
    expectations = tuple(parse_expectations(given.get("expectations"), where + ".expectations"))
    shown_as = tuple(_parse_names(given.get("groups") or [name], where + ".groups"))
    facts, of_facts = given.get("facts"), where + ".facts"
    if facts is None:
        facts, of_facts = all_facts.get(node), "guard_facts[{0}]".format(brief(node))
    if facts is None:
        return DeclaredHost(name, node, expectations, shown_as)
    if not isinstance(facts, Mapping):
        raise InvalidInput(["{0}: {1} is not a mapping".format(of_facts, shown(facts))])
    interfaces = parse_interfaces(facts.get("interfaces"), of_facts + ".interfaces")
    default = facts.get("default_interface") or ""
    if not isinstance(default, str):
        text = "{0}.default_interface: {1} is not the name of an interface"
        raise InvalidInput([text.format(of_facts, shown(default))])
    addresses = _parse_addresses(given.get("addresses"), where + ".addresses", interfaces)
    return DeclaredHost(
        name,
        node,
        expectations,
        shown_as,
        facts["interfaces"],
        interfaces,
        default,
        addresses,
        parse_failsafes(facts.get("failsafes"), of_facts + ".failsafes"),
        parse_dataplane(facts.get("dataplane"), of_facts + ".dataplane"),
    )


def _parse_addresses(given: Any, where: str, interfaces: Mapping[str, Interface]) -> Tuple[Address, ...]:
    """The given addresses, by default those of all interfaces that are not of the host or the link only."""
    if given is None:
        all_found = [address for each in interfaces.values() if each.name != LOOPBACK for address in each.addresses]
        return tuple([each for each in dict.fromkeys(all_found) if not is_loopback(each) and not is_link_local(each)])
    if not isinstance(given, list):
        raise InvalidInput(["{0}: {1} is not a list of addresses".format(where, shown(given))])
    found = []
    for each in given:
        try:
            found.append(parse_address(each if isinstance(each, str) else ""))
        except ValueError as exc:
            raise InvalidInput(["{0}: {1} is not a valid IP address".format(where, shown(each))]) from exc
    return tuple([each for each in dict.fromkeys(found) if not is_loopback(each) and not is_link_local(each)])
