# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock-out guard: whether host endpoints, as they are wanted, cut their hosts off.

It asks _evaluation.py, as calico_connection_info does; there is no second evaluation.
"""

from __future__ import annotations

import dataclasses
from typing import Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ._datastore._documents import Documents
from ._evaluation import Evaluation
from ._governing import ALL_INTERFACES, Candidate, Interface, addresses_of
from ._host import Host
from ._hostendpoint import HostEndpoint
from ._policy import ALLOW, DENY, EGRESS, INGRESS
from ._traffic import IN, PROTOCOLS, TCP, Address, Connection, address_of, text_of
from ._verdict import UNKNOWN, UNSAFE, WARNING, Finding, Verdict, verdict_of

# The most characters of an interface's name in Linux.
_MOST_OF_A_NAME = 15


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a host, and what it must be able to do."""

    # Addresses by interface, best with the length of the prefix.
    interfaces: Mapping[str, Sequence[str]]
    # Connections that must get through: in, such as Ansible's own, and out, such as to the datastore and to DNS.
    required: Sequence[Connection] = ()
    # The interface that Ansible's connection comes through; "" when it is not known.
    ansible_interface: str = ""
    ssh_port: int = 22
    # Connections that are needed and of which nobody knows where they go: a rule, and why.
    doubts: Sequence[Tuple[str, str]] = ()


class Guard:
    """Asks about endpoints that are wanted beside what is stored, and about those that go (`without`).

    `known_nodes` are the nodes that Calico has a record of; None when nobody has looked.
    """

    def __init__(
        self,
        api_version: str,
        documents: Documents,
        endpoints: Sequence[HostEndpoint],
        without: Sequence[HostEndpoint] = (),
        known_nodes: Optional[Collection[str]] = None,
    ) -> None:
        self._endpoints = endpoints
        self._without = without
        self._known_nodes = None if known_nodes is None else frozenset(known_nodes)
        # What is stored.
        self.before = Evaluation(api_version, documents)
        self._after = Evaluation(api_version, documents, endpoints, without)

    def check(self, facts: Mapping[str, Facts]) -> List[Verdict]:
        """A verdict for each endpoint that is wanted, and then for each that goes, by what is known of the nodes.

        Of a node without facts, what needs them is unknown. Raises InvalidInput for addresses that are none.
        """
        hosts = {node: self._after.host(node, of_node.interfaces) for node, of_node in facts.items()}
        verdicts = []
        for endpoint in self._endpoints:
            findings = list(self._of_endpoint(endpoint))
            if endpoint.node in hosts:
                findings += _of_host(hosts[endpoint.node], facts[endpoint.node], endpoint, self._after)
            else:
                text = "the facts of node {0} are not known, so nobody knows what it is cut off from"
                findings.append(Finding("G03", UNKNOWN, text.format(endpoint.node)))
            verdicts.append(verdict_of(endpoint.node, endpoint.name, findings))
        for endpoint in self._without:
            verdicts.append(verdict_of(endpoint.node, endpoint.name, self._of_deleted(endpoint, hosts, facts)))
        return verdicts

    def _of_endpoint(self, endpoint: HostEndpoint) -> Iterator[Finding]:
        """What can be said without the facts of its host."""
        yield from _profiles(endpoint, self._after)
        yield from _default_drop(endpoint, self._after)
        yield from _stopped(endpoint, self._after)
        yield from self._node(endpoint)
        yield from self._selected(endpoint)
        if not endpoint.expected_ips:
            text = "it has no expected IPs, so rules on other hosts that select it by its labels miss it"
            yield Finding("G12", WARNING, text)

    def _node(self, endpoint: HostEndpoint) -> Iterator[Finding]:
        known = self._known_nodes
        if known is None or endpoint.node in known:
            return
        short = endpoint.node.partition(".")[0].lower()
        alike = sorted(node for node in known if node.partition(".")[0].lower() == short)
        text = "Calico does not know the node {0}".format(endpoint.node)
        if alike:
            yield Finding("G09", UNSAFE, "{0}: did you mean {1}?".format(text, " or ".join(alike)))
        else:
            # A host may get its endpoints before Felix runs there for the first time.
            yield Finding("G09", WARNING, text + ", so nothing polices its interfaces yet")

    def selection(self, endpoint: HostEndpoint) -> Tuple[List[str], List[str]]:
        """Names of the policies that start and stop selecting an endpoint that is stored otherwise."""
        stored = [
            each.endpoint
            for each in self.before.candidates(endpoint.node)
            if each.name == endpoint.name and not each.rejected
        ]
        if not stored:
            return [], []
        before, after = (
            frozenset(evaluation.asked(each).selecting)
            for evaluation, each in ((self.before, stored[0]), (self._after, endpoint))
        )
        return sorted(after - before), sorted(before - after)

    def _selected(self, endpoint: HostEndpoint) -> Iterator[Finding]:
        _started, stopped = self.selection(endpoint)
        if stopped:
            yield Finding("G14", WARNING, "policies do not select it any more: {0}".format(", ".join(stopped)))

    def _of_deleted(
        self, endpoint: HostEndpoint, hosts: Mapping[str, Host], facts: Mapping[str, Facts]
    ) -> Iterator[Finding]:
        """Interfaces that are open without it."""
        if endpoint.node not in hosts:
            yield self._opened(endpoint)
            return
        before = self.before.host(endpoint.node, facts[endpoint.node].interfaces)
        for name, interface in sorted(before.interfaces.items()):
            was = interface.governing
            if was and was.name == endpoint.name and not hosts[endpoint.node].interfaces[name].governing:
                yield Finding("G15", WARNING, "no endpoint governs {0} any more, so Calico opens it".format(name))

    def _opened(self, endpoint: HostEndpoint) -> Finding:
        """What is known without the facts of its host: who else names its interface."""
        name = endpoint.interface_name
        others = [each for each in self._after.candidates(endpoint.node) if not each.rejected]
        if name and not any(each.endpoint.interface_name in ("", name, ALL_INTERFACES) for each in others):
            return Finding("G15", WARNING, "no endpoint governs {0} any more, so Calico opens it".format(name))
        text = "the facts of node {0} are not known, so nobody knows which interface is open without it"
        return Finding("G15", UNKNOWN, text.format(endpoint.node))


