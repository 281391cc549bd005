# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is stored: no value takes down more than itself. Most of it on an etcd in memory, some on a real one."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.etcd import base64_of
from tests.harness.module import collections_path, run_module
from tests.integration.hostile import NAMES, Mutants, fuzz, mutated
from tests.integration.memory import memory_of
from tests.integration.sets import MINE
from tests.integration.tasks import one_etcd, only_etcdv2, only_etcdv3

pytestmark = pytest.mark.thorough

collections_path()

V1 = "/calico/v1/"
V3 = "/calico/resources/v3/projectcalico.org/"
RULES_V1 = [
    {"action": "allow", "protocol": "tcp", "src_net": "10.0.0.0/8", "dst_ports": [22, "80:90"], "ip_version": 4},
    {"action": "deny", "src_selector": "role == 'db'", "!dst_tag": "t", "!src_nets": ["192.0.2.0/24"]},
    {"action": "allow", "protocol": "icmp", "icmp_type": 8, "icmp_code": 0, "!protocol": "udp"},
    {"action": "next-tier", "log_prefix": "x"},
]
VALUES_V1 = {
    V1 + "host/n1/endpoint/{0}": [
        {
            "name": "eth0",
            "expected_ipv4_addrs": ["192.0.2.1"],
            "expected_ipv6_addrs": ["2001:db8::1"],
            "labels": {"role": "db"},
            "profile_ids": ["prof"],
            "more": {"a": [1]},
        }
    ],
    V1 + "policy/tier/default/policy/{0}": [
        {
            "order": 10,
            "inbound_rules": RULES_V1,
            "outbound_rules": RULES_V1[:1],
            "selector": "has(role) && role in {'web', 'db'}",
            "types": ["ingress", "egress"],
            "untracked": False,
            "pre_dnat": False,
            "annotations": {"a": "b"},
        }
    ],
    V1 + "policy/profile/prof/rules": [{"inbound_rules": RULES_V1, "outbound_rules": [{"action": "allow"}]}],
    V1 + "policy/profile/prof/labels": [{"role": "web"}],
    V1 + "policy/profile/prof/tags": [["t"]],
    V1 + "policy/profile/{0}/rules": [{"inbound_rules": [{}]}],
    V1 + "host/n1/workload/k8s/w/endpoint/{0}": [
        {
            "name": "cali1",
            "ipv4_nets": ["10.1.0.1/32"],
            "ipv6_nets": ["fd00::1/128"],
            "profile_ids": ["prof"],
            "labels": {"role": "db"},
        }
    ],
    V1 + "config/{0}": ["x"],
    V1 + "config/FailsafeInboundHostPorts": ["tcp:22,udp:68"],
    V1 + "config/CalicoVersion": ["v2.6.8"],
    V1 + "host/n1/config/FailsafeOutboundHostPorts": ["none"],
    V1 + "host/n1/config/InterfacePrefix": ["cali,tap"],
    V1 + "host/n1/metadata": ["192.0.2.1"],
    V1 + "host/{0}/metadata": ["192.0.2.1"],
    V1 + "Ready": ["true"],
}


def metadata(name="{0}", **more):
    return dict({"name": name, "uid": "11111111-2222-4333-8444-555555555555"}, **more)


