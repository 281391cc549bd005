# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""calico_connection_info: what is asked about, read from a real etcd."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module

from .tasks import V3_DATASTORES, connection, failure, only_etcdv2, only_etcdv3, only_v3

INTERFACES = {"eth0": ["192.0.2.1/24"], "eth1": ["198.51.100.1/24"]}
SSH = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1", "port": 22}
WEB = dict(SSH, port=80)
OTHER = dict(SSH, port=8080)
OUT = {"direction": "out", "protocol": "tcp", "src": "192.0.2.1", "dst": "192.0.2.9", "port": 443}
DB = dict(SSH, port=5432)
RESOURCES = "/calico/resources/v3/projectcalico.org/"
WEB_ENDPOINT = {"name": "n1-eth0", "node": "n1", "interface_name": "eth0", "labels": {"role": "web"}}
DB_ENDPOINT = {"name": "n2-eth0", "node": "n2", "expected_ips": ["192.0.2.9"], "labels": {"role": "db"}}


def put_resource(datastore, plural, name, spec, **more):
    resource = dict(more, metadata={"name": name}, spec=spec)
    datastore.put(RESOURCES + plural + "/" + name, json.dumps(resource))


def put_policies(datastore):
    """Who may reach what has the role web: everybody its port 80, what has the role db its port 5432."""
    if datastore.model == "v1":
        rules = [
            {"action": "allow", "protocol": "tcp", "dst_ports": [80]},
            {"action": "allow", "protocol": "tcp", "dst_ports": [5432], "src_selector": "role == 'db'"},
        ]
        policy = {"selector": "role == 'web'", "inbound_rules": rules, "types": ["ingress"]}
        datastore.put("/calico/v1/policy/tier/default/policy/allow-web", json.dumps(policy))
        datastore.put("/calico/v1/config/FailsafeOutboundHostPorts", "tcp:443")
        return
    version = {"calicoVersion": "v3.32.1", "datastoreReady": True}
    put_resource(datastore, "clusterinformations", "default", version)
    rules = [
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}},
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"selector": "role == 'db'"},
            "destination": {"ports": [5432]},
        },
    ]
    policy = {"selector": "role == 'web'", "ingress": rules, "types": ["Ingress"]}
    put_resource(datastore, "globalnetworkpolicies", "default.allow-web", policy)
    # Staged, it would deny all.
    put_resource(datastore, "stagedglobalnetworkpolicies", "default.deny", {"order": 0, "types": ["Ingress"]})
    failsafes = {"failsafeOutboundHostPorts": [{"protocol": "TCP", "port": 443}]}
    put_resource(datastore, "felixconfigurations", "default", failsafes)


def ask(*servers, connections=(SSH, WEB, OTHER, OUT), node="n1", interfaces=None, check=False, **options):
    options = dict(connection(*servers), node=node, interfaces=interfaces or INTERFACES, **options)
    return run_module("calico_connection_info", dict(options, connections=list(connections)), check)


def decisions(result):
    assert not result["failed"], result
    assert result["changed"] is False
    return [(each["verdict"], each["decided_by"]) for each in result["results"]]


@pytest.mark.parametrize("check", [False, True])
def test_what_decides(datastore, check):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    result = ask(datastore, check=check)
    assert decisions(result) == [
        ("allow", "failsafe tcp:22"),
        ("allow", "policy allow-web, ingress rule 1"),
        ("deny", "no rule of the policies that select it"),
        ("allow", "failsafe tcp:443"),
    ]
    assert result["results"][2]["reason"] == "denied by allow-web: no ingress rule matched"
    assert result["endpoints"][:2] == [
        {"interface": "eth0", "endpoint": "n1-eth0", "shadowed": [], "rejected": []},
        {"interface": "eth1", "endpoint": "", "shadowed": [], "rejected": []},
    ]
    assert result["warnings"] == []


def test_endpoints_of_other_nodes_count(datastore):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    (before,) = decisions(ask(datastore, connections=[DB]))
    datastore.put_endpoint(DB_ENDPOINT)
    (after,) = decisions(ask(datastore, connections=[DB]))
    assert (before[0], after[0]) == ("deny", "allow")
    assert after[1] == "policy allow-web, ingress rule 2"


