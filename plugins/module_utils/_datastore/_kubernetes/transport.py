# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a Kubernetes API server over the connections of the library kubernetes."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import http.client
import json
import socket
import ssl
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Tuple

from ..._core.errors import InvalidInput
from .._http.complete import has_length
from .._http.exchange import NotConnected, PendingAnswer, build_head, build_request, send
from ..certificates import CertificateOptions, check_certificates
from .cluster_config import IMPORT_ERROR, LoadedCluster, load_cluster
from .settings import KubernetesSettings

try:
    from kubernetes.client.rest import RESTClientObject
    from urllib3 import disable_warnings
    from urllib3.exceptions import (
        ConnectTimeoutError,
        HTTPError,
        InsecureRequestWarning,
        NewConnectionError,
        ReadTimeoutError,
    )
    from urllib3.response import HTTPHeaderDict
    from urllib3.util import parse_url
    from urllib3.util.ssl_ import create_urllib3_context
except ImportError:
    # load_cluster reports the missing library.
    HTTPError = NewConnectionError = ConnectTimeoutError = ReadTimeoutError = OSError

CERTIFICATES = CertificateOptions("ca_cert", "client_cert", "client_key")
# Kept-alive connections, and so the maximum number of pending writes. With more, creations take no less time.
CONNECTIONS = 8
USER_AGENT = "netsec.calico"


