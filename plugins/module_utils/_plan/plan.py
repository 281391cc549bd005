# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to change so that the datastore holds what is wanted. The only place that knows what drift is."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Callable, Collection, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union

from .._core.errors import CalicoError, Conflict, InvalidInput, Refused
from .._core.go_json import Ambiguous
from .._resources.hostendpoint import CALICO_OWNER_LABEL, HostEndpoint, changed_fields
from .._resources.validation import find_problems
from .._resources.validators import MOST_ANNOTATION_BYTES, annotation_bytes

NONE, CREATE, UPDATE, DELETE = "none", "create", "update", "delete"

# Creating an endpoint closes its interface and deleting one opens it, so an interface is never left without one.
ORDER = (CREATE, UPDATE, DELETE)


class Misnamed(ValueError):
    """A value of Calico v3 has another name than its key. Felix takes it by that name."""


class Codec(NamedTuple):
    """How a datastore writes an endpoint."""

    # Raises ValueError, with the reason, for what Calico cannot read, and Ambiguous where that is uncertain; of the
    # identity, name and node are taken.
    decode: Callable[[str, HostEndpoint], HostEndpoint]
    # Whether a value is surely that of an endpoint, which is given as_stored: told without decoding it, if that can be.
    is_of: Callable[[str, HostEndpoint], bool]
    # All annotations of a value that can be read.
    annotations: Callable[[str], Mapping[str, str]] = lambda value: {}

    def of_unclear_key(self, problem: str) -> Codec:
        """The codec of a value whose key is unclear: whatever it says, it is unknown whose it is."""

        def decode(_value: str, _identity: HostEndpoint) -> HostEndpoint:
            raise Ambiguous(problem)

        return Codec(decode, lambda _value, _endpoint: False)


@dataclasses.dataclass(eq=False)
class Stored:
    """What the datastore holds under one key. Decoded when somebody asks: of a large set, most is as it should be."""

    key: str
    revision: int
    value: str
    # As the key has them; "" where it has none, as in v3.
    node_of_key: str
    name: str
    codec: Codec
    # Why Calico does not look at the key; "" when it does.
    misplaced: str = ""

    @functools.cached_property
    def _decoded(self) -> Tuple[HostEndpoint, str, Optional[ValueError]]:
        identity = HostEndpoint(name=self.name, node=self.node_of_key)
        if self.misplaced:
            return identity, self.misplaced, None
        try:
            return self.codec.decode(self.value, identity), "", None
        except ValueError as exc:
            return identity, str(exc), exc

    @property
    def node(self) -> str:
        """The node; of a malformed value in v3 nobody knows it, and it is ""."""
        return self.node_of_key or self.endpoint.node

    @property
    def endpoint(self) -> HostEndpoint:
        """The endpoint; of a malformed value only name and node."""
        return self._decoded[0]

    @property
    def error(self) -> str:
        """Why Calico cannot read the value, and so ignores it, or maybe does; "" when it can."""
        return self._decoded[1]

    @property
    def is_certain(self) -> bool:
        """Whether Calico certainly cannot read a value that has an error."""
        return not isinstance(self._decoded[2], Ambiguous)

    @property
    def is_misnamed(self) -> bool:
        """Whether Felix takes it, though calicoctl does not: it has another name than its key."""
        return isinstance(self._decoded[2], Misnamed)

    @property
    def meaning(self) -> str:
        """What an error means, in a sentence."""
        if self.is_misnamed:
            text = "calicoctl cannot change it, and Felix accepts it as an endpoint of that name: {0}"
            return text.format(self.error)
        if self.is_certain:
            return "Calico cannot read it, so the interface that it is meant for is open: {0}".format(self.error)
        return "it is unknown whether Calico can read it, and whether its interface is open: {0}".format(self.error)

    @property
    def annotations(self) -> Mapping[str, str]:
        return {} if self.error else self.codec.annotations(self.value)

    def beside(self, wanted: Optional[HostEndpoint]) -> HostEndpoint:
        """The endpoint with those of its annotations that the wanted one gives: no others are compared."""
        if not wanted or not wanted.annotations:
            return self.endpoint
        found = self.annotations
        return self.endpoint.patched({"annotations": {key: found[key] for key in wanted.annotations if key in found}})

    def is_just(self, endpoint: HostEndpoint) -> bool:
        """Whether the value is, to the letter, the one that a new endpoint like this would get."""
        return not self.misplaced and self.codec.is_of(self.value, endpoint)


