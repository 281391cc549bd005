# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._interfaces import (
    Host,
    RuleError,
    endpoints_of,
    interfaces_of,
    verdicts_of,
)
from ansible_collections.netsec.calico.tests.harness.fleet import interface


def facts(*devices, **more):
    found = {"interfaces": [device["device"] for device in devices]}
    found.update({device["device"].replace("-", "_"): device for device in devices})
    found["interfaces"] += more.pop("also", [])
    return dict(found, **more)


FACTS = facts(
    interface("lo", "127.0.0.1", type="loopback"),
    interface("eth1", "10.1.0.7", active=False),
    interface("eth0", "192.0.2.7", "192.0.2.8", "fe80::1", "2001:db8::7"),
    interface("br-lan", "10.2.0.7", type="bridge"),
    interface("eth2"),
    interface("docker0", "172.17.0.1", type="bridge"),
    default_ipv4={"interface": "eth0", "address": "192.0.2.7"},
    default_ipv6={},
)


def host(*rules, **fields):
    return Host.of(fields.pop("facts", FACTS), "worker-1", rules=rules, **fields)


def made(*rules, **fields):
    return {endpoint["interface_name"]: endpoint for endpoint in endpoints_of(host(*rules, **fields))}


def test_the_expected_ips_are_the_addresses_of_global_scope():
    assert made({})["eth0"] == {
        "name": "eth0",
        "node": "worker-1",
        "labels": {},
        "interface_name": "eth0",
        "expected_ips": ["192.0.2.7", "192.0.2.8", "2001:db8::7"],
        "profiles": [],
        "ports": [],
    }


def test_an_address_with_a_label_of_its_own_belongs_to_its_interface():
    found = facts(
        interface("eth7", "192.0.2.7"), interface("eth7_x"), also=["eth7_1"], eth7_1={"ipv4": {"address": "10.9.0.1"}}
    )
    assert [(item.name, item.addresses) for item in interfaces_of(found)] == [
        ("eth7", ("192.0.2.7", "10.9.0.1")),
        ("eth7_x", ()),
    ]


def test_an_interface_may_have_the_name_of_another_fact():
    found = facts(interface("mounts"), also=["mounts"])
    found["mounts"] = [{"mount": "/"}]
    assert interfaces_of(found) == []


@pytest.mark.parametrize(
    "match, names",
    [
        ({}, ["br-lan", "docker0", "eth0", "eth1", "eth2", "lo"]),
        ({"name": "eth*"}, ["eth0", "eth1", "eth2"]),
        ({"name": ["eth0", "br-*"]}, ["br-lan", "eth0"]),
        ({"type": "bridge"}, ["br-lan", "docker0"]),
        ({"type": ["bridge", "loopback"]}, ["br-lan", "docker0", "lo"]),
        ({"network": "10.0.0.0/8"}, ["br-lan", "eth1"]),
        ({"network": ["2001:db8::/32", "10.1.0.0/16"]}, ["eth0", "eth1"]),
        ({"network": ["0.0.0.0/0", "::/0"]}, ["br-lan", "docker0", "eth0", "eth1", "lo"]),
        ({"network": "fe80::/10"}, []),
        ({"default_route": True}, ["eth0"]),
        ({"default_route": False, "name": "eth*"}, ["eth1", "eth2"]),
        ({"active": False}, ["eth1"]),
        ({"active": True, "type": "ether", "network": "0.0.0.0/0"}, ["eth0"]),
    ],
)
def test_all_that_a_match_says_must_hold(match, names):
    assert list(made({"match": match})) == names


def test_the_first_rule_that_matches_makes_the_endpoint():
    rules = [
        {"match": {"default_route": True}, "endpoint": {"labels": {"side": "external"}}},
        {"match": {"name": "eth*"}, "endpoint": {"labels": {"side": "internal"}, "profiles": ["inside"]}},
    ]
    found = made(*rules)
    assert {name: endpoint["labels"]["side"] for name, endpoint in found.items()} == {
        "eth0": "external",
        "eth1": "internal",
        "eth2": "internal",
    }
    assert found["eth1"]["profiles"] == ["inside"]


