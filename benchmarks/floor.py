# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that could be spent: the same bytes to and from etcd over one kept-alive connection."""

from __future__ import annotations

import abc
import base64
import http.client
import json
import time

from . import fleet
from .module_utils.netsec_values import HOSTENDPOINTS_V3, request_v2, value_v3

HOSTS = "/v2/keys/calico/v1/host"
# etcd takes so many operations in a transaction.
_MOST_OPERATIONS = 128
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Raw(abc.ABC):
    """One connection to an etcd server; `read`, `create` and `delete` return the seconds that they took."""

    def __init__(self, server):
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def read(self):
        """One read of all endpoints, all JSON decoded."""
        start = time.perf_counter()
        for value in self.values():
            json.loads(value)
        return time.perf_counter() - start

    @abc.abstractmethod
    def values(self):
        """The values of all endpoints."""

    @abc.abstractmethod
    def create(self, count):
        """Compare-and-create, one request after another."""

    @abc.abstractmethod
    def delete(self):
        """Compare-and-delete of all endpoints, one request after another."""

    @abc.abstractmethod
    def clear(self):
        """Nothing is left of any host, so that the next round finds what the first one found."""

    def _request(self, method, path, body=None, headers=None):
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()


class RawV2(Raw):
    def values(self):
        return [leaf["value"] for leaf in self._leaves()]

    def create(self, count):
        writes = [request_v2(endpoint) for endpoint in fleet.endpoints(count)]
        start = time.perf_counter()
        for path, form in writes:
            if self._request("PUT", path, form, _FORM)[0] != 201:
                raise RuntimeError("%s could not be created" % path)
        return time.perf_counter() - start

    def delete(self):
        found = [(leaf["key"], leaf["modifiedIndex"]) for leaf in self._leaves()]
        start = time.perf_counter()
        for key, index in found:
            if self._request("DELETE", "/v2/keys%s?prevIndex=%d" % (key, index))[0] != 200:
                raise RuntimeError("%s could not be deleted" % key)
        return time.perf_counter() - start

    def clear(self):
        self._request("DELETE", HOSTS + "?recursive=true&dir=true")

    def _leaves(self):
        """etcd's records of all endpoints."""
        status, body = self._request("GET", HOSTS + "?recursive=true&quorum=true")
        pending = [json.loads(body)["node"]] if status == 200 else []
        found = []
        while pending:
            node = pending.pop()
            pending += node.get("nodes", [])
            if not node.get("dir"):
                found.append(node)
        return found


class RawV3(Raw):
    def values(self):
        return [base64.b64decode(kv["value"]) for kv in self._kvs()]

    def create(self, count):
        writes = [
            (_encoded(key), 0, {"request_put": {"key": _encoded(key), "value": _encoded(value)}})
            for key, value in map(value_v3, fleet.endpoints(count, datastore_type="etcdv3"))
        ]
        return self._transactions(writes)

    def delete(self):
        return self._transactions(
            [(kv["key"], kv["mod_revision"], {"request_delete_range": {"key": kv["key"]}}) for kv in self._kvs()]
        )

    def clear(self):
        prefix = HOSTENDPOINTS_V3
        self._post("deleterange", {"key": _encoded(prefix), "range_end": _encoded(prefix[:-1] + "0")})

    def _transactions(self, writes):
        """The seconds that they took, without the time to write the requests down."""
        requests = []
        for first in range(0, len(writes), _MOST_OPERATIONS):
            some = writes[first : first + _MOST_OPERATIONS]
            compare = [
                {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision}
                for key, revision, _operation in some
            ]
            success = [operation for _key, _revision, operation in some]
            requests.append(json.dumps({"compare": compare, "success": success}))
        start = time.perf_counter()
        for request in requests:
            if not self._post("txn", request).get("succeeded"):
                raise RuntimeError("a transaction was refused")
        return time.perf_counter() - start

    def _kvs(self):
        prefix = HOSTENDPOINTS_V3
        return self._post("range", {"key": _encoded(prefix), "range_end": _encoded(prefix[:-1] + "0")}).get("kvs", [])

    def _post(self, path, document):
        body = document if isinstance(document, str) else json.dumps(document)
        status, answer = self._request("POST", "/v3/kv/" + path, body, {"Content-Type": "application/json"})
        if status != 200:
            raise RuntimeError("%s: %d %s" % (path, status, answer[:200]))
        return json.loads(answer)


def _encoded(text):
    return base64.b64encode(text.encode()).decode()


RAW = {"etcdv2": RawV2, "etcdv3": RawV3}
