#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_hostendpoints
short_description: Manage the Calico host endpoints of the play's hosts, from their facts
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Evaluates the interface rules of every host of the play's batch against its facts, and passes all resulting
    endpoints to M(netsec.calico.calico_hostendpoints) in one call.
  - The role C(netsec.calico.hostendpoints) runs this module. Use the role, which has defaults for all variables. The
    module reads the variables of each host, such as C(hostendpoints_node), C(hostendpoints_interfaces),
    C(hostendpoints_ignore), C(hostendpoints_labels), C(hostendpoints_group_labels), C(hostendpoints_host_labels),
    C(hostendpoints_endpoints), C(hostendpoints_guard_require) and C(hostendpoints_failsafes).
  - Only hosts of the current batch that did not fail, and whose facts this run has, take part. The endpoints of all
    other hosts are not changed. The scope of a purge is exactly the nodes of the participating hosts.
  - Run the module with C(run_once). With the strategies C(free) and C(host_pinned), each host handles only its own
    endpoints.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._variables
  - netsec.calico._set
  - netsec.calico._set.written
  - netsec.calico._plan.roles
options:
  guard:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:guard). The module builds the guard's facts from the hosts' facts
        and connection variables.
      - The guard requires three kinds of connections for each host. These are Ansible's own SSH connection, unless the
        host has another connection type, the connection to the datastore, unless it is on the controller, and the
        connections to the DNS servers in the host's facts.
    type: str
    choices: [enforce, warn, 'off']
    default: enforce
  guard_require:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:guard_require), in addition to these connections.
    type: list
    elements: dict
    suboptions:
      direction:
        description: As O(netsec.calico.calico_hostendpoints#module:guard_require[].direction).
        type: str
        choices: [in, out]
        required: true
      protocol:
        description: As O(netsec.calico.calico_hostendpoints#module:guard_require[].protocol).
        type: str
        required: true
      port:
        description: As O(netsec.calico.calico_hostendpoints#module:guard_require[].port).
        type: int
      peer:
        description: As O(netsec.calico.calico_hostendpoints#module:guard_require[].peer).
        type: str
  require_facts:
    description:
      - Whether to skip the task if facts of a host are missing. RV(hosts_without_facts) then lists the hosts.
    type: bool
    default: false
  registered_as:
    description:
      - Name of the variable in which this task registers its result. With C(serial) or the strategy C(free), the module
        reads RV(nodes) of the play's earlier batches from it.
      - If omitted, the nodes of earlier batches are unknown.
    type: str
  policies_result:
    description:
      - Name of the variable in which a task of M(netsec.calico.calico_inventory_policies) registered its result.
        RV(report) then includes its changes, and with O(plan_mode=write), the plan includes its plan.
    type: str
  check_fails_on_change:
    description:
      - Whether RV(check_failure) is not empty if check mode finds changes. The role fails with it at the end of a run.
    type: bool
    default: false
  plan_mode:
    description:
      - What the task does with the plan.
      - V(apply) makes its changes. Without O(plan) and O(plan_document), any changes are made.
      - V(compare) compares only, without the guard, so that another task can write something else first. It fails
        unless V(apply) would accept the plan. Set C(check_mode=true) on the task. Without a plan, the task is skipped.
      - V(write) writes a plan, and nothing to the datastore. If the same plan changes policies, O(guard=enforce) only
        warns, because the datastore does not have these policies yet.
    type: str
    choices: [apply, compare, write]
    default: apply
  purge_limit:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:purge_limit). Required if O(purge) is not V(none).
    type: int
notes:
  - With C(run_once), a C(when) condition that is false for the host that runs the task skips the task for all hosts.
    Set the condition on C(include_role), or use a group in C(hosts).
  - With C(ignore_unreachable=true) on the play, an unreachable host takes part with its cached facts.
  - Nothing is written if the node name of a host is also the node name of another host of the batch, the node name of a
    host in an earlier batch (see O(registered_as)), or the inventory name of a host outside the batch that may be the
    same node.
seealso:
  - module: netsec.calico.calico_hostendpoints
"""

EXAMPLES = r"""
- name: Manage the endpoints of all hosts of the play
  hosts: all
  roles:
    - role: netsec.calico.hostendpoints
      vars:
        hostendpoints_etcd_endpoints: http://etcd1.example.com:2379
"""

RETURN = r"""
require_facts:
  description: The value of O(require_facts).
  returned: success
  type: bool
  sample: true
hosts:
  description: Number of hosts that took part.
  returned: success
  type: int
  sample: 1000
hosts_without_facts:
  description: Hosts of the batch whose facts this run does not have. Their endpoints are not changed.
  returned: success
  type: list
  elements: str
  sample: []
hosts_without_endpoints:
  description:
    - Participating hosts for which no rule creates an endpoint, with the reasons for their interfaces. No policy
      applies to these interfaces. Only the first 100 hosts are listed.
  returned: success, unless skipped
  type: dict
  sample:
    db1: "no rule creates an endpoint (eth0: no rule matches: rule 1: no address in 10.0.0.0/8)"
nodes:
  description:
    - Nodes of the hosts whose node name differs from their inventory name.
    - Later batches of the play use them to detect node names that are already in use.
  returned: success, in a play with C(serial) or the strategy C(free)
  type: dict
  sample: {web1: web1.example.com}
report:
  description: What the role publishes as C(hostendpoints_apply) and shows at the end of a run.
  returned: success, unless skipped
  type: dict
  contains:
    text:
      description: The number of changes in one line.
      type: str
    counts:
      description:
        - RV(summary) under the key C(hostendpoints). With O(policies_result), the same of the policies under the key
          C(policies).
      type: dict
    check_mode:
      description: Whether the run was in check mode, so that nothing was written.
      type: bool
    datastore:
      description: The type of the datastore, its endpoints, and what the module reports about it.
      type: dict
  sample:
    text: "host endpoints: 140 created, 0 changed, 0 deleted"
    counts: {hostendpoints: {created: 140, updated: 0, deleted: 0, unchanged: 1860}}
    check_mode: false
    datastore: {type: etcdv3, endpoints: ["http://etcd1.example.com:2379"]}
check_failure:
  description: Why the run fails because of O(check_fails_on_change). Empty if it does not.
  returned: success, unless skipped
  type: str
  sample: ""
summary:
  description: As RV(netsec.calico.calico_hostendpoints#module:summary).
  returned: success, unless skipped
  type: dict
  sample: {created: 1, updated: 0, deleted: 0, unchanged: 1999}
changes:
  description: As RV(netsec.calico.calico_hostendpoints#module:changes).
  returned: success, unless skipped, and when a write fails
  type: list
  elements: dict
  sample:
    - operation: create
      node: worker-1
      name: eth0
      fields: [interface_name, expected_ips]
plan_path:
  description: Absolute path of the plan's file. Empty without O(plan).
  returned: success, with O(plan_mode=write)
  type: str
  sample: /home/me/plan.json
plan_document:
  description:
    - The plan as a string of letters, digits and C(+/=), for example for an artifact in AWX. Empty if O(plan) has it.
      The task fails if it would have more than 150,000 characters.
  returned: success, with O(plan_mode=write)
  type: str
  sample: eNrtV1tv0zAU...
plan_summary:
  description: The numbers of changes in the plan, and how to apply it.
  returned: success, with O(plan_mode=write)
  type: list
  elements: str
  sample:
    - "policies and their resources: 4 to create, 0 to change, 0 to delete"
    - "host endpoints: 140 to create, 0 to change, 0 to delete"
    - "To apply exactly this: ansible-playbook netsec.calico.apply -e hostendpoints_plan=/home/me/plan.json"
canary:
  description: As RV(netsec.calico.calico_hostendpoints#module:canary).
  returned: when O(canary) is not V(0)
  type: list
  elements: str
  sample: [worker-1]
guard:
  description: As RV(netsec.calico.calico_hostendpoints#module:guard).
  returned: success, unless skipped, and when the guard rejects the changes
  type: list
  elements: dict
  sample: []
"""
