# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico v1's requirements for policies and profiles.

libcalico-go release-v2.6: lib/validator/validator.go, lib/api, lib/client/policy.go. Where the collection is stricter
than Calico on purpose, a comment states the reason.
"""

from __future__ import annotations

from typing import Any, Collection, Iterator, List, Mapping, Tuple

from ..._core.errors import shown
from ..._core.go_json import digits
from ..._core.ip import parse_net
from ..._core.protocols import ICMP, ICMPV6, NAMES, PROTOCOLS, TCP, UDP
from .._specs.validation_rules_v3 import (
    find_both_protocols,
    find_family_problems,
    find_icmp_problems,
    find_port_problems,
    find_pre_dnat_problems,
    find_selector_problems,
    find_type_problems,
)
from ..resource import Problem
from ..selector import GRAMMAR_V1
from ..validation_v1 import NAME, RULES, find_name_problems
from ..validators import find_size_problems
from .rules_resource_v1 import SINGLE_NETS, PolicyV1, ProfileV1, RulesV1

_ACTIONS = ("allow", "deny", "log", "pass")
_EGRESS = "egress"
_TYPES = ("ingress", _EGRESS)
_ENDS = ("source", "destination")
_VERSIONS = (4, 6)
# Names of Calico's own policies, which calicoctl does not write.
_OWN_POLICIES = "knp.default."
_WITH_PORTS = (NAMES[TCP], NAMES[UDP], str(TCP), str(UDP))
# {version of IP: its protocol with ICMP types}
_ICMP_PROTOCOLS = {4: ICMP, 6: ICMPV6}

_ACTION_RULE = "is not an action: {0}".format(", ".join(_ACTIONS))
_PROTOCOL_RULE = "is not a protocol: {0}, or a number from 1 to 255".format(", ".join(PROTOCOLS))
_TAG_RULE = "is not a tag: 1 to 128 of a-z A-Z 0-9 _ . -"
_NET_RULE = "is not a network: an address, or an address, a slash and a prefix length, such as 10.0.0.0/8"


def find_problems_v1(resource: RulesV1) -> List[Problem]:
    """Why Calico v1 rejects a policy or a profile, or why it must not be stored."""
    problems = find_size_problems(resource.count_bytes())
    if problems:
        return problems
    if isinstance(resource, ProfileV1):
        problems = [*find_profile_name_problems(resource.name), *_profile(resource)]
    elif isinstance(resource, PolicyV1):
        problems = [*find_policy_name_problems(resource.name), *_policy(resource)]
    for key in ("ingress", "egress"):
        for index, rule in enumerate(resource.spec.get(key) or ()):
            problems.extend(_rule(rule, "spec.{0}[{1}]".format(key, index)))
    return problems


def find_profile_name_problems(name: str) -> List[Problem]:
    return find_name_problems("metadata.name", name, "a profile name")


def find_policy_name_problems(name: str) -> List[Problem]:
    problems = find_name_problems("metadata.name", name, "a policy name")
    if name.startswith(_OWN_POLICIES):
        # calicoctl shows such a policy, and refuses to create or update it.
        problems = [*problems, ("metadata.name", name, "is the name of a policy of Kubernetes: use another name")]
    return problems


def _profile(profile: ProfileV1) -> Iterator[Problem]:
    for option, value, reason in RULES.labels(tuple(profile.labels.items())):
        yield "metadata." + option, value, reason
    for index, tag in enumerate(profile.tags):
        if not NAME.fullmatch(tag):
            yield "metadata.tags[{0}]".format(index), tag, _TAG_RULE


def _policy(policy: PolicyV1) -> Iterator[Problem]:
    spec = policy.spec
    yield from find_selector_problems(spec.get("selector") or "", "spec.selector", True, GRAMMAR_V1)
    yield from find_type_problems(spec.get("types") or [], _TYPES)
    yield from find_pre_dnat_problems(spec, _EGRESS)


def _rule(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    action = rule.get("action", "")
    if action not in _ACTIONS:
        yield where + ".action", action, _ACTION_RULE + _suggest(action, _ACTIONS)
    if rule.get("ipVersion") not in (None, *_VERSIONS):
        yield where + ".ipVersion", rule["ipVersion"], "is not a version of IP: 4 or 6; leave it out for both"
    for key in ("protocol", "notProtocol"):
        protocol = rule.get(key)
        if protocol is not None and not _is_protocol(protocol):
            yield "{0}.{1}".format(where, key), protocol, _PROTOCOL_RULE + _suggest(protocol, tuple(PROTOCOLS))
    yield from find_both_protocols(rule, where)
    yield from find_icmp_problems(rule, where)
    nets = list(_list_nets(rule, where))
    for place, text, reason, _version in nets:
        if reason:
            yield place, text, reason
    versions = [(place, text, version) for place, text, _reason, version in nets if version]
    yield from find_family_problems(versions, rule.get("ipVersion"))
    yield from _net_forms(rule, where)
    yield from _icmp_of_other_version(rule, where, {version for _place, _text, version in versions})
    for end in _ENDS:
        yield from _entity(rule.get(end) or {}, rule.get("protocol"), "{0}.{1}".format(where, end))


def _suggest(text: str, known: Tuple[str, ...]) -> str:
    return "; did you mean {0}?".format(text.lower()) if text.lower() in known else ""


def _is_protocol(text: str) -> bool:
    return text in PROTOCOLS or digits(text, 255) > 0


def _list_nets(rule: Mapping[str, Any], where: str) -> Iterator[Tuple[str, str, str, int]]:
    """The place of each network, its text, why it is invalid ("" if it is valid), and its version of IP."""
    for end in _ENDS:
        entity = rule.get(end) or {}
        for nets, net in SINGLE_NETS.items():
            found = [
                ("{0}.{1}.{2}[{3}]".format(where, end, nets, index), text)
                for index, text in enumerate(entity.get(nets) or ())
            ]
            if net in entity:
                found.append(("{0}.{1}.{2}".format(where, end, net), entity[net]))
            for place, text in found:
                yield (place, text, *_net(text))


def _net(text: str) -> Tuple[str, int]:
    if not text:
        # Stricter than calicoctl, which stores "" as "<nil>", so that Felix ignores the whole policy, and fails on null
        # in a list.
        return "is not a network: remove it", 0
    try:
        version, first, last = parse_net(text)
    except ValueError:
        return _NET_RULE, 0
    address, _slash, length = text.partition("/")
    if ":" in address and version == 4 and length and int(length) < 96:
        # Stricter than calicoctl, which writes another network.
        return "is not a network of IPv4 addresses: write it as IPv4 or as IPv6", 0
    return "", version


def _net_forms(rule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Calico rejects a rule that uses both forms, at whichever ends."""
    given = [(end, key) for end in _ENDS for key in (rule.get(end) or {}) if rule[end][key]]
    lists = [each for each in given if each[1] in SINGLE_NETS]
    for end, key in given:
        if lists and key in SINGLE_NETS.values():
            reason = "is not allowed in a rule with {0}: add it to the list of networks"
            yield "{0}.{1}.{2}".format(where, end, key), rule[end][key], reason.format(lists[0][1])


