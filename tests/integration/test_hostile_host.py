# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed host whose Python answers what it likes: the role and the playbooks take nothing but facts from it.

What it wants is to run a program on the controller, to be told the datastore's password, or to change what a run does.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import stat
import sys

import pytest

from tests.harness.datastore import DATASTORES
from tests.harness.etcd import EtcdServer
from tests.harness.fleet import interface, server
from tests.harness.module import run_playbook
from tests.integration.role import IMPORTED, NAME

pytestmark = pytest.mark.thorough

PASSWORD = "the-datastore's-pässword"
ROLE = {"name": NAME, "rolespec_validate": False}
# Each way in.
ENTRY_POINTS = (
    "netsec.calico.apply",
    "netsec.calico.audit",
    "netsec.calico.gathered",
    "role main",
    "role audit",
    "role gathered",
    "roles",
    "strategy free",
)


@pytest.fixture(scope="module")
def etcd():
    with EtcdServer() as server:
        yield DATASTORES["etcdv2"](server)


@pytest.fixture
def controller(etcd, tmp_path):
    etcd.reset()
    return Controller(etcd, tmp_path)


class Controller:
    """A fleet of one hostile host and a good one, and what the hostile one could get hold of."""

    def __init__(self, datastore, folder):
        self.datastore = datastore
        self.folder = folder
        # Made by whatever runs a program on the controller.
        self.trace = folder / "trace"
        self.program = self._executable("program", "echo ran >>%s\n" % shlex.quote(str(self.trace)))
        self.dest = folder / "gathered.yml"

    def _executable(self, name, lines):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + lines, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def python(self, name, facts, **result):
        """What a host has in the place of Python: it answers this, whatever it is asked."""
        answer = self.folder / (name + ".json")
        answer.write_text(json.dumps(dict(result, changed=False, ansible_facts=facts)), encoding="utf-8")
        return self._executable(name, "exec cat %s\n" % shlex.quote(str(answer)))

    def run(self, entry_point, facts, *args, result=None, variables=None, env=None, nodename="bad"):
        """Run an entry point on both hosts; `facts`: what the hostile one says beside its true ones."""
        true = server(nodename, interface("lo", "127.0.0.1/8", type="loopback"), interface("eth0", "192.0.2.1/24"))
        true = {"ansible_" + key: value for key, value in true.items()}
        good = {key: value for key, value in true.items() if key != "ansible_nodename"}
        hosts = {
            "bad": self.python("bad", dict(true, **facts), **(result or {})),
            "good": self.python("good", dict(good, ansible_nodename="good")),
        }
        inventory = {
            "all": {
                "hosts": {
                    name: {
                        "ansible_connection": "local",
                        "ansible_python_interpreter": str(python),
                        "ansible_remote_tmp": str(self.folder / "remote"),
                    }
                    for name, python in hosts.items()
                },
                "vars": {
                    "etcd_host": self.datastore.url.partition("://")[2],
                    "hostendpoints_etcd_endpoints": "http://{{ etcd_host }}",
                    "hostendpoints_etcd_username": "root",
                    "hostendpoints_etcd_password": PASSWORD,
                    "hostendpoints_guard": "off",
                    "hostendpoints_python_interpreter": "{{ controller_python }}",
                    "controller_python": sys.executable,
                    "hostendpoints_gathered_dest": str(self.dest),
                    **(variables or {}),
                },
            }
        }
        playbook = entry_point if entry_point.startswith("netsec.") else [self._play(entry_point)]
        return run_playbook(playbook, json.dumps(inventory, indent=1), args, env=env)

    @staticmethod
    def _play(entry_point):
        play = {"hosts": "all", "gather_facts": True}
        if entry_point == "roles":
            return dict(play, roles=[NAME])
        if entry_point == "strategy free":
            return dict(play, strategy="free", tasks=[IMPORTED])
        if entry_point == "role site":
            return dict(play, roles=["site"])
        if entry_point == "after a failure":
            failure = {"ansible.builtin.fail": {}, "when": "inventory_hostname == 'bad'"}
            return dict(play, tasks=[failure, IMPORTED])
        if entry_point == "without gathering":
            return dict(play, gather_facts=False, tasks=[IMPORTED])
        return dict(play, tasks=[{"import_role": dict(ROLE, tasks_from=entry_point.partition(" ")[2])}])

    def ran(self):
        return self.trace.exists()


