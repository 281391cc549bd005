# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts of a run the declared connectivity has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._connectivity.declared import build_connectivity


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
