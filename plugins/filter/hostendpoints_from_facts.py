# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hostendpoints_from_facts
short_description: Build host endpoints from a host's facts by rules
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Builds the endpoints that the role C(netsec.calico.hostendpoints) would create for a host's interfaces.
positional: node
extends_documentation_fragment:
  - netsec.calico._interfaces
seealso:
  - plugin: netsec.calico.explain_interfaces
    plugin_type: filter
  - module: netsec.calico.calico_hostendpoints
"""

EXAMPLES = r"""
- name: Manage the endpoints of this host only
  netsec.calico.calico_hostendpoints:
    endpoints: "{{ ansible_facts | netsec.calico.hostendpoints_from_facts(ansible_facts.nodename, rules=rules) }}"
  delegate_to: localhost
  vars:
    rules:
      - match:
          default_route: true
        endpoint:
          labels:
            side: external
      - match:
          network: 10.0.0.0/8
        endpoint:
          labels:
            side: internal
"""

RETURN = r"""
_value:
  description: The endpoints, sorted by interface, with the option names of the modules as keys.
  type: list
  elements: dict
"""

from typing import Any, Dict, List

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import LONGEST, brief
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import (
    HostInput,
    RuleError,
    build_endpoints,
)


def hostendpoints_from_facts(facts: Any, node: str, **options: Any) -> List[Dict[str, Any]]:
    """Return the endpoints of the host with these facts."""
    try:
        return build_endpoints(HostInput.of(facts, node, **options))
    except (RuleError, TypeError) as exc:
        raise AnsibleFilterError("hostendpoints_from_facts: {0}".format(brief(str(exc), LONGEST))) from exc


class FilterModule:
    """Filters for the interfaces of a host."""

    def filters(self) -> dict:
        return {"hostendpoints_from_facts": hostendpoints_from_facts}
