# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One etcd server, asked through etcd3gw: what it answers, and in plain words why it does not."""

from __future__ import annotations

import contextlib
import json
import traceback
import urllib.parse
from typing import Any, Dict, Iterator

from .._connection import Settings
from .._errors import DatastoreError, MissingLibrary
from ._endpoint import Endpoint, NoAnswer, alarm

try:
    import etcd3gw
    import requests
    from etcd3gw import exceptions
except ImportError:
    requests = None
    etcd3gw = None
    exceptions = None
    IMPORT_ERROR = traceback.format_exc()
else:
    IMPORT_ERROR = None

# gRPC's codes, as the gateway repeats them.
DENIED, UNAUTHENTICATED = 7, 16
# Another member may do better.
_NO_QUORUM = (4, 14)
_NO_TOKEN = "user name is empty"


class EtcdError(Exception):
    """etcd's own answer to a request that it did not carry out."""

    def __init__(self, code: int, cause: str) -> None:
        super().__init__(cause)
        self.code = code


class Expired(OSError):
    """The time for a request is over."""


class Member(Endpoint):
    """One endpoint, over one kept-alive connection."""

    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(url, settings)
        if etcd3gw is None:
            raise MissingLibrary("etcd3gw", IMPORT_ERROR)
        parts = urllib.parse.urlsplit(url)
        self._client = etcd3gw.Etcd3Client(
            host=parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            timeout=settings.timeout,
            session=_session(settings),
        )

    def answer(self, path: str, document: Dict[str, Any]) -> Dict[str, Any]:
        """etcd's answer to a request of the v3 API.

        Raises NoAnswer, EtcdError, or DatastoreError for an answer that is not of etcd's v3 API.
        """
        if self._settings.etcd_username and "Authorization" not in self._client.session.headers:
            self._authenticate()
        try:
            return self._post(path, document)
        except EtcdError as exc:
            if exc.code != UNAUTHENTICATED or not self._settings.etcd_username:
                raise
        # The token has expired, or another member does not know it.
        self._authenticate()
        return self._post(path, document)

    def _authenticate(self) -> None:
        headers = self._client.session.headers
        headers.pop("Authorization", None)
        user = {"name": self._settings.etcd_username, "password": self._settings.etcd_password}
        try:
            headers["Authorization"] = self._post("auth/authenticate", user)["token"]
        except EtcdError as exc:
            if "authentication is not enabled" not in str(exc):
                raise EtcdError(UNAUTHENTICATED, str(exc)) from exc
            # Then etcd wants no token.
            headers["Authorization"] = ""

    def _post(self, path: str, document: Dict[str, Any]) -> Dict[str, Any]:
        self._resolve()
        self._expired = False
        with self._deadline():
            content = self._client.post(self._client.get_url(path), json=document)
        if not isinstance(content, dict) or not ("header" in content or "token" in content):
            raise DatastoreError(self._not_v3("it answered {0}".format(str(content)[:120])))
        self._has_answered = True
        return content

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Raise NoAnswer for what goes wrong, or is not done within the timeout."""
        try:
            with alarm(self._expire, self._settings.timeout):
                yield
        except (Expired, exceptions.ConnectionTimeoutError, exceptions.ConnectionFailedError) as exc:
            # The connection may be in any state.
            self._client.session.close()
            if getattr(exc, "detail_text", None) and exc.detail_text.startswith("{"):
                raise self._failure(exc) from exc
            raise self._no_answer(_cause(exc)) from exc
        except exceptions.ApiVersionDiscoveryFailedError as exc:
            raise DatastoreError(self._not_v3("it told no version")) from exc
        except exceptions.Etcd3Exception as exc:
            raise self._failure(exc) from exc
        except (requests.exceptions.RequestException, OSError, ValueError) as exc:
            self._client.session.close()
            raise self._no_answer(_cause(exc)) from exc

    def _expire(self) -> None:
        """Requests' timeouts begin anew with each byte, which may be one a second."""
        self._expired = True
        raise Expired("no answer in time")

    def _failure(self, exc: Any) -> Exception:
        try:
            content = json.loads(exc.detail_text)
            code, text = content["code"], str(content.get("message") or content.get("error"))
        except (ValueError, KeyError, TypeError):
            text = " ".join(str(exc.detail_text).split())[:120]
            if isinstance(exc, exceptions.InternalServerError):
                return NoAnswer(text, True)
            return DatastoreError(self._not_v3(text))
        if code in _NO_QUORUM:
            return NoAnswer(text, True)
        self._has_answered = True
        if _NO_TOKEN in text or "invalid auth token" in text:
            code = UNAUTHENTICATED
        elif "permission denied" in text:
            code = DENIED
        return EtcdError(code, text)

    def _not_v3(self, text: str) -> str:
        if "HTTP request to an HTTPS server" in text:
            return "{0} wants TLS: its URL has to start with https:// ({1})".format(self.url, text)
        return (
            "{0} does not speak etcd's v3 API with its JSON gateway ({1}); is etcd_endpoints (from: {2}) right? It has "
            "to be a client URL of etcd 3.3 or later, without --enable-grpc-gateway=false. Calico v1 keeps its data in "
            "etcd's v2 API: datastore_type etcdv2".format(
                self.url, text, self._settings.sources.get("etcd_endpoints", "default")
            )
        )


def _session(settings: Settings) -> Any:
    session = requests.Session()
    # Else proxies, .netrc and REQUESTS_CA_BUNDLE of the environment would count, the last one more than ours.
    session.trust_env = False
    session.verify = settings.etcd_ca_cert_file or True
    if settings.etcd_cert_file:
        session.cert = (settings.etcd_cert_file, settings.etcd_key_file or settings.etcd_cert_file)
    return session


def _cause(exc: BaseException) -> BaseException:
    """The exception of urllib3 or of the system that requests and etcd3gw have wrapped."""
    while True:
        if isinstance(exc, exceptions.Etcd3Exception) and exc.__context__ is not None:
            exc = exc.__context__
            continue
        inner = getattr(exc, "reason", None) or (exc.args[0] if exc.args else None)
        if not isinstance(inner, BaseException):
            return exc
        exc = inner
