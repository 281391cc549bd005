# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of policies, profiles, sets, tiers and Felix's settings, alone and together with endpoints."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import ClassVar

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import DatastoreError
from ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.v3_client import KeyValue
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.codec_specs_v3 import build_codec
from ansible_collections.netsec.calico.plugins.module_utils._datastore.base import Datastore
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v1 import CODEC as CODEC_V1
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v3 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._datastore.etcdv3 import EtcdV3Datastore
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import snapshot_v1
from ansible_collections.netsec.calico.plugins.module_utils._guard._policy_changes.phases import Phase, build_phases
from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import ENFORCE, WARN, GuardPolicy
from ansible_collections.netsec.calico.plugins.module_utils._guard.guard import Guard
from ansible_collections.netsec.calico.plugins.module_utils._guard.host_facts import HostFacts
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import Unsafe
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import Change, build_change
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Codec, Stored
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.spec_resource import TYPES
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref, Resource

ROOT = "/calico/resources/v3/projectcalico.org/"
INFORMATION = {"metadata": {"name": "default"}, "spec": {"datastoreReady": True, "calicoVersion": "v3.32.1"}}
ALLOW, DENY = {"action": "Allow"}, {"action": "Deny"}
ALL = {"ingress": [ALLOW], "egress": [ALLOW]}
# SSH uses a port that is no failsafe.
SSH = {"peer": "192.0.2.9", "address": "192.0.2.1", "port": 2222}
ADMINS = {"nets": ["192.0.2.0/25"]}


def tcp(*ports, action="Allow", **source):
    rule = {"action": action, "protocol": "TCP", "destination": {"ports": list(ports)}}
    return dict(rule, source=source) if source else rule


class Memory:
    """The values of an etcd."""

    def __init__(self, values):
        self.values = values

    def list(self, prefix):
        return [self._item(key) for key in sorted(self.values) if key.startswith(prefix)]

    def get(self, keys):
        return [self._item(key) for key in keys]

    def keys(self, prefix):
        return [key for key in self.values if key.startswith(prefix)]

    def _item(self, key):
        return KeyValue(key, self.values.get(key), 1)


class World:
    """What is stored, and changes of it."""

    def __init__(self):
        self.values = {ROOT + "clusterinformations/default": json.dumps(INFORMATION)}
        self.store = object.__new__(EtcdV3Datastore)
        self.store._seen = {}
        self.store._etcd = Memory(self.values)

    def of_version(self, calico_version):
        """The version in the ClusterInformation; None for none, as calicoctl leaves an empty datastore."""
        spec = {"datastoreReady": True, "calicoVersion": calico_version}
        spec = {key: value for key, value in spec.items() if value is not None}
        self.values[ROOT + "clusterinformations/default"] = json.dumps(dict(INFORMATION, spec=spec))

    def put(self, resource):
        codec = CODEC if resource.KIND == "HostEndpoint" else build_codec(resource.KIND)
        self.values[self.store.key(resource.ref)] = codec.encode(resource, None)

    def felix(self, **spec):
        """The stored FelixConfiguration."""
        document = {"metadata": {"name": "default"}, "spec": spec}
        self.values[ROOT + "felixconfigurations/default"] = json.dumps(document)

    def change(self, want):
        """The change that makes a resource as given, or deletes that of a Ref."""
        if isinstance(want, HostEndpoint):
            return build_change(Present(want), self._get(want.ref), V3)
        if isinstance(want, Ref):
            return Change("delete", Absent(want), self._get(want), None, [])
        before = self._get(want.ref)
        return Change("update" if before else "create", Present(want), before, want, [])

    def _get(self, ref):
        codec = CODEC if ref.kind == "HostEndpoint" else build_codec(ref.kind)
        key = self.store.key(ref)
        return Stored(key, "1", self.values[key], "", ref.name, codec) if key in self.values else None

    def check(self, *changes, mode=WARN, facts=None, required=(), expected=None):
        facts = {"n1": facts_of()} if facts is None else facts
        expected = {"hosts": {node: {"node": node, "expectations": each} for node, each in (expected or {}).items()}}
        changes = [each if isinstance(each, Change) else self.change(each) for each in changes]
        return GuardPolicy(mode, required, facts, expected=expected).check(self.store, changes)


def facts_of(**more):
    return dict({"interfaces": {"eth0": ["192.0.2.1/24"]}, "default_interface": "eth0", "ssh": SSH}, **more)


def resource(kind, name, **spec):
    return TYPES[kind](name=name, labels=spec.pop("labels", {}), spec=spec).as_stored()


def policy(name, *ingress, **spec):
    spec = dict({"selector": "role == 'web'", "types": ["Ingress"], "ingress": list(ingress)}, **spec)
    return resource("GlobalNetworkPolicy", name, **spec)


