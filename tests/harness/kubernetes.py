# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real kube-apiserver with Calico's custom resources, on an etcd of its own.

`make kube-apiserver` builds the program.

From a shell, at the root of the collection:

    python -m tests.harness.kubernetes -- COMMAND ...       run COMMAND with KUBECONFIG set, then stop the server
    python -m tests.harness.kubernetes --ready-file PATH    serve, PATH is a kubeconfig, until the caller ends
    python -m tests.harness.kubernetes --ready-file PATH --detach-for SECONDS
                                                            outlive the caller, but no longer than that
    python -m tests.harness.kubernetes --find               print the program's path, or fail
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from .etcd import EtcdServer, range_of
from .process import wait_for
from .server import Server, ServerError, idle, run_command, serve

PROGRAM = "kube-apiserver"
PROGRAM_VARIABLE = "NETSEC_KUBE_APISERVER"
# The variable of Kubernetes' own envtest: a folder.
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".cache" / "kubernetes" / PROGRAM

# Of Calico v3.32.1, the kinds that the collection reads. {version of the API: group}
GROUPS = {"v1": "crd.projectcalico.org", "v3": "projectcalico.org"}
CRDS = {version: ROOT / "tests" / "crds" / ("calico-v3.32.1-%s.json" % version) for version in GROUPS}

# Everything is allowed to the administrator. The others may do what `add_role` says, and what every user may.
ADMINISTRATOR = "admin"
USERS = ("reader", "writer", "auditor", "narrow", "nobody")

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_RBAC = "rbac.authorization.k8s.io"
_ROLES = "/apis/%s/v1/clusterroles" % _RBAC
_BINDINGS = "/apis/%s/v1/clusterrolebindings" % _RBAC
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubernetesError(ServerError):
    """An answer that the harness did not expect, or an API server that does not start."""


def find_binary():
    """The path of a kube-apiserver, or None: from the environment, from PATH, or what `make kube-apiserver` built."""
    if named := os.environ.get(PROGRAM_VARIABLE):
        if not os.access(named, os.X_OK):
            raise KubernetesError("%s names %s, which is not an executable" % (PROGRAM_VARIABLE, named))
        return named
    folders = [os.environ.get(ASSETS_VARIABLE, ""), os.environ.get("PATH", ""), str(BUILT.parent)]
    return shutil.which(PROGRAM, path=os.pathsep.join(filter(None, folders)))


@functools.lru_cache(maxsize=None)
def binary_version(binary):
    """For example "v1.20.2"."""
    output = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, check=True, timeout=60).stdout
    return output.decode().split()[-1]


