# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the controller, modules run from their files, and packed for any other Python; the result is the same."""

from __future__ import annotations

import shutil
import sys

from ansible.parsing.vault import VaultLib, VaultSecret

from tests.harness.module import COLLECTION, run_playbook
from tests.integration.tasks import one_etcd, only_etcdv3

pytestmark = [one_etcd, only_etcdv3]

IN_PLACE = "Running the module netsec.calico.%s in place"
ENDPOINT = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "HostEndpoint",
    "metadata": {"name": "n1-eth0", "labels": {"role": "web"}},
    "spec": {"node": "n1", "interfaceName": "eth0"},
}
# {module: its options}
TASKS = {
    "calico_hostendpoint": {"name": "n1-eth0", "node": "n1", "interface_name": "eth1"},
    "calico_hostendpoints": {"hostendpoints": [{"name": "n2-eth0", "node": "n2", "interface_name": "eth0"}]},
    "calico_hostendpoint_info": {},
    "calico_hostendpoints_audit": {"hostendpoints": [ENDPOINT]},
    "calico_connection_info": {
        "direction": "in",
        "protocol": "tcp",
        "port": 22,
        "node": "n1",
        "peer": "192.0.2.1",
        "interfaces": {"eth0": ["192.0.2.7/24"]},
    },
    "calico_resources": {"resources": [ENDPOINT]},
    "calico_resource_info": {"kind": "HostEndpoint"},
}


def play(*tasks, **keywords):
    return [{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks), **keywords}]


def task(datastore, module, options, **keywords):
    options = {**datastore.connection(datastore), **options}
    return {"name": module, "netsec.calico." + module: options, **keywords}


def run_with(python, playbook, *arguments, **options):
    inventory = "localhost ansible_connection=local ansible_python_interpreter=%s\n" % python
    return run_playbook(playbook, inventory, ["-vvv", *arguments], **options)


def test_every_module_gives_the_same_result_in_place_and_packed(datastore, tmp_path):
    files = (COLLECTION / "plugins" / "modules").glob("*.py")
    # The others are documentation of action plugins.
    assert set(TASKS) == {path.stem for path in files if "def main(" in path.read_text(encoding="utf-8")}
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexec '%s' \"$@\"\n" % sys.executable)
    other.chmod(0o755)
    datastore.put_endpoint({"name": "n1-eth0", "node": "n1", "interface_name": "eth0"})
    playbook = play(*(task(datastore, module, options, ignore_errors=True) for module, options in TASKS.items()))
    in_place, packed = (run_with(python, playbook, "--check", "--diff") for python in (sys.executable, other))
    for module in TASKS:
        assert not in_place.result(module).get("failed"), in_place
        assert in_place.result(module) == packed.result(module)
        assert IN_PLACE % module in in_place.stdout
        assert IN_PLACE % module not in packed.stdout
    assert in_place.result("calico_hostendpoint")["changed"]


def test_a_module_in_place_has_the_environment_and_the_vaulted_options_of_its_task(datastore, tmp_path):
    password = tmp_path / "password"
    password.write_text("correct horse")
    vaulted = VaultLib([("default", VaultSecret(b"correct horse"))]).encrypt("n7-eth0").decode()
    connection = {"DATASTORE_TYPE": datastore.type, "ETCD_ENDPOINTS": datastore.url}
    # JSON is YAML, but for the tag.
    text = """
    - hosts: localhost
      gather_facts: false
      environment: %(environment)s
      tasks:
        - name: stored
          netsec.calico.calico_hostendpoint:
            node: n7
            interface_name: eth0
            name: !vault |
%(vaulted)s
    """
    lines = "".join(" " * 14 + line + "\n" for line in vaulted.splitlines())
    playbook = text % {"environment": connection, "vaulted": lines}
    run = run_with(sys.executable, playbook, "--vault-password-file", password)
    assert run.result("stored")["changed"], run
    assert IN_PLACE % "calico_hostendpoint" in run.stdout
    assert datastore.get(datastore.key("n7", "n7-eth0"))


