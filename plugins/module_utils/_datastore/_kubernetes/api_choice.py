# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of Calico's APIs on a Kubernetes cluster holds the truth.

Calico's own client (libcalico-go/lib/backend/k8s/discovery.go) uses the native v3 CRDs only where the group of the v1
CRDs is missing, and takes every failure for the v1 CRDs. Here, a failure is an error, the aggregated API is used where
it exists, and during a migration the datastore that is not locked decides
(kube-controllers/pkg/controllers/migration/controller.go).
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple

from ..._core.errors import DatastoreError
from .client import KubernetesClient
from .settings import API_V1, API_V3, KubernetesSettings

_GROUP_V3, _GROUP_V1 = API_V3.partition("/")[0], API_V1.partition("/")[0]


class ChosenApi(NamedTuple):
    """The API that is used, and why."""

    # API_V3 or API_V1.
    name: str
    reason: str
    # Whether calico-apiserver serves it; None if that was not determined.
    is_aggregated: bool | None

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]

    @property
    def has_metadata_annotation(self) -> bool:
        """Whether Calico keeps metadata in an annotation."""
        return self.name == API_V1


def choose_api(client: KubernetesClient, settings: KubernetesSettings) -> ChosenApi:
    """Raises DatastoreError when the cluster does not tell."""
    forced = settings.calico_api_group
    if forced:
        return ChosenApi(forced, "calico_api_group ({0})".format(settings.get_source("calico_api_group")), None)
    groups = client.list_groups()
    if _GROUP_V3 not in groups and _GROUP_V1 not in groups:
        text = "{0} has no Calico: it serves neither the API group {1} nor {2}; check the cluster, or install the CRDs"
        raise DatastoreError(text.format(client, _GROUP_V3, _GROUP_V1))
    if _GROUP_V3 not in groups:
        return ChosenApi(API_V1, "the cluster serves no other API of Calico", False)
    resources = client.list_resources(API_V3)
    if "profiles" in resources:
        # No CRD has them (apiserver/pkg/registry/projectcalico/rest/storage_calico.go).
        return ChosenApi(API_V3, "calico-apiserver serves it", True)
    if _GROUP_V1 not in groups:
        return ChosenApi(API_V3, "the cluster serves no other API of Calico", False)
    return _choose_by_state(client)


def _choose_by_state(client: KubernetesClient) -> ChosenApi:
    """The API of a cluster with both kinds of CRDs: before, during or after a migration from v1 to v3."""
    v1, v3 = (_read_ready(client.get_object(api, "clusterinformations", "default")) for api in (API_V1, API_V3))
    if v1 == _MISSING:
        text = (
            "{0} has the CRDs of {1} and of {2}, and the first have no ClusterInformation, so it is unclear which ones "
            "Calico uses; set calico_api_group"
        )
        raise DatastoreError(text.format(client, API_V1, API_V3))
    if v1 == _LOCKED and v3 == _READY:
        return ChosenApi(API_V3, "Calico has migrated its data to it: {0} is locked".format(API_V1), False)
    states = {
        _MISSING: "{0} has no ClusterInformation yet".format(API_V3),
        _LOCKED: "a migration to {0} is not finished".format(API_V3),
        _READY: "{0} is not locked, so Calico still uses it".format(API_V1),
    }
    return ChosenApi(API_V1, states[v3], False)


_MISSING, _LOCKED, _READY = "missing", "locked", "ready"


def _read_ready(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _MISSING
    spec: Dict[str, Any] = found.get("spec") or {}
    return _LOCKED if spec.get("datastoreReady") is False else _READY
