# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The labels that endpoints inherit from a profile of Calico v3.

Felix v3.32.1 uses them only if calicoctl's validator accepts the whole object: else none of its labels counts, but its
rules still do (measured). The checks are those of projectcalico/calico v3.32,
libcalico-go/lib/validator/v3/validator.go.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Iterator, List, Mapping

from .._core.go_json import digits
from .._core.ip import parse_net
from .._core.protocols import ICMP, ICMPV6, SPELLINGS, WITH_PORTS_V3
from .._resources.selector import GRAMMAR_V3, SelectorError, parse
from .._resources.validation_v3 import DNS_NAME, DNS_NAME_MAX, LABEL_NAME, PORT_NAME, is_qualified
from .._resources.validators import MOST_ANNOTATION_BYTES, annotation_bytes

_ACTIONS = ("Allow", "Deny", "Log", "Pass")
_WITH_PORTS = (*[SPELLINGS[number] for number in WITH_PORTS_V3], *map(str, WITH_PORTS_V3))
_ICMP = {SPELLINGS[ICMP]: 4, SPELLINGS[ICMPV6]: 6}
_EVERYBODY = (parse_net("0.0.0.0/0"), parse_net("::/0"))
_MOST_METHODS = 20
_MOST_OF_A_PATH = 1024


def read_profile_labels(profile: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of a profile as Go reads it; empty if Calico's validator rejects it."""
    labels = profile["spec"].get("labelsToApply", {})
    return labels if labels and is_valid(profile) else {}


def is_valid(profile: Mapping[str, Any]) -> bool:
    """Whether calicoctl would store a profile, given as Go reads it."""
    metadata, spec = profile["metadata"], profile["spec"]
    name = metadata.get("name", "")
    if len(name) > DNS_NAME_MAX or not DNS_NAME.fullmatch(name):
        return False
    if not all(_are_labels(each) for each in (metadata.get("labels", {}), spec.get("labelsToApply", {}))):
        return False
    if not _are_annotations(metadata.get("annotations", {})):
        return False
    return all(all(_checks(rule)) for key in ("ingress", "egress") for rule in spec.get(key, ()))


def _are_labels(labels: Mapping[str, str]) -> bool:
    return all(is_qualified(key) and (not text or LABEL_NAME.fullmatch(text)) for key, text in labels.items())


def _are_annotations(annotations: Mapping[str, str]) -> bool:
    return all(is_qualified(key.lower()) for key in annotations) and annotation_bytes(annotations) <= (
        MOST_ANNOTATION_BYTES
    )


def _checks(rule: Mapping[str, Any]) -> Iterator[bool]:
    protocol, not_protocol = rule.get("protocol"), rule.get("notProtocol")
    version, ends = rule.get("ipVersion"), [rule.get(end, {}) for end in ("source", "destination")]
    yield rule.get("action", "") in _ACTIONS
    yield version in (None, 4, 6)
    yield all(each is None or _is_protocol(each) for each in (protocol, not_protocol))
    yield all(_ICMP.get(each or "", version) in (version, 0) or version is None for each in (protocol, not_protocol))
    yield _are_nets(ends, version)
    for end in ends:
        yield _are_ports(end, protocol)
        yield _are_selectors(end)
        yield _is_service(end)
    yield ends[1].get("services") is None or not (ends[1].get("ports") or ends[1].get("notPorts"))
    yield rule.get("icmp") is None or protocol in _ICMP
    yield all(_is_icmp(rule.get(key) or {}) for key in ("icmp", "notICMP"))
    yield _is_http(rule)
    yield _are_annotations((rule.get("metadata") or {}).get("annotations", {}))


def _is_protocol(text: str) -> bool:
    return text in SPELLINGS.values() or digits(text, 255) > 0


def _are_nets(ends: Iterable[Mapping[str, Any]], version: Any) -> bool:
    texts = [(key, text) for end in ends for key in ("nets", "notNets") for text in end.get(key, ())]
    versions = set()
    for key, text in texts:
        try:
            found = parse_net(text)
            address = parse_net(text.partition("/")[0])
        except ValueError:
            return False
        if key == "notNets" and found in _EVERYBODY:
            return False
        # A bare address and bits after the prefix are invalid.
        if "/" not in text or found[1] != address[1]:
            return False
        versions.add(found[0])
    return len(versions) < 2 and (version is None or versions.issubset([version]))


def _are_ports(end: Mapping[str, Any], protocol: Any) -> bool:
    ports: List[Any] = [*end.get("ports", ()), *end.get("notPorts", ())]
    names = [port for port in ports if isinstance(port, str)]
    numbers = [_first(port) for port in ports if not isinstance(port, str)]
    if not all(map(PORT_NAME.fullmatch, names)) or 0 in numbers:
        return False
    return protocol in _WITH_PORTS or not numbers and (protocol is None or not names)


def _first(port: Any) -> int:
    return port if isinstance(port, int) else port[0]


def _are_selectors(end: Mapping[str, Any]) -> bool:
    accounts = end.get("serviceAccounts") or {}
    selector, of_namespaces = end.get("selector", ""), end.get("namespaceSelector", "")
    try:
        for text in (selector, of_namespaces, end.get("notSelector", ""), accounts.get("selector", "")):
            parse(text, GRAMMAR_V3)
    except SelectorError:
        return False
    is_alone = "global(" not in of_namespaces or _GLOBAL.fullmatch(of_namespaces)
    return "global()" not in selector and bool(is_alone)


_GLOBAL = re.compile(r"[ \t]*global\([ \t]*\)[ \t]*")


def _is_service(end: Mapping[str, Any]) -> bool:
    service = end.get("services")
    if service is None:
        return True
    others = ("nets", "notNets", "selector", "notSelector", "namespaceSelector")
    names = (service.get("name", ""), service.get("namespace", "") or "default")
    return (
        all(len(name) <= DNS_NAME_MAX and DNS_NAME.fullmatch(name) for name in names)
        and end.get("serviceAccounts") is None
        and not any(end.get(key) for key in others)
    )


def _is_icmp(icmp: Mapping[str, Any]) -> bool:
    kind, code = icmp.get("type"), icmp.get("code")
    if kind is None:
        return code is None
    return 0 <= kind <= 254 and (code is None or 0 <= code <= 255)


def _is_http(rule: Mapping[str, Any]) -> bool:
    http = rule.get("http")
    if http is None:
        return True
    methods, paths = http.get("methods", []), http.get("paths", [])
    if rule.get("action") != "Allow" or rule.get("protocol") not in (None, "TCP") or len(methods) > _MOST_METHODS:
        return False
    return len(set(methods)) == len(methods) and all(map(_is_path, paths))


def _is_path(path: Mapping[str, str]) -> bool:
    texts = [text for text in (path.get("exact", ""), path.get("prefix", "")) if text]
    return len(texts) == 1 and all(
        text.startswith("/") and len(text) <= _MOST_OF_A_PATH and not set(text).intersection(" ?#") for text in texts
    )
