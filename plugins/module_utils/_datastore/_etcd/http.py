# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The urllib3 connections of both client libraries, with complete and bounded answers and the same TLS settings."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
import ssl
from typing import Any, Dict, Mapping, NamedTuple

from ..._core.go_json import shallow
from .._http.complete import CompleteResponse, borrow, has_length
from .._http.exchange import build_request
from .settings import EtcdSettings

try:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import HTTPError
    from urllib3.util import is_connection_dropped
    from urllib3.util.ssl_ import create_urllib3_context
except ImportError:
    # The servers report a missing library.
    HTTPConnection = HTTPSConnection = HTTPConnectionPool = HTTPSConnectionPool = object
    HTTPError = OSError

# Maximum depth of directories in a listing, each an object and a list. Calico has a few.
_DIRECTORIES = 100


class HandshakeFailed(OSError):
    """The TLS handshake failed, so no request was sent."""


def harden(manager: Any, url: str, settings: EtcdSettings) -> None:
    """Change how a urllib3 pool manager without pools connects to this URL."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    if url.startswith("https:"):
        # This takes a while, and is useless without TLS.
        manager.connection_pool_kw.update(cert_reqs="CERT_REQUIRED", ssl_context=_tls_context(settings))


def get_pool(response: Any) -> Any:
    """The pool of an answer's connection."""
    return response._pool


class Answer(NamedTuple):
    """A complete answer; has_length: whether its headers contain its length."""

    status: int
    data: bytes
    has_length: bool
    cluster_id: str


class Channel:
    """One kept-alive connection for requests one after the other, of which each is one piece.

    http.client and urllib3 would take several times as long for a small request and its answer. They still connect, and
    read every answer that is not of the usual form.
    """

    def __init__(self, pool: Any, headers: Mapping[str, str], timeout: float) -> None:
        self._pool = pool
        self._headers = headers
        self._timeout = timeout
        self._connection: Any = None
        self._head = b""
        # That of the pending request: the connection has none after its last answer.
        self._socket: Any = None
        # Whether the pending request follows others on its connection, which the server may have closed meanwhile.
        self.is_reused = False

    def send(self, method: str, path: str, form: bytes | None) -> None:
        """Send a request, over a new connection if the server has closed the last one."""
        self._socket = None
        if self._connection is None:
            connection = borrow(self._pool)
            connection.timeout = self._timeout
            self._head = _build_head(connection, self._headers)
            self._connection = connection
        head = self._head if form is None else self._head + b"Content-Type: application/x-www-form-urlencoded\r\n"
        request = build_request(method, path, head, form)
        self.is_reused = not is_connection_dropped(self._connection)
        if not self.is_reused:
            self._connection.close()
            self._connection.connect()
        self._socket = self._connection.sock
        self._socket.sendall(request)

    def receive(self, method: str) -> Answer:
        """The answer to the pending request. Raises an exception unless it is complete."""
        first = self._socket.recv(_PIECE)
        usual = _USUAL.match(first)
        if usual and len(first) == usual.end() + int(usual.group(2)):
            cluster = _CLUSTER.search(first, 0, usual.end())
            return Answer(int(usual.group(1)), first[usual.end() :], True, cluster.group(1).decode() if cluster else "")
        with contextlib.closing(CompleteResponse(_Begun(first, self._socket), method=method)) as response:
            response.begin()
            data = response.read()
        if response.will_close:
            self._connection.close()
        return Answer(response.status, data, has_length(response.headers), response.getheader("X-Etcd-Cluster-Id", ""))

    def close(self) -> None:
        if self._connection:
            self._connection.close()

    def shut_down(self) -> None:
        """End the pending request, whatever it waits for."""
        for used in (self._connection and self._connection.sock, self._socket):
            if used:
                with contextlib.suppress(OSError):
                    used.shutdown(socket.SHUT_RDWR)


# Maximum number of bytes that are received at once. Most answers are smaller.
_PIECE = 65536
# The head of an answer of etcd, with its length and without anything that would change how it is read.
_OTHERS = rb"(?:(?!content-|transfer-|connection:)[a-z0-9-]+: [ -~]*\r\n|content-type: [ -~]*\r\n){0,20}"
_USUAL = re.compile(
    rb"HTTP/1\.1 (20[01]) [ -~]*\r\n(?i:" + _OTHERS + rb"content-length: ([0-9]{1,5})\r\n" + _OTHERS + rb")\r\n"
)
_CLUSTER = re.compile(rb"\r\nx-etcd-cluster-id: +([ -~]*)\r\n", re.I)


def _build_head(connection: Any, headers: Mapping[str, str]) -> bytes:
    """The header lines of each request over this connection, as the library writes them."""
    recorder = _Recorder(connection.host, connection.port)
    recorder.default_port = connection.default_port
    recorder.request("GET", "/", None, dict(headers))
    return recorder.sent.partition(b"\r\n")[2][: -len(b"\r\n")]


def parse_object(data: Any) -> Dict[str, Any] | None:
    """The JSON object of an answer, or None. What is nested deeper than Python can read is left empty."""
    try:
        content = _decoded(data)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _decoded(data: Any) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        # In the last directory of etcd's v2 API, the list must be the part that is left empty.
        text = data if isinstance(data, str) else data.decode("utf-8")
        return json.loads(shallow(text, 2 * _DIRECTORIES))


def _tls_context(settings: EtcdSettings) -> ssl.SSLContext:
    context: ssl.SSLContext = create_urllib3_context()
    if settings.etcd_ca_cert_file:
        # From Python 3.13 on, it rejects authorities without key usage or identifiers, such as many private ones.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_verify_locations(settings.etcd_ca_cert_file)
    else:
        context.load_default_certs()
    return context


class _Begun:
    """A socket of which the first bytes have been received, as http.client reads from it."""

    def __init__(self, first: bytes, connected: Any) -> None:
        self._first = first
        self._socket = connected

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Rest(self._first, self._socket.makefile(mode, 0)))


class _Rest(io.RawIOBase):
    """The bytes that have been received, and those that follow."""

    def __init__(self, first: bytes, raw: Any) -> None:
        super().__init__()
        self._first = first
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        if not self._first:
            return self._raw.readinto(buffer)
        count = min(len(buffer), len(self._first))
        buffer[:count], self._first = self._first[:count], self._first[count:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Recorder(HTTPConnection):
    """A connection that keeps what it would send."""

    sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data


class _Connection(HTTPConnection):
    response_class = CompleteResponse


class _TlsConnection(HTTPSConnection):
    response_class = CompleteResponse

    def connect(self) -> None:
        try:
            super().connect()
        except HTTPError:
            # The TCP connection failed.
            raise
        except (OSError, ValueError) as exc:  # pylint: disable=duplicate-except # without urllib3, both are OSError
            raise HandshakeFailed("no TLS connection: {0}".format(exc)) from exc


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
