# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role hostendpoints as a playbook calls it, on hosts whose facts are recorded."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.harness.datastore import DATASTORES
from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.etcd import EtcdServer
from tests.harness.fleet import RecordedFleet, interface, inventory, server
from tests.harness.module import run_playbook
from tests.harness.pace import PATIENT
from tests.integration.tasks import connection

NAME = "netsec.calico.hostendpoints"
ACTION = "netsec.calico.calico_inventory_hostendpoints"
OWNER_LABEL = "app.kubernetes.io/managed-by"
OWNER = "netsec.calico"
IMPORTED = {"ansible.builtin.import_role": {"name": NAME, "rolespec_validate": False}}


ALL_DATASTORES = {**DATASTORES, **KUBERNETES_DATASTORES}
# For what the role stores, which is alike in both APIs of Kubernetes.
_SECOND_API = pytest.param("kubernetes-v3", marks=pytest.mark.thorough)
on_all = pytest.mark.parametrize("datastore_type", [*DATASTORES, "kubernetes-v1", _SECOND_API])
# The options of Kubernetes that have the same name as variables of the role.
_PLAIN = ("datastore_type", "etcd_endpoints", "kubeconfig", "calico_api_group")


class Fleet:
    """Hosts with recorded facts, and the datastore that the role works on.

    A place is "node/interface": the default rules name an endpoint by its interface, in Calico v3's data model with the
    node before it.
    """

    def __init__(self, folder, server, hosts):
        self._server = server
        self.datastore = DATASTORES["etcdv2"](server)
        recorded = RecordedFleet(folder, hosts)
        self.environment, self.record, self.forget = recorded.environment, recorded.record, recorded.forget

    def reset(self, datastore_type="etcdv2", kubernetes=None):
        """An empty datastore of this type, on the server of the fleet, or on this KubeApiServer."""
        self.datastore = ALL_DATASTORES[datastore_type](kubernetes or self._server)
        self.datastore.reset()

    def run(self, hosts, *args, tasks=(IMPORTED,), groups=None, variables=None, env=None, **play):
        """Run the role by a play on these hosts; `play` are keywords of that play, `variables` the inventory's."""
        play = dict({"hosts": "all", "gather_facts": False, "tasks": list(tasks)}, **play)
        return self.playbook([play], hosts, *args, groups=groups, variables=variables, env=env)

    def playbook(self, playbook, hosts, *args, groups=None, variables=None, env=None):
        variables = dict(role_variables(self.datastore), **(variables or {}))
        environment = dict(self.environment, **(env or {}))
        return run_playbook(playbook, inventory(hosts, groups, variables), args, env=environment)

    def stored(self):
        """{place: its fields, by the names of options, without the empty ones}."""
        return stored(self.datastore)

    def put(self, *places, owner=OWNER, **labels):
        """Store an endpoint at each place."""
        for place in places:
            labels = dict({OWNER_LABEL: owner} if owner else {}, **labels)
            self.datastore.put_endpoint(dict(identity_of(self.datastore, place), labels=labels))


def kubernetes_for(request, datastore_type):
    """What `Fleet.reset` needs for a datastore of this type."""
    return request.getfixturevalue("_kubernetes") if datastore_type in KUBERNETES_DATASTORES else None


@contextlib.contextmanager
def fleet_of(tmp_path_factory, hosts):
    """A Fleet with an etcd of its own: what the role does is the same with each."""
    with EtcdServer() as etcd:
        yield Fleet(tmp_path_factory.mktemp("fleet") / "recorded", etcd, hosts)


def role_variables(server):
    """What tells the role where the datastore is. It is unguarded, since most hosts here have no policy."""
    found = {
        "hostendpoints_" + name if name in _PLAIN else "hostendpoints_kubernetes_" + name: value
        for name, value in connection(server).items()
    }
    return dict(found, hostendpoints_guard="off", hostendpoints_timeout=PATIENT)


def identity_of(datastore, place):
    node, name = place.split("/")
    return {"node": node, "name": node + "-" + name if datastore.model == "v3" else name, "interface_name": name}


def stored(datastore):
    return dict(_found(key, json.loads(value)) for key, value in datastore.stored().items())


def _found(key, value):
    """A place and its fields."""
    if "spec" in value:
        name, spec = value["metadata"]["name"], value["spec"]
        fields = {
            "labels": value["metadata"].get("labels"),
            "interface_name": spec.get("interfaceName"),
            "expected_ips": spec.get("expectedIPs"),
            "profiles": spec.get("profiles"),
        }
        node = spec["node"]
        name = name[len(node) + 1 :] if name.startswith(node + "-") else name
    else:
        node, name = key[len(DATASTORES["etcdv2"].hostendpoints) + 1 :].split("/endpoint/")
        fields = {
            "labels": value.get("labels"),
            "interface_name": value.get("name"),
            "expected_ips": value.get("expected_ipv4_addrs", []) + value.get("expected_ipv6_addrs", []),
            "profiles": value.get("profile_ids"),
        }
    return node + "/" + name, {field: part for field, part in fields.items() if part}


def results(run, status="ok"):
    """What the role's own task gave back, each time that it ended so."""
    return [each["result"] for each in run.results if each["action"] == ACTION and each["status"] == status]


def done(run):
    """The one result of a run that worked."""
    assert run.returncode == 0, run
    (result,) = results(run)
    return result


def failure(run):
    """The message of a run that failed."""
    assert run.returncode != 0, run
    (result,) = results(run, "failed")
    return result["msg"]


def changes(result):
    """["operation place"]."""
    found = []
    for change in result["changes"]:
        operation, node, name = change["operation"], change["node"], change["name"]
        found.append("%s %s/%s" % (operation, node, name[len(node) + 1 :] if name.startswith(node + "-") else name))
    return found


def worker(number, address=None):
    """A host with an outer and an inner interface, and some that nobody wants endpoints of."""
    return server(
        "worker-%d" % number,
        interface("lo", "127.0.0.1/8", "::1/128", type="loopback"),
        interface("eth0", address or "192.0.2.%d/24" % number, "2001:db8::%d/64" % number, "fe80::%d/64" % number),
        interface("eth1", "10.0.0.%d/24" % number),
        interface("eth2"),
        interface("docker0", "172.17.0.1/16", type="bridge"),
        default="eth0",
    )


def of_workers(*numbers):
    """The places of the endpoints that the default rules make of such hosts."""
    return sorted("worker-%d/%s" % (number, name) for number in numbers for name in ("eth0", "eth1"))
