# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether expectations are met, on small fleets of Calico v1."""

from __future__ import annotations

import json
from random import Random

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import snapshot_v1
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity import evaluate as evaluate_module
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.evaluate import evaluate_connectivity
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import parse_connectivity
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint

POLICIES = {
    "web": {
        "selector": "role == 'web'",
        "inbound_rules": [{"action": "allow", "protocol": "tcp", "dst_ports": [443]}],
        "outbound_rules": [
            {"action": "allow", "protocol": "tcp", "dst_ports": [5432], "dst_selector": "role == 'db'"},
            {"action": "deny", "protocol": "tcp", "dst_ports": [25], "dst_net": "198.51.100.128/25"},
            {"action": "allow", "protocol": "tcp", "dst_ports": [25]},
        ],
    },
    "db": {
        "selector": "role == 'db'",
        "inbound_rules": [{"action": "allow", "protocol": "tcp", "dst_ports": [5432], "src_selector": "role == 'web'"}],
    },
}
HOSTS = {"web1": ("web", "192.0.2.1"), "web2": ("web", "192.0.2.2"), "db1": ("db", "192.0.2.11")}


def expect(expect, direction, port, peer, protocol="tcp"):
    return {
        "name": "x",
        "direction": direction,
        "protocol": protocol,
        "port": port,
        "peer": peer,
        "expect": expect,
    }


def evaluate(host, *expectations, policies=None, hosts=None, facts=None, governed=None, groups=None):
    """The outcomes of a host's expectations. `hosts`: {name: (role, *addresses)}; `governed`: names with endpoints."""
    hosts = HOSTS if hosts is None else hosts
    tree = {"/calico/v1/Ready": "true"}
    for name, policy in (POLICIES if policies is None else policies).items():
        tree["/calico/v1/policy/tier/default/policy/" + name] = json.dumps(policy)
    endpoints = [
        HostEndpoint(node=name, name="e", interface_name="eth0", expected_ips=tuple(own), labels={"role": role})
        for name, (role, *own) in hosts.items()
        if governed is None or name in governed
    ]
    known = {
        name: {
            "interfaces": {"eth0": [each + ("/64" if ":" in each else "/24") for each in own]},
            "default_interface": "eth0",
        }
        for name, (_role, *own) in hosts.items()
    }
    known.update(facts or {})
    given = {"hosts": {name: {"node": name} for name in hosts}, "groups": groups or {}}
    for name, (role, *_own) in hosts.items():
        given["groups"].setdefault(role, []).append(name)
    given["hosts"][host]["expectations"] = list(expectations)
    connectivity = parse_connectivity(given, {name: each for name, each in known.items() if each})
    results = evaluate_connectivity(Evaluator(V1, snapshot_v1(tree, ()), endpoints), connectivity)
    return [result.outcome for result in results]


def evaluate_one(host, *expectation, **options):
    (found,) = evaluate(host, expect(*expectation), **options)
    return found


def test_between_two_hosts_both_ends_decide():
    found = evaluate_one("web1", "allow", "out", 5432, "db1")
    assert found.state == "met" and found.connection == "tcp port 5432 to 192.0.2.11"
    assert found.decided_by == "policy web, egress rule 1; policy db, ingress rule 1, on db1"
    # The other end denies it.
    found = evaluate_one("web1", "allow", "in", 443, "web2")
    assert found.state == "unmet" and found.reason == "on web2, denied by web: no egress rule matched"
    assert evaluate_one("web1", "deny", "in", 443, "web2").state == "met"
    # Without an endpoint there, only one end decides.
    assert evaluate_one("web1", "allow", "in", 443, "web2", governed=["web1"]).state == "met"


def test_an_address_of_a_host_is_the_host():
    assert evaluate_one("web1", "allow", "in", 443, "192.0.2.2").state == "unmet"
    assert evaluate_one("web1", "allow", "in", 443, "192.0.2.77").state == "met"


