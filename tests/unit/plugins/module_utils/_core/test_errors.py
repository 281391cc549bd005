# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages go to somebody's terminal, whatever is quoted in them."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import (
    LONGEST,
    CalicoError,
    Conflict,
    InvalidInput,
    brief,
    format_message,
    get_option_name,
    join_first,
    name_options,
    shown,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.selector import SelectorError

HOSTILE = "a\nb\r\t\x1b[31m\x07\x7f\x9b\u202e\u2028\ud800\0ä"
VISIBLE = r"a\nb\r\t\x1b[31m\x07\x7f\x9b\u202e\u2028\ud800\x00ä"


def nested(depth):
    item = []
    for _level in range(depth):
        item = [item]
    return item


def test_characters_that_do_not_show_are_escaped():
    assert brief(HOSTILE, 255) == VISIBLE
    assert shown(HOSTILE, 255) == "'" + VISIBLE + "'"
    assert shown({HOSTILE: [HOSTILE]}, 999).isprintable()


@pytest.mark.parametrize("text", ["", "it's", '"quoted"', r"back\slash", "ä€"])
def test_a_text_without_them_is_brief_as_it_is(text):
    assert brief(text) == text


@pytest.mark.parametrize("text", ["x" * 10**7, "\n" * 10**7, "\x1b" * 100], ids=["x", "lines", "escapes"])
def test_long_texts_are_cut(text):
    for cut in (brief(text), shown(text)):
        assert len(cut) <= 80 * len("\\x1b") + 5 and cut.endswith("...")


@pytest.mark.parametrize(
    "make", [lambda: 10**6000, lambda: [-(10**6000)], lambda: nested(100000)], ids=["integer", "in a list", "nested"]
)
def test_what_python_does_not_write_is_shown_all_the_same(make):
    # Older versions of Python write long integers.
    assert shown(make()) == brief(make()) and len(shown(make())) <= 83


@pytest.mark.parametrize(
    "error",
    [CalicoError, Conflict, lambda text: InvalidInput([text]), lambda text: SelectorError(text, 0)],
    ids=["any", "conflict", "input", "selector"],
)
def test_every_error_is_one_line_that_shows(error):
    assert str(error("src {0}: no".format(HOSTILE))) == "src {0}: no".format(VISIBLE)
    assert len(str(error("x" * 10**6))) <= LONGEST + 3


def test_the_problems_of_an_input_are_each_a_line():
    assert InvalidInput([HOSTILE, "b"]).problems == [VISIBLE, "b"]
    many = InvalidInput(["x" * 10**5] * 1000)
    assert len(str(many)) <= LONGEST + 3 and str(many).endswith("and 990 more")


def itself():
    items = []
    items.append(items)
    return items


HUGE = "x" * 5000000
LARGE = {
    "a text": HUGE,
    "bytes": HUGE.encode(),
    "a list": [1] * 5000000,
    "a list of one list": [[[[[HUGE]]]]],
    "what is millions of times in itself": [[["x" * 1000] * 1000] * 1000] * 1000,
    "a list that holds itself": itself(),
    "a mapping": dict.fromkeys(range(100000), HUGE),
    "a key": {HUGE: 1},
    "a number": 10**5000,
    "a number in a list": [-(10**5000)],
}


@pytest.mark.parametrize("value", LARGE.values(), ids=list(LARGE))
def test_a_large_value_is_cut(value):
    """Without all of its text, for which some of these would take all memory."""
    for text in (shown(value), brief(value)):
        assert len(text) < 100 and "\n" not in text


@pytest.mark.parametrize(
    "value",
    [
        "",
        "it's",
        "a\nb\t\x07",
        5,
        True,
        None,
        1.5,
        [],
        {},
        (),
        (1,),
        [1, "a", {"b": [None]}],
        {1: 2, "a": (3, 4)},
        b"x",
    ],
    ids=repr,
)
def test_a_short_value_is_shown_as_python_writes_it(value):
    assert shown(value) == repr(value)


def test_a_value_is_cut_at_the_limit():
    assert shown("x" * 78) == repr("x" * 78)
    assert shown("x" * 79) == "'" + "x" * 79 + "..."
    for text in ("it's " + "x" * 100, 'a "b" ' + "x" * 100, "x" * 100 + "'", 'it\'s "b"' * 50):
        assert shown(text) == repr(text)[:80] + "..."
    assert shown([1, 2, 3, 4], 5) == "[1, 2..."


def test_a_message_names_ten_problems_and_counts_the_others():
    assert str(InvalidInput([str(number) for number in range(12)])).endswith("; 9; and 2 more")


@pytest.mark.parametrize(
    "names, text",
    [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")],
)
def test_only_the_first_names_are_listed(names, text):
    assert join_first(names, 2) == text


def test_a_message_names_an_option_as_the_user_knows_it():
    text = "{guard_limit}: {0} is above {1:g}; set {guard} to warn"
    assert format_message(text, "{guard}", 5.0) == "guard_limit: {guard} is above 5; set guard to warn"
    name_options({"guard_limit": "hostendpoints_guard_limit", "guard": "", "timeout": "x"})
    try:
        # A value is never taken for a name.
        assert format_message(text, "{guard_limit}", 5) == (
            "hostendpoints_guard_limit: {guard_limit} is above 5; set guard to warn"
        )
        name_options({})
        assert get_option_name("timeout") == "timeout"
    finally:
        name_options({})
