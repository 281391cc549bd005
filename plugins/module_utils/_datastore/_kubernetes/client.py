# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of a Kubernetes API server: lists, and writes with preconditions. Objects are raw JSON."""

from __future__ import annotations

import re
import threading
import time
import urllib.parse
from typing import Any, Callable, Collection, Dict, List, Mapping, TypeVar

from ..._core.errors import Conflict, DatastoreError, InvalidInput, get_option_name
from .._http.exchange import PendingAnswer
from .answers import PAUSE, ApiRequest, check_object, explain, get_list, get_pause, is_named_missing
from .settings import KubernetesSettings
from .transport import ApiAnswer, NoApiAnswer, Transport

# Objects in a page of a list. The aggregated API sends all objects at once.
PAGE = 1000
# Objects in the first page of a list that was begun before: the server works on it while the caller does other things.
LONG_PAGE = 2500
# How often a list is begun anew after the server has dropped its snapshot.
_LISTS = 5
# The server did not carry out the request.
_BUSY = (429,)
# The server, or one behind it, is restarting or overloaded. It may have carried out the request.
_UNAVAILABLE = (502, 503, 504)
_JSON = "application/json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_Item = TypeVar("_Item")
_STRICT = "?fieldValidation=Strict&fieldManager=netsec.calico"


class KindMissing(DatastoreError):
    """The cluster has no such kind of resource."""


class Unanswered(DatastoreError):
    """A write without an answer: it may have been carried out.

    `pause`: if the server is restarting or overloaded, seconds after which it may be ready.
    """

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class _Page:
    """A page of a list that is to be read, and the request for it, if that was sent or tried already."""

    def __init__(
        self, url: str, begun: PendingAnswer | NoApiAnswer | None = None, deadline: float | None = None
    ) -> None:
        self.url = url
        # When a request that failed must not be tried again.
        self.deadline = deadline
        self._begun = begun

    def take(self) -> PendingAnswer | None:
        """The request that was sent, once. Raises NoApiAnswer, once, if it could not be sent."""
        begun, self._begun = self._begun, None
        if isinstance(begun, NoApiAnswer):
            raise begun
        return begun

    def abandon(self) -> None:
        if isinstance(self._begun, PendingAnswer):
            self._begun.abandon()


