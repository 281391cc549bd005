# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows from a source to a destination."""

from __future__ import annotations

from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.evaluate import (
    ExpectationResult,
    Outcome,
)
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.expectations import parse_expectations
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import Connectivity, DeclaredHost
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.matrix import build_matrix

HOSTS = Connectivity(
    {name: DeclaredHost(name, name, (), groups) for name, groups in {"a": ("web", "eu"), "b": ("web",)}.items()}
)


def result(host, direction, peer, state, *ports):
    """`ports`: (protocol and port, state)."""
    numbers = [int(port.partition("/")[2]) for port, _state in ports] or None
    given = {
        "name": "x",
        "direction": direction,
        "protocol": "tcp",
        "port": numbers or 7,
        "peer": peer,
        "expect": "allow",
    }
    (expectation,) = parse_expectations([given], "x")
    return ExpectationResult(host, host, expectation, Outcome(state, "", "", "", "", ports))


def test_groups_are_sources_and_destinations():
    rows = build_matrix(
        HOSTS,
        [
            result("a", "in", "0.0.0.0/0", "met", ("tcp/80", "open"), ("tcp/443", "open")),
            result("b", "in", "0.0.0.0/0", "unmet", ("tcp/80", "closed")),
            result("a", "out", "db", "met", ("tcp/5432", "open")),
        ],
    )
    assert [(row["source"], row["destination"], row["state"], row["ports"]) for row in rows] == [
        ("0.0.0.0/0", "eu", "open", ["tcp/80", "tcp/443"]),
        ("0.0.0.0/0", "web", "mixed", ["tcp/80", "tcp/443"]),
        ("eu", "db", "open", ["tcp/5432"]),
        ("web", "db", "open", ["tcp/5432"]),
    ]
    assert rows[1]["details"] == "tcp/80: open (1), closed (1); tcp/443: open; 1 of 2 expectations are not met"


def test_what_is_unknown_is_neither_open_nor_closed():
    def state(*states):
        found = [result("b", "in", "x1", "unknown", ("tcp/1", each)) for each in states]
        (row,) = build_matrix(HOSTS, found)
        return row["state"]

    assert state("open", "unknown") == state("unknown") == "unknown"
    assert state("open", "unknown", "closed") == state("mixed", "unknown") == "mixed"
    # Without a connection that could be evaluated.
    (row,) = build_matrix(HOSTS, [result("b", "in", "x1", "unknown")])
    assert (row["state"], row["ports"]) == ("unknown", ["tcp/7"])
