# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of Calico's v1 data model for host endpoints, and those of Felix for stored endpoints.

libcalico-go release-v2.6, lib/validator/validator.go and lib/api/hostendpoint.go.
"""

from __future__ import annotations

import functools
import re
from typing import List, Mapping, Tuple

from .._core.errors import brief
from .hostendpoint import HostEndpoint, Port
from .resource import Problem, Ref
from .validators import LABEL_KEY, Validators, dots_as_interface

# For nodes and tags, and for profiles where Felix validates the stored value with the model's own tags: without a "/"
# (felix calc/validation_filter.go, libcalico-go lib/backend/model/hostendpoint.go).
NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_NAMESPACED_NAME = re.compile(r"[a-zA-Z0-9_./-]{1,128}")
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_LABEL_KEY = re.compile(LABEL_KEY)
_LABEL_VALUE = re.compile(r"[a-zA-Z0-9]?([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")

_NODE_RULE = "is not a node name: 1 to 128 of a-z A-Z 0-9 _ . -"
_NAME_RULE = "is not {0}: 1 to 128 of a-z A-Z 0-9 _ . / -"
_INTERFACE_RULE = "is not an interface name: 1 to 15 of a-z A-Z 0-9 _ . -"
_LABEL_KEY_RULE = "is not a label key: 1 to 512 of a-z A-Z 0-9 _ . / -"
_LABEL_VALUE_RULE = "is not a label value: at most 63 of a-z A-Z 0-9 _ . -, the last one a letter or digit"
_DOTS_RULE = 'is not allowed: etcd reads "." and ".." as path steps, so the key would be that of another object'
_HIDDEN_RULE = (
    'is not allowed: etcd v2 hides keys that start with "_" from every listing, so Calico would never find it'
)


def _ref(ref: Ref) -> List[Problem]:
    return _key_part("node", ref.node) + _key_part("name", ref.name)


def _key_part(option: str, value: str) -> List[Problem]:
    if not value:
        return [(option, value, "is missing: on etcdv2 an endpoint is identified by its node and its name")]
    return _check_key_part(option, value, *_KEY_PARTS[option])


def find_name_problems(option: str, name: str, what: str) -> List[Problem]:
    """The problems of the name of a policy or a profile; `what` names it in messages."""
    if not name:
        return [(option, name, "is missing: it identifies the resource")]
    return _check_key_part(option, name, _NAMESPACED_NAME, _NAME_RULE.format(what))


def _check_key_part(option: str, value: str, pattern: re.Pattern[str], rule: str) -> List[Problem]:
    if not pattern.fullmatch(value):
        return [(option, value, rule)]
    if value in (".", ".."):
        return [(option, value, _DOTS_RULE)]
    if value.startswith("_"):
        return [(option, value, _HIDDEN_RULE)]
    return []


_KEY_PARTS = {"node": (NAME, _NODE_RULE), "name": (_NAMESPACED_NAME, _NAME_RULE.format("an endpoint name"))}


# Here and below: the endpoints of a fleet share few different labels, interfaces and profiles.
@functools.lru_cache(maxsize=65536)
def _labels(labels: Tuple[Tuple[str, str], ...]) -> List[Problem]:
    problems: List[Problem] = []
    for key, value in labels:
        if not _LABEL_KEY.fullmatch(key):
            problems.append(("labels", key, _LABEL_KEY_RULE))
        if not _LABEL_VALUE.fullmatch(value):
            problems.append(("labels[{0}]".format(brief(key)), value, _LABEL_VALUE_RULE))
    return problems


@functools.lru_cache(maxsize=65536)
def _profiles(profiles: Tuple[str, ...]) -> List[Problem]:
    rule = _NAME_RULE.format("a profile name")
    return [
        ("profiles[{0}]".format(index), profile, rule)
        for index, profile in enumerate(profiles)
        if not _NAMESPACED_NAME.fullmatch(profile)
    ]


def _ports(ports: Tuple[Port, ...]) -> List[Problem]:
    if not ports:
        return []
    names = [port.name for port in ports]
    return [("ports", names, "cannot be stored: Calico's v1 data model (etcdv2) has no named ports")]


@functools.lru_cache(maxsize=65536)
def _interface(interface: str) -> List[Problem]:
    return _felix_interface(interface) or dots_as_interface(interface)


def _felix(endpoint: HostEndpoint) -> List[Problem]:
    labels = _labels(tuple(endpoint.labels.items()))
    return [*labels, *_felix_interface(endpoint.interface_name), *_felix_profiles(endpoint.profiles)]


@functools.lru_cache(maxsize=65536)
def _felix_interface(interface: str) -> List[Problem]:
    if interface and not _INTERFACE.fullmatch(interface):
        return [("interface_name", interface, _INTERFACE_RULE)]
    return []


@functools.lru_cache(maxsize=65536)
def _felix_profiles(profiles: Tuple[str, ...]) -> List[Problem]:
    rule = "is not a profile name that Felix accepts: 1 to 128 of a-z A-Z 0-9 _ . -"
    return [
        ("profiles[{0}]".format(index), profile, rule)
        for index, profile in enumerate(profiles)
        if not NAME.fullmatch(profile)
    ]


def find_doubt(endpoint: HostEndpoint) -> str:
    """Why the effect of a stored endpoint on Felix is unknown; "" if it is known."""
    return "{0} expects an empty address".format(endpoint) if "" in endpoint.expected_ips else ""


def _annotations(annotations: Mapping[str, str]) -> List[Problem]:
    return [
        ("annotations", sorted(annotations), "cannot be stored: Calico's v1 data model (etcdv2) has no annotations")
    ]


RULES = Validators(_key_part, _ref, _labels, _interface, _profiles, _ports, _annotations, _felix)
