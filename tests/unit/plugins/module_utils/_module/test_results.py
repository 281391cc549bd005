# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short diffs of created and deleted resources, and how an audit reads them."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.calico_version import NEWEST
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.codec_specs_v3 import build_codec
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v3 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import GuardReport
from ansible_collections.netsec.calico.plugins.module_utils._module.results import FULL, SHORT, build_diff
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import build_change
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import build_policy_findings

ENDPOINT = HostEndpoint(
    name="n1-eth0",
    node="n1",
    interface_name="eth0",
    expected_ips=("192.0.2.1", "2001:db8::1"),
    labels={"zone": "a", "role": "web"},
)
POLICY = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkPolicy",
    "metadata": {"name": "allow-ssh"},
    "spec": {
        "order": 100,
        "selector": "has(x)" + " || has(y)" * 100,
        "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [22]}}] * 2,
    },
}


def policy(**spec):
    return V3.schemas["GlobalNetworkPolicy"].parse_manifest({**POLICY, "spec": {**POLICY["spec"], **spec}})


def diff(want, stored=None, style=SHORT):
    return build_diff(build_change(want, stored, V3), V3, GuardReport(), style)


def stored(resource, value=None):
    codec = CODEC if isinstance(resource, HostEndpoint) else build_codec(resource.KIND, NEWEST)
    return Stored("key", 1, value or codec.encode(resource, None), resource.node, resource.name, codec)


def test_a_new_endpoint_is_one_line():
    assert diff(Present(ENDPOINT)) == {
        "before_header": "host endpoint n1-eth0 on node n1",
        "after_header": "host endpoint n1-eth0 on node n1 (create)",
        "before": "",
        "after": "labels: role=web, zone=a; interface_name: eth0; expected_ips: 192.0.2.1, 2001:db8::1\n",
    }


def test_a_new_policy_is_one_short_line():
    line = diff(Present(policy()))["after"]
    assert "spec.order: 100; " in line and "spec.ingress: 2 items" in line
    assert line.count("\n") == 1 and len(line) < 300


def test_what_a_value_contains_does_not_break_the_line():
    line = diff(Present(policy(selector="a == 'b\n\x1b[31m'")))["after"]
    assert line.count("\n") == 1 and line.rstrip("\n").isprintable()


def test_a_deleted_resource_is_one_line_on_the_other_side():
    found = diff(Absent(ENDPOINT.ref), stored(ENDPOINT))
    assert found["after"] == "" and found["before"] == diff(Present(ENDPOINT))["after"]
    malformed = diff(Absent(ENDPOINT.ref), stored(ENDPOINT, "[" + "x" * 10000))
    assert malformed["before"].startswith("Calico cannot read this value: ") and len(malformed["before"]) < 600


@pytest.mark.parametrize("style", [SHORT, FULL])
def test_an_update_and_the_style_full_have_manifests(style):
    update = diff(Present(policy()), stored(policy(order=200)), style)
    assert "  order: 200\n" in update["before"] and "  order: 100\n" in update["after"]
    assert "kind: HostEndpoint\n" in diff(Present(ENDPOINT), style=FULL)["after"]


def test_an_audit_reads_them():
    changes = [build_change(Present(policy()), before, V3) for before in (None, stored(policy(order=200)))]
    records = [
        {"operation": each.operation, "kind": each.ref.kind, "name": each.ref.name, "fields": each.fields}
        for each in changes
    ]
    diffs = [build_diff(each, V3, GuardReport(), SHORT) for each in changes]
    missing, changed = build_policy_findings({"changes": records, "diff": diffs})
    assert (missing["class"], missing["fields"]) == ("missing", [])
    assert changed["fields"] == [{"field": "spec.order", "want": 100, "have": 200}]
