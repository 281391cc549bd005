# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of endpoints, in every form that it may be given in, and in those that are refused."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.integration.sets import MINE, endpoint, hostendpoints, key_of
from tests.integration.tasks import one_etcd, only_etcdv2, only_etcdv3

# How a set is read from options and files is the same with every datastore.
pytestmark = one_etcd

ONE = endpoint("n1")
SEVERAL = [
    endpoint(
        "n1",
        "eth0",
        "eth0",
        labels={"role": "db", "a/b": "1"},
        expected_ips=["10.0.0.1", "2001:db8::1"],
        profiles=["p2", "p1"],
    ),
    endpoint("n1", "a.b", "eth1"),
    {"node": "n2.example.com", "name": "n2", "expected_ips": ["10.0.0.2"]},
]
ALIASES = {"interface_name": "interfaceName", "expected_ips": "expectedIPs"}


def aliased(fields):
    return {ALIASES.get(key, key): value for key, value in fields.items()}


def v1(fields):
    metadata = {key: fields[key] for key in ("name", "node", "labels") if key in fields}
    spec = {ALIASES.get(key, key): value for key, value in fields.items() if key not in metadata}
    return {"apiVersion": "v1", "kind": "hostEndpoint", "metadata": metadata, "spec": spec}


def v3(fields):
    """As calicoctl prints it, with what the API sets."""
    metadata = {key: fields[key] for key in ("name", "labels") if key in fields}
    spec = {ALIASES.get(key, key): value for key, value in fields.items() if key not in metadata}
    metadata.update(uid="5f1", creationTimestamp="2026-01-01T00:00:00Z", resourceVersion="17")
    return {"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": metadata, "spec": spec}


def mixed(several):
    return [form(each) for form, each in zip((v1, v3, aliased), several)]


def list_resource(kind, form):
    return {"apiVersion": "x", "kind": kind, "metadata": {"resourceVersion": "5"}, "items": list(map(form, SEVERAL))}


def documents(*contents):
    return yaml.safe_dump_all(contents, explicit_start=True)


OPTIONS = {
    "endpoints": {"endpoints": SEVERAL},
    "endpoints with Calico's names": {"endpoints": list(map(aliased, SEVERAL))},
    "resources v1": {"resources": list(map(v1, SEVERAL))},
    "resources v3": {"resources": list(map(v3, SEVERAL))},
    "resources of both": {"resources": mixed(SEVERAL)[:2] + [v1(SEVERAL[2])]},
}
FILES = {
    "JSON list": json.dumps(SEVERAL),
    "JSON list, laid out": "\n\n" + json.dumps(SEVERAL, indent=2) + "\n",
    "JSON with Calico's names": json.dumps(list(map(aliased, SEVERAL))),
    "JSON, both generations and fields": json.dumps(mixed(SEVERAL)),
    "JSON hostEndpointList": json.dumps(list_resource("hostEndpointList", v1)),
    "JSON HostEndpointList": json.dumps(list_resource("HostEndpointList", v3)),
    "YAML list": yaml.safe_dump(SEVERAL),
    "YAML list in flow style": yaml.safe_dump(SEVERAL, default_flow_style=True),
    "YAML with a mark, comments and CRLF": "\ufeff# ä\r\n" + yaml.safe_dump(SEVERAL).replace("\n", "\r\n"),
    "YAML v1": yaml.safe_dump(list(map(v1, SEVERAL))),
    "YAML documents": documents(*SEVERAL),
    "YAML documents, both generations and fields": documents(*mixed(SEVERAL)),
    "YAML documents, empty ones among them": "---\n" + documents(*SEVERAL) + "---\n---\n",
    "YAML documents, lists": documents(SEVERAL[:1], [], SEVERAL[1:]),
    "YAML List": yaml.safe_dump(list_resource("List", v3)),
    "YAML documents, a list resource and an endpoint": documents(
        dict(list_resource("HostEndpointList", v3), items=[v3(SEVERAL[0])]), v1(SEVERAL[1]), SEVERAL[2]
    ),
    "YAML HostEndpointList": yaml.safe_dump(list_resource("HostEndpointList", v3)),
}
SINGLES = {
    "JSON": json.dumps(ONE),
    "JSON resource": json.dumps(v3(ONE)),
    "YAML": yaml.safe_dump(ONE),
    "YAML resource": yaml.safe_dump(v1(ONE)),
    "YAML, explicit document": "---\n" + yaml.safe_dump(ONE) + "...\n",
}


@pytest.fixture
def src(tmp_path):
    """Writes a file, and gives its path back."""

    def write(content):
        path = tmp_path / "set"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def assert_created(datastore, result, endpoints):
    assert not result["failed"], result["msg"]
    assert datastore.stored() == datastore.tree_of(endpoints)
    summary = {"created": len(endpoints), "updated": 0, "deleted": 0, "unchanged": 0}
    assert (result["summary"], result["warnings"]) == (summary, [])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_the_same_endpoints_as_options(datastore, options):
    assert_created(datastore, hostendpoints(datastore, **options), SEVERAL)


