# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the role: network namespaces with true interfaces, and hosts that Ansible knows by recorded facts only.

From a shell, at the root of the collection:

    python -m tests.harness.fleet --check          whether this machine can make such namespaces, and why not
    python -m tests.harness.fleet --fleet FLEET.json --folder FOLDER --for SECONDS

The latter makes a namespace for each host of FLEET.json, {host: [ip commands]}, and keeps them until SIGTERM, but no
longer than that. FOLDER then has an interpreter FOLDER/HOST for each host; FOLDER/ready comes last, with our pid in it.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from .module import run_playbook

# A host of an inventory that cannot be reached, without a network and in no time.
UNREACHABLE = {"ansible_connection": "local", "ansible_remote_tmp": "/dev/null/nothing"}

_TOOLS = ("hostname", "ip", "mount", "nsenter", "unshare")
# Until standard input ends, which it does with whoever started it, however that one ends.
_HOLD = """
set -e
hostname "$1"
mount -t sysfs sysfs /sys
printf "%s\\n" "$2" | ip -batch -
echo ready
exec cat >/dev/null
"""


class FleetError(Exception):
    """A namespace that could not be made."""


# Network namespaces


def unavailable():
    """Why no namespaces can be made on this machine; "" when they can."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        return "not found: %s (Debian: iproute2, util-linux)" % ", ".join(missing)
    try:
        Namespace("check", ["link add eth0 type veth peer name peer0"]).close()
    except FleetError as error:
        return str(error)
    return ""


class Namespace:
    """A host with network interfaces and a name of its own; for the rest it is this machine.

    It needs no name that could be taken and nothing stays of it: it goes with its last process, and that with us.
    Root makes it as it is, others inside a user namespace.
    """

    def __init__(self, name, commands=()):
        """commands: what `ip` does in it first, such as "link add eth0 type veth peer name peer0"."""
        self.name = name
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--net", "--mount", "--uts", "sh", "-c", _HOLD, "holder", name]
        self._process = subprocess.Popen(
            [*command, "\n".join(["link set lo up", *commands])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self._process.stdout.readline() != b"ready\n":
            message = self._process.stderr.read().decode(errors="replace").strip()
            self.close()
            raise FleetError("no network namespace for %s: %s" % (name, message))

    def command(self, *words):
        """The command that runs these words in it."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._process.pid), *user, "--net", "--mount", "--uts", *words]

    def ip(self, *commands):
        """Change its interfaces."""
        subprocess.run(self.command("ip", "-batch", "-"), input="\n".join(commands).encode(), check=True)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()


