#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoints_audit
short_description: Compare a set of Calico host endpoints with the datastore, and report the differences
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Compares a set of host endpoints with the datastore as M(netsec.calico.calico_hostendpoints) does, and classifies
    every difference. It writes nothing to the datastore. Read-only credentials are sufficient.
  - For a fleet, use the playbook C(netsec.calico.audit), which also writes reports.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._connection.names
  - netsec.calico._endpoints
  - netsec.calico._endpoints.sources
  - netsec.calico._guard
options:
  nodes:
    description:
      - Exact names of the nodes to audit. Endpoints that are stored there but not declared are V(unmanaged).
    type: list
    elements: str
    required: true
  other_nodes:
    description:
      - Exact names of nodes that are managed elsewhere. Their endpoints are not V(orphaned).
    type: list
    elements: str
  other_hosts:
    description:
      - A mapping of hosts whose nodes are unknown to the possible names of each node. Endpoints on a node with one of
        these names, with or without a domain, are not V(orphaned).
    type: dict
  decommission_nodes:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:decommission_nodes). Endpoints with the owner label there are
        V(unmanaged).
    type: list
    elements: str
  owner:
    description:
      - Owner of the endpoints. Every endpoint of the set must have the label O(owner_label) with this value, which also
        identifies endpoints on nodes that no longer exist. Without it, no endpoint is V(orphaned).
    type: str
  owner_label:
    description:
      - Key of the label that identifies the owner of an endpoint.
    type: str
    default: app.kubernetes.io/managed-by
  policies:
    description:
      - Whether to report the policies that select the stored endpoints of O(nodes), including Calico's own endpoints.
    type: bool
    default: false
  dest:
    description:
      - Path of a JSON file for all findings, on the host where the module runs. RV(findings) itself is limited in size.
        The file has the keys of the result.
      - An existing file is replaced atomically. It keeps its permissions and, if permitted, its owner. If the path is a
        symbolic link, the target of the link is replaced.
      - With O(policies), the file also has C(endpoints), a list of the stored endpoints of O(nodes), each with C(node),
        C(name) and C(policies). C(policies) lists the names of the policies that select the endpoint for ingress or
        egress, in the order in which Felix evaluates them. It is C(null) if the policies, the endpoint or one of its
        profiles cannot be read, or if Felix rejects the endpoint.
      - The file is also written in check mode. It does not count as a change.
    type: path
seealso:
  - module: netsec.calico.calico_hostendpoints
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Compare the endpoints of two hosts with the datastore
  netsec.calico.calico_hostendpoints_audit:
    etcd_endpoints: http://etcd1.example.com:2379
    owner: netsec.calico
    nodes: [worker-1, worker-2]
    src: hostendpoints.yml
  register: audit

- name: Fail if an endpoint is missing
  ansible.builtin.assert:
    that: audit.summary.missing == 0
"""

RETURN = r"""
other_kinds_skipped:
  description: Number of skipped resources of other kinds.
  returned: when O(other_kinds) is V(skip)
  type: int
  sample: 2
summary:
  description:
    - Number of endpoints of each class, of V(compliant) endpoints, and of V(foreign) endpoints, which are Calico's own.
    - An endpoint can be in two classes, but a V(compliant) endpoint is in no other class.
  returned: success
  type: dict
  sample:
    compliant: 3
    unsafe: 0
    malformed: 0
    shadowed: 0
    missing: 1
    changed: 0
    unmanaged: 0
    orphaned: 0
    foreign: 0
findings:
  description: The differences from the declared set, sorted by class, the most severe first, then by node and name.
  returned: success
  type: list
  elements: dict
  contains:
    class:
      description:
        - Class of the finding.
        - V(missing) means that the endpoint is declared but not stored.
        - V(changed) means that the stored endpoint differs from the declared endpoint.
        - V(unmanaged) means that the endpoint is stored on one of O(nodes) but not declared, or has the owner label on
          one of O(decommission_nodes).
        - V(orphaned) means that the endpoint has the owner label, and that its node is not in O(nodes), O(other_nodes)
          or O(other_hosts) and is unknown to Calico. Calico knows a node from its records of the node or from Felix's
          status reports.
        - V(shadowed) means that the endpoint is not in effect, because another endpoint of the same node governs its
          interface.
        - V(malformed) means that Calico cannot read the endpoint or Felix ignores it, which leaves its interface open.
          If it is unknown whether Calico can read the endpoint, the message reports this.
        - V(unsafe) means that the endpoint cuts off its host or does not have its declared effect. This is checked only
          if O(guard_facts), O(guard_facts_src) or O(guard_require) is given. An endpoint has one finding for each check
          of the guard that it fails.
        - V(unmet) means that an expectation of O(connectivity) does not hold. The message has the connection that
          decides, and what decides on it.
      type: str
    severity:
      description:
        - V(critical) for V(unsafe) and V(malformed), V(high) for V(shadowed), V(missing) and
          V(unmet), V(medium) for V(changed)
          and V(unmanaged), V(low) for V(orphaned).
      type: str
    rule:
      description:
        - For V(unsafe), the id of the guard's check, such as C(G03). Otherwise an id of the class, such as C(A03).
      type: str
    node:
      description: Node of the endpoint. Empty if unknown.
      type: str
    name:
      description: Name of the endpoint, or of the expectation.
      type: str
    interface_name:
      description: Interface name in the endpoint.
      type: str
    fields:
      description: >-
        The fields that differ, each with C(field), C(want) (the declared value) and C(have) (the stored value).
      type: list
      elements: dict
    message:
      description: Explanation of the finding.
      type: str
    remedy:
      description:
        - A command or a task to copy, in one or several lines. The commands are for endpoints that the role
          C(netsec.calico.hostendpoints) manages. For V(unsafe), the guard's advice.
        - Empty if there is none, or if it would contain a name that a shell or a template could evaluate.
      type: str
  sample:
    - class: changed
      severity: medium
      rule: A05
      node: worker-1
      name: eth0
      interface_name: eth0
      fields:
        - field: profiles
          want: [worker]
          have: [worker, open]
      message: the rules of other profiles apply
      remedy: ansible-playbook netsec.calico.apply
