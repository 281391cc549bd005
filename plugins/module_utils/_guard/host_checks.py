# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's checks of an endpoint by the interfaces of its host."""

from __future__ import annotations

from typing import Collection, Iterable, Iterator

from .._core.ip import Address, format_address
from .._core.protocols import TCP
from .._dataplane.evaluator import Evaluator
from .._dataplane.host import HostDataplane
from .._dataplane.resolution import ALL_INTERFACES, parse_expected_ips
from .._dataplane.verdict import noted
from .._policies._felix.config import is_excluded
from .._resources.hostendpoint import HostEndpoint
from .endpoint_checks import EXCLUDED, OPENED, select_by_name
from .host_state import HostState
from .verdict import UNKNOWN, UNSAFE, WARNING, GuardFinding

# Maximum number of characters of an interface's name in Linux.
_MOST_OF_A_NAME = 15
_CUT_OFF = (
    "{0} begins with interfacePrefix {1}, so Felix treats it as a workload interface and removes its addresses: the "
    "host is cut off, with or without an endpoint"
)


def check_host(
    host: HostState, endpoint: HostEndpoint, evaluator: Evaluator, governs: Collection[str]
) -> Iterator[GuardFinding]:
    """G05 to G08, G10, G11 and G16 of a declared endpoint; `governs` are the interfaces that it will govern."""
    if governs:
        yield from check_failsafes(host.after, host.facts.ssh_port)
    yield from _check_interface(host.after, endpoint)
    yield from _check_addresses(host.after, endpoint)
    yield from check_excluded(host.after, endpoint)
    yield from _check_claims(host.after, endpoint)
    yield from _check_all_interfaces(host.after, endpoint)
    yield from _check_whole_host(host.after, endpoint, evaluator)
    if host.facts.ansible_interface in governs:
        text = "Ansible's connection comes through {0}, which it governs".format(host.facts.ansible_interface)
        yield GuardFinding("G10", WARNING, text)


def _check_whole_host(host: HostDataplane, endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    """G16 for what is not about this endpoint, but affects its host."""
    yield from check_workload_prefixes(host)
    fatal = host.fatal
    if fatal.text and not evaluator.rules_for(endpoint).fatal:
        yield GuardFinding("G16", UNSAFE if fatal.is_certain else UNKNOWN, noted(fatal.text, host.felix.note))


def check_workload_prefixes(host: HostDataplane) -> Iterator[GuardFinding]:
    """G16 for the host's own interfaces that Felix treats as those of workloads."""
    for name in host.taken_for_workloads:
        text = _CUT_OFF.format(name, " or ".join(host.felix.workload_prefixes))
        yield GuardFinding("G16", UNSAFE, noted(text, host.felix.note))


def check_failsafes(host: HostDataplane, port: int) -> Iterator[GuardFinding]:
    """G05 of a governed host; `port` is that of SSH."""
    felix = host.felix
    if not felix.problem and not any((each.protocol, each.port) == (TCP, port) for each in felix.inbound):
        text = "tcp port {0} is not an inbound failsafe port, so only policies and profiles keep SSH open"
        yield GuardFinding("G05", WARNING, text.format(port))


def _check_interface(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    name = endpoint.interface_name
    if not name or name == ALL_INTERFACES:
        return
    if len(name) > _MOST_OF_A_NAME:
        yield GuardFinding("G06", UNSAFE, "{0} is too long for the name of an interface in Linux".format(name))
    elif name.startswith(host.felix.workload_prefixes):
        text = "{0} begins with {1}, so Felix treats it as a workload interface"
        prefixes = " or ".join(host.felix.workload_prefixes)
        yield GuardFinding("G06", UNSAFE, text.format(name, prefixes))
    elif name not in host.interfaces:
        yield GuardFinding("G06", UNSAFE, "the host has no interface {0}".format(name))


def _check_addresses(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    expected = parse_expected_ips(endpoint)
    here = {address for interface in host.interfaces.values() for address in interface.addresses}
    absent = _join([address for address in expected if address not in here])
    if absent:
        is_inert = not endpoint.interface_name and here.isdisjoint(expected)
        text = "the host does not have the expected IPs {0}".format(absent)
        yield GuardFinding(
            "G07", UNSAFE if is_inert else WARNING, text + (", so it governs nothing" if is_inert else "")
        )
    interface = host.interfaces.get(endpoint.interface_name)
    if interface:
        elsewhere = [each for each in expected if each in here and each not in interface.addresses]
        if elsewhere:
            text = "the expected IPs {0} are on other interfaces than {1}"
            yield GuardFinding("G07", WARNING, text.format(_join(elsewhere), interface.name))


def check_excluded(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    """G16 of interfaces with the expected IPs. An interface that the endpoint names is checked without the host."""
    expected = set() if endpoint.interface_name else set(parse_expected_ips(endpoint))
    for name, interface in sorted(host.interfaces.items()):
        if expected.intersection(interface.addresses) and is_excluded(name, host.felix.excluded):
            yield GuardFinding("G16", UNSAFE, noted(EXCLUDED.format(name), host.felix.note))


def _check_claims(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    """G08: interfaces that several endpoints claim."""
    for name, interface in sorted(host.interfaces.items()):
        claiming = [each for each in (interface.governing, *interface.shadowed) if each]
        # An endpoint for all interfaces gives way to others on purpose.
        claiming = [each for each in claiming if each.endpoint.interface_name != ALL_INTERFACES]
        if len(claiming) < 2 or not select_by_name(endpoint, claiming):
            continue
        others = ", ".join(each.name for each in claiming if each.name != endpoint.name)
        if claiming[0].name == endpoint.name:
            text = "it governs {0}, which is also claimed by {1}: the first name in alphabetical order wins"
        else:
            text = "it does not govern {0}, which is also claimed by {1}: the first name in alphabetical order wins"
        yield GuardFinding("G08", UNSAFE, text.format(name, others))


def _check_all_interfaces(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    if endpoint.interface_name != ALL_INTERFACES:
        return
    text = "it governs every interface that no other endpoint governs"
    others = sorted({each.name for each in host.candidates if each.name != endpoint.name and not each.rejected})
    yield GuardFinding("G11", WARNING, text + (", beside {0}".format(", ".join(others)) if others else ""))


def check_left_open(host: HostState, names: Iterable[str]) -> Iterator[GuardFinding]:
    """G15, by the interfaces that no endpoint governs any more."""
    for name in sorted(names):
        yield GuardFinding("G15", WARNING, OPENED.format(name, host.node))


def _join(addresses: Iterable[Address]) -> str:
    return ", ".join(sorted({format_address(address) for address in addresses}))
