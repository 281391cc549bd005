# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wire to a server that tells what went over it, and that breaks on request.

Its clients talk plain HTTP to it. The server does, too, unless it has a `client_context`: then it is an HTTPS server.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = (
    "cut_before_commit",
    "cut_after_commit",
    "cut_mid_headers",
    "cut_mid_answer",
    "hang_up",
    "keep_answer",
    "freeze",
    "reset",
)
FRAMINGS = ("length", "chunked", "close")
# Of one connection only, or told anew by the wire itself.
_NOT_PASSED_ON = ("connection", "keep-alive", "transfer-encoding", "content-length")


class _Line(NamedTuple):
    method: str
    path: str  # as it came: quoted, with the query
    body: str


class Request(_Line):
    """Equal to its method, path and body; `headers` are those that came."""

    headers: Message

    @property
    def key(self):
        """The raw key in the v2 store."""
        return unquote(urlsplit(self.path).path)[len("/v2/keys") :]

    @property
    def parameters(self):
        """Of the query and of a form in the body: {name: value}."""
        pairs = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        pairs.update(parse_qs(self.body, keep_blank_values=True))
        return {name: values[-1] for name, values in pairs.items()}


class _Rule:
    """Which requests something is done to: the nth that matches from now on, and the times - 1 after it."""

    def __init__(self, action, method, times, nth, path_contains):
        self.action = action
        self._method = method
        self._path_contains = path_contains
        self._first, self._last = nth, nth + times - 1
        self._seen = 0

    def takes(self, request):
        wanted = self._method(request) if callable(self._method) else self._method in (None, request.method)
        if not wanted or (self._path_contains or "") not in request.path:
            return False
        self._seen += 1
        return self._first <= self._seen <= self._last


