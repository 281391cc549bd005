# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host chooses its facts: whatever they are, they end in endpoints or in one reason why they cannot be used."""

from __future__ import annotations

import copy
import glob
import os

import pytest
from ansible.module_utils.facts.network.linux import LinuxNetwork
from hypothesis import example, given
from hypothesis import strategies as some

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.ssh_facts import build_guard_facts, unresolved
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import (
    hidden_interfaces,
    read_masters,
    read_temporary_ipv6,
    select_facts,
    why_unusable,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import (
    HostInput,
    RuleError,
    decide,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interfaces import read_interfaces
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
            HostInput.of(facts, "worker-1", rules=[{}])
        return
    for verdict in decide(HostInput.of(facts, "worker-1", rules=[{}])):
        assert verdict.endpoint or verdict.reason
    unresolved("worker-1", facts, SSH)
    found = build_guard_facts("worker-1", facts, SSH)
    assert all(isinstance(name, str) for name in found["interfaces"])


@example(place=("interfaces",), value=["dns", "nodename", "processor", "br-lan"])
@example(place=("system",), value={"device": "system"})
@given(place=some.sampled_from(PLACES), value=values)
def test_facts_that_are_not_read_make_no_difference(place, value):
    facts = dict(replaced(place, value), processor={"device": "processor", "ipv4": {"address": "x"}}, mounts=[{"a": 1}])
    kept = select_facts(facts)
    reason = why_unusable(facts)
    assert why_unusable(kept) == reason
    if not reason:
        assert hidden_interfaces(kept) == hidden_interfaces(facts)
        assert read_interfaces(kept) == read_interfaces(facts)
        assert build_guard_facts("worker-1", kept, SSH) == build_guard_facts("worker-1", facts, SSH)


def test_what_ethtool_says_is_not_kept():
    facts = dict(FACTS, eth0=dict(FACTS["eth0"], features={"tx": "on"}), mounts=[{"a": 1}], processor_vcpus=4)
    kept = select_facts(facts)
    assert "features" not in kept["eth0"] and (kept["mounts"], kept["processor_vcpus"]) == (None, 4)
    assert select_facts({}) == {}


@pytest.mark.parametrize(
    "place, value, reason",
    [
        (("interfaces",), "eth0", "they contain no list of interfaces"),
        (("eth0",), None, "they list the interface 'eth0' but do not describe it"),
        (("eth0", "device"), "\x1b[2J", r"they contain one fact for both 'eth0' and '\x1b[2J'"),
        (("eth0", "ipv6"), {}, ""),
        (("eth0", "ipv6"), "2001:db8::7", "ipv6 of the interface 'eth0' is invalid: '2001:db8::7'"),
        (
            ("eth0", "ipv4", "address"),
            "192.0.2",
            "an address of the interface 'eth0' is invalid: {'address': '192.0.2', ",
        ),
        (("default_ipv4",), ["eth0"], "default_ipv4 is invalid: ['eth0']"),
        (("nodename",), {"a": 1}, "nodename is invalid: {'a': 1}"),
        (("interfaces",), ["e%d" % number for number in range(10001)], "they list more than 10000 interfaces"),
    ],
)
def test_the_reason_names_the_fact(place, value, reason):
    assert why_unusable(replaced(place, value)).startswith(reason)


# --- What setup makes of a host ---

# What ip printed on Linux 6.18, with use_tempaddr = 2.
PRIMARY = """\
3: eth0@peer0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 36:7b:4a:f8:69:5b brd ff:ff:ff:ff:ff:ff
    inet 127.0.0.2/32 scope host eth0
       valid_lft forever preferred_lft forever
    inet 192.0.2.7/24 scope global eth0
       valid_lft forever preferred_lft forever
    inet6 2001:db8:1::8/128 scope global deprecated{0}
       valid_lft forever preferred_lft 0sec
    inet6 2001:db8::7/64 scope global mngtmpaddr{0}
       valid_lft forever preferred_lft forever
    inet6 fe80::347b:4aff:fef8:695b/64 scope link{0}
       valid_lft forever preferred_lft forever
""".format(" ")
SECONDARY = """\
3: eth0@peer0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 36:7b:4a:f8:69:5b brd ff:ff:ff:ff:ff:ff
    inet6 2001:db8::fa8f:808a:1ecc:3f5/64 scope global temporary dynamic{0}
       valid_lft 604798sec preferred_lft 86383sec
""".format(" ")
SYSFS = {
    "lo/operstate": "unknown",
    "lo/type": "772",
    "eth0/address": "36:7b:4a:f8:69:5b",
    "eth0/device/driver/module/version": "1",
    "eth0/operstate": "up",
    "eth0/type": "1",
    "eth1/address": "a0:36:9f:00:00:02",
    "bond0/address": "a0:36:9f:00:00:02",
    "bond0/bonding/slaves": "eth1 eth2",
    "bond0/bonding/mode": "802.3ad 4",
    "bond0/bonding/miimon": "100",
    "bond0/bonding/lacp_rate": "slow 0",
    "bond0/bonding/primary": "",
    "br-lan/bridge/bridge_id": "8000.000000000000",
    "br-lan/brif/tap3/port_no": "0x1",
}


class Module:
    """What LinuxNetwork asks a module for."""

    def get_bin_path(self, name, *_args, **_kwargs):
        return name if name == "ip" else None

    def run_command(self, words, **_kwargs):
        if words[-1] != "eth0":
            return 0, "", ""
        return 0, {"primary": PRIMARY, "secondary": SECONDARY}[words[3]], ""


@pytest.fixture
def gathered(tmp_path, monkeypatch):
    """The network facts that this version of Ansible would gather there."""
    for name, text in SYSFS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    os.rename(str(tmp_path / "eth0/device/driver/module"), str(tmp_path / "virtio_net"))
    os.symlink("../../../virtio_net", str(tmp_path / "eth0/device/driver/module"))
    os.rename(str(tmp_path / "eth0/device"), str(tmp_path / "eth0/virtio0"))
    os.symlink("virtio0", str(tmp_path / "eth0/device"))
    real = glob.glob
    monkeypatch.setattr(glob, "glob", lambda pattern: real(pattern.replace("/sys/class/net", str(tmp_path))))
    found = LinuxNetwork(Module()).get_interfaces_info("ip", {}, {})[0]
    found.pop("virtio_net", None)
    facts = {name.replace("-", "_"): fact for name, fact in found.items()}
    return dict(facts, interfaces=list(found))


def test_temporary_addresses_of_setup_are_recognised(gathered):
    assert read_temporary_ipv6(gathered["eth0"]) == ["2001:db8::fa8f:808a:1ecc:3f5"]
    assert read_temporary_ipv6(gathered["bond0"]) == []


def test_devices_of_setup_are_recognised(gathered):
    assert why_unusable(gathered) == ""
    found = {each.name: each for each in read_interfaces(gathered)}
    assert sorted(found) == ["bond0", "br-lan", "eth0", "eth1", "lo"]
    assert [name for name, each in found.items() if each.physical] == ["eth0"]
    assert (found["eth0"].driver, found["eth0"].mac) == ("virtio_net", "36:7b:4a:f8:69:5b")
    assert found["eth0"].addresses == (
        "127.0.0.2",
        "192.0.2.7",
        "2001:db8:1::8",
        "2001:db8::7",
        "2001:db8::fa8f:808a:1ecc:3f5",
    )
    assert read_masters(gathered) == {"eth1": ["bond0"], "eth2": ["bond0"], "tap3": ["br-lan"]}
    assert found["eth1"].masters == ("bond0",)
