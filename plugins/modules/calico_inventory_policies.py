#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_policies
short_description: Manage the Calico policies that the inventory declares
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Collects Calico resources from variables, files, templates, groups of the inventory and a library of policies, and
    passes them to M(netsec.calico.calico_resources) in one call.
  - The role C(netsec.calico.policies) runs this module. Use the role, which has defaults for all variables.
  - Without O(resources), O(src), O(group_sets), O(library) and O(purge), the task is skipped.
  - Templates see the variables of the first host of the play, without the facts of any host.
  - Run the module with C(run_once). All hosts of the play's batch must have the same variables C(calico_policies_*).
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._variables
  - netsec.calico._plan.roles
options:
  resources:
    description:
      - The resources as a list of manifests, as O(netsec.calico.calico_resources#module:resources).
      - With O(purge=owned) and nothing that is declared, the task fails, because it would delete everything. To delete
        everything, write V([]) here, without a template.
    type: raw
  src:
    description:
      - Paths of files with resources on the controller, relative to the current directory. A directory stands for all
        its files, including those of its subdirectories, whose names end in C(.yml), C(.yaml) or C(.json), or in one of
        these followed by C(.j2). A pattern such as V(policies/*.yml) stands for all matching files.
      - A file whose name ends in C(.j2) is a Jinja template.
    type: list
    elements: path
  group_sets:
    description:
      - Groups of the inventory. Each gets a GlobalNetworkSet C(group-NAME) with the addresses of its hosts, for
        selectors such as C(netsec.calico/group == 'webservers'). In C(NAME), upper-case letters become lower-case
        letters and C(_) becomes C(-).
      - In rules, write C(namespaceSelector) V(global(\)) with such a selector. Without it, the selector also matches
        pods and network sets of every namespace.
      - The addresses come from facts, without those of the interfaces that C(hostendpoints_ignore) matches, temporary
        addresses and loopback addresses. A host without facts is an error.
    type: list
    elements: str
  library:
    description:
      - Policies of the library, for the endpoints that O(selector) selects.
    type: list
    elements: str
    choices:
      - neighbour_discovery
      - ping
      - ssh
      - dns
      - ntp
      - etcd
      - kube_apiserver
      - dhcp
      - node_exporter
      - default_deny
  selector:
    description: Selector of the endpoints for which the library's policies are. Required with O(library).
    type: str
  ping_from:
    description:
      - Networks that may ping the hosts. All, if the option is empty.
      - If the template of a variable gives an empty list, or the groups and hosts of a list have no address, the task
        fails, because this does not stand for all addresses. If some of them have none, it warns.
      - In this and in the other lists of networks, an item is a network, an address, or a group or a host of the
        inventory, which stands for the addresses in its facts.
    type: list
    elements: str
  ssh_from:
    description: Networks that may connect to SSH. Required for the policy V(ssh).
    type: list
    elements: str
  ssh_ports:
    description: Ports of SSH. Required for the policy V(ssh).
    type: list
    elements: raw
  dns_servers:
    description: DNS servers of the hosts. All addresses, if the option is empty.
    type: list
    elements: str
  ntp_servers:
    description: NTP servers of the hosts. All addresses, if the option is empty.
    type: list
    elements: str
  etcd_servers:
    description: Addresses of etcd. All addresses, if the option is empty.
    type: list
    elements: str
  etcd_ports:
    description: Ports of etcd. Required for the policy V(etcd).
    type: list
    elements: raw
  kube_apiservers:
    description: Addresses of the Kubernetes API server. All addresses, if the option is empty.
    type: list
    elements: str
  kube_apiserver_ports:
    description: Ports of the Kubernetes API server. Required for the policy V(kube_apiserver).
    type: list
    elements: raw
  node_exporter_from:
    description: Networks that may connect to node exporter. Required for the policy V(node_exporter).
    type: list
    elements: str
  node_exporter_ports:
    description: Ports of node exporter. Required for the policy V(node_exporter).
    type: list
    elements: raw
  owner:
    description:
      - As O(netsec.calico.calico_resources#module:owner). Ignored on Calico v1, whose policies have no labels.
    type: str
  owner_label:
    description: As O(netsec.calico.calico_resources#module:owner_label).
    type: str
    default: app.kubernetes.io/managed-by
  purge:
    description:
      - Whether resources of O(owner) that are not declared are deleted, as
        O(netsec.calico.calico_resources#module:purge). It covers all kinds of the datastore except host endpoints and
        nodes.
    type: str
    choices: [none, owned]
    default: none
  purge_limit:
    description:
      - As O(netsec.calico.calico_resources#module:purge_limit). Required if O(purge) is not V(none).
    type: int
  guard:
    description:
      - As O(netsec.calico.calico_resources#module:guard). The module builds the guard's facts from the hosts' facts and
        variables, as M(netsec.calico.calico_inventory_hostendpoints).
    type: str
    choices: [enforce, warn, 'off']
    default: enforce
  guard_limit:
    description: As O(netsec.calico.calico_resources#module:guard_limit).
    type: int
  calico_version:
    description: As O(netsec.calico.calico_resources#module:calico_version). Unset if empty.
    type: str
  canary:
    description: As O(netsec.calico.calico_resources#module:canary). Unset if empty.
    type: str
    choices: [none, staged]
    default: none
  canary_hosts:
    description:
      - As O(netsec.calico.calico_resources#module:canary_hosts). The module gets the hosts' addresses from their
        variables. Unset if empty.
    type: int
    default: 0
  canary_wait:
    description: As O(netsec.calico.calico_resources#module:canary_wait). Unset if empty.
    type: float
    default: 10
  server_dry_run:
    description: As O(netsec.calico.calico_resources#module:server_dry_run).
    type: bool
    default: false
  diff_style:
    description: As O(netsec.calico.calico_resources#module:diff_style).
    type: str
    choices: [short, full]
    default: short
  check_fails_on_change:
    description:
      - Whether RV(check_failure) is not empty if check mode finds changes. The role fails with it at the end of a run.
    type: bool
    default: false
  plan_mode:
    description:
      - What the task does with the plan.
      - V(apply) makes its changes. Without O(plan) and O(plan_document), any changes are made. If the plan has changes
        of policies and none are declared, or vice versa, the task fails.
      - V(write) returns the plan as RV(plan_document), for M(netsec.calico.calico_inventory_hostendpoints), and writes
        nothing.
    type: str
    choices: [apply, write]
    default: apply
  audit:
    description:
      - Whether to compare only, for an audit. The comparison includes all resources of O(owner), whatever O(purge) and
        O(purge_limit) are, and has no guard. Set C(check_mode=true) on the task.
      - Networks from hosts without facts are not compared, and a warning names the hosts and the network sets.
    type: bool
    default: false
notes:
  - With C(run_once), a C(when) condition that is false for the host that runs the task skips the task for all hosts.
seealso:
  - module: netsec.calico.calico_resources
  - module: netsec.calico.calico_resource_info
"""

EXAMPLES = r"""
- name: Manage the policies of the fleet
  hosts: all
  roles:
    - role: netsec.calico.policies
      vars:
        hostendpoints_datastore_type: etcdv3
        hostendpoints_etcd_endpoints: http://etcd1.example.com:2379
        calico_policies_library: [neighbour_discovery, ping, ssh, dns, ntp, etcd, default_deny]
        calico_policies_ssh_from: [192.0.2.0/24]
"""

RETURN = r"""
report:
  description:
    - What the role publishes and shows at the end of a run, as
      RV(netsec.calico.calico_inventory_hostendpoints#module:report).
  returned: success, unless skipped, and without O(audit)
  type: dict
check_failure:
  description: Why the run fails because of O(check_fails_on_change). Empty if it does not.
  returned: success, unless skipped, and without O(audit)
  type: str
  sample: ""
summary:
  description: As RV(netsec.calico.calico_resources#module:summary).
  returned: success, unless skipped
  type: dict
  sample: {created: 2, updated: 0, deleted: 0, unchanged: 9}
changes:
  description: As RV(netsec.calico.calico_resources#module:changes).
  returned: success, unless skipped, and when a write fails
  type: list
  elements: dict
  sample:
    - kind: GlobalNetworkPolicy
      operation: create
      node: ""
      name: fleet-allow-ssh
      fields: [labels, spec.order, spec.selector, spec.types, spec.ingress]
plan_document:
  description: The plan of the policies as a string.
  returned: success, with O(plan_mode=write), unless skipped
  type: str
guard:
  description: As RV(netsec.calico.calico_resources#module:guard).
  returned: success, unless skipped, and when the guard rejects the changes
  type: list
  elements: dict
  sample: []
"""