def test_a_selected_endpoint_without_expected_ips_is_named(datastore):
    """Its labels are right, but nobody knows its addresses, so that it is in no set."""
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    datastore.put_endpoint(dict(DB_ENDPOINT, interface_name="eth0", expected_ips=[]))
    reason = ask(datastore, connections=[DB])["results"][0]["reason"]
    assert (
        "policy allow-web" + ', ingress rule 2: its source selector role == "db" matches host endpoint n2-eth0 on node '
        "n2, which has no expected_ips, so its addresses are not in the set"
    ) in reason
    # A rule for another port is none of the reasons, nor one of another endpoint's.
    assert "n2-eth0" not in ask(datastore, connections=[OTHER])["results"][0]["reason"]
    datastore.put_endpoint(dict(DB_ENDPOINT, interface_name="eth0", expected_ips=["192.0.2.77"]))
    reason = ask(datastore, connections=[DB])["results"][0]["reason"]
    assert reason == "denied by allow-web: no ingress rule matched"
    # With the address, it is let through.
    datastore.put_endpoint(DB_ENDPOINT)
    assert [verdict for verdict, _by in decisions(ask(datastore, connections=[DB]))] == ["allow"]


def test_endpoints_that_are_not_stored(datastore):
    put_policies(datastore)
    assert decisions(ask(datastore, connections=[OTHER])) == [("allow", "no endpoint governs the interface")]
    before = datastore.revision()
    result = ask(datastore, connections=[OTHER, DB], endpoints=[WEB_ENDPOINT, DB_ENDPOINT])
    assert [verdict for verdict, _by in decisions(result)] == ["deny", "allow"]
    assert datastore.revision() == before


def test_one_that_is_stored_is_replaced(datastore):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    without_role = dict(WEB_ENDPOINT, labels={})
    assert decisions(ask(datastore, connections=[WEB], endpoints=[without_role])) == [("deny", "no profile")]


def test_an_address_does_not_tell_the_interface(datastore):
    """Of a host with several interfaces, without the prefix lengths."""
    datastore.put_endpoint(WEB_ENDPOINT)
    interfaces = {"eth0": ["192.0.2.1"], "eth1": ["198.51.100.1"]}
    for given in (SSH, dict(SSH, direction="out", src="192.0.2.1", dst="192.0.2.9")):
        result = ask(datastore, connections=[given], interfaces=interfaces)
        assert decisions(result) == [("unknown", "unknown")]
        option = "out_interface" if given["direction"] == "out" else "in_interface"
        hint = "interfaces, such as {eth0: [192.0.2.7/24]}, or set " + option
        assert "198.51.100.1 of eth1 has no prefix length" in result["results"][0]["reason"]
        assert hint in result["results"][0]["reason"]
        (named,) = decisions(ask(datastore, connections=[dict(given, **{option: "eth0"})], interfaces=interfaces))
        (one,) = decisions(ask(datastore, connections=[given], interfaces={"eth0": ["192.0.2.1"]}))
        (both,) = decisions(ask(datastore, connections=[given]))
        assert named == one == both != ("unknown", "unknown")


def test_an_address_of_the_loopback_comes_in_by_another_interface(datastore):
    datastore.put_endpoint(WEB_ENDPOINT)
    to_service = dict(WEB, src="203.0.113.9", dst="10.0.0.9")
    one = {"lo": ["127.0.0.1/8", "10.0.0.9/32"], "eth0": ["192.0.2.1/24"]}
    assert decisions(ask(datastore, connections=[to_service], interfaces=one)) == [("deny", "no profile")]
    two = dict(one, eth1=["198.51.100.1/24"])
    result = ask(datastore, connections=[to_service], interfaces=two)
    assert decisions(result) == [("unknown", "unknown")] and "in_interface" in result["results"][0]["reason"]


def test_the_first_name_governs(datastore):
    datastore.put_endpoint(dict(WEB_ENDPOINT, name="b"))
    datastore.put_endpoint(dict(WEB_ENDPOINT, name="a"))
    result = ask(datastore)
    assert result["endpoints"][0] == {"interface": "eth0", "endpoint": "a", "shadowed": ["b"], "rejected": []}


def test_one_that_felix_ignores_leaves_the_interface_open(datastore):
    put_policies(datastore)
    datastore.put(datastore.key("n1", "n1-eth0"), datastore.malformed(WEB_ENDPOINT))
    result = ask(datastore, connections=[OTHER])
    assert decisions(result) == [("allow", "no endpoint governs the interface")]
    assert [each["name"] for each in result["endpoints"][0]["rejected"]] == ["n1-eth0"]
    assert len(result["warnings"]) == 1


