# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that a user gives to the role is ignored without a word, and what is missing is reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.fleet import interface, server
from tests.harness.module import run_playbook
from tests.integration.role import (
    IMPORTED,
    OWNER,
    OWNER_LABEL,
    changes,
    done,
    failure,
    fleet_of,
    kubernetes_for,
    on_all,
    results,
    role_variables,
    worker,
)

BSD = {"system": "FreeBSD", "interfaces": ["em0"], "em0": {"device": "em0", "ipv4": [{"address": "192.0.2.1"}]}}
HOSTS = {
    "worker-1": worker(1),
    "worker-2": worker(2),
    # Only loopback and what the role ignores.
    "bare": server(
        "bare", interface("lo", "127.0.0.1/8", type="loopback"), interface("docker0", "172.17.0.1/16", type="bridge")
    ),
    # An interface that is called like a fact: what is known of it is lost.
    "named": dict(
        server("named", interface("lo", "127.0.0.1/8", type="loopback"), interface("eth0", "192.0.2.3/24")),
        interfaces=["lo", "eth0", "dns"],
        dns={"nameservers": []},
    ),
    "bsd": BSD,
    "windows": {"system": "Win32NT", "interfaces": [{"interface_name": "Ethernet"}]},
    "switch": {"network_os": "ios", "net_interfaces": {}},
}
BY_HAND = {
    "hostendpoints_node": "n1",
    "hostendpoints_interfaces": [],
    "hostendpoints_endpoints": [{"name": "eth0", "interface_name": "eth0", "expected_ips": ["192.0.2.7"]}],
}
NO_FACTS = {"hostendpoints_gather_facts": False}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, HOSTS) as fleet:
        yield fleet


@pytest.fixture
def datastore_type():
    return "etcdv2"


@pytest.fixture
def fleet(request, _fleet, datastore_type):
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    return _fleet


def one_line(text):
    return " ".join(text.split())


def audit(fleet, hosts, **variables):
    """The result of the audit's task, and the report's hosts by name."""
    variables = dict(role_variables(fleet.datastore), **NO_FACTS, **variables)
    run = fleet.playbook("netsec.calico.audit", hosts, variables=variables)
    (result,) = [each["result"] for each in run.results if each["action"].endswith("calico_inventory_audit")]
    return run, result


# Hosts without facts


@on_all
@pytest.mark.parametrize("gather", [False, True])
def test_what_needs_no_facts_is_applied_without_facts(fleet, gather):
    variables = dict(NO_FACTS, hostendpoints_gather_facts=gather)
    run = fleet.run({"nowhere": BY_HAND, "worker-1": {}}, variables=variables, tasks=[IMPORTED, IMPORTED])
    assert run.returncode == 0, run
    result, again = results(run)
    assert "create n1/eth0" in changes(result) and "create worker-1/eth0" in changes(result)
    assert (result["hosts"], result["hosts_without_facts"]) == (2, [])
    assert "hosts without facts, whose endpoints the guard cannot check (1): nowhere: " in one_line(run.stderr)
    assert changes(again) == []


def test_the_guard_does_not_guess_about_a_host_without_facts(fleet):
    variables = dict(NO_FACTS, hostendpoints_guard="enforce")
    run = fleet.run({"nowhere": BY_HAND}, variables=variables)
    (verdict,) = done(run)["guard"]
    assert (verdict["node"], verdict["verdict"]) == ("n1", "unknown")


def test_what_needs_facts_is_left_as_it_is_without_them(fleet):
    # {host: what needs facts}
    needs = {
        "nowhere-1": {"hostendpoints_node": "{{ ansible_facts.nodename }}"},
        "nowhere-2": {"hostendpoints_interfaces": [{"match": {"name": "eth*"}}]},
        "nowhere-3": {"hostendpoints_endpoints": [{"name": "{{ ansible_facts.nodename }}"}]},
    }
    hosts = {name: dict(BY_HAND, hostendpoints_node="n" + name[-1]) for name in needs}
    for name, variables in needs.items():
        hosts[name].update(variables)
    old = ["n%d/old" % number for number in (1, 2, 3)]
    fleet.put(*old)
    run = fleet.run(hosts, variables=dict(NO_FACTS, hostendpoints_purge="owned"))
    assert done(run)["hosts_without_facts"] == list(needs) and sorted(fleet.stored()) == old
    reason = "hosts whose endpoints are not changed, because their facts cannot be used (3): " + ", ".join(needs)
    assert reason in one_line(run.stderr)


