# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How what is stored differs from what is wanted, and what that means: the plan, sorted into classes."""

from __future__ import annotations

from typing import Any, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional

from ._hostendpoint import HostEndpoint
from ._plan import CREATE, DELETE, NONE, Change, Present, Purge, Stored, plan
from ._validation import ignored_by_felix

MISSING, CHANGED, UNMANAGED, ORPHANED = "missing", "changed", "unmanaged", "orphaned"
SHADOWED, MALFORMED = "shadowed", "malformed"
CLASSES = (MISSING, CHANGED, UNMANAGED, ORPHANED, SHADOWED, MALFORMED)

_MEANING = {
    "node": "it is on another node, so it polices another host's interface",
    "labels": "other policies may select it, and rules that select by label may miss it",
    "interface_name": "it polices another interface than it should",
    "expected_ips": "rules on other hosts see it under other addresses",
    "profiles": "the rules of other profiles apply",
    "ports": "rules with named ports see other ports",
}


class Scope(NamedTuple):
    """What is audited."""

    # Names of the audited nodes.
    nodes: Collection[str]
    # Names of nodes that somebody else looks after: an endpoint of ours there is no orphan.
    other_nodes: Collection[str]
    owner_label: str
    owner: str

    def owns(self, stored: Stored) -> bool:
        return bool(self.owner) and stored.endpoint.labels.get(self.owner_label) == self.owner


class Finding(NamedTuple):
    """What is not as it should be about one endpoint."""

    kind: str
    node: str
    name: str
    interface_name: str
    # {"field": option name, "want": value or null, "have": value or null} of each field that differs.
    fields: List[Dict[str, Any]]
    # What it means, in a sentence.
    message: str


class Audit(NamedTuple):
    findings: List[Finding]
    # Node: how many of its endpoints are as wanted.
    compliant: Dict[str, int]
    # How many endpoints of the audited nodes are Calico's own.
    foreign: int


def audit(wants: Mapping[str, Present], stored: List[Stored], scope: Scope, api_version: str) -> Audit:
    """Compare what is wanted, by key, with all that is stored.

    Raises InvalidInput for what cannot be planned.
    """
    mine = [item for item in stored if item.node in scope.nodes]
    foreign = {item.key for item in stored if item.endpoint.is_calicos_own}
    changes = plan(
        {key: want for key, want in wants.items() if key not in foreign},
        stored,
        api_version,
        Purge(dict.fromkeys(scope.nodes)),
    )
    findings = [_of_change(change, scope, api_version) for change in changes if change.operation != NONE]
    findings += [_taken(want, api_version) for key, want in wants.items() if key in foreign]
    findings += _malformed(stored, wants, scope, api_version)
    findings += _shadowed(mine, api_version)
    known = {want.endpoint.node for want in wants.values()}.union(scope.nodes, scope.other_nodes)
    findings += [_orphaned(item) for item in stored if item.node not in known and not item.error and scope.owns(item)]
    compliant: Dict[str, int] = {}
    for change in changes:
        if change.operation == NONE and change.after:
            compliant[change.identity.node] = compliant.get(change.identity.node, 0) + 1
    return Audit(
        sorted(findings, key=lambda finding: (finding.node, finding.name, CLASSES.index(finding.kind))),
        compliant,
        len([item for item in mine if item.key in foreign]),
    )


def _of_change(change: Change, scope: Scope, api_version: str) -> Finding:
    before = change.before.endpoint if change.before and not change.before.error else None
    known = change.after or before or change.identity
    fields = _fields(change.fields, change.after, before, api_version)
    if change.operation == CREATE:
        kind, message = MISSING, "it is not stored: nothing polices the interface, unless another endpoint does"
    elif change.operation == DELETE:
        kind, message = UNMANAGED, _unmanaged(change.before, scope)
    elif before is None:
        kind, message = MALFORMED, "Calico cannot read it, so the interface is open: " + change.before.error
    else:
        kind, message = CHANGED, "; ".join(_MEANING[field] for field in change.fields)
    return Finding(kind, change.identity.node or known.node, known.name, known.interface_name, fields, message)


def _unmanaged(stored: Stored, scope: Scope) -> str:
    if scope.owns(stored):
        return "it is ours, and not wanted any more: a purge of what is owned deletes it"
    return "it is on a node of ours, and not of our making: only a purge of all deletes it"


def _fields(
    names: Iterable[str], want: Optional[HostEndpoint], have: Optional[HostEndpoint], api_version: str
) -> List[Dict[str, Any]]:
    # In canonical form, only what is really different shows up as such.
    wanted, found = (side.canonical().as_options(api_version) if side else {} for side in (want, have))
    return [{"field": name, "want": wanted.get(name), "have": found.get(name)} for name in sorted(names)]


def _taken(want: Present, api_version: str) -> Finding:
    endpoint = want.endpoint
    fields = _fields(["labels"], endpoint, None, api_version)
    message = "an endpoint of Calico's own controllers has this name, which is never changed: choose another name"
    return Finding(CHANGED, endpoint.node, endpoint.name, endpoint.interface_name, fields, message)


def _malformed(
    stored: Iterable[Stored], wants: Mapping[str, Present], scope: Scope, api_version: str
) -> Iterable[Finding]:
    for item in stored:
        # Of a malformed value in v3, nobody knows the node.
        if item.node and item.node not in scope.nodes:
            continue
        if item.error:
            if item.key not in wants:
                message = "Calico cannot read it, so the interface that it is meant for is open: " + item.error
                yield Finding(MALFORMED, item.node, item.name, "", [], message)
            continue
        reason = ignored_by_felix(item.endpoint, api_version)
        if reason:
            message = "Felix ignores it, so its interface is open: " + reason
            yield Finding(MALFORMED, item.node, item.name, item.endpoint.interface_name, [], message)


def _shadowed(stored: Iterable[Stored], api_version: str) -> Iterable[Finding]:
    """The endpoints that name an interface which another one governs: the one with the smallest name in byte order.

    Felix, endpoint_mgr.go: resolveHostEndpoints.
    """
    claims: Dict[Any, List[Stored]] = {}
    for item in stored:
        interface = "" if item.error else item.endpoint.interface_name
        if interface and not ignored_by_felix(item.endpoint, api_version):
            claims.setdefault((item.node, interface), []).append(item)
    for (node, interface), items in claims.items():
        first, *others = sorted(items, key=lambda item: item.name.encode("utf-8", "replace"))
        for item in others:
            message = "{0} governs {1}, since its name comes first: this one does nothing there".format(
                first.name, interface
            )
            yield Finding(SHADOWED, node, item.name, interface, [], message)


def _orphaned(stored: Stored) -> Finding:
    message = "it is ours, and neither the inventory nor Calico knows its node: decommission the node, if it is gone"
    return Finding(ORPHANED, stored.node, stored.name, stored.endpoint.interface_name, [], message)
