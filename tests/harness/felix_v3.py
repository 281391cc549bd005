# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Felix of Calico v3: real rules in this network namespace, from endpoints, policies and sets in etcd.

As felix.py for Calico v1, and as little: endpoints that name an interface, policies of the default tier, rules of
addresses, ports and ICMP types, and selectors of one comparison. What it does not know ends it. As in Felix, what is
established goes on, then come the failsafe ports, then the policies by order and name. Where one applies and none
decides, the packet is dropped. Only without one come profiles, of which it knows the one that is built in.

    python -m tests.harness.felix_v3 --node NODE --etcd URL --for SECONDS

Its output has a line for each time that it changes the rules: the policies of each interface, in order.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import re
import subprocess
import sys
import urllib.request

from .felix import follow_etcd
from .process import find_program

_ROOT = "/calico/resources/v3/projectcalico.org/"
_FAILSAFES = {
    "in": [*(("tcp", port) for port in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)), ("udp", 68)],
    "out": [*(("tcp", port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)), ("udp", 53), ("udp", 67)],
}
_TABLE = """
table inet felix
delete table inet felix
table inet felix {
%s
  chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    ct state invalid drop
%s
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ct state established,related accept
    ct state invalid drop
%s
  }
}
"""
_SELECTOR = re.compile(r"\s*([\w./-]+)\s*==\s*(['\"])([^'\"]*)\2\s*")
_HAS = re.compile(r"\s*has\(([\w./-]+)\)\s*")
_KNOWN = {
    "spec": {"order", "selector", "types", "ingress", "egress", "tier"},
    "rule": {"action", "protocol", "ipVersion", "icmp", "source", "destination"},
    "side": {"nets", "namespaceSelector", "selector", "ports"},
}


class State:
    """All objects of Calico, from {key: value}."""

    def __init__(self, tree):
        found = {}
        for key, value in tree.items():
            plural, name = key[len(_ROOT) :].split("/", 1)
            found.setdefault(plural, {})[name] = json.loads(value)
        self.endpoints = found.get("hostendpoints", {})
        self.sets = found.get("globalnetworksets", {})
        self.config = found.get("felixconfigurations", {}).get("default", {}).get("spec", {})
        self.policies = sorted(found.get("globalnetworkpolicies", {}).items(), key=_order)

    def select_nets(self, selector):
        """The networks of all sets and endpoints that a selector matches."""
        found = []
        for each in self.sets.values():
            if matches(selector, each["metadata"].get("labels", {})):
                found += each["spec"].get("nets", [])
        for each in self.endpoints.values():
            if matches(selector, each["metadata"].get("labels", {})):
                found += each["spec"].get("expectedIPs", [])
        return found

    def failsafes(self, way):
        given = self.config.get("failsafe%sHostPorts" % {"in": "Inbound", "out": "Outbound"}[way])
        if given is None:
            return _FAILSAFES[way]
        return [(each["protocol"].lower(), each["port"]) for each in given]


def _order(item):
    name, policy = item
    order = policy["spec"].get("order")
    return (order is None, order or 0, name)


def matches(selector, labels):
    if selector.strip() in ("", "all()"):
        return True
    found = _HAS.fullmatch(selector)
    if found:
        return found[1] in labels
    found = _SELECTOR.fullmatch(selector)
    if not found:
        raise NotImplementedError("the selector " + selector)
    return labels.get(found[1]) == found[3]


def program_of(node, state):
    """The text for nft, and what it does in one line."""
    chains, jumps, told = [], {"in": [], "out": []}, []
    for name, endpoint in sorted(state.endpoints.items()):
        if endpoint["spec"]["node"] != node:
            continue
        interface = endpoint["spec"].get("interfaceName")
        if not interface or interface == "*":
            raise NotImplementedError("%s has no interface" % name)
        for way, key in (("in", "iifname"), ("out", "oifname")):
            selected = _select(state, endpoint, way)
            chain = "%s-%s" % (way, interface)
            chains.append(
                "  chain %s {\n    %s\n  }" % (chain, "\n    ".join(_statements(state, endpoint, way, selected)))
            )
            jumps[way].append('    %s "%s" jump %s' % (key, interface, chain))
            told.append("%s %s: %s" % (interface, way, " ".join(name for name, _rules in selected) or "none"))
    text = _TABLE % ("\n".join(chains), "\n".join(jumps["in"]), "\n".join(jumps["out"]))
    return text, "; ".join(told) or "open"


