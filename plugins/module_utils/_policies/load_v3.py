# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, tiers, profiles and network sets of Calico v3's data model, as its Felix reads them.

projectcalico/calico v3.32: api/pkg/apis/projectcalico/v3, and how libcalico-go/lib/backend/syncersv1/updateprocessors
converts them for Felix. Felix treats a whole object as missing if it cannot read it or finds it invalid (measured with
v3.32.1). Staged policies never count.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple

from .._core import go_json
from .._core.errors import shown
from .._core.ip import parse_net
from .._datastore._values.calico_version import TIERS_SINCE
from .._datastore.snapshot import PolicySnapshot
from .._resources._specs.spec_resource import DEFAULT_PREFIX
from .._resources.selector import GRAMMAR_V3, Selector, SelectorError, parse
from ._felix.config_v3 import calico_version
from .load_common import build_kind, doubtful, read_directions, read_protocol, shared
from .model import ANY_KIND, DENY, EGRESS, INGRESS, PASS, Policy, PolicySet, Profile, Rule, Rules, Selectable, Tier
from .objects_v3 import GLOBAL_POLICY, NETWORK_SET, POLICY, PROFILE, TIER, WORKLOAD, read
from .profile_v3 import read_profile_labels
from .rules_v3 import (
    NAMESPACE,
    OF_ACCOUNTS,
    OF_NAMESPACES,
    SERVICE_ACCOUNT,
    build_rules,
    fatal_name,
    parse_nets,
    prefixed,
)

_DEFAULT = "default"
_HINTS = frozenset(["AssumeNeededOnEveryNode"])

Version = Optional[Tuple[int, int, int]]
# Since then, policies of the same order are evaluated in the order of "name/namespace/kind" (calc/policy_sorter.go).
_NAME_AND_KIND_SINCE = (3, 32, 0)
# Calico's built-in profile, which is not stored.
_DEFAULT_ALLOW = "projectcalico-default-allow"
_DEFAULT_ALLOW_SINCE = (3, 14, 0)


def load_policies_v3(snapshot: PolicySnapshot) -> PolicySet:
    """The stored policies as Felix reads them, without those that it treats as missing.

    An unknown version of Calico counts as the newest, for which policies are then written, too.
    """
    version = calico_version(snapshot)
    stored = [("", name, value) for name, value in snapshot.policies if "/" not in name]
    policies: List[Policy] = []
    ignored: Dict[str, str] = {}
    for namespace, name, value in [*stored, *(snapshot.network_policies or ())]:
        policy = _policy(namespace, name, value, version)
        if policy.ignored:
            ignored[policy.name] = "Felix ignores it: " + policy.ignored
        else:
            policies.append(policy)
    tiers = _tiers(snapshot, policies, version)
    members, doubt, fatal = _network_sets(snapshot)
    workloads, doubt_of_workloads = _workloads(snapshot)
    return PolicySet(
        tiers=tiers,
        policies={tier.name: _sorted([each for each in policies if each.tier == tier.name], version) for tier in tiers},
        profiles=_profiles(snapshot, version),
        members=[*members, *(member for found in workloads.values() for _name, member in found)],
        workloads=workloads,
        ignored=ignored,
        fatal=fatal,
        members_doubt=doubt or doubt_of_workloads,
    )


def _is_unclear(exc: Exception) -> bool:
    """Whether Calico may accept it although this collection does not."""
    return isinstance(exc, go_json.Ambiguous) or isinstance(exc, SelectorError) and exc.is_limit


# --- Tiers and policies ---


def _tiers(snapshot: PolicySnapshot, policies: List[Policy], version: Version) -> List[Tier]:
    """The tiers in the order of evaluation: by order, those without an order last, then by name."""
    found: Dict[str, Tier] = {}
    for name, value in snapshot.tiers.items():
        try:
            spec = read(TIER, value)["spec"]
        except ValueError:
            continue
        found[name] = Tier(name, spec.get("order"), PASS if spec.get("defaultAction") == "Pass" else DENY)
    has_tiers = version is None or version >= TIERS_SINCE
    stored = set(found)
    for policy in policies:
        # Felix evaluates the policies of a missing tier last.
        found.setdefault(policy.tier, Tier(policy.tier, None, DENY))
    found.setdefault(_DEFAULT, Tier(_DEFAULT, None, DENY))
    stored = stored if has_tiers else set(found)
    return sorted(
        found.values(), key=lambda tier: (tier.name not in stored, tier.order is None, tier.order or 0.0, tier.name)
    )


