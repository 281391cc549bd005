# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the role policies are the same in its table, its files and its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.library import LIBRARY
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import (
    POLICIES_PREFIX,
    POLICY_VARIABLES,
    check_spelling,
    unknown_variables,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

ROOT = Path(__file__).resolve().parents[6]
ROLE = ROOT / "roles" / "policies"
OTHER = ROOT / "roles" / "hostendpoints"
NAMES = {POLICIES_PREFIX + name for name in POLICY_VARIABLES}


def load(path):
    return yaml.safe_load(path.read_text())


def entry_points():
    return load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]


def named(text):
    return set(re.findall(r"(?<!\w)calico_policies_[a-z0-9_]+", text))


def module_options():
    text = (ROOT / "plugins" / "modules" / "calico_inventory_policies.py").read_text()
    return yaml.safe_load(re.search(r'DOCUMENTATION = r"""\n(.*?)"""', text, re.DOTALL)[1])["options"]


def test_the_table_is_the_argument_specification_with_its_defaults():
    options = {name: spec for each in entry_points().values() for name, spec in each["options"].items()}
    assert set(options) == NAMES
    assert {name: spec["default"] for name, spec in options.items()} == load(ROLE / "defaults" / "main.yml")


def test_the_readme_has_a_row_for_each_variable_and_each_policy():
    text = (ROLE / "README.md").read_text()
    rows = re.findall(r"^\| (`calico_policies_.*?) \|", text, re.MULTILINE)
    assert sorted(name for row in rows for name in named(row)) == sorted(NAMES)
    library = text[text.index("| policy of the library") : text.index("A policy that selects")]
    rows = re.findall(r"^\| (`.*?) \|", library, re.MULTILINE)
    assert re.findall(r"`([a-z_]+)`", " ".join(rows)) == _in_order_of_evaluation()


def _in_order_of_evaluation():
    orders = {}
    for name in LIBRARY:
        text = (ROLE / "templates" / (name + ".yml.j2")).read_text()
        orders[name] = [int(order) for order in re.findall(r"^  order: (\d+)$", text, re.MULTILINE)]
    return sorted(orders, key=orders.get)


def test_documented_choices_are_the_library():
    assert entry_points()["main"]["options"][POLICIES_PREFIX + "library"]["choices"] == list(LIBRARY)
    assert module_options()["library"]["choices"] == list(LIBRARY)


def test_the_task_gets_every_variable_under_the_name_of_its_option():
    mapped = load(ROLE / "vars" / "main.yml")
    for name in ("policies", "policies_plan", "policies_audit"):
        *_others, task = load(OTHER / "tasks" / (name + ".yml"))
        assert "'owner': 'calico_policies_owner'" in task["netsec.calico.calico_inventory_policies"]["variables"]
    shared = {option: name for option, name in mapped["__calico_policies_apply"].items() if name not in NAMES}
    assert shared == {
        option: "hostendpoints_" + option
        for option in ("canary_wait", "guard", "guard_limit", "server_dry_run", "diff_style", "check_fails_on_change")
    }
    own = {name for name in mapped["__calico_policies_apply"].values() if name in NAMES}
    assert own == NAMES - {POLICIES_PREFIX + name for name in ("owner", "gathered_dest")}
    assert set(mapped["__calico_policies_apply"]) | {"owner", "owner_label", "audit", "plan_mode"} == set(
        module_options()
    )
    assert mapped["__calico_policies_gather"]["dest"] == POLICIES_PREFIX + "gathered_dest"


def test_every_variable_that_is_read_is_in_the_table():
    for path in [*ROLE.rglob("*.*"), *(OTHER / "tasks").iterdir(), *(ROOT / "playbooks").rglob("*.yml")]:
        if path.is_file():
            names = [name for name in named(path.read_text()) if not name.endswith("_")]
            assert unknown_variables(names) == [], path


@pytest.mark.parametrize("slip", ["libary", "group_set", "ssh_form", "resource"])
def test_a_slip_is_recognised(slip):
    with pytest.raises(RunFailed, match="did you mean calico_policies_"):
        check_spelling("web1", [POLICIES_PREFIX + slip])


def test_a_connection_variable_under_this_prefix_has_no_effect_and_a_warning_says_so():
    (warning,) = check_spelling("web1", [POLICIES_PREFIX + "etcd_endpoints"])
    assert warning == "calico_policies_etcd_endpoints is not a variable of the role and has no effect"
