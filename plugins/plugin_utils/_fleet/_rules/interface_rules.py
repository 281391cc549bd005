# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a host's endpoints from its facts by rules, with reasons. Plain Python, without Ansible."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Mapping
from typing import Any, Dict, Iterator, List, Optional, Pattern, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, shown
from ansible_collections.netsec.calico.plugins.module_utils._core.ip import is_loopback, parse_address, parse_net
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.resolution import ALL_INTERFACES
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import DATASTORES, DEFAULT
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import hidden_interfaces, why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interfaces import (
    HostInterface,
    read_interfaces,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.rule_checks import (
    RuleError,
    check_rule,
    flag,
    is_in,
    is_truth,
    listed,
)

# The default name of the endpoint for all interfaces.
DEFAULT_NAME_OF_ALL = "{node}-all"
_PLACEHOLDER = re.compile(r"{([^{}]*)}")
# Number of a host's names in a reason.
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class HostInput:
    """The facts and settings of one host of the inventory."""

    inventory_hostname: str
    node: str
    facts: Mapping[str, Any]
    rules: Sequence[Mapping[str, Any]]
    ignore: Sequence[str] = ()
    api_version: ApiVersion = V1
    # The labels for all hosts and by group, merged; and the host's own labels, which override a rule's.
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    host_labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls, facts: Any, node: str, inventory_hostname: str = "", datastore_type: str = DEFAULT, **fields: Any
    ) -> HostInput:
        """A host by its facts, with the node's name in that datastore.

        Raises RuleError for invalid facts or an unknown datastore type, TypeError for an unknown field.
        """
        if datastore_type not in DATASTORES:
            raise RuleError("datastore_type {0} is not one of {1}".format(shown(datastore_type), ", ".join(DATASTORES)))
        if not isinstance(facts, Mapping):
            raise RuleError("{0} is not a mapping of facts".format(shown(facts)))
        unusable = why_unusable(facts)
        if unusable:
            raise RuleError("the facts cannot be used: {0}".format(unusable))
        api_version = DATASTORES[datastore_type].api_version
        return cls(
            inventory_hostname=inventory_hostname or node,
            node=api_version.canonical_node(node),
            facts=facts,
            api_version=api_version,
            **fields,
        )


@dataclasses.dataclass(frozen=True)
class RuleDecision:
    """The decision on an interface: its endpoint and the number of the rule that creates it, or neither; and why.

    Interfaces whose rule creates one endpoint for all interfaces share this endpoint.
    """

    interface: str
    reason: str
    rule: Optional[int] = None
    endpoint: Optional[Dict[str, Any]] = None


def decide(host: HostInput) -> List[RuleDecision]:
    """The decision on each of the host's interfaces. Raises RuleError."""
    for index, rule in enumerate(host.rules):
        check_rule(rule, index, host.api_version)
    found = [_hidden_verdict(name, host) for name in hidden_interfaces(host.facts)]
    of_all: Dict[int, List[HostInterface]] = {}
    for interface in read_interfaces(host.facts):
        chosen, reason = _choice(interface, host)
        if chosen is None:
            found.append(RuleDecision(interface.name, reason))
        elif _is_for_all(host.rules[chosen]):
            of_all.setdefault(chosen, []).append(interface)
        else:
            found.append(RuleDecision(interface.name, reason, chosen + 1, _endpoint([interface], host, chosen)))
    found += _decide_for_all(of_all, host)
    return sorted(found, key=lambda verdict: verdict.interface)


def select_made(verdicts: Sequence[RuleDecision]) -> List[RuleDecision]:
    """The decisions with an endpoint, each endpoint once."""
    found: Dict[int, RuleDecision] = {}
    for verdict in verdicts:
        if verdict.endpoint is not None:
            found.setdefault(id(verdict.endpoint), verdict)
    return list(found.values())


