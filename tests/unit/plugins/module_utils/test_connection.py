# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._connection import settings_from
from ansible_collections.netsec.calico.plugins.module_utils._errors import InvalidInput


def settings(environment=None, **options):
    return settings_from(options, environment or {})


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
    assert settings(dict(environment, CALICO_ETCD_ENDPOINTS="")).etcd_endpoints == ("http://bare:1",)


def test_scheme_and_authority_make_an_endpoint(config):
    assert settings({"ETCD_AUTHORITY": "etcd:4001"}).etcd_endpoints == ("http://etcd:4001",)
    environment = {"ETCD_AUTHORITY": "etcd:4001", "CALICO_ETCD_SCHEME": "https"}
    assert settings(environment).etcd_endpoints == ("https://etcd:4001",)
    assert settings(dict(environment, ETCD_ENDPOINTS="http://wins:1")).etcd_endpoints == ("http://wins:1",)
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
    assert "give etcd_username and etcd_password instead" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[]", "holds no mapping"),
        ("a: [", "is not YAML"),
        ("{}", "is not a calicoctl configuration: it takes apiVersion: v1 with kind: calicoApiConfig or"),
        ("apiVersion: v1\nkind: CalicoAPIConfig", "is not a calicoctl configuration"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: []x", "is not YAML"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: [x]", "spec is not a mapping"),
        ("apiVersion: v1\nkind: calicoApiConfig\nspec: {etcdEndpoint: x}", "spec.etcdEndpoint is unknown"),
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
    assert "'example.com' is not looked up: give the servers' URLs as etcd_endpoints" in message(domain)
    assert settings(domain, etcd_endpoints="http://a:1").etcd_endpoints == ("http://a:1",)


def test_a_file_that_is_not_there():
    assert message(calicoctl_config="/nowhere/x") == "calicoctl_config /nowhere/x: No such file or directory"


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"etcd_username": "u"}, "etcd_username (option) is given without etcd_password"),
        ({"etcd_password": "p"}, "etcd_password (option) is given without etcd_username"),
        ({"etcd_key_file": "k"}, "etcd_key_file (option) is given without etcd_cert_file"),
        ({"etcd_username": "a:b", "etcd_password": "p"}, "no place for a colon"),
        ({"timeout": 0}, "timeout: 0 is not a number of seconds above 0"),
    ],
)
def test_settings_that_do_not_go_together(options, problem):
    assert problem in message(**options)


def test_a_datastore_from_the_environment_that_is_not_supported():
    assert "datastore_type (environment): 'kubernetes' is not supported" in message({"DATASTORE_TYPE": "kubernetes"})