findings_omitted:
  description:
    - Number of findings omitted from RV(findings) because of its size limit. The first finding is always included, but
      long strings in it may be truncated.
  returned: success
  type: int
  sample: 0
compliant:
  description: Number of matching endpoints without findings, by node. Nodes without such endpoints are omitted.
  returned: success, if it is not too large
  type: dict
  sample: {worker-2: 3}
expectations:
  description: >-
    Number of expectations of O(connectivity) that are V(met), V(unmet) and V(unknown). A warning has the reasons of
    unknown expectations.
  returned: success, when expectations are given
  type: dict
  sample: {met: 38, unmet: 1, unknown: 1}
unknown_expectations:
  description: >-
    The expectations of O(connectivity) that are V(unknown), in the order of the hosts, each with C(host), C(node),
    C(name) and C(message), which is the reason.
  returned: success, when expectations are given
  type: list
  elements: dict
  sample: [{host: web1, node: worker-1, name: database, message: "the facts of db1 are unknown"}]
unknown_expectations_omitted:
  description: Number of expectations omitted from RV(unknown_expectations) because of its size limit.
  returned: success, when expectations are given
  type: int
  sample: 0
connectivity:
  description: The evaluated connections by source and destination, sorted.
  returned: success, when expectations are given
  type: list
  elements: dict
  contains:
    source:
      description: Group of the host, or the peer as it is declared.
      type: str
    destination:
      description: As C(source).
      type: str
    state:
      description: >-
        V(open) if all are allowed, V(closed) if all are denied, V(mixed) if some are allowed and some are denied, or
        V(unknown).
      type: str
    ports:
      description: Protocols and ports.
      type: list
      elements: str
    details:
      description: State of each port, and number of unmet expectations.
      type: str
  sample:
    - source: web
      destination: db
      state: open
      ports: [tcp/5432]
      details: "tcp/5432: open"
connectivity_omitted:
  description: Number of rows omitted from RV(connectivity) because of its size limit.
  returned: success, when expectations are given
  type: int
  sample: 0
policies:
  description:
    - The policies that select stored endpoints of O(nodes), and unreadable policies, whose selection is unknown, sorted
      by name. Staged policies are not included.
    - C(null) if the policies cannot be read at all.
  returned: success, when O(policies) is true
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy. In Calico v3, its tier and a dot precede it.
      type: str
    endpoints:
      description: Number of these endpoints that the policy selects. C(null) if the policy cannot be read.
      type: int
    problem:
      description: Why the number is unknown. Otherwise empty.
      type: str
  sample:
    - name: allow-ssh
      endpoints: 12
      problem: ""
policies_omitted:
  description: Number of policies omitted from RV(policies) because of its size limit.
  returned: success, when O(policies) is true
  type: int
  sample: 0
datastore:
  description: >-
    The datastore that was read, with C(type), C(endpoints) and C(warning). The warning reports that Calico has locked
    the datastore, or that it is empty.
  returned: success
  type: dict
  sample:
    type: etcdv2
    endpoints: ["http://etcd1.example.com:2379"]
    warning: ""
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import (
    CONNECTIVITY_OPTIONS,
    GUARD_OPTIONS,
    GUARD_SOURCES,
)
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import OTHER_KINDS
from ansible_collections.netsec.calico.plugins.module_utils._module.audit import audit_endpoints
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    OPTION_NAMES,
    SET_OPTIONS,
    build_connection_options,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.runner import run


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            **OPTION_NAMES,
            **SET_OPTIONS,
            other_kinds=OTHER_KINDS,
            **GUARD_OPTIONS,
            **CONNECTIVITY_OPTIONS,
            nodes={"type": "list", "elements": "str", "required": True},
            other_nodes={"type": "list", "elements": "str"},
            other_hosts={"type": "dict"},
            decommission_nodes={"type": "list", "elements": "str"},
            owner={"type": "str"},
            owner_label={"type": "str", "default": "app.kubernetes.io/managed-by", "no_log": False},
            policies={"type": "bool", "default": False},
            dest={"type": "path"},
        ),
        required_one_of=[tuple(SET_OPTIONS)],
        mutually_exclusive=[tuple(SET_OPTIONS), *GUARD_SOURCES],
        required_by={"decommission_nodes": ["owner"]},
        supports_check_mode=True,
    )
    run(module, audit_endpoints)


if __name__ == "__main__":
    main()
