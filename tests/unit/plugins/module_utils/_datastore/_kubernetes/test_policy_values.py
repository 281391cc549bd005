# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values in etcd's form that changes of policies would have on Kubernetes."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import DatastoreError
from ansible_collections.netsec.calico.plugins.module_utils._datastore import kubernetes
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.api_choice import ChosenApi
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import Change
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.spec_resource import GlobalNetworkPolicy
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref

KEY = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.ssh"
OBJECT = {
    "metadata": {
        "name": "default.ssh",
        "annotations": {"projectcalico.org/metadata": '{"name":"ssh","labels":{"a":"1"}}'},
    },
    "spec": {"selector": "all()"},
}


@pytest.fixture
def store():
    found = object.__new__(kubernetes.KubernetesDatastore)
    found.__dict__.update(api=ChosenApi("crd.projectcalico.org/v1", "", None), _counts=True, _information={})
    return found


def change(content, stored=None):
    after = GlobalNetworkPolicy(name="ssh") if content else None
    return Change("update", Absent(Ref("GlobalNetworkPolicy", "ssh")), stored, after, [], content)


def test_a_policy_has_the_value_that_reading_it_would_give(store):
    (value,) = [json.loads(text) for key, text in store.build_policy_values(change(OBJECT)).items() if key == KEY]
    assert value["spec"] == {"selector": "all()"} and value["metadata"]["labels"] == {"a": "1"}
    assert json.loads(value["metadata"]["annotations"]["projectcalico.org/metadata"]) == {"name": "ssh"}


def test_a_deletion_is_that_of_the_objects_name(store):
    stored = Stored("globalnetworkpolicies.crd.projectcalico.org/default.ssh", "1", OBJECT, "", "default.ssh", None)
    assert store.build_policy_values(change(None, stored)) == {KEY: None}


def test_a_kind_that_is_unknown_here_is_an_error(store):
    with pytest.raises(DatastoreError, match="has no resources of kind Node"):
        store.build_policy_values(Change("delete", Absent(Ref("Node", "x")), None, None, []))
