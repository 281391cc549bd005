# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a host's facts and rules to its endpoints, and why. Plain Python, without Ansible."""

from __future__ import annotations

import dataclasses
import fnmatch
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ansible_collections.netsec.calico.plugins.module_utils._connection import ETCDV2
from ansible_collections.netsec.calico.plugins.module_utils._datastore._store import API_VERSIONS
from ansible_collections.netsec.calico.plugins.module_utils._errors import CalicoError, brief, shown
from ansible_collections.netsec.calico.plugins.module_utils._hostendpoint import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._names import v3_name, v3_node
from ansible_collections.netsec.calico.plugins.plugin_utils._facts import (
    devices,
    hidden_interfaces,
    ipv4_of,
    ipv6_of,
    why_unusable,
)

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_RULE_KEYS = ("match", "endpoint")
_MATCH_KEYS = ("name", "type", "network", "default_route", "active")
_ENDPOINT_KEYS = ("name", "labels", "profiles", "ports", "expected_ips", "interface_name")
# In v3, the names of all nodes' endpoints are of one kind.
DEFAULT_NAMES = {V1: "{interface}", V3: "{node}-{interface}"}
_PLACEHOLDER = re.compile(r"{([^{}]*)}")


class RuleError(CalicoError):
    """A rule, or what stands beside it, is not of the form that the role's documentation says."""


@dataclasses.dataclass(frozen=True)
class Host:
    """What the role knows of one host of the inventory."""

    inventory_hostname: str
    node: str
    facts: Mapping[str, Any]
    rules: Sequence[Mapping[str, Any]]
    ignore: Sequence[str] = ()
    api_version: str = V1
    # For all and by group, already merged; and the host's own, which beat a rule's.
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    host_labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls, facts: Any, node: str, inventory_hostname: str = "", datastore_type: str = ETCDV2, **fields: Any
    ) -> Host:
        """A host by its facts, with the node's name as that datastore has it.

        Raises RuleError for what are no facts and no datastore, TypeError for what is no field.
        """
        if datastore_type not in API_VERSIONS:
            raise RuleError(
                "datastore_type {0} is not one of {1}".format(shown(datastore_type), ", ".join(API_VERSIONS))
            )
        if not isinstance(facts, Mapping):
            raise RuleError("{0} is not a mapping of facts".format(shown(facts)))
        unusable = why_unusable(facts)
        if unusable:
            raise RuleError("the facts cannot be used: {0}".format(unusable))
        api_version = API_VERSIONS[datastore_type]
        return cls(
            inventory_hostname=inventory_hostname or node,
            node=v3_node(node) if api_version == V3 else node,
            facts=facts,
            api_version=api_version,
            **fields,
        )


@dataclasses.dataclass(frozen=True)
class Interface:
    """One interface, as Ansible's facts have it."""

    name: str
    type: str
    active: bool
    default_route: bool
    # Of global scope, IPv4 first.
    addresses: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of an interface: its endpoint, and the number of the rule that made it, or neither; and why."""

    interface: str
    reason: str
    rule: Optional[int] = None
    endpoint: Optional[Dict[str, Any]] = None


def interfaces_of(facts: Mapping[str, Any]) -> List[Interface]:
    """The interfaces of a host, sorted by name."""
    found = [_interface(name, device, aliases, facts) for name, device, aliases in devices(facts)]
    return sorted(found, key=lambda interface: interface.name)


def verdicts_of(host: Host) -> List[Verdict]:
    """What becomes of each of the host's interfaces. Raises RuleError."""
    for index, rule in enumerate(host.rules):
        _check_rule(rule, index)
    hidden = [_hidden_verdict(name, host) for name in hidden_interfaces(host.facts)]
    found = [_verdict(interface, host) for interface in interfaces_of(host.facts)]
    return sorted(found + hidden, key=lambda verdict: verdict.interface)


