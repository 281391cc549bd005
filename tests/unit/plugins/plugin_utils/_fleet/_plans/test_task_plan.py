# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of both roles, as their tasks write and read it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._plan.plan_file import (
    PlanFile,
    PlannedChange,
    build_document,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans import task_plan
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.role_plan import (
    HOSTENDPOINTS,
    POLICIES,
    RolePlan,
    pack,
    unpack,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.task_plan import WRITE, read_task_plan
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed


def document(*names):
    created = [
        PlannedChange("create", Ref("Tier", name), "/" + name, "", {"name": "{{ %s }}" % name}) for name in names
    ]
    return build_document(PlanFile({"type": "toy"}, "me", "today", created))


PLAN = RolePlan(document("a"), document("b", "c"))


def read(has_batches=False, **arguments):
    hosts = SimpleNamespace(has_batches=lambda: has_batches)
    run = SimpleNamespace(arguments=arguments, hosts=hosts, get_variable_name="hostendpoints_{0}".format)
    found = read_task_plan(run)
    assert not arguments
    return found


def test_what_is_written_is_read_from_the_file_and_from_the_string(tmp_path):
    path = tmp_path / "my plan.json"
    written = read(plan=str(path), plan_mode=WRITE).save(PLAN)
    assert written["plan_summary"] == [
        "policies and their resources: 1 to create, 0 to change, 0 to delete",
        "host endpoints: 2 to create, 0 to change, 0 to delete",
        "To apply exactly this: ansible-playbook netsec.calico.apply -e 'hostendpoints_plan=%s'" % path,
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    assert written["plan_document"] == ""
    published = read(plan_mode=WRITE).save(PLAN)["plan_document"]
    for found in (read(plan=str(path)), read(plan_document=published)):
        assert found.given == PLAN
        assert found.build_contents(HOSTENDPOINTS) == {"plan_src": PLAN.hostendpoints}
    assert not set("{}%'\" \n") & set(published)
    assert read().given is None and read(plan="", plan_document="").build_contents(POLICIES) == {}


def test_without_a_file_the_plan_is_only_published():
    written = read(plan_mode=WRITE).save(PLAN)
    assert unpack(written["plan_document"]) == PLAN.build_document() and written["plan_path"] == ""
    assert "hostendpoints_plan is empty" in written["plan_summary"][-1]


def test_a_plan_that_is_too_large_to_be_published_needs_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(task_plan, "PACKED_SIZE", 10)
    with pytest.raises(RunFailed, match="too large to be published .* set hostendpoints_plan to a path"):
        read(plan_mode=WRITE).save(PLAN)
    assert read(plan=str(tmp_path / "plan"), plan_mode=WRITE).save(PLAN)["plan_document"] == ""
    with pytest.raises(RunFailed, match="the plan of the policies is too large"):
        task_plan.pack_policies(document("a"))


def test_policies_must_be_declared_if_and_only_if_the_plan_has_some():
    with pytest.raises(
        RunFailed, match="hostendpoints_plan_document: the plan has 1 changes of policies, but none are"
    ):
        read(plan_document=pack(PLAN.build_document())).check_no_policies()
    without = RolePlan(None, PLAN.hostendpoints)
    found = read(plan_document=pack(without.build_document()))
    found.check_no_policies()
    with pytest.raises(RunFailed, match="the plan has no policies, but some are declared now; nothing was written"):
        found.build_contents(POLICIES)


WHOLE = json.dumps(PLAN.build_document())


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{", "is not JSON: line 1"),
        ("[]", "its schema is missing, not netsec.calico/role-plan/1"),
        (json.dumps(PLAN.hostendpoints), "its schema is 'netsec.calico/plan/1', not netsec.calico/role-plan/1"),
        (json.dumps({"schema": "netsec.calico/role-plan/1"}), "its schema is missing, not netsec.calico/plan/1"),
        (WHOLE.replace('"create"', '"delete"'), "was changed or damaged"),
    ],
)
def test_an_invalid_file_is_refused_with_its_name(tmp_path, text, problem):
    path = tmp_path / "plan"
    path.write_text(text)
    with pytest.raises(RunFailed) as failed:
        read(plan=str(path))
    assert str(failed.value).startswith("hostendpoints_plan %s: " % path) and problem in str(failed.value)


PACKED = pack(PLAN.build_document())


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ({"plan": "/no/such/file"}, "hostendpoints_plan /no/such/file: No such file or directory"),
        ({"plan": "/no/such/file", "plan_mode": WRITE}, "the folder /no/such does not exist"),
        ({"plan": "a\0"}, "contains a NUL character"),
        ({"plan": ["a"]}, r"hostendpoints_plan: \['a'\] is not a string"),
        ({"plan": "a", "plan_document": "b"}, "hostendpoints_plan and hostendpoints_plan_document are both given"),
        ({"plan_document": "x"}, "hostendpoints_plan_document: is not a plan that netsec.calico.plan has published"),
        ({"plan_document": PACKED[:80]}, "is only a part of a plan"),
        ({"plan_mode": "both"}, "plan_mode: 'both' is unknown"),
        ({"plan": "a", "has_batches": True}, "hostendpoints_plan: a plan covers all hosts at once; remove serial"),
    ],
)
def test_an_invalid_option_is_refused(arguments, problem):
    with pytest.raises(RunFailed, match=problem):
        read(**arguments)
