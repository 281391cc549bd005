# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary of calico_resources: staged twins of policies, and hosts that are tried after the changes."""

from __future__ import annotations

import json

import pytest

from tests.harness.pace import stretched
from tests.harness.wire import Wire
from tests.integration.hosts import Hosts
from tests.integration.tasks import failure, one_etcd, only_etcdv2, only_etcdv3, only_kubernetes, only_v3
from tests.integration.test_canary_ended import Run, each_signal
from tests.integration.test_resource_info import ROOT
from tests.integration.test_resources import changes, manifest, read, resources
from tests.integration.test_resources_guard import (
    NODES,
    SSH,
    allow_ssh,
    drop_rest,
    endpoint,
    everything,
    facts,
    guarded,
    policy,
    put,
    tcp,
)

pytestmark = one_etcd

STAGED = {"guard": "off", "canary": "staged"}


@pytest.fixture
def world(datastore):
    """As that of test_resources_guard: allow-ssh and drop-rest, and two hosts."""
    put(datastore, allow_ssh(datastore), drop_rest(datastore), *map(endpoint, NODES))
    return datastore


def key_of(datastore, name, plural="stagedglobalnetworkpolicies"):
    return datastore._own(ROOT + plural + "/" + name) if datastore.type == "kubernetes" else ROOT + plural + "/" + name


def twin(name="web", annotations=(("netsec.calico/canary", "staged"),)):
    return manifest("StagedGlobalNetworkPolicy", name, {"selector": "all()"}, annotations=dict(annotations))


def written(datastore, wire):
    """[(operation, kind in the key, name)] of what went over a wire."""
    return [
        (operation, key.split("/")[-2].split(".")[0], key.split("/")[-1]) for operation, key in datastore.written(wire)
    ]


def selected(result):
    return {each["name"]: [one["name"] for one in each["selects"]] for each in result["staged"]}


BOTH = ["n1-eth0", "n2-eth0"]
TWINS, POLICIES = "stagedglobalnetworkpolicies", "globalnetworkpolicies"


@only_v3
def test_a_policy_has_a_staged_twin_while_it_is_written(world):
    web = policy(world, "web", tcp(80), order=5)
    ssh = allow_ssh(world, order=7)
    predicted = guarded(world, web, ssh, canary="staged", check=True)
    assert set(read(world, "GlobalNetworkPolicy")) == {"allow-ssh", "drop-rest"}
    with Wire(world) as wire:
        result = guarded(wire, web, ssh, canary="staged")
        operations = written(world, wire)
    twins = [(TWINS, "allow-ssh"), (TWINS, "web")]
    assert sorted(operations[:2]) == [("create", *each) for each in twins]
    assert operations[2:4] == [("create", POLICIES, "web"), ("update", POLICIES, "allow-ssh")]
    assert sorted(operations[4:]) == [("delete", *each) for each in twins]
    assert selected(result) == {"web": BOTH, "allow-ssh": BOTH} and result["staged_omitted"] == 0
    assert result["staged"][0]["selects"][0] == {"node": "n1", "name": "n1-eth0"}
    assert changes(result) == [
        ("create", "GlobalNetworkPolicy", "web"),
        ("update", "GlobalNetworkPolicy", "allow-ssh"),
    ]
    for key in ("staged", "changes", "summary", "guard"):
        assert result[key] == predicted[key]
    assert read(world, "StagedGlobalNetworkPolicy") == {}
    again = guarded(world, web, ssh, canary="staged")
    assert not again["changed"] and "staged" not in again


@only_v3
def test_the_twin_has_the_rules_of_the_policy(world):
    web = policy(world, "web", tcp(80), order=5)
    found = {}
    with Wire(world) as wire:
        wire.before(world.writing(key=key_of(world, "web", POLICIES)), lambda: found.update(staged(world)))
        resources(wire, [web], **STAGED)
    made = read(world, "GlobalNetworkPolicy")["web"]["spec"]
    assert len(found) == 1 and next(iter(found.values()))["spec"] == {**made, "stagedAction": "Set"}


