# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd in this process, for tests that ask so often that a real server would take minutes.

Keys and values are bytes, as in etcd, and no server checks them. The answers are those of a real etcd 3.5, which
test_harness.py compares; they go through the collection's own readers of answers.
"""

from __future__ import annotations

import base64
import contextlib
import json
from unittest import mock

from .module import collections_path

_UTILS = "ansible_collections.netsec.calico.plugins.module_utils._datastore."


class MemoryEtcd:
    """A store that both APIs show. Inside `serving()`, every module that is run reads and writes it."""

    url = "http://127.0.0.1:2379"

    def __init__(self):
        self._stored = {}
        self._revision = 1

    def reset(self):
        self._stored.clear()

    def put(self, key, value):
        self._revision += 1
        self._stored[_bytes(key)] = (_bytes(value), self._revision)

    def delete(self, key):
        del self._stored[_bytes(key)]

    def tree(self):
        """{key: value} of all that is stored, in bytes."""
        return {key: value for key, (value, _revision) in self._stored.items()}

    @contextlib.contextmanager
    def serving(self):
        collections_path()
        with mock.patch(_UTILS + "_etcd.v2_client.EtcdV2Server", self._member_v2()):
            with mock.patch(_UTILS + "_etcd.v3_client.EtcdV3Server", self._member_v3()):
                yield self

    def _member_v2(self):
        from ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.v2_server import EtcdV2Server

        memory = self

        class MemberV2(EtcdV2Server):
            def send(self, request):
                return True

            def answer(self, request):
                status, data = memory.v2(request.method, request.key, request.params, request.value)
                return self._content(request, status, data, True)

        return MemberV2

    def _member_v3(self):
        from ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.v3_server import EtcdV3Server

        memory = self

        class MemberV3(EtcdV3Server):
            def _post(self, path, document):
                return self._checked(json.loads(json.dumps(memory.v3(path, document))))

        return MemberV3

    # The v2 API: status and body

    def v2(self, method, key, params, value=None):
        found, revision = self._stored.get(_bytes(key), (None, 0))
        if any(_parent(_bytes(key), depth) in self._stored for depth in range(1, key.count("/"))):
            return _failed(400, 104, key)
        if method == "GET":
            node = self._node(_bytes(key), "recursive" in params)
            return _failed(404, 100, key) if node is None else _done(node)
        if params.get("prevExist") == "false" and found is not None:
            return _failed(412, 105, key)
        if "prevIndex" in params:
            if found is None:
                return _failed(404, 100, key)
            if params["prevIndex"] != str(revision):
                return _failed(412, 101, key)
        if method == "DELETE":
            self.delete(key)
            return _done({"key": key})
        self.put(key, value)
        return _done(self._node(_bytes(key), False))

    def _node(self, key, is_recursive):
        """A key with what is beneath it, as a real etcd would have it; what starts with an underscore is hidden."""
        if key in self._stored:
            value, revision = self._stored[key]
            return _leaf(key, value, revision)
        root = {"key": _text(key), "dir": True}
        directories = {key: root}
        for each in sorted(self._stored):
            if not each.startswith(key.rstrip(b"/") + b"/"):
                continue
            names = each[len(key.rstrip(b"/")) + 1 :].split(b"/")
            if any(name.startswith(b"_") for name in names):
                continue
            parent, place = root, key.rstrip(b"/")
            for name in names[:-1]:
                place += b"/" + name
                if place not in directories:
                    directories[place] = {"key": _text(place), "dir": True, "modifiedIndex": 1, "createdIndex": 1}
                    parent.setdefault("nodes", []).append(directories[place])
                parent = directories[place]
            value, revision = self._stored[each]
            parent.setdefault("nodes", []).append(_leaf(each, value, revision))
        if "nodes" not in root and key != b"/":
            return None
        if not is_recursive:
            for node in root.get("nodes", ()):
                node.pop("nodes", None)
        return root

    # The v3 API through its JSON gateway: the answer, decoded

    def v3(self, path, document):
        header = {"cluster_id": "1", "member_id": "1", "revision": str(self._revision), "raft_term": "2"}
        if path == "auth/authenticate":
            return {"header": header, "token": "any"}
        if path == "kv/range":
            return dict(self._range(document), header=header)
        assert path == "kv/txn", path
        for compare in document.get("compare", ()):
            assert (compare["target"], compare["result"]) == ("MOD", "EQUAL")
            if self._stored.get(base64.b64decode(compare["key"]), ("", 0))[1] != compare["mod_revision"]:
                return {"header": header}
        responses = [self._operation(*operation) for each in document["success"] for operation in each.items()]
        return {"header": header, "succeeded": True, "responses": responses}

    def _operation(self, name, body):
        if name == "request_range":
            return {"response_range": self._range(body)}
        key = base64.b64decode(body["key"])
        if name == "request_put":
            self.put(key, base64.b64decode(body["value"]))
        else:
            self.delete(key)
        return {"response_" + name.partition("_")[2]: {}}

    def _range(self, document):
        first = base64.b64decode(document["key"])
        last = base64.b64decode(document.get("range_end", ""))
        keys = [key for key in sorted(self._stored) if (first <= key < last if last else key == first)]
        limit = document.get("limit") or len(keys)
        kvs = []
        for key in keys[:limit]:
            value, revision = self._stored[key]
            numbers = {"create_revision": str(revision), "mod_revision": str(revision), "version": "1"}
            kvs.append(dict(numbers, key=base64.b64encode(key).decode()))
            if value:
                kvs[-1]["value"] = base64.b64encode(value).decode()
        found = {"count": str(len(keys))} if keys else {}
        found.update({"kvs": kvs} if kvs else {}, **({"more": True} if len(keys) > limit else {}))
        return found


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _text(data):
    """As Go writes bytes into JSON."""
    return data.decode("utf-8", "replace")


def _parent(key, depth):
    return b"/".join(key.split(b"/")[: depth + 1])


def _leaf(key, value, revision):
    return {"key": _text(key), "value": _text(value), "modifiedIndex": revision, "createdIndex": revision}


def _done(node):
    return 200, json.dumps({"action": "get", "node": node}).encode()


def _failed(status, code, key):
    texts = {100: "Key not found", 101: "Compare failed", 104: "Not a directory", 105: "Key already exists"}
    return status, json.dumps({"errorCode": code, "message": texts[code], "cause": key, "index": 1}).encode()