class KubeApiServer(Server):
    """One API server, with RBAC and without controllers: a deleted namespace stays, and no Node gets conditions.

    etcd: an EtcdServer that is running; default: an etcd of its own, in memory, that starts and ends with it.
    prefix: where in that etcd its objects are; two API servers with one etcd and one prefix are one cluster.
    certificates: a CertificateAuthority, for its own certificate and those of clients (with `client_certificate`).
    """

    name = PROGRAM
    error = KubernetesError
    own_variables = ("KUBE", "ETCD_", "GO")
    patience = 180

    def __init__(self, binary=None, etcd=None, prefix="/registry", certificates=None, timeout=30, host="127.0.0.1"):
        binary = binary or find_binary()
        if binary is None:
            raise KubernetesError("no kube-apiserver: run make kube-apiserver, or set " + PROGRAM_VARIABLE)
        super().__init__(timeout, host=host)
        self.binary = os.path.abspath(binary)
        self.prefix = prefix.rstrip("/")
        self.version = None
        self.tokens = {name: "token-of-" + name for name in (ADMINISTRATOR, *USERS)}
        self._own_etcd = EtcdServer(v2=False) if etcd is None else None
        self.etcd = etcd or self._own_etcd
        self.certificates = None
        self._given_certificates = certificates
        self._tls = None
        self._roles = {}

    # Where it is, and who may

    @property
    def url(self):
        return "https://%s:%d" % (self.host, self.port)

    @property
    def token(self):
        """The administrator's."""
        return self.tokens[ADMINISTRATOR]

    @property
    def ca(self):
        """The path of the authority's certificate, from the start on."""
        return self.certificates.ca

    @property
    def client_context(self):
        """What a client of its own needs, such as a wire before it."""
        return ssl.create_default_context(cafile=self.ca)

    def kubeconfig(self, **changes):
        """A kubeconfig of the administrator, as a dict.

        changes: other members of its cluster, user and context, by their names there, such as token, client-key
        (client_key), insecure_skip_tls_verify or namespace; None leaves one out. `server` may be a wire's URL.
        """
        cluster = {"server": self.url, "certificate-authority-data": _base64_of_file(self.ca)}
        user = {"token": self.token}
        context = {"cluster": "netsec", "user": "netsec"}
        of_user = ("token", "tokenFile", "client-", "username", "password", "exec", "auth-provider", "as")
        for name, value in changes.items():
            name = name.replace("_", "-")
            place = user if name.startswith(of_user) else context if name == "namespace" else cluster
            place[name] = value
            if value is None:
                del place[name]
        if cluster["server"].startswith("http:"):
            cluster.pop("certificate-authority-data", None)
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "netsec", "cluster": cluster}],
            "users": [{"name": "netsec", "user": user}],
            "contexts": [{"name": "netsec", "context": context}],
            "current-context": "netsec",
        }

    def write_kubeconfig(self, path, **changes):
        """The same as a file (JSON is YAML, too); its path as a string."""
        Path(path).write_text(json.dumps(self.kubeconfig(**changes), indent=2) + "\n", encoding="utf-8")
        return str(path)

    def add_role(self, user, rules):
        """Let a user of USERS, by the name or the token, do this and nothing else; return when it is in force.

        rules: as in a ClusterRole, each with apiGroups, resources and verbs.
        """
        user = next((name for name, token in self.tokens.items() if token == user), user)
        if user not in USERS:
            raise ValueError(user)
        self.remove_roles(user)
        name = "netsec-" + user
        base = {"apiVersion": _RBAC + "/v1", "metadata": {"name": name}}
        reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}
        subjects = [{"apiGroup": _RBAC, "kind": "User", "name": user}]
        self._roles[user] = list(rules)
        self.must("POST", _ROLES, dict(base, kind="ClusterRole", rules=list(rules)))
        self.must("POST", _BINDINGS, dict(base, kind="ClusterRoleBinding", roleRef=reference, subjects=subjects))
        for rule in rules:
            wait_for(functools.partial(self.allows, user, rule), 60, "the rights of %s are in force" % user)

    def remove_roles(self, *users):
        """Take these users' rights, or everybody's; return when they are not in force any more."""
        for user in [name for name in users or USERS if name in self._roles]:
            rules = self._roles.pop(user)
            for place in (_BINDINGS, _ROLES):
                self.request("DELETE", "%s/netsec-%s" % (place, user))
            for rule in rules:
                wait_for(functools.partial(self._denies, user, rule), 60, "the rights of %s end" % user)

    def allows(self, user, rule):
        """Whether the user may do the first thing that a rule names."""
        resource, _slash, part = rule["resources"][0].partition("/")
        asked = {"group": rule["apiGroups"][0], "resource": resource, "subresource": part, "verb": rule["verbs"][0]}
        asked["name"] = rule.get("resourceNames", [""])[0]
        document = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        document["spec"] = {"resourceAttributes": asked}
        return self.must("POST", _REVIEWS, document, self.tokens[user])["status"]["allowed"]

    def _denies(self, user, rule):
        return not self.allows(user, rule)

    # Life

    def start(self):
        if self._own_etcd:
            self._own_etcd.start()
        return super().start()

    def close(self):
        super().close()
        self._roles.clear()
        if self._own_etcd:
            self._own_etcd.close()

    def reset(self):
        """Running and awake; no custom resources, no nodes and no rights: for the next test. CRDs are kept."""
        if self._own_etcd:
            self._own_etcd.start()
            self._own_etcd.thaw()
        self.start()
        self.thaw()
        self.remove_roles()
        # Behind its back: it would be 25 requests, and an object with a finalizer would stay. The server notices.
        for place in [*GROUPS.values(), "minions"]:
            self.etcd.v3("kv/deleterange", **range_of("%s/%s/" % (self.prefix, place)))

    def compact(self):
        """Forget the past: what asks for it, such as the token of a list that was begun, is answered with 410."""
        self.etcd.v3("kv/compaction", revision=str(self.etcd.revision_v3()), physical=True)

    def _prepare(self):
        # In the environments of the integration tests alone.
        from .certificates import CertificateAuthority

        folder = Path(self._folder, "certificates")
        self.certificates = self._given_certificates or CertificateAuthority(folder, "kubernetes")
        self._tls = self.certificates.server(PROGRAM)
        groups = {ADMINISTRATOR: ',"system:masters"'}
        lines = ["%s,%s,uid-of-%s%s" % (token, name, name, groups.get(name, "")) for name, token in self.tokens.items()]
        Path(self._folder, "tokens").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def _command(self):
        return [
            self.binary,
            "--etcd-servers=" + self.etcd.url,
            "--etcd-prefix=" + self.prefix,
            # It would write by itself, now and then.
            "--etcd-compaction-interval=0",
            "--bind-address=" + self.host,
            "--secure-port=%d" % self.port,
            "--cert-dir=" + os.path.join(self._folder, "made"),
            "--tls-cert-file=" + self._tls.cert,
            "--tls-private-key-file=" + self._tls.key,
            "--client-ca-file=" + self._tls.ca,
            "--token-auth-file=" + os.path.join(self._folder, "tokens"),
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=" + self._tls.cert,
            "--service-account-signing-key-file=" + self._tls.key,
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",
            # There is no controller that makes the accounts of new namespaces.
            "--disable-admission-plugins=ServiceAccount",
        ]

    def _is_ready(self):
        if self.request("GET", "/readyz", timeout=5)[0] != 200:
            return False
        self.version = self.must("GET", "/version")["gitVersion"]
        return True

    # HTTP

    def request(self, method, path, body=None, token=None, content_type=None, timeout=None):
        """One request as it is: (status, headers, document). What is not JSON is a text.

        body: a document, or the text or bytes to send. token: the administrator's, unless given; "" sends none.
        """
        token = self.token if token is None else token
        headers = {"Accept": _JSON}
        if token:
            headers["Authorization"] = "Bearer " + token
        if body is not None:
            headers["Content-Type"] = content_type or (_MERGE_PATCH if method == "PATCH" else _JSON)
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
            body = body.encode() if isinstance(body, str) else body
        answer, content = self._exchange(method, path, body, headers, timeout)
        is_json = answer.headers.get_content_type() == _JSON
        return answer.status, answer.headers, json.loads(content) if is_json else content.decode(errors="replace")

    def must(self, method, path, body=None, token=None):
        """The document of a request that must work."""
        status, _headers, document = self.request(method, path, body, token)
        if status >= 300:
            raise KubernetesError("%s %s: %d %s" % (method, path, status, document))
        return document

    def _connection_to(self, timeout):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.client_context)

    # Calico's custom resources

    def install_crds(self, *versions):
        """Define the kinds of Calico's "v1", its "v3" or both (default), and return when each can be listed."""
        for definition in _definitions_of(versions):
            status, _headers, document = self.request("POST", _DEFINITIONS, definition)
            if status not in (201, 409):
                raise KubernetesError("%d %s" % (status, document))
        for definition in _definitions_of(versions):
            path = path_of(definition["spec"]["group"], definition["spec"]["names"]["plural"])
            wait_for(lambda path=path: self.request("GET", path)[0] == 200, 60, "%s can be listed" % path, 0.05)

    def remove_crds(self, *versions):
        """Remove these kinds, with all of their objects, and return when none is served."""
        definitions = list(_definitions_of(versions))
        for definition in definitions:
            self.request("DELETE", "%s/%s" % (_DEFINITIONS, definition["metadata"]["name"]))
        groups = {definition["spec"]["group"] for definition in definitions}
        wait_for(lambda: not groups & self.groups(), 60, "the kinds are removed", 0.05)

    def groups(self):
        """The names of the API groups that it serves."""
        return {group["name"] for group in self.must("GET", "/apis")["groups"]}


