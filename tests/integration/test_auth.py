# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, passwords and rights. etcd v2 gives the same answer to a wrong password and to a missing right."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tests.harness.module import run_module, run_playbook
from tests.harness.pace import HANG, PATIENT
from tests.harness.process import wait_for
from tests.harness.wire import Wire
from tests.integration.tasks import NAMED, connection, failure, one_etcd, only_etcdv2, only_etcdv3

APPLY, INFO = "calico_hostendpoint", "calico_hostendpoint_info"
ETH0 = dict(NAMED, interface_name="eth0")
LABEL = {"labels": {"role": "new"}}
NEW = dict(ETH0, **LABEL)
ROOT_PASSWORD = "root-pässword"


def user(name, password):
    return {"etcd_username": name, "etcd_password": password}


FULL, READER, NARROW = user("full", "geheim"), user("reader", "lesen"), user("narrow", "eng")
USERS = {}


@pytest.fixture
def store(auth_datastore):
    """A datastore that asks for a user, with one endpoint."""
    # Each of them takes the server a while.
    if USERS.get(auth_datastore.type) != auth_datastore.server.pid:
        everything, hostendpoints = [auth_datastore.everything], [auth_datastore.hostendpoints]
        auth_datastore.add_user("full", "geheim", everything, hostendpoints)
        auth_datastore.add_user("reader", "lesen", everything)
        auth_datastore.add_user("nobody", "nichts")
        # Whether Calico has locked its datastore stands elsewhere.
        auth_datastore.add_user("narrow", "eng", hostendpoints, hostendpoints)
        USERS[auth_datastore.type] = auth_datastore.server.pid
    auth_datastore.put_endpoint(ETH0)
    return auth_datastore


def task(module, server, *options, check=False, env=None):
    arguments = dict(ETH0 if module == APPLY else {}, timeout=PATIENT)
    for some in (connection(server), *options):
        arguments.update(some)
    return run_module(module, arguments, check=check, env=env)


def apply(server, *options, **how):
    return task(APPLY, server, *options, **how)


def info(server, *options, **how):
    return task(INFO, server, *options, **how)


def test_a_user_with_all_rights(store):
    assert apply(store, FULL, LABEL)["operation"] == "update"
    assert store.stored() == store.tree_of([NEW])
    assert apply(store, FULL, {"state": "absent"})["operation"] == "delete"
    assert apply(store, FULL)["operation"] == "create"


TASKS = [
    pytest.param(APPLY, {}, id="present"),
    pytest.param(APPLY, {"state": "absent"}, id="absent"),
    pytest.param(APPLY, {"state": "patched", **LABEL}, id="patched"),
    pytest.param(INFO, {}, id="info"),
]


@pytest.mark.parametrize("module, options", TASKS)
@pytest.mark.parametrize("name, password", [("full", "mistaken"), ("stranger", "geheim"), ("nobody", "nichts")])
def test_who_may_not_read(store, module, options, name, password):
    result = task(module, store, options, user(name, password))
    wrong, missing = "the user or the password is wrong", "it has no right to read this key"
    why = wrong + ", or " + missing
    if store.type == "etcdv3":
        why = missing if name == "nobody" else wrong
    failure(
        result,
        "etcd does not allow user %s to read %s"
        % (name, store.key(**NAMED) if module == APPLY else store.hostendpoints),
        why,
        "read %s/*" % store.everything,
        "read and write %s/*" % store.hostendpoints,
    )
    assert password not in json.dumps(result)


@pytest.mark.parametrize("module, options", TASKS)
def test_anonymous(store, module, options):
    parts = ["without user and password", "to read " + store.hostendpoints, "etcd requires etcd_username and etcd_pass"]
    if store.type == "etcdv2":
        parts[1] = "to read /calico/v1/host"
    failure(task(module, store, options), *parts)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options, verb, operation",
    [(LABEL, "write", "update"), ({"name": "n1-eth1"}, "write", "create"), ({"state": "absent"}, "delete", "delete")],
    ids=["update", "create", "delete"],
)
def test_a_reader_predicts_and_may_not_write(store, options, verb, operation):
    predicted = apply(store, READER, options, check=True)
    assert (predicted["operation"], predicted["changed"]) == (operation, True)
    failure(
        apply(store, READER, options),
        "etcd does not allow user reader to %s %s" % (verb, store.key("n1", options.get("name", "n1-eth0"))),
        "it has no right to %s this key" % verb,
        "read and write %s/*" % store.hostendpoints,
    )
    assert store.stored() == store.tree_of([ETH0])
    done = apply(store, FULL, options)
    for part in ("operation", "fields", "hostendpoint"):
        assert done[part] == predicted[part]


