# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""calico_resources on a datastore of an older Calico: written is what that version would have written."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._apply.writes import take_back
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings, open_datastore
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import GuardReport
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, Present
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref
from tests.integration.sets import OWNER_LABEL
from tests.integration.tasks import connection, failure
from tests.integration.test_resource_info import PLURALS, ROOT, on_etcdv3
from tests.integration.test_resources import changes, manifest, policy, read, resources

TIER_LABEL, METADATA = "projectcalico.org/tier", "projectcalico.org/metadata"
MINE = {"owner": "me"}
PURGE = {**MINE, "purge": "owned", "purge_kinds": ["GlobalNetworkPolicy"]}
older = pytest.mark.parametrize("version", ["v3.27.5", "v3.31.7"])
PREFIX = ROOT + "globalnetworkpolicies/"
LABELS = {OWNER_LABEL: "me"}
on_v1 = pytest.mark.parametrize("datastore_type", ["kubernetes-v1"])


def set_version(datastore, version):
    state = json.loads(datastore.ready)
    state["spec"]["calicoVersion"] = version
    datastore.put(datastore.state_key, json.dumps(state))


def stored(datastore, kind="GlobalNetworkPolicy"):
    """{name in the key: object}"""
    found = datastore.stored(ROOT + PLURALS[kind] + "/")
    return {key.rpartition("/")[2]: json.loads(text) for key, text in found.items()}


@on_etcdv3
@older
def test_a_policy_has_the_name_of_the_version_and_exists_once(datastore, version):
    set_version(datastore, version)
    predicted = resources(datastore, [policy("p1")], check=True, **MINE)
    made = resources(datastore, [policy("p1")], **MINE)
    assert changes(made) == changes(predicted) == [("create", "GlobalNetworkPolicy", "p1")]
    assert made["datastore"] == {"calico_version": version}
    ((name, found),) = stored(datastore).items()
    assert name == found["metadata"]["name"] == "default.p1"
    assert TIER_LABEL not in found["metadata"]["labels"] and "tier" not in found["spec"]
    assert found["metadata"].get("annotations") == (None if version == "v3.27.5" else {METADATA: '{"name":"p1"}'})
    assert not resources(datastore, [policy("p1")], **MINE)["changed"]
    assert set(read(datastore, "GlobalNetworkPolicy")) == {"p1"}
    # In place.
    result = resources(datastore, [policy("p1", order=5)], **PURGE)
    assert changes(result) == [("update", "GlobalNetworkPolicy", "p1")]
    ((name, changed),) = stored(datastore).items()
    assert (name, changed["metadata"]["uid"]) == ("default.p1", found["metadata"]["uid"])
    assert changed["spec"]["order"] == 5 and changed["metadata"]["name"] == "default.p1"
    # After an upgrade, the policy is the same.
    set_version(datastore, "v3.32.1")
    assert not resources(datastore, [policy("p1", order=5)], **PURGE)["changed"]
    set_version(datastore, version)
    assert changes(resources(datastore, [policy("p2")], **PURGE)) == [
        ("create", "GlobalNetworkPolicy", "p2"),
        ("delete", "GlobalNetworkPolicy", "p1"),
    ]
    assert changes(resources(datastore, [policy("p2")], state="absent")) == [("delete", "GlobalNetworkPolicy", "p2")]
    assert stored(datastore) == {}


@on_etcdv3
@older
def test_a_policy_that_v3_32_stored_is_not_created_again(datastore, version):
    resources(datastore, [policy("p1")])
    assert set(stored(datastore)) == {"p1"}
    set_version(datastore, version)
    assert not resources(datastore, [policy("p1")])["changed"]
    assert changes(resources(datastore, [policy("p1", order=5)])) == [("update", "GlobalNetworkPolicy", "p1")]
    ((name, found),) = stored(datastore).items()
    assert name == found["metadata"]["name"] == "p1" and found["spec"]["order"] == 5
    assert not resources(datastore, [policy("p1", order=5)])["changed"]
    assert changes(resources(datastore, [policy("p1")], state="absent")) == [("delete", "GlobalNetworkPolicy", "p1")]
    assert stored(datastore) == {}


