# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a purge deletes, and all that it leaves alone."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.integration.sets import CALICO_LABEL, MINE, OWNER_LABEL, changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import one_etcd, only_etcdv2

OTHERS = {OWNER_LABEL: "other"}
# Nobody may take one of these for another.
NODES = ["worker-1", "worker-10", "worker-1.example.com", "worker", "xworker-1"]


def stored(datastore, *endpoints):
    datastore.put_all(datastore.tree_of(endpoints))


def left(datastore):
    """The names of what is stored, which begin with the nodes'."""
    return {key.rpartition("/")[2] for key in datastore.stored()}


@pytest.fixture
def three(datastore):
    """On n1 and n2 each mine, another's and nobody's."""
    for node in ("n1", "n2"):
        stored(
            datastore,
            endpoint(node, "mine", labels=MINE),
            endpoint(node, "others", labels=OTHERS),
            endpoint(node, "nobodys"),
        )
    return left(datastore)


@pytest.mark.parametrize(
    "options, deleted",
    [
        pytest.param({}, [], id="none"),
        pytest.param({"purge": "none", "purge_nodes": ["n1"]}, [], id="none, nodes"),
        pytest.param({"purge": "owned", "purge_nodes": ["n1"], "owner": "me"}, ["mine"], id="owned"),
        pytest.param({"purge": "owned", "purge_nodes": ["n1"], "owner": "other"}, ["others"], id="owned by another"),
        pytest.param({"purge": "owned", "purge_nodes": ["n1"], "owner": "m"}, [], id="owned by nobody"),
        pytest.param(
            {"purge": "owned", "purge_nodes": ["n1"], "owner": "me", "owner_label": "x"}, [], id="another label"
        ),
        pytest.param({"purge": "all", "purge_nodes": ["n1"]}, ["mine", "others", "nobodys"], id="all"),
        pytest.param(
            {"purge": "all", "purge_nodes": ["n1"], "owner": "me"}, ["mine", "others", "nobodys"], id="all, owner"
        ),
        pytest.param({"purge": "all", "purge_nodes": []}, [], id="no nodes"),
        pytest.param({"purge": "all", "purge_nodes": ["n"]}, [], id="another node"),
        pytest.param({"decommission_nodes": ["n1"], "owner": "me"}, ["mine"], id="decommission"),
        pytest.param({"decommission_nodes": [], "owner": "me"}, [], id="decommission none"),
        pytest.param(
            {"purge": "all", "purge_nodes": ["n1"], "decommission_nodes": ["n1"], "owner": "me"},
            ["mine", "others", "nobodys"],
            id="all, and decommission of the same node",
        ),
    ],
)
def test_who_goes(datastore, three, options, deleted):
    for check in (True, False):
        result = hostendpoints(datastore, check=check, endpoints=[], **options)
        assert not result["failed"], result["msg"]
        assert sorted(changes_of(result)) == sorted(("delete", "n1", name) for name in deleted)
    assert left(datastore) == three - {"n1-" + name for name in deleted}


@pytest.mark.parametrize("owner", ["", None])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"purge": "owned", "purge_nodes": ["n1"]}, id="purge"),
        pytest.param({"decommission_nodes": ["n1"]}, id="decommission"),
    ],
)
def test_no_owner_owns_nothing(datastore, three, owner, options):
    """As a template makes it of a variable that is empty. It must not mean everybody."""
    result = hostendpoints(datastore, endpoints=[], owner=owner, **options)
    assert left(datastore) == three
    assert result["failed"] and "owner" in result["msg"]


@pytest.mark.parametrize("options", [{"purge": "owned"}, {"purge": "all"}, {"purge": "owned", "purge_nodes": ["n1"]}])
def test_what_a_purge_needs(datastore, three, options):
    result = hostendpoints(datastore, endpoints=[], **options)
    assert result["failed"] and "missing" in result["msg"] and left(datastore) == three


@one_etcd
@pytest.mark.parametrize("option", ["purge_nodes", "decommission_nodes"])
@pytest.mark.parametrize("node", ["", ".", "..", "_n", "a/b", "n1/", "n*", "n 1", "x" * 254])
def test_what_is_no_node(datastore, wire, three, option, node):
    options = {"purge": "all"} if option == "purge_nodes" else {"owner": "me"}
    result = hostendpoints(wire, endpoints=[], **{option: ["n1", node]}, **options)
    assert left(datastore) == three and wire.requests == []
    assert result["failed"] and option in result["msg"], result


