# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One etcd server behind etcd3gw: its answers, and why it does not answer."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import time
import traceback
import urllib.parse
from typing import Any, Dict, Iterator, NamedTuple, cast

from ..._core.errors import DatastoreError, MissingLibrary, format_message, shown
from .._http.complete import borrow, give_back, has_length, receive
from .cluster import NOT_WHOLE, EtcdError, EtcdServer, NoAnswer, plain
from .http import get_pool, harden, parse_object
from .settings import EtcdSettings

try:
    import etcd3gw
    import requests
    import urllib3
    from etcd3gw import exceptions
except ImportError:
    # No server is created then, and nothing else uses them.
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

# gRPC's codes, as the gateway repeats them.
DENIED, OUT_OF_RANGE, UNAUTHENTICATED = 7, 11, 16
# Another server may be able to answer, and this one may have carried out the request: canceled (by a server that
# stops), too late, and unavailable (without a leader).
_NO_ANSWER = (1, 4, 14)
# etcd's messages about a token that is missing, unknown, or older than a change of users or roles.
_NO_TOKEN = (
    "user name is empty",
    "invalid auth token",
    "revision of auth store is old",
    "revision in header is old",
)
_COMMON_NAME = (
    "{0} rejects the client certificate {1}, since it has a common name, which etcd's JSON gateway does not accept as "
    "a user; use a certificate without one, and set {etcd_username} and {etcd_password} ({2})"
)

_HINT = (
    "It must be a client URL of etcd 3.3 or later, without --enable-grpc-gateway=false. Calico v1 keeps its data in "
    "etcd's v2 API: set {datastore_type} to etcdv2"
)

# Messages of etcd's JSON gateway when it cannot connect to its own server: because the server rejects its certificate,
# and for any reason.
_HANDSHAKE = "authentication handshake failed: remote error: tls"
_NOT_CONNECTED = ("connection closed", "connection error: desc", "SubConns are in TransientFailure")
_GATEWAY_REMEDY = (
    "Issue the server's certificate for servers and clients (extendedKeyUsage serverAuth and clientAuth) by an "
    "authority of --trusted-ca-file, or give the gateway a certificate with --client-cert-file and --client-key-file "
    "(etcd 3.5), or use {etcd_username} and {etcd_password} and start etcd without --client-cert-auth"
)
_GATEWAY_REFUSED = (
    "its JSON gateway cannot connect to its own server, which refuses the gateway's certificate ({0}). Without "
    "--client-cert-file that is the server's own{1}. " + _GATEWAY_REMEDY
)
_GATEWAY_BROKEN = (
    "its JSON gateway cannot connect to its own server ({0}). If etcd runs with --client-cert-auth, the server may "
    "refuse the gateway's certificate: without --client-cert-file that is the server's own{1}. " + _GATEWAY_REMEDY
)
# The extension extendedKeyUsage in a certificate, and two of the uses that it may list, in DER.
_EXTENDED_USAGE = bytes.fromhex("0603551d25")
_FOR_CLIENTS = bytes.fromhex("06082b06010505070302")
_FOR_ALL = bytes.fromhex("0604551d2500")

# Seconds for reading an answer that arrived before the timeout.
_GRACE = 0.05


class Expired(OSError):
    """The time for a request is over."""


@dataclasses.dataclass
class Sent:
    """A request that was sent ahead, and whose answer is read later."""

    member: EtcdV3Server
    document: Dict[str, Any]
    # The time of sending, by the monotonic clock; its connection, and the pool of that connection.
    began: float
    connection: Any
    pool: Any
    # Why it could not be sent; None when it was sent.
    failure: NoAnswer | None = None


class EtcdAnswer(NamedTuple):
    """A complete answer, with the server's certificate if that may be its cause."""

    status: int
    body: bytes
    has_length: bool
    certificate: bytes = b""


