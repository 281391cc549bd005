# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role policies as a playbook calls it: what it declares, from where, and what it deletes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.integration.role import OWNER_LABEL, fleet_of, of_workers, worker

NAME = "netsec.calico.policies"
ACTION = "netsec.calico.calico_inventory_policies"
RESOURCES = "/calico/resources/v3/projectcalico.org/"
IMPORTED = {"ansible.builtin.import_role": {"name": NAME, "rolespec_validate": False}}
VALIDATED = {"ansible.builtin.include_role": {"name": NAME}}
LIBRARY = ["neighbour_discovery", "ssh", "default_deny"]
POLICIES = {"fleet-allow-neighbour-discovery", "fleet-allow-ssh", "fleet-default-deny"}
BASE = {"calico_policies_library": LIBRARY, "calico_policies_ssh_from": ["192.0.2.0/24"]}
HOSTS = ["worker-1", "worker-2"]
GROUPS = {"web_servers": HOSTS, "bastions": ["worker-1"]}
GATHERED = "hostendpoints_gather_facts=false"
FILE = """\
# A set and a policy.
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: office}
spec: {nets: [192.0.2.0/28]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  order: 500
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
"""
TEMPLATED = """\
  selector: zone == '{{ zone | regex_replace("\\d", "") }}'
"""


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    hosts = {"worker-%d" % number: worker(number) for number in (1, 2, 3)}
    # For a run that has a play for each of many cases.
    hosts.update({"case-%d" % number: worker(number) for number in range(20)})
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet):
    _fleet.reset("etcdv3")
    return _fleet


def run(fleet, *args, hosts=None, groups=None, tasks=(IMPORTED,), **variables):
    hosts, groups = HOSTS if hosts is None else hosts, GROUPS if groups is None else groups
    return fleet.run(hosts, *args, groups=groups, tasks=tasks, variables=variables)


def results(found, status="ok"):
    return [each["result"] for each in found.results if each["action"] == ACTION and each["status"] == status]


def done(found):
    assert found.returncode == 0, results(found, "failed") or found
    (result,) = results(found)
    return result


def failure(found):
    assert found.returncode != 0, found
    (result,) = results(found, "failed")
    return result["msg"]


def run_each(fleet, cases, *args, **inventory):
    """A run with a play for each case, the variables of its host, that goes on after a failure."""
    hosts = {"case-%d" % number: variables for number, variables in enumerate(cases)}
    tasks = [dict(IMPORTED, ignore_errors=True)]
    plays = [{"hosts": [host], "gather_facts": False, "tasks": tasks} for host in hosts]
    found = fleet.playbook(plays, hosts, *args, **inventory)
    assert found.returncode == 0, found
    return found


def refusals(fleet, cases, *args, **inventory):
    """The message of each case, of one run, which is many times as quick as a run for each."""
    found = run_each(fleet, cases, *args, **inventory)
    messages = [result["msg"] for result in results(found, "failed")]
    assert len(messages) == len(cases) and results(found) == [], found
    return messages


def stored(fleet, plural="globalnetworkpolicies"):
    """{name: its value}"""
    tree = fleet.datastore.stored(RESOURCES + plural + "/")
    return {key.rpartition("/")[2]: json.loads(value) for key, value in tree.items()}


def nets(fleet, name):
    return stored(fleet, "globalnetworksets")[name]["spec"]["nets"]


def test_the_library_is_written_once_for_the_endpoints_of_the_role(fleet):
    first = run(fleet, tasks=[IMPORTED, VALIDATED], **BASE)
    assert first.returncode == 0, first
    result, again = results(first)
    assert result["summary"] == {"created": 4, "updated": 0, "deleted": 0, "unchanged": 0}
    assert again["changed"] is False
    policies = stored(fleet)
    assert set(policies) == POLICIES
    assert {each["spec"]["selector"] for each in policies.values()} == {OWNER_LABEL + " == 'netsec.calico'"}
    assert {each["metadata"]["labels"][OWNER_LABEL] for each in policies.values()} == {"netsec.calico"}
    assert done(run(fleet, "--check", "--diff", **{**BASE, "calico_policies_ssh_ports": [2222]}))["changed"] is True
    assert stored(fleet) == policies


