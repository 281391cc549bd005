# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module in this process, or a playbook with this environment's ansible-playbook."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from .pace import HANG
from .process import Watcher, kill_group

COLLECTION = Path(__file__).resolve().parents[2]
NAME = "netsec.calico"
# What would make a connection option come from the tester's own environment.
_OWN_VARIABLES = ("ETCD_", "CALICO_", "CALICOCTL_", "DATASTORE_TYPE", "KUBECONFIG", "K8S_", "ANSIBLE_")

# ansible-playbook looks a thousand times a second whether a worker has ended, which costs much CPU time for each run.
_CONFIGURATION = """\
[defaults]
internal_poll_interval = 0.01
"""


def collections_path():
    """The folder whose ansible_collections/netsec/calico is this collection, for Ansible and for `import`.

    The checkout may be called anything: then it is a temporary folder with a symbolic link.
    """
    for folder in [*Path(__file__).absolute().parents, *COLLECTION.parents, *map(Path, sys.path)]:
        place = folder / "ansible_collections" / "netsec" / "calico"
        if place.is_dir() and place.samefile(COLLECTION):
            break
    else:
        folder = Path(tempfile.mkdtemp(prefix="netsec-collections-"))
        atexit.register(Watcher(folder).close)  # which removes the folder, after a SIGKILL too
        parent = folder / "ansible_collections" / "netsec"
        parent.mkdir(parents=True)
        (parent / "calico").symlink_to(COLLECTION, target_is_directory=True)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return str(folder)


# Modules


def run_module(module, args, check=False, diff=False, env=None):
    """What the module, by its name in the collection or by its main function, gives back to Ansible.

    It goes through the real AnsibleModule, with JSON in and JSON out. Beside what the module returned there is
    always `failed` and `warnings`, a list of strings.
    """
    main = module if callable(module) else _main_function(module)
    name = module if isinstance(module, str) else getattr(module, "__module__", "module").rpartition(".")[2]
    parameters = dict(args, **_internal_parameters(name, check, diff))
    output = io.StringIO()
    status = None
    with _environment(env), _module_state(parameters), contextlib.redirect_stdout(output):
        try:
            main()
        except SystemExit as end:
            status = end.code
    lines = output.getvalue().strip().splitlines()
    if status is None or len(lines) != 1:
        raise AssertionError("exit status %r, and %d lines instead of one result: %s" % (status, len(lines), lines))
    result = json.loads(lines[0])
    result.setdefault("failed", False)
    result["warnings"] = [_warning_text(warning) for warning in result.get("warnings", [])]
    if bool(status) != result["failed"]:
        raise AssertionError("exit status %r with %r" % (status, result))
    return result


def _main_function(name):
    collections_path()
    return importlib.import_module("ansible_collections.%s.plugins.modules.%s" % (NAME, name)).main


def _internal_parameters(name, check, diff):
    """What Ansible's action plugins put beside a task's own arguments."""
    from ansible.module_utils.common.parameters import PASS_VARS
    from ansible.release import __version__

    everything = {
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_no_log": True,  # concerns only the system's log: nothing to be left there by tests
        "_ansible_debug": False,
        "_ansible_verbosity": 0,
        "_ansible_version": __version__,
        "_ansible_module_name": "%s.%s" % (NAME, name),
        "_ansible_syslog_facility": "LOG_USER",
        "_ansible_selinux_special_fs": ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"],
        "_ansible_shell_executable": "/bin/sh",
        "_ansible_keep_remote_files": False,
        "_ansible_socket": None,
        "_ansible_remote_tmp": tempfile.gettempdir(),
        "_ansible_inject_invocation": True,
    }
    # Each ansible-core refuses the ones that it does not know.
    return {key: value for key, value in everything.items() if key[len("_ansible_") :] in PASS_VARS}


@contextlib.contextmanager
def _module_state(parameters):
    """The globals of ansible.module_utils as in a fresh process that was given these parameters."""
    from ansible.module_utils import basic
    from ansible.module_utils.common import warnings

    warnings._global_warnings.clear()
    warnings._global_deprecations.clear()
    with contextlib.ExitStack() as stack:
        try:
            from ansible.module_utils import _internal, testing
            from ansible.module_utils._internal._json import _profiles
        except ImportError:  # before ansible-core 2.19
            arguments = json.dumps({"ANSIBLE_MODULE_ARGS": parameters}).encode()
            stack.enter_context(mock.patch.object(basic, "_ANSIBLE_ARGS", arguments))
        else:
            stack.enter_context(testing.patch_module_args(parameters))
            # True as soon as anything imported the controller's side: warnings would go to the screen.
            stack.enter_context(mock.patch.object(_internal, "is_controller", False))
            # A controller's check, which is remembered once the controller's side has asked for it.
            stack.enter_context(mock.patch.object(_profiles, "_string_encoding_check_enabled", return_value=False))
        yield