def test_a_group_is_met_only_by_all_members():
    assert evaluate_one("db1", "allow", "in", 5432, "web").state == "met"
    hosts = dict(HOSTS, web3=("web", "192.0.2.3"))
    found = evaluate_one("db1", "allow", "in", 5432, "web", hosts=hosts, governed=["web1", "web2", "db1"])
    # No endpoint has the address, so the selector does not find it.
    assert found.state == "unmet" and found.connection == "tcp port 5432 from 192.0.2.3"
    assert found.ports == (("tcp/5432", "mixed"),)
    # Each result is about the other members.
    assert evaluate_one("web1", "deny", "in", 443, "web").connection == "tcp port 443 from 192.0.2.2"
    assert evaluate_one("db1", "allow", "in", 5432, "none", groups={"none": []}).state == "unknown"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.0/8", "::1", "db1", "db", "192.0.2.11", "198.51.100.7"])
def test_the_host_itself_as_only_peer_is_unknown(peer):
    interfaces = {"lo": ["127.0.0.1/8"], "eth0": ["192.0.2.11/24"], "docker0": ["198.51.100.7/24"]}
    facts = {"db1": {"interfaces": interfaces, "default_interface": "eth0"}}
    for expected in ("allow", "deny"):
        found = evaluate_one("db1", expected, "in", 5432, peer, facts=facts)
        assert found.state == "unknown" and "the host itself is the only peer" in found.reason


def test_a_network_is_met_only_by_all_addresses():
    assert evaluate_one("web1", "allow", "in", 443, "0.0.0.0/0", governed=["web1"]).state == "met"
    found = evaluate_one("web1", "allow", "out", 25, "198.51.100.0/24")
    assert found.state == "unmet" and found.connection == "tcp port 25 to 198.51.100.128"
    assert evaluate_one("web1", "allow", "out", 25, "198.51.100.0/25").state == "met"
    # One address in it is that of an endpoint that a rule selects.
    found = evaluate_one("db1", "deny", "in", 5432, "192.0.2.0/24")
    assert found.state == "unmet" and found.connection == "tcp port 5432 from 192.0.2.1"
    assert evaluate_one("db1", "deny", "in", 5432, "192.0.2.4/30").state == "met"


def test_an_address_in_a_network_is_its_host():
    opened = {"action": "allow", "protocol": "tcp", "dst_ports": [9999]}
    policies = {"web": {"selector": "role == 'web'", "inbound_rules": [opened], "outbound_rules": [opened]}}
    policies["db"] = {"selector": "role == 'db'"}
    hosts = dict(HOSTS, db1=("db", "192.0.2.31"))
    for direction, what in (("out", "ingress"), ("in", "egress")):
        for peer in ("192.0.2.30/31", "192.0.2.31", "0.0.0.0/0"):
            found = evaluate_one("web1", "allow", direction, 9999, peer, policies=policies, hosts=hosts)
            assert found.state == "unmet" and found.reason.startswith("on db1, denied by"), (direction, peer)
            assert what in found.reason
        found = evaluate_one("web1", "allow", direction, 9999, "192.0.2.0/28", policies=policies, hosts=hosts)
        assert found.state == "met"
    # Hosts with the same rules have different results if one of them is the only host in the network.
    policies["web"]["inbound_rules"] = []
    both = _evaluate_together(
        {name: {"node": name, "expectations": [expect("allow", "out", 9999, "192.0.2.1/32")]} for name in HOSTS},
        HOSTS,
        HOSTS,
        {},
        policies,
    )
    assert [both[name][0].state for name in ("web1", "web2")] == ["unknown", "unmet"]
    both = _evaluate_together(
        {name: {"node": name, "expectations": [expect("allow", "out", 9999, "192.0.2.0/31")]} for name in HOSTS},
        HOSTS,
        HOSTS,
        {},
        policies,
    )
    assert [both[name][0].state for name in ("web1", "web2")] == ["met", "unmet"]


