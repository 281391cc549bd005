# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, network sets, tiers and so on as custom resources of Kubernetes: a content is the object.

projectcalico/calico v3.32.1: libcalico-go/lib/backend/k8s/resources/resources.go. An object is read as the value that
Calico would have in etcd. The name of an object never changes, so a policy that is stored as default.NAME, as before
v3.32, keeps it. Its own name is in Calico's annotation: without that, v3.32 reads default.NAME.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Mapping

from ..._core.go_json import Ambiguous
from ..._core.go_types import to_json
from ..._plan.stored import Blinding, Codec, Misnamed, Stored
from ..._resources._specs.spec_resource import (
    DEFAULT_TIER,
    NAME_ANNOTATION,
    TYPES,
    PolicyResource,
    SpecResource,
)
from ..._resources.resource import Ref, Resource
from .._values.calico_version import NEWEST, CalicoVersion, as_written
from .._values.codec_specs_v3 import PLURALS, SpecForm
from .annotation import ANNOTATION, move_out, read_metadata, read_policy_name
from .codec import format_object
from .objects import build_value

_RULES = ("ingress", "egress")
_ENDS = ("source", "destination")


class SpecObjectForm:
    """How an API of Calico keeps the resources of a kind."""

    def __init__(
        self, kind: str, api: str, has_annotation: bool, counts: bool, version: CalicoVersion = NEWEST
    ) -> None:
        self._kind = kind
        self._api = api
        # Whether the API has Calico's metadata annotation, and whether labels in it count.
        self._has_annotation = has_annotation
        self._counts = counts
        self._version = version
        self._in_etcd = SpecForm(kind)
        # calico-apiserver and native CRDs of projectcalico.org/v3 have the policy's own name.
        self._has_other_names = self._in_etcd.is_policy and has_annotation

    def build_codec(self) -> Codec:
        return Codec(
            TYPES[self._kind],
            self.encode,
            self.decode,
            self.is_of,
            self.read_annotations,
            decode_for_felix=self.decode_for_felix,
            format=format_object,
            has_other_names=self._has_other_names,
        )

    def encode(self, resource: SpecResource, stored: Stored | None = None) -> Dict[str, Any]:
        """The object to write. What is stored and not managed here is kept where it is."""
        found: Mapping[str, Any] = stored.content if stored else {}
        resource = as_written(resource, self._version)
        metadata = dict(found.get("metadata") or {}, labels=dict(sorted(resource.labels.items())))
        metadata["name"] = stored.name if stored else self._name_new(resource)
        name = resource.name if self._in_etcd.is_policy else ""
        native = move_out(metadata, name) if self._has_annotation else metadata.get("annotations") or {}
        if self._has_other_names and metadata["name"] != name:
            native = {ANNOTATION: to_json({"name": name}), **native}
        metadata["annotations"] = {**native, **self._get_given_annotations(resource.annotations)}
        return dict(
            found,
            apiVersion=self._api,
            kind=self._kind,
            metadata={key: item for key, item in metadata.items() if item not in ({}, None)},
            spec=self._build_spec(resource, stored),
        )

    def _name_new(self, resource: SpecResource) -> str:
        return self._version.list_names(resource.name)[0] if self._has_other_names else resource.name

    def decode(self, document: Mapping[str, Any], ref: Ref) -> SpecResource:
        """The resource that Calico reads. Raises ValueError when it cannot, or knows it under another name."""
        value = self._build_value(document)
        try:
            return self._in_etcd.decode(value, ref)
        except (Ambiguous, Misnamed):
            raise
        except ValueError as exc:
            raise Blinding(str(exc)) from exc

    def decode_for_felix(self, document: Mapping[str, Any]) -> SpecResource:
        """The resource that Felix reads."""
        return self._in_etcd.decode_for_felix(self._build_value(document))

    def is_of(self, document: Mapping[str, Any], resource: Resource) -> bool:
        """Whether the object certainly is that of this resource."""
        if not isinstance(resource, TYPES[self._kind]) or self._get_given_annotations(resource.annotations):
            return False
        resource = as_written(resource, self._version)
        if document.get("spec") != self._build_spec(resource):
            return False
        metadata = document.get("metadata") or {}
        try:
            found = read_metadata(metadata, self._has_annotation, self._counts)
        except ValueError:
            return False
        name = found.name or metadata.get("name")
        if isinstance(resource, PolicyResource):
            is_in_default = resource.tier == DEFAULT_TIER
            name = read_policy_name(metadata, found, is_in_default, self._has_annotation, self._counts)
        return (name, found.labels) == (resource.name, resource.labels)

    def read_annotations(self, document: Mapping[str, Any]) -> Mapping[str, str]:
        metadata = document.get("metadata") or {}
        return self._get_given_annotations(read_metadata(metadata, self._has_annotation, self._counts).annotations)

    def _get_given_annotations(self, annotations: Mapping[str, str]) -> Mapping[str, str]:
        """Without the annotation of a policy's name, which exists in etcd only."""
        if not self._in_etcd.is_policy:
            return annotations
        return {key: text for key, text in annotations.items() if key != NAME_ANNOTATION}

    def _build_value(self, document: Mapping[str, Any]) -> str:
        return build_value(PLURALS[self._kind], document, self._has_annotation, self._counts)

    def _build_spec(self, resource: SpecResource, stored: Stored | None = None) -> Dict[str, Any]:
        """The spec to write, with the stored fields that Go does not know."""
        known: Mapping[str, Any] = {}
        with contextlib.suppress(ValueError):
            known = self._in_etcd.read_object(self._build_value(stored.content)) if stored else {}
        found: Dict[str, Any] = json.loads(to_json(self._in_etcd.build_spec(resource, known)))
        # kube-apiserver 1.20 rejects an empty bpfLogLevel; for Calico, it equals an absent one.
        found = {key: item for key, item in found.items() if item != ""}
        for name in _RULES:
            if name in found:
                # Unlike in etcd, Calico omits the empty ones here.
                found[name] = [
                    {key: item for key, item in rule.items() if item or key not in _ENDS} for rule in found[name]
                ]
        return found
