# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.gathering import explain_gathering


@pytest.mark.parametrize(
    "result, reason",
    [
        ({"ansible_facts": {"system": "Linux"}}, ""),
        ({"skipped": True}, ""),
        ({"unreachable": True, "msg": "no route\n to host"}, "unreachable: no route to host"),
        ({"failed": True, "msg": "it failed"}, "no facts: it failed"),
        (
            {"failed": True, "msg": "modules failed", "failed_modules": {"setup": {"msg": "no Python\x1b[31m"}}},
            "no facts: no Python\\x1b[31m",
        ),
        ({"skipped": True, "problem": "unreachable: no route"}, "unreachable: no route"),
    ],
)
def test_the_reason_is_on_one_line_and_safe_for_a_terminal(result, reason):
    assert explain_gathering(result) == reason


def test_a_long_reason_is_cut():
    assert len(explain_gathering({"unreachable": True, "msg": "x" * 10000})) < 230