class Present(NamedTuple):
    """The endpoint is exactly this, which is valid."""

    endpoint: HostEndpoint
    # Whether an endpoint that is there, and another one, is changed.
    overwrite: bool = True
    # The nodes from which it may be taken; None for any. In v3, the key does not tell the node.
    movable_from: Optional[Collection[str]] = None

    @property
    def identity(self) -> HostEndpoint:
        return self.endpoint

    def resolve(self, stored: Optional[Stored], api_version: str) -> Optional[HostEndpoint]:
        return self.endpoint.as_stored(api_version)

    def check_update(self, stored: Stored, fields: List[str]) -> None:
        """Raise Refused when it may not replace what is stored."""
        if not self.overwrite:
            raise Refused(
                "{0} is there and differs ({1}), and overwrite is false, so nothing is changed".format(
                    self.endpoint, ", ".join(fields) or "its value cannot be read"
                )
            )
        if self.movable_from is not None and stored.node not in ("", self.endpoint.node, *self.movable_from):
            raise Refused(
                "{0} is not taken from node {1}, which is not among the nodes of this run: give one of the two another "
                "name, or run it for both nodes".format(self.endpoint, stored.node)
            )


class Patched(NamedTuple):
    """The endpoint is there, and its given fields are these."""

    identity: HostEndpoint
    fields: Mapping[str, Any]

    def resolve(self, stored: Optional[Stored], api_version: str) -> Optional[HostEndpoint]:
        if stored is None:
            raise InvalidInput(
                ["{0} does not exist, so it cannot be patched; state present creates it".format(self.identity)]
            )
        if stored.error:
            raise InvalidInput(
                [
                    "{0} cannot be patched, since its stored value cannot be read: {1}; "
                    "state present replaces it".format(self.identity, stored.error)
                ]
            )
        patched = stored.endpoint.patched(self.fields)
        before = find_problems(stored.endpoint, api_version)
        problems = [
            problem + " (so it is stored: give this field as well, or use state present)"
            if problem in before
            else problem
            for problem in find_problems(patched, api_version)
        ]
        if problems:
            raise InvalidInput(["{0}: {1}".format(self.identity, problems[0])] + problems[1:])
        return patched.as_stored(api_version)


class Absent(NamedTuple):
    """There is no such endpoint."""

    identity: HostEndpoint

    def resolve(self, stored: Optional[Stored], api_version: str) -> Optional[HostEndpoint]:
        node = self.identity.node
        if stored and node and stored.node not in ("", node):
            # In v3, the key does not tell the node.
            raise Refused(
                "{0} is not deleted, since the endpoint of this name is on node {1}; leave node out to delete it "
                "wherever it is".format(self.identity, stored.node)
            )
        return None


class Purge(NamedTuple):
    """What is deleted although nobody names it."""

    # Node: the owner whose endpoints go, and None for everybody's.
    nodes: Mapping[str, Optional[str]]
    owner_label: str = ""

    def takes(self, stored: Stored) -> bool:
        """Whether the stored endpoint goes. What cannot be read stays, since nobody knows whose it is."""
        if stored.node not in self.nodes or stored.error or stored.endpoint.is_calicos_own:
            return False
        owner = self.nodes[stored.node]
        return owner is None or stored.endpoint.labels.get(self.owner_label) == owner


class Purged(NamedTuple):
    """The endpoint is not there, as long as the purge takes it."""

    identity: HostEndpoint
    purge: Purge

    def resolve(self, stored: Optional[Stored], api_version: str) -> Optional[HostEndpoint]:
        return stored.endpoint if stored and not self.purge.takes(stored) else None


