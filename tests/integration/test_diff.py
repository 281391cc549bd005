# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees who runs a playbook with --diff."""

from __future__ import annotations

import pytest

from tests.harness.module import run_playbook
from tests.integration.tasks import HOSTS, KEY, READY

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/netsec.calico.calico:
      etcd_endpoints: "{{ url }}"
  tasks:
    - name: create
      netsec.calico.calico_hostendpoint:
        name: eth0
        node: n1
        interface_name: eth0
        expected_ips: ["192.168.0.1", "2001:DB8:0::1"]
        labels:
          type: production
    - name: update
      netsec.calico.calico_hostendpoint:
        name: eth1
        node: n1
        interface_name: eth1
        expected_ips: ["2001:db8::1", "192.168.0.2", "192.168.0.1"]
        labels:
          type: staging
          site: a
        profiles: [p1]
    - name: patch
      netsec.calico.calico_hostendpoint:
        name: eth2
        node: n1
        state: patched
        labels:
          gone:
    - name: mend
      netsec.calico.calico_hostendpoint:
        name: eth3
        node: n1
        interface_name: eth3
    - name: delete
      netsec.calico.calico_hostendpoint:
        name: eth4
        node: n1
        state: absent
    - name: nothing
      netsec.calico.calico_hostendpoint:
        name: eth5
        node: n1
        interface_name: eth5
        expected_ips: ["10.0.0.1", "10.0.0.2"]
"""
STORED = {
    # Differs from what the task says in two labels; the rest is only spelled otherwise.
    "eth1": '{"labels":{"type":"production","old":"x"},"name":"eth1","profile_ids":["p1"],'
    '"expected_ipv4_addrs":["192.168.0.1","192.168.0.2"],"expected_ipv6_addrs":["2001:0db8:0::1"],"x":1}',
    "eth2": '{"name":"eth2","labels":{"gone":"1","kept":"1"}}',
    "eth3": '{"name":5}',
    "eth4": '{"name":"eth4","profile_ids":["p1"]}',
    "eth5": '{"expected_ipv4_addrs":["10.0.0.2","10.0.0.1"],"name":"eth5"}',
}
# The lines with + and - that are seen below each task's name.
SEEN = {
    "create": """\
--- before: host endpoint eth0 on node n1
+++ after: host endpoint eth0 on node n1 (create)
+apiVersion: v1
+kind: hostEndpoint
+metadata:
+  name: eth0
+  node: n1
+  labels:
+    type: production
+spec:
+  interfaceName: eth0
+  expectedIPs:
+  - 192.168.0.1
+  - 2001:db8::1
""",
    "update": """\
--- before: host endpoint eth1 on node n1
+++ after: host endpoint eth1 on node n1 (update)
-    old: x
-    type: production
+    site: a
+    type: staging
""",
    "patch": """\
--- before: host endpoint eth2 on node n1
+++ after: host endpoint eth2 on node n1 (update)
-    gone: '1'
""",
    "mend": """\
--- before: host endpoint eth3 on node n1
+++ after: host endpoint eth3 on node n1 (update)
-# Calico cannot read this value: name is not a text: 5
-{"name":5}
+apiVersion: v1
+kind: hostEndpoint
+metadata:
+  name: eth3
+  node: n1
+spec:
+  interfaceName: eth3
""",
    "delete": """\
--- before: host endpoint eth4 on node n1
+++ after: host endpoint eth4 on node n1 (delete)
-apiVersion: v1
-kind: hostEndpoint
-metadata:
-  name: eth4
-  node: n1
-spec:
-  interfaceName: eth4
-  profiles:
-  - p1
""",
    "nothing": "",
}


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")
    for name, value in STORED.items():
        etcd.put("%s/n1/endpoint/%s" % (HOSTS, name), value)


def play(server, *options):
    run = run_playbook(PLAYBOOK, extra_args=["-e", "url=" + server.url, *options])
    assert run.returncode == 0, run
    return run


def seen(run):
    """{task: its lines with + and -}, from what is on the screen."""
    tasks = run.stdout.split("PLAY RECAP")[0].split("TASK [")[1:]
    return {
        text.split("]")[0]: "".join(line + "\n" for line in text.splitlines() if line[:1] in ("+", "-"))
        for text in tasks
    }


@pytest.mark.parametrize("options", [["--diff"], ["--diff", "--check"]], ids=" ".join)
def test_what_a_person_sees(etcd, wire, options):
    before = etcd.tree()
    run = play(wire, *options)
    assert seen(run) == SEEN
    assert (run.stats["localhost"]["changed"], run.stats["localhost"]["ok"]) == (5, 6)
    if "--check" in options:
        assert wire.writes == [] and etcd.tree() == before
        return
    assert [request.method for request in wire.writes] == ["PUT"] * 4 + ["DELETE"]
    assert etcd.get(KEY) == (
        '{"name":"eth0","expected_ipv4_addrs":["192.168.0.1"],"expected_ipv6_addrs":["2001:db8::1"],'
        '"labels":{"type":"production"}}'
    )
    # The same again: nothing to be seen, nothing to be done.
    wire.clear()
    again = play(wire, "--diff")
    assert set(seen(again).values()) == {""} and again.stats["localhost"]["changed"] == 0
    assert wire.writes == []


def test_without_diff_there_is_none(etcd):
    run = play(etcd)
    assert set(seen(run).values()) == {""}
    assert all("diff" not in each["result"] or not each["result"]["diff"] for each in run.results)
