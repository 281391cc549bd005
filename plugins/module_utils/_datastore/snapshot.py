# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a datastore holds that decides on traffic: stored texts by what they are, which the keys tell.

What the texts say is in _policy_v1.py and _policy_v3.py.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Tuple

from .._core import go_json
from .._plan.stored import Stored


@dataclasses.dataclass
class PolicySnapshot:
    """The stored texts. A name is as in the key, unescaped; in v3 that of a namespaced object is (namespace, name)."""

    # Of every node that was read, malformed ones too.
    endpoints: List[Stored] = dataclasses.field(default_factory=list)
    # v1: by the policy's name; a policy that is stored under two tiers is there twice. v3: GlobalNetworkPolicies.
    policies: List[Tuple[str, str]] = dataclasses.field(default_factory=list)
    # v1: by name, then by "rules", "labels" and "tags"; v3: by name, then by "".
    profiles: Dict[str, Dict[str, str]] = dataclasses.field(default_factory=dict)
    # v3 only.
    tiers: Dict[str, str] = dataclasses.field(default_factory=dict)
    # v3 only: namespace ("" for a GlobalNetworkSet), name, text.
    network_sets: List[Tuple[str, str, str]] = dataclasses.field(default_factory=list)
    # Of workload endpoints: node ("" where the key does not tell it), text.
    workloads: List[Tuple[str, str]] = dataclasses.field(default_factory=list)
    # v1: by node ("" for all of them) and the setting's name; v3: by the FelixConfiguration's name and "".
    config: Dict[Tuple[str, str], str] = dataclasses.field(default_factory=dict)
    # v3 only: namespace, name, text. None when they were not read.
    network_policies: Optional[List[Tuple[str, str, str]]] = None
    # v3 only: Node objects by name. None when they were not read.
    nodes: Optional[Dict[str, str]] = None
    # v3 only: None when they were not read.
    ip_pools: Optional[List[str]] = None
    # v1: the flag Ready; v3: the ClusterInformation. None when there is none.
    state: Optional[str] = None


_POLICY = re.compile("/calico/v1/policy/tier/[^/]+/policy/([^/]+)")
_PROFILE = re.compile("/calico/v1/policy/profile/([^/]+)/(tags|rules|labels)")
_CONFIG = re.compile("/calico/v1/(?:host/([^/]+)/)?config/(.+)")
_WORKLOAD = re.compile("/calico/v1/host/([^/]+)/workload/[^/]+/[^/]+/endpoint/[^/]+")
_READY = "/calico/v1/Ready"

# What stands in a rule that looks at other endpoints, whatever the case of its letters; or an escape, which may be one
# of these letters.
_LOOKS_AT_OTHERS = re.compile(r'_(?:selector|tag)"|\\u', re.IGNORECASE)


def snapshot_v1(values: Mapping[str, str], endpoints: Iterable[Stored]) -> PolicySnapshot:
    """What is stored under Calico v1's keys, of which those of endpoints are left out.

    libcalico-go release-v2.6, lib/backend/model: keys.go, policy.go (the tier in the key does not count), profile.go.
    """
    # It has no NetworkPolicies.
    found = PolicySnapshot(endpoints=list(endpoints), state=values.get(_READY), network_policies=[])
    for key, value in values.items():
        policy, profile = _POLICY.fullmatch(key), _PROFILE.fullmatch(key)
        workload, config = _WORKLOAD.fullmatch(key), _CONFIG.fullmatch(key)
        if policy:
            found.policies.append((_unescaped(policy.group(1)), value))
        elif profile:
            found.profiles.setdefault(_unescaped(profile.group(1)), {})[profile.group(2)] = value
        elif workload:
            found.workloads.append((workload.group(1), value))
        elif config:
            found.config[config.group(1) or "", config.group(2)] = value
    return found


def looks_at_others_v1(values: Mapping[str, str]) -> bool:
    """Whether a rule among these values may look at endpoints of other nodes."""
    return any(_LOOKS_AT_OTHERS.search(value) for value in values.values())


V3_ROOT = "/calico/resources/v3/projectcalico.org/"
_V3_KEY = re.compile(V3_ROOT + "([a-z]+)/([^/]+)(?:/([^/]+))?")
_NAMESPACED = ("networkpolicies", "networksets", "workloadendpoints")


