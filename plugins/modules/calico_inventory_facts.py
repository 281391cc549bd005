#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_facts
short_description: Gather facts of hosts that may be unreachable
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Gathers facts as M(ansible.builtin.gather_facts) does. If the host is unreachable, or if its facts cannot be
    gathered, the task is skipped for this host and returns the reason, so that the host remains in the play and the log
    has no error.
  - The playbook C(netsec.calico.audit) runs this module. M(netsec.calico.calico_inventory_audit) reports such a host as
    unknown, with the reason, if O(netsec.calico.calico_inventory_audit#module:facts_result) names the registered
    variable.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.reading
options:
  gather_subset:
    description:
      - As O(ansible.builtin.setup#module:gather_subset).
    type: list
    elements: str
    default: [all]
seealso:
  - module: ansible.builtin.gather_facts
  - module: netsec.calico.calico_inventory_audit
"""

EXAMPLES = r"""
- name: Gather the network facts
  netsec.calico.calico_inventory_facts:
    gather_subset: ["!all", "!min", network, platform, dns, env]
  register: gathered
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: when the facts were gathered
  type: dict
  sample: {interfaces: [lo, eth0]}
problem:
  description: Why the facts were not gathered.
  returned: when the facts were not gathered
  type: str
  sample: "unreachable: Failed to connect to the host via ssh"
"""
