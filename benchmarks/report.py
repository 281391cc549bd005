# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to the table in Markdown, and to whether each target is met."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path

# With a higher load, the wall clock says little.
MOST_LOAD = 0.5
TARGETS = {
    "floor": 1.5,
    "create": 1.3,
    "memory": 200,
    "role": 5,
    "loop": 100,
    "guard": 5,
    # Of ten times as many endpoints, or hosts.
    "linear": 11,
    "large memory": 400,
    "controller memory": 1500,
}
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


def median(section, row, field="wall"):
    """Of all rounds; None when there is none."""
    values = [getattr(sample, field) for sample in section.samples.get(row, ())]
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def add_busy_option(parser):
    parser.add_argument("--busy", action="store_true", help="measure although other processes use the machine")


def refuse_busy(parser, is_allowed):
    """End with an error when something else uses the machine, unless that is allowed; print the load."""
    load = os.getloadavg()[0]
    print("load: %.2f" % load, file=sys.stderr, flush=True)
    if load > MOST_LOAD and not is_allowed:
        text = "the load is %.2f, more than %.1f: wait until the machine is idle, or measure anyway with --busy"
        parser.error(text % (load, MOST_LOAD))


def machine(server, folder):
    """The facts without which no number says anything."""
    return {
        "cores": os.cpu_count(),
        "load at the start": "%.1f" % os.getloadavg()[0],
        "system": "%s %s" % (platform.system(), platform.machine()),
        "Python": platform.python_version(),
        "ansible-core": metadata.version("ansible-core"),
        "etcd": server.version,
        "disk fsync (median), ms": "%.2f" % _fsync(folder),
    }


def _fsync(folder):
    times = []
    with open(folder / "fsync", "wb") as file:
        for _write in range(200):
            start = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def update_readme(marks, text):
    """Replace what is between the two marks in this folder's README."""
    readme = Path(__file__).with_name("README.md")
    before, rest = readme.read_text(encoding="utf-8").split(marks[0])
    readme.write_text("%s%s\n%s\n%s%s" % (before, marks[0], text, marks[1], rest.split(marks[1])[1]), encoding="utf-8")


def markdown(facts, bulks, guards, loop, roles, larges=()):
    parts = [_facts(facts)]
    parts += [_floor(bulks), _bulk(bulks)] if bulks else []
    parts += [_guard(guards)] if guards else []
    parts += [_loop(loop, bulks)] if loop and loop.samples else []
    parts += [_role(roles)] if roles else []
    parts += [_large(larges)] if larges else []
    parts.append(_targets(bulks, guards, loop, roles, larges))
    return "\n".join(parts)


def _facts(facts):
    text = ", ".join("%s: %s" % item for item in facts.items()) + ". Medians, in seconds of the wall clock.\n"
    if float(facts["load at the start"]) > MOST_LOAD:
        text += "\n**The machine was busy with something else: the wall clock says little, go by the CPU time.**\n"
    return text


def _table(title, head, rows):
    lines = ["### " + title, "", _line(head), _line("---" if index == 0 else "---:" for index in range(len(head)))]
    return "\n".join(lines + [_line(row) for row in rows]) + "\n"


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def _number(value, digits=2):
    return "" if value is None else "%.*f" % (digits, value)


def _over(value, base):
    return None if value is None or not base else value / base


def _floor(bulks):
    head = ["endpoints", "raw read", "raw create", "raw delete", "floor playbook", "its CPU"]
    head += ["floor playbook, create", "rounds"]
    rows = [
        [
            _name(bulk),
            _number(median(bulk, "raw read"), 3),
            *[_number(median(bulk, row)) for row in ("raw create", "raw delete", "floor playbook")],
            _number(median(bulk, "floor playbook", "cpu")),
            _number(median(bulk, "floor playbook, create")),
            str(len(bulk.samples.get("floor playbook", ()))),
        ]
        for bulk in bulks
    ]
    return _table("The floor", head, rows)


