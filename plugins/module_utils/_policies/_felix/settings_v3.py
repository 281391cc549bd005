# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The effective settings of one node's Felix of Calico v3, from its FelixConfigurations.

projectcalico/calico v3.32, felix/config: config_params.go, param_types.go; measured with v3.32.1. A field of a wrong
type, and a value that Felix cannot read, stop it: it keeps its last rules, and a fresh host has none.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..._core import go_json, go_types
from ..._core.errors import shown
from ..._datastore.snapshot import PolicySnapshot
from ..._resources._specs.validation_felix_v3 import FAILSAFE_SETTINGS, is_failsafe_net, is_failsafe_protocol
from ..._resources.selector import GRAMMAR_V3, SelectorError, parse
from ..objects_v3 import FELIX_CONFIGURATION, NODE, SETTINGS, read
from .values import why_invalid

_ANNOTATION = "config.projectcalico.org/"
# Settings with another name in annotations than in the spec ("confignamev1").
_ANNOTATED = {"ipinipenabled": "ipipenabled", "ipipenabled": "", "externalnodescidrlist": "externalnodeslist"}
# Settings that are evaluated here, in Felix' spelling.
_SPELLED = frozenset(
    """
    BPFEnabled ChainInsertMode DefaultEndpointToHostAction DisableConntrackInvalidCheck FailsafeInboundHostPorts
    FailsafeOutboundHostPorts InterfaceExclude InterfacePrefix IpInIpEnabled Ipv6Support IptablesFilterAllowAction
    IptablesFilterDenyAction IptablesMangleAllowAction NFTablesMode NftablesFilterAllowAction NftablesFilterDenyAction
    NftablesMangleAllowAction UseInternalDataplaneDriver VXLANEnabled VXLANPort WireguardEnabled WireguardEnabledV6
    WireguardListeningPort WireguardListeningPortV6
    """.split()
)
STOPS = "{0}. Felix stops or does not start, keeps its last rules, and a host where it never ran remains open"


class Stopped(ValueError):
    """A reason why Felix stops or waits."""


def read_settings(snapshot: PolicySnapshot, node: str) -> Dict[str, Any]:
    """The effective settings, by their names in lower case: strings, and lists of failsafes."""
    found: Dict[str, Any] = {}
    for name in ("default", *_selecting(snapshot, node), "node." + node):
        if (name, "") not in snapshot.config:
            continue
        where = "the FelixConfiguration " + name
        try:
            fields = read(FELIX_CONFIGURATION, snapshot.config[name, ""])
        except go_json.Ambiguous:
            raise
        except ValueError as exc:
            raise Stopped(STOPS.format("Felix cannot read {0}: {1}".format(where, exc))) from exc
        # The spelling for messages, and the value.
        of_object = {key.lower(): (key, _text(item)) for key, item in fields["spec"].items() if item is not None}
        # Annotations take precedence over the spec.
        of_object.update(_annotated(fields["metadata"].get("annotations", {}), of_object, where))
        for key, (name, item) in of_object.items():
            _check(key, item, "the setting {0} of {1}".format(name, where))
            found[key] = item
    return found


def _annotated(
    annotations: Mapping[str, str], of_spec: Mapping[str, Tuple[str, Any]], where: str
) -> Dict[str, Tuple[str, Any]]:
    """The settings in annotations, by their names in lower case. Raises ValueError if Felix may read other values."""
    found: Dict[str, Tuple[str, Any]] = {}
    for annotation, text in annotations.items():
        if not annotation.startswith(_ANNOTATION):
            continue
        name = annotation[len(_ANNOTATION) :]
        key = _ANNOTATED.get(name.lower(), name.lower())
        if key in SETTINGS and not text:
            raise ValueError("the annotation {0} of {1} is empty: remove it".format(annotation, where))
        # Felix reads another spelling as a separate setting, and one of the two wins by chance.
        others = [each for each in (found.get(key), of_spec.get(key)) if each and each[1] != text]
        if key in SETTINGS and others and (name not in _SPELLED or key in found):
            text = "{0} sets {1} in two spellings, and which of them applies is undefined; remove one"
            raise ValueError(text.format(where, others[0][0]))
        found[key] = (name, text)
    return found