RULES_V3 = [
    {
        "action": "Allow",
        "protocol": "TCP",
        "ipVersion": 4,
        "source": {"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"]},
        "destination": {"ports": [22, "80:90", "web"], "notPorts": [25]},
    },
    {
        "action": "Deny",
        "notProtocol": "UDP",
        "source": {"selector": "role == 'db'", "notSelector": "has(x)", "namespaceSelector": "all()"},
        "destination": {"serviceAccounts": {"names": ["a"], "selector": "has(b)"}},
    },
    {"action": "Log", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}, "notICMP": {"type": 3}},
    {"action": "Pass", "http": {"methods": ["GET"]}, "destination": {"services": {"name": "s", "namespace": "n"}}},
]
VALUES_V3 = {
    V3 + "hostendpoints/{0}": [
        {
            "kind": "HostEndpoint",
            "apiVersion": "projectcalico.org/v3",
            "metadata": metadata(
                labels={"role": "db"},
                annotations={"a": "b"},
                creationTimestamp="2020-01-02T03:04:05Z",
                generation=1,
                ownerReferences=[{"kind": "Node", "name": "n1", "controller": True}],
                managedFields=[{"manager": "m", "time": "2020-01-02T03:04:05Z", "fieldsV1": {"f": {}}}],
            ),
            "spec": {
                "node": "n1",
                "interfaceName": "eth0",
                "expectedIPs": ["192.0.2.1", "2001:db8::1"],
                "profiles": ["prof"],
                "ports": [{"name": "web", "protocol": "TCP", "port": 80}],
            },
        }
    ],
    V3 + "globalnetworkpolicies/{0}": [
        {
            "kind": "GlobalNetworkPolicy",
            "metadata": metadata(annotations={"projectcalico.org/metadata": '{"name":"default.p"}'}),
            "spec": {
                "tier": "default",
                "order": 10,
                "ingress": RULES_V3,
                "egress": RULES_V3[:1],
                "selector": "has(role) && role in {'web', 'db'}",
                "types": ["Ingress", "Egress"],
                "applyOnForward": True,
                "doNotTrack": False,
                "preDNAT": False,
                "namespaceSelector": "",
                "serviceAccountSelector": "",
            },
        }
    ],
    V3 + "stagedglobalnetworkpolicies/{0}": [{"metadata": metadata(), "spec": {"order": 0}}],
    V3 + "profiles/prof": [
        {"metadata": metadata("prof"), "spec": {"ingress": RULES_V3, "egress": [], "labelsToApply": {"role": "web"}}}
    ],
    V3 + "profiles/{0}": [{"metadata": metadata(), "spec": {"egress": [{"action": "Allow"}]}}],
    V3 + "tiers/default": [{"metadata": metadata("default"), "spec": {"order": 1000000, "defaultAction": "Deny"}}],
    V3 + "tiers/{0}": [{"metadata": metadata(), "spec": {"order": 10, "defaultAction": "Pass"}}],
    V3 + "globalnetworksets/{0}": [{"metadata": metadata(labels={"role": "db"}), "spec": {"nets": ["10.2.0.0/16"]}}],
    V3 + "networksets/ns/{0}": [{"metadata": metadata(labels={"role": "db"}), "spec": {"nets": ["10.3.0.0/16"]}}],
    V3 + "workloadendpoints/ns/{0}": [
        {
            "metadata": metadata(labels={"role": "db", "pcns.a": "b"}),
            "spec": {
                "node": "n1",
                "serviceAccountName": "a",
                "interfaceName": "cali1",
                "ipNetworks": ["10.1.0.1/32"],
                "profiles": ["prof"],
                "ports": [{"name": "web", "protocol": "TCP", "port": 80}],
            },
        }
    ],
    V3 + "felixconfigurations/default": [
        {
            "metadata": metadata("default", annotations={"a": "b"}),
            "spec": {
                "failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}],
                "interfacePrefix": "cali",
                "vxlanPort": 4789,
                "ipv6Support": True,
                "bpfEnabled": False,
                "iptablesFilterAllowAction": "Accept",
                "chainInsertMode": "Insert",
            },
        }
    ],
    V3 + "felixconfigurations/node.n1": [{"spec": {"failsafeOutboundHostPorts": [{"protocol": "UDP", "port": 53}]}}],
    V3 + "felixconfigurations/{0}": [{"spec": {"nodeSelector": "all()"}}],
    V3 + "nodes/{0}": [{"metadata": metadata(), "spec": {}}],
    V3 + "clusterinformations/default": [
        {"metadata": metadata("default"), "spec": {"calicoVersion": "v3.32.1", "datastoreReady": True}}
    ],
}
VALUES = {"etcdv2": VALUES_V1, "etcdv3": VALUES_V3}


def stored_values(datastore_type):
    """A strategy of what is stored: of each kind at most one mutant."""
    kinds = [st.tuples(keys_of(key), mutated(document)) for key, (document,) in VALUES[datastore_type].items()]
    return st.lists(st.one_of(*kinds), min_size=1, max_size=4).map(Mutants)


def keys_of(key):
    before, placeholder, after = key.partition("{0}")
    if not placeholder:
        return st.just(key.encode())
    # Half of them are as they should be.
    numbers = st.integers(-len(NAMES), len(NAMES) - 1)
    return numbers.map(lambda number: before.encode() + NAMES[max(0, number)] + after.encode())


