# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._module._input.endpoint_set import build_presents
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import (
    HostInput,
    build_endpoints,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.v1_upgrade import convert_endpoints, converted

VECTORS = Path(__file__).resolve().parents[4] / "vectors" / "v1_to_v3_names.jsonl"
ROWS = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]


def endpoint(node="n1", name="eth0", **fields):
    return dict({"node": node, "name": name, "interface_name": "eth0"}, **fields)


def why_not(*hostendpoints):
    with pytest.raises(InvalidInput) as error:
        converted(hostendpoints)
    return error.value.problems


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "%(v1_node)s/%(v1_name)s" % row)
def test_names_are_calico_upgrades(row):
    (found,) = convert_endpoints([endpoint(row["v1_node"], row["v1_name"], profiles=["p", row["v1_name"]])])
    assert (found.v3.node, found.v3.name) == (row["v3_node"], row["v3_name"])
    assert found.v3.profiles == ("p", row["profile_of_name"])
    # Of nothing but punctuation, a profile's name becomes one that v3 refuses.
    assert bool(found.problems) == row["profile_of_name"].startswith("-")


def test_all_else_stays_as_it_is():
    fields = {
        "labels": {"site/x": "A", "y": ""},
        "interface_name": "Eth_0.1",
        "expected_ips": ["192.0.2.7", "2001:db8::7"],
        "profiles": ["b", "a", "b"],
    }
    assert converted([endpoint(**fields)])[0].as_options() == dict(fields, node="n1", name="n1.eth0", ports=[])


@pytest.mark.parametrize(
    "fields, problem",
    [
        ({"labels": {"a/b/c": "x"}}, "labels: 'a/b/c' is not a label key"),
        ({"labels": {"x": "-v"}}, "labels[x]: '-v' is not a label value"),
        ({"labels": {"projectcalico.org/created-by": "x"}}, "'projectcalico.org/created-by' is Calico's own label"),
        ({"interface_name": "eth0:1"}, "interface_name: 'eth0:1' is not an interface name"),
        ({"expected_ips": ["10.0.0.0/8"]}, "expected_ips[0]: '10.0.0.0/8' is not a valid IP address"),
        ({"interface_name": ""}, "interface_name: is missing"),
        ({"profiles": ["p", "_"]}, "profiles[1]: '-53a0acfa' is not a profile name"),
        ({"node": "a" * 128, "name": "b" * 128}, "is not an endpoint name: 1 to 253"),
        ({"node": "-"}, "node: is missing"),
        ({"node": ""}, "node: is missing"),
    ],
)
def test_what_v3_refuses_is_told_by_its_v1_name(fields, problem):
    culprit = endpoint(**fields)
    (found,) = why_not(endpoint("n2"), culprit, endpoint("n3"))
    place = " on node " + culprit["node"] if culprit["node"] else ""
    subject = "host endpoint %s%s becomes " % (culprit["name"], place)
    assert found.startswith(subject) and problem in found


def test_all_problems_are_told_at_once():
    bad = [endpoint("n%d" % number, labels={"a/b/c": "x", "x": "-v"}) for number in range(20)]
    assert len(why_not(*bad)) == 40


def test_two_that_become_one():
    first, second = why_not(endpoint("a.b", "c"), endpoint("a", "b.c"), endpoint("a", "b.d"))
    assert (
        first.startswith("host endpoint c on node a.b ") and "also the v3 name of host endpoint b.c on node a" in first
    )
    assert (
        second.startswith("host endpoint b.c on node a ")
        and "also the v3 name of host endpoint c on node a.b" in second
    )


def test_two_nodes_that_become_one_without_a_name_in_common():
    first, second = why_not(endpoint("DB_1", "eth0"), endpoint("db-1", "eth1"), endpoint("db-2", "eth0"))
    assert "node: 'db-1' is also the v3 name of node db-1" in first and "on node DB_1" in first
    assert "node: 'db-1' is also the v3 name of node DB_1" in second


