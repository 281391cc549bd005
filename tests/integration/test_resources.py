# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""calico_resources: policies, network sets, profiles, tiers and endpoints from manifests."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module
from tests.integration.sets import OWNER_LABEL
from tests.integration.tasks import connection, failure
from tests.integration.test_resource_info import ROOT, on_etcdv3, on_v3, put

ALLOW_SSH = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [22]}}


def resources(datastore, given, check=False, diff=False, **options):
    """A calico_resources task; unguarded, unless the options say so."""
    found = {"guard": "off", **connection(datastore), "resources": given, **options}
    return run_module("calico_resources", found, check, diff)


def manifest(kind, name, spec=None, **metadata):
    document = {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": dict(metadata, name=name)}
    return document if spec is None else dict(document, spec=spec)


def policy(name, **spec):
    return manifest("GlobalNetworkPolicy", name, {"order": 100, "selector": "all()", "ingress": [ALLOW_SSH], **spec})


def network_set(name, *nets, **metadata):
    return manifest("GlobalNetworkSet", name, {"nets": list(nets)}, **metadata)


def changes(result):
    assert "changes" in result, result
    return [(each["operation"], each["kind"], each["name"]) for each in result["changes"]]


def read(datastore, kind):
    found = run_module("calico_resource_info", dict(connection(datastore), kind=kind))
    assert not found["failed"], found
    return {each["metadata"]["name"]: each for each in found["resources"]}


ONE_OF_EACH = [
    manifest("HostEndpoint", "n1-eth0", {"node": "n1", "interfaceName": "eth0"}, labels={"host": "yes"}),
    policy("sec-ssh", tier="sec"),
    network_set("office", "192.0.2.0/24", labels={"place": "office"}),
    manifest("StagedGlobalNetworkPolicy", "tried", {"selector": "all()"}),
    manifest("Tier", "sec", {"order": 10}),
]
ONE_OF_EACH_CHANGES = [
    ("Tier", "sec"),
    ("GlobalNetworkSet", "office"),
    ("GlobalNetworkPolicy", "sec-ssh"),
    ("StagedGlobalNetworkPolicy", "tried"),
    ("HostEndpoint", "n1-eth0"),
]


@on_v3
def test_all_kinds_are_created_in_order_once_and_deleted_in_reverse(datastore):
    predicted = resources(datastore, ONE_OF_EACH, check=True)
    assert read(datastore, "Tier").keys() <= {"default"}
    made = resources(datastore, ONE_OF_EACH)
    assert made["changed"] and changes(made) == [("create", *each) for each in ONE_OF_EACH_CHANGES]
    assert made["changes"] == predicted["changes"] and made["summary"]["created"] == 5
    for kind, name in ONE_OF_EACH_CHANGES:
        assert name in read(datastore, kind)
    again = resources(datastore, ONE_OF_EACH)
    assert not again["changed"] and again["summary"]["unchanged"] == 5
    gone = resources(datastore, ONE_OF_EACH, state="absent")
    assert changes(gone) == [("delete", *each) for each in ONE_OF_EACH_CHANGES[::-1]]
    assert not resources(datastore, ONE_OF_EACH, state="absent")["changed"]


@on_v3
def test_an_update_shows_what_differs_and_keeps_what_it_does_not_manage(datastore):
    resources(datastore, [policy("p", ingress=[ALLOW_SSH]), network_set("s", "192.0.2.0/24")])
    changed = [policy("p", ingress=[]), network_set("s", "192.0.2.0/24", "198.51.100.7", annotations={"why": "test"})]
    result = resources(datastore, changed, diff=True)
    assert [(each["name"], each["fields"]) for each in result["changes"]] == [
        ("s", ["annotations", "spec.nets"]),
        ("p", ["spec.ingress"]),
    ]
    assert "+" not in result["diff"][0]["before"] and "- 198.51.100.7\n" in result["diff"][0]["after"]
    assert "ingress" not in result["diff"][1]["after"] and result["diff"][1]["after_header"].endswith("p (update)")
    resources(datastore, [network_set("s", "192.0.2.0/24")])
    found = read(datastore, "GlobalNetworkSet")["s"]
    assert found["spec"]["nets"] == ["192.0.2.0/24"] and found["metadata"]["annotations"] == {"why": "test"}


@on_v3
def test_what_calico_fills_in_is_no_difference(datastore):
    resources(datastore, [policy("p"), manifest("Tier", "t")])
    spelled_out = policy("p", tier="default", types=["Ingress"], egress=[], applyOnForward=False)
    result = resources(datastore, [spelled_out, manifest("Tier", "t", {"order": 1000000, "defaultAction": "Deny"})])
    assert not result["changed"], result


@on_v3
def test_a_purge_deletes_the_owners_other_resources_of_the_given_kinds(datastore):
    both = {"owner": "me", "purge": "owned", "purge_kinds": ["globalnetworkpolicy", "Tier"]}
    resources(datastore, [policy("a", tier="t"), policy("b"), manifest("Tier", "t"), network_set("s")], owner="me")
    resources(datastore, [policy("other")])
    limited = failure(
        resources(datastore, [policy("b")], purge_limit=1, **both), "would delete 1 global network policy"
    )
    assert "and 1 tier, more than the purge_limit of 1" in limited
    result = resources(datastore, [policy("b")], purge_limit=2, **both)
    assert changes(result) == [("delete", "GlobalNetworkPolicy", "a"), ("delete", "Tier", "t")]
    assert set(read(datastore, "GlobalNetworkPolicy")) == {"b", "other"}
    assert read(datastore, "GlobalNetworkPolicy")["b"]["metadata"]["labels"][OWNER_LABEL] == "me"
    assert set(read(datastore, "GlobalNetworkSet")) == {"s"}


@on_v3
@pytest.mark.parametrize("label", ["projectcalico.org/tier", "internal.projectcalico.org/x"])
def test_a_label_of_calico_does_not_name_the_owner(datastore, label):
    """Each policy has the label projectcalico.org/tier, so the purge would delete all of a tier."""
    resources(datastore, [policy("p")])
    mine = {"owner": "default", "owner_label": label}
    message = "owner_label: '%s' is a label of Calico, which sets it itself" % label
    failure(resources(datastore, [], purge="owned", purge_kinds=["GlobalNetworkPolicy"], **mine), message)
    failure(run_module("calico_hostendpoints", dict(connection(datastore), endpoints=[], **mine)), message)
    assert set(read(datastore, "GlobalNetworkPolicy")) == {"p"}
    allowed = resources(datastore, [policy("q")], owner="default", owner_label="notprojectcalico.org/tier")
    assert allowed["summary"]["created"] == 1


@on_v3
def test_a_resource_of_another_owner_is_taken_with_a_warning(datastore):
    sets = [network_set("s%02d" % number, "192.0.2.1") for number in range(12)]
    endpoint = ONE_OF_EACH[0]
    assert not resources(datastore, [*sets, endpoint], owner="you")["warnings"]
    assert not resources(datastore, [network_set("t")])["warnings"]
    predicted = resources(datastore, [network_set("s00", "192.0.2.1"), network_set("t")], check=True, owner="me")
    message = "%s changes its owner from 'you' to 'me' (label %s)"
    assert predicted["warnings"] == [message % ("global network set s00", OWNER_LABEL)]
    options = {"name": "n1-eth0", "node": "n1", "interface_name": "eth0"}
    found = run_module(
        "calico_hostendpoints", dict(connection(datastore), guard="off", endpoints=[options], owner="me")
    )
    assert found["warnings"] == [message % ("host endpoint n1-eth0 on node n1", OWNER_LABEL)]
    found = resources(datastore, sets, owner="me")
    assert len(found["warnings"]) == 11 and found["warnings"][-1] == "and 2 more warnings"
    assert not resources(datastore, sets, owner="me")["warnings"]


@on_v3
def test_a_purge_says_what_it_requires(datastore):
    failure(resources(datastore, [], purge="owned", owner="me"), "purge_kinds")
    failure(resources(datastore, [], purge="owned", owner="me", purge_kinds=[]), "purge_kinds: must not be empty")
    failure(resources(datastore, [], purge="owned", owner="", purge_kinds=["Tier"]), "owner: must not be empty")
    unknown = failure(
        resources(datastore, [], purge="owned", owner="me", purge_kinds=["Policy"]), "'Policy' is not a kind"
    )
    assert "GlobalNetworkPolicy" in unknown
    absent = resources(datastore, [policy("a")], purge="owned", owner="me", purge_kinds=["Tier"], state="absent")
    failure(absent, "requires state present")


@on_v3
def test_a_policy_requires_its_tier_and_a_tier_with_policies_stays(datastore):
    failure(resources(datastore, [policy("p", tier="sec")]), "spec.tier: 'sec' is not an existing tier")
    assert read(datastore, "GlobalNetworkPolicy") == {}
    resources(datastore, [policy("p", tier="sec"), manifest("Tier", "sec")])
    refused = resources(datastore, [manifest("Tier", "sec")], state="absent")
    failure(refused, "tier sec is not deleted, because it has policies: global network policy p; delete them first")
    resources(datastore, [manifest("Tier", "default")])
    failure(resources(datastore, [manifest("Tier", "default")], state="absent", check=True), "Calico's own")
    both = resources(datastore, [manifest("Tier", "sec"), policy("p")], state="absent")
    assert changes(both) == [("delete", "GlobalNetworkPolicy", "p"), ("delete", "Tier", "sec")]


@on_etcdv3
@pytest.mark.parametrize("is_again", [False, True], ids=["first", "again"])
def test_a_tier_stays_that_gets_a_policy_while_its_own_are_deleted(datastore, wire, is_again):
    given = [policy("p", tier="sec"), manifest("Tier", "sec"), manifest("Tier", "z")]
    resources(datastore, given)
    tier, old, new = (ROOT + rest for rest in ("tiers/sec", "globalnetworkpolicies/p", "globalnetworkpolicies/new"))
    value = datastore.get(old).replace('"p"', '"new"')

    def arrive():
        datastore.put(new, value)
        if is_again:
            # The deletion of the tier conflicts.
            datastore.put(tier, datastore.get(tier) + " ")

    wire.before(datastore.writing(key=tier if is_again else old), arrive)
    result = resources(wire, given, state="absent")
    assert result["failed"] and result["msg"].endswith(
        "has policies: global network policy new; delete them first, or move them to another tier"
    ), result
    assert changes(result)[0] == ("delete", "GlobalNetworkPolicy", "p")
    assert [each["name"] for each in result["failures"]] == ["sec"]
    assert datastore.get(tier) and datastore.get(new)
    assert len(result["changes"]) + len(result["not_attempted"]) == 2
    datastore.delete(new)
    assert not resources(datastore, given, state="absent")["failed"] and datastore.get(tier) is None


@on_v3
def test_overwrite_false_changes_nothing(datastore):
    resources(datastore, [policy("p")])
    failure(resources(datastore, [policy("p", order=5), policy("q")], overwrite=False), "overwrite is false")
    assert set(read(datastore, "GlobalNetworkPolicy")) == {"p"}


INVALID = {
    "no mapping": ([7], "resources[0]: 7 is not a Calico resource"),
    "no kind": ([{"apiVersion": "projectcalico.org/v3"}], "kind None is not valid: use one of Tier,"),
    "a kind in another case": ([manifest("tier", "t")], "kind 'tier' is not valid: did you mean Tier?"),
    "another kind": (
        [manifest("IPPool", "p")],
        "IPPool p cannot be managed here; the kinds of this datastore are Tier",
    ),
    "another version": (
        [dict(policy("p"), apiVersion="v1")],
        "apiVersion 'v1' is not valid for kind GlobalNetworkPolicy",
    ),
    "no name": ([manifest("Tier", "")], "metadata.name: is missing"),
    "too large": (
        [network_set("s", *["10.0.%d.%d" % (n >> 8 & 255, n & 255) for n in range(80000)])],
        "tes for all fields",
    ),
    "a list without items": ([{"kind": "List", "items": {}}], "resources[0]: items is {}; it must be a list"),
    "a misspelt key": ([policy("p", selektor="all()")], "spec.selektor is unknown: did you mean selector?"),
    "a short name": (
        [policy("p", ingress=[{"action": "Allow", "destination": {"ports": ["80:70"]}}])],
        "[0]: p: spec.i",
    ),
    "a misplaced key": ([dict(policy("p"), order=1)], "order is unknown"),
    "an invalid rule": ([policy("p", ingress=[{"action": "Accept"}])], "spec.ingress[0].action: 'Accept' is not"),
    "twice": ([policy("p"), policy("p", order=1)], "global network policy p is given twice, first by resources[0]"),
    "several": ([policy("P"), network_set("s", "10.0.0")], "resources[1]: global network set s: "),
    "another owner": ([policy("p"), network_set("s", labels={OWNER_LABEL: "you"})], "contradicts owner 'me'"),
}


@on_v3
@pytest.mark.parametrize("given, message", INVALID.values(), ids=INVALID)
def test_an_invalid_resource_is_named_and_nothing_is_written(datastore, given, message):
    failure(resources(datastore, [*given, network_set("good")], owner="me"), message)
    assert read(datastore, "GlobalNetworkSet") == {}


@on_v3
def test_a_file_with_several_documents_and_other_kinds(datastore, tmp_path):
    source = tmp_path / "policies.yml"
    listed = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicyList", "items": [policy("p")]}
    documents = [listed, manifest("IPPool", "pool", {"cidr": "10.0.0.0/8"}), network_set("s", "192.0.2.1")]
    source.write_text("---\n".join(json.dumps(each, indent=1) + "\n" for each in documents))
    failure(from_file(datastore, source), "document 2: IPPool pool cannot be managed here")
    result = from_file(datastore, source, other_kinds="skip")
    assert changes(result) == [("create", "GlobalNetworkSet", "s"), ("create", "GlobalNetworkPolicy", "p")]
    assert result["other_kinds_skipped"] == 1


@on_v3
def test_one_resource_and_a_list_resource_as_mappings(datastore):
    assert changes(resources(datastore, network_set("a"))) == [("create", "GlobalNetworkSet", "a")]
    listed = {"kind": "List", "apiVersion": "v1", "items": [network_set("b"), network_set("c")]}
    assert len(changes(resources(datastore, [listed]))) == 2
    failure(
        resources(datastore, [dict(listed, items=[network_set("d"), {}])]), "resources[0][1]: kind None is not valid"
    )


A, B = network_set("a", "192.0.2.1"), network_set("b", "192.0.2.2")
LISTED = {"kind": "GlobalNetworkSetList", "apiVersion": "projectcalico.org/v3", "items": [A, B]}


@on_v3
@pytest.mark.parametrize(
    "given",
    [{"kind": "List", "apiVersion": "v1", "items": [LISTED]}, {"Kind": "GlobalNetworkSetList", "Items": [A, B]}],
    ids=["a list in a list", "keys in another case"],
)
def test_what_a_list_contains_is_not_skipped_and_purged(datastore, given):
    resources(datastore, [A, B], owner="me")
    purge = {"owner": "me", "purge": "owned", "purge_kinds": ["GlobalNetworkSet"]}
    result = resources(datastore, [network_set("keep"), given], other_kinds="skip", **purge)
    assert changes(result) == [("create", "GlobalNetworkSet", "keep")] and result["other_kinds_skipped"] == 0
    assert set(read(datastore, "GlobalNetworkSet")) == {"a", "b", "keep"}


@on_v3
@pytest.mark.parametrize("kind", ["GlobalNetworkSet ", "globalnetworksets", "GlobalNetworkSte", "globalnetworkset"])
def test_what_may_be_meant_as_a_kind_is_an_error_instead_of_skipped(datastore, kind):
    resources(datastore, [A, B], owner="me")
    purge = {"owner": "me", "purge": "owned", "purge_kinds": ["GlobalNetworkSet"]}
    given = [network_set("keep"), dict(A, kind=kind), dict(B, kind=kind), manifest("NetworkSet", "c")]
    result = resources(datastore, given, other_kinds="skip", **purge)
    failure(result, "resources[1]: a: kind '%s' is not valid: did you mean GlobalNetworkSet?" % kind)
    assert set(read(datastore, "GlobalNetworkSet")) == {"a", "b"}


def from_file(datastore, path, **options):
    return run_module("calico_resources", {"guard": "off", **connection(datastore), "src": str(path), **options})


@on_etcdv3
def test_the_bytes_are_calicos(datastore):
    """One policy; the unit tests compare all of Calico's own rows."""
    resources(datastore, [policy("p")])
    value = json.loads(datastore.get(ROOT + "globalnetworkpolicies/p"))
    assert value["spec"]["tier"] == "default" and value["metadata"]["labels"] == {"projectcalico.org/tier": "default"}
    assert value["metadata"]["annotations"] == {"projectcalico.org/metadata": '{"name":"p"}'}


@on_etcdv3
def test_a_policy_of_an_older_calico_is_updated_in_place(datastore):
    put(datastore, "GlobalNetworkPolicy", "default.p", {"order": 100, "types": ["Ingress"]})
    key, old = ROOT + "globalnetworkpolicies/p", ROOT + "globalnetworkpolicies/default.p"
    same = manifest("GlobalNetworkPolicy", "p", {"order": 100})
    assert not resources(datastore, [same])["changed"]
    result = resources(datastore, [manifest("GlobalNetworkPolicy", "p", {"order": 5})], owner="me")
    assert changes(result) == [("update", "GlobalNetworkPolicy", "p")]
    value = json.loads(datastore.get(old))
    assert value["metadata"]["name"] == "default.p" and value["spec"]["order"] == 5 and datastore.get(key) is None
    kept = resources(datastore, [same], owner="me", purge="owned", purge_kinds=["GlobalNetworkPolicy"])
    assert changes(kept) == [("update", "GlobalNetworkPolicy", "p")]
    by_old_name = manifest("GlobalNetworkPolicy", "default.p", {"order": 100})
    assert not resources(datastore, [by_old_name], owner="me")["changed"]
    assert changes(resources(datastore, [same], state="absent")) == [("delete", "GlobalNetworkPolicy", "p")]
    assert datastore.get(old) is None


@on_etcdv3
def test_a_policy_that_is_named_like_an_older_one_is_another_policy(datastore):
    """Since v3.32, a policy may be named default.p."""
    resources(datastore, [policy("default.p", order=1)])
    result = resources(datastore, [policy("p", order=2)])
    assert changes(result) == [("create", "GlobalNetworkPolicy", "p")]
    assert {name: each["spec"]["order"] for name, each in read(datastore, "GlobalNetworkPolicy").items()} == {
        "default.p": 1,
        "p": 2,
    }
    datastore.put(ROOT + "globalnetworkpolicies/p", "[]")
    assert changes(resources(datastore, [policy("p", order=2)], state="absent")) == [
        ("delete", "GlobalNetworkPolicy", "p")
    ]
    assert set(read(datastore, "GlobalNetworkPolicy")) == {"default.p"}


@on_etcdv3
def test_an_unreadable_value_is_replaced_and_never_purged(datastore):
    place = ROOT + "globalnetworkpolicies/p"
    datastore.put(place, "[]")
    purge = {"owner": "me", "purge": "owned", "purge_kinds": ["GlobalNetworkPolicy"]}
    kept = resources(datastore, [], **purge)
    assert not kept["changed"] and any("is not purged" in warning for warning in kept["warnings"])
    result = resources(datastore, [policy("p")])
    assert changes(result) == [("update", "GlobalNetworkPolicy", "p")]
    assert any("the replaced value could not be read" in warning for warning in result["warnings"])


@on_etcdv3
def test_a_run_that_fails_midway_says_what_was_done_and_the_next_one_does_the_rest(auth_datastore):
    """The user may write policies, but no host endpoints."""
    writable = [auth_datastore.everything + "/projectcalico.org/" + each for each in ("globalnetworkpolicies", "tiers")]
    auth_datastore.add_user("some", "geheim", [auth_datastore.everything], writable)
    given = [policy("sec-ssh", tier="sec"), manifest("Tier", "sec"), ONE_OF_EACH[0]]
    failed = resources(auth_datastore, given, **auth_datastore.user("some", "geheim"))
    assert failed["failed"] and "2 of 3 changes were made; the create of host endpoint n1-eth0" in failed["msg"]
    assert changes(failed) == [("create", "Tier", "sec"), ("create", "GlobalNetworkPolicy", "sec-ssh")]
    assert [(each["kind"], each["name"]) for each in failed["failures"]] == [("HostEndpoint", "n1-eth0")]
    auth_datastore.add_user("all", "geheim", [auth_datastore.everything], [auth_datastore.everything])
    rest = resources(auth_datastore, given, **auth_datastore.user("all", "geheim"))
    assert changes(rest) == [("create", "HostEndpoint", "n1-eth0")] and rest["summary"]["unchanged"] == 2


# Calico v1

on_v1 = pytest.mark.parametrize("datastore_type", ["etcdv2"])
V1_ALLOW = {"action": "allow", "protocol": "tcp", "destination": {"ports": [22]}}
V1_ONE_OF_EACH = [
    {
        "apiVersion": "v1",
        "kind": "hostEndpoint",
        "metadata": {"name": "eth0", "node": "n1"},
        "spec": {"interfaceName": "eth0", "profiles": ["web"]},
    },
    {"apiVersion": "v1", "kind": "policy", "metadata": {"name": "p"}, "spec": {"ingress": [V1_ALLOW]}},
    {"apiVersion": "v1", "kind": "profile", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {"egress": []}},
]
V1_CHANGES = [("profile", "web"), ("policy", "p"), ("HostEndpoint", "eth0")]


@on_v1
def test_all_kinds_of_calico_v1(datastore):
    predicted = resources(datastore, V1_ONE_OF_EACH, check=True)
    assert datastore.get("/calico/v1/policy/profile/web/tags") is None
    made = resources(
        datastore, V1_ONE_OF_EACH, guard="enforce", guard_facts={"n1": {"interfaces": {"eth0": ["10.0.0.1"]}}}
    )
    assert changes(made) == [("create", *each) for each in V1_CHANGES] and made["changes"] == predicted["changes"]
    assert datastore.get("/calico/v1/policy/profile/web/labels") == '{"a":"b"}'
    assert not resources(datastore, V1_ONE_OF_EACH)["changed"]
    policy_only = {**V1_ONE_OF_EACH[1], "spec": {"order": 5, "ingress": [V1_ALLOW]}}
    assert [each["fields"] for each in resources(datastore, [policy_only])["changes"]] == [["spec.order"]]
    assert changes(resources(datastore, V1_ONE_OF_EACH, state="absent")) == [
        ("delete", *each) for each in V1_CHANGES[::-1]
    ]


@on_v1
def test_calico_v1_has_no_owner_of_a_policy(datastore):
    failure(
        resources(datastore, V1_ONE_OF_EACH[1:], owner="me"), "policy p: owner cannot be used: Calico v1 has no labels"
    )
    purge = resources(datastore, [], owner="me", purge="owned", purge_kinds=["policy"])
    failure(purge, "purge_kinds: 'policy' has no owner")
    assert resources(datastore, V1_ONE_OF_EACH[:1], owner="me")["changed"]


@on_v1
def test_a_manifest_of_the_other_generation_is_named(datastore):
    failure(
        resources(datastore, [policy("p")]), "GlobalNetworkPolicy p cannot be managed here; the kinds of this datastore"
    )
    wrong = {**V1_ONE_OF_EACH[2], "apiVersion": "projectcalico.org/v3"}
    failure(resources(datastore, [wrong]), "apiVersion 'projectcalico.org/v3' is not valid for kind profile: use v1")
