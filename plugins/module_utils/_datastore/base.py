# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a datastore that holds host endpoints has to do."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Match, Optional, Sequence, Tuple

from .._core.errors import DatastoreError
from .._plan.plan import Change
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.resource import Ref
from .snapshot import PolicySnapshot


@dataclasses.dataclass(frozen=True)
class State:
    """What Calico itself says of its datastore."""

    # Why nothing may be written now; "" when it may.
    locked: str = ""
    # What the user should know all the same.
    warning: str = ""


def never() -> bool:
    return False


class Datastore(abc.ABC):
    """Keys, bytes and revisions of one datastore. A revision is an opaque string.

    Every method raises DatastoreError when the answer is not certain: unreachable, unauthorised and half-read are
    never "nothing there".
    """

    # That of the resources that it holds.
    api_version: ApiVersion

    @functools.cached_property
    def state(self) -> State:
        """Whether Calico lets its datastore be written; read once."""
        return self.read_state()

    def forget_state(self) -> None:
        """Read the state again when it is asked for next."""
        self.__dict__.pop("state", None)

    @abc.abstractmethod
    def read_state(self) -> State:
        """Read what Calico says of its datastore."""

    @abc.abstractmethod
    def key(self, ref: Ref) -> str:
        """The key under which this resource is stored, or would be."""

    @abc.abstractmethod
    def read(self, refs: Sequence[Ref], nodes: Collection[str]) -> List[Stored]:
        """What is stored for these resources and on these nodes, and maybe more, in as few requests as make sense."""

    @abc.abstractmethod
    def get(self, ref: Ref) -> Stored | None:
        """What is stored for this resource; None when nothing is."""

    @abc.abstractmethod
    def list(self, node: str = "") -> List[Stored]:
        """All that is stored, or what is stored for one node; malformed values too. Sorted by node and name."""

    @abc.abstractmethod
    def known_nodes(self) -> List[str]:
        """Names of the nodes that Calico itself has a record of, whatever endpoints they have."""

    @abc.abstractmethod
    def felix_nodes(self) -> Dict[str, bool]:
        """The nodes from which Felix has ever reported its status: a host with Felix alone has no other record.

        {name: whether it has reported lately}. Nothing of Calico's deletes what it reported last.
        """

    @abc.abstractmethod
    def read_policies(self, node: str = "") -> PolicySnapshot:
        """What decides on the traffic of one node, or of all, and maybe more. Only reads."""

    @abc.abstractmethod
    def write(
        self, changes: Sequence[Change], is_ended: Callable[[], bool] = never
    ) -> Iterator[Tuple[Change, Optional[DatastoreError]]]:
        """Write the changes, each as it was planned, and yield each with its text, its new revision, and its error.

        The error is a Conflict when what is stored is not what was read; what is not managed is kept. After the first
        error that is not a conflict, or as soon as is_ended() holds, no other change is begun, and those that were not
        are left out: the next write would most likely fail as well.
        """


def reporting(matches: Iterable[Optional[Match[str]]]) -> Dict[str, bool]:
    """What felix_nodes returns, of the keys of statuses: the groups are node and kind, of which "status" expires."""
    found: Dict[str, bool] = {}
    for node, kind in (match.groups() for match in matches if match):
        found[node] = found.get(node, False) or kind == "status"
    return found
