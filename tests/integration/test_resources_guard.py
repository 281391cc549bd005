# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock-out guard before calico_resources writes policies, sets, profiles and settings, on two hosts.

Their SSH uses port 2222, which is no failsafe: a policy allows it, and another one denies the rest.
"""

from __future__ import annotations

import pytest

from tests.harness.wire import Wire
from tests.integration.tasks import failure, one_etcd, only_etcd, only_v3
from tests.integration.test_resources import changes, manifest, resources

pytestmark = one_etcd

PEER = "198.51.100.9"
NODES = {"n1": "192.0.2.1", "n2": "192.0.2.2"}
SSH = "tcp port 2222 from 198.51.100.9"


def facts(*nodes, port=2222):
    return {
        node: {
            "interfaces": {"eth0": [NODES[node] + "/24"]},
            "default_interface": "eth0",
            "ssh": {"peer": PEER, "address": NODES[node], "port": port},
        }
        for node in nodes or NODES
    }


def tcp(*ports, action="Allow", **source):
    rule = {"action": action, "protocol": "TCP", "destination": {"ports": list(ports)}}
    return dict(rule, source=source) if source else rule


FROM_OFFICE = {"nets": ["198.51.100.0/24"]}
DENY = {"action": "Deny"}


def rules_of(datastore, rules):
    """Rules in the spelling of the datastore's API."""
    if datastore.model == "v3":
        return rules
    protocol = {"protocol": "tcp"}
    return [{**each, "action": each["action"].lower(), **(protocol if "protocol" in each else {})} for each in rules]


def policy(datastore, name, *ingress, **spec):
    spec = {"selector": "role == 'web'", "ingress": rules_of(datastore, ingress), **spec}
    if datastore.model == "v3":
        return manifest("GlobalNetworkPolicy", name, dict({"types": ["Ingress"]}, **spec))
    return {"apiVersion": "v1", "kind": "policy", "metadata": {"name": name}, "spec": spec}


def profile(datastore, name, *ingress):
    spec = {"ingress": rules_of(datastore, ingress), "egress": rules_of(datastore, [{"action": "Allow"}])}
    if datastore.model == "v3":
        return manifest("Profile", name, spec)
    return {"apiVersion": "v1", "kind": "profile", "metadata": {"name": name}, "spec": spec}


def endpoint(node, *profiles):
    spec = {"node": node, "interfaceName": "eth0", "expectedIPs": [NODES[node]], "profiles": list(profiles)}
    return manifest("HostEndpoint", node + "-eth0", spec, labels={"role": "web"})


def allow_ssh(datastore, **spec):
    return policy(datastore, "allow-ssh", tcp(2222, **FROM_OFFICE), **{"order": 10, **spec})


def drop_rest(datastore):
    return policy(datastore, "drop-rest", DENY, order=20)


@pytest.fixture
def world(datastore):
    """The datastore with both hosts; allow-ssh allows SSH, drop-rest denies everything else."""
    put(datastore, allow_ssh(datastore), drop_rest(datastore), *map(endpoint, NODES))
    return datastore


def put(datastore, *given):
    result = resources(datastore, list(given))
    assert not result["failed"], result


def guarded(datastore, *given, mode="enforce", nodes=(), check=False, **options):
    options = {"guard": mode, "guard_facts": facts(*nodes), **options}
    return resources(datastore, list(given), check=check, **options)


def everything(datastore):
    return datastore.stored(datastore.everything)


def refused(datastore, *given, **options):
    """The unsafe findings by (node, rule), and the message: nothing is written, and check mode tells the same."""
    before = everything(datastore)
    results = [guarded(datastore, *given, check=check, **options) for check in (True, False)]
    assert everything(datastore) == before
    assert results[0]["msg"] == results[1]["msg"] and results[0]["guard"] == results[1]["guard"]
    message = failure(results[1], "nothing was written: ", "What to do: ", "Set guard to warn")
    assert {each["verdict"] for each in results[1]["guard"]} == {"unsafe"}, results[1]["guard"]
    found = [(each["node"], finding) for each in results[1]["guard"] for finding in each["findings"]]
    return {(node, finding["rule"]) for node, finding in found if finding["level"] == "unsafe"}, message


def accepted(datastore, *given, **options):
    """The result of the real run, which check mode predicts."""
    predicted = guarded(datastore, *given, check=True, **options)
    result = guarded(datastore, *given, **options)
    assert not result["failed"], result["msg"]
    for key in ("changes", "guard", "warnings", "summary"):
        assert result[key] == predicted[key]
    return result


