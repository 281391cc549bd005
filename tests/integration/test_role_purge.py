# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role deletes: what an owner would expect, and nothing else, whatever the shape of the run."""

from __future__ import annotations

import contextlib
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.etcd import EtcdServer
from tests.harness.wire import Wire
from tests.integration.role import (
    ALL_DATASTORES,
    IMPORTED,
    OWNER,
    OWNER_LABEL,
    changes,
    done,
    failure,
    fleet_of,
    identity_of,
    kubernetes_for,
    of_workers,
    results,
    role_variables,
    worker,
)

pytestmark = pytest.mark.thorough

NUMBERS = (1, 2, 10, 11, 100)
PURGE = {"hostendpoints_purge": "owned"}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    hosts = {"worker-%d" % number: worker(number) for number in NUMBERS}
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture
def fleet(request, _fleet, datastore_type):
    """Facts of five workers, none of two more, and an empty datastore."""
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    return _fleet


@pytest.fixture
def wire(fleet):
    with Wire(fleet.datastore) as wire:
        yield wire


def written(fleet, wire):
    """["operation place"]."""
    found = fleet.datastore.written(wire)
    names = {
        fleet.datastore.key(each["node"], each["name"]): place
        for place in (node + "/" + name for node in NAMED_NODES for name in ("eth0", "eth1", "enp1s0"))
        for each in [identity_of(fleet.datastore, place)]
    }
    return ["%s %s" % (operation, names[key]) for operation, key in found]


NAMED_NODES = ["worker-1", "worker-10", "renamed"]


def run(fleet, wire, hosts, *args, groups=None, **variables):
    wire.clear()
    return fleet.run(hosts, *args, groups=groups, variables=dict(variables, **role_variables(wire)))


# What happens to a host


@pytest.fixture
def changing(fleet, wire):
    """worker-1 with its endpoints; give it other facts, and get the changes and the writes of the next run."""
    done(fleet.run(["worker-1", "worker-10"]))
    before = fleet.stored()

    def change(facts, **variables):
        fleet.record({"worker-1": facts})
        check = done(run(fleet, wire, ["worker-1"], "--check", "--diff", **PURGE, **variables))
        assert fleet.datastore.written(wire) == [] and fleet.stored() == before
        real = done(run(fleet, wire, ["worker-1"], "--diff", **PURGE, **variables))
        assert (real["changes"], real["diff"]) == (check["changes"], check["diff"])
        writes = written(fleet, wire)
        assert [place for place in fleet.stored() if place.startswith("worker-10/")] == of_workers(10)
        assert not done(run(fleet, wire, ["worker-1"], "--diff", **PURGE, **variables))["changed"]
        return changes(real), writes

    yield change
    fleet.record({"worker-1": worker(1)})


def test_another_address(fleet, changing):
    assert changing(worker(1, "192.0.2.99/24")) == (["update worker-1/eth0"], ["update worker-1/eth0"])
    assert fleet.stored()["worker-1/eth0"]["expected_ips"] == ["192.0.2.99", "2001:db8::1"]


def test_a_renamed_interface_has_its_new_endpoint_before_it_loses_the_old_one(fleet, changing):
    facts = worker(1)
    facts["enp1s0"] = dict(facts.pop("eth0"), device="enp1s0")
    facts["interfaces"] = ["enp1s0" if name == "eth0" else name for name in facts["interfaces"]]
    expected = ["create worker-1/enp1s0", "delete worker-1/eth0"]
    assert changing(facts) == (expected, expected)


def test_a_removed_interface(changing):
    facts = worker(1)
    facts["interfaces"].remove("eth1")
    del facts["eth1"]
    assert changing(facts) == (["delete worker-1/eth1"], ["delete worker-1/eth1"])


def test_an_interface_that_lost_its_address(changing):
    facts = worker(1)
    del facts["eth1"]["ipv4"]
    assert changing(facts) == (["delete worker-1/eth1"], ["delete worker-1/eth1"])


def test_another_node_name_with_the_old_one_decommissioned(changing):
    facts = dict(worker(1), nodename="renamed")
    made, writes = changing(facts, hostendpoints_decommission=["worker-1"])
    names = ["eth0", "eth1"]
    assert made == ["create renamed/" + name for name in names] + ["delete worker-1/" + name for name in names]
    assert sorted(writes[:2]) + sorted(writes[2:]) == made


def test_everything_at_once_is_created_then_updated_then_deleted(changing):
    facts = worker(1, "192.0.2.99/24")
    facts["enp1s0"] = dict(facts.pop("eth1"), device="enp1s0")
    facts["interfaces"] = ["enp1s0" if name == "eth1" else name for name in facts["interfaces"]]
    _changes, writes = changing(facts)
    assert writes == ["create worker-1/enp1s0", "update worker-1/eth0", "delete worker-1/eth1"]