def test_an_audit_compares_what_needs_no_facts(fleet):
    fleet.datastore.put_endpoint(dict(BY_HAND["hostendpoints_endpoints"][0], node="n1"), labels={OWNER_LABEL: OWNER})
    _run, result = audit(fleet, {"nowhere-1": BY_HAND, "nowhere-2": dict(BY_HAND, hostendpoints_node="n2")})
    assert result["summary"]["hosts"] == {"compliant": 1, "drifted": 1, "unknown": 0}
    assert result["summary"]["endpoints"]["missing"] == 1


def test_the_reason_is_said_for_each_kind_of_host(fleet):
    run = fleet.run(["worker-1", "bsd", "windows", "switch", "nowhere"], variables=NO_FACTS)
    assert done(run)["hosts_without_facts"] == ["bsd", "windows", "switch", "nowhere"]
    text = one_line(run.stderr)
    assert "hosts whose endpoints are not changed, because their facts cannot be used (4): " in text
    assert "bsd: they are from 'FreeBSD', and only Linux is supported" in text
    assert "windows: they are from 'Win32NT', and only Linux is supported" in text
    assert "switch: they are from a network device ('ios'), and only Linux is supported" in text
    assert "nowhere: no facts exist" in text
    _run, result = audit(fleet, ["bsd", "nowhere"])
    banner = "\n".join(result["banner"])
    assert "bsd: unknown: its facts cannot be used: they are from 'FreeBSD'" in banner
    assert "nowhere: unknown: its facts cannot be used: no facts exist" in banner


# Hosts without endpoints


def test_a_host_for_which_no_rule_makes_an_endpoint_is_reported(fleet):
    reason = "no rule creates an endpoint (docker0: ignored by 'docker*'; lo: ignored by 'lo')"
    run = fleet.run(["bare", "worker-1"])
    result = done(run)
    assert result["hosts_without_endpoints"] == {"bare": reason}
    assert "hosts without an endpoint, so no policy applies to their interfaces (1): bare: " + reason in one_line(
        run.stderr
    )
    _run, result = audit(fleet, ["bare", "worker-1"])
    assert result["summary"]["hosts"] == {"compliant": 1, "drifted": 0, "unknown": 1}
    assert "bare: unknown: " + reason in result["banner"]
    run, result = audit(fleet, ["bare", "worker-1"], hostendpoints_audit_fail_on=["unknown"])
    assert run.returncode != 0 and result["reason"] == "1 unknown host (fail_on: unknown)"


def test_a_host_without_rules_is_not_reported(fleet):
    run = fleet.run({"bare": {"hostendpoints_interfaces": []}, "worker-1": BY_HAND})
    assert done(run)["hosts_without_endpoints"] == {} and "without an endpoint" not in run.stderr


@pytest.mark.thorough
def test_an_interface_that_is_called_like_a_fact_leaves_the_host_as_it_is(fleet):
    """Nothing is known of it, so a purge would delete its endpoint."""
    fleet.put("named/dns", "named/eth0")
    run = fleet.run(["named", "worker-1"], variables={"hostendpoints_purge": "owned"})
    assert done(run)["hosts_without_facts"] == ["named"]
    assert "the facts do not describe the interface 'dns', because another fact has its name; add it to" in one_line(
        run.stderr
    )
    assert {"named/dns", "named/eth0"} < set(fleet.stored())
    _run, result = audit(fleet, ["named"])
    assert result["summary"]["hosts"]["unknown"] == 1 and "interface 'dns'" in "\n".join(result["banner"])
    ignoring = {"hostendpoints_ignore": ["lo", "dns"], "hostendpoints_purge": "owned"}
    done(fleet.run(["named"], variables=ignoring))
    assert {place for place in fleet.stored() if place.startswith("named/")} == {"named/eth0"}


# Names


