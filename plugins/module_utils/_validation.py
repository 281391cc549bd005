# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each API generation of Calico accepts as a host endpoint, and what Felix makes of it afterwards.

The patterns are Calico's own, from libcalico-go's validator, and apply to the whole text: Go's "$" is the end of the
text, so re.fullmatch, never re.match with "$". Where the collection is stricter on purpose, the reason stands beside.
"""

from __future__ import annotations

import functools
import re
from typing import Callable, Dict, Iterable, List, Optional, Tuple

from ._errors import InvalidInput, brief, shown
from ._hostendpoint import CALICO_OWNER_LABEL, V1, HostEndpoint, canonical_ip

# (option, value, rule)
Problem = Tuple[str, object, str]


def check(endpoint: HostEndpoint, api_version: str) -> None:
    """Raise InvalidInput with every rule that the endpoint breaks."""
    _raise(endpoint, problems_of(endpoint, api_version))


def problems_of(endpoint: HostEndpoint, api_version: str) -> List[str]:
    """Every rule that the endpoint breaks, each with the option and the value."""
    return [_text(*problem) for problem in _RULES[api_version](endpoint)]


def check_identity(identity: HostEndpoint, api_version: str) -> None:
    """Raise InvalidInput when no endpoint can have this node and name."""
    _raise(identity, [_text(*problem) for problem in _IDENTITY_RULES[api_version](identity)])


def check_filter(node: Optional[str], name: Optional[str], api_version: str) -> None:
    """Raise InvalidInput when no endpoint can have the node or the name, as far as they are given (not None)."""
    # Any valid text stands for what is not given.
    identity = HostEndpoint(name="any" if name is None else name, node="any" if node is None else node)
    _raise("filter", [_text(*problem) for problem in _IDENTITY_RULES[api_version](identity)])


def check_nodes(option: str, nodes: Iterable[str], api_version: str) -> None:
    """Raise InvalidInput when one of the nodes cannot be one."""
    problems = []
    for node in nodes:
        identity = HostEndpoint(name="any", node=node)
        problems += [
            "{0}: {1} {2}".format(option, shown(node), rule)
            for _option, _value, rule in _IDENTITY_RULES[api_version](identity)
        ]
    if problems:
        raise InvalidInput(problems)


def check_label(key: str, value: str, api_version: str) -> None:
    """Raise InvalidInput when the owner cannot be such a label."""
    endpoint = HostEndpoint(labels={key: value})
    problems = [problem for problem in _RULES[api_version](endpoint) if problem[0].startswith("labels")]
    _raise("owner_label and owner", [_text(*problem) for problem in problems])


def ignored_by_felix(endpoint: HostEndpoint, api_version: str) -> str:
    """Why Felix treats this stored endpoint as missing, which leaves its interface open; "" when it does not."""
    for problem in _FELIX_RULES[api_version](endpoint):
        return _text(*problem)
    return ""


def _raise(subject: object, problems: List[str]) -> None:
    if problems:
        raise InvalidInput(["{0}: {1}".format(subject, problems[0])] + problems[1:])


def _text(option: str, value: object, rule: str) -> str:
    return "{0}: {1}".format(option, rule if rule.startswith("is missing") else shown(value) + " " + rule)


# --- v1: libcalico-go release-v2.6, lib/validator/validator.go and lib/api/hostendpoint.go ---

_V1_NODE = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_V1_NAME = re.compile(r"[a-zA-Z0-9_./-]{1,128}")
_V1_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_V1_LABEL_KEY = re.compile(r"[a-zA-Z0-9_./-]{1,512}")
_V1_LABEL_VALUE = re.compile(r"[a-zA-Z0-9]?([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")
# Felix validates the stored value with the model's own tags, where a profile's name has no "/"
# (felix calc/validation_filter.go, libcalico-go lib/backend/model/hostendpoint.go).
_V1_FELIX_PROFILE = re.compile(r"[a-zA-Z0-9_.-]{1,128}")

_NODE_RULE = "is not a node name: 1 to 128 of a-z A-Z 0-9 _ . -"
_NAME_RULE = "is not {0}: 1 to 128 of a-z A-Z 0-9 _ . / -"
_INTERFACE_RULE = "is not an interface name: 1 to 15 of a-z A-Z 0-9 _ . -"
_LABEL_KEY_RULE = "is not a label key: 1 to 512 of a-z A-Z 0-9 _ . / -"
_LABEL_VALUE_RULE = "is not a label value: at most 63 of a-z A-Z 0-9 _ . -, the last one a letter or digit"
_IP_RULE = "is not an IP address: give plain IPv4 or IPv6 addresses, without prefix length or zone"
_DOTS_RULE = (
    'is not allowed: etcd takes "." and ".." as steps in a path, so that the key of another object would be hit'
)
_HIDDEN_RULE = 'is not allowed: etcd v2 hides keys that start with "_" from every listing, so Calico would never see it'


def _v1_identity(identity: HostEndpoint) -> List[Problem]:
    return _v1_key_part("node", identity.node) + _v1_key_part("name", identity.name)


# Here and below: a fleet's endpoints have few different names, interfaces and labels.
@functools.lru_cache(maxsize=65536)
def _v1_key_part(option: str, value: str) -> List[Problem]:
    pattern, rule = _V1_KEY_PARTS[option]
    if not value:
        return [(option, value, "is missing: on etcdv2 an endpoint is identified by its node and its name")]
    if not pattern.fullmatch(value):
        return [(option, value, rule)]
    if value in (".", ".."):
        return [(option, value, _DOTS_RULE)]
    if value.startswith("_"):
        return [(option, value, _HIDDEN_RULE)]
    return []


_V1_KEY_PARTS = {"node": (_V1_NODE, _NODE_RULE), "name": (_V1_NAME, _NAME_RULE.format("an endpoint name"))}


def _v1(endpoint: HostEndpoint) -> List[Problem]:
    problems = _v1_identity(endpoint) + _v1_labels(endpoint)
    if CALICO_OWNER_LABEL in endpoint.labels:
        rule = "is Calico's own label: its controllers would take the endpoint and delete it"
        problems.append(("labels", CALICO_OWNER_LABEL, rule))
    problems += _v1_interface(endpoint.interface_name)
    for index, address in enumerate(endpoint.expected_ips):
        try:
            canonical_ip(address)
        except ValueError:
            problems.append(("expected_ips[{0}]".format(index), address, _IP_RULE))
    for index, profile in enumerate(endpoint.profiles):
        if not _V1_NAME.fullmatch(profile):
            problems.append(("profiles[{0}]".format(index), profile, _NAME_RULE.format("a profile name")))
    if endpoint.ports:
        names = [port.name for port in endpoint.ports]
        problems.append(("ports", names, "cannot be stored: Calico's v1 data model (etcdv2) has no named ports"))
    if not endpoint.interface_name and not endpoint.expected_ips:
        rule = "is missing: an endpoint needs interface_name, expected_ips or both"
        problems.append(("interface_name", "", rule))
    return problems


def _v1_labels(endpoint: HostEndpoint) -> List[Problem]:
    return [problem for key, value in endpoint.labels.items() for problem in _v1_label(key, value)]


@functools.lru_cache(maxsize=65536)
def _v1_label(key: str, value: str) -> List[Problem]:
    problems: List[Problem] = []
    if not _V1_LABEL_KEY.fullmatch(key):
        problems.append(("labels", key, _LABEL_KEY_RULE))
    if not _V1_LABEL_VALUE.fullmatch(value):
        problems.append(("labels[{0}]".format(brief(key)), value, _LABEL_VALUE_RULE))
    return problems


@functools.lru_cache(maxsize=65536)
def _v1_interface(interface: str) -> List[Problem]:
    if interface and not _V1_INTERFACE.fullmatch(interface):
        return [("interface_name", interface, _INTERFACE_RULE)]
    if interface in (".", ".."):
        return [("interface_name", interface, "is not allowed: Linux has no interface of that name")]
    return []


def _v1_felix(endpoint: HostEndpoint) -> List[Problem]:
    problems = _v1_labels(endpoint)
    if endpoint.interface_name and not _V1_INTERFACE.fullmatch(endpoint.interface_name):
        problems.append(("interface_name", endpoint.interface_name, _INTERFACE_RULE))
    for index, profile in enumerate(endpoint.profiles):
        if not _V1_FELIX_PROFILE.fullmatch(profile):
            rule = "is not a profile name that Felix takes: 1 to 128 of a-z A-Z 0-9 _ . -"
            problems.append(("profiles[{0}]".format(index), profile, rule))
    return problems


_RULES: Dict[str, Callable[[HostEndpoint], List[Problem]]] = {V1: _v1}
_IDENTITY_RULES: Dict[str, Callable[[HostEndpoint], List[Problem]]] = {V1: _v1_identity}
_FELIX_RULES: Dict[str, Callable[[HostEndpoint], List[Problem]]] = {V1: _v1_felix}
