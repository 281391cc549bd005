# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python-etcd, with its traps mended.

What is mended, and why it would hurt:
- python-etcd does not quote keys: "?" and "#" cut them, "%2f" becomes a separator, ".." climbs;
- urllib3 beneath it sends a request again when the connection breaks, so that a create that was done comes back as
  "already exists", and a frozen server costs several timeouts;
- given several hosts it goes on to the members' advertised URLs, and loses its list when all were down once;
- it takes any answer with status 404 as "key not found", a web server's too;
- it leaves prevIndex=0 away, which makes a compare-and-swap unconditional;
- its texts hide the cause.
"""

from __future__ import annotations

import json
import traceback
import urllib.parse
from typing import Any, Callable, Dict, List

from .._certificates import check_certificates
from .._connection import Settings
from .._errors import Conflict, DatastoreError, MissingLibrary

try:
    import etcd
    import urllib3
except ImportError:
    etcd = None
    urllib3 = None
    IMPORT_ERROR = traceback.format_exc()
else:
    IMPORT_ERROR = None

# etcd v2's error codes.
_KEY_NOT_FOUND, _COMPARE_FAILED, _NOT_A_FILE, _NOT_A_DIRECTORY, _KEY_EXISTS = 100, 101, 102, 104, 105
_UNAUTHORISED = 110
# "Raft internal error" and "leader election in progress": another member may do better.
_NO_QUORUM = (300, 301)


class _NoAnswer(Exception):
    """A member did not answer; `maybe_done` when the request may have been carried out all the same."""

    def __init__(self, cause: str, maybe_done: bool) -> None:
        super().__init__(cause)
        self.maybe_done = maybe_done


class _EtcdError(Exception):
    """etcd's own answer to a request that it did not carry out."""

    def __init__(self, code: int, cause: str) -> None:
        super().__init__(cause)
        self.code = code


class Etcdv2Client:
    """Reads with quorum, and writes by compare-and-swap, on the first of the endpoints that answers."""

    def __init__(self, settings: Settings) -> None:
        if etcd is None:
            raise MissingLibrary("python-etcd", IMPORT_ERROR)
        check_certificates(settings)
        self._settings = settings
        self._members = [_Member(url, settings) for url in settings.etcd_endpoints]
        self._has_read = False

    def __str__(self) -> str:
        return "etcd at {0}".format(self._members[0].url)

    def get(self, key: str, recursive: bool = False) -> Dict[str, Any] | None:
        """The etcd node of a key, with all beneath it when recursive; None when there is no such key."""
        params = {"quorum": "true"}
        if recursive:
            params["recursive"] = "true"
        try:
            node = self._on_any(lambda member: member.request("GET", key, params))["node"]
        except _EtcdError as exc:
            if exc.code == _KEY_NOT_FOUND:
                node = None
            else:
                raise self._error("read", key, exc) from exc
        self._has_read = True
        return node

    def create(self, key: str, value: str) -> None:
        self._write("PUT", key, {"prevExist": "false"}, value)

    def replace(self, key: str, value: str, revision: int) -> None:
        self._write("PUT", key, {"prevIndex": str(revision)}, value)

    def delete(self, key: str, revision: int) -> None:
        self._write("DELETE", key, {"prevIndex": str(revision)}, None)

    def _write(self, method: str, key: str, condition: Dict[str, str], value: str | None) -> None:
        """Write once, whatever happens to the connections: the condition makes sending it again safe."""
        params = dict(condition) if value is None else dict(condition, value=value)
        unanswered = None
        for _attempt in range(len(self._members) + 1):
            try:
                self._on_any(lambda member: member.request(method, key, params), write=True)
                return
            except _EtcdError as exc:
                if exc.code not in (_KEY_NOT_FOUND, _COMPARE_FAILED, _KEY_EXISTS):
                    raise self._error("delete" if value is None else "write", key, exc) from exc
                # The conflict may be with our own first try.
                if unanswered and self._is_done(key, value, unanswered):
                    return
                raise Conflict("somebody else changed {0} at the same time".format(key)) from exc
            except _NoAnswer as exc:
                unanswered = exc
                if self._is_done(key, value, exc):
                    return
        raise DatastoreError("{0} gave no answer to the write of {1}: {2}".format(self, key, unanswered))

    def _is_done(self, key: str, value: str | None, cause: _NoAnswer) -> bool:
        """Whether a write that got no answer was carried out."""
        try:
            node = self.get(key)
        except DatastoreError as exc:
            raise DatastoreError(
                "{0} was sent to etcd, which gave no answer ({1}), so it may or may not be done; run this again "
                "once etcd answers. {2}".format("the change of " + key, cause, exc)
            ) from exc
        return node is None if value is None else node is not None and node.get("value") == value

    def _on_any(self, request: Callable[[_Member], Dict[str, Any]], write: bool = False) -> Dict[str, Any]:
        """The answer of the first member that gives one. A dead one goes to the end of the list, so it costs once.

        Raises _NoAnswer for a write that may have been carried out.
        """
        failures = []
        for member in list(self._members):
            try:
                return request(member)
            except _NoAnswer as exc:
                self._members.append(self._members.pop(0))
                if write and exc.maybe_done:
                    raise
                failures.append("{0}: {1}".format(member.url, exc))
        raise DatastoreError(
            "cannot reach etcd: {0} (etcd_endpoints from: {1})".format(
                "; ".join(failures), self._settings.sources.get("etcd_endpoints", "default")
            )
        )

    def _error(self, verb: str, key: str, exc: _EtcdError) -> DatastoreError:
        if exc.code == _UNAUTHORISED:
            return DatastoreError(self._denied(verb, key))
        if exc.code == _NOT_A_FILE:
            return DatastoreError(
                "cannot {0} {1}: in etcd it is a directory, which Calico does not read; some other tool made it, "
                "most likely for a name with a slash".format(verb, key)
            )
        if exc.code == _NOT_A_DIRECTORY:
            return DatastoreError(
                "cannot {0} {1}: in etcd a part of this path is a value, not a directory ({2})".format(verb, key, exc)
            )
        return DatastoreError("cannot {0} {1}: {2} answered: {3}".format(verb, key, self, exc))

    def _denied(self, verb: str, key: str) -> str:
        user = self._settings.etcd_username
        who = "user {0}".format(user) if user else "a client without user and password"
        if self._has_read:
            # The same credentials have just read, so they are right.
            why = "it has no right to {0} there".format(verb)
        elif user:
            why = "the user or the password is wrong, or it has no right to {0} there".format(verb)
        else:
            why = "etcd wants etcd_username and etcd_password"
        return (
            "etcd refuses {0} to {1} {2}: {3}. Needed are the rights to read /calico/v1/* and, for changes, to read "
            "and write /calico/v1/host/*".format(who, verb, key, why)
        )


