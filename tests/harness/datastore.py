# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd as Calico uses it, in either generation's form, without the collection's code. (datastore_kubernetes.py has
Calico on Kubernetes.)

What a test asks of it, both have. The test's names are in lower case, and each is the name of one endpoint only: on
etcdv3, the key has no node in it.
"""

from __future__ import annotations

import json
import re

from .etcd import range_of, text_of


class Datastore:
    """What all have; `server` is an EtcdServer, or a KubeApiServer.

    type: the module option datastore_type. name: the same, unless several datastores have one type.
    model: of Calico's v1 or v3.
    """

    type = ""
    name = ""
    model = "v3"
    # The name of a profile that allows everything, once it is stored.
    open_profile = "open"
    # Beneath these keys, on which rights are given, is all of Calico's, and the endpoints.
    everything = ""
    hostendpoints = ""
    # Says whether it may be written, and the values that say so.
    state_key = ""
    ready = locked = ""

    def __init__(self, server):
        self.server = server

    @property
    def url(self):
        return self.server.url

    @property
    def port(self):
        return self.server.port

    @property
    def client_context(self):
        return getattr(self.server, "client_context", None)

    def connection(self, *places):
        """The module options that lead to it: directly, or by these places, such as wires, that have a URL."""
        return {"datastore_type": self.type, "etcd_endpoints": [place.url for place in places or [self]]}

    def reset(self):
        """Running, awake, and as Calico leaves it when it starts for the first time."""
        self.server.reset()
        self.put(self.state_key, self.ready)

    def lock(self):
        self.put(self.state_key, self.locked)

    # What is stored. Keys are etcd's, values the text that is there.

    def key(self, node, name):
        raise NotImplementedError

    def status_keys(self, node):
        """The keys under which the node's Felix reports, and those that it has once reported under."""
        raise NotImplementedError

    def value(self, fields, labels=None, more=""):
        """What Calico's own client writes for an endpoint with these options, and more members of the JSON object."""
        raise NotImplementedError

    def malformed(self, fields):
        """A value in the place of this endpoint that Calico cannot read."""
        return "[]"

    def put_endpoint(self, fields, **more):
        self.put(self.key(fields["node"], fields["name"]), self.value(fields, **more))

    def put_all(self, tree):
        for key, value in tree.items():
            self.put(key, value)

    def tree_of(self, endpoints, labels=None):
        """{key: value} of endpoints that are given by their options, all of them with these labels."""
        return {self.key(each["node"], each["name"]): self.value(each, labels) for each in endpoints}

    def get(self, key):
        return self.stored(key).get(key)

    def user(self, name, password):
        """The module options of a user whom `add_user` has added."""
        return {"etcd_username": name, "etcd_password": password}

    # What goes over a wire.

    def operations(self, request):
        """[(operation, key)] of what a request writes, on the condition that nobody else has; [] for a read."""
        raise NotImplementedError

    def written(self, wire):
        return [operation for request in wire.requests for operation in self.operations(request)]

    def keys_read(self, wire):
        return [key for request in wire.requests for key in self.read_by(request)]

    def writing(self, *operations, key=None):
        """For a wire: whether a request writes, by one of these operations, to this key; nothing means any."""

        def writes(request):
            found = self.operations(request)
            return any((not operations or each in operations) and key in (None, place) for each, place in found)

        return writes

    def is_read(self, request):
        """For a wire: whether a request reads what is stored."""
        return bool(self.read_by(request))

    def reading(self, key):
        """For a wire: whether a request reads this key."""
        return lambda request: key in self.read_by(request)

    def read_by(self, request):
        """The keys and prefixes that a request reads."""
        raise NotImplementedError


class Etcdv2(Datastore):
    """Calico v1's data model in etcd's v2 API."""

    type = name = "etcdv2"
    model = "v1"
    everything = "/calico/v1"
    hostendpoints = "/calico/v1/host"
    state_key = "/calico/v1/Ready"
    ready, locked = "true", "false"
    no_quorum = json.dumps(
        {"errorCode": 300, "message": "Raft Internal Error", "cause": "etcdserver: no leader", "index": 4}
    )
    api = "v2 API"

    def key(self, node, name):
        return "%s/%s/endpoint/%s" % (self.hostendpoints, node, name.replace("%", "%25").replace("/", "%2f"))

    def status_keys(self, node):
        return ["/calico/felix/v1/host/%s/%s" % (node, name) for name in ("status", "last_reported_status")]

    def value(self, fields, labels=None, more=""):
        addresses = fields.get("expected_ips", [])
        value = {
            "name": fields.get("interface_name"),
            "expected_ipv4_addrs": [address for address in addresses if ":" not in address],
            "expected_ipv6_addrs": [address for address in addresses if ":" in address],
            "labels": _labels(fields, labels),
            "profile_ids": fields.get("profiles"),
        }
        return _json(_filled(value), more)

    def put(self, key, value):
        self.server.put(key, value)

    def delete(self, key):
        self.server.delete(key)

    def stored(self, prefix=None):
        """{key: value} of all endpoints, or of all beneath a key."""
        return self.server.tree(prefix or self.hostendpoints)

    def revision(self):
        """A number that every write makes one more."""
        return json.loads(self.server.request("GET", "/v2/keys/nothing/here?quorum=true")[1])["index"]

    def operations(self, request):
        parameters = request.parameters
        if request.method == "DELETE":
            assert int(parameters["prevIndex"]) > 0 and "recursive" not in parameters and "dir" not in parameters
            return [("delete", request.key)]
        if request.method == "PUT" and "prevExist" in parameters:
            assert parameters["prevExist"] == "false"
            return [("create", request.key)]
        if request.method == "PUT":
            assert int(parameters["prevIndex"]) > 0
            return [("update", request.key)]
        assert request.method == "GET", request
        return []

    def read_by(self, request):
        return [request.key] if request.method == "GET" else []

    def enable_auth(self, password):
        self.server.enable_auth(password)

    def add_user(self, name, password, read=(), write=()):
        """A user with rights on all beneath these keys."""
        self.server.add_user(name, password, [key + "/*" for key in read], [key + "/*" for key in write])


