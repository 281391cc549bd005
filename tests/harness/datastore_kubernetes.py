# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes cluster as Calico uses it, with the custom resources of either API, without the collection's code.

Keys are written as kubectl takes them: RESOURCE.GROUP/NAME, with NAMESPACE/ before the name where a kind has one, and
nodes/NAME. What is stored is JSON text of one form: members in order, without what the server adds. Keys of etcdv3 are
taken for the same object here.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs, unquote, urlsplit

from .datastore import Datastore, Etcdv3
from .kubernetes import GROUPS, KubernetesError, definitions, path_of

# Of the metadata, what the server adds.
_SERVERS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
# What Calico reads of Kubernetes itself.
_OF_KUBERNETES = ("nodes", "namespaces", "serviceaccounts", "pods")
# Where etcdv3 has what is here objects of its own.
_OF_ETCD = Etcdv3.everything + "/projectcalico.org/"
# What is beside the options of an endpoint: the server would drop a member of the object that it does not know.
_MORE = "example.com/more"
_METADATA = "projectcalico.org/metadata"
# An endpoint must have an interface or addresses.
_GOVERNS = {"interface_name": "eth0"}
_AUDITOR = ("get", "list")
_EDITOR = ("create", "update", "patch", "delete")


def _canonical(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _ready_and_locked(api):
    """A ClusterInformation that says that the datastore may be written, and one that says that it may not."""
    document = {"apiVersion": api, "kind": "ClusterInformation", "metadata": {"name": "default"}}
    spec = {"calicoVersion": "v3.32.1", "clusterType": "k8s"}
    return (_canonical(dict(document, spec=dict(spec, datastoreReady=is_ready))) for is_ready in (True, False))


class _Kubernetes(Datastore):
    """What both have; `server` is a KubeApiServer."""

    type = "kubernetes"
    # It is built in: no profile is stored.
    open_profile = "projectcalico-default-allow"
    # The version of Calico's API; the rest follows from it.
    version = ""

    def __init_subclass__(cls):
        cls.name = "kubernetes-" + cls.version
        cls.group = cls.everything = GROUPS[cls.version]
        cls.api = "%s/%s" % (cls.group, cls.version)
        cls.hostendpoints = "hostendpoints." + cls.group
        cls.state_key = "clusterinformations.%s/default" % cls.group
        cls.ready, cls.locked = _ready_and_locked(cls.api)

    no_quorum = json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "etcdserver: request timed out",
            "code": 500,
        }
    )

    def connection(self, *places, token=None):
        """The same, with the administrator's token, or another one."""
        ((url,),) = [[place.url for place in places or [self]]]
        ca = {"ca_cert": self.server.ca} if url.startswith("https:") else {}
        token = self.server.token if token is None else token
        return {"datastore_type": self.type, "host": url, "api_key": token, "calico_api_group": self.api, **ca}

    # What is stored

    def key(self, node, name):
        return "%s/%s" % (self.hostendpoints, name)

    def status_keys(self, node):
        """Felix reports nothing to Kubernetes."""
        return []

    def value(self, fields, labels=None, more=""):
        """more: a text that nobody here looks into, in an annotation."""
        metadata = {"name": fields["name"], "labels": dict(fields.get("labels") or {}, **(labels or {}))}
        return self._text(fields, dict(metadata, annotations={_MORE: more} if more else {}))

    def _text(self, fields, metadata):
        spec = {
            "node": fields["node"],
            "interfaceName": fields.get("interface_name"),
            "expectedIPs": fields.get("expected_ips"),
            "profiles": fields.get("profiles"),
        }
        metadata, spec = ({name: part for name, part in each.items() if part} for each in (metadata, spec))
        document = {"apiVersion": self.api, "kind": "HostEndpoint", "metadata": metadata, "spec": spec}
        return _canonical(document)

    def put(self, key, value):
        """Store an object: JSON text, or a document. Of an older one, only the name is left.

        What it is and how it is called may be missing, and what the server sets does not count.
        """
        is_of_etcd, key = key.startswith(_OF_ETCD), self._own(key)
        document = json.loads(value) if isinstance(value, str) else value
        if is_of_etcd:
            document = dict(document, metadata=dict(document.get("metadata", {}), name=key.rpartition("/")[2]))
        document = _to_node(document, key) if key.startswith("nodes/") else self._completed(document, key)
        place, _slash, name = _path(key).rpartition("/")
        status, _headers, answer = self.server.request("POST", place, document)
        if status == 409:
            stored = self.server.must("GET", _path(key))
            version = {"resourceVersion": stored["metadata"]["resourceVersion"]}
            document = dict(document, metadata=dict(document["metadata"], **version))
            status, _headers, answer = self.server.request("PUT", _path(key), document)
        if status >= 300:
            raise KubernetesError("%s: %s" % (key, answer))

    def _own(self, key):
        """The key here of what has this key, or one of etcdv3, where a policy's name may have Calico's old prefix."""
        resource, _slash, name = key[len(_OF_ETCD) :].partition("/")
        if not key.startswith(_OF_ETCD):
            return key
        if resource.endswith("policies"):
            name = name[len("default.") :] if name.startswith("default.") else name
        kind = resource if resource in _OF_KUBERNETES else "%s.%s" % (resource, self.group)
        return "/".join(filter(None, [kind, name]))

    def _completed(self, document, key):
        kind = key.partition("/")[0]
        kinds = {each["metadata"]["name"]: each["spec"]["names"]["kind"] for each in definitions(self.version)}
        given = {name: value for name, value in document.get("metadata", {}).items() if name not in _SERVERS}
        metadata = dict({"name": key.rpartition("/")[2]}, **given)
        return dict(document, apiVersion=self.api, kind=kinds[kind], metadata=metadata)

    def delete(self, key):
        key = self._own(key)
        status, _headers, answer = self.server.request("DELETE", _path(key))
        if status not in (200, 404):
            raise KubernetesError("%s: %s" % (key, answer))

    def stored(self, prefix=None):
        """{key: text} of all endpoints, of all objects of a kind (hostendpoints.GROUP, nodes), of one, or of all."""
        if prefix == self.everything:
            kinds = [each["metadata"]["name"] for each in definitions(self.version)]
            return {key: text for kind in kinds for key, text in self.stored(kind).items()}
        key = self._own(prefix or self.hostendpoints)
        status, _headers, answer = self.server.request("GET", _path(key))
        if status == 404 and "/" in key:
            return {}
        if status != 200:
            raise KubernetesError("%s: %s" % (key, answer))
        documents = answer["items"] if "items" in answer else [answer]
        resource = key.partition("/")[0]
        return {_key_of(resource, document): _canonical(_without_servers(document)) for document in documents}

    def revision(self):
        """Every write to the cluster makes it one more. The server writes nothing by itself."""
        return self.server.etcd.revision_v3()

    # What goes over a wire

    def operations(self, request):
        place = _place_of(request)
        if not place or request.method in ("GET", "HEAD"):
            return []
        key, parameters = place
        document = json.loads(request.body) if request.body else {}
        if "All" in [*parameters.get("dryRun", []), *(document.get("dryRun") or [])]:
            # Beside a body that says nothing of it, a server deletes.
            assert request.method != "DELETE" or document.get("dryRun") == ["All"]
            return []
        if request.method == "POST":
            return [("create", "%s/%s" % (key, document["metadata"]["name"]))]
        if request.method == "DELETE":
            assert set(document["preconditions"]) == {"resourceVersion", "uid"}, document
            return [("delete", key)]
        assert request.method in ("PUT", "PATCH"), request
        assert document["metadata"]["resourceVersion"], document
        return [("update", key)]

    def read_by(self, request):
        place = _place_of(request)
        return [place[0]] if place and request.method == "GET" else []

    # Who may

    def enable_auth(self, password):
        """It always asks for a token."""

    def add_user(self, name, password="", read=(), write=()):
        """The token of a user (of kubernetes.USERS) with rights on these keys, or on all of a group or kind."""
        rules = [_rule(self._own(key), _AUDITOR) for key in read] + [_rule(self._own(key), _EDITOR) for key in write]
        if self.everything in read:
            rules.append({"apiGroups": [""], "resources": list(_OF_KUBERNETES), "verbs": list(_AUDITOR)})
        self.server.add_role(name, rules)
        return self.server.tokens[name]

    def user(self, name, password):
        return {"api_key": self.server.tokens[name]}