def test_the_selector_is_that_of_the_endpoints_owner(fleet):
    done(run(fleet, **{**BASE, "hostendpoints_owner": "me"}))
    assert {each["spec"]["selector"] for each in stored(fleet).values()} == {OWNER_LABEL + " == 'me'"}


def test_nothing_is_done_unless_something_is_declared(fleet):
    found = run(fleet)
    assert found.returncode == 0 and results(found) == [] and stored(fleet) == {}
    assert [each["status"] for each in found.results if each["action"] == ACTION] == ["skipped"]


def test_a_set_for_each_group_has_the_addresses_in_the_facts_of_its_hosts(fleet):
    done(run(fleet, calico_policies_group_sets=["web_servers"]))
    assert nets(fleet, "group-web-servers") == [
        *("10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"),
    ]
    labels = stored(fleet, "globalnetworksets")["group-web-servers"]["metadata"]["labels"]
    assert labels == {OWNER_LABEL: "netsec.calico", "netsec.calico/group": "web_servers"}


def test_a_group_stands_for_its_hosts_in_a_list_of_networks(fleet):
    done(run(fleet, **{**BASE, "calico_policies_ssh_from": ["198.51.100.0/24", "bastions", "worker-2"]}))
    assert nets(fleet, "fleet-ssh-from") == [
        "198.51.100.0/24",
        *("10.0.0.1", "192.0.2.1", "2001:db8::1"),
        *("10.0.0.2", "192.0.2.2", "2001:db8::2"),
    ]


def test_groups_and_hosts_without_addresses_are_named(fleet):
    """They are missing in the policies, which may be meant for a new group."""
    variables = {**BASE, "calico_policies_ssh_from": ["bastions", "lonely"], "calico_policies_group_sets": ["lonely"]}
    result = done(run(fleet, groups={**GROUPS, "lonely": []}, **variables))
    assert nets(fleet, "fleet-ssh-from") == ["10.0.0.1", "192.0.2.1", "2001:db8::1"]
    text = ": groups without hosts and hosts without addresses, of which the policies have no address (1): lonely"
    places = ("calico_policies_group_sets: lonely", "calico_policies_ssh_from")
    assert [each for each in result["warnings"] if "lonely" in each] == [place + text for place in places]


def test_hosts_without_facts_are_named(fleet):
    groups = {"web": ["case-0", "case-1", "unseen-1", "unseen-2"]}
    cases = [{"calico_policies_group_sets": ["web"]}, dict(BASE, calico_policies_ssh_from="web")]
    for message in refusals(fleet, cases, "--limit", "case-0,case-1", groups=groups):
        assert "the addresses of 2 hosts are unknown" in message and "unseen-1, unseen-2 (no facts exist)" in message
    assert stored(fleet) == {} and stored(fleet, "globalnetworksets") == {}


