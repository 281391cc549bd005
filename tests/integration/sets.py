# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""calico_hostendpoints as a task calls it, and what it should store, spelled out without the collection's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.harness.module import COLLECTION, run_module, take_signals
from tests.harness.pace import HANG, PATIENT
from tests.integration.tasks import connection

OWNER_LABEL = "app.kubernetes.io/managed-by"
CALICO_LABEL = "projectcalico.org/created-by"
MINE = {OWNER_LABEL: "me"}
# What AWX keeps of a result.
AWX_SIZE = 700000


def hostendpoints(*servers, check=False, diff=False, **options):
    """A calico_hostendpoints task."""
    return run_module("calico_hostendpoints", task(*servers, **options), check, diff)


def task(*servers, **options):
    """Its parameters; unguarded, unless the options say so."""
    return {"guard": "off", "timeout": PATIENT, **connection(*servers), **options}


# An endpoint's name begins with its node's, since on etcdv3 no two endpoints have the same name. Here, it is the rest.


def endpoint(node, name="eth0", interface_name="eth0", **fields):
    return dict(node=node, name="%s-%s" % (node, name), interface_name=interface_name, **fields)


def key_of(datastore, node, name="eth0"):
    return datastore.key(node, "%s-%s" % (node, name))


def changes_of(result, *lists):
    """[(operation, node, name)] of these lists of the result, all three by default."""
    names = lists or ("changes", "failures", "not_attempted")
    found = [each for name in names for each in result.get(name, [])]
    return [(each["operation"], each["node"], each["name"][len(each["node"]) + 1 :]) for each in found]


# Whatever a task is given comes by standard input. The result, the most memory that it ever had, and the seconds that
# it waited for in vain go out.
_MODULE = """
import json
import sys
from tests.harness.module import run_module
from tests.harness.pace import Waits

with Waits() as waits:
    result = run_module(sys.argv[1], json.load(sys.stdin))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
json.dump({"result": result, "peak_kilobytes": int(peak.split()[1]), "waited": waits.seconds}, sys.stdout)
"""


class ModuleProcess:
    """The task in a process of its own, which can be killed."""

    def __init__(self, parameters, module="calico_hostendpoints", before=()):
        """before: the words of a command that runs it, such as nohup."""
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", _MODULE, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=str(COLLECTION),
            env=environment,
            preexec_fn=take_signals,
        )
        self._parameters = json.dumps(parameters).encode()

    def kill(self):
        self._process.kill()

    def send_signal(self, number):
        self._process.send_signal(number)

    def run(self):
        """Its exit status (-9 when it was killed) and what it printed, decoded."""
        try:
            output = self._process.communicate(self._parameters, timeout=HANG)[0]
        finally:
            self._process.kill()
            self._process.wait()
        return self._process.returncode, json.loads(output) if output else None