def test_a_host_that_moves_between_groups(fleet, wire):
    labels = {"hostendpoints_group_labels": {"front": {"tier": "front", "public": "yes"}, "back": {"tier": "back"}}}
    done(run(fleet, wire, ["worker-1"], groups={"front": ["worker-1"], "back": []}, **labels))
    result = done(run(fleet, wire, ["worker-1"], groups={"front": [], "back": ["worker-1"]}, **labels))
    assert changes(result) == ["update worker-1/eth0", "update worker-1/eth1"]
    assert sorted(written(fleet, wire)) == ["update worker-1/eth0", "update worker-1/eth1"]
    assert fleet.stored()["worker-1/eth0"]["labels"] == {"tier": "back", OWNER_LABEL: OWNER}


# Decommission


def test_a_decommissioned_node_loses_what_is_owned(fleet):
    fleet.put("worker-1/old", "worker-2/a", "worker-2/b", "worker-20/a")
    fleet.put("worker-2/theirs", owner="theirs")
    fleet.put("worker-2/nobodys", owner=None)
    # Without a purge, and without any fact of that node.
    done(fleet.run(["worker-10"], variables={"hostendpoints_decommission": ["worker-2", "worker-200"]}))
    kept = ["worker-1/old", "worker-2/theirs", "worker-2/nobodys", "worker-20/a"]
    assert sorted(fleet.stored()) == sorted([*kept, *of_workers(10)])


def test_decommission_with_no_facts_of_any_host(fleet):
    fleet.put("worker-2/a", "lost/a")
    done(fleet.run(["lost"], variables={"hostendpoints_decommission": ["worker-2"], **PURGE}))
    assert sorted(fleet.stored()) == ["lost/a"]


@pytest.mark.parametrize("owner", ["", None])
@pytest.mark.parametrize("what", [PURGE, {"hostendpoints_decommission": ["gone"]}], ids=["purge", "decommission"])
def test_without_an_owner_nothing_is_owned(fleet, what, owner):
    fleet.put("worker-1/nobodys", "gone/nobodys", owner=None)
    fleet.put("worker-1/theirs", "gone/theirs", owner="theirs")
    answer = fleet.run(["worker-1"], variables={"hostendpoints_owner": owner, **what})
    assert sorted(fleet.stored()) == ["gone/nobodys", "gone/theirs", "worker-1/nobodys", "worker-1/theirs"], answer
    assert "owner" in failure(answer)


@pytest.mark.parametrize("interfaces", [[], None])
def test_facts_that_know_of_no_interface_at_all_are_none(fleet, interfaces):
    """Every host has one: something went wrong when they were gathered."""
    fleet.put("worker-1/old")
    fleet.record({"worker-1": dict(worker(1), interfaces=interfaces)})
    try:
        done(fleet.run(["worker-1"], variables=PURGE))
        assert sorted(fleet.stored()) == ["worker-1/old"]
    finally:
        fleet.record({"worker-1": worker(1)})


# All shapes

SHAPES = int(os.environ.get("NETSEC_PURGE_SHAPES", "7"))
FIRST = int(os.environ.get("NETSEC_PURGE_FIRST", "0"))
INVENTORY = ["worker-1", "lost-1", "worker-10", "worker-2", "worker-100", "lost-2", "worker-11"]
NODES = [*INVENTORY, "worker-1.example.com", "worker-0", "gone-1", "gone-11"]
NAMES = ["eth0", "eth1", "eth10", "old", "worker-1"]
CALICO = "projectcalico.org/created-by"


