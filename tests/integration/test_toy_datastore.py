# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new datastore is one file and a row: the modules work with it as with those that Calico has."""

from __future__ import annotations

import socket

import pytest

from tests.harness.module import run_module
from tests.harness.toy_datastore import toy_datastore

ENDPOINT = {"name": "n1-eth0", "node": "n1", "interface_name": "eth0", "expected_ips": ["192.0.2.1"]}
KEY = ("HostEndpoint", "n1-eth0")
OWNED = {"app.kubernetes.io/managed-by": "netsec"}


@pytest.fixture
def toy():
    with toy_datastore() as server:
        yield server


def run(module, check=False, **options):
    guard = {} if module == "calico_hostendpoint_info" else {"guard": "off"}
    return run_module(module, dict(guard, datastore_type="toy", toy_name="toy", **options), check, diff=True)


def one(check=False, **options):
    return run("calico_hostendpoint", check, **dict(ENDPOINT, **options))


def many(endpoints, check=False, **options):
    return run("calico_hostendpoints", check, endpoints=endpoints, **options)


def in_turn(*actions):
    """A function that takes the next of the actions each time it is called."""
    left = list(actions)

    def act():
        if left:
            left.pop(0)()

    return act


def test_the_second_time_nothing_changes(toy):
    first = one(labels={"a": "1"})
    assert (first["changed"], first["operation"]) == (True, "create"), first
    before = dict(toy.objects)
    again = one(labels={"a": "1"}, expected_ips=["::ffff:192.0.2.1"])
    assert (again["changed"], again["operation"]) == (False, "none") and toy.objects == before
    found = run("calico_hostendpoint_info")["hostendpoints"]
    assert [(each["name"], each["labels"], each["expected_ips"]) for each in found] == [
        ("n1-eth0", {"a": "1"}, ["192.0.2.1"])
    ]


def test_update_patch_and_delete(toy):
    one()
    assert one(profiles=["p"])["fields"] == ["profiles"]
    assert run("calico_hostendpoint", state="patched", name="n1-eth0", labels={"b": "2"})["fields"] == ["labels"]
    assert toy.fields(*KEY)["profiles"] == ["p"] and toy.fields(*KEY)["labels"] == {"b": "2"}
    assert run("calico_hostendpoint", state="absent", name="n1-eth0")["operation"] == "delete"
    assert toy.objects == {}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_changes_nothing_and_returns_what_would_be(toy, state):
    toy.put(*KEY, dict(ENDPOINT, interface_name="eth9"))
    before = {key: list(value) for key, value in toy.objects.items()}
    predicted = one(check=True, state=state)
    assert toy.objects == before and predicted["changed"]
    assert one(state=state) == predicted


def test_a_purge_deletes_what_is_owned(toy):
    toy.put("HostEndpoint", "n1-old", {"name": "n1-old", "node": "n1", "interface_name": "eth5", "labels": OWNED})
    toy.put("HostEndpoint", "n1-other", {"name": "n1-other", "node": "n1", "interface_name": "eth6"})
    toy.put("HostEndpoint", "n3-eth0", {"name": "n3-eth0", "node": "n3", "interface_name": "eth0", "labels": OWNED})
    purge = {"owner": "netsec", "purge": "owned", "purge_nodes": ["n1"]}
    refused = many([ENDPOINT], purge_limit=0, **purge)
    assert refused["failed"] and "would delete 1 host endpoint," in refused["msg"]
    result = many([ENDPOINT], **purge)
    assert result["summary"] == {"created": 1, "updated": 0, "deleted": 1, "unchanged": 0}, result
    assert sorted(name for _kind, name in toy.objects) == ["n1-eth0", "n1-other", "n3-eth0"]


def test_a_conflict_is_read_and_planned_again(toy):
    toy.put(*KEY, ENDPOINT)
    toy.before_write = in_turn(lambda: toy.put(*KEY, dict(ENDPOINT, labels={"theirs": "1"})))
    result = run("calico_hostendpoint", state="patched", name="n1-eth0", labels={"ours": "2"})
    assert result["changed"] and toy.fields(*KEY)["labels"] == {"ours": "2", "theirs": "1"}


def test_a_locked_datastore_is_not_written(toy):
    toy.is_locked = True
    result = one()
    assert result["failed"] and "nothing can be changed now: the toy is locked" in result["msg"] and not toy.objects


def silent_canary():
    """guard_facts of a host that answers until the first change."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, {"n1": {"reached_at": {"host": "127.0.0.1", "port": listener.getsockname()[1]}}}


def test_a_canary_is_undone_by_revision_although_the_server_sets_fields_of_its_own(toy):
    listener, facts = silent_canary()
    toy.put(*KEY, dict(ENDPOINT, labels={"before": "1"}))
    toy.before_write = listener.close
    result = many([ENDPOINT], canary=1, canary_wait=1, guard_facts=facts)
    assert result["failed"] and [each["name"] for each in result["taken_back"]] == ["n1-eth0"], result
    assert toy.fields(*KEY)["labels"] == {"before": "1"}


def test_a_canary_that_somebody_changed_meanwhile_is_not_undone(toy):
    listener, facts = silent_canary()
    toy.put(*KEY, dict(ENDPOINT, labels={"before": "1"}))
    toy.put("HostEndpoint", "n1-eth1", {"name": "n1-eth1", "node": "n1", "interface_name": "eth1"})
    theirs = dict(ENDPOINT, labels={"theirs": "1"})
    # The second write comes after our first one, which it replaces.
    toy.before_write = in_turn(listener.close, lambda: toy.put(*KEY, theirs))
    eth1 = {"name": "n1-eth1", "node": "n1", "interface_name": "eth1", "profiles": ["p"]}
    result = many([ENDPOINT, eth1], canary=1, canary_wait=1, guard_facts=facts)
    assert result["failed"] and [each["name"] for each in result["taken_back"]] == ["n1-eth1"], result
    assert "changed by another client" in result["failures"][0]["error"]
    assert toy.fields(*KEY)["labels"] == {"theirs": "1"}


def test_an_audit_and_the_guard_read_it(toy):
    toy.put(*KEY, dict(ENDPOINT, profiles=["nosuch"]))
    audit = run_module(
        "calico_hostendpoints_audit",
        {"datastore_type": "toy", "toy_name": "toy", "nodes": ["n1"], "endpoints": [ENDPOINT]},
    )
    assert [finding["class"] for finding in audit["findings"]] == ["changed"], audit
    refused = one(profiles=["missing"], guard="enforce")
    assert refused["failed"] and "profile missing is missing" in refused["msg"], refused
