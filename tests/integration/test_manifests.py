# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that is given is ignored: files, manifests and options as people have them, and what is stored then."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module
from tests.integration.sets import endpoint, hostendpoints
from tests.integration.tasks import connection, failure, info, one_etcd, only_etcdv3

# How options and files are read is the same with every etcd.
pytestmark = one_etcd

V3 = """\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata:
  name: n1-eth0
  labels:
    role: web
spec:
  node: n1
  interfaceName: eth0
"""
STORED = endpoint("n1", labels={"role": "web"})
# With these, everything would be deleted if nothing at all were read.
PURGE = {"purge": "all", "purge_nodes": ["n1"]}


@pytest.fixture
def src(tmp_path):
    """Writes a file, and gives its path back."""

    def write(content):
        path = tmp_path / "set"
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write


# Keys that are given twice


@pytest.mark.parametrize(
    "content, message",
    [
        (V3 + "  node: n2\n", "line 10, column 3: spec.node is given twice, first on line 8; keep one of the two"),
        ("- " + V3.replace("\n", "\n  ") + "  node: n2\n", "line 10, column 5: [0].spec.node is given twice, first on"),
        ("---\n%s---\n%slabels: {}\nlabels: {}\n" % (V3, V3), "line 22, column 1: document 2: labels is given twice"),
        (json.dumps([STORED])[:-2] + ',\n"node": "n2"}]', "line 2: [0].node is given twice, first on line 1"),
    ],
)
def test_a_key_that_is_given_twice_in_a_file(datastore, src, content, message):
    path = src(content)
    for options in ({}, PURGE):
        failure(hostendpoints(datastore, src=path, **options), "src %s: %s" % (path, message))
    assert datastore.stored() == {}


# Dates


@only_etcdv3
def test_a_date_in_a_file_is_the_text_as_written(datastore, src):
    content = V3.replace("role: web", "patched: 2024-05-01\n    2024-05-02: x")
    assert not hostendpoints(datastore, src=src(content))["failed"]
    assert info(datastore)["hostendpoints"][0]["labels"] == {"patched": "2024-05-01", "2024-05-02": "x"}


# Lists as texts


def test_blanks_after_the_commas_of_a_list_are_no_part_of_it(datastore):
    url = datastore.url
    result = run_module(
        "calico_hostendpoint",
        dict(
            connection(datastore),
            etcd_endpoints="%s, %s/ " % (url, url),
            node="n1",
            name="n1-eth0",
            interface_name="eth0",
            expectedIPs="192.0.2.1, 2001:DB8::0001",
            profiles="a,\tb , c",
            guard="off",
        ),
    )
    assert not result["failed"], result["msg"]
    (found,) = info(datastore)["hostendpoints"]
    assert found["profiles"] == ["a", "b", "c"] and len(found["expected_ips"]) == 2
    for number, option in enumerate(("expected_ips", "expectedIPs")):
        addresses = ["192.0.2.%d" % (10 + number), "192.0.2.%d" % (20 + number)]
        given = dict(endpoint("n1"), **{option: ", ".join(addresses)})
        result = hostendpoints(datastore, endpoints=[given], purge="all", purge_nodes="n0, n1")
        assert not result["failed"], result["msg"]
        assert info(datastore)["hostendpoints"][0]["expected_ips"] == addresses


def test_blanks_in_the_lists_of_nodes(datastore):
    given = {"owner": "me", "endpoints": [endpoint("n3", labels={})]}
    assert not hostendpoints(datastore, endpoints=[endpoint("n1"), endpoint("n2")], owner="me")["failed"]
    audit = run_module(
        "calico_hostendpoints_audit",
        dict(connection(datastore), nodes="n1, n3", other_nodes="n8, n9", decommission_nodes="n4 , n2", **given),
    )
    assert not audit["failed"] and {each["node"] for each in audit["findings"]} == {"n1", "n2", "n3"}
    result = hostendpoints(datastore, decommission_nodes="n1, n2", **given)
    assert result["summary"] == {"created": 1, "updated": 0, "deleted": 2, "unchanged": 0}
