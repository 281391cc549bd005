# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of Calico's v3 data model: the JSON values of what endpoints depend on.

projectcalico/calico v3.32.1: libcalico-go/lib/clientv3 (defaults), libcalico-go/lib/backend/model/keys.go (names of
policies). Calico reads JSON with jsoniter, set up as in Kubernetes, and writes it with Go's encoding/json.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Dict, Mapping

from ..._core import go_json, go_types
from ..._core.errors import brief
from ..._core.go_types import is_time, json_text, to_json
from ..._plan.stored import Codec, Misnamed, Stored
from ..._resources._specs.field_types import FieldType, as_document, filled, tidy
from ..._resources._specs.spec_resource import (
    DEFAULT_PREFIX,
    DEFAULT_TIER,
    NAME_ANNOTATION,
    TIER_LABEL,
    TYPES,
    PolicyResource,
    SpecResource,
)
from ..._resources._specs.structs_v3 import SPECS, STATUSES, build_reader
from ..._resources.manifest import V3_NAME
from ..._resources.resource import Ref, Resource
from .calico_version import NEWEST, CalicoVersion, as_written, has_tier_status
from .object_v3 import build_identity, read_kept, sort_keys, update_metadata
from .spec_text import format_mapping, format_value
from .stored_items import find_stored

# {kind: its plural name}
PLURALS = {
    "GlobalNetworkPolicy": "globalnetworkpolicies",
    "StagedGlobalNetworkPolicy": "stagedglobalnetworkpolicies",
    "GlobalNetworkSet": "globalnetworksets",
    "Profile": "profiles",
    "Tier": "tiers",
    "FelixConfiguration": "felixconfigurations",
    "Node": "nodes",
}
# Of all kinds of policies, which a tier may have.
PLURALS_OF_POLICIES = {
    "GlobalNetworkPolicy": "globalnetworkpolicies",
    "NetworkPolicy": "networkpolicies",
    "StagedGlobalNetworkPolicy": "stagedglobalnetworkpolicies",
    "StagedNetworkPolicy": "stagednetworkpolicies",
}
_READ_METADATA = go_types.struct(go_types.METADATA)
_SET_BY_CALICO = re.compile('"uid":"([0-9a-f-]{36})","creationTimestamp":"([0-9TZ:-]{20})"')


def build_codec(kind: str, version: CalicoVersion = NEWEST) -> Codec:
    """The codec of a kind of `PLURALS` on etcdv3, as this version of Calico writes it."""
    form = SpecForm(kind, version)
    return Codec(
        TYPES[kind],
        form.encode,
        form.decode,
        form.is_of,
        form.read_annotations,
        form.decode_for_felix,
        has_other_names=form.is_policy,
    )


