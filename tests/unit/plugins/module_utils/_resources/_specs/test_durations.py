# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations as Go reads and writes them."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.go_types import Number
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.durations import (
    format_duration,
    parse_duration,
    read_duration,
)

# By time.ParseDuration and Duration.String.
READ = [
    ("0", "0s"),
    ("-0", "0s"),
    ("0h", "0s"),
    ("90s", "1m30s"),
    ("60m", "1h0m0s"),
    ("1h0.5s", "1h0m0.5s"),
    ("1.5h", "1h30m0s"),
    ("+.5s", "500ms"),
    ("1.s", "1s"),
    ("1500ms", "1.5s"),
    ("1500us", "1.5ms"),
    ("1.5\u00b5s", "1.5\u00b5s"),
    ("1500\u03bcs", "1.5ms"),
    ("1ns", "1ns"),
    ("0.3ns", "0s"),
    ("-1.000000001s", "-1.000000001s"),
    ("30s5m", "5m30s"),
    ("0.100000000000000000000h", "6m0s"),
    ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
    ("-2562047h47m16.854775808s", "-2562047h47m16.854775808s"),
]
NOT_READ = ["", " ", "s", ".s", "30", "3e1s", "1 s", "1d", "1S", "--1s", "+", "1sm", "1ms ", "\u0661s"]
TOO_LONG = ["2562047h47m16.854775808s", "9999999999999999999h", "9" * 5000 + "s"]


@pytest.mark.parametrize("text, written", READ)
def test_a_duration_has_gos_form(text, written):
    assert read_duration(text, None, "x") == written
    assert parse_duration(written) == parse_duration(text)


@pytest.mark.parametrize("item", [*NOT_READ, *TOO_LONG, None, True, Number("30")])
def test_what_go_rejects_has_a_reason(item):
    with pytest.raises(ValueError, match="^spec.x is not a valid duration: .*; use a form such as 90s or 1m30s$"):
        read_duration(item, None, "spec.x")


def test_each_unit_is_written_without_a_needless_fraction():
    written = [format_duration(10**exponent) for exponent in range(13)]
    assert written[:6] == ["1ns", "10ns", "100ns", "1\u00b5s", "10\u00b5s", "100\u00b5s"]
    assert written[6:] == ["1ms", "10ms", "100ms", "1s", "10s", "1m40s", "16m40s"]
