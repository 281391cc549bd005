# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of Calico's v1 data model: the JSON value of a host endpoint.

libcalico-go release-v2.6, lib/backend/model/hostendpoint.go.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Tuple

from .._errors import shown
from .._hostendpoint import V1, HostEndpoint, canonical_ip
from .._plan import Stored

# What may stand between the keys and the values of an object.
_GAP = re.compile(r"[\s:,]*")

# JSON key: its type, in the order of Go's struct (model.HostEndpoint).
_TYPES = {
    "name": str,
    "expected_ipv4_addrs": list,
    "expected_ipv6_addrs": list,
    "labels": dict,
    "profile_ids": list,
}


def encode(endpoint: HostEndpoint, stored: Stored | None = None) -> str:
    """The bytes that calicoctl v1.6.5 writes, and after them the keys of the stored value that are not Calico's."""
    endpoint = endpoint.as_stored(V1)
    value = {
        "name": endpoint.interface_name,
        "expected_ipv4_addrs": [ip for ip in endpoint.expected_ips if ":" not in ip],
        "expected_ipv6_addrs": [ip for ip in endpoint.expected_ips if ":" in ip],
        "labels": dict(sorted(endpoint.labels.items())),
        "profile_ids": list(endpoint.profiles),
    }
    value = {key: item for key, item in value.items() if item}
    text = json.dumps(value, separators=(",", ":"))
    unknown = _unknown_members(stored.value) if stored and not stored.error and "{" in stored.value else []
    if not unknown:
        return text
    return "{" + ",".join(([text[1:-1]] if value else []) + unknown) + "}"


def decode(value: str, identity: HostEndpoint) -> HostEndpoint:
    """The endpoint that Calico reads from a value. Raises ValueError when it reads none."""
    content = _load(value)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ValueError("the value is not a JSON object")
    found = {key: kind() for key, kind in _TYPES.items()}
    for key, item in content.items():
        # Go matches the keys of JSON without regard to case, and merges mappings.
        kind = _TYPES.get(key.lower())
        if not kind or item is None:
            continue
        if not isinstance(item, kind):
            raise ValueError("{0} is not a {1}: {2}".format(key, _NAMES[kind], shown(item)))
        found[key.lower()] = dict(found["labels"], **item) if kind is dict else item
    return HostEndpoint(
        name=identity.name,
        node=identity.node,
        interface_name=found["name"],
        expected_ips=tuple(_addresses(found, "expected_ipv4_addrs") + _addresses(found, "expected_ipv6_addrs")),
        labels={key: _text(item, "labels[{0}]".format(key)) for key, item in found["labels"].items()},
        profiles=tuple(_text(item, "profile_ids") for item in found["profile_ids"]),
    )


_NAMES = {str: "text", list: "list", dict: "mapping"}


def _load(value: str) -> Any:
    try:
        return _DECODER.decode(value)
    except RecursionError as exc:
        raise ValueError("the value is nested too deeply") from exc
    except ValueError as exc:
        raise ValueError("the value is not JSON: {0}".format(exc)) from exc


def _refuse(constant: str) -> None:
    raise ValueError("{0} is not JSON".format(constant))


def _number(digits: str) -> float:
    # Python refuses to read an integer of more than some thousand digits.
    return int(digits) if len(digits) < 1000 else float("inf")


def _merged(members: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """An object as Go reads it: mappings under a key that is there twice are merged, of others the last one counts."""
    found: Dict[str, Any] = {}
    for key, item in members:
        if isinstance(item, dict) and isinstance(found.get(key), dict):
            item = dict(found[key], **item)
        found[key] = item
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_number, object_pairs_hook=_merged)


def _unknown_members(value: str) -> List[str]:
    """The members of a stored object that are not Calico's, to the letter: Python would spell some numbers anew."""
    decoder = json.JSONDecoder()
    members = []
    end = _GAP.match(value, value.index("{") + 1).end()
    while value[end] == '"':
        start = end
        key, end = decoder.raw_decode(value, start)
        _item, end = decoder.raw_decode(value, _GAP.match(value, end).end())
        if key.lower() not in _TYPES:
            members.append(value[start:end])
        end = _GAP.match(value, end).end()
    return members


def _text(item: Any, where: str) -> str:
    if item is None:
        return ""
    if not isinstance(item, str):
        raise ValueError("{0} is not a text: {1}".format(where, shown(item)))
    return item


def _addresses(found: Dict[str, Any], key: str) -> List[str]:
    addresses = []
    for item in found[key]:
        try:
            # calicoctl takes an empty address, and so Calico reads one.
            text = _text(item, key)
            addresses.append(canonical_ip(text) if text else "")
        except ValueError as exc:
            raise ValueError("{0}: {1} is not an IP address".format(key, shown(item))) from exc
    return addresses
