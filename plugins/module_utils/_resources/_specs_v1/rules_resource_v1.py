# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies and profiles of Calico v1.

Plain data in the form of a manifest. The defaults and forms are those that calicoctl v1.6.5 writes (libcalico-go
release-v2.6, lib/client, policy.go and rule.go).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Tuple, Type, TypeVar

from ..._core.errors import InvalidInput, shown
from ..._core.ip import format_net
from .._specs.field_types import FieldType
from .._specs.read_spec import read_struct
from .._specs.spec_resource import SpecResource, work_out_types
from ..manifest import V1_NAME
from .structs_v1 import MANIFESTS, POLICY, PROFILE, SPECS

# {end of a rule: whether Calico removes the host bits of its networks}
_ENDS = {"source": False, "destination": True}
# {list of networks: its form with one network}
SINGLE_NETS = {"nets": "net", "notNets": "notNet"}

_Self = TypeVar("_Self", bound="RulesV1")


class RulesV1(SpecResource):
    """A resource of Calico v1 with rules."""

    API_VERSION: ClassVar[str] = V1_NAME

    @property
    def spec_type(self) -> FieldType:
        return SPECS[self.KIND]

    def canonical(self: _Self) -> _Self:
        """The form that equal resources share: as stored, with every network in nets or notNets."""
        found = super().canonical()
        return dataclasses.replace(found, spec=_with_changed_ends(found.spec, _list_nets))

    def as_options(self) -> Dict[str, Any]:
        # As `calicoctl get` shows it.
        spec = _with_changed_ends(self.spec, _list_nets)
        return super(RulesV1, dataclasses.replace(self, spec=spec)).as_options()

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        return _with_changed_ends(spec, _format_nets)


class PolicyV1(RulesV1):
    KIND: ClassVar[str] = POLICY
    UNREADABLE_EFFECT: ClassVar[str] = "its rules do not apply"

    def _with_defaults(self, spec: Dict[str, Any]) -> Dict[str, Any]:
        types = spec.get("types") or [each.lower() for each in work_out_types(spec)]
        return {**super()._with_defaults(spec), "types": types}


@dataclasses.dataclass(frozen=True)
class ProfileV1(RulesV1):
    KIND: ClassVar[str] = PROFILE
    UNREADABLE_EFFECT: ClassVar[str] = "its rules, labels and tags do not all apply"

    tags: Tuple[str, ...] = ()

    def compared_values(self) -> Dict[str, Any]:
        return {"tags": self.tags, **super().compared_values()}

    def as_options(self) -> Dict[str, Any]:
        return {**super().as_options(), "tags": list(self.tags)}


TYPES: Mapping[str, Type[RulesV1]] = {each.KIND: each for each in (PolicyV1, ProfileV1)}


def read_manifest_v1(document: Mapping[str, Any]) -> RulesV1:
    """The policy or the profile of a user's manifest.

    Keys may be in any case. Raises InvalidInput, which names every unknown key and every value of the wrong type.
    """
    kind, api_version = document.get("kind"), document.get("apiVersion")
    if api_version != V1_NAME or not isinstance(kind, str) or kind not in TYPES:
        text = "resource: apiVersion {0} with kind {1} is not a policy or a profile of Calico v1; "
        text += "use apiVersion: {2} with kind: {3}"
        raise InvalidInput([text.format(shown(api_version), shown(kind), V1_NAME, " or ".join(TYPES))])
    found = read_struct(MANIFESTS[kind], document, "")
    metadata: Dict[str, Any] = {
        key: tuple(item) if key == "tags" else item for key, item in found.get("metadata", {}).items()
    }
    return TYPES[kind](spec=found.get("spec", {}), **metadata)


_Entity = Mapping[str, Any]


def _with_changed_ends(spec: Mapping[str, Any], change: Callable[[_Entity, bool], _Entity]) -> Dict[str, Any]:
    """A spec with both ends of each rule changed."""
    found = dict(spec)
    for key in ("ingress", "egress"):
        if found.get(key):
            found[key] = [
                {name: change(item, _ENDS[name]) if name in _ENDS and item else item for name, item in rule.items()}
                for rule in found[key]
            ]
    return found


def _format_nets(entity: _Entity, is_masked: bool) -> _Entity:
    """An end of a rule with its networks as Calico writes them; a string that is not a network is unchanged."""
    found = dict(entity)
    for nets, net in SINGLE_NETS.items():
        if found.get(net):
            found[net] = _format_net(found[net], is_masked)
        if found.get(nets):
            found[nets] = [_format_net(text, is_masked) for text in found[nets]]
    return found


def _format_net(text: str, is_masked: bool) -> str:
    try:
        return format_net(text, is_masked)
    except ValueError:
        return text


def _list_nets(entity: _Entity, _is_masked: bool) -> _Entity:
    """An end of a rule with its single networks at the end of the lists."""
    found = dict(entity)
    for nets, net in SINGLE_NETS.items():
        single = found.pop(net, "")
        if single:
            listed: List[str] = [*found.get(nets, ()), single]
            found[nets] = listed
    return found
