# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings


def settings(environment=None, **options):
    return build_settings(options, environment or {})


def message(environment=None, **options):
    with pytest.raises(InvalidInput) as error:
        settings(environment, **options)
    return str(error.value)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "calicoctl.cfg"
        path.write_text(text)
        return str(path)

    return write


V1_FILE = """
apiVersion: v1
kind: calicoApiConfig
spec:
  datastoreType: etcdv2
  etcdEndpoints: https://a:2379, https://b:2379
  etcdUsername: file
  etcdPassword: secret
  k8sAPIEndpoint: https://ignored
"""


def test_defaults():
    found = settings()
    assert (found.datastore_type, found.etcd_endpoints, found.timeout) == ("etcdv2", ("http://127.0.0.1:2379",), 10.0)


def test_an_option_beats_the_file_and_the_file_beats_the_environment(config):
    environment = {
        "ETCD_ENDPOINTS": "http://env:1",
        "ETCD_USERNAME": "env",
        "ETCD_PASSWORD": "env",
        "ETCD_CERT_FILE": "env",
    }
    found = settings(environment, calicoctl_config=config(V1_FILE), etcd_username="option")
    assert found.etcd_endpoints == ("https://a:2379", "https://b:2379")
    assert (found.etcd_username, found.etcd_password, found.etcd_cert_file) == ("option", "secret", "env")
    assert found.sources["etcd_username"] == "option"
    assert found.sources["etcd_cert_file"] == "environment"
    assert found.sources["etcd_endpoints"].startswith("file ")


def test_the_prefixed_variable_beats_the_bare_one():
    environment = {"ETCD_ENDPOINTS": "http://bare:1", "CALICO_ETCD_ENDPOINTS": "http://prefixed:1"}
    assert settings(environment).etcd_endpoints == ("http://prefixed:1",)


def test_a_prefixed_variable_that_is_empty_hides_the_bare_one():
    """calicoctl, too, looks at the bare one only where the other one is not set."""
    environment = {"ETCD_USERNAME": "bare", "ETCD_PASSWORD": "bare"}
    hidden = {"CALICO_ETCD_USERNAME": "", "CALICO_ETCD_PASSWORD": ""}
    assert settings(environment).etcd_username == "bare"
    assert settings(dict(environment, **hidden)).etcd_username == ""


def test_scheme_and_authority_make_an_endpoint(config):
    assert settings({"ETCD_AUTHORITY": "etcd:4001"}).etcd_endpoints == ("http://etcd:4001",)
    environment = {"ETCD_AUTHORITY": "etcd:4001", "CALICO_ETCD_SCHEME": "https"}
    assert settings(environment).etcd_endpoints == ("https://etcd:4001",)
    assert settings(dict(environment, ETCD_ENDPOINTS="http://wins:1")).etcd_endpoints == ("http://wins:1",)
    assert settings({"ETCD_SCHEME": "https"}).etcd_endpoints == ("https://127.0.0.1:2379",)
    path = config("apiVersion: v1\nkind: calicoApiConfig\nspec: {etcdScheme: https, etcdAuthority: 'etcd:1'}")
    assert settings(calicoctl_config=path).etcd_endpoints == ("https://etcd:1",)


def test_the_environment_names_the_file(config):
    assert settings({"CALICOCTL_CONFIG": config(V1_FILE)}).etcd_username == "file"


def test_a_v3_file_means_a_v3_datastore_unless_it_or_the_task_says_otherwise(config):
    text = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {etcdEndpoints: 'http://a:1'}"
    assert settings(calicoctl_config=config(text)).datastore_type == "etcdv3"
    assert settings(calicoctl_config=config(text), datastore_type="etcdv2").etcd_endpoints == ("http://a:1",)


@pytest.mark.parametrize(
    "given, endpoints",
    [
        (["http://a:1", "http://b:2/"], ("http://a:1", "http://b:2")),
        ("http://a:1, https://b:2", ("http://a:1", "https://b:2")),
        (["https://a"], ("https://a:443",)),
        (["http://[::1]:2379"], ("http://[::1]:2379",)),
        (["http://a:1", "http://a:1"], ("http://a:1",)),
    ],
)
def test_endpoints(given, endpoints):
    assert settings(etcd_endpoints=given).etcd_endpoints == endpoints


