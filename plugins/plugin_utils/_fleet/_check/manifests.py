# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests of all kinds, as a repository of a cluster has them: those that decide on traffic, and others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Dict, Iterable, List, NamedTuple, Set, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, brief
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.calico_version import CalicoVersion
from ansible_collections.netsec.calico.plugins.module_utils._module._input.declared import build_wants
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import Item
from ansible_collections.netsec.calico.plugins.module_utils._module._input.resource_set import parse_owned
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import KINDS, V3_NAME, spell_top
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Resource

# Calico's kinds that are not evaluated, and the plural name of those that may matter.
_UNREAD = {
    "NetworkPolicy": "networkpolicies",
    "IPPool": "ippools",
    **dict.fromkeys(
        (
            "BGPConfiguration",
            "BGPFilter",
            "BGPPeer",
            "CalicoNodeStatus",
            "ClusterInformation",
            "ClusterNetworkPolicy",
            "IPAMConfiguration",
            "IPReservation",
            "KubeControllersConfiguration",
            "StagedKubernetesNetworkPolicy",
            "StagedNetworkPolicy",
        ),
        "",
    ),
}
_NETWORK_SET, _GLOBAL_NETWORK_SET = "NetworkSet", "GlobalNetworkSet"
_DEFAULT_NAMESPACE = "default"
_CALICOS_GROUP = "projectcalico.org"


class Manifests(NamedTuple):
    """What was read."""

    resources: List[Resource]
    # By namespace, in the form of GlobalNetworkSets.
    network_sets: List[Tuple[str, Resource]]
    # {kind: number of manifests that are not evaluated}
    skipped: Dict[str, int]
    # The plural names of Calico's kinds that were skipped although they may matter.
    unread: Set[str]


def parse_manifests(items: Iterable[Item], api_version: ApiVersion, version: CalicoVersion) -> Manifests:
    """The resources of manifests, each given with its place.

    Manifests of other APIs, such as those of Kubernetes, are skipped. Raises InvalidInput with the place and problem of
    each invalid resource, and both places of a duplicate.
    """
    skipped: Counter[str] = Counter()
    unread: Set[str] = set()
    own: List[Item] = []
    sets: Dict[str, List[Item]] = {}
    for where, item in items:
        kind = _find_kind(item)
        if kind and (not _is_calicos(item, kind, api_version) or _is_unread(kind, api_version)):
            skipped[brief(kind)] += 1
            if _is_calicos(item, kind, api_version):
                unread.update(filter(None, [_UNREAD[kind]]))
        elif kind == _NETWORK_SET and api_version.name == V3_NAME:
            namespace, as_global = _as_global(item)
            sets.setdefault(namespace, []).append((where, as_global))
        else:
            own.append((where, item))
    network_sets = [
        (namespace, each)
        for namespace, found in sets.items()
        for each in parse_resources(found, api_version, {}, version)
    ]
    return Manifests(parse_resources(own, api_version, {}, version), network_sets, dict(skipped), unread)


def parse_resources(
    items: Iterable[Item], api_version: ApiVersion, owner_labels: Mapping[str, str], version: CalicoVersion
) -> List[Resource]:
    """The resources of items with their places, with the owner's labels. Raises InvalidInput."""

    def parse(item: Any) -> Present:
        return Present(parse_owned(item, api_version, owner_labels, version))

    return [want.resource for want in build_wants(items, parse, api_version.identify).values()]


def _find_kind(item: Any) -> str:
    """The kind of a manifest that names its API; "" otherwise."""
    if not isinstance(item, Mapping):
        return ""
    try:
        given = spell_top(item)
    except InvalidInput:
        return ""
    kind = given.get("kind")
    return kind if isinstance(kind, str) and isinstance(given.get("apiVersion"), str) else ""


def _is_calicos(item: Mapping[str, Any], kind: str, api_version: ApiVersion) -> bool:
    name = str(spell_top(item)["apiVersion"])
    if name == V3_NAME or name.partition("/")[0].endswith(_CALICOS_GROUP):
        return True
    # The API v1 of Calico has the name of Kubernetes' API v1.
    own = {each.lower() for each in (*api_version.schemas, *KINDS.values())}
    return name.lower() == "v1" and kind.lower() in own - {"node"}


def _is_unread(kind: str, api_version: ApiVersion) -> bool:
    return kind in _UNREAD and kind not in api_version.schemas


def _as_global(item: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
    """The namespace of a NetworkSet, and the same set as a GlobalNetworkSet."""
    given = dict(spell_top(item), kind=_GLOBAL_NETWORK_SET)
    metadata = given.get("metadata")
    if not isinstance(metadata, Mapping):
        return _DEFAULT_NAMESPACE, given
    namespace = metadata.get("namespace") or _DEFAULT_NAMESPACE
    given["metadata"] = {key: value for key, value in metadata.items() if key != "namespace"}
    return str(namespace), given
