# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificate files, looked at before anything is sent: a broken one would only be "connection failed" later."""

from __future__ import annotations

import ssl
import time
from typing import Callable

from ._connection import Settings
from ._errors import InvalidInput


def check_certificates(settings: Settings) -> None:
    """Raise InvalidInput for a file that is missing, unreadable, no certificate, expired, or no pair."""
    if settings.etcd_ca_cert_file:
        _check_ca("etcd_ca_cert_file", settings.etcd_ca_cert_file)
    if settings.etcd_cert_file:
        _check_pair(settings.etcd_cert_file, settings.etcd_key_file or settings.etcd_cert_file)


def _check_ca(option: str, path: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(option, path, lambda: context.load_verify_locations(path))
    expiries = [ssl.cert_time_to_seconds(authority["notAfter"]) for authority in context.get_ca_certs()]
    # A bundle may hold old authorities beside the one that counts.
    if expiries and max(expiries) < time.time():
        raise _expired(option, path, max(expiries))


def _check_pair(cert: str, key: str) -> None:
    # Read on its own first, so that the error names the right one of the two.
    _load("etcd_cert_file", cert, lambda: _read(cert))
    _load("etcd_key_file", key, lambda: _read(key))
    # The only way that the standard library has to read the dates of a certificate that is no authority's.
    decoded = {}
    _load("etcd_cert_file", cert, lambda: decoded.update(ssl._ssl._test_decode_cert(cert)))  # type: ignore[attr-defined]
    expiry = ssl.cert_time_to_seconds(decoded["notAfter"])
    if expiry < time.time():
        raise _expired("etcd_cert_file", cert, expiry)
    try:
        # A password would be asked for on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            problem = "the key does not belong to the certificate etcd_cert_file {0}".format(cert)
        else:
            problem = "is not a usable key (PEM, without a password): {0}".format(exc.reason or exc)
        raise InvalidInput(["etcd_key_file {0}: {1}".format(key, problem)]) from exc


def _read(path: str) -> None:
    with open(path, "rb") as stream:
        stream.read(1)


def _load(option: str, path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as exc:
        raise InvalidInput(["{0} {1}: is not a PEM certificate ({2})".format(option, path, exc.reason or exc)]) from exc
    except OSError as exc:
        raise InvalidInput(["{0} {1}: cannot be read: {2}".format(option, path, exc.strerror or exc)]) from exc


def _expired(option: str, path: str, expiry: float) -> InvalidInput:
    date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(expiry))
    return InvalidInput(["{0} {1}: the certificate expired on {2}".format(option, path, date)])