# What cannot be meant, and what the message says of it, with the name of the variable.
WRONG = [
    ({"calico_policies_group_sets": ["web"]}, "calico_policies_group_sets: the inventory has no group 'web'"),
    (dict(BASE, calico_policies_ssh_from=["ofice"]), "calico_policies_ssh_from: 'ofice' is neither a network"),
    (dict(BASE, calico_policies_ssh_from=[]), "calico_policies_ssh_from is empty, so ssh would allow"),
    (
        {"calico_policies_library": ["dns"], "calico_policies_dns_servers": ["lonely"]},
        "calico_policies_dns_servers: ['lonely'] stands for no address",
    ),
    (
        {"calico_policies_library": ["ping"], "calico_policies_ping_from": "{{ groups['lonely'] }}"},
        "calico_policies_ping_from: its template gives an empty list; add",
    ),
    ({"calico_policies_purge": "owned"}, "write [] into calico_policies_resources, without a template"),
    (
        {"calico_policies_purge": "owned", "calico_policies_library": ",", "calico_policies_resources": "{{ [] }}"},
        "calico_policies_purge: owned would delete all resources of the owner, because nothing is declared",
    ),
    ({"calico_policies_resources": {}}, "calico_policies_resources"),
    (dict(BASE, calico_policies_ssh_ports=[99999]), "calico_policies_library: ssh: "),
    ({"calico_policies_libary": ["ssh"]}, "did you mean calico_policies_library?"),
    ({"calico_policies_src": ["no/such/*.yml"]}, "calico_policies_src: no/such/*.yml matches no file"),
    ({"calico_policies_resources": [{"kind": "Pod"}]}, "calico_policies_resources[0]: kind 'Pod' is not valid"),
    ({"calico_policies_resources": [{"kind": "tier"}]}, "kind 'tier' is not valid: did you mean Tier?"),
    ({"calico_policies_resources": [{"kind": "Tier", "apiVersion": "v1"}]}, "resources[0]: apiVersion 'v1' is not"),
    ({"calico_policies_resources": {"kind": "TierList"}}, "calico_policies_resources: items is null"),
    (dict(BASE, calico_policies_purge="owned", calico_policies_purge_limit=""), "calico_policies_purge_limit is"),
]


def test_what_is_wrong_is_an_error_that_says_where(fleet, tmp_path):
    """Its variable, and the file and the document."""
    files = {
        "invalid.yml": (FILE.replace("TCP", "TPC"), "invalid.yml, document 2: "),
        "twice.yml": (FILE + "---\n" + FILE, "is given twice, first by calico_policies_src: "),
        "empty.yml": ("# nothing\n", "contains no resources"),
        "fact.yml.j2": ("name: {{ hostvars['worker-2'].ansible_facts.nodename }}", "a managed host controls them"),
    }
    cases = list(WRONG)
    for name, (text, problem) in files.items():
        (tmp_path / name).write_text(text)
        cases.append(({"calico_policies_src": [str(tmp_path / name)]}, problem))
    old = {"hostendpoints_datastore_type": "etcdv2"}
    cases.append((dict(BASE, **old), "calico_policies_library requires Calico v3"))
    messages = refusals(fleet, [variables for variables, _problem in cases], groups={"lonely": []})
    for (_variables, problem), message in zip(cases, messages):
        assert problem in message, message
    assert "TPC" in messages[len(WRONG)] and "fact.yml.j2" in messages[len(WRONG) + 3]
    assert stored(fleet) == {}


V1_POLICY = {"apiVersion": "v1", "kind": "policy", "metadata": {"name": "web"}, "spec": {"selector": "has(role)"}}
V1_ENDPOINT = {
    "apiVersion": "v1",
    "kind": "hostEndpoint",
    "metadata": {"name": "eth0", "node": "worker-1"},
    "spec": {"interfaceName": "eth0"},
}


@pytest.mark.thorough
def test_manifests_of_calico_v1_have_no_owner(fleet):
    fleet.reset("etcdv2")
    variables = {"calico_policies_resources": {"kind": "list", "items": [V1_POLICY, V1_ENDPOINT]}}
    assert done(run(fleet, **variables))["summary"]["created"] == 2
    assert fleet.datastore.get("/calico/v1/policy/tier/default/policy/web")
    assert sorted(fleet.stored()) == ["worker-1/eth0"]
    audited = playbook(fleet, "audit", variables=dict(variables, hostendpoints_interfaces=[]))
    assert audited.returncode == 0, audited
    message = failure(run(fleet, **dict(variables, calico_policies_purge="owned")))
    assert "calico_policies_purge: owned requires an owner, but calico_policies_owner is empty, or" in message