@pytest.mark.parametrize("content", FILES.values(), ids=list(FILES))
def test_the_same_endpoints_as_a_file(datastore, src, content):
    assert_created(datastore, hostendpoints(datastore, src=src(content)), SEVERAL)


@pytest.mark.parametrize("content", SINGLES.values(), ids=list(SINGLES))
def test_one_endpoint_as_a_file(datastore, src, content):
    assert_created(datastore, hostendpoints(datastore, src=src(content)), [ONE])


def test_an_empty_list_is_an_empty_set(datastore, src):
    for options in (
        {"endpoints": []},
        {"resources": []},
        {"src": src("[]")},
        {"src": src('{"kind":"List","items":[]}')},
    ):
        datastore.put_all(datastore.tree_of([ONE]))
        result = hostendpoints(datastore, purge="all", purge_nodes=["n1"], **options)
        assert result["summary"] == {"created": 0, "updated": 0, "deleted": 1, "unchanged": 0}
        assert datastore.stored() == {}


def test_scalars_are_read_as_calicoctl_reads_them(datastore, src):
    content = "name: 7\nnode: n1\ninterfaceName: 0\nlabels: {a: true, b: 5, c: null, 3: x}\nprofiles: [1]\n"
    assert not hostendpoints(datastore, src=src(content))["failed"]
    labels = {"3": "x", "a": "true", "b": "5", "c": ""}
    expected = {"name": "7", "node": "n1", "interface_name": "0", "labels": labels, "profiles": ["1"]}
    assert datastore.stored() == datastore.tree_of([expected])


# What is refused

# With these, everything would be deleted if nothing at all were read.
PURGE = {"purge": "all", "purge_nodes": ["n1"]}


@pytest.fixture
def refused(datastore, wire):
    """Runs the task: it must fail, name all these texts, and not even ask the datastore anything.

    `is_large`: an API server lists the stored endpoints while a large set is being validated.
    """
    datastore.put_all(datastore.tree_of([ONE]))

    def run(options, *texts, longest=1500, is_large=False):
        for check in (True, False):
            result = hostendpoints(wire, check=check, **dict(PURGE, **options))
            assert datastore.stored() == datastore.tree_of([ONE]), "it was deleted"
            assert result["failed"], result
            for text in texts:
                assert text in result["msg"]
            assert len(result["msg"]) < longest
        may_ask = {"GET"} if is_large and datastore.type == "kubernetes" else set()
        assert {request.method for request in wire.requests} <= may_ask

    return run


NO_SETS = {
    "empty": "",
    "blank": " \n\n",
    "a comment": "# nothing yet\n",
    "null": "null",
    "empty documents": "---\n---\n",
    "zeros": b"\0" * 100,
    "a list resource without items": '{"kind": "List", "apiVersion": "v1"}',
    "a list resource with null": '{"kind": "HostEndpointList", "items": null}',
    "a list resource with a mapping": '{"kind": "List", "items": {"name": "eth0"}}',
    "a list resource with a number": "kind: List\nitems: 5\n",
    "a number": "5",
    "a text": "name",
    "false": "false",
    "nothing in a list": "[null]",
    "a list in a list": "[[]]",
    "a text in a list": '["eth0"]',
    "nothing in a mapping": "{}",
    "not JSON and not YAML": '{"name": ',
    "cut off JSON": json.dumps(SEVERAL)[:-30],
    "not YAML": "a: b: c",
    "not UTF-8": b"name: \xff\xfe",
    "Latin-1": "node: \xe4".encode("latin-1"),
    "other resources": "apiVersion: v1\nkind: policy\nmetadata: {name: p}\n",
    "a list of other resources": '{"kind": "List", "items": [{"apiVersion": "v1", "kind": "node"}]}',
    "a Python object": "!!python/object/apply:os.system ['true']",
    "nested too deeply": "[" * 3000,
}


@pytest.mark.parametrize("content", NO_SETS.values(), ids=list(NO_SETS))
def test_a_file_that_is_no_set(src, refused, content):
    path = src(content)
    refused({"src": path}, "src " + path)


def test_a_file_that_cannot_be_read(tmp_path, refused):
    refused({"src": str(tmp_path / "none")}, "src %s/none: No such file or directory" % tmp_path)
    refused({"src": str(tmp_path)}, "src %s: Is a directory" % tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"endpoints": None}, id="endpoints"),
        pytest.param({"resources": None}, id="resources"),
        pytest.param({"src": None}, id="src"),
        pytest.param({"src": ""}, id="no path"),
    ],
)
def test_an_option_that_is_given_as_nothing(refused, options):
    """As a template makes it of a variable that is empty: it is no empty set."""
    refused(options, list(options)[0])


