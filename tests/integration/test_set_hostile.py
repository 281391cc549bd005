# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are made, or happen, to take the memory or the time of the machine: one sentence, and nothing is written.

What else a file may hold is tried in tests/unit/plugins/module_utils/test_inputs.py.
"""

from __future__ import annotations

import json
import os
import resource

import pytest

from tests.harness.module import run_module
from tests.integration.sets import ModuleProcess, endpoint, hostendpoints, task
from tests.integration.tasks import connection, failure, hostendpoint, one_etcd, only_etcdv3

pytestmark = [one_etcd, pytest.mark.thorough]

ONE = endpoint("n1")
# With these, everything would be deleted if nothing at all were read.
PURGE = {"purge": "all", "purge_nodes": ["n1"]}
MEGABYTE = 1000000
MOST_KILOBYTES = 300000


def bomb(levels=12):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += ["a{0}: &a{0} [{1}]".format(n, ", ".join(["*a%d" % (n - 1)] * 10)) for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def filled(item, before="[", after="]", size=20 * MEGABYTE):
    return before + item * (size // len(item)) + after


# name: what makes the content, which is large, and what the message says
FILES = {
    "an alias bomb": (bomb, "line 7, column 20: holds more than 4000000 values"),
    "an alias bomb in a label": (
        lambda: "name: x\nlabels:\n" + bomb().replace("\na", "\n  a").replace("a0:", "  a0:", 1),
        "values",
    ),
    "a long text, again and again": (lambda: "a: &a %s\nb: [%s]\n" % ("x" * MEGABYTE, "*a," * 1000), "values"),
    "broken JSON": (lambda: filled(json.dumps(ONE) + ",", after="{"), "is not JSON: line 1, column "),
    "broken JSON of short texts": (lambda: filled('"a%06d",' % 1, after=""), "is not JSON: line 1, column "),
    "brackets": (lambda: "[" * 20 * MEGABYTE, "holds more than 4000000 values"),
    "pairs of brackets": (lambda: filled("[],", after="[]]"), "holds more than 4000000 values"),
    "objects": (lambda: filled('{"a":1},', after="{}]"), "holds more than 4000000 values"),
    "YAML of different texts": (
        lambda: "".join("- x%07d\n" % n for n in range(MEGABYTE)),
        "[0]: 'x0000000' is not an endpoint",
    ),
    "YAML that begins like JSON": (
        lambda: filled("a aaaaaa,", after=""),
        "is not JSON: line 1, column 2: expecting value; it is too long to be read as YAML",
    ),
    "a huge number": (
        lambda: '{"name": %s}' % ("9" * 20 * MEGABYTE),
        "line 1: a number of 20000000 characters is too long",
    ),
    "a huge number in YAML": (
        lambda: "name: %s\n" % ("9" * 20 * MEGABYTE),
        "a number of 20000000 characters is too long",
    ),
    "a huge text": (
        lambda: json.dumps(dict(ONE, name="x" * 20 * MEGABYTE)),
        "is too many bytes for all fields together: etcd, also behind a Kubernetes API server, accepts about 1000000",
    ),
    "a huge key": (lambda: json.dumps(dict(ONE, **{"x" * 20 * MEGABYTE: 1})), "is unknown: an endpoint has"),
    "a comment": (lambda: "#" * 20 * MEGABYTE, "contains no resources"),
    "control characters": (lambda: "\x01" * 20 * MEGABYTE, "line 1: the character U+0001 is not allowed"),
    "wide characters": (lambda: "\U0001f600" * 5 * MEGABYTE, "is not an endpoint"),
    "more than the most": (
        lambda: " " * 100 * MEGABYTE + "x",
        "is larger than 100 MB, the maximum; split it",
    ),
}


@only_etcdv3
@pytest.mark.parametrize("content, message", FILES.values(), ids=list(FILES))
def test_a_hostile_file(datastore, tmp_path, content, message):
    datastore.put_all(datastore.tree_of([ONE]))
    path = tmp_path / "set"
    path.write_text(content(), encoding="utf-8")
    before = seconds_of_children()
    status, printed = ModuleProcess(task(datastore, src=str(path), **PURGE)).run()
    assert status == 0
    assert message in failure(printed["result"], "src %s" % path)
    assert datastore.stored() == datastore.tree_of([ONE])
    assert printed["peak_kilobytes"] < MOST_KILOBYTES
    assert seconds_of_children() - before < 20


def seconds_of_children():
    """The processor's, of those that have ended: other processes make no difference."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@only_etcdv3
