# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of Calico's v3 data model: the JSON value of a host endpoint.

projectcalico/calico v3.32.1: api/pkg/apis/projectcalico/v3/hostendpoint.go, and Kubernetes' ObjectMeta. Calico reads
JSON with jsoniter, set up as in Kubernetes, and writes it with Go's encoding/json.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Union

from .._core import go_types
from .._core.errors import brief
from .._core.go_json import refuse_constant
from .._core.go_types import ZERO, Number, format_members, is_time, json_text, json_texts, to_json
from .._core.protocols import protocol_number
from .._plan.stored import Codec, Misnamed, Stored
from .._resources.hostendpoint import HostEndpoint, Port, as_host_endpoint
from .._resources.manifest import KINDS, V3_NAME
from .._resources.resource import Ref, Resource
from ._values.object_v3 import build_identity, in_order, read_kept, sort_keys, update_metadata
from ._values.stored_items import find_stored


def encode(endpoint: HostEndpoint, stored: Stored | None = None, uid: str = "", now: str = "") -> str:
    """The bytes that Calico v3.32.1 writes for an endpoint; stored fields that are not managed here are kept.

    An object without uid or creation time breaks every later update by calicoctl, so where one is missing, the given
    or a new one is written.
    """
    found = read_kept(stored, read_object)
    metadata, spec = found.get("metadata", {}), found.get("spec", {})
    identity = build_identity(metadata, uid, now)
    if not found:
        return _new(endpoint, identity["uid"], identity["creationTimestamp"])
    metadata = update_metadata({**metadata, **identity}, endpoint.name, endpoint.labels, endpoint.annotations)
    spec = dict(
        spec,
        node=endpoint.node,
        interfaceName=endpoint.interface_name,
        expectedIPs=endpoint.expected_ips,
        profiles=endpoint.profiles,
        ports=_encoded_ports(endpoint, spec.get("ports", [])),
    )
    found = dict(found, kind=KINDS[V3_NAME], apiVersion=V3_NAME, metadata=metadata, spec=in_order(_SPEC, spec))
    return to_json(in_order(_OBJECT, found))


def _new(endpoint: HostEndpoint, uid: str, now: str) -> str:
    """The bytes of a new endpoint, five times as fast."""
    parts = [_NEW, json_text(endpoint.name), ',"uid":"', uid, '","creationTimestamp":"', now, '"']
    if endpoint.labels:
        parts += [',"labels":', format_members(tuple(sorted(endpoint.labels.items())))]
    if endpoint.annotations:
        parts += [',"annotations":', to_json(sort_keys(endpoint.annotations))]
    parts += ['},"spec":{"node":', json_text(endpoint.node)]
    if endpoint.interface_name:
        parts += [',"interfaceName":', json_text(endpoint.interface_name)]
    if endpoint.expected_ips:
        parts += [',"expectedIPs":', json_texts(endpoint.expected_ips)]
    if endpoint.profiles:
        parts += [',"profiles":', json_texts(endpoint.profiles)]
    if endpoint.ports:
        parts += [',"ports":', to_json(_encoded_ports(endpoint, []))]
    return "".join(parts) + "}}"


_NEW = '{{"kind":"{0}","apiVersion":"{1}","metadata":{{"name":'.format(KINDS[V3_NAME], V3_NAME)
_SET_BY_CALICO = re.compile('"uid":"([0-9a-f-]{36})","creationTimestamp":"([0-9TZ:-]{20})"')


def _is_new(value: str, resource: Resource) -> bool:
    """Whether the value is that of a new endpoint like this, with any uid and time."""
    match = _SET_BY_CALICO.search(value)
    return match is not None and is_time(match.group(2)) and value == _new(as_host_endpoint(resource), *match.groups())


def decode(value: str, ref: Ref) -> HostEndpoint:
    """The endpoint that Calico reads from a value. Raises ValueError when it cannot, or when the name differs."""
    found = read_endpoint(value)
    if found.name != ref.name:
        problem = "metadata.name is {0}, not {1} as in the key"
        problem = problem.format(brief(found.name) or "missing", brief(ref.name))
        raise (Misnamed if found.name and found.node else ValueError)(problem)
    if not found.node:
        raise ValueError("spec.node is missing")
    return found


