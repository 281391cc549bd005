# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster a task reaches on Kubernetes, with whose credentials, and which of Calico's APIs it chooses."""

from __future__ import annotations

import base64
import json
import stat
import sys
import time

import pytest

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.module import run_module
from tests.harness.process import free_port
from tests.integration.tasks import failure

on_v3 = pytest.mark.parametrize("datastore_type", ["kubernetes-v3"])
INFO = "calico_hostendpoint_info"
ELSEWHERE = "http://127.0.0.1:9"
V3 = {"calico_api_group": "projectcalico.org/v3"}


@pytest.fixture
def run(kubernetes, datastore, wire):
    """Runs a task that reads, and returns the tokens that its requests brought to the cluster."""

    def run(env=None, **options):
        wire.clear()
        result = run_module(INFO, dict({"datastore_type": "kubernetes", **V3}, **options), env=env)
        assert not result["failed"], result["msg"]
        assert kubernetes.token not in json.dumps(result)
        return {request.headers["Authorization"] for request in wire.requests}

    return run


def bearer(token):
    return {"Bearer " + token}


# Sources


@on_v3
def test_each_way_to_name_a_cluster(kubernetes, wire, run, tmp_path):
    path = kubernetes.write_kubeconfig(tmp_path / "kubeconfig", server=wire.url)
    content = kubernetes.kubeconfig(server=wire.url)
    expected = bearer(kubernetes.token)
    assert run(kubeconfig=path) == expected
    assert run(kubeconfig=content) == expected
    assert run(kubeconfig=json.dumps(content)) == expected
    assert run(host=wire.url, api_key=kubernetes.token) == expected
    for variable in ("K8S_AUTH_KUBECONFIG", "KUBECONFIG", "CALICO_KUBECONFIG"):
        assert run(env={variable: path}) == expected
    assert run(env={"K8S_AUTH_HOST": wire.url, "K8S_AUTH_API_KEY": kubernetes.token}) == expected
    assert run(env={"K8S_API_ENDPOINT": wire.url, "CALICO_K8SAPITOKEN": kubernetes.token}) == expected


@on_v3
def test_awxs_own_credential(kubernetes, wire, run):
    variables = {"K8S_AUTH_HOST": wire.url, "K8S_AUTH_API_KEY": kubernetes.token, "K8S_AUTH_VERIFY_SSL": "False"}
    assert run(env=variables) == bearer(kubernetes.token)


@on_v3
def test_awxs_own_credential_with_a_ca(kubernetes, datastore):
    variables = {
        "K8S_AUTH_HOST": kubernetes.url,
        "K8S_AUTH_API_KEY": kubernetes.token,
        "K8S_AUTH_VERIFY_SSL": "True",
        "K8S_AUTH_SSL_CA_CERT": kubernetes.ca,
    }
    assert not run_module(INFO, dict(V3, datastore_type="kubernetes"), env=variables)["failed"]
    del variables["K8S_AUTH_SSL_CA_CERT"]
    failure(run_module(INFO, dict(V3, datastore_type="kubernetes"), env=variables), "certificate verify failed")
    variables["K8S_AUTH_VERIFY_SSL"] = "False"
    assert not run_module(INFO, dict(V3, datastore_type="kubernetes"), env=variables)["failed"]


@on_v3
def test_a_file_of_calicoctl(kubernetes, wire, run, tmp_path):
    def config(**spec):
        path = tmp_path / "calicoctl.cfg"
        document = {"apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig", "spec": spec}
        path.write_text(json.dumps(document))
        return str(path)

    expected = bearer(kubernetes.token)
    path = kubernetes.write_kubeconfig(tmp_path / "kubeconfig", server=wire.url)
    for spec in (
        {"datastoreType": "kubernetes", "kubeconfig": path},
        {"kubeconfig": path},
        {"kubeconfigInline": json.dumps(kubernetes.kubeconfig(server=wire.url))},
        {"k8sAPIEndpoint": wire.url, "k8sAPIToken": kubernetes.token, "k8sInsecureSkipTLSVerify": True},
    ):
        wire.clear()
        result = run_module(INFO, {"calicoctl_config": config(**spec, calicoAPIGroup="projectcalico.org/v3")})
        assert not result["failed"], result["msg"]
        assert {request.headers["Authorization"] for request in wire.requests} == expected


