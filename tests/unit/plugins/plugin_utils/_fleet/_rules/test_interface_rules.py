# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import (
    HostInput,
    RuleError,
    build_endpoints,
    decide,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interfaces import read_interfaces
from ansible_collections.netsec.calico.tests.harness.fleet import interface

DEFAULTS = yaml.safe_load(
    (Path(__file__).resolve().parents[6] / "roles" / "hostendpoints" / "defaults" / "main.yml").read_text()
)


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
    return HostInput.of(fields.pop("facts", FACTS), "worker-1", rules=rules, **fields)


def made(*rules, **fields):
    return {endpoint["interface_name"]: endpoint for endpoint in build_endpoints(host(*rules, **fields))}


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
    assert [(item.name, item.addresses) for item in read_interfaces(found)] == [
        ("eth7", ("192.0.2.7", "10.9.0.1")),
        ("eth7_x", ()),
    ]


def test_an_interface_may_have_the_name_of_another_fact():
    found = facts(interface("mounts"), also=["mounts"])
    found["mounts"] = [{"mount": "/"}]
    assert read_interfaces(found) == []


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
        ({"interface_name": "false"}, {"interface_name": ""}),
        # As a template leaves it that has nothing to say.
        (dict.fromkeys(["interface_name", "expected_ips", "labels", "profiles", "name"]), {"interface_name": "eth0"}),
    ],
)
def test_what_a_rule_says_of_the_endpoint(endpoint, fields):
    rule = {"match": {"name": "eth0"}, "endpoint": endpoint}
    (found,) = build_endpoints(host(rule, inventory_hostname="w1"))
    assert {key: found[key] for key in fields} == fields


def test_every_interface_is_explained():
    rules = [{"match": {"type": "ether", "network": "10.0.0.0/8"}}, {"match": {"active": False}}]
    verdicts = {item.interface: item.reason for item in decide(host(*rules, ignore=["lo", "docker*"]))}
    assert verdicts == {
        "br-lan": "no rule matches: rule 1: its type is bridge, not ether; rule 2: it is active",
        "docker0": "ignored by 'docker*'",
        "eth0": "no rule matches: rule 1: no address in 10.0.0.0/8; rule 2: it is active",
        "eth1": "rule 1",
        "eth2": "no rule matches: rule 1: no address in 10.0.0.0/8; rule 2: it is active",
        "lo": "ignored by 'lo'",
    }
    assert decide(host())[0].reason == "no rule matches: the list is empty"


