# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  _input:
    description: The facts of the host, C(ansible_facts).
    type: dict
    required: true
  node:
    description: Name of the host in Calico's Felix.
    type: str
    required: true
  datastore_type:
    description:
      - Type of the datastore of the endpoints. With V(etcdv3), O(node) and the names of the endpoints are converted to
        names that are valid in Calico v3, as in the role. The default name of an endpoint is then
        C({node}-{interface}).
    type: str
    choices: [etcdv2, etcdv3]
    default: etcdv2
  rules:
    description: The rules, as in the role's C(hostendpoints_interfaces).
    type: list
    elements: dict
    required: true
  ignore:
    description: >-
      Name patterns of interfaces that never get an endpoint, as in the role's C(hostendpoints_ignore).
    type: list
    elements: str
    default: []
  labels:
    description: Labels of all endpoints. A rule's labels override them.
    type: dict
    default: {}
  host_labels:
    description: Labels of all endpoints. They override a rule's labels.
    type: dict
    default: {}
  inventory_hostname:
    description: Value of C({inventory_hostname}) in a rule's endpoint name. The default is the value of O(node).
    type: str
"""
