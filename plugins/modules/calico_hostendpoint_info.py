#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoint_info
short_description: Read Calico host endpoints
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Lists the Calico host endpoints in the datastore, and the stored values that Calico cannot read.
  - Read-only credentials are sufficient.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._connection.names
options:
  name:
    description:
      - Name of the endpoints to return.
    type: str
  node:
    description:
      - Exact name of the node whose endpoints are returned.
    type: str
  selector:
    description:
      - Selector of the endpoints to return, an expression in Calico's selector syntax that matches their labels.
      - The tests are C(has(label\)), C(all(\)), C(label == "value"), C(label != "value"),
        C(label in {"value", "other"}) and C(label not in {"value", "other"}). C(!) negates a test, C(&&) has precedence
        over C(||), and parentheses group tests. In YAML, quote an expression that begins with C(!).
      - O(datastore_type=etcdv3) adds C(label contains "text"), C(label starts with "text"), C(label ends with "text")
        and C(global(\)). Calico itself supports the first three since v3.8, and C(global(\)) since v3.15.
      - Only the endpoint's own labels are evaluated. Policies in Calico also match the labels that an endpoint inherits
        from its profiles, so a policy with the same expression may select different endpoints.
      - The selector does not apply to RV(malformed), because the labels of malformed values are unknown.
    type: str
seealso:
  - module: netsec.calico.calico_hostendpoint
  - plugin: netsec.calico.to_resource
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read all endpoints of one host
  netsec.calico.calico_hostendpoint_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: myhost
  register: stored

- name: Read all endpoints that match a selector
  netsec.calico.calico_hostendpoint_info:
    etcd_endpoints: http://etcd1.example.com:2379
    selector: type == "production" && has(role) && !(site in {"lab", "test"})

- name: Write the endpoints as manifests for calicoctl or Git
  ansible.builtin.copy:
    content: "{{ stored.hostendpoints | netsec.calico.to_resource('v1') | to_nice_json(sort_keys=false) }}"
    dest: myhost.json
    mode: "0644"

- name: Fail if Calico cannot read a stored endpoint, which leaves its interface open
  ansible.builtin.assert:
    that: stored.malformed == []
"""

RETURN = r"""
hostendpoints:
  description:
    - The endpoints, sorted by node and name. The keys are the option names of
      M(netsec.calico.calico_hostendpoint), so an endpoint can be passed to it.
    - The list is empty if no endpoint matches.
  returned: success
  type: list
  elements: dict
  sample:
    - name: eth0
      node: myhost
      labels:
        type: production
      interface_name: eth0
      expected_ips: [192.168.0.1, "2001:db8::1"]
      profiles: [profile1]
malformed:
  description:
    - Stored values that Calico cannot read and silently skips, which leaves their interfaces open.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: Key of the value in the datastore.
      type: str
    error:
      description: Why Calico cannot read the value.
      type: str
  sample:
    - key: /calico/v1/host/myhost/endpoint/eth1
      error: "labels[type] is not a text: 5"
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._module.listing import list_endpoints
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    OPTION_NAMES,
    build_connection_options,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.runner import run


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            **OPTION_NAMES,
            name={"type": "str"},
            node={"type": "str"},
            selector={"type": "str"},
        ),
        supports_check_mode=True,
    )
    run(module, list_endpoints)


if __name__ == "__main__":
    main()
