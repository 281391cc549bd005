# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of a datastore."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List, Mapping, Match, Optional, Sequence, Tuple

from .._core.errors import DatastoreError, InvalidInput, format_message
from .._plan.plan import Change
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.resource import Ref, Resource
from ._values.calico_version import NEWEST
from .snapshot import NONE_PLANNED, PlannedValues, PolicySnapshot


@dataclasses.dataclass(frozen=True)
class State:
    """The state that Calico has recorded in its datastore."""

    # Why nothing may be written now; "" when it may.
    locked: str = ""
    # A warning for the user; "" when there is none.
    warning: str = ""
    # The version of the Calico that uses the datastore; "" where it is unknown.
    calico_version: str = ""
    # What identifies the cluster of this Calico; "" where it is unknown.
    cluster: str = ""


def never() -> bool:
    return False


class Datastore(abc.ABC):
    """Keys, bytes and revisions of one datastore. A revision is an opaque string.

    Every method raises DatastoreError when the answer is uncertain: an unreachable, unauthorised or incomplete read
    never counts as empty.
    """

    # The API version of the stored resources.
    api_version: ApiVersion
    # Whether every host on which Felix has run has a record.
    has_all_nodes = True
    # Whether its server can check a change without storing it.
    has_dry_run = False
    # The version of Calico whose form is written.
    calico_version = NEWEST
    # The version that the user states, by which policies are evaluated, too; "" for that of the datastore.
    given_version = ""

    @functools.cached_property
    def state(self) -> State:
        """The state, which says whether the datastore may be written; read once."""
        return self.read_state()

    def forget_state(self) -> None:
        """Read the state again at the next use."""
        self.__dict__.pop("state", None)

    def follow_version(self, given: Optional[str]) -> None:
        """Write from now on in the form of a version of Calico: the given one, or that of the datastore if None.

        A given version also determines how policies are evaluated. Raises InvalidInput for an invalid version.
        """
        if given is not None:
            raise InvalidInput([format_message("{calico_version} has no effect on this {datastore_type}; remove it")])

    def describe(self) -> Dict[str, Any]:
        """What the result of every module tells about the datastore, such as the API that was chosen."""
        return {} if self.calico_version >= NEWEST else {"calico_version": str(self.calico_version)}

    def read_cluster(self) -> str:
        """What identifies the datastore, whatever the addresses of its servers; "" if that is unknown."""
        return self.state.cluster

    def list_remarks(self) -> Sequence[str]:
        """Warnings about what was read, for the user."""
        return ()

    @abc.abstractmethod
    def read_state(self) -> State:
        """Read the state that Calico has recorded."""

    @abc.abstractmethod
    def key(self, ref: Ref) -> str:
        """The key under which this resource is stored, or would be."""

    def begin_to_read(self, kind: str) -> None:  # noqa: B027 # most datastores are read too quickly for it
        """A hint that all resources of a kind will be read next: the server may begin to collect them."""

    @abc.abstractmethod
    def read(self, refs: Sequence[Ref], nodes: Collection[str], kinds: Collection[str] = ()) -> List[Stored]:
        """What is stored for these resources, on these nodes, and of these kinds; possibly more; in few requests."""

    @abc.abstractmethod
    def get(self, ref: Ref) -> Stored | None:
        """What is stored for this resource; None when nothing is."""

    @abc.abstractmethod
    def list(self, node: str = "") -> List[Stored]:
        """Everything that is stored, or is stored for one node, including malformed values; sorted by node and name."""

    def list_kind(self, kind: str) -> List[Stored]:
        """Everything that is stored of a kind, including malformed values.

        Raises InvalidInput for a kind that cannot be read here.
        """
        if kind == HOST_ENDPOINT:
            return self.list()
        raise InvalidInput(["kind: {0} cannot be read with this datastore_type".format(kind)])

    def read_tiers_in_use(self) -> Mapping[str, Collection[Ref]]:
        """The policies of each tier, of all kinds, with the names of their keys. A malformed policy does not count."""
        return {}

    @abc.abstractmethod
    def known_nodes(self) -> List[str]:
        """Names of the nodes that Calico has a record of, regardless of endpoints."""

    @abc.abstractmethod
    def felix_nodes(self) -> Dict[str, bool]:
        """{name of a node from which Felix has ever reported its status: whether the report is recent}

        A host that runs only Felix has no other record. Calico never deletes the last report.
        """

    @abc.abstractmethod
    def read_policies(
        self, node: str = "", declared: Sequence[Resource] = (), planned: PlannedValues = NONE_PLANNED
    ) -> PolicySnapshot:
        """What determines the traffic of one node, or of all nodes, and possibly more.

        declared: endpoints that are not stored yet, and whose profiles and labels may require more.
        planned: values of build_policy_values, which may require more, too.
        """

    def build_policy_values(self, change: Change) -> Dict[str, Optional[str]]:
        """The values that a change stores, by their keys, as in the snapshot of read_policies; None for a deletion.

        The change is of a kind other than HostEndpoint. Raises DatastoreError for a kind that is unknown here.
        """
        raise DatastoreError("{0}: it is unknown what its change affects".format(change.ref))

    def group_writes(self, changes: Sequence[Change]) -> Iterator[List[Change]]:
        """Changes of one operation and kind, by request, in the order of writing: each request writes all or nothing.

        A reader sees the changes of a request at once, and may see any state between two requests.
        """
        return ([change] for change in changes)

    @abc.abstractmethod
    def write(
        self, changes: Sequence[Change], is_ended: Callable[[], bool] = never
    ) -> Iterator[Tuple[Change, Optional[DatastoreError]]]:
        """Write the changes as planned, and yield each with its content, its new revision, and its error.

        The error is a Conflict when the stored value is not the one that was read. Unmanaged parts of a value are kept.
        After the first error that is not a conflict, or as soon as is_ended() is true, no other change is started,
        since it would most likely fail, too. Changes that were not started are not yielded.
        """

    def rehearse(self, changes: Sequence[Change]) -> Iterator[Tuple[Change, Optional[DatastoreError]]]:
        """Let the server check the changes without storing them; only where has_dry_run is true."""
        raise NotImplementedError


def reporting(matches: Iterable[Optional[Match[str]]]) -> Dict[str, bool]:
    """The result of felix_nodes by matched keys of status reports: groups are node and kind; kind "status" expires."""
    found: Dict[str, bool] = {}
    for node, kind in (match.groups() for match in matches if match):
        found[node] = found.get(node, False) or kind == "status"
    return found
