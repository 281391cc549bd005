# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook gathered: what is stored becomes variables, and these, applied, change nothing."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.fleet import server
from tests.harness.module import run_module
from tests.integration.role import IMPORTED, OWNER, OWNER_LABEL, Fleet, done, fleet_of, interface, kubernetes_for
from tests.integration.sets import CALICO_LABEL, endpoint, hostendpoints, key_of
from tests.integration.tasks import connection, only_etcd, only_etcdv3

pytestmark = pytest.mark.thorough

PLAYBOOK = "netsec.calico.gathered"
ROLE = dict(IMPORTED["ansible.builtin.import_role"], tasks_from="gathered")
TASK = "Write the stored endpoints to an inventory"


# Whatever is stored: a property


def some(*values):
    return st.sampled_from(values)


NODES = ["n1", "n2", "n3"]
# What YAML might take for something else than a text.
TEXTS = some("yes", "no", "null", "y", "1", "1e3", "0x1f", "1.5", "2020-01-02", "0o7", "a", "", "Z.z_z-9", "1_000")
FIELDS = st.fixed_dictionaries(
    {"interface_name": some("eth0", "eth0", "bond0.1", "1e3", "0")},
    optional={
        "expected_ips": st.lists(some("10.0.0.1", "10.0.0.2", "::1", "2001:db8::2"), unique=True),
        "profiles": st.lists(some("p", "null", "on", "1e3", "a.b"), unique=True),
        "labels": st.dictionaries(some("a", "y", "site/x", "1", "null"), TEXTS, max_size=3),
    },
)
# What carries which owner's label; what Calico owns; and a value that nobody can read.
KINDS = some("", "", "", "me", "me", "other", "calico", "unreadable")
STORED = st.dictionaries(
    st.tuples(some(*NODES, "gone"), some("eth0", "eth1", "b")), st.tuples(FIELDS, KINDS), max_size=8
)


def broken(datastore, fields):
    return datastore.malformed(fields) if datastore.type == "kubernetes" else "{"


def owner_labels(kind):
    return {"": {}, "calico": {CALICO_LABEL: "x"}}.get(kind, {OWNER_LABEL: kind})


def test_applied_again_it_changes_nothing(datastore):
    from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import DATASTORES
    from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.gathered_inventory import Hosts, build_gathered

    api_version = DATASTORES[datastore.type].api_version
    seen = Counter()

    @settings(max_examples=80)
    @given(STORED)
    def changes_nothing(everything):
        datastore.reset()
        for (node, name), (fields, kind) in everything.items():
            stored = endpoint(node, name, **dict({"interface_name": "eth0"}, **fields))
            value = broken(datastore, stored) if kind == "unreadable" else datastore.value(stored, owner_labels(kind))
            datastore.put(datastore.key(node, stored["name"]), value)
        before, revision = datastore.stored(), datastore.revision()
        found = run_module("calico_hostendpoint_info", connection(datastore))
        hosts = Hosts({"host-" + node: node for node in NODES}, set())
        gathered = build_gathered(found["hostendpoints"], found["malformed"], hosts, api_version)
        inventory = yaml.safe_load(gathered.text("x.yml"))["all"]
        # What is no variable is named.
        kinds = Counter(
            "gone" if node == "gone" and kind != "unreadable" else kind
            for (node, _name), (_fields, kind) in everything.items()
            if kind != "calico"
        )
        kinds["calico"] = sum(kind == "calico" for _fields, kind in everything.values())
        assert gathered.foreign == kinds["calico"]
        assert len(gathered.left_out) == kinds["gone"] + kinds["unreadable"]
        assert gathered.endpoints == sum(kinds[kind] for kind in ("", "me", "other"))
        endpoints = [
            dict(each, node=variables["hostendpoints_node"])
            for variables in inventory["hosts"].values()
            for each in variables["hostendpoints_endpoints"]
        ]
        owner = inventory.get("vars", {}).get("hostendpoints_owner", OWNER)
        for purge in ("none", "all", *(["owned"] if owner else [])):
            options = {"purge_nodes": NODES} if purge != "none" else {}
            result = hostendpoints(datastore, endpoints=endpoints, owner=owner, purge=purge, **options)
            assert not result["failed"] and result["changed"] is False, (purge, result)
            assert result["summary"]["unchanged"] == gathered.endpoints
        assert (datastore.stored(), datastore.revision()) == (before, revision)
        seen.update(["owner %r" % owner] if gathered.endpoints else [], **kinds)

    changes_nothing()
    assert all(
        seen[kind] > 1 for kind in ("", "me", "other", "calico", "unreadable", "gone", "owner ''", "owner 'me'")
    ), seen


# The playbook