class EtcdV3Server(EtcdServer):
    """One endpoint, over one kept-alive connection."""

    def __init__(self, url: str, settings: EtcdSettings) -> None:
        super().__init__(url, settings)
        if IMPORT_ERROR is not None:
            raise MissingLibrary("etcd3gw", IMPORT_ERROR)
        self._wants_token = bool(settings.etcd_username)
        # The last answer, and whether the actual request was sent.
        self._answer: EtcdAnswer | None = None
        self._is_sent = False
        parts = urllib.parse.urlsplit(url)
        self._client = etcd3gw.Etcd3Client(
            host=parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            timeout=settings.timeout,
            session=_session(url, settings),
        )
        self._client.session.hooks["response"].append(self._note)
        # The pool of the session's connections; None before the first answer and after a failure.
        self._pool: Any = None

    def send(self, path: str, document: Dict[str, Any]) -> Sent | None:
        """Send a request without waiting for its answer; None when `answer` must send it.

        requests allows only one pending request, and etcd carries out two a third faster than one after the other.
        """
        if self._pool is None or self._wants_token:
            return None
        headers = {"Content-Type": "application/json"}
        token = self._client.session.headers.get("Authorization")
        if token:
            headers["Authorization"] = token
        sent = Sent(self, document, time.monotonic(), borrow(self._pool), self._pool)
        sent.connection.timeout = self._settings.timeout
        try:
            with self._deadline(sent):
                url = self._client.get_url(path)
                self._is_sent = True
                sent.connection.request("POST", urllib.parse.urlsplit(url).path, json.dumps(document), headers)
        except NoAnswer as exc:
            sent.failure = exc
        return sent

    def answer(self, path: str, document: Dict[str, Any], sent: Sent | None = None) -> Dict[str, Any]:
        """etcd's answer to a request of the v3 API, which may have been sent before.

        Raises NoAnswer, EtcdError, or DatastoreError for an answer that is not of etcd's v3 API.
        """
        if self._wants_token:
            self._authenticate()
        try:
            return self.received(sent) if sent else self._post(path, document)
        except EtcdError as exc:
            if exc.code != UNAUTHENTICATED or not self._settings.etcd_username:
                raise
        # The token has expired, or this server does not know it.
        self._authenticate()
        return self._post(path, document)

    def _authenticate(self) -> None:
        headers = self._client.session.headers
        headers.pop("Authorization", None)
        user = {"name": self._settings.etcd_username, "password": self._settings.etcd_password}
        try:
            headers["Authorization"] = _token(self._post("auth/authenticate", user))
        except NoAnswer as exc:
            # The actual request has not been sent.
            raise NoAnswer(str(exc), False) from exc
        except EtcdError as exc:
            if "authentication is not enabled" not in str(exc):
                raise EtcdError(UNAUTHENTICATED, str(exc)) from exc
            # etcd requires no token then, and some versions reject an empty one.
        self._wants_token = False

    def _post(self, path: str, document: Dict[str, Any]) -> Dict[str, Any]:
        self._resolve()
        self._is_sent = False
        with self._deadline():
            # etcd3gw requests the version first.
            url = self._client.get_url(path)
            self._is_sent, self._answer = True, None
            content = self._client.post(url, json=document)
        return self._checked(content)

    def received(self, sent: Sent) -> Dict[str, Any]:
        """The answer to a request that was sent ahead, without sending anything else. Raises the same errors."""
        if sent.failure:
            raise sent.failure
        self._is_sent = True
        with self._deadline(sent):
            response = receive(sent.connection)
            data = response.read()
            self._answer = EtcdAnswer(response.status, data, has_length(response.headers))
        give_back(sent.pool, sent.connection)
        return self._checked(parse_object(data) if response.status == 200 else None)

    def _checked(self, content: Any) -> Dict[str, Any]:
        if not isinstance(content, dict) or not isinstance(content.get("header"), dict):
            # The answer was kept in any case.
            raise self._failure(cast(EtcdAnswer, self._answer))
        self._has_answered = True
        self.cluster_id = str(content["header"].get("cluster_id") or "")
        return content

    def _note(self, response: Any, *_args: Any, **_kwargs: Any) -> None:
        """Keep a complete answer, since etcd3gw's exceptions contain little of it."""
        self._pool = get_pool(response.raw)
        # Once the answer is read, its connection returns to the pool.
        certificate = _certificate(response.raw.connection) if response.status_code == 503 else b""
        self._answer = EtcdAnswer(response.status_code, response.content, has_length(response.headers), certificate)

    @contextlib.contextmanager
    def _deadline(self, sent: Sent | None = None) -> Iterator[None]:
        """Raise NoAnswer for an error, or when the request exceeds its timeout, which starts with the sending."""
        self._expired, self._answer = False, None
        left = self._settings.timeout - (time.monotonic() - sent.began if sent else 0)
        try:
            with self.alarm.set(self._expire, max(left, _GRACE)):
                yield
        except (
            exceptions.Etcd3Exception,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
            # etcd3gw raises these for an invalid version and for JSON that is too deep.
            AttributeError,
            TypeError,
            ValueError,
            RecursionError,
        ) as exc:
            if self._answer and not self._expired:
                raise self._sent_or_not(self._failure(self._answer)) from exc
            # The state of the connection is unknown, and idle connections are most likely broken, too.
            if sent:
                sent.connection.close()
            self._client.session.close()
            self._pool = None
            raise self._sent_or_not(self._no_answer(exc)) from exc

    def _sent_or_not(self, failure: Exception) -> Exception:
        if isinstance(failure, NoAnswer) and not self._is_sent:
            failure.maybe_done = False
        return failure

    def _expire(self) -> None:
        """End the request. The timeouts of requests start again with each byte, which may be one a second."""
        self._expired = True
        raise Expired("no answer in time")

    def _failure(self, answer: EtcdAnswer) -> Exception:
        """The exception for an answer that is not a result."""
        body, content = answer.body[:1000].decode("utf-8", "replace"), parse_object(answer.body)
        if answer.status == 200 or content is None and answer.status < 500 and not answer.has_length:
            return NoAnswer(NOT_WHOLE.format(shown(body, 120)), True)
        content = content or {}
        code, message = content.get("code"), content.get("message") or content.get("error")
        message = plain(message if isinstance(message, str) else body)
        text = "status {0}: {1}".format(answer.status, message)
        if any(part in message for part in _NO_TOKEN):
            # With any status; some versions answer 500.
            self._has_answered = True
            return EtcdError(UNAUTHENTICATED, text)
        if code in _NO_ANSWER or answer.status >= 500:
            return _gateway_problem(answer, text) or NoAnswer(text, True)
        if "CommonName of client" in message:
            return DatastoreError(format_message(_COMMON_NAME, self.url, self._settings.etcd_cert_file, text))
        if not isinstance(code, int):
            return DatastoreError(self._not_spoken("v3 API through its JSON gateway", text, _HINT))
        self._has_answered = True
        return EtcdError(DENIED if "permission denied" in message else code, message)


