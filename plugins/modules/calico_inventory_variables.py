#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Implemented as an action plugin.

DOCUMENTATION = r"""
---
module: calico_inventory_variables
short_description: Read inventory variables that facts cannot override
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Returns the values of variables of the play's host without its facts. In a template, a fact overrides an inventory
    variable, and a managed host controls the names and values of its facts.
  - Fails if the facts of a host of the play contain a variable of this collection, which begins with C(hostendpoints_)
    or C(calico_).
  - The playbooks of this collection read their variables through this module. A registered result overrides facts.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.reading
  - netsec.calico._variables
seealso:
  - module: netsec.calico.calico_inventory_hostendpoints
"""

EXAMPLES = r"""
- name: Read the datastore settings
  netsec.calico.calico_inventory_variables:
    variables:
      etcd_endpoints: hostendpoints_etcd_endpoints
      etcd_password: hostendpoints_etcd_password
  register: datastore

- name: Read the endpoints
  netsec.calico.calico_hostendpoint_info:
    etcd_endpoints: "{{ datastore.variables.etcd_endpoints }}"
    etcd_password: "{{ datastore.variables.etcd_password | default(omit) }}"
"""

RETURN = r"""
variables:
  description:
    - The values by the keys of O(variables). Undefined and null variables are omitted.
    - The values can contain a password, so the result is never displayed.
  returned: success
  type: dict
  sample: {etcd_endpoints: "http://etcd1.example.com:2379"}
"""
