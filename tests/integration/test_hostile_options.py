# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a task gives: a clear sentence on one line, nothing written, and no traceback."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.module import COLLECTION, collections_path, run_module
from tests.harness.pace import HANG
from tests.integration.hostile import HOSTILE_TEXTS, Mutants, fuzz, mutated
from tests.integration.memory import memory_of
from tests.integration.tasks import failure

pytestmark = pytest.mark.thorough

collections_path()
PLUGINS = "ansible_collections.netsec.calico.plugins."

ONE, SET = "calico_hostendpoint", "calico_hostendpoints"
INFO, CONNECTION, AUDIT = "calico_hostendpoint_info", "calico_connection_info", "calico_hostendpoints_audit"
VALID = {
    ONE: {"name": "n1-eth0", "node": "n1", "interface_name": "eth0"},
    SET: {"endpoints": [{"name": "n1-eth0", "node": "n1", "interface_name": "eth0"}]},
    INFO: {},
    CONNECTION: {
        "node": "n1",
        "interfaces": {"eth0": ["192.0.2.1/24"]},
        "connections": [{"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1", "port": 80}],
    },
    AUDIT: {"nodes": ["n1"], "endpoints": []},
}


@pytest.fixture
def memory(datastore_type):
    with memory_of(datastore_type) as memory:
        memory.reset()
        yield memory


def run(memory, module, check=False, diff=False, **options):
    connection = {"datastore_type": memory.type, "etcd_endpoints": [memory.url]}
    valid = {option: value for option, value in VALID[module].items() if option != "endpoints" or "src" not in options}
    return run_module(module, dict(valid, **connection, **options), check, diff)


# Paths

PATHS = [
    *((module, option) for module in VALID for option in ("etcd_ca_cert_file", "etcd_cert_file", "calicoctl_config")),
    *((module, option) for module in (ONE, SET, AUDIT) for option in ("guard_facts_src", "connectivity_src")),
    *((module, "src") for module in (SET, AUDIT)),
    (AUDIT, "dest"),
]


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
@pytest.mark.parametrize("module, option", PATHS)
@pytest.mark.parametrize(
    "name, problem",
    [("a\0b", "NUL"), ("a\ud800b", "Unicode"), ("a\nb\x1b[31m\u202e", "No such file")],
    ids=["NUL", "half a character", "a terminal's"],
)
def test_a_path_that_cannot_be_one(memory, tmp_path, module, option, name, problem):
    path = str(tmp_path / "no" / name)
    result = run(memory, module, **{option: path})
    # A file that is written needs a folder.
    problem = "does not exist" if (option, problem) == ("dest", "No such file") else problem
    message = failure(result, option, str(tmp_path), problem)
    assert message.isprintable()
    assert memory.stored() == {}


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
def test_a_key_that_cannot_be_a_path(memory, tmp_path, certificates):
    pair = certificates.client()
    for name in ("a\0b", "a\nb"):
        result = run(memory, INFO, etcd_cert_file=str(pair.cert), etcd_key_file=str(tmp_path / name))
        assert failure(result, "etcd_key_file", str(tmp_path)).isprintable()


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
@pytest.mark.parametrize("option", ["etcd_ca_cert_file", "etcd_cert_file", "etcd_key_file"])
def test_a_certificate_that_nobody_writes(memory, tmp_path, certificates, option):
    """To open the named pipe would wait for a writer."""
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    pair = certificates.client()
    given = {"etcd_cert_file": str(pair.cert), "etcd_key_file": str(pair.key), option: pipe}
    failure(run(memory, INFO, **given), option, pipe, "is a named pipe, not a file")


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
@pytest.mark.parametrize(
    "url", ["http://a\nb:2379", "http://a\tb", "http://\0", "http://a\x1b[31m:1", "http://\u202ea"]
)
def test_an_endpoint_with_characters_that_do_not_show(memory, url):
    result = run_module(INFO, {"datastore_type": "etcdv2", "etcd_endpoints": [url]})
    assert failure(result, "etcd_endpoints (option)", "is not a URL").isprintable()


# A password that is also a part of a result

MASKED = "the password of the datastore's user also occurs in this result, and Ansible masks it there"


@pytest.mark.parametrize("module", list(VALID))
@pytest.mark.parametrize("password, is_masked", [("n1-eth", True), ("n1-Eth0", False), ("operation", False)])
def test_a_password_that_masks_a_result(memory, module, password, is_masked):
    memory.put_endpoint(VALID[ONE])
    options = {"labels": {"new": "1"}} if module == ONE else {}
    result = run(memory, module, etcd_username="me", etcd_password=password, **options)
    # What an unchanged set returns has no names.
    is_masked = is_masked and module != SET
    warnings = result.pop("warnings")
    assert not result["failed"] and any(MASKED in text for text in warnings) == is_masked, warnings
    assert "********0" in str(result) or not is_masked, result


