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
  - Lists the Calico host endpoints of the datastore, and the stored values that Calico cannot read.
  - Credentials that only allow reading are enough.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
options:
  name:
    description:
      - Only endpoints of this name.
    type: str
  node:
    description:
      - Only endpoints of this node, by its exact name.
    type: str
  selector:
    description:
      - Only endpoints whose labels this expression in the language of Calico's selectors selects.
      - C(has(label\)), C(all(\)), C(label == "value"), C(label != "value"), C(label in {"value", "other"}) and
        C(label not in {"value", "other"}) are its tests. C(!) negates one, C(&&) binds more than C(||), and
        parentheses group. In YAML, an expression that begins with C(!) has to be quoted.
      - With O(datastore_type=etcdv3) there are C(label contains "text"), C(label starts with "text"),
        C(label ends with "text") and C(global(\)), too. Calico itself has the first three since v3.8, and
        C(global(\)) since v3.15.
      - Only the endpoint's own labels count. For policies, Calico also looks at the labels that an endpoint inherits
        from its profiles, so a policy with the same expression may select other endpoints.
      - RV(malformed) does not depend on it, since nobody knows the labels of such values.
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

- name: Read all endpoints with some labels
  netsec.calico.calico_hostendpoint_info:
    etcd_endpoints: http://etcd1.example.com:2379
    selector: type == "production" && has(role) && !(site in {"lab", "test"})

- name: Write them as manifests for calicoctl or Git
  ansible.builtin.copy:
    content: "{{ stored.hostendpoints | netsec.calico.to_resource('v1') | to_nice_json(sort_keys=false) }}"
    dest: myhost.json
    mode: "0644"

- name: Fail when a stored endpoint cannot be read by Calico, which leaves its interface open
  ansible.builtin.assert:
    that: stored.malformed == []
"""

RETURN = r"""
hostendpoints:
  description:
    - The endpoints, sorted by node and name. The keys are the option names of
      M(netsec.calico.calico_hostendpoint), so that they can be given to it. Nothing found is an empty list.
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
    - Stored values that Calico cannot read and silently skips, so that the interface that they are meant for is open.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: The key in the datastore.
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

from typing import Any, Dict, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    build_connection_options,
    connect,
    run,
    warn,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.results import build_listing, build_listing_warnings
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.module_utils._resources.selector import Selector


def parse_selector_option(text: Optional[str], api_version: ApiVersion) -> Optional[Selector]:
    """What the option says. Raises SelectorError, and InvalidInput for one that is empty."""
    if text is None:
        return None
    if not text.strip():
        raise InvalidInput(["filter: selector: is missing: it is all() that selects every endpoint"])
    return api_version.parse_selector(text)


def work(module: AnsibleModule) -> Dict[str, Any]:
    store = connect(module)
    node, name = module.params["node"], module.params["name"]
    store.api_version.check_filter(node, name)
    selector = parse_selector_option(module.params["selector"], store.api_version)
    found = [
        stored
        for stored in store.list(node or "")
        if name in (None, stored.name)
        and (selector is None or stored.error or selector.matches(stored.resource.labels))
    ]
    warn(module, build_listing_warnings(found, store.state, store.api_version))
    return build_listing(found, store.api_version)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(), name={"type": "str"}, node={"type": "str"}, selector={"type": "str"}
        ),
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