def hidden_of(host: Host) -> str:
    """Why not all of the host's interfaces can be told by its facts; "" when they can, or rules are not for them."""
    names = [name for name in hidden_interfaces(host.facts) if not _ignoring(name, host)] if host.rules else []
    if not names:
        return ""
    return (
        "nothing is known of the interface {0}, since another fact has its name: add it to hostendpoints_ignore, or "
        "write all endpoints of the host out".format(" and ".join(map(shown, names[:3])))
    )


def endpoints_of(host: Host) -> List[Dict[str, Any]]:
    """The endpoints that the rules make of the host's interfaces.

    Raises RuleError, also when an interface is hidden, whose endpoint would be missing without a word.
    """
    hidden = hidden_of(host)
    if hidden:
        raise RuleError(hidden)
    return [verdict.endpoint for verdict in verdicts_of(host) if verdict.endpoint is not None]


# --- facts ---


def _interface(
    name: str, device: Mapping[str, Any], aliases: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> Interface:
    defaults = [facts.get(family) or {} for family in ("default_ipv4", "default_ipv6")]
    return Interface(
        name=name,
        type=device.get("type") or "unknown",
        active=bool(device.get("active")),
        default_route=any(default.get("interface") == name for default in defaults),
        addresses=tuple(dict.fromkeys(_addresses(device, aliases))),
    )


def _addresses(device: Mapping[str, Any], aliases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for fact in [device, *aliases]:
        for ipv4 in ipv4_of(fact):
            # An address of another scope than global cannot be told by the facts, but by its network.
            if not ipaddress.ip_address(ipv4["address"]).is_link_local:
                yield ipv4["address"]
    for ipv6 in ipv6_of(device):
        if ipv6.get("scope") == "global":
            yield ipv6["address"]


# --- rules ---


def _verdict(interface: Interface, host: Host) -> Verdict:
    ignoring = _ignoring(interface.name, host)
    if ignoring:
        return Verdict(interface.name, "ignored by {0!r}".format(ignoring))
    misses = []
    for index, rule in enumerate(host.rules):
        miss = _miss(interface, rule.get("match") or {})
        if not miss:
            reason = "rule {0}".format(index + 1)
            return Verdict(
                interface.name, reason, index + 1, _endpoint(interface, rule.get("endpoint") or {}, host, index)
            )
        misses.append("rule {0}: {1}".format(index + 1, miss))
    return Verdict(interface.name, "no rule matches: " + ("; ".join(misses) or "there are none"))


def _hidden_verdict(name: str, host: Host) -> Verdict:
    ignoring = _ignoring(name, host)
    return Verdict(name, "ignored by {0!r}".format(ignoring) if ignoring else "another fact has its name")


def _ignoring(name: str, host: Host) -> str:
    """The pattern that ignores an interface of this name; "" when none does."""
    return next((pattern for pattern in host.ignore if fnmatch.fnmatchcase(name, pattern)), "")


def _miss(interface: Interface, match: Mapping[str, Any]) -> str:
    """Why the interface does not match; "" when it does."""
    names, types, networks = (_listed(match.get(key)) for key in ("name", "type", "network"))
    if names and not any(fnmatch.fnmatchcase(interface.name, pattern) for pattern in names):
        return "the name is none of {0}".format(", ".join(names))
    if types and interface.type not in types:
        return "its type is {0}, not {1}".format(interface.type, " or ".join(types))
    if networks and not any(_in(address, networks) for address in interface.addresses):
        return "no address in {0}".format(", ".join(networks))
    for key, text in (("default_route", "the default route"), ("active", "active")):
        if match.get(key) is not None and _flag(match[key]) != getattr(interface, key):
            return "it is {0}{1}".format("not " if _flag(match[key]) else "", text)
    return ""


def _in(address: str, networks: Sequence[str]) -> bool:
    return any(ipaddress.ip_address(address) in _network(network) for network in networks)


def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _endpoint(interface: Interface, template: Mapping[str, Any], host: Host, index: int) -> Dict[str, Any]:
    expected = template.get("expected_ips", "facts")
    if expected == "facts":
        expected = list(interface.addresses)
    elif expected == "none":
        expected = []
    return {
        "name": _name(template.get("name") or DEFAULT_NAMES[host.api_version], interface, host, index),
        "node": host.node,
        "labels": {**host.labels, **(template.get("labels") or {}), **host.host_labels},
        "interface_name": interface.name if _flag(template.get("interface_name", True)) else "",
        "expected_ips": expected,
        "profiles": list(template.get("profiles") or ()),
        "ports": list(template.get("ports") or ()),
    }


def _name(pattern: str, interface: Interface, host: Host, index: int) -> str:
    values = {"node": host.node, "interface": interface.name, "inventory_hostname": host.inventory_hostname}
    try:
        name = _PLACEHOLDER.sub(lambda match: values[match.group(1)], pattern)
    except KeyError as exc:
        raise RuleError(
            "rule {0}: endpoint.name {1} has {2} in braces; there are {3}".format(
                index + 1, shown(pattern), brief(str(exc)), ", ".join(sorted(values))
            )
        ) from exc
    return v3_name(name) if host.api_version == V3 else name


def _listed(value: Any) -> List[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _check_rule(rule: Any, index: int) -> None:
    def problem(text: str) -> RuleError:
        return RuleError("rule {0}: {1}".format(index + 1, text))

    if not isinstance(rule, Mapping):
        raise problem("{0} is not a mapping with match and endpoint".format(shown(rule)))
    for where, content, known in (
        ("", rule, _RULE_KEYS),
        ("match.", {} if rule.get("match") is None else rule["match"], _MATCH_KEYS),
        ("endpoint.", {} if rule.get("endpoint") is None else rule["endpoint"], _ENDPOINT_KEYS),
    ):
        if not isinstance(content, Mapping):
            raise problem("{0} is not a mapping".format(where.rstrip(".")))
        for key in content:
            if key not in known:
                raise problem("{0}{1} is unknown; there are {2}".format(where, brief(key), ", ".join(known)))
    for section in ("match", "endpoint"):
        if section in rule and rule[section] is None:
            raise problem("{0} is null; leave it out instead".format(section))
    for key, value in (rule.get("match") or {}).items():
        if value is None or value == []:
            raise problem("match.{0} is empty; leave it out to match every interface".format(key))
    for where, section, checks in (("match.", "match", _MATCH_CHECKS), ("endpoint.", "endpoint", _ENDPOINT_CHECKS)):
        for key, (holds, kind) in checks.items():
            value = (rule.get(section) or {}).get(key)
            if value is not None and not holds(value):
                raise problem("{0}{1} {2} is not {3}".format(where, key, shown(value), kind))
    for network in _listed((rule.get("match") or {}).get("network")):
        try:
            _network(network)
        except ValueError as exc:
            raise problem("match.network: {0}".format(exc)) from exc


def _is_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or str(value).lower() in _FLAGS


def _flag(value: Any) -> bool:
    """A truth value, which a template may have made a text."""
    return value if isinstance(value, bool) else _FLAGS[str(value).lower()]


_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_TEXTS = (_is_texts, "a text or a list of texts")
_FLAG = (_is_flag, "true or false")
_LIST = (lambda value: isinstance(value, list), "a list")
_MATCH_CHECKS = {"name": _TEXTS, "type": _TEXTS, "network": _TEXTS, "default_route": _FLAG, "active": _FLAG}
_ENDPOINT_CHECKS = {
    "name": (lambda value: isinstance(value, str), "a text"),
    "labels": (lambda value: isinstance(value, Mapping), "a mapping"),
    "profiles": _LIST,
    "ports": _LIST,
    "expected_ips": (lambda value: isinstance(value, list) or value in ("facts", "none"), "facts, none or a list"),
    "interface_name": _FLAG,
}
