# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are listed by their labels, in Calico's selector language."""

from __future__ import annotations

import json

import pytest

from tests.integration.tasks import info, only_etcd

LABELS = {
    "a": {"type": "production", "site": "x"},
    "b": {"type": "production", "site": "y"},
    "c": {"site": "xy"},
    "d": {},
}
PROFILE = "p1"
RESOURCES = "/calico/resources/v3/projectcalico.org"


@pytest.fixture(autouse=True)
def _stored(datastore):
    """The endpoints, what cannot be read, and, on etcd, a profile of theirs with labels."""
    for name, labels in LABELS.items():
        fields = {"name": name, "node": "n1", "interface_name": name, "profiles": [PROFILE]}
        datastore.put_endpoint(fields, labels=labels)
    broken = {"name": "broken", "node": "n1"}
    datastore.put(datastore.key("n1", "broken"), datastore.malformed(broken))
    if datastore.type == "etcdv2":
        datastore.put("/calico/v1/policy/profile/%s/labels" % PROFILE, '{"inherited":"yes"}')
    elif datastore.type == "etcdv3":
        resource = {"kind": "Profile", "metadata": {"name": PROFILE}, "spec": {"labelsToApply": {"inherited": "yes"}}}
        datastore.put(RESOURCES + "/profiles/" + PROFILE, json.dumps(resource))


def selected(server, selector, **options):
    result = info(server, selector=selector, **options)
    assert not result["failed"], result
    return "".join(endpoint["name"] for endpoint in result["hostendpoints"])


@pytest.mark.parametrize(
    "selector, names",
    [
        ("all()", "abcd"),
        ("type == 'production'", "ab"),
        ("type != 'production'", "cd"),
        ("has(type) && site == 'y' || !has(site)", "bd"),
        ("site in {'x', 'xy'}", "ac"),
        ("site not in {'x', 'xy'}", "bd"),
        ("type == 'test'", ""),
    ],
)
def test_the_labels_select(datastore, selector, names):
    assert selected(datastore, selector) == names


def test_it_narrows_the_other_filters(datastore):
    assert selected(datastore, "has(type)", name="a", node="n1") == "a"
    assert selected(datastore, "has(type)", name="c") == ""
    assert selected(datastore, "has(type)", node="n2") == ""


@only_etcd
def test_labels_of_profiles_do_not_count(datastore):
    assert selected(datastore, "has(inherited)") == ""
    assert selected(datastore, "!has(inherited)") == "abcd"


def test_what_cannot_be_read_is_listed_anyway(datastore):
    result = info(datastore, selector="type == 'test'")
    assert [found["key"].rpartition("/")[2] for found in result["malformed"]] == ["broken"]
    assert len(result["warnings"]) == 1


def test_the_datastore_decides_on_the_generation(datastore):
    if datastore.model == "v3":
        assert selected(datastore, "site starts with 'x' && global()") == "ac"
        return
    result = info(datastore, selector="site starts with 'x'")
    assert result["failed"]
    assert "at character 6 Calico v1 finds \"starts with 'x'\"" in result["msg"]


@pytest.mark.parametrize(
    "selector, message",
    [
        ("type = 'x'", "selector \"type = 'x'\": at character 6 "),
        ("has(type) &&", "selector 'has(type) &&': at character 13 "),
        # A variable that went wrong, and not a wish for all of them.
        ("", "selector: must not be empty; all() selects everything"),
        (" \n", "selector: must not be empty"),
    ],
)
def test_a_selector_that_is_none_is_an_error_before_anything_is_read(wire, selector, message):
    result = info(wire, selector=selector)
    assert result["failed"] and message in result["msg"], result
    assert wire.requests == []
