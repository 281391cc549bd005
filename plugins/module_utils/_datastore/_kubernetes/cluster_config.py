# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster to connect to, and the credentials, as the library kubernetes loads them.

kubernetes.core's order: with a host and credentials, nothing else is loaded; else the kubeconfig; else in a pod its
service account; else ~/.kube/config. The single options override what was loaded.
"""

from __future__ import annotations

import base64
import importlib.util
import logging
import os
import threading
import traceback
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

from ..._core.errors import DatastoreError, InvalidInput, MissingLibrary, brief, format_message, shown
from ._kubeconfig.content import Entry, Kubeconfig, read_kubeconfig
from ._kubeconfig.secret_values import hide
from .settings import KubernetesSettings, parse_server

try:
    from kubernetes.client.configuration import Configuration
    from kubernetes.config import incluster_config, kube_config
    from kubernetes.config.config_exception import ConfigException
except ImportError:
    # Nothing else is used then.
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

_DEFAULT_KUBECONFIG = "~/.kube/config"
_EXEC = "the exec plugin {0} of the kubeconfig"


class LoadedCluster(NamedTuple):
    """The library's configuration, and whom its user impersonates."""

    configuration: Any
    impersonate_user: str
    impersonate_groups: Tuple[str, ...]
    # Which option, file or variable gives the proxy, for messages.
    proxy_source: str


def load_cluster(settings: KubernetesSettings) -> LoadedCluster:
    """Raises InvalidInput and DatastoreError with what cannot be loaded."""
    if IMPORT_ERROR is not None:
        raise MissingLibrary("kubernetes", IMPORT_ERROR)
    configuration = Configuration()
    configuration.host = ""
    configuration.proxy, configuration.no_proxy = None, None
    user: Dict[str, Any] = {}
    if not _is_complete(settings):
        _within(settings.timeout, lambda: user.update(_load(settings, configuration)))
    # It would load everything again, and so undo the options, while a request is made.
    configuration.refresh_api_key_hook = None
    _override(settings, configuration)
    if not configuration.host:
        text = "{datastore_type} ({0}) is kubernetes, but no Kubernetes cluster is given: "
        raise InvalidInput([format_message(text + _NOTHING, settings.get_source("datastore_type"))])
    proxy_source = _choose_proxy(settings, configuration)
    _check_proxy(configuration.proxy, proxy_source)
    _split_proxy(configuration)
    name = settings.impersonate_user or str(user.get("as") or "")
    groups = settings.impersonate_groups if settings.impersonate_user else tuple(map(str, user.get("as-groups") or ()))
    return LoadedCluster(configuration, name, groups, proxy_source)


_NOTHING = (
    "set {kubeconfig}, or {host} and {api_key}, or one of their environment variables (K8S_AUTH_KUBECONFIG, "
    "KUBECONFIG, K8S_AUTH_HOST), or run the task where " + _DEFAULT_KUBECONFIG + " exists"
)


def _is_complete(settings: KubernetesSettings) -> bool:
    """Whether the options alone tell the cluster and the user."""
    has_user = settings.api_key or settings.username or (settings.client_cert and settings.client_key)
    return bool(settings.host and has_user)


def _load(settings: KubernetesSettings, configuration: Any) -> Mapping[str, Any]:
    """Load the cluster, and return the kubeconfig's user."""
    if settings.kubeconfig or settings.context:
        return _load_kubeconfig(settings, configuration)
    if settings.host:
        return {}
    if os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME):
        try:
            incluster_config.load_incluster_config(configuration)
            return {}
        except (ConfigException, OSError) as exc:
            # kubernetes.core goes on with the file, too.
            if not os.path.exists(os.path.expanduser(_DEFAULT_KUBECONFIG)):
                raise InvalidInput(["the pod's service account cannot be used: {0}".format(exc)]) from exc
    if os.path.exists(os.path.expanduser(_DEFAULT_KUBECONFIG)):
        return _load_kubeconfig(settings, configuration)
    return {}


