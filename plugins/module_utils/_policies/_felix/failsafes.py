# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failsafe ports in the environment of a Felix or in felix.cfg, which take precedence over the datastore.

They cannot be read from here, so a task states them. A string has the form that Felix accepts there (felix,
config/param_types.go): PROTOCOL:PORT, PROTOCOL:NET:PORT with IPv6 in brackets, or PORT.
"""

from __future__ import annotations

import re
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from ..._core.errors import InvalidInput, shown
from ..._core.ip import Net, parse_net
from ..._core.protocols import FAILSAFE_PROTOCOLS
from ..._resources.nested_options import check_keys, parse_port
from .config import Failsafe, Felix
from .config_v3 import explain_net_doubt

SIDES = ("inbound", "outbound")
_KEYS = ("protocol", "port", "net")
_TEXT = re.compile(r"(?:([^:]*):)?(?:(?:\[([^\[\]]*)\]|([^:\[\]]*)):)?([^:]+)")


class GivenFailsafes(NamedTuple):
    """The lists of one Felix. None is a missing list, so the stored list counts; () is a list without failsafes."""

    inbound: Optional[Tuple[Failsafe, ...]] = None
    outbound: Optional[Tuple[Failsafe, ...]] = None


NONE_GIVEN = GivenFailsafes()


def parse_failsafes(given: Any, where: str) -> GivenFailsafes:
    """The failsafes of a task's mapping with inbound and outbound; `where` begins the messages. Raises InvalidInput."""
    if given is None:
        return NONE_GIVEN
    if not isinstance(given, Mapping):
        raise InvalidInput(["{0}: {1} is not a mapping with inbound and outbound".format(where, shown(given))])
    check_keys(given, SIDES, where)
    return GivenFailsafes(*[_parse_list(given.get(side), "{0}.{1}".format(where, side)) for side in SIDES])


def with_failsafes(felix: Felix, given: GivenFailsafes, node: str) -> Felix:
    """The settings of a node's Felix, with the given lists instead of the stored lists.

    Raises InvalidInput for a network that Felix does not support.
    """
    if given == NONE_GIVEN:
        return felix
    for failsafe in (*(given.inbound or ()), *(given.outbound or ())):
        if failsafe.net and not felix.has_failsafe_nets:
            text = "failsafes of node {0}: {1} is for a network, which Felix of Calico v1 does not support; {2}"
            raise InvalidInput([text.format(node, failsafe, "leave out the network")])
    return felix._replace(
        inbound=felix.inbound if given.inbound is None else _known_to(felix, given.inbound),
        outbound=felix.outbound if given.outbound is None else _known_to(felix, given.outbound),
    )


def _known_to(felix: Felix, failsafes: Tuple[Failsafe, ...]) -> Tuple[Failsafe, ...]:
    """The failsafes, with a doubt if this version of Felix may not read their networks."""
    doubt = explain_net_doubt("failsafes", felix.version)
    return tuple([each._replace(doubt=doubt if each.net else "") for each in failsafes])


def _parse_list(given: Any, where: str) -> Optional[Tuple[Failsafe, ...]]:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        raise InvalidInput(["{0}: {1} is not a list; write an empty list as []".format(where, shown(given))])
    problems: List[str] = []
    found: List[Failsafe] = []
    for index, item in enumerate(given):
        try:
            found.append(_parse_failsafe(item, "{0}[{1}]".format(where, index)))
        except InvalidInput as exc:
            problems += exc.problems
    if problems:
        raise InvalidInput(problems)
    return tuple(found)


def _parse_failsafe(item: Any, where: str) -> Failsafe:
    fields = item if isinstance(item, Mapping) else _parse_fields(item, where)
    check_keys(fields, _KEYS, where)
    for key, what in (("protocol", "; set it to tcp or udp"), ("port", "")):
        if fields.get(key) in (None, ""):
            raise InvalidInput(["{0}.{1} is missing{2}".format(where, key, what)])
    protocol = FAILSAFE_PROTOCOLS.get(str(fields["protocol"]).lower())
    if protocol is None:
        raise InvalidInput(["{0}.protocol: {1} is not tcp or udp".format(where, shown(fields["protocol"]))])
    return Failsafe(protocol, parse_port(fields["port"], where), _parse_net(fields.get("net"), where))


def _parse_fields(item: Any, where: str) -> Mapping[str, Any]:
    """The fields of a string or a port number."""
    is_number = isinstance(item, int) and not isinstance(item, bool)
    found = _TEXT.fullmatch(str(item).strip()) if is_number or isinstance(item, str) else None
    protocol, net_v6, net, port = found.groups() if found else ("", None, None, "")
    if not found or protocol is None and not port.isdigit():
        text = "{0}: {1} is not a failsafe such as tcp:22, udp:192.0.2.0/24:68 or 22"
        raise InvalidInput([text.format(where, shown(item))])
    return {"protocol": "tcp" if protocol is None else protocol, "port": port, "net": net_v6 or net}


def _parse_net(value: Any, where: str) -> Optional[Net]:
    if value in (None, ""):
        return None
    try:
        return parse_net(value if isinstance(value, str) else "")
    except ValueError as exc:
        rule = "is not a network or an address, such as 192.0.2.0/24 or 2001:db8::1"
        raise InvalidInput(["{0}.net: {1} {2}".format(where, shown(value), rule)]) from exc
