# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the datastore is: an option beats calicoctl's file, the file the environment, the environment the default."""

from __future__ import annotations

import json

import pytest

from tests.harness.etcd import EtcdServer
from tests.harness.module import run_module, run_playbook
from tests.harness.pace import PATIENT
from tests.harness.process import free_port
from tests.integration.tasks import one_etcd

APPLY, INFO = "calico_hostendpoint", "calico_hostendpoint_info"
ETH0 = {"name": "eth0", "node": "myhost", "interface_name": "eth0"}
KEY = "/calico/v1/host/myhost/endpoint/eth0"
VALUE = '{"name":"eth0"}'
# Nobody listens on it.
WRONG = "http://127.0.0.1:1"


@pytest.fixture
def stored(etcd):
    etcd.put("/calico/v1/Ready", "true")
    etcd.put(KEY, VALUE)
    return etcd


@pytest.fixture(scope="module")
def with_users(_auth_etcd):
    """A server with users who may read, and the same endpoint. Each request takes it a while."""
    _auth_etcd.reset()
    _auth_etcd.put("/calico/v1/Ready", "true")
    _auth_etcd.put(KEY, VALUE)
    _auth_etcd.add_user("settings", "right", read=["/calico/v1/*"])
    _auth_etcd.add_user("1000", "12345", read=["/calico/v1/*"])
    return _auth_etcd


def info(env=None, **options):
    return run_module(INFO, dict({"timeout": PATIENT}, **options), env=env)


def reaches_it(result):
    assert not result["failed"], result
    return [each["name"] for each in result["hostendpoints"]] == ["eth0"]


def failure(result, *parts):
    """The message of a failed run, in which all the parts are: one line, and not a book."""
    assert result["failed"], result
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "\n" not in result["msg"] and len(result["msg"]) < 2000, result["msg"]
    return result["msg"]


