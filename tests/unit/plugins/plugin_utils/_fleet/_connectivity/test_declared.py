# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the declared connectivity of a run has: the expectations of each host, and the hosts that they are about."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._connectivity.declared import build_connectivity
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.host_guard import HostGuard
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

SSH = {"name": "ssh", "direction": "in", "protocol": "tcp", "port": 22, "peer": "192.0.2.0/24", "expect": "allow"}
WEB = dict(SSH, name="web", port=443)


class Context:
    """An inventory with the host web1 in the groups web and dmz."""

    def is_group(self, name):
        return name in self.groups("web1")

    def groups(self, name):
        return ["all", "dmz", "web"]


def expectations_of(connectivity=None, **by_group):
    guard = HostGuard(*[None] * len(HostGuard._fields))
    guard = guard._replace(connectivity=connectivity, group_connectivity=by_group)
    host = SimpleNamespace(name="web1", guard=guard, input=SimpleNamespace(node="web1"))
    # The facts of a host by hand are not read.
    fleet = SimpleNamespace(hosts=[host], by_hand={"web1"})
    return build_connectivity(fleet, Context())["connectivity_src"]["hosts"]["web1"]["expectations"]


def test_the_same_expectation_of_several_variables_is_one():
    assert expectations_of([SSH], dmz=[WEB, dict(SSH, port="22")], web=[SSH]) == [SSH, WEB]


@pytest.mark.parametrize(
    "variables, message",
    [
        (
            ([SSH], {"web": [WEB, dict(SSH, port=2222)]}),
            "web1: hostendpoints_group_connectivity[web][1].name: 'ssh' is also the name of "
            "hostendpoints_connectivity[0];",
        ),
        (
            (None, {"web": [SSH], "dmz": [dict(SSH, expect="deny")]}),
            "hostendpoints_group_connectivity[web][0].name: 'ssh' is also the name of "
            "hostendpoints_group_connectivity[dmz][0];",
        ),
        (([SSH, SSH], {}), "connectivity[1].name: 'ssh' is also the name of web1: hostendpoints_connectivity[0];"),
    ],
)
def test_two_expectations_with_one_name_are_rejected(variables, message):
    own, by_group = variables
    with pytest.raises(RunFailed) as caught:
        expectations_of(own, **by_group)
    assert message in str(caught.value)


class Inventory:
    def groups(self, name):
        return ["all"]

    def is_group(self, name):
        return False

    def is_host(self, name):
        return name in ("web1", "web2", "db1")


@pytest.mark.parametrize(
    "peer, hosts", [("192.0.2.30/31", {"web1", "web2", "db1"}), ("192.0.2.31", {"web1", "web2", "db1"}), ("db1", None)]
)
def test_any_host_may_be_in_a_network(peer, hosts):
    expectation = {"name": "x", "direction": "out", "protocol": "tcp", "port": 80, "peer": peer, "expect": "allow"}
    run = [
        SimpleNamespace(
            name=name,
            guard=SimpleNamespace(connectivity=expectations, group_connectivity={}),
            input=SimpleNamespace(node=name),
        )
        for name, expectations in (("web1", [expectation]), ("web2", []), ("db1", []))
    ]
    fleet = SimpleNamespace(hosts=run, by_hand={"web1", "web2", "db1"})
    built = build_connectivity(fleet, Inventory())["connectivity_src"]
    assert set(built["hosts"]) == (hosts or {"web1", "db1"})
