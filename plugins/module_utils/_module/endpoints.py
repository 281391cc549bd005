# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_hostendpoints: a set of endpoints and a purge."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ansible.module_utils.basic import AnsibleModule

from .._apply.apply import apply
from .._apply.approved import read_approved, write_plan
from .._apply.canary import parse_canary
from .._core.errors import InvalidInput, format_message, get_option_name
from .._datastore.base import Datastore
from .._guard.enforcement import parse_guard_policy
from .._plan.desired import NodePurge
from .._resources.api_version import ApiVersion
from ._input.declared import build_owner_labels
from ._input.documents import OtherKind, build_skipped_result
from ._input.endpoint_set import announce, build_presents, check_decommissioned, read_endpoints
from .options import check_limits
from .results import build_bulk_result, build_bulk_warnings
from .runner import describe_datastore, warn


def apply_endpoints(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """Make the datastore match the declared set."""
    params = module.params
    check_limits(params)
    guard_policy = parse_guard_policy(params)
    purge = _parse_purge(params, store.api_version)
    skipped: List[OtherKind] = []
    items = announce(read_endpoints(params, skipped), store)
    owner_labels = build_owner_labels(params, store.api_version)
    wants = build_presents(items, store.api_version, owner_labels, store.key)
    check_decommissioned(wants.values(), params["decommission_nodes"] or ())
    if params["purge_nodes"] is not None or not params["overwrite"]:
        wants = {key: want._replace(**_build_limits(params)) for key, want in wants.items()}
    canary = None
    if params["canary"]:
        canary = parse_canary("canary", params["canary"], params["canary_wait"], guard_policy.by_node)
    datastore = describe_datastore(module, store) if params["plan_dest"] or params["plan_src"] else {}
    approved = read_approved(params["plan_src"], datastore) if params["plan_src"] else None
    outcome = apply(
        store,
        wants,
        module.check_mode or bool(params["plan_dest"]),
        purge,
        params["purge_limit"],
        guard_policy.check,
        canary,
        params["server_dry_run"],
        approved=approved,
    )
    if params["plan_dest"] and not outcome.failed:
        write_plan(params["plan_dest"], store, outcome.done, datastore, params["owner"])
    warn(module, build_bulk_warnings(outcome, store.api_version, owner_labels))
    limit = params["diff_limit"] if module._diff else None
    result = build_bulk_result(outcome, store.api_version, limit, params["diff_style"])
    return dict(build_skipped_result(params, skipped), **result)


def _parse_purge(params: Mapping[str, Any], api_version: ApiVersion) -> Optional[NodePurge]:
    """What the task purges. Raises InvalidInput for an invalid node name and a missing owner."""
    owner, label = params["owner"], params["owner_label"]
    decommissioned = params["decommission_nodes"] or []
    purged = [] if params["purge"] == "none" else params["purge_nodes"] or []
    if not owner and (params["purge"] == "owned" or decommissioned):
        text = "{owner}: must not be empty if owned endpoints are purged or nodes are decommissioned"
        raise InvalidInput([format_message(text)])
    api_version.check_nodes(get_option_name("decommission_nodes"), decommissioned)
    api_version.check_nodes("purge_nodes", purged)
    nodes: Dict[str, Optional[str]] = dict.fromkeys(decommissioned, owner)
    nodes.update(dict.fromkeys(purged, owner if params["purge"] == "owned" else None))
    return NodePurge(nodes, label) if nodes else None


def _build_limits(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The fields of Present that limit what an endpoint of the set may replace."""
    nodes = params["purge_nodes"]
    known = None if nodes is None else frozenset(nodes).union(params["decommission_nodes"] or ())
    return {"overwrite": params["overwrite"], "movable_from": known}