def _bulk(bulks):
    head = ["`calico_hostendpoints` by `src`", "playbook", "its CPU", "against", "ratio", "module alone", "memory, MB"]
    rows = []
    for bulk in bulks:
        for text, row, base in _OPERATIONS:
            base = base if isinstance(base, str) else base[bulk.datastore_type]
            whole = median(bulk, row + ", playbook")
            rows.append(
                [
                    "{}: {}".format(_name(bulk), text),
                    _number(whole),
                    _number(median(bulk, row + ", playbook", "cpu")),
                    base,
                    _number(_over(whole, median(bulk, base))),
                    _number(median(bulk, row + ", module")),
                    _number(median(bulk, row + ", module", "memory"), 0),
                ]
            )
    return _table("One call", head, rows)


def _guard(guards):
    head = ["`--check` of creating all, module alone", "policies", "unguarded", "guarded", "the guard", "memory, MB"]
    rows = [
        [
            _name(guard),
            str(guard.policies),
            *[_number(median(guard, row)) for row in ("off", "warn")],
            _number(_guard_alone(guard)),
            _number(median(guard, "warn", "memory"), 0),
        ]
        for guard in guards
    ]
    return _table("The guard", head, rows)


def _guard_alone(guard, field="wall"):
    both = [median(guard, row, field) for row in ("warn", "off")]
    return None if None in both else both[0] - both[1]


def _name(bulk):
    return "{}, {:,}".format(bulk.datastore_type, bulk.count)


def _each(loop, row):
    """Seconds an item of a loop, without Ansible's start."""
    total = median(loop, row)
    return None if total is None else (total - median(loop, "start")) / loop.items


def _loop_at(loop, row, count):
    """Seconds that the loop would take for so many; it is measured with fewer, and grows in proportion at least."""
    each = _each(loop, row)
    return None if each is None else median(loop, "start") + count * each


def _loop(loop, bulks):
    thousand = _bulk_of(bulks, 1000)
    head = ["one by one", "measured with", "seconds", "ms an endpoint", "1,000 would take", "one call is faster by"]
    rows = []
    for text, row, ours in (
        ("loop of `calico_hostendpoint`, create", "create", "create"),
        ("loop of `calico_hostendpoint`, nothing to do", "no-op", "no-op"),
    ):
        scaled = _loop_at(loop, row, 1000)
        factor = _over(scaled, thousand and median(thousand, ours + ", playbook"))
        each = _number(_each(loop, row) * 1000, 1)
        rows.append([text, str(loop.items), _number(median(loop, row)), each, _number(scaled, 0), _number(factor, 0)])
    for text, row in (
        ("`etcdctl mk`, a process each", "etcdctl"),
        ("`calicoctl apply` of one file, create", "calicoctl create"),
        ("`calicoctl apply` of one file, nothing to do", "calicoctl no-op"),
    ):
        total = median(loop, row)
        if total is not None:
            each = total / loop.items
            rows.append([text, str(loop.items), _number(total), _number(each * 1000, 1), _number(each * 1000, 0), ""])
    return _table("Without it", head, rows)


def _role(roles):
    head = ["hosts", "empty play", "one `run_once` task", "role, create", "role, nothing to do", "role, `--check`"]
    head += [
        "its CPU",
        "ms a host beyond the empty play",
        "and of CPU",
        "of CPU by `import_role`",
        "memory, MB",
        "rounds",
    ]
    rows = []
    for role in roles:
        cells = [_number(median(role, row)) for row in ("empty", "one task", "create", "no-op", "check")]
        cells.append(_number(median(role, "no-op", "cpu")))
        cells += [_number(_ms_a_host(role, field), 1) for field in ("wall", "cpu")]
        cells += [_number(_ms_a_host(role, "cpu", "imported"), 1), _number(median(role, "no-op", "memory"), 0)]
        rows.append(["{:,}".format(role.hosts), *cells, str(len(role.samples.get("no-op", ())))])
    return _table("The role", head, rows)


def _ms_a_host(role, field="wall", row="no-op"):
    value = median(role, row, field)
    return None if value is None else (value - median(role, "empty", field)) / role.hosts * 1000


def _large(larges):
    head = ["module alone, without the guard", "seconds", "CPU", "memory, MB", "seconds of a tenth", "ratio", "of CPU"]
    rows = []
    for large in larges:
        for text, row in (("create", "create"), ("nothing to do", "no-op"), ("1 % changed", "1 %")):
            rows.append(
                [
                    "{}, {:,}: {}".format(large.datastore_type, large.count, text),
                    _number(median(large, row)),
                    _number(median(large, row, "cpu")),
                    _number(median(large, row, "memory"), 0),
                    _number(median(large, row + ", a tenth")),
                    *[_number(_growth(large, row, field)) for field in ("wall", "cpu")],
                ]
            )
    return _table("Ten times as many", head, rows)


