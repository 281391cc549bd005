# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host endpoints as custom resources of Kubernetes: a content is the object, without managedFields.

projectcalico/calico v3.32.1: libcalico-go/lib/backend/k8s/resources/customresource.go and resources.go.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from ..._core.errors import brief
from ..._core.go_json import Ambiguous
from ..._core.protocols import protocol_number
from ..._plan.stored import Blinding, Codec, Misnamed, Stored
from ..._resources.hostendpoint import HostEndpoint, as_host_endpoint
from ..._resources.resource import Ref, Resource
from ..codec_v3 import build_endpoint, read_object
from .annotation import CalicoMetadata, move_out, read_metadata

KIND = "HostEndpoint"


def drop_managed_fields(document: Dict[str, Any]) -> Dict[str, Any]:
    """The content of an object. Half of its bytes are managedFields, which an update without them does not change."""
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return document


def format_object(document: Mapping[str, Any]) -> str:
    """The JSON of an object."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


class HostEndpointForm:
    """How an API of Calico keeps host endpoints."""

    def __init__(self, api: str, has_annotation: bool, counts: bool) -> None:
        self._api = api
        # Whether the API has Calico's metadata annotation, and whether labels in it count.
        self._has_annotation = has_annotation
        self._counts = counts

    def build_codec(self) -> Codec:
        return Codec(
            HostEndpoint,
            self.encode,
            self.decode,
            self.is_of,
            self.read_annotations,
            decode_for_felix=self.decode_for_felix,
            format=format_object,
        )

    def encode(self, endpoint: HostEndpoint, stored: Stored | None = None) -> Dict[str, Any]:
        """The object to write. What is stored and not managed here is kept where it is."""
        found = stored.content if stored else {}
        metadata = dict(found.get("metadata") or {}, name=endpoint.name, labels=dict(sorted(endpoint.labels.items())))
        native = move_out(metadata) if self._has_annotation else metadata.get("annotations") or {}
        metadata["annotations"] = {**native, **endpoint.annotations}
        spec = {**_get_dict(found, "spec"), **dict.fromkeys(_SPEC), **build_spec(endpoint)}
        return dict(
            found,
            apiVersion=self._api,
            kind=KIND,
            metadata={key: item for key, item in metadata.items() if item not in ({}, None)},
            spec={key: item for key, item in spec.items() if item is not None},
        )

    def decode(self, document: Mapping[str, Any], ref: Ref) -> HostEndpoint:
        """The endpoint that Calico reads. Raises ValueError when it cannot, or knows it under another name."""
        found, metadata = self._read(document)
        if metadata.name not in ("", ref.name):
            text = "its annotation gives it the name {0}, and Calico knows it under that name"
            raise Misnamed(text.format(brief(metadata.name)))
        if not found.node:
            raise ValueError("spec.node is missing")
        return found

    def decode_for_felix(self, document: Mapping[str, Any]) -> HostEndpoint:
        """The endpoint that Felix reads; the node may be ""."""
        return self._read(document)[0]

    def is_of(self, document: Mapping[str, Any], resource: Resource) -> bool:
        """Whether the object certainly is that of this resource."""
        if resource.annotations or document.get("spec") != build_spec(as_host_endpoint(resource)):
            return False
        try:
            metadata = self._read_metadata(document)
        except ValueError:
            return False
        return metadata.labels == resource.labels and metadata.name in ("", resource.name)

    def read_annotations(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        return self._read_metadata(document).annotations

    def _read(self, document: Mapping[str, Any]) -> tuple[HostEndpoint, CalicoMetadata]:
        spec: Any = document.get("spec")
        if not _is_plain(spec):
            try:
                spec = read_object(format_object(document)).get("spec", {})
            except Ambiguous:
                raise
            except ValueError as exc:
                raise Blinding(str(exc)) from exc
        metadata = self._read_metadata(document)
        name = metadata.name or _get_dict(document, "metadata").get("name", "")
        return build_endpoint({"name": name, "labels": metadata.labels}, spec), metadata

    def _read_metadata(self, document: Mapping[str, Any]) -> CalicoMetadata:
        return read_metadata(_get_dict(document, "metadata"), self._has_annotation, self._counts)


_SPEC = ("node", "interfaceName", "expectedIPs", "profiles", "ports")


def build_spec(endpoint: HostEndpoint) -> Dict[str, Any]:
    """The spec of an endpoint, without empty fields."""
    spec: Dict[str, Any] = {"node": endpoint.node}
    if endpoint.interface_name:
        spec["interfaceName"] = endpoint.interface_name
    if endpoint.expected_ips:
        spec["expectedIPs"] = list(endpoint.expected_ips)
    if endpoint.profiles:
        spec["profiles"] = list(endpoint.profiles)
    if endpoint.ports:
        spec["ports"] = [
            {"name": port.name, "protocol": _build_protocol(port.protocol), "port": port.port}
            for port in endpoint.ports
        ]
    return spec


def _build_protocol(text: str) -> str | int:
    number = protocol_number(text)
    return text if number is None else int(number)


def _is_plain(spec: Any) -> bool:
    """Whether a spec has only strings and lists of strings, and so needs no closer look."""
    if not isinstance(spec, dict):
        return False
    for key, item in spec.items():
        kind = _PLAIN.get(key)
        if kind is None or not isinstance(item, kind):
            return False
        if kind is list and not _TEXT_ONLY.issuperset(map(type, item)):
            return False
    return True


_PLAIN = {"node": str, "interfaceName": str, "expectedIPs": list, "profiles": list}
_TEXT_ONLY = frozenset([str])


def _get_dict(document: Mapping[str, Any], key: str) -> Dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
