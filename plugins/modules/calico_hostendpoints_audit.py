#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoints_audit
short_description: Compare a set of Calico host endpoints with the datastore, and report the differences
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Compares a set of host endpoints with the datastore as M(netsec.calico.calico_hostendpoints) does, and classifies
    every difference. It writes nothing to the datastore. Read-only credentials are sufficient.
  - For a fleet, use the playbook C(netsec.calico.audit), which also writes reports.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._endpoints
  - netsec.calico._endpoints.sources
  - netsec.calico._guard
options:
  nodes:
    description:
      - Exact names of the nodes to audit. Endpoints that are stored there but not declared are V(unmanaged).
    type: list
    elements: str
    required: true
  other_nodes:
    description:
      - Exact names of nodes that are managed elsewhere. Their endpoints are not V(orphaned).
    type: list
    elements: str
  other_hosts:
    description:
      - A mapping of hosts whose nodes are unknown to the possible names of each node. Endpoints on a node with one of
        these names, with or without a domain, are not V(orphaned).
    type: dict
  decommission_nodes:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:decommission_nodes). Endpoints with the owner label there are
        V(unmanaged).
    type: list
    elements: str
  owner:
    description:
      - Owner of the endpoints. Every endpoint of the set must have the label O(owner_label) with this value, which also
        identifies endpoints on nodes that no longer exist. Without it, no endpoint is V(orphaned).
    type: str
  owner_label:
    description:
      - Key of the label that identifies the owner of an endpoint.
    type: str
    default: app.kubernetes.io/managed-by
  policies:
    description:
      - Whether to report the policies that select the stored endpoints of O(nodes), including Calico's own endpoints.
    type: bool
    default: false
  dest:
    description:
      - Path of a JSON file for all findings, on the host where the module runs. RV(findings) itself is limited in size.
        The file has the keys of the result.
      - An existing file is replaced atomically. It keeps its permissions and, if permitted, its owner. If the path is a
        symbolic link, the target of the link is replaced.
      - With O(policies), the file also has C(endpoints), a list of the stored endpoints of O(nodes), each with C(node),
        C(name) and C(policies). C(policies) lists the names of the policies that select the endpoint for ingress or
        egress, in the order in which Felix evaluates them. It is C(null) if the policies, the endpoint or one of its
        profiles cannot be read, or if Felix rejects the endpoint.
      - The file is also written in check mode. It does not count as a change.
    type: path
seealso:
  - module: netsec.calico.calico_hostendpoints
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Compare the endpoints of two hosts with the datastore
  netsec.calico.calico_hostendpoints_audit:
    etcd_endpoints: http://etcd1.example.com:2379
    owner: netsec.calico
    nodes: [worker-1, worker-2]
    src: hostendpoints.yml
  register: audit

- name: Fail if an endpoint is missing
  ansible.builtin.assert:
    that: audit.summary.missing == 0
"""

RETURN = r"""
other_kinds_skipped:
  description: Number of skipped resources of other kinds.
  returned: when O(other_kinds) is V(skip)
  type: int
  sample: 2
summary:
  description:
    - Number of endpoints of each class, of V(compliant) endpoints, and of V(foreign) endpoints, which are Calico's own.
    - An endpoint can be in two classes, but a V(compliant) endpoint is in no other class.
  returned: success
  type: dict
  sample:
    compliant: 3
    missing: 1
    changed: 0
    unmanaged: 0
    orphaned: 0
    shadowed: 0
    malformed: 0
    unsafe: 0
    foreign: 0
findings:
  description: The differences from the declared set, sorted by node and name.
  returned: success
  type: list
  elements: dict
  contains:
    class:
      description:
        - Class of the finding.
        - V(missing) means that the endpoint is declared but not stored.
        - V(changed) means that the stored endpoint differs from the declared endpoint.
        - V(unmanaged) means that the endpoint is stored on one of O(nodes) but not declared, or has the owner label on
          one of O(decommission_nodes).
        - V(orphaned) means that the endpoint has the owner label, and that its node is not in O(nodes), O(other_nodes)
          or O(other_hosts) and is unknown to Calico. Calico knows a node from its records of the node or from Felix's
          status reports.
        - V(shadowed) means that the endpoint is not in effect, because another endpoint of the same node governs its
          interface.
        - V(malformed) means that Calico cannot read the endpoint or Felix ignores it, which leaves its interface open.
          If it is unknown whether Calico can read the endpoint, the message reports this.
        - V(unsafe) means that the endpoint cuts off its host or does not have its declared effect. This is checked only
          if O(guard_facts), O(guard_facts_src) or O(guard_require) is given.
      type: str
    node:
      description: Node of the endpoint. Empty if unknown.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    interface_name:
      description: Interface name in the endpoint.
      type: str
    fields:
      description: >-
        The fields that differ, each with C(field), C(want) (the declared value) and C(have) (the stored value).
      type: list
      elements: dict
    message:
      description: Explanation of the finding.
      type: str
  sample:
    - class: changed
      node: worker-1
      name: eth0
      interface_name: eth0
      fields:
        - field: profiles
          want: [worker]
          have: [worker, open]
      message: the rules of other profiles apply
