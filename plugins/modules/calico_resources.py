#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_resources
short_description: Manage Calico policies and what they depend on
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Creates, updates and deletes Calico resources of several kinds, given as manifests, in one call. The module reads
    the datastore once and writes only differences, by compare-and-swap.
  - On request, it deletes resources of an owner that are not part of the set.
  - The module validates all input and reads all stored data before the first write. It writes a kind after the kinds
    that it refers to. The order is tiers, network sets, profiles, nodes, settings of Felix, policies, staged policies,
    host endpoints. Deletions follow last, in reverse order.
  - Two resources are equal if Calico treats them alike. Values that Calico fills in, such as the types of a policy, are
    no difference.
  - B(A policy determines which connections a host accepts.) See the guard's options.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._connection.names
  - netsec.calico._guard
  - netsec.calico._guard.mode
  - netsec.calico._plan
  - netsec.calico._guard.canary
  - netsec.calico._set.written
options:
  resources:
    description:
      - The resources as a list of manifests, as C(calicoctl) takes them. Each item is a mapping, or a string with the
        content of a file that O(src) accepts. Such a string can also replace the list.
      - Kinds with O(datastore_type=etcdv3) are C(GlobalNetworkPolicy), C(StagedGlobalNetworkPolicy),
        C(GlobalNetworkSet), C(Profile), C(Tier), C(FelixConfiguration), C(Node) and C(HostEndpoint).
      - With O(datastore_type=kubernetes), the same without C(Profile) and C(Node), which come from Kubernetes' objects.
      - With O(datastore_type=etcdv2), C(policy), C(profile) and C(hostEndpoint) of Calico v1.
      - Labels and the spec are replaced. Annotations that are not given, the uid, owners and finalizers are kept, and
        keys that Calico does not know.
    type: raw
  src:
    description:
      - Path of a JSON or YAML file with the resources, on the host where the module runs. It contains one or several
        manifests, as YAML documents, a list, or a list resource as printed by C(calicoctl get -o yaml).
      - Everything about files in O(netsec.calico.calico_hostendpoints#module:src) applies.
    type: path
  other_kinds:
    description:
      - Handling of resources of other kinds in O(src) and O(resources).
      - V(error) rejects the whole set. V(skip) leaves them out and returns their number in RV(other_kinds_skipped).
        A kind that only resembles one of the managed kinds, such as C(globalnetworkset) or C(GlobalNetworkSets), is
        always an error.
    type: str
    choices: [error, skip]
    default: error
  state:
    description:
      - V(present) creates the resources, and updates those that differ.
      - V(absent) deletes the resources of these kinds and names. Everything else in the manifests is ignored.
    type: str
    choices: [present, absent]
    default: present
  overwrite:
    description:
      - Whether to change stored resources that differ from the set. If V(false), such resources are an error, and
        nothing is written.
    type: bool
    default: true
  owner:
    description:
      - Owner of the resources. Every resource of the set gets the label O(owner_label) with this value, by which
        O(purge=owned) identifies it. A warning names a resource that is taken from another owner.
      - Required with O(purge=owned). Without effect if O(state=absent), about which the module warns.
    type: str
  owner_label:
    description:
      - Key of the label that identifies the owner of a resource. Calico's own C(projectcalico.org/) is rejected.
    type: str
    default: app.kubernetes.io/managed-by
  purge:
    description:
      - Whether stored resources that are not in the set are deleted.
      - V(none) deletes nothing.
      - V(owned) deletes resources of the kinds O(purge_kinds) whose label O(owner_label) has the value O(owner).
        Unreadable values are never deleted.
    type: str
    choices: [none, owned]
    default: none
  purge_kinds:
    description:
      - Kinds in the scope of O(purge). Required with O(purge=owned).
      - The role C(netsec.calico.hostendpoints) labels endpoints in the same way. Do not include C(HostEndpoint) if it
        uses the same owner.
    type: list
    elements: str
  purge_limit:
    description:
      - Maximum number of deletions by the purge. If there are more, the module fails before writing anything.
      - No limit if omitted.
    type: int
  guard_limit:
    description:
      - Maximum number of resources that one call may create, update and delete in total. Beyond it, O(guard=enforce)
        writes nothing, and O(guard=warn) warns.
      - No limit if omitted.
    type: int
  calico_version:
    description:
      - Version of the Calico that uses the datastore, such as V(v3.27.5). The module writes what this version writes,
        and rejects what it cannot have. The guard evaluates policies as this version does.
      - By default C(calicoVersion) of the datastore's C(ClusterInformation). An unknown version, and one after v3.32,
        count as v3.32. A version before v3.27.5 counts as v3.27.5.
      - Before v3.32, Calico stores a policy C(NAME) as C(default.NAME), and does not write the values that v3.32 fills
        in.
      - Only for O(datastore_type=etcdv3) and O(datastore_type=kubernetes).
    type: str
notes:
  - A policy is found by its name and as C(default.NAME), as Calico before v3.32 stores it, and updated in place. Stored
    values of all versions of Calico are compared alike. If a policy is stored under both names, as C(calicoctl apply)
    v3.32 can leave it, O(state=present) deletes the second one as long as the first one exists, and O(state=absent)
    deletes both. A warning names a second one that belongs to another owner than O(owner). In Kubernetes, the module
    reads the first one immediately before the deletion, but does not notice that another client deletes it after that.
  - A policy that is stored as C(default.NAME) cannot move to another tier. Delete it first.
  - A policy requires its tier, and a tier with policies is not deleted. The module checks the policies again
    immediately before it deletes a tier, but does not notice a policy that another client creates after this check.
  - RV(changes), RV(not_attempted) and RV(ignore:diff) are limited to a few hundred thousand characters, because AWX
    does not keep larger results. RV(summary) always counts everything.
  - If a write fails, the task fails. RV(changes) then lists the completed changes, RV(failures) the resource and the
    error, and RV(not_attempted) the remaining changes. The next run makes the remaining changes.
seealso:
  - module: netsec.calico.calico_resource_info
  - module: netsec.calico.calico_hostendpoints
  - module: netsec.calico.calico_connection_info
"""

EXAMPLES = r"""
- name: Allow SSH from the office on all host endpoints
  netsec.calico.calico_resources:
    datastore_type: etcdv3
    etcd_endpoints: http://etcd1.example.com:2379
    resources:
      - apiVersion: projectcalico.org/v3
        kind: GlobalNetworkSet
        metadata: {name: office, labels: {place: office}}
        spec: {nets: [192.0.2.0/24, "2001:db8::/32"]}
      - apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata: {name: allow-ssh}
        spec:
          selector: has(host-endpoint)
          order: 100
          types: [Ingress]
          ingress:
            - action: Allow
              protocol: TCP
              source: {selector: place == 'office'}
              destination: {ports: [22]}

- name: Keep exactly the policies and network sets of a file
  netsec.calico.calico_resources:
    src: /etc/netsec/policies.yml
    owner: netsec
    purge: owned
    purge_kinds: [GlobalNetworkPolicy, GlobalNetworkSet]
    purge_limit: 3
    guard: enforce
    guard_facts_src: /etc/netsec/guard-facts.json
    canary: staged
    canary_hosts: 2

- name: Delete a policy
  netsec.calico.calico_resources:
    state: absent
    resources:
      - {apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: allow-ssh}}