def staged(datastore):
    return read(datastore, "StagedGlobalNetworkPolicy")


@only_v3
def test_what_is_selected_is_that_after_all_changes(world):
    """Together with an endpoint that changes, and with one that is created."""
    other = manifest("HostEndpoint", "n2-eth0", {"node": "n2", "interfaceName": "eth0"}, labels={"role": "db"})
    more = manifest("HostEndpoint", "n3-eth0", {"node": "n3", "interfaceName": "eth0"}, labels={"role": "web"})
    given = [policy(world, "web", tcp(80)), policy(world, "none", selector="role == 'nosuch'"), other, more]
    assert selected(resources(world, given, check=True, **STAGED)) == {"web": ["n1-eth0", "n3-eth0"], "none": []}


@only_v3
def test_a_deletion_and_other_kinds_have_no_twins(world):
    with Wire(world) as wire:
        resources(wire, [manifest("GlobalNetworkSet", "office", {"nets": ["192.0.2.1"]})], **STAGED)
        result = resources(wire, [allow_ssh(world)], state="absent", **STAGED)
        assert not any(kind == TWINS for _operation, kind, _name in written(world, wire))
    assert result["changed"] and "staged" not in result


@only_v3
def test_a_staged_policy_of_that_name_is_not_replaced(world):
    theirs = twin(annotations={"why": "theirs"})
    put(world, theirs)
    before = everything(world)
    for check in (True, False):
        message = failure(
            resources(world, [policy(world, "web", tcp(80))], check=check, **STAGED),
            "nothing was written: the canary would replace staged global network policy web, which already exists",
        )
        assert "set canary to none" in message and everything(world) == before
    put(world, manifest("StagedGlobalNetworkPolicy", "other", {"selector": "all()"}))
    failure(resources(world, [policy(world, "db", tcp(80)), twin("db")], **STAGED), "or is part of the set")


@only_v3
def test_a_twin_that_was_left_over_is_replaced_and_deleted(world):
    put(world, twin())
    result = resources(world, [policy(world, "web", tcp(80))], **STAGED)
    assert not result["failed"] and staged(world) == {}
    # One that already matches, too.
    spec = policy(world, "db", tcp(80))["spec"]
    put(world, manifest("StagedGlobalNetworkPolicy", "db", spec, annotations={"netsec.calico/canary": "staged"}))
    assert not resources(world, [policy(world, "db", tcp(80))], **STAGED)["failed"] and staged(world) == {}


@only_v3
def test_another_client_creates_a_staged_policy_meanwhile(world):
    theirs = twin(annotations={"why": "theirs"})
    with Wire(world) as wire:
        wire.before(world.writing(key=key_of(world, "web")), lambda: put(world, theirs))
        result = resources(wire, [policy(world, "db", tcp(80)), policy(world, "web", tcp(80))], **STAGED)
    failure(result, "nothing was written: the canary failed: ", "staged global network policy web already exists")
    assert set(staged(world)) == {"web"} and "web" not in read(world, "GlobalNetworkPolicy")


@only_v3
def test_another_client_changes_the_twin(world):
    """It is theirs now, and kept."""
    with Wire(world) as wire:
        wire.before(world.writing(key=key_of(world, "web", POLICIES)), lambda: put(world, twin(annotations={"a": "b"})))
        result = resources(wire, [policy(world, "web", tcp(80))], **STAGED)
    assert result["failed"] and changes(result) == [("create", "GlobalNetworkPolicy", "web")]
    assert "the delete of staged global network policy web failed: " in result["msg"]
    assert "changed by another client" in result["msg"] and set(staged(world)) == {"web"}


@only_v3
def test_the_guard_evaluates_again_beside_the_twins(world):
    """Another client deletes the other policy that allows SSH while the twin is written."""
    other = policy(world, "allow-too", tcp(2222), order=11)
    put(world, other)
    before = read(world, "GlobalNetworkPolicy")
    with Wire(world) as wire:
        wire.before(world.writing(), lambda: resources(world, [other], state="absent"))
        result = guarded(wire, allow_ssh(world, selector="role == 'db'"), canary="staged")
    failure(result, "nothing was written: ", SSH, "G18")
    assert {each["node"] for each in result["guard"]} == {"n1", "n2"}
    assert staged(world) == {} and read(world, "GlobalNetworkPolicy")["allow-ssh"] == before["allow-ssh"]


