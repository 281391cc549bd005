# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock-out guard of the modules, on a real etcd of either generation."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module
from tests.integration.sets import hostendpoints
from tests.integration.tasks import (
    NAMED,
    V3_DATASTORES,
    connection,
    failure,
    hostendpoint,
    only_etcd,
    only_etcdv3,
    only_v3,
)

ENDPOINT = {"interface_name": "eth0", "expected_ips": ["192.0.2.1"], "labels": {"role": "web"}}
INTERFACES = {"eth0": ["192.0.2.1/24"], "eth1": ["198.51.100.1/24"]}
SSH = {"peer": "192.0.2.9", "address": "192.0.2.1"}
RESOURCES = "/calico/resources/v3/projectcalico.org/"
ALLOW_SSH = {"action": "allow", "protocol": "tcp", "ports": [2222]}


def facts(port=2222, **more):
    return {"n1": dict({"interfaces": INTERFACES, "default_interface": "eth0", "ssh": dict(SSH, port=port)}, **more)}


def guarded(datastore, mode="enforce", check=False, diff=False, **options):
    known = {} if "guard_facts_src" in options else {"guard_facts": facts()}
    return hostendpoint(datastore, check=check, diff=diff, guard=mode, **dict(known, **dict(ENDPOINT, **options)))


def put_policy(datastore, name, rules, selector="role == 'web'"):
    """A policy with these rules inbound, which allows all outbound."""
    if datastore.model == "v1":
        inbound = [
            {
                "action": each["action"],
                **({"protocol": "tcp", "dst_ports": each["ports"]} if "ports" in each else {}),
                **({"src_selector": each["source"]} if "source" in each else {}),
            }
            for each in rules
        ]
        value = {"selector": selector, "inbound_rules": inbound, "outbound_rules": [{"action": "allow"}]}
        datastore.put("/calico/v1/policy/tier/default/policy/" + name, json.dumps(value))
        return
    ingress = [
        {
            "action": each["action"].capitalize(),
            **({"protocol": "TCP", "destination": {"ports": each["ports"]}} if "ports" in each else {}),
            **({"source": {"selector": each["source"]}} if "source" in each else {}),
        }
        for each in rules
    ]
    spec = {"selector": selector, "types": ["Ingress", "Egress"], "ingress": ingress, "egress": [{"action": "Allow"}]}
    put_resource(datastore, "globalnetworkpolicies", "GlobalNetworkPolicy", "default." + name, spec)


def put_profile(datastore, name):
    """A profile that allows all; on Kubernetes, only those that are built in."""
    if datastore.type == "kubernetes":
        assert name == datastore.open_profile
    elif datastore.model == "v1":
        rules = {"inbound_rules": [{"action": "allow"}], "outbound_rules": [{"action": "allow"}]}
        datastore.put("/calico/v1/policy/profile/%s/rules" % name, json.dumps(rules))
        datastore.put("/calico/v1/policy/profile/%s/tags" % name, "[]")
    else:
        spec = {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}
        put_resource(datastore, "profiles", "Profile", name, spec)


def put_resource(datastore, plural, kind, name, spec):
    value = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": {"name": name}, "spec": spec}
    datastore.put(RESOURCES + plural + "/" + name, json.dumps(value))


def without_failsafes(datastore):
    if datastore.model == "v1":
        datastore.put("/calico/v1/config/FailsafeInboundHostPorts", "none")
    else:
        spec = {"failsafeInboundHostPorts": []}
        put_resource(datastore, "felixconfigurations", "FelixConfiguration", "default", spec)


def know_node(datastore, name):
    if datastore.model == "v1":
        datastore.put("/calico/v1/host/%s/bird_ip" % name, "192.0.2.1")
    else:
        put_resource(datastore, "nodes", "Node", name, {})


def refused(datastore, *parts, **options):
    """It is refused, with a way out, and nothing is written, in check mode as without it."""
    before = datastore.stored()
    for check in (True, False):
        result = guarded(datastore, check=check, **options)
        failure(result, "nothing was written", "host endpoint n1-eth0 on node n1", "What to do: ", "warn", *parts)
        assert datastore.stored() == before
    (record,) = result["guard"]
    assert (record["node"], record["name"], record["verdict"]) == ("n1", "n1-eth0", "unsafe")
    return {finding["rule"] for finding in record["findings"] if finding["level"] == "unsafe"}


