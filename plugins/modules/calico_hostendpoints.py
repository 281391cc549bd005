#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoints
short_description: Manage a whole set of Calico host endpoints in one call
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Creates and updates a set of host endpoints of any size in one call. The module reads the datastore once and writes
    only differences, by compare-and-swap.
  - On request, it deletes endpoints that are stored for given nodes but not part of the set.
  - The module validates all input and reads all stored data before the first write. It creates endpoints first, then
    updates, then deletes, so that no interface is without policy in between.
  - B(Creating an endpoint closes its interface.) Calico drops all traffic except on its failsafe ports, unless
    policies or profiles allow it. B(Deleting an endpoint opens its interface.) Policies no longer apply to it.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._connection.names
  - netsec.calico._endpoints
  - netsec.calico._endpoints.sources
  - netsec.calico._set
  - netsec.calico._set.written
  - netsec.calico._guard
  - netsec.calico._guard.mode
  - netsec.calico._plan
options:
  purge_nodes:
    description:
      - Exact names of the nodes in the scope of O(purge), whose endpoints may be deleted. Required if O(purge) is not
        V(none).
      - The set may also contain endpoints for other nodes. An empty set purges all endpoints of these nodes, which
        decommissions the hosts.
      - On etcdv3, the name alone identifies an endpoint. If an endpoint of the set is stored for a node that is neither
        in O(purge_nodes) nor in O(decommission_nodes), the module does not move it and writes nothing.
    type: list
    elements: str
  overwrite:
    description:
      - Whether to change stored endpoints that differ from the set. If V(false), such endpoints are an error, and
        nothing is written.
    type: bool
    default: true
  purge_limit:
    description:
      - Maximum number of deletions. If the module would delete more endpoints, it fails before writing anything.
      - No limit if omitted.
    type: int
notes:
  - RV(changes), RV(not_attempted) and RV(ignore:diff) are limited to a few hundred thousand characters, because AWX
    does not keep larger results. RV(summary) always counts everything.
  - If a write fails, the task fails. RV(changes) then lists the completed changes, RV(failures) the endpoint and the
    error, and RV(not_attempted) the remaining changes. The next run makes the remaining changes.
  - An update keeps everything in the stored value that the module does not manage. This includes unknown JSON keys and,
    on etcdv3, annotations that are not given, the uid, the creation time, owners and finalizers.
seealso:
  - module: netsec.calico.calico_hostendpoint
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Keep exactly these endpoints on two nodes
  netsec.calico.calico_hostendpoints:
    etcd_endpoints: http://etcd1.example.com:2379
    owner: netsec
    purge: owned
    purge_nodes: [worker-1, worker-2]
    purge_limit: 5
    endpoints:
      - name: eth0
        node: worker-1
        interface_name: eth0
        expected_ips: [192.168.0.1]
      - name: eth0
        node: worker-2
        interface_name: eth0
        expected_ips: [192.168.0.2]

- name: Apply a large set from a file
  netsec.calico.calico_hostendpoints:
    src: /etc/netsec/hostendpoints.json

- name: Change two nodes first, and reject changes that would block required connections
  netsec.calico.calico_hostendpoints:
    src: /etc/netsec/hostendpoints.json
    guard: enforce
    guard_facts_src: /etc/netsec/guard-facts.json
    guard_limit: 50
    canary: 2

- name: Write the changes to a file, and nothing to the datastore
  netsec.calico.calico_hostendpoints:
    src: /etc/netsec/hostendpoints.json
    plan_dest: /var/lib/netsec/plan.json

- name: Make exactly these changes, after somebody has approved them
  netsec.calico.calico_hostendpoints:
    src: /etc/netsec/hostendpoints.json
    plan_src: /var/lib/netsec/plan.json

- name: Decommission a node
  netsec.calico.calico_hostendpoints:
    endpoints: []
    purge: all
    purge_nodes: [worker-9]
"""

RETURN = r"""
other_kinds_skipped:
  description: Number of skipped resources of other kinds.
  returned: when O(other_kinds) is V(skip)
  type: int
  sample: 2
summary:
  description: Number of endpoints that were changed, or would be changed in check mode.
  returned: success
  type: dict
  contains:
    created:
      description: Number of created endpoints.
      type: int
    updated:
      description: Number of updated endpoints.
      type: int
    deleted:
      description: Number of deleted endpoints.
      type: int
    unchanged:
      description: Number of endpoints of the set that already matched.
      type: int
  sample: {created: 1, updated: 0, deleted: 0, unchanged: 1999}