def endpoint(node="n1", **fields):
    fields = dict({"interface_name": "eth0", "labels": {"role": "web"}, "profiles": ("open",)}, **fields)
    return HostEndpoint(name=node + "-eth0", node=node, **fields)


def said(report):
    """{(who, rule, level): text} of all findings."""
    return {(str(each), found.rule, found.level): found.text for each in report.verdicts for found in each.findings}


@pytest.fixture
def world():
    """A host whose SSH a policy allows, and a profile that allows everything."""
    found = World()
    found.put(resource("Profile", "open", **ALL))
    found.put(endpoint())
    found.put(policy("allow-ssh", tcp(2222, **ADMINS), order=10))
    found.put(policy("drop-rest", order=20))
    return found


def test_deleting_the_policy_that_allows_ssh_is_refused_with_host_connection_and_rule(world):
    gone = Ref("GlobalNetworkPolicy", "allow-ssh")
    with pytest.raises(Unsafe) as refused:
        world.check(gone, mode=ENFORCE)
    message = str(refused.value)
    assert message.startswith(
        "1 of 1 affected nodes would be unsafe: node n1: tcp port 2222 from 192.0.2.9 is required"
    )
    assert "denied by drop-rest: no ingress rule matched" in message
    assert "until now allowed by ingress rule 1 of policy allow-ssh" in message
    assert "(G18). What to do: keep, or first create, a policy" in message
    (line,) = world.check(gone).warnings()
    assert line.startswith("guard G18: unsafe: node n1: tcp port 2222")


def test_without_any_policy_the_profile_allows_it(world):
    report = world.check(Ref("GlobalNetworkPolicy", "allow-ssh"), Ref("GlobalNetworkPolicy", "drop-rest"), mode=ENFORCE)
    assert said(report) == {}


def test_a_new_policy_that_denies_it_first(world):
    found = said(world.check(policy("deny", tcp(2222, action="Deny"), order=1)))
    assert found.keys() == {("node n1", "G18", "unsafe")}
    assert "denied by ingress rule 1 of policy deny" in found["node n1", "G18", "unsafe"]
    # After the policy that allows it.
    assert said(world.check(policy("deny", tcp(2222, action="Deny"), order=15))) == {}
    # It selects another host.
    assert said(world.check(policy("deny", DENY, order=1, selector="role == 'db'"))) == {}


def test_a_host_that_nothing_affects_has_no_verdict(world):
    assert world.check(policy("deny", DENY, order=1, selector="role == 'db'")).verdicts == []


def test_a_staged_policy_has_no_effect(world):
    staged = resource(
        "StagedGlobalNetworkPolicy", "deny", selector="all()", order=1.0, ingress=[DENY], types=["Ingress"]
    )
    report = world.check(staged, mode=ENFORCE)
    assert report.verdicts == [] and report.warnings() == []


def test_an_update_of_a_sets_networks(world):
    world.put(resource("GlobalNetworkSet", "admins", labels={"who": "admins"}, nets=["192.0.2.0/25"]))
    world.put(policy("allow-ssh", tcp(2222, selector="who == 'admins'"), order=10))
    smaller = resource("GlobalNetworkSet", "admins", labels={"who": "admins"}, nets=["192.0.2.64/26"])
    assert said(world.check(smaller)).keys() == {("node n1", "G18", "unsafe")}
    relabelled = resource("GlobalNetworkSet", "admins", labels={"who": "others"}, nets=["192.0.2.0/25"])
    assert said(world.check(relabelled)).keys() == {("node n1", "G18", "unsafe")}
    more = resource("GlobalNetworkSet", "admins", labels={"who": "admins"}, nets=["192.0.2.0/25", "198.51.100.0/24"])
    report = world.check(more, mode=ENFORCE)
    assert said(report) == {}
    assert report.warnings() == [
        "guard G19: tcp port 2222 from 198.51.100.0 was not allowed and is allowed now: policy allow-ssh, "
        "ingress rule 1 (on n1)"
    ]


def test_a_set_that_only_a_new_policy_uses_is_read(world):
    world.put(resource("GlobalNetworkSet", "admins", labels={"who": "admins"}, nets=["192.0.2.0/25"]))
    replaced = policy("allow-ssh", tcp(2222, selector="who == 'admins'"), order=10)
    assert said(world.check(replaced, mode=ENFORCE)) == {}
    assert said(world.check(policy("deny", tcp(2222, action="Deny", selector="who == 'admins'"), order=1)))


def test_the_policy_of_a_tier_and_the_tiers_order(world):
    world.put(resource("Tier", "early", order=5.0, defaultAction="Deny"))
    world.put(policy("early.ssh", tcp(2222), tier="early"))
    world.put(policy("early.none", tcp(80), tier="early"))
    # The tier's other policy still selects the host, so the tier's default action denies it.
    found = said(world.check(Ref("GlobalNetworkPolicy", "early.ssh")))
    assert "denied by early.none" in found["node n1", "G18", "unsafe"]
    passing = resource("Tier", "early", order=5.0, defaultAction="Pass")
    assert said(world.check(passing, Ref("GlobalNetworkPolicy", "early.ssh"), mode=ENFORCE)) == {}
    world.put(policy("late.deny", DENY, tier="late"))
    world.put(resource("Tier", "late", order=6.0, defaultAction="Deny"))
    assert "late.deny" in said(world.check(resource("Tier", "late", order=4.0)))["node n1", "G18", "unsafe"]


