# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Calico v3's datastore says of a connection: tiers, failsafes and profiles by version, forwarded traffic."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v3 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import (
    PolicySnapshot,
    looks_at_others_v3,
    may_fail_v3,
)
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port

INTERFACES = {"eth0": ["192.0.2.1/24", "2001:db8::1/64"], "eth1": ["198.51.100.1/24"]}
NEWEST = "v3.32.1"
WEB = HostEndpoint(name="n1-eth0", node="n1", interface_name="eth0", labels={"role": "web"})
EVERYTHING = [{"action": "Allow"}]


def resource(spec, **metadata):
    return json.dumps({"metadata": metadata, "spec": spec})


def policy(name, ingress=None, egress=None, selector="all()", types=("Ingress",), **spec):
    rules = {"ingress": ingress or [], "egress": egress or []}
    return name, resource(dict(spec, selector=selector, types=list(types), **rules))


def tcp(action, *ports, **more):
    return dict(more, action=action, protocol="TCP", destination={"ports": list(ports)})


def datastore(*policies, version=NEWEST, **parts):
    information = {"datastoreReady": True}
    if version:
        information["calicoVersion"] = version
    parts.setdefault("state", resource(information))
    parts.setdefault("config", {("default", ""): resource({"nftablesMode": "Disabled"})})
    parts["profiles"] = {name: {"": value} for name, value in parts.get("profiles", {}).items()}
    return PolicySnapshot(policies=list(policies), **parts)


def ask(documents, endpoints=(WEB,), **connection):
    given = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1", "port": 80}
    given.update(connection)
    if given["direction"] == "out":
        given.update(src=given["dst"], dst=given["src"])
    if given["direction"] == "forward":
        given.update(src="192.0.2.9", dst="198.51.100.9")
    host = build_host(Evaluator(V3, documents, endpoints), "n1", INTERFACES)
    return host.evaluate(parse_connection(given, "connection"))


def verdict(*arguments, **keywords):
    answer = ask(*arguments, **keywords)
    assert answer.decided_by and answer.reason
    return answer.verdict


def tiers(**specs):
    return {name: resource(spec, name=name) for name, spec in specs.items()}


TIERS = tiers(default={"order": 1000000}, first={"order": 10}, second={"order": 20}, last={})


# --- Tiers ---


def test_tiers_are_asked_by_order():
    documents = datastore(
        policy("default.a", [tcp("Allow", 80)]),
        policy("second.a", [tcp("Allow", 80)], tier="second"),
        policy("first.a", [tcp("Deny", 80)], tier="first"),
        tiers=TIERS,
    )
    answer = ask(documents)
    assert (answer.verdict, answer.decided_by) == ("deny", "policy first.a, ingress rule 1")


def test_a_tier_without_an_order_is_asked_last_and_one_that_is_missing_behind_it():
    default = policy("default.a", [tcp("Pass", 80, 81), tcp("Deny", 82)])
    last = policy("last.a", [tcp("Deny", 80, 82), tcp("Pass", 81)], tier="last")
    missing = policy("absent.a", [tcp("Allow", 80, 81)], tier="absent")
    documents = datastore(missing, last, default, tiers=TIERS)
    assert ask(documents).decided_by == "policy last.a, ingress rule 1"
    assert ask(documents, port=81).decided_by == "policy absent.a, ingress rule 1"
    assert ask(documents, port=82).decided_by == "policy a, ingress rule 2"


def test_the_end_of_a_tier_denies_where_a_policy_of_it_governs():
    first = policy("first.a", [tcp("Allow", 443)], tier="first")
    documents = datastore(policy("default.a", [tcp("Allow", 80)]), first, tiers=TIERS)
    answer = ask(documents)
    assert (answer.verdict, answer.reason) == ("deny", "denied by first.a: no ingress rule matched")
    # In the other direction it has nothing to say, and neither has one that does not select the endpoint.
    allowed = datastore(policy("default.a", [], EVERYTHING, types=["Egress"]), first, tiers=TIERS)
    assert verdict(allowed, direction="out") == "allow"
    other = policy("first.b", [tcp("Allow", 443)], selector="role == 'db'", tier="first")
    assert verdict(datastore(policy("default.a", [tcp("Allow", 80)]), other, tiers=TIERS)) == "allow"


@pytest.mark.parametrize("action", ["Pass", "Deny"])
def test_the_default_action_of_a_tier(action):
    documents = datastore(
        policy("first.a", [tcp("Allow", 443)], tier="first"),
        policy("default.a", [tcp("Allow", 80)]),
        tiers=dict(TIERS, **tiers(first={"order": 10, "defaultAction": action})),
    )
    assert verdict(documents) == {"Pass": "allow", "Deny": "deny"}[action]


def test_pass_goes_to_the_next_tier_and_then_to_the_profiles():
    first = policy("first.a", [tcp("Pass", 80), tcp("Deny", 80)], tier="first")
    documents = datastore(first, policy("second.a", [tcp("Allow", 80)], tier="second"), tiers=TIERS)
    assert ask(documents).decided_by == "policy second.a, ingress rule 1"
    web = HostEndpoint(name="n1-eth0", node="n1", interface_name="eth0", profiles=("projectcalico-default-allow",))
    answer = ask(datastore(first, tiers=TIERS), [web])
    assert answer.decided_by == "profile projectcalico-default-allow, ingress rule 1"


@pytest.mark.parametrize(
    "version, expected", [("v3.32.1", "deny"), ("v3.29.0", "deny"), ("v3.28.5", "unknown"), (None, "deny")]
)
def test_tiers_depend_on_the_version(version, expected):
    first = policy("first.a", [tcp("Deny", 80)], tier="first")
    assert verdict(datastore(first, tiers=TIERS, version=version)) == expected
    # Nobody needs to know it where there is only the default one.
    assert verdict(datastore(policy("default.a", [tcp("Deny", 80)]), version=version)) == "deny"


@pytest.mark.parametrize("version, first", [("v3.32.0", "a-b"), ("v3.31.7", "a")])
def test_order_of_equals_depends_on_the_version(version, first):
    documents = datastore(
        policy("default.a", [tcp("Deny", 80)]), policy("default.a-b", [tcp("Deny", 80)]), version=version
    )
    assert ask(documents).decided_by == "policy {0}, ingress rule 1".format(first)