def _load_kubeconfig(settings: KubernetesSettings, configuration: Any) -> Mapping[str, Any]:
    """Load a kubeconfig, given as its content or as paths separated by colons, and return its user."""
    source, where = settings.kubeconfig or _DEFAULT_KUBECONFIG, _name_kubeconfig(settings)
    if isinstance(source, str):
        _check_paths(source, where)
    try:
        content = read_kubeconfig(source)
        place, user = _find_context(content, settings.context or content.fields.get("current-context"))
        cluster = place.get_content("clusters")
    except ValueError as exc:
        raise InvalidInput(["{0}: {1}".format(where, exc)]) from exc
    _check_server(settings, cluster, "{0}: {1}".format(where, place.where))
    log = _Log()
    try:
        with log:
            loader = kube_config.KubeConfigLoader(
                _build_nodes(content), settings.context or None, config_base_path=None
            )
            loader.load_and_set(configuration)
    except ConfigException as exc:
        raise InvalidInput(["{0}: {1}".format(where, brief(hide(str(exc), [cluster, user]), 500))]) from exc
    except Exception as exc:  # pylint: disable=broad-exception-caught # the library raises many kinds for a broken file
        # The text may quote a secret.
        problem = getattr(exc, "strerror", None) or type(exc).__name__
        raise InvalidInput(["{0} cannot be loaded: {1}".format(where, brief(str(problem), 200))]) from exc
    _apply_cluster(cluster, configuration, where)
    for key in ("as-uid", "as-user-extra"):
        if user.get(key):
            text = "{0}: {1} is not supported; without it, the user would have other rights"
            raise InvalidInput([text.format(where, key)])
    if isinstance(user.get("exec"), Mapping) and not _has_credentials(configuration):
        # The library logs the reason and continues as an anonymous user.
        # More words may be secret.
        command = brief(str(user["exec"].get("command") or "").partition(" ")[0])
        plugin = _EXEC.format(command or "(without a command)")
        reason = brief(hide(log.text, [cluster, user]), 500) or "no credentials"
        raise DatastoreError("{0}: {1} failed: {2}".format(where, plugin, reason))
    return user


def _name_kubeconfig(settings: KubernetesSettings) -> str:
    """The kubeconfig as messages name it: its source, and its paths."""
    where, source = format_message("{kubeconfig} ({0})", settings.get_source("kubeconfig")), settings.kubeconfig
    return "{0} {1}".format(where, brief(source or _DEFAULT_KUBECONFIG, 255)) if isinstance(source, str) else where


def _check_paths(paths: str, where: str) -> None:
    """Raise InvalidInput if none of the files exists; the library ignores missing files."""
    found = [os.path.expanduser(path) for path in paths.split(os.pathsep) if path]
    if not any(os.path.isfile(path) for path in found):
        raise InvalidInput([where + ": no such file on the host that executes the module"])


def _find_context(content: Kubeconfig, name: Any) -> Tuple[Entry, Mapping[str, Any]]:
    """The cluster and the user of a context; if the user is missing, it is anonymous. Raises ValueError."""
    if name is None:
        raise ValueError("the key current-context is missing")
    context = content.find("contexts", name)
    if context is None:
        raise ValueError("contexts has no entry with the name {0}".format(shown(name)))
    fields = context.get_content("contexts")
    cluster, user = (content.find(key + "s", fields.get(key)) for key in ("cluster", "user"))
    if cluster is None:
        text = "{0}: clusters has no entry with the name {1}"
        raise ValueError(text.format(context.where, shown(fields.get("cluster"))))
    return cluster, user.get_content("users") if user else {}


