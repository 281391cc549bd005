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
    description: The name of the host as Calico's Felix knows it.
    type: str
    required: true
  datastore_type:
    description:
      - The datastore that the endpoints are for. With V(etcdv3), O(node) and the names of the endpoints are changed
        into such as Calico v3 takes, as the role does, and an endpoint is C({node}-{interface}) when its rule gives no
        name.
    type: str
    choices: [etcdv2, etcdv3]
    default: etcdv2
  rules:
    description: The rules, as the role's C(hostendpoints_interfaces).
    type: list
    elements: dict
    required: true
  ignore:
    description: Patterns of the names of interfaces that never get an endpoint, as the role's C(hostendpoints_ignore).
    type: list
    elements: str
    default: []
  labels:
    description: Labels for all endpoints, which a rule's labels beat.
    type: dict
    default: {}
  host_labels:
    description: Labels for all endpoints, which beat a rule's labels.
    type: dict
    default: {}
  inventory_hostname:
    description: What C({inventory_hostname}) stands for in a rule's pattern. By default the same as O(node).
    type: str
"""
