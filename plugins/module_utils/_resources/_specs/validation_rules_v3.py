# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico v3's requirements for one rule of a policy or a profile, and for selectors.

projectcalico/calico v3.32.1, libcalico-go/lib/validator/v3/validator.go, and the limits of the CRDs, which its
calicoctl checks as well. A rule is a mapping as Go reads it: Calico's spelling, a protocol as a name or digits, a port
as an int, (first, last) or a name. Where the collection is stricter than Calico on purpose, a comment states why.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..._core.errors import shown
from ..._core.go_json import digits
from ..._core.ip import BITS, Net, parse_net
from ..._core.protocols import ICMP, ICMPV6, SPELLINGS, TCP, WITH_PORTS_V3
from ..resource import Problem
from ..selector import GRAMMAR_V3, Grammar, SelectorError, is_ordinary, parse
from ..validation_v3 import DNS_NAME, DNS_NAME_MAX, PORT_NAME, RULES
from ..validators import find_duplicates

_ACTIONS = ("Allow", "Deny", "Log", "Pass")
_VERSIONS = (4, 6)
_WITH_PORTS = (*[SPELLINGS[number] for number in WITH_PORTS_V3], *map(str, WITH_PORTS_V3))
# The version of IP of a protocol's name. Calico does not compare a protocol's number with the version.
_ICMP_VERSIONS: Dict[Any, int] = {SPELLINGS[ICMP]: 4, SPELLINGS[ICMPV6]: 6}
_ENDS = ("source", "destination")
_NETS = ("nets", "notNets")
_PORTS = ("ports", "notPorts")
_SELECTORS = ("selector", "namespaceSelector", "notSelector", "serviceAccounts")
_MOST_TYPE, _MOST_CODE = 254, 255
_MOST_METHODS, _MOST_PATHS, _MOST_OF_A_PATH = 20, 20, 1024
_GLOBAL = re.compile(r"[ \t]*global\([ \t]*\)[ \t]*")

DNS_RULE = "1 to 253 of a-z 0-9 - ., every part between dots with a letter or digit at both ends"
_ACTION_RULE = "is not an action: {0}".format(", ".join(_ACTIONS))
_VERSION_RULE = "is not a version of IP: 4 or 6; leave it out for both"
_PROTOCOL_RULE = "is not a protocol: {0}, or a number from 1 to 255".format(", ".join(SPELLINGS.values()))
_NET_RULE = "is not a network: an address, a slash and a prefix length, such as 10.0.0.0/8 or fd00::/8"
_FAMILIES_RULE = "is not allowed in a rule with IPv{0} networks: write one rule for each version of IP"
_PORT_RULE = "is not a port: a number from 1 to 65535, a range such as 8000:8099, or the name of an endpoint's port"
_PORT_NAME_RULE = "is not a port name: 1 to 15 of a-z 0-9 -, a letter among them, each - between two of the others"
_GLOBAL_RULE = "is not allowed to contain global(): that is for the namespaceSelector of a rule only"