@pytest.mark.parametrize(
    "rule, message",
    [
        ("eth0", "rule 2: 'eth0' is not a mapping with match and endpoint"),
        ({"labels": {}}, "rule 2: labels is unknown; use match, endpoint"),
        ({"match": []}, "rule 2: match is not a mapping"),
        ({"match": None}, "rule 2: match is null; omit it instead"),
        ({"match": {"name": []}}, "rule 2: match.name is empty; omit it to match every interface"),
        ({"match": ["eth0"]}, "rule 2: match is not a mapping"),
        ({"match": {"interface": "eth0"}}, "rule 2: match.interface is unknown; use name, type, network"),
        ({"endpoint": {"node": "x"}}, "rule 2: endpoint.node is unknown"),
        ({"match": {"network": "10.0.0.0/33"}}, "rule 2: match.network: '10.0.0.0/33'"),
        ({"match": {"network": 5}}, "rule 2: match.network 5 is not"),
        ({"match": {"name": 5}}, "rule 2: match.name 5 is not"),
        ({"match": {"name": [5]}}, "rule 2: match.name [5] is not"),
        ({"match": {"type": {"a": 1}}}, "rule 2: match.type {'a': 1} is not"),
        ({"match": {"default_route": "maybe"}}, "rule 2: match.default_route 'maybe' is not true or false"),
        ({"endpoint": {"labels": ["a"]}}, "rule 2: endpoint.labels"),
        ({"endpoint": {"profiles": 5}}, "rule 2: endpoint.profiles"),
        ({"endpoint": {"ports": 5}}, "rule 2: endpoint.ports"),
        ({"endpoint": {"expected_ips": 5}}, "rule 2: endpoint.expected_ips"),
        ({"endpoint": {"expected_ips": "all"}}, "rule 2: endpoint.expected_ips 'all' is not facts, none, a list"),
        (
            {"endpoint": {"name": "{host}"}},
            "endpoint.name '{host}' has the unknown placeholder 'host'; use interface, inventory_hostname",
        ),
        ({"endpoint": {"name": "{node.__class__}"}}, "rule 2: endpoint.name"),
        ({"endpoint": {"interface_name": "eth0"}}, "rule 2: endpoint.interface_name 'eth0' is not true, false or '*'"),
        (
            {"endpoint": {"expected_ips": {"form": "facts"}}},
            "rule 2: endpoint.expected_ips.form is unknown; use from, except, temporary",
        ),
        (
            {"endpoint": {"expected_ips": {"from": "none"}}},
            "rule 2: endpoint.expected_ips.from: 'none' is not facts",
        ),
        (
            {"endpoint": {"expected_ips": {"except": ["192.0.2.0/24", "10.0.0.0/33"]}}},
            "rule 2: endpoint.expected_ips.except[1]: '10.0.0.0/33' is not a network or an address, such as "
            "192.0.2.0/24 or 2001:db8::1",
        ),
        (
            {"endpoint": {"expected_ips": {"except": "192.0.2.1, 192.0.2.2"}}},
            "rule 2: endpoint.expected_ips.except[0]: '192.0.2.1, 192.0.2.2' is not a network or an address",
        ),
        ({"endpoint": {"expected_ips": {"except": [5]}}}, "rule 2: endpoint.expected_ips.except[0]: 5 is not a"),
        (
            {"endpoint": {"expected_ips": {"except": {"a": 1}}}},
            "rule 2: endpoint.expected_ips.except: {'a': 1} is not a list of networks",
        ),
        (
            {"endpoint": {"expected_ips": {"temporary": "perhaps"}}},
            "rule 2: endpoint.expected_ips.temporary: 'perhaps' is not true or false",
        ),
        ({"match": {"driver": 5}}, "rule 2: match.driver 5 is not a string or a list of strings"),
        ({"match": {"physical": "maybe"}}, "rule 2: match.physical 'maybe' is not true or false"),
        ({"match": {"member_of": []}}, "rule 2: match.member_of is empty; omit it to match every interface"),
        ({"match": {"member_of": 5}}, "rule 2: match.member_of 5 is not true, false, a string or a list of strings"),
        ({"match": {"mac": [1]}}, "rule 2: match.mac [1] is not a string or a list of strings"),
    ],
)
def test_what_is_wrong_with_a_rule_is_named(rule, message):
    rules = ({"match": {"name": "nothing"}}, rule)
    with pytest.raises(RuleError) as error:
        build_endpoints(host(*rules))
    assert message in str(error.value)


def test_a_name_for_all_interfaces_has_no_interface():
    rule = {"endpoint": {"interface_name": "*", "name": "{node}-{interface}"}}
    with pytest.raises(RuleError) as error:
        build_endpoints(host(rule, datastore_type="etcdv3"))
    assert str(error.value) == (
        "rule 1: endpoint.name '{node}-{interface}' has the unknown placeholder 'interface'; use inventory_hostname, "
        "node"
    )


def test_names_and_nodes_of_etcdv3():
    rules = [{"match": {"name": "eth0"}}, {"match": {"name": "lo"}, "endpoint": {"name": "{inventory_hostname}_lo"}}]
    found = build_endpoints(HostInput.of(FACTS, "DB_1", rules=rules, datastore_type="etcdv3"))
    assert [(endpoint["node"], endpoint["name"]) for endpoint in found] == [
        ("db-1", "db-1-eth0"),
        ("db-1", "db-1-lo-7adc6819"),
    ]
    with pytest.raises(RuleError, match="datastore_type 'etcd3' is not one of etcdv2, etcdv3"):
        HostInput.of(FACTS, "DB_1", rules=rules, datastore_type="etcd3")


# --- expected IPs ---


def expected_ips_of(found, expected_ips="facts", name="eth0", **fields):
    rule = {"match": {"name": name}, "endpoint": {"expected_ips": expected_ips}}
    (endpoint,) = build_endpoints(host(rule, facts=found, **fields))
    return endpoint["expected_ips"]