def _growth(section, row, field="wall"):
    return _over(median(section, row, field), median(section, row + ", a tenth", field))


def _targets(bulks, guards, loop, roles, larges):
    rows = []

    def target(text, value, unit, limit, at_least=False, cpu=None):
        sign = ">=" if at_least else "<="
        if value is None:
            verdict = "not measured"
        else:
            verdict = "met" if (value >= limit if at_least else value <= limit) else "NOT MET"
        measured = _number(value) + (unit if value is not None else "")
        rows.append([text, "%s %g%s" % (sign, limit, unit), measured, _number(cpu), verdict])

    thousand = _bulk_of(bulks, 1000)
    hosts = next((role for role in roles if role.hosts == 1000), None)

    for kind, create in _CREATE.items():
        large = _bulk_of(bulks, 10000, kind)
        name = "%s, 10,000: " % kind
        for text, row, base, limit in (
            ("nothing to do / floor playbook", "no-op, playbook", "floor playbook", "floor"),
            ("the same, `--check`", "check, playbook", "floor playbook", "floor"),
            ("`--check` of creating all / floor playbook", "check all, playbook", "floor playbook", "floor"),
            ("create, whole playbook / " + create, "create, playbook", create, "create"),
        ):
            wall, cpu = (
                large and _over(median(large, row, field), median(large, base, field)) for field in ("wall", "cpu")
            )
            target(name + text, wall, "", TARGETS[limit], cpu=cpu)
        memory = [median(large, row + ", module", "memory") for _text, row, _base in _OPERATIONS] if large else []
        memory = [value for value in memory if value is not None]
        target(name + "memory of the module, the largest", max(memory, default=None), " MB", TARGETS["memory"])
    for guard in guards:
        both = [_guard_alone(guard, field) for field in ("wall", "cpu")]
        text = "{}: the guard, with {} policies".format(_name(guard), guard.policies)
        target(text, both[0], " s", TARGETS["guard"], cpu=both[1])
    beyond, cpu = (hosts and _ms_a_host(hosts, field) for field in ("wall", "cpu"))
    target("1,000 hosts: role beyond an empty play", beyond, " ms a host", TARGETS["role"], cpu=cpu)
    many = next((role for role in roles if role.hosts == 10000), None)
    if many:
        ratio, cpu = (_over(_ms_a_host(many, field), hosts and _ms_a_host(hosts, field)) for field in ("wall", "cpu"))
        # Ten times the time is the same for each host.
        target("10,000 hosts: ms a host / those of 1,000", ratio, "", TARGETS["linear"] / 10, cpu=cpu)
        memory = median(many, "no-op", "memory")
        target("10,000 hosts: the largest process", memory, " MB", TARGETS["controller memory"])
    for large in larges:
        for row in ("create", "no-op", "1 %"):
            name = "{}, {:,}, {}: ".format(large.datastore_type, large.count, row)
            cpu = _growth(large, row, "cpu")
            target(name + "time / that of a tenth", _growth(large, row), "", TARGETS["linear"], cpu=cpu)
            target(name + "memory", median(large, row, "memory"), " MB", TARGETS["large memory"])
    for text, row in (("create", "create"), ("nothing to do", "no-op")):
        scaled = _loop_at(loop, row, 1000) if loop else None
        factor = thousand and _over(scaled, median(thousand, row + ", playbook"))
        target("1,000: %s, loop / one call" % text, factor, "", TARGETS["loop"], at_least=True)
    return _table("Targets", ["target", "wanted", "measured", "the same of CPU", "verdict"], rows)


def _bulk_of(bulks, count, datastore_type="etcdv2"):
    return next((bulk for bulk in bulks if (bulk.count, bulk.datastore_type) == (count, datastore_type)), None)


def raw(facts, sections):
    """Everything, for whoever wants to compute something else."""
    samples = {
        section.name: {row: [sample._asdict() for sample in found] for row, found in section.samples.items()}
        for section in sections
    }
    return json.dumps({"machine": facts, "samples": samples}, indent=1) + "\n"
