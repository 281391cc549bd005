# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the guard's checks against the code that evaluates them and the guide that explains them."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.netsec.calico.plugins.module_utils._guard.checks import CHECKS

ROOT = Path(__file__).resolve().parents[5]
GUIDE = (ROOT / "docs/docsite/rst/guard_guide.rst").read_text(encoding="utf-8")


def read_rows():
    plain = re.sub(r":ansopt:`[^`]*:(\w+)`", r"\1", GUIDE)
    return dict(re.findall(r"^   \* - (G\d\d)\n     - (.+)$", plain, re.MULTILINE))


def test_the_guide_explains_each_check_by_its_title():
    rows = read_rows()
    assert list(rows) == list(CHECKS)
    for check in CHECKS.values():
        assert rows[check.id].startswith(check.title)


def test_the_guide_lists_the_checks_that_need_facts():
    (text,) = re.findall("^(G.+) require the host's interfaces", GUIDE, re.MULTILINE)
    found = set()
    for first, last in re.findall(r"G(\d\d)(?: to G(\d\d))?", text):
        found.update(range(int(first), int(last or first) + 1))
    assert {check.id for check in CHECKS.values() if check.needs_facts} == {"G{:02d}".format(each) for each in found}


def test_the_guide_marks_what_is_information_only():
    rows = re.findall(r"^   \* - (G\d\d)\n     - .+\n     - information only$", GUIDE, re.MULTILINE)
    assert rows == [check.id for check in CHECKS.values() if check.is_information]


def test_the_code_evaluates_each_check():
    files = (ROOT / "plugins/module_utils/_guard").rglob("*.py")
    used = {
        found for path in files if path.stem != "checks" for found in re.findall(r"\bG\d\d\b", path.read_text("utf-8"))
    }
    assert used == set(CHECKS)