def test_the_canary_and_the_version_of_calico(fleet):
    options = {"calico_policies_canary": "staged", "calico_policies_calico_version": "v3.31.0"}
    empty = dict.fromkeys([*options, "calico_policies_canary_hosts", "hostendpoints_canary_wait"], "")
    first, again = results(run_each(fleet, [dict(BASE, **options), dict(BASE, **empty)]))
    assert {each["name"] for each in first["staged"]} == POLICIES
    # As this version stores them.
    assert set(stored(fleet)) == {"default." + name for name in POLICIES}
    assert again["changed"] is False


def test_hosts_must_answer_before_and_after_the_change(fleet):
    fleet.put(*of_workers(0, 1))
    # No server listens on this port.
    host = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    cases = [dict(BASE, **host, calico_policies_canary_hosts=1, hostendpoints_guard=guard) for guard in ("off", "warn")]
    for number, message in enumerate(refusals(fleet, cases)):
        problem = "the canary node worker-%d at 127.0.0.1 port 1 does not accept a TCP connection" % number
        assert problem in message
    assert stored(fleet) == {}


def test_an_unanswered_question_of_a_survey_leaves_the_inventorys_value(fleet):
    less = {**BASE, "calico_policies_library": ["neighbour_discovery"], "calico_policies_purge": "owned"}
    unanswered = ["-e", json.dumps({"calico_policies_purge": "", "calico_policies_purge_limit": ""})]
    found = run_each(fleet, [BASE, dict(less, calico_policies_purge_limit=2), less], *unanswered)
    (refused,) = results(found, "failed")
    assert "more than the calico_policies_purge_limit of 2" in refused["msg"]
    assert [each["summary"]["deleted"] for each in results(found)] == [0, 3]
    # Only a difference between the hosts' own variables counts.
    fleet.put(*of_workers(1, 2), "worker-1/old")
    unanswered = ["-e", json.dumps({"hostendpoints_purge": "", "hostendpoints_purge_limit": ""})]
    found = playbook(fleet, "apply", *unanswered, variables={"hostendpoints_purge": "owned"})
    assert found.returncode == 0 and sorted(fleet.stored()) == of_workers(1, 2), found


def test_files_directories_patterns_and_templates(fleet, tmp_path):
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / "office.yml").write_text(FILE)
    template = FILE[FILE.index("---") :].replace("web", "{{ zone }}") + TEMPLATED
    (tmp_path / "more" / "deep" / "zone.yml.j2").write_text(template)
    (tmp_path / "more" / "not-a-template.yml").write_text(FILE.replace("web", "web2").replace("office", "office2"))
    (tmp_path / "more" / "README.md").write_text("{{ this is not read }}")
    src = [str(tmp_path / "off*.yml"), str(tmp_path / "more")]
    done(run(fleet, calico_policies_src=src, zone="dmz1"))
    assert set(stored(fleet)) == {"web", "web2", "dmz1"}
    assert set(stored(fleet, "globalnetworksets")) == {"office", "office2"}
    assert stored(fleet)["dmz1"]["spec"]["selector"] == "zone == 'dmz'"


def test_a_string_of_yaml_declares_resources(fleet, tmp_path):
    """However Ansible made it: since ansible-core 2.19, its strings have a type that libyaml rejects."""
    (tmp_path / "office.yml").write_text(FILE)
    (tmp_path / "plain.yml.j2").write_text(FILE)
    (tmp_path / "whole.yml.j2").write_text("{{ content }}")
    looked_up = "{{ lookup('ansible.builtin.file', '%s') }}" % (tmp_path / "office.yml")
    cases = [{"calico_policies_resources": value} for value in (FILE, [FILE], looked_up, [looked_up])]
    names = ("plain.yml.j2", "whole.yml.j2")
    cases += [{"calico_policies_src": [str(tmp_path / name)], "content": FILE} for name in names]
    found = results(run_each(fleet, cases))
    assert [each["summary"] for each in found] == [
        {"created": 2, "updated": 0, "deleted": 0, "unchanged": 0},
        *[{"created": 0, "updated": 0, "deleted": 0, "unchanged": 2}] * 5,
    ]


