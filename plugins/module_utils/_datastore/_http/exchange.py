# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request over a connection of one of urllib3's pools, without what the pool adds, which takes as long again."""

from __future__ import annotations

import contextlib
from typing import Any, Iterable, NamedTuple, Tuple

from .complete import TimelyResponse, borrow, give_back, receive


class NotConnected(OSError):
    """The TLS handshake failed, so no request was sent. The argument is the cause."""


class PendingAnswer(NamedTuple):
    """The answer to a request that was sent. It must be read or abandoned."""

    pool: Any
    connection: Any

    def read(self) -> Tuple[int, Any, bytes]:
        """Status, headers and body. Raises OSError or HTTPException unless the answer is complete."""
        try:
            response = receive(self.connection)
            content = response.read()
        except BaseException:
            self.abandon()
            raise
        give_back(self.pool, self.connection)
        return response.status, response.headers, content

    def abandon(self) -> None:
        """Close the connection, whose state is unknown."""
        self.connection.close()
        give_back(self.pool, self.connection)


def send(
    pool: Any, method: str, path: str, headers: Iterable[Tuple[str, str]], body: bytes | None, seconds: float
) -> PendingAnswer:
    """Send a request. `seconds` limits connecting, each step of sending, and the answer.

    Raises NotConnected, an exception of urllib3 if the TCP connection fails, and OSError or HTTPException after that.
    """
    connection = borrow(pool)
    pending = PendingAnswer(pool, connection)
    try:
        connection.timeout = seconds
        connection.response_class = TimelyResponse
        if connection.sock is None:
            _connect(connection)
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        # The server may have answered before it has read everything.
        with contextlib.suppress(BrokenPipeError):
            connection.endheaders(body)
    except BaseException:
        pending.abandon()
        raise
    return pending


def _connect(connection: Any) -> None:
    try:
        connection.connect()
    except (OSError, ValueError) as exc:
        raise NotConnected(exc) from exc