BOTH = {("n1", "G18"), ("n2", "G18")}


def test_the_policy_that_allows_ssh_is_deleted(world):
    found, message = refused(world, allow_ssh(world), state="absent")
    assert found == BOTH and "2 of 2 affected nodes would be unsafe: node n1: " + SSH + " is required" in message
    assert "drop-rest" in message and "until now allowed by ingress rule 1 of policy" in message


@only_v3
def test_the_policy_that_allows_ssh_is_purged(world):
    put(world, manifest("GlobalNetworkPolicy", "allow-ssh", allow_ssh(world)["spec"], labels={"by": "me"}))
    options = {"owner": "me", "owner_label": "by", "purge": "owned", "purge_kinds": ["GlobalNetworkPolicy"]}
    assert refused(world, **options)[0] == BOTH


def test_a_policy_that_denies_ssh_first(world):
    found, message = refused(world, policy(world, "deny", tcp(2222, action="Deny"), order=5))
    assert found == BOTH and SSH in message and "ingress rule 1 of policy" in message
    result = accepted(world, policy(world, "deny", tcp(2222, action="Deny"), order=15))
    assert result["guard"] == [] and result["summary"]["created"] == 1


def test_the_order_of_a_policy_changes(world):
    assert refused(world, allow_ssh(world, order=30))[0] == BOTH


@only_v3
def test_a_smaller_set(world):
    office = manifest("GlobalNetworkSet", "office", {"nets": ["198.51.100.0/24"]}, labels={"place": "office"})
    by_set = policy(world, "allow-ssh", tcp(2222, selector="place == 'office'"), order=10)
    assert accepted(world, office, by_set)["guard"] == []
    smaller = manifest("GlobalNetworkSet", "office", {"nets": ["198.51.100.128/25"]}, labels={"place": "office"})
    found, message = refused(world, smaller)
    assert found == BOTH and SSH in message
    larger = manifest("GlobalNetworkSet", "office", {"nets": ["198.51.0.0/16"]}, labels={"place": "office"})
    result = accepted(world, larger)
    assert any("G19" in warning and "(on n1, n2)" in warning for warning in result["warnings"])


@only_etcd
def test_a_rule_of_a_profile_is_removed(datastore):
    put(datastore, profile(datastore, "web", tcp(80), tcp(2222)), *[endpoint(node, "web") for node in NODES])
    found, message = refused(datastore, profile(datastore, "web", tcp(80)))
    assert found == BOTH and "profile web" in message
    assert accepted(datastore, profile(datastore, "web", tcp(2222)))["guard"] == []


@only_v3
def test_fewer_failsafe_ports(datastore):
    put(datastore, drop_rest(datastore), *map(endpoint, NODES))

    def felix(*ports):
        listed = [{"protocol": "TCP", "port": port} for port in ports]
        return manifest("FelixConfiguration", "default", {"failsafeInboundHostPorts": listed})

    on_22 = {"guard_facts": facts(port=22)}
    found, message = refused(datastore, felix(2222), **on_22)
    assert {("n1", "G18"), ("n2", "G18")} <= found and "tcp port 22 from " + PEER in message
    assert not {each["verdict"] for each in accepted(datastore, felix(22), **on_22)["guard"]}


def test_policies_and_endpoints_that_are_safe_in_order(datastore):
    """The policy first, and when both are deleted, the endpoints first."""
    given = [*map(endpoint, NODES), drop_rest(datastore), allow_ssh(datastore)]
    found, message = refused(datastore, *given[:3])
    assert {rule for _node, rule in found} >= {"G03"} and "host endpoint n1-eth0 on node n1" in message
    result = accepted(datastore, *given)
    kinds = [each["kind"] for each in result["changes"]]
    assert kinds.index("HostEndpoint") == 2 and result["guard"] == []
    assert accepted(datastore, *given, state="absent")["summary"]["deleted"] == 4


def test_safe_at_the_end_but_not_in_between(world):
    """The new policy is written before the one that would allow SSH earlier."""
    deny, allow = policy(world, "deny", tcp(2222, action="Deny"), order=5), allow_ssh(world, order=1)
    found, message = refused(world, deny, allow)
    assert found == {("n1", "G20"), ("n2", "G20")} and "write the changes in two runs" in message
    assert "deny and before update" in message
    accepted(world, allow)
    accepted(world, deny)


