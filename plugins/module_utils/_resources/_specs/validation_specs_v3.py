# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico v3's requirements for policies, network sets, profiles and tiers, and for the metadata of all kinds.

projectcalico/calico v3.32.1, libcalico-go/lib/validator/v3/validator.go, the limits of the CRDs, which its calicoctl
checks as well, and what its client rejects (libcalico-go/lib/clientv3). Where the collection is stricter than Calico on
purpose, a comment states the reason.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Collection, Dict, Iterator, List, Mapping, Optional, Tuple

from ..._core.errors import join_first
from ..._core.ip import parse_net
from ..resource import Problem, format_kind
from ..validation_v3 import DNS_NAME, DNS_NAME_MAX, RULES
from ..validators import find_duplicates
from .validation_felix_v3 import find_felix_problems
from .validation_node_v3 import find_node_problems
from .validation_rules_v3 import (
    DNS_RULE,
    find_direction_problems,
    find_pre_dnat_problems,
    find_rule_problems,
    find_selector_problems,
    find_type_problems,
)

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_POLICY_NAME = re.compile(r"(?:{0}\.)?{0}".format(_LABEL))
_TIER_NAME = re.compile(_LABEL)
_TIER_NAME_MAX = 63
_DEFAULT_TIER = "default"
_DEFAULT_ORDER, _DEFAULT_ACTION = 1000000.0, "Deny"
# Calico's own tiers: (order, default action).
OWN_TIERS: Dict[str, Tuple[float, str]] = {
    _DEFAULT_TIER: (_DEFAULT_ORDER, _DEFAULT_ACTION),
    "kube-admin": (1000.0, "Pass"),
    "kube-baseline": (10000000.0, "Pass"),
}
_OWN_PROFILE = "projectcalico-default-allow"
_NAMESPACE_LABEL = "projectcalico.org/namespace"
_EGRESS = "Egress"
_TYPES = ("Ingress", _EGRESS)
_STAGED_ACTIONS = ("Set", "Delete", "Learn", "Ignore")
_HINT = "AssumeNeededOnEveryNode"
# Names of tiers in a message.
_SHOWN = 5

_POLICY_NAME_RULE = (
    "is not a policy name: 1 to 253 of a-z 0-9 -, with a letter or digit at both ends, "
    "and before it maybe another such name and a dot"
)
_TIER_NAME_RULE = "is not a tier name: 1 to 63 of a-z 0-9 -, with a letter or digit at both ends"
_SET_NET_RULE = "is not a network: an address such as 10.0.0.1, or one with a prefix length, such as 10.0.0.0/8"


def find_spec_problems(
    kind: str,
    name: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    spec: Mapping[str, Any],
) -> List[Problem]:
    """Why Calico rejects a resource; its spec is as Go reads it."""
    find = _KINDS[kind]
    problems = [*find_name_problems(kind, name), *_metadata(kind, labels, annotations)]
    problems.extend(find(name, spec))
    if kind in _POLICIES:
        problems.extend(find_tier_problems(spec))
    return problems


def find_name_problems(kind: str, name: str) -> List[Problem]:
    """Why Calico rejects the name of a resource."""
    if not name:
        return [("metadata.name", name, "is missing: a resource is identified by its name")]
    reason = _name(kind, name)
    return [("metadata.name", name, reason)] if reason else []


