# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of an HTTP server that are complete and bounded, over the connections of urllib3's pools."""

from __future__ import annotations

import http.client
import io
import time
from typing import Any, Mapping, cast

from ..._core.errors import brief

# Maximum number of bytes of an answer, including its headers. Lists of real datastores have several MB.
MOST_BYTES = 256 * 1024 * 1024


class BadAnswer(http.client.HTTPException):
    """An answer that is not read further; the text is the reason."""


def borrow(pool: Any) -> Any:
    """A connection of a pool, since the pool itself would wait for the answer to a request."""
    return pool._get_conn()


def ask_proxy(pool: Any, connection: Any) -> None:
    """Connect to the server of a pool through its proxy."""
    pool._prepare_proxy(connection)


def receive(connection: Any) -> http.client.HTTPResponse:
    """The answer to the pending request, without the object that urllib3 puts around it, which takes as long again."""
    return http.client.HTTPConnection.getresponse(connection)


def give_back(pool: Any, connection: Any) -> None:
    """Return a connection to its pool after its answer has been read."""
    pool._put_conn(connection)


def has_length(headers: Mapping[str, str] | http.client.HTTPMessage) -> bool:
    """Whether these headers contain the length of the answer. Without it, a cut answer cannot be detected."""
    return "Content-Length" in headers or "Transfer-Encoding" in headers


class _Counted(io.RawIOBase):
    """The bytes of one answer. Raises an exception at the maximum size, at an early end, and after the deadline."""

    def __init__(self, raw: Any, seconds: float | None) -> None:
        super().__init__()
        self._raw = raw
        self._left = MOST_BYTES
        self._has_begun = False
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.may_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        count = self._raw.readinto(buffer)
        # Before the first byte, http.client itself handles an end.
        if count == 0 and self._has_begun and not self.may_end:
            raise http.client.IncompleteRead(b"")
        self._has_begun = True
        self._left -= count or 0
        if self._left < 0:
            raise _too_long()
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise BadAnswer("the answer is not complete after the timeout")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BodyReader(io.BufferedReader):
    """A reader that allocates no more than the maximum size of an answer, whatever the server announces."""

    def read(self, size: Any = -1) -> bytes:
        return super().read(size if size is not None and 0 <= size <= MOST_BYTES else MOST_BYTES)


class CompleteResponse(http.client.HTTPResponse):
    """An answer that is complete, or else raises an exception.

    http.client accepts the end of the connection as the end of the headers, and urllib3 before 2 as that of the body.
    """

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._counted = _Counted(self.fp.detach(), self._get_seconds(sock))
        self.fp = _BodyReader(self._counted)

    def _get_seconds(self, sock: Any) -> float | None:
        """The maximum duration of the answer; None where the caller ends the connection then."""
        return None

    def begin(self) -> None:
        super().begin()
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            # The answer follows (RFC 9110, section 15.2). http.client itself knows only 100.
            self.headers = self.msg = cast(Any, None)
            super().begin()
        if self.status == http.client.SWITCHING_PROTOCOLS:
            raise BadAnswer("the server changes to another protocol, which was not requested")
        coding = self.getheader("Content-Encoding", "identity")
        if coding.lower() != "identity":
            # Compression was not requested, and a few bytes may expand to very many.
            raise BadAnswer("the answer is compressed ({0}), which was not requested".format(brief(coding)))
        if (self.length or 0) > MOST_BYTES:
            raise _too_long()
        is_open = self.length is None and not self.chunked
        if is_open and has_length(self.headers):
            raise BadAnswer("the answer has an invalid length")
        self._counted.may_end = is_open


class TimelyResponse(CompleteResponse):
    """An answer that is also complete within the socket's timeout, which else starts again with each byte."""

    def _get_seconds(self, sock: Any) -> float | None:
        seconds: float | None = sock.gettimeout()
        return seconds


def _too_long() -> BadAnswer:
    return BadAnswer("the answer is longer than {0} MiB".format(MOST_BYTES // 1024 // 1024))
