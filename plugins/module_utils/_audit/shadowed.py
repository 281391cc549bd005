# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints that are not in effect, because another endpoint governs their interface."""

from __future__ import annotations

from typing import Any, Collection, Dict, Iterable, List, Mapping, Sequence

from .._dataplane.resolution import (
    ALL_INTERFACES,
    Interface,
    governed,
    parse_expected_ips,
    parse_interfaces,
    read_candidate,
)
from .._plan.desired import Present
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint
from .classes import DELETE, format_remedy
from .finding import SHADOWED, AuditFinding, build_finding, get_interface


def find_shadowed(
    stored: Iterable[Stored],
    wants: Mapping[str, Present],
    known_interfaces: Mapping[str, Mapping[str, Sequence[str]]],
    api_version: ApiVersion,
) -> Iterable[AuditFinding]:
    """The endpoints whose interface another endpoint of the node governs.

    known_interfaces: {node with facts: {interface: its addresses}}
    """
    by_node: Dict[str, List[Stored]] = {}
    for item in stored:
        if not item.error and (get_interface(item) or as_host_endpoint(item.resource).expected_ips):
            by_node.setdefault(item.node, []).append(item)
    declared: Dict[str, List[HostEndpoint]] = {}
    for want in wants.values():
        declared.setdefault(want.resource.node, []).append(as_host_endpoint(want.resource))
    for node, items in by_node.items():
        names = [get_interface(item) for item in items]
        # On most nodes, each endpoint has its own interface.
        if not all(names) or len(set(names)) < len(names):
            known = parse_interfaces(known_interfaces.get(node, {}), "guard_facts[{0}].interfaces".format(node))
            wanted = declared.get(node, [])
            interfaces = _interfaces(known, wanted, [as_host_endpoint(item.resource) for item in items])
            yield from _shadowed_on(node, items, interfaces, {each.name for each in wanted}, api_version)


def _shadowed_on(
    node: str,
    items: Sequence[Stored],
    interfaces: Iterable[Interface],
    declared: Collection[str],
    api_version: ApiVersion,
) -> Iterable[AuditFinding]:
    candidates = [read_candidate(item, api_version) for item in items]
    shadows: Dict[str, List[Any]] = {}
    for interface in interfaces:
        found = governed(interface, candidates)
        for each in found.shadowed:
            # An endpoint for all interfaces is meant for those that other endpoints leave.
            is_left = each.endpoint.interface_name == ALL_INTERFACES != interface.name
            if not each.endpoint.is_calicos_own and not is_left:
                shadows.setdefault(each.name, []).append((interface.name, found.governing))
    for name, places in shadows.items():
        texts = ["{0} governs {1}".format(first.name, interface) for interface, first in places]
        message = "{0}: the first name in alphabetical order wins, so this endpoint has no effect there".format(
            ", ".join(texts)
        )
        # Of an endpoint that is not declared and a declared one, the former is in the way.
        surplus = [each for each in (name, *(first.name for _interface, first in places)) if each not in declared]
        owned_by_calico = {first.name for _interface, first in places if first.endpoint.is_calicos_own}
        remedy = "" if not surplus or surplus[0] in owned_by_calico else format_remedy(DELETE, node, surplus[0])
        yield build_finding(SHADOWED, node, name, places[0][0], message)._replace(remedy=remedy)


def _interfaces(
    known: Mapping[str, Interface], declared: Iterable[HostEndpoint], stored: Iterable[HostEndpoint]
) -> Iterable[Interface]:
    """The known interfaces of a node, and those that its endpoints name, with the addresses that these expect.

    The declared endpoints have precedence over the stored ones.
    """
    found = dict(known)
    for endpoints in (declared, stored):
        addresses: Dict[str, List[Any]] = {}
        for endpoint in endpoints:
            if endpoint.interface_name and endpoint.interface_name not in found:
                addresses.setdefault(endpoint.interface_name, []).extend(parse_expected_ips(endpoint))
        found.update({name: Interface(name, tuple(each)) for name, each in addresses.items()})
    return found.values()