def list_tier_changes(world):
    """Changes of tiers that deny SSH, of which each affects the host alone."""
    early, late = (resource("Tier", name, order=order, defaultAction="Pass") for name, order in TIERS)
    for each in (early, late, policy("early.web", tcp(80), tier="early"), policy("late.deny", DENY, tier="late")):
        world.put(each)
    world.put(policy("sec.ssh", tcp(2222), tier="sec"))
    world.put(resource("Tier", "sec", order=6.0, defaultAction="Deny"))
    return {
        "a policy": policy("early.deny", DENY, tier="early"),
        "the default action": resource("Tier", "early", order=5.0, defaultAction="Deny"),
        "the order": resource("Tier", "late", order=4.0, defaultAction="Pass"),
        "no tier": Ref("Tier", "sec"),
    }


TIERS = [("early", 5.0), ("late", 8.0)]


@pytest.mark.parametrize("calico_version, given", [(None, None), ("master", None), ("v3.27.5", "v3.32.1")])
def test_tiers_count_for_the_calico_that_the_writes_are_for(world, calico_version, given):
    """An unknown version is written, and evaluated, as the newest; the option calico_version overrides the stored."""
    world.of_version(calico_version)
    world.store.follow_version(given)
    for what, change in list_tier_changes(world).items():
        assert ("node n1", "G18", "unsafe") in said(world.check(change)), what
        with pytest.raises(Unsafe):
            world.check(change, mode=ENFORCE)


def test_tiers_of_a_calico_without_tiers_are_unknown(world):
    change = list_tier_changes(world)["a policy"]
    for calico_version, given in [("v3.28.5", None), ("v3.32.1", "v3.28.5")]:
        world.of_version(calico_version)
        world.store.follow_version(given)
        assert "unsafe" not in {level for _who, _rule, level in said(world.check(change))}


def test_a_profile_that_allows_less_or_is_deleted():
    world = World()
    world.put(resource("Profile", "open", **ALL))
    world.put(endpoint())
    found = said(world.check(resource("Profile", "open", ingress=[tcp(80)], egress=[ALLOW])))
    assert "no ingress rule of its profiles matched: open" in found["node n1", "G18", "unsafe"]
    found = said(world.check(Ref("Profile", "open"), facts={}))
    assert found["node n1", "G01", "unsafe"].startswith("n1-eth0: profile open is missing")
    assert ("node n1", "G02", "warning") in found


def felix_change(world, **spec):
    before = world.values[ROOT + "felixconfigurations/default"]
    stored = Stored(ROOT + "felixconfigurations/default", "1", before, "", "default", FELIX)
    document = json.dumps({"metadata": {"name": "default"}, "spec": spec})
    return Change("update", Present(Settings(name="default")), stored, Settings(name="default"), [], document)


@dataclasses.dataclass(frozen=True)
class Settings(Resource):
    KIND: ClassVar[str] = "FelixConfiguration"


FELIX = Codec(Settings, None, lambda content, ref: Settings(name=ref.name), lambda content, each: False)
TO_2222 = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1", "port": 2222}
PORT_2222 = [{"protocol": "TCP", "port": 2222}]


def test_failsafe_ports_that_are_removed_or_added(world):
    world.values.pop(ROOT + "globalnetworkpolicies/allow-ssh")
    world.felix(failsafeInboundHostPorts=PORT_2222)
    found = said(world.check(felix_change(world, failsafeInboundHostPorts=[])))
    assert "until now" in found["node n1", "G18", "unsafe"] and "failsafe" in found["node n1", "G18", "unsafe"]
    assert "tcp port 2222 is not an inbound failsafe port" in found["node n1", "G05", "warning"]
    # A policy is added at the same time, and before it.
    allow = policy("allow-ssh", tcp(2222), order=10)
    change = felix_change(world, failsafeInboundHostPorts=[])
    assert said(world.check(allow, change)).keys() == {("node n1", "G05", "warning")}
    assert said(world.check(change, allow)).keys() == {("node n1", "G05", "warning"), ("node n1", "G20", "unsafe")}
    ports = [*PORT_2222, {"protocol": "UDP", "port": 161, "net": "198.51.100.7/32"}, {"protocol": "TCP", "port": 80}]
    lines = world.check(felix_change(world, failsafeInboundHostPorts=ports)).warnings()
    assert [line.partition(" was not")[0] for line in lines] == [
        "guard G19: tcp port 80 from any address",
        "guard G19: udp port 161 from 198.51.100.7",
    ]


