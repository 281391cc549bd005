# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of Calico's v1 data model: the JSON value of a host endpoint, and names in keys.

libcalico-go release-v2.6, lib/backend/model, hostendpoint.go and name.go.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Dict, List, Match, Tuple, cast

from .._core.errors import shown
from .._core.go_json import check_depth, folded, parse_int, refuse_constant, replace_halves
from .._core.ip import canonical_ip
from .._plan.stored import Codec, Stored
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint
from .._resources.resource import Ref

# The separators between the keys and values of an object.
_GAP = re.compile(r"[\s:,]*")

# A space between a key and its colon, which is rare.
_SPACED = re.compile(r'"\s+:')

# JSON key: its type, in the order of Go's struct (model.HostEndpoint).
_TYPES = {
    "name": str,
    "expected_ipv4_addrs": list,
    "expected_ipv6_addrs": list,
    "labels": dict,
    "profile_ids": list,
}


def escape_name(name: str) -> str:
    """The name as a part of a key, the percent sign escaped first."""
    return name.replace("%", "%25").replace("/", "%2f")


def unescape_name(text: str) -> str:
    return text.replace("%2f", "/").replace("%25", "%") if "%" in text else text


def encode(endpoint: HostEndpoint, stored: Stored | None = None) -> str:
    """The bytes that calicoctl v1.6.5 writes for an endpoint as_stored.

    After them come the keys of the stored value that are not Calico's.
    """
    members = []
    if endpoint.interface_name:
        members.append('"name":' + _json(endpoint.interface_name))
    for key, addresses in (
        ("expected_ipv4_addrs", [ip for ip in endpoint.expected_ips if ":" not in ip]),
        ("expected_ipv6_addrs", [ip for ip in endpoint.expected_ips if ":" in ip]),
    ):
        if addresses:
            members.append('"{0}":["{1}"]'.format(key, '","'.join(addresses)))
    if endpoint.labels:
        members.append('"labels":' + _json_object(tuple(sorted(endpoint.labels.items()))))
    if endpoint.profiles:
        members.append('"profile_ids":' + _json(endpoint.profiles))
    if stored and not stored.error and "{" in stored.value:
        members += _unknown_members(stored.value)
    return "{" + ",".join(members) + "}"


_ENCODER = json.JSONEncoder(separators=(",", ":"))


# Here and below: the endpoints of a fleet share few interface names, labels and profiles.
@functools.lru_cache(maxsize=65536)
def _json(item: str | Tuple[str, ...]) -> str:
    return _ENCODER.encode(item)


@functools.lru_cache(maxsize=65536)
def _json_object(members: Tuple[Tuple[str, str], ...]) -> str:
    return _ENCODER.encode(dict(members))


def decode(value: str, ref: Ref) -> HostEndpoint:
    """The endpoint that Calico reads from a value. Raises ValueError when Calico cannot read it."""
    content = _load(value)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ValueError("the value is not a JSON object")
    found: Dict[str, Any] = {}
    for key, item in content.items():
        # Go matches the keys of JSON without regard to case, and merges mappings.
        field = folded(key)
        kind = _TYPES.get(field)
        if not kind or item is None:
            continue
        if not isinstance(item, kind):
            raise ValueError("{0} is not a {1}: {2}".format(key, _NAMES[kind], shown(item)))
        found[field] = dict(found[field], **item) if kind is dict and field in found else item
    return HostEndpoint(
        name=ref.name,
        node=ref.node,
        labels={key: _text(item, "labels", key) for key, item in found.get("labels", {}).items()},
        interface_name=found.get("name", ""),
        expected_ips=(*_addresses(found, "expected_ipv4_addrs"), *_addresses(found, "expected_ipv6_addrs")),
        profiles=tuple([_text(item, "profile_ids") for item in found.get("profile_ids", ())]),
    )


CODEC = Codec(HostEndpoint, encode, decode, is_of=lambda value, resource: value == encode(as_host_endpoint(resource)))

_NAMES = {str: "string", list: "list", dict: "mapping"}


def _load(value: str) -> Any:
    check_depth(value)
    try:
        content = _PLAIN_DECODER.decode(value)
        if _members(content) == value.count('":') and not _SPACED.search(value):
            # It has no duplicate keys.
            return replace_halves(content, value)
    except ValueError:
        # The code below raises the error.
        pass
    try:
        return replace_halves(_DECODER.decode(value), value)
    except ValueError as exc:
        raise ValueError("the value is not JSON: {0}".format(exc)) from exc


def _members(content: Any) -> int:
    """The number of keys in an object and in the objects in it."""
    if not isinstance(content, dict):
        return 0
    return len(content) + sum([len(item) for item in content.values() if isinstance(item, dict)])


def _merged(members: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """An object as Go reads it: mappings of a duplicate key are merged; of other values, the last one counts."""
    found: Dict[str, Any] = {}
    for key, item in members:
        if isinstance(item, dict) and isinstance(found.get(key), dict):
            item = dict(found[key], **item)
        found[key] = item
    return found


# Three times as fast, and enough for everything that Calico writes.
_PLAIN_DECODER = json.JSONDecoder(parse_constant=refuse_constant)
_DECODER = json.JSONDecoder(parse_constant=refuse_constant, parse_int=parse_int, object_pairs_hook=_merged)


def _unknown_members(value: str) -> List[str]:
    """The members of a stored object that are not Calico's, byte for byte, since Python would rewrite some numbers."""
    decoder = json.JSONDecoder(parse_int=parse_int)
    members = []
    end = _after_gap(value, value.index("{") + 1)
    while value[end] == '"':
        start = end
        key, end = decoder.raw_decode(value, start)
        _item, end = decoder.raw_decode(value, _after_gap(value, end))
        if key.lower() not in _TYPES:
            members.append(value[start:end])
        end = _after_gap(value, end)
    return members


def _after_gap(value: str, position: int) -> int:
    # A gap may be empty, so it always matches.
    return cast(Match[str], _GAP.match(value, position)).end()


def _text(item: Any, where: str, key: str = "") -> str:
    if isinstance(item, str):
        return item
    if item is None:
        return ""
    raise ValueError("{0}{1} is not a string: {2}".format(where, key and "[{0}]".format(key), shown(item)))


def _addresses(found: Dict[str, Any], key: str) -> List[str]:
    addresses = []
    for item in found.get(key, ()):
        try:
            # calicoctl accepts an empty address, so Calico reads one.
            text = _text(item, key)
            addresses.append(canonical_ip(text) if text else "")
        except ValueError as exc:
            raise ValueError("{0}: {1} is not an IP address".format(key, shown(item))) from exc
    return addresses
