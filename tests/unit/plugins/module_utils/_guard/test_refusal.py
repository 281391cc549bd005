# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard says when it refuses changes of many hosts."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import name_options
from ansible_collections.netsec.calico.plugins.module_utils._datastore.base import State
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import snapshot_v3
from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import ENFORCE, GuardPolicy
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import (
    UNSAFE,
    GuardFinding,
    Unsafe,
    build_verdict,
    format_records,
    format_refusal,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.results import REFUSAL_SIZE, build_guard_result
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import build_change
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from tests.harness.toy_datastore import ToyDatastore

HOSTS = 800
NODES = ["worker-{0}".format(number) for number in range(1, HOSTS + 1)]
ROOT = "/calico/resources/v3/projectcalico.org/"
INFORMATION = {"metadata": {"name": "default"}, "spec": {"datastoreReady": True, "calicoVersion": "v3.32.1"}}
READY = {ROOT + "clusterinformations/default": json.dumps(INFORMATION)}
SETTINGS = {
    **READY,
    ROOT + "felixconfigurations/default": json.dumps({"metadata": {"name": "default"}, "spec": {}}),
}


class Store(ToyDatastore):
    def __init__(self, nodes=NODES, warning="", values=SETTINGS):
        super().__init__(None)
        self._nodes, self._warning, self._values = nodes, warning, values

    def list(self, node=""):
        return []

    def read_state(self):
        return State(warning=self._warning)

    def known_nodes(self):
        return self._nodes

    def read_policies(self, node="", declared=(), planned=()):
        return snapshot_v3(self._values, ())


def address(number):
    return "10.0.{0}.{1}".format(*divmod(number, 250))


def refuse(store, hosts=HOSTS, **fields):
    """The exception about new endpoints, whose hosts have SSH on a port that is no failsafe port."""
    nodes = NODES[:hosts]
    facts = {
        node: {
            "interfaces": {"eth0": [address(number) + "/8"]},
            "default_interface": "eth0",
            "ssh": {"peer": "192.0.2.9", "address": address(number), "port": 2222},
        }
        for number, node in enumerate(nodes, 1)
    }
    fields = {"interface_name": "eth0", **fields}
    endpoints = [HostEndpoint(name=node + "-eth0", node=node, **fields) for node in nodes]
    changes = [build_change(Present(endpoint), None, V3) for endpoint in endpoints]
    with pytest.raises(Unsafe) as refused:
        GuardPolicy(ENFORCE, (), facts).check(store, changes)
    return refused.value


def test_each_finding_is_reported_once_with_its_hosts():
    message = str(refuse(Store(), profiles=("missing",)))
    assert message == (
        "800 of 800 changes would be unsafe: G01, a profile of the endpoint does not exist, on 800 nodes (worker-1, "
        "worker-2, worker-3 and 797 more): profile missing is missing or has no rules that Felix accepts, so it drops "
        "all traffic that reaches it. What to do: create the profile (on Kubernetes that is not possible), or remove "
        "it from the endpoint's profiles. G03, a required inbound connection, such as SSH, is denied, on 800 nodes "
        "(worker-1, worker-2, worker-3 and 797 more): tcp port 2222 from 192.0.2.9 is required: denied: profile "
        "missing does not exist, so it drops everything. What to do: first create a policy that "
        "allows this connection and selects the governing endpoint, or add a profile that allows it to that endpoint. "
        "Set guard to warn to write it anyway"
    )


def test_the_result_of_a_refusal_is_no_long_line():
    verdicts = refuse(Store(), profiles=("missing",)).verdicts
    found = build_guard_result(format_records(verdicts), REFUSAL_SIZE)
    assert len(json.dumps(found)) < 7000
    assert len(found["guard"]) > 5 and len(found["guard"]) + found["guard_omitted"] == HOSTS


def test_few_hosts_are_named_with_their_reasons():
    message = str(refuse(Store(), hosts=3))
    assert message.startswith("3 of 3 changes would be unsafe: host endpoint worker-1-eth0 on node worker-1: tcp port")
    assert message.count("is required: denied: no policy") == 3


def test_each_connection_that_a_check_finds_has_an_example():
    def found(number, port):
        text = "tcp port {0} from 10.0.0.{1} is required: denied".format(port, number)
        return build_verdict("n{0}".format(number), "", [GuardFinding("G03", UNSAFE, text)])

    message = format_refusal([found(number, 22 if number < 30 else 2379) for number in range(35)])
    assert "on 35 nodes (n0, n1, n2 and 32 more): for example node n0: tcp port 22 from 10.0.0.0 is" in message
    assert "; node n30: tcp port 2379 from 10.0.0.30 is required: denied" in message and message.count("tcp port") == 2


def test_findings_that_differ_have_an_example_and_the_most_frequent_is_first():
    def found(rule, node):
        return build_verdict(node, "e", [GuardFinding(rule, UNSAFE, "reason of {0}".format(node))])

    few = [found(rule, "n1") for rule in ("G01", "G04", "G06", "G07", "G08")]
    message = format_refusal([*few, *(found("G03", node) for node in ("n1", "n2")), build_verdict("n3", "e", ())])
    assert message.startswith(
        "7 of 8 changes would be unsafe: G03, a required inbound connection, such as SSH, is denied, on 2"
    )
    assert "on 2 nodes (n1, n2): for example host endpoint e on node n1: reason of n1. What to do: " in message
    assert "G07, the host does not have the expected IPs, on 1 node (n1): reason of n1" in message
    assert "Other findings: G08. Set guard to warn" in message


@pytest.mark.parametrize(
    "store, start",
    [
        (
            Store(warning="etcd has no Ready"),
            "etcd has no Ready, and check whether hostendpoints_datastore_type is correct. 800 of 800 changes would",
        ),
        (
            Store(nodes=[], values={}),
            "the datastore has no policies, profiles and settings of Calico v3, and Calico knows none of the 800 "
            "nodes; check whether hostendpoints_datastore_type is correct. 800 of 800 changes would",
        ),
        (
            Store(nodes=["other"]),
            "Calico knows none of the 800 nodes; check whether hostendpoints_datastore_type is correct. 800 of",
        ),
    ],
    ids=["never used", "empty", "other nodes"],
)
def test_what_concerns_the_whole_datastore_comes_first(store, start):
    name_options({"datastore_type": "hostendpoints_datastore_type", "guard": "hostendpoints_guard"})
    try:
        message = str(refuse(store))
    finally:
        name_options({})
    assert message.startswith(start)
    assert message.endswith(". Set hostendpoints_guard to warn to write it anyway") and len(message) < 1500