def test_order_within_a_tier():
    documents = datastore(
        policy("default.a", [tcp("Deny", 80)]),
        policy("default.b", [tcp("Deny", 80)], order=20),
        policy("default.c", [tcp("Allow", 80)], order=-1.5),
    )
    assert ask(documents).decided_by == "policy c, ingress rule 1"


def test_names_are_those_of_the_policies_and_tell_similar_ones_apart():
    by_annotation = resource(
        {"selector": "all()", "ingress": [tcp("Allow", 80)]},
        annotations={"projectcalico.org/metadata": '{"name":"web"}'},
    )
    assert ask(datastore(("anything", by_annotation))).decided_by == "policy web, ingress rule 1"
    assert ask(datastore(policy("web", [tcp("Allow", 80)]))).decided_by == "policy web, ingress rule 1"
    in_tier = policy("sec.web", [tcp("Allow", 80)], tier="sec"), policy("web", [tcp("Deny", 80)], tier="sec")
    assert ask(datastore(*in_tier)).decided_by == "policy sec.web, ingress rule 1"
    # Calico v3.32 stores both, and keeps their names in annotations.
    both = [
        ("default.ssh", resource({"order": 1, "ingress": [tcp("Allow", 80)]}, annotations=named("default.ssh"))),
        ("ssh", resource({"order": 2, "ingress": [tcp("Allow", 81)]}, annotations=named("ssh"))),
    ]
    assert ask(datastore(*both)).decided_by == "policy default.ssh, ingress rule 1"
    assert ask(datastore(*both), port=81).decided_by == "policy ssh, ingress rule 1"
    assert ask(datastore(*both), port=82).reason == "denied by default.ssh and ssh: no ingress rule matched"


def named(name):
    return {"projectcalico.org/metadata": json.dumps({"name": name})}


@pytest.mark.parametrize("version, first", [("v3.32.0", "c"), ("v3.31.7", "first.b")])
def test_before_v3_32_policies_of_a_tier_are_sorted_by_tier_and_name(version, first):
    documents = datastore(
        policy("first.b", [tcp("Deny", 80)], tier="first"),
        policy("c", [tcp("Allow", 80)], tier="first"),
        tiers=TIERS,
        version=version,
    )
    assert ask(documents).decided_by == "policy {0}, ingress rule 1".format(first)


# --- What the policies ask for ---


def test_types():
    both = policy("default.a", [tcp("Allow", 80)], types=[])
    assert verdict(datastore(both)) == "allow"
    assert verdict(datastore(both), direction="out") == "deny"
    answer = ask(datastore(policy("default.a", [tcp("Allow", 80)])), direction="out")
    assert (answer.verdict, answer.decided_by) == ("deny", "no profile")


@pytest.mark.parametrize(
    "more",
    [
        {"namespaceSelector": "all()"},
        {"namespaceSelector": "env == 'prod'"},
        {"serviceAccountSelector": "all()"},
        {"serviceAccountSelector": "has(x)"},
    ],
)
def test_policies_for_namespaces_select_no_host_endpoint(more):
    assert ask(datastore(policy("default.a", [tcp("Allow", 80)], **more))).decided_by == "no profile"


def test_a_host_endpoint_that_says_it_is_in_a_namespace():
    web = HostEndpoint(name="a", node="n1", interface_name="eth0", labels={"projectcalico.org/namespace": "x"})
    assert verdict(datastore(policy("default.a", [tcp("Allow", 80)])), [web]) == "unknown"


def in_namespace(rule=None, selector="all()", labels=None, metadata=None, **spec):
    """What an endpoint with the label of a namespace lets in, by a NetworkPolicy of it."""
    metadata = {"namespace": "x"} if metadata is None else metadata
    spec = dict(spec, selector=selector, types=["Ingress"], ingress=[rule or {"action": "Allow"}])
    labels = dict(labels or {}, **{"projectcalico.org/namespace": "x"})
    web = HostEndpoint(name="a", node="n1", interface_name="eth0", labels=labels)
    documents = datastore(network_policies=[("x", "default.a", resource(spec, **metadata))])
    other = HostEndpoint(name="b", node="n2", expected_ips=("192.0.2.9",))
    return verdict(documents, [web, other])


def test_a_policy_of_a_namespace():
    assert in_namespace() == "allow"
    assert in_namespace(serviceAccountSelector="all()") == "allow"
    assert in_namespace(metadata={"namespace": "y"}) == "deny"
    # Without a namespace in the object, it is for all.
    assert in_namespace(metadata={}) == "allow"


def test_policies_of_one_name_and_order_are_evaluated_by_their_namespace():
    def stored(namespace, action):
        spec = {"order": 1, "selector": "all()", "types": ["Ingress"], "ingress": [{"action": action}]}
        return namespace, "default.a", resource(spec, namespace="x")

    web = HostEndpoint(name="a", node="n1", interface_name="eth0", labels={"projectcalico.org/namespace": "x"})
    for first, second in (("Allow", "Deny"), ("Deny", "Allow")):
        documents = datastore(network_policies=[stored("c", second), stored("b", first)])
        assert verdict(documents, [web]) == first.lower()


def test_a_rule_of_a_namespace_is_about_the_namespace_as_soon_as_it_has_a_selector():
    assert in_namespace({"action": "Allow", "source": {"nets": ["192.0.2.9"]}}) == "allow"
    assert in_namespace({"action": "Allow", "source": {"notSelector": "has(role)"}}) == "deny"


@pytest.mark.parametrize(
    "more, expected",
    [
        ({"namespaceSelector": "global()"}, "allow"),
        ({"namespaceSelector": "!global()"}, "deny"),
        ({"namespaceSelector": "all()"}, "allow"),
        # Felix drops what is no selector, but replaces all() all the same.
        ({"selector": "all()", "namespaceSelector": "(("}, "allow"),
        ({"selector": "all()", "serviceAccountSelector": "(("}, "deny"),
        ({"selector": "", "serviceAccountSelector": "(("}, "allow"),
    ],
)
def test_words_in_selectors_of_an_endpoint_that_says_it_is_in_a_namespace(more, expected):
    labels = {"projectcalico.org/namespace": "x"}
    web = HostEndpoint(name="a", node="n1", interface_name="eth0", labels=labels)
    more = {"selector": "", **more}
    documents = datastore(policy("default.a", [tcp("Allow", 80)], **more), network_policies=[])
    assert verdict(documents, [web]) == expected


