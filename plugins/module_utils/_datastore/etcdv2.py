# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's v1 data model in etcd's v2 API: keys and requests.

libcalico-go release-v2.6: lib/backend/model/hostendpoint.go (key), lib/backend/model/name.go (escaping),
lib/backend/etcd/etcd.go (requests).
"""

from __future__ import annotations

import collections
import re
from typing import Any, Callable, Collection, Deque, Dict, Iterator, List, Sequence, Tuple

from .._core.errors import Conflict, DatastoreError, shown
from .._plan.plan import Change
from .._plan.stored import Codec, Stored
from .._resources.api_version import V1
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.resource import Ref, Resource
from ._etcd.settings import EtcdSettings
from ._etcd.v2_client import DIRECTORY, EtcdV2Client, NotInDirectory
from ._etcd.v2_server import Request
from .base import Datastore, State, never, reporting
from .codec_v1 import CODEC
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
            return State(
                warning="{0} has no {1}: Calico has never run with this datastore, and Felix waits until it does; "
                "check etcd_endpoints".format(self._etcd, _READY)
            )
        # Calico reads anything but "true" as not ready.
        if ready.get("value") != "true":
            found = "a directory" if ready.get("dir") else shown(ready.get("value"))
            return State(
                locked="{0} is {1}: Calico's datastore is locked, most likely because calico-upgrade moves it to "
                "Calico v3".format(_READY, found)
            )
        return State()

    def key(self, ref: Ref) -> str:
        _find_codec(ref.kind)
        # Only the name is escaped, the percent sign first.
        return "{0}/{1}".format(_directory(ref.node), ref.name.replace("%", "%25").replace("/", "%2f"))

    def read(self, refs: Sequence[Ref], nodes: Collection[str], kinds: Collection[str] = ()) -> List[Stored]:
        if kinds:
            raise DatastoreError("datastore_type etcdv2 has no resources of kind {0} here".format(min(kinds)))
        if len(refs) == 1 and not nodes:
            stored = self.get(refs[0])
            return [stored] if stored else []
        nodes = {ref.node for ref in refs}.union(nodes)
        hosts = self._hosts() if len(nodes) > FEW_NODES else [self._host(node) for node in sorted(nodes)]
        keys = {node["key"] for host in hosts for node in _directories_for_endpoints(host)}
        if keys:
            keys.intersection_update([self.key(ref) for ref in refs])
        if keys:
            raise DatastoreError(DIRECTORY.format(min(keys)))
        found = [stored for host in hosts for stored in _of_host(host)]
        self._check_directories(found, refs)
        return found

    def _check_directories(self, found: Sequence[Stored], refs: Sequence[Ref]) -> None:
        """Raise DatastoreError when an endpoint cannot be stored, because a value is in the place of its directory."""
        values = {stored.node: stored.key for stored in found if not stored.name}
        for ref in refs if values else ():
            if ref.node in values:
                text = "{0}: {1}, so {2} cannot be stored; remove it with etcdctl"
                raise DatastoreError(text.format(values[ref.node], _NO_DIRECTORY, ref))

    def get(self, ref: Ref) -> Stored | None:
        node = self._etcd.get(self.key(ref))
        if node is None:
            return None
        if node.get("dir"):
            raise DatastoreError(DIRECTORY.format(node["key"]))
        return _endpoint(ref.node, node)

    def list(self, node: str = "") -> List[Stored]:
        hosts = [self._host(node)] if node else self._hosts()
        found = [stored for host in hosts for stored in _of_host(host)]
        return sorted(found, key=lambda stored: (stored.node, stored.name))

    def known_nodes(self) -> List[str]:
        # calico/node, Felix and CNI store their data about a host next to its endpoints.
        return [
            _name(host)
            for host in self._hosts()
            if any(not child.get("key", "").endswith("/endpoint") for child in host.get("nodes", ()))
        ]

    def felix_nodes(self) -> Dict[str, bool]:
        return reporting(map(_STATUS.fullmatch, dict(_values(self._etcd.get(_FELIX, True)))))

    def read_policies(
        self, node: str = "", declared: Sequence[Resource] = (), planned: PlannedValues = NONE_PLANNED
    ) -> PolicySnapshot:
        values: Dict[str, str] = {}
        for key in (_READY, _CONFIG, _POLICIES):
            values.update(_values(self._etcd.get(key, True)))
        if node and not looks_at_others_v1(add_planned(values, planned)):
            host = self._etcd.get("{0}/{1}".format(_HOSTS, node), True)
            hosts = [host] if host else []
        else:
            hosts = self._hosts()
        for host in hosts:
            values.update(_values(host))
        return snapshot_v1(values, [stored for host in hosts for stored in _of_host(host)])

    def _hosts(self) -> List[Dict[str, Any]]:
        """The etcd nodes of all hosts, recursively."""
        hosts: List[Dict[str, Any]] = self._directory(_HOSTS).get("nodes", [])
        return hosts

    def _host(self, name: str) -> Dict[str, Any]:
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

    def _directory(self, key: str) -> Dict[str, Any]:
        """A directory, recursively; an empty one when it does not exist."""
        node = self._etcd.get(key, True) or {"dir": True}
        if not node.get("dir"):
            raise DatastoreError(
                "{0}: in etcd this is a value, not a directory, so no endpoint can be there".format(key)
            )
        return node

    def write(
        self, changes: Sequence[Change], is_ended: Callable[[], bool] = never
    ) -> Iterator[Tuple[Change, DatastoreError | None]]:
        if len(changes) > FEW_CHANGES:
            self._writers += [self._etcd.another() for _writer in range(len(self._writers), WRITERS)]
        free = list(self._writers)
        is_lost = False
        pending = collections.deque(changes)
        under_way: Deque[Tuple[EtcdV2Client, Change, Request]] = collections.deque()
        while pending or under_way:
            while pending and free and not is_ended():
                writer, change = free.pop(), pending.popleft()
                request = self._request(change)
                under_way.append((writer, change._replace(content=request.value), request))
                writer.send(under_way[-1][-1])
            if not under_way:
                return
            writer, change, request = under_way.popleft()
            free.append(writer)
            error = None
            try:
                change = change._replace(revision=writer.write(request, is_lost))
            except DatastoreError as exc:
                error = exc
                if not isinstance(exc, Conflict):
                    pending.clear()
                    is_lost = True
            yield change, error

    def _request(self, change: Change) -> Request:
        stored = change.before
        text = change.content
        if text is None and change.after:
            text = _find_codec(change.ref.kind).encode(change.after, stored)
        if stored is None:
            return Request("PUT", self.key(change.ref), {"prevExist": "false"}, text)
        return Request("DELETE" if text is None else "PUT", stored.key, {"prevIndex": stored.revision}, text)


def _find_codec(kind: str) -> Codec:
    """How a kind is written. Raises DatastoreError for a kind that is not kept here."""
    if kind != HOST_ENDPOINT:
        raise DatastoreError("datastore_type etcdv2 has no resources of kind {0} here".format(kind))
    return CODEC


def _values(node: Dict[str, Any] | None) -> Dict[str, str]:
    """{key: value} of an etcd node and everything below it."""
    return {each["key"]: each.get("value", "") for each in _leaves([node] if node else [])}


def _leaves(nodes: Sequence[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    """All values among etcd nodes and below them, at any depth."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.get("dir"):
            pending += node.get("nodes", ())
        else:
            yield node


