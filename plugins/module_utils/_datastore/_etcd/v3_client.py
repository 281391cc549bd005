# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client on top of etcd3gw that works around its defects:

- it encodes strings as latin-1, so keys and values are passed as bytes;
- proxies and REQUESTS_CA_BUNDLE of the environment override the options (see v3_server.py);
- it supports one server, and no users;
- it returns integers as strings, and a failed transaction without "succeeded";
- its exceptions hide etcd's message and the cause.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ..._core.errors import DatastoreError, format_message, join_first
from ..certificates import check_certificates
from .cluster import EtcdCluster, EtcdError, NoAnswer, after_unanswered, refused, unsure
from .settings import CERTIFICATES, EtcdSettings
from .v3_server import DENIED, OUT_OF_RANGE, UNAUTHENTICATED, EtcdV3Server, Sent

# Maximum number of keys that one request reads, and of attempts of a listing in several pages.
_PAGE = 5000
_LISTINGS = 3
# No etcd of Calico's has more; without a limit, a faulty server could send pages for ever.
_MOST_KEYS = 2000000
# etcd accepts this many comparisons and operations in a transaction, and about 1.5 MB in a request (its defaults).
MOST_OPERATIONS = 128
# One comparison is for the state of the datastore.
MOST_CONDITIONS = MOST_OPERATIONS - 1
MOST_BYTES = 1000000

_RIGHTS = (
    "to read /calico/resources/v3/* and /calico/felix/* and, for changes, to read and write "
    "/calico/resources/v3/projectcalico.org/hostendpoints/*"
)


class KeyValue(NamedTuple):
    """What is stored under a key; `revision` is that of its last change, 0 when the key does not exist."""

    key: str
    value: str | None
    revision: int
    # Whether the key is UTF-8. Otherwise no request can name it, and other bytes appear as `\\xff`.
    is_clear: bool = True


class Write(NamedTuple):
    """A key to write, or to delete (value None), if it still has the revision (0: does not exist)."""

    key: str
    value: str | None
    revision: int
    # Other keys that must have these revisions, too.
    others: Tuple[Tuple[str, int], ...] = ()

    @property
    def conditions(self) -> List[Tuple[str, int]]:
        """The revisions that keys must have."""
        return [(self.key, self.revision), *self.others]

    @property
    def size(self) -> int:
        """Maximum number of characters in a request."""
        keys = 4 * len(self.key.encode()) + sum(2 * len(key.encode()) for key, _revision in self.others)
        return keys + 2 * len((self.value or "").encode())

    def find_obstacle(self, now: Mapping[str, KeyValue]) -> KeyValue | None:
        """The first of its keys that has another revision; None if it can be made."""
        return next((now[key] for key, revision in self.conditions if now[key].revision != revision), None)


class Written(NamedTuple):
    """All writes of a transaction were made."""

    # None where the answer has none.
    revision: str | None


class NotWritten(NamedTuple):
    """No write of a transaction was made, and why."""

    # The obstacle of each write, in the same order; None for a write that has none.
    obstacles: List[KeyValue | None]
    # Whether an earlier attempt got no answer, and may have written all.
    maybe_done: bool
    # Whether the state of the datastore has changed.
    is_other_state: bool


class _NotWhole(ValueError):
    """An incomplete or invalid answer."""


