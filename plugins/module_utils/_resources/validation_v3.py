# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of Calico v3 for host endpoints.

projectcalico/calico v3.32.1, libcalico-go/lib/validator/v3/validator.go; labels and port names as in Kubernetes
(k8s.io/apimachinery, pkg/util/validation). Felix' rules for a stored endpoint were measured with v3.32.1: it is
stricter with ports and profiles, and treats an endpoint that it rejects as missing, which leaves its interface open.
"""

from __future__ import annotations

import functools
import re
from typing import List, Mapping, Tuple

from .._core.errors import brief
from .hostendpoint import HostEndpoint, Port
from .resource import Problem, Ref
from .validators import MOST_ANNOTATION_BYTES, Validators, annotation_bytes, dots_as_interface

DNS_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
# For a node, Calico rejects more only since v3.32; for a profile, never.
DNS_NAME_MAX = 253
_INTERFACE = re.compile(r"\*|[a-zA-Z0-9_.-]{1,15}")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_PROTOCOL = re.compile(r"TCP|UDP|SCTP|0*(6|17|132)")

_DNS_PARTS = "of a-z 0-9 - ., every part between dots with a letter or digit at both ends"
_NODE_RULE = "is not a node name: 1 to 253 " + _DNS_PARTS
_NAME_RULE = "is not an endpoint name: 1 to 253 " + _DNS_PARTS
_PROFILE_RULE = "is not a profile name: one or more " + _DNS_PARTS
_INTERFACE_RULE = "is not an interface name: 1 to 15 of a-z A-Z 0-9 _ . -, or * for all interfaces"
_LABEL_KEY_RULE = (
    "is not a label key: 1 to 63 of a-z A-Z 0-9 _ . -, a letter or digit at both ends, "
    "and before it maybe a DNS name in lower case and a slash"
)
_ANNOTATION_KEY_RULE = _LABEL_KEY_RULE.replace("a label key", "an annotation key").replace(" in lower case", "")
_LABEL_VALUE_RULE = "is not a label value: at most 63 of a-z A-Z 0-9 _ . -, a letter or digit at both ends"
_PORT_NAME_RULE = "is not a port name: 1 to 15 of a-z 0-9 -, a letter among them, each - between two of the others"
_PROTOCOL_RULE = "is not a protocol that has ports: TCP, UDP, SCTP, or the number of one of them (6, 17, 132)"
_PORT_RULE = "is not a port: a number from 1 to 65535"


def _ref(ref: Ref) -> List[Problem]:
    # The name alone is the key: deleting an endpoint does not require its node.
    problems = _key_part("node", ref.node) if ref.node else []
    return problems + _key_part("name", ref.name)


def _key_part(option: str, value: str) -> List[Problem]:
    if not value:
        rule = "an endpoint is identified by its name" if option == "name" else "an endpoint is on one node"
        return [(option, value, "is missing: " + rule)]
    if len(value) > DNS_NAME_MAX or not DNS_NAME.fullmatch(value):
        return [(option, value, _NAME_RULE if option == "name" else _NODE_RULE)]
    return []


# Here and below: the endpoints of a fleet share few different labels, interfaces, profiles and ports.
@functools.lru_cache(maxsize=65536)
def _labels(labels: Tuple[Tuple[str, str], ...]) -> List[Problem]:
    problems: List[Problem] = []
    for key, value in labels:
        if not is_qualified(key):
            problems.append(("labels", key, _LABEL_KEY_RULE))
        if value and not LABEL_NAME.fullmatch(value):
            problems.append(("labels[{0}]".format(brief(key)), value, _LABEL_VALUE_RULE))
    return problems


def is_qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    is_prefix = len(prefix) <= DNS_NAME_MAX and DNS_NAME.fullmatch(prefix)
    return bool(LABEL_NAME.fullmatch(name) and (is_prefix or not slash))


def _annotations(annotations: Mapping[str, str]) -> List[Problem]:
    # Kubernetes checks an annotation key in lower case, and does not check its value.
    problems: List[Problem] = [
        ("annotations", key, _ANNOTATION_KEY_RULE) for key in annotations if not is_qualified(key.lower())
    ]
    try:
        size = annotation_bytes(annotations)
    except UnicodeEncodeError as exc:
        return [*problems, ("annotations", exc.object[exc.start : exc.end], "is not a whole character")]
    if size > MOST_ANNOTATION_BYTES:
        rule = "is too many bytes for all annotations together: Calico accepts {0}".format(MOST_ANNOTATION_BYTES)
        problems.append(("annotations", size, rule))
    return problems


@functools.lru_cache(maxsize=65536)
def _interface(interface: str) -> List[Problem]:
    if interface and not _INTERFACE.fullmatch(interface):
        return [("interface_name", interface, _INTERFACE_RULE)]
    return dots_as_interface(interface)


@functools.lru_cache(maxsize=65536)
def _profiles(profiles: Tuple[str, ...]) -> List[Problem]:
    return [
        ("profiles[{0}]".format(index), profile, _PROFILE_RULE)
        for index, profile in enumerate(profiles)
        if not DNS_NAME.fullmatch(profile)
    ]


@functools.lru_cache(maxsize=65536)
def _ports(ports: Tuple[Port, ...]) -> List[Problem]:
    return [
        ("ports[{0}].{1}".format(index, part), value, rule)
        for index, port in enumerate(ports)
        for part, value, rule in _port(port)
    ]


def _port(port: Port) -> List[Problem]:
    problems: List[Problem] = []
    if not PORT_NAME.fullmatch(port.name):
        problems.append(("name", port.name, _PORT_NAME_RULE))
    if not _PROTOCOL.fullmatch(port.protocol):
        problems.append(("protocol", port.protocol, _PROTOCOL_RULE))
    if not 1 <= port.port <= 65535:
        problems.append(("port", port.port, _PORT_RULE))
    return problems


# Felix' rules (measured with v3.32.1; libcalico-go/lib/backend/model, hostendpoint.go, and lib/validator/v1).
_FELIX_PROFILE = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_FELIX_PROFILE_RULE = "is not a profile name that Felix accepts: 1 to 128 of a-z A-Z 0-9 _ . -"
_FELIX_PROTOCOL_RULE = "is not a protocol that Felix accepts; use a name, TCP, UDP or SCTP, instead of a number"


def _felix(endpoint: HostEndpoint) -> List[Problem]:
    """Why Felix treats a stored endpoint as missing."""
    problems = [] if endpoint.interface_name in (".", "..") else _interface(endpoint.interface_name)
    for index, profile in enumerate(endpoint.profiles):
        if not _FELIX_PROFILE.fullmatch(profile):
            problems = [*problems, ("profiles[{0}]".format(index), profile, _FELIX_PROFILE_RULE)]
    for index, port in enumerate(endpoint.ports):
        if not port.name:
            problems = [*problems, ("ports[{0}].name".format(index), port.name, _PORT_NAME_RULE)]
        if port.protocol.upper() not in ("TCP", "UDP", "SCTP"):
            problems = [*problems, ("ports[{0}].protocol".format(index), port.protocol, _FELIX_PROTOCOL_RULE)]
        if not 1 <= port.port <= 65535:
            problems = [*problems, ("ports[{0}].port".format(index), port.port, _PORT_RULE)]
    return problems


RULES = Validators(_key_part, _ref, _labels, _interface, _profiles, _ports, _annotations, felix=_felix)
