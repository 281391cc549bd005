# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: which file is wrong is said before anything is sent, and who does not trust whom afterwards."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.harness.certificates import Certificate, CertificateAuthority
from tests.harness.datastore import DATASTORES
from tests.harness.etcd import EtcdServer, binary_version
from tests.harness.module import run_module, run_playbook
from tests.harness.pace import PATIENT, Waits, stretched
from tests.harness.process import free_port
from tests.harness.wire import listening, pass_on
from tests.integration.tasks import NAMED, connection, failure, one_etcd, only_etcdv2, only_etcdv3

APPLY, INFO, SET = "calico_hostendpoint", "calico_hostendpoint_info", "calico_hostendpoints"
ETH0 = dict(NAMED, interface_name="eth0")
LABELS = {"role": "new"}
NEW = dict(ETH0, labels=LABELS)
DAY = datetime.timedelta(days=1)
FILES = ("etcd_ca_cert_file", "etcd_cert_file", "etcd_key_file")


@pytest.fixture(scope="session")
def client(certificates):
    return certificates.client("tls-client")


@pytest.fixture
def files(client):
    """The options that name the right files."""
    return {"etcd_ca_cert_file": client.ca, "etcd_cert_file": client.cert, "etcd_key_file": client.key}


@pytest.fixture(scope="session")
def strangers(tmp_path_factory):
    """Another authority."""
    return CertificateAuthority(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture
def store(tls_datastore):
    tls_datastore.put_endpoint(ETH0)
    return tls_datastore


@pytest.fixture
def nowhere(files):
    """A server that is not there: what a file is, is said before anything is sent to it."""
    return dict(files, etcd_endpoints="https://127.0.0.1:%d" % free_port())


def info(options, env=None):
    return run_module(INFO, dict({"timeout": PATIENT}, **options), env=env)


def apply(options, **how):
    return run_module(APPLY, dict(ETH0, timeout=PATIENT, **options), **how)


def reaches_it(result):
    assert not result["failed"], result
    return [each["name"] for each in result["hostendpoints"]] == ["n1-eth0"]


def without(options, *names):
    return {name: value for name, value in options.items() if name not in names}


# What works


def test_with_client_certificates(store, files):
    options = dict(files, **connection(store))
    assert reaches_it(info(options))
    assert apply(dict(options, labels=LABELS), check=True)["operation"] == "update"
    assert apply(dict(options, labels=LABELS))["operation"] == "update"
    assert store.stored() == store.tree_of([NEW])
    assert apply(dict(options, labels=LABELS))["changed"] is False
    assert apply(dict(options, state="absent"))["operation"] == "delete"
    assert store.stored() == {}


def test_by_name(store, files):
    url = store.url.replace("127.0.0.1", "LocalHost")
    assert reaches_it(info(dict(files, **dict(connection(store), etcd_endpoints=url))))


@pytest.mark.parametrize("order", ["certificate first", "key first"])
def test_certificate_and_key_in_one_file(store, client, tmp_path, order):
    parts = [Path(client.cert).read_bytes(), Path(client.key).read_bytes()]
    combined = tmp_path / "combined.pem"
    combined.write_bytes(b"".join(parts if order == "certificate first" else reversed(parts)))
    options = dict(connection(store), etcd_ca_cert_file=client.ca, etcd_cert_file=str(combined))
    assert reaches_it(info(options))
    assert reaches_it(info(dict(options, etcd_key_file=str(combined))))


def test_a_bundle_with_an_expired_authority(store, files, certificates, strangers, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(dated(strangers, -10 * DAY, -DAY) + Path(certificates.ca).read_bytes())
    assert reaches_it(info(dict(connection(store), **dict(files, etcd_ca_cert_file=str(bundle)))))


def test_files_from_the_environment_and_from_calicoctls_file(store, files, tmp_path):
    assert reaches_it(info(connection(store), {name.upper(): path for name, path in files.items()}))
    spec = {"etcdEndpoints": store.url, "datastoreType": store.type}
    spec.update(zip(("etcdCACertFile", "etcdCertFile", "etcdKeyFile"), (files[name] for name in FILES)))
    path = tmp_path / "calicoctl.cfg"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "calicoApiConfig", "spec": spec}))
    assert reaches_it(info({"calicoctl_config": str(path)}))


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """An authority without key usage and identifiers, as many private ones are. Python 3.13 refuses it by default."""
    return CertificateAuthority(tmp_path_factory.mktemp("plain"), "plain", is_plain=True)


