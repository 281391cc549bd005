# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a task, from variables."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import RunSettings


def pop(value):
    run = RunSettings(None, {"flag": value}, {}, {"flag": "hostendpoints_flag"})
    found = run.pop_flag("flag")
    assert run.arguments == {}
    return found


@pytest.mark.parametrize("value, expected", [(True, True), ("yes", True), (None, False), ("", False), ("off", False)])
def test_a_flag_in_any_form_that_ansible_accepts(value, expected):
    assert pop(value) is expected


@pytest.mark.parametrize("value", ["maybe", 5, ["yes"]])
def test_a_flag_of_another_value_is_an_error(value):
    with pytest.raises(RunFailed, match="hostendpoints_flag: .* is not true or false"):
        pop(value)
