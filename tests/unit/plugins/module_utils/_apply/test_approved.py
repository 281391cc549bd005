# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a plan: what is refused about it, and what a run does that rests on it."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._apply.approved import read_approved, write_plan
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan_file import _compute_digest
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from tests.harness.toy_datastore import ToyDatastore, ToyServer

TOY = {"type": "toy", "cluster": "1", "endpoints": ["a"]}
WANT = Present(HostEndpoint(name="n1-eth0", node="n1", interface_name="eth0", labels={"b": "2", "a": "1"}))


@pytest.fixture
def server():
    return ToyServer()


@pytest.fixture
def path(tmp_path, server):
    path = tmp_path / "plan.json"
    write(path, server)
    return path


def run(server, check=False, approved=None, want=WANT):
    store = ToyDatastore(server)
    return apply(store, {store.key(want.ref): want}, check, approved=approved)


def write(path, server, datastore=None):
    write_plan(str(path), ToyDatastore(server), run(server, check=True).done, datastore or TOY, "me")


@pytest.mark.parametrize(
    "planned, now",
    [
        (TOY, {"type": "toy", "cluster": "1", "endpoints": ["b"]}),
        ({**TOY, "cluster": ""}, TOY),
        (TOY, {**TOY, "cluster": ""}),
    ],
    ids=["another address", "unknown in the plan", "unknown now"],
)
def test_the_cluster_identifies_a_datastore_and_its_endpoints_if_the_cluster_is_unknown(path, server, planned, now):
    write(path, server, planned)
    assert run(server, approved=read_approved(str(path), now)).done


@pytest.mark.parametrize(
    "now",
    [{**TOY, "cluster": "2"}, {**TOY, "type": "etcdv3"}, {**TOY, "cluster": "", "endpoints": ["b"]}],
    ids=["cluster", "type", "endpoints"],
)
def test_the_plan_of_another_datastore_is_refused(path, now):
    with pytest.raises(Refused, match="nothing was written: the plan of .* is for another datastore: toy"):
        read_approved(str(path), now)


def sign(document):
    content = {key: value for key, value in document.items() if key != "digest"}
    return dict(content, digest=_compute_digest(content))


@pytest.mark.parametrize(
    "fields",
    [{"changes": None}, {"datastore": []}, {"changes": [1]}, {"changes": [{"operation": "create"}]}],
)
def test_a_plan_that_this_version_has_not_written_is_refused_although_its_digest_matches(path, fields):
    path.write_text(json.dumps(sign(dict(json.loads(path.read_text()), **fields))))
    with pytest.raises(InvalidInput, match="plan_src .*: is not a valid plan"):
        read_approved(str(path), TOY)


def test_an_edited_plan_applies_nothing_that_is_not_declared(path, server):
    document = json.loads(path.read_text())
    document["changes"][0]["resource"]["spec"]["profiles"] = ["evil"]
    path.write_text(json.dumps(sign(document)))
    with pytest.raises(Refused, match="host endpoint n1-eth0 on node n1 is declared differently now: spec.profiles"):
        run(server, approved=read_approved(str(path), TOY))
    assert not server.objects


def test_what_another_client_made_meanwhile_as_planned_is_no_difference(path, server):
    run(server)
    outcome = run(server, approved=read_approved(str(path), TOY))
    assert (outcome.done, outcome.made_before) == ([], 1)
    other = Present(HostEndpoint(name="n1-eth0", node="n1", interface_name="eth1"))
    run(server, want=other)
    with pytest.raises(Refused, match="n1-eth0 on node n1 was created by another client after the plan was made"):
        run(server, approved=read_approved(str(path), TOY), want=other)