@dataclasses.dataclass(eq=False)
class ApiAnswer:
    """An answer: its HTTP status, its headers, and its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @functools.cached_property
    def document(self) -> Dict[str, Any]:
        """The JSON object of the body; empty if it is none, such as an aggregator's plain text."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class NoApiAnswer(Exception):
    """No complete answer. With `maybe_done`, the server may have carried out the request.

    With `is_final`, another try has the same result.
    """

    def __init__(self, reason: str, maybe_done: bool, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_done = maybe_done
        self.is_final = is_final


class _Link(NamedTuple):
    """The way to the server, with the credentials that were loaded."""

    url: str
    pool: Any
    # Whether a proxy must first be asked for a connection to the server.
    is_tunnel: bool
    # What the target of each request begins with, and the headers that each has.
    root: str
    head: bytes


# (status, headers, body)
_Received = Tuple[int, Mapping[str, str], bytes]


class Transport:
    """The connections to one API server, with the user's credentials."""

    def __init__(self, settings: KubernetesSettings) -> None:
        if IMPORT_ERROR is None:
            check_certificates(settings, CERTIFICATES)
        self._settings = settings
        self.reload()

    def reload(self) -> None:
        """Load the configuration again: a token in a file may be new, and an exec plugin may give another one."""
        cluster = load_cluster(self._settings)
        configuration = cluster.configuration
        configuration.connection_pool_maxsize = CONNECTIONS
        headers = self._build_headers(cluster)
        try:
            manager = RESTClientObject(configuration).pool_manager
        except (HTTPError, ValueError, ImportError) as exc:
            text = "{0}: is not a URL of a proxy that can be used ({1})"
            raise InvalidInput([text.format(cluster.proxy_source, type(exc).__name__)]) from exc
        if configuration.verify_ssl and configuration.ssl_ca_cert:
            manager.connection_pool_kw["ssl_context"] = _create_context()
        if not configuration.verify_ssl:
            # The user has decided on it.
            disable_warnings(InsecureRequestWarning)
        # For messages: what cannot be reached may be the proxy.
        self._through = (
            "; the connection goes through the proxy of {0}".format(cluster.proxy_source) if manager.proxy else ""
        )
        # In one step: other threads use it.
        self._link = _build_link(str(configuration.host), manager, headers)

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._link.url

    def request(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, accept: str = "application/json"
    ) -> ApiAnswer:
        """One request. `path` has the query, if any. Raises NoApiAnswer; it never follows a redirection."""
        body = None
        if document is not None:
            body = json.dumps(document, separators=(",", ":")).encode("utf-8", "replace")
        with self._explaining():
            received = self._send(method, path, accept, body).read()
        return _build_answer(received)

    def begin(self, path: str, accept: str) -> PendingAnswer:
        """Send a GET whose answer is awaited later. Raises NoApiAnswer."""
        with self._explaining():
            return self._send("GET", path, accept, None)

    def finish(self, pending: PendingAnswer) -> ApiAnswer:
        """The answer to a request that was begun. Raises NoApiAnswer."""
        with self._explaining():
            received = pending.read()
        return _build_answer(received)

    def _send(self, method: str, path: str, accept: str, body: bytes | None) -> PendingAnswer:
        link = self._link
        own = [("Accept", accept)] + ([] if body is None else [("Content-Type", "application/json")])
        request = build_request(method, link.root + path, link.head + build_head(own), body)
        return send(link.pool, request, self._settings.timeout, link.is_tunnel)

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Raise NoApiAnswer for whatever ended a request."""
        try:
            yield
        except (HTTPError, OSError, http.client.HTTPException) as exc:
            is_final = "CERTIFICATE_VERIFY_FAILED" in str(exc)
            reason = "no answer within {0:g} s".format(self._settings.timeout) if _is_late(exc) else _get_reason(exc)
            raise NoApiAnswer(
                reason + self._through, not is_final and not isinstance(exc, _NOT_SENT), is_final
            ) from exc

    def _build_headers(self, cluster: LoadedCluster) -> Any:
        """The headers that tell who asks. Raises InvalidInput, without a value, for one that no header can have."""
        settings = self._settings
        pairs = [("User-Agent", USER_AGENT)]
        if settings.username:
            # Instead of a token that was loaded: a request has one user.
            basic = "{0}:{1}".format(settings.username, settings.password).encode("utf-8")
            pairs.append(("Authorization", "Basic " + base64.b64encode(basic).decode("ascii")))
        else:
            # A file with a token often ends in a line break.
            found = cluster.configuration.auth_settings().values()
            pairs += [(each["key"], each["value"].strip()) for each in found if each["value"]]
        if cluster.impersonate_user:
            pairs.append(("Impersonate-User", cluster.impersonate_user))
        # The API server wants a header for each group.
        pairs += [("Impersonate-Group", group) for group in cluster.impersonate_groups]
        headers = HTTPHeaderDict()
        for name, value in pairs:
            if not value.isascii() or not value.isprintable():
                what = "the credentials contain" if name.lower() == "authorization" else name + " has"
                raise InvalidInput([what + " a line break or another character that no HTTP header can have"])
            headers.add(name, value)
        return headers


def _build_link(url: str, manager: Any, headers: Any) -> _Link:
    """Raises InvalidInput for a URL that is none."""
    try:
        parts, pool = parse_url(url), manager.connection_from_url(url)
    except (HTTPError, ValueError) as exc:
        raise InvalidInput(["the API server's URL cannot be used: {0}".format(_get_reason(exc))]) from exc
    is_tunnel = bool(manager.proxy) and parts.scheme == "https"
    root, own = parts.path or "", [("Host", _get_authority(url)), ("Accept-Encoding", "identity")]
    if manager.proxy and not is_tunnel:
        # The proxy itself reads the request.
        root = "{0}://{1}{2}".format(parts.scheme, _get_authority(url), root)
        own += (manager.proxy_headers or {}).items()
    return _Link(url, pool, is_tunnel, root, build_head([*own, *headers.items()]))


def _get_authority(url: str) -> str:
    """The host of a URL, and the port if it is not the usual one."""
    parts = parse_url(url)
    is_usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme or ""))
    return str(parts.host) if is_usual else "{0}:{1}".format(parts.host, parts.port)


# What Go's server answers to a request without TLS (net/http/server.go).
_WITHOUT_TLS = b"Client sent an HTTP request to an HTTPS server"


def _build_answer(received: _Received) -> ApiAnswer:
    answer = ApiAnswer(*received)
    if answer.status == 400 and _WITHOUT_TLS in answer.body:
        raise NoApiAnswer("the server expects https://, not http://", maybe_done=False, is_final=True)
    if not has_length(answer.headers) and not answer.document:
        # Such as a proxy's, whose end is that of the connection.
        raise NoApiAnswer("the answer is cut", True)
    return answer


# Not an SSLError: it may also come after the request was sent.
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, NotConnected)


def _is_late(exc: BaseException) -> bool:
    """Whether the time was over."""
    if isinstance(exc, NotConnected):
        return isinstance(exc.__cause__, socket.timeout)
    # A refused connection is a kind of timeout, too.
    kinds = (ConnectTimeoutError, ReadTimeoutError, socket.timeout)
    return isinstance(exc, kinds) and not isinstance(exc, NewConnectionError)


def _create_context() -> ssl.SSLContext:
    context: ssl.SSLContext = create_urllib3_context()
    # From Python 3.13 on, it rejects authorities without key usage or identifiers, such as many private ones.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _get_reason(exc: Exception) -> str:
    """The innermost reason: urllib3 wraps exceptions, and its own texts begin with the object's address."""
    while True:
        inner = exc.args[-1] if exc.args and isinstance(exc.args[-1], Exception) else exc.__cause__
        if not isinstance(inner, Exception):
            break
        exc = inner
    text = str(exc)
    if ">: " in text:
        text = text.partition(">: ")[2]
    return text or type(exc).__name__