def test_a_reader_reads(store):
    result = info(store, READER)
    assert [each["name"] for each in result["hostendpoints"]] == ["n1-eth0"]
    assert result["warnings"] == []
    assert apply(store, READER)["changed"] is False
    assert apply(store, READER, {"state": "absent", "name": "n1-eth1"})["changed"] is False


def test_the_right_to_read_the_hosts_alone(store):
    needed = "read %s/*" % store.everything
    failure(apply(store, NARROW, LABEL), "user narrow", store.state_key, "no right to read this key", needed)
    assert store.stored() == store.tree_of([ETH0])


def test_a_set_of_which_nothing_may_be_written(store):
    endpoints = [dict(ETH0, name="n1-eth%d" % number) for number in range(1, 4)]
    result = run_module("calico_hostendpoints", dict(connection(store), endpoints=endpoints, **READER))
    assert result["failed"] and "user reader" in result["msg"] and "no right to write" in result["msg"]
    assert (result["changed"], result["changes"]) == (False, [])
    assert len(result["failures"]) + len(result["not_attempted"]) == 3
    assert store.stored() == store.tree_of([ETH0])


# What only etcd v2 has: anonymous clients with rights


@pytest.fixture
def open_to_readers(store):
    """Anonymous clients may read."""
    store.server.disable_auth()
    store.server.enable_auth(ROOT_PASSWORD, guest_read=True)
    yield store
    store.server.disable_auth()
    store.server.enable_auth(ROOT_PASSWORD)


@only_etcdv2
def test_anonymous_readers(open_to_readers):
    assert len(info(open_to_readers)["hostendpoints"]) == 1
    assert apply(open_to_readers, LABEL, check=True)["operation"] == "update"
    key = open_to_readers.key(**NAMED)
    failure(apply(open_to_readers, LABEL), "without user and password", "to write " + key, "etcd_username")
    assert open_to_readers.stored() == open_to_readers.tree_of([ETH0])


@only_etcdv2
def test_a_wrong_password_where_anonymous_clients_may_read(open_to_readers):
    failure(info(open_to_readers, user("full", "mistaken")), "user full", "the user or the password is wrong")


# What only etcd v3 has: tokens


def endpoints_of_transactions(number):
    """The last one of 44 endpoints."""
    names = ["e%d" % each for each in range(127 * (number - 1) + 44)]
    return [{"name": "n1-" + name, "node": "n1", "interface_name": name} for name in names]


@only_etcdv3
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("what", ["expires", "is older than a change of users"])
def test_a_token_that_is_no_longer_good_in_mid_run(store, what, nth):
    """A new one is got, and nothing is written twice: not the one that it befell, and not the other one under way."""
    endpoints = endpoints_of_transactions(3)
    before = store.revision()

    def spoil():
        if what == "expires":
            # Its time is three seconds.
            time.sleep(6)
        else:
            store.add_user("another", "one")

    with Wire(store) as wire:
        wire.before(store.writing(), spoil, nth=nth)
        result = task("calico_hostendpoints", wire, FULL, {"endpoints": endpoints})
    assert not result["failed"], result["msg"]
    assert result["summary"] == {"created": len(endpoints), "updated": 0, "deleted": 0, "unchanged": 0}
    assert store.revision() - before == 3
    assert store.stored() == store.tree_of([ETH0, *endpoints])


@only_etcdv3
def test_a_user_who_loses_a_right_in_mid_run(store):
    """What was written before is told. The other transaction that is under way then is not tried with a new token."""
    store.add_user("fickle", "geheim", [store.everything], [store.hostendpoints])
    endpoints = endpoints_of_transactions(5)
    is_revoked = threading.Event()

    def revoke():
        wait_for(lambda: len(store.stored()) > 2 * 127, HANG, "two transactions are made")
        store.add_user("fickle", "geheim", [store.everything])
        is_revoked.set()

    with Wire(store) as wire:
        wire.before(store.writing(), revoke, nth=3)
        wire.before(store.writing(), lambda: is_revoked.wait(PATIENT), nth=4)
        result = task("calico_hostendpoints", wire, user("fickle", "geheim"), {"endpoints": endpoints})
    assert result["failed"] and "user fickle" in result["msg"] and "no right to write" in result["msg"]
    names = [[each["name"] for each in result[part]] for part in ("changes", "failures", "not_attempted")]
    assert [len(part) for part in names] == [254, 127, 171]
    assert set(store.stored()) == {store.key("n1", name) for name in ["n1-eth0", *names[0]]}