@on_v3
def test_credentials_stay_with_their_cluster(kubernetes, wire, datastore, tmp_path):
    """A token of the environment is not sent to a cluster that the task names."""
    env = {"K8S_AUTH_HOST": ELSEWHERE, "K8S_AUTH_API_KEY": "of-elsewhere", "K8S_AUTH_CLIENT_CERT": "/nowhere"}
    result = run_module(INFO, dict(V3, datastore_type="kubernetes", host=wire.url), env=env)
    assert result["failed"] and "of-elsewhere" not in json.dumps(result)
    assert {request.headers["Authorization"] for request in wire.requests} == {None}


# Credentials in a kubeconfig

PLUGIN = """#!{python}
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["kind"] == "ExecCredential" and os.environ["OWN"] == "1" and sys.argv[1] == "login"
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {{"token": "{token}"}}}}))
"""


def plugin(tmp_path, text):
    path = tmp_path / "plugin"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def with_plugin(kubernetes, wire, command, version="v1"):
    plugged = {
        "apiVersion": "client.authentication.k8s.io/" + version,
        "command": command,
        "args": ["login"],
        "env": [{"name": "OWN", "value": "1"}],
        "interactiveMode": "Never",
    }
    return kubernetes.kubeconfig(server=wire.url, token=None, exec=plugged)


@on_v3
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_exec_plugin(kubernetes, wire, run, tmp_path, version):
    command = plugin(tmp_path, PLUGIN.format(python=sys.executable, token=kubernetes.token))
    assert run(kubeconfig=with_plugin(kubernetes, wire, command, version)) == bearer(kubernetes.token)


@on_v3
def test_an_exec_plugin_that_fails_is_no_anonymous_user(kubernetes, datastore, wire, tmp_path):
    command = plugin(tmp_path, "#!/bin/sh\necho no ticket >&2; exit 3\n")
    options = dict(V3, datastore_type="kubernetes", kubeconfig=with_plugin(kubernetes, wire, command))
    failure(run_module(INFO, options), "exec plugin " + command, "3", "no ticket")
    assert wire.requests == []


@on_v3
def test_an_exec_plugin_that_hangs_ends_with_the_timeout(kubernetes, datastore, wire, tmp_path):
    command = plugin(tmp_path, "#!/bin/sh\nexec sleep 60\n")
    options = dict(V3, datastore_type="kubernetes", timeout=1, kubeconfig=with_plugin(kubernetes, wire, command))
    failure(run_module(INFO, options), "no credentials within 1 seconds")
    assert wire.requests == []


@on_v3
def test_a_token_in_a_file_that_was_renewed_meanwhile(kubernetes, wire, run, tmp_path):
    token = tmp_path / "token"
    token.write_text("expired")
    wire.before("GET", lambda: token.write_text(kubernetes.token))
    found = run(kubeconfig=kubernetes.kubeconfig(server=wire.url, token=None, tokenFile=str(token)))
    assert found == bearer("expired") | bearer(kubernetes.token)


@on_v3
def test_a_client_certificate_in_the_kubeconfig(kubernetes, datastore):
    client = kubernetes.certificates.client("reader")
    datastore.add_user("reader", read=[datastore.everything])
    data = {
        name: base64.b64encode(open(path, "rb").read()).decode()
        for name, path in (("client-certificate-data", client.cert), ("client-key-data", client.key))
    }
    options = dict(V3, datastore_type="kubernetes")
    assert not run_module(INFO, dict(options, kubeconfig=kubernetes.kubeconfig(token=None, **data)))["failed"]
    files = {"client_cert": client.cert, "client_key": client.key, "ca_cert": kubernetes.ca}
    assert not run_module(INFO, dict(options, host=kubernetes.url, **files))["failed"]


