# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the etcd connection, named as in calicoctl."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Any, Dict, Mapping, Sequence, Tuple

from ..._core.errors import InvalidInput, format_message, get_option_name, shown
from ..calicoctl_file import CalicoctlFile
from ..certificates import CertificateOptions
from ..settings import Environment, Family, Given, Option, Settings, check_not_empty

_LOCAL = "127.0.0.1:2379"
_DEFAULT_ENDPOINTS = ("http://" + _LOCAL,)

OPTIONS = (
    Option("etcd_endpoints", {"type": "list", "elements": "str"}, "etcdEndpoints", names_datastore=True),
    Option("etcd_ca_cert_file", {"type": "path"}, "etcdCACertFile"),
    Option("etcd_cert_file", {"type": "path"}, "etcdCertFile"),
    Option("etcd_key_file", {"type": "path"}, "etcdKeyFile"),
    Option("etcd_username", {"type": "str"}, "etcdUsername"),
    Option("etcd_password", {"type": "str", "no_log": True}, "etcdPassword"),
)
CERTIFICATES = CertificateOptions("etcd_ca_cert_file", "etcd_cert_file", "etcd_key_file")
# {unsupported key of calicoctl's file: the option in its place}: URLs instead of a domain, paths instead of
# certificates and a key.
_UNSUPPORTED = {
    "etcdDiscoverySrv": "etcd_endpoints",
    "etcdKey": "etcd_key_file",
    "etcdCert": "etcd_cert_file",
    "etcdCACert": "etcd_ca_cert_file",
}
# The variables that select the datastore.
_NAMING = ("CALICOCTL_CONFIG", "ETCD_AUTHORITY", "ETCD_ENDPOINTS")


@dataclasses.dataclass(frozen=True)
class EtcdSettings(Settings):
    """How to reach etcd."""

    etcd_endpoints: Tuple[str, ...] = _DEFAULT_ENDPOINTS
    etcd_ca_cert_file: str = ""
    etcd_cert_file: str = ""
    etcd_key_file: str = ""
    etcd_username: str = ""
    etcd_password: str = ""

    @property
    def servers(self) -> Tuple[str, ...]:
        return self.etcd_endpoints

    @property
    def secrets(self) -> Tuple[str, ...]:
        return (self.etcd_password,) if self.etcd_password else ()


def _read_environment(environment: Environment) -> Dict[str, str]:
    """The older way to give one server, with separate scheme and HOST:PORT."""
    scheme, authority = environment.get("ETCD_SCHEME"), environment.get("ETCD_AUTHORITY")
    if scheme and not environment.has("ETCD_ENDPOINTS") and not environment.has("ETCD_AUTHORITY"):
        authority = _LOCAL
    return {"etcd_endpoints": "{0}://{1}".format(scheme or "http", authority)} if authority else {}


def _read_file(found: CalicoctlFile, options: Mapping[str, Any]) -> Dict[str, str]:
    """The same in a file. Raises InvalidInput for an unsupported key, unless its option is set."""
    for key, option in _UNSUPPORTED.items():
        if found.spec.get(key) and not options.get(option):
            text = "spec.{0} is not supported; set the option {1} or spec.{2} to {3}"
            what = "the servers' URLs" if option == "etcd_endpoints" else "the path of a file that holds the same"
            raise found.error(text.format(key, get_option_name(option), _FILE_KEYS[option], what))
    scheme, authority = found.get_text("etcdScheme"), found.get_text("etcdAuthority")
    return {"etcd_endpoints": "{0}://{1}".format(scheme or "http", authority)} if authority else {}


_FILE_KEYS = {option.name: option.file_key for option in OPTIONS}


def _build(given: Given, datastore_type: str, timeout: float) -> EtcdSettings:
    """Raises InvalidInput, with the source, for an invalid setting.

    If a file is given, the file or an option must name the servers. The default applies only if nothing is given.
    """
    if given.path:
        _check_file(given)
    else:
        _check_defaults(given)
    endpoints = given.values.get("etcd_endpoints", _DEFAULT_ENDPOINTS)
    values = {option.name: given.values[option.name] for option in OPTIONS if option.name in given.values}
    values["etcd_endpoints"] = _parse_endpoints(endpoints, given.get_source("etcd_endpoints"))
    settings = EtcdSettings(datastore_type, timeout, given.sources, **values)
    _check_credentials(settings)
    return settings


