# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of a change in etcd's v2 API, which has no transactions: one request for each key, one after the other."""

from __future__ import annotations

import collections
from typing import Callable, Deque, Dict, List, Optional

from ..._core.errors import Conflict, DatastoreError
from ..._plan.plan import Change
from .._values.codec_policies_v1 import ProfileParts
from .v2_nodes import Node
from .v2_policies import MISSING, join_revisions, read_revisions, split_revision
from .v2_server import Request

# Reads a key, with everything below it if the second argument is true.
Read = Callable[[str, bool], Optional[Node]]


def build_request(key: str, revision: str, value: Optional[str]) -> Request:
    """The write of a value, or the deletion of a key (None), unless another client has changed it.

    revision: that which was read; "" for a missing key.
    """
    if not revision:
        return Request("PUT", key, {"prevExist": "false"}, value)
    return Request("DELETE" if value is None else "PUT", key, {"prevIndex": revision}, value)


class ValueWrite:
    """The write of a resource with one key."""

    def __init__(self, change: Change, key: str, value: Optional[str]) -> None:
        self.change = change._replace(content=value)
        # The next request to send; None after the last one.
        self.request: Optional[Request] = build_request(key, change.before.revision if change.before else "", value)

    def note_done(self, revision: Optional[str]) -> None:
        """Note that the request was carried out, with this new revision."""
        self.change = self.change._replace(revision=revision)
        self.request = None

    def explain(self, error: DatastoreError) -> DatastoreError:
        """The error of the change, by that of the request."""
        return error

    def check(self, _read: Read) -> None:
        """There is no other key."""


class ProfileWrite:
    """The write of a profile: of those of its three keys that differ.

    calicoctl writes its tags, its labels, and then its rules. A new profile thus brings its labels, and the policies
    that these select, before its rules: until then, Felix rejects what reaches the profile. A deletion has the opposite
    order for the same reason. What a failure leaves is a profile that is not whole, which the next run finds and
    completes.

    The guard has judged the keys that are not written, too. Whether another client has changed one of them is read
    after the last write.
    """

    def __init__(self, change: Change, key: str, content: Optional[ProfileParts]) -> None:
        before, after = ProfileParts(), content or ProfileParts()
        self._revisions: Dict[str, Optional[str]] = {}
        if change.before and not change.before.misplaced:
            before = change.before.content
            self._revisions.update(split_revision(change.before.revision))
        parts = [part for part in ProfileParts._fields if getattr(before, part) != getattr(after, part)]
        self._pending: Deque[str] = collections.deque(parts if after.rules is not None else reversed(parts))
        self._key, self._after, self._written = key, after, before
        self._done: List[str] = []
        self.change = change
        self.request: Optional[Request] = None
        self._continue()

    def note_done(self, revision: Optional[str]) -> None:
        """Note that the request was carried out, with this new revision."""
        self._done.append(self._pending.popleft())
        self._revisions[self._done[-1]] = MISSING if revision == "" else revision
        self._continue()

    def explain(self, error: DatastoreError) -> DatastoreError:
        """The error of the change, by that of the request."""
        if not self._done:
            return error
        if self._pending:
            rest = "{0} is not".format(" and ".join(self._pending))
        else:
            rest = "and another client may have changed the rest of it"
        text = "{0}; {1} of the profile is written, {2}: run the task again".format(
            error, " and ".join(self._done), rest
        )
        # A part was made, so that the next attempt may find nothing to do.
        return Conflict(text, maybe_done=True) if isinstance(error, Conflict) else DatastoreError(text)

    def check(self, read: Read) -> None:
        """Raise Conflict when another client has changed a key that was not written."""
        unwritten = [part for part in ProfileParts._fields if part not in self._done]
        if not unwritten:
            return
        now = read_revisions(read(self._key, True))
        for part in unwritten:
            if now.get(part, MISSING) != self._revisions.get(part, MISSING):
                raise Conflict("another client changed {0}/{1} at the same time".format(self._key, part))

    def _continue(self) -> None:
        """Prepare the next request, and the content that the profile has after the requests that were carried out.

        Before the first request, it is the content after it: an error may leave open whether it was carried out.
        """
        noted = self._done or list(self._pending)[:1]
        self._written = self._written._replace(**{part: getattr(self._after, part) for part in noted})
        is_gone = self._written == ProfileParts()
        self.change = self.change._replace(content=None if is_gone else self._written)
        if self._pending:
            part = self._pending[0]
            revision = self._revisions.get(part, MISSING) or ""
            key = "{0}/{1}".format(self._key, part)
            self.request = build_request(key, "" if revision == MISSING else revision, getattr(self._after, part))
            return
        self.request = None
        known = {part: found for part, found in self._revisions.items() if found is not None}
        is_known = len(known) == len(self._revisions)
        self.change = self.change._replace(revision="" if is_gone else join_revisions(known) if is_known else None)
