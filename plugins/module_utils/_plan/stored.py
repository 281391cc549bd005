# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a datastore holds under one key."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple, Type

from .._core.go_json import Ambiguous
from .._resources.resource import Ref, Resource, format_kind


class Misnamed(ValueError):
    """A value of Calico v3 has another name than its key. Felix accepts it under that name."""


class Unlisted(ValueError):
    """calicoctl v1 does not list the resource, although Felix uses it."""


class Blinding(ValueError):
    """Because of a value, Calico's clients and Felix cannot list any resource of its kind."""


class Codec(NamedTuple):
    """How a datastore writes a kind of resource. A content is what the datastore holds: a text, or a JSON object."""

    resource_type: Type[Resource]
    # (resource, what is stored): the content to write, which keeps what is stored and not managed here.
    encode: Callable[[Any, Optional[Stored]], Any]
    # (content, ref). Raises ValueError, with the reason, for what Calico cannot read, and Ambiguous where that is
    # uncertain; the ref gives the name, and the node where the key has it.
    decode: Callable[[Any, Ref], Resource]
    # Whether a content certainly is that of a resource, given as_stored; decided without decoding, if possible.
    is_of: Callable[[Any, Resource], bool]
    # All annotations of a content that can be read.
    annotations: Callable[[Any], Mapping[str, str]] = lambda content: {}
    # What Felix reads from a content that `decode` refuses; None where it reads nothing. Raises ValueError.
    decode_for_felix: Optional[Callable[[Any], Resource]] = None
    # The content as text.
    format: Callable[[Any], str] = str
    # Whether a resource may be stored under another name than its own: before v3.32, Calico stores a policy NAME as
    # default.NAME.
    has_other_names: bool = False

    def of_unclear_key(self, problem: str) -> Codec:
        """The codec of a value whose key is unclear: whatever it says, its owner is unknown."""

        def decode(_content: Any, _ref: Ref) -> Resource:
            raise Ambiguous(problem)

        return Codec(self.resource_type, self.encode, decode, lambda _content, _resource: False)


@dataclasses.dataclass(eq=False)
class Stored:
    """What the datastore holds under one key. Decoded on demand: of a large set, most matches without that."""

    key: str
    # Opaque: two equal revisions mean no write in between.
    revision: str
    content: Any
    # As the key has them; "" where it has none, as in v3.
    node_of_key: str
    name: str
    codec: Codec
    # Why Calico does not look at the key; "" when it does.
    misplaced: str = ""
    # What its deletion waits for; "" unless it is being deleted. Until then, it can neither be changed nor created.
    pending: str = ""

    @functools.cached_property
    def _decoded(self) -> Tuple[Resource, str, Optional[ValueError]]:
        ref = Ref(self.kind, self.name, self.node_of_key)
        if not self.misplaced:
            try:
                return self.codec.decode(self.content, ref), "", None
            except ValueError as exc:
                error, cause = str(exc), exc
        else:
            error, cause = self.misplaced, None
        return self.codec.resource_type(name=self.name, node=self.node_of_key), error, cause

    @property
    def value(self) -> str:
        """The content as text."""
        return self.codec.format(self.content)

    @property
    def kind(self) -> str:
        return self.codec.resource_type.KIND

    @property
    def ref(self) -> Ref:
        return Ref(self.kind, self.name, self.node)

    @property
    def own_ref(self) -> Optional[Ref]:
        """The resource's own identity, where its key may have another name; None where it is unknown."""
        return self.resource.ref if self.codec.has_other_names and not self.error else None

    @property
    def node(self) -> str:
        """The node; "" where it is unknown, as that of a malformed value in v3."""
        return self.node_of_key or self.resource.node

    @property
    def resource(self) -> Resource:
        """The resource; of a malformed value only name and node."""
        return self._decoded[0]

    @property
    def error(self) -> str:
        """Why Calico cannot read the value, and so ignores it, or may ignore it; "" when it can."""
        return self._decoded[1]

    @property
    def is_certain(self) -> bool:
        """Whether Calico certainly cannot read a value that has an error."""
        return not isinstance(self._decoded[2], Ambiguous)

    @property
    def is_misnamed(self) -> bool:
        """Whether Felix accepts it, though calicoctl does not: its name differs from its key."""
        return isinstance(self._decoded[2], Misnamed)

    @property
    def meaning(self) -> str:
        """What an error means, in a sentence."""
        if isinstance(self._decoded[2], Blinding):
            text = "because of it, Calico's clients and Felix cannot list any {0}, so no change reaches a host: {1}"
            return text.format(format_kind(self.kind), self.error)
        if isinstance(self._decoded[2], Unlisted):
            return "calicoctl does not list it, although Felix uses it: {0}".format(self.error)
        if self.is_misnamed:
            return "calicoctl cannot change it, and Felix accepts it under that name: {0}".format(self.error)
        text, link = "Calico cannot read it", ", so "
        if not self.is_certain:
            text, link = "it is unknown whether Calico can read it", ", and whether "
        effect = self.codec.resource_type.UNREADABLE_EFFECT
        return "{0}{1}: {2}".format(text, link + effect if effect else "", self.error)

    @property
    def annotations(self) -> Mapping[str, str]:
        return {} if self.error else self.codec.annotations(self.content)

    def beside(self, declared: Optional[Resource]) -> Resource:
        """The resource with the annotations that the declared one has, since no others are compared."""
        if not declared or not declared.annotations:
            return self.resource
        found = self.annotations
        return self.resource.patched({"annotations": {key: found[key] for key in declared.annotations if key in found}})

    def is_just(self, resource: Resource) -> bool:
        """Whether the value is exactly the one that a new resource like this would get."""
        return not self.misplaced and self.codec.is_of(self.content, resource)
