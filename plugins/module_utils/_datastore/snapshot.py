# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stored values that determine traffic, by kind, as their keys show. _policies interprets the values."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
from typing import Any, Callable, Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, cast

from .._core import go_json
from .._core.errors import DatastoreError
from .._plan.stored import Stored
from .codec_v1 import unescape_name


@dataclasses.dataclass
class PolicySnapshot:
    """The stored values. Names are those of the keys, unescaped; a namespaced object of v3 has (namespace, name)."""

    # Of every node that was read, including malformed ones.
    endpoints: List[Stored] = dataclasses.field(default_factory=list)
    # v1: by the policy's name; a policy stored under two tiers appears twice. v3: GlobalNetworkPolicies.
    policies: List[Tuple[str, str]] = dataclasses.field(default_factory=list)
    # v1: by name, then by "rules", "labels" and "tags"; v3: by name, then by "".
    profiles: Dict[str, Dict[str, str]] = dataclasses.field(default_factory=dict)
    # v3 only.
    tiers: Dict[str, str] = dataclasses.field(default_factory=dict)
    # v3 only: namespace ("" for a GlobalNetworkSet), name, text.
    network_sets: List[Tuple[str, str, str]] = dataclasses.field(default_factory=list)
    # Workload endpoints: node ("" where the key does not contain it), text.
    workloads: List[Tuple[str, str]] = dataclasses.field(default_factory=list)
    # v1: by node ("" for all nodes) and the setting's name; v3: by the FelixConfiguration's name and "".
    config: Dict[Tuple[str, str], str] = dataclasses.field(default_factory=dict)
    # v3 only: namespace, name, text. None when they were not read.
    network_policies: Optional[List[Tuple[str, str, str]]] = None
    # v3 only: Node objects by name. None when they were not read.
    nodes: Optional[Dict[str, str]] = None
    # v3 only: None when they were not read.
    ip_pools: Optional[List[str]] = None
    # v1: the flag Ready; v3: the ClusterInformation. None when it does not exist.
    state: Optional[str] = None
    # v3: the version of Calico that the user states, which overrides that of the ClusterInformation; "" for none.
    given_version: str = ""
    # All values by their keys, except those of endpoints.
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Builds the snapshot of other values, with the same endpoints.
    rebuild: Optional[Callable[[Mapping[str, str]], PolicySnapshot]] = None

    def with_changes(self, changed: PlannedValues) -> PolicySnapshot:
        """The snapshot after these values have changed."""
        values = {**self.values, **changed}
        return self._rebuilt({key: value for key, value in values.items() if value is not None}) if changed else self

    def beside(self, planned: PlannedValues) -> PolicySnapshot:
        """The snapshot of stored and planned values, to determine what else matters before or after a change."""
        return self._rebuilt(add_planned(self.values, planned)) if planned else self

    def _rebuilt(self, values: Mapping[str, str]) -> PolicySnapshot:
        return cast("Callable[[Mapping[str, str]], PolicySnapshot]", self.rebuild)(values)


# Values that changes store, by their keys; None for a value that they delete.
PlannedValues = Mapping[str, Optional[str]]
NONE_PLANNED: PlannedValues = types.MappingProxyType({})


def add_planned(values: Mapping[str, str], planned: PlannedValues) -> Dict[str, str]:
    """The stored values, and the planned values under keys of their own."""
    return {**values, **{key + ".planned": value for key, value in planned.items() if value is not None}}


_POLICY = re.compile("/calico/v1/policy/tier/[^/]+/policy/([^/]+)")
_PROFILE = re.compile("/calico/v1/policy/profile/([^/]+)/(tags|rules|labels)")
_CONFIG = re.compile("/calico/v1/(?:host/([^/]+)/)?config/(.+)")
_WORKLOAD = re.compile("/calico/v1/host/([^/]+)/workload/[^/]+/[^/]+/endpoint/[^/]+")
_READY = "/calico/v1/Ready"

# What a rule that selects other endpoints contains, in any case; or an escape, which may be one of these letters.
_LOOKS_AT_OTHERS = re.compile(r'_(?:selector|tag)"|\\u', re.IGNORECASE)


