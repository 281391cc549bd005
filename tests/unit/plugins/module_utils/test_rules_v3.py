# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's own verdicts on documents, row by row, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils import _yaml
from ansible_collections.netsec.calico.plugins.module_utils._datastore._v3_value import encode
from ansible_collections.netsec.calico.plugins.module_utils._errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._fields import with_empty_labels
from ansible_collections.netsec.calico.plugins.module_utils._hostendpoint import V3, HostEndpoint, Port
from ansible_collections.netsec.calico.plugins.module_utils._resource import fields_from_resource
from ansible_collections.netsec.calico.plugins.module_utils._validation import (
    check,
    check_filter,
    check_identity,
    check_label,
    check_nodes,
    ignored_by_felix,
)

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
UID, TIME = "11111111-2222-4333-8444-555555555555", "2020-01-02T03:04:05Z"


def rows(name):
    return {row["id"]: row for row in map(json.loads, (VECTORS / name).read_text(encoding="utf-8").splitlines())}


DOCUMENTS = {**rows("v3_hostendpoint.jsonl"), **rows("v3_random.jsonl")}
TEXTS = rows("v3_yaml.jsonl")

# Why a row has another outcome here: {reason: (a part of the message, "" where the document is taken, and the rows)}.
DIFFERENT = {
    "annotations, finalizers and owners are not managed here, so a manifest with them would be misleading": (
        "it is not managed here",
        """
        h-043 h-044 h-419 h-422 h-423 h-424 h-427 h-428 h-429 h-430 h-437 h-440 r-005 r-010 r-070 r-078
        r-112 r-144 r-150 r-151 r-169 r-171 r-175 r-181 r-184 r-186 r-193 r-277 r-278 r-292 r-299 r-300
        r-349 r-356 r-371 r-382 r-384
        h-056 h-057 y-066 y-124
        """,
    ),
    "nothing that a manifest should have: it would be written without it": (
        "Calico has no such key",
        "h-053 h-055 h-060 r-178 r-219",
    ),
    "a key in another case is most likely a mistake": ("did you mean spec.expectedIPs?", "h-039"),
    "the same in a port": ("it needs exactly name, protocol and port", "h-370"),
    "Linux has no such interface": ("Linux has no interface of that name", "h-148"),
    "Calico's controllers would delete the endpoint": ("Calico's own label", "h-377"),
    "a number with a fraction is no number of a protocol": ("6.0 is a YAML number that does not keep", "h-291"),
    "nor is it a port": ("is not a number", "y-100 y-101"),
    "a v1 manifest is as good": ("", "h-030"),
    "an exported manifest can be applied: its resourceVersion is ignored": ("", "r-174"),
    "PyYAML reads 0o10, 1:30, 1e3, and n and y as a key in its own way": ("", "y-017 y-030 y-104 y-052 y-053"),
    "PyYAML and Ansible take a %YAML directive and the last one of two keys": ("", "y-117 y-120"),
    "binary data is no text": ("b'hi' is not a text", "y-039"),
    "a tag that PyYAML does not know": ("is not YAML", "y-049"),
    "1.0 would be written as 1": ("1.0 is a YAML number that does not keep its spelling", "y-057"),
    "PyYAML reads a date": ("datetime.date(2020, 1, 2) is not a text", "y-061"),
    "PyYAML reads a number of base 60": ("is not a text; quote the address", "y-092"),
}
MESSAGES = {row: message for message, listed in DIFFERENT.values() for row in listed.split()}


def outcome(document):
    """The bytes that are written for a document, or the message."""
    try:
        endpoint = HostEndpoint(**with_empty_labels(fields_from_resource(document)))
        check(endpoint, V3)
    except InvalidInput as exc:
        return None, str(exc)
    return encode(endpoint, uid=UID, now=TIME), ""


def outcome_of_text(text):
    try:
        document = _yaml.load(text)
    except ValueError as exc:
        return None, str(exc)
    return outcome(document) if isinstance(document, dict) else (None, "not a resource")


def compare(row, written, message):
    expected = row["value"].replace("<uid>", UID).replace("<time>", TIME) if row["valid"] else None
    if row["id"] in MESSAGES:
        assert written != expected, "this row is not different any more"
        assert (MESSAGES[row["id"]] in message) if MESSAGES[row["id"]] else written
    else:
        assert written == expected, message
        assert bool(message) == (written is None)


@pytest.mark.parametrize("row", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents(row):
    compare(row, *outcome(row["doc"]))


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS)
def test_documents_as_yaml(row):
    compare(row, *outcome_of_text(row["text"]))


def test_what_is_listed_as_different_is_a_row():
    assert set(MESSAGES) <= set(DOCUMENTS) | set(TEXTS)
    assert len(MESSAGES) == sum(len(listed.split()) for _message, listed in DIFFERENT.values())


