# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is stored, as manifests, and back again: playbooks with the info module and the filter."""

from __future__ import annotations

import json

import yaml

from tests.harness.module import run_playbook
from tests.integration.tasks import connection, one_etcd

# The name of each endpoint is another one in Calico v3's data model, where it has no slash and is that of one node.
NAMES = {"v1": ("eth0", "eth1/v6", "eth0"), "v3": ("myhost-eth0", "myhost-eth1", "other-eth0")}
STORED = [
    {
        "node": "myhost",
        "interface_name": "eth0",
        "expected_ips": ["192.168.0.1", "192.168.0.2"],
        "labels": {"type": "production", "version": "1.10"},
        "profiles": ["profile1", "profile2"],
    },
    {"node": "myhost", "expected_ips": ["2001:db8::1"]},
    {"node": "other", "interface_name": "eth0"},
]
# Text for text as calicoctl takes them, with what looks like a number kept a text.
V1 = """\
-   apiVersion: v1
    kind: hostEndpoint
    metadata:
        name: %s
        node: myhost
        labels:
            type: production
            version: '1.10'
    spec:
        interfaceName: eth0
        expectedIPs:
        - 192.168.0.1
        - 192.168.0.2
        profiles:
        - profile1
        - profile2
-   apiVersion: v1
    kind: hostEndpoint
    metadata:
        name: %s
        node: myhost
    spec:
        expectedIPs:
        - 2001:db8::1
-   apiVersion: v1
    kind: hostEndpoint
    metadata:
        name: %s
        node: other
    spec:
        interfaceName: eth0
"""
TASKS = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/netsec.calico.calico: "{{ connection }}"
  tasks:
    - name: read
      netsec.calico.calico_hostendpoint_info:
      register: stored
    - name: v1
      ansible.builtin.debug:
        msg: "{{ stored.hostendpoints | netsec.calico.to_resource('v1') | to_nice_yaml(sort_keys=false) }}"
    - name: v3
      ansible.builtin.debug:
        msg: "{{ stored.hostendpoints | netsec.calico.to_resource(api_version='projectcalico.org/v3') }}"
    - name: single
      ansible.builtin.debug:
        msg: "{{ stored.hostendpoints[2] | netsec.calico.to_resource('v1') }}"
    - name: empty
      ansible.builtin.debug:
        msg: "{{ [] | netsec.calico.to_resource('v1') }}"
    - name: back
      netsec.calico.calico_hostendpoint:
        resource: "{{ item }}"
      loop: >-
        {{ stored.hostendpoints | netsec.calico.to_resource('v1')
        + stored.hostendpoints | netsec.calico.to_resource('projectcalico.org/v3') }}
"""


@one_etcd
def test_manifests_out_and_in(datastore, wire):
    names = NAMES[datastore.model]
    for fields, name in zip(STORED, names):
        datastore.put_endpoint(dict(fields, name=name))
    before = datastore.stored()
    run = run_playbook(TASKS, extra_args=["-e", json.dumps({"connection": connection(wire)})])
    assert run.returncode == 0, run
    assert run.result("v1")["msg"] == V1 % names
    expected = yaml.safe_load(V1 % names)
    assert run.result("single")["msg"] == expected[2]
    assert run.result("empty")["msg"] == []
    for resource in expected:
        resource.update(apiVersion="projectcalico.org/v3", kind="HostEndpoint")
        resource["spec"]["node"] = resource["metadata"].pop("node")
    assert run.result("v3")["msg"] == expected
    # They say what is stored.
    back = run.result("back")["results"]
    assert [each["changed"] for each in back] == [False] * 6
    assert datastore.written(wire) == [] and datastore.stored() == before


PORT = {"name": "ssh", "protocol": "TCP", "port": 22}


# Input, version, and what the message has to name.
REFUSED = {
    "unknown version": ({"name": "eth0"}, "v2", ["'v2'", "projectcalico.org/v3"]),
    "no endpoint": ("eth0", "v1", ["'eth0'", "not an endpoint"]),
    "ports in v1": ([{"name": "eth0", "node": "n1", "ports": [PORT]}], "v1", ["eth0 on node n1", "ports"]),
    "no list": ({"name": "eth0", "profiles": "p1"}, "v1", ["profiles", "'p1'", "not a list"]),
}


def test_what_cannot_be_a_resource():
    tasks = [
        {
            "name": name,
            "ansible.builtin.debug": {"msg": "{{ endpoint | netsec.calico.to_resource(version) }}"},
            "vars": {"endpoint": endpoint, "version": version},
            "ignore_errors": True,
        }
        for name, (endpoint, version, _words) in REFUSED.items()
    ]
    run = run_playbook([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    assert [each["status"] for each in run.results] == ["failed"] * len(REFUSED), run
    for name, (_endpoint, _version, words) in REFUSED.items():
        message = run.result(name)["msg"]
        assert all(word in message for word in ["to_resource", *words]), message