@on_etcdv3
def test_other_kinds_have_the_form_of_the_version(datastore):
    set_version(datastore, "v3.31.7")
    given = [
        manifest("Tier", "sec", {"order": 10}),
        policy("sec.p1", tier="sec"),
        manifest("StagedGlobalNetworkPolicy", "tried", {"selector": "all()"}),
    ]
    assert resources(datastore, given)["summary"]["created"] == 3
    assert not resources(datastore, given)["changed"]
    assert "status" not in stored(datastore, "Tier")["sec"]
    found = stored(datastore)["sec.p1"]
    assert found["metadata"]["labels"] == {TIER_LABEL: "sec"} and found["spec"]["tier"] == "sec"
    assert "stagedAction" not in stored(datastore, "StagedGlobalNetworkPolicy")["default.tried"]["spec"]
    assert resources(datastore, given, state="absent")["summary"]["deleted"] == 3


@on_etcdv3
def test_the_option_overrides_the_version_of_the_datastore(datastore):
    set_version(datastore, "v3.27.5")
    newest = resources(datastore, [policy("p1")], calico_version="v3.32.1")
    assert "datastore" not in newest and set(stored(datastore)) == {"p1"}
    set_version(datastore, "v3.32.1")
    given = resources(datastore, [policy("p2")], calico_version="3.31.7")
    assert given["datastore"] == {"calico_version": "v3.31.7"}
    assert stored(datastore)["default.p2"]["metadata"]["annotations"] == {METADATA: '{"name":"p2"}'}
    # Without a version, and with one that is unknown or later, the form is the newest.
    for number, version in enumerate(("", "test-build", "v3.40.1")):
        set_version(datastore, version)
        assert "datastore" not in resources(datastore, [policy("new%d" % number)])
        assert "new%d" % number in stored(datastore)


@on_etcdv3
@pytest.mark.parametrize(
    "version, given, message",
    [
        ("v3.27.5", [manifest("Tier", "sec")], "kind: Tier requires Calico v3.29 or later, and .* Calico v3.27.5"),
        ("v3.28.1", [policy("a.b")], "metadata.name: a name with a dot requires Calico v3.29 or later"),
        ("v3.31.7", [policy("p1", tier="sec")], "a policy in tier sec must be named sec.NAME"),
        ("v3.31.7", [policy("p1"), policy("default.p1")], "policy default.p1 is given twice"),
    ],
)
def test_what_the_version_cannot_have_is_rejected(datastore, version, given, message):
    set_version(datastore, version)
    result = resources(datastore, [policy("fine"), *given])
    assert result["failed"] and re.search(message, result["msg"]), result["msg"]
    assert stored(datastore) == {}


@on_etcdv3
def test_an_invalid_version_is_rejected(datastore):
    failure(resources(datastore, [policy("p1")], calico_version="v3.27"), "calico_version: 'v3.27' is not a version")
    assert stored(datastore) == {}


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
def test_calico_v1_has_no_such_versions(datastore):
    failure(resources(datastore, [], calico_version="v3.27.5"), "calico_version has no effect on this datastore_type")


@on_etcdv3
@pytest.mark.parametrize("version", ["v3.27.5", "v3.31.7", "v3.32.1"])
def test_the_guard_checks_the_values_that_are_written(datastore, version):
    set_version(datastore, version)
    checked = {}

    def guard(store, changed):
        for change in changed:
            checked.update(store.build_policy_values(change))
        return GuardReport()

    store = open_datastore(build_settings(dict(connection(datastore), timeout=10), {}))
    store.follow_version(None)
    want = Present(V3.schemas["GlobalNetworkPolicy"].parse_manifest(policy("p1")))
    assert not apply(store, {store.key(want.ref): want}, False, guard=guard).failed
    own = r'"(uid|creationTimestamp)":"[^"]*"'
    (key, value), ((other_key, written),) = *checked.items(), datastore.stored(ROOT + "globalnetworkpolicies/").items()
    assert (key, re.sub(own, "", value)) == (other_key, re.sub(own, "", written))


