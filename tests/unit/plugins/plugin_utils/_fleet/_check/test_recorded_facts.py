# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts are read from the files that Ansible writes, whatever wrote them."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.recorded_facts import (
    parse_facts,
    read_recorded_facts,
)

FACTS = {"ansible_interfaces": ["lo", "eth0"], "ansible_nodename": "web1"}
TAGGED = {"__ansible_type": "_AnsibleTaggedStr", "value": "web1", "tags": []}
FORMS = {
    "the module setup": {"ansible_facts": FACTS, "changed": False},
    "a fact cache": FACTS,
    "a fact cache of ansible-core 2.19": {"__payload__": json.dumps(FACTS)},
    "a value with tags": {"__payload__": json.dumps(dict(FACTS, ansible_nodename=TAGGED))},
    "the variable ansible_facts": {"interfaces": ["lo", "eth0"], "nodename": "web1"},
}


def read(*sources, hosts=("web1", "web2", "s1_web")):
    return read_recorded_facts("check_facts", [str(each) for each in sources], lambda name: name in hosts)


@pytest.mark.parametrize("form", FORMS)
def test_each_form(form):
    assert parse_facts(json.dumps(FORMS[form])) == FACTS


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[]", "it must be a mapping"),
        ('{"msg": "unreachable", "unreachable": true}', "does not contain the facts of a host"),
        ("{", "line 1"),
    ],
)
def test_what_is_no_facts_is_an_error_with_its_place(tmp_path, text, problem):
    (tmp_path / "web1").write_text(text)
    with pytest.raises(InvalidInput) as error:
        read(tmp_path)
    assert str(error.value).startswith("check_facts: {0}: ".format(tmp_path / "web1")) and problem in str(error.value)


def test_a_file_has_the_name_of_its_host(tmp_path):
    for name in ("web1.json", "s1_web2", "other.json", ".hidden"):
        (tmp_path / name).write_text(json.dumps(FACTS))
    assert read(tmp_path) == ({"web1": FACTS, "web2": FACTS}, [str(tmp_path / "other.json")])
    assert list(read(tmp_path / "web*.json")[0]) == ["web1"]
    # The host's own name has precedence.
    (tmp_path / "s1_web").write_text(json.dumps(FACTS))
    assert "s1_web" in read(tmp_path, hosts=("web1", "web", "s1_web"))[0]


def test_two_files_of_a_host_are_an_error(tmp_path):
    for name in ("web1", "web1.json"):
        (tmp_path / name).write_text(json.dumps(FACTS))
    with pytest.raises(InvalidInput, match="both hold the facts of web1"):
        read(tmp_path)


def test_facts_of_no_host_are_an_error(tmp_path):
    with pytest.raises(InvalidInput, match="no file has the name of a host of the inventory: the directory is empty"):
        read(tmp_path)
    (tmp_path / "db1").write_text(json.dumps(FACTS))
    with pytest.raises(InvalidInput, match=r"no file has the name of a host of the inventory: .*/db1"):
        read(tmp_path)
    assert read() == ({}, [])


def test_a_source_that_does_not_exist_and_a_file_that_is_not_json_are_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"^check_facts: .*/none does not exist$"):
        read(tmp_path / "none")
    with pytest.raises(InvalidInput, match=r"^check_facts: .*/none\*.json matches no file$"):
        read(tmp_path / "none*.json")
    (tmp_path / "web1.yml").write_text("ansible_interfaces: [lo]")
    with pytest.raises(InvalidInput, match=r"web1\.yml; only JSON is read$"):
        read(tmp_path)
