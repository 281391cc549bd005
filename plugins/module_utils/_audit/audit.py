# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The differences between stored and declared endpoints, by class, and their meaning."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Collection,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from .._core.errors import cut
from .._guard.checks import CHECKS
from .._guard.verdict import UNSAFE as NOT_SAFE
from .._guard.verdict import GuardVerdict
from .._plan.desired import NodePurge, Present
from .._plan.plan import DELETE, NONE, Change, plan
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint
from .._resources.resource import Resource, changed_fields
from .classes import APPLY_AGAIN, DECOMMISSION, DELETE_OR_DECLARE, PURGE_OWNED, get_rank
from .connectivity import list_unmet
from .finding import (
    CHANGED,
    MALFORMED,
    MISSING,
    ORPHANED,
    UNMANAGED,
    UNMET,
    UNSAFE,
    AuditFinding,
    build_finding,
    get_interface,
)
from .shadowed import find_shadowed

if TYPE_CHECKING:
    # Imported only when connectivity is declared.
    from .._guard._connectivity.evaluate import ExpectationResult

# Number of reasons in a message, and maximum number of characters of each.
_REASONS, _LONGEST = 3, 300

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
    findings += find_shadowed(mine, wants, scope.interfaces, api_version)
    findings += _unsafe(mine, verdicts, {(each.node, each.name): each for each in findings if each.kind == UNMANAGED})
    findings += _orphaned(stored, wants, scope)
    flawed = {(finding.node, finding.name) for finding in findings}
    findings += [build_finding(UNMET, *each) for each in list_unmet(expectations)]
    compliant: Dict[str, int] = {}
    for change in changes:
        ref = change.ref
        if change.operation == NONE and change.after and (ref.node, ref.name) not in flawed:
            compliant[ref.node] = compliant.get(ref.node, 0) + 1
    return Audit(
        sorted(findings, key=lambda each: (get_rank(each.kind), each.node, each.name, each.rule)),
        compliant,
        len([item for item in mine if item.key in foreign]),
    )


def _of_change(change: Change, scope: AuditScope, api_version: ApiVersion) -> AuditFinding:
    stored = change.before
    before = stored.beside(change.after) if stored and not stored.error else None
    known = change.after or before
    fields = _fields(change.fields, change.after, before, api_version)
    remedy = APPLY_AGAIN
    if stored is None:
        kind, message = MISSING, "it does not exist: nothing polices the interface unless another endpoint does"
    elif change.operation == DELETE:
        kind, (message, remedy) = UNMANAGED, _unmanaged(stored, scope)
    elif before is None:
        kind, message = MALFORMED, stored.meaning
    else:
        kind, message = CHANGED, "; ".join(_MEANING[field] for field in change.fields)
    node = change.ref.node or (known.node if known else "")
    interface = as_host_endpoint(known).interface_name if known else ""
    return build_finding(kind, node, change.ref.name, interface, message, remedy, fields)


def _unmanaged(stored: Stored, scope: AuditScope) -> Tuple[str, str]:
    """The meaning and the remedy."""
    if scope.owns(stored) and stored.node in scope.decommissioned:
        message = "it belongs to the owner, and its node is decommissioned: apply deletes it whatever the purge"
        return message, DECOMMISSION
    if scope.owns(stored):
        message = "it belongs to the owner and is no longer declared: a purge of owned endpoints deletes it"
        return message, PURGE_OWNED
    message = (
        "it is on an audited node and neither declared nor owned; delete it, or take it into the inventory (only a "
        "purge of all endpoints deletes it)"
    )
    return message, DELETE_OR_DECLARE


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
    return build_finding(CHANGED, endpoint.node, endpoint.name, endpoint.interface_name, message, "", fields)


def _malformed(
    stored: Iterable[Stored], wants: Mapping[str, Present], scope: AuditScope, api_version: ApiVersion
) -> Iterable[AuditFinding]:
    for item in stored:
        # The node of a malformed value in v3 is unknown.
        if item.node and item.node not in scope.nodes:
            continue
        if item.error:
            if item.key not in wants:
                yield build_finding(MALFORMED, item.node, item.name, "", item.meaning)
            continue
        if item.resource.is_calicos_own:
            continue
        reason = api_version.why_ignored(item.resource)
        if reason:
            message = "Felix ignores it, so its interface is open: " + reason
            want = wants.get(item.key)
            is_repaired = want is not None and not api_version.why_ignored(want.resource)
            remedy = None if want is None else APPLY_AGAIN if is_repaired else ""
            yield build_finding(MALFORMED, item.node, item.name, get_interface(item), message, remedy)


def select_guarded(stored: Iterable[Stored], nodes: Collection[str], api_version: ApiVersion) -> List[HostEndpoint]:
    """The endpoints of these nodes that the guard can check."""
    mine = [item for item in stored if not item.error and item.node in nodes and not item.resource.is_calicos_own]
    return [as_host_endpoint(item.resource) for item in mine if not api_version.why_ignored(item.resource)]


def _unsafe(
    stored: Iterable[Stored], verdicts: Iterable[GuardVerdict], unmanaged: Mapping[Tuple[str, str], AuditFinding]
) -> Iterable[AuditFinding]:
    """A finding for each check that an endpoint fails, so that an accepted exception for one leaves the others."""
    interfaces = {(item.node, item.name): get_interface(item) for item in stored}
    for verdict in verdicts:
        key = (verdict.node, verdict.name)
        texts: Dict[str, List[str]] = {}
        for found in verdict.findings:
            # An interface that another endpoint governs has a class of its own, SHADOWED.
            if found.level == NOT_SAFE and found.rule != "G08":
                texts.setdefault(found.rule, []).append(cut(found.text, _LONGEST))
        for check, reasons in texts.items():
            # How to repair an endpoint is of no interest if it should not exist.
            remedy = unmanaged[key].remedy if key in unmanaged else CHECKS[check].remedy
            message = "; ".join(reasons[:_REASONS])
            yield AuditFinding(UNSAFE, *key, interfaces.get(key, ""), [], message, remedy, check)


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
        yield build_finding(ORPHANED, item.node, item.name, get_interface(item), message, "" if unknown else None)


def _short(name: str) -> str:
    """The common part of a host's names: the first label, or a whole address."""
    first = name.partition(".")[0].lower()
    return name.lower() if first.isdigit() or ":" in name else first
