# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._hostendpoint import V1, HostEndpoint, Port
from ansible_collections.netsec.calico.plugins.module_utils._validation import (
    check,
    check_filter,
    check_identity,
    ignored_by_felix,
)

# The rows are those of libcalico-go's own lib/validator/validator_test.go where it has one.
VALID = [
    {"name": "ep1/with.foo/and.bar"},
    {"name": "a/../b"},
    {"name": "x" * 128},
    {"node": "Node_1.example.com"},
    {"node": "-"},
    {"interface_name": "Valid_Iface.0-9"},
    {"interface_name": "", "expected_ips": ("10.0.0.1",)},
    {"labels": {"k8s_ns/label/role": "gold._0-9", "/": "", ".": "-v"}},
    {"labels": {"x" * 512: "v" * 63}},
    {"profiles": (".My-valid-Profile_190", "ns/prof")},
]

# (what is changed, the option that the message names, a part of the rule)
INVALID = [
    ({"name": ""}, "name", "is missing"),
    ({"node": ""}, "node", "is missing"),
    ({"name": "a%b"}, "name", "not an endpoint name"),
    ({"name": "x" * 129}, "name", "1 to 128"),
    ({"name": "eth0\n"}, "name", "not an endpoint name"),
    ({"name": "é"}, "name", "not an endpoint name"),
    ({"name": ".."}, "name", "steps in a path"),
    ({"name": "_eth0"}, "name", "hides keys"),
    ({"node": "a/b"}, "node", "not a node name"),
    ({"node": "."}, "node", "steps in a path"),
    ({"node": "_x"}, "node", "hides keys"),
    ({"interface_name": "interfaceTooLong"}, "interface_name", "1 to 15"),
    ({"interface_name": "*"}, "interface_name", "not an interface name"),
    ({"interface_name": "eth0\n"}, "interface_name", "not an interface name"),
    ({"interface_name": ".."}, "interface_name", "Linux has no interface"),
    ({"interface_name": ""}, "interface_name", "needs interface_name, expected_ips or both"),
    ({"expected_ips": ("10.0.0.1", "10.0.0.0/8")}, "expected_ips[1]", "without prefix length"),
    ({"expected_ips": ("",)}, "expected_ips[0]", "not an IP address"),
    ({"labels": {"rank!": "v"}}, "labels", "not a label key"),
    ({"labels": {"": "v"}}, "labels", "not a label key"),
    ({"labels": {"x" * 513: "v"}}, "labels", "1 to 512"),
    ({"labels": {"a": "v-"}}, "labels[a]", "not a label value"),
    ({"labels": {"a": "v" * 64}}, "labels[a]", "at most 63"),
    ({"labels": {"a": "a\n"}}, "labels[a]", "not a label value"),
    ({"labels": {"projectcalico.org/created-by": "x"}}, "labels", "Calico's own label"),
    ({"profiles": ("ok", "a b")}, "profiles[1]", "not a profile name"),
    ({"profiles": ("",)}, "profiles[0]", "not a profile name"),
    ({"ports": (Port("http", "TCP", 80),)}, "ports", "no named ports"),
]


def _endpoint(fields):
    return HostEndpoint(**dict({"name": "eth0", "node": "myhost", "interface_name": "eth0"}, **fields))


@pytest.mark.parametrize("fields", VALID)
def test_valid(fields):
    check(_endpoint(fields), V1)


@pytest.mark.parametrize("fields, option, rule", INVALID)
def test_the_message_names_endpoint_option_value_and_rule(fields, option, rule):
    endpoint = _endpoint(fields)
    with pytest.raises(InvalidInput) as error:
        check(endpoint, V1)
    message = str(error.value)
    assert message.startswith("{0}: {1}: ".format(endpoint, option))
    assert rule in message
    assert len(error.value.problems) == 1


def test_every_problem_is_named_and_many_are_counted():
    with pytest.raises(InvalidInput) as error:
        check(_endpoint({"labels": {"bad key {0}".format(number): "v" for number in range(10000)}}), V1)
    assert str(error.value).endswith("and 9990 more")
    assert len(str(error.value)) < 2000


def test_long_values_are_cut_in_messages():
    with pytest.raises(InvalidInput) as error:
        check(_endpoint({"name": "x" * 10000}), V1)
    assert len(str(error.value)) < 600


def test_an_identity_alone_is_checked_for_deletes():
    check_identity(HostEndpoint(name="eth0", node="myhost"), V1)
    with pytest.raises(InvalidInput, match="steps in a path"):
        check_identity(HostEndpoint(name="..", node="myhost"), V1)


def test_a_filter_may_leave_name_or_node_away():
    check_filter(None, None, V1)
    check_filter("myhost", None, V1)
    with pytest.raises(InvalidInput, match="steps in a path"):
        check_filter("..", None, V1)


def test_felix_ignores_profiles_with_a_slash():
    assert "profiles[0]: 'ns/prof'" in ignored_by_felix(_endpoint({"profiles": ("ns/prof",)}), V1)
    assert ignored_by_felix(_endpoint({"profiles": ("prof",)}), V1) == ""
    assert ignored_by_felix(HostEndpoint(), V1) == ""
