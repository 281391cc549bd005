# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, tiers, profiles and network sets of Calico v3's data model, as its Felix reads them.

projectcalico/calico v3.32: api/pkg/apis/projectcalico/v3, and what libcalico-go/lib/backend/syncersv1/updateprocessors
make of it for Felix. What Felix cannot read, or takes for invalid, it takes for missing, the whole object (measured
with v3.32.1). Staged policies never count.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple

from .._core import go_json
from .._core.errors import shown
from .._core.ip import parse_net
from .._datastore.snapshot import PolicySnapshot
from .._resources.selector import GRAMMAR_V3, Selector, SelectorError, parse
from ._felix.config_v3 import calico_version
from .load_common import build_kind, doubtful, read_directions, read_protocol
from .model import ANY_KIND, DENY, EGRESS, INGRESS, PASS, Policy, PolicySet, Profile, Rule, Rules, Selectable, Tier
from .objects_v3 import GLOBAL_POLICY, NETWORK_SET, POLICY, PROFILE, TIER, WORKLOAD, read
from .profile_v3 import labels_of_profile
from .rules_v3 import (
    NAMESPACE,
    OF_ACCOUNTS,
    OF_NAMESPACES,
    SERVICE_ACCOUNT,
    fatal_name,
    parse_nets,
    prefixed,
    rules_of_spec,
)

_DEFAULT = "default"
_HINTS = frozenset(["AssumeNeededOnEveryNode"])

Version = Optional[Tuple[int, int, int]]
# Before, there are no tiers, and the field is not known.
_TIERS_SINCE = (3, 29, 0)
# Since then, policies of the same order are asked in the order of "name/namespace/kind" (calc/policy_sorter.go).
_NAME_AND_KIND_SINCE = (3, 32, 0)
# The profile that Calico has, and nobody stores.
_DEFAULT_ALLOW = "projectcalico-default-allow"
_DEFAULT_ALLOW_SINCE = (3, 14, 0)


def load_policies_v3(snapshot: PolicySnapshot) -> PolicySet:
    """All that is stored of policies, as Felix sees it: what it takes for missing is left out."""
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
    """Whether Calico may make something of it that this collection does not."""
    return isinstance(exc, go_json.Ambiguous) or isinstance(exc, SelectorError) and exc.is_limit


# --- Tiers and policies ---


def _tiers(snapshot: PolicySnapshot, policies: List[Policy], version: Version) -> List[Tier]:
    """In the order in which they are asked: by order, those without one last, then by name."""
    found: Dict[str, Tier] = {}
    for name, value in snapshot.tiers.items():
        try:
            spec = read(TIER, value)["spec"]
        except ValueError:
            continue
        found[name] = Tier(name, spec.get("order"), PASS if spec.get("defaultAction") == "Pass" else DENY)
    has_tiers = version is not None and version >= _TIERS_SINCE
    stored = set(found)
    for policy in policies:
        # Felix asks the policies of a tier that is missing last.
        found.setdefault(policy.tier, Tier(policy.tier, None, DENY))
    found.setdefault(_DEFAULT, Tier(_DEFAULT, None, DENY))
    stored = stored if has_tiers else set(found)
    return sorted(
        found.values(), key=lambda tier: (tier.name not in stored, tier.order is None, tier.order or 0.0, tier.name)
    )


def _sorted(policies: List[Policy], version: Version) -> List[Policy]:
    def name(policy: Policy) -> bytes:
        if version and version >= _NAME_AND_KIND_SINCE:
            stored = policy.key
        else:
            stored = policy.name[len(policy.tier) + 1 :] if policy.tier == _DEFAULT else policy.name
        return stored.encode("utf-8", "surrogatepass")

    return sorted(policies, key=lambda policy: (policy.order is None, policy.order or 0.0, name(policy)))


