# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's v1 data model in etcd's v2 API: keys and bytes.

libcalico-go release-v2.6: lib/backend/model/hostendpoint.go (key and value), lib/backend/model/name.go (escaping),
lib/backend/etcd/etcd.go (requests).
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import threading
from typing import Any, Collection, Dict, Iterator, List, Sequence, Set, Tuple

from .._connection import Settings
from .._errors import Conflict, DatastoreError, shown
from .._hostendpoint import V1, HostEndpoint, canonical_ip
from .._plan import Change, Stored
from . import State, Store
from ._etcdv2_client import DIRECTORY, Etcdv2Client

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
        self._threads = threading.local()
        # Now, so that what is wrong with the settings is said first of all.
        self._threads.etcd = Etcdv2Client(settings)

    @property
    def _etcd(self) -> Etcdv2Client:
        """The client of this thread."""
        if not hasattr(self._threads, "etcd"):
            self._threads.etcd = Etcdv2Client(self._settings)
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
        return {"key": "{0}/{1}".format(_HOSTS, name), "nodes": [self._directory(_directory(name))]}

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
            for results in pool.map(write_one, changes):
                yield from results

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
    for node in _endpoint_nodes(host):
        yield from _stored(name, node)


def _endpoint_nodes(host: Dict[str, Any]) -> List[Dict[str, Any]]:
    directory = _directory(_name(host))
    return [node for child in host.get("nodes", []) if child.get("key") == directory for node in child.get("nodes", [])]


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
    key = node["key"]
    name = key[len(_directory(host)) + 1 :]
    if not nested:
        name = name.replace("%2f", "/").replace("%25", "%")
    identity = HostEndpoint(name=name, node=host)
    value = node.get("value", "")
    error = "the key is one level too deep, so Calico does not read it" if nested else ""
    endpoint = identity
    if not error:
        try:
            endpoint = decode(value, identity)
        except ValueError as exc:
            error = str(exc)
    yield Stored(key, node["modifiedIndex"], value, endpoint, error)


# --- the value ---

# What may stand between the keys and the values of an object.
_GAP = re.compile(r"[\s:,]*")

# JSON key: its type, in the order of Go's struct (model.HostEndpoint).
_TYPES = {
    "name": str,
    "expected_ipv4_addrs": list,
    "expected_ipv6_addrs": list,
    "labels": dict,
    "profile_ids": list,
}


def encode(endpoint: HostEndpoint, stored: Stored | None = None) -> str:
    """The bytes that calicoctl v1.6.5 writes, and after them the keys of the stored value that are not Calico's."""
    endpoint = endpoint.as_stored(V1)
    value = {
        "name": endpoint.interface_name,
        "expected_ipv4_addrs": [ip for ip in endpoint.expected_ips if ":" not in ip],
        "expected_ipv6_addrs": [ip for ip in endpoint.expected_ips if ":" in ip],
        "labels": dict(sorted(endpoint.labels.items())),
        "profile_ids": list(endpoint.profiles),
    }
    value = {key: item for key, item in value.items() if item}
    text = json.dumps(value, separators=(",", ":"))
    unknown = _unknown_members(stored.value) if stored and not stored.error and "{" in stored.value else []
    if not unknown:
        return text
    return "{" + ",".join(([text[1:-1]] if value else []) + unknown) + "}"


def decode(value: str, identity: HostEndpoint) -> HostEndpoint:
    """The endpoint that Calico reads from a value. Raises ValueError when it reads none."""
    content = _load(value)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ValueError("the value is not a JSON object")
    found = {key: kind() for key, kind in _TYPES.items()}
    for key, item in content.items():
        # Go matches the keys of JSON without regard to case, and merges mappings.
        kind = _TYPES.get(key.lower())
        if not kind or item is None:
            continue
        if not isinstance(item, kind):
            raise ValueError("{0} is not a {1}: {2}".format(key, _NAMES[kind], shown(item)))
        found[key.lower()] = dict(found["labels"], **item) if kind is dict else item
    return HostEndpoint(
        name=identity.name,
        node=identity.node,
        interface_name=found["name"],
        expected_ips=tuple(_addresses(found, "expected_ipv4_addrs") + _addresses(found, "expected_ipv6_addrs")),
        labels={key: _text(item, "labels[{0}]".format(key)) for key, item in found["labels"].items()},
        profiles=tuple(_text(item, "profile_ids") for item in found["profile_ids"]),
    )


_NAMES = {str: "text", list: "list", dict: "mapping"}


def _load(value: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError("{0} is not JSON".format(constant))

    try:
        return json.loads(value, parse_constant=refuse)
    except RecursionError as exc:
        raise ValueError("the value is nested too deeply") from exc
    except ValueError as exc:
        raise ValueError("the value is not JSON: {0}".format(exc)) from exc


def _unknown_members(value: str) -> List[str]:
    """The members of a stored object that are not Calico's, to the letter: Python would spell some numbers anew."""
    decoder = json.JSONDecoder()
    members = []
    end = _GAP.match(value, value.index("{") + 1).end()
    while value[end] == '"':
        start = end
        key, end = decoder.raw_decode(value, start)
        _item, end = decoder.raw_decode(value, _GAP.match(value, end).end())
        if key.lower() not in _TYPES:
            members.append(value[start:end])
        end = _GAP.match(value, end).end()
    return members


def _text(item: Any, where: str) -> str:
    if item is None:
        return ""
    if not isinstance(item, str):
        raise ValueError("{0} is not a text: {1}".format(where, shown(item)))
    return item


def _addresses(found: Dict[str, Any], key: str) -> List[str]:
    addresses = []
    for item in found[key]:
        try:
            # calicoctl takes an empty address, and so Calico reads one.
            addresses.append(item and canonical_ip(_text(item, key)) or "")
        except ValueError as exc:
            raise ValueError("{0}: {1} is not an IP address".format(key, shown(item))) from exc
    return addresses