def snapshot_v1(values: Mapping[str, str], endpoints: Iterable[Stored]) -> PolicySnapshot:
    """The snapshot of the values under Calico v1's keys, except those of endpoints.

    libcalico-go release-v2.6, lib/backend/model: keys.go, policy.go (the tier in the key does not count), profile.go.
    """
    # Calico v1 has no NetworkPolicies.
    endpoints = list(endpoints)
    found = PolicySnapshot(
        endpoints=endpoints,
        state=values.get(_READY),
        network_policies=[],
        values=values,
        rebuild=functools.partial(snapshot_v1, endpoints=endpoints),
    )
    for key, value in values.items():
        policy, profile = _POLICY.fullmatch(key), _PROFILE.fullmatch(key)
        workload, config = _WORKLOAD.fullmatch(key), _CONFIG.fullmatch(key)
        if policy:
            found.policies.append((unescape_name(policy.group(1)), value))
        elif profile:
            found.profiles.setdefault(unescape_name(profile.group(1)), {})[profile.group(2)] = value
        elif workload:
            found.workloads.append((workload.group(1), value))
        elif config:
            found.config[config.group(1) or "", config.group(2)] = value
    return found


def looks_at_others_v1(values: Mapping[str, str]) -> bool:
    """Whether a rule among these values may select endpoints of other nodes."""
    return any(_LOOKS_AT_OTHERS.search(value) for value in values.values())


V3_ROOT = "/calico/resources/v3/projectcalico.org/"
_V3_KEY = re.compile(V3_ROOT + "([a-z]+)/([^/]+)(?:/([^/]+))?")
_NAMESPACED = ("networkpolicies", "networksets", "workloadendpoints")


def snapshot_v3(
    values: Mapping[str, str], endpoints: Iterable[Stored], unread: Collection[str] = (), given_version: str = ""
) -> PolicySnapshot:
    """The snapshot of the values under Calico v3's keys, except those of endpoints.

    Calico does not read keys on other levels. A kind without values counts as not stored, unless it is `unread`
    (networkpolicies, nodes, ippools).
    """
    kinds: Dict[str, List[Tuple[str, str, str]]] = {}
    for key, value in sorted(values.items()):
        match = _V3_KEY.fullmatch(key)
        if match and (match.group(3) is not None) == (match.group(1) in _NAMESPACED):
            namespace, name = ("", match.group(2)) if match.group(3) is None else match.group(2, 3)
            kinds.setdefault(match.group(1), []).append((namespace, name, value))

    def named(plural: str) -> List[Tuple[str, str]]:
        return [(name, value) for _namespace, name, value in kinds.get(plural, ())]

    endpoints = list(endpoints)
    return PolicySnapshot(
        endpoints=endpoints,
        policies=named("globalnetworkpolicies"),
        profiles={name: {"": value} for name, value in named("profiles")},
        tiers=dict(named("tiers")),
        network_sets=[*kinds.get("globalnetworksets", ()), *kinds.get("networksets", ())],
        workloads=[("", value) for _name, value in named("workloadendpoints")],
        config={(name, ""): value for name, value in named("felixconfigurations")},
        network_policies=None if "networkpolicies" in unread else kinds.get("networkpolicies", []),
        nodes=None if "nodes" in unread else dict(named("nodes")),
        ip_pools=None if "ippools" in unread else [value for _name, value in named("ippools")],
        state=dict(named("clusterinformations")).get("default"),
        given_version=given_version,
        values=values,
        rebuild=functools.partial(snapshot_v3, endpoints=endpoints, unread=unread, given_version=given_version),
    )


def add_optional_v3(
    values: Dict[str, str],
    endpoints: Sequence[Stored],
    read: Callable[[str], Mapping[str, str]],
    unread: Collection[str] = (),
    planned: PlannedValues = NONE_PLANNED,
) -> Set[str]:
    """Add the values of kinds that few users can read and that rarely matter, as far as they are needed.

    read: the values of a kind by its plural name. Returns `unread`, which are not tried, and the others that were not
    read.
    """
    left = set(unread)
    for plural, is_needed in _OPTIONAL.items():
        if plural in left:
            continue
        try:
            found = read(plural) if is_needed(snapshot_v3(values, endpoints).beside(planned)) else None
        except DatastoreError:
            found = None
        if found is None:
            left.add(plural)
        else:
            values.update(found)
    return left


def may_be_in_namespaces(snapshot: PolicySnapshot) -> bool:
    """Whether an endpoint may have, or inherit from a profile, the label by which NetworkPolicies select it."""
    texts = [each.value for each in snapshot.endpoints]
    texts += [value for parts in snapshot.profiles.values() for value in parts.values()]
    return any(_NAMESPACE_LABEL in text or "\\u" in text for text in texts)