def test_two_updates_are_safe_only_if_they_are_written_at_once(world):
    """SSH moves from a policy to one that is written later: a transaction of etcdv3 writes both, other requests one."""
    first, last = (policy(world, name, tcp(2222, **FROM_OFFICE), order=10) for name in ("a-ssh", "z-ssh"))
    nothing = [policy(world, name, tcp(80), order=10) for name in ("a-ssh", "z-ssh")]
    put(world, first, nothing[1])
    put_away = guarded(world, allow_ssh(world), state="absent")
    assert not put_away["failed"], put_away["msg"]
    if world.type == "etcdv3":
        assert accepted(world, nothing[0], last)["guard"] == []
    else:
        found, message = refused(world, nothing[0], last)
        assert found == {("n1", "G20"), ("n2", "G20")} and "a-ssh and before update" in message


@only_v3
def test_staged_policies_never_matter(world):
    staged = manifest("StagedGlobalNetworkPolicy", "deny", {"selector": "all()", "order": 1, "ingress": [DENY]})
    result = accepted(world, staged)
    assert result["guard"] == [] and result["warnings"] == []
    deletes = manifest("StagedGlobalNetworkPolicy", "allow-ssh", {"stagedAction": "Delete"})
    assert accepted(world, deletes)["guard"] == []


def test_with_warn_it_is_written(world):
    result = accepted(world, allow_ssh(world), state="absent", mode="warn")
    assert [(each["node"], each["verdict"]) for each in result["guard"]] == [("n1", "unsafe"), ("n2", "unsafe")]
    (warning,) = [each for each in result["warnings"] if "G18" in each]
    assert "node n1: " + SSH in warning and "(and 1 more nodes)" in warning and "What to do" in warning
    assert accepted(world, drop_rest(world), state="absent", mode="off")["guard"] == []


def test_hosts_without_facts_are_one_unknown(world):
    given = policy(world, "deny", tcp(443, action="Deny"), order=5)
    result = accepted(world, given, guard_facts={})
    (verdict,) = result["guard"]
    assert (verdict["node"], verdict["name"], verdict["verdict"]) == ("", "", "unknown")
    assert "the facts of 2 affected nodes are unknown" in verdict["findings"][0]["message"]
    put_back = accepted(world, given, state="absent", nodes=["n1"])
    (verdict,) = put_back["guard"]
    assert "the facts of 1 affected nodes are unknown" in verdict["findings"][0]["message"]


def test_the_limit_counts_resources_of_all_kinds(datastore):
    given = [allow_ssh(datastore), drop_rest(datastore), endpoint("n1")]
    for check in (True, False):
        message = failure(guarded(datastore, *given, guard_limit=2, check=check), "G17", "more than the guard_limit")
        assert "and 1 host endpoint change in one run" in message and everything_written(datastore) == 0
    result = accepted(datastore, *given, mode="warn", guard_limit=2)
    assert any("G17" in warning for warning in result["warnings"]) and result["summary"]["created"] == 3


def everything_written(datastore):
    """The number of endpoints and policies."""
    return sum("endpoint" in key or "polic" in key for key in everything(datastore))


# Another client writes at the same time


def test_a_change_that_is_planned_again_is_guarded_again(world):
    """Before, SSH is denied anyway. Another client allows it by the policy that this run deletes."""
    put(world, allow_ssh(world, selector="role == 'db'"))
    with Wire(world) as wire:
        wire.before(world.writing(), lambda: put(world, allow_ssh(world)))
        result = guarded(wire, allow_ssh(world), state="absent")
    assert result["failed"] and SSH in result["msg"] and changes(result) == [], result
    assert "0 of 1 changes were made" in result["msg"]
    assert not resources(world, [allow_ssh(world)])["changed"]


def test_an_unsafe_overwrite_of_anothers_change_is_refused(world):
    put(world, allow_ssh(world, selector="role == 'db'"))
    with Wire(world) as wire:
        wire.before(world.writing(), lambda: put(world, allow_ssh(world)))
        result = guarded(wire, allow_ssh(world, selector="role == 'proxy'"))
    assert result["failed"] and SSH in result["msg"] and changes(result) == [], result
    assert not resources(world, [allow_ssh(world)])["changed"]


def test_a_safe_change_is_made_after_a_conflict(world):
    with Wire(world) as wire:
        wire.before(world.writing(), lambda: put(world, allow_ssh(world, order=11)))
        result = guarded(wire, allow_ssh(world, order=12))
    assert not result["failed"] and [each["operation"] for each in result["changes"]] == ["update"]
    assert not resources(world, [allow_ssh(world, order=12)])["changed"]
