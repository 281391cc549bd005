# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must change so that the datastore matches what is declared. Drift is defined here only."""

from __future__ import annotations

import collections
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union, cast

from .._core.errors import CalicoError, Conflict, InvalidInput, Refused
from .._resources.api_version import ApiVersion
from .._resources.resource import CALICO_OWNER_LABEL, Ref, Resource, changed_fields
from .._resources.validators import MOST_ANNOTATION_BYTES, annotation_bytes
from .desired import Absent, Desired, DuplicatePurge, Present, Purge, Purged
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
    # What must still be stored when the change is made. Only a datastore with transactions can guarantee that.
    beside: Optional[Stored] = None

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
    # Of a new resource, only what the user declares.
    fields = changed_fields(readable, want.resource if stored is None and isinstance(want, Present) else after)
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
        _check_key(stored, after)
        if isinstance(want, Present):
            want.check_update(stored, fields)
        if "annotations" in fields:
            _check_annotations(after, {**stored.annotations, **after.annotations})
    return Change(operation, want, stored, after, fields)


def _check_key(stored: Stored, after: Resource) -> None:
    """Raise Refused when Calico would not find the resource under its key."""
    if not after.can_be_stored_as(stored.name):
        text = (
            "{0} is stored as {1}, as Calico before v3.32 names it, which is valid only in tier default; delete it "
            "first (state absent), or declare it under another name"
        )
        raise Refused(text.format(after, stored.name))


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
    found, duplicates = _find(wants, stored)
    problems = _find_contradictions(wants, found, duplicates)
    purged = _list_purged(wants, found, purge) if purge else {}
    changes = []
    for key, want in {**wants, **purged, **duplicates}.items():
        try:
            changes.append(build_change(want, found.get(key), api_version))
        except CalicoError as exc:
            problems.append(str(exc))
    if problems:
        raise InvalidInput(problems)
    return changes


def _find(wants: Mapping[str, Desired], stored: Iterable[Stored]) -> Tuple[Dict[str, Stored], Dict[str, Purged]]:
    """What is stored, by the key under which it is wanted, and what is stored again under another key, by that key.

    The key is the stored one, unless only the resource's own name is wanted.
    """
    found = {item.key: item for item in stored}
    named = {item.own_ref: item for item in found.values() if item.codec.has_other_names and item.key not in wants}
    duplicates: Dict[str, Purged] = {}
    for key, want in wants.items() if named else ():
        item = named.get(want.ref)
        if item and found.setdefault(key, item) is not item:
            is_kept = not isinstance(want, Absent)
            duplicates[item.key] = Purged(item.ref, DuplicatePurge(want.ref, item.key, is_kept))
    return found, duplicates


def _find_contradictions(
    wants: Mapping[str, Desired], found: Mapping[str, Stored], duplicates: Mapping[str, Purged]
) -> List[str]:
    """Why resources cannot be as declared because of the keys of other resources."""
    problems = []
    # Few names have a dot.
    named = [
        (wants[key], item)
        for key, item in found.items()
        if item.codec.has_other_names and key in wants and "." in wants[key].ref.name
    ]
    refs = {want.ref for want in wants.values()} if named else set()
    for want, item in named:
        # Decoding takes time, and few sets have such a pair.
        is_pair = want.ref._replace(name=want.ref.name.partition(".")[2]) in refs
        if is_pair and isinstance(want, Present) and item.own_ref and item.own_ref != want.ref and item.own_ref in refs:
            text = (
                "{0} cannot be created, since Calico before v3.32 has stored {1} under this name; delete {1} first "
                "(state absent)"
            )
            problems.append(text.format(want.ref, item.own_ref))
    if not duplicates:
        return problems
    kept = {want.ref for want in wants.values() if isinstance(want, Present) and not want.overwrite}
    for duplicate in duplicates.values():
        own_ref = cast(DuplicatePurge, duplicate.purge).own_ref
        if own_ref in kept:
            text = "{0} is stored again as {1}, and overwrite is false, so nothing is changed"
            problems.append(text.format(own_ref, duplicate.ref.name))
    return problems


def _list_purged(wants: Mapping[str, Desired], found: Mapping[str, Stored], purge: Purge) -> Dict[str, Purged]:
    """What the purge deletes, by its key."""
    kept = {found[key].key for key in wants if key in found}.union(wants)
    items = {item.key: item for item in found.values() if item.key not in kept and purge.includes(item)}
    numbers = collections.Counter(item.own_ref for item in items.values())
    # Of a resource that is stored under two keys, the keys' names are clear.
    return {
        key: Purged(item.own_ref if item.own_ref and numbers[item.own_ref] == 1 else item.ref, purge)
        for key, item in items.items()
    }


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
