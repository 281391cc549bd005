# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each API generation of Calico accepts as a host endpoint, and what Felix makes of it afterwards.

The rules themselves are in _rules_v1.py and _rules_v3.py. Their patterns are Calico's own, from libcalico-go's
validator, and apply to the whole text: Go's "$" is the end of the text, so re.fullmatch, never re.match with "$".
Where the collection is stricter on purpose, the reason stands beside.
"""

from __future__ import annotations

from typing import Iterable, List, Optional

from .._core.errors import InvalidInput, shown
from .hostendpoint import V1, V3, HostEndpoint
from .validation_v1 import RULES as RULES_V1
from .validation_v3 import RULES as RULES_V3

_RULES = {V1: RULES_V1, V3: RULES_V3}


def check(endpoint: HostEndpoint, api_version: str) -> None:
    """Raise InvalidInput with every rule that the endpoint breaks."""
    _raise(endpoint, find_problems(endpoint, api_version))


def find_problems(endpoint: HostEndpoint, api_version: str) -> List[str]:
    """Every rule that the endpoint breaks, each with the option and the value."""
    return [_text(*problem) for problem in _RULES[api_version].endpoint(endpoint)]


def check_identity(identity: HostEndpoint, api_version: str) -> None:
    """Raise InvalidInput when no endpoint can have this node and name; Calico v3 needs no node."""
    _raise(identity, [_text(*problem) for problem in _RULES[api_version].identity(identity)])


def check_filter(node: Optional[str], name: Optional[str], api_version: str) -> None:
    """Raise InvalidInput when no endpoint can have the node or the name, as far as they are given (not None)."""
    given = [(option, value) for option, value in (("node", node), ("name", name)) if value is not None]
    rule = _RULES[api_version].key_part
    _raise("filter", [_text(*problem) for option, value in given for problem in rule(option, value)])


def check_nodes(option: str, nodes: Iterable[str], api_version: str) -> None:
    """Raise InvalidInput when one of the nodes cannot be one."""
    problems = [
        "{0}: {1} {2}".format(option, shown(node), rule)
        for node in nodes
        for _option, _value, rule in _RULES[api_version].key_part("node", node)
    ]
    if problems:
        raise InvalidInput(problems)


def check_label(key: str, value: str, api_version: str) -> None:
    """Raise InvalidInput when the owner cannot be such a label."""
    endpoint = HostEndpoint(labels={key: value})
    found = _RULES[api_version].endpoint(endpoint)
    problems = [problem for problem in found if problem[0].startswith(("labels", "size"))]
    _raise("owner_label and owner", [_text(*problem) for problem in problems])


def ignored_by_felix(endpoint: HostEndpoint, api_version: str) -> str:
    """Why Felix treats this stored endpoint as missing, which leaves its interface open; "" when it does not."""
    for problem in _RULES[api_version].felix(endpoint):
        return _text(*problem)
    return ""


def _raise(subject: object, problems: List[str]) -> None:
    if problems:
        raise InvalidInput(["{0}: {1}".format(subject, problems[0])] + problems[1:])


def _text(option: str, value: object, rule: str) -> str:
    return "{0}: {1}".format(option, rule if rule.startswith("is missing") else shown(value) + " " + rule)
