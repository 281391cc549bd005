# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The differences between stored and declared endpoints, by class, and their meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

from .._dataplane.resolution import (
    ALL_INTERFACES,
    Interface,
    governed,
    parse_expected_ips,
    parse_interfaces,
    read_candidate,
)
from .._guard.verdict import UNSAFE as NOT_SAFE
from .._guard.verdict import GuardVerdict, format_reasons
from .._plan.desired import NodePurge, Present
from .._plan.plan import DELETE, NONE, Change, plan
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint
from .._resources.resource import Resource, changed_fields
from .connectivity import list_unmet

if TYPE_CHECKING:
    # Imported only when connectivity is declared.
    from .._guard._connectivity.evaluate import ExpectationResult

MISSING, CHANGED, UNMANAGED, ORPHANED = "missing", "changed", "unmanaged", "orphaned"
SHADOWED, MALFORMED, UNSAFE, UNMET = "shadowed", "malformed", "unsafe", "unmet"
CLASSES = (MISSING, CHANGED, UNMANAGED, ORPHANED, SHADOWED, MALFORMED, UNSAFE, UNMET)

_MEANING = {
    "node": "it is on another node, so it polices another host's interface",
    "labels": "other policies may select it, and rules that select by label may miss it",
    "interface_name": "it polices another interface than declared",
    "expected_ips": "rules on other hosts see it under other addresses",
    "profiles": "the rules of other profiles apply",
    "ports": "rules with named ports see other ports",
    "annotations": "tools that read its annotations see other values",
}


class AuditScope(NamedTuple):
    """What is audited."""

    # Names of the audited nodes.
    nodes: Collection[str]
    # Nodes that are managed elsewhere or that Calico knows: an owned endpoint there is not orphaned.
    other_nodes: Collection[str]
    owner_label: str
    owner: str
    # Hosts whose nodes are unknown: their possible names, with or without a domain.
    other_hosts: Mapping[str, Sequence[str]] = {}
    # Names of nodes whose owned endpoints are obsolete.
    decommissioned: Collection[str] = ()
    # {node with facts: {interface: its addresses}}
    interfaces: Mapping[str, Mapping[str, Sequence[str]]] = {}

    def owns(self, stored: Stored) -> bool:
        return bool(self.owner) and stored.resource.labels.get(self.owner_label) == self.owner


class AuditFinding(NamedTuple):
    """A difference of one endpoint."""

    kind: str
    node: str
    name: str
    interface_name: str
    # {"field": option name, "want": value or null, "have": value or null} of each field that differs.
    fields: List[Dict[str, Any]]
    # The meaning, in a sentence.
    message: str


class Audit(NamedTuple):
    findings: List[AuditFinding]
    # {node: number of its endpoints that match and have no finding}
    compliant: Dict[str, int]
    # Number of endpoints of the audited nodes that belong to Calico's own controllers.
    foreign: int


def audit(
    wants: Mapping[str, Present],
    stored: List[Stored],
    scope: AuditScope,
    api_version: ApiVersion,
    verdicts: Iterable[GuardVerdict] = (),
    expectations: Iterable[ExpectationResult] = (),
) -> Audit:
    """Compare declared endpoints, by key, with all stored ones. `verdicts` are the guard's on the stored endpoints.

    `expectations`: the results of the declared connectivity.

    Raises InvalidInput for what cannot be planned.
    """
    mine = [item for item in stored if item.node in scope.nodes]
    foreign = {item.key: item for item in stored if item.resource.is_calicos_own}
    purged: Dict[str, Optional[str]] = dict.fromkeys(scope.decommissioned, scope.owner)
    purged.update(dict.fromkeys(scope.nodes))
    changes = plan(
        {key: want for key, want in wants.items() if key not in foreign},
        stored,
        api_version,
        NodePurge(purged, scope.owner_label),
    )
    findings = [_of_change(change, scope, api_version) for change in changes if change.operation != NONE]
    findings += [_taken(want, foreign[key], api_version) for key, want in wants.items() if key in foreign]
    findings += _malformed(stored, wants, scope, api_version)
    findings += _shadowed(mine, wants.values(), scope, api_version)
    findings += _unsafe(mine, verdicts)
    findings += _orphaned(stored, wants, scope)
    flawed = {(finding.node, finding.name) for finding in findings}
    findings += [AuditFinding(UNMET, *each) for each in list_unmet(expectations)]
    compliant: Dict[str, int] = {}
    for change in changes:
        ref = change.ref
        if change.operation == NONE and change.after and (ref.node, ref.name) not in flawed:
            compliant[ref.node] = compliant.get(ref.node, 0) + 1
    return Audit(
        sorted(findings, key=lambda finding: (finding.node, finding.name, CLASSES.index(finding.kind))),
        compliant,
        len([item for item in mine if item.key in foreign]),
    )


