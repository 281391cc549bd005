# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of calico_connection_info."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule

from .._core.errors import LONGEST, InvalidInput, cut
from .._dataplane.evaluator import Evaluator
from .._dataplane.host import HostDataplane, build_host
from .._dataplane.resolution import parse_interfaces
from .._dataplane.verdict import ConnectionVerdict, as_expected
from .._datastore.base import Datastore, State
from .._guard.connection_checks import format_connection
from .._policies._felix.failsafes import parse_failsafes
from .._policies.connection import Connection, parse_connection
from .._policies.model import ALLOW, DENY
from .._resources.hostendpoint import as_host_endpoint
from ._input.endpoint_set import build_presents, read_endpoints
from .results import build_listing_warnings
from .runner import warn

# The verdicts that can be expected.
EXPECTED = (ALLOW, DENY)


def evaluate_connections(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """Evaluate the connections of a host by the stored policies and endpoints.

    The result has the key `failures` if a verdict is not the expected one.
    """
    node = module.params["node"]
    store.api_version.check_filter(node, None)
    parse_interfaces(module.params["interfaces"])
    failsafes = parse_failsafes(module.params["failsafes"], "failsafes")
    connections = _parse_connections(module.params["connections"])
    declared: Dict[str, Any] = {}
    if module.params["endpoints"]:
        declared = build_presents(read_endpoints(module.params), store.api_version, {}, store.key)
    endpoints = [as_host_endpoint(want.resource) for want in declared.values()]
    snapshot = store.read_policies(node, endpoints)
    evaluator = Evaluator(store.api_version, snapshot, endpoints)
    dataplane = module.params["dataplane"] or ""
    host = build_host(evaluator, node, module.params["interfaces"], failsafes, dataplane)
    of_node = [each for each in snapshot.endpoints if each.node in (node, "") and each.key not in declared]
    warn(module, build_listing_warnings(of_node, State(), store.api_version))
    answers = [host.evaluate(connection) for connection in connections]
    result = {
        "changed": False,
        "results": [answer._asdict() for answer in answers],
        "endpoints": _list_governing(host),
    }
    expected = [each.get("expect") for each in module.params["connections"]]
    failures = _list_unexpected(connections, answers, expected)
    if failures:
        result.update(failures=failures, msg=cut(_summarize(failures, len(expected) - expected.count(None)), LONGEST))
    return result


def _list_unexpected(
    connections: Sequence[Connection], answers: Sequence[ConnectionVerdict], expected: Sequence[Optional[str]]
) -> List[str]:
    """A message for each connection whose verdict is not the expected one."""
    text = "connections[{0}] ({1}, {2}): expected {3}, but the verdict is {4}, decided by {5}: {6}"
    found = []
    for index, (connection, evaluated, expect) in enumerate(zip(connections, answers, expected)):
        answer = as_expected(evaluated, expect) if expect is not None else evaluated
        if expect not in (None, answer.verdict):
            what = (connection.direction, format_connection(connection), expect)
            found.append(text.format(index, *what, answer.verdict, answer.decided_by, answer.reason))
    return found


def _summarize(failures: List[str], number: int) -> str:
    text = "{0} of {1} expectations are not met: {2}"
    return text.format(len(failures), number, "; ".join(failures))


def _parse_connections(given: List[Dict[str, Any]]) -> List[Connection]:
    """Parse the option. Raises InvalidInput with all problems."""
    found, problems = [], []
    for index, each in enumerate(given):
        try:
            found.append(parse_connection(each, "connections[{0}]".format(index)))
        except InvalidInput as exc:
            problems += exc.problems
    if problems:
        raise InvalidInput(problems)
    return found


def _list_governing(host: HostDataplane) -> List[Dict[str, Any]]:
    """The endpoints that govern the host's interfaces."""
    return [
        {
            "interface": name,
            "endpoint": interface.governing.name if interface.governing else "",
            "shadowed": [each.name for each in interface.shadowed],
            "rejected": [{"name": each.name, "reason": each.rejected} for each in interface.rejected],
        }
        for name, interface in sorted(host.interfaces.items())
    ]