"""

RETURN = r"""
other_kinds_skipped:
  description: Number of skipped resources of other kinds.
  returned: when O(other_kinds) is V(skip)
  type: int
  sample: 2
summary:
  description: Number of resources that were changed, or would be changed in check mode.
  returned: success
  type: dict
  contains:
    created: {description: Number of created resources., type: int}
    updated: {description: Number of updated resources., type: int}
    deleted: {description: Number of deleted resources., type: int}
    unchanged: {description: Number of resources of the set that already matched., type: int}
  sample: {created: 1, updated: 0, deleted: 0, unchanged: 19}
changes:
  description: The changes, in the order in which they were made.
  returned: success, and when a write fails or a signal ends the run
  type: list
  elements: dict
  contains:
    kind: {description: Kind of the resource., type: str}
    operation: {description: "The operation, V(create), V(update) or V(delete).", type: str}
    node: {description: Node of a host endpoint. Empty for other kinds., type: str}
    name: {description: Name of the resource., type: str}
    fields:
      description: >-
        Names of the fields that differ, such as C(labels) or C(spec.order). For a created or deleted resource, the
        names of its non-empty fields, without the values that Calico fills in for a created one.
      type: list
      elements: str
  sample: [{kind: GlobalNetworkPolicy, operation: update, node: "", name: allow-ssh, fields: [spec.ingress]}]
