# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.netsec.calico.plugins.module_utils._core import strict_json
from ansible_collections.netsec.calico.plugins.module_utils._core.strict_json import NotJson, is_list, iterate, load


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


# Item by item


def outcome(read, text):
    """The content of a string, or the error and its message."""
    try:
        return list(read(text))
    except ValueError as exc:
        return type(exc), str(exc)


LISTS = ("[]", " [ ] ", "[[]]", "[1]", '[{"a": 1} , {"b": []}]', "[1,2,]", "[,1]", "[1 2]", "[1}", "[1", "[", "[1] 2")
LISTS += ('[{"a": 1},\n{"b": 1, "b": 2}]', "[1,\nNaN]", '[{}, "a\nb"]', "[1,%s]" % ("9" * 5000), "[1," + "[" * 100000)


@pytest.mark.parametrize("text", LISTS)
def test_a_list_has_the_same_content_item_by_item(text):
    assert is_list(text)
    assert outcome(iterate, text) == outcome(load, text)


@hypothesis.given(
    st.lists(st.recursive(st.none() | st.text() | st.integers(), lambda each: st.dictionaries(st.text(), each))),
    st.sampled_from((None, 1)),
    st.data(),
)
def test_any_list_and_any_broken_one_have_the_same_content_item_by_item(items, indent, data):
    text = json.dumps(items, indent=indent)
    assert list(iterate(text)) == items
    start = data.draw(st.integers(1, len(text)))
    broken = text[:start] + data.draw(st.sampled_from(("", ",", "]", "}", '"', " 1"))) + text[start + 1 :]
    assert outcome(iterate, broken) == outcome(load, broken)


def test_an_item_is_decoded_when_it_is_due():
    items = iterate('[{"a": 1}, {"b": 1, "b": 2}]')
    assert next(items) == {"a": 1}
    with pytest.raises(ValueError, match="b is given twice"):
        next(items)


@pytest.mark.parametrize("text", ['{"a": []}', "- [1]", "\u00a0[]", ""])
def test_what_is_not_a_list_is_told(text):
    assert not is_list(text)
