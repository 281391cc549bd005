# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of Calico v3's policies and profiles, as its Felix reads them.

projectcalico/calico v3.32: libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go and
libcalico-go/lib/validator/v1, which Felix applies again. The effect of values that calicoctl would not store was
measured with Felix v3.32.1.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .._core.errors import shown
from .._core.ip import Net, parse_net
from .._core.protocols import WITH_PORTS_V3
from .._resources.selector import GRAMMAR_V3, Selector, SelectorError, both, parse
from .._resources.validation_v3 import PORT_NAME
from .connection import Ports
from .load_common import not_too_many, read_protocol, with_fatal
from .model import ALLOW, DENY, EGRESS, INGRESS, LOG, PASS, Entity, Rule, Rules

# Kubernetes' own policies select endpoints with this label (libcalico-go/lib/backend/k8s/conversion).
ORCHESTRATOR = "projectcalico.org/orchestrator"
NAMESPACE, SERVICE_ACCOUNT = "projectcalico.org/namespace", "projectcalico.org/serviceaccount"
OF_NAMESPACES, OF_ACCOUNTS = "pcns.", "pcsa."

_ACTIONS = {"": ALLOW, "allow": ALLOW, "deny": DENY, "log": LOG, "pass": PASS, "next-tier": PASS}
# A network of no IP version: Calico's etcd has no endpoints of services.
_NO_NET: Tuple[Net, ...] = ((0, 0, -1),)


def build_rules(spec: Mapping[str, Any], namespace: str = "") -> Rules:
    """The rules of both directions of an object, given as Go reads it.

    Raises ValueError or SelectorError if the object is invalid for Felix, and Ambiguous for too many rules.
    """
    found: Dict[str, Tuple[Rule, ...]] = {}
    for direction in (INGRESS, EGRESS):
        rules = not_too_many(spec.get(direction, []))
        found[direction] = tuple([_rule(each, namespace) for each in rules])
    return found


def prefixed(text: str, prefix: str) -> str:
    """A selector for the labels of a namespace or a service account, which endpoints have with a prefix.

    Raises SelectorError.
    """
    return str(parse(text, GRAMMAR_V3, prefix))


def _rule(fields: Mapping[str, Any], namespace: str) -> Rule:
    action = fields.get("action", "")
    name = fields.get("protocol")
    protocol, not_protocol = _protocol(fields, "protocol"), _protocol(fields, "notProtocol")
    version = fields.get("ipVersion")
    if version not in (None, 4, 6):
        raise ValueError("ipVersion is {0}, not 4 or 6".format(version))
    if version is None:
        version = {"icmp": 4, "icmpv6": 6}.get((name or "").lower(), 0)
    source, destination = (_entity(fields.get(end, {}), name, protocol, namespace) for end in ("source", "destination"))
    rule = Rule(
        action=_ACTIONS.get(action.lower(), DENY),
        version=version,
        protocol=protocol,
        not_protocol=not_protocol,
        icmp=_icmp(fields, "icmp"),
        not_icmp=_icmp(fields, "notICMP"),
        source=source,
        destination=destination,
    )
    fatal = ""
    if action.lower() not in _ACTIONS:
        fatal = "its action {0} is not a valid action".format(shown(action))
    elif any(not text for key in ("nets", "notNets") for text in fields.get("source", {}).get(key, ())):
        fatal = "it has an empty source network"
    return with_fatal(rule, fatal, is_v1=False)


def _protocol(fields: Mapping[str, Any], key: str) -> int:
    item = fields.get(key)
    return 0 if item is None else read_protocol(item.lower(), key)


def _icmp(fields: Mapping[str, Any], key: str) -> Optional[Tuple[int, Optional[int]]]:
    """None without a type: Felix reads the code only beside a type."""
    inner = fields.get(key) or {}
    kind, code = inner.get("type"), inner.get("code")
    for value, most in ((kind, 254), (code, 255)):
        if value is not None and not 0 <= value <= most:
            raise ValueError("{0} has {1}, which is not from 0 to {2}".format(key, value, most))
    return None if kind is None else (kind, code)