def test_a_setting_that_stops_felix_is_unsafe_for_all_nodes(world):
    world.put(endpoint("n2"))
    world.felix()
    found = said(world.check(felix_change(world, chainInsertMode="Nowhere")))
    texts = {who: text for (who, rule, level), text in found.items() if (rule, level) == ("G16", "unsafe")}
    assert texts.keys() == {"node n1", "node n2"} and "chainInsertMode" in texts["node n2"]
    # It is the cause, and not each connection.
    assert not any(rule == "G18" and who == "node n1" for who, rule, _level in found)


def test_interfaces_that_felix_ignores_from_now_on(world):
    world.felix()
    found = said(world.check(felix_change(world, interfaceExclude="eth0")))
    assert "Felix ignores the interface, which is open" in found["node n1", "G16", "unsafe"]
    found = said(world.check(felix_change(world, interfacePrefix="eth")))
    assert "the host is cut off" in found["node n1", "G16", "unsafe"]


def test_a_rule_that_crashes_felix_is_unsafe_without_facts(world):
    found = said(world.check(policy("bad", dict(tcp(80), icmp={"type": 8})), facts={}))
    assert "Felix fails on a rule that applies to the endpoint" in found["node n1", "G16", "unsafe"]


def test_affected_hosts_without_facts_are_one_unknown(world):
    for number in range(2, 10):
        world.put(endpoint("n{0}".format(number)))
    world.put(endpoint("db", labels={"role": "db"}))
    report = world.check(policy("deny", tcp(80, action="Deny"), order=1), mode=ENFORCE)
    assert [(str(each), each.verdict) for each in report.verdicts] == [("node n1", "safe"), ("all changes", "unknown")]
    assert report.warnings() == [
        "guard G18: unknown: all changes: the facts of 8 affected nodes are unknown, so their required connections "
        "could not be checked: n2, n3, n4, n5, n6 and 3 more"
    ]
    # Without any facts, a task that does not enforce says so in the result only.
    report = world.check(policy("deny", tcp(80, action="Deny"), order=1), facts={})
    assert report.warnings() == [] and report.records()[0]["verdict"] == "unknown"


def test_a_connection_that_was_denied_before_is_no_finding(world):
    required = [{"direction": "in", "protocol": "tcp", "port": 9100, "peer": "192.0.2.50"}]
    assert said(world.check(policy("deny", DENY, order=15), mode=ENFORCE, required=required)) == {}


def test_a_required_connection_out_of_the_host(world):
    required = [{"direction": "out", "protocol": "tcp", "port": 12379, "peer": "192.0.2.50"}]
    closing = resource("GlobalNetworkPolicy", "out", selector="all()", types=["Egress"], egress=[tcp(443)])
    found = said(world.check(closing, required=required))
    assert "tcp port 12379 to 192.0.2.50 is required" in found["node n1", "G18", "unsafe"]


def test_neighbour_discovery_that_a_policy_denies_cuts_off_ipv6(world):
    facts = facts_of(
        interfaces={"eth0": ["2001:db8::1/64"]}, ssh={"peer": "2001:db8::9", "address": "2001:db8::1", "port": 2222}
    )
    world.put(policy("allow-ssh", ALLOW, order=10))
    found = said(world.check(policy("allow-ssh", tcp(2222), order=10), facts={"n1": facts}))
    assert "neighbour discovery" in found["node n1", "G18", "unsafe"]


def test_a_malformed_stored_policy_makes_it_unknown_only_if_the_change_matters(world):
    too_many = {"metadata": {"name": "x"}, "spec": {"order": 15, "selector": "all()", "ingress": [ALLOW] * 10001}}
    world.values[ROOT + "globalnetworkpolicies/x"] = json.dumps(too_many)
    found = said(world.check(Ref("GlobalNetworkPolicy", "allow-ssh")))
    assert found.keys() == {("node n1", "G18", "unknown")}
    # Felix ignores what it cannot read.
    world.values[ROOT + "globalnetworkpolicies/x"] = "{"
    world.values[ROOT + "globalnetworksets/x"] = "{"
    assert said(world.check(Ref("GlobalNetworkPolicy", "allow-ssh"))).keys() == {("node n1", "G18", "unsafe")}


def test_a_malformed_policy_that_is_replaced_counts_from_now_on(world):
    world.values[ROOT + "globalnetworkpolicies/bad"] = "{"
    assert said(world.check(policy("bad", DENY, order=1))).keys() == {("node n1", "G18", "unsafe")}


def test_policies_that_cannot_be_read(world, monkeypatch):
    def fail(prefix):
        raise DatastoreError("no rights")

    monkeypatch.setattr(world.store._etcd, "list", fail)
    change = Ref("GlobalNetworkPolicy", "allow-ssh")
    with pytest.raises(Unsafe, match="could not be read, so the change could not be checked: no rights"):
        world.check(change, mode=ENFORCE)
    report = world.check(change)
    assert [(str(each), each.verdict) for each in report.verdicts] == [("all changes", "unknown")]


