# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What older versions of Calico write and accept, row by row, and what is written for them here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.calico_version import (
    NEWEST,
    CalicoVersion,
    check_version,
    choose_version,
    parse_version,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.codec_specs_v3 import build_codec
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import NONE, plan
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources import fields
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.spec_resource import TYPES
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
UID, TIME = "11111111-2222-4333-8444-555555555555", "2020-01-02T03:04:05Z"
OLDER = ("v3.27.5", "v3.31.7")
POLICIES = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")


def rows(name):
    return [json.loads(line) for line in (VECTORS / (name + ".jsonl")).read_text(encoding="utf-8").splitlines()]


def parse(document):
    """The resource of a manifest, valid or not."""
    metadata = document.get("metadata") or {}
    given = {key: fields.labels(metadata.get(key) or {}, key) for key in ("labels", "annotations")}
    spec = read_spec(document["kind"], document.get("spec"))
    return TYPES[document["kind"]](name=metadata["name"], spec=spec, **fields.with_empty_labels(given))


def parse_row(row):
    return parse(row["doc"] if "doc" in row else yaml_io.first(row["text"]))


def put_in(value):
    return value.replace("<uid>", UID).replace("<time>", TIME)


def stored(kind, key, value, version=NEWEST):
    return Stored(key, "7", value, "", key.rpartition("/")[2], build_codec(kind, version))


def change_of(resource, found, version):
    """What happens to a resource for which only this is stored, on a datastore of this version."""
    key = found.key[: -len(found.name)]
    key += version.list_names(resource.name)[0] if resource.KIND in POLICIES else resource.name
    (change,) = plan({key: Present(resource)}, [found], V3)
    return change


OUTCOMES = [
    pytest.param(row, version, id="%s-%s" % (row["id"], version))
    for row in rows("v3_policies_versions")
    for version in row["outcomes"]
]


# Creating

# Why a row's bytes differ from Calico's.
DIFFERENT = {
    ("ver-gnp-052", "v3.31.7"): "tier: default is left out, which means the same",
    ("ver-felix-181", "v3.31.7"): "nftablesMode: Auto is left out, which means the same: this Felix rejects it",
    ("ver-tier-045", "v3.32.1"): "the status of a tier is not managed here",
    ("ver-gnp-236", "v3.27.5"): "a given label of the tier has no effect, and is left out",
    ("ver-gnp-236", "v3.31.7"): "a given label of the tier has no effect, and is left out",
    ("ver-gnp-248", "v3.27.5"): "a given annotation would give the policy another name after an upgrade",
    ("ver-gnp-249", "v3.27.5"): "with the given annotation, the policy would be unreadable after an upgrade",
}


@pytest.mark.parametrize("row, version", OUTCOMES)
def test_a_new_resource_has_the_bytes_of_the_version(row, version):
    outcome = row["outcomes"][version]
    if not outcome["valid"]:
        return
    resource, parsed = parse_row(row), choose_version(version, "")
    codec, value = build_codec(resource.KIND, parsed), put_in(outcome["value"])
    is_same = codec.encode(resource, None, UID, TIME) == value
    assert is_same == ((row["id"], version) not in DIFFERENT)
    found = stored(resource.KIND, outcome["key"], value, parsed)
    assert found.is_just(V3.as_stored(resource)) == is_same
    if resource.KIND in POLICIES:
        assert parsed.list_names(resource.name)[0] == found.name
    if is_same:
        # A second write changes nothing.
        assert codec.encode(resource, found) == value


@pytest.mark.parametrize("row, version", OUTCOMES)
def test_what_a_version_wrote_is_unchanged_for_every_version(row, version):
    outcome = row["outcomes"][version]
    if not outcome["valid"] or DIFFERENT.get((row["id"], version), "").startswith(("a given ann", "with the given")):
        return
    resource = parse_row(row)
    for other in (*OLDER, "v3.32.1"):
        parsed = choose_version(other, "")
        found = stored(resource.KIND, outcome["key"], put_in(outcome["value"]), parsed)
        assert change_of(resource, found, parsed).operation == NONE, other


# Rejecting

REFUSED = [
    param
    for param in OUTCOMES
    if param.values[0]["kind"] in POLICIES and param.values[0]["outcomes"]["v3.32.1"]["valid"]
]
# Why a row that Calico rejects is accepted.
ACCEPTED = {
    ("ver-gnp-052", "v3.27.5"): "tier: default is left out",
    ("ver-gnp-056", "v3.27.5"): "an empty tier is left out",
}


@pytest.mark.parametrize("row, version", REFUSED)
def test_a_name_and_a_tier_that_the_version_cannot_have_are_rejected(row, version):
    is_valid = row["outcomes"][version]["valid"] or (row["id"], version) in ACCEPTED
    try:
        check_version(parse_row(row), choose_version(version, ""))
    except InvalidInput as exc:
        assert not is_valid and "this datastore is of Calico %s " % version in str(exc)
    else:
        assert is_valid


