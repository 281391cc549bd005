# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the real Felix 2.6.8 let through, connection by connection, and what is told of it from the datastore."""

from __future__ import annotations

import re

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.verdict import UNKNOWN
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v1 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import snapshot_v1
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import (
    NONE_GIVEN,
    parse_failsafes,
)
from ansible_collections.netsec.calico.plugins.module_utils._policies.model import ALLOW
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1
from ansible_collections.netsec.calico.tests.unit.plugins.module_utils._dataplane.measured import (
    VERDICTS,
    build_connection,
    read_rows,
)

ROWS = [*read_rows("felix_v1_dataplane.jsonl"), *read_rows("felix_v1_dataplane_random.jsonl")]
# Causes that the datastore shows. The other ones are Felix' own files, other rules of iptables, connections that were
# there before, and a Felix that is stopped.
VISIBLE = ("felix-failed", "felix-waiting")
PLAIN = [row for row in ROWS if "environment" not in row]
ENDPOINT = re.compile("/calico/v1/host/([^/]+)/endpoint/([^/]+)")


def endpoints_of(etcd):
    for key, value in etcd.items():
        found = ENDPOINT.fullmatch(key)
        if found:
            yield Stored(key, 1, value, found.group(1), unescaped(found.group(2)), CODEC)


def unescaped(name):
    return name.replace("%2f", "/").replace("%25", "%")


def with_length(address):
    return address + ("/64" if ":" in address else "/24")


def host_of(row, form=lambda name, address: with_length(address), failsafes=NONE_GIVEN):
    """The host, with its addresses in a form that depends on the interface's name."""
    interfaces = {name: [form(name, address) for address in addresses] for name, addresses in row["interfaces"].items()}
    evaluation = Evaluator(V1, snapshot_v1(row["etcd"], endpoints_of(row["etcd"])))
    return build_host(evaluation, row["host"], interfaces, failsafes)


def answers_of(row, **given):
    """The answer, what Felix did, and the connection; of connections that were new."""
    host = host_of(row, **given)
    for given in row["connections"]:
        if not given.get("established"):
            yield host.evaluate(build_connection(given)), VERDICTS[given["result"]], given


def named(rows):
    return {"argvalues": rows, "ids": [row["name"] for row in rows]}


@pytest.mark.parametrize("row", **named(PLAIN))
def test_what_felix_did(row):
    wrong = [
        (given, answer)
        for answer, verdict, given in answers_of(row)
        if answer.verdict not in (verdict, UNKNOWN) or not answer.decided_by or not answer.reason
    ]
    assert wrong == []


# Which addresses have no prefix length.
WITHOUT_LENGTHS = {
    "all": lambda name, address: address,
    "eth0's": lambda name, address: address if name == "eth0" else with_length(address),
    "eth1's": lambda name, address: address if name == "eth1" else with_length(address),
    "mgmt0's": lambda name, address: address if name == "mgmt0" else with_length(address),
    "IPv4's": lambda name, address: address if "." in address else with_length(address),
}


@pytest.mark.parametrize("which", WITHOUT_LENGTHS)
def test_without_prefix_lengths_nothing_is_wrong(which):
    """Which interface a packet uses, its own address does not tell."""
    wrong, hints = [], 0
    for row in PLAIN:
        for answer, verdict, given in answers_of(row, form=WITHOUT_LENGTHS[which]):
            if answer.verdict == UNKNOWN:
                hints += (
                    "such as {eth0: [192.0.2.7/24]}, or set in" in answer.reason
                    or "or set out_interface" in answer.reason
                )
            elif answer.verdict != verdict:
                wrong.append((row["name"], given, answer))
    assert wrong == [] and hints > 0


def test_little_is_unknown():
    verdicts = [answer.verdict for row in PLAIN for answer, _verdict, _given in answers_of(row)]
    assert len(verdicts) > 6500
    assert verdicts.count(UNKNOWN) < len(verdicts) * 0.02


@pytest.mark.parametrize("row", **named([row for row in ROWS if row.get("environment") in VISIBLE]))
def test_a_cause_that_the_datastore_shows_is_named(row):
    failure = row.get("felix_failure", "")
    parameter = re.search("config parameter ([A-Za-z]+)", failure)
    cause = parameter.group(1) if parameter else "Felix fails on a rule" if "iptables" in failure else "Ready"
    for answer, _verdict, given in answers_of(row):
        assert answer.verdict == UNKNOWN, given
        assert cause.lower() in answer.reason.lower()


def local_failsafes_of(row):
    """What Felix has in its environment, else in its file."""
    found = {}
    for side in ("Inbound", "Outbound"):
        name = "Failsafe%sHostPorts" % side
        text = row.get("felix_env", {}).get("FELIX_" + name.upper()) or row.get("felix_cfg", {}).get(name)
        if text:
            found[side.lower()] = text.split(",")
    return found


LOCAL = [row for row in ROWS if row.get("environment") == "felix-local-config" and local_failsafes_of(row)]


@pytest.mark.parametrize("row", **named(LOCAL))
def test_failsafes_of_felix_environment_and_file(row):
    given = parse_failsafes(local_failsafes_of(row), "failsafes")
    assert [
        (asked, answer) for answer, verdict, asked in answers_of(row, failsafes=given) if answer.verdict != verdict
    ] == []


def test_there_are_rows_with_such_failsafes():
    assert len(LOCAL) > 1


@pytest.mark.parametrize("row", **named([row for row in ROWS if row.get("environment") == "neighbour-discovery"]))
def test_neighbour_discovery(row):
    """IPv6 works just where its neighbours are found, too."""
    for answer, verdict, given in answers_of(row):
        works = answer.verdict == ALLOW and answer.neighbour_discovery in ("", ALLOW)
        assert works == (verdict == ALLOW), (given, answer)
        assert answer.verdict != ALLOW or works == ("neighbour" not in answer.reason)


@pytest.mark.parametrize("row", **named([row for row in PLAIN if "endpoint_status" in row]))
def test_which_endpoints_govern(row):
    """Felix reports the ones that do as up, those that it takes but that do not as error, and not the others."""
    host = host_of(row)
    statuses = {unescaped(name): status for name, status in row["endpoint_status"].items()}
    governing = {each.governing.name for each in host.interfaces.values() if each.governing}
    if not host.problem and not any(name.startswith(host.felix.workload_prefixes) for name in host.interfaces):
        assert governing == {name for name, status in statuses.items() if status == "up"}
    taken = {candidate.name for candidate in host.candidates if not candidate.rejected}
    assert taken == set(statuses)
