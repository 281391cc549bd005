#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoints
short_description: Manage a whole set of Calico host endpoints in one call
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Makes the datastore hold a set of host endpoints, however many, in one call. It reads what is stored once, and
    writes only what differs, by compare-and-swap.
  - On request, endpoints that are stored for given nodes and not in the set are deleted.
  - Everything is validated, and everything read, before the first write. Endpoints are created first, then updated,
    then deleted, so that an interface is not left without policy in between.
  - B(Creating an endpoint closes its interface.) Everything is dropped except Calico's failsafe ports and what
    policies and profiles allow. B(Deleting an endpoint opens its interface.) Nothing on it is policed any more.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.writing
  - netsec.calico._connection
  - netsec.calico._endpoints
  - netsec.calico._endpoints.sources
  - netsec.calico._set
  - netsec.calico._guard
  - netsec.calico._guard.mode
options:
  purge_nodes:
    description:
      - Exact names of the nodes in the scope of O(purge), whose endpoints may be deleted. Needed when O(purge) is not
        V(none).
      - The set may have endpoints for other nodes. With an empty set, the nodes' endpoints are all purged, which is how
        a host is decommissioned.
      - On etcdv3, where the name alone is the identity, an endpoint of the set that is stored for a node outside of
        O(purge_nodes) and O(decommission_nodes) is not taken from there, and nothing at all is written.
    type: list
    elements: str
  overwrite:
    description:
      - Whether endpoints of the set that are stored, and differ, are changed. If not, they are an error, and nothing at
        all is written.
    type: bool
    default: true
  purge_limit:
    description:
      - How many endpoints may be deleted at the most. When it would be more, nothing at all is written.
      - No limit if not given.
    type: int
notes:
  - RV(changes), RV(not_attempted) and RV(ignore:diff) end after some hundred thousand characters, since AWX
    does not keep larger results. RV(summary) always counts everything.
  - When a write fails, the task fails, and RV(changes) is what was done before that, RV(failures) the endpoint and
    the error, and RV(not_attempted) what was left. Running the task again goes on from there.
  - What is written keeps what it does not manage, which are unknown JSON keys, and on etcdv3 annotations that are not
    given, uid, creation time, owners and finalizers too.
seealso:
  - module: netsec.calico.calico_hostendpoint
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Exactly these endpoints on two nodes
  netsec.calico.calico_hostendpoints:
    etcd_endpoints: http://etcd1.example.com:2379
    owner: netsec
    purge: owned
    purge_nodes: [worker-1, worker-2]
    purge_limit: 5
    endpoints:
      - name: eth0
        node: worker-1
        interface_name: eth0
        expected_ips: [192.168.0.1]
      - name: eth0
        node: worker-2
        interface_name: eth0
        expected_ips: [192.168.0.2]

- name: A large set from a file
  netsec.calico.calico_hostendpoints:
    src: /etc/netsec/hostendpoints.json

- name: Two nodes first, and nothing that would cut off what is needed
  netsec.calico.calico_hostendpoints:
    src: /etc/netsec/hostendpoints.json
    guard: enforce
    guard_facts_src: /etc/netsec/guard-facts.json
    guard_limit: 50
    canary: 2

- name: Decommission a node
  netsec.calico.calico_hostendpoints:
    endpoints: []
    purge: all
    purge_nodes: [worker-9]
"""

RETURN = r"""
other_kinds_skipped:
  description: Number of resources of other kinds that were left out.
  returned: when O(other_kinds) is V(skip)
  type: int
  sample: 2
summary:
  description: How many endpoints were changed, or in check mode would be.
  returned: success
  type: dict
  contains:
    created:
      description: Number of created endpoints.
      type: int
    updated:
      description: Number of updated endpoints.
      type: int
    deleted:
      description: Number of deleted endpoints.
      type: int
    unchanged:
      description: Number of endpoints of the set that were as wanted.
      type: int
  sample: {created: 1, updated: 0, deleted: 0, unchanged: 1999}
changes:
  description: The changes, in the order in which they were made.
  returned: success, and when a write fails or the run is ended
  type: list
  elements: dict
  contains:
    operation:
      description: What was done, V(create), V(update) or V(delete).
      type: str
    node:
      description: Node of the endpoint.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    fields:
      description: Names of the fields that differ. For a created or deleted endpoint the ones that are not empty.
      type: list
      elements: str
  sample:
    - operation: create
      node: worker-1
      name: eth0
      fields: [interface_name, expected_ips]
changes_omitted:
  description: How many changes RV(changes) leaves out because of its size.
  returned: success, and when a write fails or the run is ended
  type: int
  sample: 0
failures:
  description: The changes that could not be made.
  returned: when a write fails or the run is ended
  type: list
  elements: dict
  contains:
    operation:
      description: What should have been done.
      type: str
    node:
      description: Node of the endpoint.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    fields:
      description: Names of the fields that differ.
      type: list
      elements: str
    error:
      description: What went wrong.
      type: str
  sample:
    - operation: update
      node: worker-1
      name: eth1
      fields: [labels]
      error: "cannot reach etcd: http://etcd1.example.com:2379: connection refused (etcd_endpoints from: option)"
