# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a task gives: a clear sentence on one line, nothing written, and no traceback."""

from __future__ import annotations

import pytest

from tests.harness.module import run_module
from tests.integration.memory import memory_of
from tests.integration.tasks import failure

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
    valid = {key: value for key, value in VALID[module].items() if "src" not in options or key != "endpoints"}
    return run_module(module, dict(valid, **connection, **options), check, diff)


# Paths

PATHS = [
    *((module, option) for module in VALID for option in ("etcd_ca_cert_file", "etcd_cert_file", "calicoctl_config")),
    (ONE, "guard_facts_src"),
    (SET, "guard_facts_src"),
    (AUDIT, "guard_facts_src"),
    (SET, "src"),
    (AUDIT, "src"),
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
@pytest.mark.parametrize(
    "url", ["http://a\nb:2379", "http://a\tb", "http://\0", "http://a\x1b[31m:1", "http://\u202ea"]
)
def test_an_endpoint_with_characters_that_do_not_show(memory, url):
    result = run_module(INFO, {"datastore_type": "etcdv2", "etcd_endpoints": [url]})
    assert failure(result, "etcd_endpoints (option)", "is not a URL").isprintable()


# A password that is also a part of a result

MASKED = "etcd_password also occurs in this result, and Ansible masks it there"


@pytest.mark.parametrize("module", list(VALID))
@pytest.mark.parametrize("password, is_masked", [("n1-eth", True), ("n1-Eth0", False), ("hostendpoint", False)])
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
    refused = run(memory, ONE, state="patched", labels={"a b": "c"}, **dict(user, etcd_password="label"))
    assert refused["failed"] and "********" in refused["msg"] and MASKED in str(refused["warnings"])
