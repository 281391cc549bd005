# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: convert_v1
short_description: Make Calico v3's host endpoints of Calico v1's
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Turns the endpoints of an C(etcdv2) datastore into what M(netsec.calico.calico_hostendpoints) takes with
    O(netsec.calico.calico_hostendpoints#module:datastore_type=etcdv3).
  - Names are those that Calico's own C(calico-upgrade) gives. The node is in lower case, and characters that v3 does
    not have become C(-). The endpoint is C(NODE.NAME), with a hash behind it when a character had to be changed.
    Profiles are named in the same way, and C(k8s_ns.) at their beginning becomes C(kns.). All else stays as it is.
  - It is an error when v3 cannot have one of the endpoints. The error names all of them, each with what is wrong with
    it. It can be a label that v3 refuses, two endpoints or two nodes that would become one, or the label
    C(projectcalico.org/created-by), by which Calico v3's own controllers would take the endpoint and delete it.
    Nothing is left out silently.
extends_documentation_fragment:
  - netsec.calico._convert
seealso:
  - plugin: netsec.calico.explain_convert_v1
    plugin_type: filter
  - module: netsec.calico.calico_hostendpoints
"""

EXAMPLES = r"""
- name: Read all endpoints of the v1 datastore
  netsec.calico.calico_hostendpoint_info:
    datastore_type: etcdv2
    etcd_endpoints: http://etcd1.example.com:2379
  register: stored

- name: Write them to the v3 datastore
  netsec.calico.calico_hostendpoints:
    datastore_type: etcdv3
    etcd_endpoints: http://etcd2.example.com:2379
    endpoints: "{{ stored.hostendpoints | netsec.calico.convert_v1 }}"
"""

RETURN = r"""
_value:
  description: The endpoints in the given order, with the option names of the modules as keys.
  type: list
  elements: dict
  sample:
    - name: myhost.eth0
      node: myhost
      labels: {}
      interface_name: eth0
      expected_ips: []
      profiles: [kns.default]
      ports: []
"""

from typing import Any, Dict, List

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.v1_upgrade import converted


def convert_v1(hostendpoints: Any) -> List[Dict[str, Any]]:
    """The v3 endpoints of these v1 ones."""
    try:
        return [endpoint.as_options() for endpoint in converted(hostendpoints)]
    except InvalidInput as exc:
        # All of them: to mend one after another would take a run for each.
        raise AnsibleFilterError("convert_v1: {0}".format("; ".join(exc.problems))) from exc


class FilterModule:
    """Filters about the endpoints of Calico v1."""

    def filters(self) -> dict:
        return {"convert_v1": convert_v1}
