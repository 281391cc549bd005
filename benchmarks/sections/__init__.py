# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured. Each section does one round of everything it compares, so that rounds go A B A B."""

from __future__ import annotations

import json
import statistics
from typing import NamedTuple, Optional

from ..floor import RAW


class Table(NamedTuple):
    """The title and the columns ("a | b") of a table, to which each section of its kind adds rows."""

    title: str
    head: str


class Target(NamedTuple):
    """What a value is to be: at most `limit`, or with `at_least` at least that."""

    text: str
    value: Optional[float]
    limit: float
    unit: str = ""
    # The same value by the time of the processor, which fluctuates less.
    cpu: Optional[float] = None
    at_least: bool = False

    @property
    def is_met(self):
        return self.value >= self.limit if self.at_least else self.value <= self.limit


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

    def tables(self, others):
        """(table, rows of text cells); `others` are all measured sections by name, for comparisons."""
        raise NotImplementedError

    def targets(self, others):
        """The targets of this section."""
        raise NotImplementedError

    def median(self, row, field="wall"):
        """Of all rounds; None when there is none."""
        values = [getattr(sample, field) for sample in self.samples.get(row, ())]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def spread(self, row):
        """The fastest and the slowest round, when there are several."""
        values = [sample.wall for sample in self.samples.get(row, ())]
        return "%.2f-%.2f" % (min(values), max(values)) if len(values) > 1 else ""


def number(value, digits=2):
    """A cell of a table."""
    return "" if value is None else "%.*f" % (digits, value)


def over(value, base):
    return None if value is None or not base else value / base


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
