# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request over a connection of one of urllib3's pools.

The pool, the connection and the answer of urllib3 take three times as long as what is left here.
"""

from __future__ import annotations

import contextlib
import http.client
from typing import Any, Iterable, NamedTuple, Tuple

from .complete import TimelyResponse, ask_proxy, borrow, give_back


class NotConnected(OSError):
    """The proxy or the TLS handshake failed, so no request was sent. The argument is the cause."""


class PendingAnswer(NamedTuple):
    """The answer to a request that was sent. It must be read or abandoned."""

    pool: Any
    connection: Any

    def read(self) -> Tuple[int, Any, bytes]:
        """Status, headers and body. Raises OSError or HTTPException unless the answer is complete."""
        response = None
        try:
            response = TimelyResponse(self.connection.sock)
            response.begin()
            content = response.read()
        except BaseException:
            if response:
                response.close()
            self.abandon()
            raise
        if response.will_close:
            self.connection.close()
        give_back(self.pool, self.connection)
        return response.status, response.headers, content

    def abandon(self) -> None:
        """Close the connection, whose state is unknown."""
        self.connection.close()
        give_back(self.pool, self.connection)


def build_head(headers: Iterable[Tuple[str, str]]) -> bytes:
    """These headers in a request. Raises ValueError for one that could be mistaken for something else."""
    lines = ["{0}: {1}\r\n".format(name, value) for name, value in headers]
    if not all(line[:-2].isascii() and line[:-2].isprintable() for line in lines):
        raise ValueError("a header has a line break or another character that no header can have")
    return "".join(lines).encode("ascii")


def build_request(method: str, target: str, head: bytes, body: bytes | None) -> bytes:
    """A request as one piece, which the server also reads as one. Raises ValueError for an invalid target."""
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError("a request has a character that no URL can have")
    length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
    line = "{0} {1} HTTP/1.1\r\n".format(method, target).encode("ascii")
    return b"".join((line, head, length, b"\r\n", body or b""))


def send(pool: Any, request: bytes, seconds: float, is_tunnel: bool = False) -> PendingAnswer:
    """Send a request, with is_tunnel through the pool's proxy. `seconds` limits connecting, sending, and the answer.

    Raises NotConnected, an exception of urllib3 if the TCP connection fails, and OSError after that.
    """
    connection = borrow(pool)
    pending = PendingAnswer(pool, connection)
    try:
        connection.timeout = seconds
        if connection.sock is None:
            _connect(pool, connection, is_tunnel)
        # The server may have answered before it has read everything.
        with contextlib.suppress(BrokenPipeError):
            connection.sock.sendall(request)
    except BaseException:
        pending.abandon()
        raise
    return pending


def _connect(pool: Any, connection: Any, is_tunnel: bool) -> None:
    try:
        if is_tunnel:
            ask_proxy(pool, connection)
        else:
            connection.connect()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise NotConnected(exc) from exc
