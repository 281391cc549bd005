# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of the role's variables matches the role, its documentation, the playbooks and the datastores' options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.netsec.calico.plugins.doc_fragments._connection import ModuleDocFragment
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import list_options
from ansible_collections.netsec.calico.plugins.module_utils._module.options import build_connection_options
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import (
    OF_THE_ROLE,
    PREFIX,
    SURVEYED,
    VARIABLES,
    Scope,
    check_spelling,
    list_names,
    list_types,
    unknown_variables,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

ROOT = Path(__file__).resolve().parents[5]
ROLE = ROOT / "roles" / "hostendpoints"
# {connection option: its variable without the prefix}
ROLE_VARIABLES = {option.name: option.role_variable or option.name for option in list_options()}


def named(text):
    return set(re.findall(r"(?<![\w])hostendpoints_[a-z0-9_]+", text))


def options_of_the_role():
    entry_points = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return {name: spec for entry_point in entry_points.values() for name, spec in entry_point["options"].items()}


def defaults_of_the_role():
    return yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())


def prefixed(*scopes):
    return {PREFIX + name for name in list_names(*scopes)}


def test_a_name_has_one_row():
    names = [variable.name for variable in VARIABLES]
    assert len(names) == len(set(names))


def test_it_has_every_option_of_the_role():
    assert set(options_of_the_role()) == {PREFIX + name for name in OF_THE_ROLE}


def test_its_types_are_those_of_the_argument_specification():
    options = options_of_the_role()
    typed = [variable for variable in VARIABLES if variable.type]
    assert set(list_types(Scope.HOST)) <= {variable.name for variable in typed}
    assert {each.name: each.type for each in typed} == {
        each.name: options[PREFIX + each.name]["type"] for each in typed
    }


def test_defaults_are_those_of_the_argument_specification():
    documented = {name: spec["default"] for name, spec in options_of_the_role().items() if "default" in spec}
    defaults = defaults_of_the_role()
    # Too long for the documentation, which describes them.
    assert set(defaults) - set(documented) == {PREFIX + "ignore", PREFIX + "interfaces"}
    assert {name: defaults[name] for name in documented} == documented


def test_only_what_may_be_undefined_has_no_default():
    without = {PREFIX + name for name in OF_THE_ROLE} - set(defaults_of_the_role())
    connection = {PREFIX + variable for variable in ROLE_VARIABLES.values()}
    assert without == connection | {PREFIX + "guard_limit", PREFIX + "gathered_dest"}


def test_the_readme_has_a_row_for_each_variable():
    rows = re.findall(r"^\| (`hostendpoints_.*?) \|", (ROLE / "README.md").read_text(), re.MULTILINE)
    names = [name for row in rows for name in named(row)]
    assert sorted(names) == sorted(PREFIX + name for name in OF_THE_ROLE)


def test_the_tasks_get_every_variable_that_is_not_a_hosts_own():
    mapped = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    tasks = {
        "__hostendpoints_apply": prefixed(Scope.RUN, Scope.WRITING),
        "__hostendpoints_audit": prefixed(Scope.RUN, Scope.AUDIT),
        "__hostendpoints_gather": prefixed(Scope.RUN) | {PREFIX + "gathered_dest"},
        "__hostendpoints_decommission": prefixed(Scope.RUN),
    }
    # What a task without a purge does not need.
    optional = {PREFIX + name for name in ("purge", "purge_limit", "decommission")}
    for task, expected in tasks.items():
        own = {PREFIX + "python_interpreter", "__hostendpoints_facts_result", "__hostendpoints_policies_result"}
        plan = set(mapped["__hostendpoints_plan"].values()) if task == "__hostendpoints_apply" else set()
        names = set(mapped[task].values()) - own - plan
        assert names <= expected and expected - names <= optional, task
    assert set(mapped["__hostendpoints_apply"].values()) >= prefixed(Scope.RUN, Scope.WRITING)
    assert set(mapped["__hostendpoints_plan"].values()) == {PREFIX + "plan", PREFIX + "plan_document"}


def test_playbooks_gather_the_facts_that_the_role_reads():
    subsets = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__hostendpoints_fact_subsets"]
    found = {
        path.stem: yaml.safe_load(text)
        for path in (ROOT / "playbooks").glob("*.yml")
        for text in re.findall(r"gather_subset: (.*)", path.read_text())
    }
    # That one has no guard, which needs DNS servers and the environment.
    assert found == {**dict.fromkeys(["apply", "plan", "policies", "audit"], subsets), "gathered": subsets[:-2]}


