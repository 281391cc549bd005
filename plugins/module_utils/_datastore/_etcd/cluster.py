# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers of a datastore: which one gets a request, its timeout, and why it does not answer."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import urllib.parse
from typing import Any, Callable, Generic, Iterator, List, Sequence, TypeVar

from ..._core.errors import CalicoError, DatastoreError, cut, format_message
from .._http.complete import BadAnswer
from .alarm import Alarm
from .http import HandshakeFailed
from .settings import EtcdSettings

try:
    import urllib3
    from urllib3.connection import CertificateError as WrongHost
except ImportError:
    urllib3 = None

UNRESOLVED = "its host name cannot be resolved"
NOT_WHOLE = "the answer was cut short or is not etcd's: {0}"
# Maximum number of characters of an answer in a message.
_SHOWN = 300


class NoAnswer(Exception):
    """A server did not answer; `maybe_done` when the request may have been carried out anyway."""

    def __init__(self, cause: str, maybe_done: bool) -> None:
        super().__init__(cause)
        self.maybe_done = maybe_done


class EtcdError(Exception):
    """etcd's answer to a request that it did not carry out, with the code of its API."""

    def __init__(self, code: int, cause: str) -> None:
        super().__init__(cause)
        self.code = code


class EtcdServer:
    """The common part of both etcd APIs."""

    def __init__(self, url: str, settings: EtcdSettings) -> None:
        self.url = url
        self._settings = settings
        self.alarm = Alarm()
        # Whether it has answered in its API, and whether the pending request took too long.
        self._has_answered = False
        self._expired = False
        self._resolved = False
        # The id of its cluster, by its last answer.
        self.cluster_id = ""

    def _resolve(self) -> None:
        """Resolve the host name once, in a thread, since nothing else can end a look-up that hangs."""
        if self._resolved:
            return
        thread = threading.Thread(target=self._look_up, daemon=True)
        thread.start()
        thread.join(self._settings.timeout)
        if not self._resolved:
            within = " within {0:g} s".format(self._settings.timeout) if thread.is_alive() else ""
            raise NoAnswer(UNRESOLVED + within, False)

    def _look_up(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        with contextlib.suppress(OSError, UnicodeError):
            self._resolved = bool(socket.getaddrinfo(parts.hostname, parts.port))

    def _no_answer(self, exc: BaseException) -> NoAnswer:
        """The meaning of an exception of urllib3, of a library around it, or of the system."""
        errors, timeout = urllib3.exceptions, "{0:g} s".format(self._settings.timeout)
        causes = list(_causes(exc))

        def first(*kinds: Any) -> Any:
            return next((cause for cause in causes if isinstance(cause, kinds)), None)

        reason = _system_error(causes)
        is_new = first(errors.NewConnectionError)
        is_handshake = first(HandshakeFailed) is not None
        if is_new or reason == UNRESOLVED:
            return NoAnswer("no connection within " + timeout if self._expired else reason or str(is_new), False)
        if first(errors.ConnectTimeoutError):
            return NoAnswer("no connection within " + timeout, False)
        if self._expired or first(errors.ReadTimeoutError, socket.timeout):
            return NoAnswer("no answer within " + timeout, not is_handshake)
        if first(ssl.SSLError, errors.SSLError, WrongHost):
            text = str(first(ssl.SSLError, WrongHost) or first(errors.SSLError))
            return NoAnswer(self._tls_problem(text), not (is_handshake or _refuses_certificate(text)))
        if first(BadAnswer):
            return NoAnswer(str(first(BadAnswer)), True)
        not_http = first(http.client.HTTPException)
        if not_http and not first(http.client.IncompleteRead, http.client.RemoteDisconnected):
            return NoAnswer("the answer is not HTTP: {0}".format(plain(str(not_http))), True)
        return NoAnswer(
            "the connection broke before the answer was complete" + (reason and ": " + reason) + self._other_scheme(),
            not is_handshake,
        )

    def _not_spoken(self, api: str, text: str, hint: str) -> str:
        """The message about an answer that is not one of this API."""
        if "HTTP request to an HTTPS server" in text:
            return "{0} requires TLS: its URL must start with https:// ({1})".format(self.url, text)
        message = "{0} does not speak etcd's {1} ({2}); check {etcd_endpoints} (from: {3}). "
        return format_message(message + hint, self.url, api, text, _source(self._settings))

    def _other_scheme(self) -> str:
        """A hint for a connection that breaks at once."""
        if self._has_answered:
            return ""
        if self.url.startswith("https:"):
            return "; it {0}, or does not use TLS, and its URL must start with http://".format(self._refusal())
        return "; if it requires TLS, its URL must start with https://"

    def _refusal(self) -> str:
        path = self._settings.etcd_cert_file or "is not given"
        return format_message("refuses the client certificate ({etcd_cert_file} {0})", path)

    def _tls_problem(self, text: str) -> str:
        text = re.sub(r"\s*\(_ssl\.c:\d+\)", "", text)
        if "doesn't match" in text or "not valid for" in text:
            return "its certificate is for another host: {0}".format(text)
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            authority = self._settings.etcd_ca_cert_file or "(not given: the system's)"
            return format_message("its certificate is not trusted by {etcd_ca_cert_file} {0}: {1}", authority, text)
        if _refuses_certificate(text):
            return "it {0}: {1}".format(self._refusal(), text)
        if "EOF" in text:
            return "it closed the TLS connection" + self._other_scheme()
        return "TLS{0}: {1}".format(self._other_scheme(), text)


_Server = TypeVar("_Server", bound=EtcdServer)
_Answer = TypeVar("_Answer")


class EtcdCluster(Generic[_Server]):
    """All servers, each with its own connection. Servers that do not answer come last."""

    def __init__(self, settings: EtcdSettings, member: Callable[[str, EtcdSettings], _Server]) -> None:
        self._settings = settings
        self._members = {url: member(url, settings) for url in settings.etcd_endpoints}
        self._order = list(self._members)
        self._share_alarm(Alarm())

    def __len__(self) -> int:
        return len(self._members)

    def __str__(self) -> str:
        return "etcd at {0}".format(self._order[0])

    @property
    def first(self) -> _Server:
        return self._members[self._order[0]]

    def join(self, other: EtcdCluster[_Server]) -> None:
        """Share with another cluster which servers answer, and its alarm."""
        self._order = other._order
        self._share_alarm(other.alarm)

    def _share_alarm(self, alarm: Alarm) -> None:
        self.alarm = alarm
        for member in self._members.values():
            member.alarm = alarm

    @property
    def cluster_id(self) -> str:
        """The id of the cluster, by an answer; "" before the first one."""
        return next((member.cluster_id for member in self._members.values() if member.cluster_id), "")

    def put_last(self, member: EtcdServer) -> None:
        # Another client may have done this already, and the next server must not be moved for that.
        if self._order[0] == member.url:
            self._order.append(self._order.pop(0))

    def ask(self, ask: Callable[[_Server], _Answer], is_write: bool, first: _Server | None = None) -> _Answer:
        """The result of `ask` with the first server that answers. A server that does not answer is moved to the end.

        Raises NoAnswer for a write that may have been carried out, and DatastoreError when no server answers.
        """
        failures: List[str] = []
        for member in sorted(map(self._members.__getitem__, self._order), key=lambda member: member is not first):
            try:
                return ask(member)
            except NoAnswer as exc:
                self.put_last(member)
                failures.append("{0}: {1}".format(member.url, exc))
                if is_write and exc.maybe_done:
                    raise NoAnswer(failures[-1], True) from exc
        text = "cannot reach etcd: {0} ({etcd_endpoints} from: {1})"
        raise DatastoreError(format_message(text, "; ".join(failures), _source(self._settings)))


def refused(settings: EtcdSettings, verb: str, key: str, why: str, rights: str) -> DatastoreError:
    """The error for a user without the required rights."""
    user = settings.etcd_username
    return DatastoreError(
        "etcd does not allow {0} to {1} {2}: {3}. The required rights are {4}".format(
            "user {0}".format(user) if user else "a client without user and password", verb, key, why, rights
        )
    )


def plain(text: str) -> str:
    """A server's text for a message: on one line, without control characters, and cut if it is long."""
    text = " ".join(text[: _SHOWN + 1].split())
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return cut(text, _SHOWN) or "no text"


def unsure(keys: str, cause: object) -> str:
    """The message about writes that may have been carried out."""
    return (
        "the change of {0} was sent to etcd, which did not answer ({1}), so it may or may not have been made; run the "
        "task again once etcd answers".format(keys, cause)
    )


def after_unanswered(keys: str, unanswered: NoAnswer | None, error: DatastoreError) -> DatastoreError:
    """The error of a later attempt, which does not undo an earlier attempt without an answer."""
    return error if unanswered is None else DatastoreError("{0}. {1}".format(unsure(keys, unanswered), error))


def _source(settings: EtcdSettings) -> str:
    return settings.sources.get("etcd_endpoints", "default")


def _refuses_certificate(text: str) -> bool:
    """Whether a TLS error is the server's alert about the client's certificate. The server then carries out nothing."""
    text = text.lower().replace("_", " ")
    return "alert" in text and any(part in text for part in ("certificate", "unknown ca", "access denied"))


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and the exceptions that it wraps, from outside to inside; not those of an earlier request."""
    while exc is not None and not isinstance(exc, (NoAnswer, EtcdError, CalicoError)):
        yield exc
        inner = getattr(exc, "reason", None) or (exc.args[0] if exc.args else None)
        exc = inner if isinstance(inner, BaseException) else exc.__cause__ or exc.__context__


def _system_error(causes: Sequence[BaseException]) -> str:
    """The error of the operating system; "" when there is none."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return UNRESOLVED
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror[0].lower() + cause.strerror[1:]
    return ""
