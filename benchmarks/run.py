# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure, and print a table in Markdown: `make bench`, and `make bench ARGS=--quick` for a first impression."""

from __future__ import annotations

import argparse
import sys
import time

from tests.harness.etcd import EtcdServer
from tests.harness.module import COLLECTION

from . import report
from .processes import Workshop
from .sections import Bench
from .sections.bulk import Bulk, Guard, Large
from .sections.hosts import Audit, Role
from .sections.tasks import Loop, Single

RESULTS = COLLECTION / ".cache" / "bench" / "results.json"
# What is between these in the README is the table.
_MARKS = "<!-- table -->\n", "<!-- end of the table -->\n"


def list_sections(quick, loop_items):
    """Each with the most rounds that it gets and its share of the time."""
    if quick:
        bulks = [Bulk(100, 1, 0), Bulk(1000, 1, 0), Bulk(1000, 1, 0, "etcdv3")]
        guards = [Guard(1000, 50, 1, 0, "etcdv2"), Guard(1000, 50, 1, 0, "etcdv3")]
        return [
            *bulks,
            *guards,
            Single("single", 1, 0),
            Loop(10, 1, 0),
            Role(10, 1, 0),
            Role(100, 1, 0),
            Audit(1000, 20, 1, 0),
        ]
    bulks = [Bulk(100, 5, 0.08), Bulk(1000, 5, 0.1), Bulk(10000, 3, 0.35)]
    bulks += [Bulk(100, 5, 0.06, "etcdv3"), Bulk(1000, 5, 0.07, "etcdv3"), Bulk(10000, 3, 0.15, "etcdv3")]
    guards = [Guard(10000, 500, 3, 0.05, "etcdv2"), Guard(10000, 500, 3, 0.05, "etcdv3")]
    tasks = [Single("single", 5, 0.05), Loop(loop_items, 3, 0.1)]
    hosts = [Role(10, 3, 0.05), Role(100, 3, 0.06), Role(1000, 3, 0.14), Audit(10000, 20, 3, 0.05)]
    return [*bulks, *guards, *tasks, *hosts]


def list_large_sections():
    """Those that take some 15 minutes."""
    return [Role(10000, 1, 0), *(Large(100000, 1, 0, kind) for kind in ("etcdv2", "etcdv3"))]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Measure the collection's speed.")
    parser.add_argument("--quick", action="store_true", help="one round, and nothing large: a minute")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="sections with this in their name: 'bulk etcdv2 10000'"
    )
    parser.add_argument("--loop", type=int, default=100, metavar="N", help="items of the loop; 1000 take 10 minutes")
    parser.add_argument("--budget", type=float, default=330, metavar="SECONDS", help="begin no other round after that")
    parser.add_argument("--large", action="store_true", help="100,000 endpoints and 10,000 hosts, too: 20 minutes")
    report.add_busy_option(parser)
    parser.add_argument("--update-readme", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args(arguments)
    report.refuse_busy(parser, options.busy)
    sections = list_sections(options.quick, options.loop)
    if options.large:
        sections += list_large_sections()
    sections = [section for section in sections if options.only in section.name]
    with Workshop() as shop, EtcdServer(on_disk=True) as server:
        facts = report.machine(server, shop.folder)
        bench = Bench(shop, server)
        for section in sections:
            _measure(section, bench, options.budget)
        table = report.markdown(facts, sections)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(report.raw(facts, sections), encoding="utf-8")
    print(table)
    if options.update_readme:
        report.update_readme(_MARKS, table)


def _measure(section, bench, budget):
    """One round at least, and as many as are wanted while the section's share of the budget lasts."""
    start = time.monotonic()
    for number in range(section.rounds):
        begun = time.monotonic()
        section.measure(bench)
        now = time.monotonic()
        print("%s, round %d: %.0f s" % (section.name, number + 1, now - begun), file=sys.stderr, flush=True)
        if now - start + (now - begun) > budget * section.share:
            break


if __name__ == "__main__":
    main()
