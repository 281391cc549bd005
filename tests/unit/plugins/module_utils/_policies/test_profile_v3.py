# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which profiles of Calico v3 give their labels to endpoints: those that calicoctl v3.32.1 takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._policies.objects_v3 import PROFILE, read
from ansible_collections.netsec.calico.plugins.module_utils._policies.profile_v3 import is_valid, read_profile_labels

VECTORS = Path(__file__).resolve().parents[4] / "vectors"
TIME = "2020-01-02T03:04:05Z"
# What calicoctl refuses before it looks at what the object says: Felix never asks for that.
BEFORE = ("decode", "namespace", "create", "panic")


def rows():
    found = map(json.loads, (VECTORS / "v3_profile.jsonl").read_text(encoding="utf-8").splitlines())
    return [row for row in found if "doc" in row and row.get("stage") not in BEFORE]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
def test_what_calicoctl_takes(row):
    value = row["value"].replace("<time>", TIME) if row["valid"] else json.dumps(row["doc"])
    assert is_valid(read(PROFILE, value)) == row["valid"]


def profile(rule, labels=None, name="p", **more):
    spec = {"ingress": [rule], "labelsToApply": {"role": "web"} if labels is None else labels}
    return read(PROFILE, json.dumps({"metadata": dict(more, name=name), "spec": spec}))


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "allow"},
        {"action": "Allow", "source": {"nets": ["192.0.2.0/24", "2001:db8::/32"]}},
        {"action": "Allow", "source": {"nets": ["192.0.2.1/24"]}},
        {"action": "Allow", "source": {"nets": ["192.0.2.1"]}},
        {"action": "Allow", "source": {"notNets": ["0.0.0.0/0"]}},
        {"action": "Allow", "destination": {"ports": [80]}},
        {"action": "Allow", "protocol": "tcp"},
        {"action": "Allow", "icmp": {"type": 8}},
        {"action": "Allow", "source": {"selector": "a ="}},
        {"action": "Allow", "icmp": {}},
        {"action": "Allow", "protocol": "256"},
        {"action": "Allow", "source": {"notNets": ["::0/0"]}},
        {"action": "Allow", "source": {"namespaceSelector": "global( ) || a == 'b'"}},
        {"action": "Allow", "source": {"services": {"name": ""}}},
        {"action": "Allow", "source": {"services": {"name": "dns"}, "selector": "a == 'b'"}},
        {"action": "Allow", "protocol": "TCP", "destination": {"services": {"name": "dns"}, "ports": [53]}},
        {"action": "Allow", "metadata": {"annotations": {"a b": "c"}}},
    ],
)
def test_a_rule_that_calicoctl_refuses_takes_all_labels(rule):
    assert read_profile_labels(profile(rule)) == {}
    assert read_profile_labels(profile({"action": "Allow"})) == {"role": "web"}


def test_an_invalid_label_or_name_takes_all_labels():
    assert read_profile_labels(profile({"action": "Allow"}, {"role": "web", "a b": "c"})) == {}
    assert read_profile_labels(profile({"action": "Allow"}, name="")) == {}
    assert read_profile_labels(profile({"action": "Allow"}, annotations={"a b": "c"})) == {}


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "Allow", "notICMP": {}},
        {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}},
        {"action": "Allow", "protocol": "47"},
        {"action": "Allow", "source": {"namespaceSelector": " global( ) "}},
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"services": {"name": "dns", "namespace": "x"}, "ports": [53]},
        },
        {"action": "Allow", "metadata": {"annotations": {"A/b": "c d"}}},
    ],
)
def test_a_rule_that_calicoctl_takes_keeps_the_labels(rule):
    assert read_profile_labels(profile(rule)) == {"role": "web"}
