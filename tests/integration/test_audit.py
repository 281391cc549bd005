# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: what it finds, what it publishes, when it fails, and that it writes nothing."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.fleet import UNREACHABLE
from tests.harness.module import run_module
from tests.integration.role import NAME, fleet_of, kubernetes_for, worker
from tests.integration.sets import CALICO_LABEL, MINE, OWNER_LABEL, endpoint, hostendpoints
from tests.integration.tasks import connection, only_etcd, only_kubernetes
from tests.integration.test_guard import ALLOW_SSH, put_policy

CLASSES = ("missing", "changed", "unmanaged", "orphaned", "shadowed", "malformed")
NODES = ["worker-1", "worker-10", "worker-2"]
NAMES = ["eth0", "eth1", "b"]


def audit(server, check=False, **options):
    return run_module("calico_hostendpoints_audit", dict(connection(server), owner="me", **options), check)


# Whatever is stored: a property


def some(*values):
    return st.sampled_from(values)


IDENTITIES = st.tuples(some(*NODES), some(*NAMES))
FIELDS = st.fixed_dictionaries(
    {"interface_name": some("eth0", "eth1")},
    optional={
        "expected_ips": some(["10.0.0.1", "::1"], ["::1", "10.0.0.1"], ["10.0.0.2"]),
        "profiles": some(["p", "q"], ["q", "p"], []),
        "labels": some({}, {"a": "1"}, {"a": "2"}),
    },
)
WANTED = st.dictionaries(IDENTITIES, FIELDS, max_size=6)
# What is stored beside or in the place of what is wanted: fields, the owner's labels, and whether it can be read.
DRIFT = st.dictionaries(
    IDENTITIES,
    st.tuples(FIELDS, some(MINE, MINE, {}, {OWNER_LABEL: "other"}, {CALICO_LABEL: "x"}), some(True, True, True, False)),
    max_size=6,
)


def broken(datastore, fields):
    return datastore.malformed(fields) if datastore.type == "kubernetes" else "{"


def of_none_but(result, kind):
    """(node, name) of each endpoint that is in this class and in no other."""
    kinds = {}
    for finding in result["findings"]:
        kinds.setdefault((finding["node"], finding["name"]), set()).add(finding["class"])
    return {place for place, of_place in kinds.items() if of_place == {kind}}


def test_what_it_reports_is_what_apply_puts_right(datastore, tmp_path):
    seen = Counter()
    # An API server takes longer to be emptied.
    examples = 20 if datastore.type == "kubernetes" else 60

    @settings(max_examples=examples)
    @given(WANTED, DRIFT, st.booleans())
    def puts_right(wanted, drift, is_applied):
        datastore.reset()
        taken = {identity for identity, (_fields, labels, _readable) in drift.items() if CALICO_LABEL in labels}
        endpoints = [endpoint(*identity, **fields) for identity, fields in wanted.items() if identity not in taken]
        if is_applied:
            hostendpoints(datastore, endpoints=endpoints, owner="me")
        for (node, name), (fields, labels, is_readable) in drift.items():
            stored = endpoint(node, name, **fields)
            value = datastore.value(stored, labels) if is_readable else broken(datastore, stored)
            datastore.put(datastore.key(node, stored["name"]), value)
        before, revision = datastore.stored(), datastore.revision()
        found = audit(datastore, endpoints=endpoints, nodes=NODES, dest=str(tmp_path / "audit.json"))
        assert not found["failed"] and found["changed"] is False, found
        assert (datastore.stored(), datastore.revision()) == (before, revision)
        document = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
        assert (document["findings"], document["summary"]) == (found["findings"], found["summary"])
        seen.update(finding["class"] for finding in found["findings"])
        shadowed = of_none_but(found, "shadowed").intersection(
            (endpoint["node"], endpoint["name"]) for endpoint in endpoints
        )
        done = hostendpoints(datastore, endpoints=endpoints, owner="me", purge="all", purge_nodes=NODES)
        assert not done["failed"], done["msg"]
        # What the audit calls missing, changed and unmanaged is what apply creates, updates and deletes.
        counts = found["summary"]
        replaced = {endpoint["name"] for endpoint in endpoints}
        unreadable = [each for each in found["findings"] if each["class"] == "malformed" and each["name"] in replaced]
        assert done["summary"] == {
            "created": counts["missing"],
            "updated": counts["changed"] + len(unreadable),
            "deleted": counts["unmanaged"],
            "unchanged": counts["compliant"] + len(shadowed),
        }
        found = audit(datastore, endpoints=endpoints, nodes=NODES)
        after = found["summary"]
        assert (after["missing"], after["changed"], after["unmanaged"]) == (0, 0, 0)
        shadowed = of_none_but(found, "shadowed")
        assert (after["compliant"], after["foreign"]) == (len(endpoints) - len(shadowed), counts["foreign"])

    puts_right()
    assert all(
        seen[kind] > (2 if examples == 60 else 0)
        for kind in ("missing", "changed", "unmanaged", "shadowed", "malformed")
    ), seen