def test_a_private_authority_without_key_usage(server, plain):
    client = plain.client("plain-client")
    files = {"etcd_ca_cert_file": plain.ca, "etcd_cert_file": client.cert, "etcd_key_file": client.key}
    with server(plain.server("plain-server"), client_auth=True) as etcd:
        options = dict(files, **connection(etcd))
        assert reaches_it(info(options))
        assert apply(dict(options, labels=LABELS))["operation"] == "update"
        endpoints = endpoints_of_three_transactions()
        assert not run_module(SET, dict(options, endpoints=endpoints, timeout=PATIENT))["failed"]


def test_a_private_authority_vouches_for_its_own_servers_only(server, plain, strangers):
    files = {"etcd_ca_cert_file": plain.ca}
    cases = [
        (strangers.server("strange"), "not trusted by etcd_ca_cert_file " + plain.ca),
        (plain.elsewhere(), "certificate is for another host"),
        (plain.server("late", expired=True), "expired"),
    ]
    for certificate, part in cases:
        with server(certificate) as etcd:
            refused(etcd, files, part)


def test_an_authority_of_the_system(server, certificates):
    """Nothing but the system's own authorities, to which OpenSSL's variable leads here."""
    with server(certificates.server("of the system")) as etcd:
        assert reaches_it(info(connection(etcd), {"SSL_CERT_FILE": certificates.ca}))
        failure(info(connection(etcd)), "not trusted", "the system's")


PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "ignore_errors": True,
        "module_defaults": {"group/netsec.calico.calico": "{{ options }}"},
        "tasks": [
            {"name": "apply", "netsec.calico.calico_hostendpoint": NEW},
            {"name": "info", "netsec.calico.calico_hostendpoint_info": {}},
            {"name": "no key", "netsec.calico.calico_hostendpoint_info": {"etcd_key_file": "/nowhere.pem"}},
        ],
    }
]


@one_etcd
def test_in_a_playbook(store, files):
    options = dict(files, timeout=PATIENT, **connection(store))
    run = run_playbook(PLAYBOOK, extra_args=["-e", json.dumps({"options": options})])
    assert run.result("apply")["operation"] == "update", run
    assert reaches_it(dict(run.result("info"), failed=False))
    failure(dict(run.result("no key"), failed=True), "etcd_key_file /nowhere.pem", "No such file")
    assert store.stored() == store.tree_of([NEW])


# Two connections, which etcdv3 has for a set


def endpoints_of_three_transactions():
    return [dict(ETH0, name="n1-e%03d" % number, interface_name="e%d" % number) for number in range(300)]


def splice(*ports):
    """A port: the first connection to it goes to the first of these, and so on, the last one taking all others."""
    ports = list(ports)

    def accept(listener, closing):
        with contextlib.ExitStack() as stack:
            while not closing.is_set():
                client = stack.enter_context(listener.accept()[0])
                port = ports.pop(0) if len(ports) > 1 else ports[0]
                server = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    return listening(accept)


@only_etcdv3
def test_a_set_over_two_connections(store, files):
    endpoints = endpoints_of_three_transactions()
    before = store.revision()
    with splice(store.port) as port:
        options = dict(files, **dict(connection(store), etcd_endpoints="https://127.0.0.1:%d" % port))
        result = run_module(SET, dict(options, endpoints=endpoints, timeout=PATIENT))
    assert not result["failed"], result["msg"]
    assert store.revision() - before == 3
    assert store.stored() == store.tree_of([ETH0, *endpoints])


@only_etcdv3
def test_the_second_connection_leads_to_somebody_who_is_not_trusted(store, server, files, strangers):
    """It is looked at as the first one is; what went over that one is told."""
    endpoints = endpoints_of_three_transactions()
    with server(strangers.server("second")) as alien:
        with splice(store.port, alien.port) as port:
            options = dict(files, **dict(connection(store), etcd_endpoints="https://127.0.0.1:%d" % port))
            result = run_module(SET, dict(options, endpoints=endpoints, timeout=PATIENT))
        assert alien.stored() == alien.tree_of([ETH0])
    assert result["failed"] and "its certificate is not trusted by etcd_ca_cert_file" in result["msg"]
    assert [len(result[part]) for part in ("changes", "failures", "not_attempted")] == [127, 127, 46]
    assert store.stored() == store.tree_of([ETH0, *endpoints[:127]])