def test_ssh_that_is_no_failsafe(datastore):
    assert refused(datastore, "tcp port 2222 from 192.0.2.9", "no policy", "G03") == {"G03"}
    put_policy(datastore, "ssh", [ALLOW_SSH])
    know_node(datastore, "n1")
    result = guarded(datastore)
    assert (result["operation"], result["guard"]) == ("create", [])
    # That no failsafe is behind it, is all there is to say.
    assert [warning.split(":")[0] for warning in result["warnings"]] == ["guard G05"]


def test_failsafe_ssh_needs_no_policy(datastore):
    result = guarded(datastore, guard_facts=facts(22))
    assert (result["operation"], result["guard"]) == ("create", [])
    (warning,) = [each for each in result["warnings"] if "G02" in each]
    assert "Felix drops all new traffic except on failsafe ports" in warning


def test_a_log_only_policy_beside_a_profile_that_allows(datastore):
    """calico#4673"""
    put_profile(datastore, datastore.open_profile)
    put_policy(datastore, "log", [{"action": "log"}])
    assert refused(datastore, "denied by log: ", profiles=[datastore.open_profile]) == {"G03"}
    put_policy(datastore, "log", [{"action": "log"}, {"action": "allow"}])
    assert guarded(datastore, profiles=[datastore.open_profile])["operation"] == "create"


def test_the_profile_is_removed(datastore):
    """calico#7459"""
    put_profile(datastore, datastore.open_profile)
    assert guarded(datastore, profiles=[datastore.open_profile])["operation"] == "create"
    before = datastore.stored()
    message = failure(
        guarded(datastore), "tcp port 2222 from 192.0.2.9", "add a profile that allows it to that endpoint"
    )
    assert "G03" in message and datastore.stored() == before
    put_policy(datastore, "ssh", [ALLOW_SSH])
    assert guarded(datastore)["operation"] == "update"


def test_a_profile_that_does_not_exist(datastore):
    assert "G01" in refused(datastore, "profile nosuch is missing", "create the profile", profiles=["nosuch"])
    name = "nosuch"
    if datastore.type == "kubernetes":
        # It is made from a namespace.
        name = "kns.default"
    else:
        put_profile(datastore, name)
    assert guarded(datastore, profiles=[name])["operation"] == "create"


def test_no_failsafes(datastore):
    without_failsafes(datastore)
    assert refused(datastore, "tcp port 22 from 192.0.2.9", guard_facts=facts(22)) == {"G03"}
    put_policy(datastore, "ssh", [{"action": "allow", "protocol": "tcp", "ports": [22]}])
    result = guarded(datastore, guard_facts=facts(22))
    assert result["operation"] == "create"
    assert any("G05" in warning and "not an inbound failsafe port" in warning for warning in result["warnings"])


def test_a_node_that_calico_knows_by_its_long_name(datastore):
    know_node(datastore, "n1.example.com")
    if datastore.type == "kubernetes":
        # It may be a host outside of the cluster.
        (warning,) = of_the_node(guarded(datastore, check=True, guard_facts=facts(22)))
        assert "guard G09: unknown" in warning and "did you mean n1.example.com?" in warning
    else:
        assert refused(datastore, "did you mean n1.example.com?", guard_facts=facts(22)) == {"G09"}
    know_node(datastore, "n1")
    assert guarded(datastore, guard_facts=facts(22))["operation"] == "create"


STATUS = '{"time":"2026-11-29T11:59:00Z","uptime":100.0,"first_update":false}'


def of_the_node(result):
    assert not result["failed"], result
    return [each for each in result["warnings"] if "G09" in each]


@only_etcd
def test_a_host_with_felix_alone_is_known_by_what_that_reports(datastore):
    """Felix on a host that is no node of a cluster writes no record of the node."""
    for key in datastore.status_keys("n1"):
        (warning,) = of_the_node(guarded(datastore, check=True, guard_facts=facts(22)))
        assert "nothing polices its interfaces yet" in warning
        datastore.put(key, STATUS)
        assert of_the_node(guarded(datastore, check=True, guard_facts=facts(22))) == []
        datastore.delete(key)
    datastore.put(datastore.status_keys("n1.example.com")[0], STATUS)
    assert refused(datastore, "did you mean n1.example.com?", guard_facts=facts(22)) == {"G09"}