@only_etcd
def test_an_orphan_is_of_a_node_that_nobody_knows(datastore):
    for node in ("gone", "known", "elsewhere"):
        datastore.put_endpoint(endpoint(node), labels=MINE)
    datastore.put_endpoint(endpoint("gone", "theirs"))
    record = {
        "etcdv2": ("/calico/v1/host/known/metadata", "{}"),
        "etcdv3": ("/calico/resources/v3/projectcalico.org/nodes/known", '{"kind":"Node"}'),
    }
    datastore.put(*record[datastore.type])
    found = audit(datastore, endpoints=[], nodes=["n1"], other_nodes=["elsewhere"])
    assert [(each["class"], each["node"], each["name"]) for each in found["findings"]] == [
        ("orphaned", "gone", "gone-eth0")
    ]


@only_kubernetes
def test_a_host_outside_of_the_cluster_may_be_alive_so_nothing_is_orphaned_on_kubernetes(datastore):
    for node in ("gone", "known"):
        datastore.put_endpoint(endpoint(node), labels=MINE)
    datastore.put("nodes/known", {})
    found = audit(datastore, endpoints=[], nodes=["n1"])
    assert (found["findings"], found["summary"]["orphaned"]) == ([], 0)
    (warning,) = found["warnings"]
    assert "cannot determine whether endpoints of me are orphaned" in warning and ": gone (" in warning


@only_etcd
def test_a_node_whose_felix_reports_has_no_orphans(datastore):
    """A host with Felix alone has no record of its node."""
    for node in ("gone", "alive"):
        datastore.put_endpoint(endpoint(node), labels=MINE)
    for key in datastore.status_keys("alive"):
        datastore.put(key, "{}")
        found = audit(datastore, endpoints=[], nodes=["n1"])
        assert [(each["class"], each["node"]) for each in found["findings"]] == [("orphaned", "gone")], key
        # What it reported last never expires, so the host may be gone all the same.
        assert len(found["warnings"]) == key.endswith("/last_reported_status")
        assert all("Felix no longer reports: alive." in warning for warning in found["warnings"])
        datastore.delete(key)
    assert audit(datastore, endpoints=[], nodes=["n1"])["summary"]["orphaned"] == 2


@only_etcd
def test_what_felix_reports_is_read_only_where_there_may_be_an_orphan(datastore, wire):
    def read():
        wire.requests.clear()
        assert not audit(wire, endpoints=[endpoint("n1")], nodes=["n1"])["failed"]
        return datastore.keys_read(wire)

    datastore.put_endpoint(endpoint("n1"), labels=MINE)
    datastore.put_endpoint(endpoint("n2"))
    without = read()
    datastore.put_endpoint(endpoint("gone"), labels=MINE)
    assert not [key for key in without if key.startswith("/calico/felix")]
    assert len([key for key in read() if key.startswith("/calico/felix")]) == 1


@only_etcd
def test_orphans_are_unknown_to_a_user_who_may_not_read_what_felix_reports(auth_datastore):
    auth_datastore.put_endpoint(endpoint("gone"), labels=MINE)
    auth_datastore.add_user("auditor", "lesen", [auth_datastore.everything])
    user = {"etcd_username": "auditor", "etcd_password": "lesen", "endpoints": [], "nodes": ["n1"]}
    found = audit(auth_datastore, **user)
    assert found["summary"]["orphaned"] == 0
    (warning,) = found["warnings"]
    assert (
        "cannot determine whether endpoints of me are orphaned" in warning and ": gone (etcd does not allow" in warning
    )
    assert "/calico/felix" in warning
    auth_datastore.add_user("auditor", "lesen", [auth_datastore.everything, "/calico/felix"])
    found = audit(auth_datastore, **user)
    assert (found["summary"]["orphaned"], found["warnings"]) == (1, [])


