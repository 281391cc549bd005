# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode tells what the real run then does, and writes nothing."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.tasks import KEY, READY, hostendpoint, info

OWNER = "projectcalico.org/created-by"


def some(*values):
    return st.sampled_from(values)


def few(*values):
    return st.lists(some(*values), max_size=3)


TEXTS = ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "2001:db8::1", "2001:DB8:0::1"]
ADDRESSES = few(*TEXTS)
LABELS = st.dictionaries(some("a", "b", "c/d"), some("1", "2", ""), max_size=3)
PROFILES = few("p1", "p2", "ns/p")
UNKNOWN = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)

# What may be stored: nothing, an endpoint as others may have written it, or what Calico cannot read.
STORED_FIELDS = st.fixed_dictionaries(
    {"name": some("eth0", "eth1", "", None)},
    optional={
        "expected_ipv4_addrs": ADDRESSES | st.none(),
        # Calico itself stores an empty address.
        "expected_ipv6_addrs": few(*TEXTS, ""),
        "labels": LABELS | some(None, {"a": None}),
        "profile_ids": PROFILES,
        "x": UNKNOWN,
    },
)


@st.composite
def stored_endpoints(draw):
    fields = draw(STORED_FIELDS)
    keys = draw(st.permutations(sorted(fields)))
    text = json.dumps({key: fields[key] for key in keys}, indent=draw(some(None, 2)))
    return draw(some(text, text.replace('"labels"', '"Labels"')))


CALICOS_OWN = some('{"name":"eth0","labels":{"%s":"x"}}' % OWNER)
MALFORMED = some("", "[]", '{"name":5}', '{"labels":{"a":1}}', '{"expected_ipv4_addrs":["x"]}')
STORED = st.one_of(stored_endpoints(), stored_endpoints(), MALFORMED, CALICOS_OWN, some(None), some(None, "null"))

# What may be wanted: small enough to be often what is stored, and with a flaw now and then.
INTERFACE = {"interface_name": some("eth0", "eth1")}
FIELDS = {
    "expected_ips": ADDRESSES,
    "labels": LABELS | some({"a": None}, {"b": None, "e": 5}),
    "profiles": PROFILES,
}
FLAW = some(
    *[{}] * 12,
    {"interface_name": "not valid"},
    {"interface_name": ""},
    {"expected_ips": ["10.0.0.256"]},
    {"labels": {"a": "not valid"}},
    {"labels": {OWNER: "x"}},
    {"labels": {OWNER: None}},
    {"profiles": ["not valid"]},
    {"ports": [{"name": "ssh", "protocol": "TCP", "port": 22}]},
)
PRESENT = st.fixed_dictionaries(INTERFACE, optional=FIELDS)
PATCHED = st.fixed_dictionaries({"state": some("patched")}, optional={**INTERFACE, **FIELDS})
ABSENT = some({"state": "absent"})
WANTED = st.builds(lambda fields, flaw: {**fields, **flaw}, st.one_of(PRESENT, PRESENT, PATCHED, PATCHED, ABSENT), FLAW)
READINESS = some(*["true"] * 8, "false", None)


def prepare(etcd, stored, ready):
    etcd.reset()
    for key, value in ((KEY, stored), (READY, ready)):
        if value is not None:
            etcd.put(key, value)
    return etcd.tree(dirs=True)


def test_check_mode_predicts_the_real_run(etcd, wire):
    seen = Counter()

    @settings(max_examples=400, deadline=None)
    @given(STORED, WANTED, READINESS)
    def prediction(stored, wanted, ready):
        before = prepare(etcd, stored, ready)
        wire.clear()
        predicted = hostendpoint(wire, check=True, **wanted)
        assert wire.writes == [] and etcd.tree(dirs=True) == before
        real = hostendpoint(wire, **wanted)
        # Everything: operation, fields, diff, hostendpoint, changed, failed, msg, warnings.
        assert predicted == real
        seen["failed" if real["failed"] else real["operation"]] += 1
        if not real.get("changed"):
            # Failed, or nothing to do.
            assert wire.writes == [] and etcd.tree(dirs=True) == before
            return
        assert len(wire.writes) == 1
        assert ready != "false", "the datastore is locked"
        assert OWNER not in str(stored), "the endpoint is Calico's own"
        wire.clear()
        again = hostendpoint(wire, **wanted)
        assert (again["operation"], again["changed"], again["fields"]) == ("none", False, [])
        assert again["hostendpoint"] == real["hostendpoint"] and wire.writes == []

    prediction()
    # Or it would have proved little.
    assert set(seen) == {"none", "create", "update", "delete", "failed"}


def test_a_locked_datastore(etcd, wire):
    """Nothing is written, which check mode says too; what needs no change is fine."""
    etcd.put(KEY, '{"name":"eth0"}')
    etcd.put(READY, "false")
    for check in (True, False):
        for task in ({"interface_name": "eth1"}, {"state": "absent"}, {"name": "new", "interface_name": "eth1"}):
            result = hostendpoint(wire, check=check, **task)
            assert result["failed"] and "locked" in result["msg"] and READY in result["msg"]
        result = hostendpoint(wire, check=check, interface_name="eth0")
        assert result["operation"] == "none" and "locked" in result["warnings"][0]
    assert wire.writes == []


def test_calicos_own_endpoints(etcd, wire):
    """They are read, and neither changed nor deleted."""
    stored = '{"name":"eth0","labels":{"%s":"calico-kube-controllers"}}' % OWNER
    etcd.put(KEY, stored)
    etcd.put(READY, "true")
    assert info(wire)["hostendpoints"][0]["labels"] == {OWNER: "calico-kube-controllers"}
    tasks = [
        {"interface_name": "eth0"},
        {"state": "patched", "labels": {OWNER: None}},
        {"state": "patched", "profiles": ["p1"]},
        {"state": "absent"},
    ]
    for task in tasks:
        for check in (True, False):
            result = hostendpoint(wire, check=check, **task)
            assert result["failed"] and "belongs to Calico's own controllers" in result["msg"]
    assert wire.writes == [] and etcd.get(KEY) == stored
