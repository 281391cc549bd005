# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a Kubernetes API server over the connections of the library kubernetes."""

from __future__ import annotations

import dataclasses
import functools
import json
import ssl
from typing import Any, Dict, Mapping

from ..certificates import CertificateOptions, check_certificates
from .cluster_config import IMPORT_ERROR, load_configuration
from .settings import KubernetesSettings

try:
    from kubernetes.client.rest import RESTClientObject
    from urllib3 import Timeout, make_headers
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError, SSLError
    from urllib3.response import HTTPHeaderDict
    from urllib3.util.ssl_ import create_urllib3_context
except ImportError:
    # load_configuration reports the missing library.
    HTTPError = NewConnectionError = ConnectTimeoutError = ProxyError = SSLError = OSError

CERTIFICATES = CertificateOptions("ca_cert", "client_cert", "client_key")
# Kept-alive connections, and so the maximum number of pending writes.
CONNECTIONS = 4
USER_AGENT = "netsec.calico"
# Maximum number of bytes of an answer. A list of 100,000 endpoints comes in pages of 1 MB.
MOST_BYTES = 256 * 1024 * 1024


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
    """No complete answer. With `maybe_done`, the server may have carried out the request."""

    def __init__(self, reason: str, maybe_done: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_done = maybe_done


class Transport:
    """The connections to one API server, with the user's credentials."""

    def __init__(self, settings: KubernetesSettings) -> None:
        if IMPORT_ERROR is None:
            check_certificates(settings, CERTIFICATES)
        self._settings = settings
        self.reload()

    def reload(self) -> None:
        """Load the configuration again: a token in a file may be new, and an exec plugin may give another one."""
        configuration = load_configuration(self._settings)
        configuration.connection_pool_maxsize = CONNECTIONS
        self._configuration = configuration
        self._manager = RESTClientObject(configuration).pool_manager
        if configuration.verify_ssl and configuration.ssl_ca_cert:
            self._manager.connection_pool_kw["ssl_context"] = _create_context()

    @property
    def url(self) -> str:
        """The server's URL."""
        url: str = self._configuration.host
        return url

    def request(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, accept: str = "application/json"
    ) -> ApiAnswer:
        """One request. `path` has the query, if any. Raises NoApiAnswer; it never follows a redirection."""
        headers = HTTPHeaderDict(self._headers(), Accept=accept)
        for group in self._settings.impersonate_groups:
            # The API server wants a header for each.
            headers.add("Impersonate-Group", group)
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document, separators=(",", ":")).encode("utf-8", "replace")
        seconds = self._settings.timeout
        try:
            response = self._manager.request(
                method,
                self.url + path,
                body=body,
                headers=headers,
                timeout=Timeout(connect=seconds, read=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
                enforce_content_length=True,
            )
            content = response.read(MOST_BYTES + 1)
            response.release_conn()
        except (HTTPError, OSError, ValueError) as exc:
            raise NoApiAnswer(_get_reason(exc), not isinstance(exc, _NOT_SENT)) from exc
        if len(content) > MOST_BYTES:
            response.close()
            raise NoApiAnswer("the answer is longer than {0} MiB".format(MOST_BYTES // 1024 // 1024), True)
        answer = ApiAnswer(response.status, response.headers, content)
        if not _LENGTHS.intersection(map(str.lower, response.headers)) and not answer.document:
            # http.client accepts the end of the connection as the end of the headers.
            raise NoApiAnswer("the answer is cut", True)
        return answer

    def _headers(self) -> Dict[str, str]:
        """The headers that tell who asks."""
        settings = self._settings
        headers = {"User-Agent": USER_AGENT}
        for setting in self._configuration.auth_settings().values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        if settings.username:
            basic = "{0}:{1}".format(settings.username, settings.password)
            headers.update(make_headers(basic_auth=basic))
        if settings.impersonate_user:
            headers["Impersonate-User"] = settings.impersonate_user
        return headers


_LENGTHS = {"content-length", "transfer-encoding"}
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError)


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