def _entity(fields: Mapping[str, Any], name: Optional[str], protocol: int, namespace: str) -> Entity:
    ports, port_names = _ports(fields, "ports")
    not_ports, not_port_names = _ports(fields, "notPorts")
    # Port names require no protocol, but a protocol without ports excludes them.
    needing = ports or not_ports or name is not None and (port_names or not_port_names)
    if needing and protocol not in WITH_PORTS_V3:
        raise ValueError("ports are given without a protocol that has ports")
    not_selector = fields.get("notSelector", "")
    nets = _nets(fields, "nets")
    if (fields.get("services") or {}).get("name"):
        nets = _NO_NET
    return Entity(
        nets=nets,
        not_nets=_nets(fields, "notNets"),
        selectors=_selectors(fields, namespace),
        not_selectors=(parse(not_selector, GRAMMAR_V3),) if not_selector else (),
        ports=ports,
        port_names=port_names,
        not_ports=not_ports,
        not_port_names=not_port_names,
    )


def _selectors(fields: Mapping[str, Any], namespace: str) -> Tuple[Selector, ...]:
    """The selectors that must all select an endpoint, as one (updateprocessors/rules.go, getEndpointSelector)."""
    parts = _accounts(fields.get("serviceAccounts") or {})
    if fields.get("selector"):
        parts.append(parse(fields["selector"], GRAMMAR_V3))
    if fields.get("namespaceSelector"):
        text = prefixed(fields["namespaceSelector"], OF_NAMESPACES)
        text = text.replace("all()", "has({0})".format(NAMESPACE)).replace("global()", "!has({0})".format(NAMESPACE))
        parts.insert(0, parse(text, GRAMMAR_V3))
    elif namespace and (parts or fields.get("notSelector")):
        parts.insert(0, parse("{0} == '{1}'".format(NAMESPACE, namespace), GRAMMAR_V3))
    return (both(parts),) if parts else ()


def _accounts(accounts: Mapping[str, Any]) -> List[Selector]:
    """The endpoints of service accounts. Felix drops them if a name is invalid (parseServiceAccounts)."""
    parts = [parse(accounts["selector"], GRAMMAR_V3, OF_ACCOUNTS)] if accounts.get("selector") else []
    if accounts.get("names"):
        text = "{0} in {{ '{1}' }}".format(SERVICE_ACCOUNT, "', '".join(accounts["names"]))
        try:
            parts.append(parse(text, GRAMMAR_V3))
        except SelectorError:
            return []
    return parts


def _nets(fields: Mapping[str, Any], key: str) -> Tuple[Net, ...]:
    """The valid networks: Felix ignores the others."""
    return tuple(parse_nets(fields.get(key, ())))


def parse_nets(texts: Any) -> List[Net]:
    found = []
    for text in texts:
        try:
            found.append(parse_net(text))
        except ValueError:
            pass
    return found


def _ports(fields: Mapping[str, Any], key: str) -> Tuple[Tuple[Ports, ...], Tuple[str, ...]]:
    """The numbers and the names of ports."""
    numbers: List[Ports] = []
    names: List[str] = []
    for item in fields.get(key, ()):
        if isinstance(item, str):
            if not PORT_NAME.fullmatch(item):
                raise ValueError("{0} has an invalid port name: {1}".format(key, shown(item)))
            names.append(item)
            continue
        found = (item, item) if isinstance(item, int) else item
        if not found[0]:
            raise ValueError("{0} has port 0".format(key))
        numbers.append(found)
    return tuple(numbers), tuple(names)


# iptables splits these into several words.
_OTHER_WORDS = re.compile("[\\s\"']")


def fatal_name(name: str) -> str:
    """Why Felix fails on a policy of this name where it is in use; "" if it does not."""
    return "its name has a space or a quote" if _OTHER_WORDS.search(name) else ""
