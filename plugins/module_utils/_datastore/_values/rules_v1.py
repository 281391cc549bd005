# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stored form of rules in Calico v1's data model.

libcalico-go release-v2.6: lib/backend/model/rule.go, and lib/client/rule.go for the forms of a manifest. It is one
struct without nested ones, in which dst_selector stands before dst_net.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping, Sequence, Tuple

from ..._core import go_types
from ..._core.errors import shown
from ..._core.go_json import Ambiguous
from ..._core.ip import parse_net
from ..._resources._specs.field_types import FieldType, list_of, struct_of, tidy
from ..._resources._specs_v1.rules_resource_v1 import SINGLE_NETS
from ..._resources._specs_v1.structs_v1 import RULE

# {stored key: where a manifest has it}
_PLACES: Dict[str, Tuple[str, ...]] = {
    "action": ("action",),
    "ip_version": ("ipVersion",),
    "protocol": ("protocol",),
    "!protocol": ("notProtocol",),
    "icmp_type": ("icmp", "type"),
    "icmp_code": ("icmp", "code"),
    "!icmp_type": ("notICMP", "type"),
    "!icmp_code": ("notICMP", "code"),
    "src_tag": ("source", "tag"),
    "src_net": ("source", "net"),
    "src_nets": ("source", "nets"),
    "src_selector": ("source", "selector"),
    "src_ports": ("source", "ports"),
    "dst_tag": ("destination", "tag"),
    "dst_selector": ("destination", "selector"),
    "dst_net": ("destination", "net"),
    "dst_nets": ("destination", "nets"),
    "dst_ports": ("destination", "ports"),
    "!src_tag": ("source", "notTag"),
    "!src_net": ("source", "notNet"),
    "!src_nets": ("source", "notNets"),
    "!src_selector": ("source", "notSelector"),
    "!src_ports": ("source", "notPorts"),
    "!dst_tag": ("destination", "notTag"),
    "!dst_selector": ("destination", "notSelector"),
    "!dst_net": ("destination", "notNet"),
    "!dst_nets": ("destination", "notNets"),
    "!dst_ports": ("destination", "notPorts"),
}
_KEYS = {place: key for key, place in _PLACES.items()}
# {stored action: that of a manifest}
_ACTIONS = {"": "allow", "allow": "allow", "deny": "deny", "log": "log", "next-tier": "pass"}
_STORED_ACTIONS = {action: stored for stored, action in _ACTIONS.items() if stored}


def _read_net(item: Any, before: Any, where: str) -> str:
    text = go_types.text(item, before, where)
    if not text:
        raise Ambiguous("{0} is an empty network".format(where))
    try:
        parse_net(text)
    except ValueError as exc:
        raise ValueError("{0} is not a network: {1}".format(where, shown(text))) from exc
    return text


def _read_action(item: Any, before: Any, where: str) -> str:
    text = go_types.text(item, before, where)
    if text not in _ACTIONS:
        raise ValueError("{0} is unknown to Felix: {1}".format(where, shown(text)))
    return text


def _get_type(place: Sequence[str]) -> FieldType:
    found = RULE
    for name in place:
        found = found.fields[name]
    if place[-1] in SINGLE_NETS.values():
        return dataclasses.replace(found, read=go_types.nullable(_read_net))
    if place[-1] in SINGLE_NETS:
        return list_of(FieldType(_read_net))
    return dataclasses.replace(found, read=_read_action) if place == ("action",) else found


STORED_RULE = struct_of({key: _get_type(place) for key, place in _PLACES.items()})


def to_stored(rule: Mapping[str, Any]) -> Dict[str, Any]:
    """The stored form of a manifest's rule."""
    found = {}
    for (section, *names), key in _KEYS.items():
        value: Any = rule.get(section)
        if names:
            value = (value or {}).get(names[0])
        if key == "action":
            value = _STORED_ACTIONS.get(value, value)
        found[key] = value
    return tidy_rule(found)


def from_stored(stored: Mapping[str, Any]) -> Dict[str, Any]:
    """A stored rule as a manifest has it. Calico reads a missing action as allow."""
    rule: Dict[str, Any] = {"action": _ACTIONS[stored.get("action", "")]}
    for key, (section, *names) in _PLACES.items():
        if key not in stored or key == "action":
            continue
        if names:
            rule.setdefault(section, {})[names[0]] = stored[key]
        else:
            rule[section] = stored[key]
    found: Dict[str, Any] = tidy(RULE, rule)
    return found


def tidy_rule(stored: Mapping[str, Any]) -> Dict[str, Any]:
    found: Dict[str, Any] = tidy(STORED_RULE, stored)
    return found
