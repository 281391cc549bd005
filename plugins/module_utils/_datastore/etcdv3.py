# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's v3 data model in etcd's v3 API: keys and requests.

projectcalico/calico: libcalico-go/lib/backend/model/resource.go (keys), libcalico-go/lib/backend/etcdv3 (requests).
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import re
from typing import Any, Callable, Collection, Deque, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from .._core.errors import Conflict, DatastoreError, format_message, shown
from .._core.go_json import check_depth
from .._plan.plan import Change, Undone
from .._plan.stored import Codec, Stored
from .._resources.api_version import V3
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.resource import Ref, Resource
from ._etcd.settings import EtcdSettings
from ._etcd.v3_client import MOST_BYTES, MOST_CONDITIONS, EtcdV3Client, KeyValue, Write, Written
from ._etcd.v3_server import Sent
from ._values.calico_version import NEWEST, CalicoVersion, choose_version
from ._values.codec_specs_v3 import PLURALS, PLURALS_OF_POLICIES, build_codec, read_tier
from .base import Datastore, State, never, reporting
from .codec_v3 import CODEC
from .snapshot import (
    NONE_PLANNED,
    PlannedValues,
    PolicySnapshot,
    add_optional_v3,
    looks_at_others_v3,
    may_fail_v3,
    snapshot_v3,
)

_RESOURCES = "/calico/resources/v3/projectcalico.org"
# {kind: the prefix of its keys}
_PREFIXES = {
    kind: "{0}/{1}/".format(_RESOURCES, plural) for kind, plural in {HOST_ENDPOINT: "hostendpoints", **PLURALS}.items()
}
_NODES = _RESOURCES + "/nodes/"
_CLUSTER_INFORMATION = _RESOURCES + "/clusterinformations/default"
_FELIX = "/calico/felix/"
# With a region since v3.6, which may be "no-region" (libcalico-go/lib/backend/model/statusreports.go).
_STATUS = re.compile(_FELIX + "(?:v1|v2/[^/]+)/host/([^/]+)/(status|last_reported_status)")

# Maximum number of resources of a kind that are read by their keys. For more endpoints, or for whole nodes, all are
# read, since the keys do not contain the node.
FEW = 128
# Maximum number of pending transactions.
_UNDER_WAY = 2
# Maximum number of changes of the datastore's state in a phase.
_STATES = 10

_Batch = List[Tuple[Change, Write]]


@functools.lru_cache(maxsize=None)
def _build_codecs(version: CalicoVersion) -> Mapping[str, Codec]:
    """{kind: how this version writes it}"""
    return {HOST_ENDPOINT: CODEC, **{kind: build_codec(kind, version) for kind in PLURALS}}


