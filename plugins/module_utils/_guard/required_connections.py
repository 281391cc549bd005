# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of a host as a task gives them to the guard, and the connections that it requires."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from .._core.errors import InvalidInput, brief, shown
from .._core.protocols import WITH_PORTS, parse_protocol
from .._dataplane.resolution import parse_interfaces
from .._policies._felix.failsafes import parse_failsafes
from .._policies.connection import IN, OUT, Connection
from .._policies.model import DATAPLANES
from .._resources.nested_options import check_keys, parse_port
from .host_facts import CHECK_OF_DIRECTION, HostFacts
from .routing import Peer, RequiredConnection, RoutingTable, UnknownPath, resolve_peer

SSH_PORT = 22
_FACTS = ("interfaces", "default_interface", "ssh", "require", "reached_at", "failsafes", "dataplane")
_SSH = ("peer", "address", "port")
_REQUIRED = ("direction", "protocol", "port", "peer")


def _parse_required_connection(given: Any, where: str) -> RequiredConnection:
    """An item of guard_require, or of `require` in guard_facts. Raises InvalidInput."""
    check_keys(given, _REQUIRED, where)
    direction = given.get("direction")
    if not isinstance(direction, str) or direction not in (IN, OUT):
        raise InvalidInput(["{0}.direction: {1} is not valid; set in or out".format(where, shown(direction))])
    try:
        protocol = parse_protocol(given.get("protocol"))
    except ValueError as exc:
        raise InvalidInput(["{0}.protocol: {1} {2}".format(where, shown(given.get("protocol")), exc)]) from exc
    port = parse_port(given.get("port"), where) if given.get("port") is not None else None
    if (port is None) == (protocol in WITH_PORTS):
        problem = "port is missing; {0} requires one" if port is None else "port is given, but {0} has no ports"
        raise InvalidInput(["{0}: {1}".format(where, problem.format(given.get("protocol")))])
    return RequiredConnection(direction, protocol, port, _parse_peer(given.get("peer"), where + ".peer"))


def check_required(given: Optional[Sequence[Mapping[str, Any]]]) -> None:
    """Raise InvalidInput for an invalid option guard_require."""
    _parse_required(given, "guard_require")


def _parse_required(given: Any, where: str) -> List[RequiredConnection]:
    """A list of required connections. Raises InvalidInput."""
    if not isinstance(given or [], list):
        raise InvalidInput(["{0}: {1} is not a list".format(where, shown(given))])
    return [_parse_required_connection(each, "{0}[{1}]".format(where, index)) for index, each in enumerate(given or ())]


def parse_host_facts(node: str, given: Any, required_of_all: Optional[Sequence[Mapping[str, Any]]]) -> HostFacts:
    """The facts of a node, and the connections that every node requires. Raises InvalidInput."""
    where = "guard_facts[{0}]".format(brief(node))
    check_keys(given, _FACTS, where)
    addresses, default = given.get("interfaces"), given.get("default_interface") or ""
    interfaces = parse_interfaces(addresses, where + ".interfaces")
    if not isinstance(default, str):
        raise InvalidInput(["{0}.default_interface: {1} is not the name of an interface".format(where, shown(default))])
    host = RoutingTable(interfaces, default)
    required: List[Connection] = []
    possible: List[Connection] = []
    doubts: List[Tuple[str, str]] = []
    through, port = "", SSH_PORT
    if given.get("ssh") is not None:
        ssh = check_keys(given["ssh"], _SSH, where + ".ssh")
        port = parse_port(ssh.get("port") or SSH_PORT, where + ".ssh")
        ends = {
            option: _resolve_end(ssh.get(option), where + ".ssh." + option, doubts) for option in ("peer", "address")
        }
        sure, maybe = host.ssh(ends["peer"], ends["address"], port)
        required += sure
        possible += maybe
        if sure and not maybe:
            through = sure[0].in_interface
        if not sure and not maybe:
            doubts.append(
                ("G03", "cannot determine the interface of Ansible's connection to tcp port {0}".format(port))
            )
    for each in (
        *_parse_required(given.get("require"), where + ".require"),
        *_parse_required(required_of_all, "guard_require"),
    ):
        try:
            sure, maybe = host.connections(each)
        except UnknownPath as exc:
            doubts.append((CHECK_OF_DIRECTION[each.direction], str(exc)))
        else:
            required += sure
            possible += maybe
    failsafes = parse_failsafes(given.get("failsafes"), where + ".failsafes")
    dataplane = parse_dataplane(given.get("dataplane"), where + ".dataplane")
    return HostFacts(
        addresses, tuple(required), through, port, tuple(doubts), tuple(possible), failsafes, dataplane, interfaces
    )


def _parse_peer(value: Any, where: str) -> str:
    """The address or name of an end; "" when it is missing. Raises InvalidInput."""
    if not isinstance(value or "", str):
        raise InvalidInput(["{0}: {1} is not an address or a name".format(where, shown(value))])
    return value or ""


def _resolve_end(value: Any, where: str, doubts: List[Tuple[str, str]]) -> List[Peer]:
    """The addresses of an end of Ansible's connection; adds to `doubts` when they are unknown. Raises InvalidInput."""
    text = _parse_peer(value, where)
    try:
        return resolve_peer(text.partition("/")[0]) if text else []
    except UnknownPath as exc:
        doubts.append(("G03", str(exc)))
        return []


def parse_dataplane(given: Any, where: str) -> str:
    """The dataplane of a host's Felix; "" when it is not given. Raises InvalidInput."""
    if given in (None, ""):
        return ""
    if not isinstance(given, str) or given not in DATAPLANES:
        raise InvalidInput(["{0}: {1} is not {2}".format(where, shown(given), " or ".join(DATAPLANES))])
    return given