def _sorted(policies: List[Policy], version: Version) -> List[Policy]:
    def name(policy: Policy) -> bytes:
        if version is None or version >= _NAME_AND_KIND_SINCE:
            stored = policy.key
        else:
            prefix = policy.tier + "."
            has_tier = policy.tier == _DEFAULT or policy.name.startswith(prefix)
            stored = policy.name if has_tier else prefix + policy.name
        return stored.encode("utf-8", "surrogatepass")

    return sorted(policies, key=lambda policy: (policy.order is None, policy.order or 0.0, name(policy)))


@shared
def _policy(namespace: str, name: str, value: str, version: Version) -> Policy:
    """A GlobalNetworkPolicy, or a NetworkPolicy, which selects endpoints with the label of its namespace."""
    tier, order, shown_name, kind = _DEFAULT, float("-inf"), name, ANY_KIND
    key = "{0}/{1}/{2}".format(name, namespace, "NetworkPolicy" if namespace else "GlobalNetworkPolicy")
    try:
        found = read(POLICY if namespace else GLOBAL_POLICY, value)
        spec = found["spec"]
        tier = spec.get("tier") or _DEFAULT
        order = spec.get("order")
        shown_name = (namespace + "/" if namespace else "") + _name(name, tier, found["metadata"])
        # The object, not its key, decides on the selected namespace.
        namespace = namespace and found["metadata"].get("namespace", "")
        kind = build_kind(bool(spec.get("doNotTrack")), bool(spec.get("preDNAT")))
        if tier != _DEFAULT and version is not None and version < TIERS_SINCE:
            raise go_json.Ambiguous("it is in tier {0}, but Calico has tiers only since v3.29".format(tier))
        _check_hints(spec.get("performanceHints", []))
        return Policy(
            name=shown_name,
            selector=_policy_selector(spec, namespace),
            rules=build_rules(spec, namespace),
            governs=_governs(spec, kind),
            kind=kind,
            on_forward=bool(spec.get("applyOnForward")),
            order=order,
            tier=tier,
            key=key,
            fatal=fatal_name(name),
        )
    except (ValueError, SelectorError) as exc:
        found_policy = doubtful(shown_name, str(exc), kind, order, tier, key)
        return found_policy if _is_unclear(exc) else dataclasses.replace(found_policy, ignored=str(exc))


def _name(name: str, tier: str, metadata: Mapping[str, Any]) -> str:
    """The name that Calico shows: before v3.32, that in the key of a policy in tier default has a prefix."""
    original = _original_name(metadata)
    is_prefixed = tier == _DEFAULT and name.startswith(DEFAULT_PREFIX)
    return original or (name[len(DEFAULT_PREFIX) :] if is_prefixed else name)


def _original_name(metadata: Mapping[str, Any]) -> str:
    """The name in the annotation, which is for display only; "" without the annotation."""
    try:
        return go_json.text(go_json.struct(go_json.load(metadata["annotations"]["projectcalico.org/metadata"])), "name")
    except (KeyError, ValueError):
        return ""


def _check_hints(hints: List[str]) -> None:
    if len(set(hints)) < len(hints) or not _HINTS.issuperset(hints):
        raise ValueError("performanceHints has an unknown or repeated value")


def _governs(spec: Mapping[str, Any], kind: str) -> FrozenSet[str]:
    return read_directions([each.lower() for each in spec.get("types", ())], kind)


def _policy_selector(spec: Mapping[str, Any], namespace: str) -> Selector:
    """The selector of a policy, including namespaces and service accounts.

    updateprocessors/globalnetworkpolicyprocessor.go and networkpolicyprocessor.go: Felix ignores an invalid selector of
    namespaces or accounts, and in a GlobalNetworkPolicy replaces all() in the whole expression.
    """
    text = spec.get("selector", "")
    if namespace:
        of_namespace = "{0} == '{1}'".format(NAMESPACE, namespace)
        text = "({0}) && {1}".format(text, of_namespace) if text else of_namespace
    for key, prefix, label in _PREFIXED:
        if not spec.get(key):
            continue
        try:
            more = prefixed(spec[key], prefix)
        except SelectorError as exc:
            if exc.is_limit:
                raise
        else:
            text = "({0}) && {1}".format(text, more) if text else more
        text = text if namespace else text.replace("all()", "has({0})".format(label))
    return parse(text, GRAMMAR_V3)


_PREFIXED = (
    ("namespaceSelector", OF_NAMESPACES, NAMESPACE),
    ("serviceAccountSelector", OF_ACCOUNTS, SERVICE_ACCOUNT),
)


# --- Profiles ---


def _profiles(snapshot: PolicySnapshot, version: Version) -> Dict[str, Profile]:
    found = {name: profile for name, parts in snapshot.profiles.items() for profile in [_profile(parts[""])] if profile}
    if version is None or version >= _DEFAULT_ALLOW_SINCE:
        found[_DEFAULT_ALLOW] = _build_default_allow(bool(version))
    return found


