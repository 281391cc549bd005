# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources of Calico v3 that endpoints depend on: policies, network sets, profiles, tiers, settings of Felix, nodes.

Plain data: name, labels, annotations, and a spec as `structs_v3` reads it. The defaults are those that calicoctl
v3.32.1 writes (libcalico-go/lib/clientv3, globalnetworkpolicy.go, stagedglobalnetworkpolicy.go, tier.go and
felixconfig.go, and the defaults of the CRDs).
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar, Dict, List, Mapping, Tuple, Type, TypeVar

from ..._core.go_types import json_text
from ..manifest import V3_NAME
from ..resource import Resource
from .field_types import FieldType, as_document, filled, tidy
from .structs_v3 import SPECS
from .validation_specs_v3 import OWN_TIERS

DEFAULT_TIER = "default"
# Of the names under which Calico before v3.32 stores policies in tier default.
DEFAULT_PREFIX = DEFAULT_TIER + "."
# Calico sets both on each write of a policy: its tier, and {"name": its name}.
TIER_LABEL = "projectcalico.org/tier"
NAME_ANNOTATION = "projectcalico.org/metadata"
DEFAULT_TIER_ORDER = 1000000.0

_ENCODER = json.JSONEncoder(check_circular=False, default=str)

_Self = TypeVar("_Self", bound="SpecResource")


@dataclasses.dataclass(frozen=True)
class SpecResource(Resource):
    """A resource whose fields are those of its spec, in Calico's spelling."""

    FIELDS: ClassVar[Tuple[str, ...]] = ("labels", "annotations", "spec")
    # Of a manifest.
    API_VERSION: ClassVar[str] = V3_NAME

    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def spec_type(self) -> FieldType:
        return SPECS[self.KIND]

    def as_stored(self: _Self) -> _Self:
        """The resource as Calico v3.32.1 stores it: defaults, and the empty fields that it writes."""
        return dataclasses.replace(self, spec=self._build_stored_spec())

    def _build_stored_spec(self) -> Dict[str, Any]:
        # No field has both a default and an empty value that Go writes. These are first, as `filled` has them.
        spec = self._with_defaults(tidy(self.spec_type, self.spec, is_filled=True))
        first = self.spec_type.always_fields
        return {**{name: spec[name] for name in first}, **spec} if first else spec

    def canonical(self: _Self) -> _Self:
        """The form that equal resources share: with Calico's defaults, without empty fields.

        Networks, selectors and the order of lists are compared as they are: Calico keeps them.
        """
        return dataclasses.replace(super().canonical(), spec=tidy(self.spec_type, self.as_stored().spec))

    def without_duplicates(self: _Self) -> _Self:
        """The resource as a Kubernetes API server accepts it, without repeated items in lists that are sets."""
        return dataclasses.replace(self, spec=_without_duplicates(self.spec))

    def compared_values(self) -> Dict[str, Any]:
        found: Dict[str, Any] = {"labels": self.labels, "annotations": self.annotations}
        found.update(("spec." + name, item) for name, item in self.spec.items())
        return found

    def as_options(self) -> Dict[str, Any]:
        options: Dict[str, Any] = {
            "name": self.name,
            "labels": dict(sorted(self.labels.items())),
            "spec": as_document(self.spec_type, tidy(self.spec_type, filled(self.spec_type, self.spec))),
        }
        if self.annotations:
            options["annotations"] = dict(sorted(self.annotations.items()))
        return options

    def count_bytes(self) -> int:
        """About the number of bytes that it takes in a datastore."""
        return len(_ENCODER.encode([dict(self.labels), dict(self.annotations), dict(self.spec)]))

    def as_manifest(self) -> Dict[str, Any]:
        """The resource as `calicoctl get` shows it, without what Calico sets itself."""
        options = self.as_options()
        spec = options.pop("spec")
        metadata = {key: item for key, item in options.items() if item}
        return {"apiVersion": self.API_VERSION, "kind": self.KIND, "metadata": metadata, "spec": spec}

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        """A tidy spec with the values that Calico sets on each write."""
        return spec


# By their fields, in the CRDs.
_SETS = ("nets", "types", "names")


def _without_duplicates(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: list(dict.fromkeys(item)) if key in _SETS and isinstance(item, list) else _without_duplicates(item)
            for key, item in value.items()
        }
    return [_without_duplicates(item) for item in value] if isinstance(value, list) else value


