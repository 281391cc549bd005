# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's own reading of selectors, row by row, and ours."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import CalicoError, shown
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.selector import (
    MAX_DEPTH,
    SelectorError,
    is_ordinary,
)

VECTORS = Path(__file__).resolve().parents[4] / "vectors"
FILES = {V1: "v1_selectors.jsonl", V3: "v3_selectors.jsonl"}
ROWS = [
    (generation, json.loads(line))
    for generation, name in FILES.items()
    for line in (VECTORS / name).read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(
    "generation, row", ROWS, ids=["%s %.40s" % (generation, row["selector"]) for generation, row in ROWS]
)
def test_as_calico_reads_it(generation, row):
    if not row["valid"]:
        with pytest.raises(SelectorError):
            generation.parse_selector(row["selector"])
        return
    selector = generation.parse_selector(row["selector"])
    assert str(selector) == row["canonical"]
    assert [labels for labels in row.get("match", []) if not selector.matches(labels)] == []
    assert [labels for labels in row.get("no_match", []) if selector.matches(labels)] == []


# What the rows do not have: (generations, text, canonical form).
X = "x" * 512
CANONICAL = [
    ((V1, V3), " \t", "all()"),
    ((V1, V3), "(((has( a\t))))", "has(a)"),
    ((V1, V3), "a in {'z','z', \"x\",}", 'a in {"x", "z"}'),
    ((V1, V3), "a in {'b','ä','B',''}", 'a in {"", "B", "b", "ä"}'),
    ((V1, V3), "a notin{'x'}", 'a not in {"x"}'),
    ((V1, V3), "a == '\"'||a!=\"'\"", "(a == '\"' || a != \"'\")"),
    ((V1, V3), "a == 'ä\n'", 'a == "ä\n"'),
    ((V1, V3), "has(a) || has(b) || (has(c) || has(d))", "(has(a) || has(b) || (has(c) || has(d)))"),
    ((V1, V3), "!(!has(a))", "!!has(a)"),
    ((V1, V3), "has(in-stock) && has(has)", "(has(in-stock) && has(has))"),
    ((V1, V3), "A.b_c/d-1 == ''", 'A.b_c/d-1 == ""'),
    ((V1,), "has(\n\r\fa\n) && all(\n) && a not\nin {}", "(has(a) && all() && a not in {})"),
    ((V1,), X + "in {'a'}", X + ' in {"a"}'),
    ((V3,), "a startswith'x' && a ends\twith 'y'", '(a starts with "x" && a ends with "y")'),
    ((V3,), "not not in {'x'} && in in {'x'}", '(not not in {"x"} && in in {"x"})'),
    ((V3,), "contains contains 'contains'", 'contains contains "contains"'),
]


@pytest.mark.parametrize("generations, text, canonical", CANONICAL)
def test_canonical_form(generations, text, canonical):
    for generation in (V1, V3):
        if generation in generations:
            assert str(generation.parse_selector(text)) == canonical
        else:
            with pytest.raises(SelectorError):
                generation.parse_selector(text)


# (generations, text, position, what is found, what is expected)
ERRORS = [
    ((V1, V3), "a = 'b'", 2, "\"= 'b'\"", "one of ==, !=, in"),
    ((V1, V3), "a == 'b' & c == 'd'", 9, "\"& c == 'd'\"", "&&, || or the end"),
    ((V1, V3), "\thas(a))", 7, "')'", "&&, || or the end"),
    ((V1, V3), "( has(a) ", 9, "the end", "&&, || or )"),
    ((V1, V3), "has(a) && ", 10, "the end", "has(label), all()"),
    ((V1, V3), "a == b", 5, "'b'", "a value between two quotes"),
    ((V1, V3), "a == 'b", 5, '"\'b"', "a value between two quotes"),
    ((V1, V3), "a in 'b'", 5, "\"'b'\"", "a set of values"),
    ((V1, V3), "a in {'b' 'c'}", 10, "\"'c'}\"", "a comma, a value between two quotes or }"),
    ((V1, V3), "a in {,}", 6, "',}'", "a comma, a value between two quotes or }"),
    ((V1, V3), "has(a) || has(b c)", 10, "'has(b c)'", "one of has(label), all()"),
    ((V1, V3), "has(%sx)" % X, 0, "has(xxx", "one of has(label), all()"),
    ((V1, V3), "ä == 'b'", 0, "\"ä == 'b'\"", "or a label of 1 to 512 of"),
    ((V1, V3), "!= 'b'", 0, "\"!= 'b'\"", "!, ("),
    ((V1,), "global()", 6, "'()'", "one of ==, !=, in"),
    ((V1,), "a contains 'b'", 2, "\"contains 'b'\"", 'one of ==, !=, in, "not in" after'),
    ((V1,), "has(a) && in-stock == 'b'", 10, "\"in-stock == 'b'\"", "cannot begin with the word in"),
    ((V1,), "notin  == 'b'", 0, "\"notin  == 'b'\"", "cannot begin with the word in or notin"),
    ((V1,), "%sx == 'a'" % X, 512, "\"x == 'a'\"", "one of ==, !=, in"),
    ((V3,), "%sx == 'a'" % X, 0, "xxx", "or a label of 1 to 512 of"),
    ((V3,), "global( ", 0, "'global( '", "one of has(label), all(), global()"),
    ((V3,), "a startsx 'b'", 2, "\"startsx 'b'\"", '"starts with"'),
    ((V3,), "a contains-b 'c'", 2, "\"contains-b 'c'\"", "contains"),
    ((V3,), "a\n== 'b'", 1, "\"\\n== 'b'\"", "one of ==, !=, in"),
]


@pytest.mark.parametrize("generations, text, position, found, expected", ERRORS)
def test_errors_say_where_and_what(generations, text, position, found, expected):
    for generation in generations:
        with pytest.raises(SelectorError) as error:
            generation.parse_selector(text)
        message = str(error.value)
        assert error.value.position == position
        assert message.startswith("selector " + shown(text))
        assert "at character %d Calico %s finds " % (position + 1, generation.name[-2:]) in message
        before, _and, after = message.partition(" but expects ")
        assert found in before and expected in after
        assert "\n" not in message and len(message) < 400


def test_what_is_accepted_without_being_read_is_valid_in_both_versions():
    assert is_ordinary("role == 'a' && has(zone) || tier not in {'b', \"c\"}")
    parts = ["has(a)", "has", "in", "not", "a", "in-b", " ", "\n", "==", "!", "&&", "'b'", "{'c'}", "(", ")", "x" * 513]
    accepted = []
    for number in range(1, 5):
        accepted += filter(is_ordinary, map("".join, itertools.product(parts, repeat=number)))
    assert len(accepted) > 10
    for text in accepted:
        V1.parse_selector(text)
        V3.parse_selector(text)


def test_an_error_is_one_that_the_modules_report():
    assert issubclass(SelectorError, CalicoError)


# Nesting


def nested(depth):
    """Twice that depth and one. It selects what has a label a if the depth is even, else what has none."""
    return "!(has(b) && b == '' || " * depth + "has(a)" + ")" * depth


@pytest.mark.parametrize("generation", [V1, V3])
def test_nesting(generation):
    deepest = (MAX_DEPTH - 1) // 2
    for depth in (deepest - 1, deepest):
        selector = generation.parse_selector(nested(depth))
        assert selector.matches({"a": "x"}) == (depth % 2 == 0)
        assert selector.matches({}) == (depth % 2 == 1)
        assert str(generation.parse_selector(str(selector))) == str(selector)
    for depth in (deepest + 1, 10000):
        with pytest.raises(SelectorError, match="at most 200 levels"):
            generation.parse_selector(nested(depth))


def test_what_is_long_is_not_deep():
    assert str(V3.parse_selector("!" * 100001 + "has(a)")) == "!has(a)"
    assert str(V3.parse_selector("(" * 100000 + "has(a)" + ")" * 100000)) == "has(a)"
    assert V3.parse_selector("(has(a)) && " * 10000 + "(has(a))").matches({"a": ""})
    assert V3.parse_selector("a == 'x' || " * 10000 + "a == 'y'").matches({"a": "y"})
    with pytest.raises(SelectorError):
        V3.parse_selector("(" * 100000)


# Any text

LABELS = strategies.dictionaries(strategies.sampled_from(["a", "b", "in"]), strategies.sampled_from(["", "x", "xy"]))
WORDS = ["a", "b", "in", "not", "notin", "in-x", "has(", "has(a)", "has(b)", "all(", "all()", "global()", "contains"]
WORDS += ["starts", "ends", "with", "==", "!=", "!", "=", "&&", "||", "&", "|", "(", ")", "{", "}", ",", '"', "'"]
WORDS += ['"x"', "'y'", '{"x"}', "{\"x\",'xy'}", ".", "ä", " ", "  ", "\t", "\n"]
TEXTS = strategies.lists(strategies.sampled_from(WORDS), max_size=12).map("".join) | strategies.text()
GENERATIONS = strategies.sampled_from([V1, V3])


@given(TEXTS, GENERATIONS, LABELS)
def test_any_text_is_a_selector_or_a_selector_error(text, generation, labels):
    try:
        selector = generation.parse_selector(text)
    except SelectorError as exc:
        assert 0 <= exc.position <= len(text)
    else:
        assert selector.matches(labels) in (True, False)


# Expressions with what they mean: (text, function of the labels).


OPERATORS = [
    ("==", lambda found, value: found == value),
    ("!=", lambda found, value: found != value),
    ("contains", lambda found, value: found is not None and value in found),
    ("starts with", lambda found, value: found is not None and found[: len(value)] == value),
    ("ends with", lambda found, value: found is not None and found.endswith(value)),
]


def _comparisons(operators):
    return strategies.builds(
        lambda label, operator, value: (
            "%s %s %r" % (label, operator[0], value),
            lambda labels: operator[1](labels.get(label), value),
        ),
        strategies.sampled_from("ab"),
        strategies.sampled_from(operators),
        strategies.sampled_from(["", "x", "xy", '"']),
    )


def _memberships():
    return strategies.builds(
        lambda label, negated, values: (
            "%s %s {%s}" % (label, "not in" if negated else "in", ",".join(map(repr, values))),
            lambda labels: (labels.get(label) in values) != negated,
        ),
        strategies.sampled_from("ab"),
        strategies.booleans(),
        strategies.lists(strategies.sampled_from(["", "x", "xy", '"'])),
    )


def _combinations(expressions):
    def negate(marks, expression):
        return "!" * marks + "(" + expression[0] + ")", lambda labels: expression[1](labels) != bool(marks % 2)

    def combine(rows):
        """Alternatives of what must all be true, without any parentheses."""
        return (
            " || ".join("&&".join(text for text, _meaning in row) for row in rows),
            lambda labels: any(all(meaning(labels) for _text, meaning in row) for row in rows),
        )

    terms = strategies.builds(negate, strategies.integers(0, 3), expressions)
    return strategies.lists(strategies.lists(terms, min_size=1, max_size=3), min_size=1, max_size=3).map(combine)


def expressions(operators):
    plain = [
        ("all()", lambda labels: True),
        ("has(a)", lambda labels: "a" in labels),
        ("!has(b)", lambda labels: "b" not in labels),
    ]
    leaves = strategies.sampled_from(plain) | _comparisons(operators) | _memberships()
    return strategies.recursive(leaves, _combinations, max_leaves=8)


EXPRESSIONS = expressions(OPERATORS[:2]).map(lambda each: (V1, *each)) | expressions(OPERATORS).map(
    lambda each: (V3, *each)
)


@given(EXPRESSIONS, LABELS)
def test_an_expression_selects_what_it_says_and_so_does_its_canonical_form(expression, labels):
    generation, text, meaning = expression
    selector = generation.parse_selector(text)
    again = generation.parse_selector(str(selector))
    assert selector.matches(labels) == again.matches(labels) == meaning(labels)
    # Two negations stay in Calico's form when parentheses were between them, and go when that is read.
    assert str(again) == str(selector) or "!!" in str(selector)
    assert str(generation.parse_selector(str(again))) == str(again)