@pytest.mark.parametrize("where", ["all", "host"])
def test_a_misspelt_variable_stops_the_run_and_the_nearest_one_is_named(fleet, where):
    misspelt = {"hostendpoints_purge_limti": 5}
    hosts = {"worker-1": {}, "worker-2": misspelt if where == "host" else {}}
    message = failure(fleet.run(hosts, variables=misspelt if where == "all" else {}))
    assert "hostendpoints_purge_limti is not a variable of the role, and nothing was done" in message
    assert "did you mean hostendpoints_purge_limit?" in message and fleet.stored() == {}


def test_a_variable_that_is_nothing_like_one_of_the_role_is_warned_of(fleet):
    run = fleet.run(["worker-1", "worker-2"], variables={"hostendpoints_zone_of_mine": "a"})
    done(run)
    assert one_line(run.stderr).count("hostendpoints_zone_of_mine is not a variable of the role and has no effect") == 1


# Of each kind: on the hosts of the inventory, and on localhost.
@pytest.mark.parametrize(
    "playbook",
    [
        "audit",
        "decommission",
        *(pytest.param(name, marks=pytest.mark.thorough) for name in ("gathered", "migrate", "compare_audits")),
    ],
)
def test_every_playbook_finds_a_misspelt_variable(fleet, playbook):
    extra = {"hostendpoints_etcd_endpoint": fleet.datastore.url, "hostendpoints_gather_facts": False}
    run = run_playbook("netsec.calico." + playbook, None, ["-e", json.dumps(extra)])
    assert run.returncode != 0 and "did you mean hostendpoints_etcd_endpoints?" in run.stdout, run


# Secrets


def test_an_encrypted_variable_is_read_and_not_shown(tmp_path):
    vault = tmp_path / "vault-password"
    vault.write_text("open sesame\n")
    command = [
        str(Path(sys.executable).parent / "ansible-vault"),
        "encrypt_string",
        "--vault-password-file",
        str(vault),
    ]
    encrypted = subprocess.run(
        [*command, "--name", "hostendpoints_etcd_password", "s3cr3t"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    inventory = tmp_path / "inventory.yml"
    indented = encrypted.replace("\n", "\n      ")
    inventory.write_text(
        "all:\n  hosts:\n    localhost:\n      ansible_connection: local\n      %s\n" % indented.strip()
    )
    read = {"netsec.calico.calico_inventory_variables": {"variables": {"password": "hostendpoints_etcd_password"}}}
    show = {"ansible.builtin.debug": {"msg": "{{ result.variables.password | reverse }}"}, "name": "Show"}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [dict(read, register="result"), show]}
    run = run_playbook([play], inventory, ["--vault-password-file", vault, "-vvv"])
    assert run.returncode == 0 and run.result("Show")["msg"] == "t3rc3s", run
    assert "s3cr3t" not in run.stdout + run.stderr


# Groups


def test_labels_of_a_child_group_beat_those_of_its_parent(fleet):
    """As Ansible's variables do: by depth, then ansible_group_priority, then name."""
    labels = {
        "all": {"a": "all", "b": "all"},
        "web": {"a": "web", "b": "web", "c": "web", "d": "web"},
        "atlanta": {"b": "atlanta", "c": "atlanta"},
        "zulu": {"d": "zulu"},
    }
    inventory = {
        "all": {
            "vars": dict(role_variables(fleet.datastore), hostendpoints_group_labels=labels),
            "children": {
                "web": {"children": {"atlanta": {"hosts": {"worker-1": {}}}}},
                "zulu": {"hosts": {"worker-1": {}}, "vars": {"ansible_group_priority": 5}},
            },
        }
    }
    play = {"hosts": "all", "gather_facts": False, "roles": ["netsec.calico.hostendpoints"]}
    run = run_playbook([play], json.dumps(inventory, indent=1), env=fleet.environment)
    done(run)
    found = fleet.stored()["worker-1/eth0"]["labels"]
    assert {key: found[key] for key in "abcd"} == {"a": "web", "b": "atlanta", "c": "atlanta", "d": "zulu"}


def test_labels_of_a_group_that_does_not_exist_are_warned_of(fleet):
    run = fleet.run(["worker-1", "worker-2"], variables={"hostendpoints_group_labels": {"wbe": {"a": "b"}}})
    done(run)
    assert one_line(run.stderr).count("hostendpoints_group_labels: the inventory has no group wbe") == 1
