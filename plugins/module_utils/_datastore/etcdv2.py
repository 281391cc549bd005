# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's v1 data model in etcd's v2 API: keys and requests.

libcalico-go release-v2.6: lib/backend/model/hostendpoint.go (key), lib/backend/model/name.go (escaping),
lib/backend/etcd/etcd.go (requests).
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any, Collection, Dict, Iterator, List, Sequence, Set, Tuple

from .._connection import Settings
from .._errors import Conflict, DatastoreError, shown
from .._hostendpoint import V1, HostEndpoint
from .._plan import Change, Stored
from ._etcdv2_client import DIRECTORY, Etcdv2Client
from ._store import State, Store
from ._v1_value import decode, encode

_HOSTS = "/calico/v1/host"
_READY = "/calico/v1/Ready"

# Up to so many nodes are read one by one; beyond, one request for all hosts is faster, though it brings the keys of
# their workloads too.
FEW_NODES = 16

# So many connections write at once, which lets etcd take several changes in one go to its disk; up to so many changes,
# one connection is enough.
WRITERS = 4
FEW_CHANGES = 16


class Etcdv2Store(Store):
    api_version = V1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: List[Etcdv2Client] = []
        self._threads = threading.local()
        # Now, so that what is wrong with the settings is said first of all.
        self._threads.etcd = Etcdv2Client(settings)

    @property
    def _etcd(self) -> Etcdv2Client:
        """The client of this thread."""
        if not hasattr(self._threads, "etcd"):
            self._threads.etcd = Etcdv2Client(self._settings, has_read=True)
            self._clients.append(self._threads.etcd)
        return self._threads.etcd

    def read_state(self) -> State:
        ready = self._etcd.get(_READY)
        if ready is None:
            return State(
                warning="{0} has no {1}: no Calico has been started on this datastore, and Felix waits until one "
                "is; check that etcd_endpoints is the right one".format(self._etcd, _READY)
            )
        # Calico reads anything but "true" as not ready.
        if ready.get("value") != "true":
            found = "a directory" if ready.get("dir") else shown(ready.get("value"))
            return State(
                locked="{0} is {1}: Calico's datastore is locked, most likely because calico-upgrade moves it to "
                "Calico v3".format(_READY, found)
            )
        return State()

    def key(self, identity: HostEndpoint) -> str:
        # Only the name is escaped, the percent sign first.
        return "{0}/{1}".format(_directory(identity.node), identity.name.replace("%", "%25").replace("/", "%2f"))

    def read(self, identities: Sequence[HostEndpoint], nodes: Collection[str]) -> List[Stored]:
        if len(identities) == 1 and not nodes:
            stored = self.get(identities[0])
            return [stored] if stored else []
        nodes = {identity.node for identity in identities}.union(nodes)
        hosts = self._hosts() if len(nodes) > FEW_NODES else [self._host(node) for node in sorted(nodes)]
        keys = {self.key(identity) for identity in identities}
        for host in hosts:
            _refuse_directories(_endpoint_nodes(host), keys)
        return [stored for host in hosts for stored in _of_host(host)]

    def get(self, identity: HostEndpoint) -> Stored | None:
        node = self._etcd.get(self.key(identity))
        if node is None:
            return None
        _refuse_directories([node], {node["key"]})
        return next(_stored(identity.node, node))

    def list(self, node: str = "") -> List[Stored]:
        hosts = [self._host(node)] if node else self._hosts()
        found = [stored for host in hosts for stored in _of_host(host)]
        return sorted(found, key=lambda stored: (stored.endpoint.node, stored.endpoint.name))

    def _hosts(self) -> List[Dict[str, Any]]:
        """The etcd nodes of all hosts, with all beneath them."""
        return self._directory(_HOSTS).get("nodes", [])

    def _host(self, name: str) -> Dict[str, Any]:
        """The etcd node of one host, with its endpoints only."""
        directory = self._directory(_directory(name))
        return {"key": "{0}/{1}".format(_HOSTS, name), "dir": True, "nodes": [directory]}

    def _directory(self, key: str) -> Dict[str, Any]:
        """A directory with all beneath it; an empty one when there is none."""
        node = self._etcd.get(key, True) or {"dir": True}
        if not node.get("dir"):
            raise DatastoreError(
                "{0}: in etcd this is a value, not a directory, so no endpoint can be there".format(key)
            )
        return node

    def write(self, changes: Sequence[Change]) -> Iterator[Tuple[Change, DatastoreError | None]]:
        if len(changes) <= FEW_CHANGES:
            yield from super().write(changes)
            return
        failed = threading.Event()

        def write_one(change: Change) -> List[Tuple[Change, DatastoreError | None]]:
            """What became of the change; nothing when it was left, since another one has failed."""
            if failed.is_set():
                return []
            results = list(super(Etcdv2Store, self).write([change]))
            if any(error and not isinstance(error, Conflict) for _change, error in results):
                failed.set()
            return results

        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            for future in [pool.submit(write_one, change) for change in changes]:
                while not concurrent.futures.wait([future], self._settings.timeout / 10).done:
                    for client in self._clients:
                        client.expire()
                yield from future.result()

    def create(self, endpoint: HostEndpoint) -> None:
        self._etcd.create(self.key(endpoint), encode(endpoint))

    def update(self, stored: Stored, endpoint: HostEndpoint) -> None:
        self._etcd.replace(stored.key, encode(endpoint, stored), stored.revision)

    def delete(self, stored: Stored) -> None:
        self._etcd.delete(stored.key, stored.revision)