class EtcdV3Datastore(Datastore):
    api_version = V3
    _codecs = _build_codecs(NEWEST)

    def __init__(self, settings: EtcdSettings) -> None:
        self._etcd = EtcdV3Client(settings)
        # The last state that was read.
        self._found_state = KeyValue(_CLUSTER_INFORMATION, None, 0)
        # {kind: {key: its revision}} as last read, of kinds whose resources may have other names.
        self._seen: Dict[str, Dict[str, int]] = {}

    def read_state(self) -> State:
        (found,) = self._etcd.get([_CLUSTER_INFORMATION])
        self._found_state = found
        if found.value is None:
            text = "{0} has no {1}: Calico has never run with this datastore; check {etcd_endpoints}"
            return State(warning=format_message(text, self._etcd, _CLUSTER_INFORMATION))
        try:
            is_ready, version = _read_information(found.value)
        except ValueError as exc:
            text = "{0} cannot be read, so it is unknown whether the datastore is locked: {1}"
            return State(warning=text.format(_CLUSTER_INFORMATION, exc))
        if is_ready is False:
            text = (
                "datastoreReady of {0} is false: Calico's datastore is locked, most likely for an upgrade or a "
                "migration"
            )
            return State(locked=text.format(_CLUSTER_INFORMATION), calico_version=version)
        return State(calico_version=version)

    def follow_version(self, given: str | None) -> None:
        self.calico_version = choose_version(given, self.state.calico_version)
        self.given_version = given or ""
        self._codecs = _build_codecs(self.calico_version)

    def read_cluster(self) -> str:
        # An answer has it, so something must have been read.
        return self.state.cluster or self._etcd.cluster_id

    def key(self, ref: Ref) -> str:
        prefix, codec = self._find_kind(ref.kind)
        return prefix + (self.calico_version.list_names(ref.name)[0] if codec.has_other_names else ref.name)

    def read(self, refs: Sequence[Ref], nodes: Collection[str], kinds: Collection[str] = ()) -> List[Stored]:
        wanted: Dict[str, List[str]] = {kind: [] for kind in kinds}
        if nodes:
            wanted.setdefault(HOST_ENDPOINT, [])
        numbers = collections.Counter([ref.kind for ref in refs])
        for ref in refs:
            # Of many resources, all of the kind are read.
            keys = wanted.setdefault(ref.kind, [])
            if numbers[ref.kind] <= FEW:
                keys.extend(self._keys(ref))
        found: List[Stored] = []
        for kind, keys in wanted.items():
            is_many = max(len(keys), numbers[kind]) > FEW
            if kind in kinds or is_many or (nodes and kind == HOST_ENDPOINT):
                read = self.list_kind(kind)
                self._seen[kind] = {}
            else:
                items = self._etcd.get(list(dict.fromkeys(keys)))
                read = [_stored(item, *self._find_kind(kind)) for item in items if item.value is not None]
                self._seen.setdefault(kind, {}).update(dict.fromkeys(keys, 0))
            self._seen[kind].update((item.key, int(item.revision)) for item in read if item.codec.has_other_names)
            found += read
        return found

    def _keys(self, ref: Ref) -> List[str]:
        """The keys under which a resource may be stored, that of a new one first."""
        prefix, codec = self._find_kind(ref.kind)
        if not codec.has_other_names:
            return [prefix + ref.name]
        return [prefix + name for name in self.calico_version.list_names(ref.name)]

    def _find_kind(self, kind: str) -> Tuple[str, Codec]:
        """The prefix of a kind's keys, and how it is written. Raises DatastoreError for an unknown kind."""
        if kind not in _PREFIXES:
            raise DatastoreError("datastore_type etcdv3 has no resources of kind {0} here".format(kind))
        return _PREFIXES[kind], self._codecs[kind]

    def get(self, ref: Ref) -> Stored | None:
        key = self.key(ref)
        return next((stored for stored in self.read([ref], ()) if stored.key == key or stored.own_ref == ref), None)

    def list(self, node: str = "") -> List[Stored]:
        found = self.list_kind(HOST_ENDPOINT)
        # An unreadable endpoint may belong to any node.
        found = [stored for stored in found if not node or stored.error or stored.node == node]
        return sorted(found, key=lambda stored: (stored.node, stored.name))

    def list_kind(self, kind: str) -> List[Stored]:
        if kind not in _PREFIXES:
            return super().list_kind(kind)
        prefix, codec = self._find_kind(kind)
        return [_stored(item, prefix, codec) for item in self._etcd.list(prefix)]

    def read_tiers_in_use(self) -> Dict[str, List[Ref]]:
        found: Dict[str, List[Ref]] = {}
        for kind, plural in PLURALS_OF_POLICIES.items():
            for key, value in self._values(plural).items():
                tier = read_tier(value)
                if tier:
                    found.setdefault(tier, []).append(Ref(kind, key.rpartition("/")[2]))
        return found

    def known_nodes(self) -> List[str]:
        return [key[len(_NODES) :] for key in self._etcd.keys(_NODES)]

    def felix_nodes(self) -> Dict[str, bool]:
        return reporting(map(_STATUS.fullmatch, self._etcd.keys(_FELIX)))

    def read_policies(
        self, node: str = "", declared: Sequence[Resource] = (), planned: PlannedValues = NONE_PLANNED
    ) -> PolicySnapshot:
        (state,) = self._etcd.get([_CLUSTER_INFORMATION])
        values = {} if state.value is None else {state.key: state.value}
        for plural in ("globalnetworkpolicies", "profiles", "tiers", "felixconfigurations"):
            values.update(self._values(plural))
        endpoints = self.list()
        found = snapshot_v3(values, endpoints).beside(planned)
        if looks_at_others_v3(found):
            for plural in ("globalnetworksets", "networksets", "workloadendpoints"):
                values.update(self._values(plural))
        elif may_fail_v3(found):
            with contextlib.suppress(DatastoreError):
                # Few users can read them, and they rarely matter.
                values.update(self._values("workloadendpoints"))
        unread = add_optional_v3(values, endpoints, self._values, planned=planned)
        return snapshot_v3(values, endpoints, unread, self.given_version)

    def build_policy_values(self, change: Change) -> Dict[str, str | None]:
        write = self._write(change)
        return {write.key: write.value}

    def _values(self, plural: str) -> Dict[str, str]:
        """The values of all resources of a kind, by their keys."""
        return {item.key: item.value or "" for item in self._etcd.list("{0}/{1}/".format(_RESOURCES, plural))}

    def group_writes(self, changes: Sequence[Change]) -> Iterator[List[Change]]:
        return ([change for change, _write in batch] for batch in self._batches(changes))

    def write(
        self, changes: Sequence[Change], is_ended: Callable[[], bool] = never
    ) -> Iterator[Tuple[Change, DatastoreError | None]]:
        batches = self._batches(changes)
        pending = next(batches, None)
        under_way: Deque[Tuple[_Batch, Sent | None]] = collections.deque()
        # How often the state of the datastore has changed.
        states = 0
        while pending or under_way:
            while pending and len(under_way) < _UNDER_WAY and not is_ended():
                is_alone = len(pending) == len(changes)
                writes = [write for _change, write in pending]
                under_way.append((pending, None if is_alone else self._etcd.send(writes, self._found_state)))
                # The next one is prepared while etcd carries out this one.
                pending = next(batches, None)
            if not under_way:
                return
            batch, sent = under_way.popleft()
            try:
                result = self._etcd.write([write for _change, write in batch], self._found_state, sent)
            except DatastoreError as exc:
                yield from ((change, exc) for change, _write in batch)
                yield from self._last(under_way)
                return
            if isinstance(result, Written):
                yield from _list_made(batch, result)
                continue
            # Conflicts are reported; the other changes are tried again before later batches are reported.
            again = []
            for (change, write), item in zip(batch, result.obstacles):
                if item is None:
                    again.append((change, write))
                elif result.maybe_done and (item.key, item.value) == (write.key, write.value):
                    yield from _list_made([(change, write)], Written(str(item.revision)))
                else:
                    text = "another client changed {0} at the same time".format(item.key)
                    yield change, Conflict(text, result.maybe_done)
            if result.is_other_state:
                states += 1
                stop = self._why_stop(states)
                if stop:
                    yield from ((change, stop) for change, _write in again)
                    yield from self._last(under_way)
                    return
            if again and not is_ended():
                under_way.appendleft((again, None))

    def _why_stop(self, states: int) -> DatastoreError | None:
        """Why the writes stop after this many changes of the datastore's state; None to continue."""
        self.forget_state()
        try:
            locked = self.state.locked
        except DatastoreError as exc:
            return exc
        if locked:
            return DatastoreError("nothing more can be changed: {0}".format(locked))
        if states > _STATES:
            return DatastoreError("another client keeps changing {0}".format(_CLUSTER_INFORMATION))
        return None

    def _last(self, under_way: Iterable[Tuple[_Batch, Sent | None]]) -> Iterator[Tuple[Change, DatastoreError | None]]:
        """The outcome of pending batches after another batch failed, without those that were certainly not made."""
        for batch, sent in under_way:
            try:
                written = self._etcd.receive([write for _change, write in batch], sent) if sent else None
                if written:
                    yield from _list_made(batch, written)
            except DatastoreError as exc:
                yield from ((change, exc) for change, _write in batch)

    def _batches(self, changes: Iterable[Change]) -> Iterator[_Batch]:
        """The changes with their writes, as many at a time as one transaction may have."""
        batch: _Batch = []
        size = conditions = 0
        for change in changes:
            write = self._write(change)
            size += write.size
            conditions += 1 + len(write.others)
            if batch and (size > MOST_BYTES or conditions > MOST_CONDITIONS):
                yield batch
                batch, size, conditions = [], write.size, 1 + len(write.others)
            batch.append((change._replace(content=write.value), write))
        if batch:
            yield batch

    def _write(self, change: Change) -> Write:
        stored = change.before
        text = change.content
        if text is None and change.after:
            text = self._find_kind(change.ref.kind)[1].encode(change.after, stored)
        if stored:
            others = ((change.beside.key, int(change.beside.revision)),) if change.beside else ()
            return Write(stored.key, text, int(stored.revision), others)
        undone = change.want.change.before if isinstance(change.want, Undone) else None
        keys = self._keys(change.ref)
        key = undone.key if undone else keys[0]
        if keys == [key]:
            return Write(key, text, 0)
        # Another client may create the resource under another name, and it would exist twice.
        seen = self._seen.get(change.ref.kind, {})
        return Write(key, text, 0, tuple((other, seen.get(other, 0)) for other in keys if other != key))


