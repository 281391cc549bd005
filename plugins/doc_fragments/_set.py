# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  purge:
    description:
      - Whether endpoints that are stored for a node in the scope of the purge, and not in the set, are deleted.
      - V(none) deletes nothing.
      - V(owned) deletes those that carry the label O(owner_label) with the value O(owner).
      - V(all) deletes all of them.
      - Endpoints with the label C(projectcalico.org/created-by), which are Calico's own, and values that cannot be read
        are never deleted.
    type: str
    choices: [none, owned, all]
    default: none
  guard_limit:
    description:
      - The most endpoints that the guard lets one call change (create, update and delete). When it would be more,
        O(guard=enforce) writes nothing, and O(guard=warn) says so.
      - No limit if not given.
    type: int
  canary:
    description:
      - Of so many nodes the endpoints are changed first, of the first ones that have changes and whose SSH is reached
        from where the module runs. Then it opens new TCP connections to their SSH ports.
      - When one does not answer any more, the changes that were made are undone by compare-and-swap, nothing else is
        written, and the task fails.
      - So it is when SIGHUP, SIGINT or SIGTERM ends the run before the nodes are known to answer. A request that is
        under way may be carried out, so its answer is waited for, and more signals do not stop the undo. Each of its
        requests has O(timeout), and the first one without an answer ends it. SIGKILL leaves the canary as it is.
      - A node that does not answer beforehand is an error, and nothing is written.
      - On etcdv3, an endpoint that moves takes both its nodes along.
      - When all changes are deletions on nodes that are not reached, such as decommissioned ones, nothing is tried.
      - V(0) is no canary.
    type: int
    default: 0
  canary_wait:
    description:
      - For so many seconds the canary is looked at, 1 at least, in which Felix has to have applied the changes. A node
        that does not answer is tried three times, for some ten seconds, whatever this is.
    type: float
    default: 10
  decommission_nodes:
    description:
      - Exact names of nodes whose owned endpoints are all deleted, those with the label O(owner_label) and the value
        O(owner), whatever O(purge) is. The set must not have endpoints for these nodes.
    type: list
    elements: str
  owner:
    description:
      - Every endpoint of the set gets the label O(owner_label) with this value, by which O(purge=owned) knows them.
      - Needed with O(purge=owned) and with O(decommission_nodes).
    type: str
  owner_label:
    description:
      - The key of the label that says who owns an endpoint.
    type: str
    default: app.kubernetes.io/managed-by
  diff_limit:
    description:
      - Of how many endpoints differences are returned at the most. A last item says how many more there are.
    type: int
    default: 200
"""