def _directory(node: str) -> str:
    return "{0}/{1}/endpoint".format(_HOSTS, node)


def _of_host(host: Dict[str, Any]) -> Iterator[Stored]:
    """What is stored below a host's directory, as etcd lists it."""
    name = _name(host)
    directories = _endpoint_directories(host)
    for place in [host, *directories]:
        if not place.get("dir"):
            # calicoctl leaves this when it creates an endpoint named "..".
            yield _stored(place, name, "", _NO_DIRECTORY)
    for directory in directories:
        for node in directory.get("nodes", ()):
            if node.get("dir"):
                yield from _of_directory(name, node)
            else:
                yield _endpoint(name, node)


def _endpoint(host: str, node: Dict[str, Any]) -> Stored:
    name = node["key"].rpartition("/")[2]
    return _stored(node, host, name.replace("%2f", "/").replace("%25", "%") if "%" in name else name)


_NO_DIRECTORY = "in etcd this is a value where a directory belongs"


def _of_directory(host: str, directory: Dict[str, Any]) -> Iterator[Stored]:
    """Every value below a directory in the place of an endpoint. Calico does not see them."""
    for node in _leaves([directory]):
        name = node["key"][len(_directory(host)) + 1 :]
        yield _stored(node, host, name, "the key is one level too deep, so Calico does not read it")


def _endpoint_directories(host: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [child for child in host.get("nodes", ()) if child.get("key", "").endswith("/endpoint")]


def _name(host: Dict[str, Any]) -> str:
    key: str = host["key"]
    return key.rpartition("/")[2]


def _directories_for_endpoints(host: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """The directories in the place of an endpoint, whose content must not be taken for the endpoint."""
    for directory in _endpoint_directories(host):
        for node in directory.get("nodes", ()):
            if node.get("dir"):
                yield node


def _stored(node: Dict[str, Any], host: str, name: str, misplaced: str = "") -> Stored:
    value, revision = node.get("value", ""), node.get("modifiedIndex")
    if not isinstance(value, str) or not isinstance(revision, int):
        raise DatastoreError("{0}: the answer is not etcd's: {1}".format(node["key"], shown(node)))
    return Stored(
        node["key"], str(revision), value, host, name, _UNCLEAR if "\ufffd" in node["key"] else CODEC, misplaced
    )


_UNCLEAR = CODEC.of_unclear_key("the key is not UTF-8, or has the character that etcd lists in its place (U+FFFD)")