@on_v3
def test_several_files_are_merged_and_a_context_is_chosen(kubernetes, wire, run, tmp_path):
    one, two = kubernetes.kubeconfig(server=ELSEWHERE), kubernetes.kubeconfig(server=wire.url)
    two["clusters"][0]["name"] = two["contexts"][0]["name"] = two["contexts"][0]["context"]["cluster"] = "second"
    del two["current-context"], two["users"]
    paths = []
    for number, content in enumerate((one, two)):
        paths.append(str(tmp_path / str(number)))
        (tmp_path / str(number)).write_text(json.dumps(content))
    both = ":".join(paths)
    assert run(kubeconfig=both, context="second") == bearer(kubernetes.token)
    assert run(env={"KUBECONFIG": both, "K8S_AUTH_CONTEXT": "second"}) == bearer(kubernetes.token)


@on_v3
def test_a_proxy(kubernetes, datastore, wire, run):
    """The wire stands for an HTTP proxy: a request for an http URL comes with the whole URL."""
    wire.answer(407, "no", times=99, path_contains="http://cluster.example")
    for options in (
        {"host": "http://cluster.example", "api_key": "of-the-test", "proxy": wire.url},
        {"kubeconfig": kubernetes.kubeconfig(server="http://cluster.example", proxy_url=wire.url)},
    ):
        wire.clear()
        result = run_module(INFO, dict(V3, datastore_type="kubernetes", timeout=1, **options))
        assert result["failed"] and any("cluster.example" in request.path for request in wire.requests)


@on_v3
def test_the_name_in_the_servers_certificate(kubernetes, datastore):
    options = dict(V3, datastore_type="kubernetes")
    wrong = kubernetes.kubeconfig(tls_server_name="other.example")
    failure(run_module(INFO, dict(options, kubeconfig=wrong)), "other.example")
    failure(
        run_module(INFO, dict(options, kubeconfig=kubernetes.kubeconfig(), tls_server_name="x.example")), "x.example"
    )


@on_v3
def test_a_host_beside_a_kubeconfig_is_the_cluster(kubernetes, wire, run):
    """Its credentials come from the kubeconfig, as in kubernetes.core."""
    elsewhere = kubernetes.kubeconfig(server=ELSEWHERE)
    assert run(kubeconfig=elsewhere, host=wire.url) == bearer(kubernetes.token)


@on_v3
def test_a_token_that_ends_in_a_line_break(kubernetes, wire, run):
    assert run(host=wire.url, api_key=kubernetes.token + "\n") == bearer(kubernetes.token)


@on_v3
def test_a_file_excludes_the_environment(kubernetes, datastore, wire, tmp_path):
    path = tmp_path / "calicoctl.cfg"
    path.write_text(
        "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {datastoreType: kubernetes}\n", encoding="utf-8"
    )
    (tmp_path / ".kube").mkdir()
    kubernetes.write_kubeconfig(tmp_path / ".kube" / "config", server=wire.url, token=None)
    env = {"HOME": str(tmp_path), "K8S_AUTH_HOST": ELSEWHERE, "K8S_AUTH_API_KEY": "of-elsewhere"}
    assert run_module(INFO, {"calicoctl_config": str(path)}, env=env)["failed"]
    assert {request.headers["Authorization"] for request in wire.requests} == {None}


@on_v3
def test_whom_the_kubeconfig_impersonates(kubernetes, datastore, wire):
    content = kubernetes.kubeconfig(server=wire.url)
    content["users"][0]["user"].update({"as": "jane", "as-groups": ["devs"]})
    options = dict(V3, datastore_type="kubernetes")
    failure(run_module(INFO, dict(options, kubeconfig=content)), '"jane" cannot')
    assert wire.requests[-1].headers.get_all("Impersonate-Group") == ["devs"]
    content["users"][0]["user"]["as-uid"] = "1"
    failure(run_module(INFO, dict(options, kubeconfig=content)), "as-uid is not supported")


@on_v3
def test_an_answer_in_drops_ends_with_the_timeout(kubernetes, datastore, wire):
    def drops():
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        for _number in range(200):
            time.sleep(0.2)
            yield b" "

    wire.stream(drops, times=99, path_contains="/hostendpoints")
    options = dict(V3, datastore_type="kubernetes", host=wire.url, api_key=kubernetes.token, timeout=1)
    failure(run_module(INFO, options), "not complete after the timeout")
    assert len(wire.requests) <= 3