def _of_change(change: Change, scope: AuditScope, api_version: ApiVersion) -> AuditFinding:
    stored = change.before
    before = stored.beside(change.after) if stored and not stored.error else None
    known = change.after or before
    fields = _fields(change.fields, change.after, before, api_version)
    if stored is None:
        kind, message = MISSING, "it does not exist: nothing polices the interface unless another endpoint does"
    elif change.operation == DELETE:
        kind, message = UNMANAGED, _unmanaged(stored, scope)
    elif before is None:
        kind, message = MALFORMED, stored.meaning
    else:
        kind, message = CHANGED, "; ".join(_MEANING[field] for field in change.fields)
    node = change.ref.node or (known.node if known else "")
    interface = as_host_endpoint(known).interface_name if known else ""
    return AuditFinding(kind, node, change.ref.name, interface, fields, message)


def _unmanaged(stored: Stored, scope: AuditScope) -> str:
    if scope.owns(stored) and stored.node in scope.decommissioned:
        return "it belongs to the owner, and its node is decommissioned: apply deletes it whatever the purge"
    if scope.owns(stored):
        return "it belongs to the owner and is no longer declared: a purge of owned endpoints deletes it"
    return "it is on an audited node and neither declared nor owned: only a purge of all endpoints deletes it"


def _fields(
    names: Iterable[str], want: Optional[Resource], have: Optional[Resource], api_version: ApiVersion
) -> List[Dict[str, Any]]:
    # In canonical form, only real differences appear.
    declared, found = (api_version.as_options(side.canonical()) if side else {} for side in (want, have))
    return [{"field": name, "want": declared.get(name), "have": found.get(name)} for name in sorted(names)]


def _taken(want: Present, stored: Stored, api_version: ApiVersion) -> AuditFinding:
    endpoint, found = as_host_endpoint(want.resource), stored.beside(want.resource)
    fields = _fields(changed_fields(found, endpoint), endpoint, found, api_version)
    message = "an endpoint of Calico's own controllers has this name and is never changed here; choose another name"
    return AuditFinding(CHANGED, endpoint.node, endpoint.name, endpoint.interface_name, fields, message)


def _malformed(
    stored: Iterable[Stored], wants: Mapping[str, Present], scope: AuditScope, api_version: ApiVersion
) -> Iterable[AuditFinding]:
    for item in stored:
        # The node of a malformed value in v3 is unknown.
        if item.node and item.node not in scope.nodes:
            continue
        if item.error:
            if item.key not in wants:
                yield AuditFinding(MALFORMED, item.node, item.name, "", [], item.meaning)
            continue
        if item.resource.is_calicos_own:
            continue
        reason = api_version.why_ignored(item.resource)
        if reason:
            message = "Felix ignores it, so its interface is open: " + reason
            yield AuditFinding(MALFORMED, item.node, item.name, _get_interface(item), [], message)