def _gateway_problem(answer: EtcdAnswer, text: str) -> NoAnswer | None:
    """Why the gateway cannot connect to its own server; None when it can, or when the cause is unknown."""
    if not answer.certificate:
        return None
    lacks = "" if _is_for_clients(answer.certificate) else ", which lacks the extendedKeyUsage clientAuth"
    if _HANDSHAKE in text:
        return NoAnswer(format_message(_GATEWAY_REFUSED, text, lacks), False)
    if any(part in text for part in _NOT_CONNECTED):
        return NoAnswer(format_message(_GATEWAY_BROKEN, text, lacks), True)
    return None


def _is_for_clients(certificate: bytes) -> bool:
    """Whether a certificate, in DER, is valid for clients. The standard library cannot tell."""
    return _EXTENDED_USAGE not in certificate or _FOR_CLIENTS in certificate or _FOR_ALL in certificate


def _certificate(connection: Any) -> bytes:
    """The server's certificate, in DER; nothing without TLS."""
    read = getattr(getattr(connection, "sock", None), "getpeercert", None)
    return read and read(True) or b""


def _token(content: Dict[str, Any]) -> str:
    token = content.get("token")
    if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
        raise NoAnswer(NOT_WHOLE.format("it has no token"), False)
    return token


def _session(url: str, settings: EtcdSettings) -> Any:
    session = requests.Session()
    # Otherwise proxies, .netrc and REQUESTS_CA_BUNDLE of the environment would apply, the last before our authority.
    session.trust_env = False
    # etcd never redirects, so a server that does is not etcd.
    session.max_redirects = 0
    session.headers["Accept-Encoding"] = "identity"
    adapter = session.get_adapter(url)
    # The only adapter of requests for HTTP and HTTPS.
    harden(cast(requests.adapters.HTTPAdapter, adapter).poolmanager, url, settings)
    session.verify = settings.etcd_ca_cert_file or True
    if settings.etcd_cert_file:
        session.cert = (settings.etcd_cert_file, settings.etcd_key_file or settings.etcd_cert_file)
    return session