@pytest.mark.parametrize("expected_ips", ["facts", {"from": "facts"}, {"temporary": True}])
def test_a_loopback_address_is_never_expected(expected_ips):
    # As OpenVZ has it: the address that counts has a label.
    openvz = facts(
        interface("venet0", "127.0.0.2/32", type="unknown"),
        also=["venet0_0"],
        venet0_0={"ipv4": {"address": "192.0.2.50", "netmask": "255.255.255.0", "network": "192.0.2.0"}},
    )
    assert expected_ips_of(openvz, expected_ips, "venet0") == ["192.0.2.50"]
    # An address for anycast on the loopback.
    lo = interface("lo", "127.0.0.1/8", "::1/128", "198.51.100.7/32", "2001:db8:9::7/128", type="loopback")
    assert expected_ips_of(facts(lo), expected_ips, "lo") == ["198.51.100.7", "2001:db8:9::7"]
    # Whatever its scope, and however it is written.
    odd = interface("eth0", "127.9.9.9/8", "192.0.2.1/24")
    odd["ipv6"] = [
        {"address": address, "prefix": "128", "scope": "global"} for address in ("::1", "::ffff:127.0.0.1", "::2")
    ]
    assert expected_ips_of(facts(odd), expected_ips) == ["192.0.2.1", "::2"]


KEEPALIVED = facts(
    interface("eth0", "192.0.2.7/24", "192.0.2.100/32", "192.0.2.101/32", "2001:db8::7/64", "2001:db8::100/128")
)


@pytest.mark.parametrize(
    "left_out, expected_ips",
    [
        ([], ["192.0.2.7", "192.0.2.100", "192.0.2.101", "2001:db8::7", "2001:db8::100"]),
        (None, ["192.0.2.7", "192.0.2.100", "192.0.2.101", "2001:db8::7", "2001:db8::100"]),
        ("192.0.2.100", ["192.0.2.7", "192.0.2.101", "2001:db8::7", "2001:db8::100"]),
        (["192.0.2.100/31", "2001:db8::100"], ["192.0.2.7", "2001:db8::7"]),
        (["0.0.0.0/0", "::/0"], []),
    ],
)
def test_a_rule_leaves_the_addresses_of_some_networks_out(left_out, expected_ips):
    assert expected_ips_of(KEEPALIVED, {"from": "facts", "except": left_out}) == expected_ips


def test_an_address_that_is_left_out_still_matches():
    rule = {"match": {"network": "192.0.2.100/32"}, "endpoint": {"expected_ips": {"except": "192.0.2.100"}}}
    (endpoint,) = build_endpoints(host(rule, facts=KEEPALIVED))
    assert endpoint["expected_ips"] == ["192.0.2.7", "192.0.2.101", "2001:db8::7", "2001:db8::100"]


PRIVACY = interface(
    "eth0",
    "192.0.2.7/24",
    "2001:db8::7/64",
    "fe80::7/64",
    temporary=["2001:db8::fa8f:808a:1ecc:3f5/64", "2001:db8::1:2:3:4/64"],
)


@pytest.mark.parametrize(
    "expected_ips, has_temporary",
    [
        ("facts", False),
        ({}, False),
        ({"temporary": False}, False),
        ({"temporary": "false"}, False),
        ({"temporary": "no"}, False),
        ({"temporary": True}, True),
        ({"temporary": "True"}, True),
    ],
)
def test_temporary_addresses_are_left_out_unless_a_rule_wants_them(expected_ips, has_temporary):
    temporary = ["2001:db8::fa8f:808a:1ecc:3f5", "2001:db8::1:2:3:4"] if has_temporary else []
    assert expected_ips_of(facts(PRIVACY), expected_ips) == ["192.0.2.7", "2001:db8::7", *temporary]


@pytest.mark.parametrize(
    "addresses",
    [
        # Without a link-local address nothing tells where the temporary ones begin.
        ["2001:db8::7", "2001:db8::fa8f:808a:1ecc:3f5"],
        ["2001:db8::fa8f:808a:1ecc:3f5", "2001:db8::7", "fe80::7"],
        # It has no other address of its network.
        ["2001:db8::7", "fe80::7", "2001:db8:1::9"],
        # The same list twice, as from an ip that ignores "secondary".
        ["2001:db8::7", "fe80::7", "2001:db8::7", "fe80::7"],
    ],
)
def test_an_address_that_may_not_be_temporary_is_kept(addresses):
    found = interface("eth0")
    found["ipv6"] = [
        {"address": address, "prefix": "64", "scope": "link" if address[:4] == "fe80" else "global"}
        for address in addresses
    ]
    kept = dict.fromkeys(address for address in addresses if address[:4] != "fe80")
    assert expected_ips_of(facts(found), {"temporary": False}) == list(kept)


# --- what facts say of a device ---