class Etcdv3(Datastore):
    """Calico v3's data model in etcd's v3 API. Values are as if each endpoint had got the same uid and time."""

    type = name = "etcdv3"
    everything = "/calico/resources/v3"
    hostendpoints = "/calico/resources/v3/projectcalico.org/hostendpoints"
    state_key = "/calico/resources/v3/projectcalico.org/clusterinformations/default"
    ready, locked = (
        '{"kind":"ClusterInformation","spec":{"datastoreReady":%s}}' % state for state in ("true", "false")
    )
    no_quorum = json.dumps({"error": "etcdserver: no leader", "message": "etcdserver: no leader", "code": 14})
    api = "v3 API"

    UID = '"uid":"11111111-2222-4333-8444-555555555555","creationTimestamp":"2020-01-02T03:04:05Z"'
    _NEW_UID = re.compile(
        '"uid":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",'
        r'"creationTimestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"'
    )

    def key(self, node, name):
        return "%s/%s" % (self.hostendpoints, name)

    def status_keys(self, node):
        # Of a region, of none, and of Calico before v3.6.
        places = ["v2/no-region", "v2/region-Europe", "v1"]
        names = ["status", "last_reported_status"]
        return ["/calico/felix/%s/host/%s/%s" % (place, node, name) for place in places for name in names]

    def value(self, fields, labels=None, more=""):
        metadata = {"name": fields["name"], "uid": "UID", "labels": _labels(fields, labels)}
        spec = {
            "node": fields["node"],
            "interfaceName": fields.get("interface_name"),
            "expectedIPs": fields.get("expected_ips"),
            "profiles": fields.get("profiles"),
        }
        document = {"kind": "HostEndpoint", "apiVersion": "projectcalico.org/v3"}
        text = _json(dict(document, metadata=_filled(metadata), spec=_filled(spec)), more)
        return text.replace('"uid":"UID"', self.UID)

    def put(self, key, value):
        self.server.put_v3(key, value)

    def delete(self, key):
        self.server.delete_v3(key)

    def stored(self, prefix=None):
        found = self.server.tree_v3(prefix or self.hostendpoints + "/")
        return {key: self._NEW_UID.sub(self.UID, value) for key, value in found.items()}

    def revision(self):
        return self.server.revision_v3()

    def operations(self, request):
        if not request.path.endswith("/kv/txn"):
            return []
        document = json.loads(request.body)
        revisions = {each["key"]: int(each["mod_revision"]) for each in document.get("compare", [])}
        assert all((each["target"], each["result"]) == ("MOD", "EQUAL") for each in document.get("compare", []))
        found = []
        for each in document["success"]:
            if "request_range" in each:
                assert not revisions
                continue
            ((kind, body),) = each.items()
            if kind == "request_put":
                operation = "update" if revisions[body["key"]] else "create"
            else:
                operation = "delete"
                assert kind == "request_delete_range" and revisions[body["key"]] and "range_end" not in body
            found.append((operation, text_of(body["key"])))
        return found

    def read_by(self, request):
        if "/kv/" not in request.path or self.operations(request):
            return []
        document = json.loads(request.body)
        ranges = [each["request_range"] for each in document.get("success", [])] or [document]
        return [text_of(each["key"]) for each in ranges]

    def enable_auth(self, password):
        self.server.enable_auth_v3(password)

    def add_user(self, name, password, read=(), write=()):
        for kind in ("user", "role"):
            # Maybe there is none yet.
            self.server.request("POST", "/v3/auth/%s/delete" % kind, json.dumps({"name": name, "role": name}))
        self.server.v3("auth/user/add", name=name, password=password)
        self.server.v3("auth/role/add", name=name)
        self.server.v3("auth/user/grant", user=name, role=name)
        for kind, keys in (("READ", read), ("WRITE", write)):
            for key in keys:
                permission = dict(range_of(key + "/"), permType="READWRITE" if key in read and key in write else kind)
                self.server.v3("auth/role/grant", name=name, perm=permission)


DATASTORES = {datastore.name: datastore for datastore in (Etcdv2, Etcdv3)}


def _labels(fields, labels):
    return dict(sorted(dict(fields.get("labels") or {}, **(labels or {})).items()))


def _filled(fields):
    return {key: part for key, part in fields.items() if part}


def _json(document, more):
    text = json.dumps(document, separators=(",", ":"))
    return text[:-1] + ("," if document and more else "") + more + "}"
