# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a file may hold, as far as hypothesis thinks of it: endpoints, or one message that says where."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._module._input.endpoint_set import (
    build_presents,
    read_endpoints,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3

FIELDS = {"name": "n1-eth0", "node": "n1", "labels": {"a": "b"}, "interface_name": "eth0", "expected_ips": ["10.0.0.1"]}
RESOURCE = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "HostEndpoint",
    "metadata": {"name": "n1-eth1", "labels": {"a": "b"}},
    "spec": {"node": "n1", "interfaceName": "eth1", "expectedIPs": ["10.0.0.2"], "profiles": ["p"]},
}
LIST = {"apiVersion": "v1", "kind": "List", "items": [RESOURCE]}
SAMPLES = [
    json.dumps([FIELDS, RESOURCE]),
    json.dumps(LIST, indent=1),
    yaml.safe_dump([FIELDS, RESOURCE]),
    yaml.safe_dump_all([FIELDS, LIST]),
    "- &a\n" + yaml.safe_dump(FIELDS).replace("\n", "\n  ").join(["  ", ""]) + "\n- <<: *a\n  name: n2\n",
]
# What means something to a reader of JSON or YAML.
PIECES = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ": ",
    "\n",
    "\n- ",
    "- ",
    "  ",
    "\t",
    "&a ",
    "*a",
    "<<: *a",
    "!",
    "!!int ",
    "? ",
]
PIECES += [
    "'",
    '"',
    "\\",
    "\\u00",
    "|",
    ">",
    "%",
    "%TAG ! x\n",
    "---\n",
    "...\n",
    "#",
    "null",
    "~",
    "true",
    "NaN",
    ".inf",
]
PIECES += [
    "1e999",
    "0x",
    "9" * 5000,
    "2024-05-01",
    "1:30",
    "\0",
    "\x07",
    "\x85",
    "\u2028",
    "\ufeff",
    "\U0001f600",
    "kind: ",
]
PIECES += ["items: ", "name: ", "labels: ", "apiVersion: v1\n"]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(PIECES))
keys = st.sampled_from([*FIELDS, *RESOURCE, "spec", "interfaceName", "expectedIPs", "items", "ports", "x"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=15,
)


@st.composite
def damaged(draw):
    """A good file, with some letters replaced."""
    text = draw(st.sampled_from(SAMPLES))
    for _number in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 8)))
        text = text[:begin] + draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=3))) + text[end:]
    return text


contents = st.one_of(
    damaged(),
    values.map(json.dumps),
    values.map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
    st.lists(st.sampled_from(PIECES), max_size=20).map("".join),
    st.binary(max_size=40),
)


@pytest.fixture(autouse=True)
def alarm():
    """A hang ends the tests."""
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: pytest.fail("it hangs"))
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def outcome(content, api_version):
    """The endpoints of a file, or the message."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    try:
        return build_presents(read_endpoints({"src": file.name}), api_version, {}, api_version.identify)
    except InvalidInput as exc:
        return str(exc).replace(file.name, "FILE")
    finally:
        os.unlink(file.name)


@settings(max_examples=400)
@given(contents, st.sampled_from([V1, V3]))
@example("[" * 100000, V3)
@example("- " * 100000, V3)
@example("a: &a [*a]", V3)
@example("x: " + "9" * 5000, V1)
@example('{"name": ' + "9" * 5000 + "}", V1)
@example(b"\xff\xfe\0\0", V3)
@example("[{}]" + " " * 100000, V3)
def test_a_file_is_endpoints_or_one_message(content, api_version):
    found = outcome(content, api_version)
    if isinstance(found, str):
        assert found.startswith("src FILE") and "Error" not in found
        assert found.isprintable() and len(found) < 4000
    else:
        assert all(want.resource.name for want in found.values())


def test_the_samples_are_endpoints():
    for text in SAMPLES:
        assert not isinstance(outcome(text, V3), str)


# Longer than what is also read as YAML.
LONG = "[" + " " * 1000000
ONE = json.dumps(FIELDS)


@pytest.mark.parametrize(
    "items",
    ["", ONE, "%s,%s" % (ONE, json.dumps(LIST)), "1, {}", "%s,%s" % (ONE, ONE), '{"name": "x", "name": "y"}', "NaN"],
)
def test_a_long_list_in_json_is_read_like_a_short_one(items):
    assert outcome(LONG + items + "]", V3) == outcome("[%s]" % items, V3)


@pytest.mark.parametrize(
    "end, message",
    [
        ("", "expecting ',' delimiter; it is too long to be read as YAML in flow style"),
        ("] x", "extra data; it is too long to be read as YAML in flow style"),
        (', {"a": 1, "a": 1}]', "a is given twice, first on line 1; keep one of the two"),
    ],
)
def test_the_end_of_a_long_list_may_be_invalid(end, message):
    # Whatever its items are.
    for item, number in ((ONE, 1), ("1", 1), ("1", 150000)):
        assert outcome(LONG + ",".join([item] * number) + end, V3).endswith(message)


def test_a_file_of_millions_of_flaws_is_refused_with_ten():
    for item in ("1", "{}", "[]", '{"a":1}', '{"name": %s}' % json.dumps(["x"] * 10)):
        message = outcome("[%s]" % ",".join([item] * 150000), V3)
        assert "src FILE[0]: " in message and re.search("and 9999[0-9] more", message) and len(message) < 4000
    many = ["1"] * 150000
    for fields in (
        {"expected_ips": many},
        {"profiles": many},
        {"labels": dict.fromkeys(map(str, range(150000)), "1")},
        {"ports": many},
    ):
        assert "has 150000 items, more than etcd accepts in one endpoint" in outcome(json.dumps([fields]), V3)
    unknown = dict.fromkeys(map("x{0}".format, range(150000)))
    assert len(outcome(json.dumps([dict(FIELDS, **dict.fromkeys(unknown, 1))]), V3)) < 1000
    assert len(outcome(json.dumps([dict(RESOURCE, spec=unknown)]), V3)) < 2000
