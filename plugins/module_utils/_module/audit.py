# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_hostendpoints_audit."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule

from .._audit.audit import AuditScope, audit, select_guarded, select_strays
from .._audit.connectivity import NONE_EVALUATED, Reachability, list_unknown, mark_unknown
from .._audit.policies import Selections, build_selections, build_unknown_selections
from .._core.errors import DatastoreError, InvalidInput, file_problem, get_option_name, join_first, shown
from .._core.files import path_as_shown
from .._core.replaced_file import replace_file
from .._datastore.base import Datastore
from .._guard.enforcement import GUARD_OPTIONS, GuardPolicy, parse_guard_policy
from .._guard.verdict import GuardVerdict
from .._plan.stored import Stored
from ._input.declared import build_owner_labels
from ._input.documents import OtherKind, build_skipped_result
from ._input.endpoint_set import announce, build_presents, check_decommissioned, read_endpoints
from .audit_results import build_audit_result
from .runner import read_settings, warn

if TYPE_CHECKING:
    from .._guard._connectivity.hosts import Connectivity
    from .._guard.guard import Guard

# Number of nodes that a warning names.
_NODES_SHOWN = 5


def audit_endpoints(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """Compare the declared endpoints with the stored ones; write the complete result to `dest`, if given."""
    params = module.params
    decommissioned = params["decommission_nodes"] or ()
    store.api_version.check_nodes("nodes", params["nodes"])
    store.api_version.check_nodes(get_option_name("decommission_nodes"), decommissioned)
    skipped: List[OtherKind] = []
    items = announce(read_endpoints(params, skipped), store)
    wants = build_presents(items, store.api_version, build_owner_labels(params, store.api_version), store.key)
    check_decommissioned(wants.values(), decommissioned)
    guard_policy = parse_guard_policy(params)
    scope = AuditScope(
        nodes=set(params["nodes"]),
        other_nodes=set(params["other_nodes"] or ()),
        owner_label=params["owner_label"],
        owner=params["owner"] or "",
        other_hosts=_parse_other_hosts(params["other_hosts"] or {}),
        decommissioned=set(decommissioned),
        interfaces=guard_policy.interfaces(),
    )
    stored = store.list()
    scope = _add_known_nodes(module, store, scope, lambda now: select_strays(stored, wants, now))
    verdicts, selections, reach = _evaluate_policies(module, guard_policy, store, stored)
    warn(module, list_unknown(reach.results))
    found = audit(wants, stored, scope, store.api_version, verdicts, reach.results)
    settings = read_settings(module)
    datastore = {
        "type": settings.datastore_type,
        "endpoints": list(settings.servers),
        "warning": store.state.warning or store.state.locked,
        **store.describe(),
    }
    skipped_result = build_skipped_result(params, skipped)
    if params["dest"]:
        _write(params["dest"], dict(skipped_result, **build_audit_result(found, datastore, selections, reach)))
    return dict(skipped_result, **build_audit_result(found, datastore, selections, reach, is_bounded=True))


def _add_known_nodes(
    module: AnsibleModule, store: Datastore, scope: AuditScope, strays: Callable[[AuditScope], List[Stored]]
) -> AuditScope:
    """The scope with the nodes that Calico knows, read only if strays exist: on these nodes, they are not orphaned."""
    if strays(scope):
        scope = scope._replace(other_nodes={*scope.other_nodes, *store.known_nodes()})
    left = sorted({item.node for item in strays(scope)})
    if not left:
        return scope
    try:
        nodes = store.felix_nodes()
    except DatastoreError as exc:
        text = (
            "cannot determine whether endpoints of {0} are orphaned, since Felix's status reports cannot be read: "
            "{1} ({2})"
        )
        module.warn(text.format(scope.owner, join_first(left, _NODES_SHOWN), exc))
        return scope._replace(other_nodes={*scope.other_nodes, *left})
    silent = [node for node in left if not nodes.get(node, True)]
    if silent:
        text = (
            "endpoints of {0} are on nodes that the inventory does not know and from which Felix no longer reports: "
            "{1}. They do not count as orphaned, since Felix may be down; decommission the nodes that are obsolete"
        )
        module.warn(text.format(scope.owner, join_first(silent, _NODES_SHOWN)))
    return scope._replace(other_nodes={*scope.other_nodes, *nodes})


def _parse_other_hosts(hosts: Dict[str, Any]) -> Dict[str, List[str]]:
    """Raises InvalidInput."""
    problems = [
        "other_hosts[{0}]: {1} is not a list of names".format(host, shown(names))
        for host, names in hosts.items()
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names)
    ]
    if problems:
        raise InvalidInput(problems)
    return hosts


def _evaluate_policies(
    module: AnsibleModule, guard_policy: GuardPolicy, store: Datastore, stored: List[Stored]
) -> Tuple[Sequence[GuardVerdict], Optional[Selections], Reachability]:
    """The guard's verdicts on the stored endpoints, the policies that select them, and the declared connectivity.

    Each only if options request it.
    """
    params = module.params
    is_guarded = any(params[option] is not None for option in GUARD_OPTIONS)
    mine = [item for item in stored if item.node in params["nodes"]]
    endpoints = select_guarded(mine, params["nodes"], store.api_version)
    expected = guard_policy.connectivity
    if not (is_guarded and endpoints or params["policies"] and mine or expected):
        return (), Selections([], {}) if params["policies"] else None, NONE_EVALUATED
    try:
        guard = guard_policy.guard(store, endpoints)
        verdicts = guard.check(guard_policy.facts_for(guard.nodes), is_stored=True) if is_guarded else ()
        selections = build_selections(guard.before, mine) if params["policies"] else None
        return verdicts, selections, _evaluate_connectivity(guard, expected) if expected else NONE_EVALUATED
    except DatastoreError as exc:
        unread = "Calico's policies, profiles or settings could not be read"
        warn(module, ["{0}, so unsafe endpoints are unknown: {1}".format(unread, exc)])
        reach = mark_unknown(expected, unread) if expected else NONE_EVALUATED
        return (), build_unknown_selections(mine) if params["policies"] else None, reach


def _evaluate_connectivity(guard: Guard, expected: Connectivity) -> Reachability:
    # Only an audit of declared connectivity evaluates it.
    # pylint: disable-next=import-outside-toplevel
    from .._guard._connectivity.evaluate import evaluate_connectivity

    # As above.
    from .._guard._connectivity.matrix import build_matrix  # pylint: disable=import-outside-toplevel

    results = evaluate_connectivity(guard.before, expected)
    return Reachability(results, build_matrix(expected, results))


def _write(dest: str, content: Dict[str, Any]) -> None:
    try:
        replace_file(os.path.realpath(dest), json.dumps(content).encode("ascii"))
    except (OSError, ValueError) as exc:
        raise InvalidInput(["dest {0}: {1}".format(path_as_shown(dest), file_problem(exc))]) from exc