def test_labels_are_inherited_from_profiles():
    profiles = {"p": resource({"labelsToApply": {"role": "db", "site": "x"}}, name="p")}
    web = HostEndpoint(name="a", node="n1", interface_name="eth0", labels={"role": "web"}, profiles=("p",))
    selector = "role == 'web' && site == 'x'"
    documents = datastore(policy("default.a", [tcp("Allow", 80)], selector=selector), profiles=profiles)
    assert verdict(documents, [web]) == "allow"


SETS = [
    ("", "office", resource({"nets": ["192.0.2.8/30"]}, name="office", labels={"kind": "office"})),
    ("ns", "mine", resource({"nets": ["192.0.2.9/32"]}, name="mine", labels={"kind": "mine"})),
]


@pytest.mark.parametrize(
    "source, expected",
    [
        ({"selector": "kind == 'office'"}, "allow"),
        ({"selector": "kind == 'mine'"}, "allow"),
        ({"selector": "kind == 'mine'", "namespaceSelector": "all()"}, "allow"),
        ({"selector": "kind == 'mine'", "namespaceSelector": "global()"}, "deny"),
        ({"selector": "kind == 'office'", "namespaceSelector": "global()"}, "allow"),
        ({"selector": "kind == 'office'", "namespaceSelector": "all()"}, "deny"),
        ({"selector": "kind == 'other'"}, "deny"),
        ({"notSelector": "kind == 'office'"}, "deny"),
        ({"notSelector": "kind == 'other'"}, "allow"),
        ({"selector": "role == 'db'"}, "allow"),
        ({"selector": "app == 'pod'"}, "allow"),
        ({"nets": ["192.0.2.0/29"]}, "deny"),
        ({"nets": ["192.0.2.0/29", "192.0.2.9"]}, "allow"),
        ({"notNets": ["192.0.2.0/29"]}, "allow"),
        ({"notNets": ["0.0.0.0/0"]}, "deny"),
        ({"nets": ["2001:db8::/32"]}, "deny"),
        ({"notNets": ["2001:db8::/32"]}, "deny"),
        ({"services": {"name": "x", "namespace": "y"}}, "deny"),
        ({"nets": ["192.0.2.9/33"]}, "allow"),
        ({"nets": ["192.0.2.9/33", "192.0.2.0/29"]}, "deny"),
        ({"notNets": ["bad"]}, "allow"),
        ({"serviceAccounts": {"names": ["robot"]}}, "allow"),
        ({"serviceAccounts": {"names": ["human"]}}, "deny"),
        # all() is replaced in selectors of namespaces only.
        ({"serviceAccounts": {"selector": "all()"}, "selector": "role == 'db'"}, "allow"),
        # Names that make no selector are dropped, and what else there is of accounts.
        ({"serviceAccounts": {"names": ["o'brien"], "selector": "team == 'x'"}}, "allow"),
    ],
)
def test_the_other_end(source, expected):
    workload = {"ipNetworks": ["192.0.2.9/32"], "serviceAccountName": "robot"}
    documents = datastore(
        policy("default.a", [{"action": "Allow", "source": source}]),
        network_sets=SETS,
        workloads=[("", resource(workload, labels={"app": "pod"}))],
    )
    other = HostEndpoint(name="n2", node="n2", expected_ips=("192.0.2.9",), labels={"role": "db"})
    assert verdict(documents, [WEB, other]) == expected
    looks = bool({"selector", "notSelector", "serviceAccounts"}.intersection(source))
    assert looks_at_others_v3(documents) == looks


@pytest.mark.parametrize(
    "end",
    [
        '"source":{"nets":[],"x":{},"selector":"has(a)"}',
        '"SOURCE":{"Selector":"has(a)"}',
        '"\\u0073ource":{"\\u0073elector":"has(a)"}',
        '"source":{"namespaceSelector":"has(a)"}',
        '"source":{"selector":5}',
        '"source":[]',
        '"destination":{"notPorts":[80,"http"]}',
        '"destination":{"x":%s}' % ("[" * 200 + "]" * 200),
    ],
)
def test_rules_that_look_at_others_however_they_are_written(end):
    value = '{"spec":{"ingress":[{"action":"Allow",%s}]}}' % end
    assert looks_at_others_v3(datastore(("default.a", value)))


def test_rules_that_do_not_look_at_others():
    rule = tcp("Allow", 80, "90:91", source={"nets": ["10.0.0.0/8"]})
    assert not looks_at_others_v3(datastore(policy("default.a", [rule], selector="has(source)")))


def test_no_policy_takes_long_to_look_at():
    value = '"source":{' * 100000
    before = time.process_time()
    assert looks_at_others_v3(datastore(("default.a", value)))
    assert time.process_time() - before < 10


@pytest.mark.parametrize("port", ["80", [], {}, None, 1.5, 70000, -1, True])
def test_a_workload_with_a_port_that_is_none(port):
    workload = {"ipNetworks": ["192.0.2.1/32"], "ports": [{"name": "http", "protocol": "TCP", "port": port}]}
    documents = datastore(policy("default.a", [tcp("Allow", "http")]), workloads=[("", resource(workload))])
    # A port of null is 0.
    assert verdict(documents) == ("deny" if port is None else "unknown")


@pytest.mark.parametrize("version", [True, 4.0, "4", [], 10**400, 0, 5])
def test_a_version_of_ip_that_is_none_makes_felix_drop_the_policy(version):
    rule = dict(tcp("Deny", 81), ipVersion=version)
    assert ask(datastore(policy("default.a", [rule, {"action": "Allow"}]))).decided_by == "no profile"


def test_more_rules_than_anybody_writes():
    many = policy("default.a", [tcp("Allow", 81)] * 10001)
    assert verdict(datastore(many)) == "unknown"
    assert verdict(datastore(many), port=22) == "allow"