findings_omitted:
  description:
    - Number of findings omitted from RV(findings) because of its size limit. The first finding is always included, but
      long strings in it may be truncated.
  returned: success
  type: int
  sample: 0
compliant:
  description: Number of matching endpoints without findings, by node. Nodes without such endpoints are omitted.
  returned: success, if it is not too large
  type: dict
  sample: {worker-2: 3}
policies:
  description:
    - The policies that select stored endpoints of O(nodes), and unreadable policies, whose selection is unknown, sorted
      by name. Staged policies are not included.
    - C(null) if the policies cannot be read at all.
  returned: success, when O(policies) is true
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy. In Calico v3, its tier and a dot precede it.
      type: str
    endpoints:
      description: Number of these endpoints that the policy selects. C(null) if the policy cannot be read.
      type: int
    problem:
      description: Why the number is unknown. Otherwise empty.
      type: str
  sample:
    - name: default.allow-ssh
      endpoints: 12
      problem: ""
policies_omitted:
  description: Number of policies omitted from RV(policies) because of its size limit.
  returned: success, when O(policies) is true
  type: int
  sample: 0
datastore:
  description: >-
    The datastore that was read, with C(type), C(endpoints) and C(warning). The warning reports that Calico has locked
    the datastore, or that it is empty.
  returned: success
  type: dict
  sample:
    type: etcdv2
    endpoints: ["http://etcd1.example.com:2379"]
    warning: ""
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

import json
import os
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._audit.audit import (
    Scope,
    audit,
    select_guarded,
    select_strays,
)
from ansible_collections.netsec.calico.plugins.module_utils._audit.policies import (
    Selections,
    build_selections,
    not_known,
)
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import (
    DatastoreError,
    InvalidInput,
    file_problem,
    shown,
)
from ansible_collections.netsec.calico.plugins.module_utils._core.files import path_as_shown
from ansible_collections.netsec.calico.plugins.module_utils._core.replaced_file import replace_file
from ansible_collections.netsec.calico.plugins.module_utils._datastore.base import Datastore
from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import (
    GUARD_OPTIONS,
    GUARD_SOURCES,
    GuardPolicy,
    parse_guard_policy,
)
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import GuardVerdict
from ansible_collections.netsec.calico.plugins.module_utils._module.audit_results import build_audit_result
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
    connect,
    read_settings,
    run,
    warn,
)
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored

# Names of nodes in a warning.
NODES_SHOWN = 5