@contextlib.contextmanager
def garbling(port, is_time):
    """A port that leads to this one; the first bytes that come back when it is time become others."""
    left = [b"HTTP/1.1 500 Garbled\r\n\r\n"]

    def pass_on(source, target, may_garble):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                is_now = may_garble and left and is_time()
                target.sendall(left.pop() if is_now else data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept(listener, closing):
        with contextlib.ExitStack() as stack:
            while not closing.is_set():
                client = stack.enter_context(listener.accept()[0])
                server = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    with listening(accept) as own:
        yield own


@one_etcd
@pytest.mark.parametrize("options", [{"labels": LABELS}, {"state": "absent"}], ids=["update", "delete"])
def test_tls_that_breaks_after_a_write_was_sent(store, files, options):
    """It is done, and neither sent again without a look nor said to be undone."""
    before = store.revision()
    with garbling(store.port, lambda: store.revision() != before) as port:
        url = "https://127.0.0.1:%d" % port
        result = apply(dict(files, **dict(connection(store), etcd_endpoints=url), **options))
    assert (result["failed"], result.get("changed")) == (False, True), result["msg"]
    assert store.revision() == before + 1


def test_a_handshake_in_drops_is_too_late_all_the_same(files, datastore_type):
    """The beginning of a long record, and then a byte now and then."""

    def drip(listener, closing):
        while not closing.is_set():
            client, _address = listener.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(b"\x16\x03\x03\x40\x00")
                while not closing.wait(0.1):
                    client.sendall(b"x")

    timeout = stretched(0.6)
    with listening(drip) as port, Waits() as waits:
        url = "https://127.0.0.1:%d" % port
        options = dict(files, datastore_type=datastore_type, etcd_endpoints=url, timeout=timeout)
        failure(info(options), url, "no answer within %g s" % timeout)
    assert waits.timeouts(timeout) == 1


# The files, before anything is sent


def dated(authority, start, end):
    """The authority's certificate, in bytes, as if it were valid from then to then."""
    old = x509.load_pem_x509_certificate(Path(authority.ca).read_bytes())
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer)
    builder = builder.public_key(old.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + start).not_valid_after(now + end)
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(authority._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_there_or_cannot_be_read(nowhere, tmp_path, name):
    missing = str(tmp_path / "none.pem")
    failure(info(dict(nowhere, **{name: missing})), name + " " + missing, "cannot be read", "No such file")
    # Root may read any file, but nobody a folder.
    failure(info(dict(nowhere, **{name: str(tmp_path)})), name + " " + str(tmp_path), "cannot be read", "directory")
    failure(apply(dict(nowhere, **{name: missing})), name + " " + missing, "cannot be read", "No such file")


CONTENT = {
    "empty": b"",
    "a text": b"hello\n",
    "binary": bytes(range(256)),
    "cut off": b"-----BEGIN CERTIFICATE-----\nMIIBczCCARmgAwIBAgIUYRFu\n",
    "garbled": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", CONTENT)
def test_a_file_that_is_not_what_it_should_be(nowhere, tmp_path, name, content):
    path = tmp_path / "file.pem"
    path.write_bytes(CONTENT[content])
    what = "key (PEM" if name == "etcd_key_file" else "PEM certificate"
    failure(info(dict(nowhere, **{name: str(path)})), "%s %s" % (name, path), "is not a ", what)


def test_files_that_were_mixed_up(nowhere, client):
    swapped = dict(nowhere, etcd_cert_file=client.key, etcd_key_file=client.cert)
    failure(info(swapped), "etcd_cert_file " + client.key, "is not a PEM certificate")
    failure(info(dict(nowhere, etcd_key_file=client.cert)), "etcd_key_file " + client.cert, "is not a usable key")
    failure(info(dict(nowhere, etcd_ca_cert_file=client.key)), "etcd_ca_cert_file " + client.key, "not a PEM cert")


def test_a_certificate_that_expired(nowhere, certificates):
    old = certificates.client("old", expired=True)
    yesterday = (datetime.datetime.now(datetime.timezone.utc) - DAY).strftime("%Y-%m-%d")
    result = info(dict(nowhere, etcd_cert_file=old.cert, etcd_key_file=old.key))
    failure(result, "etcd_cert_file " + old.cert, "expired on " + yesterday)


def test_an_authority_that_expired(nowhere, certificates, tmp_path):
    path = tmp_path / "old-ca.pem"
    path.write_bytes(dated(certificates, -10 * DAY, -DAY))
    yesterday = (datetime.datetime.now(datetime.timezone.utc) - DAY).strftime("%Y-%m-%d")
    result = info(dict(nowhere, etcd_ca_cert_file=str(path)))
    failure(result, "etcd_ca_cert_file %s" % path, "expired on " + yesterday)


def test_the_key_of_another_certificate(nowhere, certificates, client):
    other = certificates.client("other")
    result = info(dict(nowhere, etcd_key_file=other.key))
    failure(result, "etcd_key_file " + other.key, "does not belong to", "etcd_cert_file " + client.cert)


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_key_with_a_password(nowhere, client, tmp_path, form):
    key = serialization.load_pem_private_key(Path(client.key).read_bytes(), None)
    path = tmp_path / "locked.pem"
    secret = serialization.BestAvailableEncryption(b"geheim")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), secret))
    failure(info(dict(nowhere, etcd_key_file=str(path))), "etcd_key_file %s" % path, "without a password")