# --- Without the facts of the host ---


def _profiles(endpoint: HostEndpoint, evaluation: Evaluation) -> Iterator[Finding]:
    for name in endpoint.profiles:
        profile = evaluation.rulebook.profile(name)
        if profile.doubt:
            yield Finding("G01", UNKNOWN, "profile {0}: {1}".format(name, profile.doubt))
        elif profile.rules is None:
            text = "profile {0} is missing, or has no rules that Felix takes: it drops all that comes to it"
            yield Finding("G01", UNSAFE, text.format(name))


def _default_drop(endpoint: HostEndpoint, evaluation: Evaluation) -> Iterator[Finding]:
    asked = evaluation.asked(endpoint)
    closed = [direction for direction in (INGRESS, EGRESS) if not asked.allows_something(direction)]
    if closed:
        text = "no policy and no profile allows any {0}: all new traffic but the failsafes is dropped"
        yield Finding("G02", WARNING, text.format(" or ".join(closed)))


def _stopped(endpoint: HostEndpoint, evaluation: Evaluation) -> Iterator[Finding]:
    """What Felix does not get past. That a node's other endpoints may do that, is said by the host."""
    felix = evaluation.felix(endpoint.node)
    if felix.problem:
        yield Finding("G16", UNSAFE if felix.is_stopped else UNKNOWN, felix.problem)
    fatal = evaluation.asked(endpoint).fatal
    if fatal:
        yield Finding(
            "G16", UNSAFE, "Felix fails on a rule that it uses, and what it did last stays: {0}".format(fatal)
        )
    for candidate in _mine(endpoint, evaluation.candidates(endpoint.node)):
        if candidate.rejected:
            text = "Felix ignores it, so its interface is open: {0}"
            yield Finding("G16", UNSAFE, text.format(candidate.rejected))
        elif candidate.doubt:
            yield Finding("G16", UNKNOWN, candidate.doubt)


def _mine(endpoint: HostEndpoint, candidates: Iterable[Candidate]) -> List[Candidate]:
    return [each for each in candidates if each.name == endpoint.name]


# --- With them ---


def _of_host(host: Host, facts: Facts, endpoint: HostEndpoint, evaluation: Evaluation) -> List[Finding]:
    governs = {
        name: interface
        for name, interface in host.interfaces.items()
        if interface.governing and interface.governing.name == endpoint.name
    }
    findings = list(_required(host, facts, governs))
    findings += _failsafes(host, facts, governs)
    findings += _its_interface(host, endpoint)
    findings += _its_addresses(host, endpoint)
    findings += _claimed(host, endpoint)
    findings += _wildcard(host, endpoint)
    findings += _neighbours(host, facts, governs)
    if facts.ansible_interface in governs:
        text = "Ansible's connection comes through {0}, which it governs".format(facts.ansible_interface)
        findings.append(Finding("G10", WARNING, text))
    if host.fatal and not evaluation.asked(endpoint).fatal:
        findings.append(Finding("G16", UNSAFE, host.fatal))
    return findings


def _required(host: Host, facts: Facts, governs: Mapping[str, Interface]) -> Iterator[Finding]:
    """Connections that must get through, of those that go through its interfaces."""
    for rule, text in facts.doubts:
        yield Finding(rule, UNKNOWN, text)
    for connection in facts.required:
        interfaces = host.interfaces_of(connection)
        if interfaces and not any(interface.name in governs for interface in interfaces):
            continue
        rule = "G03" if connection.direction == IN else "G04"
        answer = host.ask(connection)
        if answer.verdict == DENY:
            yield Finding(rule, UNSAFE, "{0} is needed: {1}".format(_shown(connection), answer.reason))
        elif answer.verdict == UNKNOWN:
            yield Finding(rule, UNKNOWN, "{0} is needed: {1}".format(_shown(connection), answer.reason))


