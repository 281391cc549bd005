# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_resource_info."""

from __future__ import annotations

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from .._core.errors import InvalidInput, brief
from .._datastore.base import Datastore
from .._plan.stored import Stored
from .._resources._specs.spec_resource import TYPES, SpecResource
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HOST_ENDPOINT
from .listing import parse_selector
from .results import build_state_warnings, first_warnings
from .runner import warn

KINDS = (HOST_ENDPOINT, *TYPES)


def list_resources(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """List the stored resources of a kind that the options select."""
    name = module.params["name"]
    if name == "":
        raise InvalidInput(["name: must not be empty; omit it to read all resources"])
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


def _build_manifest(stored: Stored, api_version: ApiVersion) -> Dict[str, Any]:
    resource = stored.resource.patched({"annotations": dict(stored.annotations)})
    return resource.as_manifest() if isinstance(resource, SpecResource) else api_version.build_manifest(resource)