def store_old(datastore, kind="GlobalNetworkPolicy", name="p"):
    """A policy as v3.29.4 to v3.31 writes it."""
    set_version(datastore, "v3.31.7")
    assert resources(datastore, [manifest(kind, name, {"order": 1})])["changed"]
    set_version(datastore, "v3.32.1")
    assert {METADATA: '{"name":"p"}'} == stored(datastore, kind)["default." + name]["metadata"]["annotations"]


@on_etcdv3
def test_a_policy_of_an_older_calico_does_not_move_to_another_tier_in_place(datastore):
    store_old(datastore)
    before = stored(datastore)
    moved = [manifest("Tier", "sec"), policy("p", tier="sec")]
    for check in (True, False):
        refused = failure(resources(datastore, moved, check=check), "policy p is stored as default.p")
        assert "delete it first (state absent)" in refused and stored(datastore) == before
    assert resources(datastore, [policy("p")], state="absent")["changed"]
    assert resources(datastore, moved)["summary"]["created"] == 2
    assert not resources(datastore, moved)["changed"] and set(stored(datastore)) == {"p"}


@on_etcdv3
@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("version", ["v3.31.7", "v3.32.1"])
def test_a_policy_that_is_stored_under_both_names(datastore, state, version):
    """As calicoctl v3.32.1 leaves it: its apply creates p beside default.p."""
    store_old(datastore)
    resources(datastore, [policy("other")])
    copy = {**stored(datastore)["other"], "metadata": {**stored(datastore)["other"]["metadata"], "name": "p"}}
    copy["metadata"]["annotations"] = {METADATA: '{"name":"p"}'}
    datastore.put(ROOT + "globalnetworkpolicies/p", json.dumps(copy))
    set_version(datastore, version)
    kept, stale = ("p", "default.p") if version == "v3.32.1" else ("default.p", "p")
    if state == "present":
        refused = resources(datastore, [policy("p", order=7)], overwrite=False)
        failure(refused, "policy p is stored again as %s, and overwrite is false" % stale)
    options = {"state": state, **({**PURGE, "purge_limit": 1} if state == "present" else {})}
    predicted = resources(datastore, [policy("p", order=7)], check=True, **options)
    result = resources(datastore, [policy("p", order=7)], **options)
    first = ("update" if state == "present" else "delete", "GlobalNetworkPolicy", "p")
    assert sorted(changes(result)) == sorted([first, ("delete", "GlobalNetworkPolicy", stale)])
    assert changes(predicted) == changes(result)
    assert set(stored(datastore)) == ({"other", kept} if state == "present" else {"other"})
    again = resources(datastore, [policy("p", order=7)], **options)
    assert not again["changed"], again


def store_twice(datastore, **metadata):
    """A policy under both names, and its keys: that which is kept, and the other."""
    set_version(datastore, "v3.31.7")
    resources(datastore, [policy("p", order=1)])
    prefix = "globalnetworkpolicies.%s/" % datastore.group if datastore.type == "kubernetes" else PREFIX
    ((stale, text),) = datastore.stored(prefix).items()
    set_version(datastore, "v3.32.1")
    copy = json.loads(text.replace('"default.p"', '"p"'))
    copy["metadata"].update(metadata)
    datastore.put(prefix + "p", json.dumps(copy))
    assert stale == prefix + "default.p"
    return prefix + "p", stale


on_both = pytest.mark.parametrize("datastore_type", ["etcdv3", "kubernetes-v1"])


@on_both
def test_the_last_copy_of_a_policy_is_kept_when_another_client_deletes_that_which_is_updated(datastore, wire):
    key, stale = store_twice(datastore)
    wire.before(datastore.writing(key=key), lambda: datastore.delete(key))
    result = resources(wire, [policy("p", order=7)])
    assert changes(result) == [("update", "GlobalNetworkPolicy", "p")]
    assert list(datastore.stored(stale.rpartition("/")[0])) == [stale]
    assert json.loads(datastore.get(stale))["spec"]["order"] == 7
    assert not resources(datastore, [policy("p", order=7)])["changed"]