def find_rule_problems(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The problems of a rule that Calico reports for every kind of resource; `where` is the rule's place."""
    if rule.get("action", "") not in _ACTIONS:
        yield where + ".action", rule.get("action", ""), _ACTION_RULE
    if "ipVersion" in rule and rule["ipVersion"] not in (None, *_VERSIONS):
        yield where + ".ipVersion", rule["ipVersion"], _VERSION_RULE
    # Most rules have few of these parts, and a generator without a result takes longer than a test.
    if "protocol" in rule or "notProtocol" in rule:
        yield from _protocols(rule, where)
    if "icmp" in rule or "notICMP" in rule:
        yield from _icmp(rule, where)
    entities = [(where + "." + end, rule[end]) for end in _ENDS if rule.get(end)]
    if any(not entity.keys().isdisjoint(_NETS) for _place, entity in entities):
        yield from _nets(entities, rule.get("ipVersion"))
    for place, entity in entities:
        if "ports" in entity or "notPorts" in entity:
            yield from _ports(entity, rule.get("protocol"), place)
        if not entity.keys().isdisjoint(_SELECTORS):
            yield from _selectors(entity, place)
        if entity.get("services") is not None:
            yield from _services(entity, entity["services"], place)
    if (rule.get("destination") or {}).get("services") is not None:
        yield from _ports_of_services(rule["destination"], where)
    if rule.get("http") is not None:
        yield from _http(rule, where)
    if rule.get("metadata"):
        for option, value, reason in RULES.annotations(rule["metadata"].get("annotations") or {}):
            yield "{0}.metadata.{1}".format(where, option), value, reason


def find_pre_dnat_problems(spec: Mapping[str, Any], egress: str) -> Iterator[Problem]:
    """The problems of a policy that applies before DNAT. egress: the direction's name among the types."""
    if not spec.get("preDNAT"):
        return
    if spec.get("doNotTrack"):
        yield "spec.preDNAT", True, "is not allowed together with doNotTrack: write two policies"
    if spec.get("egress"):
        yield "spec.egress", spec["egress"], "is not allowed with preDNAT: write two policies"
    if egress in (spec.get("types") or ()):
        yield "spec.types", spec["types"], "is not allowed to contain {0} with preDNAT".format(egress)


def find_type_problems(types: Sequence[str], known: Sequence[str]) -> Iterator[Problem]:
    for index, each in enumerate(types):
        if each not in known:
            yield "spec.types[{0}]".format(index), each, "is not a type of a policy: {0}".format(" or ".join(known))
    yield from find_duplicates(types, "spec.types")


def find_direction_problems(rule: Mapping[str, Any], where: str, is_ingress: bool) -> Iterator[Problem]:
    """The problems that depend on a rule's direction, which Calico checks in policies only."""
    if rule.get("http") is None and not any("services" in (rule.get(end) or ()) for end in _ENDS):
        return
    allowed, other = _ENDS if is_ingress else _ENDS[::-1]
    if (rule.get(other) or {}).get("services") is not None:
        reason = "is not allowed here: {0} accepts services in {1} only"
        direction = "an ingress rule" if is_ingress else "an egress rule"
        yield "{0}.{1}.services".format(where, other), rule[other]["services"], reason.format(direction, allowed)
    services = (rule.get(allowed) or {}).get("services")
    if services is not None and not services.get("namespace"):
        reason = "is missing: a global policy finds a service by its name and its namespace"
        yield "{0}.{1}.services.namespace".format(where, allowed), "", reason
    if rule.get("http") is not None and not is_ingress:
        reason = "is not allowed in an egress rule: Calico checks HTTP in ingress rules only"
        yield where + ".http", rule["http"], reason


def find_selector_problems(
    text: str, where: str, is_global_allowed: bool = False, grammar: Grammar = GRAMMAR_V3
) -> Iterator[Problem]:
    """The problems of a selector, in which `global()` may be forbidden. It may be empty."""
    try:
        if text and not is_ordinary(text):
            parse(text, grammar)
    except SelectorError as exc:
        # Stricter than Calico for a selector that is nested too deeply: the guard could not evaluate it.
        quoted = "selector {0}: ".format(shown(text))
        reason = str(exc)
        yield where, text, "is not a selector: " + (reason[len(quoted) :] if reason.startswith(quoted) else reason)
        return
    if not is_global_allowed and "global()" in text:
        yield where, text, _GLOBAL_RULE


def _protocols(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    version = rule.get("ipVersion")
    for key in ("protocol", "notProtocol"):
        protocol = rule.get(key)
        if protocol is None:
            continue
        expected = _ICMP_VERSIONS.get(protocol)
        if not _is_protocol(protocol):
            yield "{0}.{1}".format(where, key), protocol, _PROTOCOL_RULE + _near_protocol(protocol)
        elif expected and version in _VERSIONS and version != expected:
            reason = "is not the version of {0}: use {1}, or leave it out".format(protocol, expected)
            yield where + ".ipVersion", version, reason
    if "notProtocol" in rule:
        yield from find_both_protocols(rule, where)


def find_both_protocols(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Stricter than Calico: iptables rejects such a rule, which stops Felix on each host that uses it.

    The two together match what protocol matches, or nothing.
    """
    if rule.get("protocol") is not None and rule.get("notProtocol") is not None:
        reason = "is not allowed together with protocol, which already selects one protocol: remove notProtocol"
        yield where + ".notProtocol", rule["notProtocol"], reason


@functools.lru_cache(maxsize=1024)
def _is_protocol(text: str) -> bool:
    return text in SPELLINGS.values() or digits(text, 255) > 0


def _near_protocol(text: str) -> str:
    near = [name for name in SPELLINGS.values() if name.lower() == text.lower()]
    return "; did you mean {0}?".format(near[0]) if near else ""


def _icmp(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    icmp = rule.get("icmp")
    if icmp is not None and rule.get("protocol") not in _ICMP_VERSIONS:
        reason = "is not allowed without the protocol ICMP or ICMPv6, given by its name"
        yield where + ".icmp", icmp, reason
    yield from find_icmp_problems(rule, where)


def find_icmp_problems(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The problems of types and codes, whatever the protocol is."""
    for key in ("icmp", "notICMP"):
        fields, place = rule.get(key) or {}, "{0}.{1}".format(where, key)
        number, code = fields.get("type"), fields.get("code")
        if number is not None and not 0 <= number <= _MOST_TYPE:
            yield place + ".type", number, "is not an ICMP type: a number from 0 to {0}".format(_MOST_TYPE)
        if code is not None and not 0 <= code <= _MOST_CODE:
            yield place + ".code", code, "is not an ICMP code: a number from 0 to {0}".format(_MOST_CODE)
        if code is not None and number is None:
            yield place + ".type", "", "is missing: a code has a meaning for one type only"


def _nets(entities: Sequence[Tuple[str, Mapping[str, Any]]], ip_version: Any) -> Iterator[Problem]:
    """The problems of the networks of a rule's ends, each with its place."""
    found: List[Tuple[str, str, int]] = []
    for where, entity in entities:
        for key in _NETS:
            for index, text in enumerate(entity.get(key) or ()):
                place = "{0}.{1}[{2}]".format(where, key, index)
                reason, version = _net(text, key == "notNets")
                if reason:
                    yield place, text, reason
                if version:
                    found.append((place, text, version))
    if found:
        yield from find_family_problems(found, ip_version)


# Here and below: the rules of a fleet share few different networks and selectors.
@functools.lru_cache(maxsize=65536)
def _net(text: str, is_negated: bool) -> Tuple[str, int]:
    """Why Calico rejects a network of a rule ("" if it does not), and its version of IP; 0 if that is unknown."""
    try:
        net = parse_net(text)
    except ValueError:
        return _NET_RULE, 0
    version, first, last = net
    address, slash, length = text.partition("/")
    if not slash:
        return "is an address without a prefix length: write {0}/{1} in a rule".format(address, _bits(address)), version
    if parse_net(address)[1] != first:
        return "has bits after its prefix: write the network's first address, or /{0}".format(_bits(address)), version
    if is_negated and _is_everything(net):
        # Calico misses 0.0.0.0/00 and the like. Stricter: such a rule matches nothing, which is a mistake as well.
        return "is every address, so that the rule matches no packet: remove it, or remove the rule", version
    return "", version


def _bits(address: str) -> int:
    return BITS[6] if ":" in address else BITS[4]


def _is_everything(net: Net) -> bool:
    version, first, last = net
    return last - first + 1 == 1 << BITS[version]


def find_family_problems(found: Sequence[Tuple[str, str, int]], expected: Any) -> Iterator[Problem]:
    """The problem of networks (place, text, version of IP) that do not match the rule's ipVersion or each other."""
    is_fixed = expected in _VERSIONS
    if found and not is_fixed:
        expected = found[0][2]
    for place, text, version in found:
        if version != expected:
            reason = "is not a network of the rule's ipVersion {0}" if is_fixed else _FAMILIES_RULE
            yield place, text, reason.format(expected)
            return


def _ports(entity: Mapping[str, Any], protocol: Any, where: str) -> Iterator[Problem]:
    for key in _PORTS:
        ports, place = entity.get(key), "{0}.{1}".format(where, key)
        if not ports:
            continue
        yield from find_port_problems(ports, place)
        if protocol in _WITH_PORTS:
            continue
        numbers = [port for port in ports if not isinstance(port, str)]
        if protocol is not None:
            if _is_protocol(protocol):
                reason = "is not allowed with the protocol {0}: ports require the protocol TCP, UDP or SCTP"
                yield place, ports, reason.format(shown(protocol))
        elif numbers:
            # A named port has the protocol of the endpoint's port.
            yield place, ports, "is not allowed without a protocol: set the rule's protocol to TCP, UDP or SCTP"


def find_port_problems(ports: Sequence[Any], where: str) -> Iterator[Problem]:
    for index, port in enumerate(ports):
        reason = _port(port)
        if reason:
            yield "{0}[{1}]".format(where, index), port, reason


def _port(port: Any) -> str:
    if isinstance(port, str):
        return "" if PORT_NAME.fullmatch(port) else _PORT_NAME_RULE
    first, last = (port, port) if isinstance(port, int) else port
    return "" if 1 <= first <= last <= 65535 else _PORT_RULE


def _selectors(entity: Mapping[str, Any], where: str) -> Iterator[Problem]:
    # Calico looks for global() in the first one only.
    for key in ("selector", "namespaceSelector", "notSelector"):
        if entity.get(key):
            yield from find_selector_problems(entity[key], "{0}.{1}".format(where, key), key != "selector")
    if entity.get("serviceAccounts"):
        place = where + ".serviceAccounts.selector"
        yield from find_selector_problems(entity["serviceAccounts"].get("selector") or "", place, True)
    namespaces = entity.get("namespaceSelector") or ""
    if "global(" in namespaces and not _GLOBAL.fullmatch(namespaces):
        reason = "is not allowed to combine global() with another selector: use global() alone"
        yield where + ".namespaceSelector", namespaces, reason


def _services(entity: Mapping[str, Any], services: Mapping[str, Any], where: str) -> Iterator[Problem]:
    if not services.get("name"):
        yield where + ".services.name", "", "is missing: a service is found by its name"
    for key in ("name", "namespace"):
        text = services.get(key) or ""
        if text and (len(text) > DNS_NAME_MAX or not DNS_NAME.fullmatch(text)):
            kind = "service name" if key == "name" else "namespace"
            yield "{0}.services.{1}".format(where, key), text, "is not a {0}: {1}".format(kind, DNS_RULE)
    others = [key for key in ("selector", "notSelector", "namespaceSelector", *_NETS) if entity.get(key)]
    if entity.get("serviceAccounts") is not None:
        others.append("serviceAccounts")
    for key in others:
        reason = "is not allowed together with services, which already selects the addresses: write two rules"
        yield "{0}.{1}".format(where, key), entity[key], reason


def _ports_of_services(destination: Mapping[str, Any], where: str) -> Iterator[Problem]:
    for key in _PORTS:
        if destination.get(key):
            reason = "is not allowed together with services, which already selects the ports"
            yield "{0}.destination.{1}".format(where, key), destination[key], reason


def _http(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    http, protocol = rule["http"], rule.get("protocol")
    if rule.get("action") != "Allow":
        yield where + ".http", http, "is not allowed with another action than Allow"
    # The number 6 is rejected as well.
    if protocol not in (None, SPELLINGS[TCP]):
        yield where + ".protocol", protocol, "is not allowed with http: use TCP, or leave it out"
    methods, paths = http.get("methods") or [], http.get("paths") or []
    if len(methods) > _MOST_METHODS:
        yield where + ".http.methods", len(methods), _too_many("methods", _MOST_METHODS)
    if len(paths) > _MOST_PATHS:
        yield where + ".http.paths", len(paths), _too_many("paths", _MOST_PATHS)
    yield from find_duplicates(methods, where + ".http.methods")
    for index, path in enumerate(paths):
        reason = _path(path)
        if reason:
            yield "{0}.http.paths[{1}]".format(where, index), path, reason


def _too_many(what: str, most: int) -> str:
    return "is too many {0}: Calico accepts {1}; write more rules".format(what, most)


def _path(path: Mapping[str, Any]) -> str:
    exact, prefix = path.get("exact") or "", path.get("prefix") or ""
    if bool(exact) == bool(prefix):
        return "is not a path of a rule: give either exact or prefix"
    text = exact or prefix
    if not text.startswith("/") or any(char in text for char in "? #"):
        return "is not a path of a rule: it must start with / and must not contain ?, # or a space"
    if len(text) > _MOST_OF_A_PATH:
        return "is too long: a path has at most {0} characters".format(_MOST_OF_A_PATH)
    return ""