def _directory(node: str) -> str:
    return "{0}/{1}/endpoint".format(_HOSTS, node)


def _of_host(host: Dict[str, Any]) -> Iterator[Stored]:
    """What is stored beneath a host's directory, as etcd listed it."""
    name = _name(host)
    for place in [host, *_endpoint_directories(host)]:
        if not place.get("dir"):
            # calicoctl makes such a wreck of a host when it is told to create an endpoint named "..".
            yield _item(place, HostEndpoint(node=name), "in etcd this is a value where a directory belongs")
    for node in _endpoint_nodes(host):
        yield from _stored(name, node)


def _endpoint_directories(host: Dict[str, Any]) -> List[Dict[str, Any]]:
    directory = _directory(_name(host))
    return [child for child in host.get("nodes", []) if child.get("key") == directory]


def _endpoint_nodes(host: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [node for directory in _endpoint_directories(host) for node in directory.get("nodes", [])]


def _name(host: Dict[str, Any]) -> str:
    return host["key"].rpartition("/")[2]


def _refuse_directories(nodes: List[Dict[str, Any]], keys: Set[str]) -> None:
    """What stands beneath an endpoint's key must not be taken for the endpoint."""
    for node in nodes:
        if node.get("dir") and node["key"] in keys:
            raise DatastoreError(DIRECTORY.format(node["key"]))


def _stored(host: str, node: Dict[str, Any], nested: bool = False) -> Iterator[Stored]:
    """The stored value of an etcd node; of a directory, every value beneath it, which Calico does not see."""
    if node.get("dir"):
        for child in node.get("nodes", []):
            yield from _stored(host, child, True)
        return
    name = node["key"][len(_directory(host)) + 1 :]
    if nested:
        identity = HostEndpoint(name=name, node=host)
        yield _item(node, identity, "the key is one level too deep, so Calico does not read it")
        return
    yield _item(node, HostEndpoint(name=name.replace("%2f", "/").replace("%25", "%"), node=host))


def _item(node: Dict[str, Any], identity: HostEndpoint, error: str = "") -> Stored:
    value, revision = node.get("value", ""), node.get("modifiedIndex")
    if not isinstance(value, str) or not isinstance(revision, int):
        raise DatastoreError("{0}: what answers is not etcd: {1}".format(node["key"], shown(node)))
    endpoint = identity
    if not error:
        try:
            endpoint = decode(value, identity)
        except ValueError as exc:
            error = str(exc)
    return Stored(node["key"], revision, value, endpoint, error)
