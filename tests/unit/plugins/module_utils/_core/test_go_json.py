# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON that somebody may have stored to harm whoever reads it."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.go_json import (
    MAX_DEPTH,
    Ambiguous,
    check_depth,
    integer,
    load,
    number,
    shallow,
    struct,
)


def nested(depth, opening="[", closing="]"):
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    "text", [nested(MAX_DEPTH), '"' + "[" * 1000 + '"', '{"a":"\\"' + "{" * 200 + '"}', "[]," * 1000]
)
def test_what_is_not_nested_too_deeply(text):
    check_depth(text)


@pytest.mark.parametrize(
    "text",
    [nested(MAX_DEPTH + 1), "[" * 100000, nested(60, '{"a":[', "]}"), '["\\\\",' * 101],
    ids=["a", "b", "c", "d"],
)
def test_what_is_nested_too_deeply_is_ambiguous(text):
    with pytest.raises(Ambiguous, match="nested too deeply"):
        load(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 50 + "[]" * 100 + '"' + '\\"' * 500000, '"' * 500000 + "[]" * 101, "[" * 50 + '"\\' * 300000 + "[]" * 101],
    ids=["escaped quotes", "quotes", "backslashes"],
)
def test_no_text_takes_long(text):
    before = time.process_time()
    check_depth(text)
    shallow(text, 5)
    # A second for each quote, if each is tried as the beginning of a text.
    assert time.process_time() - before < 10


def test_what_is_nested_deeper_can_be_left_out():
    document = {"a": [{"b": [1, {"c": "]}[{\\"}]}], "d": {}}
    text = json.dumps(document)
    assert json.loads(shallow(text, 9)) == document
    assert json.loads(shallow(text, 4)) == {"a": [{"b": [1, {}]}], "d": {}}
    assert json.loads(shallow(text, 3)) == {"a": [{"b": []}], "d": {}}
    assert json.loads(shallow(text, 1)) == {"a": [], "d": {}}
    assert json.loads(shallow(nested(100000), 3)) == [[[[]]]]


def test_half_a_character_is_read_as_go_reads_it():
    text = r'{"\ud800":["a\udfff",{"b":"\ud83d\ude00"}],"c":"\\ud800"}'
    assert load(text) == {"\ufffd": ["a\ufffd", {"b": "\U0001f600"}], "c": "\\ud800"}


@pytest.mark.parametrize("key", ["\u017felector", "\u212aey"])
def test_a_key_that_not_everybody_folds_alike_is_ambiguous(key):
    with pytest.raises(Ambiguous, match="may be read as another key"):
        struct({key: 1})
    assert struct({"\u00c4": 1}) == {"\u00e4": 1}


def test_numbers_of_any_length():
    assert load("9" * 999) == int("9" * 999)
    with pytest.raises(ValueError, match="is not a whole number"):
        integer(load("9" * 5000), "x", 0, 5)
    with pytest.raises(ValueError, match="is too large"):
        number(load("-" + "9" * 5000), "x")
