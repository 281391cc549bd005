# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_resources: a set of resources of several kinds, and a purge."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ansible.module_utils.basic import AnsibleModule

from .._apply.apply import apply
from .._apply.approved import read_approved, write_plan
from .._apply.canary import parse_canary
from .._core.errors import InvalidInput, brief, format_message, shown
from .._datastore.base import Datastore
from .._guard.enforcement import parse_guard_policy
from .._plan.desired import Desired, KindPurge
from .._plan.plan import Change
from .._resources.api_version import ApiVersion
from ._input.declared import build_owner_labels
from ._input.documents import OtherKind, build_skipped_result
from ._input.resource_set import build_resource_absents, build_resource_presents, read_resources
from .options import check_limits
from .results import build_bulk_result, build_bulk_warnings, build_record
from .runner import describe_datastore, warn


def apply_resources(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """Make the datastore match the declared set."""
    params = module.params
    check_limits(params)
    store.follow_version(params["calico_version"])
    purge = _parse_purge(params, store.api_version)
    owner_labels = build_owner_labels(params, store.api_version)
    skipped: List[OtherKind] = []
    items = read_resources(params, store.api_version, skipped)
    wants: Mapping[str, Desired]
    if params["state"] == "present":
        wants = build_resource_presents(items, store, owner_labels, params["overwrite"])
    else:
        wants = build_resource_absents(items, store)
    guard_policy = parse_guard_policy(params)
    canary = None
    if params["canary_hosts"]:
        canary = parse_canary("canary_hosts", params["canary_hosts"], params["canary_wait"], guard_policy.by_node)
    datastore = describe_datastore(module, store) if params["plan_dest"] or params["plan_src"] else {}
    approved = read_approved(params["plan_src"], datastore) if params["plan_src"] else None
    outcome = apply(
        store,
        wants,
        module.check_mode or bool(params["plan_dest"]) or params["audit"],
        purge,
        params["purge_limit"],
        guard_policy.check,
        canary,
        params["server_dry_run"],
        is_staged=params["canary"] == "staged",
        approved=approved,
        is_audit=params["audit"],
    )
    if params["plan_dest"] and not outcome.failed:
        write_plan(params["plan_dest"], store, outcome.done, datastore, params["owner"])
    warn(module, build_bulk_warnings(outcome, store.api_version, owner_labels))
    if owner_labels and params["state"] == "absent":
        warn(module, ["owner has no effect with state absent: the resources are deleted, whoever owns them"])
    limit = params["diff_limit"] if module._diff else None
    style = params["diff_style"]
    result = build_bulk_result(outcome, store.api_version, limit, style, _build_record_with_kind)
    return dict(build_skipped_result(params, skipped), **result)


def _build_record_with_kind(change: Change) -> Dict[str, Any]:
    return dict(kind=change.ref.kind, **build_record(change))


def _parse_purge(params: Mapping[str, Any], api_version: ApiVersion) -> Optional[KindPurge]:
    """What the task purges. Raises InvalidInput for an unknown kind, and for a purge that nothing limits."""
    if params["purge"] == "none":
        return None
    if params["state"] == "absent":
        raise InvalidInput(["purge: owned requires state present: the purge deletes what is not in the set"])
    if not params["owner"]:
        raise InvalidInput([format_message("{owner}: must not be empty if owned resources are purged")])
    kinds = {kind.lower(): kind for kind in api_version.schemas}
    unknown = [kind for kind in params["purge_kinds"] if kind.lower() not in kinds]
    if unknown:
        text = "purge_kinds: {0} is not a kind of this datastore; use {1}"
        raise InvalidInput([text.format(shown(kind), ", ".join(kinds.values())) for kind in map(brief, unknown)])
    if not params["purge_kinds"]:
        raise InvalidInput(["purge_kinds: must not be empty if owned resources are purged"])
    no_owner = [kind for kind in params["purge_kinds"] if not api_version.schemas[kinds[kind.lower()]].has_owner]
    if no_owner:
        text = "purge_kinds: {0} has no owner: Calico v1 has no labels for it; delete resources with state absent"
        raise InvalidInput([text.format(shown(kind)) for kind in map(brief, no_owner)])
    purged = [kinds[kind.lower()] for kind in params["purge_kinds"]]
    return KindPurge(tuple(dict.fromkeys(purged)), params["owner_label"], params["owner"])