DEVICES = facts(
    interface("eth0", module="virtio_net", pciid="virtio0", macaddress="52:54:00:AA:00:01"),
    interface("eth1", module="ixgbe", pciid="0000:03:00.0", macaddress="a0:36:9f:00:00:02"),
    interface("eth2", module="ixgbe", pciid="0000:03:00.1", macaddress="a0:36:9f:00:00:02"),
    interface("bond0", type="bonding", slaves=["eth1", "eth2"], macaddress="a0:36:9f:00:00:02"),
    interface("br-lan", type="bridge", interfaces=["bond0.7", "tap3"], macaddress="02:00:00:00:00:03"),
    interface("bond0.7", macaddress="a0:36:9f:00:00:02"),
    interface("tap3", macaddress="fe:00:00:00:00:03"),
    interface("lo", "127.0.0.1/8", type="loopback"),
)


@pytest.mark.parametrize(
    "match, names",
    [
        ({"driver": "virtio_net"}, ["eth0"]),
        ({"driver": ["virtio_*", "ix*"]}, ["eth0", "eth1", "eth2"]),
        ({"driver": "*"}, ["eth0", "eth1", "eth2"]),
        ({"physical": True}, ["eth0", "eth1", "eth2"]),
        ({"physical": "false"}, ["bond0", "bond0.7", "br-lan", "lo", "tap3"]),
        ({"member_of": "bond*"}, ["eth1", "eth2"]),
        ({"member_of": ["br-lan", "team0"]}, ["bond0.7", "tap3"]),
        ({"member_of": "*", "physical": True}, ["eth1", "eth2"]),
        ({"mac": "52:54:00:*"}, ["eth0"]),
        ({"mac": ["A0:36:9F:00:00:02", "52:54:00:aa:00:0[1-9]"]}, ["bond0", "bond0.7", "eth0", "eth1", "eth2"]),
        ({"mac": "*"}, ["bond0", "bond0.7", "br-lan", "eth0", "eth1", "eth2", "tap3"]),
        ({"member_of": True}, ["bond0.7", "eth1", "eth2", "tap3"]),
        ({"member_of": False, "physical": True}, ["eth0"]),
        # As a template leaves it before ansible-core 2.19.
        ({"member_of": "False"}, ["bond0", "br-lan", "eth0", "lo"]),
    ],
)
def test_a_rule_matches_by_what_facts_say_of_the_device(match, names):
    assert list(made({"match": match}, facts=DEVICES)) == names


@pytest.mark.parametrize(
    "name, match, reason",
    [
        ("eth0", {"driver": ["ixgbe", "i40e"]}, "its driver virtio_net matches none of ixgbe, i40e"),
        ("bond0", {"driver": "ixgbe"}, "the facts do not name its driver, so it matches none of ixgbe"),
        ("eth0", {"physical": False}, "it is a physical device"),
        ("lo", {"physical": True}, "it is not a physical device"),
        ("eth1", {"member_of": "br*"}, "it is a member of bond0, which matches none of br*"),
        (
            "lo",
            {"member_of": ["br*", "bond0"]},
            "it is not a member of a bond or bridge, so it matches none of br*, bond0",
        ),
        ("eth1", {"member_of": False}, "it is a member of bond0"),
        ("lo", {"member_of": True}, "it is not a member of a bond or bridge"),
        ("eth0", {"mac": ["00:*", "AA:*"]}, "its MAC address 52:54:00:aa:00:01 matches none of 00:*, AA:*"),
        ("lo", {"mac": "52:*"}, "the facts do not name its MAC address, so it matches none of 52:*"),
    ],
)
def test_the_reason_says_what_of_the_device_does_not_match(name, match, reason):
    reasons = {item.interface: item.reason for item in decide(host({"match": match}, facts=DEVICES))}
    assert reasons[name] == "no rule matches: rule 1: " + reason


def test_a_reason_has_no_control_characters_of_a_host():
    odd = facts(interface("eth0", module="\x1b[2J" * 99, macaddress="\x1b[2J"), interface("\x1b", slaves=["eth0"]))
    odd["lo"] = interface("lo", "127.0.0.1")
    odd["interfaces"].append("lo")
    for match in ({"driver": "x"}, {"mac": "x"}, {"member_of": "x"}):
        for verdict in decide(host({"match": match}, facts=odd)):
            assert verdict.reason.isprintable() and len(verdict.reason) < 300


