# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values that a datastore would hold if it held only the given resources, without any datastore."""

from __future__ import annotations

import json
from typing import Collection, Dict, Iterable, List, Tuple

from ..._plan.stored import Stored
from ..._resources._specs.spec_resource import DEFAULT_TIER
from ..._resources.api_version import ApiVersion
from ..._resources.hostendpoint import HOST_ENDPOINT
from ..._resources.resource import Resource
from .. import codec_v1, codec_v3
from .._etcd.v2_policies import build_key
from ..snapshot import V3_ROOT, PolicySnapshot, snapshot_v1, snapshot_v3
from .calico_version import choose_version
from .codec_policies_v1 import POLICY_CODEC, PROFILE_CODEC
from .codec_specs_v3 import PLURALS, build_codec

_READY = "/calico/v1/Ready"
# The version of Calico by which policies are evaluated if none is given: the measured version.
ASSUMED_VERSION = "v3.32.1"


# Calico creates it.
_DEFAULT_TIER = {"metadata": {"name": DEFAULT_TIER}, "spec": {"order": 1000000, "defaultAction": "Deny"}}


def build_declared_snapshot(
    resources: Iterable[Resource],
    api_version: ApiVersion,
    version: str = ASSUMED_VERSION,
    network_sets: Iterable[Tuple[str, Resource]] = (),
    unread: Collection[str] = (),
) -> PolicySnapshot:
    """The snapshot of a datastore with these valid resources, and with what Calico itself creates.

    version: that of Calico v3. Raises InvalidInput for an invalid version.
    network_sets: the namespaces and contents of NetworkSets, as GlobalNetworkSets.
    unread: plural names of kinds of Calico v3 whose resources are unknown (networkpolicies, nodes, ippools).
    """
    stored = [api_version.as_stored(resource) for resource in resources]
    if api_version.has_names_per_node:
        return _build_v1(stored)
    sets = [(namespace, api_version.as_stored(resource)) for namespace, resource in network_sets]
    return _build_v3(stored, version, sets, unread)


def _build_v1(resources: Iterable[Resource]) -> PolicySnapshot:
    values = {_READY: "true"}
    endpoints: List[Stored] = []
    for each in resources:
        if each.KIND == HOST_ENDPOINT:
            content = codec_v1.CODEC.encode(each, None)
            key = "/calico/v1/host/{0}/endpoint/{1}".format(each.node, codec_v1.escape_name(each.name))
            endpoints.append(Stored(key, "", content, each.node, each.name, codec_v1.CODEC))
        elif each.KIND == POLICY_CODEC.resource_type.KIND:
            values[build_key(each.ref)] = POLICY_CODEC.encode(each, None)
        else:
            parts = PROFILE_CODEC.encode(each, None)._asdict()
            values.update(
                {"{0}/{1}".format(build_key(each.ref), part): text for part, text in parts.items() if text is not None}
            )
    return snapshot_v1(values, endpoints)


def _build_v3(
    resources: Iterable[Resource],
    version: str,
    network_sets: Iterable[Tuple[str, Resource]],
    unread: Collection[str],
) -> PolicySnapshot:
    chosen = choose_version(version, "")
    information = {"spec": {"datastoreReady": True, "calicoVersion": version}}
    values: Dict[str, str] = {
        V3_ROOT + "clusterinformations/default": json.dumps(information),
        V3_ROOT + "tiers/" + DEFAULT_TIER: json.dumps(_DEFAULT_TIER),
    }
    endpoints: List[Stored] = []
    for each in resources:
        if each.KIND == HOST_ENDPOINT:
            key = "{0}hostendpoints/{1}".format(V3_ROOT, each.name)
            endpoints.append(Stored(key, "", codec_v3.CODEC.encode(each, None), "", each.name, codec_v3.CODEC))
            continue
        codec = build_codec(each.KIND, chosen)
        name = chosen.list_names(each.name)[0] if codec.has_other_names else each.name
        values["{0}{1}/{2}".format(V3_ROOT, PLURALS[each.KIND], name)] = codec.encode(each, None)
    for namespace, each in network_sets:
        key = "{0}networksets/{1}/{2}".format(V3_ROOT, namespace, each.name)
        values[key] = build_codec(each.KIND).encode(each, None)
    return snapshot_v3(values, endpoints, unread, version)
