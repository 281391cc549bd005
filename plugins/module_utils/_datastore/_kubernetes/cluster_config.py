# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster to connect to, and the credentials, as the library kubernetes loads them.

kubernetes.core's order: with a host and credentials, nothing else is loaded; else the kubeconfig; else in a pod its
service account; else ~/.kube/config. The single options override what was loaded.
"""

from __future__ import annotations

import base64
import logging
import os
import threading
import traceback
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

from ..._core.errors import DatastoreError, InvalidInput, MissingLibrary, brief, format_message
from .settings import KubernetesSettings

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
    try:
        urllib.parse.urlsplit(configuration.host)
    except ValueError as exc:
        # The message must not quote a password.
        text = format_message("{kubeconfig} ({0}): ", settings.get_source("kubeconfig"))
        raise InvalidInput([text + "the cluster's server is not a URL: {0}".format(exc)]) from exc
    if not configuration.proxy:
        _take_proxy(configuration)
    _split_proxy(configuration)
    name = settings.impersonate_user or str(user.get("as") or "")
    groups = settings.impersonate_groups if settings.impersonate_user else tuple(map(str, user.get("as-groups") or ()))
    return LoadedCluster(configuration, name, groups)


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
        return _load_kubeconfig(settings, configuration, settings.kubeconfig or _DEFAULT_KUBECONFIG)
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
        return _load_kubeconfig(settings, configuration, _DEFAULT_KUBECONFIG)
    return {}


def _load_kubeconfig(settings: KubernetesSettings, configuration: Any, source: Any) -> Mapping[str, Any]:
    """Load a kubeconfig, given as its content or as paths separated by colons, and return its user."""
    where = format_message("{kubeconfig} ({0})", settings.get_source("kubeconfig"))
    if isinstance(source, str):
        where = "{0} {1}".format(where, brief(source, 255))
        _check_paths(source, where)
    log = _Log()
    try:
        with log:
            content = kube_config.KubeConfigMerger(source).config if isinstance(source, str) else source
            loader = kube_config.KubeConfigLoader(
                # A path in a file is relative to its own file, and a path in a mapping to the current folder.
                content,
                settings.context or None,
                config_base_path=None if isinstance(source, str) else "",
            )
            loader.load_and_set(configuration)
            cluster, user = _find_context(content, loader.current_context)
    except ConfigException as exc:
        raise InvalidInput(["{0}: {1}".format(where, brief(str(exc), 500))]) from exc
    except Exception as exc:  # pylint: disable=broad-exception-caught # the library raises many kinds for a broken file
        # The text may quote a secret.
        problem = getattr(exc, "strerror", None) or getattr(exc, "problem", None) or type(exc).__name__
        raise InvalidInput(["{0} cannot be loaded: {1}".format(where, brief(str(problem), 200))]) from exc
    _apply_cluster(cluster, configuration, where)
    for key in ("as-uid", "as-user-extra"):
        if user.get(key):
            text = "{0}: {1} is not supported; without it, the user would have other rights"
            raise InvalidInput([text.format(where, key)])
    if isinstance(user.get("exec"), Mapping) and not _has_credentials(configuration):
        # The library logs the reason and continues as an anonymous user.
        command = brief(user["exec"].get("command"))
        raise DatastoreError("{0}: {1} failed: {2}".format(where, _EXEC.format(command), log.text or "no credentials"))
    return user


def _check_paths(paths: str, where: str) -> None:
    """Raise InvalidInput if none of the files exists; the library ignores missing files."""
    found = [os.path.expanduser(path) for path in paths.split(os.pathsep) if path]
    if not any(os.path.isfile(path) for path in found):
        raise InvalidInput([where + ": no such file on the host that executes the module"])


def _find_context(content: Any, context: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The cluster and the user of a context."""
    node = kube_config.ConfigNode("kube-config", getattr(content, "value", content))
    names = context.get("context") or {}
    found: List[Mapping[str, Any]] = []
    for kind in ("cluster", "user"):
        entry = node[kind + "s"].get_with_name(names[kind], safe=True) if names.get(kind) else None
        value = entry.value.get(kind) if entry else None
        found.append(value if isinstance(value, Mapping) else {})
    return found


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


def _take_proxy(configuration: Any) -> None:
    """Take the proxy from HTTPS_PROXY and NO_PROXY as kubectl does; versions of the library differ."""
    parts = urllib.parse.urlsplit(configuration.host)
    proxies = urllib.request.getproxies_environment()
    if parts.hostname not in _LOOPBACK:
        configuration.proxy = proxies.get(parts.scheme)
        configuration.no_proxy = configuration.no_proxy or proxies.get("no")


# Go never uses a proxy for them (golang.org/x/net/http/httpproxy).
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _split_proxy(configuration: Any) -> None:
    """Send the user in the proxy's URL, which urllib3 ignores, as a header."""
    if not configuration.proxy or "@" not in str(configuration.proxy):
        return
    parts = urllib.parse.urlsplit(configuration.proxy)
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
        self.text = brief(record.getMessage(), 500)

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
