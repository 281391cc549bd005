# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of Calico v1's data model: the values of policies and profiles.

libcalico-go release-v2.6: lib/backend/model, policy.go and profile.go; lib/client, policy.go and profile.go;
lib/backend/compat/compat.go. A profile has three keys. For calicoctl it exists if it has tags, for Felix if it has
rules.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from ..._core import go_types
from ..._core.go_types import Number, real_number, to_json
from ..._plan.stored import Codec, Stored, Unlisted
from ..._resources._specs.field_types import (
    FLAG,
    LIST_OF_TEXT,
    REAL,
    TEXT,
    TEXTS,
    FieldType,
    always,
    as_document,
    format_order,
    list_of,
    struct_of,
)
from ..._resources._specs_v1.rules_resource_v1 import PolicyV1, ProfileV1, RulesV1
from ..._resources.resource import Ref, Resource
from .rules_v1 import STORED_RULE, from_stored, tidy_rule, to_stored
from .stored_items import find_stored


def _format_order(value: float) -> Any:
    """A number as Go 1.19 writes it: with one digit in an exponent where that is enough."""
    found = format_order(value)
    return Number(real_number(found).digits.replace("e-0", "e-")) if isinstance(found, float) else found


# {stored list of rules: that of a manifest}
_RULES = {"inbound_rules": "ingress", "outbound_rules": "egress"}
# {stored field of a policy: that of a manifest}
_FIELDS = {
    "order": "order",
    "selector": "selector",
    "untracked": "doNotTrack",
    "pre_dnat": "preDNAT",
    "types": "types",
}
_LIST_OF_RULES = list_of(STORED_RULE)
_POLICY = struct_of(
    {
        "order": dataclasses.replace(REAL, write=_format_order),
        "inbound_rules": _LIST_OF_RULES,
        "outbound_rules": _LIST_OF_RULES,
        "selector": always(TEXT, ""),
        "untracked": FLAG,
        "annotations": TEXTS,
        "pre_dnat": FLAG,
        "types": LIST_OF_TEXT,
    }
)
_PROFILE_RULES = struct_of(dict.fromkeys(_RULES, _LIST_OF_RULES))


# --- Policies ---


def encode_policy(policy: PolicyV1, stored: Optional[Stored] = None) -> str:
    """The bytes that calicoctl v1.6.5 writes for a policy.

    Stored annotations that are not given, and stored keys that are not Calico's, are kept.
    """
    kept = _read_kept(_POLICY, stored.value if stored and not stored.misplaced else "")
    new = policy.as_stored()
    fields = {key: new.spec[name] for key, name in _FIELDS.items() if name in new.spec}
    annotations = {**kept.get("annotations", {}), **new.annotations}
    return _write(_POLICY, {"selector": "", "annotations": annotations, **fields, **_write_rules(new, kept)}, kept)


def decode_policy(value: str, ref: Ref) -> PolicyV1:
    """The policy that Calico reads from a value. Raises ValueError when it cannot, or when Felix rejects an action."""
    found = _read(_POLICY, value)
    spec = {name: found[key] for key, name in _FIELDS.items() if key in found}
    if not spec.get("types"):
        spec["types"] = ["ingress"] if spec.get("preDNAT") else ["ingress", "egress"]
    return PolicyV1(name=ref.name, spec={**spec, **_read_rules(found)})


def _read_annotations(value: str) -> Mapping[str, str]:
    found: Mapping[str, str] = _read(_POLICY, value).get("annotations", {})
    return found


def _is_policy(value: str, resource: Resource) -> bool:
    return isinstance(resource, PolicyV1) and value == encode_policy(resource)


POLICY_CODEC = Codec(PolicyV1, encode_policy, decode_policy, _is_policy, _read_annotations)


# --- Profiles ---


class ProfileParts(NamedTuple):
    """The values of a profile's keys, in the order in which calicoctl writes them; None for a missing key."""

    tags: Optional[str] = None
    labels: Optional[str] = None
    rules: Optional[str] = None


def encode_profile(profile: ProfileV1, stored: Optional[Stored] = None) -> ProfileParts:
    """The bytes that calicoctl v1.6.5 writes for a profile. Keys of its rules that are not Calico's are kept."""
    kept = _read_kept(_PROFILE_RULES, stored.content.rules or "" if stored and not stored.misplaced else "")
    new = profile.as_stored()
    return ProfileParts(
        tags=to_json(new.tags),
        labels=to_json(dict(sorted(new.labels.items()))),
        rules=_write(_PROFILE_RULES, _write_rules(new, kept), kept),
    )


def decode_profile(parts: ProfileParts, ref: Ref) -> ProfileV1:
    """The profile that Calico reads from its keys.

    Raises ValueError for a value that Calico cannot read and for missing rules, and Unlisted for missing tags. A
    profile of Calico before v1.0 has no labels.
    """
    if parts.rules is None:
        text = "the key rules is missing, so for Felix the profile is missing, and traffic that reaches it is rejected"
        raise ValueError(text)
    profile = ProfileV1(
        name=ref.name,
        labels=_read_part(go_types.texts, parts.labels, "labels") or {},
        tags=tuple(_read_part(LIST_OF_TEXT.read, parts.tags, "tags") or ()),
        spec=_read_rules(_read_part(_PROFILE_RULES.read, parts.rules, "rules")),
    )
    if parts.tags is None:
        raise Unlisted("the key tags is missing")
    return profile


def _read_part(read: go_types.Reader, value: Optional[str], part: str) -> Any:
    try:
        return None if value is None else read(go_types.decode(value), None, "")
    except ValueError as exc:
        # Of the same class, since it may be an Ambiguous.
        raise type(exc)("{0}: {1}".format(part, exc)) from exc


def _is_profile(parts: ProfileParts, resource: Resource) -> bool:
    return isinstance(resource, ProfileV1) and parts == encode_profile(resource)


def _format_parts(parts: ProfileParts) -> str:
    return "{" + ",".join('"{0}":{1}'.format(key, value) for key, value in parts._asdict().items() if value) + "}"


PROFILE_CODEC = Codec(ProfileV1, encode_profile, decode_profile, _is_profile, format=_format_parts)


# --- Rules ---


def _write_rules(resource: RulesV1, kept: Mapping[str, Any]) -> Dict[str, Any]:
    """The stored lists of rules; an unchanged rule keeps the keys that are not Calico's."""
    found = {}
    for key, name in _RULES.items():
        rules = [to_stored(rule) for rule in resource.spec.get(name, ())]
        found[key] = find_stored(rules, kept.get(key, ()), tidy_rule)
    return found


def _read_rules(found: Mapping[str, Any]) -> Dict[str, List[Any]]:
    return {name: [from_stored(rule) for rule in found[key]] for key, name in _RULES.items() if found.get(key)}


def _read(kind: FieldType, value: str) -> Dict[str, Any]:
    found: Dict[str, Any] = kind.read(go_types.decode(value), None, "")
    return found


def _read_kept(kind: FieldType, value: str) -> Dict[str, Any]:
    """The stored struct; an empty one when Calico cannot read it."""
    try:
        return _read(kind, value)
    except ValueError:
        return {}


def _write(kind: FieldType, found: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    unknown = {key: item for key, item in kept.items() if key not in kind.fields}
    return to_json(as_document(kind, {**found, **unknown}))