def explain_hidden(host: HostInput) -> str:
    """Why the facts do not describe all interfaces; "" if they do, or if no rule applies to the others."""
    names = [name for name in hidden_interfaces(host.facts) if not _ignoring(name, host)] if host.rules else []
    if not names:
        return ""
    return (
        "the facts do not describe the interface {0}, because another fact has its name; add it to "
        "hostendpoints_ignore, or declare all endpoints of the host by hand".format(" and ".join(map(shown, names[:3])))
    )


def build_endpoints(host: HostInput) -> List[Dict[str, Any]]:
    """The endpoints that the rules create for the host's interfaces.

    Raises RuleError, also for a hidden interface, whose endpoint would be missing silently.
    """
    hidden = explain_hidden(host)
    if hidden:
        raise RuleError(hidden)
    return [verdict.endpoint for verdict in select_made(decide(host)) if verdict.endpoint is not None]


def _choice(interface: HostInterface, host: HostInput) -> Tuple[Optional[int], str]:
    """The rule that matches an interface, None if no rule does, and why."""
    ignoring = _ignoring(interface.name, host)
    if ignoring:
        return None, "ignored by {0!r}".format(ignoring)
    misses = []
    for index, rule in enumerate(host.rules):
        miss = _miss(interface, rule.get("match") or {})
        if not miss:
            return index, "rule {0}".format(index + 1)
        misses.append("rule {0}: {1}".format(index + 1, miss))
    return None, "no rule matches: " + ("; ".join(misses) or "the list is empty")


def _is_for_all(rule: Mapping[str, Any]) -> bool:
    return (rule.get("endpoint") or {}).get("interface_name") == ALL_INTERFACES


def _decide_for_all(of_all: Mapping[int, Sequence[HostInterface]], host: HostInput) -> Iterator[RuleDecision]:
    """The decisions on interfaces that share an endpoint for all, by rule. Raises RuleError for a second rule."""
    if len(of_all) > 1:
        first, second = sorted(of_all)[:2]
        raise RuleError(
            "rule {0}: endpoint.interface_name is '*', but rule {1} already creates this host's only endpoint for all "
            "interfaces; combine both rules".format(second + 1, first + 1)
        )
    for index, interfaces in of_all.items():
        endpoint = _endpoint(interfaces, host, index)
        reason = "rule {0}, whose endpoint is for all interfaces".format(index + 1)
        for interface in interfaces:
            yield RuleDecision(interface.name, reason, index + 1, endpoint)


def _hidden_verdict(name: str, host: HostInput) -> RuleDecision:
    ignoring = _ignoring(name, host)
    return RuleDecision(name, "ignored by {0!r}".format(ignoring) if ignoring else "another fact has its name")


def _ignoring(name: str, host: HostInput) -> str:
    """The pattern that ignores an interface of this name; "" if no pattern does."""
    if not _fits(name, host.ignore):
        return ""
    return next(pattern for pattern in host.ignore if fnmatch.fnmatchcase(name, pattern))


def _miss(interface: HostInterface, match: Mapping[str, Any]) -> str:
    """Why the interface does not match; "" if it does."""
    names, types, networks = (listed(match.get(key)) for key in ("name", "type", "network"))
    if names and not _fits(interface.name, names):
        return "the name matches none of {0}".format(", ".join(names))
    if types and interface.type not in types:
        return "its type is {0}, not {1}".format(brief(interface.type), " or ".join(types))
    if networks:
        nets = [parse_net(network) for network in networks]
        if not any(is_in(address, nets) for address in interface.addresses):
            return "no address in {0}".format(", ".join(networks))
    for key, text in (("default_route", "the default route"), ("active", "active"), ("physical", "a physical device")):
        if match.get(key) is not None and flag(match[key]) != getattr(interface, key):
            return "it is {0}{1}".format("not " if flag(match[key]) else "", text)
    return _find_device_miss(interface, match)


