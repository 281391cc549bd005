# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call for many endpoints."""

from __future__ import annotations

from .. import fleet
from ..processes import Sample
from . import Section, Table, Target, number, over

# On etcdv2, the playbook's start is little beside 10,000 requests; in v3, 79 transactions are little beside the start.
_CREATE = {"etcdv2": "raw create", "etcdv3": "floor playbook, create"}
_OPERATIONS = (
    # What the table says, row in the samples, what it is compared with.
    ("create", "create", _CREATE),
    ("`--check` before that", "check all", "floor playbook"),
    ("nothing to do", "no-op", "floor playbook"),
    ("nothing to do, `--check`", "check", "floor playbook"),
    ("1 % changed", "1 %", "floor playbook"),
    ("purge all", "purge", "raw delete"),
    ("create, guarded", "create, guarded", _CREATE),
    ("1 % changed, guarded", "1 %, guarded", "floor playbook"),
)
# Of ten times as many endpoints.
_LINEAR = 11

FLOOR = Table(
    "The floor",
    "endpoints | raw read | raw create | raw delete | floor playbook | its CPU | floor playbook, create | rounds",
)
ONE_CALL = Table(
    "One call",
    "`calico_hostendpoints` by `src` | playbook | from-to | its CPU | against | ratio | module alone | memory, MB",
)
TEN_TIMES = Table(
    "Ten times as many",
    "module alone, without the guard | seconds | CPU | memory, MB | seconds of a tenth | ratio | of CPU",
)
GUARD = Table(
    "The guard",
    "`--check` of creating all, module alone | policies | unguarded | guarded | the guard | memory, MB",
)


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

    def tables(self, others):
        yield FLOOR, [self._floor_row()]
        yield ONE_CALL, [self._row(*operation) for operation in _OPERATIONS]

    def _floor_row(self):
        creates = ("raw create", "raw delete", "floor playbook")
        return [
            self._text,
            number(self.median("raw read"), 3),
            *[number(self.median(row)) for row in creates],
            number(self.median("floor playbook", "cpu")),
            number(self.median("floor playbook, create")),
            str(len(self.samples["floor playbook"])),
        ]

    def _row(self, text, row, base):
        base = base if isinstance(base, str) else base[self.datastore_type]
        whole = row + ", playbook"
        return [
            "%s: %s" % (self._text, text),
            number(self.median(whole)),
            self.spread(whole),
            number(self.median(whole, "cpu")),
            base,
            number(over(self.median(whole), self.median(base))),
            number(self.median(row + ", module")),
            number(self.median(row + ", module", "memory"), 0),
        ]

    @property
    def _text(self):
        return "{}, {:,}".format(self.datastore_type, self.count)

    def targets(self, others):
        if self.count == 100:
            yield Target(self._text + ": create, in one call", self.median("create, playbook"), 3, " s")
        if self.count != 10000:
            return
        create = _CREATE[self.datastore_type]
        for text, row, base, limit in (
            ("nothing to do / floor playbook", "no-op, playbook", "floor playbook", 1.15),
            ("the same, `--check`", "check, playbook", "floor playbook", 1.15),
            ("`--check` of creating all / floor playbook", "check all, playbook", "floor playbook", 1.5),
            (
                "create, whole playbook / " + create,
                "create, playbook",
                create,
                {"etcdv2": 1, "etcdv3": 1.1}[self.datastore_type],
            ),
        ):
            ratio, cpu = (over(self.median(row, field), self.median(base, field)) for field in ("wall", "cpu"))
            yield Target("%s: %s" % (self._text, text), ratio, limit, cpu=cpu)
        memory = max(self.median(row + ", module", "memory") for _text, row, _base in _OPERATIONS)
        yield Target(self._text + ": memory of the module, the largest", memory, 200, " MB")


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
        for row, is_changed, operation, expected in (
            ("create", False, "created", count),
            ("no-op", False, "unchanged", count),
            ("1 %", True, "updated", len(range(0, count, 100))),
        ):
            src = shop.write("large.json", fleet.endpoints(count, changed=is_changed, datastore_type=kind))
            found[row], result = shop.module(dict(task, src=src))
            if result["summary"][operation] != expected:
                raise RuntimeError("%r, not %d %s" % (result["summary"], expected, operation))
        bench.raws[kind].clear()
        return found

    def tables(self, others):
        yield (
            TEN_TIMES,
            [
                [
                    "{}, {:,}: {}".format(self.datastore_type, self.count, text),
                    number(self.median(row)),
                    number(self.median(row, "cpu")),
                    number(self.median(row, "memory"), 0),
                    number(self.median(row + ", a tenth")),
                    *[number(self._growth(row, field)) for field in ("wall", "cpu")],
                ]
                for text, row in (("create", "create"), ("nothing to do", "no-op"), ("1 % changed", "1 %"))
            ],
        )

    def targets(self, others):
        for row in ("create", "no-op", "1 %"):
            text = "{}, {:,}, {}: ".format(self.datastore_type, self.count, row)
            cpu = self._growth(row, "cpu")
            yield Target(text + "time / that of a tenth", self._growth(row), _LINEAR, cpu=cpu)
            yield Target(text + "memory", self.median(row, "memory"), 400, " MB")

    def _growth(self, row, field="wall"):
        return over(self.median(row, field), self.median(row + ", a tenth", field))


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

    def tables(self, others):
        yield (
            GUARD,
            [
                [
                    self._text,
                    str(self.policies),
                    *[number(self.median(row)) for row in ("off", "warn")],
                    number(self._alone()),
                    number(self.median("warn", "memory"), 0),
                ]
            ],
        )

    @property
    def _text(self):
        return "{}, {:,}".format(self.datastore_type, self.count)

    def targets(self, others):
        text = "{}: the guard, with {} policies".format(self._text, self.policies)
        yield Target(text, self._alone(), 1, " s", cpu=self._alone("cpu"))

    def _alone(self, field="wall"):
        return self.median("warn", field) - self.median("off", field)