# What is there beside: on the node n2, an endpoint as wanted, one that differs, one that nobody wants.

GOOD, OTHER, NEW = (
    {"node": "n2", "name": "n2-" + name, "interface_name": name, "expected_ips": ["192.0.2.2"], "labels": MINE}
    for name in ("eth0", "eth1", "eth2")
)
UNWANTED = dict(GOOD, name="n2-old", interface_name="eth9")
WANTED = [GOOD, dict(OTHER, labels=dict(MINE, new="1")), NEW]
FACTS = {
    node: {
        "interfaces": {"eth0": ["192.0.2.%d/24" % number, "2001:db8::%d/64" % number], "eth1": []},
        "ssh": {"peer": "192.0.2.9", "port": 22},
        "require": [{"direction": "out", "protocol": "udp", "port": 53, "peer": "192.0.2.53"}],
    }
    for number, node in ((1, "n1"), (2, "n2"))
}
CONNECTIONS = [
    {"direction": "in", "protocol": "tcp", "src": "10.0.0.9", "dst": "192.0.2.1", "port": 80, "in_interface": "eth0"},
    {
        "direction": "out",
        "protocol": "tcp",
        "src": "192.0.2.1",
        "dst": "10.2.0.1",
        "port": 443,
        "out_interface": "eth0",
    },
    {"direction": "in", "protocol": "icmp", "src": "10.1.0.1", "dst": "192.0.2.1", "in_interface": "eth0"},
]


class Store:
    """A datastore, in memory or real, and the modules on it."""

    def __init__(self, datastore):
        self.datastore = datastore
        self.options = {"datastore_type": datastore.type, "etcd_endpoints": [datastore.url]}

    def fill(self, values):
        self.datastore.put_all(values)
        for each in (GOOD, OTHER, UNWANTED):
            self.datastore.put_endpoint(each)

    def run(self, module, check=False, diff=False, **options):
        result = run_module(module, dict(self.options, **options), check, diff)
        assert "exception" not in result, result
        for text in [*result["warnings"], result.get("msg", "")]:
            assert text.isprintable() and len(text) < 5000 and "Traceback" not in text, text
        return result

    def done(self, module, **options):
        result = self.run(module, **options)
        assert not result["failed"], result["msg"]
        return result

    def get(self, fields):
        return self.datastore.get(self.datastore.key(fields["node"], fields["name"]))


@pytest.fixture
def memory(datastore_type):
    with memory_of(datastore_type) as memory:
        yield Store(memory)


def property_of(memory, check, examples=60):
    """Check it of many stored values."""

    @fuzz(examples)
    @given(stored_values(memory.datastore.type))
    def holds(values):
        memory.datastore.reset()
        memory.fill(values)
        check(memory, values)

    holds()


def of_n2(items):
    return sorted(item["name"] for item in items if item["node"] == "n2")


def is_locked(result):
    return result["failed"] and "can be changed now" in result["msg"]


def listed(store, values):
    result = store.done("calico_hostendpoint_info")
    assert of_n2(result["hostendpoints"]) == ["n2-eth0", "n2-eth1", "n2-old"]
    of_node = store.done("calico_hostendpoint_info", node="n2")
    assert of_n2(of_node["hostendpoints"]) == ["n2-eth0", "n2-eth1", "n2-old"]
    selected = store.done("calico_hostendpoint_info", selector="!has(role)")
    assert set(of_n2(selected["hostendpoints"])) >= {"n2-eth0", "n2-eth1", "n2-old"}


def audited(store, values):
    for more in ({}, {"guard_facts": FACTS, "policies": True, "owner": "me"}, {"policies": True}):
        result = store.done("calico_hostendpoints_audit", endpoints=WANTED, nodes=["n1", "n2"], **more)
        found = {(each["name"], each["class"]) for each in result["findings"] if each["node"] == "n2"}
        assert found >= {("n2-eth1", "changed"), ("n2-eth2", "missing"), ("n2-old", "unmanaged")}
        assert ("n2-eth0", "changed") not in found and ("n2-eth0", "missing") not in found


def asked(store, values):
    for node, facts in FACTS.items():
        result = store.done(
            "calico_connection_info", node=node, interfaces=facts["interfaces"], connections=CONNECTIONS
        )
        assert {each["verdict"] for each in result["results"]} <= {"allow", "deny", "unknown"}
        assert len(result["results"]) == len(CONNECTIONS)


