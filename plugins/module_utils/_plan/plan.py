# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must change so that the datastore matches what is declared. Drift is defined here only."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union

from .._core.errors import CalicoError, Conflict, InvalidInput, Refused
from .._resources.api_version import ApiVersion
from .._resources.resource import CALICO_OWNER_LABEL, Ref, Resource, changed_fields
from .._resources.validators import MOST_ANNOTATION_BYTES, annotation_bytes
from .desired import Desired, Present, Purge, Purged
from .stored import Stored

NONE, CREATE, UPDATE, DELETE = "none", "create", "update", "delete"

# Creating an endpoint closes its interface and deleting one opens it, so an interface is never left without one.
_ORDER = {CREATE: 0, UPDATE: 1, DELETE: 2}


class Change(NamedTuple):
    """What happens to one resource: from `before` (None: does not exist) to `after` (None: is deleted)."""

    operation: str
    want: Union[Desired, Undone]
    before: Optional[Stored]
    after: Optional[Resource]
    # Names of the fields that differ.
    fields: List[str]
    # The exact content to store; None for that of `after`. Once it was written: what was written, None for a deletion.
    content: Any = None
    # Once it was written: the revision that this made, "" for a deletion; None where it is unknown.
    revision: Optional[str] = None

    @property
    def ref(self) -> Ref:
        return self.want.ref

    def is_stored(self, stored: Optional[Stored]) -> bool:
        """Whether the stored value is the one that this change wrote, unchanged since then."""
        if self.revision is not None:
            return (stored.revision if stored else "") == self.revision
        if self.content is None and self.after is not None:
            # What was written is unknown, too.
            return False
        return bool((stored.content if stored else None) == self.content)


class Undone(NamedTuple):
    """The resource is again what it was before a change."""

    change: Change

    @property
    def ref(self) -> Ref:
        return self.change.ref

    def resolve(self, stored: Optional[Stored], api_version: ApiVersion) -> Optional[Resource]:
        return self.change.before.resource if self.change.before else None


def build_change(want: Desired, stored: Optional[Stored], api_version: ApiVersion) -> Change:
    """What must happen to one resource, by what is declared and what is stored.

    Raises InvalidInput when the result would be invalid, Refused when the stored resource is Calico's own.
    """
    if stored and isinstance(want, Present):
        after = want.resolve(stored, api_version)
        if after and stored.is_just(after):
            return Change(NONE, want, stored, after, [])
    if stored and stored.resource.is_calicos_own and not isinstance(want, Purged):
        raise Refused(
            "{0} belongs to Calico's own controllers (label {1}); it is never changed or deleted here".format(
                stored.resource, CALICO_OWNER_LABEL
            )
        )
    after = want.resolve(stored, api_version)
    readable = stored.beside(after) if stored and not stored.error else None
    fields = changed_fields(readable, after)
    if after is None:
        operation = DELETE if stored and not stored.pending else NONE
    elif stored is None:
        operation = CREATE
    elif after is stored.resource:
        operation = NONE
    else:
        operation = UPDATE if fields or stored.error else NONE
    if operation == NONE:
        return Change(NONE, want, stored, readable, [])
    if stored and stored.pending:
        raise Refused(
            "{0} is being deleted, and waits for {1}; it can be changed or created again only after that".format(
                stored.resource, stored.pending
            )
        )
    if stored and after:
        # An update.
        if isinstance(want, Present):
            want.check_update(stored, fields)
        if "annotations" in fields:
            _check_annotations(after, {**stored.annotations, **after.annotations})
    return Change(operation, want, stored, after, fields)


def _check_annotations(resource: Resource, annotations: Mapping[str, str]) -> None:
    """Raise InvalidInput when Calico would reject every later update, because the annotations are too large."""
    size = annotation_bytes(annotations)
    if size > MOST_ANNOTATION_BYTES:
        text = "{0}: annotations: would have {1} bytes with those that are stored and kept; Calico accepts {2}"
        raise InvalidInput([text.format(resource, size, MOST_ANNOTATION_BYTES)])


def build_undo(change: Change, stored: Optional[Stored], api_version: ApiVersion) -> Change:
    """What undoes a change that was made, with its exact content; `stored` is what exists now.

    Raises Conflict when the resource was changed since.
    """
    if not change.is_stored(stored):
        raise Conflict("{0} was changed by another client in the meantime".format(change.ref))
    undone = Undone(change)
    operation = DELETE if change.before is None else CREATE if stored is None else UPDATE
    content = change.before.content if change.before else None
    return Change(operation, undone, stored, undone.resolve(stored, api_version), change.fields, content)


def plan(
    wants: Mapping[str, Desired], stored: Iterable[Stored], api_version: ApiVersion, purge: Optional[Purge] = None
) -> List[Change]:
    """The changes for all that is declared, by the keys of the datastore, and for the purge, `none` among them.

    Raises InvalidInput that names everything that cannot be planned.
    """
    found = _find(wants, stored)
    if purge:
        kept = {found[key].key for key in wants if key in found}
        purged = {
            item.key: Purged(item.ref, purge)
            for item in found.values()
            if item.key not in wants and item.key not in kept and purge.includes(item)
        }
        wants = dict(purged, **wants)
    changes, problems = [], []
    for key, want in wants.items():
        try:
            changes.append(build_change(want, found.get(key), api_version))
        except CalicoError as exc:
            problems.append(str(exc))
    if problems:
        raise InvalidInput(problems)
    return changes


def _find(wants: Mapping[str, Desired], stored: Iterable[Stored]) -> Dict[str, Stored]:
    """What is stored, by the key under which it is wanted: its own, unless only the resource's own name is wanted."""
    found = {item.key: item for item in stored}
    named = {item.own_ref: item for item in found.values() if item.codec.has_other_names and item.key not in wants}
    if named:
        found.update({key: named[want.ref] for key, want in wants.items() if key not in found and want.ref in named})
    return found


def sort_changes(changes: Iterable[Change], api_version: ApiVersion) -> List[Change]:
    """The changes in the order in which they are written: what others depend on first, and deleted last."""
    ranks = {kind: rank for rank, kind in enumerate(api_version.schemas)}

    def rank(change: Change) -> Tuple[bool, int, int, str, str]:
        is_deletion, of_kind = change.operation == DELETE, ranks[change.ref.kind]
        return (
            is_deletion,
            -of_kind if is_deletion else of_kind,
            _ORDER[change.operation],
            change.ref.node,
            change.ref.name,
        )

    return sorted(changes, key=rank)