def test_a_purge_deletes_what_is_no_longer_declared_but_no_endpoint(fleet):
    fleet.put(*of_workers(1))
    less = {**BASE, "calico_policies_library": ["neighbour_discovery"]}
    owned = {"calico_policies_purge": "owned"}
    # In the end everything, which takes an explicit empty list.
    found = results(run_each(fleet, [BASE, less, dict(less, **owned), dict(owned, calico_policies_resources=[])]))
    assert [(each["changed"], each["summary"]["deleted"]) for each in found] == [
        (True, 0),
        (False, 0),
        (True, 3),
        (True, 1),
    ]
    assert [each["name"] for each in found[3]["changes"]] == ["fleet-allow-neighbour-discovery"]
    assert stored(fleet) == {} == stored(fleet, "globalnetworksets")
    assert sorted(fleet.stored()) == of_workers(1)


def test_a_host_that_declares_policies_is_named_if_the_first_host_declares_none(fleet):
    message = failure(run(fleet, hosts={"worker-1": {}, "worker-2": BASE}))
    assert "worker-1 and worker-2 differ in calico_policies_library, which must be the same" in message
    assert stored(fleet) == {}


@pytest.mark.parametrize("declares", [HOSTS[0], pytest.param(HOSTS[1], marks=pytest.mark.thorough)])
def test_hosts_that_declare_different_policies_are_an_error(fleet, declares):
    hosts = {name: BASE if name == declares else {} for name in HOSTS}
    found = fleet.playbook("netsec.calico.apply", hosts, "-e", "hostendpoints_gather_facts=false", groups=GROUPS)
    assert found.returncode != 0
    assert "worker-1 and worker-2 differ in calico_policies_" in " ".join(found.stdout.split())
    assert stored(fleet) == {} == fleet.stored()


def test_a_fact_is_not_a_policy(fleet):
    tasks = [{"ansible.builtin.set_fact": {"calico_policies_library": ["dns"], "cacheable": True}}, IMPORTED]
    found = run(fleet, hosts=["worker-3"], groups={}, tasks=tasks)
    fleet.forget("worker-3")
    assert "its facts contain calico_policies_library" in failure(found)


def test_with_the_guard(fleet):
    result = done(run(fleet, **{**BASE, "hostendpoints_guard": "warn"}))
    assert result["changed"] is True


# The playbooks


def playbook(fleet, name, *args, **variables):
    return fleet.playbook("netsec.calico." + name, HOSTS, "-e", "hostendpoints_gather_facts=false", *args, **variables)


def test_apply_writes_the_policies_before_the_endpoints(fleet):
    found = playbook(fleet, "apply", variables=BASE)
    assert found.returncode == 0, found
    called = [each for each in found.results if "calico_inventory" in each["action"]]
    actions = [each["action"] for each in called if each["status"] == "ok"]
    assert actions == [ACTION, "netsec.calico.calico_inventory_hostendpoints"]
    assert set(stored(fleet)) == POLICIES and sorted(fleet.stored()) == of_workers(1, 2)


def test_the_guard_refuses_endpoints_also_in_a_run_that_changes_policies(fleet):
    office = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet", "metadata": {"name": "office"}}
    office["spec"] = {"nets": ["192.0.2.0/28"]}
    variables = {
        "calico_policies_resources": [office],
        "hostendpoints_guard": "enforce",
        "hostendpoints_interfaces": [{"endpoint": {"profiles": ["nosuch"]}}],
    }
    found = playbook(fleet, "apply", variables=variables)
    assert found.returncode != 0 and fleet.stored() == {} and nets(fleet, "office") == ["192.0.2.0/28"], found


def test_no_endpoint_is_written_if_the_policies_cannot_be(fleet):
    found = playbook(fleet, "apply", variables=dict(BASE, calico_policies_ssh_from=["nonsense"]))
    assert found.returncode != 0 and fleet.stored() == {} == stored(fleet)