def snapshot_v3(values: Mapping[str, str], endpoints: Iterable[Stored], unread: Collection[str] = ()) -> PolicySnapshot:
    """What is stored under Calico v3's keys, of which those of endpoints are left out.

    Calico does not read what is stored on another level. What is not among the values counts as not stored, but what
    is `unread`: networkpolicies, nodes, ippools.
    """
    kinds: Dict[str, List[Tuple[str, str, str]]] = {}
    for key, value in sorted(values.items()):
        match = _V3_KEY.fullmatch(key)
        if match and (match.group(3) is not None) == (match.group(1) in _NAMESPACED):
            namespace, name = ("", match.group(2)) if match.group(3) is None else match.group(2, 3)
            kinds.setdefault(match.group(1), []).append((namespace, name, value))

    def named(plural: str) -> List[Tuple[str, str]]:
        return [(name, value) for _namespace, name, value in kinds.get(plural, ())]

    return PolicySnapshot(
        endpoints=list(endpoints),
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
    )


def may_be_in_namespaces(snapshot: PolicySnapshot) -> bool:
    """Whether an endpoint may have the label by which NetworkPolicies select it, of its own or of a profile."""
    texts = [each.value for each in snapshot.endpoints]
    texts += [value for parts in snapshot.profiles.values() for value in parts.values()]
    return any(_NAMESPACE_LABEL in text or "\\u" in text for text in texts)


def needs_nodes(snapshot: PolicySnapshot) -> bool:
    """Whether the Node objects decide on anything: by their labels, or as ends of tunnels."""
    texts = snapshot.config.values()
    return has_node_selectors(snapshot) or bool(snapshot.ip_pools) or any(map(_TUNNEL.search, texts))


def has_node_selectors(snapshot: PolicySnapshot) -> bool:
    """Whether a FelixConfiguration may be meant for nodes with certain labels."""
    return any(_NODE_SELECTOR.search(value) for value in snapshot.config.values())


_NAMESPACE_LABEL = "projectcalico.org/namespace"
_TUNNEL = re.compile(r"(?:vxlan|ipip)enabled|\\u", re.IGNORECASE)
_NODE_SELECTOR = re.compile(r'nodeselector"|\\u', re.IGNORECASE)


def looks_at_others_v3(snapshot: PolicySnapshot) -> bool:
    """Whether a rule of a policy or a profile may look at network sets and workloads."""
    texts = [value for _name, value in snapshot.policies]
    texts += [value for parts in snapshot.profiles.values() for value in parts.values()]
    return any(_HAS_ENDS.search(value) and _looks_at_others(value) for value in texts)


def may_fail_v3(snapshot: PolicySnapshot) -> bool:
    """Whether Felix may fail on a policy or a profile where a workload uses it."""
    texts = [value for _name, value in snapshot.policies]
    texts += [value for parts in snapshot.profiles.values() for value in parts.values()]
    return any(map(_NO_NAME.search, (name for name, _value in snapshot.policies))) or any(
        _MAY_FAIL.search(value) and _may_fail(value) for value in texts
    )


# In the name of a policy.
_NO_NAME = re.compile("[\\s\"']")
# What Felix does not read as an action, or a field of a rule that it fails on beside, or without, another one.
_MAY_FAIL = re.compile(
    r'"action"\s*:\s*"(?!(?:allow|deny|log|pass|next-tier)?")|"notprotocol"|icmp"\s*:|(?:""|null)\s*[],]|\\u',
    re.IGNORECASE,
)
_ICMP = ("icmp", "icmpv6")


def _may_fail(value: str) -> bool:
    """Whether Felix may fail on a rule of a policy or a profile; true of one that cannot be read."""
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
    """Whether a policy or a profile may do so; true of one that cannot be read."""
    try:
        spec = go_json.struct(go_json.struct(go_json.load(value)).get("spec"))
        rules = [go_json.struct(rule) for key in ("ingress", "egress") for rule in go_json.items(spec, key)]
        ends = [go_json.struct(rule.get(end)) for rule in rules for end in ("source", "destination")]
        return any(_is_of_others(end) for end in ends)
    except ValueError:
        return True


def _is_of_others(end: Mapping[str, Any]) -> bool:
    """Whether an end of a rule has selectors, service accounts or names of ports."""
    ports = [port for key in ("ports", "notports") for port in go_json.items(end, key)]
    return any(key.endswith("selector") or key == "serviceaccounts" for key in end) or any(
        isinstance(port, str) and not _PORTS.fullmatch(port) for port in ports
    )


def _unescaped(name: str) -> str:
    return name.replace("%2f", "/").replace("%25", "%") if "%" in name else name
