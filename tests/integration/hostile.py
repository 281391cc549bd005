# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that somebody may have stored who wants to harm whoever reads them: valid ones of every kind, mutated."""

from __future__ import annotations

import copy
import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def fuzz(examples):
    """The same examples in each run, so that a suite that has passed once does not fail by chance."""
    return settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))


class Raw(str):
    """A text that stands in JSON as it is."""


def text_of(item):
    """JSON that need not be what Python can write: an object is a list of pairs, whose keys may be there twice."""
    if isinstance(item, Raw):
        return str(item)
    if isinstance(item, Members):
        return "{" + ",".join(text_of(key) + ":" + text_of(value) for key, value in item) + "}"
    if isinstance(item, list):
        return "[" + ",".join(map(text_of, item)) + "]"
    return json.dumps(item)


class Members(list):
    """[(key, value)] of an object."""


def members_of(document):
    if isinstance(document, dict):
        return Members((key, members_of(value)) for key, value in document.items())
    return [members_of(each) for each in document] if isinstance(document, list) else document


# What stands in the place of a part of a value.
HOSTILE_TEXTS = [
    "",
    " ",
    "\0",
    "a\nb\tc\r\x1b[31m\x07\x9b",
    "\u202e\u2028\U0001f600",
    "a" * 300,
    "{{ 7 * 7 }}",
    "../..",
    "n1",
    "eth0",
    "10.0.0.1/33",
    "10.0.0.0/8",
    "::ffff:1.2.3.4",
    "fe80::1%eth0",
    "01.2.3.4",
    "080",
    "9" * 5000,
    "80:9" + "0" * 5000,
    "!",
    "(" * 3000,
    "!(" * 300 + "has(a)" + ")" * 300,
    "has(a) && " * 300 + "has(a)",
    "*",
    "none",
    "false",
    "tcp:" + "9" * 30,
]
HOSTILE = [
    *HOSTILE_TEXTS,
    None,
    True,
    False,
    0,
    -1,
    4,
    2**63,
    Raw("4.0"),
    Raw("1e400"),
    Raw("-1e400"),
    Raw("1e5"),
    Raw("-0"),
    Raw("9" * 999),
    Raw("9" * 5000),
    Raw("0." + "3" * 5000),
    Raw("NaN"),
    Raw("-Infinity"),
    Raw('"\\ud800"'),
    Raw('"a\\udfff\\ud83d"'),
    Raw('"\\u006e1"'),
    [],
    [None],
    [""],
    [[]],
    [Members()],
    Members(),
    Members([("", "")]),
    Members([("a", None)]),
    Members([("a", Members())]),
    Members([(Raw('"\\ud800"'), Raw('"\\udfff"'))]),
    Members([("a\n\x1b", "b\n\x1b")]),
    Members([("a", "1"), ("A", "2"), ("a", "3")]),
    *[Raw("[" * depth + "]" * depth) for depth in (50, 150, 400, 990, 3000, 100000)],
    *[Raw('{"a":' * depth + "1" + "}" * depth) for depth in (50, 150, 990, 100000)],
]

_REPLACE, _REMOVE, _TWICE, _RENAME, _APPEND = "replace", "remove", "twice", "rename", "append"
_KINDS = (_REPLACE, _REPLACE, _REPLACE, _REMOVE, _TWICE, _RENAME, _APPEND)
# What becomes of a value's bytes, now and then.
_CHANGES = [
    lambda data: b"",
    lambda data: data[: len(data) // 2],
    lambda data: data + b" x",
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.replace(b'"', b'"\xff', 3),
    lambda data: b"\xff\xfe\0\x80",
    lambda data: b"\0" + data,
    lambda data: b"[" * 100000,
    lambda data: b"[" * 101 + b'"' + b'\\"' * 200000,
    lambda data: data.replace(b":", b" \n:\t"),
    lambda data: data.replace(b"e", b"\\u0065"),
    lambda data: b"9" * 6000,
    lambda data: json.dumps(data.decode("utf-8", "replace")).encode(),
]


class Mutants(dict):
    """{key: value} that a failed test can show."""

    def __repr__(self):
        return "{%s}" % ", ".join("%.300r: %s" % (key, _start_of(value)) for key, value in self.items())


def _start_of(value):
    try:
        return "%.600r" % (value,)
    except (RecursionError, ValueError):
        return "something that Python cannot write"


# Numbers, since the texts would make every message of a failed test a book.
_MUTATION = st.tuples(st.integers(0, len(_KINDS) - 1), st.integers(0, 10**6), st.integers(0, len(HOSTILE) - 1))


def mutated(document):
    """A strategy of bytes: the document, of which some parts are others."""

    def made(mutations, number):
        return mutate(document, mutations, number if number < len(_CHANGES) else None)

    return st.builds(made, st.lists(_MUTATION, max_size=3), st.integers(0, 2 * len(_CHANGES)))


def mutate(document, mutations, number):
    item = members_of(document)
    for kind, place, hostile in mutations:
        places = list(_places(item))
        hostile = copy.deepcopy(HOSTILE[hostile])
        if places:
            _mutate(*places[place % len(places)], _KINDS[kind], hostile)
        else:
            item = hostile
    text = item if isinstance(document, str) and isinstance(item, str) else text_of(item)
    data = text.encode("utf-8", "replace")
    return data if number is None else _CHANGES[number](data)


def _places(item):
    if isinstance(item, list):
        for index, each in enumerate(item):
            yield item, index
            yield from _places(each[1] if isinstance(item, Members) else each)


def _mutate(container, index, kind, hostile):
    is_object = isinstance(container, Members)
    if kind == _REMOVE:
        del container[index]
    elif kind == _TWICE and is_object:
        container.append((container[index][0], hostile))
    elif kind == _RENAME and is_object:
        key, value = container[index]
        container[index] = (key.swapcase() if isinstance(hostile, str) or hostile is None else "x", value)
    elif kind == _APPEND and not is_object:
        container.append(hostile)
    else:
        container[index] = (container[index][0], hostile) if is_object else hostile


# Parts of keys below the prefixes.
NAMES = [
    b"x",
    b"x/y",
    b"x/y/z/w",
    b"a%2fb",
    b"a%2Fb%25",
    b"%",
    b"x\n\x1b",
    "\xe4\u202e".encode(),
    b".",
    b"A" * 300,
    b"default.x",
    b"_x",
    b" ",
    b"\xff",
    b"a\x80b",
    b"\0",
    b"x\xed\xa0\x80",
]
