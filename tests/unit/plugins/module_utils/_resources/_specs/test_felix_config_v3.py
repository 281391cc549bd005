# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of a FelixConfiguration, beside those of Calico's CRD."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.felix_config_v3 import FELIX_CONFIGURATION
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import InvalidSpec, read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.validation_felix_v3 import (
    find_felix_problems,
)

CRDS = Path(__file__).resolve().parents[5] / "crds" / "calico-v3.32.1-v3.json"


def load_properties():
    crds = json.loads(CRDS.read_text(encoding="utf-8"))["items"]
    (crd,) = [each for each in crds if each["spec"]["names"]["kind"] == "FelixConfiguration"]
    (version,) = crd["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


PROPERTIES = load_properties()
# The duration is also an example of any other string.
EXAMPLES = {"boolean": True, "integer": 1, "string": "90s", "array": [], "object": {}}
# Numbers that may be given as strings.
OTHERS = ("istioDSCPMark", "natPortRange", "bpfPSNATPorts", "kubeNodePortRanges")


def test_the_fields_are_those_of_the_crd():
    assert set(FELIX_CONFIGURATION.fields) == set(PROPERTIES)


@pytest.mark.parametrize("name", [name for name in PROPERTIES if name not in OTHERS])
def test_a_field_has_the_type_of_the_crd(name):
    expected = PROPERTIES[name]["type"]
    for type_, example in EXAMPLES.items():
        try:
            read_spec("FelixConfiguration", {name: example})
            is_read = True
        except InvalidSpec:
            is_read = False
        # A scalar becomes a string.
        is_text = expected == "string" and type_ in ("boolean", "integer") and FELIX_CONFIGURATION.fields[name].is_text
        assert is_read == (type_ == expected or is_text), type_


@pytest.mark.parametrize("name", [name for name, each in PROPERTIES.items() if "enum" in each])
def test_the_values_are_those_of_the_crd(name):
    for value in PROPERTIES[name]["enum"]:
        assert list(find_felix_problems("default", {name: value})) == []
        ((option, _value, reason),) = find_felix_problems("default", {name: value.lower()})
        assert option == "spec." + name
        assert value in reason


@pytest.mark.parametrize("name", [name for name, each in PROPERTIES.items() if "pattern" in each and "?i" in str(each)])
def test_the_values_are_among_those_of_the_pattern(name):
    values = PROPERTIES[name]["pattern"].partition("(?i)(")[2].partition(")")[0].split("|")
    for value in values:
        assert list(find_felix_problems("default", {name: value})) == []
    assert len(list(find_felix_problems("default", {name: "another"}))) == 1


def test_an_unpaired_surrogate_is_as_go_reads_it():
    """Otherwise a second run would find a difference from what the first one stored."""
    given = {"istioDSCPMark": "\ud800", "bpfLogFilters": {"eth0": "\ud800"}}
    assert read_spec("FelixConfiguration", given) == {"istioDSCPMark": "\ufffd", "bpfLogFilters": {"eth0": "\ufffd"}}
