#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_check_policies
short_description: Check declared connectivity by policies in files, without a datastore
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Evaluates the expectations of C(hostendpoints_connectivity) and C(hostendpoints_group_connectivity) for the hosts of
    the play by the policies, network sets, profiles, tiers, FelixConfigurations and host endpoints that are declared in
    files and variables, as if a datastore held exactly these. The module contacts neither a datastore nor a managed
    host.
  - The host endpoints are those that the role C(netsec.calico.hostendpoints) would create from facts and variables, and
    those in O(manifests). The policies are those that the role C(netsec.calico.policies) would write, and those in
    O(manifests). If a resource is in both, the role's resource counts.
  - The facts are those in O(facts), else those in Ansible's fact cache. A host without facts is an unknown result.
  - The module does not fail when expectations are not met, see RV(fails). The playbook C(netsec.calico.check_policies)
    runs this module, shows RV(lines), and fails. Use the playbook.
  - Run the module with C(run_once). It evaluates all hosts of the play at once. Do not use C(--limit), because
    hosts outside of the run have no endpoints, and selectors do not match them.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._variables
attributes:
  check_mode:
    support: full
    details:
      - The module writes O(junit) in check mode, too, and changes nothing else.
  diff_mode:
    support: N/A
    details:
      - The module writes only O(junit).
  idempotent:
    support: full
options:
  manifests:
    description:
      - Paths of files with manifests that other tools apply, relative to the current directory. A directory stands for
        all its files, including those of its subdirectories, whose names end in C(.yml), C(.yaml) or C(.json), or in
        one of these followed by C(.j2). A pattern such as V(cluster/**/*.yml) stands for all matching files.
      - Manifests of other APIs, such as those of Kubernetes, and kinds of Calico that host endpoints do not use, are
        skipped; a warning has their numbers. If NetworkPolicies of Calico are skipped and may select an endpoint, the
        expectations of its host are unknown. Invalid manifests are errors.
    type: list
    elements: path
  facts:
    description:
      - Paths of JSON files with the facts of hosts, directories of such files, and patterns. Each file has the name of
        its host in the inventory, with or without C(.json). Hidden files are ignored.
      - A file is the result of M(ansible.builtin.setup), for example of C(ansible all -m setup --tree facts), a file of
        the fact cache C(ansible.builtin.jsonfile), or the variable C(ansible_facts).
      - Facts of a file replace those of the fact cache.
    type: list
    elements: path
  junit:
    description:
      - Path of a JUnit XML file to write. Each expectation of a host is a case. An unmet expectation is a failure, an
        unknown one is an error. An older file is removed first.
    type: path
  datastore_type:
    description:
      - The type of the datastore that the policies are for, which determines Calico's API. If omitted, the environment
        variable C(DATASTORE_TYPE) or calicoctl's default configuration file determines it, else it is V(etcdv2).
    type: str
    choices: [etcdv2, etcdv3, kubernetes]
  calico_version:
    description:
      - The version of Calico by which policies of Calico v3 are evaluated, such as V(v3.31.7). V(v3.32.1) if empty.
    type: str
  owner:
    description: The owner of the hosts' endpoints, as O(netsec.calico.calico_hostendpoints#module:owner).
    type: str
  policies_owner:
    description: The owner of the declared policies, as O(netsec.calico.calico_resources#module:owner).
    type: str
  resources:
    description: As O(netsec.calico.calico_inventory_policies#module:resources).
    type: raw
  src:
    description: As O(netsec.calico.calico_inventory_policies#module:src).
    type: list
    elements: path
  group_sets:
    description: As O(netsec.calico.calico_inventory_policies#module:group_sets).
    type: list
    elements: str
  library:
    description: As O(netsec.calico.calico_inventory_policies#module:library).
    type: list
    elements: str
  selector:
    description: As O(netsec.calico.calico_inventory_policies#module:selector).
    type: str
  ping_from:
    description: As O(netsec.calico.calico_inventory_policies#module:ping_from).
    type: list
    elements: str
  ssh_from:
    description: As O(netsec.calico.calico_inventory_policies#module:ssh_from).
    type: list
    elements: str
  ssh_ports:
    description: As O(netsec.calico.calico_inventory_policies#module:ssh_ports).
    type: list
    elements: raw
  dns_servers:
    description: As O(netsec.calico.calico_inventory_policies#module:dns_servers).
    type: list
    elements: str
  ntp_servers:
    description: As O(netsec.calico.calico_inventory_policies#module:ntp_servers).
    type: list
    elements: str
  etcd_servers:
    description: As O(netsec.calico.calico_inventory_policies#module:etcd_servers).
    type: list
    elements: str
  etcd_ports:
    description: As O(netsec.calico.calico_inventory_policies#module:etcd_ports).
    type: list
    elements: raw
  kube_apiservers:
    description: As O(netsec.calico.calico_inventory_policies#module:kube_apiservers).
    type: list
    elements: str
  kube_apiserver_ports:
    description: As O(netsec.calico.calico_inventory_policies#module:kube_apiserver_ports).
    type: list
    elements: raw
  node_exporter_from:
    description: As O(netsec.calico.calico_inventory_policies#module:node_exporter_from).
    type: list
    elements: str
  node_exporter_ports:
    description: As O(netsec.calico.calico_inventory_policies#module:node_exporter_ports).
    type: list
    elements: raw
notes:
  - The verdicts are those of M(netsec.calico.calico_connection_info), with the same limits.
  - IP pools are unknown, and so are labels of nodes unless manifests of nodes are given. What depends on them is
    unknown.
seealso:
  - module: netsec.calico.calico_connection_info
  - module: netsec.calico.calico_inventory_policies
"""

EXAMPLES = r"""
- name: Check the policies of the repository
  hosts: all
  gather_facts: false
  tasks:
    - name: Evaluate the expectations
      netsec.calico.calico_check_policies:
        datastore_type: etcdv3
        src: [policies]
        manifests: [cluster]
        facts: [facts]
        junit: check.xml
      delegate_to: localhost
      run_once: true
      register: check

    - name: Fail unless all expectations are met
      ansible.builtin.assert:
        that: not check.fails
        fail_msg: "{{ check.lines | join('\n') }}"
      run_once: true
"""

RETURN = r"""
results:
  description: All expectations, by host, and then the hosts without facts.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: Host of the inventory.
      type: str
    name:
      description: The expectation in words.
      type: str
    status:
      description: V(met), V(unmet) or V(unknown).
      type: str
    reason:
      description: The connection that decides, and what decides on it, or why the result is unknown.
      type: str
  sample:
    - host: web1
      name: "no telnet: in tcp/23 from 192.0.2.0/24, expect deny"
      status: unmet
      reason: "tcp port 23 from 192.0.2.1 must be denied; allowed by allow-all, ingress rule 1"
summary:
  description: Number of expectations by status.
  returned: success
  type: dict
  sample: {met: 11, unmet: 1, unknown: 0}
lines:
  description: A line for each expectation that is unmet or unknown, and a line that counts.
  returned: success
  type: list
  elements: str
  sample: ["12 expectations of 3 hosts: 12 met, 0 unmet, 0 unknown"]
reason:
  description: The line that counts.
  returned: success
  type: str
  sample: "12 expectations of 3 hosts: 12 met, 0 unmet, 0 unknown"
fails:
  description: Whether an expectation is unmet or unknown, or none is declared.
  returned: success
  type: bool
"""
