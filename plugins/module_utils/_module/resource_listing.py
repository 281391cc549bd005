# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_resource_info."""

from __future__ import annotations

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from .._core.errors import InvalidInput, brief
from .._datastore.base import Datastore
from .._datastore.factory import DATASTORES
from .._plan.stored import Stored
from .._resources._specs.spec_resource import TYPES, SpecResource
from .._resources._specs_v1.rules_resource_v1 import TYPES as TYPES_V1
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.manifest import V1_NAME, V3_NAME
from .listing import parse_selector
from .results import build_state_warnings, first_warnings
from .runner import warn

# {API version: its kinds}
_KINDS = {V3_NAME: (HOST_ENDPOINT, *TYPES), V1_NAME: (HOST_ENDPOINT, *TYPES_V1)}
KINDS = tuple(dict.fromkeys(kind for kinds in _KINDS.values() for kind in kinds))


def list_resources(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """List the stored resources of a kind that the options select."""
    name = module.params["name"]
    if name == "":
        raise InvalidInput(["name: must not be empty; omit it to read all resources"])
    _check_kind(module.params["kind"], store.api_version)
    selector = parse_selector(module.params["selector"], store.api_version)
    found = [
        stored
        for stored in store.list_kind(module.params["kind"])
        if name in (None, stored.name, stored.resource.name)
        and (selector is None or stored.error or selector.matches(stored.resource.labels))
    ]
    found.sort(key=lambda stored: (stored.resource.name, stored.key))
    unread = [stored for stored in found if stored.error]
    warnings = ["{0}: {1}".format(brief(stored.key, 255), stored.meaning) for stored in unread]
    warn(module, build_state_warnings(store.state) + first_warnings(warnings))
    return {
        "changed": False,
        "resources": [_build_manifest(stored, store.api_version) for stored in found if not stored.error],
        "malformed": [{"key": stored.key, "error": stored.error} for stored in unread],
    }


def _check_kind(kind: str, api_version: ApiVersion) -> None:
    """Raise InvalidInput for a kind of another API version."""
    if kind in _KINDS[api_version.name]:
        return
    (other,) = [name for name, kinds in _KINDS.items() if kind in kinds]
    text = "kind: {0} is a kind of Calico {1} and needs datastore_type {2}; datastore_type {3} has {4}"
    raise InvalidInput(
        [
            text.format(
                kind,
                other.rpartition("/")[2],
                _list_datastore_types(other),
                _list_datastore_types(api_version.name),
                ", ".join(_KINDS[api_version.name]),
            )
        ]
    )


def _list_datastore_types(api_version: str) -> str:
    return " or ".join(name for name, each in DATASTORES.items() if each.api_version.name == api_version)


def _build_manifest(stored: Stored, api_version: ApiVersion) -> Dict[str, Any]:
    resource = stored.resource.patched({"annotations": dict(stored.annotations)})
    return resource.as_manifest() if isinstance(resource, SpecResource) else api_version.build_manifest(resource)