def test_a_user_who_can_only_read_is_enough(auth_datastore, tmp_path):
    auth_datastore.add_user("auditor", "lesen", [auth_datastore.everything])
    auth_datastore.put_endpoint(endpoint("n1"), labels=MINE)
    auth_datastore.put_endpoint(endpoint("n1", "old"), labels=MINE)
    before, revision = auth_datastore.stored(), auth_datastore.revision()
    user = auth_datastore.user("auditor", "lesen")
    wanted = [endpoint("n1", profiles=["p"]), endpoint("n2")]
    refused = hostendpoints(auth_datastore, endpoints=wanted, **user)
    text = "verbs: [create]" if auth_datastore.type == "kubernetes" else "write"
    assert refused["failed"] and text in refused["msg"]
    for check in (False, True):
        found = audit(auth_datastore, check, endpoints=wanted, nodes=["n1", "n2"], dest=str(tmp_path / "x"), **user)
        assert {kind: found["summary"][kind] for kind in CLASSES[:3]} == {"missing": 1, "changed": 1, "unmanaged": 1}
    assert (auth_datastore.stored(), auth_datastore.revision()) == (before, revision)


def test_a_locked_datastore_is_read_and_told(datastore):
    datastore.lock()
    found = audit(datastore, endpoints=[endpoint("n1")], nodes=["n1"])
    assert found["summary"]["missing"] == 1 and "locked" in found["datastore"]["warning"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"nodes": ["a/b"], "endpoints": []}, "nodes: 'a/b'"),
        ({"nodes": ["n1"], "endpoints": [{"name": "x y", "node": "n1"}]}, "endpoints[0]"),
        (
            {"nodes": ["n1"], "endpoints": [], "dest": "/nowhere/x"},
            "dest /nowhere/x: the folder /nowhere does not exist",
        ),
        ({"nodes": ["n1"], "endpoints": [], "dest": "/dev/null"}, "dest /dev/null: it is a device, not a file"),
    ],
)
def test_what_is_refused(datastore, options, message):
    result = audit(datastore, **options)
    assert result["failed"] and message in result["msg"], result


# An address that is none: calicoctl v1 stores an empty one, and Calico v3 reads whatever is stored
@pytest.mark.parametrize(
    "datastore_type, address",
    [("etcdv2", ""), ("etcdv3", ""), *[(name, "bad") for name in ("etcdv3", *KUBERNETES_DATASTORES)]],
)
def test_an_address_that_is_none_is_one_finding(datastore, address):
    odd = endpoint("worker-1", "odd", "eth0", expected_ips=[address, "192.0.2.7"], labels=MINE)
    good = endpoint("worker-1", "good", "eth1", labels=MINE)
    for each in (odd, good):
        datastore.put_endpoint(each)
    facts = {"worker-1": {"interfaces": {"eth0": ["192.0.2.1/24"], "eth1": []}}}
    options = {"nodes": ["worker-1"], "guard_facts": facts, "policies": True}
    result = audit(datastore, endpoints=[dict(odd, expected_ips=["192.0.2.7"]), good], **options)
    assert not result["failed"], result
    assert [(each["class"], each["name"]) for each in result["findings"]] == [("changed", "worker-1-odd")]
    assert result["compliant"] == {"worker-1": 1}
    result = audit(datastore, endpoints=[good], **options)
    assert [(each["class"], each["name"]) for each in result["findings"]] == [("unmanaged", "worker-1-odd")]


@pytest.mark.parametrize("check", [False, True])
def test_a_file_that_is_there_keeps_its_mode_and_a_link_leads_to_it(datastore, tmp_path, check):
    path, link = tmp_path / "found.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o604)
    link.symlink_to(path)
    with path.open() as reader:
        result = audit(datastore, check, endpoints=[endpoint("n1")], nodes=["n1"], dest=str(link))
        # Who reads the old one goes on reading it.
        assert reader.read() == "old"
    assert json.loads(path.read_text())["findings"] == result["findings"]
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o604
    assert sorted(tmp_path.iterdir()) == [path, link]


# The role


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {"worker-%d" % number: worker(number) for number in (1, 2, 3)}) as fleet:
        yield fleet


# What the role does with what the module found is the same on all.
on_all = pytest.mark.parametrize("role_datastore", ["etcdv2", "etcdv3", "kubernetes-v1"])


@pytest.fixture
def role_datastore():
    return "etcdv2"


