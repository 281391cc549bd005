# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for the role: network namespaces with true interfaces, and hosts that Ansible knows by recorded facts only.

From a shell, at the root of the collection:

    python -m tests.harness.fleet --check          whether this machine can make such namespaces, and why not
    python -m tests.harness.fleet --fleet FLEET.json --folder FOLDER --for SECONDS [--ssh-port PORT]

The latter makes a namespace for each host of FLEET.json, {host: [ip commands]}, and keeps them until SIGTERM, but no
longer than that. FOLDER then has an interpreter FOLDER/HOST for each host; FOLDER/ready comes last, with our pid in it.
With a port, an sshd listens on it in each host but the first, from which FOLDER/ssh/ssh reaches them.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from .module import run_playbook
from .process import Watcher, find_program

# A host of an inventory that cannot be reached, without a network and in no time.
UNREACHABLE = {"ansible_connection": "local", "ansible_remote_tmp": "/dev/null/nothing"}

# {program: Debian package} of what the scenarios of Molecule need.
_TOOLS = {
    "hostname": "hostname",
    "ip": "iproute2",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "unshare": "util-linux",
}
# Until standard input ends, which it does with whoever started it, however that one ends.
_HOLD = """
set -e
hostname "$1"
mount -t sysfs sysfs /sys
echo ready
exec cat >/dev/null
"""
# Root's sshd wants a folder that the machine may lack, and lets nobody in whose password is locked, as root's may be.
# What is mounted here is seen in the namespace only.
_SSHD = """
set -e
if [ "$(id -u)" = 0 ]; then
  mount -t tmpfs tmpfs /run
  mkdir /run/sshd
  echo 'root:*:::::::' >/run/shadow
  mount --bind /run/shadow /etc/shadow
fi
exec "$@"
"""
_SSHD_CONFIG = """\
Port {port}
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/key.pub"
AuthenticationMethods publickey
StrictModes no
UsePAM no
PidFile none
"""
# Each connection is a new one, and none stays open.
_SSH_CONFIG = """\
IdentityFile "{folder}/key"
IdentitiesOnly yes
BatchMode yes
UserKnownHostsFile "{folder}/known_hosts"
ControlMaster no
"""


class FleetError(Exception):
    """A namespace that could not be made."""


# Network namespaces


