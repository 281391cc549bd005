# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the connection to a Kubernetes API server, named as in kubernetes.core.

kubernetes.core 6.2.0: plugins/doc_fragments/k8s_auth_options.py and plugins/module_utils/k8s/client.py. calicoctl's own
variables and keys: projectcalico/calico, libcalico-go/lib/apiconfig/apiconfig.go.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Any, Dict, Mapping, Sequence, Tuple

from ..._core.errors import InvalidInput, format_message, get_option_name, shown
from ..calicoctl_file import CalicoctlFile
from ..settings import Environment, Family, Given, Option, Settings
from ._kubeconfig.content import is_content, parse_content
from ._kubeconfig.secret_values import get_password, list_strings, redact

API_V3, API_V1 = "projectcalico.org/v3", "crd.projectcalico.org/v1"


def _option(name: str, spec: Mapping[str, Any], file_key: str, variables: Sequence[str]) -> Option:
    """An option of kubernetes.core's name, which alone says too little as the name of a role's variable.

    A given file excludes the environment: its credentials may be those of another cluster.
    """
    own = tuple("K8S_AUTH_" + variable for variable in (name.upper(), *map(str.upper, spec.get("aliases", ()))))
    return Option(name, spec, file_key, True, (*own, *variables), "kubernetes_" + name)


OPTIONS = (
    # A path, several paths separated by colons, or the content.
    Option(
        "kubeconfig",
        {"type": "raw", "no_log": True},
        "kubeconfig",
        names_datastore=True,
        variables=("K8S_AUTH_KUBECONFIG", "KUBECONFIG"),
    ),
    _option("context", {"type": "str"}, "k8sCurrentContext", ["K8S_CURRENT_CONTEXT"]),
    _option("host", {"type": "str"}, "k8sAPIEndpoint", ["K8S_API_ENDPOINT"]),
    # calicoctl reads the token only with the prefix.
    _option("api_key", {"type": "str", "no_log": True}, "k8sAPIToken", ["CALICO_K8SAPITOKEN"]),
    _option("username", {"type": "str"}, "", []),
    _option("password", {"type": "str", "no_log": True}, "", []),
    _option("client_cert", {"type": "path", "aliases": ["cert_file"]}, "k8sCertFile", ["K8S_CERT_FILE"]),
    _option("client_key", {"type": "path", "aliases": ["key_file"], "no_log": False}, "k8sKeyFile", ["K8S_KEY_FILE"]),
    _option("ca_cert", {"type": "path", "aliases": ["ssl_ca_cert"]}, "k8sCAFile", ["K8S_CA_FILE"]),
    # calicoctl's variable and key have the opposite meaning.
    _option("validate_certs", {"type": "bool", "aliases": ["verify_ssl"]}, "", []),
    _option("tls_server_name", {"type": "str"}, "", []),
    _option("proxy", {"type": "str"}, "", []),
    _option("no_proxy", {"type": "str"}, "", []),
    _option("impersonate_user", {"type": "str"}, "", []),
    _option("impersonate_groups", {"type": "list", "elements": "str"}, "", []),
    Option("calico_api_group", {"type": "str"}, "calicoAPIGroup", names_datastore=True),
)
# What selects the cluster. Credentials of a source that it overrides are not sent to another cluster.
_TARGETS = ("kubeconfig", "host")
# From the weakest to the strongest source.
_STRENGTHS = ("environment", "file", "option")
_FALSE = ("0", "false", "no")
_TRUE = ("1", "true", "yes")


