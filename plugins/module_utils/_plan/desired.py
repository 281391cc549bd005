# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task declares about one resource."""

from __future__ import annotations

from typing import Any, Collection, List, Mapping, NamedTuple, Optional, Union

from .._core.errors import InvalidInput, Refused
from .._resources.api_version import ApiVersion
from .._resources.resource import Ref, Resource, format_kind
from .stored import Stored


class Present(NamedTuple):
    """The resource is exactly this, which is valid."""

    resource: Resource
    # Whether a resource that exists and differs is changed.
    overwrite: bool = True
    # The nodes from which it may be taken; None for any. In v3, the key does not contain the node.
    movable_from: Optional[Collection[str]] = None

    @property
    def ref(self) -> Ref:
        return self.resource.ref

    def resolve(self, stored: Optional[Stored], api_version: ApiVersion) -> Optional[Resource]:
        return api_version.as_stored(self.resource)

    def check_update(self, stored: Stored, fields: List[str]) -> None:
        """Raise Refused when it may not replace what is stored."""
        if not self.overwrite:
            raise Refused(
                "{0} already exists and differs ({1}), and overwrite is false, so nothing is changed".format(
                    self.resource, ", ".join(fields) or "its value cannot be read"
                )
            )
        if self.movable_from is not None and stored.node not in ("", self.resource.node, *self.movable_from):
            raise Refused(
                "{0} already exists on node {1}, which is not part of this run; rename one of the two or include both "
                "nodes".format(self.resource, stored.node)
            )


class Patched(NamedTuple):
    """The resource exists, and its given fields are these."""

    ref: Ref
    fields: Mapping[str, Any]

    def resolve(self, stored: Optional[Stored], api_version: ApiVersion) -> Optional[Resource]:
        if stored is None:
            raise InvalidInput(
                ["{0} does not exist, so it cannot be patched; state present creates it".format(self.ref)]
            )
        if stored.error:
            text = "{0} cannot be patched, since its stored value cannot be read: {1}; state present replaces it"
            raise InvalidInput([text.format(self.ref, stored.error)])
        patched = stored.resource.patched(self.fields)
        before = api_version.find_problems(stored.resource)
        problems = [
            problem + " (stored like this; give this field as well, or use state present)"
            if problem in before
            else problem
            for problem in api_version.find_problems(patched)
        ]
        if problems:
            raise InvalidInput(["{0}: {1}".format(self.ref, problems[0])] + problems[1:])
        return api_version.as_stored(patched)


class Absent(NamedTuple):
    """No such resource exists."""

    ref: Ref

    def resolve(self, stored: Optional[Stored], api_version: ApiVersion) -> Optional[Resource]:
        node = self.ref.node
        if stored and node and stored.node not in ("", node):
            # In v3, the key does not contain the node.
            raise Refused(
                "{0} is not deleted, since the {1} of this name is on node {2}; leave node out to delete it "
                "wherever it is".format(self.ref, format_kind(self.ref.kind), stored.node)
            )
        return None


class NodePurge(NamedTuple):
    """Which endpoints are deleted although no task names them: those of some nodes."""

    # Node: the owner whose resources are deleted; None for everybody's.
    nodes: Mapping[str, Optional[str]]
    owner_label: str = ""
    kinds: Collection[str] = ()

    def covers(self, stored: Stored) -> bool:
        """Whether the stored value is, or may be, in the scope. The node of an unreadable value in v3 is unknown."""
        return not stored.node or stored.node in self.nodes

    def includes(self, stored: Stored) -> bool:
        """Whether the stored resource is deleted. What cannot be read is kept, since its owner is unknown."""
        if stored.node not in self.nodes or stored.error or stored.resource.is_calicos_own:
            return False
        owner = self.nodes[stored.node]
        return owner is None or stored.resource.labels.get(self.owner_label) == owner


class KindPurge(NamedTuple):
    """Which resources are deleted although no task names them: those of some kinds that an owner has."""

    kinds: Collection[str]
    owner_label: str
    owner: str
    nodes: Collection[str] = ()

    def covers(self, stored: Stored) -> bool:
        return stored.kind in self.kinds

    def includes(self, stored: Stored) -> bool:
        """Whether the stored resource is deleted. What cannot be read is kept, since its owner is unknown."""
        if not self.covers(stored) or stored.error or stored.resource.is_calicos_own:
            return False
        return stored.resource.labels.get(self.owner_label) == self.owner


class DuplicatePurge(NamedTuple):
    """Which resource is deleted because it exists again under another key, which Calico before v3.32 used."""

    own_ref: Ref
    # The key that is deleted.
    key: str
    # Whether the other key is kept, so that this one is deleted only while the other one exists.
    is_other_kept: bool = True

    def includes(self, stored: Stored) -> bool:
        return stored.key == self.key and stored.own_ref == self.own_ref and not stored.resource.is_calicos_own


Purge = Union[NodePurge, KindPurge]


class Purged(NamedTuple):
    """The resource does not exist, as long as the purge includes it."""

    ref: Ref
    purge: Union[Purge, DuplicatePurge]

    @property
    def is_duplicate(self) -> bool:
        """Whether the resource itself is kept, under another key."""
        return isinstance(self.purge, DuplicatePurge) and self.purge.is_other_kept

    def resolve(self, stored: Optional[Stored], api_version: ApiVersion) -> Optional[Resource]:
        return stored.resource if stored and not self.purge.includes(stored) else None


Desired = Union[Present, Patched, Absent, Purged]