# What looks like such a key of n1, and is none: statuses of endpoints, workloads and another host.
NOT_OF_N1 = [
    "/calico/felix/v1/host/n2/endpoint/n1%2fstatus",
    "/calico/felix/v1/host/n2/endpoint/status",
    "/calico/felix/v1/host/n1/endpoint/status",
    "/calico/felix/v2/no-region/host/n2/workload/host/n1/endpoint/status",
    "/calico/felix/v2/no-region/host/n1/workload/o/w/endpoint/e",
    "/calico/felix/v1/host/n1%2fx/status",
    "/calico/felix/v1/host/n1/status_of_old",
]


@only_etcd
def test_what_is_no_status_of_a_felix_makes_no_node_known(datastore):
    for key in NOT_OF_N1:
        datastore.put(key, STATUS)
    (warning,) = of_the_node(guarded(datastore, check=True, guard_facts=facts(22)))
    assert "nothing polices its interfaces yet" in warning


@only_etcd
def test_felix_is_looked_for_only_when_nothing_else_tells_of_the_node(datastore, wire):
    def felix_is_read(**options):
        wire.requests.clear()
        hostendpoint(wire, check=True, **dict(ENDPOINT, guard_facts=facts(22), **options))
        return [key for key in datastore.keys_read(wire) if key.startswith("/calico/felix")]

    assert felix_is_read(guard="off") == []
    assert len(felix_is_read(guard="enforce")) == 1
    know_node(datastore, "n1")
    assert felix_is_read(guard="enforce") == []
    datastore.put_endpoint(dict(NAMED, **ENDPOINT))
    assert felix_is_read(guard="enforce") == []


@only_etcd
def test_a_user_who_may_not_read_what_felix_reports(auth_datastore):
    """Then it is unknown whether Calico knows a node that it has no record of, and not certain that it does not."""
    for key in auth_datastore.status_keys("n1"):
        auth_datastore.put(key, STATUS)
    auth_datastore.add_user("some", "geheim", [auth_datastore.everything], [auth_datastore.hostendpoints])
    options = {"etcd_username": "some", "etcd_password": "geheim", "guard_facts": facts(22), "check": True}
    for hint in (None, "did you mean n1.example.com?"):
        if hint:
            know_node(auth_datastore, "n1.example.com")
        result = guarded(auth_datastore, **options)
        (warning,) = of_the_node(result)
        assert "guard G09: unknown" in warning and "/calico/felix" in warning and (hint or "") in warning
        assert [each["verdict"] for each in result["guard"]] == ["unknown"]
    know_node(auth_datastore, "n1")
    assert of_the_node(guarded(auth_datastore, **options)) == []


def test_connections_that_the_task_requires(datastore):
    needed = [{"direction": "out", "protocol": "tcp", "port": 4379, "peer": "203.0.113.8"}]
    assert refused(datastore, "tcp port 4379 to 203.0.113.8", guard_facts=facts(22), guard_require=needed) == {"G04"}
    needed[0]["port"] = 2379
    assert guarded(datastore, guard_facts=facts(22), guard_require=needed)["operation"] == "create"
    message = failure(guarded(datastore, guard_require=[{"direction": "in", "protocol": "tcp"}]))
    assert message == "guard_require[0]: port is missing; tcp requires one"


def test_facts_from_a_file(datastore, tmp_path):
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(facts()), encoding="utf-8")
    options = {"guard_facts_src": str(path)}
    assert refused(datastore, "tcp port 2222", **options) == {"G03"}
    path.write_text("[", encoding="utf-8")
    failure(guarded(datastore, **options), "guard_facts_src", str(path))


def test_a_warning_does_not_stop_it(datastore):
    result = guarded(datastore, "warn", profiles=["nosuch"])
    assert result["operation"] == "create"
    assert {finding["rule"] for finding in result["guard"][0]["findings"]} >= {"G01", "G03"}
    (warning,) = [each for each in result["warnings"] if "G01" in each]
    assert "unsafe" in warning and "nosuch" in warning and "What to do: create the profile" in warning
    assert guarded(datastore, "off", profiles=["other"])["guard"] == []


def test_a_bare_task_is_told_what_the_datastore_tells(datastore):
    result = hostendpoint(datastore, guard="warn", profiles=["nosuch"], **ENDPOINT)
    assert result["operation"] == "create" and result["guard"][0]["verdict"] == "unsafe"
    assert len(result["warnings"]) == len({warning.split(":")[0] for warning in result["warnings"]}) <= 4
    assert any("nosuch" in warning for warning in result["warnings"])