@pytest.mark.parametrize("password", ['a"b', "d\u00e4", "7"])
def test_a_password_that_is_escaped_or_a_number(memory, password):
    """Calico would refuse such labels, but whoever writes by hand may store them."""
    memory.put_endpoint(dict(VALID[ONE], labels={"x": 'd\u00e4a"b'}))
    result = run(memory, INFO, etcd_username="me", etcd_password=password)
    assert any(MASKED in text for text in result["warnings"]) == (password != "7")
    memory.put_endpoint(dict(VALID[ONE], interface_name="eth7"))
    assert MASKED in str(run(memory, INFO, etcd_username="me", etcd_password="7")["warnings"])


def test_a_password_that_masks_what_was_written_or_why_it_was_not(memory):
    user = {"etcd_username": "me", "etcd_password": "eth"}
    written = run(memory, SET, diff=True, **user)
    assert written["changed"] and MASKED in str(written["warnings"])
    refused = run(memory, ONE, state="patched", labels={"a b": "c"}, etcd_username="me", etcd_password="label")
    assert refused["failed"] and "********" in refused["msg"] and MASKED in str(refused["warnings"])


# Any options: a property


def specification(module):
    """{option: its type and so on} of a module, as it gives it to Ansible."""
    found = {}

    class Got(Exception):
        pass

    def take(**keywords):
        found.update(keywords["argument_spec"])
        raise Got

    module = importlib.import_module(PLUGINS + "modules." + module)
    with mock.patch.object(module, "AnsibleModule", take), pytest.raises(Got):
        module.main()
    return found


FACTS = {
    "interfaces": {"eth0": ["192.0.2.1/24", "2001:db8::1/64"]},
    "default_interface": "eth0",
    "ssh": {"peer": "192.0.2.9", "address": "192.0.2.1", "port": 22},
    "require": [{"direction": "out", "protocol": "tcp", "port": 443, "peer": "192.0.2.9"}],
    "reached_at": {"host": "127.0.0.1", "port": 1},
}
CONNECTIVITY = {
    "hosts": {
        "h1": {
            "node": "n1",
            "groups": ["g"],
            "addresses": ["192.0.2.1"],
            "facts": {"interfaces": FACTS["interfaces"], "default_interface": "eth0"},
            "expectations": [
                {"name": "a", "direction": "in", "protocol": "tcp", "port": 80, "peer": peer, "expect": "allow"}
                for peer in ("192.0.2.0/24", "g", "h1")
            ],
        }
    },
    "groups": {"g": ["h1"]},
}
ENDPOINT = dict(
    VALID[ONE],
    labels={"a": "b"},
    expected_ips=["10.0.0.1"],
    profiles=["p"],
    ports=[{"name": "a", "protocol": "TCP", "port": 1}],
)
RESOURCE = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "HostEndpoint",
    "metadata": {"name": "n1-eth0", "labels": {"a": "b"}},
    "spec": {"node": "n1", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"], "profiles": ["p"]},
}
# Of such a text, ansible-core makes an integer that it then cannot write.
LONG_NUMBER = "9" * 5000
# What options that are not of one piece look like.
DOCUMENTS = {
    "guard_facts": {"n1": FACTS},
    "guard_require": FACTS["require"],
    "connectivity": CONNECTIVITY,
    "resource": RESOURCE,
    "resources": [RESOURCE],
    "endpoints": [ENDPOINT],
    "labels": ENDPOINT["labels"],
    "ports": ENDPOINT["ports"],
    "connections": VALID[CONNECTION]["connections"],
    "interfaces": FACTS["interfaces"],
    "other_hosts": {"h1": ["n1", "192.0.2.1"]},
}
TEXTS = [
    *(text for text in HOSTILE_TEXTS if text != LONG_NUMBER),
    "\ud800",
    "http://127.0.0.1:2379",
    "http://a\nb",
    "//",
    "has(",
    "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
]
SCALARS = [
    None,
    True,
    False,
    0,
    -1,
    1,
    80,
    2**31,
    1.5,
    1e300,
    [],
    {},
    ["n1"],
    [None],
    [{}],
    {"a": []},
]
FILES = {
    "guard_facts_src": DOCUMENTS["guard_facts"],
    "connectivity_src": DOCUMENTS["connectivity"],
    "src": DOCUMENTS["endpoints"],
}
SETS = ("endpoints", "resources", "src")


def value_of(option, spec):
    """A strategy of (option, value), or of (option, bytes of a file): in half of the cases something that may be."""
    plain = st.integers(0, len(TEXTS) + len(SCALARS) - 1).map(lambda number: (TEXTS + SCALARS)[number])
    if option in FILES:
        return st.tuples(st.just(option), mutated(FILES[option]) | mutated(FILES[option]) | plain)
    if option in DOCUMENTS:
        structured = mutated(DOCUMENTS[option]).map(decoded)
        return st.tuples(st.just(option), structured | structured | plain)
    likely = {
        "list": [["n1"], []],
        "int": [0, 1, 5],
        "float": [1, 0.5],
        "bool": [True, False],
        "dict": [{"n1": ["n1"]}],
    }
    usual = spec.get("choices") or likely.get(spec.get("type"), ["n1", "app/owner", "all()"])
    return st.tuples(st.just(option), st.integers(0, len(usual) - 1).map(lambda number: usual[number]) | plain)