def facts(nodename):
    return server(nodename, interface("lo", "127.0.0.1/8", type="loopback"), interface("eth0", "192.0.2.1/24"))


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    hosts = {"web1": "web1", "web2": "web2.example.com", "db1": "DB1", "db2": "db2"}
    with fleet_of(tmp_path_factory, {host: facts(nodename) for host, nodename in hosts.items()}) as fleet:
        yield fleet


@pytest.fixture
def fleet(request, _fleet, datastore_type) -> Fleet:
    """Facts of web1, web2, db1 and db2, and an empty datastore."""
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    return _fleet


def put(fleet, *nodes, **fields):
    for node in nodes:
        fleet.datastore.put_endpoint(endpoint(node, **fields))


def gather(fleet, path, hosts, *args, **variables):
    extra = {"hostendpoints_gathered_dest": str(path), "hostendpoints_gather_facts": False}
    return fleet.playbook(PLAYBOOK, hosts, "-e", json.dumps(extra), *args, variables=variables)


def gathered(run):
    assert run.returncode == 0, run
    return run.result(TASK)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))["all"]


def apply(fleet, path, hosts, **variables):
    """With the file beside the inventory."""
    extra = dict({"hostendpoints_gather_facts": False}, **variables)
    return done(fleet.playbook("netsec.calico.apply", hosts, "--inventory=%s" % path, "-e", json.dumps(extra)))


def test_a_fleet_that_was_made_by_hand(fleet, tmp_path):
    path, hosts = tmp_path / "hostendpoints.yml", ["web1", "web2", "db2"]
    fields = {"labels": {"b": "yes", "a": "1"}, "expected_ips": ["192.0.2.9", "2001:db8::9"], "profiles": ["z", "a"]}
    put(fleet, "web1", "gone", **fields)
    put(fleet, "web1", "db2", name="b")
    put(fleet, "db2", name="calicos", labels={CALICO_LABEL: "x"})
    malformed = broken(fleet.datastore, endpoint("web1", "broken"))
    fleet.datastore.put(key_of(fleet.datastore, "web1", "broken"), malformed)
    before, revision = fleet.datastore.stored(), fleet.datastore.revision()

    check = gather(fleet, path, hosts, "--check", "--diff")
    assert gathered(check)["changed"] and not path.exists()
    assert "+      - name: web1-b" in check.stdout
    run = gather(fleet, path, hosts)
    result = gathered(run)
    assert [result[key] for key in ("changed", "hosts", "endpoints", "foreign", "owner")] == [True, 3, 3, 1, ""]
    nothing = {"hostendpoints_interfaces": [], "hostendpoints_endpoints": []}
    by_hand = {"name": "web1-eth0", "interface_name": "eth0", **fields}
    assert read(path) == {
        "vars": {"hostendpoints_owner": ""},
        "hosts": {
            "db2": dict(nothing, hostendpoints_endpoints=[{"name": "db2-b", "interface_name": "eth0"}]),
            "web1": dict(nothing, hostendpoints_endpoints=[{"name": "web1-b", "interface_name": "eth0"}, by_hand]),
            "web2": nothing,
        },
    }
    # What is not there is said by the run, and by the file itself.
    text = path.read_text(encoding="utf-8")
    assert result["left_out_count"] == 2
    for line in result["left_out"]:
        assert "# - %s\n" % line in text and line.split(":")[0] in run.stdout
    assert "host endpoint gone-eth0 on node gone: the node is not a host of the inventory" in result["left_out"]
    assert any("Calico cannot read it" in line and "broken" in line for line in result["left_out"])

    assert gathered(gather(fleet, path, hosts, "--inventory=%s" % path, "--diff"))["changed"] is False
    assert path.read_text(encoding="utf-8") == text and [*tmp_path.iterdir()] == [path]
    for purge in ("none", "all"):
        result = apply(fleet, path, hosts, hostendpoints_purge=purge)
        assert (result["changed"], result["summary"]["unchanged"]) == (False, 3)
    assert (fleet.datastore.stored(), fleet.datastore.revision()) == (before, revision)


def test_one_owner_of_all(fleet, tmp_path):
    path = tmp_path / "hostendpoints.yml"
    put(fleet, "web1", "db2", labels={OWNER_LABEL: "team", "a": "1"})
    result = gathered(gather(fleet, path, ["web1", "db2"]))
    assert result["owner"] == "team" and not result.get("warnings")
    assert read(path)["hosts"]["db2"]["hostendpoints_endpoints"][0]["labels"] == {"a": "1"}
    assert apply(fleet, path, ["web1", "db2"], hostendpoints_purge="owned")["changed"] is False
    # A host that comes later has the same owner, or the two could not be in one run.
    changes = apply(fleet, path, ["web1", "db2", "web2"])["changes"]
    assert [(each["operation"], each["node"]) for each in changes] == [("create", "web2.example.com")]