def test_many_are_a_few_warnings(datastore):
    endpoints = [dict(ENDPOINT, node="n%d" % n, name="n%d-eth0" % n, profiles=["nosuch"]) for n in range(50)]
    result = hostendpoints(datastore, guard="warn", endpoints=endpoints)
    assert result["summary"]["created"] == 50 and len(result["guard"]) == 50
    assert len(result["warnings"]) <= 5 and any("and 49 more" in warning for warning in result["warnings"])
    put_policy(datastore, "other", [ALLOW_SSH], "role == 'other'")
    message = failure(
        hostendpoints(datastore, guard="enforce", endpoints=[dict(each, profiles=["x"]) for each in endpoints])
    )
    assert "50 of 50 changes would be unsafe: G01" in message and "on 50 nodes (n0, n1, n10 and 47 more): " in message


def test_nothing_is_read_when_nothing_changes(datastore, wire):
    datastore.put_endpoint(dict(NAMED, interface_name="eth0"))
    guard = {"guard": "enforce", "guard_facts": facts()}
    assert hostendpoint(wire, interface_name="eth0", **guard)["operation"] == "none"
    assert not [key for key in datastore.keys_read(wire) if "polic" in key]
    hostendpoint(wire, check=True, **dict(ENDPOINT, guard="off"))
    assert not [key for key in datastore.keys_read(wire) if "polic" in key]
    hostendpoint(wire, check=True, **dict(ENDPOINT, **guard))
    assert [key for key in datastore.keys_read(wire) if "polic" in key]


def test_policies_that_cannot_be_read(auth_datastore):
    """A user who has rights on endpoints only."""
    datastore, password = auth_datastore, "geheim"
    if datastore.model == "v1":
        keys = ["/calico/v1/host/*"]
        datastore.server.add_user("narrow", password, ["/calico/v1/Ready", *keys], keys)
    else:
        endpoints = datastore.hostendpoints
        datastore.add_user("narrow", password, [endpoints, RESOURCES + "clusterinformations"], [endpoints])
    options = dict(ENDPOINT, guard_facts=facts(), **datastore.user("narrow", password))
    hint = "add this rule to a ClusterRole" if datastore.type == "kubernetes" else "right to read"
    message = failure(hostendpoint(datastore, guard="enforce", **options), "could not be read", hint)
    assert "nothing was written" in message
    result = hostendpoint(datastore, guard="warn", **options)
    assert result["operation"] == "create" and result["guard"][0]["verdict"] == "unknown"
    assert any("cannot be read" in warning for warning in result["warnings"])


def test_what_somebody_else_changes_meanwhile_is_asked_about_again(datastore, wire):
    """A policy selects what it is patched to only with the label that somebody else gives it before it is written."""
    put_profile(datastore, datastore.open_profile)
    put_policy(datastore, "closed", [], "role == 'db' && zone == 'a'")
    know_node(datastore, "n1")
    stored = dict(NAMED, **ENDPOINT, profiles=[datastore.open_profile])
    datastore.put_endpoint(stored)
    stored["labels"] = {"role": "web", "zone": "a"}
    wire.before(datastore.writing(), lambda: datastore.put_endpoint(stored))
    patch = {"state": "patched", "labels": {"role": "db"}, "guard": "enforce", "guard_facts": facts()}
    failure(hostendpoint(wire, **patch), "tcp port 2222 from 192.0.2.9", "G03")
    assert datastore.get(datastore.key("n1", "n1-eth0")) == datastore.value(stored)


def test_which_policies_select_it(datastore):
    put_policy(datastore, "web", [{"action": "allow"}])
    put_policy(datastore, "db", [{"action": "allow"}], "role == 'db'")
    guarded(datastore)
    diff = guarded(datastore, diff=True, check=True, labels={"role": "db"})["diff"]
    assert diff["before"].endswith("# selected by the policy web\n")
    assert diff["after"].endswith("# selected by the policy db\n")


def test_a_deleted_one_opens_its_interface(datastore):
    guarded(datastore, guard_facts=facts(22))
    result = hostendpoint(datastore, state="absent", guard="warn")
    assert result["operation"] == "delete" and result["guard"] == []
    assert any("G15" in warning and "Calico opens it" in warning for warning in result["warnings"])