@only_v3
def test_a_failed_write_leaves_no_twin(world):
    with Wire(world) as wire:
        wire.fault("reset", method=world.writing(key=key_of(world, "web", POLICIES)), times=1000)
        result = resources(wire, [policy(world, "web", tcp(80))], timeout=stretched(3), **STAGED)
    assert result["failed"] and changes(result) == [] and result["failures"][0]["name"] == "web", result
    assert staged(world) == {} and "web" not in read(world, "GlobalNetworkPolicy")


@only_v3
def test_a_twin_whose_answer_is_lost_is_deleted(world):
    with Wire(world) as wire:
        wire.fault("cut_after_commit", method=world.writing("create", key=key_of(world, "web")), times=6)
        result = resources(wire, [policy(world, "web", tcp(80))], **STAGED)
    assert staged(world) == {}, result
    assert ("web" in read(world, "GlobalNetworkPolicy")) != result["failed"]


@only_v3
@pytest.mark.thorough
@each_signal
@pytest.mark.parametrize("phase", ["twin", "policy", "deletion"])
def test_a_signal_leaves_no_twin(world, phase, number):
    run_options = {"resources": [policy(world, "web", tcp(80)), allow_ssh(world, order=12)], "canary": "staged"}
    with Wire(world) as wire:
        run = Run(wire, module="calico_resources", **run_options)
        place = {
            "twin": world.writing("create", key=key_of(world, "web")),
            "policy": world.writing(key=key_of(world, "web", POLICIES)),
            "deletion": world.writing("delete", key=key_of(world, "web")),
        }[phase]
        wire.before(place, run.ended_by(number))
        result = run.result()
    assert staged(world) == {}, result
    policies = read(world, "GlobalNetworkPolicy")
    if phase == "twin":
        assert result["failed"] and changes(result) == [] and len(result["not_attempted"]) == 2
        assert number.name + " ended the run: 0 of 2 changes were made" in result["msg"] and "web" not in policies
    else:
        assert "web" in policies


@only_etcdv2
def test_calico_v1_has_no_staged_policies(world):
    for check in (True, False):
        message = failure(resources(world, [policy(world, "web", tcp(80))], check=check, **STAGED), "canary: 'staged'")
        assert "requires Calico v3" in message


@only_etcdv3
def test_an_older_calico_has_no_staged_policies(world):
    spec = {"datastoreReady": True, "calicoVersion": "v3.29.3"}
    world.put(world.state_key, json.dumps({"kind": "ClusterInformation", "spec": spec}))
    given = [policy(world, "web", tcp(80))]
    failure(resources(world, given, **STAGED), "requires Calico v3.30", "that of Calico v3.29.3")
    assert staged(world) == {} and "web" not in read(world, "GlobalNetworkPolicy")
    spec["calicoVersion"] = "v3.30.0"
    world.put(world.state_key, json.dumps({"kind": "ClusterInformation", "spec": spec}))
    assert resources(world, given, **STAGED)["changed"]


@only_kubernetes
def test_kubernetes_without_the_custom_resource(world):
    with Wire(world) as wire:
        text = json.dumps({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "details": {}})
        wire.answer(404, text, method=lambda request: TWINS in request.path, times=1000)
        result = resources(wire, [policy(world, "web", tcp(80))], **STAGED)
    failure(result, "the API server has no " + TWINS, "this version of Calico")
    assert "web" not in read(world, "GlobalNetworkPolicy")


# Hosts that are tried


class PolicyHosts(Hosts):
    """Hosts that a policy `deny` shuts, whatever it says."""

    def _find_shut(self):
        is_shut = any("polic" in key and key.endswith("/deny") and TWINS not in key for key in self._all())
        return set(self._ports) if is_shut else set()

    def _all(self):
        try:
            return list(everything(self._datastore))
        except (OSError, ValueError, KeyError, AssertionError):
            return []


