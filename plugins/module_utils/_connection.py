# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the datastore is: the settings from options, calicoctl's configuration file, the environment and defaults.

An option beats the file, the file beats the environment, the environment beats the default. The names are
calicoctl's: calicoctl v1.6 and v3, the files' apiVersion v1 with kind calicoApiConfig, and projectcalico.org/v3 with
kind CalicoAPIConfig.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Any, Dict, Mapping, Tuple

from . import _yaml
from ._errors import InvalidInput, brief, file_problem, shown

ETCDV2 = "etcdv2"
ETCDV3 = "etcdv3"
DATASTORE_TYPES = (ETCDV2, ETCDV3)
# Seconds.
LONGEST_TIMEOUT = 86400

# Option: its key in calicoctl's file. In the environment it is the option in capitals, CALICO_ before it or not.
_FILE_KEYS = {
    "datastore_type": "datastoreType",
    "etcd_endpoints": "etcdEndpoints",
    "etcd_ca_cert_file": "etcdCACertFile",
    "etcd_cert_file": "etcdCertFile",
    "etcd_key_file": "etcdKeyFile",
    "etcd_username": "etcdUsername",
    "etcd_password": "etcdPassword",
}
# The older way to say one endpoint: scheme and host:port apart.
_SCHEME, _AUTHORITY = "etcdScheme", "etcdAuthority"
_FILE_KINDS = (("v1", "calicoApiConfig"), ("projectcalico.org/v3", "CalicoAPIConfig"))
# What a file may say that has no meaning for the etcd datastores, or that is not supported.
_IGNORED_PREFIXES = ("k8s", "kubeconfig", "calicoAPIGroup")
# The option that says the same in another way: URLs instead of a domain, paths instead of certificates and a key.
_UNSUPPORTED = {
    "etcdDiscoverySrv": "etcd_endpoints",
    "etcdKey": "etcd_key_file",
    "etcdCert": "etcd_cert_file",
    "etcdCACert": "etcd_ca_cert_file",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to reach the datastore; `sources` says of each setting where it came from, for error messages."""

    datastore_type: str = ETCDV2
    etcd_endpoints: Tuple[str, ...] = ("http://127.0.0.1:2379",)
    etcd_ca_cert_file: str = ""
    etcd_cert_file: str = ""
    etcd_key_file: str = ""
    etcd_username: str = ""
    etcd_password: str = ""
    timeout: float = 10.0
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)


def settings_from(options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """The settings that the options, the file that they or the environment name, and the environment give.

    Raises InvalidInput, naming the source, for what cannot be a setting.
    """
    values: Dict[str, Any] = {}
    sources: Dict[str, str] = {}
    path = options.get("calicoctl_config") or environment.get("CALICOCTL_CONFIG")
    layers = [
        (_from_environment(environment), "environment"),
        (_from_file(path, options) if path else {}, "file {0}".format(brief(path, 255))),
        ({name: options.get(name) for name in _FILE_KEYS}, "option"),
    ]
    for layer, source in layers:
        for name, value in layer.items():
            # An empty list of endpoints is a mistake, and not a wish for the default ones.
            if value or value == []:
                values[name], sources[name] = value, source
    discovery = environment.get("ETCD_DISCOVERY_SRV")
    if discovery and "etcd_endpoints" not in values:
        text = "ETCD_DISCOVERY_SRV (environment): {0} is not looked up: give the servers' URLs as etcd_endpoints"
        raise InvalidInput([text.format(shown(discovery))])
    timeout = options.get("timeout")
    if timeout is not None:
        if not 0 < timeout <= LONGEST_TIMEOUT:
            rule = "is not a number of seconds above 0 and up to {0}".format(LONGEST_TIMEOUT)
            raise InvalidInput(["timeout: {0} {1}".format(timeout, rule)])
        values["timeout"] = float(timeout)
    endpoints = values.get("etcd_endpoints", Settings.etcd_endpoints)
    values["etcd_endpoints"] = _endpoints(endpoints, sources.get("etcd_endpoints", "default"))
    settings = Settings(sources=sources, **values)
    _check(settings)
    return settings


def _from_environment(environment: Mapping[str, str]) -> Dict[str, str]:
    def first(name: str) -> str:
        return environment.get("CALICO_" + name) or environment.get(name) or ""

    values = {name: first(name.upper()) for name in _FILE_KEYS}
    if not values["etcd_endpoints"] and first("ETCD_AUTHORITY"):
        values["etcd_endpoints"] = "{0}://{1}".format(first("ETCD_SCHEME") or "http", first("ETCD_AUTHORITY"))
    return values


def _from_file(path: str, options: Mapping[str, Any]) -> Dict[str, str]:
    """What the file says; what it says in a way that is not supported, an option has to say."""
    document = _load(path)
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if (api_version, kind) not in _FILE_KINDS:
        raise _file_error(
            path,
            "apiVersion {0} with kind {1} is not a calicoctl configuration: it takes {2}".format(
                shown(api_version),
                shown(kind),
                " or ".join("apiVersion: {0} with kind: {1}".format(*item) for item in _FILE_KINDS),
            ),
        )
    spec = document.get("spec") or {}
    if not isinstance(spec, dict):
        raise _file_error(path, "spec is not a mapping")
    known = list(_FILE_KEYS.values()) + [_SCHEME, _AUTHORITY]
    for key, value in spec.items():
        option = _UNSUPPORTED.get(key)
        if option and value and not options.get(option):
            text = "spec.{0} is not supported: give the option {1}, or spec.{2} in its place, {3}"
            what = "the servers' URLs" if option == "etcd_endpoints" else "the path of a file that holds the same"
            raise _file_error(path, text.format(key, option, _FILE_KEYS[option], what))
        if key not in known and key not in _UNSUPPORTED and not str(key).startswith(_IGNORED_PREFIXES):
            raise _file_error(path, "spec.{0} is unknown to calicoctl".format(key))
    texts = {key: _text(spec.get(key), key, path) for key in known}
    values = {name: texts[key] for name, key in _FILE_KEYS.items()}
    if not values["etcd_endpoints"] and texts[_AUTHORITY]:
        values["etcd_endpoints"] = "{0}://{1}".format(texts[_SCHEME] or "http", texts[_AUTHORITY])
    if not values["datastore_type"] and api_version != "v1":
        # calicoctl v3: etcdv3 where etcd endpoints are given, else kubernetes.
        values["datastore_type"] = "etcdv3" if values["etcd_endpoints"] else "kubernetes"
    return values


def _text(value: Any, key: str, path: str) -> str:
    # calicoctl takes an unquoted number as text, too. What else it is may be a secret.
    if isinstance(value, (str, int, float)):
        return str(value)
    if value is not None:
        raise _file_error(path, "spec.{0} is not a text".format(key))
    return ""


def _load(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except UnicodeDecodeError as exc:
        raise _file_error(path, "is not UTF-8") from exc
    except (OSError, ValueError) as exc:
        raise _file_error(path, file_problem(exc)) from exc
    try:
        document = _yaml.load(text)
    except ValueError as exc:
        raise _file_error(path, str(exc)) from exc
    if not isinstance(document, dict):
        raise _file_error(path, "is not a calicoctl configuration: it holds no mapping")
    return document


def _file_error(path: str, problem: str) -> InvalidInput:
    return InvalidInput(["calicoctl_config {0}: {1}".format(brief(path, 255), problem)])


def _endpoints(value: Any, source: str) -> Tuple[str, ...]:
    """The URLs of a list or of a comma-separated text, each `scheme://host:port`."""
    items = value.split(",") if isinstance(value, str) else value
    if any("@" in str(item) for item in items):
        # Not one word of it, since it holds a password.
        raise InvalidInput(
            ["etcd_endpoints ({0}): a URL carries a user: give etcd_username and etcd_password instead".format(source)]
        )
    urls = tuple(_endpoint(str(item).strip(), source) for item in items if str(item).strip())
    if not urls:
        raise InvalidInput(["etcd_endpoints ({0}): {1} names no endpoint".format(source, shown(value))])
    return tuple(dict.fromkeys(urls))


def _endpoint(url: str, source: str) -> str:
    def problem(rule: str) -> InvalidInput:
        return InvalidInput(["etcd_endpoints ({0}): {1} {2}".format(source, shown(url), rule)])

    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise problem("is not a URL: {0}".format(exc)) from exc
    if parts.scheme not in ("http", "https") or not host or " " in url or not url.isprintable():
        raise problem("is not a URL of an etcd server: http://HOST:PORT or https://HOST:PORT")
    if port == 0 or len(host) > 253 or not all(0 < len(label) < 64 for label in host.rstrip(".").split(".")):
        raise problem("has no host name or port that can be")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise problem("has more than scheme, host and port")
    return "{0}://{1}:{2}".format(
        parts.scheme,
        "[{0}]".format(host) if ":" in host else host,
        port or (443 if parts.scheme == "https" else 80),
    )


def _check(settings: Settings) -> None:
    kind = settings.datastore_type
    if kind not in DATASTORE_TYPES:
        raise InvalidInput(
            [
                "datastore_type ({0}): {1} is not supported. If Calico keeps its data in one of {2}, set "
                "datastore_type to that".format(
                    settings.sources.get("datastore_type", "default"), shown(kind), ", ".join(DATASTORE_TYPES)
                )
            ]
        )
    for name, other in (
        ("etcd_username", "etcd_password"),
        ("etcd_password", "etcd_username"),
        ("etcd_key_file", "etcd_cert_file"),
    ):
        if getattr(settings, name) and not getattr(settings, other):
            raise InvalidInput(
                ["{0} ({1}) is given without {2}".format(name, settings.sources.get(name, "default"), other)]
            )
    for name in ("etcd_username", "etcd_password"):
        try:
            getattr(settings, name).encode("utf-8")
        except UnicodeEncodeError as exc:
            raise InvalidInput(["{0} ({1}) is not UTF-8".format(name, settings.sources[name])]) from exc
    if ":" in settings.etcd_username and kind == ETCDV2:
        raise InvalidInput(["etcd_username: HTTP basic authentication has no place for a colon in a name"])


def named(settings: Settings, option: str) -> str:
    """The option as a message names it, with its source and its value; not for secrets."""
    source = settings.sources.get(option, "default")
    value = getattr(settings, option)
    return "{0} {1}".format(option if source == "option" else "{0} ({1})".format(option, source), brief(value, 255))
