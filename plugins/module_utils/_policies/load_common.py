# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the parts of policies and rules that both API versions share."""

from __future__ import annotations

import functools
from typing import Any, FrozenSet, List, Mapping, Optional, Sequence

from .._core import go_json
from .._core.errors import shown
from .._core.ip import Net
from .._core.protocols import ICMP, ICMPV6, PROTOCOLS
from .._resources.selector import EVERYTHING
from .connection import Ports
from .model import EGRESS, INGRESS, IPTABLES, NFTABLES, NORMAL, PRE_DNAT, UNTRACKED, Policy, Rule

# Go's IPNet of an empty string: no network, which Felix writes as "<nil>" and iptables rejects.
NO_NET: Net = (4, 0, -1)
_MOST_RULES = 10000
_BOTH = frozenset([INGRESS, EGRESS])

# Keeps what a function reads from a value: the states before and after changes share the objects of equal values, so
# that only changed values are parsed again, and what differs is found by identity.
shared = functools.lru_cache(maxsize=2**16)


def doubtful(name: str, why: str, kind: str, order: Optional[float], tier: str = "default", key: str = "") -> Policy:
    """A policy whose rules and selector are unknown."""
    return Policy(name, EVERYTHING, {}, _BOTH, kind, on_forward=True, order=order, tier=tier, key=key, doubt=why)


def build_kind(is_untracked: bool, is_pre_dnat: bool) -> str:
    return UNTRACKED if is_untracked else PRE_DNAT if is_pre_dnat else NORMAL


def read_directions(types: Sequence[str], kind: str) -> FrozenSet[str]:
    """The directions that a policy governs. Without types, Felix uses both (calc/policy_sorter.go)."""
    found = _BOTH.intersection(types) if types else _BOTH
    return found - {EGRESS} if kind == PRE_DNAT else found


def read_rules(fields: Mapping[str, Any], key: str) -> List[Any]:
    """The rules of a direction, not parsed yet. Raises Ambiguous for too many: each uses a kilobyte."""
    return not_too_many(go_json.items(fields, key))


def not_too_many(rules: List[Any]) -> List[Any]:
    """The rules. Raises Ambiguous for too many."""
    if len(rules) > _MOST_RULES:
        raise go_json.Ambiguous(
            "it has {0} rules, more than the {1} that are evaluated".format(len(rules), _MOST_RULES)
        )
    return rules


def read_protocol(item: Any, key: str) -> int:
    """The number of a protocol, 0 for None. Raises ValueError for an invalid protocol."""
    if item is None:
        return 0
    if isinstance(item, str):
        found = PROTOCOLS.get(item) or go_json.digits(item, 255)
    else:
        found = go_json.integer(item, key, 0, 255)
    if found < 1:
        raise ValueError("{0} is not a valid protocol: {1}".format(key, shown(item)))
    return found


def parse_port_range(text: str) -> Ports:
    """The ports of "80" or "80:90"; -1 for an invalid port number."""
    first, colon, last = text.partition(":")
    return go_json.digits(first, 65535), go_json.digits(last if colon else first, 65535)


def with_fatal(rule: Rule, why: str = "", is_v1: bool = True) -> Rule:
    """The rule with the reason why Felix fails on it repeatedly (measured): `why`, or what iptables or nft rejects."""
    why = why or _why_fatal(rule)
    on_iptables = why or _why_refused_by_iptables(rule)
    on_nftables = why or ("" if is_v1 else _why_refused_by_nft(rule))
    return rule._replace(fatal={IPTABLES: on_iptables, NFTABLES: on_nftables}) if on_iptables or on_nftables else rule


def _why_fatal(rule: Rule) -> str:
    """Why both dataplanes reject the rule."""
    versions = [version for version in (4, 6) if _exists_for(rule, version)]
    if 4 in versions and any(NO_NET in each for end in (rule.source, rule.destination) for each in end[:2]):
        return "it has an empty network"
    for version in versions:
        if not _is_icmp_in(rule, version) and (rule.not_icmp or rule.icmp and rule.protocol):
            return _OTHER_ICMP.format(version, {4: "icmp", 6: "icmpv6"}[version])
    return ""


_OTHER_ICMP = "it has an ICMP type, but for IPv{0} not the protocol {1}"


def _why_refused_by_iptables(rule: Rule) -> str:
    if rule.protocol and rule.not_protocol:
        return "it has both protocol and notProtocol (!protocol), which iptables rejects"
    for version in (4, 6):
        if rule.icmp and _exists_for(rule, version) and not _is_icmp_in(rule, version):
            return _OTHER_ICMP.format(version, {4: "icmp", 6: "icmpv6"}[version])
    return ""


def _why_refused_by_nft(rule: Rule) -> str:
    """Felix v3.32.1 writes "icmp type 8 code 0", which nft rejects."""
    if any(each and each[1] is not None for each in (rule.icmp, rule.not_icmp)):
        return "it has an ICMP code, which Felix writes in a form that nft rejects"
    return ""


def _is_icmp_in(rule: Rule, version: int) -> bool:
    return rule.protocol == {4: ICMP, 6: ICMPV6}[version]


def _exists_for(rule: Rule, version: int) -> bool:
    """Whether Felix writes the rule for this version of IP (rules/policy.go)."""
    if rule.version not in (0, version):
        return False
    lists = (rule.source.nets, rule.source.not_nets, rule.destination.nets, rule.destination.not_nets)
    return all(any(net[0] == version for net in nets) for nets in lists if nets)
