# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Felix of Calico v1: real rules in this network namespace, from the host endpoints in etcd.

Felix itself is in no registry of packages. This does the little of it that a lock-out takes: an endpoint that names an
interface closes it for what comes in and is new, but for the failsafe ports and what the endpoint's profiles let in. It
ends at what it does not know: policies, endpoints without a name, and rules that are not about everything. What goes
out is not touched.

From a shell, at the root of the collection, in the namespace of a host:

    python -m tests.harness.felix --node NODE --etcd URL --for SECONDS

Its output has a line for each time that it changes the rules: "eth0 drop", "eth0 accept", or "open", as at the start.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

from .process import find_program

_INTERVAL = 0.2
# As Felix does it: what is established goes on whatever the rules, then come the failsafe ports of v1.
_TABLE = """
table inet felix
delete table inet felix
table inet felix {
  chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    %s
  }
}
"""
_INTERFACE = """
    iifname "{0}" tcp dport 22 accept
    iifname "{0}" udp dport 68 accept
    iifname "{0}" {1}
"""


def verdicts(node, tree):
    """{interface: "drop" or "accept"} of a node, from {key: value} of all below /calico/v1."""
    if any(key.startswith("/calico/v1/policy/tier/") for key in tree):
        raise NotImplementedError("policies")
    prefix = "/calico/v1/host/%s/endpoint/" % node
    found = {}
    # Of several endpoints for an interface, Felix takes the one with the smallest name.
    for key in sorted((key for key in tree if key.startswith(prefix)), reverse=True):
        endpoint = json.loads(tree[key])
        if not endpoint.get("name"):
            raise NotImplementedError("%s has no name" % key)
        found[endpoint["name"]] = _verdict(endpoint.get("profile_ids") or [], tree)
    return found


def _verdict(profiles, tree):
    for profile in profiles:
        rules = tree.get("/calico/v1/policy/profile/%s/rules" % profile)
        if rules is None:
            return "drop"
        for rule in json.loads(rules).get("inbound_rules") or []:
            if rule not in ({"action": "allow"}, {"action": "deny"}):
                raise NotImplementedError("a rule of the profile %s: %s" % (profile, rule))
            return "accept" if rule["action"] == "allow" else "drop"
    return "drop"


def _read(opener, url):
    """{key: value} of all below /calico/v1, or None when etcd does not answer."""
    try:
        with opener.open(url + "/v2/keys/calico/v1?recursive=true&quorum=true", timeout=2) as answer:
            nodes = [json.load(answer)["node"]]
    except urllib.error.HTTPError as error:
        return {} if error.code == 404 else None
    except (OSError, http.client.HTTPException):
        return None
    found = {}
    while nodes:
        node = nodes.pop()
        nodes += node.get("nodes", [])
        if "value" in node:
            found[node["key"]] = node["value"]
    return found


def _told(rules):
    return ", ".join("%s %s" % item for item in sorted(rules.items())) or "open"


def _program(rules):
    text = _TABLE % "".join(_INTERFACE.format(interface, verdict) for interface, verdict in sorted(rules.items()))
    subprocess.run([find_program("nft"), "-f", "-"], input=text.encode(), check=True)


def main(arguments=None):
    programmed = None

    def follow(node, tree):
        nonlocal programmed
        rules = verdicts(node, tree)
        if rules != programmed:
            # First the line: whoever sees what the rules do finds it.
            print(_told(rules), flush=True)
            _program(rules)
            programmed = rules

    return follow_etcd("tests.harness.felix", _read, follow, arguments)


def follow_etcd(name, read, follow, arguments):
    """Call follow(node, tree) with what read(opener, URL) finds in etcd, again and again for the given seconds.

    Without an answer, read returns None, and the last rules stay.
    """
    parser = argparse.ArgumentParser(prog="python -m " + name, description="A stand-in for Felix.")
    parser.add_argument("--node", required=True)
    parser.add_argument("--etcd", metavar="URL", required=True)
    parser.add_argument("--for", type=float, metavar="SECONDS", dest="seconds", required=True)
    options = parser.parse_args(arguments)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        tree = read(opener, options.etcd)
        if tree is not None:
            follow(options.node, tree)
        time.sleep(_INTERVAL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
