# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, passwords and rights. etcd gives the same answer to a wrong password and to a missing right."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module, run_playbook
from tests.harness.wire import Wire

APPLY, INFO = "calico_hostendpoint", "calico_hostendpoint_info"
ETH0 = {"name": "eth0", "node": "myhost", "interface_name": "eth0"}
KEY = "/calico/v1/host/myhost/endpoint/eth0"
VALUE, NEW = '{"name":"eth0"}', '{"name":"eth0","labels":{"role":"new"}}'
LABEL = {"labels": {"role": "new"}}
READ, WRITE = "/calico/v1/*", "/calico/v1/host/*"
ROOT_PASSWORD = "root-pässword"


@pytest.fixture(scope="module")
def _users(_auth_etcd):
    # Each of them takes the server a while.
    _auth_etcd.add_user("full", "geheim", read=[READ], write=[WRITE])
    _auth_etcd.add_user("reader", "lesen", read=[READ])
    _auth_etcd.add_user("nobody", "nichts")
    # Whether Calico has locked its datastore stands elsewhere.
    _auth_etcd.add_user("narrow", "eng", read=[WRITE], write=[WRITE])


@pytest.fixture
def locked(_users, _auth_etcd):
    """The server, whatever is in it."""
    return _auth_etcd


@pytest.fixture
def store(_users, auth_etcd):
    """A server that asks for a user, with one endpoint."""
    auth_etcd.put("/calico/v1/Ready", "true")
    auth_etcd.put(KEY, VALUE)
    return auth_etcd


def user(name, password):
    return {"etcd_username": name, "etcd_password": password}


FULL, READER, NARROW = user("full", "geheim"), user("reader", "lesen"), user("narrow", "eng")


def task(module, server, *options, check=False, env=None):
    arguments = dict(ETH0 if module == APPLY else {}, etcd_endpoints=server.url, timeout=5)
    for some in options:
        arguments.update(some)
    return run_module(module, arguments, check=check, env=env)


def apply(server, *options, **how):
    return task(APPLY, server, *options, **how)


def info(server, *options, **how):
    return task(INFO, server, *options, **how)


def failure(result, *parts):
    """The message of a failed run, in which all the parts are: one line, and not a book."""
    assert result["failed"], result
    assert "changed" not in result or result["changed"] is False
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "\n" not in result["msg"] and len(result["msg"]) < 2000, result["msg"]
    return result["msg"]


def test_a_user_with_all_rights(store):
    assert apply(store, FULL, LABEL)["operation"] == "update"
    assert store.get(KEY) == NEW
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
def test_who_may_not_read(locked, module, options, name, password):
    result = task(module, locked, options, user(name, password))
    failure(
        result,
        "etcd refuses user %s to read %s" % (name, KEY if module == APPLY else "/calico/v1/host"),
        "the user or the password is wrong, or it has no right to read",
        READ,
        WRITE,
    )
    assert password not in json.dumps(result)


@pytest.mark.parametrize("module, options", TASKS)
def test_anonymous(locked, module, options):
    parts = ["without user and password", "to read /calico/v1/host", "etcd wants etcd_username and etcd_password"]
    failure(task(module, locked, options), *parts)


@pytest.mark.parametrize(
    "options, verb, operation",
    [(LABEL, "write", "update"), ({"name": "eth1"}, "write", "create"), ({"state": "absent"}, "delete", "delete")],
    ids=["update", "create", "delete"],
)
def test_a_reader_predicts_and_may_not_write(store, options, verb, operation):
    predicted = apply(store, READER, options, check=True)
    assert (predicted["operation"], predicted["changed"]) == (operation, True)
    key = KEY.replace("eth0", options.get("name", "eth0"))
    failure(
        apply(store, READER, options),
        "etcd refuses user reader to %s %s" % (verb, key),
        "it has no right to %s there" % verb,
        "read and write " + WRITE,
    )
    assert store.get(KEY) == VALUE
    done = apply(store, FULL, options)
    for part in ("operation", "fields", "hostendpoint"):
        assert done[part] == predicted[part]


def test_a_reader_reads(store):
    result = info(store, READER)
    assert [each["name"] for each in result["hostendpoints"]] == ["eth0"]
    assert result["warnings"] == []
    assert apply(store, READER)["changed"] is False
    assert apply(store, READER, {"state": "absent", "name": "eth1"})["changed"] is False


def test_the_right_to_read_the_hosts_alone(store):
    failure(apply(store, NARROW, LABEL), "user narrow", "/calico/v1/Ready", "no right to read there", READ)
    assert store.get(KEY) == VALUE