# What the rows do not have.
VALID = [
    {"name": "x" * 253, "node": "y" * 253},
    {"interface_name": "*"},
    {"interface_name": "", "expected_ips": ("10.0.0.1",)},
    {"labels": {"example.com/a.B_c-d": "", "x" * 63: "v" * 63}},
    {"profiles": ("p" * 1000,)},
    {"ports": (Port("1-a-2", "00132", 65535), Port("1-a-2", "TCP", 1))},
]

# (what is changed, the option that the message names, a part of the rule)
INVALID = [
    ({"name": ""}, "name", "is missing: an endpoint is identified by its name"),
    ({"node": ""}, "node", "is missing: an endpoint is on one node"),
    ({"name": "x" * 254}, "name", "not an endpoint name"),
    ({"name": ".."}, "name", "not an endpoint name"),
    ({"name": "eth0\n"}, "name", "not an endpoint name"),
    ({"node": "x" * 254}, "node", "1 to 253"),
    ({"node": "Node"}, "node", "a-z 0-9 - ."),
    ({"interface_name": "**"}, "interface_name", "or * for all interfaces"),
    ({"interface_name": ".."}, "interface_name", "Linux has no interface"),
    ({"interface_name": ""}, "interface_name", "needs interface_name, expected_ips or both"),
    ({"expected_ips": ("",)}, "expected_ips[0]", "not an IP address"),
    ({"profiles": ("p", "")}, "profiles[1]", "not a profile name"),
    ({"labels": {"Example.com/a": "v"}}, "labels", "a DNS name in lower case and a slash"),
    ({"labels": {"": "v"}}, "labels", "not a label key"),
    ({"labels": {"a": "v\n"}}, "labels[a]", "at most 63"),
    ({"labels": {"projectcalico.org/created-by": ""}}, "labels", "Calico's own label"),
    ({"ports": (Port("http", "TCP", 80), Port("a--b", "TCP", 80))}, "ports[1].name", "1 to 15"),
    ({"ports": (Port("x" * 16, "TCP", 80),)}, "ports[0].name", "1 to 15"),
    ({"ports": (Port("a\n", "TCP", 80),)}, "ports[0].name", "not a port name"),
    ({"ports": (Port("http", "tcp", 80),)}, "ports[0].protocol", "TCP, UDP, SCTP"),
    ({"ports": (Port("http", "60", 80),)}, "ports[0].protocol", "(6, 17, 132)"),
    ({"ports": (Port("http", "TCP", 65536),)}, "ports[0].port", "from 1 to 65535"),
]


def _endpoint(fields):
    return HostEndpoint(**dict({"name": "eth0", "node": "myhost", "interface_name": "eth0"}, **fields))


@pytest.mark.parametrize("fields", VALID)
def test_valid(fields):
    check(_endpoint(fields), V3)


@pytest.mark.parametrize("fields, option, rule", INVALID)
def test_the_message_names_endpoint_option_value_and_rule(fields, option, rule):
    endpoint = _endpoint(fields)
    with pytest.raises(InvalidInput) as error:
        check(endpoint, V3)
    message = str(error.value)
    assert message.startswith("{0}: {1}: ".format(endpoint, option))
    assert rule in message
    assert len(error.value.problems) == 1


def test_an_identity_is_a_name_and_a_node_that_is_given_is_a_node():
    check_identity(HostEndpoint(name="eth0"), V3)
    check_identity(HostEndpoint(name="eth0", node="myhost"), V3)
    with pytest.raises(InvalidInput, match="name: is missing"):
        check_identity(HostEndpoint(node="myhost"), V3)
    with pytest.raises(InvalidInput, match="'MyHost' is not a node name"):
        check_identity(HostEndpoint(name="eth0", node="MyHost"), V3)


def test_a_filter_may_leave_name_or_node_away():
    check_filter(None, None, V3)
    check_filter("myhost", None, V3)
    check_filter(None, "eth0", V3)
    for node, name in (("", None), ("My", None), (None, ""), (None, "a/b")):
        with pytest.raises(InvalidInput):
            check_filter(node, name, V3)


def test_nodes_and_the_owners_label():
    check_nodes("purge_nodes", ["a", "b"], V3)
    with pytest.raises(InvalidInput, match="^purge_nodes: 'B' is not a node name.*; purge_nodes: '' is missing"):
        check_nodes("purge_nodes", ["a", "B", ""], V3)
    check_label("example.com/owner", "me", V3)
    with pytest.raises(InvalidInput, match="owner_label and owner: labels: 'a/b/c' is not a label key"):
        check_label("a/b/c", "me", V3)


def test_felix_ignores_nothing():
    assert ignored_by_felix(HostEndpoint(profiles=("ns/prof",)), V3) == ""