def purged(store, values):
    options = {"endpoints": WANTED, "purge": "all", "purge_nodes": ["n1", "n2"], "guard_facts": FACTS}
    predicted = store.run("calico_hostendpoints", check=True, diff=True, guard="warn", **options)
    refused = store.run("calico_hostendpoints", check=True, guard="enforce", **options)
    result = store.run("calico_hostendpoints", diff=True, guard="warn", **options)
    if is_locked(result):
        assert is_locked(predicted) and is_locked(refused)
        return
    assert not result["failed"], result["msg"]
    assert predicted["changes"] == result["changes"]
    assert [(each["operation"], each["name"]) for each in result["changes"] if each["node"] == "n2"] == [
        ("create", "n2-eth2"),
        ("update", "n2-eth1"),
        ("delete", "n2-old"),
    ]
    assert not refused["failed"] or refused["guard"], refused
    assert store.get(NEW) and not store.get(UNWANTED)


def written(store, values):
    result = store.run("calico_hostendpoint", diff=True, guard_facts=FACTS, **WANTED[1])
    assert is_locked(result) or (result["operation"], result["fields"]) == ("update", ["labels"]), result
    for state in ("present", "patched", "absent"):
        fields = {} if state == "absent" else {"interface_name": "eth7"}
        identity = {"node": "n1", "name": "x"}
        for check in (True, False):
            store.run("calico_hostendpoint", check=check, diff=True, state=state, **identity, **fields)


def gathered_and_migrated(store, values):
    from ansible.errors import AnsibleFilterError

    from ansible_collections.netsec.calico.plugins.filter.convert_v1 import convert_v1
    from ansible_collections.netsec.calico.plugins.filter.explain_convert_v1 import explain_convert_v1
    from ansible_collections.netsec.calico.plugins.filter.to_resource import resources
    from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import DATASTORES
    from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.gathered_inventory import Hosts, build_gathered

    result = store.done("calico_hostendpoint_info")
    api_version = DATASTORES[store.datastore.type].api_version
    hosts = Hosts({"host1": "n1", "host2": "n2"}, set())
    gathered = build_gathered(result["hostendpoints"], result["malformed"], hosts, api_version)
    made = gathered.hosts["host2"]["hostendpoints_endpoints"]
    assert sorted(each["name"] for each in made) == ["n2-eth0", "n2-eth1", "n2-old"]
    assert gathered.text("hosts.yml").encode("utf-8")
    for each in result["hostendpoints"]:
        for convert in (lambda item: resources(item, api_version.name), lambda item: resources([item], "v1")):
            try:
                json.dumps(convert(each)).encode("utf-8")
            except AnsibleFilterError as exc:
                assert str(exc).isprintable(), str(exc)
    if store.datastore.type == "etcdv2":
        explained = explain_convert_v1(result["hostendpoints"])
        assert [each["problems"] for each in explained if each["node"] == "n2"] == [[], [], []]
        try:
            convert_v1(result["hostendpoints"])
        except AnsibleFilterError as exc:
            assert str(exc).isprintable(), str(exc)


@pytest.mark.parametrize("check", [listed, audited, asked, purged, written, gathered_and_migrated])
def test_whatever_is_stored(memory, check):
    property_of(memory, check)


# What only a real etcd has


@pytest.fixture
def real(datastore):
    return Store(datastore)


PURGED = [("create", "n2-eth2"), ("update", "n2-eth1"), ("delete", "n2-old")]


def purge(store, *nodes):
    """What a purge of these nodes and n2 does on n2, whatever is on the others."""
    options = {"endpoints": WANTED, "purge": "all", "purge_nodes": ["n2", *nodes], "guard_facts": FACTS}
    result = store.done("calico_hostendpoints", **options)
    assert [(each["operation"], each["name"]) for each in result["changes"]] == PURGED
    return result


def put_bytes(store, key, value):
    """Store under a key that need not be UTF-8."""
    server = store.datastore.server
    if store.datastore.type == "etcdv3":
        server.v3("kv/put", key=base64_of(key), value=base64_of(value.encode()))
    else:
        status, _body = server.request("PUT", "/v2/keys" + quote(key), urlencode({"value": value}))
        assert status == 201