@functools.lru_cache(maxsize=None)
def definitions(version):
    """The CustomResourceDefinitions of Calico's "v1" or "v3"."""
    return json.loads(CRDS[version].read_text(encoding="utf-8"))["items"]


def path_of(group, resource, name="", namespace=""):
    """The path of a kind's objects, or of one of them; the group "" is Kubernetes' own."""
    version = next((version for version, known in GROUPS.items() if known == group), "v1")
    parts = [
        "/apis/" + group if group else "/api",
        version,
        *(["namespaces", namespace] if namespace else []),
        resource,
    ]
    return "/".join([*parts, quote(name, safe="")] if name else parts)


def _definitions_of(versions):
    return (definition for version in versions or GROUPS for definition in definitions(version))


def _base64_of_file(path):
    return base64.b64encode(Path(path).read_bytes()).decode("ascii")


# The command line


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness.kubernetes", description="Run a throwaway kube-apiserver with Calico's CRDs."
    )
    parser.add_argument("--binary", help="a kube-apiserver; default: what --find prints")
    parser.add_argument("--find", action="store_true", help="print the kube-apiserver that would run, or fail")
    parser.add_argument("--api", choices=[*GROUPS], action="append", help="the CRDs to install; default: both")
    parser.add_argument("--ready-file", type=Path, help="write the administrator's kubeconfig here once it serves")
    parser.add_argument("--detach-for", type=float, metavar="SECONDS", help="outlive the caller, for so long")
    parser.add_argument("command", nargs="*", help="run this with KUBECONFIG set, then stop the server")
    options = parser.parse_args(arguments)
    if options.find:
        try:
            binary = find_binary()
        except KubernetesError as error:
            sys.exit(str(error))
        print(binary or "")
        return 0 if binary else 1
    if not options.command and not options.ready_file:
        parser.error("nothing to do: give --ready-file or a command")

    def content(server):
        server.install_crds(*options.api or ())
        return json.dumps(server.kubeconfig(), indent=2) + "\n"

    def run(server):
        return _run(options.command, server) if options.command else idle(options.detach_for)

    return serve(KubeApiServer(options.binary), options.ready_file, content, run, options.detach_for)


def _run(command, server):
    with tempfile.TemporaryDirectory() as folder:
        path = server.write_kubeconfig(Path(folder, "kubeconfig"))
        return run_command(command, {"KUBECONFIG": path}, server.own_variables)


if __name__ == "__main__":
    sys.exit(main())
