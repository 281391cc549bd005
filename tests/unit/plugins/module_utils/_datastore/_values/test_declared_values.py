# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources are evaluated without a datastore as if a datastore held them."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.declared_values import (
    build_declared_snapshot,
)
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3

SSH = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1", "port": 2222}
PROFILE_V1 = {"kind": "profile", "metadata": {"name": "open"}, "spec": {"ingress": [{"action": "allow"}]}}


def v3(kind, name, **spec):
    return {"apiVersion": V3.name, "kind": kind, "metadata": {"name": name}, "spec": spec}


def policy(name, *ingress, **spec):
    return v3("GlobalNetworkPolicy", name, **{"selector": "all()", "types": ["Ingress"], "ingress": ingress, **spec})


ENDPOINT = v3("HostEndpoint", "n1-eth0", node="n1", interfaceName="eth0", profiles=["open"])
ALLOW = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [2222]}}
DENY = dict(ALLOW, action="Deny")


def parse(manifest, api_version=V3):
    kind = {"hostEndpoint": "HostEndpoint"}.get(manifest["kind"], manifest["kind"])
    resource = api_version.schemas[kind].parse_manifest(manifest)
    api_version.check(resource)
    return resource


def decide(*manifests, api_version=V3, connection=None, **more):
    snapshot = build_declared_snapshot([parse(each, api_version) for each in manifests], api_version, **more)
    host = build_host(Evaluator(api_version, snapshot), "n1", {"eth0": ["192.0.2.1/24"]})
    answer = host.evaluate(parse_connection(connection or SSH, "connection"))
    return answer.verdict, answer.decided_by


def test_each_kind_counts():
    assert decide() == ("allow", "no endpoint governs the interface")
    assert decide(ENDPOINT) == ("deny", "missing profile open")
    profile = v3("Profile", "open", ingress=[ALLOW])
    assert decide(ENDPOINT, profile) == ("allow", "profile open, ingress rule 1")
    assert decide(ENDPOINT, profile, policy("p", DENY)) == ("deny", "policy p, ingress rule 1")
    failsafe = v3("FelixConfiguration", "default", failsafeInboundHostPorts=[{"protocol": "TCP", "port": 2222}])
    assert decide(ENDPOINT, policy("p", DENY), failsafe) == ("allow", "failsafe tcp:2222")
    from_set = policy("p", dict(ALLOW, source={"selector": "zone == 'ops'"}))
    ops = dict(v3("GlobalNetworkSet", "ops", nets=["192.0.2.8/29"]))
    ops["metadata"]["labels"] = {"zone": "ops"}
    assert decide(ENDPOINT, from_set) == ("deny", "no rule of the policies that select it")
    assert decide(ENDPOINT, from_set, ops) == ("allow", "policy p, ingress rule 1")
    # A selector without a namespaceSelector matches the sets of all namespaces, too.
    assert decide(ENDPOINT, from_set, network_sets=[("web", parse(ops))]) == ("allow", "policy p, ingress rule 1")


def test_a_tier_without_an_order_comes_after_calicos_own_tier():
    late = policy("late.deny", DENY, tier="late")
    manifests = [ENDPOINT, policy("allow", ALLOW), v3("Tier", "late"), late]
    assert decide(*manifests) == ("allow", "policy allow, ingress rule 1")
    manifests[2] = v3("Tier", "late", order=10)
    assert decide(*manifests) == ("deny", "policy late.deny, ingress rule 1")


def test_the_given_version_counts():
    port = dict(SSH, port=6443)
    assert decide(ENDPOINT, connection=port) == ("allow", "failsafe tcp:6443")
    assert decide(ENDPOINT, policy("p", DENY), connection=port, version="v3.13.0")[0] == "deny"
    # Before v3.32, Calico stores the policy as default.p.
    assert decide(ENDPOINT, policy("p", ALLOW), version="v3.31.7") == ("allow", "policy p, ingress rule 1")
    with pytest.raises(InvalidInput, match="calico_version: '3' is not a version"):
        decide(ENDPOINT, version="3")


def test_calico_v1():
    endpoint = {"kind": "hostEndpoint", "metadata": {"name": "eth0", "node": "n1"}, "spec": {"interfaceName": "eth0"}}
    endpoint = dict(endpoint, apiVersion="v1")
    endpoint["spec"]["profiles"] = ["open"]
    profile = dict(PROFILE_V1, apiVersion="v1")
    assert decide(endpoint, api_version=V1) == ("deny", "missing profile open")
    assert decide(endpoint, profile, api_version=V1) == ("allow", "profile open, ingress rule 1")
    denied = {"kind": "policy", "apiVersion": "v1", "metadata": {"name": "a/b"}}
    denied["spec"] = {"selector": "all()", "types": ["ingress"]}
    manifests = [endpoint, profile, denied]
    assert decide(*manifests, api_version=V1) == ("deny", "no rule of the policies that select it")
