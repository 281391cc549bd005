# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that take connections as long as their endpoints let them, as a canary sees them."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading

from tests.harness.pace import HANG
from tests.harness.process import wait_for

# The profile that lets everything in.
OPEN = "open"


class Hosts:
    """A TCP port of this machine for each node. It is closed while an endpoint of the node has no profile `open`.

    Who closes it looks at the datastore some twenty times a second, as Felix would be told.
    """

    def __init__(self, datastore, *nodes):
        self._datastore = datastore
        self._ended = threading.Event()
        self._listeners = {node: _listener() for node in nodes}
        self._ports = {node: listener.getsockname()[1] for node, listener in self._listeners.items()}
        # The connections that each has taken.
        self._taken = {node: [] for node in nodes}
        # How often each was closed.
        self.closed = dict.fromkeys(nodes, 0)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._ended.set()
        self._thread.join()
        for each in [*filter(None, self._listeners.values()), *itertools.chain(*self._taken.values())]:
            each.close()

    def facts(self):
        """As the option guard_facts has them."""
        return {
            node: {"interfaces": {"eth0": []}, "reached_at": {"host": "127.0.0.1", "port": port}}
            for node, port in self._ports.items()
        }

    def port(self, node):
        return self._ports[node]

    def answers(self, node):
        try:
            socket.create_connection(("127.0.0.1", self._ports[node]), 1).close()
        except OSError:
            return False
        return True

    def shut(self, node):
        """It goes, and does not come back."""
        self._listeners.pop(node).close()

    def wait_for_connections(self, node, number):
        """Until so many have come to it."""
        wait_for(lambda: len(self._taken[node]) >= number, HANG, "%d connections to %s" % (number, node))

    def _watch(self):
        while not self._ended.wait(0.05):
            for node, listener in self._listeners.items():
                if listener:
                    self._taken[node] += _taken(listener)
            shut = self._find_shut()
            for node in list(self._listeners):
                if node in shut and self._listeners[node]:
                    self._listeners[node].close()
                    self._listeners[node] = None
                    self.closed[node] += 1
                elif node not in shut and not self._listeners[node]:
                    self._listeners[node] = _listener(self._ports[node])

    def _find_shut(self):
        """The nodes that take no connections now."""
        return {node for node, profiles in map(_node_and_profiles, self._stored()) if OPEN not in profiles}

    def _stored(self):
        # The server may be stopped or restarted by the test.
        with contextlib.suppress(OSError, ValueError, KeyError, AssertionError):
            return list(self._datastore.stored().items())
        return []


def _listener(port=0):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    listener.setblocking(False)
    return listener


def _taken(listener):
    """The connections that wait to be taken."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(listener.accept()[0])
    return found


def _node_and_profiles(item):
    key, value = item
    value = json.loads(value)
    spec = value.get("spec") or {}
    return spec.get("node") or key.split("/")[4], spec.get("profiles") or value.get("profile_ids") or []
