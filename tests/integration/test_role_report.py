# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run: the number of changes in one line, for the reader, for AWX, and for a check that must find none."""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.role import fleet_of, of_workers, worker

HOSTS = ["worker-1", "worker-2"]
POLICIES = {"calico_policies_library": ["ssh", "default_deny"], "calico_policies_ssh_from": ["192.0.2.0/24"]}
SHOWN = {"ANSIBLE_SHOW_CUSTOM_STATS": "true"}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {name: worker(int(name[-1])) for name in HOSTS}) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet):
    _fleet.reset("etcdv3")
    return _fleet


def apply(fleet, *args, playbook="netsec.calico.apply", **variables):
    args = ("-e", "hostendpoints_gather_facts=false", *args)
    return fleet.playbook(playbook, HOSTS, *args, variables=variables, env=SHOWN)


def line(run):
    """The one line that the run shows."""
    ((_host, message),) = [
        (each["host"], each["result"]["msg"]) for each in run.results if each["task"] == "Show the number of changes"
    ]
    return message


def published(run):
    (text,) = re.findall(r"^\s*RUN: (.*)$", run.stdout, re.MULTILINE)
    return json.loads(text)["hostendpoints_apply"]


def test_a_check_that_must_find_nothing_fails_after_everything_was_reported(fleet):
    variables = {**POLICIES, "hostendpoints_check_fails_on_change": True}
    run = apply(fleet, "--check", "--diff", **variables)
    text = "policies: 3 to create, 0 to change, 0 to delete; host endpoints: 4 to create, 0 to change, 0 to delete"
    assert line(run) == text and run.returncode != 0
    found = published(run)
    assert found["text"] == text and found["check_mode"] is True
    assert found["counts"]["hostendpoints"] == {"created": 4, "updated": 0, "deleted": 0, "unchanged": 0}
    assert found["counts"]["policies"]["created"] == 3
    assert found["datastore"] == {"type": "etcdv3", "endpoints": [fleet.datastore.server.url]}
    (failed,) = [each for each in run.results if each["status"] == "failed"]
    reason = "check mode found changes, and hostendpoints_check_fails_on_change is true: "
    assert failed["result"]["msg"] == reason + text
    # A new resource is one line.
    for resource in ("host endpoint worker-1-eth0 on node worker-1", "global network policy fleet-allow-ssh"):
        assert re.search(r"\+\+\+ after: %s \(create\)\n@@ -0,0 \+1 @@\n\+.*\n\n" % resource, run.stdout), run.stdout
    assert fleet.stored() == {}
    # Without the check, the same variable changes nothing.
    run = apply(fleet, **variables)
    done = "policies: 3 created, 0 changed, 0 deleted; host endpoints: 4 created, 0 changed, 0 deleted"
    assert line(run) == done == published(run)["text"] and run.returncode == 0
    assert sorted(fleet.stored()) == of_workers(1, 2)
    run = apply(fleet, "--check", **variables)
    assert line(run) == re.sub("[1-9]", "0", text) and run.returncode == 0


def test_policies_alone(fleet):
    variables = {**POLICIES, "hostendpoints_check_fails_on_change": True}
    run = apply(
        fleet, "--check", "--diff", playbook="netsec.calico.policies", hostendpoints_diff_style="full", **variables
    )
    text = "policies: 3 to create, 0 to change, 0 to delete"
    assert line(run) == text == published(run)["text"] and run.returncode != 0
    assert "+kind: GlobalNetworkPolicy" in run.stdout
    # Without policies, the endpoints' line is the only part.
    run = apply(fleet, "--check")
    assert line(run) == "host endpoints: 4 to create, 0 to change, 0 to delete" and run.returncode == 0