def test_a_certificate_file_without_a_key_beside_it(nowhere, client):
    """Nobody gave etcd_key_file: the message has to say that somebody should."""
    message = failure(info(without(nowhere, "etcd_key_file")), "etcd_cert_file " + client.cert, "etcd_key_file")
    assert "etcd_key_file " + client.cert not in message, message


def test_a_key_without_a_certificate(nowhere):
    failure(info(without(nowhere, "etcd_cert_file")), "etcd_key_file (option)", "without etcd_cert_file")


# Who does not trust whom


@pytest.fixture
def server(etcd_binary, datastore_type):
    """Starts a datastore of its own, with this certificate."""

    @contextlib.contextmanager
    def start(certificate, client_auth=False):
        with EtcdServer(etcd_binary, tls=certificate, client_auth=client_auth) as etcd:
            datastore = DATASTORES[datastore_type](etcd)
            datastore.reset()
            datastore.put_endpoint(ETH0)
            yield datastore

    return start


def refused(datastore, options, *parts, url=""):
    """What both modules say."""
    url = url or datastore.url
    options = dict(options, **dict(connection(datastore), etcd_endpoints=url))
    failure(apply(options), "cannot reach etcd", url, *parts)
    return failure(info(options), "cannot reach etcd", url, *parts)


def test_a_server_of_another_authority(server, files, strangers):
    with server(strangers.server()) as etcd:
        refused(etcd, files, "its certificate is not trusted by etcd_ca_cert_file " + files["etcd_ca_cert_file"])
        assert etcd.stored() == etcd.tree_of([ETH0])


def test_no_authority_is_given(store, files):
    refused(store, without(files, "etcd_ca_cert_file"), "not trusted", "etcd_ca_cert_file", "not given")


def test_a_server_certificate_for_another_host(server, files, certificates):
    with server(certificates.elsewhere()) as etcd:
        message = refused(etcd, files, "certificate is for another host", "127.0.0.1")
        # Whoever reads this looks for another authority, in vain.
        assert "not trusted by" not in message, message


def test_a_server_certificate_that_expired(server, files, certificates):
    with server(certificates.server("late", expired=True)) as etcd:
        refused(etcd, files, "certificate", "expired")


def test_an_authority_that_is_not_valid_yet(store, files, certificates, tmp_path):
    path = tmp_path / "early-ca.pem"
    path.write_bytes(dated(certificates, DAY, 10 * DAY))
    message = failure(info(dict(connection(store), **dict(files, etcd_ca_cert_file=str(path)))), "not yet valid")
    assert str(path) in message


def test_no_client_certificate(store, files):
    refused(store, without(files, *FILES[1:]), "etcd_cert_file", "not given")


def test_a_client_certificate_of_another_authority(store, files, strangers):
    """Some servers only hang up, most times; then this is still the likely reason."""
    alien = strangers.client("alien")
    for _again in range(4):
        refused(store, dict(files, etcd_cert_file=alien.cert, etcd_key_file=alien.key), "etcd_cert_file " + alien.cert)


# etcd's own gateway, which is a client of its server


@pytest.fixture(params=["lacks the usage", "comes from another authority"])
def misfit(request, certificates, strangers):
    """A server's certificate that its own server refuses as a client's, and what our client trusts."""
    if request.param == "lacks the usage":
        return request.param, certificates.server("servers-only", for_clients=False), certificates.ca
    return request.param, strangers.server("stranger"), strangers.ca


