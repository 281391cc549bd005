# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Calico resource of any kind, as plan, apply, datastores and results see it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from typing import Any, Callable, ClassVar, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from .._core.errors import brief

# Of Calico's own labels.
CALICO_DOMAIN = "projectcalico.org"
# Resources with this label belong to Calico's kube-controllers, which rewrite and delete them
# (kube-controllers/pkg/controllers/node/hostendpoints.go).
CALICO_OWNER_LABEL = CALICO_DOMAIN + "/created-by"

_Self = TypeVar("_Self", bound="Resource")


class Ref(NamedTuple):
    """The identity of a resource: kind, name and node ("" if the node is unknown or the kind has none)."""

    # As Calico v3 spells it, for example HostEndpoint; policy and profile for those of Calico v1.
    kind: str
    name: str
    node: str = ""

    def __str__(self) -> str:
        text = "{0} {1}".format(format_kind(self.kind), brief(self.name, 255) or "(no name)")
        return "{0} on node {1}".format(text, brief(self.node, 255)) if self.node else text


@functools.lru_cache(maxsize=None)
def format_kind(kind: str) -> str:
    """The kind in words: "host endpoint" for HostEndpoint."""
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", kind).lower()


def count_kinds(refs: Sequence[Ref]) -> str:
    """The number of resources in words: "2 host endpoints"."""
    counts = collections.Counter(ref.kind for ref in refs)
    return " and ".join(
        "{0} {1}".format(number, format_kind(kind) if number == 1 else _format_plural(kind))
        for kind, number in counts.items()
    )


def _format_plural(kind: str) -> str:
    text = format_kind(kind)
    return text[:-1] + "ies" if text.endswith("y") else text + "s"


@dataclasses.dataclass(frozen=True)
class Resource:
    """A resource with the strings from the user or the datastore.

    An empty field equals a missing field, as for Calico. Each kind is a subclass.
    """

    KIND: ClassVar[str] = ""
    # Names of the fields that are compared, in the order in which messages name them.
    FIELDS: ClassVar[Tuple[str, ...]] = ()
    # The effect of a stored resource that Calico cannot read.
    UNREADABLE_EFFECT: ClassVar[str] = ""

    name: str = ""
    # "" for kinds without a node.
    node: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Only the given annotations: other stored annotations are neither compared nor removed (Calico v3 only).
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.ref)

    @property
    def ref(self) -> Ref:
        return Ref(self.KIND, self.name, self.node)

    @property
    def has_node(self) -> bool:
        """Whether it belongs to one node; else it may affect all nodes."""
        return "node" in self.FIELDS

    @property
    def is_calicos_own(self) -> bool:
        return CALICO_OWNER_LABEL in self.labels

    @property
    def is_permanent(self) -> bool:
        """Whether Calico rejects its deletion."""
        return False

    def can_be_stored_as(self, name: str) -> bool:
        """Whether Calico finds it under a key with this name."""
        return name == self.name

    def without_calicos_fields(self: _Self) -> _Self:
        """The resource without labels and annotations that Calico sets on each write."""
        return self

    def patched(self: _Self, fields: Mapping[str, Any]) -> _Self:
        """The resource with the given fields; labels are merged, and a label of None is removed."""
        fields = dict(fields)
        if "labels" in fields:
            merged = dict(self.labels, **fields["labels"])
            fields["labels"] = {key: value for key, value in merged.items() if value is not None}
        return dataclasses.replace(self, **fields)

    def canonical(self: _Self) -> _Self:
        """The form that equal resources share: two resources are equal when their canonical forms are."""
        return dataclasses.replace(
            self, labels=dict(sorted(self.labels.items())), annotations=dict(sorted(self.annotations.items()))
        )

    def compared_values(self) -> Dict[str, Any]:
        """The values that are compared, by the names that messages give them, in the order of messages."""
        return {field: getattr(self, field) for field in self.FIELDS}

    def as_options(self) -> Dict[str, Any]:
        """The resource as the modules' options, so that a module accepts the result of a module."""
        raise NotImplementedError


def changed_fields(before: Optional[Resource], after: Optional[Resource]) -> List[str]:
    """Names of the fields that differ; against None, of the resource's own that are not empty, except the node."""
    if before is None or after is None:
        known = before or after
        values = known.without_calicos_fields().compared_values() if known else {}
        return [field for field, value in values.items() if field != "node" and value]
    differing = _differing(before, after)
    return _differing(before.canonical(), after.canonical()) if differing else []


def _differing(before: Resource, after: Resource) -> List[str]:
    old, new = before.compared_values(), after.compared_values()
    return [field for field in {**new, **old} if old.get(field) != new.get(field)]


# (option, value, rule)
Problem = Tuple[str, object, str]


class Schema(NamedTuple):
    """The rules and forms of one kind in an API version."""

    find_problems: Callable[[Any], List[Problem]]
    find_ref_problems: Callable[[Ref], List[Problem]]
    # Why Felix treats a stored resource as missing.
    find_felix_problems: Callable[[Any], List[Problem]]
    # The resource as this version returns it after storing it.
    as_stored: Callable[[Any], Any]
    build_manifest: Callable[[Any], Dict[str, Any]]
    # The resource of a user's manifest. Raises InvalidInput for what calicoctl cannot decode.
    parse_manifest: Callable[[Mapping[str, Any]], Resource]
    # Options that this version does not support.
    unknown_options: Tuple[str, ...] = ()
    # Why the effect of a stored resource on Felix is unknown; "" if it is known.
    find_doubt: Callable[[Any], str] = lambda resource: ""
    # Whether a label may name the owner.
    has_owner: bool = True
    # The staged form of a resource, of the same name, which does not affect traffic; None for other kinds.
    build_twin: Optional[Callable[[Any], Resource]] = None