class KubernetesV1(_Kubernetes):
    """The custom resources of crd.projectcalico.org/v1, which Calico's clients show as projectcalico.org/v3."""

    version = "v1"

    def malformed(self, fields):
        """With an annotation that is not JSON."""
        return self._text(_GOVERNS | fields, {"name": fields["name"], "annotations": {_METADATA: "{"}})

    def value_of_calico(self, fields, labels=None):
        """What calicoctl v3.28 and later write: labels in an annotation. `value` has what all versions read."""
        labels = dict(sorted(dict(fields.get("labels") or {}, **(labels or {})).items()))
        inner = {"creationTimestamp": "2020-01-02T03:04:05Z", **({"labels": labels} if labels else {})}
        annotations = {_METADATA: json.dumps(inner, separators=(",", ":"))}
        return self._text(fields, {"name": fields["name"], "annotations": annotations})


class KubernetesV3(_Kubernetes):
    """The custom resources of projectcalico.org/v3."""

    version = "v3"

    def malformed(self, fields):
        """With a number for a protocol that the server takes, and that no client of Calico can decode."""
        document = json.loads(self.value(_GOVERNS | fields))
        document["spec"]["ports"] = [{"name": "p", "protocol": 300, "port": 1}]
        return _canonical(document)


KUBERNETES_DATASTORES = {datastore.name: datastore for datastore in (KubernetesV1, KubernetesV3)}


