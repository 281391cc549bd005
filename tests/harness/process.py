# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs, processes that end with whoever started them, however that one ends, and ports for them to listen on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# Reads the process groups to kill from its standard input. Its end means that the starter is gone, or done.
# prctl(PR_SET_PDEATHSIG) would not do: it fires when the starting *thread* ends.
_WATCH = """
group=none
while read -r line; do group=$line; done
[ "$group" = none ] || kill -s KILL -- "-$group" 2>/dev/null
[ -z "$1" ] || rm -rf -- "$1"
"""


def find_program(name):
    """Its path, or None. Debian has some where not everybody's PATH leads."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


class Watcher:
    """Kills a process group, and removes a folder, when this process ends or `close` is called."""

    def __init__(self, folder=None):
        command = ["/bin/sh", "-c", _WATCH, "watcher", str(folder or "")]
        # A session of its own: a Ctrl-C or a killed group must not take the watcher along.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True)

    def watch(self, group):
        self._tell(str(group))

    def forget(self):
        self._tell("none")

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()


def kill_group(process):
    """Kill a process that leads its own group, with all its children, and reap it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def free_port():
    """A port that nobody listens on, and below those that the kernel hands to outgoing connections.

    From the kernel's own range, somebody's client socket could take it before the server does, or while the
    server is down for a restart.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as ranges:
        end = int(ranges.read().split()[0])
    chance = random.SystemRandom()  # test runners seed the ordinary one, in every process alike
    for _attempt in range(200):
        port = chance.randrange(10000, max(end, 12000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port found on 127.0.0.1")


def listens(pid, port):
    """Whether this very process listens on the port, and not another one that was quicker."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as lines:
            rows = [line.split() for line in lines][1:]
        sockets.update("socket:[%s]" % row[9] for row in rows if row[3] == "0A" and row[1].endswith(":%04X" % port))
    folder = "/proc/%d/fd" % pid
    try:
        return any(_link(os.path.join(folder, name)) in sockets for name in os.listdir(folder))
    except FileNotFoundError:
        return False


def wait_for(condition, timeout, what, interval=0.01):
    """Call condition until it returns something true, and return that."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError("%s: not within %s s" % (what, timeout))
        time.sleep(interval)


def is_stopped(pid):
    """Whether each thread of a process has been stopped by a signal."""
    stats = [stat.read_text() for stat in Path("/proc/%s/task" % pid).glob("*/stat")]
    # The state follows the name, which is in parentheses and may hold anything.
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None
