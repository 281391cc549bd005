# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed hosts with a Python that Ansible takes and the collection does not: each module says so, in one sentence."""

from __future__ import annotations

import ast
import json
import os
import subprocess

import pytest

from tests.harness.module import COLLECTION, collections_path, run_playbook
from tests.integration.role import failure, fleet_of, worker

FILES = sorted((COLLECTION / "plugins" / "modules").glob("*.py"))
# The others are documentation of action plugins.
MODULES = [path for path in FILES if "def main(" in path.read_text(encoding="utf-8")]
# Their paths, which `make test` looks for.
VARIABLE = "NETSEC_OLD_PYTHONS"
PYTHONS = [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def pythons(found, why):
    return pytest.mark.parametrize(
        "python", found or [pytest.param("", marks=pytest.mark.skip(reason=why))], ids=os.path.basename
    )


def managed():
    """Those that this ansible-core manages hosts with."""
    from ansible import constants

    names = constants.config.get_config_value("INTERPRETER_PYTHON_FALLBACK")
    return [path for path in PYTHONS if os.path.basename(path) in names]


each_python = pythons(PYTHONS, "no Python before 3.8 in " + VARIABLE)
each_managed = pythons(managed(), "none of %s that this ansible-core manages hosts with" % VARIABLE)


def sentence(python):
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version.split()[0])"], stdout=subprocess.PIPE, check=True
    )
    return (
        "netsec.calico requires Python 3.8 or later where its modules run, but this is Python %s at %s; set "
        "ansible_python_interpreter to a later version (for the role hostendpoints, hostendpoints_python_interpreter)"
    ) % (version.stdout.decode().strip(), python)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_python_is_looked_at_before_anything_else(path):
    """As far as a newer Python can say what an older one reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))
    code = [each for each in tree.body if not isinstance(each, ast.Assign)]
    assert isinstance(code[0], ast.ImportFrom) and code[0].module.endswith(".module_utils._core.python_version")
    assert ast.unparse(code[1]) == "check_python()"
    assert not any(isinstance(each, ast.ImportFrom) and each.module == "__future__" for each in code)


@each_python
@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_each_module_says_so(path, python):
    environment = dict(os.environ, PYTHONPATH=collections_path(), PYTHONDONTWRITEBYTECODE="1")
    run = subprocess.run(
        [python, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, check=False
    )
    assert (run.returncode, run.stderr) == (1, b"")
    assert json.loads(run.stdout.decode()) == {"failed": True, "msg": sentence(python)}


@each_managed
def test_a_play_says_so(python):
    tasks = [{"netsec.calico." + path.stem: {}, "name": path.stem, "ignore_errors": True} for path in MODULES]
    run = run_playbook(
        [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}],
        "localhost ansible_connection=local ansible_python_interpreter=%s\n" % python,
    )
    assert [run.result(path.stem)["msg"] for path in MODULES] == [sentence(python)] * len(MODULES), run
    assert "Traceback" not in run.stdout + run.stderr


@each_managed
def test_the_role_says_so(tmp_path_factory, python):
    with fleet_of(tmp_path_factory, {"worker-1": worker(1)}) as fleet:
        fleet.reset()
        run = fleet.run(["worker-1"], variables={"hostendpoints_python_interpreter": python})
        assert failure(run) == sentence(python) and fleet.stored() == {}
