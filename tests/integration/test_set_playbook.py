# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ansible-playbook runs: the short names, the defaults of the group, and a set through Ansible's own templates."""

from __future__ import annotations

import json

from tests.harness.module import run_playbook
from tests.integration.sets import MINE, changes_of, endpoint, key_of
from tests.integration.tasks import connection, one_etcd, only_etcd, only_etcdv3

# What Ansible makes of tasks is the same with every etcd.
pytestmark = one_etcd

SINGLE = ["calico_hostendpoint", "hostendpoint", "hep"]
SET = ["calico_hostendpoints", "hostendpoints", "heps"]


def play(server, tasks, **more):
    """Where the datastore is, is given as a default of the group only."""
    defaults = {"group/netsec.calico.calico": connection(server)}
    return [dict({"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}, **more)]


@only_etcd
def test_short_names_and_the_groups_defaults(datastore):
    tasks = [{"name": name, "netsec.calico." + name: endpoint(name.replace("_", "-"))} for name in SINGLE]
    for name in SET:
        node = name.replace("_", "-")
        # What the group's defaults give to all, a task's own defaults and options add to.
        options = {"endpoints": [endpoint(node)], "purge": "owned", "purge_nodes": [node], "owner": "me"}
        tasks.append({"name": name, "netsec.calico." + name: options})
    # As people write it with `collections:`.
    tasks.append({"name": "short", "heps": {"endpoints": [endpoint("hep"), endpoint("n1")]}})
    run = run_playbook(play(datastore, tasks, collections=["netsec.calico"]))
    assert run.returncode == 0, run
    assert run.result("short")["summary"] == {"created": 1, "updated": 0, "deleted": 0, "unchanged": 1}
    assert [run.result(name)["operation"] for name in SINGLE] == ["create"] * 3
    assert [run.result(name)["summary"]["created"] for name in SET] == [1] * 3
    expected = datastore.tree_of([endpoint(name.replace("_", "-")) for name in SINGLE] + [endpoint("n1")])
    expected.update(datastore.tree_of([endpoint(name.replace("_", "-")) for name in SET], MINE))
    assert datastore.stored() == expected


def test_a_set_from_templates_and_from_a_file(datastore, tmp_path):
    """Check mode with diffs, then for real, then nothing to do; and an empty variable purges nothing."""
    path = tmp_path / "set.json"
    path.write_text(json.dumps([endpoint("n3"), endpoint("n4")]), encoding="utf-8")
    datastore.put_all(datastore.tree_of([endpoint("n1", "old"), endpoint("n3", "old")], MINE))
    datastore.put_all(datastore.tree_of([endpoint("n1", "nobodys")]))
    # One expression: since 2.19, ansible-core takes no text for a list that looks like one.
    one = "{'name': nodes[%d] ~ '-eth0', 'node': nodes[%d], 'interface_name': 'eth0', 'labels': {'number': '%d'}}"
    templated = "{{ [" + ", ".join(one % (number, number, number + 1) for number in range(2)) + "] }}"
    common = {"purge": "owned", "owner": "me", "purge_limit": "{{ limit }}", "diff_style": "full"}
    tasks = [
        {
            "name": "templates",
            "netsec.calico.calico_hostendpoints": dict(common, endpoints=templated, purge_nodes="{{ nodes }}"),
        },
        {
            "name": "file",
            "netsec.calico.heps": dict(common, src=str(path), purge_nodes=["n3", "n4"]),
        },
        {
            "name": "no owner",
            "netsec.calico.heps": {
                "endpoints": [],
                "purge": "owned",
                "owner": "{{ none_given }}",
                "purge_nodes": ["n1"],
            },
            "ignore_errors": True,
        },
        {
            "name": "no set",
            "netsec.calico.heps": dict(common, endpoints="{{ nothing }}", purge_nodes=["n1"]),
            "ignore_errors": True,
        },
    ]
    variables = {"nodes": ["n1", "n2"], "limit": 1, "none_given": "", "nothing": None}
    before = datastore.stored()
    check = run_playbook(play(datastore, tasks[:2], vars=variables), extra_args=["--check", "--diff"])
    assert check.returncode == 0, check
    assert datastore.stored() == before
    assert "host endpoint n1-eth0 on node n1 (create)" in check.stdout and "number: '2'" in check.stdout
    run = run_playbook(play(datastore, tasks, vars=variables))
    assert run.returncode == 0, run
    for name, created in (("templates", 2), ("file", 2)):
        assert run.result(name)["summary"] == {"created": created, "updated": 0, "deleted": 1, "unchanged": 0}
        assert run.result(name)["changes"] == check.result(name)["changes"]
    expected = datastore.tree_of([endpoint("n1", "nobodys")])
    numbered = [endpoint("n1", labels={"number": "1"}), endpoint("n2", labels={"number": "2"})]
    expected.update(datastore.tree_of([*numbered, endpoint("n3"), endpoint("n4")], MINE))
    assert datastore.stored() == expected
    assert [each["status"] for each in run.results] == ["ok", "ok", "failed", "failed"]


def test_a_failure_part_way(datastore, wire):
    """The task fails, and its result says what was done."""
    wire.answer(500, "internal error", "text/plain", method=datastore.writing("update"), times=100)
    datastore.put_all(datastore.tree_of(endpoint("n%d" % number, "eth0", "old") for number in (1, 2)))
    wanted = [endpoint("n%d" % number) for number in range(3)]
    tasks = [{"name": "set", "netsec.calico.heps": {"endpoints": wanted, "purge": "all", "purge_nodes": ["n9"]}}]
    datastore.put_endpoint(endpoint("n9"))
    run = run_playbook(play(wire, tasks))
    assert run.returncode == 2, run
    result = run.result("set")
    assert changes_of(result, "changes") == [("create", "n0", "eth0")] and result["changed"]
    assert ("update", "n1", "eth0") in changes_of(result, "failures")
    assert ("delete", "n9", "eth0") in changes_of(result, "not_attempted")
    assert len(changes_of(result)) == 4
    assert datastore.get(key_of(datastore, "n0")) == datastore.value(endpoint("n0"))
    assert "1 of 4 changes were made" in run.stdout + run.stderr


@only_etcdv3
def test_a_date_as_a_label_of_a_task(datastore):
    resource = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": "n2", "labels": {"patched": "2024-05-01"}},
        "spec": {"node": "n2", "interfaceName": "eth0"},
    }
    tasks = [
        {"netsec.calico.hep": dict(endpoint("n1"), labels={"patched": "2024-05-01"})},
        {"netsec.calico.hep": {"resource": resource}},
        {"netsec.calico.heps": {"endpoints": [dict(endpoint("n3"), labels={"patched": "2024-05-01"})]}},
    ]
    text = json.dumps(play(datastore, tasks)).replace('"2024-05-01"', "2024-05-01")
    run = run_playbook(text + "\n")
    assert run.returncode == 0, run
    found = [json.loads(value)["metadata"]["labels"] for value in datastore.stored().values()]
    assert found == [{"patched": "2024-05-01"}] * 3