@pytest.mark.parametrize("node", ["n1", "\\u006e1", "n\\u0031"])
def test_an_endpoint_of_which_it_is_uncertain_what_calico_reads_is_on_any_node_that_it_may_name(node):
    deep = "[" * 200 + "]" * 200
    value = '{"metadata":{"name":"e"},"x":%s,"spec":{"node":"%s"}}' % (deep, node)
    stored = [Stored("/e", 1, value, "", "e", CODEC)]
    assert verdict(datastore(endpoints=stored), []) == "unknown"
    assert (
        verdict(datastore(endpoints=[dataclasses.replace(stored[0], content=value.replace(node, "n2"))]), []) == "allow"
    )


DB = HostEndpoint(name="n2-eth0", node="n2", interface_name="eth0", labels={"role": "db"})
IN_NO_SET = "matches host endpoint n2-eth0 on node n2, which has no expected_ips, so its addresses are not in the set"


def reason(*rules, others=(DB,), **given):
    """Why a connection is denied by a policy with these rules in both directions."""
    answer = ask(datastore(policy("default.a", rules, rules, types=("Ingress", "Egress"))), [WEB, *others], **given)
    assert answer.verdict == "deny"
    return answer.reason


def from_db(action="Allow", **more):
    return {"action": action, "source": {"selector": "role == 'db'"}, **more}


@pytest.mark.parametrize(
    "rules, by",
    [
        ([tcp("Allow", 81), from_db()], 'ingress rule 2: its source selector role == "db" '),
        ([from_db("Pass"), tcp("Deny", 80)], 'ingress rule 1: its source selector role == "db" '),
        (
            [{"action": "Deny", "source": {"notSelector": "role == 'db'"}}],
            "ingress rule 1: its negated source selector ",
        ),
    ],
)
def test_a_selector_that_matches_an_endpoint_without_addresses(rules, by):
    assert "; policy a, " + by in reason(*rules) and IN_NO_SET in reason(*rules)


def test_at_the_hosts_own_end_only_its_own_endpoints_count():
    own = "n1-eth0 on node n1, which has no expected_ips"
    assert own in reason({"action": "Allow", "destination": {"selector": "role == 'web'"}})
    assert "expected_ips" not in reason({"action": "Allow", "destination": {"selector": "role == 'db'"}})
    assert "expected_ips" not in reason({"action": "Allow", "source": {"selector": "role == 'web'"}})


def test_the_same_of_what_goes_out():
    rule = {"action": "Allow", "destination": {"selector": "role == 'db'"}}
    assert "egress rule 1: its destination selector" in reason(rule, direction="out")


@pytest.mark.parametrize(
    "rules",
    [
        # It would not match with the address, either.
        [from_db(protocol="UDP")],
        [tcp("Allow", 443, source={"selector": "role == 'db'"})],
        [{"action": "Allow", "source": {"selector": "role == 'db'", "nets": ["203.0.113.0/24"]}}],
        [{"action": "Allow", "source": {"selector": "role == 'db'", "notSelector": "has(role)"}}],
        # It would not let it through, or comes too late.
        [from_db("Deny")],
        [from_db("Log")],
        [{"action": "Deny"}, from_db()],
        [{"action": "Allow", "source": {"selector": "role == 'other'"}}],
        [{"action": "Deny", "source": {"notSelector": "role == 'other'"}}],
    ],
)
def test_rules_that_an_endpoint_without_addresses_has_nothing_to_do_with(rules):
    assert "expected_ips" not in reason(*rules)


def test_an_endpoint_with_addresses_is_in_the_set():
    addressed = dataclasses.replace(DB, expected_ips=("192.0.2.77",))
    assert "expected_ips" not in reason(from_db(), others=[addressed])


def test_several_endpoints_without_addresses_are_counted():
    others = [dataclasses.replace(DB, name="n%d-eth0" % number, node="n%d" % number) for number in (3, 2, 4)]
    several = IN_NO_SET.replace(", which has", " and 2 others, which have").replace("its", "their")
    assert several in reason(from_db(), others=others)


@pytest.mark.parametrize("value, expected", [("[", "deny"), ("[" * 200, "unknown"), ("{}", "deny")])
def test_a_network_set_that_cannot_be_read(value, expected):
    documents = datastore(
        policy("default.a", [{"action": "Allow", "source": {"selector": "kind == 'office'"}}]),
        network_sets=[("", "office", value)],
    )
    assert verdict(documents) == expected


@pytest.mark.parametrize("ports, expected", [(["http"], "allow"), (["dns"], "deny"), (["dns", 80], "allow")])
def test_named_ports(ports, expected):
    documents = datastore(policy("default.a", [tcp("Allow", *ports)]))
    named = (Port("http", "TCP", 80), Port("dns", "UDP", 80))
    web = HostEndpoint(name="a", node="n1", interface_name="eth0", expected_ips=("192.0.2.1",), ports=named)
    assert verdict(documents, [web]) == expected
    assert looks_at_others_v3(documents)


@pytest.mark.parametrize(
    "rule, expected",
    [
        ({"protocol": "ICMP"}, "allow"),
        ({"protocol": 1}, "allow"),
        ({"protocol": "icmp", "icmp": {"type": 8, "code": 0}}, "allow"),
        ({"protocol": "ICMP", "icmp": {"type": 0}}, "deny"),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, "deny"),
        ({"notProtocol": "TCP"}, "allow"),
        ({"ipVersion": 6}, "deny"),
        ({"protocol": "ICMPv6"}, "deny"),
        ({"icmp": {"type": 8}}, "unknown"),
        ({"http": {"methods": ["GET"]}}, "allow"),
    ],
)
def test_protocols(rule, expected):
    documents = datastore(policy("default.a", [dict(rule, action="Allow")]))
    assert verdict(documents, protocol="icmp", port=None) == expected


