# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are listed by their labels, in Calico's selector language."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module

LABELS = {
    "a": {"type": "production", "site": "x"},
    "b": {"type": "production", "site": "y"},
    "c": {"site": "xy"},
    "d": {},
}
PROFILE = "p1"
RESOURCES = "/calico/resources/v3/projectcalico.org"


def put_v1(etcd):
    """The endpoints, what cannot be read, and a profile of theirs with labels."""
    etcd.put("/calico/v1/Ready", "true")
    etcd.put("/calico/v1/policy/profile/%s/labels" % PROFILE, '{"inherited":"yes"}')
    for name, labels in LABELS.items():
        value = {"name": name, "labels": labels, "profile_ids": [PROFILE]}
        etcd.put("/calico/v1/host/n1/endpoint/" + name, json.dumps(value))
    etcd.put("/calico/v1/host/n1/endpoint/broken", "[]")


def put_v3(etcd):
    state = {"kind": "ClusterInformation", "spec": {"datastoreReady": True}}
    etcd.put_v3(RESOURCES + "/clusterinformations/default", json.dumps(state))
    resource = {"kind": "Profile", "metadata": {"name": PROFILE}, "spec": {"labelsToApply": {"inherited": "yes"}}}
    etcd.put_v3(RESOURCES + "/profiles/" + PROFILE, json.dumps(resource))
    for name, labels in LABELS.items():
        resource = {"kind": "HostEndpoint", "apiVersion": "projectcalico.org/v3"}
        resource.update(metadata={"name": name, "labels": labels})
        resource.update(spec={"node": "n1", "interfaceName": name, "profiles": [PROFILE]})
        etcd.put_v3(RESOURCES + "/hostendpoints/" + name, json.dumps(resource))
    etcd.put_v3(RESOURCES + "/hostendpoints/broken", "[]")


@pytest.fixture
def stored(etcd):
    """The same endpoints in both datastores of one server."""
    put_v1(etcd)
    put_v3(etcd)
    return etcd


def info(server, datastore_type, **options):
    options = dict(options, datastore_type=datastore_type, etcd_endpoints=[server.url])
    return run_module("calico_hostendpoint_info", options)


def selected(server, datastore_type, selector, **options):
    result = info(server, datastore_type, selector=selector, **options)
    assert not result["failed"], result
    return "".join(endpoint["name"] for endpoint in result["hostendpoints"])


BOTH = pytest.mark.parametrize("datastore_type", ["etcdv2", "etcdv3"])


@BOTH
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
def test_the_labels_select(stored, datastore_type, selector, names):
    assert selected(stored, datastore_type, selector) == names


@BOTH
def test_it_narrows_the_other_filters(stored, datastore_type):
    assert selected(stored, datastore_type, "has(type)", name="a", node="n1") == "a"
    assert selected(stored, datastore_type, "has(type)", name="c") == ""
    assert selected(stored, datastore_type, "has(type)", node="n2") == ""


@BOTH
def test_labels_of_profiles_do_not_count(stored, datastore_type):
    assert selected(stored, datastore_type, "has(inherited)") == ""
    assert selected(stored, datastore_type, "!has(inherited)") == "abcd"


@BOTH
def test_what_cannot_be_read_is_listed_anyway(stored, datastore_type):
    result = info(stored, datastore_type, selector="type == 'test'")
    assert [found["key"].rpartition("/")[2] for found in result["malformed"]] == ["broken"]
    assert len(result["warnings"]) == 1


def test_the_datastore_decides_on_the_generation(stored):
    assert selected(stored, "etcdv3", "site starts with 'x' && global()") == "ac"
    result = info(stored, "etcdv2", selector="site starts with 'x'")
    assert result["failed"]
    assert "at character 6 Calico v1 finds \"starts with 'x'\"" in result["msg"]


@BOTH
@pytest.mark.parametrize(
    "selector, message",
    [
        ("type = 'x'", "selector \"type = 'x'\": at character 6 "),
        ("has(type) &&", "selector 'has(type) &&': at character 13 "),
        # A variable that went wrong, and not a wish for all of them.
        ("", "selector: must not be empty; all() selects every endpoint"),
        (" \n", "selector: must not be empty"),
    ],
)
def test_a_selector_that_is_none_is_an_error_before_anything_is_read(stored, wire, datastore_type, selector, message):
    result = info(wire, datastore_type, selector=selector)
    assert result["failed"] and message in result["msg"], result
    assert wire.requests == []