class EtcdV3Client:
    """Reads linearizably and writes by compare-and-swap, on the first server that answers."""

    def __init__(self, settings: EtcdSettings) -> None:
        check_certificates(settings, CERTIFICATES)
        self._settings = settings
        self._members = EtcdCluster(settings, EtcdV3Server)

    def __str__(self) -> str:
        return str(self._members)

    @property
    def cluster_id(self) -> str:
        return self._members.cluster_id

    def get(self, keys: Sequence[str]) -> List[KeyValue]:
        """What is stored under these keys, at one revision for each 128 keys."""
        found = []
        for start in range(0, len(keys), MOST_OPERATIONS):
            some = keys[start : start + MOST_OPERATIONS]
            ranges = [{"request_range": {"key": _encoded(key)}} for key in some]
            try:
                content = self._on_any("kv/txn", {"success": ranges})
            except EtcdError as exc:
                raise self._error("read", some[0], exc) from exc
            with self._understanding(some[0]):
                found += _results(some, content)
        return found

    def keys(self, prefix: str) -> List[str]:
        """All keys with the prefix, sorted, at one revision."""
        return [item.key for item in self.list(prefix, keys_only=True)]

    def list(self, prefix: str, keys_only: bool = False) -> List[KeyValue]:
        """All that is stored under keys with the prefix, sorted by key, at one revision."""
        for _attempt in range(_LISTINGS):
            try:
                return self._list(prefix, keys_only)
            except EtcdError as exc:
                if exc.code != OUT_OF_RANGE:
                    raise self._error("read", prefix, exc) from exc
                compacted = exc
        raise DatastoreError(
            "cannot read {0}: {1} times, {2} had compacted the revision of the first keys before all were read, so its "
            "compaction is too frequent for so many keys ({3})".format(prefix, _LISTINGS, self, compacted)
        )

    def _list(self, prefix: str, keys_only: bool) -> List[KeyValue]:
        """The same, once. Raises EtcdError."""
        request: Dict[str, Any] = {"key": _encoded(prefix), "range_end": _encoded(_after(prefix)), "limit": _PAGE}
        if keys_only:
            request["keys_only"] = True
        found: List[KeyValue] = []
        number = None
        while True:
            content = self._on_any("kv/range", request)
            with self._understanding(prefix):
                if number is None:
                    number = int(content.get("count", 0))
                kvs = content.get("kvs", [])
                _add_page(found, map(_key_value, kvs), prefix)
                if not content.get("more"):
                    if len(found) != number:
                        raise _NotWhole("it has {0} of {1} keys".format(len(found), number))
                    return found
                # Otherwise the loop would never end.
                if len(kvs) != _PAGE or len(found) >= min(number, _MOST_KEYS):
                    raise _NotWhole("it has more keys than it announced")
                # The first key after this page, in etcd's order.
                request = dict(
                    request,
                    key=base64.b64encode(base64.b64decode(kvs[-1]["key"]) + b"\0").decode(),
                    revision=content["header"]["revision"],
                )

    def send(self, writes: Sequence[Write], state: KeyValue) -> Sent | None:
        """Send writes ahead, so that etcd can start them. `write` then completes them, or sends them if necessary.

        If they could not be sent, `write` reports why.
        """
        return self._members.first.send("kv/txn", _transaction(writes, state))

    def write(self, writes: Sequence[Write], state: KeyValue, sent: Sent | None = None) -> Written | NotWritten:
        """Make all writes, with up to 127 conditions, or none if one of their keys has another revision.

        `state` is the state of the datastore as it was read; nothing is written if it has changed.
        """
        unanswered = None
        for _attempt in range(len(self._members) + 1):
            try:
                content = self._transact(writes, state, sent)
                if content.get("succeeded") is True:
                    return _read_written(content)
                # Read separately, since to request them in each transaction would make it a sixth slower.
                conditions = _list_conditions(writes, state)
                now = {item.key: item for item in self.get([key for key, _revision in conditions])}
            except NoAnswer as exc:
                unanswered = exc
                continue
            except DatastoreError as exc:
                if unanswered is None:
                    raise
                raise after_unanswered(_named(writes), unanswered, exc) from exc
            finally:
                # It has only one answer.
                sent = None
            is_other_state = now[state.key].revision != state.revision
            obstacles = [write.find_obstacle(now) for write in writes]
            if is_other_state or any(obstacles):
                return NotWritten(obstacles, bool(unanswered), is_other_state)
            # The obstacle no longer exists, so try again.
        if unanswered:
            raise DatastoreError(unsure(_named(writes), unanswered))
        raise DatastoreError("{0} rejects a change without a reason: {1}".format(self, content))

    def receive(self, writes: Sequence[Write], sent: Sent) -> Written | None:
        """Receive the answer to writes that were sent ahead; None when they were not made.

        Nothing else is sent, since etcd is known to fail. Raises DatastoreError when etcd rejects them or does not
        answer.
        """
        try:
            content = sent.member.received(sent)
            return _read_written(content) if content.get("succeeded") is True else None
        except NoAnswer as exc:
            if not exc.maybe_done:
                return None
            raise DatastoreError(unsure(_named(writes), "{0}: {1}".format(sent.member.url, exc))) from exc
        except EtcdError as exc:
            if exc.code == UNAUTHENTICATED:
                # The token was rejected, so nothing was written.
                return None
            raise self._not_written(writes, exc) from exc

    def _transact(self, writes: Sequence[Write], state: KeyValue, sent: Sent | None) -> Dict[str, Any]:
        try:
            if not sent:
                return self._on_any("kv/txn", _transaction(writes, state), is_write=True)
            # Only the server that received it can answer it.
            return self._members.ask(
                lambda member: member.answer("kv/txn", sent.document, sent if member is sent.member else None),
                True,
                sent.member,
            )
        except EtcdError as exc:
            raise self._not_written(writes, exc) from exc

    @contextlib.contextmanager
    def _understanding(self, key: str) -> Iterator[None]:
        """Raise DatastoreError for an invalid answer, since an incomplete answer must not count as empty."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
            text = "cannot read {0}: the answer of {1} is incomplete or is not etcd's{2}"
            why = ": {0}".format(exc) if isinstance(exc, _NotWhole) else ""
            raise DatastoreError(text.format(key, self, why)) from exc

    def _on_any(self, path: str, document: Dict[str, Any], is_write: bool = False) -> Dict[str, Any]:
        return self._members.ask(lambda member: member.answer(path, document), is_write)

    def _not_written(self, writes: Sequence[Write], exc: EtcdError) -> DatastoreError:
        verb = "write" if any(write.value is not None for write in writes) else "delete"
        return self._error(verb, writes[0].key, exc)

    def _error(self, verb: str, key: str, exc: EtcdError) -> DatastoreError:
        if exc.code in (DENIED, UNAUTHENTICATED):
            return refused(self._settings, verb, key, "{0} ({1})".format(self._why(verb, exc), exc), _RIGHTS)
        return DatastoreError("cannot {0} {1}: {2} answered: {3}".format(verb, key, self, exc))

    def _why(self, verb: str, exc: EtcdError) -> str:
        if exc.code == DENIED:
            return "it has no right to {0} this key".format(verb)
        if self._settings.etcd_username:
            return "the user or the password is wrong"
        why = format_message("etcd requires {etcd_username} and {etcd_password}")
        if self._settings.etcd_cert_file:
            why += ", since its JSON gateway does not accept the common name of a client certificate as a user"
        return why


def _named(writes: Sequence[Write]) -> str:
    return join_first([write.key for write in writes], 1)


def _list_conditions(writes: Sequence[Write], state: KeyValue) -> List[Tuple[str, int]]:
    return [*(condition for write in writes for condition in write.conditions), (state.key, state.revision)]


def _transaction(writes: Sequence[Write], state: KeyValue) -> Dict[str, Any]:
    conditions = _list_conditions(writes, state)
    keys = {key: _encoded(key) for key, _revision in conditions}
    common = {"target": "MOD", "result": "EQUAL"}
    return {
        "compare": [{"key": keys[key], "mod_revision": revision, **common} for key, revision in conditions],
        "success": [_operation(keys[write.key], write.value) for write in writes],
    }


def _read_written(content: Dict[str, Any]) -> Written:
    header = content.get("header")
    revision = header.get("revision") if isinstance(header, dict) else None
    return Written(str(revision) if isinstance(revision, (int, str)) else None)


def _operation(key: str, value: str | None) -> Dict[str, Any]:
    if value is None:
        return {"request_delete_range": {"key": key}}
    return {"request_put": {"key": key, "value": _encoded(value)}}


def _results(keys: Sequence[str], content: Dict[str, Any]) -> List[KeyValue]:
    """The results of the ranges of a transaction, one for each key."""
    responses = content["responses"]
    if len(responses) != len(keys):
        raise _NotWhole("it has {0} of {1} results".format(len(responses), len(keys)))
    found = []
    for key, response in zip(keys, responses):
        kvs = response["response_range"].get("kvs", [])
        found.append(_key_value(kvs[0]) if kvs else KeyValue(key, None, 0))
        if found[-1].key != key:
            raise _NotWhole("it has another key")
    return found


def _add_page(found: List[KeyValue], page: Iterable[KeyValue], prefix: str) -> None:
    """Add the next keys of a list to `found`. Raises ValueError for other or repeated keys."""
    for item in page:
        # Strings have the order of their UTF-8.
        if not item.key.startswith(prefix) or found and item.key <= found[-1].key:
            raise _NotWhole("it has other keys")
        found.append(item)


def _key_value(kv: Dict[str, Any]) -> KeyValue:
    key, value = binascii.a2b_base64(kv.get("key", "")), binascii.a2b_base64(kv.get("value", ""))
    # A value that is not UTF-8 is not Calico's; it is only displayed.
    text, revision = value.decode("utf-8", "replace"), int(kv["mod_revision"])
    try:
        return KeyValue(key.decode("utf-8"), text, revision)
    except UnicodeDecodeError:
        return KeyValue(key.decode("utf-8", "backslashreplace"), text, revision, is_clear=False)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _after(prefix: str) -> str:
    """The first key after all keys with the prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
