# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second kind of resource goes through the same plan, apply, results and diffs as the host endpoint."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar, Tuple

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import DatastoreError, InvalidInput, Refused
from ansible_collections.netsec.calico.plugins.module_utils._datastore.etcdv2 import EtcdV2Datastore
from ansible_collections.netsec.calico.plugins.module_utils._datastore.etcdv3 import EtcdV3Datastore
from ansible_collections.netsec.calico.plugins.module_utils._guard.enforcement import ENFORCE, GuardPolicy
from ansible_collections.netsec.calico.plugins.module_utils._module.results import build_bulk_result
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, NodePurge, Patched, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Codec
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref, Resource, Schema
from tests.harness.toy_datastore import CODEC, ToyDatastore, ToyServer


@dataclasses.dataclass(frozen=True)
class ToySet(Resource):
    """A kind without a node, whose nets are a set."""

    KIND: ClassVar[str] = "GlobalToySet"
    FIELDS: ClassVar[Tuple[str, ...]] = ("labels", "nets")

    nets: Tuple[str, ...] = ()

    def canonical(self):
        return dataclasses.replace(super().canonical(), nets=tuple(sorted(set(self.nets))))

    def as_options(self):
        return {"name": self.name, "labels": dict(self.labels), "nets": list(self.nets)}


def find_problems(resource):
    return [] if resource.nets else [("nets", "", "is missing: a set has nets")]


def manifest(resource):
    metadata = {"name": resource.name, "labels": dict(resource.labels)}
    return {"kind": resource.KIND, "metadata": metadata, "spec": {"nets": list(resource.nets)}}


def decode(value, ref):
    fields = json.loads(value)
    del fields["written"]
    return ToySet(**dict(fields, nets=tuple(fields["nets"])))


def encode(resource, stored):
    raise AssertionError("the toy server writes")


SCHEMA = Schema(find_problems, lambda ref: [], lambda resource: [], lambda resource: resource, manifest, None)
VERSION = dataclasses.replace(V3, schemas=dict(V3.schemas, GlobalToySet=SCHEMA))
CODECS = {"HostEndpoint": CODEC, "GlobalToySet": Codec(ToySet, encode, decode, lambda value, resource: False)}
OFFICE = ToySet(name="office", nets=("192.0.2.0/24", "198.51.100.0/24"))


@pytest.fixture
def server():
    return ToyServer()


def run(server, *wants, check=False, **options):
    store = ToyDatastore(server, VERSION, CODECS)
    return apply(store, {store.key(want.ref): want for want in wants}, check, **options)


def result(outcome):
    return build_bulk_result(outcome, VERSION, 10)


def test_it_is_created_once_whatever_the_order_of_its_nets(server):
    first = result(run(server, Present(OFFICE)))
    assert first["summary"]["created"] == 1
    assert first["changes"] == [{"operation": "create", "node": "", "name": "office", "fields": ["nets"]}]
    assert first["diff"][0]["after_header"] == "global toy set office (create)"
    assert "- 192.0.2.0/24\n" in first["diff"][0]["after"]
    again = run(server, Present(dataclasses.replace(OFFICE, nets=OFFICE.nets[::-1])))
    assert result(again)["changed"] is False and result(again)["summary"]["unchanged"] == 1


def test_check_mode_predicts_and_writes_nothing(server):
    server.put("GlobalToySet", "office", {"name": "office", "nets": ["192.0.2.0/24"]})
    before = dict(server.objects)
    predicted = result(run(server, Present(OFFICE), check=True))
    assert dict(server.objects) == before and predicted == result(run(server, Present(OFFICE)))


def test_a_patch_merges_labels_and_an_invalid_one_is_refused(server):
    server.put("GlobalToySet", "office", {"name": "office", "nets": ["192.0.2.0/24"], "labels": {"a": "1"}})
    run(server, Patched(OFFICE.ref, {"labels": {"b": "2"}}))
    assert server.fields("GlobalToySet", "office")["labels"] == {"a": "1", "b": "2"}
    with pytest.raises(InvalidInput, match="global toy set office: nets: is missing"):
        run(server, Patched(OFFICE.ref, {"nets": ()}))


def test_the_guard_finds_nothing_about_a_kind_without_effect_on_traffic(server):
    endpoint = HostEndpoint(name="n1-eth0", node="n1", interface_name="eth0", profiles=("missing",))
    with pytest.raises(Refused, match="1 of 1 changes"):
        run(server, Present(OFFICE), Present(endpoint), guard=GuardPolicy(ENFORCE).check)
    assert run(server, Present(OFFICE), guard=GuardPolicy(ENFORCE).check).guarded.verdicts == []


@pytest.mark.parametrize("datastore", [EtcdV2Datastore, EtcdV3Datastore])
def test_a_datastore_has_no_keys_for_a_kind_that_it_does_not_hold(datastore):
    with pytest.raises(DatastoreError, match="has no resources of kind GlobalToySet"):
        datastore.key(object.__new__(datastore), OFFICE.ref)


def test_both_kinds_in_one_run_with_a_purge_and_its_limit(server):
    server.put("HostEndpoint", "n1-eth0", {"name": "n1-eth0", "node": "n1", "interface_name": "eth0"})
    server.put("GlobalToySet", "office", {"name": "office", "nets": ["192.0.2.0/24"]})
    purge = NodePurge({"n1": None})
    with pytest.raises(Refused, match="the purge would delete 1 host endpoint, more than the"):
        run(server, Present(OFFICE), purge=purge, purge_limit=0)
    outcome = run(server, Present(OFFICE), purge=purge)
    assert [(change.operation, str(change.ref)) for change in outcome.done] == [
        ("update", "global toy set office"),
        ("delete", "host endpoint n1-eth0 on node n1"),
    ]
    assert [change.operation for change in run(server, Absent(Ref("GlobalToySet", "office"))).done] == ["delete"]
    assert server.objects == {}
