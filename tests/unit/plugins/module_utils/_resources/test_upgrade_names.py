# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._resources.upgrade_names import v3_name, v3_node, v3_profile

VECTORS = Path(__file__).resolve().parents[4] / "vectors" / "v1_to_v3_names.jsonl"
ROWS = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "%(v1_node)s/%(v1_name)s" % row)
def test_as_calico_upgrade_names_them(row):
    assert v3_node(row["v1_node"]) == row["v3_node"]
    assert v3_name(row["v3_node"] + "." + row["v1_name"]) == row["v3_name"]


@pytest.mark.parametrize(
    "name", ["-" * 10**6 + "x", "a" + "_-" * 10**5 + "b", ".-" * 10**5], ids=["dashes", "both", "dots"]
)
def test_no_name_takes_long(name):
    before = time.process_time()
    assert len(v3_profile(name)) <= len(name) + len("-12345678")
    assert time.process_time() - before < 10


def test_half_a_character():
    assert v3_name("a\ud800b").startswith("a-b-")
