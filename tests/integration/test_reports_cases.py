# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small inputs from public reports of people who do this job, on a real etcd: what they get is what they need.

A row of reports_1.jsonl has `id`, `source` (where such an input was reported), `module` and `args` (of `filter:NAME`,
`args.facts` and `args.options`), `setup` (what etcd holds before, by API), `files`, `env`, `check`, `expect` and
`note`. $ETCD is the server's URL, $DIR the folder that holds `files`.
"""

from __future__ import annotations

import importlib
import json

import pytest
import yaml

from tests.harness.module import COLLECTION, NAME, run_module
from tests.integration.tasks import connection, only_kubernetes, vectors

ROWS = vectors("reports_1.jsonl")
# Felix reports nothing to Kubernetes.
V3_ROWS = [
    row for row in ROWS if row["args"].get("datastore_type") == "etcdv3" and "/calico/felix" not in str(row["setup"])
]
EXPECTATIONS = {
    "failed",
    "changed",
    "msg_has",
    "warn_has",
    "warn_lacks",
    "summary",
    "verdicts",
    "reason_has",
    "endpoints",
    "error_has",
}


def filled(value, places):
    """The value with the places instead of their names."""
    text = json.dumps(value)
    for name, place in places.items():
        text = text.replace(name, json.dumps(str(place))[1:-1])
    return json.loads(text)


def set_up(etcd, row):
    for key, value in row["setup"].get("v2", {}).items():
        etcd.put(key, value)
    for key, value in row["setup"].get("v3", {}).items():
        etcd.put_v3(key, value)


def run_filter(name, facts, options):
    """{interface: expected IPs} of the endpoints that a filter makes, and the message of its error, if any.

    What the options do not say, the role's defaults do.
    """
    from ansible.errors import AnsibleFilterError

    plugin = importlib.import_module("ansible_collections.%s.plugins.filter.%s" % (NAME, name))
    function = plugin.FilterModule().filters()[name]
    role = yaml.safe_load((COLLECTION / "roles/hostendpoints/defaults/main.yml").read_text(encoding="utf-8"))
    defaults = {"rules": role["hostendpoints_interfaces"], "ignore": role["hostendpoints_ignore"]}
    try:
        found = function(facts, facts["nodename"], **dict(defaults, **options))
    except AnsibleFilterError as exc:
        return {}, str(exc)
    # What explains the interfaces has the endpoints in it.
    endpoints = [each["endpoint"] for each in found] if name == "explain_interfaces" else found
    return {each["interface_name"]: each["expected_ips"] for each in endpoints if each}, ""


def check_filter(row):
    endpoints, error = run_filter(row["module"].partition(":")[2], row["args"]["facts"], row["args"]["options"])
    for part in row["expect"].get("error_has", []):
        assert part in error
    if "endpoints" in row["expect"]:
        assert (error, endpoints) == ("", row["expect"]["endpoints"])


def check_result(result, expect):
    assert result["failed"] == expect.get("failed", False), result
    assert result.get("changed", False) == expect.get("changed", result.get("changed", False)), result
    for part in expect.get("msg_has", []):
        assert part in result["msg"]
    for part in expect.get("warn_has", []):
        assert any(part in warning for warning in result["warnings"]), result["warnings"]
    for part in expect.get("warn_lacks", []):
        assert not any(part in warning for warning in result["warnings"]), result["warnings"]
    summary = result.get("summary", {})
    assert {key: summary.get(key) for key in expect.get("summary", {})} == expect.get("summary", {}), result
    results = result.get("results", [])
    assert [each["verdict"] for each in results] == expect.get("verdicts", [each["verdict"] for each in results])
    for part in expect.get("reason_has", []):
        assert any(part in each["reason"] for each in results), results


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_an_input_from_a_public_report(etcd, tmp_path, row):
    assert EXPECTATIONS.issuperset(row["expect"]), "this test does not look at all that the row expects"
    if row["module"].startswith("filter:"):
        check_filter(row)
        return
    set_up(etcd, row)
    places = {"$ETCD": etcd.url, "$DIR": tmp_path}
    for name, content in filled(row["files"], places).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    args, env = filled(row["args"], places), filled(row["env"], places)
    before = etcd.tree(), etcd.tree_v3()
    result = run_module(row["module"], args, row["check"], env=env)
    check_result(result, row["expect"])
    if result["failed"] or row["check"]:
        assert (etcd.tree(), etcd.tree_v3()) == before


@only_kubernetes
@pytest.mark.parametrize("row", V3_ROWS, ids=[row["id"] for row in V3_ROWS])
def test_the_same_input_on_kubernetes(datastore, tmp_path, row):
    datastore.put_all(row["setup"].get("v3", {}))
    places = {"$DIR": tmp_path}
    for name, content in filled(row["files"], places).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    args = dict(filled(row["args"], places), **connection(datastore))
    del args["etcd_endpoints"]
    before = datastore.stored(datastore.everything)
    result = run_module(row["module"], args, row["check"])
    check_result(result, row["expect"])
    if result["failed"] or row["check"]:
        assert datastore.stored(datastore.everything) == before
