# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles on the hosts of an inventory."""

from __future__ import annotations

import json
import os

from .. import fleet
from . import Section, Table, Target, number, over

ROLE = Table(
    "The role",
    "hosts | empty play | one `run_once` task | role, create | role, nothing to do | role, `--check` | its CPU | "
    "ms a host beyond the empty play | and of CPU | of CPU by `import_role` | memory, MB | rounds",
)
AUDIT = Table(
    "The audit",
    "drifted endpoints | hosts | one `run_once` task | audit with all reports | from-to | its CPU | memory, MB",
)


class Role(Section):
    """The role for so many hosts with cached facts, against plays over the same hosts that do nothing."""

    def __init__(self, hosts, rounds, share):
        super().__init__("role %d" % hosts, rounds, share)
        self.hosts = hosts

    def round(self, bench):
        names = ["worker-%05d" % number for number in range(self.hosts)]
        lines = ["[all]", *names, "[web]", *names[: self.hosts // 2], "[all:vars]", "ansible_connection=local", ""]
        inventory = bench.shop.write("hosts", "\n".join(lines))
        self._cache_facts(bench, inventory, names)

        def play(path, *options, changed=0):
            return bench.shop.playbook(path, *options, inventory=inventory, changed=changed, cached_facts=True)

        variables = {
            "hostendpoints_etcd_endpoints": [bench.server.url],
            # There is no Calico, which the guard would refuse.
            "hostendpoints_guard": "warn",
            "hostendpoints_group_labels": {"web": {"tier": "web"}},
            "hostendpoints_purge": "owned",
        }
        options = {"name": "netsec.calico.hostendpoints", "rolespec_validate": False}
        imported = bench.play("imported", {"import_role": options}, hosts="all", vars=variables)
        # As netsec.calico.apply does it.
        role = bench.play("role", {"include_role": options, "run_once": True}, hosts="all", vars=variables)
        found = {"empty": play(bench.play("empty", hosts="all"))}
        found["one task"] = play(bench.play("one", {"debug": {"msg": "x"}, "run_once": True}, hosts="all"))
        bench.raw.clear()
        found["create"] = play(role, changed=1)
        bench.stored(2 * self.hosts)
        found["no-op"] = play(role)
        found["check"] = play(role, "--check")
        found["imported"] = play(imported)
        bench.raw.clear()
        return found

    def _cache_facts(self, bench, inventory, names):
        """Let this ansible-core write its own cache, once for each host."""
        cache = bench.shop.folder / "facts"
        cache.mkdir(exist_ok=True)
        missing = names[len(os.listdir(cache)) :]
        for name in missing:
            bench.shop.write("recorded/" + name, fleet.facts(int(name.rpartition("-")[2])))
        if missing:
            task = {"netsec_recorded_facts": {"folder": str(bench.shop.folder / "recorded")}}
            limit = bench.shop.write("limit", "\n".join(missing))
            path = bench.play("record", task, hosts="all")
            bench.shop.playbook(path, "--limit=@" + limit, inventory=inventory, cached_facts=True)
        if len(os.listdir(cache)) < len(names):
            raise RuntimeError("the cache holds the facts of %d hosts" % len(os.listdir(cache)))

    def tables(self, others):
        cells = [number(self.median(row)) for row in ("empty", "one task", "create", "no-op", "check")]
        cells.append(number(self.median("no-op", "cpu")))
        cells += [number(self._each(field), 1) for field in ("wall", "cpu")]
        cells += [number(self._each("cpu", "imported"), 1), number(self.median("no-op", "memory"), 0)]
        yield ROLE, [["{:,}".format(self.hosts), *cells, str(len(self.samples["no-op"]))]]

    def targets(self, others):
        if self.hosts == 1000:
            yield Target(
                "1,000 hosts: role beyond an empty play", self._each(), 1.5, " ms a host", cpu=self._each("cpu")
            )
        thousand = others.get("role 1000")
        if self.hosts == 10000:
            memory = self.median("no-op", "memory")
            yield Target("10,000 hosts: the largest process", memory, 1500, " MB")
            if thousand:
                ratio, cpu = (over(self._each(field), thousand._each(field)) for field in ("wall", "cpu"))
                # Ten times the time is the same for each host.
                yield Target("10,000 hosts: ms a host / those of 1,000", ratio, 1.1, cpu=cpu)

    def _each(self, field="wall", row="no-op"):
        """Milliseconds a host beyond the empty play."""
        return (self.median(row, field) - self.median("empty", field)) / self.hosts * 1000


class Audit(Section):
    """The playbook of the audit with all reports, where each endpoint is stored with another label."""

    def __init__(self, count, on_each, rounds, share):
        super().__init__("audit %d" % count, rounds, share)
        self.count = count
        self.on_each = on_each

    def round(self, bench):
        hosts = {"worker-%05d" % number: self._endpoints(number) for number in range(self.count // self.on_each)}
        stored = [
            dict(endpoint, labels=dict(endpoint["labels"], zone="other"), node=name)
            for name, own in hosts.items()
            for endpoint in own
        ]
        connection = {"etcd_endpoints": [bench.server.url], "guard": "off"}
        bench.raw.clear()
        bench.shop.module(dict(connection, src=bench.shop.write("stored.json", stored)))
        bench.stored(self.count)
        # It allows everything, so that the guard has no findings of its own.
        policies = fleet.policies(1)
        for key, value in policies.items():
            bench.server.put(key, value)
        inventory = self._write_inventory(bench, hosts)
        one_task = bench.play("one", {"debug": {"msg": "x"}, "run_once": True}, hosts="all")
        found = {"one task": bench.shop.playbook(one_task, inventory=inventory, changed=0)}
        found["audit"] = bench.shop.playbook(
            "netsec.calico.audit", "-e", "hostendpoints_gather_facts=false", inventory=inventory
        )
        self._check_reports(bench)
        for key in policies:
            bench.server.delete(key)
        bench.raw.clear()
        return found

    def _endpoints(self, host):
        return [
            {
                "name": "eth%d" % number,
                "interface_name": "eth%d" % number,
                "expected_ips": ["10.%d.%d.%d" % (number, host // 250, host % 250 + 1)],
                "labels": {"role": "worker", "zone": "zone-1"},
                "profiles": ["worker"],
            }
            for number in range(self.on_each)
        ]

    def _write_inventory(self, bench, hosts):
        """A script, which is how AWX gives its inventory to Ansible, too."""
        variables = {
            "ansible_connection": "local",
            "hostendpoints_etcd_endpoints": [bench.server.url],
            "hostendpoints_node": "{{ inventory_hostname }}",
            "hostendpoints_interfaces": [],
            "hostendpoints_audit_report_dir": str(bench.shop.folder / "reports"),
            "hostendpoints_audit_fail_on": [],
        }
        own = {name: {"hostendpoints_endpoints": endpoints} for name, endpoints in hosts.items()}
        content = {"all": {"hosts": list(hosts), "vars": variables}, "_meta": {"hostvars": own}}
        path = bench.shop.write("inventory.json", content)
        script = bench.shop.write("inventory.sh", "#!/bin/sh\nexec cat %s\n" % path)
        os.chmod(script, 0o755)
        return script

    def _check_reports(self, bench):
        reports = bench.shop.folder / "reports"
        report = json.loads((reports / "audit.json").read_text(encoding="utf-8"))
        names = {path.name for path in reports.iterdir()}
        found = {each["class"] for each in report["findings"]}, len(report["findings"])
        if found != ({"changed"}, self.count) or not {"audit.csv", "audit.html", "audit.xml"} <= names:
            raise RuntimeError("%s of classes %s; reports: %s" % (found[1], found[0], ", ".join(sorted(names))))

    def tables(self, others):
        rows = [
            [
                "{:,}".format(self.count),
                "{:,}".format(self.count // self.on_each),
                number(self.median("one task")),
                number(self.median("audit")),
                self.spread("audit"),
                number(self.median("audit", "cpu")),
                number(self.median("audit", "memory"), 0),
            ]
        ]
        yield AUDIT, rows

    def targets(self, others):
        beyond, cpu = (self.median("audit", field) - self.median("one task", field) for field in ("wall", "cpu"))
        text = "{:,} drifted endpoints: audit with all reports, beyond one task".format(self.count)
        yield Target(text, beyond, 8, " s", cpu=cpu)
