# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_hostendpoint: one endpoint."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ansible.module_utils.basic import AnsibleModule

from .._apply.apply import apply
from .._core.errors import DatastoreError, InvalidInput, brief
from .._datastore.base import Datastore
from .._guard.enforcement import parse_guard_policy
from .._plan.desired import Absent, Desired, Patched, Present
from .._resources.api_version import ApiVersion
from .._resources.fields import parse_options, with_empty_labels
from .._resources.hostendpoint import HostEndpoint, host_endpoint_ref
from .._resources.manifest import parse_manifest
from ._input.endpoint_set import parse_resource
from .results import build_result, build_warnings, format_failure
from .runner import warn


def apply_endpoint(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """Make the datastore match the declared endpoint. Raises CalicoError when that fails."""
    guard_policy = parse_guard_policy(module.params)
    want = parse_desired(module.params, store.api_version)
    outcome = apply(
        store,
        {store.key(want.ref): want},
        module.check_mode,
        guard=guard_policy.check,
        server_dry_run=module.params["server_dry_run"],
    )
    for _change, error in outcome.failed:
        raise error
    if outcome.not_attempted:
        raise DatastoreError(format_failure(outcome))
    change = outcome.changes[0]
    warn(module, build_warnings(change, outcome, store.api_version))
    return build_result(change, store.api_version, module._diff, outcome.guarded)


def parse_desired(params: Mapping[str, Any], api_version: ApiVersion) -> Desired:
    """What the options of a task about one endpoint declare. Raises InvalidInput."""
    if params["resource"] is not None:
        fields = parse_manifest(parse_resource(params["resource"]))
    else:
        fields = parse_options(params)
    if params["state"] == "present":
        endpoint = HostEndpoint(**with_empty_labels(fields))
        api_version.check(endpoint)
        return Present(endpoint)
    ref = host_endpoint_ref(fields.pop("name", ""), fields.pop("node", ""))
    removed = [key for key, value in fields.get("annotations", {}).items() if value is None]
    if removed:
        text = "annotations[{0}]: must be a string; annotations are only added or changed, never removed"
        raise InvalidInput([text.format(brief(key)) for key in removed])
    api_version.check_ref(ref)
    if ref.node and not api_version.identify(ref).node:
        # In v3, the node is a field like the others.
        fields["node"] = ref.node
    return Absent(ref) if params["state"] == "absent" else Patched(ref, fields)