def trusting(certificate, authority):
    """The same, for a server that asks clients for certificates of the authority."""
    return Certificate(certificate.cert, certificate.key, authority.ca)


@only_etcdv3
def test_a_server_that_refuses_its_own_gateway(etcd_binary, certificates, misfit, files, client, datastore_type):
    why, certificate, trusted = misfit
    tls = trusting(certificate, certificates)
    options = dict(files, etcd_ca_cert_file=trusted, datastore_type=datastore_type)
    with EtcdServer(etcd_binary, tls=tls, client_auth=True, client=client) as server:
        parts = ["cannot reach etcd", server.url, "its JSON gateway cannot connect to its own server"]
        parts += ["serverAuth and clientAuth", "--trusted-ca-file", "--client-cert-file", "--client-cert-auth"]
        if server.version.startswith("3.5"):
            parts.append("which refuses the gateway's certificate (status 503: ")
        message = failure(info(dict(options, etcd_endpoints=server.url)), *parts)
        assert ("lacks the extendedKeyUsage clientAuth" in message) == (why == "lacks the usage")
        assert failure(apply(dict(options, etcd_endpoints=server.url)), *parts)


@only_etcdv3
def test_a_gateway_with_a_certificate_of_its_own(etcd_binary, certificates, misfit, files, client, datastore_type):
    """What the error says that helps. etcd 3.4 has no such option."""
    if binary_version(etcd_binary).startswith("3.4."):
        return
    _why, certificate, trusted = misfit
    tls = trusting(certificate, certificates)
    with EtcdServer(etcd_binary, tls=tls, client_auth=True, client=client, gateway=client) as server:
        datastore = DATASTORES[datastore_type](server)
        datastore.reset()
        datastore.put_endpoint(ETH0)
        assert reaches_it(info(dict(files, **dict(connection(datastore), etcd_ca_cert_file=trusted))))


@only_etcdv2
def test_the_v2_api_has_no_gateway(etcd_binary, certificates, misfit, files, client, datastore_type):
    _why, certificate, trusted = misfit
    with EtcdServer(etcd_binary, tls=trusting(certificate, certificates), client_auth=True, client=client) as server:
        datastore = DATASTORES[datastore_type](server)
        datastore.put(datastore.state_key, datastore.ready)
        datastore.put_endpoint(ETH0)
        assert reaches_it(info(dict(files, **dict(connection(datastore), etcd_ca_cert_file=trusted))))


def test_https_to_a_server_that_speaks_plain_http(datastore, files):
    refused(datastore, files, "TLS", "http://", url=datastore.url.replace("http:", "https:"))


def test_http_to_a_server_that_speaks_tls(store, files):
    for options in (files, {}):
        refused(store, options, "TLS", "https://", url=store.url.replace("https:", "http:"))


def test_messages_carry_no_innards_of_python(store, datastore, files, tmp_path):
    """A line of C code helps nobody, and neither does the name of an exception."""
    path = tmp_path / "empty.pem"
    path.write_bytes(b"")
    for url, options in (
        (store.url, without(files, "etcd_ca_cert_file")),
        (store.url, without(files, *FILES[1:])),
        (store.url, dict(files, etcd_key_file=str(path))),
        (store.url, dict(files, etcd_cert_file=str(path))),
        (datastore.url.replace("http:", "https:"), files),
        (store.url.replace("https:", "http:"), files),
    ):
        message = failure(info(dict(options, **dict(connection(store), etcd_endpoints=url))))
        for innards in ("_ssl.c", "Error(", "RemoteDisconnected", "Connection aborted", "0x"):
            assert innards not in message, message


def test_files_are_looked_at_even_if_the_first_server_needs_none(datastore, files):
    """A typing error must not wait for the day on which the other server is asked."""
    options = dict(connection(datastore), **dict(files, etcd_cert_file="/nowhere.pem"))
    options["etcd_endpoints"].append("https://127.0.0.1:1")
    failure(info(options), "etcd_cert_file /nowhere.pem", "No such file")


def test_servers_that_are_not_trusted_are_passed_over(store, server, files, strangers):
    with server(strangers.server("first")) as alien:
        endpoints = [alien.url, store.url.replace("https:", "http:"), store.url]
        options = dict(files, labels=LABELS, **dict(connection(store), etcd_endpoints=endpoints))
        assert apply(options)["operation"] == "update"
        assert alien.stored() == alien.tree_of([ETH0])
    assert store.stored() == store.tree_of([NEW])