@pytest.fixture
def hosts(world):
    with PolicyHosts(world, *NODES) as found:
        yield found


def with_hosts(datastore, hosts, given, number=1, **options):
    known = {node: {**facts()[node], **reached} for node, reached in hosts.facts().items()}
    for node in known:
        known[node]["interfaces"] = facts()[node]["interfaces"]
    options = {"guard": "warn", "guard_facts": known, "canary_wait": stretched(1), **options}
    return resources(datastore, given, canary_hosts=number, **options)


def test_policies_are_kept_when_the_hosts_answer(world, hosts):
    result = with_hosts(world, hosts, [policy(world, "web", tcp(80), order=5)])
    assert not result["failed"] and (result["canary"], result["summary"]["created"]) == (["n1"], 1)
    result = with_hosts(world, hosts, [policy(world, "web", tcp(80), order=6)], number=5, check=True)
    assert result["canary"] == ["n1", "n2"]


def test_everything_is_undone_when_a_host_is_lost(world, hosts):
    before = everything(world)
    given = [allow_ssh(world, order=12), policy(world, "deny", order=1)]
    result = with_hosts(world, hosts, [*given, endpoint("n2", world.open_profile)])
    assert result["failed"] and not result["changed"] and changes(result) == [], result
    assert "the canary failed: node n1 at 127.0.0.1" in result["msg"]
    assert "accepts them again after the rollback" in result["msg"]
    assert "3 of its changes were undone, and nothing else was written" in result["msg"]
    # In reverse.
    kind = given[0]["kind"]
    undone = [(each["operation"], each["kind"]) for each in result["taken_back"]]
    assert undone == [("update", "HostEndpoint"), ("update", kind), ("create", kind)]
    assert everything(world) == before and hosts.answers("n1")


@only_v3
@pytest.mark.thorough
def test_both_canaries_leave_nothing_when_a_host_is_lost(world, hosts):
    before = everything(world)
    result = with_hosts(world, hosts, [policy(world, "deny", order=1)], canary="staged")
    assert result["failed"] and "the canary failed" in result["msg"] and selected(result) == {"deny": BOTH}
    assert everything(world) == before
    result = with_hosts(world, hosts, [policy(world, "web", tcp(80))], canary="staged")
    assert not result["failed"] and staged(world) == {}


@pytest.mark.thorough
def test_only_affected_hosts_are_tried(world, hosts):
    put(world, manifest("HostEndpoint", "n2-eth0", {"node": "n2", "interfaceName": "eth0"}, labels={"role": "db"}))
    of_db = policy(world, "db", tcp(80), selector="role == 'db'")
    assert with_hosts(world, hosts, [of_db], number=2)["canary"] == ["n2"]
    of_none = policy(world, "none", tcp(80), selector="role == 'nosuch'")
    result = with_hosts(world, hosts, [of_none], number=2)
    assert result["changed"] and "canary" not in result
    without_guard = with_hosts(world, hosts, [policy(world, "none")], number=2, guard="off")
    assert without_guard["canary"] == ["n1", "n2"]


def test_hosts_that_cannot_be_tried(world):
    options = {"guard": "warn", "canary_hosts": 1}
    for known in ({}, facts()):
        result = resources(world, [policy(world, "web", tcp(80))], guard_facts=known, **options)
        failure(result, "nothing was written: the SSH address of the affected nodes is unknown", "reached_at")
    failure(resources(world, [policy(world, "web")], canary_hosts=-1), "canary_hosts: -1 is negative")


def test_a_set_of_endpoints_only_changes_the_hosts_first(world, hosts):
    given = [endpoint(node, world.open_profile) for node in NODES]
    with Wire(world) as wire:
        result = with_hosts(wire, hosts, given)
        names = [key.rpartition("/")[2] for _operation, key in world.written(wire)]
    assert result["canary"] == ["n1"] and len(names) == 2 and "n1" in str(world.written(wire)[0])
