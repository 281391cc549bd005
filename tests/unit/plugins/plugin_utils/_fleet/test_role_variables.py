# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of the role's variables says what the role, its documentation and the playbooks say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import (
    OF_THE_PLAYBOOKS,
    OF_THE_ROLE,
    PREFIX,
    RESULTS,
    check_spelling,
    unknown_variables,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

ROOT = Path(__file__).resolve().parents[5]
ROLE = ROOT / "roles" / "hostendpoints"


def named(text):
    return set(re.findall(r"(?<![\w])hostendpoints_[a-z0-9_]+", text))


def test_it_has_every_option_of_the_role():
    entry_points = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    options = {option for entry_point in entry_points.values() for option in entry_point["options"]}
    assert options == {PREFIX + name for name in OF_THE_ROLE}
    assert set(yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())) <= options


def test_every_variable_that_the_role_and_the_playbooks_read_is_in_it():
    files = [*ROLE.rglob("*.yml"), ROLE / "README.md", *(ROOT / "playbooks").rglob("*.yml")]
    for path in files:
        # Patterns such as hostendpoints_* end in an underscore.
        names = [name for name in named(path.read_text()) if not name.endswith("_")]
        assert unknown_variables(names) == [], path


def test_every_variable_of_a_playbook_is_in_a_playbook():
    text = "".join(path.read_text() for path in (ROOT / "playbooks").rglob("*.yml"))
    assert {PREFIX + name for name in OF_THE_PLAYBOOKS} <= named(text)
    text += "".join(path.read_text() for path in (ROLE / "tasks").glob("*.yml"))
    assert {PREFIX + name for name in RESULTS} <= named(text)


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


@pytest.mark.parametrize("name", [*OF_THE_ROLE, *OF_THE_PLAYBOOKS, *RESULTS])
def test_a_known_variable_is_none(name):
    assert check_spelling("web1", [PREFIX + name, "other", "__hostendpoints_x"]) == []
