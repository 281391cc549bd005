# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lock-out guard has to know of a host, from its facts and Ansible's connection to it."""

from __future__ import annotations

import ipaddress
import re
import socket
import urllib.parse
from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Tuple

# The variables of a host that say how Ansible reaches it.
CONNECTION = (
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_ssh_host",
    "ansible_ssh_port",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
)
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "libssh", "ssh_agent")
_JUMP = re.compile(r"ProxyJump|ProxyCommand|(?:^|\s)-J")
_DNS_PORT, _SSH_PORT = 53, 22


def guard_facts_of(name: str, facts: Mapping[str, Any], connection: Mapping[str, Any]) -> Dict[str, Any]:
    """As calico_hostendpoints takes them in guard_facts. `connection`: those of CONNECTION that the host has."""
    found: Dict[str, Any] = {"interfaces": dict(_interfaces(facts)), "require": list(_dns(facts))}
    for family in ("default_ipv6", "default_ipv4"):
        interface = (facts.get(family) or {}).get("interface")
        if interface:
            found["default_interface"] = interface
    ssh = _ssh(name, facts, connection)
    if ssh:
        found["ssh"] = ssh
    if _is_ssh(connection) and not _has_jump(connection):
        found["reached_at"] = {"host": _host(name, connection), "port": _port(connection)}
    return found


def datastore_of(endpoints: Iterable[str]) -> List[Dict[str, Any]]:
    """The connections to the datastore that a host needs; none to the controller itself."""
    found = []
    for url in endpoints:
        parts = urllib.parse.urlsplit(url)
        if parts.hostname and parts.port and not _is_loopback(parts.hostname):
            found.append({"direction": "out", "protocol": "tcp", "port": parts.port, "peer": parts.hostname})
    return found


def _interfaces(facts: Mapping[str, Any]) -> Iterator[Tuple[str, List[str]]]:
    for name in facts.get("interfaces") or ():
        device = facts.get(name.replace("-", "_"))
        # An address with a label ("eth0:1") is listed like an interface, but is no device.
        if not isinstance(device, Mapping) or "device" not in device:
            continue
        labelled = [facts.get(item.replace("-", "_")) for item in facts["interfaces"] if item.startswith(name + "_")]
        aliases = [each for each in labelled if isinstance(each, Mapping) and "device" not in each]
        addresses = [each for item in [device, *aliases] for each in _addresses(item)]
        yield device["device"], list(dict.fromkeys(addresses))


def _addresses(device: Mapping[str, Any]) -> Iterator[str]:
    ipv4 = [device.get("ipv4") or {}, *(device.get("ipv4_secondaries") or ())]
    for item in [*ipv4, *(device.get("ipv6") or ())]:
        address = item.get("address")
        if not address:
            continue
        # What older versions of Ansible tell of IPv4.
        length = item.get("prefix") or item.get("netmask")
        if length and "." in str(length):
            length = ipaddress.ip_network("0.0.0.0/" + length).prefixlen
        yield "{0}/{1}".format(address, length) if length else address


def _dns(facts: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    for server in (facts.get("dns") or {}).get("nameservers") or ():
        peer = str(server).partition("%")[0]
        if _is_address(peer):
            yield {"direction": "out", "protocol": "udp", "port": _DNS_PORT, "peer": peer}


def _ssh(name: str, facts: Mapping[str, Any], connection: Mapping[str, Any]) -> Dict[str, Any]:
    """Ansible's connection, as far as it is known; {} when it is none of SSH."""
    if not _is_ssh(connection):
        return {}
    # As sshd told when the facts were gathered: the client's address and port, and its own.
    told = str((facts.get("env") or {}).get("SSH_CONNECTION") or "").split()
    if len(told) == 4 and told[3].isdigit():
        return {"peer": told[0], "address": told[2], "port": int(told[3])}
    host = _host(name, connection)
    found: Dict[str, Any] = {"port": _port(connection)}
    if _is_address(host):
        found["address"] = host
        peer = "" if _has_jump(connection) else _own_address(host, found["port"])
        if peer == host:
            # It does not leave the machine.
            return {}
        if peer:
            found["peer"] = peer
    return found


def _is_ssh(connection: Mapping[str, Any]) -> bool:
    return str(connection.get("ansible_connection") or "ssh").rpartition(".")[2] in _SSH


def _has_jump(connection: Mapping[str, Any]) -> bool:
    options = [str(connection.get("ansible_ssh_%s_args" % kind) or "") for kind in ("common", "extra")]
    return bool(_JUMP.search(" ".join(options)))


def _host(name: str, connection: Mapping[str, Any]) -> str:
    return str(connection.get("ansible_host") or connection.get("ansible_ssh_host") or name)


def _port(connection: Mapping[str, Any]) -> int:
    """Raises ValueError for what is no number."""
    return int(connection.get("ansible_port") or connection.get("ansible_ssh_port") or _SSH_PORT)


def _own_address(host: str, port: int) -> str:
    """Our address towards a host, by the routes of this machine. Nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as towards:
            towards.connect((host, port))
            return towards.getsockname()[0].partition("%")[0]
    except OSError:
        return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
