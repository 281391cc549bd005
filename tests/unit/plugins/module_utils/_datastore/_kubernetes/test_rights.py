# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights in the Kubernetes guide, compared with what the datastore reads and with the kinds that it writes."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore import kubernetes
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.api_choice import ChosenApi
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.objects import PLURALS_OF_KINDS
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.codec_specs_v3 import PLURALS
from tests.harness.kubernetes_guide import rules_of_guide

V1, V3 = "crd.projectcalico.org", "projectcalico.org"
APIS = {V1: "crd.projectcalico.org/v1", V3: "projectcalico.org/v3", "": "v1"}
METADATA = {"name": "x", "resourceVersion": "1"}
RULE = {"action": "Allow", "source": {"selector": "a == 'b'"}}
# Whatever makes others matter.
OBJECTS = {
    "hostendpoints": {
        "metadata": dict(METADATA, labels={"projectcalico.org/namespace": "x"}),
        "spec": {"node": "n", "interfaceName": "eth0", "profiles": ["kns.x", "ksa.x.x"]},
    },
    "globalnetworkpolicies": {"metadata": METADATA, "spec": {"selector": "all()", "ingress": [RULE]}},
    "felixconfigurations": {"metadata": METADATA, "spec": {"vxlanEnabled": True}},
}


class Client:
    """Records which kinds of which API are read."""

    def __init__(self):
        self.read = set()

    def list_objects(self, api, plural, convert):
        self.read.add((api, plural))
        return [convert(OBJECTS[plural])] if plural in OBJECTS else []

    def list_names(self, api, plural):
        self.read.add((api, plural))
        return []

    def get_object(self, api, plural, name):
        self.read.add((api, plural))


def read_everything(api):
    store = object.__new__(kubernetes.KubernetesDatastore)
    store.__dict__.update(api=ChosenApi(api, "", None), _client=Client(), _unclear=set())
    assert store.read_state()
    store.follow_version(None)
    store.known_nodes()
    store.read_policies()
    store.read_tiers_in_use()
    for kind in {*PLURALS_OF_KINDS, *PLURALS} - {"Node"}:
        store.list_kind(kind)
    return store.__dict__["_client"].read


def allowed(rules, verb, group):
    return {
        each for rule in rules if group in rule["apiGroups"] and verb in rule["verbs"] for each in rule["resources"]
    }


def of_tiers(resources):
    """The names by which Calico checks policies by their tier."""
    return {"tier." + each for each in resources if each.endswith("policies")}


@pytest.mark.parametrize("group", [V1, V3])
def test_what_an_audit_may_read(group):
    audit, _endpoints, _policies = rules_of_guide()
    read = read_everything(APIS[group])
    calicos = {plural for api, plural in read if api == APIS[group]}
    for verb in ("get", "list"):
        assert allowed(audit, verb, group) == calicos | (of_tiers(calicos) if group == V3 else set())
        assert allowed(audit, verb, "") == {plural for api, plural in read if api == APIS[""]}


@pytest.mark.parametrize("group", [V1, V3])
def test_what_the_writers_may_write(group):
    _audit, endpoints, policies = rules_of_guide()
    kinds = set(PLURALS_OF_KINDS.values())
    for verb in ("create", "update", "delete"):
        assert allowed(endpoints, verb, group) == {"hostendpoints"}
        more = of_tiers(kinds) if group == V3 else set()
        assert allowed(policies, verb, group) == kinds - {"hostendpoints"} | more
