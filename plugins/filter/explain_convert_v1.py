# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: explain_convert_v1
short_description: Explain the conversion of each Calico v1 host endpoint to Calico v3, with its problems
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Converts the endpoints in the same way as P(netsec.calico.convert_v1#filter), and returns the problems that this
    filter would report as errors.
extends_documentation_fragment:
  - netsec.calico._convert
seealso:
  - plugin: netsec.calico.convert_v1
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read all endpoints of the v1 datastore
  netsec.calico.calico_hostendpoint_info:
    datastore_type: etcdv2
    etcd_endpoints: http://etcd1.example.com:2379
  register: stored

- name: Show the endpoints that are invalid in v3
  ansible.builtin.debug:
    msg: "{{ stored.hostendpoints | netsec.calico.explain_convert_v1 | rejectattr('problems', 'equalto', []) }}"
"""

RETURN = r"""
_value:
  description: One item for each endpoint, in the given order.
  type: list
  elements: dict
  contains:
    node:
      description: Node of the endpoint in v1.
      type: str
    name:
      description: Name of the endpoint in v1.
      type: str
    v3_node:
      description: Node of the endpoint in v3.
      type: str
    v3_name:
      description: Name of the endpoint in v3.
      type: str
    problems:
      description: Why the endpoint is invalid in v3. Empty if it is valid.
      type: list
      elements: str
  sample:
    - node: DB_1
      name: eth0
      v3_node: db-1
      v3_name: db-1.eth0
      problems:
        - >-
          host endpoint eth0 on node DB_1 becomes host endpoint db-1.eth0 on node db-1: node: 'db-1' is what node db-1
          becomes, too
"""

from typing import Any, Dict, List

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.v1_upgrade import convert_endpoints


def explain_convert_v1(hostendpoints: Any) -> List[Dict[str, Any]]:
    """Return the v3 name and node of each v1 endpoint, and its problems."""
    try:
        conversions = convert_endpoints(hostendpoints)
    except InvalidInput as exc:
        raise AnsibleFilterError("explain_convert_v1: {0}".format("; ".join(exc.problems))) from exc
    return [
        {
            "node": each.v1.node,
            "name": each.v1.name,
            "v3_node": each.v3.node,
            "v3_name": each.v3.name,
            "problems": each.problems,
        }
        for each in conversions
    ]


class FilterModule:
    """Filters for the endpoints of Calico v1."""

    def filters(self) -> dict:
        return {"explain_convert_v1": explain_convert_v1}