def _metadata(kind: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Iterator[Problem]:
    problems = RULES.annotations(annotations) if annotations else []
    for option, value, reason in (*RULES.labels(tuple(labels.items())), *problems):
        yield "metadata." + option, value, reason
    if kind == "GlobalNetworkSet" and _NAMESPACE_LABEL in labels:
        yield "metadata.labels", _NAMESPACE_LABEL, "is Calico's own label, which it rejects on a global network set"


def _name(kind: str, name: str) -> str:
    """Why a name is invalid, else "". `.` and `..` are invalid for every kind."""
    if kind in _POLICIES:
        return "" if len(name) <= DNS_NAME_MAX and _POLICY_NAME.fullmatch(name) else _POLICY_NAME_RULE
    if kind == "Tier":
        return "" if len(name) <= _TIER_NAME_MAX and _TIER_NAME.fullmatch(name) else _TIER_NAME_RULE
    if len(name) > DNS_NAME_MAX or not DNS_NAME.fullmatch(name):
        return "is not a {0} name: {1}".format(format_kind(kind), DNS_RULE)
    if kind == "Profile" and name == _OWN_PROFILE:
        return "is Calico's own profile, which it never changes: use another name"
    return ""


def _policy(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _flags(spec)
    if spec.get("types"):
        yield from find_type_problems(spec["types"], _TYPES)
    for key in ("selector", "namespaceSelector", "serviceAccountSelector"):
        if spec.get(key):
            yield from find_selector_problems(spec[key], "spec." + key)
    for key in ("ingress", "egress"):
        for index, rule in enumerate(spec.get(key) or ()):
            where = "spec.{0}[{1}]".format(key, index)
            yield from find_rule_problems(rule, where)
            yield from find_direction_problems(rule, where, is_ingress=key == "ingress")
    hints = spec.get("performanceHints") or []
    for index, hint in enumerate(hints):
        if hint != _HINT:
            yield "spec.performanceHints[{0}]".format(index), hint, "is not a hint: Calico has only {0}".format(_HINT)
    yield from find_duplicates(hints, "spec.performanceHints")


def _flags(spec: Mapping[str, Any]) -> Iterator[Problem]:
    for flag in ("doNotTrack", "preDNAT"):
        if spec.get(flag) and not spec.get("applyOnForward"):
            reason = "is not allowed to be false with {0}: set it to true".format(flag)
            yield "spec.applyOnForward", False, reason
    yield from find_pre_dnat_problems(spec, _EGRESS)


def find_tier_problems(spec: Mapping[str, Any], tiers: Optional[Collection[str]] = None) -> Iterator[Problem]:
    """Why a policy cannot be in its tier, which must be one of `tiers`, if they are known."""
    tier = spec.get("tier") or _DEFAULT_TIER
    if len(tier) > _TIER_NAME_MAX or not _TIER_NAME.fullmatch(tier):
        # Stricter than replace and patch of calicoctl, which store the name of any tier.
        yield "spec.tier", tier, _TIER_NAME_RULE
    elif tiers is not None and tier != _DEFAULT_TIER and tier not in tiers:
        # calicoctl requires the tier at create and apply; replace and patch store such a policy. Stricter than these:
        # Felix evaluates a policy of an unknown tier after all others, which is not what the author expects.
        reason = "is not an existing tier: create it first, or use one of {0}"
        yield "spec.tier", tier, reason.format(join_first(sorted({_DEFAULT_TIER, *tiers}), _SHOWN))


def _staged_policy(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    action = spec.get("stagedAction") or "Set"
    if action not in _STAGED_ACTIONS:
        yield "spec.stagedAction", action, "is not a staged action: {0}".format(", ".join(_STAGED_ACTIONS))
    if action == "Delete":
        for key in sorted(spec):
            # Calico removes the types before it checks. An order of 0 is an order.
            is_given = spec[key] is not None if key == "order" else bool(spec[key])
            if is_given and key not in ("stagedAction", "tier", "types"):
                yield "spec." + key, spec[key], "is not allowed with stagedAction Delete: remove it"
        return
    yield from _policy(name, spec)


def _network_set(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    for index, text in enumerate(spec.get("nets") or ()):
        # Stricter than Calico, which stores "" and null as "": Felix ignores such a network.
        try:
            parse_net(text)
        except ValueError:
            yield "spec.nets[{0}]".format(index), text, _SET_NET_RULE


def _profile(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    for option, value, reason in RULES.labels(tuple((spec.get("labelsToApply") or {}).items())):
        yield "spec.labelsToApply" + option[len("labels") :], value, reason
    for key in ("ingress", "egress"):
        for index, rule in enumerate(spec.get(key) or ()):
            yield from find_rule_problems(rule, "spec.{0}[{1}]".format(key, index))


def _tier(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    order, action = spec.get("order"), spec.get("defaultAction")
    # What Calico stores for an absent field.
    order = _DEFAULT_ORDER if order is None else order
    action = _DEFAULT_ACTION if action is None else action
    if action not in ("Pass", "Deny"):
        yield "spec.defaultAction", action, "is not the default action of a tier: Pass or Deny"
    if name not in OWN_TIERS:
        return
    expected_order, expected_action = OWN_TIERS[name]
    if order != expected_order:
        reason = "is not the order of Calico's own tier {0}: use {1:.0f}".format(name, expected_order)
        yield "spec.order", order, reason
    if action != expected_action:
        reason = "is not the default action of Calico's own tier {0}: use {1}".format(name, expected_action)
        yield "spec.defaultAction", action, reason


_POLICIES = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")
_KINDS: Dict[str, Callable[[str, Mapping[str, Any]], Iterator[Problem]]] = {
    "GlobalNetworkPolicy": _policy,
    "StagedGlobalNetworkPolicy": _staged_policy,
    "GlobalNetworkSet": _network_set,
    "Profile": _profile,
    "Tier": _tier,
    "FelixConfiguration": find_felix_problems,
    "Node": find_node_problems,
}