class _Member:
    """One endpoint, over one kept-alive connection."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self._settings = settings
        parts = urllib.parse.urlsplit(url)
        cert = settings.etcd_cert_file
        if cert and settings.etcd_key_file:
            cert = (cert, settings.etcd_key_file)
        self._client = etcd.Client(
            host="[{0}]".format(parts.hostname) if ":" in parts.hostname else parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            read_timeout=settings.timeout,
            cert=cert or None,
            ca_cert=settings.etcd_ca_cert_file or None,
            username=_utf8(settings.etcd_username) or None,
            password=_utf8(settings.etcd_password) or None,
            allow_reconnect=False,
            allow_redirect=False,
        )
        # No pool exists yet, so every one gets this.
        self._client.http.connection_pool_kw["retries"] = False

    def request(self, method: str, key: str, params: Dict[str, str]) -> Dict[str, Any]:
        """etcd's answer, decoded. Raises _NoAnswer, _EtcdError, or DatastoreError for an answer that is not etcd's."""
        path = "/v2/keys" + urllib.parse.quote(key)
        try:
            timeout = urllib3.Timeout(total=self._settings.timeout)
            response = self._client.api_execute(path, method, params=params, timeout=timeout)
            return json.loads(response.data.decode("utf-8"))
        except etcd.EtcdConnectionFailed as exc:
            raise self._no_answer(exc.cause) from exc
        except etcd.EtcdException as exc:
            raise self._failure(exc.payload or {}) from exc
        except ValueError as exc:
            raise _NoAnswer("the answer was cut short or is not JSON", True) from exc

    def _failure(self, payload: Dict[str, Any]) -> Exception:
        code = payload.get("errorCode")
        text = " ".join(str(payload.get(part)) for part in ("message", "cause") if payload.get(part))
        status = payload.get("status", 0)
        if code in _NO_QUORUM or status >= 500:
            return _NoAnswer(text, True)
        if status == 401:
            return _EtcdError(_UNAUTHORISED, text)
        if code:
            return _EtcdError(code, text)
        return DatastoreError(
            "{0} does not speak etcd's v2 API ({1}). Where Calico v1 keeps its data in this etcd, it has to run with "
            "--enable-v2 (etcd 3.4 and 3.5; etcd 3.6 has no v2 API). Calico v3 keeps its data in etcd's v3 "
            "API".format(self.url, text.strip()[:200])
        )

    def _no_answer(self, cause: Exception) -> _NoAnswer:
        errors = urllib3.exceptions
        cause = getattr(cause, "reason", cause) or cause
        if isinstance(cause, errors.NameResolutionError if hasattr(errors, "NameResolutionError") else ()):
            return _NoAnswer("its host name cannot be resolved", False)
        if isinstance(cause, errors.NewConnectionError):
            return _NoAnswer(_last_part(cause), False)
        if isinstance(cause, errors.ConnectTimeoutError):
            return _NoAnswer("no connection within {0:g} s".format(self._settings.timeout), False)
        if isinstance(cause, errors.SSLError):
            return _NoAnswer(self._tls_problem(str(cause)), False)
        if isinstance(cause, errors.ReadTimeoutError):
            return _NoAnswer("no answer within {0:g} s".format(self._settings.timeout), True)
        return _NoAnswer("the connection broke before the answer ({0})".format(_last_part(cause)), True)

    def _tls_problem(self, text: str) -> str:
        settings = self._settings
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            authority = "etcd_ca_cert_file {0}".format(settings.etcd_ca_cert_file or "(not given: the system's)")
            return "its certificate is not trusted by {0}: {1}".format(authority, text)
        if "doesn't match" in text or "not valid for" in text:
            return "its certificate is for another host: {0}".format(text)
        if "alert" in text.lower():
            return "it refuses the TLS connection; the client certificate is etcd_cert_file {0}: {1}".format(
                settings.etcd_cert_file or "(not given)", text
            )
        return "TLS: {0}".format(text)


def _utf8(text: str) -> str:
    """A text whose latin-1 bytes, which urllib3 sends, are the UTF-8 ones, which etcd reads."""
    return text.encode("utf-8").decode("latin-1")


def _last_part(cause: object) -> str:
    """The part of urllib3's nested texts that says what happened."""
    parts: List[str] = [part.strip(" '\"()") for part in str(cause).split(": ")]
    return parts[-1] if parts else str(cause)
