# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd3gw, with its traps mended.

What is mended, and why it would hurt:
- it encodes texts as latin-1, so keys and values are given as bytes;
- proxies and REQUESTS_CA_BUNDLE of the environment count more than the options (see _etcdv3_member.py);
- it knows one endpoint, and no users;
- integers come back as texts, and a transaction that failed has no "succeeded" at all;
- its exceptions hide etcd's own words, and the cause.
"""

from __future__ import annotations

import base64
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

from .._certificates import check_certificates
from .._connection import Settings
from .._errors import DatastoreError
from ._endpoint import NoAnswer
from ._etcdv3_member import DENIED, UNAUTHENTICATED, EtcdError, Member

# Keys that one request reads at the most.
_PAGE = 5000
# etcd takes that many comparisons and operations in a transaction, and some 1.5 MB in a request (its defaults).
MOST_OPERATIONS = 128
MOST_BYTES = 1000000


class KeyValue(NamedTuple):
    """What is stored under a key; `revision` is the one of its last change, 0 for what is not stored."""

    key: str
    value: str | None
    revision: int


class Write(NamedTuple):
    """A key that gets a value, or goes (None), if it is still of the revision (0: not there)."""

    key: str
    value: str | None
    revision: int

    @property
    def size(self) -> int:
        """Characters in a request, at the most."""
        return 4 * len(self.key.encode()) + 2 * len((self.value or "").encode())


class NotWritten(NamedTuple):
    """Why none of some writes was made."""

    # What is stored under their keys, in their order.
    found: List[KeyValue]
    # Whether an earlier try got no answer, and may have written all.
    maybe_done: bool


class Etcdv3Client:
    """Reads linearizably, and writes by compare-and-swap, on the first of the endpoints that answers."""

    def __init__(self, settings: Settings) -> None:
        check_certificates(settings)
        self._settings = settings
        self._members = [Member(url, settings) for url in settings.etcd_endpoints]

    def __str__(self) -> str:
        return "etcd at {0}".format(self._members[0].url)

    def get(self, keys: Sequence[str]) -> List[KeyValue]:
        """What is stored under these keys, all of it at one revision for each 128 keys."""
        found = []
        for start in range(0, len(keys), MOST_OPERATIONS):
            some = keys[start : start + MOST_OPERATIONS]
            ranges = [{"request_range": {"key": _encoded(key)}} for key in some]
            content = self._read("kv/txn", {"success": ranges}, some[0])
            found += _results(some, content)
        return found

    def list(self, prefix: str) -> Iterator[KeyValue]:
        """All that is stored under keys with the prefix, sorted by key, at one revision."""
        request: Dict[str, Any] = {"key": _encoded(prefix), "range_end": _encoded(_after(prefix)), "limit": _PAGE}
        while True:
            content = self._read("kv/range", request, prefix)
            kvs = content.get("kvs", [])
            yield from map(_key_value, kvs)
            if not content.get("more"):
                return
            # etcd's own order; the first key that was not in this page.
            request = dict(
                request,
                key=base64.b64encode(base64.b64decode(kvs[-1]["key"]) + b"\0").decode(),
                revision=content["header"]["revision"],
            )

    def write(self, writes: Sequence[Write]) -> NotWritten | None:
        """Make all of the writes, at most 128, or none when one of the keys is of another revision by now."""
        document = {
            "compare": [
                {"key": _encoded(write.key), "target": "MOD", "result": "EQUAL", "mod_revision": write.revision}
                for write in writes
            ],
            "success": [_operation(write) for write in writes],
            "failure": [{"request_range": {"key": _encoded(write.key)}} for write in writes],
        }
        unanswered = None
        for _attempt in range(len(self._members) + 1):
            try:
                content = self._on_any("kv/txn", document, write=True)
            except EtcdError as exc:
                raise self._error("write", writes[0].key, exc) from exc
            except NoAnswer as exc:
                unanswered = exc
                continue
            except DatastoreError as exc:
                if unanswered is None:
                    raise
                raise DatastoreError("{0}. {1}".format(_unsure(writes, unanswered), exc)) from exc
            if content.get("succeeded"):
                return None
            found = _results([write.key for write in writes], content)
            if all(item.revision == write.revision for item, write in zip(found, writes)):
                raise DatastoreError("{0} refuses a change and does not tell why: {1}".format(self, content))
            return NotWritten(found, bool(unanswered))
        raise DatastoreError(_unsure(writes, unanswered))

    def _read(self, path: str, document: Dict[str, Any], key: str) -> Dict[str, Any]:
        try:
            return self._on_any(path, document)
        except EtcdError as exc:
            raise self._error("read", key, exc) from exc

    def _on_any(self, path: str, document: Dict[str, Any], write: bool = False) -> Dict[str, Any]:
        """The answer of the first member that gives one. A dead one goes to the end of the list, so it costs once.

        Raises NoAnswer for a write that may have been carried out.
        """
        failures = []
        for member in list(self._members):
            try:
                return member.answer(path, document)
            except NoAnswer as exc:
                self._members.append(self._members.pop(0))
                if write and exc.maybe_done:
                    raise
                failures.append("{0}: {1}".format(member.url, exc))
        raise DatastoreError(
            "cannot reach etcd: {0} (etcd_endpoints from: {1})".format(
                "; ".join(failures), self._settings.sources.get("etcd_endpoints", "default")
            )
        )

    def _error(self, verb: str, key: str, exc: EtcdError) -> DatastoreError:
        if exc.code in (DENIED, UNAUTHENTICATED):
            return DatastoreError(self._denied(verb, key, exc))
        return DatastoreError("cannot {0} {1}: {2} answered: {3}".format(verb, key, self, exc))

    def _denied(self, verb: str, key: str, exc: EtcdError) -> str:
        user = self._settings.etcd_username
        who = "user {0}".format(user) if user else "a client without user and password"
        if exc.code == DENIED:
            why = "it has no right to {0} there".format(verb)
        elif user:
            why = "the user or the password is wrong"
        else:
            why = "etcd wants etcd_username and etcd_password"
            if self._settings.etcd_cert_file:
                why += ", since through its JSON gateway the common name of a client certificate is no user"
        return (
            "etcd refuses {0} to {1} {2}: {3} ({4}). Needed are the rights to read /calico/resources/v3/* and, for "
            "changes, to read and write /calico/resources/v3/projectcalico.org/hostendpoints/*".format(
                who, verb, key, why, exc
            )
        )


def _unsure(writes: Sequence[Write], cause: NoAnswer) -> str:
    return (
        "the change of {0} was sent to etcd, which gave no answer ({1}), so it may or may not be done; run this again "
        "once etcd answers".format(
            ", ".join(write.key for write in writes[:3]) + (", ..." if len(writes) > 3 else ""), cause
        )
    )


def _operation(write: Write) -> Dict[str, Any]:
    if write.value is None:
        return {"request_delete_range": {"key": _encoded(write.key)}}
    return {"request_put": {"key": _encoded(write.key), "value": _encoded(write.value)}}


def _results(keys: Sequence[str], content: Dict[str, Any]) -> List[KeyValue]:
    """What the ranges of a transaction found, one for each key."""
    found = []
    for key, response in zip(keys, content.get("responses", [])):
        kvs = response["response_range"].get("kvs", [])
        found.append(_key_value(kvs[0]) if kvs else KeyValue(key, None, 0))
    return found


def _key_value(kv: Dict[str, Any]) -> KeyValue:
    # What is no UTF-8 is not Calico's, and is shown as near as can be.
    key, value = (base64.b64decode(kv.get(part, "")).decode("utf-8", "replace") for part in ("key", "value"))
    return KeyValue(key, value, int(kv["mod_revision"]))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _after(prefix: str) -> str:
    """The first key that is behind all with the prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
