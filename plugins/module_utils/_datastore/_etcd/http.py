# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The urllib3 connections of both client libraries, with complete and bounded answers and the same TLS settings."""

from __future__ import annotations

import json
import ssl
from typing import Any, Dict

from ..._core.go_json import shallow
from .._http.complete import CompleteResponse
from .settings import EtcdSettings

try:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import HTTPError
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