def test_calico_v1():
    root = "/calico/v1/policy/tier/default/policy/"
    rule = {"action": "allow", "protocol": "tcp", "dst_ports": [2222]}
    etcd = {"/calico/v1/Ready": "true", root + "deny": json.dumps({"selector": "all()", "types": ["ingress"]})}
    etcd[root + "ssh"] = json.dumps({"selector": "all()", "types": ["ingress"], "inbound_rules": [rule]})
    value = {"name": "eth0", "labels": {}, "profile_ids": []}
    there = [Stored("/calico/v1/host/n1/endpoint/e", "1", json.dumps(value), "n1", "e", CODEC_V1)]
    facts = {"n1": HostFacts({"eth0": ["192.0.2.1/24"]}, [parse_connection(TO_2222, "x")])}

    def said_after(values):
        guard = Guard(V1, snapshot_v1(etcd, there), [], phases=[Phase("update policies", values, (), ())])
        (verdict,) = guard.check({}, others=lambda: facts)
        return {found.rule for found in verdict.findings if found.level == "unsafe"}

    assert said_after({root + "ssh": None}) == {"G18"}
    assert said_after({root + "deny": None}) == set()
    assert said_after({"/calico/v1/config/FailsafeInboundHostPorts": "tcp:2222", root + "ssh": None}) == set()


# Policies and endpoints together


def bare():
    """A datastore with the node's endpoint to come."""
    found = World()
    found.put(resource("Profile", "open", **ALL))
    return found


def test_policies_that_are_written_before_the_endpoints_that_need_them():
    world = bare()
    allow, mine = policy("allow-ssh", tcp(2222)), endpoint(profiles=())
    report = world.check(allow, mine, mode=ENFORCE)
    assert {rule for _who, rule, level in said(report) if level != "warning"} == set()
    # The opposite order locks out in between.
    found = said(world.check(mine, allow))
    assert {(who, rule) for who, rule, level in found if level == "unsafe"} == {("node n1", "G20")}
    text = found["node n1", "G20", "unsafe"]
    assert text.startswith(
        "after create host endpoint n1-eth0 on node n1 and before create global network policy allow-ssh, tcp port "
        "2222 from 192.0.2.9 is required and not allowed: denied"
    )


def test_a_label_and_the_policy_that_selects_it_are_safe_in_one_order_only(world):
    world.values.pop(ROOT + "globalnetworkpolicies/drop-rest")
    relabelled = endpoint(labels={"role": "new"}, profiles=())
    created = policy("new", tcp(2222), selector="role == 'new'")
    gone = Ref("GlobalNetworkPolicy", "allow-ssh")
    assert {rule for _who, rule, level in said(world.check(created, relabelled, gone)) if level == "unsafe"} == set()
    assert {rule for _who, rule, level in said(world.check(relabelled, created, gone)) if level == "unsafe"} == {"G20"}


def test_a_policy_that_is_replaced_by_one_of_another_name(world):
    # Creations come before deletions.
    new, old = policy("ssh", tcp(2222), order=10), Ref("GlobalNetworkPolicy", "allow-ssh")
    assert said(world.check(new, old, mode=ENFORCE)) == {}
    assert said(world.check(old, new)).keys() == {("node n1", "G20", "unsafe")}


# Changes of one kind and operation


@pytest.fixture
def one_by_one(world, monkeypatch):
    """The datastore writes each change by a request of its own, like etcdv2 and Kubernetes."""
    monkeypatch.setattr(world.store, "group_writes", functools.partial(Datastore.group_writes, world.store))
    return world


def move_ssh(world, number=0):
    """Updates by which a-ssh loses what z-ssh gains, and of other policies in between."""
    names = ["m{0:03}".format(each) for each in range(number)]
    before, after = (
        [policy(name, tcp(port), order=10) for name, port in [("a-ssh", first), *others, ("z-ssh", last)]]
        for first, last, others in (
            (2222, 80, [(name, 81) for name in names]),
            (80, 2222, [(name, 82) for name in names]),
        )
    )
    world.values.pop(ROOT + "globalnetworkpolicies/allow-ssh")
    for each in before:
        world.put(each)
    return after


def test_a_request_of_its_own_for_each_change_locks_out_between_two_updates(one_by_one):
    after = move_ssh(one_by_one)
    found = said(one_by_one.check(*after))
    assert found.keys() == {("node n1", "G20", "unsafe")}
    assert found["node n1", "G20", "unsafe"].startswith(
        "after update global network policy a-ssh and before update global network policy z-ssh, tcp port 2222 from"
    )
    with pytest.raises(Unsafe, match="write the changes in two runs"):
        one_by_one.check(*after, mode=ENFORCE)
    # The other order is safe.
    assert said(one_by_one.check(*reversed(after), mode=ENFORCE)) == {}