# Two on eth0 of a node, of which the first one governs it and lets all through.
OPEN = {"node": "n1", "name": "n1-a", "interface_name": "eth0", "expected_ips": ["192.0.2.1"]}
CLOSED = {"node": "n1", "name": "n1-b", "interface_name": "eth0", "labels": {"role": "web"}}
MOVED = {**OPEN, "interface_name": "eth1", "expected_ips": ["198.51.100.1"]}


def opened(datastore, fields):
    """With the profile that lets all through."""
    return dict(fields, profiles=[datastore.open_profile])


def put_both(datastore, **fields):
    put_profile(datastore, datastore.open_profile)
    for name in ("n1", "n2"):
        know_node(datastore, name)
    datastore.put_all(datastore.tree_of([opened(datastore, OPEN), dict(CLOSED, **fields)]))


@pytest.mark.parametrize("change", [{"name": "n1-a", "state": "absent"}, MOVED], ids=["deleted", "moved"])
def test_what_governs_in_its_place_shuts_out(datastore, change):
    put_both(datastore)
    before = datastore.stored()
    task = dict(change if "state" in change else opened(datastore, change), guard="enforce", guard_facts=facts())
    for check in (True, False):
        result = hostendpoint(datastore, check=check, **task)
        failure(result, "host endpoint n1-a on node n1", "then n1-b governs eth0", "tcp port 2222", "G03")
        assert datastore.stored() == before
    put_policy(datastore, "ssh", [ALLOW_SSH])
    assert hostendpoint(datastore, **task)["guard"] == []


def test_a_purge_lets_another_one_govern(datastore):
    put_both(datastore)
    mine = dict(opened(datastore, OPEN), labels={"app.kubernetes.io/managed-by": "me"})
    datastore.put_endpoint(mine)
    task = {"endpoints": [], "purge": "owned", "purge_nodes": ["n1"], "owner": "me"}
    task.update(guard="enforce", guard_facts=facts())
    failure(hostendpoints(datastore, **task), "then n1-b governs eth0", "tcp port 2222")
    put_policy(datastore, "ssh", [ALLOW_SSH])
    assert hostendpoints(datastore, **task)["summary"]["deleted"] == 1


@only_v3
def test_the_one_for_all_interfaces_governs_in_its_place(datastore):
    put_both(datastore, interface_name="*")
    state = {"kind": "ClusterInformation", "spec": {"datastoreReady": True, "calicoVersion": "v3.28.0"}}
    datastore.put(datastore.state_key, json.dumps(state))
    task = {"name": "n1-a", "state": "absent", "guard": "enforce", "guard_facts": facts()}
    failure(hostendpoint(datastore, **task), "then n1-b governs eth0", "tcp port 2222")


def test_an_update_opens_an_interface(datastore):
    put_profile(datastore, datastore.open_profile)
    datastore.put_endpoint(opened(datastore, OPEN))
    moved = opened(datastore, MOVED)
    for known in ({}, {"guard_facts": facts()}):
        result = hostendpoint(datastore, check=True, guard="warn", **moved, **known)
        (warning,) = [each for each in result["warnings"] if "G15" in each]
        assert "no endpoint governs eth0 of node n1 any more, so Calico opens it" in warning
    result = hostendpoint(datastore, check=True, guard="warn", **{**OPEN, "profiles": []})
    assert not [each for each in result["warnings"] if "G15" in each]


@only_v3
def test_it_leaves_a_node_for_another(datastore):
    put_both(datastore)
    both = dict(facts(), n2=facts()["n1"])
    task = {**opened(datastore, OPEN), "node": "n2", "guard": "enforce", "guard_facts": both}
    message = "tcp port 2222 from 192.0.2.9 is required, and then n1-b governs eth0 of node n1"
    failure(hostendpoint(datastore, **task), message)
    datastore.put_endpoint(dict(CLOSED, interface_name="eth1"))
    result = hostendpoint(datastore, **task)
    assert any("no endpoint governs eth0 of node n1 any more" in warning for warning in result["warnings"])


BASTION = {"node": "bast", "name": "bast-a", "interface_name": "eth0"}
BASTION.update(labels={"role": "bastion"}, expected_ips=[SSH["peer"]])


