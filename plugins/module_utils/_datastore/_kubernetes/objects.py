# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of a cluster that determine traffic, in the form that Calico gives them in etcd.

Nodes are Kubernetes' own (libcalico-go/lib/backend/k8s/resources/node.go), and profiles do not exist as objects: Calico
makes them from namespaces and service accounts (profile.go, and k8s/conversion/conversion.go).
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..._core.errors import DatastoreError, InvalidInput
from ..._resources._specs.spec_resource import DEFAULT_TIER
from ..._resources.api_version import V3_KUBERNETES
from ..._resources.hostendpoint import HOST_ENDPOINT
from .._values.codec_specs_v3 import PLURALS
from ..snapshot import V3_ROOT
from .annotation import ANNOTATION, read_metadata, read_policy_name

# Namespaces and service accounts of workloads, which Calico makes profiles from.
OF_NAMESPACE, OF_ACCOUNT = "kns.", "ksa."
_NAMESPACE_LABELS, _ACCOUNT_LABELS = "pcns.", "pcsa."
_NAME = "projectcalico.org/name"
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


# {kind: its plural name}, of the kinds that are custom resources.
PLURALS_OF_KINDS = {
    HOST_ENDPOINT: "hostendpoints",
    **{kind: plural for kind, plural in PLURALS.items() if kind in V3_KUBERNETES.schemas},
}


def find_plural(kind: str) -> str:
    """Raises DatastoreError for a kind that is not kept here."""
    if kind not in PLURALS_OF_KINDS:
        raise DatastoreError("datastore_type kubernetes has no resources of kind {0} here".format(kind))
    return PLURALS_OF_KINDS[kind]


def check_is_calicos(kind: str) -> None:
    """Raise InvalidInput for a kind whose objects are Kubernetes' own."""
    if kind == "Node":
        text = "kind: Node cannot be read with this datastore_type: nodes belong to Kubernetes, not to Calico; {0}"
        raise InvalidInput([text.format("use kubernetes.core.k8s_info or kubectl")])


def build_key(plural: str, name: str, namespace: str = "") -> str:
    return "{0}{1}/{2}{3}".format(V3_ROOT, plural, namespace + "/" if namespace else "", name)


def build_values(
    plural: str, objects: Iterable[Mapping[str, Any]], has_annotation: bool, counts: bool
) -> Dict[str, str]:
    """{key in etcd: value} of objects of Calico's own kinds; an annotation that cannot be read hides its object."""
    values: Dict[str, str] = {}
    for item in objects:
        namespace = (item.get("metadata") or {}).get("namespace", "")
        with contextlib.suppress(ValueError):
            values[build_key(plural, _get_name(item), namespace)] = build_value(plural, item, has_annotation, counts)
    return values


def build_value(plural: str, item: Mapping[str, Any], has_annotation: bool, counts: bool) -> str:
    """The value in etcd of an object of Calico's own kinds. Raises ValueError for an annotation that cannot be read."""
    metadata = item.get("metadata") or {}
    found = read_metadata(metadata, has_annotation, counts)
    fields = {
        "name": found.name or _get_name(item),
        "namespace": metadata.get("namespace", ""),
        "labels": dict(found.labels),
        "annotations": dict(found.annotations),
    }
    spec = item.get("spec") or {}
    if plural.endswith("policies"):
        # In etcd, Calico keeps a policy's own name in an annotation.
        is_in_default = (spec.get("tier") or DEFAULT_TIER) == DEFAULT_TIER
        name = read_policy_name(metadata, found, is_in_default, has_annotation, counts)
        fields.update(name=_get_name(item), annotations={**found.annotations, ANNOTATION: _to_json({"name": name})})
    return _to_json({"metadata": fields, "spec": spec})


def build_nodes(nodes: Iterable[Mapping[str, Any]]) -> Dict[str, str]:
    """{key in etcd: value} of Kubernetes' nodes as Calico's Node."""
    return {build_key("nodes", _get_name(node)): _to_json(_build_node(node)) for node in nodes}


def _build_node(node: Mapping[str, Any]) -> Dict[str, Any]:
    metadata = node.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    found = {
        "ipv4Address": annotations.get("projectcalico.org/IPv4Address", ""),
        "ipv6Address": annotations.get("projectcalico.org/IPv6Address", ""),
    }
    statuses = (node.get("status") or {}).get("addresses") or ()
    addresses = [{"address": each.get("address", "")} for each in statuses if each.get("type") in _ADDRESS_TYPES]
    interfaces = _load_list(annotations.get("projectcalico.org/Interfaces", ""))
    labels = dict(metadata.get("labels") or {}, **_load_texts(annotations.get("projectcalico.org/labels", "")))
    return {
        "metadata": {"name": _get_name(node), "labels": labels},
        "spec": {"bgp": found, "addresses": addresses, "interfaces": interfaces},
    }


def build_made_profiles(
    list_core: Callable[[str], Iterable[Mapping[str, Any]]], texts: Optional[Sequence[str]] = None
) -> Dict[str, str]:
    """{key in etcd: value} of the profiles that Calico makes from namespaces and service accounts.

    With the endpoints as text, what none of them may use is not read.
    """
    values: Dict[str, str] = {}
    if texts is None or any('"' + OF_NAMESPACE in text for text in texts):
        values.update(_build_profiles_of_namespaces(list_core("namespaces")))
    if texts is None or any('"' + OF_ACCOUNT in text for text in texts):
        values.update(_build_profiles_of_accounts(list_core("serviceaccounts")))
    return values


def _build_profiles_of_namespaces(namespaces: Iterable[Mapping[str, Any]]) -> Dict[str, str]:
    """The profiles of namespaces allow everything."""
    values = {}
    for namespace in namespaces:
        name = _get_name(namespace)
        labels = {_NAMESPACE_LABELS + key: value for key, value in _get_labels(namespace)}
        labels[_NAMESPACE_LABELS + _NAME] = name
        allow = [{"action": "Allow"}]
        spec = {"ingress": allow, "egress": allow, "labelsToApply": labels}
        values[build_key("profiles", OF_NAMESPACE + name)] = _profile(OF_NAMESPACE + name, spec)
    return values


def _build_profiles_of_accounts(accounts: Iterable[Mapping[str, Any]]) -> Dict[str, str]:
    """The profiles of service accounts have labels and no rules."""
    values = {}
    for account in accounts:
        name = "{0}{1}.{2}".format(OF_ACCOUNT, (account.get("metadata") or {}).get("namespace", ""), _get_name(account))
        labels = {_ACCOUNT_LABELS + key: value for key, value in _get_labels(account)}
        labels[_ACCOUNT_LABELS + _NAME] = _get_name(account)
        values[build_key("profiles", name)] = _profile(name, {"labelsToApply": labels})
    return values


def _profile(name: str, spec: Mapping[str, Any]) -> str:
    return _to_json({"metadata": {"name": name}, "spec": spec})


def _get_name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name", ""))


def _get_labels(item: Mapping[str, Any]) -> Iterable[Tuple[str, str]]:
    labels: Mapping[str, str] = (item.get("metadata") or {}).get("labels") or {}
    return labels.items()


def _load_list(text: str) -> List[Any]:
    """A list in an annotation; Calico ignores what it cannot read."""
    found = _load(text)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _load_texts(text: str) -> Dict[str, str]:
    found = _load(text)
    return {key: item for key, item in found.items() if isinstance(item, str)} if isinstance(found, dict) else {}


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _to_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
