# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees who runs a playbook with --diff."""

from __future__ import annotations

import re

import pytest

from tests.harness.module import run_playbook
from tests.integration.tasks import connection, one_etcd

# What Ansible shows is the same with every etcd.
pytestmark = one_etcd


def task(name, number, **options):
    interface = "eth%d" % number
    fields = {"name": "n1-" + interface, "node": "n1", "interface_name": interface}
    if "state" in options:
        del fields["interface_name"]
    return {"name": name, "netsec.calico.calico_hostendpoint": dict(fields, **options)}


TASKS = [
    task("create", 0, expected_ips=["192.168.0.1", "2001:db8::1"], labels={"type": "production"}),
    task(
        "update",
        1,
        expected_ips=["2001:db8::1", "192.168.0.2", "192.168.0.1"],
        labels={"type": "staging", "site": "a"},
        profiles=["p1"],
    ),
    task("patch", 2, state="patched", labels={"gone": None}),
    task("mend", 3),
    task("delete", 4, state="absent"),
    task("nothing", 5, expected_ips=["10.0.0.1", "10.0.0.2"]),
]
STORED = [
    # Differs from what the task says in two labels; the rest is only spelled otherwise.
    {
        "interface_name": "eth1",
        "expected_ips": ["192.168.0.1", "192.168.0.2", "2001:0db8:0::1"],
        "labels": {"type": "production", "old": "x"},
        "profiles": ["p1"],
    },
    {"interface_name": "eth2", "labels": {"gone": "1", "kept": "1"}},
    {"interface_name": "eth4", "profiles": ["p1"]},
    {"interface_name": "eth5", "expected_ips": ["10.0.0.2", "10.0.0.1"]},
]
MALFORMED = {"etcdv2": '{"name":5,"spec":5}', "etcdv3": '{"name":5,"spec":5}'}
HEAD = {
    "v1": "+apiVersion: v1\n+kind: hostEndpoint\n+metadata:\n+  name: n1-%s\n+  node: n1\n",
    "v3": "+apiVersion: projectcalico.org/v3\n+kind: HostEndpoint\n+metadata:\n+  name: n1-%s\n",
}
NODE = {"v1": "", "v3": "+  node: n1\n"}
WHY = {
    "etcdv2": "name is not a string: 5",
    "etcdv3": "spec is not a mapping: 5",
    "kubernetes-v1": "the annotation projectcalico.org/metadata cannot be read",
    "kubernetes-v3": "spec.ports[0].protocol is not a whole number from 0 to 255: 300",
}
# The lines with + and - that are seen below each task's name.
SEEN = {
    "create": """\
--- before: host endpoint n1-eth0 on node n1
+++ after: host endpoint n1-eth0 on node n1 (create)
HEAD eth0
+  labels:
+    type: production
+spec:
+  interfaceName: eth0
+  expectedIPs:
+  - 192.168.0.1
+  - 2001:db8::1
NODE
""",
    "update": """\
--- before: host endpoint n1-eth1 on node n1
+++ after: host endpoint n1-eth1 on node n1 (update)
-    old: x
-    type: production
+    site: a
+    type: staging
""",
    "patch": """\
--- before: host endpoint n1-eth2 on node n1
+++ after: host endpoint n1-eth2 on node n1 (update)
-    gone: '1'
""",
    "mend": """\
--- before: host endpoint n1-eth3 on node n1
+++ after: host endpoint n1-eth3 on node n1 (update)
-# Calico cannot read this value: WHY
-VALUE
HEAD eth3
+spec:
+  interfaceName: eth3
NODE
""",
    "delete": """\
--- before: host endpoint n1-eth4 on node n1
+++ after: host endpoint n1-eth4 on node n1 (delete)
HEAD eth4
+spec:
+  interfaceName: eth4
+  profiles:
+  - p1
NODE
""",
    "nothing": "",
}


def expected(datastore):
    """SEEN in the form of the datastore's own resources."""
    found = {}
    # The whole object on Kubernetes, where the server adds to it.
    value = MALFORMED.get(datastore.type, "{...}")
    for name, text in SEEN.items():
        for interface in ("eth0", "eth3", "eth4"):
            text = text.replace("HEAD %s\n" % interface, HEAD[datastore.model] % interface)
        text = text.replace("NODE\n", NODE[datastore.model]).replace("WHY", WHY[datastore.name])
        text = text.replace("VALUE", value)
        if name == "delete":
            first, second, *lines = text.splitlines()
            text = "".join(line + "\n" for line in [first, second, *("-" + line[1:] for line in lines)])
        found[name] = text
    return found


@pytest.fixture(autouse=True)
def stored(datastore):
    for fields in STORED:
        datastore.put_endpoint(dict(fields, node="n1", name="n1-" + fields["interface_name"]), more='"x":1')
    malformed = datastore.malformed({"name": "n1-eth3", "node": "n1"})
    datastore.put(datastore.key("n1", "n1-eth3"), MALFORMED.get(datastore.type, malformed))


def play(server, *options):
    defaults = {"group/netsec.calico.calico": connection(server)}
    play = {"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": TASKS}
    run = run_playbook([play], extra_args=options)
    assert run.returncode == 0, run
    return run


def seen(run):
    """{task: its lines with + and -}, from what is on the screen."""
    stdout = re.sub(r'^-\{"apiVersion".*\}$', "-{...}", run.stdout, flags=re.MULTILINE)
    stdout = re.sub(r"(projectcalico.org/metadata cannot be read): .*", r"\1", stdout)
    tasks = stdout.split("PLAY RECAP")[0].split("TASK [")[1:]
    return {
        text.split("]")[0]: "".join(line + "\n" for line in text.splitlines() if line[:1] in ("+", "-"))
        for text in tasks
    }


@pytest.mark.thorough
@pytest.mark.parametrize("options", [["--diff"], ["--diff", "--check"]], ids=" ".join)
def test_what_a_person_sees(datastore, wire, options):
    before = datastore.revision()
    run = play(wire, *options)
    assert seen(run) == expected(datastore)
    assert (run.stats["localhost"]["changed"], run.stats["localhost"]["ok"]) == (5, 6)
    if "--check" in options:
        assert datastore.written(wire) == [] and datastore.revision() == before
        return
    operations = [operation for operation, _key in datastore.written(wire)]
    assert operations == ["create", "update", "update", "update", "delete"]
    options = TASKS[0]["netsec.calico.calico_hostendpoint"]
    assert datastore.get(datastore.key("n1", "n1-eth0")) == datastore.value(options)
    # The same again: nothing to be seen, nothing to be done.
    wire.clear()
    again = play(wire, "--diff")
    assert set(seen(again).values()) == {""} and again.stats["localhost"]["changed"] == 0
    assert datastore.written(wire) == []


def test_without_diff_there_is_none(datastore):
    run = play(datastore)
    assert set(seen(run).values()) == {""}
    assert all("diff" not in each["result"] or not each["result"]["diff"] for each in run.results)
