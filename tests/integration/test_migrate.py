# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook migrate, from one etcd's v2 API to its v3 API: what it shows, what it writes, and what stops it."""

from __future__ import annotations

import json

import pytest

from tests.harness.fleet import interface, server
from tests.harness.module import run_module, run_playbook
from tests.integration.role import Fleet, done
from tests.integration.tasks import HOSTS, READY, connection, only_kubernetes

pytestmark = pytest.mark.thorough

FROM, TO = "hostendpoints_migrate_from", "hostendpoints_migrate_to"
RESOURCES = "/calico/resources/v3/projectcalico.org/"
HOSTENDPOINTS = RESOURCES + "hostendpoints/"
CLUSTER_INFORMATION = RESOURCES + "clusterinformations/default"
SHOW, WRITE = "Show what becomes of each endpoint", "Write the endpoints to the v3 datastore"
STOP = "Fail if an endpoint cannot be stored in the v3 datastore"

# {"node/name": v1 value}
FLEET = {
    "web1/eth0": {"name": "eth0", "expected_ipv4_addrs": ["192.0.2.7"], "profile_ids": ["k8s_ns.web", "base"]},
    "web1/rack%2feth0.100": {"name": "eth0.100", "expected_ipv6_addrs": ["2001:db8::7"], "labels": {"site/x": "A"}},
    "DB_1.example.com/Bond_0": {"name": "Bond_0", "labels": {"x": ""}, "profile_ids": ["pRo/le"]},
}
# As an audit of the v3 datastore shows it. The hashes are the SHA-1 of db-1.example.com.Bond_0, of pRo/le and of
# web1.rack/eth0.100.
EMPTY = {"labels": {}, "expected_ips": [], "profiles": [], "ports": []}
MIGRATED = [
    dict(
        EMPTY,
        name="db-1.example.com.bond-0-903745d4",
        node="db-1.example.com",
        labels={"x": ""},
        interface_name="Bond_0",
        profiles=["pro.le-b1554692"],
    ),
    dict(
        EMPTY,
        name="web1.eth0",
        node="web1",
        interface_name="eth0",
        expected_ips=["192.0.2.7"],
        profiles=["kns.web", "base"],
    ),
    dict(
        EMPTY,
        name="web1.rack.eth0.100-b493ff44",
        node="web1",
        labels={"site/x": "A"},
        interface_name="eth0.100",
        expected_ips=["2001:db8::7"],
    ),
]


def put(etcd, fleet):
    for place, value in fleet.items():
        node, name = place.split("/")
        text = value if isinstance(value, str) else json.dumps(value)
        etcd.put("%s/%s/endpoint/%s" % (HOSTS, node, name), text)


@pytest.fixture
def calico(etcd):
    """An etcd on which both Calicos have been started."""
    etcd.put(READY, "true")
    etcd.put_v3(CLUSTER_INFORMATION, json.dumps({"spec": {"datastoreReady": True}}))
    return etcd


def migrate(etcd, *args, inventory=None, **variables):
    variables = dict({where: {"etcd_endpoints": etcd.url} for where in (FROM, TO)}, **variables)
    return run_playbook("netsec.calico.migrate", inventory, ["-e", json.dumps(variables), *args])


def contents(etcd):
    return etcd.tree("/"), etcd.tree_v3("/")


def audit(etcd):
    found = run_module("calico_hostendpoint_info", {"datastore_type": "etcdv3", "etcd_endpoints": [etcd.url]})
    assert found["malformed"] == []
    return found["hostendpoints"]


def stopped(run, task=STOP):
    """The message of a run that stopped at the task."""
    assert run.returncode == 2, run
    message = run.result(task)["msg"]
    return message if isinstance(message, str) else "\n".join(map(str, message))


def test_check_then_migrate_then_nothing(calico):
    put(calico, FLEET)
    before = contents(calico)
    check = migrate(calico, "--check", "--diff")
    assert check.returncode == 0, check
    assert contents(calico) == before
    assert check.result(SHOW)["msg"] == [
        "Bond_0 on node DB_1.example.com -> db-1.example.com.bond-0-903745d4 on node db-1.example.com",
        "eth0 on node web1 -> web1.eth0 on node web1",
        "rack/eth0.100 on node web1 -> web1.rack.eth0.100-b493ff44 on node web1",
    ]
    assert check.stdout.count("(create)") == 3 and "+  - kns.web" in check.stdout
    run = migrate(calico)
    assert run.returncode == 0, run
    assert run.result(WRITE)["changes"] == check.result(WRITE)["changes"]
    assert audit(calico) == MIGRATED
    v1, v3 = contents(calico)
    assert v1 == before[0] and len(v3) == len(before[1]) + 3
    again = migrate(calico, "--diff")
    assert again.result(WRITE)["summary"] == {"created": 0, "updated": 0, "deleted": 0, "unchanged": 3}
    assert again.stats["localhost"]["changed"] == 0
    assert contents(calico) == (v1, v3)