@pytest.fixture(scope="module")
def _applied():
    """{datastore: what the role stores for worker-1 and worker-2}, of one run of the role for each datastore."""
    return {}


@pytest.fixture
def fleet(request, _fleet, _applied, role_datastore):
    """Facts of worker-1 to worker-3, and a datastore with the endpoints of worker-1 and worker-2."""
    _fleet.reset(role_datastore, kubernetes_for(request, role_datastore))
    if role_datastore in _applied:
        _fleet.datastore.put_all(_applied[role_datastore])
    else:
        assert _fleet.run(["worker-1", "worker-2"]).returncode == 0
        _applied[role_datastore] = _fleet.datastore.stored()
    return _fleet


ROLE = {"ansible.builtin.import_role": {"name": NAME, "tasks_from": "audit", "rolespec_validate": False}}


def run(fleet, hosts, folder, *args, fail_on=(), **play):
    variables = {"hostendpoints_audit_report_dir": str(folder), "hostendpoints_audit_fail_on": list(fail_on)}
    return fleet.run(hosts, *args, tasks=[ROLE], variables=variables, **play)


def report(folder):
    return json.loads((folder / "audit.json").read_text(encoding="utf-8"))


def statuses(document):
    return {host["host"]: host["status"] for host in document["hosts"]}


@on_all
def test_green(fleet, tmp_path):
    before = fleet.datastore.revision()
    done = run(fleet, ["worker-1", "worker-2"], tmp_path, fail_on=["missing", "changed", "unmanaged", "unknown"])
    assert done.returncode == 0 and fleet.datastore.revision() == before
    document = report(tmp_path)
    assert statuses(document) == {"worker-1": "compliant", "worker-2": "compliant"}
    assert (document["failed"], document["reason"], document["findings"]) == (False, "everything matches", [])
    assert "AUDIT passed: everything matches" in done.stdout