@contextlib.contextmanager
def listening(serve):
    """The port of a server. `serve(listener, closing)` takes its clients, in a thread, until the event is set."""
    closing = threading.Event()

    def run(listener):
        # Accepting ends so.
        with contextlib.suppress(OSError):
            serve(listener, closing)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def pass_on(source, target):
    """Pass bytes from one socket on to another, until either is closed; then both are."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        _shut(each)


class Wire:
    """Listens on `url` and forwards to the server; `requests`, `writes` and `connections` tell what came.

    framing: how the end of its answers is told; "close" means by the end of the connection.
    """

    def __init__(self, server):
        self.server = server
        self.requests = []
        self.connections = 0
        self.framing = "length"
        self._faults = []
        self._callbacks = []
        self._lock = threading.Lock()
        self._sockets = set()
        self._closing = threading.Event()
        self._refusing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    @property
    def writes(self):
        """On the v3 gateway everything is a POST, reads too."""
        return [request for request in self.requests if request.method not in ("GET", "HEAD")]

    def clear(self):
        """Forget what came; faults and callbacks stay."""
        with self._lock:
            self.requests = []
            self.connections = 0

    def fault(self, kind, method="PUT", times=1, nth=1, path_contains=None):
        """Break the nth such request from now on, and the times - 1 after it.

        method: its name, None for any, or a function of the Request that tells whether it is meant.

        cut_before_commit: the client's connection is closed, nothing is forwarded
        reset:             the same, with a TCP reset
        cut_after_commit:  the server does it and answers, the client's connection is closed without a byte
        cut_mid_headers:   the server does it, the client gets a status and half of the headers
        cut_mid_answer:    the server does it, the client gets the headers and half of the body
        hang_up:           the server does it and answers, then the client's connection is closed without notice
        keep_answer:       the server does it and answers, and the client waits, until the wire is closed
        freeze:            nothing is forwarded, and the client waits, until the wire is closed
        """
        if kind not in KINDS:
            raise ValueError(kind)
        self._faults.append(_Rule((kind, None), method, times, nth, path_contains))

    def answer(
        self,
        status,
        body,
        content_type="application/json",
        method="GET",
        times=1,
        nth=1,
        path_contains=None,
        headers=(),
    ):
        """Answer such requests with this; nothing is forwarded. headers: more of them, as pairs."""
        body = body if isinstance(body, bytes) else body.encode()
        answer = (status, "Told", [("Content-Type", content_type), *headers], body)
        self._faults.append(_Rule(("answer", answer), method, times, nth, path_contains))

    def cut(self, at, with_reset=False, method="GET", times=1, nth=1, path_contains=None):
        """The server does such requests, and the client gets the first bytes of the answer only, as many as `at`.

        at: their number, or a function of the whole answer, in bytes, that tells it.
        with_reset: the connection is not closed after them, but reset.
        """
        self._faults.append(_Rule(("cut", (at, with_reset)), method, times, nth, path_contains))

    def answer_in_bytes(self, answer, at, with_reset=False, method="GET", times=1, nth=1, path_contains=None):
        """The same of such an answer, head and body; nothing is forwarded."""
        self._faults.append(_Rule(("bytes", (answer, at, with_reset)), method, times, nth, path_contains))

    def stream(self, pieces, method="GET", times=1, nth=1, path_contains=None):
        """Such requests get these bytes, piece by piece, as long as the client takes them; nothing is forwarded.

        pieces: a function that gives them anew for each request, maybe without an end. Then the connection is closed.
        """
        self._faults.append(_Rule(("stream", pieces), method, times, nth, path_contains))

    def before(self, method, callback, times=1, nth=1, path_contains=None):
        """Call callback() when such a request has come, before it is forwarded."""
        self._callbacks.append(_Rule(callback, method, times, nth, path_contains))

    def heal(self):
        """No more faults and callbacks. Who is frozen stays so."""
        with self._lock:
            self._faults, self._callbacks = [], []

    def refuse(self):
        """No new connection comes about any more; those that are there stay."""
        self._refusing.set()
        _shut(self._listener)

    def close(self):
        """Nobody listens any more; every connection is cut, the frozen ones too."""
        self._closing.set()
        with self._lock:
            for each in [self._listener, *self._sockets]:
                _shut(each)
        self._listener.close()

    # Inside

    def _accept(self):
        while not self._closing.is_set() and not self._refusing.is_set():
            try:
                client, address = self._listener.accept()
            except OSError:  # closed
                return
            with self._lock:
                self.connections += 1
            threading.Thread(target=self._talk, args=(client, address), daemon=True).start()

    def _talk(self, client, address):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(client)
        try:
            if not self._closing.is_set():
                _Conversation(client, address, self)
        except OSError:  # the client went, or was cut
            pass
        finally:
            with self._lock:
                self._sockets.discard(client)
            client.close()

    def _arrived(self, request):
        """Note a request; the fault to inflict on it and the callbacks to call before."""
        with self._lock:
            self.requests.append(request)
            callbacks = [rule.action for rule in list(self._callbacks) if rule.takes(request)]
            faults = [rule.action for rule in list(self._faults) if rule.takes(request)]
        return faults[0] if faults else (None, None), callbacks


class _Conversation(BaseHTTPRequestHandler):
    """One client connection, with a connection of its own to the server; `self.server` is the wire."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        server = self.server.server
        context = getattr(server, "client_context", None)
        if context:
            self.upstream = http.client.HTTPSConnection("127.0.0.1", server.port, context=context)
        else:
            self.upstream = http.client.HTTPConnection("127.0.0.1", server.port)

    def finish(self):
        with self.server._lock:
            self.server._sockets.discard(self.upstream.sock)
        self.upstream.close()
        super().finish()

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            # The client died on the way, and no server takes half a request.
            self.close_connection = True
            return
        request = Request(self.command, self.path, body.decode(errors="replace"))
        request.headers = self.headers
        (fault, told), callbacks = self.server._arrived(request)
        for callback in callbacks:
            callback()
        if fault == "freeze":
            self.server._closing.wait()
        if fault == "reset":
            self._reset_when_closed()
        if fault in ("stream", "bytes"):
            self.close_connection = True
            self._tell(fault, told)
            return
        if fault in ("freeze", "reset", "cut_before_commit"):
            self.close_connection = True
            return
        head, content = self._bytes(*(told if fault == "answer" else self._forward(body)))
        if fault == "cut":
            self.close_connection = True
            self._write_first(head + content, *told)
            return
        if fault == "keep_answer":
            self.server._closing.wait()
            self.close_connection = True
            return
        if fault in ("cut_after_commit", "cut_mid_headers", "cut_mid_answer"):
            self.close_connection = True
            head = {"cut_after_commit": b"", "cut_mid_headers": head[: len(head) // 2]}.get(fault, head)
            content = content[: len(content) // 2] if fault == "cut_mid_answer" else b""
        if fault == "hang_up" or self.server.framing == "close":
            self.close_connection = True
        self.wfile.write(head + content)

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_arguments):
        pass

    def _forward(self, body):
        try:
            self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _NOT_PASSED_ON:
                    self.upstream.putheader(name, value)
            self.upstream.putheader("Content-Length", str(len(body)))
            self.upstream.endheaders(body)
            with self.server._lock:
                self.server._sockets.add(self.upstream.sock)
            answer = self.upstream.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error

    def _bytes(self, status, reason, headers, body):
        lines = ["HTTP/1.1 %d %s" % (status, reason)]
        lines += ["%s: %s" % pair for pair in headers if pair[0].lower() not in _NOT_PASSED_ON]
        if self.server.framing == "length":
            lines.append("Content-Length: %d" % len(body))
        elif self.server.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            halves = [half for half in (body[: len(body) // 2], body[len(body) // 2 :]) if half]
            body = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n"
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), body

    def _tell(self, fault, told):
        if fault == "bytes":
            self._write_first(*told)
            return
        for piece in told():
            self.wfile.write(piece)

    def _write_first(self, answer, at, with_reset):
        self.wfile.write(answer[: at(answer) if callable(at) else at])
        if with_reset:
            self._reset_when_closed()

    def _reset_when_closed(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _shut(each):
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:  # gone already
        pass
