# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies and profiles of Calico v1's data model, as Felix 2.6 reads them.

libcalico-go release-v2.6: lib/backend/model (policy.go, profile.go, rule.go, workloadendpoint.go), lib/numorstring,
lib/validator/validator.go. Felix treats a whole object as missing if it cannot read it or finds it
invalid (felix 2.6.8, calc/validation_filter.go).
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from .._core import go_json
from .._core.errors import shown
from .._core.ip import Net, parse_net
from .._core.protocols import TCP, UDP
from .._datastore.snapshot import PolicySnapshot
from .._resources.selector import GRAMMAR_V1, Selector, SelectorError, has, parse
from .._resources.validation_v1 import NAME
from .connection import Ports
from .load_common import (
    NO_NET,
    build_kind,
    doubtful,
    parse_port_range,
    read_directions,
    read_protocol,
    read_rules,
    shared,
    with_fatal,
)
from .model import (
    ALLOW,
    ANY_KIND,
    DENY,
    EGRESS,
    INGRESS,
    LOG,
    PASS,
    Entity,
    Policy,
    PolicySet,
    Profile,
    Rule,
    Rules,
    Selectable,
    Tier,
    in_order,
)

_ACTIONS = {"": ALLOW, "allow": ALLOW, "deny": DENY, "log": LOG, "next-tier": PASS}
_DEFAULT_TIER = Tier("default", None, DENY)


def load_policies_v1(snapshot: PolicySnapshot) -> PolicySet:
    """The stored policies as Felix 2.6 reads them, without those that it treats as missing."""
    policies = [policy for policy in (_policy(*each) for each in snapshot.policies) if policy]
    workloads: Dict[str, List[Tuple[str, Selectable]]] = {}
    for node, value in snapshot.workloads:
        interface, member = _workload(value)
        if member:
            workloads.setdefault(node, []).append((interface, member))
    return PolicySet(
        # Felix ignores the tier in the key.
        tiers=[_DEFAULT_TIER],
        policies={_DEFAULT_TIER.name: in_order(policies)},
        profiles={name: _profile(tuple(parts.items())) for name, parts in snapshot.profiles.items()},
        members=[member for of_node in workloads.values() for _interface, member in of_node],
        workloads=workloads,
    )


@shared
def _policy(name: str, value: str) -> Optional[Policy]:
    """None for a policy that Felix treats as missing."""
    order: Optional[float] = float("-inf")
    kind = ANY_KIND
    try:
        fields = go_json.struct(go_json.load(value))
        order = go_json.number(fields["order"], "order") if "order" in fields else None
        kind = build_kind(go_json.flag(fields, "untracked"), go_json.flag(fields, "pre_dnat"))
        go_json.mapping(fields.get("annotations"), "annotations")
        return Policy(
            name=name,
            selector=parse(go_json.text(fields, "selector"), GRAMMAR_V1),
            rules=_rules(fields),
            governs=read_directions([each.lower() for each in go_json.texts(fields, "types")], kind),
            kind=kind,
            order=order,
        )
    except ValueError as exc:
        return doubtful(name, str(exc), kind, order) if isinstance(exc, go_json.Ambiguous) else None
    except SelectorError as exc:
        return doubtful(name, str(exc), kind, order) if exc.is_limit else None


@shared
def _profile(parts: Tuple[Tuple[str, str], ...]) -> Profile:
    """For Felix, a profile exists if its rules exist."""
    doubts = []
    rules: Optional[Rules] = None
    labels: Dict[str, str] = {}
    for part, value in parts:
        try:
            content = go_json.load(value)
            if part == "rules":
                rules = _rules(go_json.struct(content))
            elif part == "labels":
                labels.update(go_json.mapping(content, part))
            else:
                for tag in go_json.texts({part: content}, part):
                    # A tag is a label without a value; a label of the same name takes precedence.
                    labels.setdefault(tag, "")
        except ValueError as exc:
            if isinstance(exc, go_json.Ambiguous):
                doubts.append(str(exc))
        except SelectorError as exc:
            if exc.is_limit:
                doubts.append(str(exc))
    return Profile(rules, labels, "; ".join(doubts))


def _rules(fields: Mapping[str, Any]) -> Rules:
    return {
        INGRESS: tuple([_rule(item) for item in read_rules(fields, "inbound_rules")]),
        EGRESS: tuple([_rule(item) for item in read_rules(fields, "outbound_rules")]),
    }