def test_one_way_to_give_the_set(refused):
    refused({}, "one of the following is required: endpoints, resources, src")
    refused({"endpoints": [], "src": "/x"}, "mutually exclusive: endpoints|resources|src")


# A flawed endpoint and what the message says of it, beside its place.
FLAWS = {
    "an unknown field": (dict(ONE, name="bad", interfce="x"), "interfce is unknown"),
    "an unknown field of a resource": (dict(v1(dict(ONE, name="bad")), status={}), "status is unknown"),
    "a misplaced key": (dict(v3(dict(ONE, name="bad")), labels={}), "did you mean metadata.labels?"),
    "both a name and its alias": (dict(ONE, name="bad", interfaceName="eth1"), "interfaceName"),
    "a wrong type": (dict(ONE, name="bad", expected_ips="10.0.0.1"), "expected_ips: '10.0.0.1' is not a list"),
    "a wrong address": (dict(ONE, name="bad", expected_ips=["10.0.0.256"]), "expected_ips[0]: '10.0.0.256' is not"),
    "a wrong label": (dict(ONE, name="bad", labels={"a": "b c"}), "labels[a]: 'b c' is not a label value"),
    "Calico's own label": (dict(ONE, name="bad", labels={"projectcalico.org/created-by": "x"}), "Calico's own label"),
    "no interface": ({"name": "bad", "node": "n1"}, "interface_name: is missing"),
    "another owner": (dict(ONE, name="bad", labels={"app.kubernetes.io/managed-by": "x"}), "contradicts owner 'me'"),
}


@pytest.mark.parametrize("flawed, text", FLAWS.values(), ids=list(FLAWS))
def test_a_flawed_endpoint_in_a_file(src, refused, flawed, text):
    path = src(json.dumps([ONE, SEVERAL[1], flawed]))
    refused({"src": path, "owner": "me"}, "src %s[2]" % path, "bad", text)
    path = src(documents([ONE], SEVERAL[1], flawed))
    refused({"src": path, "owner": "me"}, "src %s, document 3" % path, "bad", text)
    path = src(documents([ONE], {"kind": "List", "items": [SEVERAL[1], flawed]}))
    refused({"src": path, "owner": "me"}, "src %s, document 2[1]" % path, "bad", text)


@pytest.mark.parametrize("name", ["a wrong address", "a wrong label", "no interface", "another owner"])
def test_a_flawed_endpoint_in_an_option(refused, name):
    flawed, text = FLAWS[name]
    refused({"endpoints": [ONE, flawed], "owner": "me"}, "endpoints[1]", "bad", text)
    refused({"resources": [v1(ONE), v3(flawed)], "owner": "me"}, "resources[1]", "bad")


@only_etcdv2
def test_ports_in_a_set(refused, src):
    flawed = dict(ONE, name="bad", ports=[{"name": "s", "protocol": "TCP", "port": 22}])
    refused({"endpoints": [ONE, flawed]}, "endpoints[1]", "bad", "no named ports")
    path = src(json.dumps([v1(ONE), v3(flawed)]))
    refused({"src": path}, "src %s[1]" % path, "bad", "no named ports")


def test_an_unknown_field_in_an_option(refused):
    refused({"endpoints": [dict(ONE, interfce="x")]}, "interfce")
    refused({"resources": [v1(ONE), dict(v1(SEVERAL[1]), status={})]}, "resources[1]", "status is unknown")


def test_an_endpoint_that_is_given_twice(src, refused):
    """Both places are named, and the other spelling is the same endpoint."""
    twice = [dict(SEVERAL[1], interface_name="x"), ONE, SEVERAL[1]]
    text = "%s[2]: host endpoint n1-a.b on node n1 is given twice, first by %s[0]"
    refused({"endpoints": twice}, text % ("endpoints", "endpoints"))
    refused({"resources": [v1(twice[0]), v3(ONE), v3(twice[2])]}, text % ("resources", "resources"))
    path = src(json.dumps([v3(twice[0]), ONE, twice[2]]))
    refused({"src": path}, text % ("src " + path, "src " + path))
    path = src(documents(twice[0], [ONE, v1(twice[2])]))
    places = ("src %s, document 2[1]" % path, "src %s, document 1" % path)
    refused({"src": path}, "%s: host endpoint n1-a.b on node n1 is given twice, first by %s" % places)
    refused({"endpoints": [ONE, ONE, ONE]}, "endpoints[1]: ", "endpoints[2]: ")


@only_etcdv2
def test_the_same_name_on_other_nodes_is_another_endpoint(datastore):
    nodes = ["n1", "n1.example.com", "N1", "n10"]
    several = [dict(ONE, name="eth0", node=node) for node in nodes] + [dict(ONE, name="ETH0")]
    assert_created(datastore, hostendpoints(datastore, endpoints=several), several)