def test_nodes_of_similar_names(datastore):
    """Of each other's, none is ever taken, however few or many are read."""
    filler = ["filler-%d" % number for number in range(20)]
    for node in NODES:
        for more in ([], filler):
            stored(datastore, *(endpoint(each) for each in NODES))
            options = {"endpoints": [], "purge": "all", "purge_nodes": [node, *more]}
            assert hostendpoints(datastore, **options)["summary"]["deleted"] == 1
            assert left(datastore) == {each + "-eth0" for each in NODES if each != node}


def test_endpoints_of_other_nodes(datastore, three):
    """They are written; nothing of their nodes is purged."""
    result = hostendpoints(
        datastore, endpoints=[endpoint("n2"), endpoint("n3")], purge="owned", purge_nodes=["n1"], owner="me"
    )
    assert result["summary"] == {"created": 2, "updated": 0, "deleted": 1, "unchanged": 0}
    assert left(datastore) == three - {"n1-mine"} | {"n2-eth0", "n3-eth0"}


def test_decommission_beside_a_purge(datastore, three):
    result = hostendpoints(
        datastore, endpoints=[endpoint("n1")], purge="all", purge_nodes=["n1"], decommission_nodes=["n2"], owner="me"
    )
    assert result["summary"] == {"created": 1, "updated": 0, "deleted": 4, "unchanged": 0}
    assert left(datastore) == {"n1-eth0", "n2-others", "n2-nobodys"}


def test_an_endpoint_of_a_decommissioned_node(datastore, wire, three):
    result = hostendpoints(
        wire, endpoints=[endpoint("n1"), endpoint("n2")], decommission_nodes=["n2", "n3"], owner="me"
    )
    assert result["failed"] and "host endpoint n2-eth0 on node n2: the node is in decommission_nodes" in result["msg"]
    assert datastore.written(wire) == [] and left(datastore) == three


def test_endpoints_change_hands(datastore):
    """What the set names is taken over, and no longer the other one's to purge."""
    stored(datastore, endpoint("n1", labels=OTHERS))
    options = {"purge": "owned", "purge_nodes": ["n1"]}
    assert hostendpoints(datastore, endpoints=[endpoint("n1")], owner="me", **options)["summary"]["updated"] == 1
    assert not hostendpoints(datastore, endpoints=[], owner="other", **options)["changed"]
    assert hostendpoints(datastore, endpoints=[], owner="me", **options)["summary"]["deleted"] == 1


# The limit


@pytest.mark.parametrize("options", [{"purge": "all", "purge_nodes": ["n1"]}, {"decommission_nodes": ["n1"]}])
def test_the_limit(datastore, wire, options):
    """So many are deleted; for one more nothing at all is written, the rest of the set neither."""
    stored(datastore, *(endpoint("n1", "e%02d" % number, labels=MINE) for number in range(12)))
    before = left(datastore)
    options = dict(options, endpoints=[endpoint("n2")], owner="me")
    for check in (True, False):
        for limit in (11, 0):
            result = hostendpoints(wire, check=check, purge_limit=limit, **options)
            assert result["failed"] and "would delete 12 host endpoints" in result["msg"]
            assert "purge_limit of %d" % limit in result["msg"]
            assert "host endpoint n1-e00 on node n1" in result["msg"] and len(result["msg"]) < 1000
            assert datastore.written(wire) == [] and left(datastore) == before
    result = hostendpoints(wire, check=True, purge_limit=12, **options)
    assert result["summary"]["deleted"] == 12 and datastore.written(wire) == []
    assert hostendpoints(wire, purge_limit=12, **options) == result
    assert left(datastore) == {"n2-eth0"}


def test_a_limit_of_nothing(datastore):
    """Where there is nothing to delete it is met."""
    stored(datastore, endpoint("n1", "eth1"))
    result = hostendpoints(
        datastore, endpoints=[endpoint("n1", "eth1")], purge="all", purge_nodes=["n1"], purge_limit=0
    )
    assert (result["failed"], result["changed"]) == (False, False)


# What cannot be read, and what is Calico's