@dataclasses.dataclass(frozen=True)
class KubernetesSettings(Settings):
    """How to reach a Kubernetes API server; what is "" or None is found as kubernetes.core finds it."""

    # A path, several paths separated by colons, or the content.
    kubeconfig: Any = ""
    context: str = ""
    host: str = ""
    api_key: str = ""
    username: str = ""
    password: str = ""
    client_cert: str = ""
    client_key: str = ""
    ca_cert: str = ""
    # None: as the kubeconfig says, else true.
    validate_certs: bool | None = None
    tls_server_name: str = ""
    proxy: str = ""
    no_proxy: str = ""
    impersonate_user: str = ""
    impersonate_groups: Tuple[str, ...] = ()
    # API_V3, API_V1, or "" for discovery.
    calico_api_group: str = ""

    @property
    def servers(self) -> Tuple[str, ...]:
        # A host's Felix reaches the API server or Typha, and nothing here tells which.
        return ()

    @property
    def secrets(self) -> Tuple[str, ...]:
        found = {self.api_key, self.api_key.strip(), self.password, get_password(self.proxy)}
        found.update(list_strings(self.kubeconfig, only_secrets=True))
        return tuple(sorted(found - {""}))

    def get_source(self, name: str) -> str:
        return self.sources.get(name, "default")


def _find_secrets(options: Mapping[str, Any]) -> Sequence[str]:
    """The secrets in the options kubeconfig, a mapping of many strings that are not secret, and proxy."""
    kubeconfig = options.get("kubeconfig")
    # An empty string would mask everything.
    found = list(filter(None, [get_password(options.get("proxy") or "")]))
    try:
        return found + list(list_strings(parse_content(kubeconfig), only_secrets=True))
    except ValueError:
        # It is rejected later.
        return [*found, str(kubeconfig)]


def _find_harmless(options: Mapping[str, Any]) -> Sequence[str]:
    kubeconfig = options.get("kubeconfig")
    if isinstance(kubeconfig, str):
        return () if is_content(kubeconfig) else [kubeconfig]
    return list(list_strings(kubeconfig, only_secrets=False))


