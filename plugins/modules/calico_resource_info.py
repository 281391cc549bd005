#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_resource_info
short_description: Read Calico policies, network sets, profiles, tiers, settings of Felix and nodes
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Lists the Calico resources of one kind as manifests, and the stored values that Calico cannot read.
  - Host endpoints depend on these resources. M(netsec.calico.calico_connection_info) evaluates them.
  - Read-only credentials are sufficient.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._connection.names
options:
  kind:
    description:
      - Kind of the resources to return.
      - Calico v1 (O(datastore_type=etcdv2)) has V(HostEndpoint), V(policy) and V(profile). Calico v3 has all kinds but
        V(policy) and V(profile).
      - With O(datastore_type=kubernetes), V(Profile) returns the profiles that Calico makes from namespaces and service
        accounts. It does not return C(projectcalico-default-allow), which is not stored.
      - With O(datastore_type=kubernetes), V(Node) is an error, because the nodes are Kubernetes' own objects.
    type: str
    required: true
    choices:
      - HostEndpoint
      - GlobalNetworkPolicy
      - StagedGlobalNetworkPolicy
      - GlobalNetworkSet
      - Profile
      - Tier
      - FelixConfiguration
      - Node
      - policy
      - profile
  name:
    description:
      - Name of the resource to return.
      - A policy that Calico before v3.32 stored as C(default.NAME) has both names.
    type: str
  selector:
    description:
      - Selector of the resources to return, an expression in Calico's selector syntax that matches their labels, as in
        M(netsec.calico.calico_hostendpoint_info). A V(policy) of Calico v1 has no labels.
      - The selector does not apply to RV(malformed), because the labels of malformed values are unknown.
    type: str
seealso:
  - module: netsec.calico.calico_hostendpoint_info
  - module: netsec.calico.calico_connection_info
"""

EXAMPLES = r"""
- name: Read all policies
  netsec.calico.calico_resource_info:
    datastore_type: etcdv3
    etcd_endpoints: http://etcd1.example.com:2379
    kind: GlobalNetworkPolicy
  register: policies

- name: Write them as manifests for calicoctl or Git
  ansible.builtin.copy:
    content: "{{ policies.resources | to_nice_json(sort_keys=false) }}"
    dest: policies.json
    mode: "0644"

- name: Read the profiles of Calico v1
  netsec.calico.calico_resource_info:
    datastore_type: etcdv2
    etcd_endpoints: http://etcd1.example.com:2379
    kind: profile
  register: profiles

- name: Fail if Calico cannot read a stored policy, whose rules then do not apply
  ansible.builtin.assert:
    that: policies.malformed == []
"""

RETURN = r"""
resources:
  description:
    - The resources, sorted by name, as manifests that C(calicoctl apply) accepts. Empty fields are left out, except
      those with a meaning, such as an empty list of failsafe ports.
    - The status of a tier or a node is left out. C(calicoctl apply) of such a manifest removes the stored status of a
      node.
    - The list is empty if no resource matches.
  returned: success
  type: list
  elements: dict
  sample:
    - apiVersion: projectcalico.org/v3
      kind: GlobalNetworkPolicy
      metadata:
        name: allow-ssh
        labels:
          projectcalico.org/tier: default
      spec:
        tier: default
        order: 100
        ingress:
          - action: Allow
            protocol: TCP
            source:
              nets: [192.0.2.0/24]
            destination:
              ports: [22]
        selector: has(host-endpoint)
        types: [Ingress]
malformed:
  description:
    - Stored values that Calico cannot read, or whose name differs from their key. A warning states the effect of each.
    - "For Calico v1 also those that only Felix or only C(calicoctl) reads: a profile without the key C(rules) or
      C(tags), and a policy in another tier than C(default)."
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: Key of the value in the datastore; of a profile of Calico v1, the directory of its keys.
      type: str
    error:
      description: Why Calico cannot read the value.
      type: str
  sample:
    - key: /calico/resources/v3/projectcalico.org/globalnetworkpolicies/allow-ssh
      error: "spec.order is not a number: \"first\""
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    OPTION_NAMES,
    build_connection_options,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.resource_listing import KINDS, list_resources
from ansible_collections.netsec.calico.plugins.module_utils._module.runner import run


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            **OPTION_NAMES,
            kind={"type": "str", "required": True, "choices": list(KINDS)},
            name={"type": "str"},
            selector={"type": "str"},
        ),
        supports_check_mode=True,
    )
    run(module, list_resources)


if __name__ == "__main__":
    main()