def test_a_transaction_of_etcd_writes_both_updates_at_once(world):
    assert said(world.check(*move_ssh(world), mode=ENFORCE)) == {}


def test_more_updates_than_a_transaction_of_etcd_has(world):
    assert said(world.check(*move_ssh(world, 125), mode=ENFORCE)) == {}
    found = said(world.check(*move_ssh_again(world, 126)))
    assert "after update global network policy a-ssh and 126 more" in found["node n1", "G20", "unsafe"]


def move_ssh_again(world, number):
    world.put(policy("allow-ssh", tcp(2222), order=10))
    return move_ssh(world, number)


def test_of_too_many_states_neighbours_are_merged_and_one_warning_says_so(one_by_one):
    changes = move_ssh(one_by_one, 39)
    report = one_by_one.check(*changes)
    assert ("node n1", "G20", "unsafe") in said(report)
    assert not [line for line in report.warnings() if "states in between" in line]
    changes = move_ssh_again(one_by_one, 40)
    report = one_by_one.check(*changes)
    assert ("node n1", "G20", "unsafe") in said(report)
    (line,) = [line for line in report.warnings() if "states in between" in line]
    assert line.startswith(
        "guard G20: the changes are written by 42 requests, and only 20 of the 41 states in between were evaluated"
    )
    # Of many hosts, fewer states are evaluated.
    changes = [one_by_one.change(each) for each in changes]
    assert [len(build_phases(changes, one_by_one.store, hosts)) for hosts in (0, 1000, 2000, 10000)] == [21, 21, 21, 11]
    # Without facts, no connection is required.
    assert not [line for line in one_by_one.check(*changes, facts={}).warnings() if "states in between" in line]


def test_a_connection_that_an_endpoints_verdict_reports_is_not_reported_twice(world):
    found = said(world.check(Ref("GlobalNetworkPolicy", "allow-ssh"), endpoint(labels={"role": "web", "x": "y"})))
    unsafe = [(who, rule) for who, rule, level in found if level == "unsafe"]
    assert unsafe == [("host endpoint n1-eth0 on node n1", "G03")]


def test_the_members_of_a_selector_change_with_an_endpoint_on_another_host(world):
    world.put(policy("allow-ssh", tcp(2222, selector="role == 'bastion'"), order=10))
    bastion = HostEndpoint(
        name="bast", node="bast", interface_name="eth0", expected_ips=("192.0.2.9",), labels={"role": "bastion"}
    )
    world.put(bastion)
    relabelled = dataclasses.replace(bastion, labels={"role": "x"})
    other = policy("other", tcp(443), selector="role == 'nothing'")
    found = said(world.check(other, relabelled))
    assert ("node n1", "G18", "unsafe") in found


def test_the_message_counts_endpoints_and_nodes(world):
    world.put(endpoint("n2"))
    facts = {
        "n1": facts_of(),
        "n2": facts_of(interfaces={"eth0": ["192.0.2.2/24"]}, ssh=dict(SSH, address="192.0.2.2")),
    }
    mine = HostEndpoint(name="n3-eth0", node="n3", interface_name="eth0", profiles=("missing",))
    with pytest.raises(Unsafe) as refused:
        world.check(mine, Ref("GlobalNetworkPolicy", "allow-ssh"), mode=ENFORCE, facts=facts)
    assert str(refused.value).startswith("1 of 1 changes would be unsafe and 2 of 2 affected nodes would be unsafe: ")


def test_one_change_is_checked_again_after_a_conflict(world):
    # The endpoint was written; only the policy is planned again.
    world.values.pop(ROOT + "globalnetworkpolicies/allow-ssh")
    assert said(world.check(policy("drop-rest", tcp(2222), order=20), mode=ENFORCE)) == {}


# What changes open


def test_what_becomes_open(world):
    text = "guard G19: tcp port {0} from any {1} was not allowed and is allowed now: policy web, {2} (on n1)"
    lines = world.check(policy("web", tcp("80:90", 443), order=30), mode=ENFORCE).warnings()
    assert lines == [text.format(port, "address", "ingress rule 1") for port in (443, 80)]
    lines = world.check(policy("web", dict(tcp(443), ipVersion=6), order=30), mode=ENFORCE).warnings()
    assert lines == [text.format(443, "IPv6 address", "ingress rule 1")]


def test_what_becomes_open_by_default(world):
    gone = [Ref("GlobalNetworkPolicy", name) for name in ("allow-ssh", "drop-rest")]
    lines = world.check(*gone, mode=ENFORCE).warnings()
    assert lines[0].startswith(
        "guard G19: tcp port 49151 from any address was not allowed and is allowed now: profile open"
    )