def _text(item: Any) -> Any:
    if isinstance(item, bool):
        return "true" if item else "false"
    return item.digits if isinstance(item, go_types.Number) else str(item) if isinstance(item, int) else item


def _selecting(snapshot: PolicySnapshot, node: str) -> List[str]:
    """The name of the FelixConfiguration whose nodeSelector selects the node: of several, the oldest."""
    found = []
    for (name, _empty), value in snapshot.config.items():
        may_select = "nodeselector" in value.lower() or "\\u" in value
        if name == "default" or name.startswith("node.") or not may_select:
            continue
        try:
            fields = read(FELIX_CONFIGURATION, value)
            selector = fields["spec"].get("nodeSelector", "")
            labels = _read_node_labels(snapshot, node) if selector else None
            if labels is not None and parse(selector, GRAMMAR_V3).matches(labels):
                found.append((fields["metadata"].get("creationTimestamp", ""), name))
        except (ValueError, SelectorError) as exc:
            if isinstance(exc, SelectorError) and not exc.is_limit:
                # Felix ignores it.
                continue
            text = "the FelixConfiguration {0} has a nodeSelector, and it is unknown whether it selects this node: {1}"
            raise ValueError(text.format(name, exc)) from exc
    return [min(found)[1]] if found else []


def _read_node_labels(snapshot: PolicySnapshot, node: str) -> Optional[Mapping[str, str]]:
    """The labels of a Node object; None if it is missing. Raises ValueError if the Node objects were not read."""
    if snapshot.nodes is None:
        raise ValueError("the Node objects were not read")
    if node not in snapshot.nodes:
        return None
    labels: Mapping[str, str] = read(NODE, snapshot.nodes[node])["metadata"].get("labels", {})
    return labels


def _check(key: str, value: Any, where: str) -> None:
    """Raise ValueError for a value that stops Felix, even if it is overridden."""
    try:
        problem = why_invalid(key, value)
    except ValueError as exc:
        raise ValueError("{0}: {1}".format(where, exc)) from exc
    if problem:
        raise Stopped(STOPS.format("{0} {1}".format(where, problem)))
    if key in [option.lower() for option in FAILSAFE_SETTINGS]:
        for protocol, _port, net in parse_failsafe_ports(value, where):
            _check_failsafe(protocol, net, where)


def _check_failsafe(protocol: str, net: str, where: str) -> None:
    if not is_failsafe_protocol(protocol):
        problem = "{0} has the protocol {1}, not tcp or udp".format(where, shown(protocol))
        raise Stopped(STOPS.format(problem))
    if not is_failsafe_net(net):
        raise Stopped(STOPS.format("{0} has an invalid network: {1}".format(where, shown(net))))


_ITEM = re.compile(r"(?:([^:]*):)?(?:(?:\[([^\[\]]*)\]|([^:\[\]]*)):)?([0-9]{1,9})", re.ASCII)


def parse_failsafe_ports(value: Any, where: str) -> List[Tuple[str, int, str]]:
    """Protocol, port and network of each failsafe, from a list in the spec or the string of an annotation."""
    if not isinstance(value, str):
        return [(each.get("protocol", ""), each.get("port", 0), each.get("net", "")) for each in value]
    found = []
    for item in [] if value.lower() == "none" else value.split(","):
        match = _ITEM.fullmatch(item.strip())
        if item.strip() and (not match or int(match.group(4)) > 65535):
            raise Stopped(STOPS.format("{0} has an invalid port: {1}".format(where, shown(item))))
        if match:
            protocol, net_v6, net, port = match.groups()
            found.append(("tcp" if protocol is None else protocol, int(port), net_v6 or net or ""))
    return found
