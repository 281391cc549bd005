# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the lock-out guard's facts of a host from its facts and Ansible's connection to it."""

from __future__ import annotations

import re
import socket
import urllib.parse
from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.ip import (
    canonical_ip,
    is_address,
    is_loopback,
    parse_address,
    parse_prefix_length,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import devices, read_ipv4, read_ipv6

# The variables of a host that define Ansible's connection to it.
CONNECTION = (
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_ssh_host",
    "ansible_ssh_port",
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_paramiko_proxy_command",
    "ansible_libssh_proxy_command",
)
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_PROXIES = ("ansible_paramiko_proxy_command", "ansible_libssh_proxy_command")
# Types of SSH connections without ssh in their name.
_SSH = ("smart", "paramiko")
# The names of ssh's options are not case-sensitive.
_JUMP = re.compile(r"(?i:ProxyJump|ProxyCommand)|(?:^|\s)-J")
# A configuration file of ssh, which may contain a jump host.
_CONFIGURATION = re.compile(r"(?:^|\s)-F\s*(?!\s|none\b|/dev/null\b)\S")
_DNS_PORT, _SSH_PORT = 53, 22
_PORT = re.compile("[0-9]{1,5}")


def build_guard_facts(
    name: str,
    facts: Mapping[str, Any],
    connection: Mapping[str, Any],
    resolved: Optional[Mapping[str, Sequence[str]]] = None,
) -> Dict[str, Any]:
    """A host's item in the option guard_facts of calico_hostendpoints.

    `connection`: the host's variables among CONNECTION. `resolved`: the known addresses of names.
    Raises ValueError for a port that is not a number.
    """
    found = {**build_interface_facts(facts), "require": list(_dns(facts))}
    interfaces = found["interfaces"]
    if not is_ssh(connection):
        return found
    ssh, others = _ssh(facts, connection, _dialled(name, connection, resolved or {}), interfaces)
    if ssh is not None:
        found["ssh"] = ssh
    found["require"] += others
    if not _has_jump(connection):
        found["reached_at"] = {"host": _host(name, connection), "port": _port(connection) or _SSH_PORT}
    return found


def build_interface_facts(facts: Mapping[str, Any]) -> Dict[str, Any]:
    """The interfaces of a host with their addresses, and that of the default route, if any, as in guard_facts."""
    found: Dict[str, Any] = {"interfaces": dict(_interfaces(facts))}
    for family in ("default_ipv6", "default_ipv4"):
        interface = (facts.get(family) or {}).get("interface")
        if interface:
            found["default_interface"] = interface
    return found


def unresolved(name: str, facts: Mapping[str, Any], connection: Mapping[str, Any]) -> str:
    """The name whose addresses build_guard_facts requires; "" if none. Raises ValueError in the same cases."""
    if not is_ssh(connection):
        return ""
    told = _told(facts)
    if told and (_port(connection) or told["port"]) == told["port"]:
        return ""
    host = _host(name, connection)
    return "" if _is_address(host) else host


def is_ssh(connection: Mapping[str, Any]) -> bool:
    """Whether Ansible's connection uses SSH."""
    kind = str(connection.get("ansible_connection") or "ssh").rpartition(".")[2]
    return "ssh" in kind or kind in _SSH


def build_datastore_connections(endpoints: Iterable[str]) -> List[Dict[str, Any]]:
    """The connections to the datastore that a host requires. A datastore on the controller requires none."""
    found = []
    for url in endpoints:
        parts = urllib.parse.urlsplit(url)
        if parts.hostname and parts.port and not _is_loopback(parts.hostname):
            found.append({"direction": "out", "protocol": "tcp", "port": parts.port, "peer": parts.hostname})
    return found


def _interfaces(facts: Mapping[str, Any]) -> Iterator[Tuple[str, List[str]]]:
    for name, device, aliases in devices(facts):
        addresses = [each for fact in [device, *aliases] for each in _addresses(fact)]
        yield name, list(dict.fromkeys(addresses))


def _addresses(fact: Mapping[str, Any]) -> Iterator[str]:
    for item in [*read_ipv4(fact), *read_ipv6(fact)]:
        # Older versions of Ansible return the netmask of an IPv4 address.
        length = item.get("prefix") or item.get("netmask")
        if length and "." in str(length):
            length = parse_prefix_length(length, 4)
        yield "{0}/{1}".format(item["address"], length) if length else item["address"]


def _dns(facts: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    for server in (facts.get("dns") or {}).get("nameservers") or ():
        peer = str(server).partition("%")[0]
        if _is_address(peer):
            yield {"direction": "out", "protocol": "udp", "port": _DNS_PORT, "peer": peer}


def _ssh(
    facts: Mapping[str, Any],
    connection: Mapping[str, Any],
    dialled: Sequence[str],
    interfaces: Mapping[str, Sequence[str]],
) -> Tuple[Optional[Dict[str, Any]], List[Dict[str, Any]]]:
    """Ansible's connection, as far as it is known, None if it requires none; and other candidates for it."""
    port = _port(connection)
    own = {_canonical(each) for addresses in interfaces.values() for each in addresses}
    # Without loopback: a forwarded connection begins at the controller's own loopback address.
    address = next((each for each in dialled if _canonical(each) in own and not _is_loopback(each)), "")
    told = _told(facts)
    if told:
        # At the host's own address, sshd has moved since then, or the port is redirected. Otherwise, it is forwarded.
        if not address or port in (None, told["port"]):
            return told, []
        return told, [{"direction": "in", "protocol": "tcp", "port": port, "peer": told["peer"]}]
    if dialled and _is_loopback(dialled[0]):
        # A tunnel or a forwarded port: both the client's address and the port on the host are unknown.
        return {}, []
    found: Dict[str, Any] = {"port": port or _SSH_PORT}
    if address:
        found["address"] = address.partition("%")[0]
    if address and not (_has_jump(connection) or _has_configuration(connection)):
        peer = _own_address(address, found["port"])
        if _canonical(peer) == _canonical(address):
            # The connection does not leave the machine.
            return None, []
        if peer:
            found["peer"] = peer
    return found, []


def _told(facts: Mapping[str, Any]) -> Dict[str, Any]:
    """The client's address and sshd's own address and port when the facts were gathered; {} if unknown."""
    told = str((facts.get("env") or {}).get("SSH_CONNECTION") or "").split()
    if len(told) != 4 or not _PORT.fullmatch(told[3]):
        return {}
    peer, address = (each.partition("%")[0] for each in (told[0], told[2]))
    # If sshd does not know an address, the value is UNKNOWN.
    return (
        {"peer": peer, "address": address, "port": int(told[3])} if _is_address(peer) and _is_address(address) else {}
    )


def _arguments(connection: Mapping[str, Any]) -> str:
    return " ".join(str(connection.get(key) or "") for key in _ARGUMENTS)


def _has_jump(connection: Mapping[str, Any]) -> bool:
    return any(connection.get(key) for key in _PROXIES) or bool(_JUMP.search(_arguments(connection)))


def _has_configuration(connection: Mapping[str, Any]) -> bool:
    return bool(_CONFIGURATION.search(_arguments(connection)))


def _host(name: str, connection: Mapping[str, Any]) -> str:
    return str(connection.get("ansible_host") or connection.get("ansible_ssh_host") or name)


def _dialled(name: str, connection: Mapping[str, Any], resolved: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The addresses at which Ansible reaches the host; [] if they are unknown."""
    host = _host(name, connection)
    if host == "localhost":
        return ["127.0.0.1"]
    return [host] if _is_address(host) else resolved.get(host, [])


def _port(connection: Mapping[str, Any]) -> Optional[int]:
    """The port in Ansible's variables, if any. Raises ValueError for a port that is not a number."""
    port = connection.get("ansible_port") or connection.get("ansible_ssh_port")
    return int(port) if port else None


def _own_address(host: str, port: int) -> str:
    """This machine's source address for a host, by its routes. Nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as towards:
            towards.connect((host, port))
            return str(towards.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""


def _canonical(address: str) -> str:
    """The canonical form of an address, without a prefix length; "" if it is invalid."""
    text = address.partition("/")[0].partition("%")[0]
    return canonical_ip(text) if is_address(text) else ""


def _is_address(text: str) -> bool:
    """Whether it is an address, maybe with a zone."""
    return is_address(text.partition("%")[0])


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and is_loopback(parse_address(host)))
