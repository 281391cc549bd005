# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_hostendpoint_info."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.module_utils.basic import AnsibleModule

from .._core.errors import InvalidInput
from .._datastore.base import Datastore
from .._resources.api_version import ApiVersion
from .._resources.selector import Selector
from .results import build_listing, build_listing_warnings
from .runner import warn


def list_endpoints(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """List the stored endpoints that the options select."""
    node, name = module.params["node"], module.params["name"]
    store.api_version.check_filter(node, name)
    selector = parse_selector(module.params["selector"], store.api_version)
    found = [
        stored
        for stored in store.list(node or "")
        if name in (None, stored.name)
        and (selector is None or stored.error or selector.matches(stored.resource.labels))
    ]
    warn(module, build_listing_warnings(found, store.state, store.api_version))
    return build_listing(found, store.api_version)


def parse_selector(text: Optional[str], api_version: ApiVersion) -> Optional[Selector]:
    """Parse the option. Raises SelectorError, and InvalidInput for an empty selector."""
    if text is None:
        return None
    if not text.strip():
        raise InvalidInput(["selector: must not be empty; all() selects everything"])
    return api_version.parse_selector(text)
