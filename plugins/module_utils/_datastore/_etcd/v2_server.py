# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One etcd server behind python-etcd: its answers, and why it does not answer."""

from __future__ import annotations

import contextlib
import http.client
import time
import traceback
import urllib.parse
from typing import Any, Dict, Iterator, NamedTuple, Tuple

from ..._core.errors import DatastoreError, MissingLibrary, shown
from .cluster import NOT_WHOLE, EtcdError, EtcdServer, NoAnswer, plain
from .http import Answer, Channel, harden, parse_object
from .settings import EtcdSettings

try:
    import etcd
    import urllib3
except ImportError:
    # No server is created then, and nothing else uses them.
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

# etcd v2's error codes.
KEY_NOT_FOUND, COMPARE_FAILED, NOT_A_FILE, NOT_A_DIRECTORY, KEY_EXISTS = 100, 101, 102, 104, 105
UNAUTHORISED = 110
# "Raft internal error" and "leader election in progress": another server may be able to answer.
_NO_QUORUM = (300, 301)

_HINT = (
    "If Calico v1 keeps its data in this etcd, etcd must run with --enable-v2 (etcd 3.4 and 3.5; etcd 3.6 has no v2 "
    "API). Calico v3 keeps its data in etcd's v3 API: set {datastore_type} to etcdv3"
)


class Request(NamedTuple):
    """A request of etcd's v2 API about one key; `value` only if it writes one."""

    method: str
    key: str
    params: Dict[str, str]
    value: str | None = None

    @property
    def path(self) -> str:
        quote = urllib.parse.quote
        params = "&".join(["{0}={1}".format(name, quote(value, safe="")) for name, value in self.params.items()])
        return "/v2/keys{0}?{1}".format(quote(self.key), params)

    @property
    def form(self) -> bytes | None:
        if self.value is None:
            return None
        # The characters of JSON are kept, which is a tenth of the work and means the same.
        return b"value=" + urllib.parse.quote_plus(self.value, safe='{}[]":,/').encode("ascii")


class EtcdV2Server(EtcdServer):
    """One endpoint, over one kept-alive connection."""

    def __init__(self, url: str, settings: EtcdSettings) -> None:
        if IMPORT_ERROR is not None:
            raise MissingLibrary("python-etcd", IMPORT_ERROR)
        if urllib3.__version__ == "2.6.0":
            raise DatastoreError("python-etcd does not work with urllib3 2.6.0: install another version of urllib3")
        super().__init__(url, settings)
        # The pending request, or why it could not be sent; its start.
        self._request: Request | None = None
        self._unsent: NoAnswer | None = None
        self._began = 0.0
        client = _client(url, settings)
        self._channel = Channel(client.http.connection_from_url(url), client._get_headers(), settings.timeout)

    def send(self, request: Request) -> bool:
        """Send a request, whose answer or error `answer` then returns. Returns whether it was sent."""
        self._request, self._unsent = request, None
        self._began, self._expired = time.monotonic(), False
        try:
            self._resolve()
            with self._deadline():
                self._channel.send(request.method, request.path, request.form)
        except NoAnswer as exc:
            self._unsent = exc
        return self._unsent is None

    def answer(self, request: Request) -> Dict[str, Any]:
        """etcd's decoded answer to a request, which is sent first unless it was sent already.

        Raises NoAnswer, EtcdError, or DatastoreError for an answer that is not of etcd's v2 API.
        """
        if self._request is not request:
            self.send(request)
        try:
            answer = self._receive(request)
        except NoAnswer:
            # A server may close a kept-alive connection at any time (RFC 9112, section 9.3.1).
            if request.method != "GET" or self._expired or not self._channel.is_reused:
                raise
            self.send(request)
            answer = self._receive(request)
        self.cluster_id = answer.cluster_id
        return self._content(request, answer.status, answer.data, answer.has_length)

    def _receive(self, request: Request) -> Answer:
        """The answer to the request that was sent. Raises NoAnswer."""
        self._request = None
        if self._unsent:
            raise self._unsent
        with self._deadline():
            return self._channel.receive(request.method)

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Raise NoAnswer for an error, or when the request exceeds its timeout."""
        left = self._settings.timeout - (time.monotonic() - self._began)
        try:
            with self.alarm.set(self._expire, max(left, 0.001)):
                yield
        except (OSError, ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError) as exc:
            # The state of the connection is unknown.
            self._channel.close()
            raise self._no_answer(exc) from exc

    def _expire(self) -> None:
        """End the pending request. Other timeouts start again with each byte, which may be one a second."""
        self._expired = True
        self._channel.shut_down()

    def _content(self, request: Request, status: int, data: bytes, has_length: bool) -> Dict[str, Any]:
        content = parse_object(data)
        is_done = status in (200, 201)
        if is_done and content is not None and _is_node(content.get("node"), request.key):
            self._has_answered = True
            return content
        text = data[:1000].decode("utf-8", "replace")
        if is_done:
            raise NoAnswer(NOT_WHOLE.format(shown(text, 120)), True)
        if content is None and status < 500 and not has_length:
            raise NoAnswer(NOT_WHOLE.format(shown(text, 120)), True)
        raise self._failure(status, {"message": text} if content is None else content)

    def _failure(self, status: int, content: Dict[str, Any]) -> Exception:
        code = content.get("errorCode")
        words = [content[part] for part in ("message", "cause") if isinstance(content.get(part), str)]
        text = "status {0}: {1}".format(status, plain(" ".join(words)))
        if code in _NO_QUORUM or status >= 500:
            return NoAnswer(text, True)
        if isinstance(code, int):
            self._has_answered = True
            return EtcdError(code, text)
        return DatastoreError(self._not_spoken("v2 API", text, _HINT))


def _is_node(node: Any, key: str) -> bool:
    """Whether this is etcd's node of a key, with valid nodes of the keys below."""
    pending = [(node, key, True)]
    while pending:
        node, place, is_whole_key = pending.pop()
        if not isinstance(node, dict) or not isinstance(node.get("key"), str):
            return False
        if node["key"] != place if is_whole_key else node["key"].rpartition("/")[0] != place:
            return False
        children = node.get("nodes", [])
        if not isinstance(children, list) or not isinstance(node.get("value", ""), str):
            return False
        pending += [(child, node["key"], False) for child in children]
    return True


def _client(url: str, settings: EtcdSettings) -> Any:
    """python-etcd's client, which implements authentication and TLS."""
    parts = urllib.parse.urlsplit(url)
    cert: str | Tuple[str, str] = settings.etcd_cert_file
    if settings.etcd_cert_file and settings.etcd_key_file:
        cert = (settings.etcd_cert_file, settings.etcd_key_file)
    # The settings reject a URL without a host.
    host = parts.hostname or ""
    client = etcd.Client(
        host="[{0}]".format(host) if ":" in host else host,
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
    harden(client.http, url, settings)
    return client


def _utf8(text: str) -> str:
    """A string whose latin-1 bytes, which urllib3 sends, are the UTF-8 bytes that etcd reads."""
    return text.encode("utf-8").decode("latin-1")
