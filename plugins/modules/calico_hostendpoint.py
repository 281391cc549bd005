#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoint
short_description: Manage a Calico host endpoint
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Creates, updates and deletes a Calico host endpoint, the resource that applies network policy to an interface of the
    host itself.
  - The module reads the stored endpoint and writes only differences, by compare-and-swap, so that concurrent writes of
    others are not lost.
  - With C(--check), it returns exactly what the real run would do. With C(--diff), it shows the endpoint before and
    after the change as YAML that C(calicoctl) accepts.
  - B(Creating an endpoint closes its interface.) Calico drops all traffic except on its failsafe ports, unless
    policies or profiles allow it. B(Deleting an endpoint opens its interface.) Policies no longer apply to it.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._hostendpoint
  - netsec.calico._guard
  - netsec.calico._guard.mode
options:
  state:
    description:
      - V(present) makes the endpoint exactly as declared in the task. An omitted field is empty, as in
        C(calicoctl apply), so a profile that was added by hand is reported as a difference.
      - V(patched) changes only the given fields of an existing endpoint and keeps the other fields. A given list
        replaces the stored list; O(labels) are merged by key, and a label with the value V(null) is removed.
      - V(absent) deletes the endpoint. On etcdv3, O(node) can be omitted. If it is given, an endpoint of this name on
        another node is an error and is not deleted.
    type: str
    choices: [present, patched, absent]
    default: present
  server_dry_run:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:server_dry_run).
    type: bool
    default: false
  resource:
    description:
      - The endpoint as a Calico resource that C(calicoctl) accepts, instead of the individual fields.
      - A mapping, or a string with a YAML or JSON document. The string is read like the file in
        O(netsec.calico.calico_hostendpoints#module:src).
      - Resources with C(apiVersion=v1) and C(kind=hostEndpoint), and with C(apiVersion=projectcalico.org/v3) and
        C(kind=HostEndpoint), are accepted on every datastore, if the datastore supports their fields.
      - Keys are not case-sensitive, as in C(calicoctl). Unknown, misplaced and duplicate keys are errors.
      - In the metadata of a C(projectcalico.org/v3) resource, the keys that Calico's API itself sets are ignored
        (C(uid), C(creationTimestamp), C(resourceVersion), C(generation), C(selfLink), C(managedFields)).
    type: raw
notes:
  - An update keeps everything in the stored value that the module does not manage. This includes unknown JSON keys and,
    on etcdv3, annotations that are not given, the uid, the creation time, owners and finalizers.
  - Endpoints with the label C(projectcalico.org/created-by) belong to Calico's own controllers. The module never
    changes them.
  - The module does not write to a datastore that Calico has locked, for example through C(calico-upgrade).
seealso:
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Apply policy to eth0 of myhost
  netsec.calico.calico_hostendpoint:
    etcd_endpoints: http://etcd1.example.com:2379
    name: eth0
    node: myhost
    interface_name: eth0
    expected_ips:
      - 192.168.0.1
      - 2001:db8::1
    labels:
      type: production
    profiles:
      - profile1

- name: Manage the same endpoint from a manifest in Git
  netsec.calico.calico_hostendpoint:
    resource: "{{ lookup('ansible.builtin.file', 'eth0.yaml') }}"

- name: Change one label, remove another, keep the rest
  netsec.calico.calico_hostendpoint:
    name: eth0
    node: myhost
    state: patched
    labels:
      type: staging
      deprecated: null

- name: Stop applying policy to eth0 of myhost
  netsec.calico.calico_hostendpoint:
    name: eth0
    node: myhost
    state: absent

- name: Share options between tasks, and use calicoctl's short name of the resource
  module_defaults:
    group/netsec.calico.calico:
      etcd_endpoints:
        - https://etcd1.example.com:2379
        - https://etcd2.example.com:2379
      etcd_ca_cert_file: /etc/calico/certs/ca.pem
      etcd_cert_file: /etc/calico/certs/cert.pem
      etcd_key_file: /etc/calico/certs/key.pem
  block:
    - name: Apply policy to eth1 of myhost
      netsec.calico.hep:
        name: eth1
        node: myhost
        interface_name: eth1
"""

RETURN = r"""
operation:
  description: The operation that was done, or would be done in check mode.
  returned: success
  type: str
  choices: [none, create, update, delete]
  sample: update
fields:
  description:
    - Names of the fields that differ, in the order of RV(hostendpoint). For a created or deleted endpoint, the names of
      its non-empty fields.
  returned: success
  type: list
  elements: str
  sample: [labels, profiles]
hostendpoint:
  description:
    - The endpoint after the task, or as it would be in check mode. The keys are the names of this module's options.
    - It contains only the annotations that the task gives.
    - V(null) if the endpoint does not exist.
  returned: success
  type: dict
  sample:
    name: eth0
    node: myhost
    labels:
      type: production
    interface_name: eth0
    expected_ips: [192.168.0.1, "2001:db8::1"]
    profiles: [profile1]
guard:
  description: As RV(netsec.calico.calico_hostendpoints#module:guard), for this endpoint.
  returned: success, and when the guard rejects the change
  type: list
  elements: dict
  sample: []
guard_omitted:
  description: As RV(netsec.calico.calico_hostendpoints#module:guard_omitted).
  returned: success, and when the guard rejects the change
  type: int
  sample: 0
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import (
    CONNECTIVITY_OPTIONS,
    GUARD_MODE,
    GUARD_OPTIONS,
    GUARD_SOURCES,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.endpoint import apply_endpoint
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    HOSTENDPOINT_OPTIONS,
    build_connection_options,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.runner import run


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            state={"type": "str", "choices": ["present", "patched", "absent"], "default": "present"},
            resource={"type": "raw"},
            guard=GUARD_MODE,
            server_dry_run={"type": "bool", "default": False},
            **GUARD_OPTIONS,
            **CONNECTIVITY_OPTIONS,
            **HOSTENDPOINT_OPTIONS,
        ),
        required_one_of=[("name", "resource")],
        mutually_exclusive=[("resource", field) for field in HOSTENDPOINT_OPTIONS] + [*GUARD_SOURCES],
        supports_check_mode=True,
    )
    run(module, apply_endpoint)


if __name__ == "__main__":
    main()