@pytest.mark.parametrize(
    "url, rule",
    [
        ("etcd:2379", "is not a URL of an etcd server"),
        ("http://", "is not a URL of an etcd server"),
        ("http://a:1/v2", "more than scheme, host and port"),
        ("http://a:99999", "is not a URL"),
        ("unix:///run/etcd", "is not a URL of an etcd server"),
    ],
)
def test_what_is_no_endpoint_is_named_with_its_source(url, rule):
    text = message({"ETCD_ENDPOINTS": url})
    assert text.startswith("etcd_endpoints (environment): ")
    assert rule in text


def test_a_password_in_a_url_is_refused_and_not_repeated():
    text = message(etcd_endpoints=["http://user:hunter2@a:1"])
    assert "set etcd_username and etcd_password instead" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[]", "it is not a mapping"),
        ("a: [", "is not YAML"),
        ("{}", "is not a calicoctl configuration; calicoctl accepts apiVersion: v1 with kind: calicoApiConfig or"),
        ("apiVersion: v1\nkind: CalicoAPIConfig", "is not a calicoctl configuration"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: []x", "is not YAML"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: [x]", "spec is not a mapping"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: {etcdEndpoint: x}", "spec.etcdEndpoint is unknown"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: {etcdEndpoint: x}", "did you mean etcdEndpoints?"),
        (
            "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec: {etcdDiscoverySrv: x}",
            "spec.etcdDiscoverySrv is not supported",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named(config, text, problem):
    path = config(text)
    assert message(calicoctl_config=path).startswith("calicoctl_config {0}: ".format(path))
    assert problem in message(calicoctl_config=path)


@pytest.mark.parametrize(
    "key, option",
    [
        ("etcdDiscoverySrv", {"etcd_endpoints": "http://a:1"}),
        ("etcdKey", {"etcd_key_file": "k"}),
        ("etcdCert", {"etcd_cert_file": "c"}),
        ("etcdCACert", {"etcd_ca_cert_file": "ca"}),
    ],
)
def test_an_option_takes_the_place_of_what_is_not_supported_in_a_file(config, key, option):
    head = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n"
    text = head + "spec: {datastoreType: etcdv3, etcdEndpoints: x, %s: y}" % key
    options = dict({"etcd_endpoints": "http://b:2", "etcd_cert_file": "c"}, **option)
    found = settings(calicoctl_config=config(text), **options)
    assert all(getattr(found, name) in (value, (value,)) for name, value in options.items())
    assert found.datastore_type == "etcdv3"


def test_a_domain_in_the_environment_is_not_passed_over():
    """What would be asked instead is this machine."""
    domain = {"ETCD_DISCOVERY_SRV": "example.com"}
    assert "'example.com' is not looked up; set etcd_endpoints to the servers' URLs" in message(domain)
    assert settings(domain, etcd_endpoints="http://a:1").etcd_endpoints == ("http://a:1",)


def test_a_file_that_is_not_there():
    assert message(calicoctl_config="/nowhere/x") == "calicoctl_config /nowhere/x: No such file or directory"


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"etcd_username": "u"}, "etcd_username (option) is given without etcd_password"),
        ({"etcd_password": "p"}, "etcd_password (option) is given without etcd_username"),
        ({"etcd_key_file": "k"}, "etcd_key_file (option) is given without etcd_cert_file"),
        ({"etcd_username": "a:b", "etcd_password": "p"}, "does not allow a colon"),
        ({"timeout": 0}, "timeout: 0 is not a number of seconds above 0"),
    ],
)
def test_settings_that_do_not_go_together(options, problem):
    assert problem in message(**options)


def test_an_unknown_datastore_type_from_the_environment():
    assert "datastore_type (environment): 'etcd3' is not a datastore type" in message({"DATASTORE_TYPE": "etcd3"})
    assert "'ETCDV3' is not a datastore type" in message({"CALICO_DATASTORE_TYPE": "ETCDV3"})


# --- A file is read as calicoctl reads it ---