def test_an_owner_of_the_inventorys_own(fleet, tmp_path):
    put(fleet, "web1")
    run = gather(fleet, tmp_path / "x.yml", ["web1"], hostendpoints_owner="acme")
    assert (
        gathered(run)["owner"] == ""
        and "hostendpoints_owner is 'acme', but the file requires ''" in run.stdout + run.stderr
    )


def test_names_of_nodes(fleet, tmp_path):
    """The default, another one, one without facts, and one that nobody knows."""
    path, lower = tmp_path / "x.yml", fleet.datastore.model == "v3"
    hosts = {"db1": {}, "web1": {"hostendpoints_node": "{{ 'node-' + inventory_hostname }}"}}
    hosts.update(nofacts={"hostendpoints_node": "n9"}, nothing={})
    put(fleet, "db1" if lower else "DB1", "node-web1", "n9")
    result = gathered(gather(fleet, path, hosts))
    assert [line.split(":")[0] for line in result["left_out"]] == ["host nothing"]
    found = {
        host: (variables.get("hostendpoints_node"), [each["name"] for each in variables["hostendpoints_endpoints"]])
        for host, variables in read(path)["hosts"].items()
    }
    assert found == {
        "db1": (None, ["db1-eth0" if lower else "DB1-eth0"]),
        "nofacts": ("n9", ["n9-eth0"]),
        "web1": ("node-web1", ["node-web1-eth0"]),
    }
    # The file says all of a host that has no facts, which then are not needed.
    plain = {"db1": {}, "web1": {}}
    assert apply(fleet, path, plain, hostendpoints_purge="all")["summary"]["unchanged"] == 3


def test_a_node_that_may_be_a_host_by_another_name(fleet, tmp_path):
    put(fleet, "web2")
    result = gathered(gather(fleet, tmp_path / "x.yml", ["web2"]))
    assert result["left_out"] == [
        "host endpoint web2-eth0 on node web2: the node is not a host of the inventory; is it the hostendpoints_node "
        "of web2?"
    ]


def test_hosts_outside_the_run(fleet, tmp_path):
    put(fleet, "web1", "db2")
    result = gathered(gather(fleet, tmp_path / "x.yml", ["web1", "db2"], "--limit", "web1"))
    assert result["left_out"] == ["host endpoint db2-eth0 on node db2: the host db2 is not in this run"]
    assert list(read(tmp_path / "x.yml")["hosts"]) == ["web1"]


def test_what_the_role_would_refuse_is_named(fleet, tmp_path):
    """Calico reads it; a purge would take it for one endpoint too many."""
    put(fleet, "web1", interface_name="")
    result = gathered(gather(fleet, tmp_path / "x.yml", ["web1"]))
    assert "it is invalid as stored, and a purge of all would delete it" in result["left_out"][0]
    assert result["endpoints"] == 0 and read(tmp_path / "x.yml")["hosts"]["web1"]["hostendpoints_endpoints"] == []


def test_nothing_that_is_stored_ends_a_comment(fleet, tmp_path):
    evil = "a\n  hosts: {evil: {}}\u2028all: {}"
    if fleet.datastore.type == "etcdv2":
        fleet.datastore.put("/calico/v1/host/web1/endpoint/x", json.dumps({"name": evil, "labels": {evil: 5}}))
    else:
        # An API server takes no such name, but any node.
        name = "x" if fleet.datastore.type == "kubernetes" else evil + "-x"
        fleet.datastore.put_endpoint(dict(endpoint(evil), name=name))
    result = gathered(gather(fleet, tmp_path / "x.yml", ["web1"]))
    assert result["left_out_count"] == 1 and list(read(tmp_path / "x.yml")["hosts"]) == ["web1"]


@pytest.mark.parametrize(
    "dest, hosts, variables, message",
    [
        ("", {"web1": {}}, {}, "hostendpoints_gathered_dest is missing"),
        ("x.ini", {"web1": {}}, {}, "must end in .yml or .yaml"),
        ("/dev/null/x.yml", {"web1": {}}, {}, "hostendpoints_gathered_dest /dev/null/x.yml: Not a directory"),
        ("x.yml", {"web1": {}}, {"hostendpoints_etcd_endpoints": ["http://127.0.0.1:9"]}, "cannot reach etcd"),
        ("x.yml", {"web1": {}, "x": {"hostendpoints_node": "web1"}}, {}, "web1 and x are both node 'web1'"),
    ],
)
def test_what_cannot_be(_fleet, tmp_path, dest, hosts, variables, message):
    run = gather(_fleet, tmp_path / dest if dest.startswith("x") else dest, hosts, **variables)
    assert run.returncode != 0 and message in run.stdout, run
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_keeps_its_mode_and_a_link_leads_to_it(fleet, tmp_path):
    path, link, other = tmp_path / "x.yml", tmp_path / "link.yml", tmp_path / "other"
    path.write_text("old\n")
    path.chmod(0o604)
    link.symlink_to(path)
    # As somebody would put it into a folder that is open to all.
    other.write_text("mine")
    (tmp_path / "x.yml.part").symlink_to(other)
    before = sorted(tmp_path.iterdir())
    result = gathered(gather(fleet, link, ["web1"]))
    assert result["changed"] and result["dest"] == str(path) and list(read(path)["hosts"]) == ["web1"]
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o604
    assert other.read_text() == "mine" and sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("args", [(), ("--check",)], ids=["run", "check"])