def test_what_becomes_open_for_some_addresses(world):
    report = world.check(policy("web", tcp(80, selector="has(x)"), order=30))
    assert report.warnings()[0].startswith(
        "guard G19: tcp port 80 from some addresses was not allowed and may be allowed now: policy"
    )
    (line,) = world.check(policy("web", tcp(80, nets=["10.0.0.0/8"]), order=30)).warnings()
    assert line.startswith("guard G19: tcp port 80 from 10.0.0.0 was not allowed and is allowed now")


def build_unchanged_rule_openings():
    """{what changes: (what is stored, the change)}, each of which opens port 80 to an unchanged rule."""
    web, block = policy("web", tcp(80), order=12), policy("block", DENY, order=11)
    tier = functools.partial(resource, "Tier")
    felix = dict.fromkeys(("failsafeInboundHostPorts", "failsafeOutboundHostPorts"), [])
    to_prefix = resource("FelixConfiguration", "default", interfacePrefix="cali", **felix)
    early = [tier("early", order=1.0), policy("early.ssh", tcp(2222), tier="early"), web]
    block_80 = [policy("early.ssh", tcp(2222), tier="early"), policy("early.x", tcp(80, action="Deny"), tier="early")]
    late = [tier("late", order=2.0), policy("late.web", tcp(80), {"action": "Pass"}, tier="late")]
    labelled = policy("web", tcp(80), order=12, selector="zone == 'a'")
    to_admins = resource("GlobalNetworkSet", "admins", labels={"who": "admins"}, nets=["0.0.0.0/0"])
    block_set = policy("block", tcp(80, action="Deny", selector="who == 'admins'"), order=11)
    return {
        "a policy is deleted": ([web, block], block.ref),
        "a selector is narrowed": ([web, block], policy("block", DENY, order=11, selector="role == 'db'")),
        "an order": ([web, block], policy("block", DENY, order=50)),
        "a policy of an earlier tier is deleted": (early, early[1].ref),
        "a default action": (early, tier("early", order=1.0, defaultAction="Pass")),
        "the order of a tier": ([early[0], *block_80, *late], tier("early", order=3.0)),
        "the labels of a profile": ([labelled], resource("Profile", "open", labelsToApply={"zone": "a"}, **ALL)),
        "the labels of an endpoint": (
            [labelled],
            [
                endpoint(labels={"role": "web", "zone": "a"}),
                resource("GlobalNetworkSet", "other", nets=["192.0.2.1/32"]),
            ],
        ),
        "a rule is narrowed": ([web, block], policy("block", dict(DENY, source={"nets": ["10.0.0.0/8"]}), order=11)),
        "the labels of a set": (
            [web, to_admins, block_set],
            resource("GlobalNetworkSet", "admins", labels={"who": "others"}, nets=["0.0.0.0/0"]),
        ),
        "an interface prefix": ([web], to_prefix),
    }


@pytest.mark.parametrize("what", build_unchanged_rule_openings())
def test_what_becomes_open_by_a_rule_that_does_not_change(world, what):
    stored, change = build_unchanged_rule_openings()[what]
    for each in stored:
        world.put(each)
    if what == "an interface prefix":
        world.felix(interfacePrefix="eth", failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[])
    changes = change if isinstance(change, list) else [change]
    lines = world.check(*changes).warnings()
    assert any(line.startswith("guard G19: tcp port 80 from ") for line in lines), lines
    # The change that does not affect the host opens nothing.
    assert world.check(resource("GlobalNetworkSet", "unused", nets=["192.0.2.1/32"])).warnings() == []


def test_what_a_deleted_policy_opens_to_one_network_only(world):
    world.put(policy("web", tcp(80, nets=["10.0.0.0/8"]), order=12))
    world.put(policy("block", dict(DENY, source={"nets": ["10.1.0.0/16"]}), order=11))
    (line,) = world.check(Ref("GlobalNetworkPolicy", "block")).warnings()
    assert line.startswith("guard G19: tcp port 80 from 10.1.0.0 was not allowed and is allowed now: policy web")


def test_what_opens_to_one_more_group_of_endpoints(world):
    world.put(endpoint("n2", labels={"role": "app"}, expected_ips=("192.0.2.2",)))
    world.put(endpoint("n3", labels={"role": "db"}, expected_ips=("192.0.2.3",)))
    app, db = (tcp(80, selector="role == '{0}'".format(role)) for role in ("app", "db"))
    world.put(policy("web", app, order=12))
    (line,) = world.check(policy("web", app, db, order=12)).warnings()
    assert line.startswith("guard G19: tcp port 80 from 192.0.2.3 was not allowed and is allowed now: policy web")


def test_what_opens_by_the_name_of_a_port(world):
    world.put(endpoint(ports=(Port("http", "tcp", 8080),)))
    lines = world.check(policy("web", tcp("http"), order=12)).warnings()
    assert [line for line in lines if line.startswith("guard G19: tcp port 8080 from some addresses")]


