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


def markdown(facts, sections):
    """The tables of all measured sections, and their targets."""
    sections = {section.name: section for section in sections if section.samples}
    tables = {}
    for section in sections.values():
        for table, rows in section.tables(sections):
            tables.setdefault(table, []).extend(rows)
    parts = [_facts(facts), *(_table(table.title, table.head, rows) for table, rows in tables.items())]
    targets = [target for section in sections.values() for target in section.targets(sections)]
    if targets:
        parts.append(_table("Targets", "target | wanted | measured | the same of CPU | verdict", map(_target, targets)))
    return "\n".join(parts)


def _target(target):
    return [
        target.text,
        "%s %g%s" % (">=" if target.at_least else "<=", target.limit, target.unit),
        "%.2f%s" % (target.value, target.unit),
        "" if target.cpu is None else "%.2f" % target.cpu,
        "met" if target.is_met else "**missed**",
    ]


def _facts(facts):
    text = ", ".join("%s: %s" % item for item in facts.items()) + ". Medians, in seconds of the wall clock.\n"
    if float(facts["load at the start"]) > MOST_LOAD:
        text += "\n**The machine was busy with something else: the wall clock says little, go by the CPU time.**\n"
    return text


def _table(title, head, rows):
    head = head.split(" | ")
    lines = ["### " + title, "", _line(head), _line("---" if index == 0 else "---:" for index in range(len(head)))]
    return "\n".join(lines + [_line(row) for row in rows]) + "\n"


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def raw(facts, sections):
    """Everything, for whoever wants to compute something else."""
    samples = {
        section.name: {row: [sample._asdict() for sample in found] for row, found in section.samples.items()}
        for section in sections
    }
    return json.dumps({"machine": facts, "samples": samples}, indent=1) + "\n"