def _find_device_miss(interface: HostInterface, match: Mapping[str, Any]) -> str:
    drivers, macs = (listed(match.get(key)) for key in ("driver", "mac"))
    none_of = "matches none of {0}".format
    if drivers and not (interface.driver and _fits(interface.driver, drivers)):
        text = "its driver {0}" if interface.driver else "the facts do not name its driver, so it"
        return "{0} {1}".format(text.format(brief(interface.driver)), none_of(", ".join(drivers)))
    if macs and not (interface.mac and _fits(interface.mac, [mac.lower() for mac in macs])):
        text = "its MAC address {0}" if interface.mac else "the facts do not name its MAC address, so it"
        return "{0} {1}".format(text.format(brief(interface.mac)), none_of(", ".join(macs)))
    return _find_member_miss(interface, match["member_of"]) if match.get("member_of") is not None else ""


def _find_member_miss(interface: HostInterface, wanted: Any) -> str:
    names = " and ".join(map(brief, interface.masters[:_SHOWN]))
    where = "it is a member of " + names if names else "it is not a member of a bond or bridge"
    if is_truth(wanted):
        return where if flag(wanted) != bool(interface.masters) else ""
    if any(_fits(master, listed(wanted)) for master in interface.masters):
        return ""
    return "{0}, {1} matches none of {2}".format(where, "which" if names else "so it", ", ".join(listed(wanted)))


def _fits(text: str, patterns: Sequence[str]) -> bool:
    return bool(patterns) and _compile(tuple(patterns)).match(text) is not None


@functools.lru_cache(maxsize=256)
def _compile(patterns: Tuple[str, ...]) -> Pattern[str]:
    """All patterns as one, since most interfaces match none of many."""
    return re.compile("|".join(map(fnmatch.translate, patterns)))


def _endpoint(interfaces: Sequence[HostInterface], host: HostInput, index: int) -> Dict[str, Any]:
    """The endpoint that a rule creates for one interface, or for all interfaces that it matches."""
    template = host.rules[index].get("endpoint") or {}
    values = {"node": host.node, "inventory_hostname": host.inventory_hostname}
    if _is_for_all(host.rules[index]):
        default, interface_name = DEFAULT_NAME_OF_ALL, ALL_INTERFACES
    else:
        default, interface_name = host.api_version.default_name, interfaces[0].name
        values["interface"] = interface_name
        if template.get("interface_name") is not None and not flag(template["interface_name"]):
            interface_name = ""
    return {
        "name": _name(template.get("name") or default, values, host, index),
        "node": host.node,
        "labels": {**host.labels, **(template.get("labels") or {}), **host.host_labels},
        "interface_name": interface_name,
        "expected_ips": _expected_ips(template.get("expected_ips"), interfaces),
        "profiles": list(template.get("profiles") or ()),
        "ports": list(template.get("ports") or ()),
    }


def _expected_ips(wanted: Any, interfaces: Sequence[HostInterface]) -> List[Any]:
    """The expected IPs of an endpoint for these interfaces."""
    if wanted == "none":
        return []
    if isinstance(wanted, list):
        return wanted
    options = wanted if isinstance(wanted, Mapping) else {}
    left_out = [parse_net(network) for network in listed(options.get("except"))]
    has_temporary = options.get("temporary") is not None and flag(options["temporary"])
    found = [
        address
        for interface in interfaces
        for address in interface.addresses
        if (has_temporary or address not in interface.temporary)
        # Every host has these, so they do not identify a host.
        and not is_loopback(parse_address(address))
        and not is_in(address, left_out)
    ]
    return list(dict.fromkeys(found))


def _name(pattern: str, values: Mapping[str, str], host: HostInput, index: int) -> str:
    try:
        name = _PLACEHOLDER.sub(lambda match: values[match.group(1)], pattern)
    except KeyError as exc:
        raise RuleError(
            "rule {0}: endpoint.name {1} has the unknown placeholder {2}; use {3}".format(
                index + 1, shown(pattern), brief(str(exc)), ", ".join(sorted(values))
            )
        ) from exc
    return host.api_version.canonical_name(name)
