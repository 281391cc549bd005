# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest
import yaml

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io


@pytest.mark.parametrize(
    "text", ["y", "N", "1e3", "12e4567", "0o10", "0x1f", "1_000", ".5", "nan", "true", "null", "010", "1:20"]
)
def test_what_other_readers_take_for_something_else_is_quoted(text):
    assert yaml_io.dump({text: text}) == "'{0}': '{0}'\n".format(text)


@pytest.mark.parametrize("text", ["192.168.0.1", "2001:db8::1", "eth0", "v1.2", "a/b", "yes-man"])
def test_what_is_plain_stays_plain(text):
    assert yaml_io.dump([text]) == "- {0}\n".format(text)


@pytest.fixture(params=["libyaml", "pure Python"])
def parser(request, monkeypatch):
    """PyYAML's own parser is there where libyaml is not."""
    if request.param == "pure Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


pytestmark = pytest.mark.usefixtures("parser")


class Tagged(str):
    """As Ansible's strings, which str() returns as they are."""

    def __str__(self):
        return self


def test_a_string_of_another_type_is_read_as_any_other():
    (document,) = yaml_io.load_all(Tagged("a: [b]"))
    assert document == {"a": ["b"]} == yaml_io.first(Tagged("a: [b]\n---\nc"))
    assert type(document["a"][0]) is str
    with pytest.raises(ValueError, match="line 2, column 1: a is given twice, first on line 1"):
        yaml_io.load_all(Tagged("a: b\na: c\n"))


@pytest.mark.parametrize("text", ["password: %secret", "password: *secret", "a: [secret", "a: !secret", "[" * 500])
def test_an_error_about_settings_does_not_repeat_them(text):
    with pytest.raises(ValueError) as error:
        yaml_io.first(text)
    assert "line " in str(error.value)
    assert "secret" not in str(error.value)


def test_an_error_about_endpoints_says_what_and_where():
    with pytest.raises(ValueError, match="is not YAML: line 2, column 1: "):
        yaml_io.load_all("a: [b\n")


def test_scalars_are_read_as_pyyaml_reads_them():
    text = "[yes, Off, ~, null, '', 0x1F, 010, 0b11, 1_000, -7, +3, 1.50, .5, -.inf, 2e3, n, !!str 5, !!int '3']"
    assert yaml_io.first(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01",
        "2024-05-01T10:00:00Z",
        "2024-5-1 10:00:00.5 +2",
        "1:30",
        "1:2:3:4:5:6:7:8",
        "1:30.5",
        "!!timestamp x",
    ],
)
def test_dates_and_numbers_to_the_base_60_are_the_text_as_written(text):
    written = text.replace("!!timestamp ", "")
    assert yaml_io.first("k: {0}\n{0}: k".format(text)) == {"k": written, written: "k"}


@pytest.mark.parametrize(
    "text, found",
    [
        ("a: &a {xx: 1, yy: 2}\nb: {<<: *a, yy: 3, zz: 4}\n", {"xx": 1, "yy": 3, "zz": 4}),
        ("a: &a {xx: 1, yy: 2}\nb:\n  yy: 3\n  <<: *a\n", {"xx": 1, "yy": 3}),
        ("a: &a {xx: 1}\nc: &c {xx: 2, yy: 2}\nb: {<<: [*a, *c], zz: 1}\n", {"xx": 1, "yy": 2, "zz": 1}),
        ("a: &a {xx: 1}\nc: &c {<<: *a, yy: 2}\nb: {<<: *c}\n", {"xx": 1, "yy": 2}),
        ("b: {<<: {xx: 1}, yy: 2}\n", {"xx": 1, "yy": 2}),
        ("b: {<<: [], xx: 1}\n", {"xx": 1}),
        ("a: &a {}\nb: {<<: *a}\n", {}),
        ("b: {'<<': 1}\n", {"<<": 1}),
    ],
)
def test_merge_keys_work_as_yaml_says(text, found):
    """What a mapping has itself counts first, then the first mapping of a list."""
    assert yaml_io.first(text)["b"] == found


