#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_hostendpoints_audit
short_description: Compare a set of Calico host endpoints with what is stored, and say what differs
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Compares the set that M(netsec.calico.calico_hostendpoints) would make with what the datastore holds, by the same
    plan, and puts every difference into a class. Nothing is written to the datastore, and credentials that can only
    read are enough.
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
      - Exact names of the nodes that are audited. What is stored there, and not wanted, is V(unmanaged).
    type: list
    elements: str
    required: true
  other_nodes:
    description:
      - Exact names of nodes that are looked after elsewhere, so that endpoints there are not V(orphaned).
    type: list
    elements: str
  other_hosts:
    description:
      - Hosts whose nodes are not known, each with the names that its node may have. What is on a node with one of these
        names, with or without a domain, is not V(orphaned).
    type: dict
  decommission_nodes:
    description:
      - As O(netsec.calico.calico_hostendpoints#module:decommission_nodes). What carries the owner label there is
        V(unmanaged).
    type: list
    elements: str
  owner:
    description:
      - Value of the label O(owner_label) that every endpoint of the set shall have, and by which endpoints on nodes
        that are gone are known. Without it, no endpoint is V(orphaned).
    type: str
  owner_label:
    description:
      - The key of the label that says who owns an endpoint.
    type: str
    default: app.kubernetes.io/managed-by
  policies:
    description:
      - Whether to say which policies select the endpoints that are stored on O(nodes), Calico's own among them.
    type: bool
    default: false
  dest:
    description:
      - A file on the machine where the module runs, that gets all findings as JSON, since RV(findings) has an end. The
        keys are those of the result. A file that is there is replaced as a whole or not at all, and keeps its
        permissions and, where that is permitted, its owner. Where it is a symbolic link, that is the file it leads to.
      - With O(policies), it also has C(endpoints), a list of the stored endpoints of O(nodes), each with C(node),
        C(name) and C(policies), the names of the policies that select it for ingress or egress, in the order in which
        they are asked. That list is C(null) where it is not known, since the policies, the endpoint or one of its
        profiles cannot be read, or Felix does not take the endpoint.
      - It is written in check mode, too, and is no change.
    type: path
seealso:
  - module: netsec.calico.calico_hostendpoints
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Compare the endpoints of two hosts with what is stored
  netsec.calico.calico_hostendpoints_audit:
    etcd_endpoints: http://etcd1.example.com:2379
    owner: netsec.calico
    nodes: [worker-1, worker-2]
    src: hostendpoints.yml
  register: audit

- name: Fail when an endpoint is missing
  ansible.builtin.assert:
    that: audit.summary.missing == 0
"""

RETURN = r"""
other_kinds_skipped:
  description: Number of resources of other kinds that were left out.
  returned: when O(other_kinds) is V(skip)
  type: int
  sample: 2
summary:
  description:
    - How many endpoints there are of each class, V(compliant) ones, and V(foreign) ones, which are Calico's own.
    - One endpoint may be in two classes, but a V(compliant) one is in no other.
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
  description: What is not as wanted, sorted by node and name.
  returned: success
  type: list
  elements: dict
  contains:
    class:
      description:
        - V(missing) is wanted and not stored.
        - V(changed) is stored otherwise.
        - V(unmanaged) is stored on one of O(nodes), and not wanted, or is of O(owner) on one of O(decommission_nodes).
        - V(orphaned) carries the owner label, and is on a node that is not in O(nodes), not in O(other_nodes), not one
          of O(other_hosts), and not known to Calico, which knows a node by its records of it, or by what Felix reports
          from there.
        - V(shadowed) is not in force, since another endpoint of the same node governs its interface.
        - V(malformed) cannot be read by Calico, or is ignored by Felix, so that its interface is open. Where it is
          unknown whether Calico can read it, the message says so.
        - V(unsafe) cuts its host off, or does not do what it says. That is looked at when O(guard_facts),
          O(guard_facts_src) or O(guard_require) is given.
      type: str
    node:
      description: Node of the endpoint; empty where nobody knows it.
      type: str
    name:
      description: Name of the endpoint.
      type: str
    interface_name:
      description: The interface that it names.
      type: str
    fields:
      description: The fields that differ, each with C(field), C(want) and C(have).
      type: list
      elements: dict
    message:
      description: What it means.
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
    - How many findings RV(findings) leaves out because of its size. The first one is always there, but long texts in it
      may be cut.
  returned: success
  type: int
  sample: 0
compliant:
  description: How many endpoints of each node are as wanted, and have no finding; nodes with none are left out.
  returned: success, when it is not too large
  type: dict
  sample: {worker-2: 3}
policies:
  description:
    - The policies that select endpoints which are stored on O(nodes), sorted by name, and those that cannot be read, of
      which nobody knows whom they select. Staged policies do not count.
    - C(null) when policies cannot be read at all.
  returned: success, when O(policies) is true
  type: list
  elements: dict
  contains:
    name:
      description: The policy's name; in Calico v3, its tier and a dot stand before it.
      type: str
    endpoints:
      description: How many of the endpoints it selects; C(null) when it cannot be read.
      type: int
    problem:
      description: Why that is not known, or empty.
      type: str
  sample:
    - name: default.allow-ssh
      endpoints: 12
      problem: ""
policies_omitted:
  description: How many policies RV(policies) leaves out because of its size.
  returned: success, when O(policies) is true
  type: int
  sample: 0
datastore:
  description: What was read, with C(type), C(endpoints), and C(warning) when Calico says that it is locked or empty.
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
