# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import (
    HostEndpoint,
    Port,
    host_endpoint_ref,
)

# Those of v1 are the rows of libcalico-go's own lib/validator/validator_test.go where it has one. Of v3, test_rules_v3
# has Calico's own verdicts, and this is what these do not have.
VALID = {
    V1: [
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
    ],
    V3: [
        {"name": "x" * 253, "node": "y" * 253},
        {"interface_name": "*"},
        {"interface_name": "", "expected_ips": ("10.0.0.1",)},
        {"labels": {"example.com/a.B_c-d": "", "x" * 63: "v" * 63}},
        {"profiles": ("p" * 1000,)},
        {"ports": (Port("1-a-2", "00132", 65535), Port("1-a-2", "TCP", 1))},
    ],
}

# (what is changed, the option that the message names, a part of the rule)
INVALID = {
    V1: [
        ({"name": ""}, "name", "is missing"),
        ({"node": ""}, "node", "is missing"),
        ({"name": "a%b"}, "name", "not an endpoint name"),
        ({"name": "x" * 129}, "name", "1 to 128"),
        ({"name": "eth0\n"}, "name", "not an endpoint name"),
        ({"name": "é"}, "name", "not an endpoint name"),
        ({"name": ".."}, "name", "as path steps"),
        ({"name": "_eth0"}, "name", "hides keys"),
        ({"node": "a/b"}, "node", "not a node name"),
        ({"node": "."}, "node", "as path steps"),
        ({"node": "_x"}, "node", "hides keys"),
        ({"interface_name": "interfaceTooLong"}, "interface_name", "1 to 15"),
        ({"interface_name": "*"}, "interface_name", "not an interface name"),
        ({"interface_name": "eth0\n"}, "interface_name", "not an interface name"),
        ({"interface_name": ".."}, "interface_name", "Linux has no interface"),
        ({"interface_name": ""}, "interface_name", "requires interface_name, expected_ips or both"),
        ({"expected_ips": ("10.0.0.1", "10.0.0.0/8")}, "expected_ips[1]", "without prefix length"),
        ({"expected_ips": ("",)}, "expected_ips[0]", "not a valid IP address"),
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
    ],
    V3: [
        ({"name": ""}, "name", "is missing: an endpoint is identified by its name"),
        ({"node": ""}, "node", "is missing: an endpoint is on one node"),
        ({"name": "x" * 254}, "name", "not an endpoint name"),
        ({"name": ".."}, "name", "not an endpoint name"),
        ({"name": "eth0\n"}, "name", "not an endpoint name"),
        ({"node": "x" * 254}, "node", "1 to 253"),
        ({"node": "Node"}, "node", "a-z 0-9 - ."),
        ({"interface_name": "**"}, "interface_name", "or * for all interfaces"),
        ({"interface_name": ".."}, "interface_name", "Linux has no interface"),
        ({"interface_name": ""}, "interface_name", "requires interface_name, expected_ips or both"),
        ({"expected_ips": ("",)}, "expected_ips[0]", "not a valid IP address"),
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
    ],
}


def _each(rows):
    """(generation, *row) of each row."""
    return [(version, *(row if isinstance(row, tuple) else (row,))) for version in rows for row in rows[version]]


def _endpoint(fields):
    return HostEndpoint(**dict({"name": "eth0", "node": "myhost", "interface_name": "eth0"}, **fields))


@pytest.mark.parametrize("version, fields", _each(VALID))
def test_valid(version, fields):
    version.check(_endpoint(fields))


@pytest.mark.parametrize("version, fields, option, rule", _each(INVALID))
def test_the_message_names_endpoint_option_value_and_rule(version, fields, option, rule):
    endpoint = _endpoint(fields)
    with pytest.raises(InvalidInput) as error:
        version.check(endpoint)
    message = str(error.value)
    assert message.startswith("{0}: {1}: ".format(endpoint, option))
    assert rule in message
    assert len(error.value.problems) == 1


def test_every_problem_is_named_and_many_are_counted():
    with pytest.raises(InvalidInput) as error:
        V1.check(_endpoint({"labels": {"bad key {0}".format(number): "v" for number in range(10000)}}))
    assert str(error.value).endswith("and 9990 more")
    assert len(str(error.value)) < 2000


def test_long_values_are_cut_in_messages():
    with pytest.raises(InvalidInput) as error:
        V1.check(_endpoint({"name": "x" * 10000}))
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "version, name, node, message",
    [
        (V1, "..", "myhost", "as path steps"),
        (V1, "eth0", "", "node: is missing"),
        (V3, "", "myhost", "name: is missing"),
        (V3, "eth0", "MyHost", "'MyHost' is not a node name"),
    ],
)
def test_an_identity_alone_is_checked_for_deletes(version, name, node, message):
    version.check_ref(host_endpoint_ref(name="eth0", node="myhost"))
    with pytest.raises(InvalidInput, match=message):
        version.check_ref(host_endpoint_ref(name=name, node=node))


def test_in_v3_the_name_alone_is_the_identity():
    V3.check_ref(host_endpoint_ref(name="eth0"))


@pytest.mark.parametrize("version, node, name", [(V1, "..", None), (V3, "My", None), (V3, None, "a/b")])
def test_a_filter_may_leave_name_or_node_away(version, node, name):
    version.check_filter(None, None)
    version.check_filter("myhost", None)
    version.check_filter(None, "eth0")
    for given in ((node, name), ("", None), (None, "")):
        with pytest.raises(InvalidInput):
            version.check_filter(*given)


def test_nodes_and_the_owners_label():
    V3.check_nodes("purge_nodes", ["a", "b"])
    with pytest.raises(InvalidInput, match="^purge_nodes: 'B' is not a node name.*; purge_nodes: '' is missing"):
        V3.check_nodes("purge_nodes", ["a", "B", ""])
    V3.check_owner("example.com/owner", "me")
    with pytest.raises(InvalidInput, match="owner_label and owner: labels: 'a/b/c' is not a label key"):
        V3.check_owner("a/b/c", "me")


def test_felix_ignores_profiles_with_a_slash_in_v1():
    assert "profiles[0]: 'ns/prof'" in V1.why_ignored(_endpoint({"profiles": ("ns/prof",)}))
    assert V1.why_ignored(_endpoint({"profiles": ("prof",)})) == ""
    assert V1.why_ignored(HostEndpoint()) == ""


@pytest.mark.parametrize(
    "fields, part",
    [
        ({"profiles": ("ns/prof",)}, "profiles[0]: 'ns/prof'"),
        ({"profiles": ("a" * 129,)}, "profiles[0]"),
        ({"ports": (Port("a", "6", 80),)}, "ports[0].protocol: '6' is not a protocol that Felix accepts"),
        ({"ports": (Port("a", "ICMP", 80),)}, "ports[0].protocol"),
        ({"ports": (Port("a", "TCP", 0),)}, "ports[0].port"),
        ({"ports": (Port("", "TCP", 80),)}, "ports[0].name"),
        ({"interface_name": "interfaceTooLong"}, "interface_name"),
    ],
)
def test_what_makes_felix_ignore_an_endpoint_in_v3(fields, part):
    assert part in V3.why_ignored(HostEndpoint(**fields))


def test_what_calicoctl_refuses_and_felix_takes_in_v3():
    endpoint = HostEndpoint(
        labels={"a b": "c d"},
        interface_name="eth0",
        expected_ips=("bad", ""),
        profiles=("Upper_case",),
        ports=(Port("Any_Name", "tcp", 80),),
    )
    assert V3.why_ignored(endpoint) == ""
