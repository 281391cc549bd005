# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How changes are written: several at the same time, what each sends and makes, and what a deletion waits for."""

from __future__ import annotations

import collections
import concurrent.futures
import threading
import time
from typing import Any, Callable, Deque, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ..._core.errors import Conflict, DatastoreError
from ..._plan.plan import Change
from ..._plan.stored import Stored
from .client import Unanswered, wait
from .transport import CONNECTIONS

Outcome = Tuple[Change, Optional[DatastoreError]]

# How often an ambiguous write is resolved by reading and tried again.
_TRIES = 3
# Seconds before the second try.
_PAUSE = 0.1
# What a server sets itself, and rejects or ignores in a new object.
_OF_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "selfLink")


def make_changes(
    make: Callable[[Change], Outcome], changes: Sequence[Change], is_ended: Callable[[], bool]
) -> Iterator[Outcome]:
    """Make the changes, several at the same time; start no other one after an error that is not a conflict."""
    has_failed = threading.Event()

    def make_unless_over(change: Change) -> Outcome | None:
        # A change may have waited for a connection.
        if has_failed.is_set() or is_ended():
            return None
        outcome = make(change)
        if outcome[1] and not isinstance(outcome[1], Conflict):
            has_failed.set()
        return outcome

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        pending = collections.deque(changes)
        under_way: Deque[concurrent.futures.Future[Outcome | None]] = collections.deque()
        while under_way or pending and not has_failed.is_set() and not is_ended():
            while pending and len(under_way) < 2 * CONNECTIONS and not has_failed.is_set() and not is_ended():
                under_way.append(pool.submit(make_unless_over, pending.popleft()))
            if not under_way:
                return
            outcome = under_way.popleft().result()
            if outcome:
                yield outcome


def wait_for_server(exc: Unanswered, attempt: int, deadline: float) -> bool:
    """Wait before an ambiguous write is tried again; False after the last attempt, counted from 0.

    There are three attempts, and more until the deadline while the server is restarting or overloaded.
    """
    pause = _PAUSE * 2 ** min(attempt, _TRIES)
    if exc.pause is not None:
        return wait(deadline, max(exc.pause, pause))
    if attempt + 1 < _TRIES:
        time.sleep(pause)
    return attempt + 1 < _TRIES


def prepare_metadata(metadata: Mapping[str, Any], before: Mapping[str, Any] | None) -> Dict[str, Any]:
    """The metadata of a request: of an update with the uid and the resourceVersion that were read."""
    kept = {key: item for key, item in metadata.items() if key not in _OF_SERVER}
    if before is None:
        return kept
    return dict(kept, uid=before["uid"], resourceVersion=before["resourceVersion"])


def has_become(now: Stored | None, document: Mapping[str, Any] | None, before: Stored | None) -> bool:
    """Whether the datastore has what a write without an answer was to make; `before` is what it had."""
    if now is None:
        return document is None
    if document is None:
        # A deleted object may wait for its finalizers.
        return bool(now.pending and before and not before.pending and _get_uid(now) == _get_uid(before))
    return bool(_get_meaning(now.content) == _get_meaning(document))


def _get_uid(stored: Stored) -> Any:
    return stored.content["metadata"].get("uid")


def _get_meaning(document: Mapping[str, Any]) -> Any:
    metadata = document.get("metadata") or {}
    kept = {key: item for key, item in metadata.items() if key not in _OF_SERVER and item not in ({}, [], None)}
    return kept, document.get("spec")


def format_pending(metadata: Mapping[str, Any]) -> str:
    """What the deletion of an object waits for; "" when it is not being deleted."""
    if not metadata.get("deletionTimestamp"):
        return ""
    finalizers = metadata.get("finalizers")
    finalizers = finalizers if isinstance(finalizers, list) else ()
    return "its finalizers ({0})".format(", ".join(map(str, finalizers))) if finalizers else "the API server"