@on_v3
def test_impersonation(kubernetes, datastore, wire):
    options = dict(V3, datastore_type="kubernetes", host=wire.url, api_key=kubernetes.token)
    failure(run_module(INFO, dict(options, impersonate_user="jane")), '"jane" cannot')
    groups = ["devs", "system:masters"]
    assert not run_module(INFO, dict(options, impersonate_user="jane", impersonate_groups=groups))["failed"]
    assert wire.requests[-1].headers.get_all("Impersonate-Group") == groups
    failure(run_module(INFO, dict(options, impersonate_groups=groups)), "without impersonate_user")


# What cannot be


def config_of(server):
    """A kubeconfig with this server, and without a user."""
    context = {"name": "c", "context": {"cluster": "c", "user": ""}}
    return {"contexts": [context], "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": server}}]}


SERVER = "kubeconfig (option): clusters[name=c]: server: "


@pytest.mark.parametrize(
    "options, parts",
    [
        ({}, ["no Kubernetes cluster is given", "K8S_AUTH_KUBECONFIG"]),
        ({"kubeconfig": "/no/such/file"}, ["kubeconfig (option) /no/such/file", "no such file"]),
        ({"kubeconfig": {"apiVersion": "v1"}}, ["kubeconfig (option): the key current-context is missing"]),
        ({"kubeconfig": ""}, ["kubeconfig (option) is empty"]),
        ({"kubeconfig": config_of("https://[::1")}, [SERVER, "'https://[::1' is not a URL"]),
        ({"kubeconfig": config_of("https://joe:s3cr3t@a")}, [SERVER, "the URL contains a user", "kubeconfig's user"]),
        ({"kubeconfig": config_of("joe:s3cr3t@a")}, [SERVER, "the URL contains a user"]),
        ({"kubeconfig": config_of("http://a:1?token=s3cr3t")}, [SERVER, "after 'http://a:1' is a query"]),
        ({"kubeconfig": config_of("http://a:1/b c")}, [SERVER, "is not a URL of an API server"]),
        ({"kubeconfig": config_of("http://a:99999")}, [SERVER, "is not a URL: Port out of range"]),
        ({"kubeconfig": config_of(5)}, [SERVER, "5 is not a URL of an API server"]),
        ({"kubeconfig": config_of(None)}, ["kubeconfig (option): clusters[name=c]: the key server is missing"]),
        ({"kubeconfig": dict(config_of("http://a"), clusters=[])}, ["contexts[name=c]: clusters has no entry", "'c'"]),
        ({"kubeconfig": config_of("http://a"), "context": "d"}, ["contexts has no entry with the name 'd'"]),
        ({"host": "", "api_key": "of-the-test"}, ["host (option) is empty"]),
        ({"host": "https://a", "etcd_endpoints": ["http://a:1"]}, ["etcd_endpoints (option) has no effect"]),
        ({"host": "https://a", "api_key": "s3cr3t\nx"}, ["the credentials contain a line break"]),
        ({"host": "https://a", "api_key": "of-the-test", "proxy": "nonsense://x"}, ["proxy (option): ", "'nonsense'"]),
        ({"kubeconfig": [1]}, ["kubeconfig (option) is not a path or a mapping"]),
        ({"kubeconfig": "{token: s3cr3t"}, ["kubeconfig (option) is not YAML"]),
        ({"host": "https://user:s3cr3t@a"}, ["the URL contains a user"]),
        ({"host": "ftp://a"}, ["host (option)", "is not a URL of an API server"]),
        ({"host": "https://a", "username": "me"}, ["username (option) is given without password"]),
        ({"host": "https://a", "client_key": "/k"}, ["client_key (option) is given without client_cert"]),
        ({"host": "https://a", "calico_api_group": "v3"}, ["calico_api_group (option): 'v3' is not an API of Calico"]),
        ({"host": "https://a", "api_key": "of-the-test", "ca_cert": "/none"}, ["ca_cert /none: cannot be read"]),
    ],
)
@on_v3
def test_settings_that_cannot_be(kubernetes, datastore_type, options, parts, tmp_path):
    result = run_module(INFO, dict(options, datastore_type="kubernetes"), env={"HOME": str(tmp_path)})
    assert "s3cr3t" not in failure(result, *parts)