@pytest.mark.parametrize(
    "given_, problem",
    [
        ({"name": "eth0"}, "is not a list"),
        ([endpoint(), "eth0"], "[1]: 'eth0' is not an endpoint"),
        ([endpoint(), endpoint(name="")], "has no name"),
        ([endpoint(interface="eth0")], "[0]: interface is unknown"),
        ([endpoint(ports=[{"name": "a", "protocol": "TCP", "port": 1}])], "it has ports"),
        ([endpoint(annotations={"a": "1"})], "it has annotations"),
    ],
)
def test_what_are_no_v1_endpoints(given_, problem):
    with pytest.raises(InvalidInput) as error:
        convert_endpoints(given_)
    assert problem in str(error.value)


def test_the_roles_rules_can_give_the_same_names():
    """So that the role goes on with what was migrated, as the guide says."""
    device = {"device": "Bond_0", "type": "ether", "active": True, "ipv4": {"address": "192.0.2.7"}}
    facts = {"interfaces": ["Bond_0"], "Bond_0": device}
    rules = [{"endpoint": {"name": "{node}.{interface}"}}]
    (of_facts,) = build_endpoints(HostInput.of(facts, "DB_1", rules=rules, datastore_type="etcdv3"))
    v1 = build_endpoints(HostInput.of(facts, "DB_1", rules=[{}]))
    assert of_facts == converted(v1)[0].as_options()


# --- any v1 endpoint ---


def texts(pattern):
    return st.from_regex(pattern, fullmatch=True)


V1_ENDPOINTS = st.builds(
    HostEndpoint,
    name=texts("[a-zA-Z0-9_./-]{1,128}"),
    node=texts("[a-zA-Z0-9_.-]{1,128}"),
    labels=st.dictionaries(
        texts("[a-zA-Z0-9_./-]{1,70}") | st.just("projectcalico.org/created-by"),
        texts("[a-zA-Z0-9]?([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"),
        max_size=3,
    ),
    interface_name=st.just("") | texts("[a-zA-Z0-9_.-]{1,15}"),
    expected_ips=st.lists(st.ip_addresses().map(str), max_size=3).map(tuple),
    profiles=st.lists(texts("(k8s_ns[.])?[a-zA-Z0-9_./-]{1,100}"), max_size=3).map(tuple),
).filter(lambda each: not [problem for problem in V1.find_problems(each) if "created-by" not in problem])


# Of these, many become one.
CLOSE = st.sampled_from(["a", "A", "a.a", "a_"])
CLOSE_ENDPOINTS = st.builds(HostEndpoint, name=CLOSE, node=CLOSE, interface_name=st.just("eth0"))


@given(st.lists(V1_ENDPOINTS | CLOSE_ENDPOINTS, max_size=6, unique_by=lambda each: (each.node, each.name)))
def test_each_is_either_accepted_by_v3_or_reported(v1):
    conversions = convert_endpoints([each.as_options() for each in v1])
    assert [each.v1 for each in conversions] == v1
    good = [each for each in conversions if not each.problems]
    for each in good:
        assert (each.v3.labels, each.v3.interface_name, each.v3.expected_ips) == (
            each.v1.labels,
            each.v1.interface_name,
            each.v1.expected_ips,
        )
    # As calico_hostendpoints takes them: valid, and none of them twice.
    items = [(str(each.v1), each.v3.as_options()) for each in good]
    assert len(build_presents(items, V3, {}, "{0.name}".format)) == len(good)
    # Of two nodes, none becomes the same.
    assert len({each.v1.node for each in good}) == len({each.v3.node for each in good})
    for each in conversions:
        others = [other for other in conversions if other is not each]
        clash = any(each.v3.name == other.v3.name for other in others) or any(
            each.v3.node == other.v3.node and each.v1.node != other.v1.node for other in others
        )
        assert bool(each.problems) == (clash or bool(V3.find_problems(each.v3)))
