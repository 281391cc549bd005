# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host of a run each node belongs to. Two hosts with the same node would overwrite each other's endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Dict, Set

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext


class NodeClaims:
    """The nodes of a run's hosts."""

    def __init__(self) -> None:
        self._hosts: Dict[str, str] = {}
        self._from_facts: Set[str] = set()

    def add(self, node: str, name: str, may_be_fact: bool) -> None:
        """Add the node of a host. `may_be_fact`: whether the host's facts may determine it.

        Raises RunFailed if another host has the node.
        """
        self.check(node, name)
        self._hosts[node] = name
        if may_be_fact:
            self._from_facts.add(node)

    def check(self, node: str, name: str) -> None:
        """Raise RunFailed if another host than this has the node."""
        owner = self._hosts.get(node, name)
        if owner != name:
            raise RunFailed(
                "{0} and {1} are both node {2!r}; set another hostendpoints_node for one of them".format(
                    owner, name, node
                )
            )

    def hosts(self) -> Dict[str, str]:
        """{node: host}"""
        return dict(self._hosts)

    def list_nodes_from_facts(self, canonical_node: Callable[[str], str]) -> Set[str]:
        """The nodes that facts may have determined, except those with the name of their host."""
        return {node for node in self._from_facts if node != canonical_node(self._hosts[node])}


class OtherHosts:
    """The hosts of the inventory outside a run, whose nodes the run must not take."""

    def __init__(
        self,
        context: TaskContext,
        find_node: Callable[[str, bool], str],
        canonical_node: Callable[[str], str],
        is_of_the_run: Callable[[str], bool],
    ) -> None:
        """`find_node`: the node of a host, with its facts or without; "" if unknown.

        `is_of_the_run`: whether a host belongs to the same datastore, and the role is called for it.
        """
        self._context = context
        self._find_node = find_node
        self._canonical_node = canonical_node
        self._is_of_the_run = is_of_the_run

    def check(self, claims: NodeClaims, earlier: Mapping[str, str]) -> None:
        """Raise RunFailed if a claimed node may be that of a host outside the run, whose endpoints would be lost.

        `earlier`: {host: node} of hosts that the play has handled already.
        """
        hosts = claims.hosts()
        mine = set(hosts.values())
        so_far = {name: node for name, node in earlier.items() if node in hosts}
        for other in [*so_far, *filter(self._context.is_host, hosts)]:
            if other in mine or not self._is_of_the_run(other):
                continue
            node = so_far.get(other) or self._find_node(other, True)
            claims.check(node, other)
            if not node:
                raise RunFailed(
                    "{0} is node {1!r} (hostendpoints_node), which is the name of another host of the inventory; "
                    "if {1} has another node name, gather its facts or set its "
                    "hostendpoints_node".format(hosts[other], other)
                )
        self._check_given(claims, {*mine, *so_far})

    def _check_given(self, claims: NodeClaims, checked: Set[str]) -> None:
        """Raise RunFailed if a host's facts make it the node that the inventory assigns to another host.

        `checked`: hosts that need no further check. The facts of other hosts do not count, since any host may lie.
        """
        nodes = claims.list_nodes_from_facts(self._canonical_node)
        for other in self._context.inventory() if nodes else ():
            node = "" if other in checked else self._find_node(other, False)
            if node in nodes and self._is_of_the_run(other):
                claims.check(node, other)