def test_what_cannot_be_read_stays(datastore):
    """With a warning that names it, where its node is known; Calico's own endpoints stay without one."""
    mine = endpoint("n1", "mine", labels=MINE)
    values = {
        key_of(datastore, "n1", "bad"): datastore.malformed(endpoint("n1", "bad")),
        key_of(datastore, "n1", "own"): datastore.value(endpoint("n1", "own"), {CALICO_LABEL: "x", **MINE}),
        key_of(datastore, "n2", "bad"): datastore.malformed(endpoint("n2", "bad")),
    }
    if datastore.type != "kubernetes":
        values.update(
            {
                key_of(datastore, "n1", "worse"): datastore.value(endpoint("n1", "worse", 5), MINE),
                key_of(datastore, "n1", "empty"): "",
                key_of(datastore, "n1") + "/deeper": datastore.value(endpoint("n1"), MINE),
            }
        )
    datastore.put_all(values)
    for options in ({"purge": "all"}, {"purge": "owned", "owner": "me"}):
        stored(datastore, mine)
        result = hostendpoints(datastore, endpoints=[], purge_nodes=["n1"], **options)
        assert result["summary"] == {"created": 0, "updated": 0, "deleted": 1, "unchanged": 0}
        assert datastore.stored() == values
        warned = {warning.split(":")[0] for warning in result["warnings"]}
        if datastore.model == "v1":
            assert warned == {key for key in values if "/n1/" in key and not key.endswith("own")}


def test_what_cannot_be_read_and_is_in_the_set(datastore):
    """It is replaced, which is what the warnings say; and not that it is left alone."""
    datastore.put(key_of(datastore, "n1"), datastore.malformed(endpoint("n1")))
    for check in (True, False):
        result = hostendpoints(datastore, check=check, endpoints=[endpoint("n1")], purge="all", purge_nodes=["n1"])
        assert result["summary"]["updated"] == 1
        assert len(result["warnings"]) == 1 and "replaced" in result["warnings"][0]
    assert datastore.stored() == datastore.tree_of([endpoint("n1")])


@only_etcdv2
def test_many_that_cannot_be_read(datastore):
    datastore.put_all({key_of(datastore, "n1", "e%d" % number): "[]" for number in range(100)})
    warnings = hostendpoints(datastore, endpoints=[], purge="all", purge_nodes=["n1"])["warnings"]
    assert len(warnings) == 11 and "90 more" in warnings[-1]


@only_etcdv2
def test_the_order_of_warnings(datastore):
    """It is the nodes' and names', not that in which etcd happens to list them."""
    names = ["e%02d" % number for number in range(14)]
    for node in ("n1", "n2"):
        datastore.put_all({key_of(datastore, node, name): "[]" for name in names})
    options = {"endpoints": [], "purge": "all", "purge_nodes": ["n2", "n1"]}
    warnings = hostendpoints(datastore, check=True, **options)["warnings"]
    expected = [key_of(datastore, "n1", name) for name in names[:10]]
    assert [warning.split(":")[0] for warning in warnings[:-1]] == expected


def test_the_order_of_messages(datastore):
    names = ["e%02d" % number for number in range(14)]
    stored(datastore, *(endpoint(node, name) for node in ("n2", "n1") for name in reversed(names)))
    options = {"endpoints": [], "purge": "all", "purge_nodes": ["n2", "n1"]}
    message = hostendpoints(datastore, check=True, purge_limit=1, **options)["msg"]
    assert re.findall(r"endpoint (\S+) on node", message) == ["n1-" + name for name in names[:10]]


# Whatever is stored and asked for: a property


def some(*values):
    return st.sampled_from(values)


NAMES = ["eth0", "eth1", "a.b"]
IDENTITIES = st.tuples(st.sampled_from(NODES), st.sampled_from(NAMES))
FIELDS = st.fixed_dictionaries(
    {"interface_name": some("x", "y")},
    optional={
        "expected_ips": some(["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"], ["::1", "10.0.0.1"]),
        "profiles": some(["p", "q"], ["q", "p"]),
        "labels": some({}, {"a": "1"}, {"a": "1", "b": "2"}, MINE, OTHERS),
    },
)
OWNERS = some({}, {}, MINE, MINE, MINE, OTHERS, {"custom": "me"}, {**MINE, CALICO_LABEL: "x"}, {CALICO_LABEL: ""})


# Labels, whether there is a member that nobody knows, and how it is laid out: as our tools write it, or as others may;
# now and then what cannot be read.
FORMS = st.tuples(OWNERS, some(True, False), some("compact", "laid out", "laid out", "unreadable", "malformed"))


