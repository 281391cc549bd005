# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""calicoctl's configuration file, read as strictly as calicoctl does.

calicoctl v1.6 and v3: apiVersion v1 with kind calicoApiConfig, and projectcalico.org/v3 with kind CalicoAPIConfig.
"""

from __future__ import annotations

import difflib
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from .._core import yaml_io
from .._core.errors import InvalidInput, brief, shown
from .._core.files import MOST_BYTES_OF_SETTINGS, path_as_shown, read_text


class _Format(NamedTuple):
    """What a file of one apiVersion may hold. Keys for Kubernetes have no meaning for etcd."""

    api_version: str
    kind: str
    metadata: Tuple[str, ...]
    spec: Tuple[str, ...]
    # The datastore type of a file without datastoreType.
    default_type: str


_OF_BOTH = (
    "datastoreType",
    "etcdEndpoints",
    "etcdCACertFile",
    "etcdCertFile",
    "etcdKeyFile",
    "etcdUsername",
    "etcdPassword",
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
_V1_FORMAT = _Format("v1", "calicoApiConfig", (), (*_OF_BOTH, "etcdScheme", "etcdAuthority"), "etcdv2")
# projectcalico/calico, libcalico-go/lib/apiconfig/apiconfig.go, and the keys that only early versions had.
_V3_FORMAT = _Format(
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
        "etcdDiscoverySrv",
        "etcdKey",
        "etcdCert",
        "etcdCACert",
        "alphafeatures",
        "usePodCIDR",
        "kubeconfigInline",
        "k8sClientQPS",
        "k8sClientBurst",
        "k8sCurrentContext",
        "calicoAPIGroup",
    ),
    "etcdv3",
)
_FORMATS = (_V1_FORMAT, _V3_FORMAT)


class CalicoctlFile(NamedTuple):
    """A file that calicoctl accepts."""

    path: str
    # By calicoctl's own spelling of the keys.
    spec: Mapping[str, Any]
    # The datastore type if the spec does not set it.
    default_type: str

    def get_text(self, key: str) -> str:
        """A member of the spec; "" when it is missing. Raises InvalidInput for what is not a string."""
        value = self.spec.get(key)
        # calicoctl rejects an unquoted number, too. The value may be a secret, so it is not quoted.
        if value is not None and not isinstance(value, str):
            raise self.error("spec.{0} is not a string; put its value in quotes".format(key))
        return value or ""

    def error(self, problem: str, *more: str) -> InvalidInput:
        return _file_error(self.path, problem, *more)


def read_calicoctl_file(path: str) -> CalicoctlFile:
    """Raises InvalidInput with all that calicoctl rejects. To ignore a key could select another datastore."""
    top = _Part(_load(path), "", ("apiVersion", "kind", "metadata", "spec"))
    file_format = _find_format(top.members, path)
    metadata = _Part(top.members.get("metadata"), "metadata", file_format.metadata)
    spec = _Part(top.members.get("spec"), "spec", file_format.spec)
    problems = [problem for part in (top, metadata, spec) for problem in part.problems(file_format)]
    if problems:
        raise _file_error(path, *problems)
    return CalicoctlFile(path, spec.members, _find_default_type(spec.members, file_format))


def _find_default_type(spec: Mapping[str, Any], file_format: _Format) -> str:
    """The datastore type of a file that does not set it: calicoctl v3 uses Kubernetes without etcd servers.

    Here, the file must then name the cluster, too.
    """
    if file_format is _V3_FORMAT and not spec.get("etcdEndpoints") and any(map(spec.get, _CLUSTER_KEYS)):
        return "kubernetes"
    return file_format.default_type


_CLUSTER_KEYS = ("kubeconfig", "kubeconfigInline", "k8sAPIEndpoint")


def _find_format(members: Mapping[str, Any], path: str) -> _Format:
    found = members.get("apiVersion"), members.get("kind")
    for each in _FORMATS:
        if found == (each.api_version, each.kind):
            return each
    text = "apiVersion {0} with kind {1} is not a calicoctl configuration; calicoctl accepts {2}"
    known = ["apiVersion: {0} with kind: {1}".format(each.api_version, each.kind) for each in _FORMATS]
    raise _file_error(path, text.format(*map(shown, found), " or ".join(known)))


class _Part:
    """A part of a file: its members by calicoctl's names, which are case-insensitive, and unknown keys."""

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

    def problems(self, file_format: _Format) -> Iterator[str]:
        where = self.place + "." if self.place else ""
        if not self._is_mapping:
            yield "{0} is not a mapping".format(self.place)
        for name in self._repeated:
            yield "{0}{1} appears twice; keep one".format(where, name)
        misplaced = [key for key in self._others if self.place != "spec" and _has(file_format, key)]
        if misplaced:
            text = "{0} {1} below spec, not {2}"
            verb = "belongs" if len(misplaced) == 1 else "belong"
            yield text.format(_listed(misplaced), verb, "below metadata" if self.place else "at the top level")
        for key in self._others:
            if key not in misplaced:
                yield where + key + self._why_unknown(key, file_format)

    def _why_unknown(self, key: str, file_format: _Format) -> str:
        for other in _FORMATS if self.place == "spec" else ():
            if _has(other, key):
                return " is not a key of apiVersion {0}, but of {1}".format(file_format.api_version, other.api_version)
        alike = difflib.get_close_matches(key, file_format.spec, 1, 0.8)
        return " is unknown to calicoctl" + (": did you mean {0}?".format(alike[0]) if alike else "")


def _has(file_format: _Format, key: str) -> bool:
    """Whether a spec of this format has such a key."""
    return key.lower() in [each.lower() for each in file_format.spec]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "{0} and {1}".format(", ".join(names[:-1]), names[-1])


def _load(path: str) -> Dict[str, Any]:
    try:
        document = yaml_io.first(read_text(path, MOST_BYTES_OF_SETTINGS))
    except ValueError as exc:
        raise _file_error(path, str(exc)) from exc
    if not isinstance(document, dict):
        raise _file_error(path, "is not a calicoctl configuration: it is not a mapping")
    return document


def _file_error(path: str, problem: str, *more: str) -> InvalidInput:
    return InvalidInput(["calicoctl_config {0}: {1}".format(path_as_shown(path), problem), *more])