@contextlib.contextmanager
def listener():
    """A port of somebody else's; nobody must connect to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def visitors(server):
    with contextlib.suppress(BlockingIOError):
        server.accept()[0].close()
        return True
    return False


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_facts_that_are_variables_of_this_collection_are_refused(controller, entry_point):
    with listener() as elsewhere:
        facts = {
            "hostendpoints_python_interpreter": str(controller.program),
            "hostendpoints_etcd_endpoints": "http://127.0.0.1:%d" % elsewhere.getsockname()[1],
        }
        run = controller.run(entry_point, facts)
        assert not visitors(elsewhere), run
    assert not controller.ran(), run
    assert run.returncode != 0, run
    assert "bad: its facts contain hostendpoints_etcd_endpoints, hostendpoints_python_interpreter, and n" in run.stdout
    assert "it may be compromised" in run.stdout
    assert not controller.dest.exists()
    # With the strategy free, each host is a run of its own.
    others = {"/calico/v1/host/good/endpoint/eth0"} if entry_point == "strategy free" else set()
    assert set(controller.datastore.stored()) == others


@pytest.mark.parametrize("variable", ["hostendpoints_labels", "hostendpoints_no_such", "calico_anything"])
def test_any_fact_with_this_collections_prefix_is_refused(controller, variable):
    run = controller.run("role main", {variable: {"admin": "true"}})
    assert run.returncode != 0, run
    assert "bad: its facts contain %s, and nothing was done" % variable in run.stdout
    assert controller.datastore.stored() == {}


def test_facts_of_a_host_that_has_failed_are_refused_too(controller):
    run = controller.run("after a failure", {"hostendpoints_labels": {"admin": "true"}})
    assert run.returncode != 0, run
    assert "bad: its facts contain hostendpoints_labels, and nothing was done" in run.stdout
    assert controller.datastore.stored() == {}


def test_a_connection_that_facts_tell_counts_where_the_host_is_reached(controller):
    """By the guard, which is off in the first run."""
    connection = {"ansible_ssh_extra_args": "-l {{ ansible_facts.nodename }}"}
    run = controller.run("role main", {}, variables=connection)
    assert run.returncode == 0, run
    run = controller.run("role main", {}, variables=dict(connection, hostendpoints_guard="enforce"))
    assert run.returncode != 0, run
    assert "bad: ansible_ssh_extra_args: " in run.stdout and "Facts are not used in it" in run.stdout


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_a_fact_does_not_take_the_place_of_a_variable_that_a_variable_is_made_of(controller, entry_point):
    """hostendpoints_etcd_endpoints is http://{{ etcd_host }}, and the host says what etcd_host is.

    It is a host as any other, so that the refusals above are for their own reason.
    """
    with listener() as elsewhere:
        address = "127.0.0.1:%d" % elsewhere.getsockname()[1]
        run = controller.run(entry_point, {"etcd_host": address, "controller_python": str(controller.program)})
        assert not visitors(elsewhere), run
    assert not controller.ran(), run
    assert run.returncode == 0, run
    if entry_point in ("netsec.calico.gathered", "role gathered"):
        assert controller.dest.exists()
    elif "audit" not in entry_point:
        assert sorted(controller.datastore.stored()) == [
            "/calico/v1/host/bad/endpoint/eth0",
            "/calico/v1/host/good/endpoint/eth0",
        ]


@pytest.mark.parametrize("entry_point", ["netsec.calico.apply", "netsec.calico.audit", "netsec.calico.gathered"])
def test_facts_of_ansible_itself_are_not_used_where_the_run_is_described(controller, entry_point):
    variables = {"hostendpoints_etcd_endpoints": "http://{{ ansible_facts.etcd_host }}"}
    with listener() as elsewhere:
        address = "127.0.0.1:%d" % elsewhere.getsockname()[1]
        run = controller.run(entry_point, {"ansible_etcd_host": address}, variables=variables)
        assert not visitors(elsewhere), run
    assert run.returncode != 0, run
    assert "hostendpoints_etcd_endpoints: " in run.stdout
    assert "Facts are not used in it, because a managed host controls them" in run.stdout


def test_hostvars_bring_no_facts_of_other_hosts_into_the_run(controller):
    variables = {"hostendpoints_etcd_endpoints": "http://{{ hostvars['bad'].etcd_host }}"}
    with listener() as elsewhere:
        run = controller.run(
            "role main", {"etcd_host": "127.0.0.1:%d" % elsewhere.getsockname()[1]}, variables=variables
        )
        assert not visitors(elsewhere), run
    assert run.returncode == 0, run


def test_a_hosts_own_variables_may_use_its_facts_but_not_be_replaced_by_them(controller):
    variables = {
        "zone": "dmz",
        "hostendpoints_labels": {"zone": "{{ zone }}", "nic": "{{ ansible_facts.eth0.device }}", "os": "{{ os }}"},
        "os": "{{ hostvars['good'].zone }}",
    }
    run = controller.run("role main", {"zone": "trusted", "os": "hers"}, variables=variables)
    assert run.returncode == 0, run
    value = json.loads(controller.datastore.stored()["/calico/v1/host/bad/endpoint/eth0"])
    assert {key: value["labels"][key] for key in ("zone", "nic", "os")} == {"zone": "dmz", "nic": "eth0", "os": "dmz"}


def test_the_datastores_password_goes_where_the_inventory_says_only(controller):
    run = controller.run("role main", {"etcd_host": "192.0.2.66:2379"}, "-vvv")
    assert run.returncode == 0, run
    assert PASSWORD not in run.stdout + run.stderr


def test_set_fact_with_cacheable_is_told_what_to_do_instead(controller):
    cache = {
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(controller.folder / "cache"),
    }
    task = {"ansible.builtin.set_fact": {"hostendpoints_labels": {"from": "cache"}, "cacheable": True}}
    run = run_playbook([{"hosts": "bad,good", "gather_facts": False, "tasks": [task]}], "bad\ngood\n", env=cache)
    assert run.returncode == 0, run
    run = controller.run("role main", {}, env=cache)
    assert run.returncode != 0, run
    assert "If set_fact with cacheable set them, set them in the inventory" in run.stdout


# The playbooks that run on localhost, which may be a managed host of the inventory, too


@pytest.mark.parametrize(
    "playbook, fact",
    [
        ("decommission", {"hostendpoints_decommission": "n1"}),
        ("decommission", {"hostendpoints_etcd_endpoints": "http://127.0.0.1:1"}),
        ("migrate", {"hostendpoints_migrate_from": {"etcd_endpoints": "http://127.0.0.1:1"}}),
        ("compare_audits", {"hostendpoints_audit_before": "/etc/passwd"}),
        ("awx", {"calico_awx_inventory": "hers"}),
    ],
)
def test_cached_facts_of_localhost_are_no_variables_of_the_playbooks(controller, playbook, fact):
    cache = {
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(controller.folder / "cache"),
    }
    inventory = "localhost ansible_connection=local ansible_python_interpreter=%s\n"
    python = controller.python("evil", dict(fact, ansible_system="Linux"))
    setup = [{"hosts": "localhost", "gather_facts": True, "tasks": []}]
    run = run_playbook(setup, inventory % python, env=cache)
    assert run.returncode == 0, run
    run = run_playbook("netsec.calico." + playbook, inventory % sys.executable, env=cache)
    assert run.returncode != 0, run
    assert "localhost: its facts contain %s, and nothing was done" % next(iter(fact)) in run.stdout


# What else a host says


FORGED = {
    "data": {
        "hostendpoints_audit": "nothing to see",
        "hostendpoints_python_interpreter": "/tmp/hers",
        "hostendpoints_etcd_endpoints": "http://127.0.0.1:1",
    },
    "per_host": False,
    "aggregate": True,
}


@pytest.mark.parametrize("entry_point", ["netsec.calico.apply", "netsec.calico.audit", "without gathering"])
def test_statistics_that_a_host_returns_are_dropped(controller, entry_point):
    """In AWX, they decide whether a workflow asks for an approval, and are variables of its next job."""
    env = {"ANSIBLE_SHOW_CUSTOM_STATS": "true"}
    run = controller.run(entry_point, {}, result={"ansible_stats": FORGED}, env=env)
    assert run.returncode == 0, run
    stats = run.stdout.partition("CUSTOM STATS")[2].replace("'", '"')
    assert "hers" not in stats and "nothing to see" not in stats and '127.0.0.1:1"' not in stats, run
    assert ('"missing": 2' in stats) == (entry_point == "netsec.calico.audit")


def test_a_refused_audit_leaves_no_older_report_behind(controller):
    folder = controller.folder / "reports"
    folder.mkdir()
    (folder / "audit.json").write_text("of yesterday")
    variables = {"hostendpoints_audit_report_dir": str(folder)}
    run = controller.run("netsec.calico.audit", {"hostendpoints_x": 1}, variables=variables)
    assert run.returncode != 0 and "its facts contain hostendpoints_x" in run.stdout, run
    assert list(folder.iterdir()) == []


def test_the_reason_why_a_host_has_no_facts_is_told(controller):
    run = controller.run("netsec.calico.audit", {}, result={"failed": True, "msg": "no\x1b[2J way"})
    assert run.returncode == 0, run
    (result,) = [each["result"] for each in run.results if each["action"].endswith("calico_inventory_audit")]
    assert r"bad: unknown: no facts: no\x1b[2J way" in result["banner"]


@pytest.mark.parametrize("fact", ["dict", "lookup", "omit"])
def test_a_fact_that_is_called_like_something_of_jinja(controller, fact):
    run = controller.run("role main", {fact: "x"})
    assert run.returncode == 0, run


def test_a_lookup_finds_files_where_a_task_would(controller, tmp_path):
    """A role of the user's own, around this one."""
    role = tmp_path / "roles" / "site"
    for name in ("files", "tasks"):
        (role / name).mkdir(parents=True)
    (role / "files" / "datastore").write_text(controller.datastore.url)
    included = {
        "ansible.builtin.import_role": ROLE,
        "vars": {"hostendpoints_etcd_endpoints": "{{ lookup('ansible.builtin.file', 'datastore') }}"},
    }
    (role / "tasks" / "main.yml").write_text(json.dumps([included]))
    run = controller.run("role site", {}, env={"ANSIBLE_ROLES_PATH": str(tmp_path / "roles")})
    assert run.returncode == 0, run
    assert len(controller.datastore.stored()) == 2