def test_a_locked_datastore_makes_all_unknown(datastore):
    put_policies(datastore)
    datastore.lock()
    result = ask(datastore)
    assert {verdict for verdict, _by in decisions(result)} == {"unknown"}
    assert {"v1": "Ready", "v3": "datastoreReady"}[datastore.model] in result["results"][0]["reason"]


def test_it_only_reads_what_it_needs(datastore, wire):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    wire.requests.clear()
    decisions(ask(wire))
    assert datastore.written(wire) == []
    assert len(wire.requests) <= 11


@only_etcdv2
def test_one_host_is_read_where_no_rule_looks_at_others(datastore, wire):
    datastore.put_endpoint(WEB_ENDPOINT)
    ask(wire)
    assert "/calico/v1/host" not in datastore.keys_read(wire)
    assert "/calico/v1/host/n1" in datastore.keys_read(wire)


@only_v3
def test_the_profile_that_calico_has_built_in(datastore):
    put_policies(datastore)
    endpoint = dict(WEB_ENDPOINT, labels={}, profiles=["projectcalico-default-allow"])
    datastore.put_endpoint(endpoint)
    by = "profile projectcalico-default-allow, ingress rule 1"
    assert decisions(ask(datastore, connections=[OTHER])) == [("allow", by)]


def test_rights_to_read_are_enough(auth_datastore):
    put_policies(auth_datastore)
    auth_datastore.put_endpoint(WEB_ENDPOINT)
    auth_datastore.add_user("reader", "secret", read=[auth_datastore.everything])
    result = ask(auth_datastore, connections=[OTHER], **auth_datastore.user("reader", "secret"))
    assert decisions(result) == [("deny", "no rule of the policies that select it")]


def test_half_read_is_an_error(auth_datastore):
    put_policies(auth_datastore)
    auth_datastore.add_user("reader", "secret", read=[auth_datastore.hostendpoints])
    text = "cannot list resource" if auth_datastore.type == "kubernetes" else "no right to read"
    failure(ask(auth_datastore, **auth_datastore.user("reader", "secret")), text)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"connections": [dict(SSH, src="192.0.2")]}, "connections[0].src: '192.0.2' is not a valid IP address"),
        ({"connections": [SSH, dict(SSH, port=None)]}, "connections[1]: port is missing; tcp requires it"),
        ({"connections": [dict(SSH, protocol="tpc")]}, "connections[0].protocol: 'tpc' is not a valid protocol"),
        ({"connections": [dict(SSH, protocol="icmp")]}, "connections[0]: port must not be set for icmp"),
        ({"connections": [dict(SSH, src="2001:db8::1")]}, "connections[0]: src and dst have different IP versions"),
        ({"interfaces": {"eth0": ["192.0.2.1/33"]}}, "interfaces[eth0]: '192.0.2.1/33' is not a valid IP address"),
        ({"interfaces": {"eth0": {"ipv4": "192.0.2.1"}}}, "interfaces[eth0]: {'ipv4': '192.0.2.1'} is not a list"),
        ({"endpoints": [{"name": "x", "node": "n1"}]}, "interface_name: is missing"),
    ],
)
def test_what_is_wrong_is_named(datastore, options, message):
    failure(ask(datastore, **options), message)


def test_failsafes_of_felix_own_configuration(datastore):
    put_policies(datastore)
    wanted = [WEB_ENDPOINT]
    asked = {"connections": [SSH, dict(SSH, port=2222)], "endpoints": wanted}
    assert [each["verdict"] for each in ask(datastore, **asked)["results"]] == ["allow", "deny"]
    found = ask(datastore, failsafes={"inbound": ["tcp:2222"]}, **asked)["results"]
    assert [each["verdict"] for each in found] == ["deny", "allow"]
    assert found[1]["decided_by"] == "failsafe tcp:2222"
    found = ask(datastore, failsafes={"inbound": [], "outbound": None}, **asked)["results"]
    assert [each["verdict"] for each in found] == ["deny", "deny"]
    options = dict(connection(datastore), node="n1", interfaces=INTERFACES, failsafes={"inbound": ["tcp:x"]}, **asked)
    message = failure(run_module("calico_connection_info", options))
    assert message == "failsafes.inbound[0].port: 'x' is not a port; set a number from 1 to 65535"