@on_both
def test_the_last_copy_of_a_policy_is_kept_when_another_client_deletes_that_which_matches(datastore, wire):
    key, stale = store_twice(datastore)
    if datastore.type == "kubernetes":
        # Without transactions: before it is read again.
        wire.before(datastore.reading(key), lambda: datastore.delete(key), nth=2)
    else:
        wire.before(datastore.writing(key=stale), lambda: datastore.delete(key))
    result = resources(wire, [policy("p", order=1)])
    failure(
        result, "delete of global network policy default.p failed: it is kept, because global network policy p, which"
    )
    assert stale in datastore.stored(stale) and not datastore.stored(key)
    again = resources(datastore, [policy("p", order=2)])
    assert changes(again) == [("update", "GlobalNetworkPolicy", "p")]


@on_both
@pytest.mark.parametrize("meanwhile", [{"order": 3}, {"order": 1}])
def test_both_copies_of_a_policy_that_other_clients_change(datastore, wire, meanwhile):
    key, stale = store_twice(datastore)
    changed = json.loads(datastore.get(stale))
    changed["spec"].update(meanwhile)
    wire.before(datastore.writing(key=stale), lambda: datastore.put(stale, json.dumps(changed)))
    result = resources(wire, [policy("p", order=1)])
    assert changes(result) == [("delete", "GlobalNetworkPolicy", "default.p")]
    assert list(datastore.stored(stale.rpartition("/")[0])) == [key]


@on_both
@pytest.mark.parametrize("theirs, mine, is_taken", [("you", "me", True), ("me", "me", False), ("you", None, False)])
def test_a_copy_of_another_owner_is_deleted_with_a_warning(datastore, theirs, mine, is_taken):
    key, stale = store_twice(datastore, labels={OWNER_LABEL: "me"})
    other = json.loads(datastore.get(stale))
    other["metadata"]["labels"] = {OWNER_LABEL: theirs}
    datastore.put(stale, json.dumps(other))
    given = [policy("p", order=1) if mine else dict(policy("p", order=1), metadata={"name": "p", "labels": LABELS})]
    message = (
        "global network policy default.p of owner 'you' is deleted, because owner 'me' declares it under its other"
    )
    for check in (True, False):
        result = resources(datastore, given, check=check, **({"owner": mine} if mine else {}))
        assert changes(result) == [("delete", "GlobalNetworkPolicy", "default.p")]
        assert [text[: len(message)] for text in result["warnings"]] == ([message] if is_taken else [])
    assert list(datastore.stored(stale.rpartition("/")[0])) == [key]


@on_etcdv3
def test_a_policy_and_another_that_needs_its_key(datastore):
    store_old(datastore)
    before = stored(datastore)
    both = [policy("p", order=1), policy("default.p", order=2)]
    refused = failure(resources(datastore, both), "global network policy default.p cannot be created")
    assert "delete global network policy p first (state absent)" in refused and stored(datastore) == before
    assert resources(datastore, [policy("p")], state="absent")["changed"]
    assert resources(datastore, both)["summary"]["created"] == 2 and not resources(datastore, both)["changed"]
    assert {name: each["spec"]["order"] for name, each in stored(datastore).items()} == {"p": 1, "default.p": 2}
    assert resources(datastore, both, state="absent")["summary"]["deleted"] == 2


@on_etcdv3
@pytest.mark.parametrize("version", ["v3.31.7", "v3.32.1"])
def test_a_policy_that_another_client_stores_under_its_other_name_at_the_same_time(datastore, wire, version):
    set_version(datastore, "v3.31.7" if version == "v3.32.1" else "v3.32.1")
    resources(datastore, [policy("p")])
    ((theirs, value),) = datastore.stored(ROOT + "globalnetworkpolicies/").items()
    resources(datastore, [policy("p")], state="absent")
    set_version(datastore, version)
    ours = {"v3.31.7": "default.p", "v3.32.1": "p"}[version]
    key = ROOT + "globalnetworkpolicies/" + ours
    wire.before(datastore.writing(key=key), lambda: datastore.put(theirs, value))
    result = resources(wire, [policy("p", order=5), policy("q")])
    assert sorted(changes(result)) == [("create", "GlobalNetworkPolicy", "q"), ("update", "GlobalNetworkPolicy", "p")]
    found = stored(datastore)
    assert ours not in found and len(found) == 2 and found[theirs.rpartition("/")[2]]["spec"]["order"] == 5


