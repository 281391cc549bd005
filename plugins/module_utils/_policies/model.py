# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, profiles and all other objects that decide on traffic, independent of the API version.

load_v1 and load_v3 build them from stored objects, and _dataplane evaluates them.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from .._core.ip import Address, Net
from .._resources.selector import Selector
from .connection import Ports

INGRESS, EGRESS = "ingress", "egress"
ALLOW, DENY, LOG, PASS = "allow", "deny", "log", "pass"
# The dataplanes that Felix programs.
IPTABLES, NFTABLES = "iptables", "nftables"
DATAPLANES = (IPTABLES, NFTABLES)
# When a policy is evaluated: normally, before connection tracking (doNotTrack) or before DNAT; or that is unknown.
NORMAL, UNTRACKED, PRE_DNAT, ANY_KIND = "normal", "untracked", "pre-DNAT", "any"


class Entity(NamedTuple):
    """The conditions of a rule for one end of a connection. An empty field matches everything."""

    # The address is in one of nets, and in none of not_nets.
    nets: Tuple[Net, ...] = ()
    not_nets: Tuple[Net, ...] = ()
    # All selectors, and none of not_selectors, select the endpoint or network set that has the address.
    selectors: Tuple[Selector, ...] = ()
    not_selectors: Tuple[Selector, ...] = ()
    # One of the ports or named ports matches, and none of the negated ones does.
    ports: Tuple[Ports, ...] = ()
    port_names: Tuple[str, ...] = ()
    not_ports: Tuple[Ports, ...] = ()
    not_port_names: Tuple[str, ...] = ()


class Rule(NamedTuple):
    """A rule of a policy or a profile. All conditions must hold; a field of 0 or None matches everything."""

    action: str = ALLOW
    version: int = 0
    protocol: int = 0
    not_protocol: int = 0
    # Type, and code or None.
    icmp: Optional[Tuple[int, Optional[int]]] = None
    not_icmp: Optional[Tuple[int, Optional[int]]] = None
    source: Entity = Entity()
    destination: Entity = Entity()
    # Why Felix fails on the rule where it is in use, by dataplane; empty if it does not.
    fatal: Mapping[str, str] = {}
    # Why it is unknown whether the rule matches as read; "" if it is known.
    doubt: str = ""


Rules = Mapping[str, Tuple[Rule, ...]]


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    name: str
    selector: Selector
    # By direction.
    rules: Rules
    # The directions that it governs.
    governs: FrozenSet[str]
    kind: str = NORMAL
    # Whether it is also evaluated for forwarded traffic, in API versions where the policy decides on that.
    on_forward: bool = False
    # None sorts after every number.
    order: Optional[float] = None
    tier: str = "default"
    # Name, namespace and kind, as Calico v3 sorts by them.
    key: str = ""
    # Why Felix fails if the policy selects an endpoint of the host, whatever its rules; "" if it does not.
    fatal: str = ""
    # Why only its name, kind and order are known; "" if all is known.
    doubt: str = ""
    # Why Felix treats it as missing; "" if it does not.
    ignored: str = ""

    def __str__(self) -> str:
        return self.name


class Tier(NamedTuple):
    name: str
    order: Optional[float]
    # The action for traffic that its policies govern and no rule decides on: DENY or PASS.
    default_action: str


class Profile(NamedTuple):
    # None if the profile drops everything, since it is missing or Felix rejects it.
    rules: Optional[Rules]
    # The labels that endpoints inherit.
    labels: Mapping[str, str]
    # Why the profile is uncertain; "" if it is certain.
    doubt: str = ""


MISSING = Profile(None, {})


class Selectable(NamedTuple):
    """An object that a selector in a rule can select: an endpoint, a workload or a network set."""

    labels: Mapping[str, str]
    profiles: Tuple[str, ...]
    addresses: Tuple[Address, ...] = ()
    nets: Tuple[Net, ...] = ()
    # (name, protocol, number)
    ports: Tuple[Tuple[str, int, int], ...] = ()
    # Why it is unknown whether Felix accepts it; "" if it does.
    doubt: str = ""


@dataclasses.dataclass
class PolicySet:
    """All that decides on traffic, except the settings of Felix."""

    # In the order of evaluation.
    tiers: List[Tier]
    # By tier, in the order of evaluation.
    policies: Dict[str, List[Policy]]
    profiles: Dict[str, Profile]
    # Without the host endpoints.
    members: List[Selectable]
    # The workloads among them by node, if the node is known: the interface's name and the workload.
    workloads: Dict[str, List[Tuple[str, Selectable]]]
    # Why Felix treats a stored policy of Calico v3 as missing, by its name.
    ignored: Dict[str, str] = dataclasses.field(default_factory=dict)
    # Why Felix probably fails on every host; "" if it does not.
    fatal: str = ""
    # Why some members are unknown, so that a selector in a rule may miss some; "" if all are known.
    members_doubt: str = ""

    def looks_at_members(self) -> bool:
        """Whether a rule matches labels or named ports at either end."""
        policies = [policy.rules for policies in self.policies.values() for policy in policies]
        profiles = [profile.rules for profile in self.profiles.values() if profile.rules is not None]
        return look_at_members(policies + profiles)

    @functools.cached_property
    def selecting_labels(self) -> FrozenSet[str]:
        """The labels that determine which policies select an endpoint."""
        return frozenset(
            label for policies in self.policies.values() for policy in policies for label in policy.selector.labels
        )

    @functools.cached_property
    def member_labels(self) -> FrozenSet[str]:
        """The labels that determine which rules match an endpoint, a workload or a network set."""
        return frozenset(
            label
            for rule in self.list_rules()
            for end in (rule.source, rule.destination)
            for selector in (*end.selectors, *end.not_selectors)
            for label in selector.labels
        )

    def list_rules(self) -> Iterator[Rule]:
        """The rules of all policies and profiles, in both directions."""
        policies = [policy.rules for policies in self.policies.values() for policy in policies]
        profiles = [profile.rules for profile in self.profiles.values() if profile.rules is not None]
        for each in policies + profiles:
            for of_direction in each.values():
                yield from of_direction

    def profile(self, name: str) -> Profile:
        return self.profiles.get(name, MISSING)

    def inherit_labels(self, labels: Mapping[str, str], profiles: Tuple[str, ...]) -> Mapping[str, str]:
        """An endpoint's labels and those that it inherits; the first profile with a label counts."""
        inherited = [self.profiles[name].labels for name in reversed(profiles) if name in self.profiles]
        if not any(inherited):
            return labels
        found: Dict[str, str] = {}
        for each in inherited:
            found.update(each)
        found.update(labels)
        return found


def look_at_members(rules: Iterable[Rules]) -> bool:
    """Whether one of the rules matches labels or named ports at either end."""
    return any(
        end.selectors or end.not_selectors or end.port_names or end.not_port_names
        for by_direction in rules
        for of_direction in by_direction.values()
        for rule in of_direction
        for end in (rule.source, rule.destination)
    )


def in_order(policies: List[Policy]) -> List[Policy]:
    """The policies in the order of evaluation: by order, those without an order last, then by name in bytes."""
    return sorted(policies, key=lambda policy: (policy.order is None, policy.order or 0.0, policy.name.encode()))
