# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real connections between hosts that are network namespaces: servers that answer, and what gets through to them.

From a shell, at the root of the collection, in the namespace of a host:

    python -m tests.harness.connections --listen tcp/80,udp/53 --for SECONDS     prints "ready"
    python -m tests.harness.connections "tcp 192.0.2.1 80" "ping 2001:db8::1"     prints what is open
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import socket
import struct
import sys
import threading
import time

_TIMEOUT = 1.5
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def listen(protocol, port):
    """Answer on all addresses, until the process ends."""
    server = socket.socket(socket.AF_INET6, _KINDS[protocol])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    if protocol == "tcp":
        server.listen(16)
    threading.Thread(target=_answer, args=(server, protocol), daemon=True).start()


def _answer(server, protocol):
    while True:
        if protocol == "tcp":
            connection, _peer = server.accept()
            connection.close()
        else:
            data, peer = server.recvfrom(100)
            # From the address that the other end knows, as this host has only one in each network.
            server.sendto(data, peer)


def is_open(connection):
    """Whether a new connection such as "tcp 192.0.2.1 80", "udp 192.0.2.1 53" or "ping 192.0.2.1" gets through."""
    kind, address, *port = connection.split()
    try:
        if kind == "ping":
            return _ping(address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, _KINDS[kind]) as client:
            client.settimeout(_TIMEOUT)
            client.connect((address, int(port[0])))
            if kind == "udp":
                client.send(b"?")
                client.recv(100)
            return True
    except PermissionError:
        # What the host's own rules drop on its way out.
        return False
    except OSError as error:
        if isinstance(error, socket.timeout) or error.errno in _UNREACHABLE:
            return False
        raise


# Of IPv6, without an answer to neighbour solicitations.
_UNREACHABLE = (101, 110, 113)


def _ping(address):
    is_6 = ":" in address
    kind, family = (128, socket.AF_INET6) if is_6 else (8, socket.AF_INET)
    number = os.getpid() & 0xFFFF
    with socket.socket(family, socket.SOCK_RAW, 58 if is_6 else 1) as client:
        packet = struct.pack("!BBHHH", kind, 0, 0, number, 1)
        if not is_6:
            packet = struct.pack("!BBHHH", kind, 0, _checksum(packet), number, 1)
        # So that the socket gets only what comes from there.
        client.connect((address, 0))
        client.send(packet)
        end = time.monotonic() + _TIMEOUT
        while time.monotonic() < end:
            client.settimeout(max(0.01, end - time.monotonic()))
            answer = client.recv(200)
            answer = answer if is_6 else answer[20:]
            # The socket also gets what is not an answer, such as neighbour advertisements.
            if answer[0] == (129 if is_6 else 0):
                return True
    return False


def _checksum(packet):
    total = sum(struct.unpack("!%dH" % (len(packet) // 2), packet))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.harness.connections")
    parser.add_argument("--listen", metavar="PROTOCOL/PORT,...")
    parser.add_argument("--for", type=float, metavar="SECONDS", dest="seconds")
    parser.add_argument("connections", nargs="*")
    options = parser.parse_args(arguments)
    if options.listen:
        for each in options.listen.split(","):
            protocol, port = each.split("/")
            listen(protocol, int(port))
        print("ready", flush=True)
        time.sleep(options.seconds)
        return 0
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        found = zip(options.connections, pool.map(is_open, options.connections))
    print(json.dumps({name: "open" if each else "blocked" for name, each in found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
