# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netsec.calico.plan writes what netsec.calico.apply then applies, policies and endpoints, or refuses as a whole."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.role_plan import pack
from tests.integration.role import fleet_of, worker
from tests.integration.test_role_policies import BASE, HOSTS, POLICIES, stored

PLAN = "Plan the host endpoints"


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {host: worker(number + 1) for number, host in enumerate(HOSTS)}) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet):
    _fleet.reset("etcdv3")
    return _fleet


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.json"


def playbook(fleet, name, variables, **extra):
    extra = json.dumps({"hostendpoints_gather_facts": False, **extra})
    return fleet.playbook("netsec.calico." + name, HOSTS, "-e", extra, variables=variables)


def result_of(found, task):
    """The result of a task of the action plugins."""
    results = [
        each["result"]
        for each in found.results
        if each["task"].endswith(task) and each["action"].startswith("netsec.calico.calico_inventory")
    ]
    assert len(results) == 1, found
    return results[0]


def test_both_roles_are_planned_in_one_file_and_applied_from_it(fleet, path):
    fleet.put("worker-1/old")
    variables = {**BASE, "hostendpoints_purge": "owned", "hostendpoints_guard": "enforce"}
    planned = playbook(fleet, "plan", variables, hostendpoints_plan=str(path))
    result = result_of(planned, PLAN)
    assert planned.returncode == 0, planned
    assert result["plan_summary"][:2] == [
        "policies and their resources: 4 to create, 0 to change, 0 to delete",
        "host endpoints: 4 to create, 0 to change, 1 to delete",
    ]
    assert result["plan_summary"][2].endswith("netsec.calico.apply -e hostendpoints_plan=%s" % path)
    assert result["diff"] and path.stat().st_mode & 0o777 == 0o600
    assert stored(fleet) == {} and set(fleet.stored()) == {"worker-1/old"}
    applied = playbook(fleet, "apply", variables, hostendpoints_plan=str(path))
    assert applied.returncode == 0, applied
    assert stored(fleet).keys() == POLICIES and len(fleet.stored()) == 4
    # What AWX passes to the next job.
    assert result["plan_document"] == ""
    again = playbook(fleet, "apply", variables, hostendpoints_plan_document=pack(json.loads(path.read_text())))
    assert again.returncode == 0 and not any(each["changed"] for each in again.stats.values()), again
    assert "all changes of the plan (5) were already made" in again.stderr


def test_if_an_endpoint_was_changed_the_policies_are_not_written_either(fleet, path):
    assert playbook(fleet, "plan", BASE, hostendpoints_plan=str(path)).returncode == 0
    fleet.put("worker-2/eth0", theirs="1")
    before = fleet.stored()
    refused = playbook(fleet, "apply", BASE, hostendpoints_plan=str(path))
    message = result_of(refused, "Compare the plan of the host endpoints")["msg"]
    assert "host endpoint worker-2-eth0 on node worker-2 was created by another client after the plan" in message
    assert refused.returncode != 0 and stored(fleet) == {} and fleet.stored() == before
