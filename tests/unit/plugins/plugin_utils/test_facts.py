# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host chooses its facts: whatever they are, they end in endpoints or in one reason why they cannot be used."""

from __future__ import annotations

import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from ansible_collections.netsec.calico.plugins.plugin_utils._facts import why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._guard_facts import guard_facts_of, unresolved
from ansible_collections.netsec.calico.plugins.plugin_utils._interfaces import Host, RuleError, verdicts_of
from ansible_collections.netsec.calico.tests.harness.fleet import interface, server

FACTS = dict(
    server(
        "worker-1",
        interface("lo", "127.0.0.1/8", "::1/128", type="loopback"),
        interface("eth0", "192.0.2.7/24", "192.0.2.8/24", "2001:db8::7/64", "fe80::7/64"),
        interface("br-lan", "10.0.0.7/8", type="bridge"),
        default="eth0",
    ),
    dns={"nameservers": ["192.0.2.53"]},
    env={"SSH_CONNECTION": "192.0.2.1 40000 192.0.2.7 22"},
    eth0_1={"ipv4": {"address": "192.0.2.9", "netmask": "255.255.255.0"}},
)
FACTS["interfaces"] = [*FACTS["interfaces"], "eth0_1"]
SSH = {"ansible_connection": "ssh", "ansible_host": "192.0.2.7"}

scalars = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=5)
    | some.sampled_from(["", "\x1b[2J\n", "\ud800", "%s{0}{{x}}", "fe80::1%eth0", "9" * 5000, "²", "0.0.0.0", "eth0"])
)
KEYS = ["address", "prefix", "netmask", "scope", "device", "interface", "type", "ipv4", "ipv6", "nameservers", "\x1b"]
values = some.recursive(
    scalars,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


def places(value, place=()):
    """Where a value can be replaced by another."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*place, key))


PLACES = [place for place in places(FACTS) if place]


def replaced(place, value):
    facts = copy.deepcopy(FACTS)
    inner = facts
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return facts


@example(place=("env", "SSH_CONNECTION"), value="192.0.2.1 1 192.0.2.7 " + "9" * 5000)
@example(place=("env", "SSH_CONNECTION"), value="192.0.2.1 1 192.0.2.7 \u00b2")
@given(place=some.sampled_from(PLACES), value=values)
def test_facts_with_anything_in_any_place(place, value):
    facts = replaced(place, value)
    reason = why_unusable(facts)
    assert reason.isprintable() and len(reason) < 500
    if reason:
        with pytest.raises(RuleError):
            Host.of(facts, "worker-1", rules=[{}])
        return
    for verdict in verdicts_of(Host.of(facts, "worker-1", rules=[{}])):
        assert verdict.endpoint or verdict.reason
    unresolved("worker-1", facts, SSH)
    found = guard_facts_of("worker-1", facts, SSH)
    assert all(isinstance(name, str) for name in found["interfaces"])


@pytest.mark.parametrize(
    "place, value, reason",
    [
        (("interfaces",), "eth0", "they have no list of interfaces"),
        (("eth0",), None, "they list the interface 'eth0' and say nothing of it"),
        (("eth0", "device"), "\x1b[2J", r"they have one fact for both 'eth0' and '\x1b[2J'"),
        (("eth0", "ipv6"), {}, ""),
        (("eth0", "ipv6"), "2001:db8::7", "ipv6 of the interface 'eth0' is '2001:db8::7'"),
        (("eth0", "ipv4", "address"), "192.0.2", "an address of the interface 'eth0' is {'address': '192.0.2', "),
        (("default_ipv4",), ["eth0"], "default_ipv4 is ['eth0']"),
        (("nodename",), {"a": 1}, "nodename is {'a': 1}"),
        (("interfaces",), ["e%d" % number for number in range(10001)], "they list more than 10000 interfaces"),
    ],
)
def test_the_reason_names_the_fact(place, value, reason):
    assert why_unusable(replaced(place, value)).startswith(reason)