def _policy(namespace: str, name: str, value: str, version: Version) -> Policy:
    """A GlobalNetworkPolicy, or a NetworkPolicy, which selects what has the label of its namespace."""
    tier, order, shown_name, kind = _DEFAULT, float("-inf"), name, ANY_KIND
    key = "{0}/{1}/{2}".format(name, namespace, "NetworkPolicy" if namespace else "GlobalNetworkPolicy")
    try:
        found = read(POLICY if namespace else GLOBAL_POLICY, value)
        spec = found["spec"]
        tier = spec.get("tier") or _DEFAULT
        order = spec.get("order")
        shown_name = (namespace + "/" if namespace else "") + _name(name, tier, found["metadata"])
        # What it selects goes by the object, not by its key.
        namespace = namespace and found["metadata"].get("namespace", "")
        kind = build_kind(bool(spec.get("doNotTrack")), bool(spec.get("preDNAT")))
        if tier != _DEFAULT and (version is None or version < _TIERS_SINCE):
            raise go_json.Ambiguous("it is in tier {0}, and there are tiers since Calico v3.29".format(tier))
        _check_hints(spec.get("performanceHints", []))
        return Policy(
            name=shown_name,
            selector=_policy_selector(spec, namespace),
            rules=rules_of_spec(spec, namespace),
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
    """The tier and the name, whatever of it is in the key (libcalico-go, model/keys.go, determinePolicyName)."""
    original = _original_name(metadata)
    if original:
        name = original
    elif tier == _DEFAULT and name.startswith(_DEFAULT + "."):
        name = name[len(_DEFAULT) + 1 :]
    return name if tier != _DEFAULT and name.startswith(tier + ".") else "{0}.{1}".format(tier, name)


def _original_name(metadata: Mapping[str, Any]) -> str:
    """As the annotation has it, which is for people only; "" where there is none."""
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
    """The endpoints that a policy selects, those of namespaces and service accounts among them.

    updateprocessors/globalnetworkpolicyprocessor.go and networkpolicyprocessor.go: Felix passes over a selector of
    namespaces or accounts that is none, and in a GlobalNetworkPolicy replaces all() in the whole expression.
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
        everything: Rules = {INGRESS: (Rule(),), EGRESS: (Rule(),)}
        doubt = "" if version else "Calico has it built in since v3.14, and the version of Calico is unknown"
        found[_DEFAULT_ALLOW] = Profile(everything, {}, doubt)
    return found


def _profile(value: str) -> Optional[Profile]:
    """None for one that Felix cannot read."""
    try:
        found = read(PROFILE, value)
    except go_json.Ambiguous as exc:
        return Profile(None, {}, str(exc))
    except ValueError:
        return None
    labels = labels_of_profile(found)
    try:
        return Profile(rules_of_spec(found["spec"]), labels)
    except (ValueError, SelectorError) as exc:
        return Profile(None, labels, str(exc) if _is_unclear(exc) else "")


# --- What selectors in rules select, but host endpoints ---


def _workloads(snapshot: PolicySnapshot) -> Tuple[Dict[str, List[Tuple[str, Selectable]]], str]:
    """Those of each node: the interface's name, and what a selector can select; and why some are not among them."""
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
    """Those that Felix can read: of two of one name, that with the smaller key.

    With them, why nothing is known of another one, and why Felix probably fails.
    """
    found: Dict[Tuple[str, str], Selectable] = {}
    doubt = fatal = ""
    for namespace, key, value in sorted(snapshot.network_sets):
        try:
            fields = read(NETWORK_SET, value)
        except go_json.Ambiguous as exc:
            doubt = "a network set cannot be read: {0}".format(exc)
            continue
        except ValueError:
            continue
        problem = _why_fatal_net(fields["spec"].get("nets", ()))
        if problem:
            fatal = "Felix probably fails on the network set {0}, which has {1}".format(key, problem)
        # A set without a name is none.
        name = fields["metadata"].get("name")
        if name:
            found.setdefault((namespace, key if namespace else name), _network_set(namespace, fields))
    return list(found.values()), doubt, fatal


def _why_fatal_net(texts: Iterable[str]) -> str:
    """Why Felix probably fails on one of these networks (ip/ip_addr.go, CIDRFromIPNet); "" when it does not.

    It reads an empty text as a network without an address, and keeps the length of an IPv4-mapped one.
    """
    for text in texts:
        if not text:
            return "an empty network"
        if "/" in text and ":" in text and any(version == 4 for version, _first, _last in parse_nets([text])):
            return "the IPv4-mapped network {0}".format(shown(text))
    return ""


def _network_set(namespace: str, fields: Mapping[str, Any]) -> Selectable:
    labels, nets = fields["metadata"].get("labels", {}), tuple(parse_nets(fields["spec"].get("nets", ())))
    if not namespace:
        return Selectable(labels, (), (), nets)
    # As the object has it, not its key.
    namespace = fields["metadata"].get("namespace", "")
    return Selectable(dict(labels, **{NAMESPACE: namespace}), ("kns." + namespace,), (), nets)


def _workload(value: str) -> Tuple[Mapping[str, Any], Optional[Selectable]]:
    """Its spec, and None for one without an address, which Felix passes over. Raises ValueError: none was measured."""
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
