# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit import Scope, audit
from ansible_collections.netsec.calico.plugins.module_utils._datastore._v1_value import CODEC, encode
from ansible_collections.netsec.calico.plugins.module_utils._hostendpoint import (
    CALICO_OWNER_LABEL,
    V1,
    HostEndpoint,
)
from ansible_collections.netsec.calico.plugins.module_utils._plan import Present, Stored

LABEL, OWNER = "managed-by", "me"
MINE = {LABEL: OWNER}


def endpoint(node="n1", name="eth0", labels=None, **fields):
    return HostEndpoint(
        **dict(
            {"name": name, "node": node, "interface_name": name, "labels": MINE if labels is None else labels}, **fields
        )
    )


def stored(item, value=None):
    return Stored(key(item), 7, encode(item) if value is None else value, item.node, item.name, CODEC)


def key(item):
    return "{0.node}/{0.name}".format(item)


def found(wanted, items, nodes=("n1", "n2"), others=(), owner=OWNER):
    wants = {key(item): Present(item) for item in wanted}
    return audit(wants, items, Scope(set(nodes), set(others), LABEL, owner), V1)


def kinds(result):
    return [(finding.kind, finding.node, finding.name) for finding in result.findings]


def test_as_wanted():
    result = found([endpoint(), endpoint(name="eth1")], [stored(endpoint()), stored(endpoint(name="eth1"))])
    assert (result.findings, result.compliant, result.foreign) == ([], {"n1": 2}, 0)


def test_each_class():
    items = [
        stored(endpoint("n1", "eth1", profiles=("p",))),
        stored(endpoint("n1", "old")),
        stored(endpoint("n1", "theirs", labels={})),
        stored(endpoint("n2", "calicos", labels={CALICO_OWNER_LABEL: "x"})),
        stored(endpoint("gone", "eth0")),
        stored(endpoint("gone", "theirs", labels={})),
        stored(endpoint("n2", "broken"), "{"),
        stored(endpoint("n2", "wanted"), "[]"),
    ]
    result = found([endpoint("n1", "eth0"), endpoint("n1", "eth1"), endpoint("n2", "wanted")], items)
    assert kinds(result) == [
        ("orphaned", "gone", "eth0"),
        ("missing", "n1", "eth0"),
        ("changed", "n1", "eth1"),
        ("unmanaged", "n1", "old"),
        ("unmanaged", "n1", "theirs"),
        ("malformed", "n2", "broken"),
        ("malformed", "n2", "wanted"),
    ]
    assert (result.compliant, result.foreign) == ({}, 1)
    changed = result.findings[2]
    assert changed.fields == [{"field": "profiles", "want": [], "have": ["p"]}]
    assert "profiles" in changed.message
    ours, theirs = result.findings[3:5]
    assert "it is ours" in ours.message and "not of our making" in theirs.message


def test_a_node_that_somebody_else_looks_after_is_no_orphan():
    assert kinds(found([], [stored(endpoint("n9"))], others=["n9"])) == []
    assert kinds(found([], [stored(endpoint("n9"))], owner="")) == []
    # It is wanted there, though the node is not in the scope.
    assert kinds(found([endpoint("n9")], [stored(endpoint("n9", profiles=("p",)))])) == [("changed", "n9", "eth0")]


def test_what_is_out_of_scope_is_left():
    items = [stored(endpoint("n9", labels={})), stored(endpoint("n9", "broken"), "{")]
    assert kinds(found([], items)) == []


@pytest.mark.parametrize("names, shadowed", [(["b", "a"], ["b"]), (["a", "B"], ["a"]), (["ep9", "ep10"], ["ep9"])])
def test_the_smallest_name_governs_an_interface(names, shadowed):
    both = [endpoint(name=name, interface_name="eth0") for name in names]
    result = found(both, [stored(item) for item in both])
    assert kinds(result) == [("shadowed", "n1", name) for name in shadowed]


def test_what_felix_ignores_shadows_nobody():
    both = [endpoint(name="a", interface_name="eth0", profiles=("x/y",)), endpoint(name="b", interface_name="eth0")]
    result = found(both, [stored(item) for item in both])
    assert kinds(result) == [("malformed", "n1", "a")]
    assert "Felix ignores it" in result.findings[0].message


def test_calicos_own_in_the_place_of_a_wanted_one_is_told():
    result = found([endpoint()], [stored(endpoint(labels={CALICO_OWNER_LABEL: "x"}))])
    assert kinds(result) == [("changed", "n1", "eth0")] and result.foreign == 1
    assert "Calico's own" in result.findings[0].message