def put_raw(datastore, name, spec):
    """An endpoint as somebody else may have stored it."""
    value = {"metadata": {"name": name, "labels": {"role": "web"}}, "spec": dict(spec, node="n1")}
    datastore.put(datastore.key("n1", name), json.dumps(value))


@pytest.mark.parametrize(
    "datastore_type, spec, reason",
    [
        *[
            (name, *row)
            for name in V3_DATASTORES
            for row in (
                (
                    {"ports": [{"name": "a", "protocol": 6, "port": 80}]},
                    "ports[0].protocol: '6' is not a protocol that Felix accepts",
                ),
                ({"profiles": ["p" * 129]}, "is not a profile name that Felix accepts"),
            )
        ],
        # An API server refuses it.
        ("etcdv3", {"expectedIPs": "192.0.2.1"}, "spec.expectedIPs is not a list"),
    ],
)
def test_what_felix_refuses_or_cannot_read_leaves_the_interface_open(datastore, spec, reason):
    put_policies(datastore)
    put_raw(datastore, "e", dict(spec, interfaceName="eth0"))
    result = ask(datastore, connections=[OTHER])
    assert decisions(result) == [("allow", "no endpoint governs the interface")]
    (rejected,) = result["endpoints"][0]["rejected"]
    assert rejected["name"] == "e" and reason in rejected["reason"]
    assert any("is open" in warning and reason in warning for warning in result["warnings"])


@only_v3
def test_what_calicoctl_refuses_and_felix_takes_governs(datastore):
    put_policies(datastore)
    fields = {"expectedIPs": ["bad"], "profiles": ["Upper"], "ports": [{"name": "A_b", "protocol": "tcp", "port": 1}]}
    put_raw(datastore, "e", dict(fields, interfaceName="eth0"))
    result = ask(datastore, connections=[WEB, OTHER])
    assert [verdict for verdict, _by in decisions(result)] == ["allow", "deny"]
    # The name in the object counts, not that in the key.
    value = json.dumps({"metadata": {"name": "a"}, "spec": {"node": "n1", "interfaceName": "eth0"}})
    datastore.put(datastore.key("n1", "z"), value)
    assert ask(datastore)["endpoints"][0]["endpoint"] == "a"


@only_v3
def test_the_one_for_all_interfaces_governs_the_loopback(datastore):
    put_policies(datastore)
    put_raw(datastore, "all", {"interfaceName": "*"})
    local = [{"direction": "local", "protocol": "tcp", "src": "127.0.0.1", "dst": "127.0.0.1", "port": 8080}]
    (answer,) = decisions(ask(datastore, connections=local))
    assert answer[0] == "deny"


