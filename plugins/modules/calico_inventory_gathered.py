#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_gathered
short_description: Turn the stored Calico host endpoints of the play's hosts into an inventory of variables
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Reads what is stored by M(netsec.calico.calico_hostendpoint_info), and writes an inventory file with the variables
    of the role C(netsec.calico.hostendpoints) that make exactly this. Applied, they change nothing.
  - This is what the playbook C(netsec.calico.gathered) runs, and how a fleet whose endpoints were made by hand comes
    under the role's management. Nothing is written to the datastore.
  - The file has C(hostendpoints_owner) for all, and for each host C(hostendpoints_interfaces), which is empty, and
    C(hostendpoints_endpoints); C(hostendpoints_node) only where it is not the role's default.
  - Endpoints of Calico's own controllers are not in it. What else is left out is listed in RV(left_out), and at the
    beginning of the file.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._variables
options:
  dest:
    description:
      - The inventory file on the controller, with a name that ends in C(.yml) or C(.yaml). A file that is there is
        replaced when it differs, as a whole or not at all, and keeps its permissions and, where that is permitted, its
        owner. Where it is a symbolic link, that is the file it leads to.
      - Required, here or in O(variables).
    type: path
  owner:
    description:
      - The value of C(hostendpoints_owner) that counts now, so that a warning can say when it would beat the one in the
        file.
    type: str
notes:
  - Run it with C(run_once). It is about all hosts of a play at once, so C(serial) and the strategies C(free) and
    C(host_pinned) are refused.
  - The endpoints of hosts outside the play, for example outside C(--limit), are left out.
seealso:
  - module: netsec.calico.calico_hostendpoint_info
  - module: netsec.calico.calico_inventory_hostendpoints
"""

EXAMPLES = r"""
- name: Turn what is stored into variables
  netsec.calico.calico_inventory_gathered:
    etcd_endpoints: http://etcd1.example.com:2379
    dest: hostendpoints.yml
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
dest:
  description: The path of the file.
  returned: success
  type: str
  sample: /home/me/hostendpoints.yml
hosts:
  description: How many hosts are in the file.
  returned: success
  type: int
  sample: 1000
endpoints:
  description: How many endpoints are in the file.
  returned: success
  type: int
  sample: 2000
foreign:
  description: How many stored endpoints are Calico's own.
  returned: success
  type: int
  sample: 0
owner:
  description:
    - The value of C(hostendpoints_owner) in the file. It is empty unless all endpoints in the file carry the label
      C(app.kubernetes.io/managed-by) with one value. Without any endpoint, the file does not have the variable.
  returned: success
  type: str
  sample: ""
left_out:
  description:
    - What is left out, and why. Stored values that Calico cannot read, endpoints of nodes that are no host of the play,
      endpoints that the collection would refuse to write, and hosts whose node is not known.
    - It ends after some hundred thousand characters. The file has all.
  returned: success
  type: list
  elements: str
  sample: ["host endpoint eth0 on node old1: the node is no host of the inventory"]
left_out_count:
  description: How many things are left out.
  returned: success
  type: int
  sample: 1
"""
