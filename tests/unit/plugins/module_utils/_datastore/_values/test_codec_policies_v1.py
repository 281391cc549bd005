# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies and profiles of Calico v1: what Calico itself reads and writes, row by row, and what we do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.codec_policies_v1 import (
    POLICY_CODEC,
    PROFILE_CODEC,
    ProfileParts,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import PolicySnapshot
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._policies.load_v1 import load_policies_v1
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs_v1.rules_resource_v1 import (
    ProfileV1,
    read_manifest_v1,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs_v1.validation_rules_v1 import (
    find_problems_v1,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import changed_fields

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
CODECS = {"policy": POLICY_CODEC, "profile": PROFILE_CODEC}
POLICY_KEY, PROFILE_KEY = "/calico/v1/policy/tier/default/policy/", "/calico/v1/policy/profile/"


def rows(name):
    return list(map(json.loads, (VECTORS / (name + ".jsonl")).read_text(encoding="utf-8").splitlines()))


def by_id(row):
    return row["id"]


def read_content(kind, values):
    """The content of a resource with these values by the last part of their keys."""
    if kind == "profile":
        parts = {key.rpartition("/")[2]: value for key, value in values.items()}
        return ProfileParts(**parts)
    (value,) = values.values()
    return value


def stored(kind, content, name, misplaced=""):
    return Stored("/" + name, "7", content, "", name, CODECS[kind], misplaced)


def find_kind(keys):
    return "profile" if any(key.startswith(PROFILE_KEY) for key in keys) else "policy"


def without_empty(item):
    if isinstance(item, list):
        return [without_empty(each) for each in item]
    if not isinstance(item, dict):
        return item
    found = {key: without_empty(each) for key, each in item.items()}
    return {key: each for key, each in found.items() if each not in ({}, [], "")}


# Creating

CREATED = [row for name in ("v1_policy", "v1_profile") for row in rows(name) if row["valid"]]


@pytest.mark.parametrize("row", CREATED, ids=by_id)
def test_a_new_resource_has_calicos_bytes(row):
    resource = read_manifest_v1(row["doc"] if "doc" in row else yaml_io.first(row["text"]))
    kind, codec = resource.KIND, CODECS[resource.KIND]
    content = read_content(kind, row["keys"] if kind == "profile" else {row["key"]: row["value"]})
    assert codec.encode(resource, None) == content
    found = stored(kind, content, resource.name)
    assert not found.error
    assert changed_fields(found.beside(resource), resource) == []
    assert found.is_just(resource)
    # A second write changes nothing.
    assert codec.encode(resource, found) == codec.encode(found.beside(resource), found) == content
    # It is shown as calicoctl shows it, and can be given again.
    shown = found.resource.patched({"annotations": dict(found.annotations)}).as_manifest()
    assert without_empty(shown) == without_empty(row["get"])
    assert changed_fields(resource, read_manifest_v1(shown)) == []


@pytest.mark.parametrize("row", CREATED, ids=by_id)
def test_felix_accepts_what_the_collection_accepts(row):
    resource = read_manifest_v1(row["doc"] if "doc" in row else yaml_io.first(row["text"]))
    if find_problems_v1(resource):
        return
    content = CODECS[resource.KIND].encode(resource, None)
    snapshot = PolicySnapshot()
    if isinstance(resource, ProfileV1):
        snapshot.profiles[resource.name] = content._asdict()
        rules = load_policies_v1(snapshot).profiles[resource.name].rules
    else:
        snapshot.policies.append((resource.name, content))
        (policy,) = load_policies_v1(snapshot).policies["default"]
        rules = policy.rules
    assert not any(rule.fatal for direction in rules.values() for rule in direction)


# Updating

UPDATED = [row for row in rows("v1_policies_update") if row["action"] in ("apply", "replace") and row["ok"]]
# Why a row's bytes differ from Calico's.
DIFFERENT = {
    "v1upd-006": "stored keys that Calico does not know are kept",
    "v1upd-021": "stored keys that Calico does not know are kept",
}


@pytest.mark.parametrize("row", UPDATED, ids=by_id)
def test_an_update_means_what_calicos_means(row):
    resource = read_manifest_v1(row["doc"])
    kind = resource.KIND
    before = stored(kind, read_content(kind, row["before"]), resource.name)
    content = CODECS[kind].encode(resource, before)
    expected = read_content(kind, row["after"])
    assert (content == expected) == (row["id"] not in DIFFERENT), DIFFERENT.get(row["id"])
    after = stored(kind, content, resource.name)
    assert changed_fields(after.resource, stored(kind, expected, resource.name).resource) == []
    assert CODECS[kind].encode(resource, after) == content


def test_each_listed_difference_is_a_row():
    assert set(DIFFERENT) <= set(map(by_id, UPDATED))


# Reading

SHOWN = [row for row in rows("v1_policies_update") if row["action"] == "cli" and len(row.get("get") or ()) == 1]
# calicoctl shows these, and Felix ignores them.
IGNORED = {"v1upd-069": "rules: the value is not JSON"}


@pytest.mark.parametrize("row", SHOWN, ids=by_id)
def test_a_stored_value_is_read_as_calicoctl_shows_it(row):
    (shown,) = row["get"]
    kind = shown["kind"]
    values = {key: value for key, value in row["before"].items() if key.startswith((POLICY_KEY, PROFILE_KEY))}
    found = stored(kind, read_content(kind, values), shown["metadata"]["name"])
    assert found.error.startswith(IGNORED.get(row["id"], "")) and bool(found.error) == (row["id"] in IGNORED)
    if not found.error:
        assert without_empty(found.resource.as_manifest()) == without_empty(shown)


FELIX = [row for row in rows("v1_policies_felix") if row["parse"] != "no such key"]


@pytest.mark.parametrize("row", FELIX, ids=by_id)
def test_what_calico_cannot_parse_is_an_error(row):
    kind = find_kind([row["key"]])
    content = read_content(kind, {row["key"]: row["raw"]})
    if kind == "profile":
        content = ProfileParts("[]", "{}", "{}")._replace(
            **{each: item for each, item in content._asdict().items() if item}
        )
    error = stored(kind, content, "p1").error
    assert bool(error) == (row["parse"] != "ok" or "action" in row["felix"]), error


@pytest.mark.parametrize(
    "parts, meaning",
    [
        (
            ProfileParts(tags="[]", labels="{}"),
            "Calico cannot read it, so its rules, labels and tags do not all apply: the key rules is missing, so for "
            "Felix the profile is missing, and traffic that reaches it is rejected",
        ),
        (ProfileParts(rules="{}"), "calicoctl does not list it, although Felix uses it: the key tags is missing"),
        (
            ProfileParts("[1]", "{}", "{}"),
            "Calico cannot read it, so its rules, labels and tags do not all apply: tags: [0] is not a string: 1",
        ),
        (
            ProfileParts("[]", "{}", '{"inbound_rules":[{"src_nets":[null]}]}'),
            "it is unknown whether Calico can read it, and whether its rules, labels and tags do not all apply: "
            "rules: inbound_rules[0].src_nets[0] is an empty network",
        ),
    ],
)
def test_a_profile_that_is_not_whole(parts, meaning):
    found = stored("profile", parts, "p")
    assert found.meaning == meaning
    # It is made whole by the next run, whatever its rules are.
    assert CODECS["profile"].encode(ProfileV1("p"), found) == ProfileParts("[]", "{}", "{}")


def test_a_profile_before_calico_had_labels():
    found = stored("profile", ProfileParts(tags="null", rules='{"inbound_rules":[{}]}'), "p")
    assert not found.error and found.value == '{"tags":null,"rules":{"inbound_rules":[{}]}}'
    assert found.resource == ProfileV1("p", spec={"ingress": [{"action": "allow"}]})


@pytest.mark.parametrize("kind", ["policy", "profile"])
@pytest.mark.parametrize("prefixes", [["", "x"], ["x", ""]])
def test_unknown_fields_of_a_rule_stay_with_it_among_rules_that_look_alike(kind, prefixes):
    rules = [{"action": "log", "log_prefix": prefix} if prefix else {"action": "log"} for prefix in prefixes]
    value = json.dumps({"inbound_rules": rules})
    given = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "p"}, "spec": {"ingress": [{"action": "log"}] * 3}}
    resource = read_manifest_v1(given)
    if kind == "policy":
        written = POLICY_CODEC.encode(resource, stored(kind, value, "p"))
    else:
        written = PROFILE_CODEC.encode(resource, stored(kind, ProfileParts("[]", "{}", value), "p")).rules
    assert json.loads(written)["inbound_rules"] == [*rules, {"action": "log"}]


def test_what_is_not_managed_is_kept():
    policy = read_manifest_v1(
        {
            "apiVersion": "v1",
            "kind": "policy",
            "metadata": {"name": "p", "annotations": {"b": "<"}},
            "spec": {"order": 0.0000001, "ingress": [{"action": "log"}, {"action": "deny"}]},
        }
    )
    value = (
        '{"Order":1.0,"x":1E5,"inbound_rules":[{"action":"allow","y":1},{"Action":"log","log_prefix":"z"}],'
        '"annotations":{"a":"1"},"types":null}'
    )
    assert POLICY_CODEC.encode(policy, stored("policy", value, "p")) == (
        '{"order":1e-7,"inbound_rules":[{"action":"log","log_prefix":"z"},{"action":"deny"}],"selector":"",'
        '"annotations":{"a":"1","b":"\\u003c"},"types":["ingress"],"x":1E5}'
    )
    new = POLICY_CODEC.encode(policy, None)
    for before in (stored("policy", "{", "p"), stored("policy", value, "p", "elsewhere")):
        assert POLICY_CODEC.encode(policy, before) == new
    assert stored("policy", value, "p").annotations == {"a": "1"}