@only_etcdv3
def test_users_are_given_and_etcd_wants_none(datastore):
    result = apply(datastore, FULL)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == datastore.tree_of([ETH0])


# Passwords


@pytest.mark.parametrize("password", ["пароль€", "a:b ö%&=+"])
def test_odd_passwords(store, password):
    store.add_user("unié", password, [store.everything], [store.hostendpoints])
    assert apply(store, user("unié", password), LABEL)["operation"] == "update"
    assert store.stored() == store.tree_of([NEW])


@one_etcd
def test_a_user_without_a_password(datastore, wire):
    """python-etcd would drop the user without a word, and ask as nobody."""
    failure(apply(wire, {"etcd_username": "full"}), "etcd_username (option)", "without etcd_password")
    failure(info(wire, env={"ETCD_USERNAME": "full"}), "etcd_username (environment)", "without etcd_password")
    failure(apply(wire, {"etcd_password": "geheim"}), "etcd_password (option)", "without etcd_username")
    assert wire.requests == []


def sources(tmp_path, server):
    """The same user and password as options, in calicoctl's file, and in the environment: (options, environment)."""
    path = tmp_path / "calicoctl.cfg"
    spec = {"etcdEndpoints": server.url, "etcdUsername": "full", "etcdPassword": "geheim"}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "calicoApiConfig", "spec": spec}))
    return [
        ({"etcd_username": "full", "etcd_password": "geheim"}, {}),
        ({"calicoctl_config": str(path)}, {}),
        ({}, {"ETCD_USERNAME": "full", "ETCD_PASSWORD": "geheim"}),
        ({}, {"CALICO_ETCD_USERNAME": "full", "CALICO_ETCD_PASSWORD": "geheim"}),
    ]


@one_etcd
def test_a_password_never_shows_up_in_a_result(store, tmp_path):
    """Neither in messages, nor where the same text happens to stand in the data."""
    key = store.key(**NAMED)
    store.put_endpoint(dict(ETH0, labels={"role": "geheim"}))
    for options, env in sources(tmp_path, store):
        result = info(store, options, env=env)
        assert result["hostendpoints"][0]["name"] == "n1-eth0"
        assert "geheim" not in json.dumps(result)
    store.put(key, store.get(key).replace('{"role":"geheim"}', '["geheim"]'))
    for options, env in sources(tmp_path, store):
        result = apply(store, options, {"state": "patched"}, env=env)
        failure(result, "labels is not a mapping")
        assert "geheim" not in json.dumps(result)


PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "ignore_errors": True,
        "module_defaults": {"group/netsec.calico.calico": "{{ connection }}"},
        "tasks": [
            {"name": "apply", "netsec.calico.calico_hostendpoint": dict(ETH0, labels={"role": "geheim"})},
            {"name": "info", "netsec.calico.calico_hostendpoint_info": {}},
            {"name": "wrong", "netsec.calico.calico_hostendpoint_info": {"etcd_password": "mistaken"}},
        ],
    }
]


@one_etcd
def test_a_password_never_shows_up_in_a_playbooks_output(store, tmp_path):
    options, _env = sources(tmp_path, store)[1]
    arguments = ["-vvv", "--diff", "-e", json.dumps({"connection": dict(connection(store), timeout=PATIENT)})]
    env = {"CALICOCTL_CONFIG": options["calicoctl_config"]}
    run = run_playbook(PLAYBOOK, extra_args=arguments, env=env)
    assert run.result("apply")["operation"] == "update", run
    assert run.result("info")["hostendpoints"][0]["name"] == "n1-eth0"
    failure(dict(run.result("wrong"), failed=True), "user full", "the user or the password is wrong")
    assert store.stored() == store.tree_of([dict(ETH0, labels={"role": "geheim"})])
    assert "user full" in run.stdout
    for text in (run.stdout, run.stderr, json.dumps(run.results)):
        assert "geheim" not in text and "mistaken" not in text
