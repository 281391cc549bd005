# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  purge:
    description:
      - Which stored endpoints are deleted if they belong to a node in the scope of the purge and are not in the set.
      - V(none) deletes nothing.
      - V(owned) deletes the endpoints whose label O(owner_label) has the value O(owner).
      - V(all) deletes all of them.
      - Calico's own endpoints, which have the label C(projectcalico.org/created-by), and unreadable values are never
        deleted.
    type: str
    choices: [none, owned, all]
    default: none
  guard_limit:
    description:
      - Maximum number of endpoints that one call may create, update and delete in total. Beyond it, O(guard=enforce)
        writes nothing, and O(guard=warn) warns.
      - No limit if omitted.
    type: int
  canary:
    description:
      - Number of nodes to change first, the canary. The module selects the first nodes that have changes and a known
        SSH address, changes their endpoints, and then opens new TCP connections to their SSH ports.
      - If a node no longer answers, the module undoes the changes by compare-and-swap, writes nothing else, and fails.
      - The module does the same if SIGHUP, SIGINT or SIGTERM ends the run before the nodes have passed. It waits for
        the answer to a pending request, because etcd may still execute it. Further signals do not stop the undo. Each
        request of the undo is limited by O(timeout); the first request without an answer ends the undo. After SIGKILL,
        the changes of the canary are kept.
      - If a node does not answer before its endpoints change, the module writes nothing and fails.
      - On etcdv3, if an endpoint moves to another node, both nodes are part of the canary.
      - If all changes are deletions on nodes without a known SSH address, such as decommissioned nodes, no node is
        tested.
      - V(0) disables the canary.
    type: int
    default: 0
  canary_wait:
    description:
      - Number of seconds to watch the canary, from 1 to 3600. Felix must apply the changes within this time. A node
        that does not answer is always tried three times, which takes about ten seconds.
    type: float
    default: 10
  decommission_nodes:
    description:
      - Exact names of nodes whose owned endpoints are all deleted, regardless of O(purge). Owned endpoints have the
        label O(owner_label) with the value O(owner). The set must not contain endpoints for these nodes.
    type: list
    elements: str
  owner:
    description:
      - Owner of the endpoints. Every endpoint of the set gets the label O(owner_label) with this value, by which
        O(purge=owned) identifies it. A warning names an endpoint that is taken from another owner.
      - Required with O(purge=owned) and with O(decommission_nodes).
    type: str
  owner_label:
    description:
      - Key of the label that identifies the owner of an endpoint. It must not be a label of Calico (prefix
        C(projectcalico.org/)).
    type: str
    default: app.kubernetes.io/managed-by
"""

    # Also for sets of other kinds.
    WRITTEN = r"""
options:
  server_dry_run:
    description:
      - In check mode, whether the Kubernetes API server checks every change without storing it, with its schemas,
        admission webhooks and the user's rights. What it rejects fails the task.
      - Only for O(datastore_type=kubernetes).
    type: bool
    default: false
  diff_limit:
    description:
      - Maximum number of resources in the returned diff. The last item reports the number of omitted resources.
    type: int
    default: 200
  diff_style:
    description:
      - Diffs of created and deleted resources. V(short) is one line with their fields. V(full) is the whole manifest.
      - The diff of an update always has both manifests, and Ansible shows only the lines that differ.
    type: str
    choices: [short, full]
    default: short
"""
