# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A template that is just one fact has the value that Ansible's templating would give it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import select_facts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import read_single_fact

ROOT = Path(__file__).resolve().parents[5]
FACTS = {"nodename": "n1", "number": 1, "mounts": [], "hostile": "{{ lookup('pipe', 'id') }}"}


@pytest.mark.parametrize(
    "template, value",
    [
        ("{{ ansible_facts.nodename }}", "n1"),
        ("{{ansible_facts.nodename}}", "n1"),
        ("{{ ansible_facts['nodename'] }}", "n1"),
        ('{{ ansible_facts["nodename"] | default("x") }}', "n1"),
        ("{{ ansible_facts.missing | default('') }}", ""),
        ("{{ ansible_facts.missing|default('a b') }}", "a b"),
        # It is returned, and never evaluated.
        ("{{ ansible_facts.hostile }}", FACTS["hostile"]),
    ],
)
def test_one_fact(template, value):
    assert read_single_fact(template, FACTS) == value
    assert read_single_fact(template, select_facts(FACTS)) == value


@pytest.mark.parametrize(
    "template",
    [
        *("n1", "", None, 5, ["{{ ansible_facts.nodename }}"], "{{ ansible_facts.missing }}"),
        *("{{ ansible_facts.number | default('x') }}", "{{ ansible_facts.mounts | default('x') }}"),
        *("{{ ansible_facts.number }}", "{{ ansible_facts.nodename }}x", "{{ ansible_facts.nodename | lower }}"),
        *("{{ ansible_facts.a.b }}", "{{ ansible_facts['nodename\"] }}", "{{ ansible_nodename }}"),
        *("{{ ansible_facts.missing | default('', true) }}", "{{ ansible_facts.missing | default(other) }}"),
        *("{{ ansible_facts.missing | default('{{ x }}') }}", "{{ ansible_facts.missing | default('a\\n') }}"),
    ],
)
def test_anything_else_is_left_to_ansible(template):
    assert read_single_fact(template, FACTS) is None
    assert read_single_fact(template, select_facts(FACTS)) is None


def test_the_roles_default_is_one_fact():
    defaults = yaml.safe_load((ROOT / "roles" / "hostendpoints" / "defaults" / "main.yml").read_text())
    assert read_single_fact(defaults["hostendpoints_node"], FACTS) == "n1"
    assert read_single_fact(defaults["hostendpoints_node"], {}) == ""