class Shape:
    """A run of the role with everything about it drawn at random."""

    def __init__(self, seed):
        chance = random.Random(seed)

        def some(items, least=0):
            return [item for item in items if chance.random() < 0.6] or items[:least]

        self.owner = chance.choice([OWNER, OWNER, "me"])
        self.purge = chance.choice(["owned", "owned", "all", "none"])
        self.limit = chance.choice([25, 25, 25, 3])
        self.decommission = chance.choice([[], [], ["gone-1"]])
        self.serial = chance.choice([0, 0, 1, 2, 3])
        self.strategy = chance.choice(["linear", "linear", "linear", "free"])
        # Disabled hosts and those of other slices are not in the inventory.
        self.inventory = some(INVENTORY, 1)
        self.limited_to = chance.choice([None, some(self.inventory, 1)])
        self.fates = {name: chance.choice(["fine", "fine", "fine", "failed", "unreachable"]) for name in self.inventory}
        self.rules = {name: chance.choice([["eth*"], ["eth*"], ["eth0"], []]) for name in self.inventory}
        # The labels of what is stored at each place; None where it cannot be read.
        self.stored = {}
        for node in NODES:
            for name in some(NAMES):
                self.stored[node + "/" + name] = self._labels(name, chance)

    def _labels(self, name, chance):
        owner = {OWNER_LABEL: chance.choice([self.owner, self.owner, "somebody", self.owner + "2"])}
        kind = chance.choice(["owned"] * 6 + ["free", "calico's own", "unreadable"])
        if kind == "unreadable":
            return None
        if kind == "calico's own" and name not in ("eth0", "eth1"):
            owner[CALICO] = "x"
        return {} if kind == "free" else owner

    def _values(self, datastore):
        """{place: what is stored there}."""
        found = {}
        for place, labels in self.stored.items():
            value = datastore.value(dict(identity_of(datastore, place), labels=labels))
            found[place] = value if labels is not None else datastore.malformed(identity_of(datastore, place))
        return found

    def _batches(self):
        hosts = [name for name in self.inventory if self.limited_to is None or name in self.limited_to]
        size = self.serial or len(hosts)
        for first in range(0, len(hosts), size):
            batch = [name for name in hosts[first : first + size] if self.fates[name] == "fine"]
            if not batch:
                return  # Ansible goes no further when a whole batch has failed
            if self.strategy == "free":
                yield from ([name] for name in batch)
            else:
                yield batch

    def expected(self):
        """What is left of what was stored, and what is there as the rules have it; how often the role failed."""
        left, made, failures = dict(self.stored), set(), 0
        calls = list(self._batches())
        for hosts in calls:
            # Without rules, no facts are needed.
            known = [name for name in hosts if not (name.startswith("lost") and self.rules[name])]
            wanted = {name + "/" + eth for name in known for eth in ("eth0", "eth1") if self._rule_takes(name, eth)}
            purged = {} if self.purge == "none" else dict.fromkeys(known, self.purge)
            purged.update(dict.fromkeys(self.decommission, "owned"))
            deleted = [
                place
                for place in left
                if place not in wanted and self._goes(left[place], purged.get(place.split("/")[0]))
            ]
            if len(deleted) > self.limit:
                failures += 1
                if self.strategy != "free":
                    break
                continue
            left = {place: value for place, value in left.items() if place not in deleted and place not in wanted}
            made |= wanted
        return left, made, failures

    def _rule_takes(self, host, interface):
        return "eth*" in self.rules[host] or interface in self.rules[host]

    def _goes(self, labels, purge):
        if labels is None or not purge or CALICO in labels:
            return False
        return purge == "all" or labels.get(OWNER_LABEL) == self.owner

    def run(self, recorded, datastore):
        """The run of the role, and the values at the places of what is stored then."""
        keys = {}
        for place, value in self._values(datastore).items():
            identity = identity_of(datastore, place)
            keys[place] = datastore.key(identity["node"], identity["name"])
            datastore.put(keys[place], value)
        hosts = {name: self._variables(name) for name in self.inventory}
        tasks = [
            {"ansible.builtin.fail": {"msg": "x"}, "when": "fate == 'failed'"},
            {"ansible.builtin.ping": {}, "when": "fate == 'unreachable'"},
            IMPORTED,
        ]
        limit = [] if self.limited_to is None else ["--limit", ",".join(self.limited_to)]
        more = {"serial": self.serial} if self.serial else {}
        variables = {
            "hostendpoints_owner": self.owner,
            "hostendpoints_purge": self.purge,
            "hostendpoints_purge_limit": self.limit,
            "hostendpoints_decommission": self.decommission,
            **role_variables(datastore),
        }
        answer = recorded.run(hosts, *limit, tasks=tasks, variables=variables, strategy=self.strategy, **more)
        tree = datastore.stored()
        return answer, {place: tree.pop(key) for place, key in keys.items() if key in tree}, tree

    def _variables(self, host):
        rules = [{"match": {"name": self.rules[host], "network": ["0.0.0.0/0"]}}] if self.rules[host] else []
        return {"fate": self.fates[host], "hostendpoints_interfaces": rules, "hostendpoints_node": host}

    def check(self, recorded, datastore_type, kubernetes=None):
        with contextlib.nullcontext(kubernetes) if kubernetes else EtcdServer() as server:
            datastore = ALL_DATASTORES[datastore_type](server)
            datastore.reset()
            before = self._values(datastore)
            answer, found, new = self.run(recorded, datastore)
            told = "%s\n%r" % (vars(self), answer)
            left, made, failures = self.expected()
            assert len(results(answer, "failed")) == failures, told
            keys = {place: identity_of(datastore, place) for place in made}
            keys = {place: datastore.key(each["node"], each["name"]) for place, each in keys.items()}
            assert set(found) == set(left) | made & set(before), told
            assert set(new) == {keys[place] for place in made - set(before)}, told
            assert {place: found[place] for place in left} == {place: before[place] for place in left}, told
            values = [found.get(place) or new[key] for place, key in keys.items()]
            assert all('"labels":{"%s":"%s"}' % (OWNER_LABEL, self.owner) in value for value in values), told
        return "\n".join(changes({"changes": [each for result in results(answer) for each in result["changes"]]}))


def test_exactly_what_is_owned_and_not_wanted_on_the_nodes_of_the_run_is_deleted(request, _fleet, datastore_type):
    """NETSEC_PURGE_SHAPES=500 tries more; a failure tells the shape, NETSEC_PURGE_FIRST is its number."""
    # All shapes have the same API server.
    kubernetes = kubernetes_for(request, datastore_type)
    with ThreadPoolExecutor(1 if kubernetes else 2) as pool:
        seeds = range(FIRST, FIRST + SHAPES)
        done = list(pool.map(lambda seed: Shape(seed).check(_fleet, datastore_type, kubernetes), seeds))
    # Or it would have proved little.
    assert all(word in "\n".join(done) for word in ("create", "update", "delete"))
