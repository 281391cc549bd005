# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that is given is ignored: files, manifests and options as people have them, and what is stored then."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.harness.module import run_module
from tests.integration.sets import endpoint, hostendpoints
from tests.integration.tasks import connection, failure, hostendpoint, info, one_etcd, only_etcdv2, only_etcdv3

# How options and files are read is the same with every etcd.
pytestmark = one_etcd

V3 = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata:
  name: n1-eth0
  labels:
    role: web
spec:
  node: n1
  interfaceName: eth0
"""
STORED = endpoint("n1", labels={"role": "web"})
# With these, everything would be deleted if nothing at all were read.
PURGE = {"purge": "all", "purge_nodes": ["n1"]}


@pytest.fixture
def src(tmp_path):
    """Writes a file, and gives its path back."""

    def write(content):
        path = tmp_path / "set"
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write


# Keys that are given twice


@pytest.mark.parametrize(
    "content, message",
    [
        (V3 + "  node: n2\n", "line 10, column 3: spec.node is given twice, first on line 8; keep one of the two"),
        ("- " + V3.replace("\n", "\n  ") + "  node: n2\n", "line 10, column 5: [0].spec.node is given twice, first on"),
        ("---\n%s---\n%slabels: {}\nlabels: {}\n" % (V3, V3), "line 22, column 1: document 2: labels is given twice"),
        (json.dumps([STORED])[:-2] + ',\n"node": "n2"}]', "line 2: [0].node is given twice, first on line 1"),
    ],
)
def test_a_key_that_is_given_twice_in_a_file(datastore, src, content, message):
    path = src(content)
    for options in ({}, PURGE):
        failure(hostendpoints(datastore, src=path, **options), "src %s: %s" % (path, message))
    assert datastore.stored() == {}


# Dates


@only_etcdv3
def test_a_date_in_a_file_is_the_text_as_written(datastore, src):
    content = V3.replace("role: web", "patched: 2024-05-01\n    2024-05-02: x")
    assert not hostendpoints(datastore, src=src(content))["failed"]
    assert info(datastore)["hostendpoints"][0]["labels"] == {"patched": "2024-05-01", "2024-05-02": "x"}


# Lists as texts


def test_blanks_after_the_commas_of_a_list_are_no_part_of_it(datastore):
    url = datastore.url
    result = run_module(
        "calico_hostendpoint",
        dict(
            connection(datastore),
            etcd_endpoints="%s, %s/ " % (url, url),
            node="n1",
            name="n1-eth0",
            interface_name="eth0",
            expectedIPs="192.0.2.1, 2001:DB8::0001",
            profiles="a,\tb , c",
            guard="off",
        ),
    )
    assert not result["failed"], result["msg"]
    (found,) = info(datastore)["hostendpoints"]
    assert found["profiles"] == ["a", "b", "c"] and len(found["expected_ips"]) == 2
    for number, option in enumerate(("expected_ips", "expectedIPs")):
        addresses = ["192.0.2.%d" % (10 + number), "192.0.2.%d" % (20 + number)]
        given = dict(endpoint("n1"), **{option: ", ".join(addresses)})
        result = hostendpoints(datastore, endpoints=[given], purge="all", purge_nodes="n0, n1")
        assert not result["failed"], result["msg"]
        assert info(datastore)["hostendpoints"][0]["expected_ips"] == addresses


def test_blanks_in_the_lists_of_nodes(datastore):
    given = {"owner": "me", "endpoints": [endpoint("n3", labels={})]}
    assert not hostendpoints(datastore, endpoints=[endpoint("n1"), endpoint("n2")], owner="me")["failed"]
    audit = run_module(
        "calico_hostendpoints_audit",
        dict(connection(datastore), nodes="n1, n3", other_nodes="n8, n9", decommission_nodes="n4 , n2", **given),
    )
    assert not audit["failed"] and {each["node"] for each in audit["findings"]} == {"n1", "n2", "n3"}
    result = hostendpoints(datastore, decommission_nodes="n1, n2", **given)
    assert result["summary"] == {"created": 1, "updated": 0, "deleted": 2, "unchanged": 0}


# Keys and numbers as Calico reads them


@pytest.mark.parametrize(
    "content",
    [
        V3.replace("node:", "Node:").replace("metadata:", "Metadata:").replace("interfaceName", "interfacename"),
        V3.replace("apiVersion", "ApiVersion").replace("kind", "Kind"),
    ],
)
def test_keys_of_a_manifest_in_another_case(datastore, src, content):
    assert not hostendpoints(datastore, src=src(content))["failed"]
    assert datastore.stored() == datastore.tree_of([STORED])


def test_a_key_in_two_cases_is_given_twice(datastore, src):
    path = src(V3 + "  Node: n2\n")
    message = "src %s: n1-eth0: resource: spec.Node is spec.node in another case, which is also given" % path
    failure(hostendpoints(datastore, src=path), message)
    assert datastore.stored() == {}


@only_etcdv3
def test_a_port_that_is_written_with_a_point(datastore, src):
    content = V3 + "  ports:\n  - {name: http, Protocol: TCP, port: 80.0}\n"
    assert not hostendpoints(datastore, src=src(content))["failed"]
    assert info(datastore)["hostendpoints"][0]["ports"] == [{"name": "http", "protocol": "TCP", "port": 80}]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"apiVersion": "crd.projectcalico.org/v1"}, "did you mean apiVersion: projectcalico.org/v3?"),
        ({"metadata": {"name": "x", "hostname": "n1"}}, "metadata.hostname is unknown: did you mean spec.node?"),
        ({"apiVersion": "v1", "kind": "hostEndpoint", "metadata": {"hostname": "n1"}}, "did you mean metadata.node?"),
    ],
)
def test_what_is_meant_is_named(datastore, change, message):
    resource = dict(yaml.safe_load(V3), **change)
    failure(hostendpoint(datastore, resource=resource), message)
    failure(hostendpoints(datastore, resources=[resource]), message)
    assert datastore.stored() == {}


# Manifests as texts


@pytest.mark.parametrize("text", [V3, "---\n" + V3 + "---\n", json.dumps(yaml.safe_load(V3)), "\ufeff" + V3])
def test_a_resource_may_be_a_text(datastore, text):
    result = hostendpoint(datastore, resource=text)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == datastore.tree_of([STORED])


@pytest.mark.parametrize("several", [V3 + "---\n" + V3.replace("n1", "n2"), "[%s]" % json.dumps(yaml.safe_load(V3))])
def test_resources_may_be_a_text(datastore, several):
    result = hostendpoints(datastore, resources=several)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == datastore.tree_of(
        [STORED, endpoint("n2", labels={"role": "web"})][: several.count("kind")]
    )


@pytest.mark.parametrize(
    "text, message",
    [
        (
            V3 + "---\n" + V3,
            "resource: contains 2 documents, but must contain one; use calico_hostendpoints for several",
        ),
        ("", "resource: contains 0 documents"),
        ("a: b: c", "resource: is not YAML: line 1, column 5: mapping values are not allowed in this context"),
        ('{"a"', "resource: is not JSON: line 1, column 5: expecting ':' delimiter"),
        (V3 + "  node: n2\n", "resource: line 10, column 3: spec.node is given twice, first on line 8"),
        ("eth0.yaml", "resource: 'eth0.yaml' is not a Calico resource; it must be a mapping"),
        (["x"], "resource: ['x'] is not a Calico resource; it must be a mapping"),
        ("name=eth0 node=n1", "is not a Calico resource"),
    ],
    ids=str,
)
def test_a_text_that_is_no_resource(datastore, text, message):
    failure(hostendpoint(datastore, resource=text), message)
    assert datastore.stored() == {}


@pytest.mark.parametrize(
    "text, message",
    [
        (V3 + "  node: n2\n", "resources: line 10, column 3: spec.node is given twice, first on line 8"),
        (
            V3 + "---\n" + V3,
            "resources, document 2: host endpoint n1-eth0 on node n1 is given twice, first by resources",
        ),
        ("--- {}", "resources: "),
        ("# nothing", "resources: contains no resources; write an empty set as []"),
        ("a.yaml", "resources: 'a.yaml' is not an endpoint"),
        ([V3, "x"], "resources[1]: 'x' is not an endpoint"),
        ([""], "resources[0]: contains no resources"),
        ([[]], "resources[0]: [] is not an endpoint"),
        ({"a": 1}, "resources: {'a': 1} is not a list of resources"),
        (5, "resources: 5 is not a list of resources"),
    ],
    ids=str,
)
def test_a_text_that_is_no_list_of_resources(datastore, text, message):
    failure(hostendpoints(datastore, resources=text, **PURGE), message)
    assert datastore.stored() == {}


def test_a_long_text_is_not_repeated_in_the_result(datastore):
    text = V3 + "".join("---\n" + V3.replace("n1", "n%d" % number) for number in range(2, 500))
    result = hostendpoints(datastore, check=True, resources=text)
    assert result["summary"]["created"] == 499
    assert result["invocation"]["module_args"]["resources"] == "%d characters" % len(text)


# Resources of other kinds


def other(kind, name="x", api_version="projectcalico.org/v3"):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {"selector": "all()"}}


OTHERS = [other("GlobalNetworkPolicy", "ssh"), other("policy", "p", "v1"), other("ConfigMap", api_version="v1")]
MIXED = {
    "documents": yaml.safe_dump_all([OTHERS[0], yaml.safe_load(V3), *OTHERS[1:]]),
    "a list resource": json.dumps({"kind": "List", "apiVersion": "v1", "items": [*OTHERS, yaml.safe_load(V3)]}),
    "a list": yaml.safe_dump([STORED, *OTHERS]),
    "a list resource of others": yaml.safe_dump_all(
        [
            yaml.safe_load(V3),
            *OTHERS[:2],
            {"kind": "ProfileList", "apiVersion": "projectcalico.org/v3", "items": OTHERS[2:]},
        ]
    ),
    "keys in another case": V3
    + "---\n"
    + json.dumps(OTHERS[:2])[:-1].replace("kind", "Kind")
    + ", "
    + json.dumps(OTHERS[2])
    + "]",
}


def audit_of(datastore, **options):
    return run_module("calico_hostendpoints_audit", dict(connection(datastore), nodes=["n1"], **options))


@pytest.mark.parametrize("content", MIXED.values(), ids=list(MIXED))
def test_resources_of_other_kinds_are_an_error_that_names_the_option(datastore, src, content):
    message = "is not a host endpoint; to skip resources of other kinds, set other_kinds to skip"
    path = src(content)
    for options in ({"src": path}, {"resources": content}):
        for result in (hostendpoints(datastore, **dict(PURGE, **options)), audit_of(datastore, **options)):
            text = failure(result, message, "GlobalNetworkPolicy ssh " + message)
            assert text.count(message) == 3
    assert datastore.stored() == {}


@pytest.mark.parametrize("content", MIXED.values(), ids=list(MIXED))
def test_resources_of_other_kinds_are_skipped_and_counted(datastore, src, tmp_path, content):
    path, dest = src(content), tmp_path / "found.json"
    for options in ({"src": path}, {"resources": content}):
        audit = audit_of(datastore, other_kinds="skip", dest=str(dest), **options)
        assert audit["other_kinds_skipped"] == json.loads(dest.read_text())["other_kinds_skipped"] == 3
        result = hostendpoints(datastore, other_kinds="skip", **options)
        assert not result["failed"], result["msg"]
        assert result["other_kinds_skipped"] == 3 and result["warnings"] == []
        assert result["msg"].startswith("3 resources of other kinds were skipped: 1 GlobalNetworkPolicy, 1 policy, 1 ")
        assert datastore.stored() == datastore.tree_of([STORED])


def test_the_count_is_there_when_nothing_was_skipped(datastore, src):
    result = hostendpoints(datastore, other_kinds="skip", src=src(V3))
    assert result["other_kinds_skipped"] == 0 and "msg" not in result
    assert "other_kinds_skipped" not in hostendpoints(datastore, src=src(V3))


@pytest.mark.parametrize("content", [json.dumps(OTHERS), yaml.safe_dump_all(OTHERS)])
def test_a_file_of_other_kinds_only_is_no_empty_set(datastore, src, content):
    datastore.put_all(datastore.tree_of([STORED]))
    path = src(content)
    message = "src %s: contains no host endpoints, only 3 skipped resources of other kinds; write an empty set as []"
    failure(hostendpoints(datastore, src=path, other_kinds="skip", **PURGE), message % path)
    assert datastore.stored() == datastore.tree_of([STORED])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "hostendpoint"},
        {"apiVersion": "v3"},
        {"kind": None},
        {"kind": 5},
        {"kind": ["HostEndpoint"]},
        {"apiVersion": "crd.projectcalico.org/v1"},
    ],
    ids=str,
)
def test_a_host_endpoint_of_the_wrong_version_is_not_skipped(datastore, src, change):
    path = src(yaml.safe_dump_all([dict(yaml.safe_load(V3), **change), endpoint("n2")]))
    failure(hostendpoints(datastore, src=path, other_kinds="skip"), "src %s, document 1: " % path)
    assert datastore.stored() == {}


ONE = endpoint("n1")
NESTED = {
    "a list in a list": {"kind": "List", "apiVersion": "v1", "items": [{"kind": "HostEndpointList", "items": [ONE]}]},
    "keys in another case": {"Kind": "HostEndpointList", "ITEMS": [ONE]},
}
NEAR = {
    "a blank": [dict(ONE, kind="HostEndpoint ")],
    "plural": [dict(ONE, kind="hostendpoints")],
    "a hyphen": [dict(ONE, kind="Host-Endpoint")],
    "a typing error": [dict(ONE, kind="HostEndpiont")],
    "two kinds": [{"Kind": "Pod", "KIND": "HostEndpoint", "metadata": {"name": "n1-eth0"}}],
    "lists": [{"kind": "HostEndpointLists", "items": [ONE]}],
    "a list without items": [{"kind": "HostEndpointList", "metadata": {}}],
    "items in two cases": [{"kind": "List", "items": [], "Items": [ONE]}],
}


@pytest.mark.parametrize("given", NESTED.values(), ids=list(NESTED))
def test_an_endpoint_in_a_list_is_not_skipped_and_purged(datastore, src, given):
    hostendpoints(datastore, resources=[ONE])
    before = datastore.stored()
    assert before
    for source in ({"resources": [endpoint("n2"), given]}, {"src": src(json.dumps([endpoint("n2"), given]))}):
        result = hostendpoints(datastore, other_kinds="skip", **PURGE, **source)
        assert result["other_kinds_skipped"] == 0 and before.items() <= datastore.stored().items(), result


@pytest.mark.parametrize("given", NEAR.values(), ids=list(NEAR))
def test_what_may_be_meant_as_an_endpoint_is_an_error_instead_of_skipped(datastore, given):
    hostendpoints(datastore, resources=[ONE])
    before = datastore.stored()
    result = hostendpoints(datastore, resources=[endpoint("n2"), *given], other_kinds="skip", **PURGE)
    failure(result, "resources[1]")
    assert datastore.stored() == before


def test_lists_that_are_nested_deeply_are_opened(datastore):
    given = ONE
    for _level in range(45):
        given = {"kind": "List", "items": [given]}
    hostendpoints(datastore, resources=yaml.safe_dump(given))
    assert len(datastore.stored()) == 1


# Annotations

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANIFEST = yaml.safe_load(V3)


def annotated(**annotations):
    return dict(MANIFEST, metadata=dict(MANIFEST["metadata"], annotations=annotations))


def annotations_of(datastore):
    (value,) = datastore.stored().values()
    return json.loads(value)["metadata"].get("annotations")


@only_etcdv3
def test_annotations_of_a_manifest_are_stored_and_compared(datastore):
    """As calicoctl stores them: beside the labels, sorted, and escaped as Go does."""
    given = {LAST_APPLIED: '{"a": "<&>"}', "b": True, "a": None}
    first = hostendpoint(datastore, check=True, resource=annotated(**given))
    result = hostendpoint(datastore, resource=annotated(**given))
    assert not result["failed"], result["msg"]
    assert first["hostendpoint"] == result["hostendpoint"] and first["diff"] == result["diff"]
    expected = {"a": "", "b": "true", LAST_APPLIED: '{"a": "<&>"}'}
    assert result["hostendpoint"]["annotations"] == expected
    assert (result["operation"], result["fields"]) == ("create", ["labels", "interface_name", "annotations"])
    assert LAST_APPLIED in result["diff"]["after"]
    (value,) = datastore.stored().values()
    assert (
        '"labels":{"role":"web"},"annotations":{"a":"","b":"true","kubectl' in value and r"\u003c\u0026\u003e" in value
    )
    for same in ({"resource": annotated(**given)}, result["hostendpoint"]):
        again = hostendpoint(datastore, **same)
        assert (again["operation"], again["hostendpoint"]) == ("none", result["hostendpoint"])


@only_etcdv3
def test_annotations_that_are_not_given_are_kept_and_not_compared(datastore, src):
    hostendpoint(datastore, resource=annotated(a="1", b="2"))
    for options in ({"resource": MANIFEST}, {"resource": annotated()}, {"resource": annotated(b="2")}):
        assert hostendpoint(datastore, **options)["operation"] == "none"
    result = hostendpoint(datastore, resource=annotated(b="3", c="4"))
    assert (result["operation"], result["fields"]) == ("update", ["annotations"])
    assert result["hostendpoint"]["annotations"] == {"b": "3", "c": "4"}
    assert "    b: '2'\n" in result["diff"]["before"] and "    a:" not in result["diff"]["before"]
    assert "    b: '3'\n    c: '4'\n" in result["diff"]["after"]
    assert annotations_of(datastore) == {"a": "1", "b": "3", "c": "4"}
    other_labels = dict(MANIFEST, metadata={"name": "n1-eth0", "labels": {"role": "db"}})
    assert hostendpoint(datastore, resource=other_labels)["fields"] == ["labels"]
    assert annotations_of(datastore) == {"a": "1", "b": "3", "c": "4"}
    bulk = hostendpoints(datastore, src=src(yaml.safe_dump(annotated(a="5"))), diff=True)
    assert bulk["changes"][0]["fields"] == ["labels", "annotations"] and "    a: '5'\n" in bulk["diff"][0]["after"]
    assert annotations_of(datastore) == {"a": "5", "b": "3", "c": "4"}
    assert "annotations" not in info(datastore)["hostendpoints"][0]


@only_etcdv3
def test_annotations_as_an_option_and_as_a_patch(datastore):
    fields = dict(STORED, annotations={"a": "1"})
    assert hostendpoints(datastore, endpoints=[fields])["changes"][0]["fields"][-1] == "annotations"
    result = hostendpoint(datastore, state="patched", annotations={"b": "2"})
    assert (result["fields"], result["hostendpoint"]["annotations"]) == (["annotations"], {"b": "2"})
    assert annotations_of(datastore) == {"a": "1", "b": "2"}
    assert hostendpoint(datastore, state="patched", annotations={"a": "1"})["operation"] == "none"
    result = hostendpoint(datastore, state="patched", annotations={"a": None})
    failure(result, "annotations[a]: must be a string; annotations are only added or changed, never removed")
    assert annotations_of(datastore) == {"a": "1", "b": "2"}


@only_etcdv3
def test_an_audit_finds_an_annotation_that_differs(datastore):
    hostendpoint(datastore, resource=annotated(a="1", b="2"))
    assert audit_of(datastore, resources=[annotated(b="2")])["summary"]["compliant"] == 1
    (found,) = audit_of(datastore, resources=[annotated(b="3")])["findings"]
    assert (found["class"], found["message"]) == ("changed", "tools that read its annotations see other values")
    assert found["fields"] == [{"field": "annotations", "want": {"b": "3"}, "have": {"b": "2"}}]


@only_etcdv3
@pytest.mark.parametrize(
    "annotations, message",
    [
        ({"a b": "1"}, "annotations: 'a b' is not an annotation key: 1 to 63 of"),
        ({"-/a": "1"}, "annotations: '-/a' is not an annotation key"),
        ({"": "1"}, "annotations: '' is not an annotation key"),
        ({"a": "\ud800"}, "annotations: '\\\\ud800' is not a whole character"),
        (
            {"a": "x" * 262144},
            "annotations: 262145 is too many bytes for all annotations together: Calico accepts 262144",
        ),
        ({"a": ["x"]}, "resource: metadata.annotations[a]: ['x'] is not a string"),
        (["a"], "resource: metadata.annotations: ['a'] is not a mapping of keys to strings"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_annotations_that_calico_would_refuse(datastore, annotations, message):
    message = message.replace("\\\\", "\\")
    resource = dict(MANIFEST, metadata=dict(MANIFEST["metadata"], annotations=annotations))
    failure(hostendpoint(datastore, resource=resource), message)
    assert datastore.stored() == {}


@only_etcdv3
def test_annotations_are_counted_with_those_that_are_kept(datastore):
    assert hostendpoint(datastore, resource=annotated(a="x" * 262143))["operation"] == "create"
    result = hostendpoint(datastore, resource=annotated(b="1"))
    failure(result, "annotations: would have 262146 bytes with those that are stored and kept; Calico accepts 262144")
    assert hostendpoint(datastore, resource=annotated(a="1", b="1"))["operation"] == "update"
    assert annotations_of(datastore) == {"a": "1", "b": "1"}


@only_etcdv2
def test_calico_v1_has_no_annotations(datastore):
    message = "annotations: ['a'] cannot be stored: Calico's v1 data model (etcdv2) has no annotations"
    for options in ({"resource": annotated(a="1")}, dict(STORED, annotations={"a": "1"})):
        failure(hostendpoint(datastore, **options), message)
    resource = {
        "apiVersion": "v1",
        "kind": "hostEndpoint",
        "metadata": {"name": "a", "node": "n", "annotations": {"a": "1"}},
    }
    failure(hostendpoint(datastore, resource=resource), "resource: metadata.annotations is unknown")
    assert hostendpoint(datastore, resource=annotated())["operation"] == "create"
    assert datastore.stored() == datastore.tree_of([STORED])