class NamespaceFleet:
    """A namespace for each host of {name: ip commands}. A context manager."""

    def __init__(self, folder, hosts):
        self._folder = Path(folder)
        self._hosts = hosts
        self.namespaces = {}

    def __enter__(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, commands in self._hosts.items():
                self.namespaces[name] = Namespace(name, commands)
                self._write_interpreter(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    def inventory(self):
        """As run_playbook takes it."""
        hosts = {name: {"ansible_python_interpreter": str(self._folder / name)} for name in self.namespaces}
        return json.dumps({"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}, indent=1)

    def close(self):
        while self.namespaces:
            name, namespace = self.namespaces.popitem()
            namespace.close()
            (self._folder / name).unlink()

    def _write_interpreter(self, name):
        words = self.namespaces[name].command(sys.executable)
        path = self._folder / name
        path.write_text('#!/bin/sh\nexec %s "$@"\n' % " ".join(map(shlex.quote, words)), encoding="utf-8")
        path.chmod(0o755)


# Recorded facts


class RecordedFleet:
    """Hosts that Ansible has the facts of and cannot reach: {name: facts}, facts without the prefix "ansible_"."""

    def __init__(self, folder, hosts=None):
        self._folder = Path(folder)
        self._hosts = self._folder / "hosts"
        self._hosts.mkdir(parents=True)
        plugins = self._folder / "plugins"
        plugins.mkdir()
        shutil.copy(str(Path(__file__).with_name("record_facts_action.py")), str(plugins / "record_facts.py"))
        # For run_playbook's env.
        self.environment = {
            "ANSIBLE_ACTION_PLUGINS": str(plugins),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self._folder / "cache"),
            "ANSIBLE_CACHE_PLUGIN_TIMEOUT": "0",
        }
        if hosts:
            self.record(hosts)

    def record(self, hosts):
        """Ansible itself writes them, since each version has its own format."""
        for name, facts in hosts.items():
            text = json.dumps({"ansible_" + key: value for key, value in facts.items()})
            (self._hosts / (name + ".json")).write_text(text, encoding="utf-8")
        self._run(hosts, {"record_facts": {"folder": str(self._hosts)}})

    def forget(self, *names):
        self._run(names, {"ansible.builtin.meta": "clear_facts"})

    def _run(self, names, task):
        play = {"hosts": "all", "gather_facts": False, "tasks": [task]}
        run = run_playbook([play], inventory(names), env=self.environment)
        if run.returncode:
            raise FleetError("the facts were not recorded: %r" % run)


def inventory(hosts, groups=None, variables=None):
    """The text of an inventory of hosts that cannot be reached, unless their variables say how.

    hosts: names, or {name: variables}. groups: {name: [hosts]}, variables: of all hosts.
    """
    members = {name: {"hosts": dict.fromkeys(names)} for name, names in (groups or {}).items()}
    # As variables of each host: those of the group "all" are also localhost's.
    hosts = {name: dict(UNREACHABLE, **(hosts[name] if isinstance(hosts, dict) else {})) for name in hosts}
    return json.dumps({"all": {"hosts": hosts, "vars": variables or {}, "children": members}}, indent=1)


def server(nodename, *interfaces, default=None):
    """The facts of a host with these interfaces, as `setup` gives them; the default routes go over one of them."""
    facts = {
        "nodename": nodename,
        "system": "Linux",
        "interfaces": [interface["device"] for interface in interfaces],
        "default_ipv4": {},
        "default_ipv6": {},
    }
    for interface in interfaces:
        facts[interface["device"].replace("-", "_")] = interface
        if interface["device"] == default:
            facts["default_ipv4"] = dict(interface.get("ipv4") or {}, interface=default)
            facts["default_ipv6"] = dict((interface.get("ipv6") or [{}])[0], interface=default)
    return facts


def interface(device, *addresses, type="ether", active=True):
    """The facts of one interface. Addresses are with their prefix: "192.0.2.7/24"."""
    parsed = [ipaddress.ip_interface(address) for address in addresses]
    ipv4 = [
        {
            "address": str(each.ip),
            "netmask": str(each.netmask),
            "network": str(each.network.network_address),
            "prefix": str(each.network.prefixlen),
        }
        for each in parsed
        if each.version == 4
    ]
    ipv6 = [
        {"address": str(each.ip), "prefix": str(each.network.prefixlen), "scope": _scope(each)}
        for each in parsed
        if each.version == 6
    ]
    facts = {"active": active, "device": device, "mtu": 1500, "promisc": False, "type": type}
    if ipv4:
        facts["ipv4"] = ipv4[0]
    if ipv4[1:]:
        facts["ipv4_secondaries"] = ipv4[1:]
    if ipv6:
        facts["ipv6"] = ipv6
    return facts


def _scope(address):
    if address.is_loopback:
        return "host"
    return "link" if address.is_link_local else "global"


# The command line


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.harness.fleet", description="Hosts in network namespaces.")
    parser.add_argument("--check", action="store_true", help="only tell whether this machine can make them")
    parser.add_argument("--fleet", type=Path, help="a JSON file, {host: [ip commands]}")
    parser.add_argument("--folder", type=Path, help="where the interpreters go")
    parser.add_argument("--for", type=float, metavar="SECONDS", dest="seconds", help="how long they live at the most")
    options = parser.parse_args(arguments)
    if options.check:
        reason = unavailable()
        print("Network namespaces: " + (reason or "available"))
        return 1 if reason else 0
    if None in (options.fleet, options.folder, options.seconds):
        parser.error("give --fleet, --folder and --for, or --check")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_signal: ended.set())
    ready = options.folder / "ready"
    with NamespaceFleet(options.folder, json.loads(options.fleet.read_text(encoding="utf-8"))):
        ready.write_text("%d\n" % os.getpid(), encoding="utf-8")
        ended.wait(options.seconds)
        ready.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