@pytest.mark.parametrize("key, value", [("module", 5), ("pciid", ["x"]), ("macaddress", {"a": 1}), ("slaves", "eth1")])
def test_a_fact_of_a_device_has_its_form(key, value):
    found = facts(interface("lo", "127.0.0.1"), interface("eth0", **{key: value}))
    assert why_unusable(found) == "%s of the interface 'eth0' is invalid: %r" % (key, value)
    found = facts(interface("lo", "127.0.0.1"), interface("eth0", interfaces=["eth1", 7]))
    assert why_unusable(found) == "interfaces of the interface 'eth0' is invalid: ['eth1', 7]"


@pytest.mark.parametrize("name", ["vboxnet0", "vmnet8", "hassio", "waydroid0"])
def test_interfaces_of_virtual_machines_and_containers_are_ignored_by_default(name):
    found = facts(interface("eth0", "192.0.2.19"), interface(name, "198.51.100.1"))
    options = {"facts": found, "ignore": DEFAULTS["hostendpoints_ignore"]}
    assert list(made(*DEFAULTS["hostendpoints_interfaces"], **options)) == ["eth0"]


# --- one endpoint for all interfaces ---


def made_v3(*rules, **fields):
    return build_endpoints(host(*rules, datastore_type="etcdv3", **fields))


WILDCARD = {"interface_name": "*"}


def test_a_rule_makes_one_endpoint_for_all_interfaces():
    found = made_v3({"endpoint": dict(WILDCARD, labels={"a": "b"})}, ignore=["lo", "docker*"])
    assert found == [
        {
            "name": "worker-1-all",
            "node": "worker-1",
            "labels": {"a": "b"},
            "interface_name": "*",
            "expected_ips": ["10.2.0.7", "192.0.2.7", "192.0.2.8", "2001:db8::7", "10.1.0.7"],
            "profiles": [],
            "ports": [],
        }
    ]


def test_it_has_the_addresses_of_the_interfaces_that_no_earlier_rule_takes():
    rules = [
        {"match": {"default_route": True}},
        {"match": {"name": ["eth*", "br-*"]}, "endpoint": dict(WILDCARD, name="{inventory_hostname}-rest")},
    ]
    found = made_v3(*rules, inventory_hostname="w1")
    assert [(each["name"], each["interface_name"], each["expected_ips"]) for each in found] == [
        ("w1-rest", "*", ["10.2.0.7", "10.1.0.7"]),
        ("worker-1-eth0", "eth0", ["192.0.2.7", "192.0.2.8", "2001:db8::7"]),
    ]
    reasons = {item.interface: item.reason for item in decide(host(*rules, datastore_type="etcdv3"))}
    assert reasons["eth1"] == reasons["br-lan"] == "rule 2, whose endpoint is for all interfaces"
    assert reasons["eth0"] == "rule 1"


@pytest.mark.parametrize(
    "expected_ips, addresses",
    [
        ("none", []),
        (["10.0.0.1"], ["10.0.0.1"]),
        ({"except": ["192.0.2.8", "10.0.0.0/8"]}, ["192.0.2.7", "2001:db8::7"]),
    ],
)
def test_it_expects_what_its_rule_says(expected_ips, addresses):
    rule = {"endpoint": dict(WILDCARD, expected_ips=expected_ips)}
    (found,) = made_v3(rule, ignore=["lo", "docker0"])
    assert found["expected_ips"] == addresses


def test_a_host_without_such_interfaces_has_no_endpoint_for_all():
    assert made_v3({"match": {"type": "infiniband"}, "endpoint": WILDCARD}) == []


def test_a_host_has_only_one_endpoint_for_all_interfaces():
    rules = [{"match": {"name": "eth0"}, "endpoint": WILDCARD}, {"endpoint": dict(WILDCARD, name="x")}]
    with pytest.raises(RuleError) as error:
        made_v3(*rules)
    assert str(error.value) == (
        "rule 2: endpoint.interface_name is '*', but rule 1 already creates this host's only endpoint for all "
        "interfaces; combine both rules"
    )
    # One after the other, for different hosts.
    assert len(made_v3(rules[0], {"match": {"name": "nothing"}, "endpoint": WILDCARD})) == 1


def test_calico_v1_has_no_endpoint_for_all_interfaces():
    with pytest.raises(RuleError) as error:
        build_endpoints(host({"match": {"name": "nothing"}, "endpoint": WILDCARD}))
    assert str(error.value) == (
        "rule 1: endpoint.interface_name '*' means all interfaces, which Calico v1 (datastore_type etcdv2) does not "
        "support; set it to true or false"
    )
