# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_resource
short_description: Convert host endpoints to Calico resources
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Converts endpoints, as returned by the modules of this collection, to resources that C(calicoctl) accepts.
positional: api_version
options:
  _input:
    description:
      - An endpoint, or a list of endpoints, with the option names of M(netsec.calico.calico_hostendpoint) as keys.
    type: raw
    required: true
  api_version:
    description:
      - API version of the resources. C(calicoctl) v1 accepts V(v1), and C(calicoctl) v3 accepts
        V(projectcalico.org/v3).
      - The values of the fields are kept. Names that are invalid in the given API version are not changed.
    type: str
    choices: [v1, projectcalico.org/v3]
    required: true
seealso:
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Read all endpoints
  netsec.calico.calico_hostendpoint_info:
  register: stored

- name: Show the endpoints as manifests
  ansible.builtin.debug:
    msg: "{{ stored.hostendpoints | netsec.calico.to_resource('v1') }}"
"""

RETURN = r"""
_value:
  description: The resource of the endpoint, or the list of resources of the endpoints.
  type: raw
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import CalicoError, InvalidInput, shown
from ansible_collections.netsec.calico.plugins.module_utils._resources.fields import (
    parse_fields,
    with_empty_labels,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import KINDS, to_resource


def resources(value: Any, api_version: str) -> Any:
    """Return the resource of an endpoint, or the resources of a list of endpoints."""
    if not isinstance(api_version, str) or api_version not in KINDS:
        raise AnsibleFilterError(
            "to_resource: api_version {0} is not one of {1}".format(shown(api_version), ", ".join(KINDS))
        )
    if isinstance(value, (list, tuple)):
        return [_resource(item, api_version) for item in value]
    return _resource(value, api_version)


def _resource(value: Any, api_version: str) -> Any:
    try:
        endpoint = HostEndpoint().patched(with_empty_labels(parse_fields(value)))
        if not endpoint.name:
            raise InvalidInput(["{0} is not an endpoint: it has no name".format(shown(value))])
        # As stored: in v3, Felix requires protocols by name.
        return to_resource(endpoint.with_protocol_names(), api_version)
    except CalicoError as exc:
        raise AnsibleFilterError("to_resource: {0}".format(exc)) from exc


class FilterModule:
    """Filters for Calico resources."""

    def filters(self) -> dict:
        return {"to_resource": resources}