def config_for(tmp_path, user, **cluster):
    """A kubeconfig in a file and as an option, with this entry of a user beside its name."""
    content = config_of(ELSEWHERE)
    content["clusters"][0]["cluster"].update(cluster)
    content["contexts"][0]["context"]["user"] = "u"
    content["users"] = [dict(user, name="u")]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path), content


API = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable}
AWS = {"name": "AWS_SECRET_ACCESS_KEY", "value": "s3cr3t"}
# A program that repeats its arguments and its environment.
LOUD = ["-c", "import os, sys; sys.exit(' '.join([*sys.argv, os.environ['AWS_SECRET_ACCESS_KEY']]))", "--pw", "s3cr3t2"]


@pytest.mark.parametrize(
    "user, parts",
    [
        (
            {"exec": dict(API, env=[AWS, {"nme": "X", "value": "s3cr3t2"}])},
            ["users[name=u]/user/exec/env/1", "key name"],
        ),
        ({"exec": dict(API, args="s3cr3t", env={"A": "s3cr3t2"})}, ["users[name=u]/user/exec/env"]),
        ({"exec": dict(API, args=LOUD, env=[AWS])}, ["exec plugin " + sys.executable, "returned 1", "********"]),
        ({"exec": {"command": "x", "env": [AWS]}}, ["missing key 'apiVersion'"]),
        ({"exec": dict(API, command="/no/such --pw s3cr3t")}, ["exec plugin /no/such of", "No such file"]),
        ({"token": "s3cr3t", "client-certificate": "/no/such"}, ["cannot reach"]),
        ({"client-key-data": "s3cr3t!", "client-certificate-data": "eA=="}, ["cannot reach"]),
        ({"auth-provider": {"name": "oidc", "config": {"idtoken": "s3cr3t"}}}, ["users[name=u]/user/auth-provider"]),
    ],
)
@on_v3
def test_a_kubeconfigs_values_are_in_no_result(kubernetes, datastore_type, tmp_path, user, parts):
    for kubeconfig in config_for(tmp_path, {"user": user}):
        result = run_module(INFO, dict(V3, datastore_type="kubernetes", timeout=2, kubeconfig=kubeconfig))
        failure(result, *parts)
        assert "s3cr3t" not in json.dumps(result)


@on_v3
def test_a_misspelt_entry_of_a_kubeconfig_is_named(kubernetes, datastore_type, tmp_path):
    for kubeconfig in config_for(tmp_path, {"usr": {"token": "s3cr3t"}}):
        result = run_module(INFO, dict(V3, datastore_type="kubernetes", kubeconfig=kubeconfig))
        failure(result, "kubeconfig (option)", "users[name=u]: the key user is missing")
        assert "s3cr3t" not in json.dumps(result)


@on_v3
def test_what_a_result_repeats_of_a_kubeconfig(kubernetes, datastore_type, tmp_path):
    """Its names, and nothing that may be secret; a word of it is not masked elsewhere."""
    env = [dict(AWS, value="s3cr3t")]
    user = {"user": {"exec": dict(API, args=["--password", "s3cr3t", "127"], env=env)}}
    _path, content = config_for(tmp_path, user, **{"proxy-url": "http://joe:s3cr3t@127.0.0.1:9"})
    result = run_module(INFO, dict(V3, datastore_type="kubernetes", timeout=2, host=ELSEWHERE, kubeconfig=content))
    shown = result["invocation"]["module_args"]["kubeconfig"]
    assert "s3cr3t" not in json.dumps(result) and "exec plugin" in result["msg"]
    assert shown["clusters"][0]["cluster"] == {"server": ELSEWHERE, "proxy-url": "http://********@127.0.0.1:9"}
    plugged = shown["users"][0]["user"]["exec"]
    assert plugged["args"] == ["--password", "********", "********"] and plugged["command"] == sys.executable
    assert plugged["env"] == [{"name": "AWS_SECRET_ACCESS_KEY", "value": "********"}]