def test_a_policy_that_is_too_large_matters_where_it_is_asked():
    large = policy("default.large", [{"action": "Allow"}] * 10001, order=5)
    assert verdict(datastore(policy("default.a", [tcp("Allow", 80)], order=1), large)) == "allow"
    answer = ask(datastore(policy("default.a", [tcp("Allow", 80)], order=9), large))
    assert answer.verdict == "unknown" and "large cannot be read: it has 10001 rules" in answer.reason
    # Nobody knows where this one is asked.
    deep = ("x", "[" * 200)
    assert verdict(datastore(policy("default.a", [tcp("Allow", 80)], order=1), deep)) == "unknown"
    # But a failsafe is always before.
    assert verdict(datastore(deep), port=22) == "allow"


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "Allow", "destination": {"ports": [80]}},
        tcp("Allow", 0),
        tcp("Allow", "90:80"),
        tcp("Allow", "80,81"),
        tcp("Allow", "Web"),
        {"action": "Allow", "protocol": "GRE"},
        {"action": "Allow", "protocol": 0},
        {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 255}},
        {"action": "Allow", "source": {"selector": "role = 'web'"}},
        {"action": "Allow", "source": {"nets": "192.0.2.0/24"}},
        {"action": 5},
        {"action": "Allow", "protocol": "ICMP", "destination": {"ports": ["web"]}},
        {"action": "Allow", "protocol": 136, "source": {"notPorts": ["web"]}},
    ],
)
def test_a_policy_with_an_invalid_rule_is_missing_for_felix(rule):
    assert ask(datastore(policy("default.a", [rule, {"action": "Allow"}]))).decided_by == "no profile"


@pytest.mark.parametrize("action, expected", [("allow", "allow"), ("ALLOW", "allow"), ("", "allow"), ("deny", "deny")])
def test_an_action_in_any_case(action, expected):
    assert verdict(datastore(policy("default.a", [{"action": action}]))) == expected


@pytest.mark.parametrize(
    "rule, cause",
    [
        ({"action": "Reject"}, "action 'Reject'"),
        ({"action": "Allow", "source": {"nets": [""]}}, "empty"),
        ({"action": "Allow", "source": {"notNets": [None]}}, "empty"),
        ({"action": "Allow", "protocol": "TCP", "notProtocol": "UDP"}, "notProtocol"),
        ({"action": "Allow", "icmp": {"type": 8}}, "ICMP type"),
    ],
)
def test_what_crashes_felix_is_named(rule, cause):
    answer = ask(datastore(policy("default.a", [rule])), port=22)
    assert answer.verdict == "unknown" and cause in answer.reason and "Felix fails" in answer.reason
    assert verdict(datastore(policy("default.a", [rule], selector="role == 'db'")), port=22) == "allow"


@pytest.mark.parametrize("text", ["", None, "::ffff:192.0.2.0/120"])
def test_a_network_set_on_which_felix_probably_fails(text):
    documents = datastore(network_sets=[("", "office", resource({"nets": ["192.0.2.0/24", text]}, name="office"))])
    answer = ask(documents, port=22)
    assert answer.verdict == "unknown" and "network set office" in answer.reason


def pod(node, profiles=(), **labels):
    spec = {"node": node, "interfaceName": "cali1", "ipNetworks": ["192.0.2.77/32"], "profiles": list(profiles)}
    return "", resource(spec, name=node + "-pod", labels=labels)


def test_what_crashes_felix_may_be_used_by_a_workload_of_the_host():
    rules = [{"action": "Reject"}]
    pods = policy("default.a", rules, selector="app == 'pod'")
    answer = ask(datastore(pods, workloads=[pod("n1", app="pod")]), port=22)
    assert answer.verdict == "unknown" and "the workload of cali1" in answer.reason
    assert verdict(datastore(pods, workloads=[pod("n2", app="pod"), pod("n1")]), port=22) == "allow"
    profiles = {"p": resource({"egress": rules}, name="p")}
    assert verdict(datastore(profiles=profiles, workloads=[pod("n1", ["p"])]), port=22) == "unknown"
    namespaced = ("x", "default.a", resource({"selector": "all()", "ingress": rules}, namespace="x"))
    in_x = pod("n1", **{"projectcalico.org/namespace": "x"})
    assert verdict(datastore(network_policies=[namespaced], workloads=[in_x]), port=22) == "unknown"