def _shown(connection: Connection) -> str:
    packet = connection.packet
    protocol = _NAMES.get(packet.protocol, "protocol {0}".format(packet.protocol))
    text = protocol + (" port {0}".format(packet.dport[0]) if packet.dport else "")
    if connection.direction == IN:
        return "{0} from {1}".format(text, _address(packet.version, packet.source))
    return "{0} of {1}".format(text, _address(packet.version, packet.destination))


_NAMES: Dict[int, str] = {number: name for name, number in PROTOCOLS.items()}


def _address(version: int, number: Optional[int]) -> str:
    return "an unknown address" if number is None else text_of((version, number))


def _failsafes(host: Host, facts: Facts, governs: Mapping[str, Interface]) -> Iterator[Finding]:
    if not governs or host.felix.problem:
        return
    if not any((each.protocol, each.port) == (TCP, facts.ssh_port) for each in host.felix.inbound):
        text = "tcp port {0} is no inbound failsafe, so only policies and profiles keep SSH open"
        yield Finding("G05", WARNING, text.format(facts.ssh_port))


def _its_interface(host: Host, endpoint: HostEndpoint) -> Iterator[Finding]:
    name = endpoint.interface_name
    if not name or name == ALL_INTERFACES:
        return
    if len(name) > _MOST_OF_A_NAME:
        yield Finding("G06", UNSAFE, "Linux has no interface with a name as long as {0}".format(name))
    elif name.startswith(host.felix.workload_prefixes):
        text = "{0} begins with {1}, so Felix takes it for a workload's"
        prefixes = " or ".join(host.felix.workload_prefixes)
        yield Finding("G06", UNSAFE, text.format(name, prefixes))
    elif name not in host.interfaces:
        yield Finding("G06", UNSAFE, "the host has no interface {0}".format(name))


def _its_addresses(host: Host, endpoint: HostEndpoint) -> Iterator[Finding]:
    wanted = addresses_of(endpoint)
    here = {address for interface in host.interfaces.values() for address in interface.addresses}
    absent = sorted(_texts_of(endpoint, [address for address in wanted if address not in here]))
    if absent:
        is_inert = not endpoint.interface_name and len(absent) == len(set(wanted))
        text = "the host does not have the expected IPs {0}".format(", ".join(absent))
        yield Finding("G07", UNSAFE if is_inert else WARNING, text + (", so it governs nothing" if is_inert else ""))
    interface = host.interfaces.get(endpoint.interface_name)
    if interface:
        elsewhere = [each for each in wanted if each in here and each not in interface.addresses]
        if elsewhere:
            text = "the expected IPs {0} are on other interfaces than {1}"
            listed = ", ".join(sorted(_texts_of(endpoint, elsewhere)))
            yield Finding("G07", WARNING, text.format(listed, interface.name))


def _texts_of(endpoint: HostEndpoint, addresses: Collection[Address]) -> List[str]:
    return sorted({text for text in endpoint.expected_ips if text and address_of(text) in addresses})


def _claimed(host: Host, endpoint: HostEndpoint) -> Iterator[Finding]:
    """Interfaces that more than one endpoint wants."""
    for name, interface in sorted(host.interfaces.items()):
        wanting = [each for each in (interface.governing, *interface.shadowed) if each]
        # One for all interfaces gives way to others, as it should.
        wanting = [each for each in wanting if each.endpoint.interface_name != ALL_INTERFACES]
        if len(wanting) < 2 or not _mine(endpoint, wanting):
            continue
        others = ", ".join(each.name for each in wanting if each.name != endpoint.name)
        if wanting[0].name == endpoint.name:
            text = "it governs {0}, which {1} claims, too: the first name in alphabetical order wins"
        else:
            text = "it does not govern {0}: of those that claim it ({1}), the first name in alphabetical order wins"
        yield Finding("G08", UNSAFE, text.format(name, others))


def _wildcard(host: Host, endpoint: HostEndpoint) -> Iterator[Finding]:
    if endpoint.interface_name != ALL_INTERFACES:
        return
    text = "it governs every interface that no other endpoint governs"
    others = sorted({each.name for each in host.candidates if each.name != endpoint.name and not each.rejected})
    yield Finding("G11", WARNING, text + (", beside {0}".format(", ".join(others)) if others else ""))


def _neighbours(host: Host, facts: Facts, governs: Mapping[str, Interface]) -> Iterator[Finding]:
    reached = [each for each in facts.required if each.direction == IN and each.packet.version == 6]
    through = {interface.name for connection in reached for interface in host.interfaces_of(connection)}
    for name, interface in sorted(governs.items()):
        if not any(_is_global(address) for address in interface.addresses) or not host.felix.polices_ipv6:
            continue
        answer = host.neighbours(name)
        if answer.verdict == ALLOW:
            continue
        level = WARNING if name not in through else UNSAFE if answer.verdict == DENY else UNKNOWN
        text = (
            "neighbour discovery (icmpv6 types 135 and 136) does not get through {0} in both directions, so IPv6 fails"
        )
        yield Finding("G13", level, text.format(name))


def _is_global(address: Address) -> bool:
    """Whether it is an IPv6 address that others than neighbours reach: not fe80::/10, not ::1."""
    version, number = address
    return version == 6 and number >> 118 != 0x3FA and number != 1
