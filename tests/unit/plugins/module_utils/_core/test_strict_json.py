# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import strict_json
from ansible_collections.netsec.calico.plugins.module_utils._core.strict_json import NotJson, load


def test_json_is_read():
    assert load('[{"a": {"b": [1, 1.5, true, null, "\\u00e4"]}}, {"a": 1, "A": 2}]') == [
        {"a": {"b": [1, 1.5, True, None, "ä"]}},
        {"a": 1, "A": 2},
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ('[1,\n {"a": }]', "line 2, column 8: expecting value"),
        ('{"a": 1', "line 1, column 8: expecting ',' delimiter"),
        ('{"a": 1} x', "line 1, column 10: extra data"),
        ('["a\nb"]', "line 1, column 4: invalid control character at"),
        ('["a', "line 1, column 2: unterminated string starting at"),
    ],
)
def test_what_is_not_json_is_reported_with_its_place(text, message):
    with pytest.raises(NotJson) as error:
        load(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": 1, "a": 1}', "line 1: a is given twice, first on line 1; keep one of the two"),
        ('{"a": 1,\n\n"\\u0061": 2}', "line 3: a is given twice, first on line 1; keep one of the two"),
        (
            '{"items": [{"a": ["x,{", {}]},\n{"b": {"c": "}", "d": [1, 2],\n"c": 1}}]}',
            "line 3: items[1].b.c is given twice, first on line 2; keep one of the two",
        ),
        ('[[], {}, [{"a": "a"}, {"b\\"c": 1, "b\\"c": 2}]]', 'line 1: [2][1].b"c is given twice, first on line 1'),
        ('["NaN",\nNaN]', "line 2: NaN is not allowed in JSON; quote it"),
        ('{"a":-Infinity}', "line 1: -Infinity is not allowed in JSON; quote it"),
        ("[1,\n%s]" % ("9" * 5000), "line 2: a number of 5000 characters is too long; quote it"),
    ],
)
def test_json_that_is_not_read_is_reported_with_its_place(text, message):
    with pytest.raises(ValueError) as error:
        load(text)
    assert not isinstance(error.value, NotJson) and message in str(error.value)


def test_a_number_with_a_long_exponent_is_read():
    assert load("[1e999999999999, -1e-999999999999, 0.%s]" % ("1" * 100000)) == [float("inf"), 0, 0.1111111111111111]


def test_more_than_the_most_values_are_refused_before_they_take_memory(monkeypatch):
    monkeypatch.setattr(strict_json, "MOST_VALUES", 20)
    assert load('[{"a" : 1},{"b": [2]},{}]') == [{"a": 1}, {"b": [2]}, {}]
    for text in (
        "[" + "{}," * 10 + "{}]",
        "[" + "1," * 20 + "1]",
        '{"a":1' + ',"a":1' * 10 + "}",
        '{"a" :1' + ',"a" :1' * 10 + "}",
    ):
        with pytest.raises(ValueError, match="holds more than 20 values and keys; split the file"):
            load(text)


@pytest.mark.parametrize("text", ["[" * 100000, '{"a":' * 100000, "[" * 100000 + "]" * 100000])
def test_what_is_nested_too_deeply_is_refused(text):
    with pytest.raises(ValueError):
        load(text)
