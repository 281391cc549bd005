# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that could be spent: the same bytes to and from etcd's v2 API over one kept-alive connection."""

from __future__ import annotations

import http.client
import json
import time

from . import fleet

HOSTS = "/v2/keys/calico/v1/host"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Raw:
    """One connection to an etcd server; `read`, `create` and `delete` return the seconds that they took."""

    def __init__(self, server):
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def read(self):
        """One recursive read of all hosts, all JSON decoded."""
        start = time.perf_counter()
        for leaf in self.leaves():
            json.loads(leaf["value"])
        return time.perf_counter() - start

    def create(self, count):
        """Compare-and-create, one after another."""
        writes = fleet.raw_writes(count)
        start = time.perf_counter()
        for path, form in writes:
            if self._request("PUT", path, form)[0] != 201:
                raise RuntimeError("%s could not be created" % path)
        return time.perf_counter() - start

    def delete(self):
        """Compare-and-delete of all endpoints, one after another."""
        found = [(leaf["key"], leaf["modifiedIndex"]) for leaf in self.leaves()]
        start = time.perf_counter()
        for key, index in found:
            if self._request("DELETE", "/v2/keys%s?prevIndex=%d" % (key, index))[0] != 200:
                raise RuntimeError("%s could not be deleted" % key)
        return time.perf_counter() - start

    def leaves(self):
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

    def clear(self):
        """Nothing is left of any host, so that the next round finds what the first one found."""
        self._request("DELETE", HOSTS + "?recursive=true&dir=true")

    def _request(self, method, path, body=None):
        self._connection.request(method, path, body, _FORM if body else {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()
