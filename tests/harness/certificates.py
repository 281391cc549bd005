# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority for test servers and their clients."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL = ("127.0.0.1", "localhost", "::1")
_DAY = datetime.timedelta(days=1)


class Certificate(NamedTuple):
    """The paths of three PEM files."""

    cert: str
    key: str
    ca: str


class CertificateAuthority:
    """Issues certificates into a folder. Every one gets files of its own: <name>.pem and <name>-key.pem.

    is_plain: neither its own certificate nor those that it issues have what only strict checking wants.
    """

    def __init__(self, folder, name="ca", is_plain=False):
        self.is_plain = is_plain
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _subject("netsec.calico test " + name)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        # Strict checking, the default from Python 3.13 on, wants the use and both identifiers spelled out.
        builder = _builder(self._subject, self._subject, self._key.public_key(), -_DAY, 3650 * _DAY)
        builder = builder.add_extension(constraints, critical=True)
        if not is_plain:
            identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
            builder = builder.add_extension(_SIGNS, critical=True).add_extension(identifier, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.ca = str(self._write(name + ".pem", certificate.public_bytes(serialization.Encoding.PEM)))

    def server(self, name="server", hosts=LOCAL, expired=False, for_clients=True):
        """For a server that is called by these names and addresses."""
        uses = [ExtendedKeyUsageOID.SERVER_AUTH]
        if for_clients:
            # etcd's own gateway is a client of its server, with the same certificate.
            uses.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        return self._issue(name, uses, hosts, expired)

    def elsewhere(self, name="elsewhere"):
        """A valid server certificate for another host."""
        return self.server(name, hosts=("etcd.example.com", "192.0.2.1"))

    def client(self, name="client", expired=False):
        """The name is also the certificate's common name."""
        return self._issue(name, [ExtendedKeyUsageOID.CLIENT_AUTH], (), expired)

    def _issue(self, name, uses, hosts, expired):
        key = ec.generate_private_key(ec.SECP256R1())
        start, end = (-10 * _DAY, -_DAY) if expired else (-_DAY, 365 * _DAY)
        builder = _builder(_subject(name), self._subject, key.public_key(), start, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if not self.is_plain:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        cert = self._write(name + ".pem", certificate.public_bytes(serialization.Encoding.PEM))
        return Certificate(str(cert), str(self._write(name + "-key.pem", private)), self.ca)

    def _write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(subject, issuer, public_key, start, end):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now + start).not_valid_after(now + end)


def _subject(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
