# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock-out guard: whether host endpoints, as they are wanted, cut their hosts off.

It evaluates with _dataplane, as calico_connection_info does: there is no second evaluation.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from .._core.ip import Address, format_address
from .._core.protocols import PROTOCOLS, TCP
from .._dataplane.evaluator import Evaluator
from .._dataplane.fatal import LAST_STAYS, decide_fatal
from .._dataplane.host import HostDataplane, build_host
from .._dataplane.resolution import ALL_INTERFACES, Candidate, Interface, parse_expected_ips
from .._dataplane.verdict import noted
from .._datastore.snapshot import PolicySnapshot
from .._plan.stored import Stored
from .._policies._felix.config import is_excluded
from .._policies._felix.failsafes import NONE_GIVEN, GivenFailsafes
from .._policies.connection import IN, LOCAL, OUT, Connection
from .._policies.model import ALLOW, DENY, EGRESS, INGRESS
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint
from .verdict import UNKNOWN, UNSAFE, WARNING, GuardFinding, GuardVerdict, build_verdict

# The most characters of an interface's name in Linux.
_MOST_OF_A_NAME = 15


@dataclasses.dataclass(frozen=True)
class HostFacts:
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
    # Connections that are needed if they go this way, which nobody knows.
    possible: Sequence[Connection] = ()
    # Those that its Felix has besides the datastore.
    failsafes: GivenFailsafes = NONE_GIVEN
    # IPTABLES or NFTABLES; "" when the datastore is to tell.
    dataplane: str = ""