def _list_redacted(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ansible masks text, and a mapping's strings only if they are not harmless."""
    kubeconfig = options.get("kubeconfig")
    return {"kubeconfig": redact(kubeconfig)} if isinstance(kubeconfig, Mapping) else {}


def _read_environment(environment: Environment) -> Dict[str, Any]:
    """calicoctl's variable, of the opposite meaning."""
    skip = environment.get("K8S_INSECURE_SKIP_TLS_VERIFY")
    return {"validate_certs": "false"} if skip.lower() in _TRUE else {}


def _read_file(found: CalicoctlFile, options: Mapping[str, Any]) -> Dict[str, Any]:
    """The keys whose values are not strings, or that give a kubeconfig's content. Raises InvalidInput."""
    skip = found.spec.get("k8sInsecureSkipTLSVerify")
    if skip is not None and not isinstance(skip, bool):
        raise found.error("spec.k8sInsecureSkipTLSVerify is not true or false")
    inline = found.get_text("kubeconfigInline")
    # Without a line break, it would be a path.
    return {**({"kubeconfig": inline + "\n"} if inline else {}), **({"validate_certs": False} if skip else {})}


def _parse_kubeconfig(value: Any, given: Given) -> Any:
    """The path or the paths, or the content. Raises InvalidInput."""
    where = format_message("{kubeconfig} ({0})", given.get_source("kubeconfig"))
    try:
        content = parse_content(value)
    except ValueError as exc:
        raise InvalidInput(["{0} {1}".format(where, exc)]) from exc
    if isinstance(content, Mapping) or content is value and isinstance(value, str):
        return content
    raise InvalidInput([where + " is not a path or a mapping"])


def _build(given: Given, datastore_type: str, timeout: float) -> KubernetesSettings:
    """Raises InvalidInput, with the source, for an invalid setting."""
    for name in _NAMES:
        if given.options.get(name) in ("", {}):
            # A lookup that found nothing must not select another cluster.
            raise InvalidInput(["{0} (option) is empty; set it, or omit it".format(get_option_name(name))])
    values = {name: value for name, value in _select(given).items() if name in _NAMES}
    settings = KubernetesSettings(
        datastore_type,
        timeout,
        given.sources,
        **dict(
            values,
            validate_certs=_parse_flag(values.get("validate_certs"), given),
            impersonate_groups=_parse_groups(values.get("impersonate_groups", ())),
            calico_api_group=_parse_api(values.get("calico_api_group", ""), given),
            host=_parse_host(values.get("host", ""), given),
            kubeconfig=_parse_kubeconfig(values.get("kubeconfig", ""), given),
        ),
    )
    _check(settings)
    return settings


_NAMES = tuple(option.name for option in OPTIONS)


def _select(given: Given) -> Mapping[str, Any]:
    """What is given, without the sources that are weaker than the one that names the cluster."""
    strongest = max((_get_strength(given, name) for name in _TARGETS if name in given.values), default=0)
    return {
        name: value
        for name, value in given.values.items()
        if name == "calico_api_group" or _get_strength(given, name) >= strongest
    }


def _get_strength(given: Given, name: str) -> int:
    return _STRENGTHS.index(given.get_source(name).partition(" ")[0])


def _parse_flag(value: Any, given: Given) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in (*_FALSE, *_TRUE):
        text = "{validate_certs} ({0}): {1} is not true or false"
        raise InvalidInput([format_message(text, given.get_source("validate_certs"), shown(value))])
    return text in _TRUE


def _parse_groups(value: Any) -> Tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(str(item).strip() for item in items if str(item).strip())


def _parse_api(value: str, given: Given) -> str:
    """Like calicoctl without regard to case; the group alone is enough."""
    for api in (API_V3, API_V1):
        if value.lower() in (api, api.partition("/")[0]):
            return api
    if value:
        text = "{calico_api_group} ({0}): {1} is not an API of Calico; set it to {2} or {3}, or remove it"
        source = given.get_source("calico_api_group")
        raise InvalidInput([format_message(text, source, shown(value), API_V3, API_V1)])
    return ""


def _parse_host(value: str, given: Given) -> str:
    if not value:
        return ""
    where = format_message("{host} ({0}): ", given.get_source("host"))
    remedy = format_message("set {api_key}, or {username} and {password}, instead")
    return parse_server(value, where, remedy, "https")


def parse_server(value: Any, where: str, remedy: str, usual_scheme: str) -> str:
    """The URL of an API server, of an option or a kubeconfig. Raises InvalidInput, without quoting a secret.

    remedy: what to do instead of a user in the URL.
    """
    if not isinstance(value, str):
        raise InvalidInput([where + "{0} is not a URL of an API server: https://HOST:PORT".format(shown(value))])
    # A user has a message of its own, and a query may contain a secret.
    if "@" in value:
        raise InvalidInput([where + "the URL contains a user; " + remedy])
    quoted = shown(value.partition("?")[0].partition("#")[0])
    try:
        parts = urllib.parse.urlsplit(value if "://" in value else usual_scheme + "://" + value)
        port = parts.port
    except ValueError as exc:
        raise InvalidInput([where + "{0} is not a URL: {1}".format(quoted, exc)]) from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise InvalidInput([where + "{0} is not a URL of an API server: https://HOST:PORT".format(quoted)])
    if port == 0:
        raise InvalidInput([where + "{0} has an invalid port".format(quoted)])
    if parts.query or parts.fragment:
        raise InvalidInput([where + "after {0} is a query or a fragment; remove it".format(quoted)])
    return parts.geturl().rstrip("/")


def _check(settings: KubernetesSettings) -> None:
    for name, other in (("client_key", "client_cert"), ("username", "password"), ("password", "username")):
        if getattr(settings, name) and not getattr(settings, other):
            text = "{0} ({1}) is given without {2}"
            source = settings.get_source(name)
            raise InvalidInput([text.format(get_option_name(name), source, get_option_name(other))])
    if settings.impersonate_groups and not settings.impersonate_user:
        source = settings.get_source("impersonate_groups")
        text = "{impersonate_groups} ({0}) is given without {impersonate_user}"
        raise InvalidInput([format_message(text, source)])


KUBERNETES = Family(OPTIONS, _read_environment, _read_file, _build, _find_secrets, _find_harmless, _list_redacted)
