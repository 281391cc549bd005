#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_audit
short_description: Compare the Calico host endpoints of the play's hosts with what is stored, and write reports
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Evaluates the interface rules of every host of the play against its facts, as
    M(netsec.calico.calico_inventory_hostendpoints) does, and compares them by
    M(netsec.calico.calico_hostendpoints_audit) in one call. Nothing is written to the datastore.
  - This is what the playbook C(netsec.calico.audit) runs. It does not fail when something differs; see RV(fails).
  - A host that could not be reached, or whose facts are not known, is unknown, and never compliant.
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
      - Connections of every host that must stay open, beside those that the guard of
        M(netsec.calico.calico_inventory_hostendpoints) asks for. Each host's C(hostendpoints_guard_require) counts,
        too.
      - An endpoint that does not let one through is V(unsafe).
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
  fail_on:
    description:
      - The classes of findings of which one is enough for RV(fails).
    type: list
    elements: str
    choices: [missing, changed, unmanaged, orphaned, shadowed, malformed, unsafe, unknown]
    default: []
  report_dir:
    description:
      - A folder on the controller that gets the reports. It is made when it is not there.
      - The reports of an earlier audit that are there are removed first, of a symbolic link the link. So when the audit
        cannot be made, there are none, and each report is a new file with the permissions that the umask leaves.
      - C(audit.json) and C(audit.html) also say which policies select each endpoint that is stored for the hosts.
      - No files are written when it is not given.
    type: path
  report_formats:
    description:
      - Which reports are written, C(audit.json), C(audit.csv), C(audit.xml) (JUnit) and C(audit.html). All by default,
        and none with an empty list.
    type: list
    elements: str
    choices: [json, csv, junit, html]
notes:
  - Run it with C(run_once). It is about all hosts of a play at once, so C(serial) and the strategies C(free) and
    C(host_pinned) are refused.
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
  delegate_to: localhost
  run_once: true
  register: audit
"""

RETURN = r"""
fails:
  description: Whether there is a finding of a class in O(fail_on).
  returned: success
  type: bool
  sample: false
reason:
  description: Why it fails, or what was found, in a line.
  returned: success
  type: str
  sample: "3 missing, 1 changed (fail_on: missing, changed)"
summary:
  description: How many hosts there are of each status, and how many endpoints of each class.
  returned: success
  type: dict
  sample:
    hosts: {compliant: 10, drifted: 2, unknown: 1}
    endpoints:
      compliant: 20
      missing: 3
      changed: 1
      unmanaged: 0
      orphaned: 0
      shadowed: 0
      malformed: 0
      unsafe: 0
      foreign: 2
unknown_hosts:
  description: The hosts that were not compared, sorted.
  returned: success
  type: list
  elements: str
  sample: [web7]
unknown_hosts_omitted:
  description: How many hosts RV(unknown_hosts) leaves out because of its size.
  returned: success
  type: int
  sample: 0
reports:
  description: The paths of the reports on the controller, by format.
  returned: success
  type: dict
  sample: {html: /var/www/html/hostendpoints/audit.html}
banner:
  description: The numbers and the first findings, as lines of text for a log; long lines are cut.
  returned: success
  type: list
  elements: str
  sample: ["AUDIT passed: all is as wanted"]
datastore:
  description: As RV(netsec.calico.calico_hostendpoints_audit#module:datastore).
  returned: success
  type: dict
  sample:
    type: etcdv2
    endpoints: ["http://etcd1.example.com:2379"]
    warning: ""
"""