@contextlib.contextmanager
def _environment(wanted):
    with mock.patch.dict(os.environ):
        for name in list(os.environ):
            if name.startswith(_OWN_VARIABLES):
                del os.environ[name]
        os.environ.update(wanted or {})
        yield


def _warning_text(warning):
    """ansible-core 2.19 and later have structures on the wire."""
    return warning if isinstance(warning, str) else warning["event"]["msg"]


def take_signals():
    """Accept the signals that end a run, which a shell lets its background processes ignore."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


# Playbooks


class PlaybookRun:
    """How a playbook went. `results`: one dict a task and host: status, host, task, action, result."""

    def __init__(self, returncode, stdout, stderr, records):
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.results = [record for record in records if "stats" not in record]
        self.stats = next((record["stats"] for record in records if "stats" in record), {})

    def result(self, task, host=None):
        """The result of the one task of that name (on that host)."""
        found = [each for each in self.results if each["task"] == task and host in (None, each["host"])]
        if len(found) != 1:
            raise AssertionError("%d results of %r:\n%s" % (len(found), task, self))
        return found[0]["result"]

    def __repr__(self):
        return "exit status %d\n%s\n%s" % (self.returncode, self.stdout, self.stderr)


def run_playbook(playbook, inventory=None, extra_args=(), env=None, stdout_callback=None, timeout=HANG, cwd=COLLECTION):
    """Run this environment's ansible-playbook, away from the tester's own configuration.

    playbook: a path, a name such as netsec.calico.audit, the YAML text, or a list of plays.
    inventory: a path, the INI or YAML text, or nothing: localhost. Relative paths count from cwd.
    """
    with PlaybookProcess(playbook, inventory, extra_args, env, stdout_callback, cwd) as process:
        return process.wait(timeout)


class PlaybookProcess:
    """The same, as a process that can be ended. A context manager, after which none of its processes is left."""

    def __init__(self, playbook, inventory=None, extra_args=(), env=None, stdout_callback=None, cwd=COLLECTION):
        self._folder = tempfile.TemporaryDirectory(prefix="netsec-playbook-")
        folder = Path(self._folder.name)
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--inventory=" + _file(inventory or _localhost(), folder / "inventory"),
            _file(playbook, folder / "playbook.yml"),
            *map(str, extra_args),
        ]
        environment = _playbook_environment(folder, env, stdout_callback)
        self._results = environment["NETSEC_RESULTS"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=str(cwd),
            env=environment,
            start_new_session=True,
            preexec_fn=take_signals,
        )
        self._watcher = Watcher()
        self._watcher.watch(self._process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        kill_group(self._process)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for stream in (self._process.stdout, self._process.stderr):
            stream.close()
        self._watcher.close()
        self._folder.cleanup()

    def send_signal(self, number):
        """To the whole group, as a terminal does it."""
        os.killpg(self._process.pid, number)

    def wait(self, timeout=HANG):
        """The PlaybookRun, when ansible-playbook has ended; modules that it has left alone may still run."""
        stdout, stderr = self._process.communicate(timeout=timeout)
        self._watcher.forget()
        lines = Path(self._results).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return PlaybookRun(self._process.returncode, stdout.decode(), stderr.decode(), records)

    def pids(self):
        """Its processes, workers and modules too, whatever their group. They are known by their environment."""
        mark = b"NETSEC_RESULTS=" + self._results.encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            # Some end meanwhile, and others are not ours.
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def _localhost():
    return "localhost ansible_connection=local ansible_python_interpreter='%s'\n" % sys.executable


def _file(content, path):
    """A text or a list goes into the file; what is a name already stays so."""
    if isinstance(content, os.PathLike) or (isinstance(content, str) and "\n" not in content):
        return str(content)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def _playbook_environment(folder, wanted, stdout_callback):
    home = folder / "home"
    callbacks = folder / "callbacks"
    results = folder / "results"
    configuration = folder / "ansible.cfg"
    for each in (home, callbacks):
        each.mkdir()
    results.touch()
    configuration.write_text(_CONFIGURATION, encoding="utf-8")
    shutil.copy(str(Path(__file__).with_name("results_callback.py")), str(callbacks / "netsec_results.py"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    environment.update(
        HOME=str(home),
        LC_ALL="C.UTF-8",
        NETSEC_RESULTS=str(results),
        ANSIBLE_CONFIG=str(configuration),
        ANSIBLE_HOME=str(home / ".ansible"),
        ANSIBLE_REMOTE_TEMP=str(home / ".ansible" / "tmp"),
        ANSIBLE_COLLECTIONS_PATH=collections_path(),
        ANSIBLE_CALLBACK_PLUGINS=str(callbacks),
        ANSIBLE_CALLBACKS_ENABLED="netsec_results",
        ANSIBLE_PYTHON_INTERPRETER=sys.executable,
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_LOCALHOST_WARNING="0",
    )
    if stdout_callback:
        environment["ANSIBLE_STDOUT_CALLBACK"] = stdout_callback
    environment.update(wanted or {})
    # None is for a variable that must not exist.
    return {name: value for name, value in environment.items() if value is not None}
