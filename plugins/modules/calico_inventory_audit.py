#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_audit
short_description: Compare the Calico host endpoints of the play's hosts with the datastore, and write reports
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Evaluates the interface rules of every host of the play against its facts, as in
    M(netsec.calico.calico_inventory_hostendpoints), and compares the resulting endpoints with the datastore through one
    call of M(netsec.calico.calico_hostendpoints_audit). It writes nothing to the datastore.
  - The playbook C(netsec.calico.audit) runs this module. The module does not fail if something differs; see RV(fails).
  - The status of an unreachable host, or of a host without facts, is unknown and never compliant.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._variables
options:
  owner:
    description:
      - As O(netsec.calico.calico_hostendpoints_audit#module:owner).
    type: str
  owner_label:
    description:
      - As O(netsec.calico.calico_hostendpoints_audit#module:owner_label).
    type: str
    default: app.kubernetes.io/managed-by
  decommission_nodes:
    description:
      - As O(netsec.calico.calico_hostendpoints_audit#module:decommission_nodes).
    type: list
    elements: str
  guard_require:
    description:
      - Connections that must remain open on every host, in addition to the connections that the guard of
        M(netsec.calico.calico_inventory_hostendpoints) requires and to each host's C(hostendpoints_guard_require).
      - An endpoint that blocks one of them is V(unsafe).
    type: list
    elements: dict
    suboptions:
      direction:
        description: As O(netsec.calico.calico_hostendpoints_audit#module:guard_require[].direction).
        type: str
        choices: [in, out]
        required: true
      protocol:
        description: As O(netsec.calico.calico_hostendpoints_audit#module:guard_require[].protocol).
        type: str
        required: true
      port:
        description: As O(netsec.calico.calico_hostendpoints_audit#module:guard_require[].port).
        type: int
      peer:
        description: As O(netsec.calico.calico_hostendpoints_audit#module:guard_require[].peer).
        type: str
  exceptions:
    description:
      - Findings that are known and accepted until a date. The reports contain an accepted finding with the reason, but
        it is not counted in its class. It makes neither the audit fail nor a host drifted.
      - An exception that has expired is a finding of the class V(expired). An exception that covers no finding causes
        a warning, unless it is only for hosts that are not compared.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description:
          - Name of a host or of its node in Calico, or a pattern with V(*) and V(?), such as V(web*). Findings about
            policies have the node V(*), which only the pattern V(*) covers.
          - Exactly one of O(exceptions[].node) and O(exceptions[].group) is required.
        type: str
      group:
        description: Name of a group of the inventory. The exception covers its hosts.
        type: str
      class:
        description:
          - Class of the findings, as in O(fail_on), except V(unknown).
          - Exactly one of O(exceptions[].class) and O(exceptions[].rule) is required.
        type: str
      rule:
        description: Rule of the findings, as in the reports, such as V(A03), or V(G05) for a check of the guard.
        type: str
      name:
        description:
          - Name of the endpoint, or of the policy or other resource, as in the reports. The kind of a resource can be
            omitted.
          - If omitted, the exception covers all names.
        type: str
      reason:
        description: Why the findings are accepted. The reports show it.
        type: str
        required: true
      expires:
        description:
          - Last day on which the exception is valid, as YYYY-MM-DD. The day ends at midnight UTC.
        type: raw
        required: true
  fail_on:
    description:
      - Classes of findings on which the audit fails. RV(fails) is true if at least one such finding exists.
      - V(unknown) is about unknown hosts, and about expectations of the declared connectivity that are neither met nor
        unmet.
    type: list
    elements: str
    choices: [unsafe, malformed, shadowed, missing, unmet, changed, unmanaged, orphaned, expired, unknown]
    default: []
  report_dir:
    description:
      - Path of the directory for the reports, on the controller. It is created if it does not exist.
      - Reports of an earlier audit in the directory are deleted first. If a report is a symbolic link, only the link is
        deleted. If the audit cannot be completed, no reports exist. Each report is a new file whose permissions depend
        on the umask.
      - C(audit.json) and C(audit.html) also list the policies that select each stored endpoint of the hosts.
      - If omitted, no files are written.
    type: path
  report_formats:
    description:
      - Formats of the reports C(audit.json), C(audit.csv), C(audit.xml) (JUnit) and C(audit.html). The default is all
        formats. An empty list writes no reports.
      - V(csv) writes two files, C(audit.csv) with a row for each finding, and C(audit_fields.csv) with a row for each
        field of the findings. The column C(id) connects them.
    type: list
    elements: str
    choices: [json, csv, junit, html]
  facts_result:
    description:
      - Name of the variable in which an earlier task of this play registered the result of gathering facts. A host for
        which this result is unreachable or failed, or has a C(problem) of M(netsec.calico.calico_inventory_facts), is
        unknown, even if the run has cached facts of it.
      - If omitted, the facts of all hosts are used, whatever their age.
    type: str
  policies_result:
    description:
      - Name of the variable in which an earlier task of this play registered the result of
        M(netsec.calico.calico_inventory_policies) in check mode with a diff. The reports then list the policies that
        are V(missing), V(changed) or V(unmanaged), with the node V(*).
      - If omitted, or if that task was skipped, policies are not compared.
    type: str
notes:
  - Run the module with C(run_once). It handles all hosts of a play at once, so it rejects C(serial) and the strategies
    C(free) and C(host_pinned).
seealso:
  - module: netsec.calico.calico_hostendpoints_audit
"""

EXAMPLES = r"""
- name: Audit all hosts of the play
  netsec.calico.calico_inventory_audit:
    etcd_endpoints: http://etcd1.example.com:2379
    owner: netsec.calico
    report_dir: /var/www/html/hostendpoints
    fail_on: [missing, changed]
    exceptions:
      - group: lab
        class: unmanaged
        reason: the lab team tests its own endpoints
        expires: 2027-01-31
  delegate_to: localhost
  run_once: true
  register: audit
"""

RETURN = r"""
fails:
  description: Whether a finding of a class in O(fail_on) exists.
  returned: success
  type: bool
  sample: false
reason:
  description: Why the audit fails, or a summary of the findings, in one line.
  returned: success
  type: str
  sample: "3 missing, 1 changed (fail_on: missing, changed)"
summary:
  description:
    - Number of hosts of each status and number of endpoints of each class. C(accepted) is the number of findings that
      an exception covers, which are counted nowhere else.
    - C(groups) and C(labels) have the number of hosts of each status by group of the inventory and by label of the
      declared endpoints, for the 200 groups and labels with the most drifted hosts. A group named C(all) is omitted if
      the hosts have others, and a label is omitted if it has more than 20 values.
  returned: success
  type: dict
  sample:
    accepted: 1
    hosts: {compliant: 10, drifted: 2, unknown: 1}
    endpoints:
      compliant: 20
      unsafe: 0
      malformed: 0
      shadowed: 0
      missing: 3
      changed: 1
      unmanaged: 0
      orphaned: 0
      foreign: 2
    groups:
      web: {compliant: 10, drifted: 2, unknown: 1}
    labels:
      zone=dmz: {compliant: 10, drifted: 2, unknown: 0}
unknown_hosts:
  description: The hosts that were not compared, sorted.
  returned: success
  type: list
  elements: str
  sample: [web7]
unknown_hosts_omitted:
  description: Number of hosts omitted from RV(unknown_hosts) because of its size limit.
  returned: success
  type: int
  sample: 0
reports:
  description: Paths of the reports on the controller, by format. The second file of V(csv) is C(csv_fields).
  returned: success
  type: dict
  sample: {html: /var/www/html/hostendpoints/audit.html}
banner:
  description:
    - The summary and the most severe findings, as lines for a log. Each class of findings has at least two lines. Long
      lines are truncated.
  returned: success
  type: list
  elements: str
  sample: ["AUDIT passed: everything matches"]
datastore:
  description: As RV(netsec.calico.calico_hostendpoints_audit#module:datastore).
  returned: success
  type: dict
  sample:
    type: etcdv2
    endpoints: ["http://etcd1.example.com:2379"]
    warning: ""
"""