# The classes below add no fields. To decorate each of them again would take a millisecond of every run.


class PolicyResource(SpecResource):
    """A policy for host endpoints."""

    @property
    def tier(self) -> str:
        return self.spec.get("tier") or DEFAULT_TIER

    def can_be_stored_as(self, name: str) -> bool:
        return super().can_be_stored_as(name) or (self.tier == DEFAULT_TIER and name == DEFAULT_PREFIX + self.name)

    def as_stored(self: _Self) -> _Self:
        spec = self._build_stored_spec()
        labels = {**self.labels, TIER_LABEL: spec["tier"]}
        annotations = {**self.annotations, NAME_ANNOTATION: '{"name":' + json_text(self.name) + "}"}
        return dataclasses.replace(self, labels=labels, annotations=annotations, spec=spec)

    def canonical(self: _Self) -> _Self:
        return super().canonical().without_calicos_fields()

    def without_calicos_fields(self: _Self) -> _Self:
        labels = {key: text for key, text in self.labels.items() if key != TIER_LABEL}
        annotations = {key: text for key, text in self.annotations.items() if key != NAME_ANNOTATION}
        return dataclasses.replace(self, labels=labels, annotations=annotations)

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        return {**spec, "tier": self.tier, "types": spec.get("types") or work_out_types(spec)}


def work_out_types(spec: Mapping[str, Any]) -> List[str]:
    """The directions of a policy without types (libcalico-go/lib/clientv3/globalnetworkpolicy.go; v1 is the same)."""
    if not spec.get("egress"):
        return ["Ingress"]
    return ["Ingress", "Egress"] if spec.get("ingress") else ["Egress"]


class GlobalNetworkPolicy(PolicyResource):
    KIND: ClassVar[str] = "GlobalNetworkPolicy"
    UNREADABLE_EFFECT: ClassVar[str] = "its rules do not apply"


class StagedGlobalNetworkPolicy(PolicyResource):
    KIND: ClassVar[str] = "StagedGlobalNetworkPolicy"

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        action = spec.get("stagedAction") or "Set"
        found = {**super()._with_defaults(spec), "stagedAction": action}
        if action == "Delete":
            del found["types"]
        return found


class GlobalNetworkSet(SpecResource):
    KIND: ClassVar[str] = "GlobalNetworkSet"
    UNREADABLE_EFFECT: ClassVar[str] = "no selector matches its networks"


class ProfileResource(SpecResource):
    KIND: ClassVar[str] = "Profile"
    UNREADABLE_EFFECT: ClassVar[str] = "its rules and labels do not apply"


class TierResource(SpecResource):
    KIND: ClassVar[str] = "Tier"
    UNREADABLE_EFFECT: ClassVar[str] = "its policies are evaluated last"

    @property
    def is_permanent(self) -> bool:
        return self.name in OWN_TIERS

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        return {"order": DEFAULT_TIER_ORDER, "defaultAction": "Deny", **spec}


class FelixConfiguration(SpecResource):
    KIND: ClassVar[str] = "FelixConfiguration"
    UNREADABLE_EFFECT: ClassVar[str] = "Felix stops on the hosts that it applies to"

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        found = {**_FELIX_DEFAULTS, **spec}
        is_enabled = spec.get("bpfConnectTimeLoadBalancingEnabled")
        if is_enabled is not None:
            # The deprecated setting takes precedence.
            found["bpfConnectTimeLoadBalancing"] = "Enabled" if is_enabled else "Disabled"
            found["bpfHostNetworkedNATWithoutCTLB"] = "Disabled"
        return found


_FELIX_DEFAULTS = {
    "nftablesMode": "Auto",
    "bpfConnectTimeLoadBalancing": "TCP",
    "bpfHostNetworkedNATWithoutCTLB": "Enabled",
    "floatingIPs": "Disabled",
}


class NodeResource(SpecResource):
    KIND: ClassVar[str] = "Node"
    UNREADABLE_EFFECT: ClassVar[str] = "Calico treats the node as missing"


TYPES: Mapping[str, Type[SpecResource]] = {
    each.KIND: each
    for each in (
        GlobalNetworkPolicy,
        StagedGlobalNetworkPolicy,
        GlobalNetworkSet,
        ProfileResource,
        TierResource,
        FelixConfiguration,
        NodeResource,
    )
}
