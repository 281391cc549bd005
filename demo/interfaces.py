# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hostendpoints.yml takes from Ansible's facts, for a machine that lacks the command ip."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import socket
import struct
import sys
from pathlib import Path

# The kernel's numbers: linux/sockios.h, linux/if.h and net/ipv6.h.
SIOCGIFFLAGS, SIOCGIFADDR = 0x8913, 0x8915
IFF_LOOPBACK = 0x8
LINK_LOCAL = "20"


def interfaces():
    names = [name for _index, name in socket.if_nameindex() if not is_loopback(name)]
    return [dict(ipv4(name), device=name, ipv6=ipv6(name)) for name in names]


def is_loopback(name):
    (flags,) = struct.unpack_from("H", ask(SIOCGIFFLAGS, name), 16)
    return bool(flags & IFF_LOOPBACK)


def ipv4(name):
    try:
        return {"ipv4": {"address": socket.inet_ntoa(ask(SIOCGIFADDR, name)[20:24])}}
    except OSError:  # it has none
        return {}


def ask(request, name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, request, struct.pack("256s", name.encode()))


def ipv6(name):
    return [
        {"address": spelled(digits), "scope": "link" if scope == LINK_LOCAL else "global"}
        for digits, _index, _prefix, scope, _flags, device in rows("if_inet6")
        if device == name
    ]


def spelled(digits):
    return str(ipaddress.IPv6Address(bytes.fromhex(digits)))


def default_interface():
    return next((device for device, destination, *_rest in rows("route") if destination == "00000000"), "")


def rows(table):
    path = Path("/proc/net", table)
    return [line.split() for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []


if __name__ == "__main__":
    found = {"interfaces": interfaces(), "default_interface": default_interface()}
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