def stored_value(datastore, identity, fields, form):
    labels, unknown, layout = form
    text = datastore.value(endpoint(*identity, **fields), labels, '"x":1' if unknown else "")
    if layout == "compact":
        return text
    if datastore.type == "kubernetes":
        return text if layout == "laid out" else datastore.malformed(endpoint(*identity, **fields))
    text = json.dumps(json.loads(text), indent=1)
    return {"laid out": text, "unreadable": "[]", "malformed": text.replace('"y"', "5")}[layout]


@st.composite
def calls(draw):
    nodes = st.lists(st.sampled_from(NODES), unique=True, max_size=3)
    wanted = draw(st.dictionaries(IDENTITIES, FIELDS, max_size=5))
    call = {
        "endpoints": [endpoint(node, name, **fields) for (node, name), fields in wanted.items()],
        "purge": draw(some("none", "owned", "owned", "all")),
        "purge_nodes": draw(nodes),
        "decommission_nodes": draw(some([], [], [], draw(nodes))),
        "owner": draw(some(None, "me", "me", "me")),
        "owner_label": draw(some(OWNER_LABEL, OWNER_LABEL, "custom")),
        "purge_limit": draw(some(None, None, None, 0, 1, 2)),
    }
    if call["purge"] == "owned" or call["decommission_nodes"]:
        call["owner"] = "me"
    if not call["owner"]:
        del call["decommission_nodes"]
    call["purge_nodes"] = [node for node in call["purge_nodes"] if node not in call.get("decommission_nodes", [])]
    # With many nodes, the datastore is read in another way.
    call["purge_nodes"] += draw(some([], ["filler-%d" % number for number in range(20)]))
    return call


STORED = st.dictionaries(IDENTITIES, st.tuples(FIELDS, FORMS), max_size=10)
NESTED = st.dictionaries(st.sampled_from(NODES), some("{}", "owned"), max_size=2)
# Each operation once, whatever the rest are.
EVERY_OPERATION = (
    {("worker", name): ({"interface_name": "x"}, (MINE, False, "compact")) for name in ("eth0", "a.b")},
    {},
    {
        "endpoints": [endpoint("worker", name, interface_name="y") for name in ("eth0", "eth1")],
        "purge": "owned",
        "purge_nodes": ["worker"],
        "owner": "me",
        "owner_label": OWNER_LABEL,
        "purge_limit": 1,
    },
)
ELSEWHERE = {
    "etcdv2": {
        "/calico/v1/host/worker-1/bird_ip": "10.0.0.1",
        "/calico/v1/host/worker-1/workload/k8s/pod/endpoint/eth0": '{"name":"eth0"}',
        "/calico/v1/policy/tier/default/policy/p": "{}",
        "/calico/v1/host/other/endpoint/eth0": '{"name":"eth0"}',
    },
    "etcdv3": {
        "/calico/resources/v3/projectcalico.org/nodes/worker-1": '{"kind":"Node"}',
        "/calico/resources/v3/projectcalico.org/hostendpoint": "before",
        "/calico/resources/v3/projectcalico.org/hostendpoints0": "behind",
    },
    "kubernetes": {"/calico/resources/v3/projectcalico.org/tiers/worker-1": '{"spec":{"order":1}}'},
}


def meaning(datastore, value):
    """What Calico reads of a value, in a form in which equal endpoints are equal; None when it cannot read it."""
    content = json.loads(value)
    if not isinstance(content, dict):
        return None
    if datastore.type == "kubernetes" and any(mark in value for mark in ('"protocol":300', '"{"')):
        return None
    if datastore.model == "v1":
        addresses = content.get("expected_ipv4_addrs", []) + content.get("expected_ipv6_addrs", [])
        labels, found = content.get("labels", {}), content
        interface, profiles = content.get("name", ""), content.get("profile_ids", [])
    else:
        labels, found = content["metadata"].get("labels", {}), content["spec"]
        addresses = found.get("expectedIPs", [])
        interface, profiles = found.get("interfaceName", ""), found.get("profiles", [])
    if not isinstance(interface, str):
        return None
    return interface, frozenset(map(ipaddress.ip_address, addresses)), labels, profiles