def test_the_audit_reports_policies_that_differ(fleet, tmp_path):
    assert playbook(fleet, "apply", variables=BASE).returncode == 0
    drifted = dict(BASE, calico_policies_library=[*LIBRARY[:-1], "dns"], calico_policies_ssh_ports=[2222])
    reports = {"hostendpoints_audit_report_dir": str(tmp_path), "hostendpoints_audit_fail_on": ["changed"]}
    before = stored(fleet)
    for variables, failed in ((BASE, False), (drifted, True)):
        found = playbook(fleet, "audit", variables=dict(variables, **reports))
        assert (tmp_path / "audit.json").exists(), found.stdout + found.stderr
        report = json.loads((tmp_path / "audit.json").read_text())
        assert (found.returncode != 0) is report["failed"] is failed, found
    assert report["summary"]["policies"] == {"missing": 1, "changed": 1, "unmanaged": 1}
    found = {(each["class"], each["name"]): each for each in report["findings"] if each["node"] == "*"}
    assert set(found) == {
        ("missing", "GlobalNetworkPolicy fleet-allow-dns"),
        ("changed", "GlobalNetworkPolicy fleet-allow-ssh"),
        ("unmanaged", "GlobalNetworkPolicy fleet-default-deny"),
    }
    (field,) = found["changed", "GlobalNetworkPolicy fleet-allow-ssh"]["fields"]
    assert field["field"] == "spec.ingress"
    assert field["want"][0]["destination"] == {"ports": [2222]} != field["have"][0]["destination"]
    assert "1 changed (fail_on: changed)" in report["reason"]
    assert "fleet-default-deny" in (tmp_path / "audit.html").read_text()
    assert stored(fleet) == before


def put_owned(fleet, plural, kind, name, spec, labels=None):
    metadata = {"name": name, "labels": {OWNER_LABEL: "netsec.calico"} if labels is None else labels}
    metadata.update(uid="11111111-1111-4111-8111-111111111111", creationTimestamp="2026-01-01T00:00:00Z")
    value = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": metadata, "spec": spec}
    fleet.datastore.put(RESOURCES + plural + "/" + name, json.dumps(value))


def put_own_tiers(fleet):
    for name, order, action in (("default", 1e6, "Deny"), ("kube-admin", 1e3, "Pass"), ("kube-baseline", 1e7, "Pass")):
        put_owned(fleet, "tiers", "Tier", name, {"order": order, "defaultAction": action})


def test_the_audit_reports_a_tier_that_no_purge_can_delete(fleet, tmp_path):
    put_own_tiers(fleet)
    put_owned(fleet, "tiers", "Tier", "security", {"order": 5})
    put_owned(fleet, "globalnetworkpolicies", "GlobalNetworkPolicy", "foreign", {"tier": "security"}, labels={})
    reports = {"hostendpoints_audit_report_dir": str(tmp_path), "hostendpoints_audit_fail_on": ["unmanaged"]}
    audited = playbook(fleet, "audit", variables=dict(BASE, **reports))
    report = json.loads((tmp_path / "audit.json").read_text())
    assert audited.returncode != 0 and report["failed"], audited
    assert [each["name"] for each in report["findings"] if each["class"] == "unmanaged"] == ["Tier security"]
    refused = failure(run(fleet, **dict(BASE, calico_policies_purge="owned")))
    assert "tier security is not deleted, because it has policies: global network policy foreign" in refused
    # Nor could this policy be written now.
    fleet.datastore.lock()
    missing = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "web"}}
    variables = {"calico_policies_resources": [dict(missing, spec={"tier": "gone"})], **reports}
    assert playbook(fleet, "audit", variables=variables).returncode != 0
    findings = json.loads((tmp_path / "audit.json").read_text())["findings"]
    assert ("missing", "GlobalNetworkPolicy web") in [(each["class"], each["name"]) for each in findings]
    assert set(stored(fleet, "tiers")) == {"default", "kube-admin", "kube-baseline", "security"}


