# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Calico's own code makes of documents and stored values, and that the modules make the same of them."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.integration.tasks import HOSTS, KEY, READY, SUBJECT, hostendpoint, info, vectors

DOCUMENTS = vectors("v1_hostendpoint.jsonl")
VALUES = vectors("v1_felix_values.jsonl")
LINES = range(1, len(DOCUMENTS) + 1)

# Where calicoctl v1.6.5 accepts what the collection refuses on purpose: the key of the document, its value, the
# reason, and a part of the error message.
STRICTER = [
    ("name", "..", "etcd cleans the path: the key of the host itself would be written", "as path steps"),
    ("node", ".", "etcd cleans the path: the key would not be under any host", "as path steps"),
    ("interfaceName", "..", "Linux has no interface of that name", "no interface of that name"),
    ("expectedIPs", [""], "calicoctl stores an empty address, which no interface has", "not a valid IP address"),
    ("labels", {"projectcalico.org/created-by": "x"}, "Calico's controllers would delete it", "Calico's own label"),
]


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


# Documents


def parts(document):
    """All keys of metadata and spec."""
    return [pair for part in ("metadata", "spec") for pair in (document.get(part) or {}).items()]


def as_options(document):
    """The document as single options; None when it has a shape that options cannot have."""
    pairs, options = parts(document), dict(parts(document))
    known = {"name", "node", "labels", "interfaceName", "expectedIPs", "profiles"}
    if set(document) - {"apiVersion", "kind", "metadata", "spec"} or len(options) < len(pairs) or set(options) - known:
        return None
    # Ansible takes a text for a list of one.
    return options if isinstance(options.get("expectedIPs", []), list) else None


def stricter(document):
    """The message that STRICTER tells for this document, if any."""
    return next((message for key, value, _why, message in STRICTER if (key, value) in parts(document)), None)


@pytest.mark.parametrize("line", LINES)
def test_documents_as_resource(etcd, wire, line):
    row = DOCUMENTS[line - 1]
    same_outcome(etcd, wire, row, {"resource": row["doc"]})


@pytest.mark.parametrize("line", [line for line in LINES if as_options(DOCUMENTS[line - 1]["doc"]) is not None])
def test_documents_as_options(etcd, wire, line):
    row = DOCUMENTS[line - 1]
    # None: a name or node that the document lacks is not given.
    same_outcome(etcd, wire, row, dict({"name": None, "node": None}, **as_options(row["doc"])))


def same_outcome(etcd, wire, row, options):
    result = hostendpoint(wire, **options)
    refusal = stricter(row["doc"])
    assert row["valid"] or not refusal, "calicoctl refuses it too: STRICTER must not list it"
    if row["valid"] and not refusal:
        assert not result["failed"], result["msg"]
        assert etcd.tree(HOSTS) == {row["key"]: row["value"]}
        assert (result["operation"], result["warnings"]) == ("create", [])
        can_be_fed_back(wire, result["hostendpoint"])
    else:
        assert result["failed"] and (refusal or "") in result["msg"]
        assert wire.writes == [] and etcd.tree() == {READY: "true"}


def can_be_fed_back(wire, endpoint):
    assert info(wire)["hostendpoints"] == [endpoint]
    wire.clear()
    assert hostendpoint(wire, **endpoint)["operation"] == "none"
    assert wire.writes == []


def test_all_that_is_listed_as_stricter_is_a_row():
    for key, value, _why, _message in STRICTER:
        assert len([row for row in DOCUMENTS if (key, value) in parts(row["doc"])]) == 1, (key, value)


def test_only_four_documents_have_a_shape_that_options_cannot_have():
    left_out = [row for row in DOCUMENTS if as_options(row["doc"]) is None]
    assert [row["stage"] for row in left_out] == ["parse"] * 4


# Calico's reference page of hostEndpoint, v2.6.
SAMPLE = """
apiVersion: v1
kind: hostEndpoint
metadata:
  name: eth0
  node: myhost
  labels:
    type: production
spec:
  interfaceName: eth0
  expectedIPs:
  - 192.168.0.1
  - 192.168.0.2
  profiles:
  - profile1
  - profile2
"""
SAMPLE_VALUE = (
    '{"name":"eth0","expected_ipv4_addrs":["192.168.0.1","192.168.0.2"],"labels":{"type":"production"},'
    '"profile_ids":["profile1","profile2"]}'
)


def test_the_sample_of_calicos_reference(etcd):
    hostendpoint(etcd, resource=yaml.safe_load(SAMPLE))
    assert etcd.tree(HOSTS) == {HOSTS + "/myhost/endpoint/eth0": SAMPLE_VALUE}


