# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook check_policies on the guide's repository, with recorded facts: no datastore and no host answers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.harness.fleet import RecordedFleet, interface, server
from tests.harness.module import run_playbook

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "connectivity_guide.rst"
SECTION = "Testing policies before they are applied\n---"
FILE = re.compile(r"``([\w/]+\.\w+)``:\n\n\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)")
COMMAND = re.compile(r"^    \$ ansible-playbook (.*)$", re.MULTILINE)
ADDRESSES = {"web1": "192.0.2.21/24", "web2": "192.0.2.22/24", "db1": "192.0.2.31/24"}
RUN = "Evaluate the expectations by the declared policies"


def section():
    text = GUIDE.read_text()
    return text[text.index(SECTION) :]


@pytest.fixture(scope="module")
def _repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    for name, text in FILE.findall(section()):
        path = folder / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub("^    ", "", text, flags=re.MULTILINE))
    loopback = interface("lo", "127.0.0.1/8", type="loopback")
    hosts = {name: server(name, loopback, interface("eth0", each), default="eth0") for name, each in ADDRESSES.items()}
    # Each ansible-core writes its own form.
    RecordedFleet(folder / "recorded", hosts)
    shutil.copytree(folder / "recorded" / "cache", folder / "repository" / "facts")
    return folder / "repository"


@pytest.fixture
def repository(_repository, tmp_path):
    return Path(shutil.copytree(_repository, tmp_path / "repository"))


def check(repository, *args):
    ((command),) = COMMAND.findall(section())
    assert command == "-i inventory.yml netsec.calico.check_policies"
    # A connection to a host or a datastore would fail.
    env = {"CALICO_ETCD_ENDPOINTS": "http://127.0.0.1:1", "ANSIBLE_SSH_EXECUTABLE": "/bin/false"}
    return run_playbook("netsec.calico.check_policies", repository / "inventory.yml", args, env, cwd=repository)


def cases(repository):
    """{(host, name of the expectation): the element of its result, and the text}"""
    root = ElementTree.parse(repository / "check.xml").getroot()
    return {
        (suite.get("name"), case.get("name").partition(":")[0]): (case[0].tag, case[0].text)
        for suite in root
        for case in suite
    }


def test_the_guides_policies_do_what_it_expects(repository):
    run = check(repository)
    result = run.result(RUN)
    assert run.returncode == 0, run
    assert result["summary"] == {"met": 5, "unmet": 0, "unknown": 0}
    assert not result.get("warnings")
    found = cases(repository)
    assert {tag for tag, _text in found.values()} == {"system-out"}
    assert "fleet-allow-ssh" in found["db1", "SSH by operators"][1]


def test_a_broken_policy_and_a_host_without_facts(repository):
    policy = repository / "policies" / "database.yml"
    policy.write_text(policy.read_text().replace("[5432]}}", "[5433]}}"))
    (repository / "cluster" / "shop.yaml").write_text("{apiVersion: apps/v1, kind: Deployment, metadata: {name: shop}}")
    (fact,) = (repository / "facts").glob("*web2")
    fact.unlink()
    run = check(repository, "--check")
    assert run.returncode != 0
    reason = "5 expectations of 3 hosts: 3 met, 1 unmet, 1 unknown"
    assert run.result("Fail unless all expectations are met")["msg"] == reason
    assert run.result(RUN)["warnings"] == ["manifests that are not evaluated: 1 Deployment"]
    (shown,) = re.findall(r"^    (UNMET .*)\.\.\.$", section(), re.MULTILINE)
    unmet, unknown, counts = run.result("Show what is not met")["hostendpoints_check_result.lines"]
    assert unmet.startswith(shown)
    assert unknown.startswith("UNKNOWN web2: facts: ") and unknown.endswith("are unknown: no facts exist")
    assert counts == reason
    found = cases(repository)
    assert found["web1", "database"] == ("failure", unmet.partition("expect allow: ")[2])
    assert found["web2", "facts"][0] == "error"


def test_the_pipelines_of_the_guide_run_the_same_command():
    (command,) = COMMAND.findall(section())
    text = section()
    for start in ("    check-policies:\n", "    name: check-policies\n"):
        lines = text[text.index(start) :].partition("\n\n")[0]
        assert "ansible-playbook " + command in str(yaml.safe_load(lines))