def _shadowed(
    stored: Iterable[Stored], wants: Iterable[Present], scope: AuditScope, api_version: ApiVersion
) -> Iterable[AuditFinding]:
    """The endpoints whose interface another endpoint of the node governs."""
    by_node: Dict[str, List[Stored]] = {}
    for item in stored:
        if not item.error and (_get_interface(item) or as_host_endpoint(item.resource).expected_ips):
            by_node.setdefault(item.node, []).append(item)
    declared: Dict[str, List[HostEndpoint]] = {}
    for want in wants:
        declared.setdefault(want.resource.node, []).append(as_host_endpoint(want.resource))
    for node, items in by_node.items():
        names = [_get_interface(item) for item in items]
        # On most nodes, each endpoint has its own interface.
        if not all(names) or len(set(names)) < len(names):
            known = parse_interfaces(scope.interfaces.get(node, {}), "guard_facts[{0}].interfaces".format(node))
            interfaces = _interfaces(known, declared.get(node, ()), [as_host_endpoint(item.resource) for item in items])
            yield from _shadowed_on(node, items, interfaces, api_version)


def _shadowed_on(
    node: str, items: Sequence[Stored], interfaces: Iterable[Interface], api_version: ApiVersion
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
        yield AuditFinding(SHADOWED, node, name, places[0][0], [], message)


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


def select_guarded(stored: Iterable[Stored], nodes: Collection[str], api_version: ApiVersion) -> List[HostEndpoint]:
    """The endpoints of these nodes that the guard can check."""
    mine = [item for item in stored if not item.error and item.node in nodes and not item.resource.is_calicos_own]
    return [as_host_endpoint(item.resource) for item in mine if not api_version.why_ignored(item.resource)]


def _unsafe(stored: Iterable[Stored], verdicts: Iterable[GuardVerdict]) -> Iterable[AuditFinding]:
    interfaces = {(item.node, item.name): _get_interface(item) for item in stored}
    for verdict in verdicts:
        # An interface that another endpoint governs has a class of its own, SHADOWED.
        verdict = verdict._replace(findings=tuple(each for each in verdict.findings if each.rule != "G08"))
        if any(finding.level == NOT_SAFE for finding in verdict.findings):
            interface = interfaces.get((verdict.node, verdict.name), "")
            yield AuditFinding(UNSAFE, verdict.node, verdict.name, interface, [], format_reasons(verdict))


def select_strays(stored: Iterable[Stored], wants: Mapping[str, Present], scope: AuditScope) -> List[Stored]:
    """Owned endpoints on unknown nodes, except nodes that may belong to a host whose node is unknown."""
    known = _list_nodes(wants, scope)
    maybe = {_short(name) for names in scope.other_hosts.values() for name in names}
    return [
        item
        for item in stored
        if item.node not in known
        and not item.error
        and item.key not in wants
        and scope.owns(item)
        and _short(item.node) not in maybe
    ]


def _list_nodes(wants: Mapping[str, Present], scope: AuditScope) -> Set[str]:
    return {want.resource.node for want in wants.values()}.union(scope.nodes, scope.other_nodes, scope.decommissioned)


def _orphaned(stored: Iterable[Stored], wants: Mapping[str, Present], scope: AuditScope) -> Iterable[AuditFinding]:
    nodes = {_short(node) for node in _list_nodes(wants, scope).union(item.node for item in stored)}
    unknown = sum(nodes.isdisjoint(map(_short, names)) for names in scope.other_hosts.values())
    message = (
        "it belongs to the owner, and neither the inventory nor Calico knows its node; decommission the node if it is "
        "obsolete"
    )
    if unknown:
        message = (
            "it belongs to the owner, and no host of the inventory is known to be this node; the nodes of {0} are "
            "unknown"
        ).format("1 host" if unknown == 1 else "{0} hosts".format(unknown))
    for item in select_strays(stored, wants, scope):
        yield AuditFinding(ORPHANED, item.node, item.name, _get_interface(item), [], message)


def _get_interface(item: Stored) -> str:
    return as_host_endpoint(item.resource).interface_name


def _short(name: str) -> str:
    """The common part of a host's names: the first label, or a whole address."""
    first = name.partition(".")[0].lower()
    return name.lower() if first.isdigit() or ":" in name else first