def test_a_short_name_runs_in_place_and_a_task_that_is_asynchronous_or_has_libraries_of_its_own_is_packed(
    datastore, tmp_path
):
    options = dict(datastore.connection(datastore), **TASKS["calico_hostendpoint"])
    own = {"PYTHONPATH": str(tmp_path)}
    tasks = [
        task(datastore, "calico_hostendpoint_info", {}, **{"async": 60, "poll": 1}),
        task(datastore, "calico_resource_info", TASKS["calico_resource_info"], environment=own),
        {"name": "short", "netsec.calico.hep": options},
    ]
    run = run_with(sys.executable, play(*tasks), env={"ANSIBLE_ASYNC_DIR": str(tmp_path)})
    assert run.result("calico_hostendpoint_info")["hostendpoints"] == [], run
    assert run.result("calico_resource_info")["resources"] == [], run
    assert run.result("short")["changed"], run
    found = [module for module in TASKS if IN_PLACE % module in run.stdout]
    assert found == ["calico_hostendpoint"]


def test_a_module_in_place_imports_nothing_from_the_folder_of_the_playbook(datastore, tmp_path):
    for name in ("json", "etcd3gw", "yaml", "ansible_collections", "start"):
        (tmp_path / (name + ".py")).write_text("raise SystemExit('from the folder of the playbook')\n")
    # As the Python package "ansible" has it, in a folder that Python searches.
    others = tmp_path / "others" / "ansible_collections"
    others.mkdir(parents=True)
    (others / "__init__.py").touch()
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(str(play(task(datastore, "calico_hostendpoint_info", {}))))
    run = run_with(sys.executable, playbook, env={"PYTHONPATH": str(others.parent)}, cwd=tmp_path)
    assert run.result("calico_hostendpoint_info")["hostendpoints"] == [], run
    assert IN_PLACE % "calico_hostendpoint_info" in run.stdout


def test_a_module_that_ends_without_a_result_is_a_failure_that_says_why(datastore, tmp_path):
    (tmp_path / "etcd3gw.py").write_text("import os, sys\nsys.stderr.write('killed by hand\\n')\nos._exit(3)\n")
    one = play(task(datastore, "calico_hostendpoint_info", {}))
    run = run_with(sys.executable, one, env={"PYTHONPATH": str(tmp_path)})
    result = run.result("calico_hostendpoint_info")
    assert run.returncode == 2
    assert result["msg"] == (
        "netsec.calico.calico_hostendpoint_info ended without a result, with the exit status 3: killed by hand. If it "
        "writes, changes may have been made"
    )
    assert result["module_stderr"] == "killed by hand\n"


def test_a_library_that_prints_does_not_hide_the_result(datastore, tmp_path):
    (tmp_path / "etcd3gw.py").write_text(
        "import sys\nprint('hello from a library')\nprint('{}')\nsys.path.remove(%r)\ndel sys.modules['etcd3gw']\n"
        "import etcd3gw\nsys.modules['etcd3gw'] = etcd3gw\n" % str(tmp_path)
    )
    one = play(task(datastore, "calico_hostendpoint", TASKS["calico_hostendpoint"]))
    run = run_with(sys.executable, one, env={"PYTHONPATH": str(tmp_path)})
    assert run.result("calico_hostendpoint")["changed"], run
    assert (
        "netsec.calico.calico_hostendpoint printed more than its result: 'hello from a library'"
        in run.stdout + run.stderr
    )


def test_bytecode_is_kept_outside_the_collection(datastore, tmp_path):
    root = tmp_path / "collections" / "ansible_collections" / "netsec" / "calico"
    for name in ("galaxy.yml", "meta", "plugins"):
        source = COLLECTION / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        root.mkdir(parents=True, exist_ok=True)
        options = {"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}
        copy(source, root / name, **options)
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "PYTHONDONTWRITEBYTECODE": None,
        "PYTHONPATH": None,
        "PYTHONPYCACHEPREFIX": None,
    }
    run = run_with(sys.executable, play(task(datastore, "calico_hostendpoint_info", {})), env=environment)
    assert IN_PLACE % "calico_hostendpoint_info" in run.stdout, run
    # Ansible itself keeps that of actions there.
    assert {path.parent.name for path in root.rglob("__pycache__")} <= {"action"}
    assert list((tmp_path / "home").rglob("calico_hostendpoint_info.*.pyc"))