@pytest.mark.parametrize(
    "kind, version, message",
    [
        (
            "Tier",
            "v3.28.5",
            "tier p1: kind: Tier requires Calico v3.29 or later, and this datastore is of Calico v3.28.5",
        ),
        ("Tier", "v3.29.0", ""),
        ("StagedGlobalNetworkPolicy", "v3.29.7", "StagedGlobalNetworkPolicy requires Calico v3.30 or later"),
        ("StagedGlobalNetworkPolicy", "v3.30.0", ""),
        ("GlobalNetworkSet", "v3.0.0", ""),
    ],
)
def test_a_kind_that_the_version_does_not_have_is_rejected(kind, version, message):
    try:
        check_version(TYPES[kind](name="p1"), choose_version(version, ""))
    except InvalidInput as exc:
        assert message and message in str(exc)
    else:
        assert not message


def test_the_message_says_which_name_to_use():
    resource = TYPES["GlobalNetworkPolicy"](name="p1", spec={"tier": "sec"})
    with pytest.raises(InvalidInput, match=r"spec.tier: 'sec' requires Calico v3.29 or later"):
        check_version(resource, CalicoVersion(3, 27, 5))
    with pytest.raises(
        InvalidInput, match=r"before v3.32, a policy in tier sec must be named sec.NAME, and .* v3.31.7"
    ):
        check_version(resource, CalicoVersion(3, 31, 7))


# Updating

UPDATED = [
    row
    for row in rows("v3_policy_names")
    if row["action"] in ("apply", "replace") and row["ok"] and row["version"] in OLDER
]
# Why what is written differs from what Calico writes.
NOT_ALIKE = {
    "pn-030": "Calico creates default.p1 beside p1; here p1 is updated",
    "pn-023": "stored annotations that are not given are kept",
}
# Where another policy is stored: p1 in tier sec.
CREATED = "pn-094"


@pytest.mark.parametrize("row", UPDATED, ids=lambda row: row["id"])
def test_an_update_is_made_in_place_like_calicos(row):
    resource, version = parse(row["doc"]), choose_version(row["version"], "")
    found = stored(resource.KIND, row["key"], row["value"], version)
    change = change_of(resource, found, version)
    assert (change.before is None) == (row["id"] == CREATED)
    value = build_codec(resource.KIND, version).encode(resource, change.before, UID, TIME)
    written = {found.key if change.before else found.key.replace("/p1", "/sec.p1"): value}
    expected = {key: put_in(text) for key, text in row["changed"].items()}
    assert (written == expected) == (row["id"] not in NOT_ALIKE), NOT_ALIKE.get(row["id"])


@pytest.mark.parametrize("version", [(3, 29, 0), (3, 29, 3), (3, 29, 4), (3, 31, 99)])
def test_since_v3_29_4_a_policy_has_its_name_in_an_annotation(version):
    value = build_codec("GlobalNetworkPolicy", CalicoVersion(*version)).encode(TYPES["GlobalNetworkPolicy"](name="p"))
    metadata = json.loads(value)["metadata"]
    assert metadata["name"] == "default.p" and ("annotations" in metadata) == (version >= (3, 29, 4))


# Versions


@pytest.mark.parametrize(
    "text, expected",
    [
        ("v3.32.1", (3, 32, 1)),
        ("3.27.5", (3, 27, 5)),
        ("v3.32.0-0.dev-570-g1a2b", (3, 32, 0)),
        ("v3.31", (3, 31, 0)),
        ("master", None),
        ("", None),
        ("v3", None),
    ],
)
def test_a_version_is_parsed(text, expected):
    assert parse_version(text) == expected


@pytest.mark.parametrize(
    "given, stored_text, expected",
    [
        (None, "v3.27.5", "v3.27.5"),
        (None, "", "v3.32.0"),
        (None, "test-build", "v3.32.0"),
        (None, "v2.6.8", "v3.32.0"),
        (None, "v3.40.1", "v3.32.0"),
        ("v3.31.7", "v3.32.1", "v3.31.7"),
        ("3.32.5", "v3.27.5", "v3.32.0"),
    ],
)
def test_the_given_version_overrides_the_stored_one(given, stored_text, expected):
    assert str(choose_version(given, stored_text)) == expected


@pytest.mark.parametrize("given", ["", "v3.27", "3", "v2.6.8", "v4.0.0", "v3.27.5-1", " v3.27.5", "latest"])
def test_an_invalid_version_is_rejected(given):
    with pytest.raises(InvalidInput, match="calico_version: .* use three numbers, such as v3.27.5"):
        choose_version(given, "v3.32.1")