def test_a_folder_that_does_not_exist(_fleet, tmp_path, args):
    run = gather(_fleet, tmp_path / "x" / "y.yml", ["web1"], *args)
    assert run.returncode != 0 and "the folder %s does not exist" % (tmp_path / "x") in run.stdout, run
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "kind, make, args",
    [("directory", os.mkdir, ["--check"]), ("FIFO", os.mkfifo, ["--check"]), ("FIFO", os.mkfifo, [])],
)
def test_what_is_no_file_is_not_replaced(_fleet, tmp_path, kind, make, args):
    path = tmp_path / "x.yml"
    make(str(path))
    run = gather(_fleet, path, ["web1"], *args)
    assert run.returncode != 0 and "dest %s: it is a %s, not a file" % (path, kind) in run.stdout, run
    assert list(tmp_path.iterdir()) == [path]


def test_batches_are_refused(_fleet):
    run = _fleet.run(
        ["web1", "db2"], "-e", "hostendpoints_gathered_dest=x.yml", tasks=[{"import_role": ROLE}], serial=1
    )
    assert run.returncode != 0 and "remove serial" in run.stdout


@only_etcd
def test_a_password_that_masks_what_is_stored(auth_datastore, tmp_path, _fleet):
    """What Ansible hides must not come back as a change."""
    auth_datastore.add_user("auditor", "eth", [auth_datastore.everything])
    auth_datastore.put_endpoint(endpoint("web1"))
    options = dict(connection(auth_datastore), etcd_username="auditor", etcd_password="eth")
    variables = {"hostendpoints_" + name: value for name, value in options.items()}
    run = gather(_fleet, tmp_path / "x.yml", ["web1"], **variables)
    assert run.returncode != 0 and "use a user with another password" in run.stdout, run
    assert not list(tmp_path.iterdir())
    variables["hostendpoints_etcd_username"], variables["hostendpoints_etcd_password"] = "reader", "lesen"
    auth_datastore.add_user("reader", "lesen", [auth_datastore.everything])
    assert gathered(gather(_fleet, tmp_path / "x.yml", ["web1"], **variables))["endpoints"] == 1


@only_etcdv3
def test_a_password_that_masks_a_stored_policy(auth_datastore, tmp_path, _fleet):
    auth_datastore.add_user("reader", "lesen", [auth_datastore.everything])
    network_set = {"metadata": {"name": "x", "labels": {"site": "lesen-1"}}, "spec": {"nets": []}}
    key = "/calico/resources/v3/projectcalico.org/globalnetworksets/x"
    auth_datastore.put(key, json.dumps(network_set))
    options = dict(connection(auth_datastore), etcd_username="reader", etcd_password="lesen")
    variables = {"hostendpoints_" + name: value for name, value in options.items()}
    variables["calico_policies_gathered_dest"] = str(tmp_path / "policies")
    run = gather(_fleet, tmp_path / "x.yml", ["web1"], **variables)
    assert run.returncode != 0 and "the stored policies contain the password" in run.stdout, run
    assert not (tmp_path / "policies").exists()


@pytest.mark.parametrize(
    "dest, message",
    [
        ("/tmp/a\0b.yml", "it contains a NUL character"),
        ("/nowhere\n\x1b[31m/x.yml", r"dest /nowhere\n\x1b[31m/x.yml: the folder /nowhere\n\x1b[31m does not exist"),
        ("/nowhere\n/x", r"dest /nowhere\n/x: the name of a YAML inventory must end in .yml"),
    ],
)
def test_a_file_that_cannot_have_this_name(_fleet, dest, message):
    # On the command line, a NUL cannot be given.
    tasks = [{"import_role": ROLE, "vars": {"hostendpoints_gathered_dest": dest}}]
    run = _fleet.run({"web1": {}}, tasks=tasks)
    (failed,) = [each["result"]["msg"] for each in run.results if each["status"] == "failed"]
    assert message in failed and failed.isprintable()