changes_omitted:
  description: Number of changes omitted from RV(changes) because of its size limit.
  returned: success, and when a write fails or a signal ends the run
  type: int
failures:
  description: The changes that failed, with the same keys as RV(changes), and the C(error) message.
  returned: when a write fails or a signal ends the run
  type: list
  elements: dict
failures_omitted:
  description: Number of changes omitted from RV(failures) because of its size limit.
  returned: when a write fails or a signal ends the run
  type: int
not_attempted:
  description: The changes that were not attempted, with the same keys as RV(changes).
  returned: when a write fails or a signal ends the run
  type: list
  elements: dict
not_attempted_omitted:
  description: Number of changes omitted from RV(not_attempted) because of its size limit.
  returned: when a write fails or a signal ends the run
  type: int
datastore:
  description: What is special about the datastore. The key C(calico_version) is the version of Calico in whose form
    resources are written.
  returned: with O(datastore_type=kubernetes), and if the form is older than that of v3.32
  type: dict
  sample: {calico_version: v3.31.7}
guard:
  description: >-
    The guard's verdicts on unsafe changes and on changes whose safety is unknown, as in
    M(netsec.calico.calico_hostendpoints).
  returned: success, and when the guard rejects the changes
  type: list
  elements: dict
staged:
  description: The policies with a staged twin, and the host endpoints that each selects after all changes.
  returned: when O(canary) is V(staged) and a policy is created or updated
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy.
      type: str
    selects:
      description: The first 50 of these host endpoints, by C(node) and C(name).
      type: list
      elements: dict
    selects_omitted:
      description: Number of host endpoints omitted from RV(staged[].selects).
      type: int
  sample:
    - name: allow-ssh
      selects: [{node: worker-1, name: worker-1-eth0}]
      selects_omitted: 0
staged_omitted:
  description: Number of policies omitted from RV(staged) because of its size limit.
  returned: as RV(staged)
  type: int
canary:
  description: The nodes that were tried after the changes, or that would be tried in check mode.
  returned: when O(canary_hosts) is not V(0)
  type: list
  elements: str
  sample: [worker-1]
taken_back:
  description: The changes that were undone, as in RV(changes).
  returned: when a host of O(canary_hosts) no longer answers, or a signal ends the run before they have passed
  type: list
  elements: dict
guard_omitted:
  description: Number of verdicts omitted from RV(guard) because of its size limit.
  returned: success, and when the guard rejects the changes
  type: int
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
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import OTHER_KINDS
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    OPTION_NAMES,
    PLAN_OPTIONS,
    WRITTEN_SET_OPTIONS,
    build_connection_options,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.resources import apply_resources
from ansible_collections.netsec.calico.plugins.module_utils._module.runner import run


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            **OPTION_NAMES,
            resources={"type": "raw"},
            src={"type": "path"},
            other_kinds=OTHER_KINDS,
            state={"type": "str", "choices": ["present", "absent"], "default": "present"},
            **GUARD_OPTIONS,
            **CONNECTIVITY_OPTIONS,
            guard=GUARD_MODE,
            **WRITTEN_SET_OPTIONS,
            canary={"type": "str", "choices": ["none", "staged"], "default": "none"},
            canary_hosts={"type": "int", "default": 0},
            purge={"type": "str", "choices": ["none", "owned"], "default": "none"},
            purge_kinds={"type": "list", "elements": "str"},
            calico_version={"type": "str"},
        ),
        required_one_of=[("resources", "src")],
        mutually_exclusive=[("resources", "src"), *GUARD_SOURCES, tuple(PLAN_OPTIONS)],
        required_if=[("purge", "owned", ["purge_kinds", "owner"])],
        supports_check_mode=True,
    )
    run(module, apply_resources)


if __name__ == "__main__":
    main()