@on_etcdv3
def test_many_policies_whose_names_look_like_other_names(datastore):
    """More than one transaction, in which the conditions of new policies name other new policies."""
    given = [policy(prefix + "p%03d" % number) for prefix in ("", "default.") for number in range(100)]
    assert resources(datastore, given)["summary"]["created"] == 200
    assert not resources(datastore, given)["changed"]
    assert resources(datastore, given, state="absent")["summary"]["deleted"] == 200


@on_etcdv3
def test_a_deletion_that_is_undone_restores_the_key(datastore):
    store_old(datastore)
    before = datastore.stored(ROOT + "globalnetworkpolicies/")
    store = open_datastore(build_settings(dict(connection(datastore), timeout=10), {}))
    want = Absent(Ref("GlobalNetworkPolicy", "p"))
    outcome = apply(store, {store.key(want.ref): want}, False)
    assert outcome.done and stored(datastore) == {}
    take_back(store, outcome)
    assert datastore.stored(ROOT + "globalnetworkpolicies/") == before


@on_etcdv3
@pytest.mark.parametrize("version", ["v3.27.5", "v3.31.7", "v3.32.1"])
def test_fields_are_those_that_the_user_declares(datastore, version):
    set_version(datastore, version)
    given = [policy("p"), manifest("FelixConfiguration", "default", {"reportingInterval": "0s"})]
    made = resources(datastore, given)
    assert [each["fields"] for each in made["changes"]] == [
        ["spec.reportingInterval"],
        ["spec.order", "spec.selector", "spec.ingress"],
    ]
    assert "labels" not in resources(datastore, given, state="absent")["changes"][0]["fields"]


@on_v1
@older
def test_on_kubernetes_the_object_has_the_name_of_the_version(datastore, version):
    set_version(datastore, version)
    made = resources(datastore, [policy("p1")])
    assert changes(made) == [("create", "GlobalNetworkPolicy", "p1")]
    assert made["datastore"]["calico_version"] == version
    plural = "globalnetworkpolicies.%s" % datastore.group
    ((key, text),) = datastore.stored(plural).items()
    assert key.rpartition("/")[2] == "default.p1"
    found = json.loads(text)
    assert found["metadata"]["annotations"] == {METADATA: '{"name":"p1"}'}
    for later in (version, "v3.32.1"):
        set_version(datastore, later)
        assert not resources(datastore, [policy("p1")])["changed"]
        assert set(read(datastore, "GlobalNetworkPolicy")) == {"p1"}
    set_version(datastore, version)
    assert changes(resources(datastore, [policy("p1", order=5)])) == [("update", "GlobalNetworkPolicy", "p1")]
    assert changes(resources(datastore, [policy("p1")], state="absent")) == [("delete", "GlobalNetworkPolicy", "p1")]
    assert datastore.stored(plural) == {}


@on_v1
def test_on_kubernetes_the_second_object_of_a_policy_is_deleted(datastore):
    for state in ("present", "absent"):
        set_version(datastore, "v3.31.7")
        resources(datastore, [policy("p")])
        plural = "globalnetworkpolicies.%s" % datastore.group
        ((key, text),) = datastore.stored(plural).items()
        datastore.put(key.replace("default.p", "p"), text.replace('"default.p"', '"p"'))
        assert len(datastore.stored(plural)) == 2
        set_version(datastore, "v3.32.1")
        result = resources(datastore, [policy("p")], state=state)
        deleted = [("delete", "GlobalNetworkPolicy", "default.p")]
        deleted += [("delete", "GlobalNetworkPolicy", "p")] if state == "absent" else []
        assert sorted(changes(result)) == deleted
        assert len(datastore.stored(plural)) == 2 - len(deleted)
        assert not resources(datastore, [policy("p")], state=state)["changed"]
        resources(datastore, [policy("p")], state="absent")
