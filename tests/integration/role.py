# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role hostendpoints as a playbook calls it, on hosts whose facts are recorded."""

from __future__ import annotations

import json

from tests.harness.fleet import RecordedFleet, interface, inventory, server
from tests.harness.module import run_playbook
from tests.integration.tasks import HOSTS

NAME = "netsec.calico.hostendpoints"
ACTION = "netsec.calico.calico_inventory_hostendpoints"
OWNER_LABEL = "app.kubernetes.io/managed-by"
OWNER = "netsec.calico"
IMPORTED = {"ansible.builtin.import_role": {"name": NAME, "rolespec_validate": False}}


class Fleet:
    """Hosts with recorded facts, and the etcd that the role works on."""

    def __init__(self, folder, etcd, hosts):
        self.etcd = etcd
        recorded = RecordedFleet(folder, hosts)
        self.environment, self.record, self.forget = recorded.environment, recorded.record, recorded.forget

    def run(self, hosts, *args, tasks=(IMPORTED,), groups=None, variables=None, env=None, **play):
        """Run the role by a play on these hosts; `play` are keywords of that play, `variables` the inventory's."""
        play = dict({"hosts": "all", "gather_facts": False, "tasks": list(tasks)}, **play)
        return self.playbook([play], hosts, *args, groups=groups, variables=variables, env=env)

    def playbook(self, playbook, hosts, *args, groups=None, variables=None, env=None):
        variables = dict({"hostendpoints_etcd_endpoints": [self.etcd.url]}, **(variables or {}))
        environment = dict(self.environment, **(env or {}))
        return run_playbook(playbook, inventory(hosts, groups, variables), args, env=environment)

    def stored(self):
        """{"node/name": value} of all endpoints."""
        return stored(self.etcd)

    def put(self, *places, owner=OWNER, **labels):
        """Store an endpoint at each place, "node/name"."""
        for place in places:
            node, name = place.split("/")
            labels = dict({OWNER_LABEL: owner} if owner else {}, **labels)
            self.etcd.put("%s/%s/endpoint/%s" % (HOSTS, node, name), json.dumps({"name": name, "labels": labels}))


def stored(etcd):
    found = {}
    for key, value in etcd.tree(HOSTS).items():
        node, name = key[len(HOSTS) + 1 :].split("/endpoint/")
        found[node + "/" + name] = json.loads(value)
    return found


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
    return ["%(operation)s %(node)s/%(name)s" % change for change in result["changes"]]


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
