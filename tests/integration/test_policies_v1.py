# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies and profiles of Calico v1 in etcd's v2 API, where the three keys of a profile are written one by one."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import Conflict, DatastoreError
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings, open_datastore
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import GuardReport
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import build_change, build_undo
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs_v1.rules_resource_v1 import (
    ProfileV1,
    read_manifest_v1,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref
from tests.harness.pace import PATIENT
from tests.integration.tasks import connection, one_etcd, only_etcdv2, vectors

pytestmark = [only_etcdv2, one_etcd]

PARTS = ("tags", "labels", "rules")
POLICIES, PROFILE = "/calico/v1/policy/tier/default/policy/", "/calico/v1/policy/profile/web"
KEYS = [PROFILE + "/" + part for part in PARTS]
ALLOW = {"ingress": [{"action": "allow"}]}
WEB = ProfileV1("web", "", {"role": "web"}, spec=ALLOW, tags=("web",))
VALUES = ['["web"]', '{"role":"web"}', '{"inbound_rules":[{"action":"allow"}]}']
OTHER = ProfileV1("web", spec={"egress": [{"action": "deny"}]})
OTHER_VALUES = ["[]", "{}", '{"outbound_rules":[{"action":"deny"}]}']
NOT_ALLOWED = json.dumps({"errorCode": 110, "message": "The request requires user authentication", "index": 0})


def open_store(server):
    found = open_datastore(build_settings(dict(connection(server), timeout=PATIENT), {}))
    found.api_version = V1
    return found


def run(server, *wants):
    store = open_store(server)
    return apply(store, {store.key(want.ref): want for want in wants}, False)


def write(server, want, writer=None):
    """Write one change once, and return it with its error."""
    store = open_store(server)
    stored = store.get(want.ref)
    if writer:
        store = open_store(writer)
    ((change, error),) = store.write([build_change(want, stored, V1)])
    return change, error


def tree(datastore):
    return datastore.stored("/calico/v1/policy")


def put(datastore, values):
    for key, value in zip(KEYS, values):
        if value is not None:
            datastore.put(key, value)


def whole(values):
    return {key: value for key, value in zip(KEYS, values) if value is not None}


def test_the_keys_and_bytes_are_calicos(datastore):
    """Every document that Calico accepts, in one run over several connections."""
    expected, wants = {}, []
    for row in [*vectors("v1_policy.jsonl"), *vectors("v1_profile.jsonl")]:
        if not row["valid"] or "doc" not in row:
            continue
        keys = row.get("keys") or {row["key"]: row["value"]}
        if not expected.keys() & keys.keys():
            expected.update(keys)
            wants.append(Present(read_manifest_v1(row["doc"])))
    outcome = run(datastore, *wants)
    assert not outcome.failed and len(outcome.done) == len(wants) > 40
    assert tree(datastore) == expected
    revision = datastore.revision()
    assert len(run(datastore, *wants).unchanged) == len(wants)
    assert run(datastore, *map(Absent, [want.ref for want in wants])).failed == []
    assert tree(datastore) == {} and datastore.revision() > revision


@pytest.mark.parametrize("number", [1, 20])
def test_what_is_stored_is_read(datastore, number):
    refs = [Ref(kind, "n%02d" % each) for each in range(number) for kind in ("policy", "profile")]
    resources = [
        read_manifest_v1({"apiVersion": "v1", "kind": ref.kind, "metadata": {"name": ref.name}}) for ref in refs
    ]
    run(datastore, *map(Present, resources))
    datastore.put_endpoint({"name": "eth0", "node": "n1", "interface_name": "eth0"})
    store = open_store(datastore)
    assert sorted(stored.ref for stored in store.read(refs, ())) == sorted(refs)
    assert [stored.ref.kind for stored in store.read((), ["n1"])] == ["HostEndpoint"]
    assert sorted(stored.ref for stored in store.read((), (), ["policy", "profile"])) == sorted(refs)
    assert [stored.ref.name for stored in store.read(refs[:1], (), ["HostEndpoint"])] == ["eth0", "n00"]
    assert {stored.ref for stored in store.list_kind("profile")} == {ref for ref in refs if ref.kind == "profile"}
    assert store.get(Ref("profile", "nosuch")) is None
    with pytest.raises(DatastoreError, match="no resources of kind Tier"):
        store.read([Ref("Tier", "t")], ())


@pytest.mark.parametrize("number", [1, 20])
def test_a_directory_in_the_place_of_a_policy(datastore, number):
    datastore.put(POLICIES + "n00/deeper", "{}")
    with pytest.raises(DatastoreError, match="policy/n00 is not a value but a directory"):
        open_store(datastore).read([Ref("policy", "n%02d" % each) for each in range(number)], ())


# The order of a profile's keys


def test_a_new_profile_brings_its_labels_before_its_rules(datastore, wire):
    run(wire, Present(WEB))
    assert datastore.written(wire) == [("create", key) for key in KEYS]
    assert tree(datastore) == whole(VALUES)


def test_a_deletion_begins_with_the_rules(datastore, wire):
    put(datastore, VALUES)
    run(wire, Absent(WEB.ref))
    assert datastore.written(wire) == [("delete", key) for key in reversed(KEYS)]
    assert tree(datastore) == {}


def test_only_what_differs_is_written(datastore, wire):
    put(datastore, VALUES)
    run(wire, Present(dataclasses.replace(WEB, spec=OTHER.spec)))
    assert datastore.written(wire) == [("update", KEYS[2])]
    assert tree(datastore) == whole([*VALUES[:2], OTHER_VALUES[2]])


def test_another_key_of_the_profile_is_kept(datastore):
    put(datastore, VALUES)
    datastore.put(PROFILE + "/note", "x")
    run(datastore, Absent(WEB.ref))
    assert tree(datastore) == {PROFILE + "/note": "x"}


@pytest.mark.parametrize(
    "values, written",
    [
        (["[]", "{}", None], [("update", 0), ("update", 1), ("create", 2)]),
        ([None, None, VALUES[2]], [("create", 0), ("create", 1)]),
        (["[", VALUES[1], VALUES[2]], [("update", 0)]),
        # Felix and calicoctl read such a profile.
        ([VALUES[0], None, VALUES[2]], [("create", 1)]),
    ],
)
def test_a_profile_that_is_not_whole_is_completed(datastore, wire, values, written):
    put(datastore, values)
    outcome = run(wire, Present(WEB))
    assert datastore.written(wire) == [(operation, KEYS[part]) for operation, part in written]
    assert tree(datastore) == whole(VALUES) and len(outcome.done) == 1


def test_missing_labels_are_no_difference(datastore, wire):
    put(datastore, ["[]", None, OTHER_VALUES[2]])
    assert len(run(wire, Present(OTHER)).unchanged) == 1 and datastore.written(wire) == []


# Failures and other clients at each key

STEPS = [(before, after, part) for before, after in ((None, WEB), (OTHER, WEB), (WEB, None)) for part in range(3)]
each_step = pytest.mark.parametrize("before, after, part", STEPS)


def values_of(profile):
    return [None] * 3 if profile is None else VALUES if profile is WEB else OTHER_VALUES


def want(after):
    return Present(after) if after else Absent(WEB.ref)


def written_before(after, part):
    """The parts that are written before this one."""
    order = PARTS if after else PARTS[::-1]
    return order[: order.index(PARTS[part])]


def mixed(before, after, parts):
    pairs = zip(PARTS, values_of(before), values_of(after))
    return whole([new if name in parts else old for name, old, new in pairs])


@each_step
def test_a_refused_key_is_reported_undone_and_completed(datastore, wire, before, after, part):
    put(datastore, values_of(before))
    done = written_before(after, part)
    wire.answer(401, NOT_ALLOWED, method=datastore.writing(key=KEYS[part]))
    change, error = write(wire, want(after))
    assert not isinstance(error, Conflict) and "no right to" in str(error)
    assert ("run the task again" in str(error)) == bool(done)
    if done:
        assert "{0} of the profile is written".format(" and ".join(done)) in str(error)
    assert tree(datastore) == mixed(before, after, done)
    if done:
        # What was written is undone like a whole change.
        store = open_store(datastore)
        ((_change, failed),) = store.write([build_undo(change, store.get(WEB.ref), V1)])
        assert failed is None and tree(datastore) == whole(values_of(before))
    # The next run completes it.
    wire.heal()
    assert run(wire, want(after)).failed == []
    assert tree(datastore) == whole(values_of(after))


@each_step
def test_another_client_at_each_key(datastore, wire, before, after, part):
    """The same run reads again what the other client wrote, and completes the profile."""
    put(datastore, values_of(before))
    wire.before(datastore.writing(key=KEYS[part]), lambda: datastore.put(KEYS[part], "null"))
    outcome = run(wire, want(after))
    assert not outcome.failed and len(outcome.done) == 1
    assert tree(datastore) == whole(values_of(after))
    (change,) = outcome.done
    stored = open_store(datastore).get(WEB.ref)
    assert (stored.revision if stored else "") == change.revision


@each_step
def test_an_answer_is_lost_at_each_key(datastore, wire, before, after, part):
    put(datastore, values_of(before))
    wire.fault("cut_after_commit", method=datastore.writing(key=KEYS[part]))
    outcome = run(wire, want(after))
    assert not outcome.failed and len(outcome.done) == 1
    assert tree(datastore) == whole(values_of(after))


@each_step
def test_the_next_run_completes_what_was_cut_off(datastore, before, after, part):
    put(datastore, values_of(before))
    for name, value in zip(PARTS, values_of(after)):
        if name in written_before(after, part):
            datastore.delete(PROFILE + "/" + name) if value is None else datastore.put(PROFILE + "/" + name, value)
    assert run(datastore, want(after)).failed == []
    assert tree(datastore) == whole(values_of(after))


RETAGGED = dataclasses.replace(WEB, tags=("db",))


@pytest.mark.parametrize("part", [1, 2])
@pytest.mark.parametrize("value", ["null", None], ids=["changed", "deleted"])
def test_another_client_at_a_key_that_is_not_written(datastore, wire, part, value):
    """What the guard has judged is what is stored in the end, and the guard judges again what has changed."""
    put(datastore, VALUES)
    change = (lambda: datastore.put(KEYS[part], value)) if value else (lambda: datastore.delete(KEYS[part]))
    wire.before(datastore.writing(key=KEYS[0]), change)
    judged = []
    store = open_store(wire)
    outcome = apply(store, {store.key(WEB.ref): Present(RETAGGED)}, False, guard=keep_changes(judged))
    assert not outcome.failed and len(outcome.done) == 1
    assert tree(datastore) == whole(['["db"]', *VALUES[1:]])
    assert [each.before.content[part] for each in judged] == [VALUES[part], value]
    assert outcome.done[0].revision == open_store(datastore).get(WEB.ref).revision


def keep_changes(judged):
    def guard(_store, changes):
        judged.extend(changes)
        return GuardReport()

    return guard


def test_a_key_that_another_client_adds_to_a_profile_during_its_deletion(datastore, wire):
    put(datastore, [VALUES[0], None, VALUES[2]])
    wire.before(datastore.writing(key=KEYS[0]), lambda: datastore.put(KEYS[1], "{}"))
    outcome = run(wire, Absent(WEB.ref))
    assert not outcome.failed and len(outcome.done) == 1 and tree(datastore) == {}


def test_the_keys_that_are_not_written_cannot_be_read_again(datastore, wire):
    put(datastore, VALUES)
    wire.answer(401, NOT_ALLOWED, method=datastore.reading(PROFILE))
    _change, error = write(datastore, Present(RETAGGED), wire)
    assert "does not allow" in str(error) and not isinstance(error, Conflict)
    assert "tags of the profile is written, and another client may have changed the rest of it: run the" in str(error)
    assert tree(datastore) == whole(['["db"]', *VALUES[1:]])
    wire.heal()
    assert len(run(wire, Present(RETAGGED)).unchanged) == 1


def test_two_runs_at_once_end_with_one_profile(datastore, wire):
    wire.before(datastore.writing(key=KEYS[1]), lambda: run(datastore, Present(OTHER)))
    run(wire, Present(WEB))
    assert tree(datastore) == whole(VALUES)


def test_another_run_completes_what_this_one_began(datastore, wire):
    """This run has changed the profile, too."""
    wire.before(datastore.writing(key=KEYS[1]), lambda: run(datastore, Present(WEB)))
    outcome = run(wire, Present(WEB))
    assert tree(datastore) == whole(VALUES) and len(outcome.done) == 1