changes:
  description: The changes, in the order in which they were made.
  returned: success, and when a write fails or a signal ends the run
  type: list
  elements: dict
  contains:
    operation:
      description: The operation, V(create), V(update) or V(delete).
      type: str
    node:
      description: Node of the endpoint.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    fields:
      description: >-
        Names of the fields that differ. For a created or deleted endpoint, the names of its non-empty fields.
      type: list
      elements: str
  sample:
    - operation: create
      node: worker-1
      name: eth0
      fields: [interface_name, expected_ips]
changes_omitted:
  description: Number of changes omitted from RV(changes) because of its size limit.
  returned: success, and when a write fails or a signal ends the run
  type: int
  sample: 0
failures:
  description: The changes that failed.
  returned: when a write fails or a signal ends the run
  type: list
  elements: dict
  contains:
    operation:
      description: The operation that failed.
      type: str
    node:
      description: Node of the endpoint.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    fields:
      description: Names of the fields that differ.
      type: list
      elements: str
    error:
      description: The error message.
      type: str
  sample:
    - operation: update
      node: worker-1
      name: eth1
      fields: [labels]
      error: "cannot reach etcd: http://etcd1.example.com:2379: connection refused (etcd_endpoints from: option)"
failures_omitted:
  description: Number of changes omitted from RV(failures) because of its size limit.
  returned: when a write fails or a signal ends the run
  type: int
  sample: 0
not_attempted:
  description: The changes that were not attempted, with the same keys as RV(changes).
  returned: when a write fails or a signal ends the run
  type: list
  elements: dict
  sample: []
not_attempted_omitted:
  description: Number of changes omitted from RV(not_attempted) because of its size limit.
  returned: when a write fails or a signal ends the run
  type: int
  sample: 0
guard:
  description:
    - The guard's verdicts on unsafe changes and on changes whose safety is unknown, the unsafe changes first. If the
      guard rejects the changes, only the first verdicts; the message counts all findings.
  returned: success, and when the guard rejects the changes
  type: list
  elements: dict
  contains:
    node:
      description: Node of the endpoint.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    verdict:
      description: V(unsafe) or V(unknown).
      type: str
    findings:
      description: >-
        The findings behind the verdict, each with C(rule), C(level) (V(unsafe), V(unknown) or V(warning)) and
        C(message).
      type: list
      elements: dict
  sample:
    - node: worker-1
      name: eth0
      verdict: unsafe
      findings:
        - rule: G01
          level: unsafe
          message: >-
            profile nosuch is missing or has no rules that Felix accepts, so it drops all traffic that reaches it
canary:
  description: The nodes that were changed first and passed, or that would be changed first in check mode.
  returned: when O(canary) is not V(0)
  type: list
  elements: str
  sample: [worker-1]
taken_back:
  description: The canary's changes that were undone, as in RV(changes).
  returned: when a node of the canary no longer answers, or a signal ends the run before the canary has passed
  type: list
  elements: dict
guard_omitted:
  description: Number of verdicts omitted from RV(guard) because of its size limit.
  returned: success, and when the guard rejects the changes
  type: int
  sample: 0
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import (
    CONNECTIVITY_OPTIONS,
    GUARD_MODE,
    GUARD_OPTIONS,
    GUARD_SOURCES,
)
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import OTHER_KINDS
from ansible_collections.netsec.calico.plugins.module_utils._module.endpoints import apply_endpoints
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    OPTION_NAMES,
    PLAN_OPTIONS,
    SET_OPTIONS,
    WRITTEN_SET_OPTIONS,
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
            guard=GUARD_MODE,
            **WRITTEN_SET_OPTIONS,
            canary={"type": "int", "default": 0},
            purge={"type": "str", "choices": ["none", "owned", "all"], "default": "none"},
            purge_nodes={"type": "list", "elements": "str"},
            decommission_nodes={"type": "list", "elements": "str"},
        ),
        required_one_of=[tuple(SET_OPTIONS)],
        mutually_exclusive=[tuple(SET_OPTIONS), *GUARD_SOURCES, tuple(PLAN_OPTIONS)],
        required_if=[
            ("purge", "owned", ["purge_nodes", "owner"]),
            ("purge", "all", ["purge_nodes"]),
        ],
        required_by={"decommission_nodes": ["owner"]},
        supports_check_mode=True,
    )
    run(module, apply_endpoints)


if __name__ == "__main__":
    main()
