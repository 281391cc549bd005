# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: explain_interfaces
short_description: Explain for each interface of a host which rule creates its endpoint, or why no rule does
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Evaluates the rules in the same way as P(netsec.calico.hostendpoints_from_facts#filter), and returns the reasons.
positional: node
extends_documentation_fragment:
  - netsec.calico._interfaces
seealso:
  - plugin: netsec.calico.hostendpoints_from_facts
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which endpoints the role creates for this host's interfaces
  ansible.builtin.debug:
    msg: "{{ ansible_facts | netsec.calico.explain_interfaces('myhost', rules=[{'match': {'name': 'eth*'}}]) }}"
"""

RETURN = r"""
_value:
  description: One item for each interface, sorted by name.
  type: list
  elements: dict
  contains:
    interface:
      description: Name of the interface.
      type: str
    rule:
      description: Number of the rule that creates the endpoint, from 1, or V(null).
      type: int
    reason:
      description: Which rule creates the endpoint, or why no rule does.
      type: str
    endpoint:
      description:
        - The endpoint, or V(null). Interfaces that share one endpoint for all interfaces all have this endpoint.
      type: dict
  sample:
    - interface: docker0
      rule: null
      reason: ignored by 'docker*'
      endpoint: null
"""

import dataclasses
from typing import Any, Dict, List

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import LONGEST, brief
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import (
    HostInput,
    RuleError,
    decide,
)


def explain_interfaces(facts: Any, node: str, **options: Any) -> List[Dict[str, Any]]:
    """Return the deciding rule, the reason and the endpoint of each interface."""
    try:
        return [dataclasses.asdict(verdict) for verdict in decide(HostInput.of(facts, node, **options))]
    except (RuleError, TypeError) as exc:
        raise AnsibleFilterError("explain_interfaces: {0}".format(brief(str(exc), LONGEST))) from exc


class FilterModule:
    """Filters for the interfaces of a host."""

    def filters(self) -> dict:
        return {"explain_interfaces": explain_interfaces}
