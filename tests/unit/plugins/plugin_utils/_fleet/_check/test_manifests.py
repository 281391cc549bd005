# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts in a repository of manifests, and what is skipped or rejected."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.calico_version import (
    NEWEST,
    parse_version,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.manifests import parse_manifests


def manifest(kind, name="x", api="projectcalico.org/v3", spec=None, **metadata):
    return {"apiVersion": api, "kind": kind, "metadata": dict(metadata, name=name), "spec": spec or {}}


def parse(*items, api_version=V3, version=NEWEST):
    return parse_manifests([("item %d" % index, each) for index, each in enumerate(items)], api_version, version)


def test_what_decides_is_kept_and_the_rest_is_counted():
    found = parse(
        manifest("GlobalNetworkPolicy"),
        manifest("Deployment", api="apps/v1"),
        manifest("Service", api="v1"),
        manifest("NetworkPolicy", api="networking.k8s.io/v1"),
        manifest("BGPPeer"),
        manifest("IPPool", spec={"cidr": "10.0.0.0/8"}),
        manifest("IPPool", "y", spec={"cidr": "10.0.0.0/8"}),
        manifest("hostEndpoint", api="v1", node="n1", spec={"interfaceName": "eth0"}),
    )
    assert [each.KIND for each in found.resources] == ["GlobalNetworkPolicy", "HostEndpoint"]
    assert found.skipped == {"Deployment": 1, "Service": 1, "NetworkPolicy": 1, "BGPPeer": 1, "IPPool": 2}
    # That of Kubernetes selects pods only.
    assert found.unread == {"ippools"}
    assert parse(manifest("NetworkPolicy", namespace="web")).unread == {"networkpolicies"}


def test_a_network_set_belongs_to_its_namespace():
    nets = {"nets": ["192.0.2.0/28"]}
    sets = [manifest("NetworkSet", spec=nets, namespace=each, labels={"a": "b"}) for each in ("web", "db")]
    found = parse(*sets, manifest("NetworkSet", spec=nets), manifest("GlobalNetworkSet", spec=nets))
    assert [(namespace, each.name) for namespace, each in found.network_sets] == [
        ("web", "x"),
        ("db", "x"),
        ("default", "x"),
    ]
    assert found.network_sets[0][1].labels == {"a": "b"}
    with pytest.raises(InvalidInput, match=r"item 1: .*x is given twice, first by item 0"):
        parse(sets[0], sets[0])


@pytest.mark.parametrize(
    "item, problem",
    [
        (manifest("Globalnetworkpolicy"), "did you mean GlobalNetworkPolicy"),
        (manifest("GlobalNetworkPolcy"), "is not valid"),
        (manifest("GlobalNetworkPolicy", spec={"odrer": 1}), "odrer"),
        (manifest("NetworkSet", spec={"nets": ["192.0.2.0/33"]}), "192.0.2.0/33"),
        ({"kind": "GlobalNetworkPolicy", "metadata": {"name": "x"}}, "apiVersion None is not valid"),
        ("text", "is not a Calico resource"),
    ],
)
def test_a_mistake_is_not_skipped(item, problem):
    with pytest.raises(InvalidInput, match="item 0") as error:
        parse(item)
    assert problem in str(error.value)


def test_what_the_version_of_calico_does_not_have():
    with pytest.raises(InvalidInput, match="item 0: .*Tier requires Calico v3.29"):
        parse(manifest("Tier"), version=parse_version("v3.28.0"))


def test_calico_v1_has_its_own_kinds():
    items = [manifest("policy", api="v1"), manifest("Pod", api="v1"), manifest("bgpPeer", api="v1")]
    found = parse(*items, api_version=V1)
    assert [each.KIND for each in found.resources] == ["policy"]
    assert found.skipped == {"Pod": 1, "bgpPeer": 1}
    with pytest.raises(InvalidInput, match="GlobalNetworkPolicy"):
        parse(manifest("GlobalNetworkPolicy"), api_version=V1)