def _find_misplaced_secrets(options: Mapping[str, Any]) -> Sequence[str]:
    """URLs with a user, which are rejected."""
    urls = options.get("etcd_endpoints") or ()
    return urls if any("@" in url for url in urls) else ()


ETCD = Family(OPTIONS, _read_environment, _read_file, _build, _find_misplaced_secrets)


def _check_file(given: Given) -> None:
    """Raise InvalidInput when neither the file nor an option names a server."""
    if "etcd_endpoints" not in given.values:
        problem = (
            "spec names no etcd server; add etcdEndpoints to it, or set the option {etcd_endpoints} (calicoctl uses "
            "Kubernetes with such a file, or rejects it; for Kubernetes, set datastoreType to kubernetes)"
        )
        raise CalicoctlFile(given.path, {}, "").error(format_message(problem))


def _check_defaults(given: Given) -> None:
    """Raise InvalidInput when a default would replace a setting that is empty or unsupported."""
    environment = given.environment
    name = environment.find_name("ETCD_DISCOVERY_SRV")
    domain = environment.get("ETCD_DISCOVERY_SRV")
    if domain and given.get_source("etcd_endpoints") != "option":
        text = "{0} (environment): {1} is not looked up; set {etcd_endpoints} to the servers' URLs"
        raise InvalidInput([format_message(text, name, shown(domain))])
    check_not_empty(given, "etcd_endpoints", _NAMING, _DEFAULT_ENDPOINTS[0], ["calicoctl_config"])


def _parse_endpoints(value: Any, source: str) -> Tuple[str, ...]:
    """The URLs of a list or of a comma-separated string, each `scheme://host:port`."""
    items = value.split(",") if isinstance(value, str) else value
    if any("@" in str(item) for item in items):
        # The message must not quote it, since it contains a password.
        text = "{etcd_endpoints} ({0}): a URL contains a user; set {etcd_username} and {etcd_password} instead"
        raise InvalidInput([format_message(text, source)])
    urls = tuple(_parse_endpoint(str(item).strip(), source) for item in items if str(item).strip())
    if not urls:
        raise InvalidInput([format_message("{etcd_endpoints} ({0}): {1} names no endpoint", source, shown(value))])
    return tuple(dict.fromkeys(urls))


def _parse_endpoint(url: str, source: str) -> str:
    def problem(rule: str) -> InvalidInput:
        return InvalidInput([format_message("{etcd_endpoints} ({0}): {1} {2}", source, shown(url), rule)])

    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise problem("is not a URL: {0}".format(exc)) from exc
    if parts.scheme not in ("http", "https") or not host or " " in url or not url.isprintable():
        raise problem("is not a URL of an etcd server: http://HOST:PORT or https://HOST:PORT")
    if port == 0 or len(host) > 253 or not all(0 < len(label) < 64 for label in host.rstrip(".").split(".")):
        raise problem("has an invalid host name or port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise problem("has more than scheme, host and port")
    return "{0}://{1}:{2}".format(
        parts.scheme,
        "[{0}]".format(host) if ":" in host else host,
        port or (443 if parts.scheme == "https" else 80),
    )


def _check_credentials(settings: EtcdSettings) -> None:
    for name, other in (
        ("etcd_username", "etcd_password"),
        ("etcd_password", "etcd_username"),
        ("etcd_key_file", "etcd_cert_file"),
    ):
        if getattr(settings, name) and not getattr(settings, other):
            source = settings.sources.get(name, "default")
            text = "{0} ({1}) is given without {2}"
            raise InvalidInput([text.format(get_option_name(name), source, get_option_name(other))])
    for name in ("etcd_username", "etcd_password"):
        try:
            getattr(settings, name).encode("utf-8")
        except UnicodeEncodeError as exc:
            text = "{0} ({1}) is not UTF-8".format(get_option_name(name), settings.sources[name])
            raise InvalidInput([text]) from exc
    if ":" in settings.etcd_username and settings.datastore_type == "etcdv2":
        text = "{etcd_username}: HTTP basic authentication does not allow a colon in a user name"
        raise InvalidInput([format_message(text)])
