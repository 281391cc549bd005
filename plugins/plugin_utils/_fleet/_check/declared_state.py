# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the datastore would hold after an apply: the declared policies, other manifests, and the hosts' endpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Dict, List, NamedTuple, Sequence

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import CalicoError, InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.calico_version import choose_version
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.declared_values import (
    ASSUMED_VERSION,
    build_declared_snapshot,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import find_api_version
from ansible_collections.netsec.calico.plugins.module_utils._module._input.declared import build_owner_labels
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import Item
from ansible_collections.netsec.calico.plugins.module_utils._module._input.endpoint_set import build_presents
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import as_host_endpoint
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Resource
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.manifests import (
    Manifests,
    parse_manifests,
    parse_resources,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.library import parse_list
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.sources import list_files, read_file
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import RunSettings

_OWNER_LABEL = "app.kubernetes.io/managed-by"


class DeclaredState(NamedTuple):
    """What is declared, ready to be evaluated."""

    evaluator: Evaluator
    # {kind: number of manifests that are not evaluated}
    skipped: Mapping[str, int]
    # Whether nothing of it decides on traffic.
    is_empty: bool


def read_api_version_without_datastore(run: RunSettings) -> ApiVersion:
    """The API version of the task's datastore, of which only the type matters. Raises RunFailed."""
    try:
        return find_api_version({"datastore_type": run.arguments.get("datastore_type")}, os.environ)
    except CalicoError as exc:
        raise RunFailed(str(exc)) from exc


def build_declared_state(
    run: RunSettings,
    templar: Any,
    api_version: ApiVersion,
    policies: Sequence[Item],
    endpoints: Sequence[Mapping[str, Any]],
) -> DeclaredState:
    """What the policies of the role, the manifests of the task and the endpoints of the hosts make together.

    A declared resource replaces one of the same name in the manifests. Raises RunFailed.
    """
    arguments = run.arguments
    version = arguments.get("calico_version") or ASSUMED_VERSION
    try:
        chosen = choose_version(version, "")
        manifests = parse_manifests(_read_manifests(run, templar), api_version, chosen)
        owned = parse_resources(
            policies, api_version, _build_owner(api_version, arguments.get("policies_owner")), chosen
        )
        presents = build_presents(
            [("endpoints", each) for each in endpoints],
            api_version,
            _build_owner(api_version, arguments.get("owner")),
            api_version.identify,
        )
        resources = _merge(api_version, manifests, owned)
        unread = _list_unread(manifests, resources)
        snapshot = build_declared_snapshot(resources, api_version, version, manifests.network_sets, unread)
    except InvalidInput as exc:
        raise RunFailed(str(exc)) from exc
    own = [as_host_endpoint(want.resource) for want in presents.values()]
    return DeclaredState(Evaluator(api_version, snapshot, own), manifests.skipped, not resources)


def _read_manifests(run: RunSettings, templar: Any) -> List[Item]:
    hosts, where = run.hosts, run.get_variable_name("manifests")
    raw = hosts.without_facts(hosts.runner())
    return [
        item
        for path in list_files(where, parse_list(where, run.arguments.get("manifests")))
        for item in read_file(where, path, lambda place, text: hosts.render(templar, place, text, raw))
    ]


def _build_owner(api_version: ApiVersion, owner: Any) -> Dict[str, str]:
    return build_owner_labels({"owner": owner or "", "owner_label": _OWNER_LABEL}, api_version)


def _merge(api_version: ApiVersion, manifests: Manifests, owned: Sequence[Resource]) -> List[Resource]:
    found = {api_version.identify(each.ref): each for each in manifests.resources}
    found.update((api_version.identify(each.ref), each) for each in owned)
    return list(found.values())


def _list_unread(manifests: Manifests, resources: Sequence[Resource]) -> List[str]:
    """The kinds of Calico v3 that the cluster may have although no manifest declares them."""
    found = {"ippools", *manifests.unread}
    if not any(each.KIND == "Node" for each in resources):
        found.add("nodes")
    return sorted(found)