class Guard:
    """Asks about endpoints that are wanted beside what is stored, and about those that go (`without`).

    `known_nodes` are the nodes that Calico knows, None when nobody has looked; `nodes_problem` says why it may know
    others, and is "" when it does not.
    """

    def __init__(
        self,
        api_version: ApiVersion,
        snapshot: PolicySnapshot,
        endpoints: Sequence[HostEndpoint],
        without: Sequence[HostEndpoint] = (),
        known_nodes: Optional[Collection[str]] = None,
        nodes_problem: str = "",
    ) -> None:
        self._endpoints = endpoints
        self._without = without
        self._wanted = {(each.node, each.name) for each in endpoints}
        self._known_nodes = None if known_nodes is None else frozenset(known_nodes)
        self._nodes_problem = nodes_problem
        # What is stored.
        self.before = Evaluator(api_version, snapshot)
        self._after = Evaluator(api_version, snapshot, endpoints, without)

    @functools.cached_property
    def nodes(self) -> FrozenSet[str]:
        """The nodes that are changed: in v3, an endpoint may leave one for another."""
        stored = filter(None, map(self.before.stored, self._endpoints))
        changed = [each.node for each in (*self._endpoints, *self._without)]
        return frozenset([*changed, *(each.node for each in stored)])

    def check(
        self,
        facts: Mapping[str, HostFacts],
        is_stored: bool = False,
        others: Callable[[], Mapping[str, HostFacts]] = dict,
    ) -> List[GuardVerdict]:
        """A verdict for each endpoint that is wanted, and then for each that goes, by what is known of the nodes.

        Of a node without facts, what needs them is unknown. `others` gives those of nodes without a change, and is
        called only when rules look at what changes. With `is_stored`, the endpoints are what is stored, and no change
        of it. Raises InvalidInput for addresses that are none.
        """
        hosts = {node: _HostState(node, facts[node], self.before, self._after, is_stored) for node in facts}
        found = [(endpoint, self._of_wanted(endpoint, hosts)) for endpoint in self._endpoints]
        found += [(endpoint, list(self._of_left(endpoint, hosts))) for endpoint in self._without]
        changed = {} if is_stored else self._changed_members()
        if changed:
            more = others()
            hosts.update((node, _HostState(node, more[node], self.before, self._after, False)) for node in more)
            for number, finding in _of_others(hosts.values(), changed):
                found[number][1].append(finding)
        return [build_verdict(endpoint.node, endpoint.name, findings) for endpoint, findings in found]

    def _changed_members(self) -> Dict[Address, List[int]]:
        """Where rules find something else than before: at which addresses, and the numbers of the endpoints there."""
        found: Dict[Address, List[int]] = {}
        if not self._after.policy_set.looks_at_members():
            return found
        for number, endpoint in enumerate([*self._endpoints, *self._without]):
            stored = self.before.stored(endpoint)
            for address in self._changed_at(endpoint, stored) if stored else parse_expected_ips(endpoint):
                found.setdefault(address, []).append(number)
        return found

    def _changed_at(self, endpoint: HostEndpoint, stored: Stored) -> Set[Address]:
        before = self.before.member(stored.node, stored.name)
        # None of one that goes.
        after = self._after.member(endpoint.node, endpoint.name)
        return {address for each in (before, after) if each and before != after for address in each.addresses}

    def _of_wanted(self, endpoint: HostEndpoint, hosts: Mapping[str, _HostState]) -> List[GuardFinding]:
        dataplane = hosts[endpoint.node].facts.dataplane if endpoint.node in hosts else ""
        findings = list(self._of_endpoint(endpoint, dataplane))
        stored = self.before.stored(endpoint)
        if endpoint.node in hosts:
            findings += self._of_host(hosts[endpoint.node], endpoint, stored is not None)
        else:
            text = "the facts of node {0} are not known, so nobody knows what it is cut off from"
            findings.append(GuardFinding("G03", UNKNOWN, text.format(endpoint.node)))
            findings += _of_a_workload(endpoint, self._after)
            before = as_host_endpoint(stored.resource) if stored else endpoint
            if before.node == endpoint.node and _claim(before) != _claim(endpoint):
                findings.append(self._opened(before))
        if stored and stored.node not in ("", endpoint.node):
            findings += self._of_left(as_host_endpoint(stored.resource), hosts)
        return findings

    def _of_endpoint(self, endpoint: HostEndpoint, dataplane: str) -> Iterator[GuardFinding]:
        """What can be said without the facts of its host, but its dataplane."""
        api_version = self._after.api_version
        if not api_version.why_ignored(api_version.as_stored(endpoint)):
            yield from _profiles(endpoint, self._after)
            yield from _default_drop(endpoint, self._after)
        yield from _stopped(endpoint, self._after, dataplane)
        yield from self._node(endpoint)
        yield from self._selected(endpoint)
        if not endpoint.expected_ips:
            text = "it has no expected IPs, so rules on other hosts that select it by its labels miss it"
            yield GuardFinding("G12", WARNING, text)

    def _node(self, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
        known = self._known_nodes
        if known is None or endpoint.node in known:
            return
        short = endpoint.node.partition(".")[0].lower()
        alike = sorted(node for node in known if node.partition(".")[0].lower() == short)
        hint = ": did you mean {0}?".format(" or ".join(alike)) if alike else ""
        if self._nodes_problem:
            text = "whether Calico knows the node {0} is unknown{1} ({2})"
            yield GuardFinding("G09", UNKNOWN, text.format(endpoint.node, hint, self._nodes_problem))
        elif alike:
            yield GuardFinding("G09", UNSAFE, "Calico does not know the node {0}{1}".format(endpoint.node, hint))
        else:
            # A host may get its endpoints before Felix runs there for the first time.
            text = "Calico does not know the node {0}, so nothing polices its interfaces yet"
            yield GuardFinding("G09", WARNING, text.format(endpoint.node))

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
            frozenset(evaluator.rules_for(each).selecting)
            for evaluator, each in ((self.before, stored[0]), (self._after, endpoint))
        )
        return sorted(after - before), sorted(before - after)

    def _selected(self, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
        _started, stopped = self.selection(endpoint)
        if stopped:
            yield GuardFinding("G14", WARNING, "policies do not select it any more: {0}".format(", ".join(stopped)))

    def _of_host(self, host: _HostState, endpoint: HostEndpoint, is_stored: bool) -> Iterator[GuardFinding]:
        """What the facts of its host tell of an endpoint that is wanted."""
        touched, opened = self._touched(host, endpoint.name, is_stored)
        yield from _needed(host, endpoint.name, touched)
        yield from _open(host, opened)
        governs = [name for name, interface in touched.items() if _is_governed_by(interface, endpoint.name)]
        yield from _failsafes(host, governs)
        yield from _its_interface(host.after, endpoint)
        yield from _its_addresses(host.after, endpoint)
        yield from _passed_over(host.after, endpoint)
        yield from _claimed(host.after, endpoint)
        yield from _wildcard(host.after, endpoint)
        if host.facts.ansible_interface in governs:
            text = "Ansible's connection comes through {0}, which it governs".format(host.facts.ansible_interface)
            yield GuardFinding("G10", WARNING, text)
        for name in host.after.taken_for_workloads:
            text = _CUT_OFF.format(name, " or ".join(host.after.felix.workload_prefixes))
            yield GuardFinding("G16", UNSAFE, noted(text, host.after.felix.note))
        fatal = host.after.fatal
        if fatal.text and not self._after.rules_for(endpoint).fatal:
            yield GuardFinding("G16", UNSAFE if fatal.is_certain else UNKNOWN, noted(fatal.text, host.after.felix.note))

    def _of_left(self, endpoint: HostEndpoint, hosts: Mapping[str, _HostState]) -> Iterator[GuardFinding]:
        """What becomes of a node without an endpoint that was there."""
        if endpoint.node not in hosts:
            yield self._opened(endpoint)
            return
        host = hosts[endpoint.node]
        touched, opened = self._touched(host, endpoint.name, True)
        yield from _needed(host, endpoint.name, touched)
        yield from _open(host, opened)

    def _touched(self, host: _HostState, name: str, is_stored: bool) -> Tuple[Dict[str, Interface], List[str]]:
        """The interfaces, as they will be, that are in other hands by this endpoint, and names of those in none.

        Where one that is wanted governs instead, it is for that one to say.
        """
        touched: Dict[str, Interface] = {}
        opened: List[str] = []
        for interface in host.after.interfaces.values():
            if _is_governed_by(interface, name):
                touched[interface.name] = interface
            elif is_stored and _is_governed_by(host.before.interfaces[interface.name], name):
                if interface.governing is None:
                    opened.append(interface.name)
                elif (host.node, interface.governing.name) not in self._wanted:
                    touched[interface.name] = interface
        return touched, opened

    def _opened(self, endpoint: HostEndpoint) -> GuardFinding:
        """What is known without the facts of its host: who else names its interface."""
        name = endpoint.interface_name
        others = [each for each in self._after.candidates(endpoint.node) if not each.rejected]
        if name and not any(each.endpoint.interface_name in ("", name, ALL_INTERFACES) for each in others):
            return GuardFinding("G15", WARNING, _OPEN.format(name, endpoint.node))
        text = "the facts of node {0} are not known, so nobody knows which interface is in other hands without it"
        return GuardFinding("G15", UNKNOWN, text.format(endpoint.node))


# --- Without the facts of the host ---


def _profiles(endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    for name in endpoint.profiles:
        profile = evaluator.policy_set.profile(name)
        if profile.doubt:
            yield GuardFinding("G01", UNKNOWN, "profile {0}: {1}".format(name, profile.doubt))
        elif profile.rules is None:
            text = "profile {0} is missing, or has no rules that Felix takes: it drops all that comes to it"
            yield GuardFinding("G01", UNSAFE, text.format(name))


def _default_drop(endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    asked = evaluator.rules_for(endpoint)
    closed = [direction for direction in (INGRESS, EGRESS) if not asked.allows_something(direction)]
    if closed:
        text = "no policy and no profile allows any {0}: all new traffic but the failsafes is dropped"
        yield GuardFinding("G02", WARNING, text.format(" or ".join(closed)))


_PASSED_OVER = "interfaceExclude has {0}, so Felix ignores the interface, which is open"


def _stopped(endpoint: HostEndpoint, evaluator: Evaluator, dataplane: str) -> Iterator[GuardFinding]:
    """What Felix does not get past. That a node's other endpoints may do that, is said by the host."""
    felix = evaluator.felix(endpoint.node, dataplane)
    if felix.problem:
        yield GuardFinding("G16", UNSAFE if felix.is_stopped else UNKNOWN, noted(felix.problem, felix.note))
    if is_excluded(endpoint.interface_name, felix.excluded):
        yield GuardFinding("G16", UNSAFE, noted(_PASSED_OVER.format(endpoint.interface_name), felix.note))
    fatal = decide_fatal(evaluator.rules_for(endpoint).fatal, felix.dataplane)
    if fatal.text:
        text = "Felix fails on a rule that it uses, {0}: {1}".format(LAST_STAYS, fatal.text)
        yield GuardFinding("G16", UNSAFE if fatal.is_certain else UNKNOWN, noted(text, felix.note))
    if evaluator.policy_set.fatal:
        yield GuardFinding("G16", UNKNOWN, noted(evaluator.policy_set.fatal, felix.note))
    for candidate in _mine(endpoint, evaluator.candidates(endpoint.node)):
        if candidate.rejected:
            text = "Felix ignores it, so its interface is open: {0}"
            yield GuardFinding("G16", UNSAFE, noted(text.format(candidate.rejected), felix.note))
        elif candidate.doubt:
            yield GuardFinding("G16", UNKNOWN, candidate.doubt)


def _of_a_workload(endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    """The findings about its interface that hold whether or not the host has it."""
    felix = evaluator.felix(endpoint.node)
    if not felix.problem and endpoint.interface_name.startswith(felix.workload_prefixes):
        text = (
            "{0} begins with interfacePrefix {1}, so Felix treats it as a workload interface, and no endpoint governs "
            "it"
        )
        if felix.removes_addresses:
            text += "; if it is the host's own, Felix removes its addresses"
        prefixes = " or ".join(felix.workload_prefixes)
        yield GuardFinding("G16", UNSAFE, noted(text.format(endpoint.interface_name, prefixes), felix.note))


def _mine(endpoint: HostEndpoint, candidates: Iterable[Candidate]) -> List[Candidate]:
    return [each for each in candidates if each.name == endpoint.name]


# --- With them ---

_CUT_OFF = (
    "{0} begins with interfacePrefix {1}, so Felix treats it as a workload interface and removes its addresses: the "
    "host is cut off, with or without an endpoint"
)


class _HostState:
    """A host whose facts are known, as it is and as it will be."""

    def __init__(self, node: str, facts: HostFacts, before: Evaluator, after: Evaluator, is_stored: bool) -> None:
        self.node = node
        self.facts = facts
        self._before = before
        self._after = after
        # Whether the one is the other.
        self._is_stored = is_stored
        # The connections that changed endpoints were asked about.
        self.asked: Set[Connection] = set()

    @functools.cached_property
    def before(self) -> HostDataplane:
        return build_host(self._before, self.node, self.facts.interfaces, self.facts.failsafes, self.facts.dataplane)

    @functools.cached_property
    def after(self) -> HostDataplane:
        return build_host(self._after, self.node, self.facts.interfaces, self.facts.failsafes, self.facts.dataplane)

    def was_denied(self, connection: Connection) -> bool:
        """Whether a change cannot make it worse."""
        return not self._is_stored and self.before.evaluate(connection).verdict == DENY

    def was_without_neighbours(self, name: str) -> bool:
        """The same of neighbour discovery on an interface."""
        return not self._is_stored and self.before.neighbours(name).verdict == DENY


_OPEN = "no endpoint governs {0} of node {1} any more, so Calico opens it"
_AS_BEFORE = ", and it was denied before this change, too"


def _open(host: _HostState, names: Iterable[str]) -> Iterator[GuardFinding]:
    for name in sorted(names):
        yield GuardFinding("G15", WARNING, _OPEN.format(name, host.node))


def _is_governed_by(interface: Interface, name: str) -> bool:
    return interface.governing is not None and interface.governing.name == name


def _claim(endpoint: HostEndpoint) -> object:
    """What decides which interfaces it wants."""
    return endpoint.interface_name or frozenset(parse_expected_ips(endpoint))


def _needed(host: _HostState, name: str, touched: Mapping[str, Interface]) -> Iterator[GuardFinding]:
    """Connections that must get through, of those that go through these interfaces."""
    if not touched:
        return
    for rule, text in host.facts.doubts:
        yield GuardFinding(rule, UNKNOWN, text)
    for connection in host.facts.required:
        interfaces = host.after.interfaces_of(connection)
        through = [interface for interface in interfaces if interface.name in touched]
        if through or not interfaces:
            others = [
                _AND_THEN.format(each.governing.name, each.name, host.node)
                for each in through
                if each.governing and each.governing.name != name
            ]
            yield from _required(host, connection, "".join(others))
    for connection in host.facts.possible:
        for interface in host.after.interfaces_of(connection):
            if interface.name in touched:
                yield from _possible(host, connection, interface.name)
    yield from _neighbours(host, touched)


_AND_THEN = ", and then {0} governs {1} of node {2}"


def _required(host: _HostState, connection: Connection, where: str) -> Iterator[GuardFinding]:
    host.asked.add(connection)
    answer = host.after.evaluate(connection)
    if answer.verdict == ALLOW:
        return
    level = UNKNOWN if answer.verdict == UNKNOWN else UNSAFE
    if level == UNSAFE and host.was_denied(connection):
        level, where = WARNING, where + _AS_BEFORE
    text = "{0} is needed{1}: {2}".format(_shown(connection), where, answer.reason)
    yield GuardFinding(_RULES[connection.direction], level, text)


def _possible(host: _HostState, connection: Connection, name: str) -> Iterator[GuardFinding]:
    answer = host.after.evaluate(connection)
    if answer.verdict == UNKNOWN or answer.verdict == DENY and not host.was_denied(connection):
        text = "{0} is needed, and nobody knows whether it goes through {1}: {2}"
        yield GuardFinding(_RULES[connection.direction], UNKNOWN, text.format(_shown(connection), name, answer.reason))


def _of_others(
    hosts: Iterable[_HostState], changed: Mapping[Address, Sequence[int]]
) -> Iterator[Tuple[int, GuardFinding]]:
    """What changed endpoints, given by their addresses, cut off by being another end than rules ask for."""
    for host in hosts:
        for connection in host.facts.required:
            if connection in host.asked:
                continue
            packet = connection.packet
            ends = [(packet.version, number) for number in (packet.source, packet.destination) if number is not None]
            numbers = {number for end in ends for number in changed.get(end, ())}
            finding = _worse(host, connection) if numbers else None
            if finding:
                yield from ((number, finding) for number in sorted(numbers))


def _worse(host: _HostState, connection: Connection) -> Optional[GuardFinding]:
    """Of a connection that no changed endpoint governs."""
    answer = host.after.evaluate(connection)
    if answer.verdict == ALLOW:
        return None
    before = host.before.evaluate(connection).verdict
    if before == DENY or before == answer.verdict:
        return None
    text = "on node {0}, {1} is needed, and rules there that let it through do not any more: {2}"
    level = UNSAFE if answer.verdict == DENY else UNKNOWN
    return GuardFinding(_RULES[connection.direction], level, text.format(host.node, _shown(connection), answer.reason))


_RULES = {IN: "G03", OUT: "G04", LOCAL: "G04"}


def _shown(connection: Connection) -> str:
    packet = connection.packet
    protocol = _NAMES.get(packet.protocol, "protocol {0}".format(packet.protocol))
    text = protocol + (" port {0}".format(packet.dport[0]) if packet.dport else "")
    if connection.direction == IN:
        return "{0} from {1}".format(text, _address(packet.version, packet.source))
    return "{0} of {1}".format(text, _address(packet.version, packet.destination))


_NAMES: Dict[int, str] = {number: name for name, number in PROTOCOLS.items()}


def _address(version: int, number: Optional[int]) -> str:
    return "an unknown address" if number is None else format_address((version, number))


def _failsafes(host: _HostState, governs: Collection[str]) -> Iterator[GuardFinding]:
    felix, port = host.after.felix, host.facts.ssh_port
    if governs and not felix.problem and not any((each.protocol, each.port) == (TCP, port) for each in felix.inbound):
        text = "tcp port {0} is no inbound failsafe, so only policies and profiles keep SSH open"
        yield GuardFinding("G05", WARNING, text.format(port))


def _its_interface(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    name = endpoint.interface_name
    if not name or name == ALL_INTERFACES:
        return
    if len(name) > _MOST_OF_A_NAME:
        yield GuardFinding("G06", UNSAFE, "Linux has no interface with a name as long as {0}".format(name))
    elif name.startswith(host.felix.workload_prefixes):
        text = "{0} begins with {1}, so Felix treats it as a workload interface"
        prefixes = " or ".join(host.felix.workload_prefixes)
        yield GuardFinding("G06", UNSAFE, text.format(name, prefixes))
    elif name not in host.interfaces:
        yield GuardFinding("G06", UNSAFE, "the host has no interface {0}".format(name))


def _its_addresses(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    wanted = parse_expected_ips(endpoint)
    here = {address for interface in host.interfaces.values() for address in interface.addresses}
    absent = _listed([address for address in wanted if address not in here])
    if absent:
        is_inert = not endpoint.interface_name and here.isdisjoint(wanted)
        text = "the host does not have the expected IPs {0}".format(absent)
        yield GuardFinding(
            "G07", UNSAFE if is_inert else WARNING, text + (", so it governs nothing" if is_inert else "")
        )
    interface = host.interfaces.get(endpoint.interface_name)
    if interface:
        elsewhere = [each for each in wanted if each in here and each not in interface.addresses]
        if elsewhere:
            text = "the expected IPs {0} are on other interfaces than {1}"
            yield GuardFinding("G07", WARNING, text.format(_listed(elsewhere), interface.name))


def _passed_over(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    """Interfaces of its addresses that Felix does not know. One that it names is told without the host."""
    wanted = set() if endpoint.interface_name else set(parse_expected_ips(endpoint))
    for name, interface in sorted(host.interfaces.items()):
        if wanted.intersection(interface.addresses) and is_excluded(name, host.felix.excluded):
            yield GuardFinding("G16", UNSAFE, noted(_PASSED_OVER.format(name), host.felix.note))


def _listed(addresses: Iterable[Address]) -> str:
    return ", ".join(sorted({format_address(address) for address in addresses}))


def _claimed(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
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
        yield GuardFinding("G08", UNSAFE, text.format(name, others))


def _wildcard(host: HostDataplane, endpoint: HostEndpoint) -> Iterator[GuardFinding]:
    if endpoint.interface_name != ALL_INTERFACES:
        return
    text = "it governs every interface that no other endpoint governs"
    others = sorted({each.name for each in host.candidates if each.name != endpoint.name and not each.rejected})
    yield GuardFinding("G11", WARNING, text + (", beside {0}".format(", ".join(others)) if others else ""))


def _neighbours(host: _HostState, touched: Mapping[str, Interface]) -> Iterator[GuardFinding]:
    if not host.after.felix.polices_ipv6:
        return
    through = _over_ipv6(host.after, host.facts.required)
    maybe = _over_ipv6(host.after, host.facts.possible)
    for name, interface in sorted(touched.items()):
        is_needed = name in through or name in maybe
        if not is_needed and not any(_is_global(address) for address in interface.addresses):
            continue
        answer = host.after.neighbours(name)
        if answer.verdict == ALLOW:
            continue
        level, more = WARNING, ""
        if is_needed:
            level = UNSAFE if answer.verdict == DENY and name in through else UNKNOWN
            if answer.verdict == DENY and host.was_without_neighbours(name):
                level, more = WARNING, _AS_BEFORE
        text = (
            "neighbour discovery (icmpv6 types 135 and 136) does not get through {0} in both directions, so IPv6 "
            "fails{1}"
        )
        yield GuardFinding("G13", level, text.format(name, more))


def _over_ipv6(host: HostDataplane, connections: Iterable[Connection]) -> Set[str]:
    """The interfaces that connections over IPv6 go through."""
    over_ipv6 = [each for each in connections if each.direction != LOCAL and each.packet.version == 6]
    return {interface.name for connection in over_ipv6 for interface in host.interfaces_of(connection)}


def _is_global(address: Address) -> bool:
    """Whether it is an IPv6 address that others than neighbours reach: not fe80::/10, not ::1."""
    version, number = address
    return version == 6 and number >> 118 != 0x3FA and number != 1
