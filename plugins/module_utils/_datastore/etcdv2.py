# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's v1 data model in etcd's v2 API: keys and requests.

libcalico-go release-v2.6: lib/backend/model/hostendpoint.go (key), lib/backend/etcd/etcd.go (requests). Policies and
profiles are in _etcd/v2_policies.
"""

from __future__ import annotations

import collections
import re
from typing import Any, Callable, Collection, Deque, Dict, Iterator, List, Sequence, Tuple, Union

from .._core.errors import Conflict, DatastoreError, format_message, shown
from .._plan.plan import Change
from .._plan.stored import Stored
from .._resources._specs_v1.structs_v1 import POLICY, PROFILE
from .._resources.api_version import V1
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.resource import Ref, Resource
from ._etcd.settings import EtcdSettings
from ._etcd.v2_client import DIRECTORY, EtcdV2Client, NotInDirectory
from ._etcd.v2_nodes import (
    NO_DIRECTORY,
    TOO_DEEP,
    Node,
    build_stored,
    get_name,
    list_children,
    list_leaves,
    read_values,
)
from ._etcd.v2_policies import ROOTS, build_key, build_one, list_stored
from ._etcd.v2_server import Request
from ._etcd.v2_writes import ProfileWrite, ValueWrite
from ._values.codec_policies_v1 import POLICY_CODEC, PROFILE_CODEC, ProfileParts
from .base import Datastore, State, never, reporting
from .codec_v1 import CODEC, escape_name, unescape_name
from .snapshot import NONE_PLANNED, PlannedValues, PolicySnapshot, add_planned, looks_at_others_v1, snapshot_v1

_HOSTS = "/calico/v1/host"
_READY = "/calico/v1/Ready"
_POLICIES = "/calico/v1/policy"
_CONFIG = "/calico/v1/config"
_FELIX = "/calico/felix/v1/host"
# libcalico-go release-v2.6, lib/backend/model/statusreports.go.
_STATUS = re.compile(_FELIX + "/([^/]+)/(status|last_reported_status)")

# Maximum number of nodes that are read one by one. For more, one request for all hosts is faster, although it also
# returns the keys of their workloads.
FEW_NODES = 16
# Maximum number of policies, and of profiles, that are read one by one.
FEW_RESOURCES = 16

# Number of connections that write in turn, each sending its next write while etcd carries out the others; and maximum
# number of changes for which one connection is enough.
WRITERS = 4
FEW_CHANGES = 16


class EtcdV2Datastore(Datastore):
    api_version = V1

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._etcd = EtcdV2Client(settings)
        self._writers = [self._etcd]

    def read_state(self) -> State:
        ready = self._etcd.get(_READY)
        if ready is None:
            text = (
                "{0} has no {1}: Calico has never run with this datastore, and Felix waits until it does; check "
                "{etcd_endpoints}"
            )
            return State(warning=format_message(text, self._etcd, _READY))
        # Calico reads anything but "true" as not ready.
        if ready.get("value") != "true":
            found = "a directory" if ready.get("dir") else shown(ready.get("value"))
            return State(
                locked="{0} is {1}: Calico's datastore is locked, most likely because calico-upgrade moves it to "
                "Calico v3".format(_READY, found)
            )
        return State()

    def read_cluster(self) -> str:
        # An answer has it, so something must have been read.
        return self.state.cluster or self._etcd.cluster_id

    def key(self, ref: Ref) -> str:
        if ref.kind in ROOTS:
            return build_key(ref)
        if ref.kind == HOST_ENDPOINT:
            return "{0}/{1}".format(_directory(ref.node), escape_name(ref.name))
        raise _unknown_kind(ref.kind)

    def read(self, refs: Sequence[Ref], nodes: Collection[str], kinds: Collection[str] = ()) -> List[Stored]:
        endpoints = [ref for ref in refs if ref.kind == HOST_ENDPOINT]
        found: List[Stored] = []
        if HOST_ENDPOINT in kinds:
            found += self._read_endpoints(endpoints, self._hosts())
        elif len(endpoints) == 1 and not nodes:
            found += filter(None, [self.get(endpoints[0])])
        elif endpoints or nodes:
            found += self._read_endpoints(endpoints, self._read_hosts({ref.node for ref in endpoints}.union(nodes)))
        for kind in dict.fromkeys([*kinds, *[ref.kind for ref in refs]]):
            if kind != HOST_ENDPOINT:
                found += self._read_kind(kind, [ref for ref in refs if ref.kind == kind], kind in kinds)
        return found

    def _read_hosts(self, nodes: Collection[str]) -> List[Node]:
        return self._hosts() if len(nodes) > FEW_NODES else [self._host(node) for node in sorted(nodes)]

    def _read_endpoints(self, refs: Sequence[Ref], hosts: Sequence[Node]) -> List[Stored]:
        """The endpoints of these hosts, on which those of the refs can be stored."""
        keys = {node["key"] for host in hosts for node in _directories_for_endpoints(host)}
        if keys:
            keys.intersection_update([self.key(ref) for ref in refs])
        if keys:
            raise DatastoreError(DIRECTORY.format(min(keys)))
        found = [stored for host in hosts for stored in _of_host(host)]
        self._check_directories(found, refs)
        return found

    def _read_kind(self, kind: str, refs: Sequence[Ref], is_all: bool) -> List[Stored]:
        """What is stored for policies or profiles, or of their whole kind."""
        if kind not in ROOTS:
            raise _unknown_kind(kind)
        if not is_all and len(refs) <= FEW_RESOURCES:
            return [stored for stored in map(self.get, refs) if stored]
        found = list_stored(kind, self._directory(ROOTS[kind]))
        keys = {self.key(ref) for ref in refs}
        for stored in found:
            directory = stored.key.rpartition("/")[0]
            if stored.misplaced and directory in keys:
                raise DatastoreError(DIRECTORY.format(directory))
        return found

    def _check_directories(self, found: Sequence[Stored], refs: Sequence[Ref]) -> None:
        """Raise DatastoreError when an endpoint cannot be stored, because a value is in the place of its directory."""
        values = {stored.node: stored.key for stored in found if not stored.name}
        for ref in refs if values else ():
            if ref.node in values:
                text = "{0}: {1}, so {2} cannot be stored; remove it with etcdctl"
                raise DatastoreError(text.format(values[ref.node], NO_DIRECTORY, ref))

    def get(self, ref: Ref) -> Stored | None:
        node = self._etcd.get(self.key(ref), ref.kind == PROFILE)
        if node and node.get("dir") and ref.kind != PROFILE:
            raise DatastoreError(DIRECTORY.format(node["key"]))
        if ref.kind in ROOTS:
            return build_one(ref, node)
        return _endpoint(ref.node, node) if node else None

    def list(self, node: str = "") -> List[Stored]:
        hosts = [self._host(node)] if node else self._hosts()
        found = [stored for host in hosts for stored in _of_host(host)]
        return sorted(found, key=lambda stored: (stored.node, stored.name))

    def list_kind(self, kind: str) -> List[Stored]:
        return self._read_kind(kind, (), True) if kind in ROOTS else super().list_kind(kind)

    def known_nodes(self) -> List[str]:
        # calico/node, Felix and CNI store their data about a host next to its endpoints.
        return [
            get_name(host)
            for host in self._hosts()
            if any(get_name(child) != "endpoint" for child in list_children(host))
        ]

    def felix_nodes(self) -> Dict[str, bool]:
        return reporting(map(_STATUS.fullmatch, dict(read_values(self._etcd.get(_FELIX, True)))))

    def read_policies(
        self, node: str = "", declared: Sequence[Resource] = (), planned: PlannedValues = NONE_PLANNED
    ) -> PolicySnapshot:
        values: Dict[str, str] = {}
        for key in (_READY, _CONFIG, _POLICIES):
            values.update(read_values(self._etcd.get(key, True)))
        if node and not looks_at_others_v1(add_planned(values, planned)):
            host = self._etcd.get("{0}/{1}".format(_HOSTS, node), True)
            hosts = [host] if host else []
        else:
            hosts = self._hosts()
        for host in hosts:
            values.update(read_values(host))
        return snapshot_v1(values, [stored for host in hosts for stored in _of_host(host)])

    def _hosts(self) -> List[Node]:
        """The etcd nodes of all hosts, recursively."""
        return list_children(self._directory(_HOSTS))

    def _host(self, name: str) -> Node:
        """The etcd node of one host, with only its endpoints."""
        key = "{0}/{1}".format(_HOSTS, name)
        try:
            directory = self._etcd.get(_directory(name), True)
        except NotInDirectory:
            host = self._etcd.get(key)
            if host is None or host.get("dir"):
                raise
            return host
        return {"key": key, "dir": True, "nodes": [directory] if directory else []}

    def _directory(self, key: str) -> Node:
        """A directory, recursively; an empty one when it does not exist."""
        node = self._etcd.get(key, True) or {"dir": True}
        if not node.get("dir"):
            raise DatastoreError("{0}: {1}, so nothing can be stored below it".format(key, NO_DIRECTORY))
        return node

    def build_policy_values(self, change: Change) -> Dict[str, str | None]:
        key, content = self._encode(change)
        if change.ref.kind != PROFILE:
            return {key: content}
        parts = content or ProfileParts()
        return {"{0}/{1}".format(key, part): getattr(parts, part) for part in ProfileParts._fields}

    def write(
        self, changes: Sequence[Change], is_ended: Callable[[], bool] = never
    ) -> Iterator[Tuple[Change, DatastoreError | None]]:
        with self._etcd.keeping_alarm():
            yield from self._write(changes, is_ended)

    def _write(
        self, changes: Sequence[Change], is_ended: Callable[[], bool]
    ) -> Iterator[Tuple[Change, DatastoreError | None]]:
        if len(changes) > FEW_CHANGES:
            self._writers += [self._etcd.another() for _writer in range(len(self._writers), WRITERS)]
        free = list(self._writers)
        is_lost = False
        pending = collections.deque(changes)
        under_way: Deque[Tuple[EtcdV2Client, _Write, Request]] = collections.deque()
        while pending or under_way:
            while pending and free and not is_ended():
                write = self._prepare(pending.popleft())
                if write.request is None:
                    yield write.change, None
                    continue
                under_way.append((free.pop(), write, write.request))
                under_way[-1][0].send(write.request)
            if not under_way:
                return
            writer, write, request = under_way.popleft()
            error = None
            try:
                write.note_done(writer.write(request, is_lost))
                if write.request:
                    # What has been started is completed.
                    under_way.append((writer, write, write.request))
                    writer.send(write.request)
                    continue
                write.check(writer.get)
            except DatastoreError as exc:
                error = write.explain(exc)
                if not isinstance(exc, Conflict):
                    pending.clear()
                    is_lost = True
            free.append(writer)
            yield write.change, error

    def _prepare(self, change: Change) -> _Write:
        key, content = self._encode(change)
        return ProfileWrite(change, key, content) if change.ref.kind == PROFILE else ValueWrite(change, key, content)

    def _encode(self, change: Change) -> Tuple[str, Any]:
        """The key and the content to store."""
        kind, stored, content = change.ref.kind, change.before, change.content
        if kind not in _ENCODERS:
            raise _unknown_kind(kind)
        if content is None and change.after:
            content = _ENCODERS[kind](change.after, stored)
        return stored.key if stored else self.key(change.ref), content


_Write = Union[ValueWrite, ProfileWrite]
_ENCODERS: Dict[str, Callable[[Any, Stored | None], Any]] = {
    HOST_ENDPOINT: CODEC.encode,
    POLICY: POLICY_CODEC.encode,
    PROFILE: PROFILE_CODEC.encode,
}


def _unknown_kind(kind: str) -> DatastoreError:
    return DatastoreError("datastore_type etcdv2 has no resources of kind {0} here".format(kind))


def _directory(node: str) -> str:
    return "{0}/{1}/endpoint".format(_HOSTS, node)


def _of_host(host: Node) -> Iterator[Stored]:
    """What is stored below a host's directory, as etcd lists it."""
    name = get_name(host)
    directories = _endpoint_directories(host)
    for place in [host, *directories]:
        if not place.get("dir"):
            # calicoctl leaves this when it creates an endpoint named "..".
            yield build_stored(place, "", CODEC, name, NO_DIRECTORY)
    for directory in directories:
        for node in list_children(directory):
            if node.get("dir"):
                yield from _of_directory(name, node)
            else:
                yield _endpoint(name, node)


def _endpoint(host: str, node: Node) -> Stored:
    return build_stored(node, unescape_name(get_name(node)), CODEC, host)


def _of_directory(host: str, directory: Node) -> Iterator[Stored]:
    """Every value below a directory in the place of an endpoint. Calico does not see them."""
    for node in list_leaves([directory]):
        yield build_stored(node, node["key"][len(_directory(host)) + 1 :], CODEC, host, TOO_DEEP)


def _endpoint_directories(host: Node) -> List[Node]:
    return [child for child in list_children(host) if get_name(child) == "endpoint"]


def _directories_for_endpoints(host: Node) -> Iterator[Node]:
    """The directories in the place of an endpoint, whose content must not be taken for the endpoint."""
    for directory in _endpoint_directories(host):
        for node in list_children(directory):
            if node.get("dir"):
                yield node