def test_an_audit_in_a_free_strategy_compares_nothing(fleet):
    audited = playbook(fleet, "audit", variables=BASE, env={"ANSIBLE_STRATEGY": "free"})
    assert audited.returncode != 0 and results(audited) == []
    assert "remove serial and the strategy free" in audited.stdout, audited


@pytest.mark.thorough
def test_the_audit_compares_everything_but_sets_with_hosts_without_facts(fleet, tmp_path):
    groups = {"web": ["worker-1", "worker-2"], "bastions": ["worker-1"]}
    variables = dict(BASE, calico_policies_group_sets=["web", "bastions"], calico_policies_ssh_from=["web"])
    assert (
        fleet.playbook("netsec.calico.apply", HOSTS, "-e", GATHERED, groups=groups, variables=variables).returncode == 0
    )
    groups = {"web": ["unseen"], "bastions": ["worker-1", "worker-2"]}
    reports = {"hostendpoints_audit_report_dir": str(tmp_path)}
    drifted = dict(variables, calico_policies_ssh_ports=[2222], **reports)
    args = ("-e", GATHERED, "--limit", "worker-1,worker-2")
    found = fleet.playbook("netsec.calico.audit", HOSTS, *args, groups=groups, variables=drifted)
    assert (tmp_path / "audit.json").exists(), found
    report = json.loads((tmp_path / "audit.json").read_text())
    differing = {each["name"] for each in report["findings"] if each["node"] == "*"}
    assert differing == {"GlobalNetworkPolicy fleet-allow-ssh", "GlobalNetworkSet group-bastions"}
    (warning,) = [each for each in results(found)[0]["warnings"] if "are not compared" in each]
    assert "group-web, fleet-ssh-from" in warning and "1 hosts cannot be used: unseen" in warning


def test_gathered_files_declare_what_is_stored(fleet, tmp_path):
    done(run(fleet, **BASE))
    folder = tmp_path / "policies"
    variables = {
        "hostendpoints_gathered_dest": str(tmp_path / "hostendpoints.yml"),
        "calico_policies_gathered_dest": str(folder),
    }
    found = playbook(fleet, "gathered", variables=variables)
    assert found.returncode == 0, found
    assert {path.name for path in Path(folder).iterdir()} >= {"globalnetworkpolicy.yml", "globalnetworkset.yml"}
    # Tiers, too, which belong to no owner.
    adopted = run(fleet, calico_policies_src=[str(folder / "globalnetwork*.yml")])
    assert done(adopted)["summary"] == {"created": 0, "updated": 0, "deleted": 0, "unchanged": 4}


def test_a_purge_keeps_calicos_own_tiers(fleet, tmp_path):
    """Neither do gathered files have them, since no one can change them."""
    put_own_tiers(fleet)
    put_owned(fleet, "globalnetworksets", "GlobalNetworkSet", "old", {}, labels={})
    folder = tmp_path / "policies"
    variables = {
        "hostendpoints_gathered_dest": str(tmp_path / "hostendpoints.yml"),
        "calico_policies_gathered_dest": str(folder),
    }
    for names in (["globalnetworkset.yml"], ["globalnetworkset.yml", "tier.yml"]):
        found = playbook(fleet, "gathered", variables=variables)
        assert found.returncode == 0 and sorted(path.name for path in folder.iterdir()) == names, found
        put_owned(fleet, "tiers", "Tier", "mine", {"order": 5})
    assert re.findall("name: (.*)", (folder / "tier.yml").read_text()) == ["mine"]
    first = done(run(fleet, calico_policies_src=[str(folder)]))
    assert first["summary"] == {"created": 0, "updated": 1, "deleted": 0, "unchanged": 1}
    purged = done(run(fleet, calico_policies_resources=[], calico_policies_purge="owned"))
    assert [each["name"] for each in purged["changes"]] == ["old", "mine"]
    assert set(stored(fleet, "tiers")) == {"default", "kube-admin", "kube-baseline"}
