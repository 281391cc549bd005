# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: convert_v1
short_description: Convert host endpoints of Calico v1 to Calico v3
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Converts the endpoints of an C(etcdv2) datastore to endpoints that M(netsec.calico.calico_hostendpoints) accepts
    with O(netsec.calico.calico_hostendpoints#module:datastore_type=etcdv3).
  - Names are converted in the same way as by Calico's own C(calico-upgrade). The node becomes lower case, and
    characters that are invalid in v3 become C(-). The endpoint becomes C(NODE.NAME), followed by a hash if a character
    was replaced. Profile names are converted in the same way, and the prefix C(k8s_ns.) becomes C(kns.). Everything
    else is kept.
  - An endpoint that is invalid in v3 is an error. The message names all such endpoints and the problem of each. The
    problem can be a label that v3 rejects, two endpoints or two nodes that would get the same name, or the label
    C(projectcalico.org/created-by), which makes Calico v3's own controllers treat the endpoint as theirs and delete it.
    No endpoint is left out silently.
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

- name: Write the endpoints to the v3 datastore
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
    """Return the v3 endpoints of v1 endpoints, as module options."""
    try:
        return [endpoint.as_options() for endpoint in converted(hostendpoints)]
    except InvalidInput as exc:
        # All problems at once, so that one run is enough to find them.
        raise AnsibleFilterError("convert_v1: {0}".format("; ".join(exc.problems))) from exc


class FilterModule:
    """Filters for the endpoints of Calico v1."""

    def filters(self) -> dict:
        return {"convert_v1": convert_v1}