VECTORS = Path(__file__).resolve().parents[4] / "vectors" / "calicoctl_config.jsonl"
# What calicoctl v1.6.5 and v3.32 make of files: datastore type and endpoints, or an error.
ROWS = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]
# What calicoctl accepts and the collection does not, and a part of the message.
STRICTER = {
    ("v1", "duplicate key"): "spec.etcdEndpoints is given twice, first on line",
    ("v1", "duplicate spec"): "spec is given twice, first on line",
    ("v3", "both cases"): "spec.etcdEndpoints appears twice",
    ("v3", "inline certs"): "spec.etcdKey is not supported",
    ("v3", "discovery"): "spec.etcdDiscoverySrv is not supported",
}
# The other way round. What it means is plain, or it is of no use to the collection.
LOOSER = {
    ("v1", "the other type"): ("etcdv3", ("http://etcd:2379",)),
    ("v3", "the other type"): ("etcdv2", ("http://etcd:2379",)),
    # Of v3.0 and v3.1.
    ("v3", "alphafeatures"): ("etcdv3", ("http://etcd:2379",)),
}
# Those that name the type or a cluster. calicoctl takes every other file without etcd servers for Kubernetes, too.
KUBERNETES = ("kubernetes", "kubernetes with endpoints", "k8s endpoint without type")
# Where else a datastore is, which nobody shall be led to.
ELSEWHERE = {
    "DATASTORE_TYPE": "etcdv3",
    "CALICO_DATASTORE_TYPE": "etcdv3",
    "ETCD_ENDPOINTS": "http://elsewhere:1",
    "CALICO_ETCD_AUTHORITY": "elsewhere:1",
    "ETCD_DISCOVERY_SRV": "elsewhere",
}


def file_id(row):
    return "{generation}: {id}".format(**row)


@pytest.mark.parametrize("row", ROWS, ids=map(file_id, ROWS))
def test_a_file_means_what_it_means_for_calicoctl(config, row):
    key, path = (row["generation"], row["id"]), config(row["text"])
    if key in LOOSER:
        assert "error" in row
        expected = LOOSER[key]
    elif row["id"] in KUBERNETES and row.get("type") == "kubernetes":
        for environment in ({}, ELSEWHERE):
            assert settings(environment, calicoctl_config=path).datastore_type == row["type"] == "kubernetes"
        return
    elif "error" in row or key in STRICTER or row["type"] == "kubernetes":
        for environment in ({}, ELSEWHERE):
            text = message(environment, calicoctl_config=path)
            assert path in text and STRICTER.get(key, "") in text
        return
    else:
        endpoints = row["endpoints"].replace(" ", "").split(",")
        # calicoctl v1 wants the scheme with it, but then has none.
        expected = row["type"], tuple("http" + url if url.startswith(":") else url for url in endpoints)
    for environment in ({}, ELSEWHERE):
        found = settings(environment, calicoctl_config=path)
        assert (found.datastore_type, found.etcd_endpoints) == expected


V1_HEAD, V3_HEAD = (
    "apiVersion: v1\nkind: calicoApiConfig\n",
    "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\n",
)


@pytest.mark.parametrize("head", [V1_HEAD, V3_HEAD], ids=["v1", "v3"])
@pytest.mark.parametrize(
    "text, problem",
    [
        ("etcdEndpoints: http://a:1", "etcdEndpoints belongs below spec, not at the top level"),
        (
            "metadata:\netcdEndpoints: http://a:1\netcdUsername: hunter2",
            "etcdEndpoints and etcdUsername belong below spec, not at the top level",
        ),
        ("metadata: {ETCDENDPOINTS: http://a:1}", "ETCDENDPOINTS belongs below spec, not below metadata"),
        ("metadata: {datastoreType: etcdv2, etcdEndpoints: x}", "datastoreType and etcdEndpoints belong below spec"),
        ("spec: {etcd: {etcdEndpoints: x}}", "spec.etcd is unknown to calicoctl"),
        ("spec: {etcdEndpoints: 'http://a:1', foo: }", "spec.foo is unknown to calicoctl"),
        ("spec: {spec: {etcdEndpoints: x}}", "spec.spec is unknown to calicoctl"),
        ("foo: bar\nspec: {etcdEndpoints: x}", "foo is unknown to calicoctl"),
        ("metadata: {foo: bar}", "metadata.foo is unknown to calicoctl"),
        ("metadata: x", "metadata is not a mapping"),
        ("", "spec names no etcd server; add etcdEndpoints to it, or set the option etcd_endpoints"),
        ("spec: {etcdUsername: hunter2, etcdPassword: hunter2}", "spec names no etcd server"),
        ("spec: {k8sDisableNodePoll: 'true'}", "spec names no etcd server"),
        ("spec: {etcdEndpoints: x, etcdPassword: 5}", "spec.etcdPassword is not a string; put its value in quotes"),
    ],
)
def test_keys_in_the_wrong_place_are_named_with_the_right_one(config, head, text, problem):
    path = config(head + text)
    for environment in ({}, ELSEWHERE):
        found = message(environment, calicoctl_config=path)
        assert found.startswith("calicoctl_config {0}: ".format(path))
        assert problem in found and "hunter2" not in found