BAD_PROXIES = {
    "http://joe:s3cr3t@127.0.0.1:abc": "is not a URL of a proxy",
    "http://joe:s3cr3t/x@127.0.0.1:9": "is not a URL of a proxy",
    "nonsense://joe:s3cr3t@127.0.0.1:9": "a proxy of the scheme 'nonsense' is not supported",
    "socks5://joe:s3cr3t@127.0.0.1:9": "a proxy of the scheme socks5 requires the Python library PySocks",
}


@pytest.mark.parametrize("url", BAD_PROXIES)
@on_v3
def test_a_proxy_that_cannot_be_is_named_by_its_source(kubernetes, datastore_type, url, tmp_path, monkeypatch):
    # As if PySocks were missing.
    monkeypatch.setitem(sys.modules, "socks", None)

    def run(env=None, **options):
        result = run_module(INFO, dict(V3, datastore_type="kubernetes", timeout=1, **options), env=env)
        assert "s3cr3t" not in json.dumps(result)
        return result

    to_cluster = {"host": "http://cluster.example", "api_key": "of-the-test"}
    failure(run(proxy=url, **to_cluster), "proxy (option): " + BAD_PROXIES[url])
    of_environment = {"K8S_AUTH_" + name.upper(): value for name, value in dict(to_cluster, proxy=url).items()}
    failure(run(of_environment), "proxy (environment): " + BAD_PROXIES[url])
    for variable in ("HTTP_PROXY", "http_proxy"):
        failure(run({variable: url}, **to_cluster), variable + " (environment): " + BAD_PROXIES[url])
    for kubeconfig in config_for(tmp_path, {"user": {"token": "of-the-test"}}, **{"proxy-url": url}):
        place = " " + kubeconfig if isinstance(kubeconfig, str) else ""
        failure(run(kubeconfig=kubeconfig), "proxy-url of kubeconfig (option)%s: %s" % (place, BAD_PROXIES[url]))


@on_v3
def test_a_proxy_of_the_environment_needs_no_scheme(kubernetes, datastore, wire):
    wire.answer(407, "no", times=99, path_contains="http://cluster.example")
    options = dict(V3, datastore_type="kubernetes", timeout=1, host="http://cluster.example", api_key="of-the-test")
    assert run_module(INFO, options, env={"HTTP_PROXY": wire.url.partition("://")[2]})["failed"]
    assert any("cluster.example" in request.path for request in wire.requests)


@on_v3
def test_a_server_that_expects_https(kubernetes, datastore):
    options = dict(
        V3, datastore_type="kubernetes", host=kubernetes.url.replace("https:", "http:"), api_key="of-the-test"
    )
    failure(run_module(INFO, options), "the server expects https://, not http://")


@on_v3
def test_a_kubeconfigs_server_without_a_scheme(kubernetes, datastore, wire, run):
    """As for kubectl: with an authority it is https, else http."""
    plain, secure = (url.partition("://")[2] for url in (wire.url, kubernetes.url))
    without_ca = kubernetes.kubeconfig(server=wire.url)
    without_ca["clusters"][0]["cluster"]["server"] = plain
    assert run(kubeconfig=without_ca) == bearer(kubernetes.token)
    result = run_module(INFO, dict(V3, datastore_type="kubernetes", kubeconfig=kubernetes.kubeconfig(server=secure)))
    assert result["datastore"]["endpoints"] == [kubernetes.url]


@on_v3
def test_nobody_listens(kubernetes, datastore_type):
    url = "https://127.0.0.1:%d" % free_port()
    options = {"datastore_type": "kubernetes", "host": url, "api_key": "of-the-test", "timeout": 0.5}
    failure(run_module(INFO, options), "cannot reach the API server " + url, "refused")


# Which API

READY, LOCKED = {"datastoreReady": True}, {"datastoreReady": False}