@pytest.mark.parametrize("change", [{"labels": {"role": "jump"}}, {"expected_ips": []}, {"state": "absent"}])
def test_it_shuts_others_out(datastore, change):
    """A policy of another host lets in whom a selector selects, and that is about to be somebody else."""
    put_profile(datastore, datastore.open_profile)
    put_policy(datastore, "ssh", [dict(ALLOW_SSH, source="role == 'bastion'")])
    for name in ("n1", "bast"):
        know_node(datastore, name)
    datastore.put_all(datastore.tree_of([opened(datastore, BASTION), dict(NAMED, **ENDPOINT)]))
    known = {"interfaces": {"eth0": ["192.0.2.9/24"]}}
    task = {"name": "bast-a", "node": "bast", "guard": "enforce", "guard_facts": dict(facts(), bast=known)}
    # A label that no rule asks for is none of their business.
    assert hostendpoint(datastore, state="patched", labels={"zone": "a"}, **task)["guard"] == []
    before = datastore.stored()
    change = dict({"state": "patched"}, **change)
    message = failure(hostendpoint(datastore, **task, **change), "host endpoint bast-a on node bast", "G03")
    assert "on node n1, tcp port 2222 from 192.0.2.9 is required" in message and datastore.stored() == before
    put_policy(datastore, "all", [ALLOW_SSH])
    assert hostendpoint(datastore, **task, **change)["guard"] == []


def test_a_datastore_behind_ipv6(datastore):
    """Failsafes let it through, and nothing lets its host find out who its neighbours are."""
    known = facts(22, interfaces={"eth0": ["192.0.2.1/24", "2001:db8::1/64"]})
    needed = [{"direction": "out", "protocol": "tcp", "port": 2379, "peer": "2001:db8::9"}]
    options = {"guard_facts": known, "guard_require": needed}
    assert refused(datastore, "neighbour discovery", **options) == {"G13"}
    put_profile(datastore, datastore.open_profile)
    assert guarded(datastore, profiles=[datastore.open_profile], **options)["guard"] == []


ETH1 = {"interface_name": "eth1", "expected_ips": ["198.51.100.1"]}


def unknown(datastore, *parts, **options):
    """It is written, and nobody knows whether it is safe."""
    result = guarded(datastore, **options)
    (record,) = result["guard"]
    assert (result["operation"], record["verdict"]) == ("create", "unknown"), result
    texts = [each["message"] for each in record["findings"] if each["level"] == "unknown"]
    assert all(any(part in text for text in texts) for part in parts), texts


def test_a_connection_that_may_come_through_another_interface(datastore):
    needed = [{"direction": "in", "protocol": "tcp", "port": 9100}]
    assert refused(datastore, "tcp port 9100", guard_facts=facts(22), guard_require=needed) == {"G03"}
    parts = "tcp port 9100 from an unknown address is required", "may use eth1: denied"
    unknown(datastore, *parts, guard_facts=facts(22), guard_require=needed, **ETH1)


def test_ssh_that_may_come_through_another_interface(datastore):
    known = facts(ssh={"port": 2222})
    assert refused(datastore, "tcp port 2222", guard_facts=known) == {"G03"}
    unknown(datastore, "tcp port 2222", "may use eth1", guard_facts=known, **ETH1)


def test_ssh_from_the_same_link(datastore):
    known = facts(22, interfaces={"eth0": ["192.0.2.1/24"], "eth1": ["fe80::1/64"]})
    known["n1"]["ssh"] = {"peer": "fe80::9%eth1", "address": "fe80::1%eth1"}
    assert refused(datastore, "neighbour discovery", guard_facts=known, interface_name="eth1") >= {"G13"}
    assert guarded(datastore, guard_facts=known)["guard"] == []


def test_a_peer_that_is_no_address(datastore):
    put_policy(datastore, "ssh", [ALLOW_SSH])
    unknown(datastore, "192.0.2..9", guard_facts=facts(ssh=dict(SSH, port=2222, peer="192.0.2..9")))


@only_etcdv3
def test_nodes_that_cannot_be_read(auth_datastore):
    """Then it is unknown whether Calico knows the node, unless Felix reports from it."""
    kinds = ["clusterinformations", "globalnetworkpolicies", "profiles", "tiers", "felixconfigurations"]
    endpoints = auth_datastore.hostendpoints
    auth_datastore.add_user("some", "geheim", [endpoints, *[RESOURCES + kind for kind in kinds]], [endpoints])
    options = {"etcd_username": "some", "etcd_password": "geheim", "guard_facts": facts(22)}
    (warning,) = of_the_node(guarded(auth_datastore, check=True, **options))
    assert "guard G09: unknown" in warning and RESOURCES + "nodes/" in warning
    auth_datastore.put(auth_datastore.status_keys("n1")[0], STATUS)
    places = [endpoints, *[RESOURCES + kind for kind in kinds], "/calico/felix"]
    auth_datastore.add_user("some", "geheim", places, [endpoints])
    result = guarded(auth_datastore, **options)
    assert (result["operation"], result["guard"], of_the_node(result)) == ("create", [], [])


