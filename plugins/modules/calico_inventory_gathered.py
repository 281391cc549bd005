#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_gathered
short_description: Write the stored Calico host endpoints of the play's hosts to an inventory of variables
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Reads the stored endpoints through M(netsec.calico.calico_hostendpoint_info), and writes an inventory file with the
    variables of the role C(netsec.calico.hostendpoints) that declare exactly these endpoints. Applying the file changes
    nothing.
  - The playbook C(netsec.calico.gathered) runs this module. It brings endpoints that were created by hand under the
    role's management. It writes nothing to the datastore.
  - The file contains C(hostendpoints_owner) for all hosts. For each host, it contains C(hostendpoints_endpoints) and an
    empty C(hostendpoints_interfaces). It contains C(hostendpoints_node) only if it differs from the role's default.
  - Endpoints of Calico's own controllers are not included. RV(left_out) and the beginning of the file list everything
    else that is left out.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._variables
options:
  dest:
    description:
      - Path of the inventory file on the controller, with the extension C(.yml) or C(.yaml). An existing file that
        differs is replaced atomically. It keeps its permissions and, if permitted, its owner. If the path is a symbolic
        link, the target of the link is replaced.
      - Required, either here or in O(variables).
    type: path
  owner:
    description:
      - Current value of C(hostendpoints_owner). The module warns if it would override the value in the file.
    type: str
notes:
  - Run the module with C(run_once). It handles all hosts of a play at once, so it rejects C(serial) and the strategies
    C(free) and C(host_pinned).
  - The endpoints of hosts outside the play, for example outside C(--limit), are left out.
seealso:
  - module: netsec.calico.calico_hostendpoint_info
  - module: netsec.calico.calico_inventory_hostendpoints
"""

EXAMPLES = r"""
- name: Write the stored endpoints to an inventory
  netsec.calico.calico_inventory_gathered:
    etcd_endpoints: http://etcd1.example.com:2379
    dest: hostendpoints.yml
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
dest:
  description: Path of the file.
  returned: success
  type: str
  sample: /home/me/hostendpoints.yml
hosts:
  description: Number of hosts in the file.
  returned: success
  type: int
  sample: 1000
endpoints:
  description: Number of endpoints in the file.
  returned: success
  type: int
  sample: 2000
foreign:
  description: Number of stored endpoints that are Calico's own.
  returned: success
  type: int
  sample: 0
owner:
  description:
    - Value of C(hostendpoints_owner) in the file. It is empty unless all endpoints in the file have the same value of
      the label C(app.kubernetes.io/managed-by). If the file has no endpoints, it does not contain the variable.
  returned: success
  type: str
  sample: ""
left_out:
  description:
    - Items that are left out of the file, and why. These are stored values that Calico cannot read, endpoints of nodes
      that are not hosts of the play, endpoints that the collection would reject, and hosts whose node is unknown.
    - The list is limited to a few hundred thousand characters. The file contains the complete list.
  returned: success
  type: list
  elements: str
  sample: ["host endpoint eth0 on node old1: the node is not a host of the inventory"]
left_out_count:
  description: Number of items that are left out.
  returned: success
  type: int
  sample: 1
"""
