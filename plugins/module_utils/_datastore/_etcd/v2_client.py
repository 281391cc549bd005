# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client on top of python-etcd that works around its defects:

- python-etcd does not quote keys: "?" and "#" cut them, "%2f" becomes a separator, ".." moves up;
- its urllib3 repeats a request when the connection breaks, so a completed create is reported as "already exists", and
  a frozen server costs several timeouts;
- with several hosts, it switches to the members' advertised URLs, and loses its list once all were down;
- it reads any answer with status 404, even that of a web server, as "key not found";
- it allows only one pending request;
- it omits prevIndex=0, which makes a compare-and-swap unconditional;
- its messages hide the cause.
"""

from __future__ import annotations

from typing import Any, ContextManager, Dict, Tuple

from ..._core.errors import Conflict, DatastoreError, format_message
from ..certificates import check_certificates
from .cluster import EtcdCluster, EtcdError, NoAnswer, after_unanswered, refused, unsure
from .settings import CERTIFICATES, EtcdSettings
from .v2_server import (
    COMPARE_FAILED,
    KEY_EXISTS,
    KEY_NOT_FOUND,
    NOT_A_DIRECTORY,
    NOT_A_FILE,
    UNAUTHORISED,
    EtcdV2Server,
    Request,
)

DIRECTORY = (
    "{0} is not a value but a directory in etcd, which Calico does not read. Another tool created it, most likely "
    "for a name with a slash; remove it with etcdctl"
)

_RIGHTS = (
    "to read /calico/v1/* and /calico/felix/v1/* and, for changes, to read and write /calico/v1/host/*, and for "
    "policies and profiles /calico/v1/policy/*"
)


class NotInDirectory(DatastoreError):
    """A key cannot exist, since a part of its path is a value."""

    def __init__(self, verb: str, key: str, cause: object) -> None:
        text = "cannot {0} {1}: in etcd a part of this path is a value, not a directory ({2}); remove it with etcdctl"
        super().__init__(text.format(verb, key, cause))


class EtcdV2Client:
    """Reads with quorum and writes by compare-and-swap, on the first server that answers."""

    def __init__(self, settings: EtcdSettings) -> None:
        check_certificates(settings, CERTIFICATES)
        self._settings = settings
        self._members = EtcdCluster(settings, EtcdV2Server)
        # The server that a write was sent to ahead.
        self._ahead: EtcdV2Server | None = None
        # Whether these credentials are known to be valid.
        self._has_read = False

    def __str__(self) -> str:
        return str(self._members)

    @property
    def cluster_id(self) -> str:
        return self._members.cluster_id

    def another(self) -> EtcdV2Client:
        """Another client with its own connections, which shares with this one which servers answer."""
        client = EtcdV2Client(self._settings)
        client._members.join(self._members)
        client._has_read = True
        return client

    def keeping_alarm(self) -> ContextManager[None]:
        """Install the alarm of this client and of those beside it once for many requests."""
        return self._members.alarm.installed()

    def get(self, key: str, recursive: bool = False) -> Dict[str, Any] | None:
        """The etcd node of a key, with everything below it if recursive; None when the key does not exist.

        Raises NotInDirectory when a part of the key is a value.
        """
        params = {"quorum": "true"}
        if recursive:
            params["recursive"] = "true"
        try:
            node: Dict[str, Any] | None = self._on_any(Request("GET", key, params))["node"]
        except EtcdError as exc:
            if exc.code == KEY_NOT_FOUND:
                node = None
            else:
                raise self._error("read", key, exc) from exc
        self._has_read = True
        return node

    def send(self, request: Request) -> None:
        """Send a write ahead, so that etcd can start it; `write` then completes it."""
        self._ahead = self._members.first
        if not self._ahead.send(request):
            self._members.put_last(self._ahead)

    def write(self, request: Request, is_lost: bool = False) -> str | None:
        """Write once, whatever happens to the connections: the condition makes it safe to send the write again.

        Returns the new revision, "" for a deletion, None where the answer has none. With `is_lost`, etcd is known not
        to answer, so the result of a write without an answer is not read.
        """
        unanswered = None
        for _attempt in range(len(self._members) + 1):
            try:
                return _get_revision(request, self._on_any(request).get("node"))
            except EtcdError as exc:
                if exc.code not in (KEY_NOT_FOUND, COMPARE_FAILED, KEY_EXISTS):
                    error = self._error("delete" if request.value is None else "write", request.key, exc)
                    raise after_unanswered(request.key, unanswered, error) from exc
                # The conflict may be with our own first attempt.
                if unanswered:
                    is_done, revision = self._look_after(request, unanswered)
                    if is_done:
                        return revision
                raise Conflict(
                    "another client changed {0} at the same time".format(request.key), bool(unanswered)
                ) from exc
            except NoAnswer as exc:
                unanswered = exc
                if is_lost:
                    break
                is_done, revision = self._look_after(request, exc)
                if is_done:
                    return revision
            except DatastoreError as exc:
                if unanswered is None:
                    raise
                raise after_unanswered(request.key, unanswered, exc) from exc
        raise DatastoreError(unsure(request.key, unanswered))

    def _look_after(self, request: Request, cause: NoAnswer) -> Tuple[bool, str | None]:
        """Whether a write without an answer was carried out, and the result of `write` in that case."""
        try:
            node = self.get(request.key)
        except DatastoreError as exc:
            raise after_unanswered(request.key, cause, exc) from exc
        if request.value is None:
            return node is None, ""
        return node is not None and node.get("value") == request.value, _get_revision(request, node)

    def _on_any(self, request: Request) -> Dict[str, Any]:
        ahead, self._ahead = self._ahead, None
        return self._members.ask(lambda member: member.answer(request), request.method != "GET", ahead)

    def _error(self, verb: str, key: str, exc: EtcdError) -> DatastoreError:
        if exc.code == UNAUTHORISED:
            return refused(self._settings, verb, key, self._why(verb), _RIGHTS)
        if exc.code == NOT_A_FILE:
            return DatastoreError(DIRECTORY.format(key))
        if exc.code == NOT_A_DIRECTORY:
            return NotInDirectory(verb, key, exc)
        return DatastoreError("cannot {0} {1}: {2} answered: {3}".format(verb, key, self, exc))

    def _why(self, verb: str) -> str:
        """Why etcd rejects a request; etcd itself gives the same answer for all reasons."""
        user = self._settings.etcd_username
        if self._has_read:
            # The same credentials could read, so they are valid.
            return "it has no right to {0} this key".format(verb) + (
                "" if user else format_message("; set {etcd_username} and {etcd_password}")
            )
        if user:
            return "the user or the password is wrong, or it has no right to {0} this key".format(verb)
        return format_message("etcd requires {etcd_username} and {etcd_password}")


def _get_revision(request: Request, node: Any) -> str | None:
    """The revision of a write, by the etcd node in its answer; "" for a deletion, None where it has none."""
    if request.value is None:
        return ""
    found = node.get("modifiedIndex") if isinstance(node, dict) else None
    return str(found) if isinstance(found, int) else None