def _list_made(batch: _Batch, written: Written) -> Iterator[Tuple[Change, None]]:
    """The changes of a batch that was written, with their revisions."""
    for change, write in batch:
        yield change._replace(revision="" if write.value is None else written.revision), None


def _read_information(text: str) -> Tuple[bool | None, str]:
    """datastoreReady and calicoVersion of a ClusterInformation. Raises ValueError when it cannot be read."""
    check_depth(text)
    content = _DECODER.decode(text)
    spec = content.get("spec") if isinstance(content, dict) else None
    if not isinstance(spec, dict):
        raise ValueError("it has no spec")
    is_ready = spec.get("datastoreready")
    if is_ready is not None and not isinstance(is_ready, bool):
        raise ValueError("datastoreReady is {0}".format(shown(is_ready)))
    version = spec.get("calicoversion")
    return is_ready, version if isinstance(version, str) else ""


def _in_lower_case(members: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """An object as Calico reads it: of keys that differ only in case, the last one counts."""
    return {key.lower(): value for key, value in members}


# Python does not parse integers of several thousand digits, and no integer is required here.
_DECODER = json.JSONDecoder(object_pairs_hook=_in_lower_case, parse_int=str)


def _stored(item: KeyValue, prefix: str, codec: Codec) -> Stored:
    name = item.key[len(prefix) :]
    misplaced = "" if name and "/" not in name else "the key is not that of a resource, so Calico does not list it"
    if not item.is_clear:
        codec = codec.of_unclear_key("the key is not UTF-8")
    return Stored(item.key, str(item.revision), item.value or "", "", name, codec, misplaced)