def test_what_was_denied_before_does_not_stop_it(datastore):
    needed = [{"direction": "out", "protocol": "tcp", "port": 4379, "peer": "192.0.2.77"}]
    options = {"guard_facts": facts(22), "guard_require": needed}
    assert refused(datastore, "tcp port 4379", **options) == {"G04"}
    datastore.put_endpoint(dict(NAMED, **ENDPOINT))
    result = guarded(datastore, labels={"zone": "a"}, **options)
    assert (result["operation"], result["guard"]) == ("update", [])
    (warning,) = [each for each in result["warnings"] if "G04" in each]
    assert "already denied before this change" in warning and "tcp port 4379 to 192.0.2.77" in warning


@pytest.mark.parametrize("given", [5, {"interfaces": 5}, {"interfaces": {"eth0": ["x"]}}, {"interfaces": {}, "x": 1}])
def test_facts_that_are_none(datastore, given):
    failure(guarded(datastore, guard_facts={"n1": given}), "interfaces" if given != 5 else "guard_facts[n1]")


def test_the_audit_finds_what_is_unsafe(datastore):
    fields = {**NAMED, **ENDPOINT}
    datastore.put_endpoint(fields)
    task = dict(connection(datastore), endpoints=[fields], nodes=["n1"])
    assert run_module("calico_hostendpoints_audit", task)["summary"]["unsafe"] == 0
    found = run_module("calico_hostendpoints_audit", dict(task, guard_facts=facts()))
    (finding,) = found["findings"]
    assert (finding["class"], finding["name"], found["summary"]["unsafe"]) == ("unsafe", "n1-eth0", 1)
    assert "tcp port 2222 from 192.0.2.9" in finding["message"] and "create a policy" in finding["remedy"]
    assert (finding["severity"], finding["rule"]) == ("critical", "G03")
    put_policy(datastore, "ssh", [ALLOW_SSH])
    assert run_module("calico_hostendpoints_audit", dict(task, guard_facts=facts()))["findings"] == []


# Options of the endpoint, what else is stored, and what the guard says.
STOPPING = [
    ({"profiles": ["p" * 129]}, "", {}, "Felix ignores it, so its interface is open: profiles[0]"),
    ({}, "policy", {"ingress": [{"action": "Reject"}]}, "its action 'Reject' is not a valid action"),
    (
        {},
        "policy",
        {"ingress": [{"action": "Allow", "protocol": "TCP", "notProtocol": "UDP"}]},
        "it has both protocol and notProtocol",
    ),
    (
        {},
        "setting",
        {"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "bad"}]},
        "failsafeInboundHostPorts of the FelixConfiguration default has an invalid network: 'bad'",
    ),
    ({}, "setting", {"iptablesFilterDenyAction": "Reject"}, "iptablesFilterDenyAction is Reject"),
    ({}, "setting", {"interfacePrefix": "eth"}, "the host is cut off"),
]


@pytest.mark.parametrize(
    "datastore_type, options, kind, spec, text",
    [
        (name, *row)
        for name in V3_DATASTORES
        for row in STOPPING
        # An API server refuses such an action.
        if name == "etcdv3" or "action 'Reject'" not in row[3]
    ],
)
def test_what_stops_or_opens_felix_v3_is_refused_and_found(datastore, options, kind, spec, text):
    if kind == "policy":
        put_resource(datastore, "globalnetworkpolicies", "GlobalNetworkPolicy", "p", dict(spec, selector="all()"))
    elif kind == "setting":
        put_resource(datastore, "felixconfigurations", "FelixConfiguration", "default", spec)
    assert "G16" in refused(datastore, text, "G16", **options)
    # What is there already is found.
    fields = {**NAMED, **ENDPOINT, **options}
    datastore.put_endpoint(fields)
    task = dict(connection(datastore), endpoints=[fields], nodes=["n1"], guard_facts=facts(port=22))
    found = run_module("calico_hostendpoints_audit", task)["findings"]
    classes = {each["class"] for each in found if text.partition(": ")[2] in each["message"]}
    assert classes == ({"malformed"} if options else {"unsafe"})