@shared
def _build_default_allow(is_certain: bool) -> Profile:
    everything: Rules = {INGRESS: (Rule(),), EGRESS: (Rule(),)}
    doubt = "" if is_certain else "Calico has it built in since v3.14, and the version of Calico is unknown"
    return Profile(everything, {}, doubt)


@shared
def _profile(value: str) -> Optional[Profile]:
    """None for a profile that Felix cannot read."""
    try:
        found = read(PROFILE, value)
    except go_json.Ambiguous as exc:
        return Profile(None, {}, str(exc))
    except ValueError:
        return None
    labels = read_profile_labels(found)
    try:
        return Profile(build_rules(found["spec"]), labels)
    except (ValueError, SelectorError) as exc:
        return Profile(None, labels, str(exc) if _is_unclear(exc) else "")


# --- What selectors in rules select, except host endpoints ---


def _workloads(snapshot: PolicySnapshot) -> Tuple[Dict[str, List[Tuple[str, Selectable]]], str]:
    """The workloads of each node with their interfaces' names, and why some are missing."""
    found: Dict[str, List[Tuple[str, Selectable]]] = {}
    doubt = ""
    for _node, value in snapshot.workloads:
        try:
            spec, member = _workload(value)
        except ValueError as exc:
            doubt = "a workload cannot be read: {0}".format(exc)
            continue
        if member:
            found.setdefault(spec.get("node", ""), []).append((spec.get("interfaceName", ""), member))
    return found, doubt


def _network_sets(snapshot: PolicySnapshot) -> Tuple[List[Selectable], str, str]:
    """The network sets that Felix can read: of two with the same name, the one with the smaller key.

    Also returns why a set is unknown, and why Felix probably fails.
    """
    found: Dict[Tuple[str, str], Selectable] = {}
    doubt = fatal = ""
    for namespace, key, value in sorted(snapshot.network_sets):
        try:
            name, network_set, problem = _network_set(namespace, value)
        except go_json.Ambiguous as exc:
            doubt = "a network set cannot be read: {0}".format(exc)
            continue
        except ValueError:
            continue
        if problem:
            fatal = "Felix probably fails on the network set {0}, which has {1}".format(key, problem)
        # Felix ignores a set without a name.
        if name:
            found.setdefault((namespace, key if namespace else name), network_set)
    return list(found.values()), doubt, fatal


def _why_fatal_net(texts: Iterable[str]) -> str:
    """Why Felix probably fails on one of these networks (ip/ip_addr.go, CIDRFromIPNet); "" if it does not.

    It reads an empty string as a network without an address, and keeps the length of an IPv4-mapped network.
    """
    for text in texts:
        if not text:
            return "an empty network"
        if "/" in text and ":" in text and any(version == 4 for version, _first, _last in parse_nets([text])):
            return "the IPv4-mapped network {0}".format(shown(text))
    return ""


@shared
def _network_set(namespace: str, value: str) -> Tuple[str, Selectable, str]:
    """The name, "" if it is missing, the set, and why Felix probably fails. Raises ValueError, or Ambiguous."""
    fields = read(NETWORK_SET, value)
    metadata, texts = fields["metadata"], fields["spec"].get("nets", ())
    name, labels, nets = metadata.get("name", ""), metadata.get("labels", {}), tuple(parse_nets(texts))
    if not namespace:
        return name, Selectable(labels, (), (), nets), _why_fatal_net(texts)
    # From the object, not from its key.
    namespace = metadata.get("namespace", "")
    found = Selectable(dict(labels, **{NAMESPACE: namespace}), ("kns." + namespace,), (), nets)
    return name, found, _why_fatal_net(texts)


@shared
def _workload(value: str) -> Tuple[Mapping[str, Any], Optional[Selectable]]:
    """The spec and the workload, None without an address, since Felix ignores it. Raises ValueError (not measured)."""
    fields = read(WORKLOAD, value)
    spec = fields["spec"]
    labels = fields["metadata"].get("labels", {})
    labels = {key: text for key, text in labels.items() if not key.startswith((OF_NAMESPACES, OF_ACCOUNTS))}
    if spec.get("serviceAccountName"):
        labels[SERVICE_ACCOUNT] = spec["serviceAccountName"]
    nets = [parse_net(text) for text in spec.get("ipNetworks", ())]
    named = [
        (each.get("name", ""), read_protocol(each.get("protocol", "0").lower(), "protocol"), int(each["port"].digits))
        for each in spec.get("ports", ())
        if "port" in each
    ]
    addresses = tuple([(version, first) for version, first, last in nets if first == last])
    if not nets:
        return spec, None
    return spec, Selectable(labels, tuple(spec.get("profiles", ())), addresses, tuple(nets), tuple(named))
