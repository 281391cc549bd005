# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each document that was given to Calico's own client, given to calico_resources on a real etcd."""

from __future__ import annotations

import json
import re

import pytest

from tests.harness.module import run_module
from tests.integration.tasks import connection, one_etcd, vectors
from tests.integration.test_resource_info import ROOT, on_etcdv3
from tests.unit.plugins.module_utils._resources._specs.test_validation_specs_v3 import OPTIONS as STRICTER_V3
from tests.unit.plugins.module_utils._resources._specs_v1.test_validation_rules_v1 import OPTIONS as STRICTER_V1

# Some hundred tasks in one test.
pytestmark = [pytest.mark.thorough, one_etcd]

KINDS = (
    "globalnetworkpolicy",
    "stagedglobalnetworkpolicy",
    "globalnetworkset",
    "profile",
    "tier",
    "felixconfiguration",
    "node",
)
SET_BY_CALICO = re.compile('"uid":"[0-9a-f-]{36}","creationTimestamp":"[0-9TZ:-]{20}"')
PLACEHOLDERS = '"uid":"<uid>","creationTimestamp":"<time>"'
# What Calico's client does otherwise, and why.
DIFFERENT = {
    "tier-029": "calicoctl create rejects a tier that exists; the module updates it",
    "tier-045": "the module ignores a status, which a component of Calico reports",
    "node-057": "as tier-045; Calico cannot read this one",
    "gnp-257": "calicoctl drops finalizers and owners, which the module rejects, because it does not manage them",
}
TIERS = {
    name: '{"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{"name":"%s"},"spec":{"order":%d,'
    '"defaultAction":"%s"},"status":{}}' % (name, order, action)
    for name, order, action in (
        ("default", 1000000, "Deny"),
        ("kube-admin", 1000, "Pass"),
        ("kube-baseline", 10000000, "Pass"),
        ("sec", 50, "Deny"),
    )
}


def run(datastore, row, **options):
    given = row["text"] if "text" in row else [row["doc"]]
    return run_module("calico_resources", {"guard": "off", **connection(datastore), "resources": given, **options})


def stored(datastore):
    return {key: SET_BY_CALICO.sub(PLACEHOLDERS, text) for key, text in datastore.server.tree_v3(ROOT).items()}


@on_etcdv3
@pytest.mark.parametrize("kind", KINDS)
def test_every_document_is_stored_as_calico_stores_it_or_rejected(datastore, kind):
    wrong = []
    for row in vectors("v3_%s.jsonl" % kind):
        if row["id"] in DIFFERENT:
            continue
        datastore.reset()
        tiers = {ROOT + "tiers/" + name: text for name, text in TIERS.items() if kind != "tier"}
        datastore.put_all(tiers)
        before = stored(datastore)
        result = run(datastore, row)
        found = {key: text for key, text in stored(datastore).items() if before.get(key) != text}
        expected = {row["key"]: row["value"]} if row["valid"] and row["id"] not in STRICTER_V3 else {}
        if found != expected or result["failed"] == bool(expected):
            wrong.append((row["id"], row.get("note"), result.get("msg"), found, expected))
        elif expected and run(datastore, row)["changed"]:
            wrong.append((row["id"], "changes again"))
    assert not wrong, "%d wrong, first: %s" % (len(wrong), json.dumps(wrong[:3], indent=1))


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
@pytest.mark.parametrize("kind", ["policy", "profile"])
def test_every_document_of_calico_v1_is_stored_as_calico_stores_it_or_rejected(datastore, kind):
    wrong = []
    for row in vectors("v1_%s.jsonl" % kind):
        datastore.reset()
        result = run(datastore, row)
        found = datastore.stored("/calico/v1/policy")
        is_stored = row["valid"] and row["id"] not in STRICTER_V1
        expected = (row.get("keys") or {row["key"]: row["value"]}) if is_stored else {}
        if found != expected or result["failed"] == bool(expected):
            wrong.append((row["id"], row.get("note"), result.get("msg"), found, expected))
        elif expected and run(datastore, row)["changed"]:
            wrong.append((row["id"], "changes again"))
    assert not wrong, "%d wrong, first: %s" % (len(wrong), json.dumps(wrong[:3], indent=1))