def _icmp_of_other_version(rule: Mapping[str, Any], where: str, of_nets: Collection[int]) -> Iterator[Problem]:
    """Stricter than Calico, which stores such a rule: iptables rejects it, which stops Felix on each host that uses it.

    Felix 2.6 writes a rule for both versions of IP unless its networks, ipVersion or the protocol's name exclude one.
    """
    protocol = rule.get("protocol") or ""
    number = PROTOCOLS.get(protocol, digits(protocol, 255))
    by_name = [version for version, each in _ICMP_PROTOCOLS.items() if NAMES[each] == protocol]
    own = [rule["ipVersion"]] if rule.get("ipVersion") else by_name or list(_VERSIONS)
    wrong = [
        each
        for each in own
        if each in _VERSIONS and number != _ICMP_PROTOCOLS[each] and (not of_nets or each in of_nets)
    ]
    for key in ("icmp", "notICMP") if wrong else ():
        if (rule.get(key) or {}).get("type") is not None:
            reason = "is not allowed, since for IPv{0} its protocol is not {1}: set protocol to icmp or icmpv6"
            yield "{0}.{1}".format(where, key), rule[key], reason.format(wrong[0], NAMES[_ICMP_PROTOCOLS[wrong[0]]])


def _entity(entity: Mapping[str, Any], protocol: Any, where: str) -> Iterator[Problem]:
    for key in ("tag", "notTag"):
        if entity.get(key) and not NAME.fullmatch(entity[key]):
            yield "{0}.{1}".format(where, key), entity[key], _TAG_RULE
    for key in ("selector", "notSelector"):
        yield from find_selector_problems(entity.get(key) or "", "{0}.{1}".format(where, key), True, GRAMMAR_V1)
    for key in ("ports", "notPorts"):
        ports, place = entity.get(key) or (), "{0}.{1}".format(where, key)
        yield from find_port_problems(ports, place)
        if ports and protocol not in _WITH_PORTS:
            given = "without a protocol" if protocol is None else "with the protocol {0}".format(shown(protocol))
            yield place, ports, "is not allowed {0}: set the rule's protocol to tcp or udp".format(given)