@only_etcdv3
def test_the_same_name_on_another_node_is_the_same_endpoint(refused):
    several = [dict(ONE, node=node) for node in ("n1", "n2")]
    refused({"endpoints": several}, "endpoints[1]", "n1-eth0", "is given twice, first by endpoints[0]")


def many():
    return [endpoint("node-%d" % (number // 2), "eth%d" % (number % 2)) for number in range(10000)]


def test_some_flaws_among_10000(src, refused):
    several = many()
    several[17]["interface_name"] = "not valid"
    several[5000] = dict(several[4000])
    several[9999]["labels"] = {"a": "not valid"}
    path = src(json.dumps(several))
    refused(
        {"src": path},
        "%s[17]" % path,
        "host endpoint node-8-eth1 on node node-8: interface_name: 'not valid'",
        "%s[5000]: host endpoint node-2000-eth0 on node node-2000 is given twice, first by src %s[4000]" % (path, path),
        "%s[9999]" % path,
        "host endpoint node-4999-eth1 on node node-4999: labels[a]: 'not valid'",
        is_large=True,
    )


def test_10000_flaws(src, refused):
    path = src(json.dumps([dict(each, interface_name="x" * 1000) for each in many()]))
    first = "host endpoint node-0-eth0 on node node-0: "
    refused({"src": path}, "%s[0]" % path, first, "and 9990 more", longest=5000, is_large=True)


def test_a_stored_endpoint_of_calico_among_the_set(datastore, wire):
    """It is named, and nothing is written."""
    stored = datastore.tree_of([endpoint("n2", labels={"projectcalico.org/created-by": "x"})])
    datastore.put_all(stored)
    result = hostendpoints(wire, endpoints=[endpoint("n%d" % number) for number in range(20)])
    assert result["failed"] and "host endpoint n2-eth0 on node n2 belongs to Calico" in result["msg"]
    assert datastore.written(wire) == [] and datastore.stored() == stored


@only_etcdv2
def test_a_directory_among_the_set(datastore, wire):
    datastore.put(key_of(datastore, "n2") + "/deeper", "{}")
    for several in (range(5), range(20)):
        result = hostendpoints(wire, endpoints=[endpoint("n%d" % number) for number in several])
        assert result["failed"] and key_of(datastore, "n2") + " is not a value" in result["msg"]
    assert datastore.written(wire) == []


def test_the_owner_is_a_label_of_each_endpoint(datastore):
    several = [endpoint("n1"), endpoint("n2", labels={"a": "b"}), endpoint("n3", labels=dict(MINE))]
    assert not hostendpoints(datastore, endpoints=several, owner="me")["failed"]
    assert datastore.stored() == datastore.tree_of(several, MINE)
    assert not hostendpoints(datastore, endpoints=several[:2], owner="you", owner_label="owner")["failed"]
    assert datastore.get(key_of(datastore, "n2")) == datastore.value(endpoint("n2", labels={"a": "b", "owner": "you"}))


@pytest.mark.parametrize("owner", ["a b", "x-", "x" * 64])
def test_an_owner_that_is_no_label_value(refused, owner):
    refused({"endpoints": [ONE], "owner": owner}, "label value")
    refused({"endpoints": [], "owner": owner, "purge": "owned"}, "label value")


def test_an_owner_label_that_is_no_label_key(refused):
    refused({"endpoints": [ONE], "owner": "me", "owner_label": "a b"}, "label key")
    refused({"endpoints": [], "owner": "me", "owner_label": "a b", "purge": "owned"}, "label key")


def test_what_is_too_large_for_etcd_is_told_before_anything_is_written(datastore):
    large = endpoint("n5", profiles=["p%06d" % number + "x" * 100 for number in range(10000)])
    wanted = [endpoint("n1"), large, endpoint("n9")]
    for check in (True, False):
        result = hostendpoints(datastore, check=check, endpoints=wanted)
        assert result["failed"] and "endpoints[1]" in result["msg"] and "too many bytes" in result["msg"]
    assert datastore.stored() == {}


def test_without_overwrite_only_new_ones_are_written(datastore):
    datastore.put_endpoint(endpoint("n1"))
    wanted = [endpoint("n1"), endpoint("n2")]
    assert hostendpoints(datastore, endpoints=wanted, overwrite=False)["summary"]["created"] == 1
    before = datastore.stored()
    wanted = [endpoint("n1", profiles=["p"]), endpoint("n3")]
    for check in (True, False):
        result = hostendpoints(datastore, check=check, endpoints=wanted, overwrite=False)
        assert result["failed"] and "already exists and differs (profiles), and overwrite is false" in result["msg"]
    assert datastore.stored() == before