@pytest.fixture
def file(tmp_path):
    """Write a file, and give its path."""

    def write(content, name="calicoctl.cfg"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def v1(**spec):
    return json.dumps({"apiVersion": "v1", "kind": "calicoApiConfig", "metadata": {}, "spec": spec})


def v3(**spec):
    return json.dumps({"apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig", "metadata": {}, "spec": spec})


# What beats what

# In this order: the first one that is given counts.
LEVELS = ["option", "file", "CALICO_ variable", "variable"]

SETTINGS = {
    "datastore_type": "datastoreType",
    "etcd_endpoints": "etcdEndpoints",
    "etcd_ca_cert_file": "etcdCACertFile",
    "etcd_cert_file": "etcdCertFile",
    "etcd_key_file": "etcdKeyFile",
    "etcd_username": "etcdUsername",
    "etcd_password": "etcdPassword",
}


def run_with(file, name, values, **others):
    """A run in which a setting has the values {level: value}."""
    options = dict(others)
    env = {}
    if "option" in values:
        options[name] = values["option"]
    if "file" in values:
        options["calicoctl_config"] = file(v1(**{SETTINGS[name]: values["file"]}))
    if "CALICO_ variable" in values:
        env["CALICO_" + name.upper()] = values["CALICO_ variable"]
    if "variable" in values:
        env[name.upper()] = values["variable"]
    return info(env, **options)


@pytest.mark.parametrize("level", LEVELS)
def test_which_endpoints_count(stored, file, level):
    lower = LEVELS[LEVELS.index(level) + 1 :]
    values = dict({level: stored.url}, **dict.fromkeys(lower, WRONG))
    assert reaches_it(run_with(file, "etcd_endpoints", values))
    values = dict({level: WRONG}, **dict.fromkeys(lower, stored.url))
    source = {"option": "option", "file": "file "}.get(level, "environment")
    failure(run_with(file, "etcd_endpoints", values), WRONG, "refused", "etcd_endpoints from: " + source)


@pytest.mark.parametrize("name", ["etcd_ca_cert_file", "etcd_cert_file"])
@pytest.mark.parametrize("level", LEVELS)
def test_which_certificates_count(file, name, level):
    values = {each: "/nowhere/" + each.split()[0] for each in LEVELS[LEVELS.index(level) :]}
    failure(run_with(file, name, values, etcd_endpoints=WRONG), name, values[level] + ":", "No such file")


@pytest.mark.parametrize("level", LEVELS)
def test_which_key_counts(file, level):
    values = {each: "/nowhere/" + each.split()[0] for each in LEVELS[LEVELS.index(level) :]}
    options = {"etcd_endpoints": WRONG, "etcd_cert_file": file("", "empty.pem")}
    failure(run_with(file, "etcd_key_file", values, **options), "etcd_key_file", values[level] + ":", "No such file")


@pytest.mark.parametrize("name", ["etcd_username", "etcd_password"])
@pytest.mark.parametrize("level", LEVELS)
def test_which_user_and_password_count(with_users, file, name, level):
    right, wrong = {"etcd_username": ("settings", "stranger"), "etcd_password": ("right", "mistaken")}[name]
    others = {"etcd_endpoints": with_users.url, "etcd_username": "settings", "etcd_password": "right"}
    del others[name]
    lower = LEVELS[LEVELS.index(level) + 1 :]
    assert reaches_it(run_with(file, name, dict({level: right}, **dict.fromkeys(lower, wrong)), **others))


@pytest.mark.parametrize("level", LEVELS[1:])
def test_which_datastore_type_counts(stored, file, level):
    lower = LEVELS[LEVELS.index(level) + 1 :]
    values = dict({level: "etcdv2"}, **dict.fromkeys(lower, "kubernetes"))
    assert reaches_it(run_with(file, "datastore_type", values, etcd_endpoints=stored.url))
    values = dict({level: "kubernetes"}, **dict.fromkeys(lower, "etcdv2"))
    source = "(file /" if level == "file" else "(environment)"
    failure(
        run_with(file, "datastore_type", values, etcd_endpoints=stored.url),
        "etcd_endpoints (option) has no effect on datastore_type kubernetes " + source,
        "set datastore_type to etcdv2",
    )
    assert reaches_it(run_with(file, "datastore_type", dict(values, option="etcdv2"), etcd_endpoints=stored.url))


def test_an_unknown_datastore_type():
    failure(info(datastore_type="consul"), "datastore_type", "etcdv2", "consul")


def test_the_default():
    """What it finds is up to the machine; what it looks for is not."""
    result = info(timeout=0.001)
    assert not result["failed"] or "http://127.0.0.1:2379" in result["msg"]


def test_an_empty_setting_is_none(stored, file):
    env = {"ETCD_ENDPOINTS": stored.url, "CALICO_ETCD_CA_CERT_FILE": "", "ETCD_USERNAME": ""}
    assert reaches_it(info(env))
    assert reaches_it(info(env, etcd_endpoints=stored.url, calicoctl_config=file(v1(etcdEndpoints="", etcdKeyFile=""))))
    # But an empty list is one that somebody has computed, and the default endpoint is not what it was meant to be.
    failure(info(env, etcd_endpoints=[]), "etcd_endpoints (option): [] names no endpoint")


def test_what_names_the_datastore_by_nothing_does_not_lead_to_another_one(stored, file):
    env = {"CALICO_ETCD_ENDPOINTS": "", "ETCD_ENDPOINTS": stored.url}
    failure(info(env), "etcd_endpoints: CALICO_ETCD_ENDPOINTS (environment) is empty")
    failure(info({"ETCD_ENDPOINTS": stored.url, "DATASTORE_TYPE": ""}), "datastore_type: DATASTORE_TYPE (environment)")
    for spec in ({}, {"etcdEndpoints": ""}, {"etcdUsername": "a", "etcdPassword": "b"}):
        path = file(v1(**spec))
        failure(info({"ETCD_ENDPOINTS": stored.url}, calicoctl_config=path), path, "spec names no etcd server")


def test_a_misplaced_key_does_not_lead_to_another_datastore(stored, file):
    """What is in the environment would be written to."""
    env = {"ETCD_ENDPOINTS": stored.url}
    for spec in ('{"etcdEndpoints": "%s"}' % WRONG, '{"spec": {}, "metadata": {"etcdEndpoints": "%s"}}' % WRONG):
        path = file('{"apiVersion": "v1", "kind": "calicoApiConfig", ' + spec[1:])
        before = stored.tree()
        result = run_module(APPLY, dict(ETH0, name="eth1", calicoctl_config=path), env=env)
        failure(result, "calicoctl_config %s: etcdEndpoints belongs below spec" % path)
        assert stored.tree() == before


def test_settings_come_from_several_places_at_once(with_users, file):
    env = {"ETCD_PASSWORD": "right", "ETCD_USERNAME": "stranger", "ETCD_ENDPOINTS": WRONG}
    assert reaches_it(info(env, etcd_endpoints=with_users.url, calicoctl_config=file(v1(etcdUsername="settings"))))


def test_where_the_file_is(stored, file, tmp_path):
    right, wrong = file(v1(etcdEndpoints=stored.url)), file(v1(etcdEndpoints=WRONG), "other.cfg")
    assert reaches_it(info({"CALICOCTL_CONFIG": right, "ETCD_ENDPOINTS": WRONG}))
    assert reaches_it(info({"CALICOCTL_CONFIG": wrong}, calicoctl_config=right))
    assert reaches_it(info({"HOME": str(tmp_path)}, calicoctl_config="~/calicoctl.cfg"))
    assert reaches_it(info({"WHERE": str(tmp_path)}, calicoctl_config="$WHERE/calicoctl.cfg"))


# The older way to say one endpoint, and several endpoints in one text


def test_scheme_and_authority_in_the_environment(stored):
    authority = stored.url.split("//")[1]
    assert reaches_it(info({"ETCD_AUTHORITY": authority}))
    assert reaches_it(info({"ETCD_AUTHORITY": authority, "ETCD_SCHEME": "http"}))
    assert reaches_it(info({"CALICO_ETCD_AUTHORITY": authority, "ETCD_AUTHORITY": "127.0.0.1:1"}))
    assert reaches_it(info({"ETCD_AUTHORITY": authority, "ETCD_SCHEME": "https", "CALICO_ETCD_SCHEME": "http"}))
    # A list of endpoints comes first, as with calicoctl.
    assert reaches_it(info({"CALICO_ETCD_AUTHORITY": "127.0.0.1:1", "ETCD_ENDPOINTS": stored.url}))
    failure(info({"ETCD_AUTHORITY": "127.0.0.1:1", "ETCD_SCHEME": "https"}), "https://127.0.0.1:1", "environment")


def test_scheme_and_authority_in_the_file(stored, file):
    authority = stored.url.split("//")[1]
    assert reaches_it(info({"ETCD_ENDPOINTS": WRONG}, calicoctl_config=file(v1(etcdAuthority=authority))))
    both = v1(etcdAuthority=authority, etcdScheme="http")
    assert reaches_it(info(calicoctl_config=file(both)))
    assert reaches_it(info(calicoctl_config=file(v1(etcdAuthority="127.0.0.1:1", etcdEndpoints=stored.url))))
    path = file(v1(etcdAuthority="127.0.0.1:1", etcdScheme="https"))
    failure(info(calicoctl_config=path), "https://127.0.0.1:1", "etcd_endpoints from: file " + path)


@pytest.mark.parametrize("text", ["{0},{1}", "{0}, {1}", " {0} ,\t{1} ,", "{1}/"])
def test_endpoints_in_one_text(stored, file, text):
    several = text.format(WRONG, stored.url)
    assert reaches_it(info(etcd_endpoints=several))
    assert reaches_it(info({"ETCD_ENDPOINTS": several}))
    assert reaches_it(info(calicoctl_config=file(v1(etcdEndpoints=several))))


def test_endpoints_in_a_list(stored, file):
    assert reaches_it(info(etcd_endpoints=[WRONG, " %s/ " % stored.url, ""]))
    # calicoctl takes no list in its file.
    failure(info(calicoctl_config=file(v1(etcdEndpoints=[WRONG, stored.url]))), "spec.etcdEndpoints is not a string")


def test_a_name_a_port_and_ipv6_are_kept():
    for url in ("http://localhost:1", "http://[::1]:1"):
        failure(info(etcd_endpoints=url), url + ":", "refused")


@pytest.mark.parametrize(
    "url, rule",
    [
        ("127.0.0.1:2379", "http://HOST:PORT or https://HOST:PORT"),
        ("localhost", "http://HOST:PORT or https://HOST:PORT"),
        ("ftp://etcd:2379", "http://HOST:PORT or https://HOST:PORT"),
        ("unix:///run/etcd", "http://HOST:PORT or https://HOST:PORT"),
        ("http://", "http://HOST:PORT or https://HOST:PORT"),
        ("http://:2379", "http://HOST:PORT or https://HOST:PORT"),
        ("http://etcd:99999", "is not a URL"),
        ("http://etcd:port", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://etcd:2379/v2", "more than scheme, host and port"),
        ("http://etcd:2379?a=b", "more than scheme, host and port"),
        ("http://etcd:2379#a", "more than scheme, host and port"),
        (",", "names no endpoint"),
        (" ", "names no endpoint"),
    ],
)
def test_what_is_no_endpoint(file, url, rule):
    failure(info(etcd_endpoints=url), "etcd_endpoints (option)", url.strip(" ,"), rule)
    failure(info({"ETCD_ENDPOINTS": url}), "etcd_endpoints (environment)", url.strip(" ,"), rule)
    path = file(v1(etcdEndpoints=url))
    failure(info(calicoctl_config=path), "etcd_endpoints (file %s)" % path, url.strip(" ,"), rule)


def test_user_and_password_in_a_url():
    for options, env in (
        ({"etcd_endpoints": "http://reader:geheim@etcd:2379"}, {}),
        ({}, {"ETCD_ENDPOINTS": "http://reader:geheim@etcd:2379"}),
        ({"etcd_endpoints": "http://reader:geheim/x@etcd:2379"}, {}),
        ({"etcd_endpoints": "http://reader:ge,heim@etcd:2379"}, {}),
    ):
        result = info(env, **options)
        failure(result, "etcd_endpoints", "a URL contains a user", "etcd_username and etcd_password")
        assert "heim" not in json.dumps(result)


# Users, certificates, seconds


def test_half_of_a_pair(file):
    failure(info(etcd_username="reader"), "etcd_username (option)", "without etcd_password")
    failure(info(etcd_password="geheim"), "etcd_password (option)", "without etcd_username")
    failure(info({"ETCD_USERNAME": "reader"}), "etcd_username (environment)", "without etcd_password")
    path = file(v1(etcdEndpoints=WRONG, etcdUsername="reader"))
    failure(info(calicoctl_config=path), "etcd_username (file %s)" % path, "without etcd_password")
    failure(info(etcd_key_file="/nowhere"), "etcd_key_file (option)", "without etcd_cert_file")


def test_a_user_name_with_a_colon():
    failure(info(etcd_username="a:b", etcd_password="geheim"), "etcd_username", "colon")


@pytest.mark.parametrize("name", ["etcd_ca_cert_file", "etcd_cert_file"])
def test_where_the_name_of_a_missing_certificate_comes_from(file, name):
    """Nobody looks for it in the environment of a service."""
    failure(info({name.upper(): "/nowhere"}), name, "/nowhere", "environment")
    path = file(v1(**{SETTINGS[name]: "/nowhere", "etcdEndpoints": WRONG}))
    failure(info(calicoctl_config=path), name, "/nowhere", path)


@pytest.mark.parametrize("timeout", [0, -1, -0.5, "0", "nan", "inf", "1e300", 10**12])
def test_what_is_no_timeout(timeout):
    failure(info(timeout=timeout, etcd_endpoints=WRONG), "timeout", "number of seconds")


def test_a_timeout_of_another_type():
    failure(info(timeout="soon"), "timeout", "float")


# The file


def test_both_generations_of_the_file(stored, file):
    assert reaches_it(info(calicoctl_config=file(v1(etcdEndpoints=stored.url))))
    assert reaches_it(info(calicoctl_config=file(v3(etcdEndpoints=stored.url, datastoreType="etcdv2"))))
    # calicoctl v3 means another datastore when it says none; an option decides.
    path = file(v3(etcdEndpoints=stored.url))
    assert info(calicoctl_config=path)["hostendpoints"] == []
    assert reaches_it(info(calicoctl_config=path, datastore_type="etcdv2"))
    failure(info(calicoctl_config=file(v3())), "spec names no etcd server", "set datastoreType to kubernetes")
    path = file(v3(datastoreType="kubernetes"))
    failure(
        info(calicoctl_config=path), "datastore_type (file %s) is kubernetes" % path, "no Kubernetes cluster is given"
    )


def test_a_file_as_people_write_it(stored, file):
    text = """\
# calicoctl.cfg
apiVersion: v1
kind: calicoApiConfig
metadata:
spec:
  datastoreType: "etcdv2"
  etcdEndpoints: "{0},{1}"
  kubeconfig: ""
  k8sAPIEndpoint: ""
"""
    assert reaches_it(info(calicoctl_config=file(text.format(WRONG, stored.url))))
    assert reaches_it(info(calicoctl_config=file("\ufeff" + text.format(WRONG, stored.url))))


def test_a_number_in_the_file_is_no_text_as_calicoctl_has_it(with_users, file):
    content = {"etcdEndpoints": with_users.url, "etcdUsername": "1000", "etcdPassword": "12345"}
    assert reaches_it(info(calicoctl_config=file(v1(**content))))
    content["etcdPassword"] = 12345
    path = file(v1(**content))
    message = failure(info(calicoctl_config=path), path, "spec.etcdPassword is not a string; put its value in quotes")
    assert "12345" not in message


HEAD = '{"apiVersion": "v1", "kind": "calicoApiConfig", "spec": %s}'
BAD_FILES = {
    "empty": ("", "it is not a mapping"),
    "a list": ("[1, 2]", "it is not a mapping"),
    "a word": ("hello", "it is not a mapping"),
    "no YAML": ("spec: [a", "is not YAML"),
    "a tab": ("spec:\n\t- a", "is not YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", "apiVersion None"),
    "a key twice": ("a: geheim\na: 2\n", "a is given twice, first on line 1; keep one of the two"),
    "a Python object": ('!!python/object/apply:os.system ["true"]', "a tag is not supported"),
    "not UTF-8": (b"spec: \xe4\xf6", "is not UTF-8"),
    "binary": (bytes(range(256)), ""),
    "another kind": ('{"apiVersion": "v1", "kind": "policy"}', "'policy'", "kind: calicoApiConfig"),
    "mixed generations": ('{"apiVersion": "v1", "kind": "CalicoAPIConfig"}', "'v1'", "kind: calicoApiConfig"),
    "another version": ('{"apiVersion": "v2", "kind": "calicoApiConfig"}', "'v2'", "apiVersion: v1"),
    "no version": ('{"kind": "calicoApiConfig"}', "None", "apiVersion: v1"),
    "no kind": ('{"apiVersion": "v1"}', "None", "kind: calicoApiConfig"),
    "neither": ("{}", "projectcalico.org/v3", "CalicoAPIConfig"),
    "a list of versions": ('{"apiVersion": ["v1"], "kind": "calicoApiConfig"}', "['v1']", "apiVersion: v1"),
    "a mapping for a version": ('{"apiVersion": {"a": 1}, "kind": "calicoApiConfig"}', "apiVersion: v1"),
    "spec is a list": (HEAD % "[1]", "spec is not a mapping"),
    "spec is a text": (HEAD % '"etcd"', "spec is not a mapping"),
    "a misspelt key": (v1(etcdEndpoint="http://etcd:2379"), "spec.etcdEndpoint is unknown to calicoctl"),
    "a number for a key": ("apiVersion: v1\nkind: calicoApiConfig\nspec:\n  5: x\n", "spec.5 is unknown"),
    "a number for endpoints": (v1(etcdEndpoints=5), "etcd"),
    "a mapping for endpoints": (v1(etcdEndpoints={"a": "b"}), "etcd"),
    "a list for a password": (v1(etcdUsername="a", etcdPassword=["geheim"]), "etcd"),
    "a mapping for a user": (v1(etcdUsername={"a": "b"}, etcdPassword="geheim"), "etcd"),
    "a number for a path": (v1(etcdCACertFile=5), "etcd"),
    "a list for a path": (v1(etcdCACertFile=["/nowhere"]), "etcd"),
    "a list for the type": (v1(datastoreType=["etcdv2"]), "datastore"),
    "kubernetes": (v1(datastoreType="kubernetes"), "no Kubernetes cluster is given"),
    "discovery": (
        v3(etcdDiscoverySrv="example.com"),
        "spec.etcdDiscoverySrv is not supported",
        "set the option etcd_endpoints or spec.etcdEndpoints to the servers' URLs",
    ),
    "an inline key": (
        v3(etcdKey="-----BEGIN geheim"),
        "spec.etcdKey is not supported",
        "set the option etcd_key_file or spec.etcdKeyFile to the path of a file",
    ),
    "an inline certificate": (v3(etcdCert="-----BEGIN"), "spec.etcdCert is not", "etcd_cert_file", "etcdCertFile"),
    "one in a v1 file": (
        v1(etcdCert="-----BEGIN"),
        "spec.etcdCert is not a key of apiVersion v1, but of projectcalico",
    ),
    "an inline authority": (v3(etcdCACert="----"), "spec.etcdCACert is not", "etcd_ca_cert_file", "etcdCACertFile"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file(file, case):
    content, *parts = BAD_FILES[case]
    path = file(content)
    for result in (info(calicoctl_config=path), info({"CALICOCTL_CONFIG": path})):
        failure(result, path, *parts)
        assert "geheim" not in json.dumps(result)


def test_a_file_that_cannot_be_read(tmp_path):
    missing = str(tmp_path / "none.cfg")
    for result in (info(calicoctl_config=missing), info({"CALICOCTL_CONFIG": missing})):
        failure(result, "calicoctl_config", missing, "No such file or directory")
    failure(info(calicoctl_config=str(tmp_path)), "calicoctl_config", str(tmp_path), "Is a directory")


# Real runs of Ansible

PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "ignore_errors": True,
        "module_defaults": {
            "group/netsec.calico.calico": {"etcd_endpoints": ["{{ dead }}", "{{ url }}"], "timeout": PATIENT}
        },
        "tasks": [
            {"name": "apply", "netsec.calico.calico_hostendpoint": dict(ETH0, labels={"number": 5})},
            {"name": "again", "netsec.calico.calico_hostendpoint": dict(ETH0, labels={"number": 5})},
            {"name": "info", "netsec.calico.calico_hostendpoint_info": {"node": "myhost"}},
            {"name": "elsewhere", "netsec.calico.calico_hostendpoint_info": {"etcd_endpoints": "{{ other }},"}},
            {"name": "nobody there", "netsec.calico.calico_hostendpoint_info": {"etcd_endpoints": "{{ dead }}"}},
        ],
    },
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"name": "environment", "netsec.calico.calico_hostendpoint_info": {"timeout": PATIENT}},
            {
                "name": "environment of the task",
                "netsec.calico.calico_hostendpoint_info": {"timeout": PATIENT},
                "environment": {"CALICO_ETCD_ENDPOINTS": "{{ other }}"},
            },
        ],
    },
]


@one_etcd
def test_in_playbooks(etcd, etcd_binary):
    dead = "http://127.0.0.1:%d" % free_port()
    with EtcdServer(etcd_binary) as other:
        for server in (etcd, other):
            server.put("/calico/v1/Ready", "true")
        other.put(KEY.replace("eth0", "eth1"), VALUE)
        variables = {"url": etcd.url, "other": other.url, "dead": dead}
        run = run_playbook(PLAYBOOK, extra_args=["-e", json.dumps(variables)], env={"ETCD_ENDPOINTS": etcd.url})
    assert (run.result("apply")["operation"], run.result("again")["changed"]) == ("create", False), run
    assert json.loads(etcd.get(KEY)) == {"name": "eth0", "labels": {"number": "5"}}

    def names(task):
        return [each["name"] for each in run.result(task)["hostendpoints"]]

    assert (names("info"), names("elsewhere"), names("environment")) == (["eth0"], ["eth1"], ["eth0"])
    assert names("environment of the task") == ["eth1"]
    failure(dict(run.result("nobody there"), failed=True), dead, "refused", "etcd_endpoints from: option")
    assert run.stats["localhost"]["failures"] == 0 and run.stats["localhost"]["ignored"] == 1