@pytest.mark.parametrize(
    "rule, may_fail",
    [
        ({"action": "Reject"}, True),
        ({"action": "Allow", "protocol": "TCP", "notProtocol": "UDP"}, True),
        ({"action": "Allow", "icmp": {"type": 8}}, True),
        ({"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}, True),
        ({"action": "Allow", "protocol": "ICMPv6", "ipVersion": 4, "icmp": {"type": 8}}, True),
        ({"action": "Allow", "protocol": "TCP", "notICMP": {"type": 8}}, True),
        ({"action": "Allow", "source": {"nets": ["192.0.2.0/24", ""]}}, True),
        ({"action": "Allow", "source": {"notNets": [None]}}, True),
        ({"action": "Allow", "source": {"nets": "x"}, "icmp": {"type": 8}}, True),
        ({"action": "pass", "protocol": "ICMP", "icmp": {"type": 8}}, False),
        ({"action": "", "protocol": "ICMP"}, False),
        ({"action": "Log", "source": {"nets": ["192.0.2.0/24"], "selector": ""}}, False),
    ],
)
def test_the_rules_for_which_workloads_are_read(rule, may_fail):
    assert may_fail_v3(datastore(policy("default.a", [rule]))) == may_fail
    assert may_fail_v3(datastore(profiles={"p": resource({"egress": [rule]})})) == may_fail


def test_the_names_for_which_workloads_are_read():
    assert may_fail_v3(datastore(policy("default.a b")))
    assert not may_fail_v3(datastore(policy("default.a-b")))


def mode(text):
    return {("default", ""): resource({"nftablesMode": text})}


@pytest.mark.parametrize(
    "config, version, expected",
    [
        ({}, NEWEST, "unknown"),
        (mode("Auto"), NEWEST, "unknown"),
        (mode("Disabled"), NEWEST, "allow"),
        (mode("Enabled"), NEWEST, "unknown"),
        # Felix chose iptables then, and before it had nothing else.
        ({}, "v3.31.7", "allow"),
        (mode("Auto"), "v3.28.0", "allow"),
    ],
)
def test_a_code_of_icmp_depends_on_the_dataplane(config, version, expected):
    rule = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}
    documents = datastore(policy("default.a", [rule]), config=config, version=version)
    assert verdict(documents, protocol="icmp", port=None) == expected


def test_a_version_that_was_not_measured_is_told_once():
    note = "(measured with Calico v3.32.1, not with v3.31.7)"
    assert ask(datastore(version="v3.31.7")).reason.count(note) == 1
    crashing = policy("default.a", [{"action": "Reject"}])
    assert ask(datastore(crashing, version="v3.31.7")).reason.count(note) == 1
    assert "measured" not in ask(datastore()).reason


# --- Forwarded traffic, doNotTrack, preDNAT ---


def test_forwarded_traffic():
    deny = policy("default.a", [tcp("Deny", 80)])
    assert ask(datastore(deny), direction="forward").decided_by == "no policy for forwarded traffic"
    on_forward = policy("default.b", [tcp("Allow", 443)], applyOnForward=True)
    assert verdict(datastore(on_forward), direction="forward", port=443) == "allow"
    assert verdict(datastore(on_forward), direction="forward", port=80) == "deny"
    # No failsafes there.
    assert verdict(datastore(on_forward), direction="forward", port=22) == "deny"
    assert verdict(datastore(on_forward), direction="in", port=22) == "allow"
    passing = policy("default.c", [tcp("Pass", 80)], applyOnForward=True)
    assert verdict(datastore(passing), direction="forward") == "allow"
    # Both interfaces are asked.
    other = HostEndpoint(name="n1-eth1", node="n1", interface_name="eth1")
    egress = policy("default.d", [], [tcp("Deny", 80)], types=["Egress"], selector="!has(role)", applyOnForward=True)
    assert verdict(datastore(egress), [WEB, other], direction="forward") == "deny"
    assert verdict(datastore(egress), [WEB], direction="forward") == "allow"


def test_policies_before_dnat():
    documents = datastore(
        policy("default.pre", [tcp("Deny", 22, 80), tcp("Allow", 443)], preDNAT=True, applyOnForward=True),
        policy("default.a", [tcp("Allow", 22, 80)]),
    )
    assert [verdict(documents, port=port) for port in (22, 80, 443, 8080)] == ["allow", "deny", "allow", "deny"]
    assert verdict(documents, direction="forward", port=80) == "deny"


def test_untracked_policies_need_both_directions():
    untracked = {"doNotTrack": True, "applyOnForward": True}
    back = {"action": "Allow", "protocol": "TCP", "source": {"ports": [80]}}
    one_way = policy("default.u", [tcp("Allow", 80)], **untracked)
    both = policy("default.u", [tcp("Allow", 80)], [back], types=["Ingress", "Egress"], **untracked)
    answer = ask(datastore(one_way))
    assert answer.verdict == "deny" and answer.reason.startswith("the first packet is allowed, but the answer is not")
    assert verdict(datastore(both)) == "allow"
    # An endpoint for all interfaces has none.
    wildcard = HostEndpoint(name="all", node="n1", interface_name="*")
    assert ask(datastore(both), [wildcard]).decided_by == "no profile"


# --- Wildcards ---


def test_an_endpoint_for_all_interfaces():
    documents = datastore(policy("default.a", [tcp("Allow", 80)], selector="has(role)"))
    wildcard = HostEndpoint(name="a", node="n1", interface_name="*", labels={"role": "any"})
    named = HostEndpoint(name="b", node="n1", interface_name="eth0")
    assert verdict(documents, [wildcard]) == "allow"
    assert verdict(documents, [wildcard, named]) == "deny"
    assert verdict(documents, [wildcard, named], dst="198.51.100.1", src="198.51.100.9") == "allow"
    assert verdict(documents, [wildcard], direction="local", src="127.0.0.1", dst="127.0.0.1", port=8080) == "deny"
    assert verdict(documents, [wildcard], direction="local", src="127.0.0.1", dst="127.0.0.1", port=2379) == "allow"
    for version in ("v3.13.5", None):
        documents = datastore(policy("default.a", [tcp("Allow", 80)]), version=version)
        assert verdict(documents, [wildcard]) == "unknown"


# --- Failsafes and profiles by version ---


@pytest.mark.parametrize(
    "version, inbound, outbound",
    [
        ("v3.0.12", "22 179 2379 6667", "179 2380 6666"),
        ("v3.14.0", "22 179 2379 6667", "179 2380 6666"),
        ("v3.14.1", "22 179 6443", "179 6443"),
        ("v3.15.0", "22 5473 6443", "5473 6443"),
        ("v3.32.1", "22 5473 6443", "5473 6443"),
    ],
)
def test_failsafes_by_version(version, inbound, outbound):
    documents = datastore(version=version)
    for direction, ports in (("in", inbound), ("out", outbound)):
        for port in (22, 179, 2379, 2380, 4001, 5473, 6443, 6666, 6667, 7001):
            if str(port) in ports.split():
                answer = ask(documents, direction=direction, port=port)
                assert (answer.verdict, answer.decided_by) == ("allow", "failsafe tcp:{0}".format(port))
    closed = {"v3.0.12": (4001, 6443, 5473), "v3.14.0": (6443,), "v3.14.1": (5473,)}.get(version, (4001,))
    assert {verdict(documents, port=port) for port in closed} == {"deny"}
    assert verdict(documents, protocol="udp", port=68) == "allow"
    assert verdict(documents, direction="out", port=22) == "deny"


def test_failsafes_of_a_version_that_is_not_known():
    documents = datastore(version=None)
    assert verdict(documents, port=22) == "allow"
    answer = ask(documents, port=6443)
    assert answer.verdict == "unknown" and "version" in answer.reason
    # It comes to the same.
    assert verdict(datastore(policy("default.a", [tcp("Allow", 6443)]), version=None), port=6443) == "allow"


def test_failsafes_that_are_set():
    def setting(*ports):
        return resource({"failsafeInboundHostPorts": list(ports)})

    of_all = {("default", ""): setting({"protocol": "TCP", "port": 2222})}
    assert [verdict(datastore(config=of_all), port=port) for port in (22, 2222)] == ["deny", "allow"]
    of_node = {**of_all, ("node.n1", ""): setting()}
    assert [verdict(datastore(config=of_node), port=port) for port in (22, 2222)] == ["deny", "deny"]
    of_other = {**of_all, ("node.n2", ""): setting()}
    assert verdict(datastore(config=of_other), port=2222) == "allow"
    unset = {("default", ""): resource({"failsafeInboundHostPorts": None})}
    assert verdict(datastore(config=unset), port=22) == "allow"
    near = {("default", ""): setting({"protocol": "TCP", "port": 22, "net": "192.0.2.8/29"})}
    assert verdict(datastore(config=near)) == "deny"
    assert verdict(datastore(config=near), port=22) == "allow"
    assert verdict(datastore(config=near), port=22, src="192.0.2.16") == "deny"


@pytest.mark.parametrize(
    "config, cause",
    [
        ({"default": {"failsafeInboundHostPorts": [{"protocol": "SCTP", "port": 22}]}}, "failsafeInboundHostPorts"),
        ({"node.n1": {"bpfEnabled": True}}, "bpfEnabled"),
        ({"default": {"chainInsertMode": "Append"}}, "chainInsertMode"),
        ({"default": {"interfacePrefix": "a b"}}, "interfacePrefix"),
        ({"some": {"nodeSelector": "all()"}}, "nodeSelector"),
        ({"default": {"chainInsertMode": "Nowhere"}}, "chainInsertMode"),
        ({"default": {"iptablesFilterDenyAction": "Reject"}}, "iptablesFilterDenyAction"),
        ({"default": {"bpfEnabled": "yes"}}, "bpfEnabled"),
        ({"node.n1": {"vxlanPort": "4789"}}, "vxlanPort"),
        ({"default": {"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "bad"}]}}, "'bad'"),
        (
            {"default": {"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "::ffff:c000:209"}]}},
            "'::ffff:c000:209'",
        ),
        ({"default": {"interfacePrefix": "none"}}, "interfacePrefix"),
        ({"default": {"maxIpsetSize": 5, "bpfLogLevel": "none"}}, "bpfLogLevel"),
        ({"default": {"iptablesMarkMask": 0}}, "iptablesMarkMask"),
        ({"default": {"iptablesMarkMask": 15}}, "iptablesMarkMask"),
        ({"default": {"nftablesMarkMask": -1}}, "nftablesMarkMask"),
        ({"default": {"metadataPort": 70000}}, "metadataPort"),
        ({"default": {"metadataAddr": "a b"}}, "metadataAddr"),
        ({"default": {"openstackRegion": "Europe 1"}}, "openstackRegion"),
        ({"default": {"externalNodesList": ["192.0.2.0/24", "x"]}}, "externalNodesList"),
        ({"default": {"routeTableRange": {"min": 5, "max": 300}}}, "routeTableRange"),
        ({"default": {"routeTableRange": {"min": "5"}}}, "routeTableRange"),
        ({"default": {"routeTableRanges": []}}, "routeTableRanges"),
        ({"default": {"routeTableRanges": "1-5"}}, "routeTableRanges"),
        ({"default": {"healthTimeoutOverrides": [{"name": "a", "timeout": "5"}]}}, "healthTimeoutOverrides"),
        ({"default": {"bpfConntrackTimeouts": {"tcpSynSent": 5}}}, "bpfConntrackTimeouts"),
        ({"default": {"natPortRange": {}}}, "natPortRange"),
        ({"default": {"kubeNodePortRanges": [70000]}}, "kubeNodePortRanges"),
        ({"default": {"istioDSCPMark": 300}}, "istioDSCPMark"),
        ({"default": {"nftablesRefreshInterval": "5"}}, "nftablesRefreshInterval"),
        ({"default": {"useInternalDataplaneDriver": False}}, "useInternalDataplaneDriver"),
        ({"default": {"dataplaneDriver": "mine"}}, "dataplaneDriver"),
        ({"default": {"interfaceExclude": "/(?!eth0)/"}}, "interfaceExclude"),
        ({"default": {"nftablesMode": "Enabled", "nftablesFilterDenyAction": "Reject"}}, "nftablesFilterDenyAction"),
    ],
)
def test_settings_that_make_all_unknown(config, cause):
    documents = datastore(config={(name, ""): resource(spec) for name, spec in config.items()})
    answer = ask(documents, port=22)
    assert answer.verdict == "unknown" and cause in answer.reason


@pytest.mark.parametrize(
    "spec",
    [
        {"iptablesMarkMask": 0xFFFF0000, "nftablesMarkMask": 31},
        {"metadataPort": 8775, "metadataAddr": "none", "openstackRegion": "europe-1"},
        {"externalNodesList": ["192.0.2.0/24", "2001:db8::1"]},
        {"routeTableRange": {"min": 1, "max": 250}, "routeTableRanges": [{"min": 1, "max": 65535}]},
        {"healthTimeoutOverrides": [{"name": "a", "timeout": "5s"}], "bpfConntrackTimeouts": {"tcpSynSent": "Auto"}},
        {"natPortRange": "5000:6000", "kubeNodePortRanges": [5, "6:7"], "istioDSCPMark": "EF"},
        # Felix takes the default for them.
        {"iptablesBackend": "mine", "logSeverityScreen": "Loud", "bpfLogLevel": "mine"},
        {"dataplaneWatchdogTimeout": "5s", "nftablesRefreshInterval": "5s"},
        {"nftablesMode": "Disabled", "nftablesFilterDenyAction": "Reject"},
    ],
)
def test_settings_that_decide_on_nothing(spec):
    assert [verdict(datastore(config={("default", ""): resource(spec)}), port=port) for port in (22, 80)] == [
        "allow",
        "deny",
    ]


@pytest.mark.parametrize(
    "value, is_excluded",
    [
        ("eth0", True),
        ("lo,/th0$/", True),
        ("/^eth[0-9]+$/", True),
        ("eth", False),
        # Felix cannot read these lists, and excludes what it does without one.
        ("lo, eth0", False),
        ("eth0,", False),
        ("eth0,eth0.5", False),
        ("eth0,/a b/", False),
        ("none", False),
    ],
)
def test_interfaces_that_felix_passes_over(value, is_excluded):
    config = {("default", ""): resource({"interfaceExclude": value})}
    assert (verdict(datastore(config=config)) == "allow") == is_excluded


def annotated(name, text, **spec):
    annotations = {"config.projectcalico.org/" + name: text}
    return datastore(config={("default", ""): resource(spec, annotations=annotations)})


def test_settings_in_annotations():
    assert verdict(annotated("FailsafeInboundHostPorts", "tcp:80")) == "allow"
    assert verdict(annotated("FailsafeInboundHostPorts", "none"), port=22) == "deny"
    # What becomes of this is not certain.
    answer = ask(annotated("FailsafeInboundHostPorts", ""), port=22)
    assert answer.verdict == "unknown" and "FailsafeInboundHostPorts of the FelixConfiguration default" in answer.reason
    assert verdict(annotated("Unknown", ""), port=22) == "allow"
    over_ipv6 = {"src": "2001:db8::9", "dst": "2001:db8::1"}
    assert verdict(annotated("Ipv6Support", "none"), **over_ipv6) == "allow"
    assert verdict(annotated("Ipv6Support", "maybe"), **over_ipv6) == "deny"
    ipip = {"protocol": "4", "port": None}
    assert verdict(annotated("IpInIpEnabled", "false", ipipEnabled=True), **ipip) == "deny"
    assert verdict(annotated("IPIPEnabled", "false", ipipEnabled=True), **ipip) == "unknown"


def test_a_setting_in_two_spellings():
    """Felix reads them in no order."""
    ports = [{"protocol": "TCP", "port": 80}]
    assert verdict(annotated("FailsafeInboundHostPorts", "tcp:22", failsafeInboundHostPorts=ports)) == "deny"
    assert verdict(annotated("failsafeInboundHostPorts", "tcp:80")) == "allow"
    answer = ask(annotated("failsafeInboundHostPorts", "tcp:22", failsafeInboundHostPorts=ports))
    assert answer.verdict == "unknown" and "failsafeInboundHostPorts in two spellings" in answer.reason


def test_a_node_selector_that_is_none_selects_nothing():
    config = {("some", ""): resource({"nodeSelector": "a ==", "failsafeInboundHostPorts": []})}
    assert verdict(datastore(config=config, nodes={"n1": resource({}, labels={})}), port=22) == "allow"


def test_tunnels_are_not_for_policies_alone():
    config = {("default", ""): resource({"vxlanPort": 8472})}
    assert [verdict(datastore(), protocol="udp", port=port) for port in (4789, 8472)] == ["unknown", "deny"]
    assert [verdict(datastore(config=config), protocol="udp", port=port) for port in (4789, 8472)] == [
        "deny",
        "unknown",
    ]


def test_tunnels_over_ipv6_are_those_of_pools_only():
    def answers(config, pools):
        given = {("default", ""): resource(config)}
        documents = datastore(config=given, ip_pools=list(map(resource, pools)), nodes={})
        ends = {}, {"src": "2001:db8::9", "dst": "2001:db8::1"}
        return [ask(documents, protocol="udp", port=4789, **each).decided_by for each in ends]

    of_6, of_4 = {"cidr": "2001:db8:1::/64", "vxlanMode": "Always"}, {"cidr": "10.0.0.0/8", "vxlanMode": "Always"}
    assert answers({"vxlanEnabled": True}, []) == ["VXLAN", "no profile"]
    assert answers({"vxlanEnabled": False}, [of_6]) == ["no profile", "VXLAN"]
    assert answers({}, [of_4]) == ["VXLAN", "no profile"]


def test_whether_tunnels_are_in_use_is_unknown_where_the_pools_were_not_read():
    assert verdict(datastore(nodes={}), protocol="udp", port=4789) == "unknown"


def test_other_rules_that_are_asked_too():
    config = {("default", ""): resource({"iptablesFilterAllowAction": "Return"})}
    assert verdict(datastore(config=config), port=22) == "unknown"
    assert verdict(datastore(config=config), port=80) == "deny"


@pytest.mark.parametrize("state", [None, "[", resource({"datastoreReady": False}), resource({})])
def test_a_datastore_that_is_not_ready(state):
    assert verdict(datastore(state=state), port=22) == "unknown"


@pytest.mark.parametrize(
    "version, expected", [("v3.13.5", "deny"), ("v3.14.0", "allow"), ("v3.32.1", "allow"), (None, "unknown")]
)
def test_the_profile_that_is_built_in(version, expected):
    web = HostEndpoint(name="a", node="n1", interface_name="eth0", profiles=("projectcalico-default-allow",))
    assert verdict(datastore(version=version), [web]) == expected


def test_profiles():
    profiles = {"web": resource({"ingress": [tcp("Allow", 80)]}, name="web"), "bad": "["}

    def endpoint(*names):
        return [HostEndpoint(name="a", node="n1", interface_name="eth0", profiles=names)]

    documents = datastore(profiles=profiles)
    assert ask(documents, endpoint("web")).decided_by == "profile web, ingress rule 1"
    assert ask(documents, endpoint("nosuch", "web")).decided_by == "missing profile nosuch"
    assert verdict(documents, endpoint("web", "nosuch")) == "allow"
    assert verdict(documents, endpoint("web"), port=81) == "deny"
    assert verdict(documents, endpoint("bad", "web")) == "deny"


# --- IPv6 ---


def test_neighbour_discovery():
    ipv6 = {"src": "2001:db8::9", "dst": "2001:db8::1"}
    answer = ask(datastore(policy("default.a", [tcp("Allow", 80)])), **ipv6)
    assert (answer.verdict, answer.neighbour_discovery) == ("allow", "deny")
    assert "neighbour discovery" in answer.reason
    both_ways = policy("default.nd", [{"action": "Allow", "protocol": "ICMPv6"}], [{"action": "Allow"}])
    both_ways = (both_ways[0], both_ways[1].replace('["Ingress"]', '["Ingress", "Egress"]'))
    answer = ask(datastore(policy("default.a", [tcp("Allow", 80)]), both_ways), **ipv6)
    assert (answer.verdict, answer.neighbour_discovery) == ("allow", "allow")
    near = policy("default.nd", [{"action": "Allow", "source": {"nets": ["2001:db8::/64"]}}])
    answer = ask(datastore(near), **ipv6)
    # Egress is not governed, so it meets no profile.
    assert (answer.verdict, answer.neighbour_discovery) == ("allow", "deny")
    assert ask(datastore()).neighbour_discovery == ""
