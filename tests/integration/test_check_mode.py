# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode tells what the real run then does, and writes nothing."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.integration.tasks import NAMED, hostendpoint, info, one_etcd

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
V1_FIELDS = st.fixed_dictionaries(
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
V3_FIELDS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": some(*[NAMED["name"]] * 9, "another", None)},
            optional={
                "uid": some("", "11111111-2222-4333-8444-555555555555"),
                "labels": LABELS | some(None, {"a": None}),
                "annotations": some({"b": "1", "a": "<"}),
                "x": UNKNOWN,
            },
        ),
        "spec": st.fixed_dictionaries(
            {"node": some(*["n1"] * 9, "n2", ""), "interfaceName": some("eth0", "eth1", "", None)},
            optional={
                "expectedIPs": ADDRESSES | st.none(),
                "profiles": PROFILES,
                "ports": some([], None, [{"name": "ssh", "protocol": "TCP", "port": 22}]),
                "x": UNKNOWN,
            },
        ),
    },
    optional={"kind": some("HostEndpoint"), "x": UNKNOWN},
)


NO_REPEATS = {"unique": True, "max_size": 3}
# What the API server takes, and Calico's own annotation, which counts on crd.projectcalico.org/v1 alone.
KUBERNETES_FIELDS = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {"name": some(NAMED["name"])},
            optional={
                "labels": LABELS,
                "annotations": some(
                    {"b": "1", "a": "<"},
                    *[
                        {"projectcalico.org/metadata": json.dumps(found)}
                        for found in ({"labels": {"a": "1"}}, {"name": "another"}, {"labels": {"a": None}}, None, [])
                    ],
                ),
            },
        ),
        "spec": st.fixed_dictionaries(
            {"node": some(*["n1"] * 9, "n2"), "interfaceName": some("eth0", "eth1")},
            optional={
                "expectedIPs": st.lists(some(*TEXTS), **NO_REPEATS),
                "profiles": st.lists(some("p1", "p2", "ns/p"), **NO_REPEATS),
                "ports": some([], *[[{"name": "ssh", "protocol": each, "port": 22}] for each in ("TCP", 6, 300)]),
            },
        ),
    }
).map(json.dumps)


@st.composite
def laid_out(draw, fields):
    found = draw(fields)
    keys = draw(st.permutations(sorted(found)))
    text = json.dumps({key: found[key] for key in keys}, indent=draw(some(None, 2)))
    return draw(some(text, text.replace('"labels"', '"Labels"')))


CALICOS_OWN = {
    "etcdv2": '{"name":"eth0","labels":{"%s":"x"}}' % OWNER,
    "etcdv3": '{"metadata":{"name":"%s","labels":{"%s":"x"}},"spec":{"node":"n1"}}' % (NAMED["name"], OWNER),
}
MALFORMED = some("", "[]", "null", '{"name":5,"spec":5}', '{"labels":{"a":1},"metadata":{"labels":{"a":1}}}')


def stored_in(datastore_type):
    if datastore_type in KUBERNETES_DATASTORES:
        own = KUBERNETES_DATASTORES[datastore_type](None).value(dict(NAMED, labels={OWNER: "x"}))
        return st.one_of(KUBERNETES_FIELDS, KUBERNETES_FIELDS, some(own), some(None), some(None))
    fields = laid_out({"etcdv2": V1_FIELDS, "etcdv3": V3_FIELDS}[datastore_type])
    return st.one_of(fields, fields, MALFORMED, some(CALICOS_OWN[datastore_type]), some(None), some(None))


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
READINESS = some(*[True] * 8, False, None)


def prepare(datastore, stored, ready):
    """Stores the one endpoint, and that the datastore may be written, or not, or None: no Calico has been started."""
    datastore.reset()
    if stored is not None:
        datastore.put(datastore.key(**NAMED), stored)
    if ready is None:
        datastore.delete(datastore.state_key)
    elif not ready:
        datastore.lock()


@pytest.mark.thorough
@one_etcd
def test_check_mode_predicts_the_real_run(datastore, wire):
    seen = Counter()

    # An API server takes longer to be emptied.
    @settings(max_examples=100 if datastore.type == "kubernetes" else 250)
    @given(stored_in(datastore.name), WANTED, READINESS)
    def prediction(stored, wanted, ready):
        prepare(datastore, stored, ready)
        before = datastore.revision()
        wire.clear()
        predicted = hostendpoint(wire, check=True, **wanted)
        assert datastore.written(wire) == [] and datastore.revision() == before
        real = hostendpoint(wire, **wanted)
        # Everything: operation, fields, diff, hostendpoint, changed, failed, msg, warnings.
        assert predicted == real
        seen["failed" if real["failed"] else real["operation"]] += 1
        if not real.get("changed"):
            # Failed, or nothing to do.
            assert datastore.written(wire) == [] and datastore.revision() == before
            return
        assert len(datastore.written(wire)) == 1 and datastore.revision() == before + 1
        assert ready is not False, "the datastore is locked"
        assert OWNER not in str(stored), "the endpoint is Calico's own"
        wire.clear()
        again = hostendpoint(wire, **wanted)
        assert (again["operation"], again["changed"], again["fields"]) == ("none", False, [])
        assert again["hostendpoint"] == real["hostendpoint"] and datastore.written(wire) == []

    prediction()
    # Or it would have proved little.
    assert set(seen) == {"none", "create", "update", "delete", "failed"}


def test_a_locked_datastore(datastore, wire):
    """Nothing is written, which check mode says too; what needs no change is fine."""
    datastore.put_endpoint(dict(NAMED, interface_name="eth0"))
    datastore.lock()
    for check in (True, False):
        for task in ({"interface_name": "eth1"}, {"state": "absent"}, {"name": "new", "interface_name": "eth1"}):
            result = hostendpoint(wire, check=check, **task)
            assert result["failed"] and "locked" in result["msg"] and datastore.state_key in result["msg"]
        result = hostendpoint(wire, check=check, interface_name="eth0")
        assert result["operation"] == "none" and "locked" in result["warnings"][0]
    assert datastore.written(wire) == []


def test_calicos_own_endpoints(datastore, wire):
    """They are read, and neither changed nor deleted."""
    own = dict(NAMED, interface_name="eth0", labels={OWNER: "calico-kube-controllers"})
    datastore.put_endpoint(own)
    assert info(wire)["hostendpoints"][0]["labels"] == own["labels"]
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
    assert datastore.written(wire) == [] and datastore.stored() == datastore.tree_of([own])