def test_100000_endpoints_are_no_hostile_file(datastore, tmp_path):
    path = tmp_path / "set"
    many = [endpoint("node-%d" % (n // 2), "eth%d" % (n % 2), labels={"a": "b"}) for n in range(100000)]
    path.write_text(json.dumps({"kind": "List", "items": list(map(exported, many))}, indent=2), encoding="utf-8")
    result = hostendpoints(datastore, check=True, src=str(path))
    assert not result["failed"], result["msg"]
    assert result["summary"]["created"] == 100000


def exported(fields):
    """As calicoctl prints it."""
    metadata = {"name": fields["name"], "labels": fields["labels"], "uid": "11111111-2222-4333-8444-555555555555"}
    metadata.update(creationTimestamp="2026-01-02T03:04:05Z", resourceVersion="123456")
    spec = {"node": fields["node"], "interfaceName": fields["interface_name"]}
    spec.update(expectedIPs=["192.0.2.1", "2001:db8::1"], profiles=["projectcalico-default-allow"])
    return {"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": metadata, "spec": spec}


@pytest.fixture
def pipe(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    return path


def test_what_is_no_file(datastore, pipe):
    datastore.put_all(datastore.tree_of([ONE]))
    for path, message in (
        (pipe, "src %s: is a named pipe, not a file; write its content to a file" % pipe),
        ("/dev/zero", "src /dev/zero: is a device, not a file"),
        ("/dev", "src /dev: Is a directory"),
        ("/a\0b", r"src '/a\x00b': is not a path: it contains a NUL character"),
        ("no/such", "src no/such: No such file or directory in %s, the working directory" % os.getcwd()),
    ):
        assert failure(hostendpoints(datastore, src=path, **PURGE)).startswith(message)
    assert datastore.stored() == datastore.tree_of([ONE])


def test_other_files_that_are_none(datastore, pipe, tmp_path):
    """The file of facts, and calicoctl's."""
    for path, message in (
        (pipe, pipe + ": is a named pipe, not a file"),
        ("/a\0b", r"'/a\x00b': is not a path: it contains a NUL character"),
        ("no/such", "no/such: No such file or directory in %s, the working directory" % os.getcwd()),
    ):
        options = {"interface_name": "eth0", "guard": "enforce", "guard_facts_src": path}
        failure(hostendpoint(datastore, **options), "guard_facts_src " + message)
        options = dict(connection(datastore), name="n1-eth0", node="n1", interface_name="eth0", calicoctl_config=path)
        failure(run_module("calico_hostendpoint", options), "calicoctl_config " + message)
        dest = run_module(
            "calico_hostendpoints_audit", dict(connection(datastore), endpoints=[], nodes=[], dest="/a\0b")
        )
        failure(dest, r"dest '/a\x00b': ")
    assert datastore.stored() == {}


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"n1": {}, "n1": {}}', "line 1: n1 is given twice, first on line 1; keep one of the two"),
        ('{\n"n1": }', "is not JSON: line 2, column 7: expecting value"),
        ("[]", "is not a mapping"),
        ("[" * 20 * MEGABYTE, "holds more than 4000000 values"),
        ('{"n1": %s}' % ("9" * 5000), "line 1: a number of 5000 characters is too long; quote it"),
    ],
    ids=lambda text: text[:30],
)
def test_a_hostile_file_of_facts(datastore, tmp_path, content, message):
    path = tmp_path / "facts.json"
    path.write_text(content)
    result = hostendpoint(datastore, interface_name="eth0", guard="enforce", guard_facts_src=str(path))
    failure(result, "guard_facts_src %s: %s" % (path, message))
    assert datastore.stored() == {}


CONFIG = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec:\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (CONFIG + "  etcdPassword: a\n  etcdPassword: secret\n", "line 5, column 3: spec.etcdPassword is given twice"),
        (CONFIG + "  x: %s\n" % ("9" * 5000), "line 4, column 6: a number of 5000 characters is too long; quote it"),
        (bomb(), "holds more than 4000000 values"),
        ("[" * MEGABYTE + "[", "is larger than 1 MB, the maximum; split it"),
        ("{" * MEGABYTE, "is not YAML: line 1, column "),
        (CONFIG.encode("utf-16").decode("latin-1"), "is UTF-16, not UTF-8; save it as UTF-8"),
    ],
    ids=lambda text: text[:30],
)
def test_a_hostile_configuration(datastore, tmp_path, content, message):
    path = tmp_path / "calicoctl.cfg"
    path.write_text(content, encoding="latin-1")
    options = dict(connection(datastore), name="n1-eth0", node="n1", interface_name="eth0", calicoctl_config=str(path))
    text = failure(run_module("calico_hostendpoint", options), "calicoctl_config %s: " % path, message)
    assert "secret" not in text
    assert datastore.stored() == {}
