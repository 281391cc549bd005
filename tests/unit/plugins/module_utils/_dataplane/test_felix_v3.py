# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the real Felix v3.32.1 let through, connection by connection, and what is told of it from the datastore."""

from __future__ import annotations

import collections
import functools
import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.verdict import UNKNOWN
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v3 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import snapshot_v3
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.tests.unit.plugins.module_utils._dataplane.measured import (
    VERDICTS,
    build_connection,
    read_rows,
)

RESOURCES = "/calico/resources/v3/projectcalico.org/"
ENDPOINTS = RESOURCES + "hostendpoints/"
FELIX = RESOURCES + "felixconfigurations/default"


@functools.lru_cache(maxsize=None)
def rows_of(name):
    return read_rows("felix_v3_dataplane{0}.jsonl".format(name))


def endpoints_of(etcd):
    for key, value in etcd.items():
        if key.startswith(ENDPOINTS):
            name = key[len(ENDPOINTS) :]
            misplaced = "" if name and "/" not in name else "the key is not one of an endpoint"
            yield Stored(key, 1, value, "", name, CODEC, misplaced)


def with_mode(row, mode):
    """The state with the setting that tells Felix which dataplane to use."""
    found = json.loads(row["etcd"].get(FELIX, '{"metadata":{"name":"default"},"spec":{}}'))
    found["spec"] = dict(found["spec"] or {}, nftablesMode=mode)
    return dict(row, etcd=dict(row["etcd"], **{FELIX: json.dumps(found)}))


def host_of(row, dataplane=""):
    """The host, whose dataplane is known from elsewhere, or from the datastore."""
    evaluation = Evaluator(V3, snapshot_v3(row["etcd"], endpoints_of(row["etcd"])))
    return build_host(evaluation, row["host"], row["interfaces"], dataplane=dataplane)


def answers_of(row, dataplane=""):
    host = host_of(row, dataplane)
    return [(host.evaluate(build_connection(given)), VERDICTS[given["result"]], given) for given in row["connections"]]


class Score:
    """How many answers are right, and by their reasons the ones that are wrong or unknown."""

    def __init__(self, rows, dataplane=""):
        self.total = 0
        self.wrong = collections.Counter()
        self.unknown = collections.Counter()
        for row in rows:
            for answer, verdict, given in answers_of(row, dataplane):
                assert answer.decided_by and answer.reason
                self.total += 1
                if answer.verdict == UNKNOWN:
                    self.unknown[answer.reason] += 1
                elif answer.verdict != verdict:
                    self.wrong[row["name"], given["direction"], given.get("port"), verdict, answer.reason] += 1

    @property
    def unknown_share(self):
        return sum(self.unknown.values()) / self.total


def plain(name, is_storable):
    return [
        row for row in rows_of(name) if "environment" not in row and bool(row.get("calicoctl_stores")) == is_storable
    ]


@pytest.mark.parametrize("name", ["", "_random"])
@pytest.mark.parametrize("is_storable, most", [(True, 0.01), (False, 0.05)])
def test_what_felix_did_with_iptables(name, is_storable, most):
    score = Score(plain(name, is_storable), "iptables")
    assert score.total > 1000
    assert not score.wrong
    assert score.unknown_share < most, score.unknown.most_common(20)


@pytest.mark.parametrize("name", ["", "_random"])
def test_where_the_dataplane_is_unknown_nothing_is_wrong(name):
    """And only what depends on it is unknown."""
    for is_storable in (True, False):
        rows = plain(name, is_storable)
        score, known = Score(rows), Score(rows, "iptables")
        assert not score.wrong
        by_dataplane = sum(number for reason, number in score.unknown.items() if "dataplane" in reason)
        assert sum(score.unknown.values()) - by_dataplane <= sum(known.unknown.values())


@pytest.mark.parametrize("name", ["", "_random"])
def test_what_does_not_follow_from_the_datastore_is_unknown(name):
    for row in rows_of(name):
        if "environment" in row:
            assert {answer.verdict for answer, _verdict, _given in answers_of(row)} == {UNKNOWN}, row["name"]


def test_what_felix_did_with_nftables():
    rows = rows_of("_nft")
    assert not Score(rows).wrong
    plain_rows = [row for row in rows if "environment" not in row]
    for known in (Score(plain_rows, "nftables"), Score([with_mode(row, "Enabled") for row in plain_rows])):
        assert not known.wrong and not known.unknown
    for row in rows:
        if "environment" in row:
            for dataplane in ("", "nftables"):
                assert {each[0].verdict for each in answers_of(row, dataplane)} == {UNKNOWN}


def test_what_is_the_same_with_nftables():
    """Of the rows that were measured with both dataplanes, most have the same results."""
    others = {row["name"] for row in rows_of("_nft")}
    rows = [row for row in rows_of("") if "environment" not in row and row["name"] not in others]
    score = Score(rows, "nftables")
    assert not score.wrong and score.unknown_share < 0.01, score.unknown.most_common(20)