def read_endpoint(value: str) -> HostEndpoint:
    """The endpoint in a value, whatever its key; name and node may be "". Raises ValueError for what Go rejects."""
    found = _plain(value) or read_object(value)
    return build_endpoint(found.get("metadata", {}), found.get("spec", {}))


def build_endpoint(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> HostEndpoint:
    """The endpoint of an object as Go reads it."""
    return HostEndpoint(
        name=metadata.get("name", ""),
        node=spec.get("node", ""),
        labels=metadata.get("labels", {}),
        interface_name=spec.get("interfaceName", ""),
        expected_ips=tuple(spec.get("expectedIPs", ())),
        profiles=tuple(spec.get("profiles", ())),
        ports=tuple([_decoded_port(port) for port in spec.get("ports", ())]),
    )


def _annotations(value: str) -> Dict[str, str]:
    found: Dict[str, str] = read_object(value).get("metadata", {}).get("annotations", {})
    return found


CODEC = Codec(HostEndpoint, encode, decode, _is_new, _annotations, decode_for_felix=read_endpoint)


def _decoded_port(found: Mapping[str, Any]) -> Port:
    return Port(found.get("name", ""), found.get("protocol", "0"), int(found.get("port", ZERO).digits))


def _canonical_port(port: Union[Port, Mapping[str, Any]]) -> Port:
    return (port if isinstance(port, Port) else _decoded_port(port)).canonical()


def _encoded_ports(endpoint: HostEndpoint, stored: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The endpoint's ports, each with the fields of the same stored port that Go does not know."""
    ports = []
    for port, found in zip(endpoint.ports, find_stored(endpoint.ports, stored, _canonical_port)):
        # Calico keeps a number of up to 8 bits as a number.
        number = protocol_number(port.protocol)
        protocol = port.protocol if number is None else Number(number)
        known = {"name": port.name, "protocol": protocol, "port": Number(str(port.port))}
        unknown = {} if found is port else {key: item for key, item in found.items() if key not in _PORT}
        ports.append(dict(known, **unknown))
    return ports


# --- JSON ---


def read_object(value: str) -> Dict[str, Any]:
    """The object that Calico reads from a value: known keys as Go spells them, and others. Raises ValueError."""
    found: Dict[str, Any] = _READ(go_types.decode(value), None, "")
    return found


def _plain(value: str) -> Dict[str, Any] | None:
    """The same for a value as Calico usually writes it, five times as fast; None for any other value."""
    if any(mark in value for mark in _NOT_PLAIN):
        return None
    try:
        content = _PLAIN_DECODER.decode(value)
        metadata, spec = content["metadata"], content["spec"]
        labels = metadata.get("labels", {})
        texts = [labels.values(), spec.get("expectedIPs", ()), spec.get("profiles", ())]
        is_plain = (
            is_time(metadata["creationTimestamp"])
            # It has no duplicate keys.
            and len(content) + len(metadata) + len(labels) + len(spec) == value.count('":')
            and all(_PLAIN[key] is type(item) for part in (content, metadata, spec) for key, item in part.items())
            and all(_TEXT_ONLY.issuperset(map(type, items)) for items in texts)
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return content if is_plain else None


# Characters that could change the meaning of a string or the number of keys.
_NOT_PLAIN = ("\\", " ", "\n", "\t", "\r")
# A key has the same type wherever it occurs.
_PLAIN = {
    **dict.fromkeys(("kind", "apiVersion", "name", "uid", "creationTimestamp", "node", "interfaceName"), str),
    **dict.fromkeys(("metadata", "spec", "labels"), dict),
    **dict.fromkeys(("expectedIPs", "profiles"), list),
}
_TEXT_ONLY = frozenset([str])


_PLAIN_DECODER = json.JSONDecoder(parse_constant=refuse_constant)


# Go's structs: the JSON keys in the order in which they are written.
_PORT = {"name": go_types.text, "protocol": go_types.protocol, "port": go_types.number(65535)}
_SPEC = {
    "node": go_types.text,
    "interfaceName": go_types.text,
    "expectedIPs": go_types.read_list_with(go_types.text),
    "profiles": go_types.read_list_with(go_types.text),
    "ports": go_types.read_list_with(go_types.struct(_PORT)),
}
_OBJECT = {
    "kind": go_types.text,
    "apiVersion": go_types.text,
    "metadata": go_types.struct(go_types.METADATA),
    "spec": go_types.struct(_SPEC),
}
_READ = go_types.struct(_OBJECT)