def oracle(datastore, before, call):
    """What the tree becomes, which changes make it so, and why the call must fail, and changes nothing."""
    owner, label, decommissioned = call["owner"], call["owner_label"], call.get("decommission_nodes", [])
    places = {key_of(datastore, node, name): (node, name) for node in NODES for name in NAMES}
    after, changes, problems, wanted_keys = dict(before), [], [], set()
    for each in call["endpoints"]:
        key = datastore.key(each["node"], each["name"])
        wanted_keys.add(key)
        if owner and each.get("labels", {}).get(label, owner) != owner:
            problems.append("contradicts owner")
        if each["node"] in decommissioned:
            problems.append("decommission_nodes")
        labels = {label: owner} if owner else {}
        value = datastore.value(each, labels)
        old = before.get(key)
        if old is None:
            changes.append(("create", *places[key]))
            after[key] = value
            continue
        known = meaning(datastore, old)
        if known and CALICO_LABEL in known[2]:
            problems.append("belongs to Calico")
        if known != meaning(datastore, value):
            changes.append(("update", *places[key]))
            # On Kubernetes, it is a text in an annotation.
            unknown = re.search(r'\\?"x\\?": ?1', old) if known else None
            # On etcdv2 spelled as it was.
            spelled = unknown.group() if unknown and datastore.model == "v1" else '"x":1'
            after[key] = datastore.value(each, labels, spelled if unknown else "")
    for key, value in before.items():
        if key not in places or key in wanted_keys:
            continue
        node, name = places[key]
        known = meaning(datastore, value)
        if known is None or CALICO_LABEL in known[2]:
            continue
        owned = owner is not None and known[2].get(label) == owner
        purged = node in call["purge_nodes"] and (call["purge"] == "all" or call["purge"] == "owned" and owned)
        if purged or node in decommissioned and owned:
            changes.append(("delete", node, name))
            del after[key]
    deletions = [change for change in changes if change[0] == "delete"]
    if call["purge_limit"] is not None and len(deletions) > call["purge_limit"]:
        problems.append("purge_limit")
    order = ["create", "update", "delete"]
    return after, sorted(changes, key=lambda change: (order.index(change[0]), *change[1:])), problems


def apart_from_texts(result):
    """Their order is a matter of test_the_order_of_messages."""
    return {name: part for name, part in result.items() if name not in ("msg", "warnings")}


@pytest.mark.thorough
def test_exactly_what_should_change_does(datastore, wire):
    seen = Counter()

    # An API server takes longer to be emptied.
    @settings(max_examples=60 if datastore.type == "kubernetes" else 200)
    @example(*EVERY_OPERATION)
    @given(STORED, NESTED, calls())
    def exactly(stored_endpoints, nested, call):
        datastore.reset()
        datastore.put_all(ELSEWHERE[datastore.type])
        for identity, (fields, form) in stored_endpoints.items():
            datastore.put(key_of(datastore, *identity), stored_value(datastore, identity, fields, form))
        for node, value in nested.items() if datastore.type != "kubernetes" else ():
            owned = datastore.value(endpoint(node, "nested"), MINE)
            datastore.put(key_of(datastore, node, "nested") + "/key", owned if value == "owned" else value)
        before = datastore.stored(datastore.everything)
        after, changes, problems = oracle(datastore, before, call)
        wire.clear()
        predicted = hostendpoints(wire, check=True, diff=True, **call)
        assert datastore.written(wire) == [] and datastore.stored(datastore.everything) == before
        result = hostendpoints(wire, diff=True, **call)
        assert apart_from_texts(result) == apart_from_texts(predicted)
        if problems:
            seen.update(problems)
            assert result["failed"] and any(problem in result["msg"] for problem in problems)
            assert datastore.written(wire) == [] and datastore.stored(datastore.everything) == before
            return
        assert not result["failed"], result["msg"]
        assert datastore.stored(datastore.everything) == after
        assert changes_of(result, "changes") == changes
        counts = Counter(operation for operation, _node, _name in changes)
        unchanged = len(call["endpoints"]) - counts["create"] - counts["update"]
        summary = {"created": counts["create"], "updated": counts["update"], "deleted": counts["delete"]}
        assert result["summary"] == dict(summary, unchanged=unchanged)
        assert result["changed"] == bool(changes)
        assert len(datastore.written(wire)) == len(result["diff"]) == len(changes)
        seen.update(counts.keys() or ["nothing"])
        wire.clear()
        again = hostendpoints(wire, **call)
        assert (again["failed"], again["changed"], again["changes"]) == (False, False, [])
        assert datastore.written(wire) == [] and datastore.stored(datastore.everything) == after

    exactly()
    # Or it would have proved little.
    assert {"create", "update", "delete", "nothing"} <= set(seen)
