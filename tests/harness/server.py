# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server process: its life, and requests to it over one connection."""

from __future__ import annotations

import ctypes
import http.client
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from .pace import HANG, PATIENT
from .process import Watcher, free_port, is_stopped, listens, wait_for


class ServerError(Exception):
    """An answer that the harness did not expect, or a server that does not start."""


class PortTaken(ServerError):
    """Another process was quicker."""


class Server:
    """One process. A context manager; `start` and `close` do the same by hand. It ends with its starter, too.

    A subclass has `_command`, `_is_ready`, `_connection_to` and maybe `_prepare`, and sets `name`.
    """

    name = ""
    error = ServerError
    # What its environment variables begin with: ours are for clients, or mean another server.
    own_variables = ()
    # How many seconds it may take to get ready.
    patience = HANG

    def __init__(self, timeout=PATIENT, on_disk=False, host="127.0.0.1"):
        self.timeout = timeout
        self.host = host
        self.port = None
        self._folder = None
        self._on_disk = on_disk
        self._process = None
        self._watcher = None
        self._connection = None
        self._lock = threading.RLock()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exception):
        self.close()

    @property
    def pid(self):
        return self._process.pid if self._process else None

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    # Life

    def start(self):
        """Start, on the ports and data of before when there are any, and wait until it serves."""
        if self.running:
            return self
        known = self.port is not None
        for attempt in range(5):
            if not known:
                self._choose_ports()
            try:
                self._launch()
                return self._await_ready()
            except PortTaken:
                if known or attempt == 4:
                    self.close()
                    raise
                self._discard()
            except BaseException:
                self.close()
                raise

    def stop(self):
        """End it as an administrator would. Its data is kept for another `start`."""
        self._end(signal.SIGTERM)

    def kill(self):
        """End it as a power failure would."""
        self._end(signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()

    def freeze(self):
        """Connections are still accepted, by the kernel, and nothing is ever answered."""
        self._drop_connection()
        os.kill(self._process.pid, signal.SIGSTOP)
        # Until the last thread has stopped, one may still answer.
        wait_for(
            lambda: is_stopped(self._process.pid), HANG, "%s %s stops" % (self.name, self._process.pid), interval=0.001
        )

    def thaw(self):
        if self.running:
            os.kill(self._process.pid, signal.SIGCONT)

    def close(self):
        """End it and remove its data."""
        self._discard()

    def _discard(self):
        self.kill()
        if self._watcher:
            self._watcher.close()
        self._watcher = self._folder = None

    def log_tail(self, lines=15):
        try:
            text = Path(self._folder, "log").read_text(encoding="utf-8", errors="replace")
        except (OSError, TypeError):
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _choose_ports(self):
        self.port = free_port()

    def _prepare(self):
        """Write the files that it needs, once."""

    def _command(self):
        raise NotImplementedError

    def _is_ready(self):
        """Whether it serves, while it listens; OSError and HTTPException mean no."""
        raise NotImplementedError

    def _launch(self):
        if self._folder is None:
            memory = "" if self._on_disk else "/dev/shm"
            parent = memory if os.access(memory, os.W_OK) else None
            self._folder = tempfile.mkdtemp(prefix="netsec-%s-" % self.name, dir=parent)
            self._watcher = Watcher(self._folder)
            self._prepare()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(self.own_variables)}
        with open(os.path.join(self._folder, "log"), "wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=environment,
                start_new_session=True,
            )
        self._watcher.watch(self._process.pid)

    def _await_ready(self):
        def is_ready():
            if not self.running:
                text = self.log_tail()
                error = PortTaken if "address already in use" in text else self.error
                raise error("%s ended with %s:\n%s" % (self._command()[0], self._process.returncode, text))
            try:
                return listens(self._process.pid, self.port) and self._is_ready()
            except (OSError, http.client.HTTPException):
                return False

        try:
            wait_for(is_ready, self.patience, "%s gets ready" % self.name)
        except TimeoutError as error:
            raise self.error("%s\n%s" % (error, self.log_tail())) from error
        return self

    def _end(self, how):
        self._drop_connection()
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(PATIENT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watcher.forget()
        self._process = None

    # HTTP

    def _connection_to(self, timeout):
        """A new http.client connection."""
        raise NotImplementedError

    def _exchange(self, method, path, body, headers, timeout=None):
        """The answer to a request, read already, and its body. The connection is kept for the next one."""
        with self._lock:
            connection = self._connect(timeout or self.timeout)
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer, answer.read()
            except (OSError, http.client.HTTPException):
                self._drop_connection()
                raise

    def _connect(self, timeout):
        if self._connection and self._connection.sock:
            if select.select([self._connection.sock], [], [], 0)[0]:  # closed by the server meanwhile
                self._drop_connection()
            else:
                self._connection.sock.settimeout(timeout)
                return self._connection
        self._connection = self._connection_to(timeout)
        return self._connection

    def _drop_connection(self):
        with self._lock:
            if self._connection:
                self._connection.close()
            self._connection = None


# For the servers' command lines


def serve(server, ready_file, content, run, detach_for=None):
    """Start a server, write what content(server) returns to the file, if any, run(server), and stop it."""
    if detach_for is None:
        _end_with_caller()
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(128 + signal.SIGTERM))
    with server:
        text = content(server)
        if ready_file:
            partial = ready_file.with_name(ready_file.name + ".partial")
            partial.touch(mode=0o600)
            partial.write_text(text, encoding="utf-8")
            partial.replace(ready_file)
        try:
            return run(server)
        finally:
            if ready_file and ready_file.exists():
                ready_file.unlink()


def idle(seconds):
    """Wait so long, or without an end, for a signal."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            time.sleep(3600 if end is None else min(3600, max(0, end - time.monotonic())))
    except KeyboardInterrupt:
        pass
    return 0


def run_command(command, variables, without):
    """The exit status of a command with these environment variables, and without those that begin so."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    child = subprocess.Popen(command, env=dict(kept, **variables))
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the child got it too, and decides
                continue
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _end_with_caller():
    """SIGTERM when the process that called us is gone."""
    caller = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != caller:
        sys.exit(1)