@pytest.mark.parametrize(
    "v1, v3, chosen",
    [
        (READY, None, "crd.projectcalico.org/v1"),
        (LOCKED, READY, "projectcalico.org/v3"),
        (READY, READY, "crd.projectcalico.org/v1"),
        (READY, LOCKED, "crd.projectcalico.org/v1"),
        (LOCKED, LOCKED, "crd.projectcalico.org/v1"),
        (LOCKED, None, "crd.projectcalico.org/v1"),
    ],
)
@on_v3
def test_beside_each_other_the_one_that_is_not_locked_is_the_truth(kubernetes, datastore_type, v1, v3, chosen):
    for (name, make), spec in zip(KUBERNETES_DATASTORES.items(), (v1, v3)):
        datastore = make(kubernetes)
        datastore.put_endpoint({"name": "in-" + name[-2:], "node": "n1", "interface_name": "eth0"})
        if spec is not None:
            document = json.loads(datastore.ready)
            document["spec"] = spec
            datastore.put(datastore.state_key, json.dumps(document))
    options = {"datastore_type": "kubernetes", "kubeconfig": kubernetes.kubeconfig()}
    found = run_module(INFO, options)
    assert found["datastore"]["api"] == chosen and found["datastore"]["api_reason"]
    assert [each["name"] for each in found["hostendpoints"]] == ["in-" + chosen[-2:]]
    write = dict(options, guard="off", name="new", node="n1", interface_name="eth1")
    written = run_module("calico_hostendpoint", write)
    is_locked = (v1, v3) in ((LOCKED, LOCKED), (LOCKED, None))
    assert written["failed"] == is_locked and (not is_locked or "locked" in written["msg"])


@on_v3
def test_it_is_unclear_which_one_is_used(kubernetes, datastore):
    options = {"datastore_type": "kubernetes", "kubeconfig": kubernetes.kubeconfig()}
    failure(run_module(INFO, options), "it is unclear", "set calico_api_group")
    assert not run_module(INFO, options, env={"CALICO_API_GROUP": "ProjectCalico.org/v3"})["failed"]


@pytest.mark.parametrize("removed, chosen", [("v3", "crd.projectcalico.org/v1"), ("v1", "projectcalico.org/v3")])
@on_v3
def test_only_one_of_them(kubernetes, datastore_type, removed, chosen):
    kubernetes.remove_crds(removed)
    try:
        found = run_module(INFO, {"datastore_type": "kubernetes", "kubeconfig": kubernetes.kubeconfig()})
        assert found["datastore"]["api"] == chosen, found
    finally:
        kubernetes.install_crds()


@on_v3
def test_no_calico_at_all(kubernetes, datastore_type):
    kubernetes.remove_crds()
    try:
        result = run_module(INFO, {"datastore_type": "kubernetes", "kubeconfig": kubernetes.kubeconfig()})
        failure(result, "has no Calico")
    finally:
        kubernetes.install_crds()


@on_v3
def test_a_discovery_that_fails_is_an_error(kubernetes, datastore, wire):
    forbidden = {"kind": "Status", "reason": "Forbidden", "code": 403, "message": "no /apis for you"}
    wire.answer(403, json.dumps(forbidden), times=99, path_contains="/apis")
    options = {"datastore_type": "kubernetes", "host": wire.url, "api_key": kubernetes.token}
    failure(run_module(INFO, options), "no /apis for you", 'nonResourceURLs: ["/apis"]')


@on_v3
def test_the_aggregated_api_is_chosen_before_the_v1_crds(kubernetes, datastore, wire):
    """What calico-apiserver v3.32.1 lists has profiles, which no CRD has."""
    listed = {"kind": "APIResourceList", "groupVersion": "projectcalico.org/v3", "resources": [{"name": "profiles"}]}
    wire.answer(200, json.dumps(listed), path_contains="/apis/projectcalico.org/v3")
    options = {"datastore_type": "kubernetes", "host": wire.url, "api_key": kubernetes.token}
    found = run_module(INFO, options)
    assert found["datastore"]["api"] == "projectcalico.org/v3"
    assert found["datastore"]["api_reason"] == "calico-apiserver serves it"