def unavailable():
    """Why no namespaces can be made on this machine; "" when they can."""
    missing = [tool for tool in _TOOLS if not find_program(tool)]
    if missing:
        packages = dict.fromkeys(_TOOLS[tool] for tool in missing)
        return "not found: %s (Debian: %s)" % (", ".join(missing), ", ".join(packages))
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

    def __init__(self, name, commands=(), beside=None):
        """commands: what `ip` does in it first, such as "link add eth0 type veth peer name peer0".

        beside: another one, whose user namespace it shares, so that there can be a wire between the two.
        """
        self.name = name
        if os.geteuid() == 0:
            user = []
        elif beside:
            user = ["nsenter", "--target", str(beside.pid), "--user", "--preserve-credentials"]
        else:
            user = ["unshare", "--user", "--map-root-user"]
        self._servers = []
        self._process = subprocess.Popen(
            [*user, "unshare", "--net", "--mount", "--uts", "sh", "-c", _HOLD, "holder", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self._process.stdout.readline() != b"ready\n":
            message = self._process.stderr.read().decode(errors="replace").strip()
            self.close()
            raise FleetError("no network namespace for %s: %s" % (name, message))
        try:
            self.ip("link set lo up", *commands)
        except FleetError:
            self.close()
            raise

    @property
    def pid(self):
        return self._process.pid

    def command(self, *words):
        """The command that runs these words in it."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.pid), *user, "--net", "--mount", "--uts", *words]

    def ip(self, *commands):
        """Change its interfaces."""
        text = "\n".join(commands).encode()
        command = self.command("ip", "-batch", "-")
        run = subprocess.run(command, input=text, stderr=subprocess.PIPE, check=False)
        if run.returncode:
            raise FleetError("ip in %s: %s" % (self.name, run.stderr.decode(errors="replace").strip()))

    def serve(self, log, *words):
        """Run a server in it, until it is closed, or we end in whatever way."""
        with open(log, "wb") as output:
            process = subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watcher = Watcher()
        watcher.watch(process.pid)
        self._servers.append((process, watcher))

    def close(self):
        for process, watcher in self._servers:
            watcher.close()
            process.wait()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()


class NamespaceFleet:
    """A namespace for each host of {name: ip commands}, which may say "netns NAME" of each other. A context manager.

    ssh_port: where an sshd listens in each host but the first, from which FOLDER/ssh/ssh reaches them, as this user.
    """

    def __init__(self, folder, hosts, ssh_port=None):
        self._folder = Path(folder)
        self._hosts = hosts
        self._ssh_port = ssh_port
        self.namespaces = {}

    def __enter__(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._hosts:
                self.namespaces[name] = Namespace(name, beside=next(iter(self.namespaces.values()), None))
                self._write_command(name, self.namespaces[name], sys.executable)
            for name, commands in self._hosts.items():
                self.namespaces[name].ip(*map(self._with_pids, commands))
            if self._ssh_port:
                self._serve_ssh()
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
        shutil.rmtree(self._folder / "ssh", ignore_errors=True)

    def _with_pids(self, command):
        """`ip` knows other namespaces by a process in them."""
        return re.sub(r"(?<=\bnetns )\S+", lambda name: str(self.namespaces[name.group()].pid), command)

    def _serve_ssh(self):
        folder = self._folder.resolve() / "ssh"
        # One that was killed has left its own.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for key in ("host_key", "key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / key)]
            subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
        (folder / "known_hosts").write_text("* " + (folder / "host_key.pub").read_text())
        (folder / "sshd_config").write_text(_SSHD_CONFIG.format(folder=folder, port=self._ssh_port))
        (folder / "ssh_config").write_text(_SSH_CONFIG.format(folder=folder))
        controller, *others = self.namespaces.values()
        self._write_command("ssh/ssh", controller, "ssh")
        sshd = ["sh", "-c", _SSHD, "sshd", find_program("sshd"), "-D", "-e", "-f", folder / "sshd_config"]
        for namespace in others:
            namespace.serve(folder / (namespace.name + ".log"), *_as_ourselves(), *map(str, sshd))

    def _write_command(self, name, namespace, *words):
        """An executable FOLDER/name that runs these words, and its own, in a namespace."""
        path = self._folder / name
        path.write_text('#!/bin/sh\nexec %s "$@"\n' % shlex.join(namespace.command(*words)), encoding="utf-8")
        path.chmod(0o755)


def _as_ourselves():
    """Before a command in a namespace, so that it runs as who we are: sshd as its root could not become anybody."""
    if os.geteuid() == 0:
        return []
    return ["unshare", "--user", "--map-user=%d" % os.geteuid(), "--map-group=%d" % os.getegid()]


# Recorded facts


class RecordedFleet:
    """Hosts that Ansible has the facts of and cannot reach: {name: facts}, facts without the prefix "ansible_"."""

    def __init__(self, folder, hosts=None):
        self._folder = Path(folder)
        self._hosts = self._folder / "hosts"
        self._hosts.mkdir(parents=True)
        self._cache = self._folder / "cache"
        self._prefix = ""
        plugins = self._folder / "plugins"
        plugins.mkdir()
        shutil.copy(str(Path(__file__).with_name("record_facts_action.py")), str(plugins / "record_facts.py"))
        # For run_playbook's env.
        self.environment = {
            "ANSIBLE_ACTION_PLUGINS": str(plugins),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self._cache),
            "ANSIBLE_CACHE_PLUGIN_TIMEOUT": "0",
        }
        if hosts:
            self.record(hosts)

    def record(self, hosts):
        """Ansible itself writes them, since each version has its own format."""
        for name, facts in hosts.items():
            text = json.dumps({"ansible_" + key: value for key, value in facts.items()})
            (self._hosts / (name + ".json")).write_text(text, encoding="utf-8")
        task = {"record_facts": {"folder": str(self._hosts)}}
        play = {"hosts": "all", "gather_facts": False, "tasks": [task]}
        run = run_playbook([play], inventory(hosts), env=self.environment)
        if run.returncode:
            raise FleetError("the facts were not recorded: %r" % run)
        # A file for each host. Each version has its own prefix of their names, too.
        known = next(iter(hosts))
        self._prefix = min((path.name for path in self._cache.glob("*" + known)), key=len)[: -len(known)]

    def forget(self, *names):
        for name in names:
            (self._cache / (self._prefix + name)).unlink(missing_ok=True)


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


def interface(device, *addresses, type="ether", active=True, temporary=(), **more):
    """The facts of one interface. Addresses are with their prefix: "192.0.2.7/24".

    temporary: IPv6 addresses that the kernel made for privacy, which `setup` lists behind all others. more: further
    facts.
    """
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
    # As the kernel lists them.
    ipv6.sort(key=lambda each: each["scope"] != "global")
    ipv6 += [dict(zip(("address", "prefix"), address.split("/")), scope="global") for address in temporary]
    facts = dict({"active": active, "device": device, "mtu": 1500, "promisc": False, "type": type}, **more)
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
    parser.add_argument("--ssh-port", type=int, metavar="PORT", help="where an sshd listens in each but the first")
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
    hosts = json.loads(options.fleet.read_text(encoding="utf-8"))
    with NamespaceFleet(options.folder, hosts, options.ssh_port):
        ready.write_text("%d\n" % os.getpid(), encoding="utf-8")
        ended.wait(options.seconds)
        ready.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
