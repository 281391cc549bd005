# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The labels that endpoints inherit from a profile of Calico v3.

Felix v3.32.1 takes them from the whole object, which calicoctl's validator must accept: if that refuses anything in it,
none of its labels counts, but its rules still do (measured). The checks are those of projectcalico/calico v3.32,
libcalico-go/lib/validator/v3/validator.go.
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator, List, Mapping, Tuple

from .._resources.hostendpoint import V3
from .._resources.selector import SelectorError, parse
from .._resources.validation_v3 import DNS_NAME, DNS_NAME_MAX, LABEL_NAME, PORT_NAME, is_qualified
from .connection import net_of

_ACTIONS = ("Allow", "Deny", "Log", "Pass")
_PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite")
_WITH_PORTS = ("TCP", "UDP", "SCTP", "6", "17", "132")
_ICMP = {"ICMP": 4, "ICMPv6": 6}
_MOST_METHODS = 20
_MOST_OF_A_PATH = 1024


def labels_of_profile(profile: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of a profile that was read as Go reads it; none where Calico's validator refuses it."""
    labels = profile["spec"].get("labelsToApply", {})
    return labels if labels and is_valid(profile) else {}


def is_valid(profile: Mapping[str, Any]) -> bool:
    """Whether calicoctl would store a profile that was read as Go reads it."""
    metadata, spec = profile["metadata"], profile["spec"]
    name = metadata.get("name", "")
    if len(name) > DNS_NAME_MAX or not DNS_NAME.fullmatch(name):
        return False
    if not all(_are_labels(each) for each in (metadata.get("labels", {}), spec.get("labelsToApply", {}))):
        return False
    return all(all(_checks(rule)) for key in ("ingress", "egress") for rule in spec.get(key, ()))


def _are_labels(labels: Mapping[str, str]) -> bool:
    return all(is_qualified(key) and (not text or LABEL_NAME.fullmatch(text)) for key, text in labels.items())


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
    for key in ("icmp", "notICMP"):
        yield _is_icmp(rule.get(key) or {}, key == "notICMP" or protocol in _ICMP)
    yield _is_http(rule)
    yield all(is_qualified(key.lower()) for key in (rule.get("metadata") or {}).get("annotations", {}))


def _is_protocol(text: str) -> bool:
    return text in _PROTOCOLS or text.isdigit() and text != "0"


def _are_nets(ends: Iterable[Mapping[str, Any]], version: Any) -> bool:
    texts = [text for end in ends for key in ("nets", "notNets") for text in end.get(key, ())]
    if any(text in ("0.0.0.0/0", "::/0") for end in ends for text in end.get("notNets", ())):
        return False
    versions = set()
    for text in texts:
        try:
            found = net_of(text)
            address = net_of(text.partition("/")[0])
        except ValueError:
            return False
        # No address alone, and no bits behind the prefix.
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
    texts: List[Tuple[str, bool]] = [
        (end.get("selector", ""), False),
        (end.get("notSelector", ""), True),
        (accounts.get("selector", ""), True),
        (end.get("namespaceSelector", ""), end.get("namespaceSelector", "").strip() == "global()"),
    ]
    return all(_is_selector(*each) for each in texts)


def _is_selector(text: str, may_be_global: bool) -> bool:
    try:
        parse(text, V3)
    except SelectorError:
        return False
    return may_be_global or "global()" not in text


def _is_icmp(icmp: Mapping[str, Any], has_protocol: bool) -> bool:
    kind, code = icmp.get("type"), icmp.get("code")
    if kind is None:
        return code is None
    return has_protocol and 0 <= kind <= 254 and (code is None or 0 <= code <= 255)


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