def _check_server(settings: KubernetesSettings, cluster: Dict[str, Any], where: str) -> None:
    """Raise InvalidInput for a server that is not a URL, and complete the URL as kubectl does."""
    if cluster.get("server") is None and settings.host:
        return
    if cluster.get("server") in (None, ""):
        raise InvalidInput([where + ": the key server is missing"])
    has_tls = any(map(cluster.get, ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")))
    remedy = "give the kubeconfig's user a token, or username and password, instead"
    cluster["server"] = parse_server(cluster["server"], where + ": server: ", remedy, "https" if has_tls else "http")


def _build_nodes(content: Kubeconfig) -> Any:
    """The library's form, with names for its messages: it would quote whole entries."""
    lists = {
        kind: [kube_config.ConfigNode(entry.where, entry.fields, entry.path) for entry in entries]
        for kind, entries in content.lists.items()
    }
    return kube_config.ConfigNode("kubeconfig", {**content.fields, **lists})


def _apply_cluster(cluster: Mapping[str, Any], configuration: Any, where: str) -> None:
    """Apply what older versions of the library ignore."""
    if cluster.get("proxy-url"):
        configuration.proxy = cluster["proxy-url"]
    if cluster.get("tls-server-name"):
        _set_server_name(configuration, cluster["tls-server-name"], where + ": tls-server-name")


def _set_server_name(configuration: Any, name: str, what: str) -> None:
    if not hasattr(configuration, "tls_server_name"):
        raise InvalidInput(["{0} needs the Python library kubernetes >= 28.1".format(what)])
    configuration.tls_server_name = name


def _has_credentials(configuration: Any) -> bool:
    return bool(configuration.api_key or configuration.cert_file)


def _override(settings: KubernetesSettings, configuration: Any) -> None:
    """Let the options that are given override what was loaded."""
    for option, attribute in _ATTRIBUTES.items():
        value = getattr(settings, option)
        if value not in ("", None):
            setattr(configuration, attribute, os.path.expanduser(value) if option in _PATHS else value)
    if settings.tls_server_name:
        _set_server_name(configuration, settings.tls_server_name, "tls_server_name")
    if settings.api_key:
        # From version 36 on, the name is BearerToken, and the older name stays valid.
        configuration.api_key = {"authorization": "Bearer " + settings.api_key}


_ATTRIBUTES: Dict[str, str] = {
    "host": "host",
    "ca_cert": "ssl_ca_cert",
    "client_cert": "cert_file",
    "client_key": "key_file",
    "validate_certs": "verify_ssl",
    "proxy": "proxy",
    "no_proxy": "no_proxy",
}
_PATHS = ("ca_cert", "client_cert", "client_key")


def _choose_proxy(settings: KubernetesSettings, configuration: Any) -> str:
    """The source of the proxy. HTTPS_PROXY and NO_PROXY count as for kubectl; versions of the library differ."""
    if configuration.proxy:
        if settings.proxy:
            return format_message("{proxy} ({0})", settings.get_source("proxy"))
        return "proxy-url of " + _name_kubeconfig(settings)
    parts = urllib.parse.urlsplit(configuration.host)
    proxies = urllib.request.getproxies_environment()
    variable = parts.scheme + "_proxy"
    if parts.hostname not in _LOOPBACK and proxies.get(parts.scheme):
        proxy = proxies[parts.scheme]
        # Go completes it, too.
        configuration.proxy = proxy if "://" in proxy else "http://" + proxy
        configuration.no_proxy = configuration.no_proxy or proxies.get("no")
    return "{0} (environment)".format(variable if os.environ.get(variable) else variable.upper())


# Go never uses a proxy for them (golang.org/x/net/http/httpproxy).
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _check_proxy(proxy: Any, source: str) -> None:
    """Raise InvalidInput for what is not a proxy's URL, without quoting it: it may contain a password."""
    if not proxy:
        return
    try:
        parts = urllib.parse.urlsplit(proxy if isinstance(proxy, str) else "")
        is_url = bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        text = "{0}: is not a URL of a proxy: http://HOST:PORT, with / ? # @ in a password as %2F %3F %23 %40"
        raise InvalidInput([text.format(source)])
    if parts.scheme not in ("http", "https", *_SOCKS):
        text = "{0}: a proxy of the scheme {1} is not supported; use http, https or socks5"
        raise InvalidInput([text.format(source, shown(parts.scheme))])
    if parts.scheme in _SOCKS and importlib.util.find_spec("socks") is None:
        text = "{0}: a proxy of the scheme {1} requires the Python library PySocks; install it, or use an HTTP proxy"
        raise InvalidInput([text.format(source, parts.scheme)])


_SOCKS = ("socks5", "socks5h", "socks4", "socks4a")


def _split_proxy(configuration: Any) -> None:
    """Send the user in the proxy's URL, which urllib3 ignores, as a header."""
    parts = urllib.parse.urlsplit(configuration.proxy or "")
    # With SOCKS, urllib3 sends it itself.
    if "@" not in parts.netloc or parts.scheme in _SOCKS:
        return
    user, _at, place = parts.netloc.rpartition("@")
    token = base64.b64encode(urllib.parse.unquote(user).encode("utf-8")).decode("ascii")
    configuration.proxy = parts._replace(netloc=place).geturl()
    configuration.proxy_headers = dict(configuration.proxy_headers or {}, **{"proxy-authorization": "Basic " + token})


class _Log(logging.Handler):
    """What the library logs instead of raising it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self)

    def __exit__(self, *_exception: object) -> None:
        logging.getLogger().removeHandler(self)


def _within(seconds: float, work: Callable[[], None]) -> None:
    """Do the work. An exec plugin may wait for ever, and the library waits for it."""
    raised: List[BaseException] = []

    def run() -> None:
        try:
            work()
        except Exception as exc:  # pylint: disable=broad-exception-caught # raised again below
            raised.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        text = "no credentials within {0:g} seconds ({timeout}): an exec plugin or an identity provider does not answer"
        raise DatastoreError(format_message(text, seconds))
    for exc in raised:
        raise exc
