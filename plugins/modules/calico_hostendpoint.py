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
  - Creates, updates and deletes a Calico host endpoint, the resource that puts an interface of a host itself under
    network policy.
  - The module reads what the datastore holds and writes only what differs, by compare-and-swap, so that nothing that
    others write at the same time is lost.
  - With C(--check) it tells exactly what the real run would do, with C(--diff) each side as the YAML that
    C(calicoctl) takes.
  - B(Creating an endpoint closes its interface.) Everything is dropped except Calico's failsafe ports and what
    policies and profiles allow. B(Deleting an endpoint opens its interface.) Nothing on it is policed any more.
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
      - V(present) means that the endpoint is exactly what the task says. A field that is left out is empty, as with
        C(calicoctl apply), so that a profile that somebody added by hand shows up as a difference.
      - V(patched) means that the endpoint exists already and the given fields are what the task says. The other
        fields stay as they are. A given list replaces the list; O(labels) are merged by key, and a label that is
        given as V(null) is removed.
      - V(absent) means that there is no such endpoint. On etcdv3, O(node) may be left out; if it is given, an endpoint
        of this name on another node is an error, and is not deleted.
    type: str
    choices: [present, patched, absent]
    default: present
  resource:
    description:
      - The endpoint as a Calico resource, as C(calicoctl) takes it, instead of the single fields.
      - A mapping, or the text of a YAML or JSON document, read as O(netsec.calico.calico_hostendpoints#module:src) is.
      - Resources with C(apiVersion=v1) and C(kind=hostEndpoint), and with C(apiVersion=projectcalico.org/v3) and
        C(kind=HostEndpoint), are accepted, whatever the datastore, as far as their fields carry over.
      - Keys are read whatever their case, as C(calicoctl) does. Unknown and misplaced keys are errors, and so is a key
        that is given twice.
      - In the metadata of a C(projectcalico.org/v3) resource, what Calico's API itself sets (C(uid),
        C(creationTimestamp), C(resourceVersion), C(generation), C(selfLink), C(managedFields)) is ignored.
    type: raw
notes:
  - What is written keeps what it does not manage, which are unknown JSON keys, and on etcdv3 annotations that are not
    given, uid, creation time, owners and finalizers too.
  - Endpoints with the label C(projectcalico.org/created-by) belong to Calico's own controllers. They are never changed.
  - A datastore that Calico has locked, as C(calico-upgrade) does, is not written to.
seealso:
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Put eth0 of myhost under policy
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

- name: The same, from a manifest in Git
  netsec.calico.calico_hostendpoint:
    resource: "{{ lookup('ansible.builtin.file', 'eth0.yaml') }}"

- name: Change one label, drop another, leave all else
  netsec.calico.calico_hostendpoint:
    name: eth0
    node: myhost
    state: patched
    labels:
      type: staging
      deprecated: null

- name: Stop policing eth0 of myhost
  netsec.calico.calico_hostendpoint:
    name: eth0
    node: myhost
    state: absent

- name: The same options for several tasks, and calicoctl's short name of the resource
  module_defaults:
    group/netsec.calico.calico:
      etcd_endpoints:
        - https://etcd1.example.com:2379
        - https://etcd2.example.com:2379
      etcd_ca_cert_file: /etc/calico/certs/ca.pem
      etcd_cert_file: /etc/calico/certs/cert.pem
      etcd_key_file: /etc/calico/certs/key.pem
  block:
    - name: Put eth1 of myhost under policy
      netsec.calico.hep:
        name: eth1
        node: myhost
        interface_name: eth1
"""

RETURN = r"""
operation:
  description: What was done, or in check mode would be done.
  returned: success
  type: str
  choices: [none, create, update, delete]
  sample: update
fields:
  description:
    - Names of the fields that differ, sorted as in RV(hostendpoint). For a created or deleted endpoint the ones that
      are not empty.
  returned: success
  type: list
  elements: str
  sample: [labels, profiles]
hostendpoint:
  description:
    - The endpoint as it is now, or in check mode would be. The keys are the names of this module's options.
    - Of its annotations, those that the task gives.
    - V(null) when there is no such endpoint.
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
  description: As RV(netsec.calico.calico_hostendpoints#module:guard), of this endpoint.
  returned: success, and when the guard refuses
  type: list
  elements: dict
  sample: []
guard_omitted:
  description: As RV(netsec.calico.calico_hostendpoints#module:guard_omitted).
  returned: success, and when the guard refuses
  type: int
  sample: 0
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import DatastoreError
from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import (
    GUARD_MODE,
    GUARD_OPTIONS,
    GUARD_SOURCES,
    parse_guard_policy,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    HOSTENDPOINT_OPTIONS,
    build_connection_options,
    connect,
    run,
    wanted,
    warn,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.results import (
    build_result,
    build_warnings,
    format_failure,
)


def work(module: AnsibleModule) -> Dict[str, Any]:
    guard_policy = parse_guard_policy(module.params)
    store = connect(module)
    want = wanted(module.params, store.api_version)
    outcome = apply(store, {store.key(want.ref): want}, module.check_mode, guard=guard_policy.check)
    for _change, error in outcome.failed:
        raise error
    if outcome.not_attempted:
        raise DatastoreError(format_failure(outcome))
    change = outcome.changes[0]
    warn(module, build_warnings(change, outcome, store.api_version))
    return build_result(change, store.api_version, module._diff, outcome.guarded)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            state={"type": "str", "choices": ["present", "patched", "absent"], "default": "present"},
            resource={"type": "raw"},
            guard=GUARD_MODE,
            **GUARD_OPTIONS,
            **HOSTENDPOINT_OPTIONS,
        ),
        required_one_of=[("name", "resource")],
        mutually_exclusive=[("resource", field) for field in HOSTENDPOINT_OPTIONS] + [GUARD_SOURCES],
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