@one_etcd
def test_a_key_that_is_not_utf8(real):
    key = {"etcdv2": V1 + "host/n1/endpoint/", "etcdv3": V3 + "hostendpoints/"}[real.datastore.type].encode() + b"a\xff"
    value = real.datastore.value({"node": "n1", "name": "a\ufffd", "interface_name": "eth0"})
    put_bytes(real, key, value)
    real.fill({})
    result = real.done("calico_hostendpoint_info")
    (malformed,) = result["malformed"]
    assert "not UTF-8" in malformed["error"] and "it is unknown whether Calico can read it" in result["warnings"][0]
    assert "not UTF-8" in str(purge(real, "n1")["warnings"])
    connections = [dict(CONNECTIONS[0], src="192.0.2.9")]
    result = real.done(
        "calico_connection_info", node="n1", interfaces=FACTS["n1"]["interfaces"], connections=connections
    )
    assert result["results"][0]["verdict"] == "unknown"


@one_etcd
@only_etcdv2
@pytest.mark.parametrize("place", ["host/n1/endpoint", "host/n1", "policy/tier/default/policy", "config"])
def test_keys_that_are_nested_deeper_than_python_can_read(real, place):
    deep = V1 + place + "/a" * 1500
    real.datastore.put(deep, "x")
    real.fill({})
    assert of_n2(real.done("calico_hostendpoint_info")["hostendpoints"]) == ["n2-eth0", "n2-eth1", "n2-old"]
    audited(real, {})
    asked(real, {})
    purge(real, "n1")


@one_etcd
@only_etcdv2
@pytest.mark.parametrize("key", ["host/n1", "host/n1/endpoint"])
@pytest.mark.parametrize("others", [0, 20])
def test_a_value_where_a_directory_belongs(real, key, others):
    """calicoctl v1 makes such a one when it is told to create an endpoint named "..", and no endpoint can be there."""
    real.datastore.put(V1 + key, "{}")
    real.fill({})
    listed(real, {})
    assert [each["key"] for each in real.done("calico_hostendpoint_info", node="n1")["malformed"]] == [V1 + key]
    audited(real, {})
    assert V1 + key in purge(real, "n1", *("m%d" % number for number in range(others)))["warnings"][0]
    before = real.datastore.revision()
    wanted = [dict(GOOD, node=node) for node in ["n1", *("m%d" % number for number in range(others))]]
    result = real.run("calico_hostendpoints", endpoints=wanted, guard="off")
    assert result["failed"] and V1 + "host/n1" in result["msg"] and "etcdctl" in result["msg"]
    assert real.datastore.revision() == before
    result = real.run("calico_hostendpoint", **wanted[0])
    assert result["failed"] and V1 + "host/n1" in result["msg"]


@one_etcd
@only_etcdv3
def test_what_is_stored_on_another_level_does_not_count(real):
    deny = json.dumps({"spec": {"selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}})
    for name in ("a/b", "", "a/"):
        real.datastore.put(V3 + "globalnetworkpolicies/" + name, deny)
    real.datastore.put_endpoint(dict(GOOD, node="n1", name="n1-eth0", profiles=["projectcalico-default-allow"]))
    real.datastore.put(
        real.datastore.state_key, json.dumps({"spec": {"calicoVersion": "v3.32.1", "datastoreReady": True}})
    )
    result = real.done(
        "calico_connection_info", node="n1", interfaces=FACTS["n1"]["interfaces"], connections=CONNECTIONS[:1]
    )
    assert result["results"][0]["verdict"] == "allow"


@one_etcd
def test_whatever_is_stored_on_a_real_etcd(real):
    """A few, and what becomes of their bytes on the way."""

    @fuzz(25)
    @given(stored_values(real.datastore.type))
    def holds(values):
        real.datastore.reset()
        for key, value in values.items():
            put_anything(real, key, value)
        real.fill({})
        listed(real, values)
        audited(real, values)
        purged(real, values)

    holds()


def put_anything(store, key, value):
    """Store what etcd takes: no more than 1.5 MB, and not where a directory is."""
    server = store.datastore.server
    if store.datastore.type == "etcdv3":
        server.v3("kv/put", key=base64_of(key), value=base64_of(value))
    else:
        server.request("PUT", "/v2/keys" + quote(key), "value=" + quote(value, safe=""))