def test_openings_of_many_hosts_and_of_many_ports_are_few_lines(world):
    facts = {"n1": facts_of()}
    for number in range(2, 9):
        world.put(endpoint("n{0}".format(number)))
        facts["n{0}".format(number)] = facts_of()
    rules = [tcp(8000 + number) for number in range(40)]
    lines = world.check(policy("web", *rules, order=30), facts=facts).warnings()
    assert len(lines) == 11 and lines[-1] == "guard G19: 30 more such warnings"
    assert lines[0].endswith("(on n1, n2, n3, n4, n5 and 3 more)")


# --- declared connectivity ---


def expect(expected, port, peer="192.0.2.9", direction="in"):
    found = {"name": "the admins", "direction": direction, "protocol": "tcp", "port": port, "peer": peer}
    return [dict(found, expect=expected)]


def test_g21_a_policy_that_breaks_an_expectation_is_refused(world):
    world.put(policy("web", tcp(443), order=12))
    expected = {"n1": expect("allow", 443)}
    with pytest.raises(Unsafe) as refused:
        world.check(Ref("GlobalNetworkPolicy", "web"), mode=ENFORCE, expected=expected)
    assert (
        "node n1: the expectation the admins is no longer met: tcp port 443 from 192.0.2.9 must be allowed; denied by "
        "allow-ssh and drop-rest: no ingress rule matched (G21). What to do: keep what meets the expectation"
    ) in str(refused.value)
    (line,) = world.check(Ref("GlobalNetworkPolicy", "web"), expected=expected).warnings()
    assert line.startswith("guard G21: unsafe: node n1: the expectation the admins is no longer met")
    # It was not met before.
    assert (
        said(world.check(policy("web", tcp(444), order=12), expected={"n1": expect("allow", 444, "10.0.0.0/8")})) == {}
    )
    assert said(world.check(Ref("GlobalNetworkPolicy", "web"), expected={"n1": expect("allow", 445)})) == {}


def test_g21_a_policy_that_opens_what_must_be_denied(world):
    found = said(world.check(policy("web", tcp(443), order=12), expected={"n1": expect("deny", 443, "0.0.0.0/0")}))
    text = found["node n1", "G21", "unsafe"]
    assert "must be denied; allowed by ingress rule 1 of policy web" in text
    report = world.check(policy("web", tcp(444), order=12), expected={"n1": expect("deny", 443, "0.0.0.0/0")})
    assert said(report) == {}


def test_g21_endpoints_that_change(world):
    expected = {"n1": expect("allow", 2222), "n2": expect("deny", 80)}
    facts = {"n1": facts_of(), "n2": facts_of(interfaces={"eth0": ["192.0.2.2/24"]})}
    world.put(endpoint("n2"))
    found = said(world.check(endpoint(labels={"role": "x"}, profiles=()), facts=facts, expected=expected))
    assert "tcp port 2222 from 192.0.2.9 must be allowed" in found["node n1", "G21", "unsafe"]
    found = said(world.check(endpoint("n2").ref, facts=facts, expected=expected))
    assert "no endpoint governs eth0" in found["node n2", "G21", "unsafe"]
    assert not any(
        rule == "G21" for _who, rule, _level in said(world.check(endpoint("n3"), facts=facts, expected=expected))
    )


def test_g21_at_the_other_end(world):
    """A change of one host breaks an expectation of another."""
    facts = {"n1": facts_of(), "n2": facts_of(interfaces={"eth0": ["192.0.2.2/24"]})}
    expected = {"n1": expect("allow", 2222, "n2"), "n2": []}
    closed = endpoint("n2", profiles=(), labels={"role": "y"})
    found = said(world.check(closed, facts=facts, expected=expected))
    assert "on n2, denied: no policy governs its egress" in found["node n1", "G21", "unsafe"]


def test_g21_between_two_requests(world):
    """The rule moves from a policy that is updated to another that is created afterwards."""
    world.put(policy("z-web", tcp(443), order=12))
    moved = [world.change(policy("z-web", tcp(80), order=12)), world.change(tier_policy())]
    found = said(world.check(*moved, expected={"n1": expect("allow", 443)}))
    assert found["node n1", "G21", "unsafe"].startswith("after update global network policy z-web and before create")
    assert said(world.check(*reversed(moved), expected={"n1": expect("allow", 443)})) == {}


def tier_policy():
    return policy("web-2", tcp(443), order=13)


def test_g21_what_becomes_unknown_is_written_with_a_warning(world):
    world.put(policy("web", tcp(443), order=12))
    nets = ["10.%d.%d.0/25" % (number // 250, number % 250) for number in range(3000)]
    change = policy("web", tcp(443, nets=nets), order=12)
    report = world.check(change, expected={"n1": expect("allow", 443, "10.0.0.0/8")}, mode=ENFORCE)
    (key,) = said(report)
    assert key == ("node n1", "G21", "unknown") and "is no longer certain" in said(report)[key]