def needs_nodes(snapshot: PolicySnapshot) -> bool:
    """Whether the Node objects matter: by their labels, or as ends of tunnels."""
    texts = snapshot.config.values()
    return has_node_selectors(snapshot) or bool(snapshot.ip_pools) or any(map(_TUNNEL.search, texts))


def has_node_selectors(snapshot: PolicySnapshot) -> bool:
    """Whether a FelixConfiguration may apply to nodes with certain labels only."""
    return any(_NODE_SELECTOR.search(value) for value in snapshot.config.values())


# {plural name: whether a snapshot requires the kind}
_OPTIONAL: Mapping[str, Callable[[PolicySnapshot], bool]] = {
    "ippools": lambda _snapshot: True,
    "networkpolicies": may_be_in_namespaces,
    "nodes": needs_nodes,
}
_NAMESPACE_LABEL = "projectcalico.org/namespace"
_TUNNEL = re.compile(r"(?:vxlan|ipip)enabled|\\u", re.IGNORECASE)
_NODE_SELECTOR = re.compile(r'nodeselector"|\\u', re.IGNORECASE)


def looks_at_others_v3(snapshot: PolicySnapshot) -> bool:
    """Whether a rule of a policy or a profile may select network sets and workloads."""
    texts = [value for _name, value in snapshot.policies]
    texts += [value for parts in snapshot.profiles.values() for value in parts.values()]
    return any(_HAS_ENDS.search(value) and _looks_at_others(value) for value in texts)


def may_fail_v3(snapshot: PolicySnapshot) -> bool:
    """Whether Felix may fail on a policy or a profile that a workload uses."""
    texts = [value for _name, value in snapshot.policies]
    texts += [value for parts in snapshot.profiles.values() for value in parts.values()]
    return any(map(_NO_NAME.search, (name for name, _value in snapshot.policies))) or any(
        _MAY_FAIL.search(value) and _may_fail(value) for value in texts
    )


# In the name of a policy.
_NO_NAME = re.compile("[\\s\"']")
# An action that Felix does not know, or a field of a rule that fails with, or without, another field.
_MAY_FAIL = re.compile(
    r'"action"\s*:\s*"(?!(?:allow|deny|log|pass|next-tier)?")|"notprotocol"|icmp"\s*:|(?:""|null)\s*[],]|\\u',
    re.IGNORECASE,
)
_ICMP = ("icmp", "icmpv6")


def _may_fail(value: str) -> bool:
    """Whether Felix may fail on a rule of a policy or a profile; true if it cannot be read."""
    try:
        spec = go_json.struct(go_json.struct(go_json.load(value)).get("spec"))
        rules = [go_json.struct(rule) for key in ("ingress", "egress") for rule in go_json.items(spec, key)]
        return any(_may_be_fatal(rule) for rule in rules)
    except ValueError:
        return True


def _may_be_fatal(rule: Mapping[str, Any]) -> bool:
    types = [go_json.struct(rule[key]) for key in ("icmp", "noticmp") if key in rule]
    is_icmp = str(rule.get("protocol")).lower() in _ICMP and "ipversion" not in rule
    source = go_json.struct(rule.get("source"))
    return (
        not re.fullmatch("(?:allow|deny|log|pass|next-tier)?", go_json.text(rule, "action").lower())
        or "notprotocol" in rule
        or any("code" in each or not is_icmp for each in types)
        or any(not net for key in ("nets", "notnets") for net in go_json.items(source, key))
    )


_HAS_ENDS = re.compile(r'(?:source|destination)"|\\u', re.IGNORECASE)
_PORTS = re.compile("[0-9:]*")


def _looks_at_others(value: str) -> bool:
    """Whether a policy or a profile may do so; true if it cannot be read."""
    try:
        spec = go_json.struct(go_json.struct(go_json.load(value)).get("spec"))
        rules = [go_json.struct(rule) for key in ("ingress", "egress") for rule in go_json.items(spec, key)]
        ends = [go_json.struct(rule.get(end)) for rule in rules for end in ("source", "destination")]
        return any(_concerns_others(end) for end in ends)
    except ValueError:
        return True


def _concerns_others(end: Mapping[str, Any]) -> bool:
    """Whether an end of a rule has selectors, service accounts or names of ports."""
    ports = [port for key in ("ports", "notports") for port in go_json.items(end, key)]
    return any(key.endswith("selector") or key == "serviceaccounts" for key in end) or any(
        isinstance(port, str) and not _PORTS.fullmatch(port) for port in ports
    )