class Undone(NamedTuple):
    """The endpoint is again what it was before a change."""

    change: Change

    @property
    def identity(self) -> HostEndpoint:
        return self.change.identity

    def resolve(self, stored: Optional[Stored], api_version: str) -> Optional[HostEndpoint]:
        return self.change.before.endpoint if self.change.before else None


Desired = Union[Present, Patched, Absent, Purged, Undone]


class Change(NamedTuple):
    """What happens to one endpoint: from `before` (None: not there) to `after` (None: gone)."""

    operation: str
    want: Desired
    before: Optional[Stored]
    after: Optional[HostEndpoint]
    # Names of the fields that differ.
    fields: List[str]
    # The text to store, to the letter, which is None for that of `after`; and what was stored, once it was.
    text: Optional[str] = None

    @property
    def identity(self) -> HostEndpoint:
        """An endpoint of which only name and node count."""
        return self.want.identity


def build_change(want: Desired, stored: Optional[Stored], api_version: str) -> Change:
    """What has to happen to the one endpoint that is wanted and, maybe, stored.

    Raises InvalidInput when the result would not be valid, Refused when the stored endpoint is Calico's own.
    """
    if stored and isinstance(want, Present):
        after = want.resolve(stored, api_version)
        if after and stored.is_just(after):
            return Change(NONE, want, stored, after, [])
    if stored and stored.endpoint.is_calicos_own and not isinstance(want, Purged):
        raise Refused(
            "{0} belongs to Calico's own controllers (label {1}); it is never changed or deleted here".format(
                stored.endpoint, CALICO_OWNER_LABEL
            )
        )
    after = want.resolve(stored, api_version)
    readable = stored.beside(after) if stored and not stored.error else None
    fields = changed_fields(readable, after)
    if after is None:
        operation = DELETE if stored else NONE
    elif stored is None:
        operation = CREATE
    elif after is stored.endpoint:
        operation = NONE
    else:
        operation = UPDATE if fields or stored.error else NONE
    if operation == NONE:
        return Change(NONE, want, stored, readable, [])
    if stored and after:
        # An update.
        if isinstance(want, Present):
            want.check_update(stored, fields)
        if "annotations" in fields:
            _check_annotations(after, {**stored.annotations, **after.annotations})
    return Change(operation, want, stored, after, fields)


def _check_annotations(endpoint: HostEndpoint, annotations: Mapping[str, str]) -> None:
    """Raise InvalidInput when Calico would refuse every later update, since there are too many annotations."""
    size = annotation_bytes(annotations)
    if size > MOST_ANNOTATION_BYTES:
        text = "{0}: annotations: would have {1} bytes with those that are stored and kept; Calico takes {2}"
        raise InvalidInput([text.format(endpoint, size, MOST_ANNOTATION_BYTES)])


def build_undo(change: Change, stored: Optional[Stored], api_version: str) -> Change:
    """What undoes a change that was made, with its text, when `stored` is what there is now.

    Raises Conflict when somebody has changed the endpoint since.
    """
    if (stored.value if stored else None) != change.text:
        raise Conflict("{0} was changed by somebody else in the meantime".format(change.identity))
    undone = Undone(change)
    operation = DELETE if change.before is None else CREATE if stored is None else UPDATE
    text = change.before.value if change.before else None
    return Change(operation, undone, stored, undone.resolve(stored, api_version), change.fields, text)


def plan(
    wants: Mapping[str, Desired], stored: Iterable[Stored], api_version: str, purge: Optional[Purge] = None
) -> List[Change]:
    """The changes for all that is wanted, by the keys of the datastore, and for the purge; `none` is one, too.

    Raises InvalidInput that names everything that cannot be planned.
    """
    found = {item.key: item for item in stored}
    if purge:
        purged = {
            key: Purged(item.endpoint, purge) for key, item in found.items() if key not in wants and purge.takes(item)
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
