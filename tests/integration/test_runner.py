# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-runner, which is what AWX runs its jobs with, drives the installed playbook."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import ansible_runner
import pytest

from tests.harness.fleet import inventory
from tests.harness.module import collections_path
from tests.harness.pace import HANG
from tests.integration.role import ACTION, changes, fleet_of, identity_of, of_workers, worker

# AWX replaces a result whose text is longer by nothing at all.
AWX_LIMIT = 700_000
PASSWORD = "s3cr3t"


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    hosts = {"worker-%d" % number: worker(number) for number in (1, 2, 3)}
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet, datastore_type):
    _fleet.reset(datastore_type)
    return _fleet


@pytest.fixture
def job(tmp_path, fleet):
    """Run a job on three hosts, with these options and extra variables as AWX hands them over."""

    def run(options="", **variables):
        folder = tmp_path / "job"
        variables = {"hostendpoints_gather_facts": False, "hostendpoints_purge": "owned", **variables}
        environment = dict(
            fleet.environment,
            PATH=str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            HOME=str(tmp_path),
            ANSIBLE_HOME=str(tmp_path / "ansible"),
            ANSIBLE_COLLECTIONS_PATH=collections_path(),
            DATASTORE_TYPE=fleet.datastore.type,
            ETCD_ENDPOINTS=fleet.datastore.url,
            ETCD_USERNAME="awx",
            ETCD_PASSWORD=PASSWORD,
        )
        for path, content in {
            "inventory/hosts.json": inventory(["worker-1", "worker-2", "worker-3"]),
            "env/cmdline": options,
            "env/envvars": json.dumps(environment),
            "env/extravars": json.dumps(variables),
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
        cache = fleet.environment["ANSIBLE_CACHE_PLUGIN_CONNECTION"]
        return ansible_runner.run(
            private_data_dir=str(folder), playbook="netsec.calico.apply", quiet=True, timeout=HANG, fact_cache=cache
        )

    return run


def result_of(job):
    """What the role's task gave back, as the events have it."""
    # What is printed beside the events, the second line of a warning for one, becomes an event without data.
    events = [event.get("event_data", {}) for event in job.events]
    (result,) = [data["res"] for data in events if data.get("task_action") == ACTION and "res" in data]
    assert len(json.dumps(result)) < AWX_LIMIT
    return result


def failures_in(job):
    return {host: count for host, count in job.stats["failures"].items() if count}


def test_check_shows_and_apply_does(job, fleet):
    fleet.put("worker-1/old")
    check = job("--check --diff")
    assert check.status == "successful", check.stdout.read()
    predicted = result_of(check)
    assert predicted["changed"] and list(fleet.stored()) == ["worker-1/old"]
    assert changes(predicted) == ["create " + place for place in of_workers(1, 2, 3)] + ["delete worker-1/old"]
    assert [each["before_header"] for each in predicted["diff"]][
        -1
    ] == "host endpoint %(name)s on node %(node)s" % identity_of(fleet.datastore, "worker-1/old")
    assert "; expected_ips: 192.0.2.1, " in check.stdout.read()

    apply = job("--diff")
    assert apply.status == "successful", apply.stdout.read()
    done = result_of(apply)
    assert (done["changes"], done["diff"]) == (predicted["changes"], predicted["diff"])
    assert sorted(fleet.stored()) == of_workers(1, 2, 3)
    assert sum(apply.stats["changed"].values()) == 1 and not failures_in(apply)

    again = job("--check --diff")
    assert (again.status, result_of(again)["changed"], result_of(again)["diff"]) == ("successful", False, [])
    assert not again.stats["changed"]


@pytest.mark.thorough
def test_limit(job, fleet):
    assert job("--limit worker-2").status == "successful"
    assert sorted(fleet.stored()) == of_workers(2)


def test_a_failure(job, fleet):
    failed = job("--diff", hostendpoints_interfaces=[{"match": {"nmae": "eth0"}}])
    assert (failed.status, failed.rc) == ("failed", 2)
    assert "match.nmae is unknown" in result_of(failed)["msg"]
    assert failures_in(failed) and fleet.stored() == {}


@pytest.mark.parametrize("options", [pytest.param("--diff", marks=pytest.mark.thorough), "--check --diff -vvv"])
def test_the_password_is_in_no_event(job, options, tmp_path):
    assert job(options).status == "successful"
    for path in (tmp_path / "job" / "artifacts").rglob("*"):
        if path.is_file() and path.name != "command":
            assert PASSWORD not in path.read_text(encoding="utf-8"), path