def test_the_sample_as_a_v3_manifest(etcd):
    sample = yaml.safe_load(SAMPLE)
    sample.update(apiVersion="projectcalico.org/v3", kind="HostEndpoint")
    sample["spec"]["node"] = sample["metadata"].pop("node")
    hostendpoint(etcd, resource=sample)
    assert etcd.tree(HOSTS) == {HOSTS + "/myhost/endpoint/eth0": SAMPLE_VALUE}


# Refused on purpose too, and not among the rows.
@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "."}, "as path steps"),
        ({"node": ".."}, "as path steps"),
        ({"name": "_x"}, "hides keys"),
        ({"name": "_"}, "hides keys"),
        ({"node": "_x"}, "hides keys"),
        ({"interface_name": "."}, "no interface of that name"),
        ({"profiles": [""]}, "profiles[0]"),
        ({"profiles": ["a", ""]}, "profiles[1]"),
        ({"labels": {"projectcalico.org/created-by": ""}}, "Calico's own label"),
        ({"ports": [{"name": "ssh", "protocol": "TCP", "port": 22}]}, "no named ports"),
    ],
    ids=str,
)
@pytest.mark.parametrize("state", ["present", "patched"])
def test_what_else_is_refused(etcd, wire, state, options, message):
    etcd.put(KEY, '{"name":"eth0"}')
    options = options if state == "patched" else dict({"interface_name": "eth0"}, **options)
    result = hostendpoint(wire, state=state, **options)
    assert result["failed"] and message in result["msg"]
    assert wire.writes == [] and etcd.tree(HOSTS) == {KEY: '{"name":"eth0"}'}


@pytest.mark.parametrize("identity", [{"name": ".."}, {"name": "."}, {"node": ".."}, {"node": "."}], ids=str)
def test_absent_never_climbs(etcd, wire, identity):
    etcd.put(KEY, '{"name":"eth0"}')
    assert "as path steps" in hostendpoint(wire, state="absent", **identity)["msg"]
    assert wire.requests == []


# Stored values

# Felix's words, and ours.
REASONS = {
    "error with field profile_ids[0] = 'ns/prof'": "profiles[0]: 'ns/prof' is not a profile name",
    "error with field labels = 'map[a:b c]'": "labels[a]: 'b c' is not a label value",
}


def assert_felix_warning(warnings, row):
    (warning,) = warnings
    assert warning.startswith(SUBJECT + ": Felix ignores it") and REASONS[row["felix"]] in warning


@pytest.mark.parametrize("row", VALUES, ids=lambda row: row["raw"])
def test_what_felix_makes_of_a_stored_value(etcd, row):
    etcd.put(KEY, row["raw"])
    result = info(etcd)
    if row["parse"] != "ok":
        assert result["hostendpoints"] == []
        assert [each["key"] for each in result["malformed"]] == [KEY]
        assert KEY in result["warnings"][0] and result["malformed"][0]["error"] in result["warnings"][0]
    elif row["felix"] != "ok":
        assert len(result["hostendpoints"]) == 1 and result["malformed"] == []
        assert_felix_warning(result["warnings"], row)
    else:
        assert len(result["hostendpoints"]) == 1 and result["malformed"] == []
        assert result["warnings"] == []


@pytest.mark.parametrize("row", [row for row in VALUES if row["parse"] == "ok"], ids=lambda row: row["raw"])
def test_what_is_written_felix_takes_or_there_is_a_warning(etcd, row):
    """Each value is read, and written anew as the modules write it."""
    etcd.put(KEY, row["raw"])
    (endpoint,) = info(etcd)["hostendpoints"]
    etcd.delete(KEY)
    result = hostendpoint(etcd, **endpoint)
    if result["failed"]:
        # An endpoint for nothing, or a label that Felix refuses.
        assert etcd.tree(HOSTS) == {} and (row["felix"] != "ok" or endpoint["interface_name"] == "")
    else:
        (written,) = [each for each in VALUES if each["raw"] == etcd.get(KEY)]
        assert (written["felix"] == "ok") == (result["warnings"] == [])
        if result["warnings"]:
            assert_felix_warning(result["warnings"], written)


@pytest.mark.parametrize("row", [row for row in VALUES if row["parse"] != "ok"], ids=lambda row: row["raw"])
def test_a_malformed_value_is_replaced_with_a_warning(etcd, row):
    etcd.put(KEY, row["raw"])
    result = hostendpoint(etcd, interface_name="eth0")
    assert (result["operation"], etcd.get(KEY)) == ("update", '{"name":"eth0"}')
    (warning,) = result["warnings"]
    assert KEY in warning and "could not be read" in warning


def test_felix_warns_at_a_patch_and_when_nothing_changes(etcd):
    etcd.put(KEY, '{"name":"eth0"}')
    for operation in ("update", "none"):
        result = hostendpoint(etcd, state="patched", profiles=["ns/prof"])
        assert (result["operation"], len(result["warnings"])) == (operation, 1)
    assert json.loads(etcd.get(KEY))["profile_ids"] == ["ns/prof"]