def _without_servers(document):
    metadata = {name: value for name, value in document["metadata"].items() if name not in _SERVERS}
    return dict(document, metadata=metadata)


def _to_node(document, key):
    """A node of Kubernetes, or what etcdv3 has of a node of Calico as one of Kubernetes."""
    spec = document.get("spec", {})
    addresses = spec.get("bgp", {})
    found = {"IPv4Address": addresses.get("ipv4Address"), "IPv6Address": addresses.get("ipv6Address")}
    annotations = {"projectcalico.org/" + name: text for name, text in found.items() if text}
    metadata = dict({"name": key.partition("/")[2], "annotations": annotations}, **document.get("metadata", {}))
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


# Keys and paths


def _path(key):
    kind, *names = key.split("/")
    resource, _dot, group = kind.partition(".")
    name, namespace = (names[-1] if names else ""), "".join(names[:-1])
    return path_of(group, resource, name, namespace)


def _key_of(resource, document):
    metadata = document["metadata"]
    return "/".join(filter(None, [resource, metadata.get("namespace"), metadata["name"]]))


def _place_of(request):
    """(key, {parameter: values}) of a request for objects; None for others, such as a list of the groups."""
    parts = urlsplit(request.path)
    segments = [unquote(segment) for segment in parts.path.strip("/").split("/")]
    if segments[:2] == ["api", "v1"]:
        group, names = "", segments[2:]
    elif segments[0] == "apis":
        group, names = segments[1:2], segments[3:]
        if group and group[0].endswith(".k8s.io"):
            return None
        group = "".join(group)
    else:
        return None
    namespaces = []
    if names[:1] == ["namespaces"] and len(names) > 2:
        namespaces, names = names[1:2], names[2:]
    if not names:
        return None
    kind = names[0] + ("." + group if group else "")
    return "/".join([kind, *namespaces, *names[1:]]), parse_qs(parts.query)


def _rule(key, verbs):
    """Rights on what the key is, or on all that is beneath it."""
    kind, *names = key.split("/")
    known = {each["metadata"]["name"]: each["spec"]["names"]["plural"] for v in GROUPS for each in definitions(v)}
    if kind in known or "." not in kind:
        resource, _dot, group = kind.partition(".")
        rule = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    else:
        rule = {"apiGroups": [kind], "resources": ["*"], "verbs": list(verbs)}
    return dict(rule, resourceNames=names[-1:]) if names else rule