@on_all
def test_the_reports_say_which_policies_select_each_endpoint(fleet, tmp_path):
    put_policy(fleet.datastore, "ssh", [ALLOW_SSH], "all()")
    assert run(fleet, ["worker-1", "worker-2"], tmp_path).returncode == 0
    (policy,) = report(tmp_path)["policies"]
    assert (policy["endpoints"], policy["problem"]) == (4, "")
    endpoints = report(tmp_path)["endpoints"]
    assert [(each["host"], each["node"]) for each in endpoints] == [("worker-%d" % n,) * 2 for n in (1, 1, 2, 2)]
    assert [each["policies"] for each in endpoints] == [[policy["name"]]] * 4
    assert policy["name"] in (tmp_path / "audit.html").read_text(encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.parametrize("args", [(), ("--check",), ("--check", "--diff")])
def test_red_after_everything_is_published(fleet, tmp_path, args):
    hosts = {"worker-1": {"hostendpoints_labels": {"role": "db"}}, "worker-2": {}, "worker-3": {}, "worker-9": {}}
    before = fleet.datastore.revision()
    done = run(fleet, hosts, tmp_path, *args, fail_on=["missing", "unknown"])
    assert done.returncode != 0 and fleet.datastore.revision() == before
    document = report(tmp_path)
    assert statuses(document) == {
        "worker-1": "drifted",
        "worker-2": "compliant",
        "worker-3": "drifted",
        "worker-9": "unknown",
    }
    assert document["reason"] == "2 missing, 1 unknown host (fail_on: missing, unknown)" and document["failed"]
    assert document["summary"]["endpoints"]["changed"] == 2
    assert all(
        (tmp_path / name).stat().st_size for name in ("audit.csv", "audit_fields.csv", "audit.xml", "audit.html")
    )
    failed = [each["result"]["msg"] for each in done.results if each["status"] == "failed"]
    assert failed == [document["reason"]]
    assert "AUDIT FAILED: " + document["reason"] in done.stdout
    assert [each for each in done.results if each["action"].endswith("set_stats")]


def test_an_accepted_exception_is_reported_but_does_not_fail_the_audit(fleet, tmp_path):
    exceptions = tmp_path / "exceptions.yml"
    # YAML parses the first date into an object.
    exceptions.write_text("""hostendpoints_audit_exceptions:
  - {group: new, class: missing, reason: it is delivered on Monday, expires: 2999-12-31}
  - {node: "worker-*", rule: A05, reason: "{{ 'a test' }}", expires: "2999-12-31"}
  - {node: worker-1, class: shadowed, reason: a test, expires: "2020-01-01"}
  - {node: worker-1, class: orphaned, reason: a test, expires: "2999-12-31"}
""")
    hosts = {"worker-1": {"hostendpoints_labels": {"role": "db"}}, "worker-2": {}, "worker-3": {}}
    role = {"ansible.builtin.import_role": {"name": NAME, "tasks_from": "audit"}}
    done = fleet.run(
        hosts,
        *("-e", "@%s" % exceptions),
        tasks=[role],
        groups={"new": ["worker-3"]},
        variables={
            "hostendpoints_audit_report_dir": str(tmp_path),
            "hostendpoints_audit_fail_on": ["missing", "changed"],
        },
    )
    assert done.returncode == 0, done
    document = report(tmp_path)
    assert set(statuses(document).values()) == {"compliant"}
    assert document["reason"] == "1 expired" and document["summary"]["accepted"] == 4
    assert {each.get("accepted") for each in document["findings"]} == {
        "until 2999-12-31: it is delivered on Monday",
        "until 2999-12-31: a test",
        None,
    }
    (published,) = [each for each in done.results if each["action"].endswith("set_stats")]
    # Before ansible-core 2.19, a template of a number is a string.
    assert int(published["result"]["ansible_stats"]["data"]["hostendpoints_audit"]["accepted"]) == 4
    # A warning may be wrapped.
    warnings = " ".join((done.stdout + done.stderr).split())
    assert "hostendpoints_audit_exceptions[3] covers no finding (orphaned on worker-1)" in warnings
    assert "accepted: 4 findings" in done.stdout
    exceptions.write_text("hostendpoints_audit_exceptions: [{node: worker-1, class: missing, reason: a test}]")
    done = run(fleet, hosts, tmp_path, "-e", "@%s" % exceptions)
    assert "hostendpoints_audit_exceptions[0]: expires is required" in done.stdout and done.returncode != 0
    assert not (tmp_path / "audit.json").exists()


def test_it_evaluates_what_each_host_tells_the_guard(fleet, tmp_path):
    needed = {"direction": "in", "protocol": "tcp", "port": 9100, "peer": "10.0.0.7"}
    hosts = {
        # The stored failsafes, which do not have that port.
        "worker-1": {"hostendpoints_guard_require": [needed]},
        # Felix' own.
        "worker-2": {
            "hostendpoints_guard_require": [needed],
            "hostendpoints_failsafes": {"inbound": ["tcp:22", "tcp:9100"]},
        },
    }
    run(fleet, hosts, tmp_path)
    unsafe = [each for each in report(tmp_path)["findings"] if each["class"] == "unsafe"]
    assert [each["host"] for each in unsafe] == ["worker-1"] and "tcp port 9100 from 10.0.0.7" in str(unsafe)


def test_values_that_nobody_should_store_are_findings_of_their_own(fleet, tmp_path):
    """Each is one, and takes no other with it."""
    hosts = "/calico/v1/host/worker-1/endpoint/"
    values = {
        "empty": '{"name":"eth0","expected_ipv4_addrs":[""]}',
        "deep": '{"name":"eth0","x":' + "[" * 3000 + "]" * 3000 + "}",
        "large": '{"name":"eth0","x":' + "9" * 6000 + "}",
        "half": '{"name":"\\ud800","labels":{"\\udfff":"\\n"}}',
        "text": "\x00\x1b[31m",
    }
    for name, value in values.items():
        fleet.datastore.put(hosts + name, value)
    fleet.datastore.put(hosts + "a/b" + "/c" * 300, "x")
    fleet.datastore.put("/calico/v1/policy/tier/default/policy/odd", '{"selector":"' + "(" * 3000 + '"}')
    done = run(fleet, ["worker-1", "worker-2"], tmp_path)
    assert done.returncode == 0, done
    document = report(tmp_path)
    assert statuses(document) == {"worker-1": "drifted", "worker-2": "compliant"}
    found = {(each["name"], each["class"]) for each in document["findings"]}
    assert found >= {("empty", "unmanaged"), ("large", "unmanaged"), ("deep", "malformed"), ("text", "malformed")}
    assert ("half", "malformed") in found and {each["node"] for each in document["findings"]} == {"worker-1"}


def test_drift_alone_is_not_red(fleet, tmp_path):
    done = run(fleet, ["worker-1", "worker-3"], tmp_path)
    assert done.returncode == 0 and report(tmp_path)["summary"]["endpoints"]["missing"] == 2
    assert "AUDIT found: 2 missing" in done.stdout


@pytest.mark.thorough
def test_two_audits_of_one_state_differ_in_one_line(fleet, tmp_path):
    for name in ("one", "two"):
        run(fleet, {"worker-3": {}, "worker-1": {"hostendpoints_labels": {"b": "1", "a": "2"}}}, tmp_path / name)
    for name in ("audit.json", "audit.csv", "audit_fields.csv", "audit.xml", "audit.html"):
        one, two = ((tmp_path / folder / name).read_text(encoding="utf-8").splitlines() for folder in ("one", "two"))
        assert len(one) == len(two) and sum(line != other for line, other in zip(one, two)) <= 1, name


@on_all
def test_endpoints_of_hosts_outside_the_run_are_no_orphans(fleet, tmp_path):
    run(fleet, ["worker-1", "worker-2"], tmp_path, "--limit", "worker-1", fail_on=["orphaned"])
    assert report(tmp_path)["findings"] == []
    run(fleet, ["worker-1"], tmp_path)
    orphans = [(each["class"], each["host"], each["node"]) for each in report(tmp_path)["findings"]]
    # On Kubernetes, it may be a host outside of the cluster.
    assert orphans == ([] if fleet.datastore.type == "kubernetes" else [("orphaned", "", "worker-2")] * 2)


def test_the_first_host_cannot_be_reached(fleet, tmp_path):
    """With the playbook's own way to gather; cached facts of the host are not used. The log has no error."""
    tasks = [
        {
            "netsec.calico.calico_inventory_facts": {"gather_subset": ["!all", "!min", "network", "platform"]},
            "register": "__hostendpoints_gathered",
            "when": "inventory_hostname == 'worker-1'",
        },
        dict(ROLE, vars={"__hostendpoints_facts_result": "__hostendpoints_gathered"}),
    ]
    variables = {"hostendpoints_audit_report_dir": str(tmp_path)}
    hosts = {"worker-1": UNREACHABLE, "worker-2": {}}
    done = fleet.run(hosts, tasks=tasks, variables=variables)
    assert done.returncode == 0 and "skipping: [worker-1]" in done.stdout, done
    assert not [
        word for word in ("fatal", "UNREACHABLE", "ERROR", "ignor") if word in done.stdout.partition("RECAP")[0]
    ]
    assert statuses(report(tmp_path)) == {"worker-1": "unknown", "worker-2": "compliant"}
    (unknown,) = [host for host in report(tmp_path)["hosts"] if host["status"] == "unknown"]
    assert unknown["reason"].startswith("unreachable: ")


NEEDED = [{"direction": "in", "protocol": "tcp", "port": "{{ exporter }}", "peer": "10.0.0.7"}]


@on_all
def test_what_must_stay_open_is_evaluated_as_apply_does(fleet, tmp_path):
    """Each host has its own hostendpoints_guard_require."""
    hosts = {"worker-1": {"hostendpoints_guard_require": NEEDED, "exporter": 9100}, "worker-2": {}}
    run(fleet, hosts, tmp_path, fail_on=["unsafe"])
    (finding,) = report(tmp_path)["findings"]
    assert (finding["class"], finding["host"]) == ("unsafe", "worker-1")
    needed = "tcp port 9100 from 10.0.0.7 is required: "
    assert needed in finding["message"] and finding["rule"] == "G03"
    put_policy(fleet.datastore, "exporter", [dict(ALLOW_SSH, ports=[9100])], "all()")
    run(fleet, hosts, tmp_path, fail_on=["unsafe"])
    assert report(tmp_path)["findings"] == []
    fleet.datastore.reset()
    done = fleet.run(hosts, variables={"hostendpoints_guard": "enforce"})
    assert done.returncode != 0 and needed in done.stdout


def test_what_a_host_needs_in_vain_is_named_with_the_host(fleet, tmp_path):
    done = run(fleet, {"worker-1": {"hostendpoints_guard_require": NEEDED, "exporter": "x"}}, tmp_path)
    assert done.returncode != 0 and "worker-1: hostendpoints_guard_require[0].port" in done.stdout


def test_a_task_requires_connections_of_all_hosts(fleet, tmp_path):
    task = {
        "netsec.calico.calico_inventory_audit": {
            "etcd_endpoints": fleet.datastore.url,
            "datastore_type": fleet.datastore.type,
            "report_dir": str(tmp_path),
            "owner": "netsec.calico",
            "guard_require": [dict(NEEDED[0], port=9100)],
        },
        "delegate_to": "localhost",
        "run_once": True,
    }
    variables = {
        "hostendpoints_interfaces": [{"match": {"type": "ether"}}],
        "hostendpoints_node": "{{ inventory_hostname }}",
    }
    done = fleet.run(["worker-1", "worker-2"], tasks=[task], variables=variables)
    assert done.returncode == 0, done
    unsafe = [each["host"] for each in report(tmp_path)["findings"] if each["class"] == "unsafe"]
    assert unsafe == ["worker-1", "worker-2"]


def test_batches_are_refused(fleet, tmp_path):
    done = run(fleet, ["worker-1", "worker-2"], tmp_path, serial=1)
    assert done.returncode != 0 and "remove serial" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
@pytest.mark.parametrize(
    "variables, message",
    [
        (
            {"hostendpoints_audit_fail_on": ["mising"]},
            "hostendpoints_audit_fail_on: mising is unknown; use unsafe, malformed",
        ),
        ({"hostendpoints_audit_report_formats": ["pdf"]}, "hostendpoints_audit_report_formats: pdf is unknown; use"),
        (
            {"hostendpoints_audit_report_dir": "/dev/null/x"},
            "cannot write reports into /dev/null/x: it is not a directory",
        ),
        ({"hostendpoints_etcd_endpoints": ["http://127.0.0.1:9"]}, "cannot reach etcd"),
    ],
)
def test_what_cannot_be(fleet, variables, message):
    done = fleet.run(["worker-1"], tasks=[ROLE], variables=variables)
    assert done.returncode != 0 and message in done.stdout


def test_options_of_hosts_that_differ_are_refused(fleet, tmp_path):
    hosts = {"worker-1": {}, "worker-2": {"hostendpoints_audit_fail_on": ["missing"]}}
    done = fleet.run(hosts, tasks=[ROLE])
    assert done.returncode != 0 and "worker-1 and worker-2 differ in hostendpoints_audit_fail_on" in done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize(
    "value, expected",
    [
        ("missing, changed,missing", ["changed", "missing"]),
        (["missing", "missing"], ["missing"]),
        (True, "fail_on: True is not a list of unsafe, malformed"),
        (5, "fail_on: 5 is not a list"),
    ],
)
def test_what_fail_on_may_be(fleet, tmp_path, value, expected):
    variables = {"hostendpoints_audit_fail_on": value, "hostendpoints_audit_report_dir": str(tmp_path)}
    done = fleet.run(["worker-1"], tasks=[ROLE], variables=dict(variables, hostendpoints_audit_report_formats=["json"]))
    if isinstance(expected, list):
        assert report(tmp_path)["fail_on"] == expected and [each.name for each in tmp_path.iterdir()] == ["audit.json"]
    else:
        assert done.returncode != 0 and expected in done.stdout


def test_no_reports_stay_when_the_audit_cannot_be_made(fleet, tmp_path):
    run(fleet, ["worker-1"], tmp_path)
    (tmp_path / "mine").write_text("", encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 6
    variables = {
        "hostendpoints_audit_report_dir": str(tmp_path),
        "hostendpoints_etcd_endpoints": ["http://127.0.0.1:9"],
    }
    assert fleet.run(["worker-1"], tasks=[ROLE], variables=variables).returncode != 0
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def with_domain(number):
    return dict(worker(number), nodename="worker-%d.example.com" % number)


@pytest.mark.thorough
def test_hosts_whose_nodes_are_not_known_have_no_orphans(fleet, tmp_path):
    """Their nodes have other names than they, and nobody has their facts."""
    hosts = ["worker-%d" % number for number in (1, 2, 3)]
    fleet.record({"worker-%d" % number: with_domain(number) for number in (1, 2, 3)})
    try:
        fleet.datastore.reset()
        assert fleet.run(hosts).returncode == 0
        fleet.forget("worker-2", "worker-3")
        run(fleet, hosts, tmp_path, "--limit", "worker-1,worker-2")
        assert report(tmp_path)["findings"] == []
        assert statuses(report(tmp_path)) == {"worker-1": "compliant", "worker-2": "unknown"}
        run(fleet, ["worker-1", "worker-2", "db7"], tmp_path)
        orphans = report(tmp_path)["findings"]
        assert [(each["class"], each["node"]) for each in orphans] == [("orphaned", "worker-3.example.com")] * 2
        assert all("the nodes of 1 host are unknown" in each["message"] for each in orphans)
    finally:
        fleet.record({"worker-%d" % number: worker(number) for number in (1, 2, 3)})


@pytest.mark.thorough
@pytest.mark.parametrize("tasks_from", ["audit", "main"])
def test_a_condition_on_facts(fleet, tmp_path, tasks_from):
    """worker-8 is in the batch and worker-9 left it, both without facts."""
    tasks = [
        {"ansible.builtin.fail": {}, "when": "inventory_hostname == 'worker-9'"},
        {
            "ansible.builtin.import_role": {"name": NAME, "tasks_from": tasks_from, "rolespec_validate": False},
            "when": "ansible_facts.system == 'Linux'",
        },
    ]
    variables = {"hostendpoints_audit_report_dir": str(tmp_path), "hostendpoints_gather_facts": False}
    done = fleet.run(["worker-1", "worker-8", "worker-9"], tasks=tasks, variables=variables)
    results = [each["result"] for each in done.results if each["action"].startswith("netsec.calico.")]
    assert len(results) == 1 and not results[0].get("failed"), done
    if tasks_from == "audit":
        assert statuses(report(tmp_path)) == {"worker-1": "compliant", "worker-8": "unknown", "worker-9": "unknown"}
    else:
        assert results[0]["hosts_without_facts"] == ["worker-8"]


@pytest.mark.thorough
def test_nothing_is_too_large_for_awx(fleet, tmp_path):
    for number in range(25):
        item = dict(endpoint("worker-1", "%02d\x1b" % number + "x" * 40000), interface_name="eth0")
        fleet.datastore.put_endpoint(item, labels={})
    hosts = ["worker-1"] + ["rack%05d-%s.example.com" % (number, "z" * 200) for number in range(600)]
    done = run(fleet, hosts, tmp_path)
    (result,) = [each["result"] for each in done.results if "banner" in each["result"]]
    assert result["summary"]["hosts"]["unknown"] == 600
    assert result["unknown_hosts_omitted"] == 600 - len(result["unknown_hosts"]) > 0
    assert len(json.dumps(result)) < 700000 and max(map(len, result["banner"])) <= 303
    assert "".join(result["banner"]).isprintable()


def test_decommissioned_nodes_are_audited(fleet, tmp_path):
    variables = {"hostendpoints_decommission": ["worker-2"], "hostendpoints_audit_report_dir": str(tmp_path)}
    done = fleet.run(["worker-1", "worker-2"], "--limit", "worker-1", tasks=[ROLE], variables=variables)
    assert done.returncode == 0, done
    found = [(each["class"], each["node"], each["name"]) for each in report(tmp_path)["findings"]]
    assert found == [("unmanaged", "worker-2", name) for name in ("eth0", "eth1")]


@pytest.mark.parametrize("role_datastore", ["etcdv3"])
def test_an_endpoint_on_the_wrong_host_is_drift_of_both(fleet, tmp_path):
    identity = {"node": "worker-2", "name": "worker-1-eth0", "interface_name": "eth0"}
    fleet.datastore.put_endpoint(identity, labels={OWNER_LABEL: "netsec.calico"})
    fleet.datastore.delete(fleet.datastore.key("worker-2", "worker-2-eth0"))
    hosts = {"worker-1": {}, "worker-2": {"hostendpoints_interfaces": [{"match": {"name": ["eth1"]}}]}}
    run(fleet, hosts, tmp_path)
    assert statuses(report(tmp_path)) == {"worker-1": "drifted", "worker-2": "drifted"}
    assert [host["reason"] for host in report(tmp_path)["hosts"]] == [
        "",
        "worker-1-eth0 is stored on it, but declared on worker-1",
    ]


@pytest.mark.thorough
def test_what_an_earlier_play_gathered_does_not_count(fleet, tmp_path):
    gathering = {
        "ansible.builtin.setup": {},
        "register": "__hostendpoints_gathered",
        "ignore_unreachable": True,
    }
    plays = [{"hosts": "all", "gather_facts": False, "tasks": tasks} for tasks in ([gathering], [ROLE])]
    done = fleet.playbook(plays, ["worker-1"], variables={"hostendpoints_audit_report_dir": str(tmp_path)})
    assert done.returncode == 0 and statuses(report(tmp_path)) == {"worker-1": "compliant"}