def test_host_labels_beat_a_rules_and_those_beat_the_ones_for_all():
    found = made(
        {"endpoint": {"labels": {"b": "rule", "c": "rule"}}},
        labels={"a": "all", "b": "all", "c": "all"},
        host_labels={"c": "host"},
    )
    assert found["eth0"]["labels"] == {"a": "all", "b": "rule", "c": "host"}


@pytest.mark.parametrize(
    "endpoint, fields",
    [
        ({"name": "{node}-{interface}"}, {"name": "worker-1-eth0"}),
        ({"name": "{inventory_hostname}.{interface}"}, {"name": "w1.eth0"}),
        ({"expected_ips": "none"}, {"expected_ips": []}),
        ({"expected_ips": ["10.0.0.1"]}, {"expected_ips": ["10.0.0.1"]}),
        ({"interface_name": False}, {"interface_name": ""}),
    ],
)
def test_what_a_rule_says_of_the_endpoint(endpoint, fields):
    rule = {"match": {"name": "eth0"}, "endpoint": endpoint}
    (found,) = endpoints_of(host(rule, inventory_hostname="w1"))
    assert {key: found[key] for key in fields} == fields


def test_every_interface_is_explained():
    rules = [{"match": {"type": "ether", "network": "10.0.0.0/8"}}, {"match": {"active": False}}]
    verdicts = {item.interface: item.reason for item in verdicts_of(host(*rules, ignore=["lo", "docker*"]))}
    assert verdicts == {
        "br-lan": "no rule matches: rule 1: its type is bridge, not ether; rule 2: it is active",
        "docker0": "ignored by 'docker*'",
        "eth0": "no rule matches: rule 1: no address in 10.0.0.0/8; rule 2: it is active",
        "eth1": "rule 1",
        "eth2": "no rule matches: rule 1: no address in 10.0.0.0/8; rule 2: it is active",
        "lo": "ignored by 'lo'",
    }
    assert verdicts_of(host())[0].reason == "no rule matches: there are none"


@pytest.mark.parametrize(
    "rule, message",
    [
        ("eth0", "rule 2: 'eth0' is not a mapping with match and endpoint"),
        ({"labels": {}}, "rule 2: labels is unknown; there are match, endpoint"),
        ({"match": []}, "rule 2: match is not a mapping"),
        ({"match": None}, "rule 2: match is null; leave it out instead"),
        ({"match": {"name": []}}, "rule 2: match.name is empty; leave it out to match every interface"),
        ({"match": ["eth0"]}, "rule 2: match is not a mapping"),
        ({"match": {"interface": "eth0"}}, "rule 2: match.interface is unknown; there are name, type, network"),
        ({"endpoint": {"node": "x"}}, "rule 2: endpoint.node is unknown"),
        ({"match": {"network": "10.0.0.0/33"}}, "rule 2: match.network: '10.0.0.0/33'"),
        ({"endpoint": {"expected_ips": "all"}}, "rule 2: endpoint.expected_ips 'all' is not facts, none or a list"),
        (
            {"endpoint": {"name": "{host}"}},
            "endpoint.name '{host}' has 'host' in braces; there are interface, inventory_hostname",
        ),
        ({"endpoint": {"name": "{node.__class__}"}}, "rule 2: endpoint.name"),
    ],
)
def test_what_is_wrong_with_a_rule_is_named(rule, message):
    rules = ({"match": {"name": "nothing"}}, rule)
    with pytest.raises(RuleError) as error:
        endpoints_of(host(*rules))
    assert message in str(error.value)


def test_names_and_nodes_of_etcdv3():
    rules = [{"match": {"name": "eth0"}}, {"match": {"name": "lo"}, "endpoint": {"name": "{inventory_hostname}_lo"}}]
    found = endpoints_of(Host.of(FACTS, "DB_1", rules=rules, datastore_type="etcdv3"))
    assert [(endpoint["node"], endpoint["name"]) for endpoint in found] == [
        ("db-1", "db-1-eth0"),
        ("db-1", "db-1-lo-7adc6819"),
    ]
    with pytest.raises(RuleError, match="datastore_type 'etcd3' is not one of etcdv2, etcdv3"):
        Host.of(FACTS, "DB_1", rules=rules, datastore_type="etcd3")