def test_the_playbook_decommission_repeats_the_roles_defaults():
    (play,) = yaml.safe_load((ROOT / "playbooks" / "decommission.yml").read_text())
    options = play["tasks"][-1]["netsec.calico.calico_hostendpoints"]
    found = {option: re.findall(r"default\((?!omit)(.*)\)", str(text)) for option, text in options.items()}
    repeated = {option: yaml.safe_load(texts[0]) for option, texts in found.items() if texts}
    assert repeated == {name: defaults_of_the_role()[PREFIX + name] for name in ("owner", "purge_limit")}


def test_a_task_that_registers_its_result_names_that_variable():
    (task,) = yaml.safe_load((ROLE / "tasks" / "reconcile.yml").read_text())
    assert task["netsec.calico.calico_inventory_hostendpoints"]["registered_as"] == task["register"]
    for name, tasks in (("plan", "policies_plan"), ("apply", "policies"), ("audit", "policies_audit")):
        registered = [task.get("register") for task in yaml.safe_load((ROLE / "tasks" / (tasks + ".yml")).read_text())]
        *_plays, play = yaml.safe_load((ROOT / "playbooks" / (name + ".yml")).read_text())
        assert play["tasks"][-1]["vars"]["__hostendpoints_policies_result"] in registered
    gathering, comparing = yaml.safe_load((ROOT / "playbooks" / "audit.yml").read_text())
    (gather,), (_policies, audit) = gathering["tasks"], comparing["tasks"]
    assert audit["vars"]["__hostendpoints_facts_result"] == gather["register"]


@pytest.mark.parametrize("option", [option.name for option in list_options()])
def test_a_connection_option_has_the_name_and_type_of_its_documentation(option):
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"][option]
    spec = build_connection_options()[option]
    for key in ("type", "elements", "choices"):
        assert spec.get(key) == documented.get(key), key
    assert list_types(Scope.RUN)[ROLE_VARIABLES[option]] == documented["type"]


def test_every_documented_connection_option_is_an_option_and_a_variable():
    documented = set(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"])
    mapped = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__hostendpoints_connection"]
    assert documented == {option.name for option in list_options()}
    assert documented == set(mapped) - {"python_interpreter", "owner"}
    assert mapped == {option: PREFIX + ROLE_VARIABLES.get(option, option) for option in mapped}


def test_an_optional_question_of_a_survey_may_be_unanswered():
    text = (ROOT / "playbooks" / "vars" / "awx.yml").read_text()
    questions = re.findall(r"variable: (\w+)\n +type: (\w+)\n +required: false", text)
    # AWX gives the answer to a multiselect question as a list.
    assert {name for name, kind in questions if kind != "multiselect"} == set(SURVEYED)


def test_every_variable_that_the_role_and_the_playbooks_read_is_in_it():
    files = [*ROLE.rglob("*.yml"), ROLE / "README.md", *(ROOT / "playbooks").rglob("*.yml")]
    for path in files:
        # Patterns such as hostendpoints_* end in an underscore.
        names = [name for name in named(path.read_text()) if not name.endswith("_")]
        assert unknown_variables(names) == [], path


def test_every_variable_of_a_playbook_is_in_a_playbook():
    text = "".join(path.read_text() for path in (ROOT / "playbooks").rglob("*.yml"))
    assert {PREFIX + name for name in list_names(Scope.PLAYBOOK)} <= named(text)
    text += "".join(path.read_text() for path in (ROLE / "tasks").glob("*.yml"))
    assert {PREFIX + name for name in list_names(Scope.RESULT)} <= named(text)


@pytest.mark.parametrize(
    "name",
    ["intefaces", "interface", "etcd_endpoint", "purgelimit", "purge_limti", "audit_failon", "lables", "nodes", "onde"],
)
def test_a_slip_is_recognised(name):
    with pytest.raises(RunFailed, match="did you mean"):
        check_spelling("web1", [PREFIX + name])


@pytest.mark.parametrize(
    "name",
    [
        *("zone", "role", "mode", "name", "site", "env", "tier", "rules", "debug", "etcd_host", "site_labels"),
        *("common_labels", "labels_dmz", "my_endpoints", "default_interfaces", "vault_etcd_password", "results"),
    ],
)
def test_a_users_own_variable_is_only_warned_of(name):
    (warning,) = check_spelling("web1", [PREFIX + name])
    assert warning == PREFIX + name + " is not a variable of the role and has no effect"


@pytest.mark.parametrize("name", [*OF_THE_ROLE, *list_names(Scope.PLAYBOOK), *list_names(Scope.RESULT)])
def test_a_known_variable_is_none(name):
    assert check_spelling("web1", [PREFIX + name, "other", "__hostendpoints_x"]) == []