def test_a_key_of_the_other_generation(config):
    path = config(V1_HEAD + "spec: {etcdEndpoints: 'http://a:1', usePodCIDR: true}")
    assert "spec.usePodCIDR is not a key of apiVersion v1, but of projectcalico.org/v3" in message(
        calicoctl_config=path
    )
    path = config(V3_HEAD + "spec: {etcdAuthority: 'a:1'}")
    assert "spec.etcdAuthority is not a key of apiVersion projectcalico.org/v3, but of v1" in message(
        calicoctl_config=path
    )


def test_all_that_is_wrong_with_a_file_is_named_at_once(config):
    text = message(calicoctl_config=config(V1_HEAD + "foo: x\nmetadata: {etcdEndpoints: x}\nspec: {bar: x}"))
    assert all(part in text for part in ("foo is unknown", "etcdEndpoints belongs below spec", "spec.bar is unknown"))


def test_users_and_certificates_may_come_from_elsewhere_but_not_the_datastore(config):
    path = config(V1_HEAD + "spec: {etcdUsername: file}")
    environment = dict(ELSEWHERE, ETCD_PASSWORD="env", ETCD_CA_CERT_FILE="env")
    assert "names no etcd server" in message(environment, calicoctl_config=path)
    found = settings(environment, calicoctl_config=path, etcd_endpoints="http://a:1")
    assert (found.datastore_type, found.etcd_endpoints) == ("etcdv2", ("http://a:1",))
    assert (found.etcd_username, found.etcd_password, found.etcd_ca_cert_file) == ("file", "env", "env")
    found = settings(ELSEWHERE, calicoctl_config=config(V3_HEAD), etcd_endpoints="http://a:1")
    assert found.datastore_type == "etcdv3"


# --- The environment ---


@pytest.mark.parametrize(
    "environment, setting",
    [
        ({"ETCD_ENDPOINTS": ""}, "etcd_endpoints"),
        ({"CALICO_ETCD_ENDPOINTS": ""}, "etcd_endpoints"),
        ({"CALICO_ETCD_ENDPOINTS": "", "ETCD_ENDPOINTS": "http://a:1"}, "etcd_endpoints"),
        ({"ETCD_AUTHORITY": ""}, "etcd_endpoints"),
        ({"ETCD_AUTHORITY": "", "ETCD_SCHEME": "https"}, "etcd_endpoints"),
        ({"ETCD_ENDPOINTS": "", "ETCD_SCHEME": "https"}, "etcd_endpoints"),
        ({"CALICO_ETCD_AUTHORITY": "", "ETCD_AUTHORITY": "a:1"}, "etcd_endpoints"),
        ({"CALICOCTL_CONFIG": ""}, "etcd_endpoints"),
        ({"DATASTORE_TYPE": ""}, "datastore_type"),
        ({"CALICO_DATASTORE_TYPE": "", "DATASTORE_TYPE": "etcdv3"}, "datastore_type"),
    ],
)
def test_the_default_datastore_is_not_taken_for_one_that_is_named_by_nothing(config, environment, setting):
    text = message(environment)
    assert text.startswith("{0}: {1} (environment) is empty".format(setting, next(iter(environment))))
    # One that beats it has a name.
    given = {"etcd_endpoints": "http://b:1", "datastore_type": "etcdv3"}
    assert settings(environment, **given).etcd_endpoints == ("http://b:1",)
    assert settings(environment, calicoctl_config=config(V1_FILE)).datastore_type == "etcdv2"


def test_an_empty_file_name_does_not_mean_the_default_datastore():
    assert message(calicoctl_config="").startswith("etcd_endpoints: calicoctl_config (option) is empty")
    assert settings({"ETCD_ENDPOINTS": "http://a:1"}, calicoctl_config="").etcd_endpoints == ("http://a:1",)


def test_a_domain_with_the_prefix_is_not_passed_over():
    domain = {"CALICO_ETCD_DISCOVERY_SRV": "example.com"}
    assert "'example.com' is not looked up" in message(domain)
    # calicoctl refuses both, too.
    assert "'example.com' is not looked up" in message(dict(domain, ETCD_ENDPOINTS="http://a:1"))
    assert settings(domain, etcd_endpoints="http://a:1").etcd_endpoints == ("http://a:1",)