def decoded(data):
    if data.count(b"[") + data.count(b"{") > 500:
        # ansible-core's own recursion ends before that.
        return []
    data = data.replace(b'"%s"' % LONG_NUMBER.encode(), b'"9"')
    try:
        return json.loads(data, parse_float=finite, parse_constant=str)
    except ValueError:
        return data.decode("utf-8", "replace")


def finite(text):
    """Of infinity, ansible-core fails to make an integer."""
    return float(text) if abs(float(text)) < 1e308 else text


def calls(module):
    """A strategy of options, beside those that are valid."""
    options = [value_of(option, spec) for option, spec in specification(module).items() if option != "etcd_endpoints"]
    return st.lists(st.one_of(options), min_size=1, max_size=4).map(Mutants)


@pytest.fixture
def _nothing_outside(monkeypatch, tmp_path):
    """No name is looked up, no connection made, and files are made in a folder of their own."""
    look_up = socket.getaddrinfo

    def numbers_only(host, port, *arguments, **keywords):
        return look_up(host, port, type=keywords.get("type", 0), flags=socket.AI_NUMERICHOST)

    def refuse(address, *_arguments):
        numbers_only(*address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("module", list(VALID))
def test_whatever_is_given(memory, module, _nothing_outside):
    arguments = importlib.import_module(PLUGINS + "module_utils._module.runner")

    @fuzz(80)
    @given(calls(module), st.booleans(), st.booleans())
    def holds(options, check, diff):
        memory.reset()
        memory.put_endpoint(dict(VALID[ONE], name="n1-old"))
        before = memory.revision()
        with mock.patch.object(arguments, "_shorten_invocation", wraps=arguments._shorten_invocation) as is_ours:
            result = run_module(module, parameters(memory, module, options), check, diff)
        assert "exception" not in result
        assert memory.revision() == before or not (result["failed"] or check), result
        texts = [result["msg"]] if result["failed"] else []
        # Ansible's own messages about types are as they are.
        for text in [*texts, *result["warnings"]] if is_ours.called else ():
            assert text.isprintable() and len(text) < 5000 and "Traceback" not in text, text

    holds()


def parameters(memory, module, options):
    for option in FILES:
        if isinstance(options.get(option), bytes):
            with open(option + ".json", "wb") as stream:
                stream.write(options[option])
            options = dict(options, **{option: os.path.abspath(option + ".json")})
    given = dict(VALID[module], datastore_type=memory.type, etcd_endpoints=[memory.url])
    if module in (SET, AUDIT) and any(option in options for option in SETS):
        del given["endpoints"]
    if "resource" in options:
        given = {option: value for option, value in given.items() if option not in VALID[ONE]}
    return dict(given, **options)


# Memory

_PEAK = """
import json, sys
from tests.harness.module import run_module
from tests.integration.memory import memory_of

module, datastore_type, options = json.load(sys.stdin)
with memory_of(datastore_type) as memory:
    memory.reset()
    given = dict(options, datastore_type=datastore_type, etcd_endpoints=options.get("etcd_endpoints") or [memory.url])
    result = run_module(module, given)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    json.dump([int(peak.split()[1]) // 1024, result["failed"], result.get("msg", ""), len(memory.stored())], sys.stdout)
"""
LARGE = {
    "labels": (ONE, dict(VALID[ONE], labels={"k %d" % number: "v v" for number in range(90000)})),
    "addresses": (ONE, dict(VALID[ONE], expected_ips=["x"] * 90000)),
    "a name": (ONE, dict(VALID[ONE], name="x" * 10**7)),
    "a profile": (ONE, dict(VALID[ONE], profiles=["a." * 4 * 10**6 + "a"])),
    "a selector": (INFO, {"selector": "(" * 2 * 10**6}),
    "servers": (INFO, {"etcd_endpoints": ["http://h%d:0" % number for number in range(50000)]}),
    "nodes": (AUDIT, dict(VALID[AUDIT], nodes=["n %d" % number for number in range(200000)])),
    "other hosts": (AUDIT, dict(VALID[AUDIT], other_hosts={"n%d" % number: 5 for number in range(100000)})),
    "required": (SET, dict(VALID[SET], guard_require=[dict(FACTS["require"][0], protocol="x")] * 50000)),
    "connections": (
        CONNECTION,
        dict(VALID[CONNECTION], connections=[dict(VALID[CONNECTION]["connections"][0], port=-1)] * 50000),
    ),
}


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
@pytest.mark.parametrize("case", list(LARGE))
def test_options_of_megabytes_take_less_than_300(datastore_type, case):
    module, options = LARGE[case]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    call = json.dumps([module, datastore_type, options])
    command = [sys.executable, "-c", _PEAK]
    done = subprocess.run(
        command,
        input=call,
        stdout=subprocess.PIPE,
        text=True,
        cwd=str(COLLECTION),
        env=environment,
        timeout=HANG,
        check=True,
    )
    megabytes, failed, message, stored = json.loads(done.stdout)
    assert failed and len(message) < 13000 and stored == 0
    assert megabytes < 300
