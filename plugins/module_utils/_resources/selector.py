# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's selector language: expressions over labels, such as has(role) && env in {"prod", "test"}.

v1: libcalico-go release-v2.6, lib/selector. v3: projectcalico/calico v3.32, libcalico-go/lib/selector.
"||" binds less than "&&", and "!" negates the next test or group. Only spaces and tabs separate words.
"""

from __future__ import annotations

import functools
import re
from typing import Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple

from .._core.errors import CalicoError, shown
from .validators import LABEL_KEY, LABEL_LETTER

# Maximum nesting of "!", "&&" and "||". Calico has no limit, Python's stack has one, and real selectors nest little.
MAX_DEPTH = 200
# Maximum number of open parentheses. Redundant parentheses cost only memory.
_MAX_OPEN = 200000

Test = Callable[[Mapping[str, str]], bool]


class SelectorError(CalicoError):
    """A string is not a valid selector of the API version, or is nested deeper than this collection reads.

    `position` is the index of the first invalid character, or the length of the string for its end. With `is_limit`,
    the selector may be valid for Calico.
    """

    def __init__(self, message: str, position: int, is_limit: bool = False) -> None:
        super().__init__(message)
        self.position = position
        self.is_limit = is_limit


class Selector(NamedTuple):
    """`matches` returns whether labels (a dict of strings) are selected; str() is Calico's canonical form.

    Calico's form of !(!has(a)) is !!has(a), which reads as has(a): the same labels, but another form.
    """

    matches: Test
    text: str
    # As MAX_DEPTH counts.
    depth: int = 0
    # The labels that it tests: any other label makes no difference.
    labels: FrozenSet[str] = frozenset()

    def __str__(self) -> str:
        return self.text


class Grammar(NamedTuple):
    """The differences between the API versions."""

    # The name in messages.
    calico: str
    # A test with parentheses, or the label that begins any other test.
    operand: re.Pattern[str]
    # The operator between a label and its value or values.
    operator: re.Pattern[str]
    operands: str
    operators: str


def _words(pattern: str, spaces: str) -> re.Pattern[str]:
    for word, stands_for in (("<spaces>", spaces), ("<label>", LABEL_KEY), ("<letter>", LABEL_LETTER)):
        pattern = pattern.replace(word, stands_for)
    return re.compile(pattern, re.ASCII)


# v1 accepts more kinds of spaces inside its longer words, as Go's \s does, and cuts a label after 512 characters. It
# finds the operators "in" and "not in" at the start of any word, so only has() can test the label in-stock.
GRAMMAR_V1 = Grammar(
    "Calico v1",
    _words(
        r"has\(<spaces>(?P<has><label>)<spaces>\)|(?P<all>all)\(<spaces>\)|(?P<unfinished>(?:has|all)\()"
        r"|(?P<operator>(?:not<spaces>)?in\b)|(?P<key><label>)",
        r"[ \t\n\f\r]*",
    ),
    _words(r"==|!=|(?:not<spaces>)?in\b", r"[ \t\n\f\r]*"),
    "has(label), all()",
    '==, !=, in, "not in"',
)
GRAMMAR_V3 = Grammar(
    "Calico v3",
    _words(
        r"has\(<spaces>(?P<has><label>)<spaces>\)|(?P<all>all|global)\(<spaces>\)"
        r"|(?P<unfinished>(?:has|all|global)\()|(?P<key><label>(?!<letter>))",
        r"[ \t]*",
    ),
    _words(r"==|!=|(?:contains|starts<spaces>with|ends<spaces>with|(?:not<spaces>)?in)(?!<letter>)", r"[ \t]*"),
    "has(label), all(), global()",
    '==, !=, in, "not in", contains, "starts with", "ends with"',
)

# By the API version's name.
GRAMMARS = {"v1": GRAMMAR_V1, "projectcalico.org/v3": GRAMMAR_V3}

_NOT = re.compile(r"!(?!=)")
_OPEN = re.compile(r"\(")
_CLOSE = re.compile(r"\)")
_AND = re.compile(r"&&")
_OR = re.compile(r"\|\|")
_END = re.compile(r"\Z")
# It cannot contain its own kind of quote.
_VALUE = re.compile(r"\"[^\"]*\"|'[^']*'")
_SET_OPEN = re.compile(r"\{")
_COMMA = re.compile(r",")
_SET_CLOSE = re.compile(r"\}")

# Tests in a row, without parentheses around them. A label that begins like an operator is invalid in v1.
_ORDINARY = (
    r"(?:<spaces>(?:has\(<spaces><label><spaces>\)|all\(<spaces>\)|(?!not|in)<label>"
    r"(?:<spaces>[!=]=<spaces><value>"
    r"|[ \t]+(?:not[ \t]+)?in<spaces>\{<spaces><value>(?:<spaces>,<spaces><value>)*<spaces>\}))"
    r"<spaces>(?:\Z|(?:&&|\|\|)(?!\Z)))+"
).replace("<value>", "(?:{0})".format(_VALUE.pattern))


def is_ordinary(text: str) -> bool:
    """Whether `parse` certainly accepts a string in each grammar; ten times as fast, and true for most selectors."""
    return _compile_ordinary().fullmatch(text) is not None


# Many tasks have no selector.
@functools.lru_cache(maxsize=None)
def _compile_ordinary() -> re.Pattern[str]:
    return _words(_ORDINARY, r"[ \t]*")


def parse(text: str, grammar: Grammar, prefix: str = "") -> Selector:
    """The selector of a string in a grammar. Raises SelectorError.

    An empty string, or one of spaces, selects everything, as all() does. `prefix` is added before each label.
    """
    reader = _SelectorReader(text, grammar, prefix)
    if reader.take(_END):
        return EVERYTHING
    # The terms before each open parenthesis.
    enclosing: List[Tuple[List[Selector], List[Selector], bool]] = []
    any_of: List[Selector] = []
    all_of: List[Selector] = []
    while True:
        negated = _is_negated(reader)
        if reader.take(_OPEN):
            if len(enclosing) >= _MAX_OPEN:
                raise reader.too_deep(_MAX_OPEN)
            enclosing.append((any_of, all_of, negated))
            any_of, all_of = [], []
            continue
        term = _test(reader)
        while True:
            all_of.append(_not(term) if negated else term)
            if reader.take(_AND):
                break
            any_of.append(both(all_of))
            all_of = []
            if reader.take(_OR):
                break
            term = _any(any_of)
            if term.depth > MAX_DEPTH:
                raise reader.too_deep(MAX_DEPTH)
            if not enclosing:
                if reader.take(_END):
                    return term
                raise reader.error("&&, || or the end")
            if not reader.take(_CLOSE):
                raise reader.error("&&, || or )")
            any_of, all_of, negated = enclosing.pop()


class _SelectorReader:
    """A string and the position up to which it has been read, after any spaces."""

    def __init__(self, text: str, grammar: Grammar, prefix: str = "") -> None:
        self.text = text
        self.grammar = grammar
        self.prefix = prefix
        self.position = 0
        self._read_up_to(0)

    def take(self, pattern: re.Pattern[str]) -> Optional[re.Match[str]]:
        """The match of the pattern here, which is then read; None if it does not match."""
        found = pattern.match(self.text, self.position)
        if found:
            self._read_up_to(found.end())
        return found

    def _read_up_to(self, position: int) -> None:
        while self.text[position : position + 1] in (" ", "\t"):
            position += 1
        self.position = position

    def error(self, expected: str, at: Optional[int] = None) -> SelectorError:
        """The error that something else is expected here, or at an earlier position."""
        position = self.position if at is None else at
        rest = self.text[position:]
        message = "selector {0}: at character {1} {2} finds {3} but expects {4}".format(
            shown(self.text), position + 1, self.grammar.calico, shown(rest, 20) if rest else "the end", expected
        )
        return SelectorError(message, position)

    def too_deep(self, most: int) -> SelectorError:
        error = self.error("at most {0} levels, a limit of this collection".format(most))
        return SelectorError(str(error), error.position, is_limit=True)


def _is_negated(reader: _SelectorReader) -> bool:
    negated = False
    while reader.take(_NOT):
        negated = not negated
    return negated


def _test(reader: _SelectorReader) -> Selector:
    """One test, without its negation."""
    grammar = reader.grammar
    found = reader.take(grammar.operand)
    if not found:
        raise reader.error("!, (, {0} or a label of 1 to 512 of a-z A-Z 0-9 _ . / -".format(grammar.operands))
    kind = found.lastgroup
    if kind == "has":
        return has(reader.prefix + found.group("has"))
    if kind == "all":
        return EVERYTHING if found.group("all") == "all" else _GLOBAL
    if kind == "unfinished":
        raise reader.error("one of {0}".format(grammar.operands), found.start())
    if kind == "operator":
        raise reader.error("a label, which in v1 cannot begin with the word in or notin", found.start())
    label = reader.prefix + found.group()
    operator = reader.take(grammar.operator)
    if not operator:
        raise reader.error("one of {0} after a label".format(grammar.operators))
    word = "".join(operator.group().split())
    if word in _SET_TESTS:
        return _set_test(reader, label, word)
    value = _value(reader)
    if value is None:
        raise reader.error("a value between two quotes")
    name, make = _VALUE_TESTS[word]
    return _build_test(label, make(label, value), "{0} {1} {2}".format(label, name, _quoted(value)))


def _set_test(reader: _SelectorReader, label: str, word: str) -> Selector:
    if not reader.take(_SET_OPEN):
        raise reader.error("a set of values, such as {'a', 'b'}")
    values = []
    value = _value(reader)
    while value is not None:
        values.append(value)
        # A comma after the last value is allowed.
        value = _value(reader) if reader.take(_COMMA) else None
    if not reader.take(_SET_CLOSE):
        raise reader.error("a comma, a value between two quotes or }")
    name, make = _SET_TESTS[word]
    listed = ", ".join(_quoted(value) for value in sorted(set(values)))
    return _build_test(label, make(label, frozenset(values)), "{0} {1} {{{2}}}".format(label, name, listed))


def _value(reader: _SelectorReader) -> Optional[str]:
    found = reader.take(_VALUE)
    return found.group()[1:-1] if found else None


def _quoted(value: str) -> str:
    return "'{0}'".format(value) if '"' in value else '"{0}"'.format(value)


# The tests. An absent label is unequal to every value and in no set; every other test of it fails.


def _starts_with(label: str, value: str) -> Test:
    return lambda labels: label in labels and labels[label].startswith(value)


def _ends_with(label: str, value: str) -> Test:
    return lambda labels: label in labels and labels[label].endswith(value)


# By the operator without its spaces: the canonical form of the operator, and its test.
_VALUE_TESTS: Dict[str, Tuple[str, Callable[[str, str], Test]]] = {
    "==": ("==", lambda label, value: lambda labels: labels.get(label) == value),
    "!=": ("!=", lambda label, value: lambda labels: labels.get(label) != value),
    "contains": ("contains", lambda label, value: lambda labels: label in labels and value in labels[label]),
    "startswith": ("starts with", _starts_with),
    "endswith": ("ends with", _ends_with),
}
_SET_TESTS: Dict[str, Tuple[str, Callable[[str, FrozenSet[str]], Test]]] = {
    "in": ("in", lambda label, values: lambda labels: labels.get(label) in values),
    "notin": ("not in", lambda label, values: lambda labels: labels.get(label) not in values),
}
EVERYTHING = Selector(lambda labels: True, "all()")
# Meant for endpoints without a namespace, but it selects every endpoint, as in Calico.
_GLOBAL = Selector(lambda labels: True, "global()")


def has(label: str) -> Selector:
    """A selector of everything that has the label, with any value."""
    return _build_test(label, lambda labels: label in labels, "has({0})".format(label))


def _build_test(label: str, matches: Test, text: str) -> Selector:
    """The selector of a test of one label."""
    return Selector(matches, text, labels=frozenset((label,)))


def _not(term: Selector) -> Selector:
    matches = term.matches
    return Selector(lambda labels: not matches(labels), "!" + term.text, term.depth + 1, term.labels)


def both(terms: List[Selector]) -> Selector:
    """A selector of everything that all terms select."""
    if len(terms) == 1:
        return terms[0]
    tests = [term.matches for term in terms]

    def matches(labels: Mapping[str, str]) -> bool:
        for test in tests:
            if not test(labels):
                return False
        return True

    return _combine(matches, " && ", terms)


def _any(terms: List[Selector]) -> Selector:
    if len(terms) == 1:
        return terms[0]
    tests = [term.matches for term in terms]

    def matches(labels: Mapping[str, str]) -> bool:
        for test in tests:
            if test(labels):
                return True
        return False

    return _combine(matches, " || ", terms)


def _combine(matches: Test, operator: str, terms: List[Selector]) -> Selector:
    text = "({0})".format(operator.join(term.text for term in terms))
    labels = frozenset().union(*[term.labels for term in terms])
    return Selector(matches, text, 1 + max(term.depth for term in terms), labels)