class KubernetesClient:
    """One API server."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._transport = Transport(settings)
        # Requests run in several threads. How often the credentials were loaded again.
        self._lock = threading.Lock()
        self._reloads = 0
        # First pages, by path.
        self._begun: Dict[str, _Page] = {}

    def __str__(self) -> str:
        return self._transport.url

    # Discovery

    def list_groups(self) -> Collection[str]:
        """The names of the API groups that the server, or one behind it, serves."""
        found = self._read("/apis", ApiRequest("list", "/apis"))
        return {str(group.get("name")) for group in get_list(found, "groups")}

    def list_resources(self, api: str) -> Collection[str]:
        """The plural names of the resources of an API."""
        found = self._read("/apis/" + api, ApiRequest("list", "/apis/" + api))
        return {str(resource.get("name")) for resource in get_list(found, "resources")}

    # Objects. `api` is GROUP/VERSION, or "v1" for Kubernetes' own core; `plural` a resource such as hostendpoints.

    def get_object(self, api: str, plural: str, name: str) -> Dict[str, Any] | None:
        """An object; None when it does not exist. Raises DatastoreError when the server has no such kind."""
        request = ApiRequest("get", plural, api)
        answer = self._try(lambda: self._send("GET", _path(api, plural, name)), request)
        if is_named_missing(answer):
            return None
        return check_object(self._check(answer, request).document, name)

    def begin_list(self, api: str, plural: str) -> None:
        """Let the server begin to list objects, which the next list_objects of this kind reads."""
        path = _path(api, plural)
        if path not in self._begun:
            self._begun[path] = self._begin_page(path, LONG_PAGE, "", _JSON)

    def list_objects(self, api: str, plural: str, convert: Callable[[Dict[str, Any]], _Item]) -> List[_Item]:
        """All objects of a kind, converted, in one consistent state. Their conversion takes the server's time."""
        return self._list(api, plural, _JSON, lambda item: convert(check_object(item)))

    def list_names(self, api: str, plural: str) -> List[str]:
        """The names of all objects of a kind."""
        return self._list(
            api, plural, _METADATA_ONLY, lambda item: str(check_object(item, is_stored=False)["metadata"]["name"])
        )

    def create(self, api: str, plural: str, document: Mapping[str, Any], is_dry: bool = False) -> Mapping[str, Any]:
        """The created object. Raises Conflict when it exists, and Unanswered without an answer."""
        path = _path(api, plural) + _STRICT + ("&dryRun=All" if is_dry else "")
        found = self._write("POST", path, document, ApiRequest("create", plural, api)).document
        return check_object(found, document["metadata"]["name"], not is_dry)

    def update(self, api: str, plural: str, document: Mapping[str, Any], is_dry: bool = False) -> Mapping[str, Any]:
        """The updated object. The document has the resourceVersion and the uid that were read."""
        path = _path(api, plural, document["metadata"]["name"]) + _STRICT + ("&dryRun=All" if is_dry else "")
        found = self._write("PUT", path, document, ApiRequest("update", plural, api)).document
        return check_object(found, document["metadata"]["name"], not is_dry)

    def delete(
        self, api: str, plural: str, metadata: Mapping[str, Any], is_dry: bool = False
    ) -> Mapping[str, Any] | None:
        """Delete the object with this uid and resourceVersion.

        Returns None, or the object if it waits for its finalizers.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            # In the body: beside one, the server ignores the query, and deletes.
            **({"dryRun": ["All"]} if is_dry else {}),
        }
        path = _path(api, plural, metadata["name"])
        found = self._write("DELETE", path, options, ApiRequest("delete", plural, api)).document
        return check_object(found, metadata["name"], not is_dry) if found.get("kind") != "Status" else None

    # Requests

    def _list(self, api: str, plural: str, accept: str, convert: Callable[[Dict[str, Any]], _Item]) -> List[_Item]:
        request = ApiRequest("list", plural, api)
        for _attempt in range(_LISTS):
            found = self._read_pages(_path(api, plural), request, accept, convert)
            if found is not None:
                return found
        text = (
            "{0}: the list of {1} expired {2} times while it was being read; try again when the API server is less busy"
        )
        raise DatastoreError(text.format(self, plural, _LISTS))

    def _read_pages(
        self, path: str, request: ApiRequest, accept: str, convert: Callable[[Dict[str, Any]], _Item]
    ) -> List[_Item] | None:
        """The objects of all pages of a list; None when the server no longer has its snapshot."""
        items: List[_Item] = []
        token = ""
        page = self._begun.pop(path, None) or _Page(_build_page_url(path, PAGE, ""))
        while True:
            answer = self._read_page(page, accept, request)
            if answer.status == 410:
                # The token that it offers goes on in another state.
                return None
            # The server works on the next page while this one is decoded and converted.
            following = self._begin_page(path, PAGE, _guess_token(answer), accept)
            try:
                document = self._check(answer, request).document
                items += map(convert, get_list(document, "items"))
                before, token = token, (document.get("metadata") or {}).get("continue") or ""
                if not token:
                    return items
                if token == before:
                    raise DatastoreError("{0}: the list of {1} does not end".format(self, request.resource))
                page = _Page(_build_page_url(path, PAGE, token))
                if following.url == page.url:
                    page, following = following, page
            finally:
                following.abandon()

    def _begin_page(self, path: str, limit: int, token: str | None, accept: str) -> _Page:
        if token is None:
            return _Page("")
        url, deadline = _build_page_url(path, limit, token), time.monotonic() + self._settings.timeout
        try:
            return _Page(url, self._transport.begin(url, accept))
        except NoApiAnswer as exc:
            return _Page(url, exc, deadline)

    def _read_page(self, page: _Page, accept: str, request: ApiRequest) -> ApiAnswer:
        def send() -> ApiAnswer:
            begun = page.take()
            if begun:
                answer = self._transport.finish(begun)
                if answer.status != 401:
                    return answer
            return self._send("GET", page.url, accept=accept)

        return self._try(send, request, page.deadline)

    def _read(self, path: str, request: ApiRequest) -> Dict[str, Any]:
        return self._check(self._try(lambda: self._send("GET", path), request), request).document

    def _write(self, method: str, path: str, document: Mapping[str, Any], request: ApiRequest) -> ApiAnswer:
        """Raises Conflict, Unanswered, or another DatastoreError."""
        deadline = time.monotonic() + self._settings.timeout
        while True:
            try:
                answer = self._send(method, path, document)
            except NoApiAnswer as exc:
                if exc.maybe_done:
                    raise Unanswered("{0} did not answer: {1}".format(self, exc.reason)) from exc
                if exc.is_final or not wait(deadline, PAUSE):
                    raise self._unreachable(exc) from exc
                continue
            if answer.status in _BUSY and wait(deadline, get_pause(answer)):
                continue
            if answer.status in _UNAVAILABLE or answer.status == 500:
                # etcd, a webhook or an aggregated server behind it may have carried it out.
                pause = get_pause(answer) if answer.status in _UNAVAILABLE else None
                raise Unanswered("{0}: {1}".format(self, explain(answer, request)), pause)
            if answer.status == 409 or is_named_missing(answer):
                raise Conflict(explain(answer, request))
            return self._check(answer, request)

    def _try(self, send: Any, request: ApiRequest, deadline: float | None = None) -> ApiAnswer:
        """The answer to a request that changes nothing, tried again until the timeout while the server is not ready."""
        deadline = deadline or time.monotonic() + self._settings.timeout
        while True:
            try:
                answer: ApiAnswer = send()
            except NoApiAnswer as exc:
                if exc.is_final or not wait(deadline, PAUSE):
                    raise self._unreachable(exc) from exc
                continue
            if answer.status not in (*_BUSY, *_UNAVAILABLE) or not wait(deadline, get_pause(answer)):
                return answer

    def _send(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, accept: str = _JSON
    ) -> ApiAnswer:
        reloads = self._reloads
        answer = self._transport.request(method, path, document, accept)
        if answer.status != 401:
            return answer
        # A token may have expired since it was loaded.
        with self._lock:
            if self._reloads == reloads:
                try:
                    self._transport.reload()
                except InvalidInput as exc:
                    text = "the API server rejects the credentials (401), and they cannot be loaded again: {0}"
                    raise DatastoreError(text.format(exc)) from exc
                self._reloads += 1
        return self._transport.request(method, path, document, accept)

    def _check(self, answer: ApiAnswer, request: ApiRequest) -> ApiAnswer:
        if 200 <= answer.status < 300:
            if not answer.document:
                text = "{0}: the answer is not a JSON object; is it a Kubernetes API server?"
                raise DatastoreError(text.format(self))
            return answer
        is_kind = answer.status == 404 and request.api and not is_named_missing(answer)
        raise (KindMissing if is_kind else DatastoreError)("{0}: {1}".format(self, explain(answer, request)))

    def _unreachable(self, exc: NoApiAnswer) -> DatastoreError:
        option = "host" if self._settings.host else "kubeconfig"
        text = "cannot reach the API server {0} ({1} from: {2}): {3}"
        source = self._settings.get_source(option)
        return DatastoreError(text.format(self, get_option_name(option), source, exc.reason))


def _build_page_url(path: str, limit: int, token: str) -> str:
    query = {"limit": limit, **({"continue": token} if token else {})}
    return "{0}?{1}".format(path, urllib.parse.urlencode(query))


def _guess_token(answer: ApiAnswer) -> str | None:
    """What the page says about the next one, most likely, without decoding it; None if that is unclear.

    The metadata of a list of custom resources are its end.
    """
    found = _TOKEN.search(answer.body, max(len(answer.body) - _END, 0))
    return found.group(1).decode("ascii") if found else None


_TOKEN = re.compile(rb'"metadata":\{"continue":"([A-Za-z0-9_=-]+)"[^{}]*\}\}\s*\Z')
# Maximum number of bytes at the end of a page that are searched.
_END = 4096


def _path(api: str, plural: str, name: str = "") -> str:
    root = "/api/" if "/" not in api else "/apis/"
    return "{0}{1}/{2}{3}".format(root, api, plural, "/" + urllib.parse.quote(name, safe="") if name else "")


def wait(deadline: float, seconds: float) -> bool:
    """Wait before another try; false when that would be too late."""
    if time.monotonic() + seconds > deadline:
        return False
    time.sleep(seconds)
    return True
