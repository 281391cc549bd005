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
import difflib
import urllib.parse
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from .._core import yaml_io
from .._core.errors import InvalidInput, brief, shown
from .._core.files import MOST_BYTES_OF_SETTINGS, path_as_shown, read_text

ETCDV2 = "etcdv2"
ETCDV3 = "etcdv3"
DATASTORE_TYPES = (ETCDV2, ETCDV3)
# Calico's third one, which is not supported yet.
KUBERNETES = "kubernetes"
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
_LOCAL = "127.0.0.1:2379"
# What is in a file and not supported: the option that says the same in another way, URLs instead of a domain, paths
# instead of certificates and a key.
_UNSUPPORTED = {
    "etcdDiscoverySrv": "etcd_endpoints",
    "etcdKey": "etcd_key_file",
    "etcdCert": "etcd_cert_file",
    "etcdCACert": "etcd_ca_cert_file",
}


class _Generation(NamedTuple):
    """What a file of one generation of calicoctl may hold. Those for Kubernetes have no meaning for etcd."""

    api_version: str
    kind: str
    metadata: Tuple[str, ...]
    spec: Tuple[str, ...]


_OF_BOTH = (
    *_FILE_KEYS.values(),
    "kubeconfig",
    "k8sAPIEndpoint",
    "k8sKeyFile",
    "k8sCertFile",
    "k8sCAFile",
    "k8sAPIToken",
    "k8sInsecureSkipTLSVerify",
    "k8sDisableNodePoll",
)
# libcalico-go release-v2.6, lib/api/apiconfig.go.
_V1_FILE = _Generation("v1", "calicoApiConfig", (), (*_OF_BOTH, _SCHEME, _AUTHORITY))
# projectcalico/calico, libcalico-go/lib/apiconfig/apiconfig.go, and those that early versions had besides.
_V3_FILE = _Generation(
    "projectcalico.org/v3",
    "CalicoAPIConfig",
    (
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "clusterName",
        "managedFields",
    ),
    (
        *_OF_BOTH,
        *_UNSUPPORTED,
        "alphafeatures",
        "usePodCIDR",
        "kubeconfigInline",
        "k8sClientQPS",
        "k8sClientBurst",
        "k8sCurrentContext",
        "calicoAPIGroup",
    ),
)
_GENERATIONS = (_V1_FILE, _V3_FILE)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to reach the datastore; `sources` says of each setting where it came from, for error messages."""

    datastore_type: str = ETCDV2
    etcd_endpoints: Tuple[str, ...] = ("http://" + _LOCAL,)
    etcd_ca_cert_file: str = ""
    etcd_cert_file: str = ""
    etcd_key_file: str = ""
    etcd_username: str = ""
    etcd_password: str = ""
    timeout: float = 10.0
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)


def build_settings(options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """The settings that the options, the file that they or the environment name, and the environment give.

    Which datastore it is, is never taken from beneath a place that should say it: a file that is named names it, or an
    option does, and the default is for those who named nothing.

    Raises InvalidInput, naming the source, for what cannot be a setting.
    """
    values: Dict[str, Any] = {}
    sources: Dict[str, str] = {}
    path = options.get("calicoctl_config") or environment.get("CALICOCTL_CONFIG") or ""
    layers: List[Tuple[Mapping[str, Any], str]] = [
        (_from_environment(environment, not path), "environment"),
        (_from_file(path, options) if path else {}, "file {0}".format(brief(path, 255))),
        ({name: options.get(name) for name in _FILE_KEYS}, "option"),
    ]
    for layer, source in layers:
        for name, value in layer.items():
            # An empty list of endpoints is a mistake, and not a wish for the default ones.
            if value or value == []:
                values[name], sources[name] = value, source
    if path:
        _check_named(path, values)
    else:
        _check_defaults(options, environment, values, sources)
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


def _variable(environment: Mapping[str, str], name: str) -> str:
    """The name of the variable that counts: as for calicoctl, one with the prefix does even where it is empty."""
    return "CALICO_" + name if "CALICO_" + name in environment else name


def _from_environment(environment: Mapping[str, str], names_datastore: bool) -> Dict[str, str]:
    def value_of(name: str) -> str:
        return environment.get(_variable(environment, name), "")

    values = {name: value_of(name.upper()) for name in _FILE_KEYS}
    scheme, authority = value_of("ETCD_SCHEME"), value_of("ETCD_AUTHORITY")
    if scheme and not any(_variable(environment, name) in environment for name in ("ETCD_ENDPOINTS", "ETCD_AUTHORITY")):
        authority = _LOCAL
    if not values["etcd_endpoints"] and authority:
        values["etcd_endpoints"] = "{0}://{1}".format(scheme or "http", authority)
    if not names_datastore:
        del values["datastore_type"], values["etcd_endpoints"]
    return values


def _check_named(path: str, values: Mapping[str, Any]) -> None:
    """Raise InvalidInput when neither the file nor an option says which datastore it is."""
    if "etcd_endpoints" in values or values.get("datastore_type") == KUBERNETES:
        return
    problem = (
        "spec names no etcd server: add etcdEndpoints to it, or set the option etcd_endpoints (calicoctl takes it for "
        "Kubernetes then, or refuses it; the Kubernetes datastore is not supported yet)"
    )
    raise _file_error(path, problem)


def _check_defaults(
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    values: Mapping[str, Any],
    sources: Mapping[str, str],
) -> None:
    """Raise InvalidInput when a default would stand in for what somebody meant to say."""
    name = _variable(environment, "ETCD_DISCOVERY_SRV")
    if environment.get(name) and sources.get("etcd_endpoints") != "option":
        text = "{0} (environment): {1} is not looked up: give the servers' URLs as etcd_endpoints"
        raise InvalidInput([text.format(name, shown(environment[name]))])
    for setting, variables in _NAMING.items():
        names = [_variable(environment, variable) for variable in variables]
        empty = ["{0} (environment)".format(name) for name in names if environment.get(name) == ""]
        if setting == "etcd_endpoints" and options.get("calicoctl_config") == "":
            empty.append("calicoctl_config (option)")
        if empty and setting not in values:
            text = "{0}: {1} is empty: give it a value, or leave it out where the default is meant, {2}"
            default = getattr(Settings, setting)
            raise InvalidInput([text.format(setting, empty[0], default if setting == "datastore_type" else default[0])])


# What says in the environment which datastore it is.
_NAMING = {
    "datastore_type": ("DATASTORE_TYPE",),
    "etcd_endpoints": ("ETCD_ENDPOINTS", "ETCD_AUTHORITY", "CALICOCTL_CONFIG"),
}


def _from_file(path: str, options: Mapping[str, Any]) -> Dict[str, str]:
    """What the file says; what it says in a way that is not supported, an option has to say."""
    generation, spec = _read(path)
    for key, option in _UNSUPPORTED.items():
        if spec.get(key) and not options.get(option):
            text = "spec.{0} is not supported: give the option {1}, or spec.{2} in its place, {3}"
            what = "the servers' URLs" if option == "etcd_endpoints" else "the path of a file that holds the same"
            raise _file_error(path, text.format(key, option, _FILE_KEYS[option], what))
    texts = {key: _text(spec.get(key), key, path) for key in (*_FILE_KEYS.values(), _SCHEME, _AUTHORITY)}
    values = {name: texts[key] for name, key in _FILE_KEYS.items()}
    if not values["etcd_endpoints"] and texts[_AUTHORITY]:
        values["etcd_endpoints"] = "{0}://{1}".format(texts[_SCHEME] or "http", texts[_AUTHORITY])
    if not values["datastore_type"]:
        values["datastore_type"] = ETCDV2 if generation is _V1_FILE else ETCDV3
    return values


def _text(value: Any, key: str, path: str) -> str:
    # As for calicoctl, an unquoted number is none. The value may be a secret.
    if value is not None and not isinstance(value, str):
        raise _file_error(path, "spec.{0} is not text: put its value in quotes".format(key))
    return value or ""


def _read(path: str) -> Tuple[_Generation, Dict[str, Any]]:
    """The file's generation and its spec by calicoctl's names.

    Raises InvalidInput with all that calicoctl would not take: what it ignored would lead to another datastore.
    """
    top = _Part(_load(path), "", ("apiVersion", "kind", "metadata", "spec"))
    generation = _read_generation(top.members, path)
    metadata = _Part(top.members.get("metadata"), "metadata", generation.metadata)
    spec = _Part(top.members.get("spec"), "spec", generation.spec)
    problems = [problem for part in (top, metadata, spec) for problem in part.problems(generation)]
    if problems:
        raise _file_error(path, *problems)
    return generation, spec.members


def _read_generation(members: Mapping[str, Any], path: str) -> _Generation:
    found = members.get("apiVersion"), members.get("kind")
    for generation in _GENERATIONS:
        if found == (generation.api_version, generation.kind):
            return generation
    text = "apiVersion {0} with kind {1} is not a calicoctl configuration: it takes {2}"
    known = ["apiVersion: {0} with kind: {1}".format(each.api_version, each.kind) for each in _GENERATIONS]
    raise _file_error(path, text.format(*map(shown, found), " or ".join(known)))


class _Part:
    """A part of a file: its members by calicoctl's names for them, which it knows in any case, and what else it has."""

    def __init__(self, content: Any, place: str, known: Sequence[str]) -> None:
        self.place = place
        self.members: Dict[str, Any] = {}
        self._is_mapping = content is None or isinstance(content, dict)
        self._repeated: List[str] = []
        self._others: List[str] = []
        names = {name.lower(): name for name in known}
        for key, value in (content if isinstance(content, dict) else {}).items():
            name = names.get(str(key).lower())
            if name is None:
                self._others.append(brief(str(key)))
            elif name in self.members:
                self._repeated.append(name)
            else:
                self.members[name] = value

    def problems(self, generation: _Generation) -> Iterator[str]:
        where = self.place + "." if self.place else ""
        if not self._is_mapping:
            yield "{0} is not a mapping".format(self.place)
        for name in self._repeated:
            yield "{0}{1} appears twice: keep one".format(where, name)
        misplaced = [key for key in self._others if self.place != "spec" and _has(generation, key)]
        if misplaced:
            text = "{0} {1} below spec, not {2}"
            verb = "belongs" if len(misplaced) == 1 else "belong"
            yield text.format(_listed(misplaced), verb, "below metadata" if self.place else "at the top level")
        for key in self._others:
            if key not in misplaced:
                yield where + key + self._why_unknown(key, generation)

    def _why_unknown(self, key: str, generation: _Generation) -> str:
        for other in _GENERATIONS if self.place == "spec" else ():
            if _has(other, key):
                return " is not a key of apiVersion {0}, but of {1}".format(generation.api_version, other.api_version)
        alike = difflib.get_close_matches(key, generation.spec, 1, 0.8)
        return " is unknown to calicoctl" + (": did you mean {0}?".format(alike[0]) if alike else "")


def _has(generation: _Generation, key: str) -> bool:
    """Whether a spec of this generation has such a key."""
    return key.lower() in [each.lower() for each in generation.spec]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "{0} and {1}".format(", ".join(names[:-1]), names[-1])


def _load(path: str) -> Dict[str, Any]:
    try:
        document = yaml_io.first(read_text(path, MOST_BYTES_OF_SETTINGS))
    except ValueError as exc:
        raise _file_error(path, str(exc)) from exc
    if not isinstance(document, dict):
        raise _file_error(path, "is not a calicoctl configuration: it holds no mapping")
    return document


def _file_error(path: str, problem: str, *more: str) -> InvalidInput:
    return InvalidInput(["calicoctl_config {0}: {1}".format(path_as_shown(path), problem), *more])


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
        problem = "is not supported yet" if kind == KUBERNETES else "is not a datastore type"
        text = "datastore_type ({0}): {1} {2}: set it to {3}, if Calico keeps its data in etcd"
        source = settings.sources.get("datastore_type", "default")
        raise InvalidInput([text.format(source, shown(kind), problem, " or ".join(DATASTORE_TYPES))])
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
