# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No two hosts are the same node, and no run takes the node of a host outside it."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.node_claims import NodeClaims, OtherHosts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed


class Inventory:
    def __init__(self, *names):
        self._names = names

    def inventory(self):
        return list(self._names)

    def is_host(self, name):
        return name in self._names


def claims_of(node, name, may_be_fact=False):
    claims = NodeClaims()
    claims.add(node, name, may_be_fact)
    return claims


def others(nodes, by_facts=(), outside=()):
    """Hosts with these nodes; those of `by_facts` have theirs by facts alone, those of `outside` have other plays."""

    def find_node(name, with_facts):
        return nodes[name] if with_facts or name not in by_facts else ""

    return OtherHosts(Inventory(*nodes), find_node, str.lower, lambda name: name not in outside)


def test_two_hosts_of_a_run_have_one_node():
    claims = claims_of("n1", "web1")
    claims.add("n1", "web1", may_be_fact=False)
    with pytest.raises(RunFailed, match="web1 and web2 are both node 'n1'"):
        claims.add("n1", "web2", may_be_fact=False)
    assert claims.hosts() == {"n1": "web1"}


def test_a_node_that_an_earlier_batch_has():
    with pytest.raises(RunFailed, match="web1 and web0 are both node 'n1'"):
        others({"web0": "n0", "web1": "n1"}).check(claims_of("n1", "web1"), {"web0": "n1"})


def test_a_node_with_the_name_of_another_host():
    claims = claims_of("web2", "web1")
    with pytest.raises(RunFailed, match="web1 is node 'web2' .* name of another host"):
        others({"web1": "web2", "web2": ""}).check(claims, {})
    others({"web1": "web2", "web2": "n2"}).check(claims, {})
    others({"web1": "web2", "web2": ""}, outside=["web2"]).check(claims, {})


def test_a_node_that_the_inventory_assigns_to_another_host():
    nodes = {"web1": "n1", "db": "n1"}
    with pytest.raises(RunFailed, match="web1 and db are both node 'n1'"):
        others(nodes).check(claims_of("n1", "web1", may_be_fact=True), {})
    # The other host may lie, too, and the inventory may assign a node twice on purpose.
    others(nodes, by_facts=["db"]).check(claims_of("n1", "web1", may_be_fact=True), {})
    others(nodes).check(claims_of("n1", "web1"), {})


def test_a_fact_that_is_the_hosts_own_name():
    others({"Web1": "web1", "db": "web1"}).check(claims_of("web1", "Web1", may_be_fact=True), {})