@pytest.fixture
def open_to_readers(store):
    """Anonymous clients may read."""
    store.disable_auth()
    store.enable_auth(ROOT_PASSWORD, guest_read=True)
    yield store
    store.disable_auth()
    store.enable_auth(ROOT_PASSWORD)


def test_anonymous_readers(open_to_readers):
    assert len(info(open_to_readers)["hostendpoints"]) == 1
    assert apply(open_to_readers, LABEL, check=True)["operation"] == "update"
    failure(apply(open_to_readers, LABEL), "without user and password", "to write " + KEY, "etcd_username")
    assert open_to_readers.get(KEY) == VALUE


def test_a_wrong_password_where_anonymous_clients_may_read(open_to_readers):
    failure(info(open_to_readers, user("full", "mistaken")), "user full", "the user or the password is wrong")


# Passwords


@pytest.mark.parametrize("password", ["пароль€", "a:b ö%&=+"])
def test_odd_passwords(store, password):
    store.add_user("unié", password, read=[READ], write=[WRITE])
    assert apply(store, user("unié", password), LABEL)["operation"] == "update"
    assert store.get(KEY) == NEW


def test_a_user_without_a_password(locked):
    """python-etcd would drop the user without a word, and ask as nobody."""
    with Wire(locked) as wire:
        failure(apply(wire, {"etcd_username": "full"}), "etcd_username (option)", "without etcd_password")
        failure(info(wire, env={"ETCD_USERNAME": "full"}), "etcd_username (environment)", "without etcd_password")
        failure(apply(wire, {"etcd_password": "geheim"}), "etcd_password (option)", "without etcd_username")
    assert wire.requests == []


def sources(tmp_path, endpoints):
    """The same user and password as options, in calicoctl's file, and in the environment: (options, environment)."""
    path = tmp_path / "calicoctl.cfg"
    spec = {"etcdEndpoints": endpoints, "etcdUsername": "full", "etcdPassword": "geheim"}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "calicoApiConfig", "spec": spec}))
    return [
        ({"etcd_username": "full", "etcd_password": "geheim"}, {}),
        ({"calicoctl_config": str(path)}, {}),
        ({}, {"ETCD_USERNAME": "full", "ETCD_PASSWORD": "geheim"}),
        ({}, {"CALICO_ETCD_USERNAME": "full", "CALICO_ETCD_PASSWORD": "geheim"}),
    ]


def test_a_password_never_shows_up_in_a_result(store, tmp_path):
    """Neither in messages, nor where the same text happens to stand in the data."""
    store.put(KEY, '{"name":"eth0","labels":{"role":"geheim"}}')
    for options, env in sources(tmp_path, store.url):
        result = info(store, options, env=env)
        assert result["hostendpoints"][0]["name"] == "eth0"
        assert "geheim" not in json.dumps(result)
    store.put(KEY, '{"name":"eth0","labels":["geheim"]}')
    for options, env in sources(tmp_path, store.url):
        result = apply(store, options, {"state": "patched"}, env=env)
        failure(result, "labels is not a mapping")
        assert "geheim" not in json.dumps(result)


PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "ignore_errors": True,
        "module_defaults": {"group/netsec.calico.calico": {"etcd_endpoints": "{{ url }}", "timeout": 5}},
        "tasks": [
            {"name": "apply", "netsec.calico.calico_hostendpoint": dict(ETH0, labels={"role": "geheim"})},
            {"name": "info", "netsec.calico.calico_hostendpoint_info": {}},
            {"name": "wrong", "netsec.calico.calico_hostendpoint_info": {"etcd_password": "mistaken"}},
        ],
    }
]


def test_a_password_never_shows_up_in_a_playbooks_output(store, tmp_path):
    options, _env = sources(tmp_path, store.url)[1]
    arguments = ["-vvv", "--diff", "-e", json.dumps({"url": store.url})]
    env = {"CALICOCTL_CONFIG": options["calicoctl_config"]}
    run = run_playbook(PLAYBOOK, extra_args=arguments, env=env)
    assert run.result("apply")["operation"] == "update", run
    assert run.result("info")["hostendpoints"][0]["name"] == "eth0"
    failure(dict(run.result("wrong"), failed=True), "user full", "the user or the password is wrong")
    assert store.get(KEY) == '{"name":"eth0","labels":{"role":"geheim"}}'
    assert "user full" in run.stdout
    for text in (run.stdout, run.stderr, json.dumps(run.results)):
        assert "geheim" not in text and "mistaken" not in text