def test_an_alias_is_what_it_stands_for():
    assert yaml_io.load_all("a: &a [x]\nb: *a\n&k c: *k\n---\nd: &a 1\ne: *a\n") == [
        {"a": ["x"], "b": ["x"], "c": "c"},
        {"d": 1, "e": 1},
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: a is given twice, first on line 1; keep one of the two"),
        ("{a: 1, a: 1}", "line 1, column 8: a is given twice, first on line 1"),
        ("x:\n- y: {a: 1}\n- y:\n    b: 1\n    b: 1\n", "line 5, column 5: x[1].y.b is given twice, first on line 4"),
        ("a: 1\n---\nb:\n  c: 1\n  c: 1\n", "line 5, column 3: document 2: b.c is given twice, first on line 4"),
        ("{1: a, '1': b}", "1 is given twice"),
        ("{true: a, 'true': b}", "true is given twice"),
        ("{<<: {a: 1}, b: 1, b: 2}", "b is given twice"),
        ("{[a]: 1}", "line 1, column 4: a key is a list"),
        ("? {a: 1}\n: 1", "a key is a mapping"),
        ("{<<: {a: 1}, <<: {a: 2}}", "<< is given twice, first on line 1"),
        ("<<: 5", "line 1, column 5: << needs a mapping"),
        ("&a x: {<<: [*a]}", "<< needs a mapping"),
        ("a: &a [*a]", "line 1, column 8: an alias refers to a value that contains it"),
        ("a: &a {b: *a}", "an alias refers to a value that contains it"),
        ("a: *b", "is not YAML: line 1, column 4: found undefined alias b"),
        ("a: &x 1\n---\nb: *x\n", "line 3, column 4: found undefined alias x"),
        ("a: !!python/object/apply:os.system ['true']", "line 1, column 4: a tag is not supported"),
        ("a: !!set {x}", "line 1, column 4: a tag is not supported"),
        ("a: !!binary aGk=", "a tag is not supported"),
        ("a: !!int x", "a tag is not supported"),
        ("a:\n- x\x07y", "is not YAML: line 2: the character U+0007 is not allowed"),
        ("a: \ud800", "is not YAML: line 1: the character U+D800 is not allowed"),
        ("a: " + "9" * 5000, "line 1, column 4: a number of 5000 characters is too long; quote it"),
        ("a: 0x" + "f" * 5000, "a number of 5002 characters is too long; quote it"),
        ("[" * 101 + "]" * 101, "line 1, column 101: is nested more than 100 levels deep"),
        ("- " * 200, "is nested more than 100 levels deep"),
        ("".join("%TAG !{0}! tag:x\n".format(number) for number in range(30000)) + "--- a", "has %TAG more than 1000"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_read_is_reported_with_its_place(text, message):
    with pytest.raises(ValueError) as error:
        yaml_io.load_all(text)
    assert message in str(error.value)


def bomb(first, levels=12, width=10):
    lines = ["a0: &a0 [{0}]".format(first)]
    lines += ["a{0}: &a{0} [{1}]".format(n, ", ".join(["*a%d" % (n - 1)] * width)) for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "lists": bomb("x, x"),
    "one long text": "a: &a {0}\nb: [{1}]".format("x" * 100000, ", ".join(["*a"] * 10000)),
    "merges": bomb("{x: 1}").replace("[", "[{<<: ", 1).replace("]", "}]", 1),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=list(BOMBS))
def test_aliases_count_as_what_they_stand_for(text):
    begin = time.process_time()
    with pytest.raises(ValueError, match=r"line \d+, column \d+: holds more than 4000000 values and keys"):
        yaml_io.load_all(text)
    assert time.process_time() - begin < 5


def test_the_billion_digits_of_an_exponent_take_no_time():
    assert yaml_io.first("[1.0e+999999999, 1.0e-999999999]") == [float("inf"), 0.0]