@only_v3
def test_settings_for_nodes_with_a_label(datastore):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    rack = {"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 2222}], "nodeSelector": "rack == 'a'"}
    put_resource(datastore, "felixconfigurations", "rack-a", rack)
    asked = [SSH, dict(SSH, port=2222)]
    assert [verdict for verdict, _by in decisions(ask(datastore, connections=asked))] == ["allow", "deny"]
    value = {"metadata": {"name": "n1", "labels": {"rack": "a"}}, "spec": {}}
    datastore.put(RESOURCES + "nodes/n1", json.dumps(value))
    assert [verdict for verdict, _by in decisions(ask(datastore, connections=asked))] == ["deny", "allow"]


@only_v3
def test_an_interface_that_felix_is_told_to_ignore(datastore):
    datastore.put_endpoint(WEB_ENDPOINT)
    put_resource(datastore, "felixconfigurations", "default", {"interfaceExclude": "eth0"})
    (answer,) = ask(datastore, connections=[SSH])["results"]
    assert answer["verdict"] == "allow" and "interfaceExclude matches eth0" in answer["reason"]


@only_v3
def test_the_dataplane_decides_where_nftables_differs(datastore):
    """Felix v3.32.1 writes a code of ICMP so that nft refuses it, and nobody knows what is programmed then."""
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    rules = [{"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}]
    put_resource(datastore, "globalnetworkpolicies", "ping", {"order": 1, "types": ["Ingress"], "ingress": rules})
    ping = [{"direction": "in", "protocol": "icmp", "src": "192.0.2.9", "dst": "192.0.2.1"}]

    def verdict(**options):
        (answer,) = ask(datastore, connections=ping, **options)["results"]
        return answer["verdict"], "ICMP code" in answer["reason"]

    assert verdict() == ("unknown", True)
    assert verdict(dataplane="iptables") == ("allow", False)
    assert verdict(dataplane="nftables") == ("unknown", True)
    put_resource(datastore, "felixconfigurations", "default", {"nftablesMode": "Disabled"})
    assert verdict() == ("allow", False)


@only_v3
def test_a_version_of_calico_that_was_not_measured_is_told(datastore):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    assert "measured" not in ask(datastore, connections=[OTHER])["results"][0]["reason"]
    version = {"calicoVersion": "v3.27.5", "datastoreReady": True}
    put_resource(datastore, "clusterinformations", "default", version)
    reason = ask(datastore, connections=[OTHER])["results"][0]["reason"]
    assert reason.endswith(" (measured with Calico v3.32.1, not with v3.27.5)")


@only_etcdv3
def test_workloads_of_the_host_are_read_where_a_rule_may_crash_felix(datastore):
    put_resource(datastore, "clusterinformations", "default", {"calicoVersion": "v3.32.1", "datastoreReady": True})
    datastore.put_endpoint(WEB_ENDPOINT)
    both = {"action": "Allow", "protocol": "TCP", "notProtocol": "UDP"}
    put_resource(datastore, "globalnetworkpolicies", "pods", {"selector": "app == 'pod'", "ingress": [both]})
    pod = {"node": "n2", "interfaceName": "cali1", "ipNetworks": ["192.0.2.77/32"]}

    def verdict(node):
        value = {"metadata": {"name": "pod", "labels": {"app": "pod"}}, "spec": dict(pod, node=node)}
        datastore.put(RESOURCES + "workloadendpoints/ns/pod", json.dumps(value))
        (answer,) = ask(datastore, connections=[SSH])["results"]
        return answer["verdict"], "the workload of cali1" in answer["reason"]

    assert verdict("n2") == ("allow", False)
    assert verdict("n1") == ("unknown", True)


@pytest.mark.parametrize("check", [False, True])
def test_a_verdict_that_is_not_the_expected_one_fails(datastore, check):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    met = [dict(SSH, expect="allow"), dict(WEB, expect="allow"), dict(OTHER, expect="deny"), OTHER]
    assert not ask(datastore, connections=met, check=check)["failed"]
    # The interface of the last connection is unknown.
    unmet = [dict(SSH, expect="allow"), dict(WEB, expect="deny"), dict(OTHER, expect="allow"), WEB]
    unmet.append(dict(SSH, in_interface="eth9", expect="deny"))
    result = ask(datastore, connections=unmet, check=check)
    assert result["failed"] and result["changed"] is False
    assert [each["verdict"] for each in result["results"]] == ["allow", "allow", "deny", "allow", "unknown"]
    assert [each["interface"] for each in result["endpoints"]] == ["eth0", "eth1", "lo"]
    web, other, unknown = result["failures"]
    by = "policy allow-web, ingress rule 1"
    assert web.startswith(
        f"connections[1] (in, tcp port 80 from 192.0.2.9): expected deny, but the verdict is allow, decided by {by}: "
    )
    assert other.startswith(
        "connections[2] (in, tcp port 8080 from 192.0.2.9): expected allow, but the verdict is deny"
    )
    assert unknown.startswith("connections[4] (in, tcp port 22 from 192.0.2.9): expected deny, but the verdict is unkn")
    assert result["msg"] == "3 of 4 expectations are not met: " + "; ".join(result["failures"])


def test_over_ipv6_neighbour_discovery_counts_as_in_the_audit(datastore):
    put_policies(datastore)
    datastore.put_endpoint(WEB_ENDPOINT)
    web = {"direction": "in", "protocol": "tcp", "src": "2001:db8::9", "dst": "2001:db8::1", "port": 80}
    options = {"interfaces": {"eth0": ["2001:db8::1/64"]}}
    result = ask(datastore, connections=[dict(web, expect="allow"), dict(web, expect="deny"), web], **options)
    assert [(each["verdict"], each["neighbour_discovery"]) for each in result["results"]] == [("allow", "deny")] * 3
    allowed, denied = result["failures"]
    assert "expected allow, but the verdict is deny" in allowed and "neighbour discovery" in allowed
    assert "expected deny, but the verdict is unknown" in denied