class SpecForm:
    """How etcdv3 keeps the resources of a kind."""

    def __init__(self, kind: str, version: CalicoVersion = NEWEST) -> None:
        self._kind = kind
        self._version = version
        self._type = TYPES[kind]
        self._spec = SPECS[kind]
        self.is_policy = issubclass(self._type, PolicyResource)
        # Go always writes the status. Its content is not managed here.
        self._has_status = kind in STATUSES and (kind != "Tier" or has_tier_status(version))
        self._read = build_reader(kind)
        # Of a new object.
        self._start = '{{"kind":"{0}","apiVersion":"{1}","metadata":{{"name":'.format(kind, V3_NAME)

    def encode(self, resource: SpecResource, stored: Stored | None = None, uid: str = "", now: str = "") -> str:
        """The bytes that Calico writes for a resource; stored fields that are not managed here are kept.

        A stored policy keeps the name in its metadata, like its key: NAME, or default.NAME as before v3.32.
        """
        resource = resource.as_stored()
        found = read_kept(stored, self.read_object)
        identity = build_identity(found.get("metadata", {}), uid, now)
        if not found:
            name = self._get_stored_name(resource, stored)
            return self._format_new(resource, name, identity["uid"], identity["creationTimestamp"])
        new = as_written(resource, self._version)
        metadata = {**found["metadata"], **identity}
        known: Dict[str, Any] = {
            "kind": self._kind,
            "apiVersion": V3_NAME,
            "metadata": update_metadata(metadata, self._get_stored_name(resource, stored), new.labels, new.annotations),
            "spec": self.build_spec(new, found),
        }
        if self._has_status:
            known["status"] = found.get("status") or {}
        return to_json({**known, **{key: item for key, item in found.items() if key not in known}})

    def _format_new(self, resource: SpecResource, name: str, uid: str, now: str) -> str:
        """The bytes of a new resource, given as_stored, four times as fast."""
        new = as_written(resource, self._version)
        parts = [self._start, json_text(name), ',"uid":"', uid, '","creationTimestamp":"', now, '"']
        if new.labels:
            parts += [',"labels":', format_mapping(new.labels)]
        if new.annotations:
            parts += [',"annotations":', format_mapping(new.annotations)]
        parts += ['},"spec":', format_value(self._spec, new.spec), ',"status":{}}' if self._has_status else "}"]
        return "".join(parts)

    def build_spec(self, resource: SpecResource, found: Mapping[str, Any]) -> Dict[str, Any]:
        """The spec of a resource as Go writes it, with the fields of the object `found` that Go does not know."""
        stored = found.get("spec")
        known = _with_unknown(self._spec, resource.spec, stored) if stored else resource.spec
        spec: Dict[str, Any] = as_document(self._spec, known)
        return spec

    def _get_stored_name(self, resource: SpecResource, stored: Stored | None) -> str:
        if not self.is_policy:
            return resource.name
        return stored.name if stored and not stored.misplaced else self._version.list_names(resource.name)[0]

    def decode(self, value: str, ref: Ref) -> SpecResource:
        """The resource that Calico reads from a value.

        Raises ValueError when it cannot, or when the name differs from the key's: that of a policy may lack the prefix
        `default.`.
        """
        found = self.decode_for_felix(value)
        if not found.name:
            if self.read_object(value).get("metadata", {}).get("name"):
                raise ValueError("the annotation {0} replaces metadata.name, and has no name".format(NAME_ANNOTATION))
            raise ValueError("metadata.name is missing")
        if not found.can_be_stored_as(ref.name):
            raise Misnamed("its name is {0}, not {1} as in the key".format(brief(found.name), brief(ref.name)))
        return found

    def decode_for_felix(self, value: str) -> SpecResource:
        """The resource in a value, whatever its key; the name may be "". Raises ValueError for what Go rejects."""
        found = self.read_object(value)
        metadata = found.get("metadata", {})
        spec = tidy(self._spec, found.get("spec", {}))
        name, labels = metadata.get("name", ""), metadata.get("labels", {})
        if self.is_policy:
            name = _read_policy_name(metadata, spec.get("tier", ""))
            # Whatever its tier is.
            labels = labels if TIER_LABEL in labels else {**labels, TIER_LABEL: DEFAULT_TIER}
        return self._type(name=name, labels=sort_keys(labels), spec=spec)

    def read_annotations(self, value: str) -> Mapping[str, str]:
        """All annotations of a value but Calico's own annotation of a policy, which `calicoctl get` does not show."""
        found: Mapping[str, str] = self.read_object(value).get("metadata", {}).get("annotations", {})
        return {key: text for key, text in found.items() if not self.is_policy or key != NAME_ANNOTATION}

    def is_of(self, value: str, resource: Resource) -> bool:
        """Whether the value is that of a new resource like this, with any uid and time."""
        match = _SET_BY_CALICO.search(value)
        if match is None or not is_time(match.group(2)) or not isinstance(resource, self._type):
            return False
        return value == self._format_new(resource, self._get_stored_name(resource, None), *match.groups())

    def read_object(self, value: str) -> Dict[str, Any]:
        found: Dict[str, Any] = self._read(go_types.decode(value), None, "")
        return found


def read_tier(value: str) -> str:
    """The tier of a policy of any kind; "" if the value cannot be read."""
    try:
        found = go_json.struct(go_json.struct(go_json.load(value)).get("spec"))
        return go_json.text(found, "tier") or DEFAULT_TIER
    except ValueError:
        return ""


def _read_policy_name(metadata: Mapping[str, Any], tier: str) -> str:
    """The name of a stored policy, as Calico shows it. Raises ValueError for an annotation that it cannot read."""
    name: str = metadata.get("name", "")
    text = metadata.get("annotations", {}).get(NAME_ANNOTATION, "")
    if text:
        try:
            original: str = _READ_METADATA(go_types.decode(text), None, "").get("name", "")
        except ValueError as exc:
            raise ValueError("the annotation {0} cannot be read: {1}".format(NAME_ANNOTATION, exc)) from exc
        return original
    return (
        name[len(DEFAULT_PREFIX) :]
        if (tier or DEFAULT_TIER) == DEFAULT_TIER and name.startswith(DEFAULT_PREFIX)
        else name
    )


def _with_unknown(kind: FieldType, spec: Mapping[str, Any], found: Mapping[str, Any]) -> Dict[str, Any]:
    """A spec with the stored fields that Go does not know, and each unchanged rule with those of the stored rule."""
    kept = dict(spec, **{name: item for name, item in found.items() if name not in kind.fields})
    for name, each in kind.fields.items():
        if each.item and each.item.is_struct and kept.get(name) and found.get(name):
            rules = find_stored(kept[name], found[name], functools.partial(tidy, each.item))
            kept[name] = [filled(each.item, rule) for rule in rules]
    return kept
