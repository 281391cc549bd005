# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest import mock

import pytest
from ansible import constants

from ansible_collections.netsec.calico.plugins.plugin_utils._execution.in_place import ActionInPlace

OWN = {"ansible_python_interpreter": sys.executable}
OTHER = {"ansible_python_interpreter": "/usr/bin/another-python"}


class Action(ActionInPlace):
    def run(self, tmp=None, task_vars=None):
        raise NotImplementedError


def is_in_place(variables, transport="local", become=None, delegate=None):
    templar = SimpleNamespace(template=lambda value: value)
    action = Action.__new__(Action)
    action._connection = SimpleNamespace(transport=transport, become=become)
    action._task = SimpleNamespace(delegate_to=delegate)
    action._templar = templar
    return action._is_in_place(variables)


def test_on_the_controller_by_its_own_python():
    assert is_in_place(OWN)


def test_python_has_several_names_in_its_folder(tmp_path):
    link, other = tmp_path / "python3", tmp_path / "other" / "python3"
    other.parent.mkdir()
    for path in (link, other):
        path.symlink_to(sys.executable)
    with mock.patch.object(sys, "executable", str(tmp_path / "python3.99")):
        (tmp_path / "python3.99").symlink_to(link)
        assert is_in_place({"ansible_python_interpreter": str(link)})
        # That of another virtual environment.
        assert not is_in_place({"ansible_python_interpreter": str(other)})
        assert not is_in_place({"ansible_python_interpreter": "python3"})


@pytest.mark.parametrize(
    "variables, more",
    [
        pytest.param(OTHER, {}, id="another Python"),
        pytest.param({}, {}, id="a Python that Ansible has to find"),
        pytest.param(OWN, {"transport": "ssh"}, id="another host"),
        pytest.param(OWN, {"become": object()}, id="another user"),
    ],
)
def test_not_in_place(variables, more):
    assert not is_in_place(variables, **more)


@pytest.mark.parametrize("delegated, expected", [(OWN, True), (OTHER, False)])
def test_a_delegated_task_has_the_python_of_its_delegate(delegated, expected):
    own = OTHER if delegated is OWN else OWN
    variables = dict(own, ansible_delegated_vars={"localhost": delegated})
    assert is_in_place(variables, delegate="localhost") is expected


def test_whoever_keeps_the_packed_files_gets_them():
    with mock.patch.object(constants, "DEFAULT_KEEP_REMOTE_FILES", True):
        assert not is_in_place(OWN)