def _rule(item: Any) -> Rule:
    """Raises ValueError or SelectorError for an invalid rule, which makes the whole object invalid."""
    fields = go_json.struct(item, "a rule")
    action = go_json.text(fields, "action")
    if action not in _ACTIONS:
        raise ValueError("action is unknown: {0}".format(shown(action)))
    go_json.text(fields, "log_prefix")
    protocol, not_protocol = (read_protocol(fields.get(key), key) for key in ("protocol", "!protocol"))
    version = _version(fields)
    if not version and fields.get("protocol") in ("icmp", "icmpv6"):
        version = 4 if fields["protocol"] == "icmp" else 6
    ends = [_entity(fields, end, protocol in (TCP, UDP)) for end in ("src", "dst")]
    rule = Rule(
        action=_ACTIONS[action],
        version=version,
        protocol=protocol,
        not_protocol=not_protocol,
        icmp=_icmp(fields, ""),
        not_icmp=_icmp(fields, "!"),
        source=ends[0][0],
        destination=ends[1][0],
        doubt=ends[0][1] or ends[1][1],
    )
    return with_fatal(rule, _fatal_tag(fields))


def _version(fields: Mapping[str, Any]) -> int:
    if "ip_version" not in fields:
        return 0
    version = go_json.integer(fields["ip_version"], "ip_version", -(2**63), 2**63 - 1)
    if version == 0:
        raise go_json.Ambiguous("ip_version is 0")
    if version not in (4, 6):
        raise ValueError("ip_version is not 4 or 6: {0}".format(version))
    return version


def _icmp(fields: Mapping[str, Any], negated: str) -> Optional[Tuple[int, Optional[int]]]:
    kind, code = fields.get(negated + "icmp_type"), fields.get(negated + "icmp_code")
    if code is not None:
        code = go_json.integer(code, negated + "icmp_code", 0, 255)
    if kind is None:
        # Felix reads the code only beside a type.
        return None
    return go_json.integer(kind, negated + "icmp_type", 0, 254), code


def _entity(fields: Mapping[str, Any], end: str, may_have_ports: bool) -> Tuple[Entity, str]:
    """The conditions for one end, and why they are uncertain."""
    doubts: List[str] = []

    def selectors(negated: str) -> Tuple[Selector, ...]:
        found = []
        tag = go_json.text(fields, negated + end + "_tag")
        # Felix does not validate !dst_tag.
        if tag and (NAME.fullmatch(tag) or (negated and end == "dst")):
            found.append(has(tag))
        elif tag:
            raise ValueError("{0}_tag is not a valid tag: {1}".format(end, shown(tag)))
        selector = go_json.text(fields, negated + end + "_selector")
        if selector:
            try:
                found.append(parse(selector, GRAMMAR_V1))
            except SelectorError as exc:
                if not exc.is_limit:
                    raise
                doubts.append(str(exc))
        return tuple(found)

    entity = Entity(
        nets=_nets(fields, end),
        not_nets=_nets(fields, "!" + end),
        selectors=selectors(""),
        not_selectors=selectors("!"),
        ports=_ports(fields, end + "_ports"),
        not_ports=_ports(fields, "!" + end + "_ports"),
    )
    if (entity.ports or entity.not_ports) and not may_have_ports:
        raise ValueError("ports are given without the protocol tcp or udp")
    return entity, "; ".join(doubts)


def _nets(fields: Mapping[str, Any], end: str) -> Tuple[Net, ...]:
    listed = go_json.items(fields, end + "_nets")
    single = [fields[end + "_net"]] if end + "_net" in fields else []
    return tuple([_net(item) for item in listed + single if item is not None])


def _net(item: Any) -> Net:
    if not isinstance(item, str):
        raise ValueError("a network is not a string: {0}".format(shown(item)))
    return parse_net(item) if item else NO_NET


def _ports(fields: Mapping[str, Any], key: str) -> Tuple[Ports, ...]:
    return tuple([_port(0 if item is None else item, key) for item in go_json.items(fields, key)])


def _port(item: Any, key: str) -> Ports:
    if not isinstance(item, str):
        port = go_json.integer(item, key, 0, 65535)
        return port, port
    found = parse_port_range(item)
    if min(found) < 0 or found[0] > found[1]:
        raise ValueError("{0} has an invalid port: {1}".format(key, shown(item)))
    return found


def _fatal_tag(fields: Mapping[str, Any]) -> str:
    """Why Felix fails on !dst_tag, the only field that it does not validate."""
    tag = go_json.text(fields, "!dst_tag")
    return "!dst_tag is not a valid tag" if tag and not NAME.fullmatch(tag) else ""


@shared
def _workload(value: str) -> Tuple[str, Optional[Selectable]]:
    """The interface's name and the workload; None for a workload that Felix treats as missing."""
    try:
        fields = go_json.struct(go_json.load(value))
        interface = go_json.text(fields, "name")
        nets = [parse_net(item) for key in ("ipv4_nets", "ipv6_nets") for item in go_json.texts(fields, key)]
        member = Selectable(
            labels=go_json.mapping(fields.get("labels"), "labels"),
            profiles=tuple(go_json.texts(fields, "profile_ids")),
            addresses=tuple([(version, first) for version, first, _last in nets]),
        )
    except ValueError:
        return "", None
    return interface, member if interface else None