@only_kubernetes
def test_migrate_to_kubernetes_then_nothing(datastore, etcd):
    etcd.put(READY, "true")
    put(etcd, FLEET)
    for check, summary in (
        (["--check"], {"created": 3, "unchanged": 0}),
        ([], {"created": 3, "unchanged": 0}),
        ([], {"created": 0, "unchanged": 3}),
    ):
        run = migrate(etcd, *check, **{TO: connection(datastore)})
        assert run.returncode == 0, run
        assert run.result(WRITE)["summary"] == dict({"updated": 0, "deleted": 0}, **summary)
        assert len(datastore.stored()) == (0 if check else 3)
    found = run_module("calico_hostendpoint_info", connection(datastore))
    assert found["hostendpoints"] == MIGRATED and found["malformed"] == []


def test_nothing_to_migrate(calico):
    run = migrate(calico)
    assert run.returncode == 0, run
    assert run.result(SHOW)["msg"] == [] and not run.result(WRITE)["changed"]


def test_an_inventory_with_a_localhost_of_its_own(calico):
    put(calico, FLEET)
    inventory = {"all": {"hosts": {"localhost": {"ansible_host": "192.0.2.1", "ansible_python_interpreter": "/none"}}}}
    inventory["all"]["vars"] = {"ansible_connection": "ssh", "ansible_become": True, "ansible_become_method": "none"}
    run = migrate(calico, inventory=json.dumps(inventory) + "\n")
    assert run.returncode == 0, run
    assert audit(calico) == MIGRATED


def test_what_else_the_v3_datastore_holds_stays(calico):
    put(calico, FLEET)
    others = {HOSTENDPOINTS + "web1-auto-hep": "{}", HOSTENDPOINTS + "web1.eth9": "unreadable"}
    for key, value in others.items():
        calico.put_v3(key, value)
    run = migrate(calico)
    assert run.returncode == 0, run
    assert others.items() <= calico.tree_v3(HOSTENDPOINTS).items()


def test_all_that_is_in_the_way_is_told_before_anything_is_written(calico):
    put(calico, FLEET)
    # Two that become one, two nodes that become one, what v3 refuses, Calico's own, and what Calico v1 cannot read.
    put(calico, {"a.b/c": {"name": "eth0"}, "a/b.c": {"name": "eth0"}, "DB_2/eth0": {"name": "eth0"}})
    put(calico, {"db-2/eth1": {"name": "eth1"}, "n1/eth0": {"name": "eth0", "labels": {"a/b/c": "x"}}})
    put(calico, {"n2/eth0": {"name": "eth0", "labels": {"projectcalico.org/created-by": "me"}}})
    put(calico, {"n3/eth0": '{"name":', "-/eth0": {"name": "eth0"}})
    before = contents(calico)
    message = stopped(migrate(calico))
    for line in [
        "endpoint a.b.c on node a.b: name: 'a.b.c' is also the v3 name of host endpoint b.c on node a",
        "endpoint a.b.c on node a: name: 'a.b.c' is also the v3 name of host endpoint c on node a.b",
        "endpoint db-2.eth0 on node db-2: node: 'db-2' is also the v3 name of node db-2",
        "endpoint db-2.eth1 on node db-2: node: 'db-2' is also the v3 name of node DB_2",
        "endpoint eth0 on node n1 becomes host endpoint n1.eth0 on node n1: labels: 'a/b/c' is not a label key",
        "endpoint n2.eth0 on node n2: labels: 'projectcalico.org/created-by' is Calico's own label",
        "endpoint eth0 on node - becomes host endpoint eth0-dd42b064: node: is missing",
        "/calico/v1/host/n3/endpoint/eth0",
    ]:
        assert line in message
    assert "web1" not in message
    assert contents(calico) == before


def test_malformed_values_can_be_left_behind(calico):
    put(calico, dict(FLEET, **{"n3/eth0": '{"name":'}))
    assert "/calico/v1/host/n3/endpoint/eth0" in stopped(migrate(calico))
    run = migrate(calico, hostendpoints_migrate_ignore_malformed=True)
    assert run.returncode == 0, run
    assert audit(calico) == MIGRATED