def test_a_network_with_too_many_kinds_of_hosts_is_unknown(monkeypatch):
    monkeypatch.setattr(evaluate_module, "_MOST_OWNERS", 1)
    assert evaluate_one("web1", "deny", "in", 80, "192.0.2.0/24").reason.startswith("unknown: the hosts in it divide")
    assert evaluate_one("web1", "deny", "in", 80, "192.0.2.8/29").state == "met"


def test_an_address_of_several_hosts_is_all_of_them():
    virtual = "192.0.2.40"
    peers = {"web2": ("web", "192.0.2.2", virtual), "web3": ("web", "192.0.2.3", virtual)}
    hosts = {"db1": ("db", "192.0.2.11"), **peers, "db2": ("db", "192.0.2.12")}
    opened = {"action": "allow", "protocol": "tcp", "dst_ports": [9999]}
    policies = {
        "db": {"selector": "role == 'db'", "outbound_rules": [opened], "inbound_rules": [opened]},
        "web": {"selector": "role == 'web'"},
    }
    for peer in (virtual, virtual + "/30"):
        found = evaluate_one("db1", "allow", "out", 9999, peer, hosts=hosts, policies=policies)
        assert found.state == "unmet" and "on web2, denied by" in found.reason
        assert evaluate_one("db1", "deny", "out", 9999, virtual, hosts=hosts, policies=policies).state == "met"
        # One of them allows it.
        mixed = dict(hosts, web3=("db", "192.0.2.3", virtual))
        # The other addresses in the network are open.
        for expected in ("allow", "deny") if peer == virtual else ("allow",):
            found = evaluate_one("db1", expected, "out", 9999, peer, hosts=mixed, policies=policies)
            assert found.state == "unknown"
            assert found.reason == "unknown: 192.0.2.40 is an address of web2, web3, whose verdicts differ"
    # It never leaves a host that has it.
    assert evaluate_one("web2", "allow", "out", 9999, virtual, hosts=hosts, policies=policies).state == "unknown"


def random_rule(random):
    """A rule with networks and selectors that divide 192.0.2.0/27."""
    rule = {"action": random.choice(["allow", "deny"]), "protocol": "tcp"}
    for _number in range(random.randrange(3)):
        end = random.choice(["src", "dst"])
        address = "192.0.2.%d/%d" % (random.randrange(32), random.choice([27, 28, 29, 30, 31, 32]))
        selector = random.choice(["role == 'a'", "role == 'b'", "has(role)", "zone in {'1', '2'}"])
        rule.update(
            [random.choice([(end + "_net", address), ("!" + end + "_net", address), (end + "_selector", selector)])]
        )
    return rule


@pytest.mark.parametrize("seed", range(60))
def test_a_network_has_the_verdicts_of_all_its_addresses(seed):
    random = Random(seed)
    policies = {
        name: {
            "selector": "all()",
            "inbound_rules": [random_rule(random) for _number in range(3)],
            "outbound_rules": [random_rule(random) for _number in range(3)],
        }
        for name in "ab"
    }
    tree = {"/calico/v1/Ready": "true"}
    for name, policy in policies.items():
        tree["/calico/v1/policy/tier/default/policy/" + name] = json.dumps(policy)
    endpoints = [
        HostEndpoint(
            node="n%d" % number,
            name="e",
            interface_name="eth0",
            expected_ips=("192.0.2.%d" % random.randrange(32),) if number else ("192.0.2.5",),
            labels={"role": random.choice("ab"), "zone": random.choice("123")},
        )
        for number in range(6)
    ]
    evaluator = Evaluator(V1, snapshot_v1(tree, ()), endpoints)
    interfaces = {"eth0": ["192.0.2.5/27"]}
    host = build_host(evaluator, "n0", interfaces)
    for direction in ("in", "out"):
        for expected in ("allow", "deny"):
            asked = expect(expected, direction, 80, "192.0.2.0/27")
            given = {"hosts": {"h": {"node": "n0", "expectations": [asked], "facts": {"interfaces": interfaces}}}}
            (result,) = evaluate_connectivity(evaluator, parse_connectivity(given, {}))
            verdicts = set()
            for number in set(range(32)) - {5}:
                ends = ["192.0.2.%d" % number, "192.0.2.5"]
                source, destination = ends if direction == "in" else reversed(ends)
                connection = {"direction": direction, "protocol": "tcp", "port": 80, "src": source, "dst": destination}
                verdicts.add(host.evaluate(parse_connection(connection, "x")).verdict)
            assert (result.state == "met") == (verdicts == {expected}), (direction, expected, policies)
            states = (
                {"mixed"} if len(verdicts) > 1 else {{"allow": "open", "deny": "closed"}[each] for each in verdicts}
            )
            assert {state for _port, state in result.outcome.ports} == states


