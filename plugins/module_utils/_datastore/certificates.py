# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of certificate files before anything is sent, since a broken file later only means "connection failed"."""

from __future__ import annotations

import ssl
import time
from typing import Any, Callable, Dict, NamedTuple

from .._core.errors import InvalidInput, file_problem, get_option_name
from .._core.files import check_regular
from .settings import Settings, named


class CertificateOptions(NamedTuple):
    """The names of the options that hold the paths."""

    ca: str
    cert: str
    key: str


def check_certificates(settings: Settings, options: CertificateOptions) -> None:
    """Raise InvalidInput for a file that is missing, unreadable, invalid or expired, or a key that does not match."""
    ca_path = getattr(settings, options.ca)
    if ca_path:
        _check_ca(named(settings, options.ca), ca_path)
    if getattr(settings, options.cert):
        _check_client(settings, options)


def _check_ca(name: str, path: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(name, lambda: check_regular(path))
    _load(name, lambda: context.load_verify_locations(path))
    # A bundle may contain expired authorities besides the valid one.
    _check_expiry(
        name, max((str(authority["notAfter"]) for authority in context.get_ca_certs()), key=_seconds, default=None)
    )


def _check_client(settings: Settings, options: CertificateOptions) -> None:
    cert, key = getattr(settings, options.cert), getattr(settings, options.key)
    cert_name = named(settings, options.cert)
    decoded: Dict[str, Any] = {}
    _load(cert_name, lambda: _read(cert))
    if key:
        _load(named(settings, options.key), lambda: _read(key))
    # The only way in the standard library to read the dates of a certificate that is not an authority's. It is private,
    # so it has no types.
    _load(cert_name, lambda: decoded.update(ssl._ssl._test_decode_cert(cert)))  # type: ignore[attr-defined]
    _check_expiry(cert_name, decoded["notAfter"])
    try:
        # Without this, OpenSSL would prompt for a password.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key or cert, password=lambda: "")
    except ssl.SSLError as exc:
        raise _key_problem(settings, options, exc) from exc


def _key_problem(settings: Settings, options: CertificateOptions, exc: ssl.SSLError) -> InvalidInput:
    cert_name = named(settings, options.cert)
    if not getattr(settings, options.key):
        text = "{0}: contains no usable key next to the certificate; set {1}"
        return InvalidInput([text.format(cert_name, get_option_name(options.key))])
    problem = "is not a usable key (PEM, without a password){0}".format(_reason(exc))
    if getattr(exc, "reason", None) == "KEY_VALUES_MISMATCH":
        problem = "the key does not belong to the certificate {0}".format(cert_name)
    return InvalidInput(["{0}: {1}".format(named(settings, options.key), problem)])


def _read(path: str) -> None:
    check_regular(path)
    with open(path, "rb") as stream:
        stream.read(1)


def _load(name: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as exc:
        raise InvalidInput(["{0}: is not a PEM certificate{1}".format(name, _reason(exc))]) from exc
    except (OSError, ValueError) as exc:
        raise InvalidInput(["{0}: cannot be read: {1}".format(name, file_problem(exc))]) from exc


def _reason(exc: ssl.SSLError) -> str:
    reason = getattr(exc, "reason", None)
    return " ({0})".format(reason) if reason else ""


def _check_expiry(name: str, not_after: str | None) -> None:
    if not_after and _seconds(not_after) < time.time():
        date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(_seconds(not_after)))
        raise InvalidInput(["{0}: the certificate expired on {1}".format(name, date)])


def _seconds(not_after: str) -> int:
    return ssl.cert_time_to_seconds(not_after)
