# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, Patched, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import build_change
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Codec, Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint


def is_repr(value, endpoint):
    return value == repr(endpoint)


IDENTITY = HostEndpoint(name="eth0", node="myhost")
ENDPOINT = IDENTITY.patched({"interface_name": "eth0", "labels": {"a": "1"}, "expected_ips": ("10.0.0.1",)})


def stored(endpoint=ENDPOINT, error=""):
    def decode(value, _identity):
        assert value == "value"
        if error:
            raise ValueError(error)
        return endpoint

    codec = Codec(HostEndpoint, None, decode, is_repr)
    return Stored("/key", "7", "value", endpoint.node, endpoint.name, codec)


def plan(want, found):
    return build_change(want, found, V1)


def test_what_is_missing_is_created():
    change = plan(Present(ENDPOINT), None)
    assert (change.operation, change.before, change.after) == ("create", None, ENDPOINT)
    assert change.fields == ["labels", "interface_name", "expected_ips"]


def test_what_is_equal_stays():
    change = plan(Present(ENDPOINT.patched({"expected_ips": ("::ffff:10.0.0.1", "10.0.0.1")})), stored())
    assert (change.operation, change.after, change.fields) == ("none", ENDPOINT, [])


def test_what_is_stored_to_the_letter_is_not_even_decoded():
    """Of 10,000 endpoints, 9,900 are as they should be."""

    def decode(_value, _identity):
        raise AssertionError("decoded")

    found = Stored("/key", "7", repr(ENDPOINT), "myhost", "eth0", Codec(HostEndpoint, None, decode, is_repr))
    assert plan(Present(ENDPOINT), found).operation == "none"


def test_what_stands_in_the_wrong_place_is_replaced_though_its_value_is_right():
    found = Stored(
        "/key", "7", repr(ENDPOINT), "myhost", "eth0", Codec(HostEndpoint, None, None, is_repr), "one level too deep"
    )
    change = plan(Present(ENDPOINT), found)
    assert (change.operation, change.before.error) == ("update", "one level too deep")


def test_a_field_left_out_is_empty():
    change = plan(Present(IDENTITY.patched({"interface_name": "eth0"})), stored())
    assert (change.operation, change.fields) == ("update", ["labels", "expected_ips"])


def test_a_patch_changes_only_what_is_given():
    change = plan(Patched(IDENTITY.ref, {"labels": {"b": "2"}}), stored())
    assert (change.operation, change.fields) == ("update", ["labels"])
    assert change.after.labels == {"a": "1", "b": "2"}
    assert change.after.expected_ips == ENDPOINT.expected_ips


def test_a_patch_needs_an_endpoint():
    with pytest.raises(InvalidInput, match="host endpoint eth0 on node myhost does not exist"):
        plan(Patched(IDENTITY.ref, {}), None)


def test_a_patch_may_not_make_the_endpoint_invalid():
    with pytest.raises(InvalidInput, match="requires interface_name, expected_ips or both"):
        plan(Patched(IDENTITY.ref, {"interface_name": "", "expected_ips": ()}), stored())


def test_a_value_that_cannot_be_read_is_replaced_or_deleted_but_not_patched():
    found = stored(IDENTITY, "is not JSON")
    assert plan(Present(ENDPOINT), found).operation == "update"
    assert plan(Absent(IDENTITY.ref), found).operation == "delete"
    with pytest.raises(InvalidInput, match="cannot be patched, since its stored value cannot be read: is not JSON"):
        plan(Patched(IDENTITY.ref, {}), found)


def test_deleting():
    change = plan(Absent(IDENTITY.ref), stored())
    assert (change.operation, change.after) == ("delete", None)
    assert change.fields == ["labels", "interface_name", "expected_ips"]
    assert plan(Absent(IDENTITY.ref), None).operation == "none"


@pytest.mark.parametrize("want", [Present(ENDPOINT), Patched(IDENTITY.ref, {"profiles": ("p",)}), Absent(IDENTITY.ref)])
def test_calicos_own_endpoints_are_never_changed(want):
    own = stored(
        HostEndpoint(**dict(vars(ENDPOINT), labels={"projectcalico.org/created-by": "calico-kube-controllers"}))
    )
    with pytest.raises((Refused, InvalidInput), match="projectcalico.org/created-by"):
        plan(want, own)