def test_an_endpoint_that_was_changed_in_v3_is_not_overwritten_unasked(calico):
    put(calico, FLEET)
    run = migrate(calico)
    assert run.returncode == 0, run.stdout + run.stderr
    ours = {"datastore_type": "etcdv3", "etcd_endpoints": [calico.url], "name": "web1.eth0", "state": "patched"}
    assert run_module("calico_hostendpoint", dict(ours, profiles=["newer"]))["changed"]
    put(calico, {"web2/eth0": {"name": "eth0"}})
    before = contents(calico)
    for check in ((), ("--check",)):
        message = stopped(migrate(calico, *check), WRITE)
        assert "web1.eth0 on node web1 already exists and differs (profiles), and overwrite is false" in message
        assert "web2" not in message and contents(calico) == before
    run = migrate(calico, hostendpoints_migrate_overwrite=True)
    assert run.result(WRITE)["summary"] == {"created": 1, "updated": 1, "deleted": 0, "unchanged": 2}
    assert MIGRATED[1] in audit(calico)


def test_what_ansible_has_masked_does_not_become_a_name(calico):
    put(calico, FLEET)
    run = migrate(
        calico,
        hostendpoints_migrate_from={"etcd_endpoints": calico.url, "etcd_username": "root", "etcd_password": "web"},
    )
    assert run.returncode == 2 and "has a *, which is invalid in v1" in run.stdout, run
    assert calico.tree_v3(HOSTENDPOINTS) == {}


def test_an_interface_that_v1_ignores_does_not_become_all_interfaces(calico):
    put(calico, {"web1/all": {"name": "*"}})
    assert "interface_name" in stopped(migrate(calico))


@pytest.mark.parametrize("options", [{"purge": "all", "purge_nodes": ["web1"]}, {"node": "web1"}, {"state": "absent"}])
def test_only_connections_can_be_given(calico, options):
    put(calico, FLEET)
    for variable in (FROM, TO):
        run = migrate(calico, **{variable: dict(options, etcd_endpoints=calico.url)})
        assert (
            run.returncode == 2
            and "hostendpoints_migrate_from and hostendpoints_migrate_to accept only etcd_endpoints" in run.stdout
        ), run


def test_a_locked_v3_datastore_is_not_written(calico):
    put(calico, FLEET)
    calico.put_v3(CLUSTER_INFORMATION, json.dumps({"spec": {"datastoreReady": False}}))
    run = migrate(calico)
    assert run.returncode == 2 and "locked" in run.stdout + run.stderr, run
    assert calico.tree_v3(HOSTENDPOINTS) == {}


@pytest.mark.parametrize("where", [FROM, TO])
def test_a_mistyped_option_of_a_datastore_is_an_error(calico, where):
    put(calico, FLEET)
    # It would be taken from the environment, or be etcd on this machine.
    run = migrate(calico, **{where: {"etcd_endpoint": calico.url}})
    assert run.returncode == 2 and "etcd_endpoint" in run.stdout + run.stderr, run
    assert calico.tree_v3(HOSTENDPOINTS) == {}


def test_a_password_never_shows(calico):
    secret = {"etcd_endpoints": "http://127.0.0.1:1", "etcd_username": "me", "etcd_password": "s3cr3t-word"}
    run = migrate(calico, "-vvv", hostendpoints_migrate_from=secret)
    assert run.returncode == 2, run
    assert "s3cr3t" not in run.stdout + run.stderr + json.dumps(run.results)


def test_the_role_goes_on_with_what_was_migrated(calico, tmp_path):
    """As the guide says: with the migration's names in the rules, its purge finds nothing to do."""
    devices = interface("lo", "127.0.0.1/8", type="loopback"), interface("Bond_0", "192.0.2.7/24")
    fleet = Fleet(tmp_path / "recorded", calico, {"db1": server("DB_1", *devices, default="Bond_0")})
    assert done(fleet.run(["db1"]))["summary"]["created"] == 1
    run = migrate(calico)
    assert run.returncode == 0, run
    v3 = {"hostendpoints_datastore_type": "etcdv3", "hostendpoints_purge": "owned"}
    rules = [{"match": {"type": "ether"}, "endpoint": {"name": "{node}.{interface}"}}]
    again = done(fleet.run(["db1"], variables=dict(v3, hostendpoints_interfaces=rules)))
    assert again["summary"] == {"created": 0, "updated": 0, "deleted": 0, "unchanged": 1}