def _select(state, endpoint, way):
    """The policies that apply to an endpoint in a direction: their names and rules."""
    direction = {"in": "Ingress", "out": "Egress"}[way]
    found = []
    for name, policy in state.policies:
        spec = policy["spec"]
        _check("spec", name, spec)
        if spec.get("tier", "default") != "default":
            raise NotImplementedError("the tier of " + name)
        if direction in spec["types"] and matches(spec.get("selector", ""), endpoint["metadata"].get("labels", {})):
            found.append((name, spec.get(direction.lower(), [])))
    return found


def _statements(state, endpoint, way, selected):
    for protocol, port in state.failsafes(way):
        yield "%s dport %d accept" % (protocol, port)
    for name, rules in selected:
        for rule in rules:
            _check("rule", name, rule)
            verdict = {"Allow": "accept", "Deny": "drop"}[rule["action"]]
            for match in _list_matches(state, name, rule):
                yield "%s %s" % (match, verdict)
    is_open = not selected and "projectcalico-default-allow" in endpoint["spec"].get("profiles", [])
    yield "accept" if is_open else "drop"


def _check(kind, name, given):
    unknown = {key for key, value in given.items() if value not in (None, {})} - _KNOWN[kind]
    if unknown:
        raise NotImplementedError("%s of %s" % (sorted(unknown), name))


def _list_matches(state, name, rule):
    """What a rule matches, as nft writes it, for each IP version in which it matches anything."""
    protocol = str(rule.get("protocol", "")).lower()
    for version in (4, 6):
        if rule.get("ipVersion", version) != version or protocol == {4: "icmpv6", 6: "icmp"}[version]:
            continue
        parts = ["meta nfproto ipv%d" % version]
        if rule.get("icmp"):
            parts.append("%s type %d" % (protocol, rule["icmp"]["type"]))
        elif protocol:
            parts.append("meta l4proto " + {"icmpv6": "ipv6-icmp"}.get(protocol, protocol))
        for side, address, port in (("source", "saddr", "sport"), ("destination", "daddr", "dport")):
            given = rule.get(side) or {}
            _check("side", name, given)
            if given.get("ports"):
                ports = ", ".join(str(each).replace(":", "-") for each in given["ports"])
                parts.append("%s %s { %s }" % (protocol, port, ports))
            nets = given.get("nets")
            # All sets and endpoints that it knows are global.
            if given.get("namespaceSelector", "global()") != "global()":
                raise NotImplementedError("namespaceSelector of %s" % name)
            if given.get("selector"):
                nets = state.select_nets(given["selector"])
            if nets is not None:
                nets = [ipaddress.ip_network(each, strict=False) for each in nets]
                mine = list(ipaddress.collapse_addresses(each for each in nets if each.version == version))
                parts.append("%s %s { %s }" % ({4: "ip", 6: "ip6"}[version], address, ", ".join(map(str, mine))))
                if not mine:
                    parts = None
                    break
        if parts:
            yield " ".join(parts)


def _read(opener, url):
    """{key: value} of all of Calico's resources, or None when etcd does not answer."""
    first, last = (base64.b64encode(key.encode()).decode() for key in (_ROOT, _ROOT[:-1] + "0"))
    body = json.dumps({"key": first, "range_end": last}).encode()
    try:
        with opener.open(urllib.request.Request(url + "/v3/kv/range", data=body), timeout=2) as answer:
            found = json.load(answer).get("kvs", [])
    except (OSError, http.client.HTTPException):
        return None
    return {base64.b64decode(each["key"]).decode(): base64.b64decode(each["value"]).decode() for each in found}


def main(arguments=None):
    programmed = None

    def follow(node, tree):
        nonlocal programmed
        text, told = program_of(node, State(tree))
        if text != programmed:
            subprocess.run([find_program("nft"), "-f", "-"], input=text.encode(), check=True)
            print(told, flush=True)
            programmed = text

    return follow_etcd("tests.harness.felix_v3", _read, follow, arguments)


if __name__ == "__main__":
    sys.exit(main())