def test_a_network_of_too_many_parts_is_unknown():
    nets = ["10.%d.%d.0/25" % (number // 250, number % 250) for number in range(3000)]
    policies = {"p": {"selector": "all()", "inbound_rules": [{"action": "allow", "src_nets": nets}]}}
    found = evaluate_one("web1", "deny", "in", 443, "0.0.0.0/0", policies=policies)
    assert found.state == "unknown" and "too many parts" in found.reason
    assert evaluate_one("web1", "deny", "in", 443, "192.0.0.0/8", policies=policies).state == "met"


def test_several_ports():
    (found,) = evaluate("web1", expect("deny", "in", [80, 443], "198.51.100.0/24"))
    assert found.state == "unmet" and found.connection.startswith("tcp port 443 from ")
    assert found.ports == (("tcp/80", "closed"), ("tcp/443", "open"))


def test_unknown_facts_are_never_met():
    for expected in ("allow", "deny"):
        found = evaluate_one("db1", expected, "in", 5432, "web", facts={"web2": None})
        assert (found.state == "unknown") == (expected == "allow"), expected
        assert evaluate_one("db1", expected, "in", 5432, "web1", facts={"db1": None}).state == "unknown"
    assert (
        "the facts of web2 are unknown" in evaluate_one("db1", "allow", "in", 5432, "web", facts={"web2": None}).reason
    )


def test_ipv6_requires_neighbour_discovery():
    hosts = {"a": ("x", "2001:db8::1"), "b": ("x", "2001:db8::2")}
    allow = {"action": "allow", "protocol": "tcp"}
    policies = {"p": {"selector": "all()", "inbound_rules": [allow], "outbound_rules": [allow]}}
    found = evaluate_one("a", "allow", "in", 80, "b", hosts=hosts, policies=policies)
    assert found.state == "unmet" and "neighbour discovery" in found.reason
    # An address may still be cached.
    assert evaluate_one("a", "deny", "in", 80, "b", hosts=hosts, policies=policies).state == "unknown"
    policies["p"]["inbound_rules"].append({"action": "allow", "protocol": "icmpv6"})
    policies["p"]["outbound_rules"].append({"action": "allow", "protocol": "icmpv6"})
    assert evaluate_one("a", "allow", "in", 80, "b", hosts=hosts, policies=policies).state == "met"


def test_a_common_version_of_ip_is_required():
    hosts = {"a": ("x", "2001:db8::1"), "b": ("x", "192.0.2.2")}
    found = evaluate_one("a", "deny", "in", 80, "b", hosts=hosts)
    assert found.state == "unknown" and "no addresses of a common version of IP" in found.reason
    assert evaluate_one("a", "deny", "in", 80, "192.0.2.0/24", hosts=hosts).state == "unknown"


TWO_INTERFACES = {
    "interfaces": {"eth0": ["192.0.2.1/24"], "eth1": ["198.51.100.1/24"]},
    "default_interface": "eth0",
}


def test_a_denied_connection_is_denied_at_each_address():
    facts = {"db1": TWO_INTERFACES}
    hosts = {"db1": ("db", "192.0.2.1"), "c": ("client", "203.0.113.9")}
    # No endpoint governs eth1.
    found = evaluate_one("db1", "deny", "in", 80, "203.0.113.0/24", facts=facts, hosts=hosts)
    assert found.state == "unmet" and found.reason == "no endpoint governs eth1, so Calico lets it through"
    assert evaluate_one("db1", "deny", "in", 80, "c", facts=facts, hosts=hosts, governed=["db1"]).state == "unmet"
    # The usual path is through eth0.
    assert evaluate_one("db1", "allow", "in", 80, "203.0.113.0/24", facts=facts, hosts=hosts).state == "unmet"
    found = evaluate_one("db1", "allow", "in", 80, "198.51.100.0/24", facts=facts, hosts=hosts)
    assert found.state == "met"


def test_peers_with_the_same_rules_in_different_networks_are_all_evaluated():
    hosts = {
        "db1": ("db", "192.0.2.1"),
        "c2": ("client", "198.51.100.9"),
        "c1": ("client", "203.0.113.9"),
        "c3": ("client", "203.0.113.10"),
    }
    options = {
        "facts": {"db1": TWO_INTERFACES},
        "hosts": hosts,
        "governed": ["db1"],
        # No rule tells the peers apart.
        "policies": {"db": {"selector": "role == 'db'"}},
    }
    found = evaluate_one("db1", "allow", "in", 80, "client", **options)
    # Only c2 comes through eth1, which no endpoint governs.
    assert found.state == "unmet" and found.connection == "tcp port 80 from 203.0.113.9"
    assert found.ports == (("tcp/80", "mixed"),)


def test_a_path_that_is_unknown():
    facts = {"db1": dict(TWO_INTERFACES, default_interface="")}
    hosts = {"db1": ("db", "192.0.2.1"), "c": ("client", "203.0.113.9")}
    for peer in ("203.0.113.0/24", "c"):
        found = evaluate_one("db1", "allow", "in", 80, peer, facts=facts, hosts=hosts, governed=["db1"])
        assert found.state == "unknown" and "set default_interface" in found.reason


def test_hosts_that_share_results_have_those_of_their_own():
    """Each host alone has the same results as among hosts that are evaluated together."""
    hosts = {"web%d" % number: ("web", "192.0.2.%d" % (number + 1)) for number in range(40)}
    hosts.update({"db%d" % number: ("db", "198.51.100.%d" % (number + 1)) for number in range(40)})
    groups = {"odd": [name for name in hosts if int(name[-1]) % 2]}
    asked = [
        dict(expect(expected, direction, [443, 5432, 25], peer), name=" ".join([expected, direction, peer]))
        for expected in ("allow", "deny")
        for direction in ("in", "out")
        for peer in (
            "web",
            "db",
            "odd",
            "web3",
            "192.0.2.0/28",
            "192.0.2.0/31",
            "198.51.100.7",
            "198.51.100.4/31",
            "0.0.0.0/0",
        )
    ]
    governed = [name for name in hosts if name != "web7"]
    together = {name: {"node": name, "expectations": asked} for name in hosts}
    for name in ("web0", "web7", "db3"):
        alone = evaluate(name, *asked, hosts=hosts, governed=governed, groups=dict(groups))
        assert [each.state for each in alone] == [
            each.state for each in _evaluate_together(together, hosts, governed, groups)[name]
        ]


def _evaluate_together(given, hosts, governed, groups, policies=None):
    tree = {"/calico/v1/Ready": "true"}
    for name, policy in (policies or POLICIES).items():
        tree["/calico/v1/policy/tier/default/policy/" + name] = json.dumps(policy)
    endpoints = [
        HostEndpoint(node=name, name="e", interface_name="eth0", expected_ips=(own,), labels={"role": role})
        for name, (role, own) in hosts.items()
        if name in governed
    ]
    facts = {
        name: {"interfaces": {"eth0": [own + "/24"]}, "default_interface": "eth0"} for name, (_r, own) in hosts.items()
    }
    groups = dict(groups, web=[name for name in hosts if "web" in name], db=[name for name in hosts if "db" in name])
    connectivity = parse_connectivity({"hosts": given, "groups": groups}, facts)
    found = {}
    for result in evaluate_connectivity(Evaluator(V1, snapshot_v1(tree, ()), endpoints), connectivity):
        found.setdefault(result.host, []).append(result.outcome)
    return found