failures_omitted:
  description: How many changes RV(failures) leaves out because of its size.
  returned: when a write fails or the run is ended
  type: int
  sample: 0
not_attempted:
  description: The changes that were not begun, with the same keys as RV(changes).
  returned: when a write fails or the run is ended
  type: list
  elements: dict
  sample: []
not_attempted_omitted:
  description: How many changes RV(not_attempted) leaves out because of its size.
  returned: when a write fails or the run is ended
  type: int
  sample: 0
guard:
  description: What the guard says of changes that it does not know to be safe, the unsafe ones first.
  returned: success, and when the guard refuses
  type: list
  elements: dict
  contains:
    node:
      description: Node of the endpoint.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    verdict:
      description: V(unsafe) or V(unknown).
      type: str
    findings:
      description: What it rests on, each with C(rule), C(level) (V(unsafe), V(unknown) or V(warning)) and C(message).
      type: list
      elements: dict
  sample:
    - node: worker-1
      name: eth0
      verdict: unsafe
      findings:
        - rule: G01
          level: unsafe
          message: "profile nosuch is missing, or has no rules that Felix takes: it drops all that comes to it"
canary:
  description: The nodes that were changed first, and answered; in check mode, those that would be.
  returned: when O(canary) is not V(0)
  type: list
  elements: str
  sample: [worker-1]
taken_back:
  description: Changes of the canary that were made and undone, as in RV(changes).
  returned: when a node of the canary does not answer any more, or the run is ended before that is known
  type: list
  elements: dict
guard_omitted:
  description: How many of them RV(guard) leaves out because of its size.
  returned: success, and when the guard refuses
  type: int
  sample: 0
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

import gc
from typing import Any, Dict, List, Mapping

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._apply.canary import parse_canary
from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import (
    GUARD_MODE,
    GUARD_OPTIONS,
    GUARD_SOURCES,
    parse_guard_policy,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.endpoint_set import (
    OTHER_KINDS,
    OtherKind,
    build_presents,
    build_skipped_result,
    check_decommissioned,
    read_items,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    SET_OPTIONS,
    build_connection_options,
    build_owner_labels,
    check_limits,
    connect,
    parse_purge,
    run,
    warn,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.results import (
    build_bulk_result,
    build_bulk_warnings,
)


def work(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    check_limits(params)
    guard_policy = parse_guard_policy(params)
    store = connect(module)
    purge = parse_purge(params, store.api_version)
    skipped: List[OtherKind] = []
    items = read_items(params, skipped)
    wants = build_presents(items, store.api_version, build_owner_labels(params, store.api_version), store.key)
    check_decommissioned(wants.values(), params["decommission_nodes"] or ())
    if params["purge_nodes"] is not None or not params["overwrite"]:
        wants = {key: want._replace(**build_limits(params)) for key, want in wants.items()}
    canary = parse_canary(params["canary"], params["canary_wait"], guard_policy.by_node) if params["canary"] else None
    outcome = apply(store, wants, module.check_mode, purge, params["purge_limit"], guard_policy.check, canary)
    warn(module, build_bulk_warnings(outcome, store.api_version))
    result = build_bulk_result(outcome, store.api_version, params["diff_limit"] if module._diff else None)
    return dict(build_skipped_result(params, skipped), **result)


def build_limits(params: Mapping[str, Any]) -> Dict[str, Any]:
    """What an endpoint of the set may replace."""
    nodes = params["purge_nodes"]
    known = None if nodes is None else frozenset(nodes).union(params["decommission_nodes"] or ())
    return {"overwrite": params["overwrite"], "movable_from": known}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            **SET_OPTIONS,
            other_kinds=OTHER_KINDS,
            **GUARD_OPTIONS,
            guard=GUARD_MODE,
            guard_limit={"type": "int"},
            canary={"type": "int", "default": 0},
            canary_wait={"type": "float", "default": 10},
            overwrite={"type": "bool", "default": True},
            purge={"type": "str", "choices": ["none", "owned", "all"], "default": "none"},
            purge_nodes={"type": "list", "elements": "str"},
            decommission_nodes={"type": "list", "elements": "str"},
            purge_limit={"type": "int"},
            owner={"type": "str"},
            owner_label={"type": "str", "default": "app.kubernetes.io/managed-by", "no_log": False},
            diff_limit={"type": "int", "default": 200},
        ),
        required_one_of=[tuple(SET_OPTIONS)],
        mutually_exclusive=[tuple(SET_OPTIONS), GUARD_SOURCES],
        required_if=[
            ("purge", "owned", ["purge_nodes", "owner"]),
            ("purge", "all", ["purge_nodes"]),
        ],
        required_by={"decommission_nodes": ["owner"]},
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    # A large set is many small objects, and looking for garbage among them is a tenth of the time: there is none.
    gc.disable()
    try:
        main()
    finally:
        # Python's own way out would look once more.
        gc.freeze()