def work(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    store = connect(module)
    decommissioned = params["decommission_nodes"] or ()
    store.api_version.check_nodes("nodes", params["nodes"])
    store.api_version.check_nodes("decommission_nodes", decommissioned)
    skipped: List[OtherKind] = []
    items = read_items(params, skipped)
    wants = build_presents(items, store.api_version, build_owner_labels(params, store.api_version), store.key)
    check_decommissioned(wants.values(), decommissioned)
    guard_policy = parse_guard_policy(params)
    scope = Scope(
        nodes=set(params["nodes"]),
        other_nodes=set(params["other_nodes"] or ()),
        owner_label=params["owner_label"],
        owner=params["owner"] or "",
        other_hosts=parse_other_hosts(params["other_hosts"] or {}),
        decommissioned=set(decommissioned),
        interfaces=guard_policy.interfaces(),
    )
    stored = store.list()
    scope = with_known_nodes(module, store, scope, lambda now: select_strays(stored, wants, now))
    verdicts, selections = policed(module, guard_policy, store, stored)
    found = audit(wants, stored, scope, store.api_version, verdicts)
    settings = read_settings(module)
    datastore = {
        "type": settings.datastore_type,
        "endpoints": list(settings.servers),
        "warning": store.state.warning or store.state.locked,
    }
    skipped_result = build_skipped_result(params, skipped)
    if params["dest"]:
        write(params["dest"], dict(skipped_result, **build_audit_result(found, datastore, selections)))
    return dict(skipped_result, **build_audit_result(found, datastore, selections, is_bounded=True))


def with_known_nodes(
    module: AnsibleModule, store: Datastore, scope: Scope, strays: Callable[[Scope], List[Stored]]
) -> Scope:
    """The scope with the nodes that Calico knows, as far as it takes to find those of strays, which are no orphans."""
    if strays(scope):
        scope = scope._replace(other_nodes={*scope.other_nodes, *store.known_nodes()})
    left = sorted({item.node for item in strays(scope)})
    if not left:
        return scope
    try:
        nodes = store.felix_nodes()
    except DatastoreError as exc:
        text = "whether endpoints of {0} are orphaned is unknown, since what Felix reports cannot be read: {1} ({2})"
        module.warn(text.format(scope.owner, listed(left), exc))
        return scope._replace(other_nodes={*scope.other_nodes, *left})
    silent = [node for node in left if not nodes.get(node, True)]
    if silent:
        text = (
            "endpoints of {0} are on nodes that the inventory does not know, and from which Felix does not report any "
            "more: {1}. They are not counted as orphaned, since Felix may be down; decommission the nodes that are gone"
        )
        module.warn(text.format(scope.owner, listed(silent)))
    return scope._replace(other_nodes={*scope.other_nodes, *nodes})


def listed(nodes: List[str]) -> str:
    """The first names, and the number of the others."""
    more = len(nodes) - NODES_SHOWN
    return ", ".join(nodes[:NODES_SHOWN]) + (" and {0} more".format(more) if more > 0 else "")


def parse_other_hosts(hosts: Dict[str, Any]) -> Dict[str, List[str]]:
    problems = [
        "other_hosts[{0}]: {1} is not a list of names".format(host, shown(names))
        for host, names in hosts.items()
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names)
    ]
    if problems:
        raise InvalidInput(problems)
    return hosts


def policed(
    module: AnsibleModule, guard_policy: GuardPolicy, store: Datastore, stored: List[Stored]
) -> Tuple[Sequence[GuardVerdict], Optional[Selections]]:
    """What the guard says of what is stored, and which policies select it, each if it is asked."""
    params = module.params
    is_guarded = any(params[option] is not None for option in GUARD_OPTIONS)
    mine = [item for item in stored if item.node in params["nodes"]]
    endpoints = select_guarded(mine, params["nodes"], store.api_version)
    if not (is_guarded and endpoints or params["policies"] and mine):
        return (), Selections([], {}) if params["policies"] else None
    try:
        guard = guard_policy.guard(store, endpoints)
        verdicts = guard.check(guard_policy.facts_for(guard.nodes), is_stored=True) if is_guarded else ()
        return verdicts, build_selections(guard.before, mine) if params["policies"] else None
    except DatastoreError as exc:
        warn(module, ["what decides on traffic cannot be read, so nobody knows what is unsafe: {0}".format(exc)])
        return (), not_known(mine) if params["policies"] else None


def write(dest: str, content: Dict[str, Any]) -> None:
    try:
        replace_file(os.path.realpath(dest), json.dumps(content).encode("ascii"))
    except (OSError, ValueError) as exc:
        raise InvalidInput(["dest {0}: {1}".format(path_as_shown(dest), file_problem(exc))]) from exc


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            **SET_OPTIONS,
            other_kinds=OTHER_KINDS,
            **GUARD_OPTIONS,
            nodes={"type": "list", "elements": "str", "required": True},
            other_nodes={"type": "list", "elements": "str"},
            other_hosts={"type": "dict"},
            decommission_nodes={"type": "list", "elements": "str"},
            owner={"type": "str"},
            owner_label={"type": "str", "default": "app.kubernetes.io/managed-by", "no_log": False},
            policies={"type": "bool", "default": False},
            dest={"type": "path"},
        ),
        required_one_of=[tuple(SET_OPTIONS)],
        mutually_exclusive=[tuple(SET_OPTIONS), GUARD_SOURCES],
        required_by={"decommission_nodes": ["owner"]},
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
