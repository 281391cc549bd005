# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role hostendpoints through ansible-playbook: from facts and variables to what is stored."""

from __future__ import annotations

import json

import pytest

from tests.harness.fleet import interface, server
from tests.harness.module import run_playbook
from tests.harness.process import free_port
from tests.integration.role import (
    IMPORTED,
    NAME,
    OWNER,
    OWNER_LABEL,
    changes,
    done,
    failure,
    fleet_of,
    kubernetes_for,
    of_workers,
    on_all,
    results,
    worker,
)

OWNED = {OWNER_LABEL: OWNER}
BONDED = server(
    "db1.example.com",
    interface("lo", "127.0.0.1/8", "::1/128", type="loopback"),
    interface("eno1"),
    interface("eno2"),
    interface("eno3", active=False),
    interface("enp5s0f0np0", "198.51.100.7/24", "198.51.100.8/24", "2001:db8:5::7/64", "fe80::7/64"),
    interface("bond0", "192.0.2.7/24", type="bonding"),
    interface("bond0.100", "10.100.0.7/24"),
    interface("br-lan", "10.200.0.7/24", type="bridge"),
    interface("ib0", "10.30.0.7/24", type="infiniband"),
    interface("wlan0", "169.254.3.4/16"),
    interface("eth9", "fe80::9/64"),
    interface("br-0123456789ab", "172.18.0.1/16", type="bridge"),
    interface("docker0", "172.17.0.1/16", type="bridge"),
    interface("virbr0", "192.168.122.1/24", type="bridge"),
    interface("cali0ef24ba3c71", "169.254.1.1/32"),
    interface("vethb0d5f1a", "172.17.0.9/16"),
    interface("vxlan.calico", "10.244.0.1/32"),
    interface("tunl0", "10.244.0.2/32", type="tunnel"),
    interface("wg0", "10.9.0.1/24", type="unknown"),
    interface("kube-ipvs0", "10.96.0.1/32"),
    interface("nodelocaldns", "169.254.20.10/32"),
    interface("dummy0", "10.8.0.1/32"),
    interface("ppp0", "203.0.113.9/32", type="ppp"),
    default="bond0",
)
HOSTS = {"worker-%d" % number: worker(number) for number in (1, 2, 3, 4, 10)}
# For a run that has a play for each of many cases.
OTHERS = {"worker-%d" % number: worker(number) for number in range(20, 50)}


# Machines made from one image.
TWINS = {"twin-a": worker(1), "twin-b": worker(1, address="192.0.2.99/24")}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {**HOSTS, **OTHERS, **TWINS, "db1": BONDED}) as fleet:
        yield fleet


# Most of what the role does is before anything is stored, and does not depend on the datastore.
on_etcd = pytest.mark.parametrize("datastore_type", ["etcdv2", "etcdv3"])


@pytest.fixture
def datastore_type():
    return "etcdv2"


@pytest.fixture
def fleet(request, _fleet, datastore_type):
    """Facts of the hosts above, and an empty datastore."""
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    return _fleet


def one_line(text):
    return " ".join(text.split())


def labels(fleet, place):
    found = dict(fleet.stored()[place]["labels"])
    found.pop(OWNER_LABEL, None)
    return found


# What is made


@on_all
def test_a_plain_server_with_no_variable_but_the_datastore(fleet):
    first = done(fleet.run(["db1"], "--check", "--diff"))
    assert fleet.stored() == {}
    result = done(fleet.run(["db1"], "--diff"))
    assert result["changes"] == first["changes"] and result["diff"] == first["diff"]
    assert fleet.stored() == {
        "db1.example.com/" + name: {"interface_name": name, "expected_ips": addresses, "labels": OWNED}
        for name, addresses in {
            "bond0": ["192.0.2.7"],
            "bond0.100": ["10.100.0.7"],
            "br-lan": ["10.200.0.7"],
            "enp5s0f0np0": ["198.51.100.7", "198.51.100.8", "2001:db8:5::7"],
            "ib0": ["10.30.0.7"],
        }.items()
    }
    again = done(fleet.run(["db1"], "--diff"))
    assert (again["changed"], again["changes"], again["diff"], again["summary"]["unchanged"]) == (False, [], [], 5)


@on_all
def test_a_template_sees_the_hosts_of_the_play(fleet):
    names = ("ansible_play_hosts", "ansible_play_batch", "ansible_play_hosts_all")
    seen = {"l%d" % index: "{{ %s | join('_') }}" % name for index, name in enumerate(names)}
    hosts = ["worker-1", "worker-2", "worker-3"]
    done(fleet.run(hosts, "--limit=!worker-3", variables={"hostendpoints_labels": seen}))
    assert labels(fleet, "worker-2/eth0") == dict.fromkeys(seen, "worker-1_worker-2")


def test_labels_of_all_below_the_groups_below_the_rule_below_the_host(fleet):
    groups = {"a_early": ["worker-1", "worker-2"], "z_late": ["worker-1"], "other": ["worker-2"]}
    variables = {
        "hostendpoints_labels": dict.fromkeys(["l1", "l2", "l3", "l4", "l5"], "all"),
        "hostendpoints_group_labels": {
            "z_late": dict.fromkeys(["l3", "l4", "l5"], "late"),
            "a_early": dict.fromkeys(["l2", "l3", "l4", "l5"], "early"),
            "nobody": {"l1": "nobody"},
        },
        "hostendpoints_interfaces": [
            {"match": {"name": "eth0"}, "endpoint": {"labels": dict.fromkeys(["l4", "l5"], "rule")}}
        ],
    }
    hosts = {"worker-1": {"hostendpoints_host_labels": {"l5": "host"}}, "worker-2": {}}
    done(fleet.run(hosts, groups=groups, variables=variables))
    assert labels(fleet, "worker-1/eth0") == {"l1": "all", "l2": "early", "l3": "late", "l4": "rule", "l5": "host"}
    assert labels(fleet, "worker-2/eth0") == {"l1": "all", "l2": "early", "l3": "early", "l4": "rule", "l5": "rule"}


def test_endpoints_by_hand_beside_the_generated_ones(fleet):
    by_hand = [
        {"name": "eth7", "interface_name": "eth7", "profiles": ["p"]},
        {"name": "vip", "expectedIPs": ["192.0.2.100"], "node": "worker-1"},
    ]
    hosts = {"worker-1": {"hostendpoints_endpoints": by_hand}, "worker-2": {}}
    done(fleet.run(hosts))
    assert sorted(fleet.stored()) == sorted([*of_workers(1, 2), "worker-1/eth7", "worker-1/vip"])
    assert fleet.stored()["worker-1/eth7"]["profiles"] == ["p"]
    assert fleet.stored()["worker-1/vip"]["labels"] == OWNED


# Where variables come from

SIDE = "{{ 'x' ~ ansible_facts.default_ipv4.address | replace('.', '-') }}"


def play_of(form, number):
    """A play that calls the role in this form, for the hosts worker-NUMBER and its next three."""
    call = {"name": NAME}
    more = {"vars": {"hostendpoints_ignore": ["eth1", "lo", "docker0"]}}
    tasks = [
        {"ansible.builtin.set_fact": {"mine": "{{ inventory_hostname }}-mine", "hostendpoints_owner": "me"}},
        dict(more, **{"ansible.builtin." + form: call}),
    ]
    show = {"debug": {"var": "hostendpoints_result.summary"}, "name": "show"}
    play = {"hosts": form, "gather_facts": False, "vars": {"hostendpoints_labels": {"play": "{{ mine }}"}}}
    if form == "roles":
        play.update(pre_tasks=tasks[:1], roles=[dict(more["vars"], role=NAME)], tasks=[show])
    else:
        play["tasks"] = [*tasks, show]
    hosts = {
        "worker-%d" % number: {"hostendpoints_host_labels": {"address": SIDE}},
        "worker-%d" % (number + 1): {
            "hostendpoints_host_labels": {"address": SIDE},
            "hostendpoints_node": "{{ mine }}",
        },
        "worker-%d" % (number + 2): {
            "hostendpoints_interfaces": [{"match": {"network": "{{ '192.0.2.' ~ %d }}/32" % (number + 2)}}]
        },
        "worker-%d" % (number + 3): {"hostendpoints_interfaces": []},
    }
    return play, hosts


def test_each_host_has_its_own_variables_from_everywhere(fleet):
    forms = {"import_role": 20, "include_role": 24, "roles": 28}
    plays, hosts, groups, expected = [], {}, {}, {}
    for form, number in forms.items():
        play, members = play_of(form, number)
        plays.append(play)
        last = "worker-%d" % (number + 3)
        hosts.update({name: dict(variables, other=last) for name, variables in members.items()})
        groups[form] = list(members)
        common = {"neighbour": last + "-mine", OWNER_LABEL: "extra"}
        one, two, three = ("worker-%d" % each for each in range(number, number + 3))
        expected.update(
            {
                one + "/eth0": {"play": one + "-mine", "address": "x192-0-2-%d" % number, **common},
                two + "-mine/eth0": {"play": two + "-mine", "address": "x192-0-2-%d" % (number + 1), **common},
                three + "/eth0": {"play": three + "-mine", **common},
            }
        )
    groups["all_of_them"] = list(hosts)
    variables = {"hostendpoints_group_labels": {"all_of_them": {"neighbour": "{{ hostvars[other].mine }}"}}}
    extra = "-e", json.dumps({"hostendpoints_owner": "extra"})
    run = fleet.playbook(plays, hosts, *extra, groups=groups, variables=variables)
    assert run.returncode == 0 and len(results(run)) == len(forms), run
    assert {place: value["labels"] for place, value in fleet.stored().items()} == expected
    shown = {
        each["host"]: each["result"]["hostendpoints_result.summary"] for each in run.results if each["task"] == "show"
    }
    assert shown == dict.fromkeys(hosts, {"created": 3, "updated": 0, "deleted": 0, "unchanged": 0})


def test_group_vars_and_host_vars_beside_the_inventory(fleet, tmp_path):
    for name, content in {
        "hosts": "[front]\nworker-1\nworker-2\n[front:vars]\nhostendpoints_labels={'from': 'ini'}\n",
        "group_vars/all.yml": json.dumps(
            {"hostendpoints_etcd_endpoints": fleet.datastore.url + "," + fleet.datastore.url}
        ),
        "group_vars/front/rules.yml": "hostendpoints_interfaces:\n- match: {default_route: true}\n",
        "host_vars/worker-2.yml": "hostendpoints_labels: {from: host_vars, fact: '{{ ansible_facts.eth1.device }}'}\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    play = {"hosts": "all", "gather_facts": False, "tasks": [IMPORTED]}
    done(run_playbook([play], tmp_path / "hosts", env=fleet.environment))
    assert sorted(fleet.stored()) == ["worker-1/eth0", "worker-2/eth0"]
    assert labels(fleet, "worker-1/eth0") == {"from": "ini"}
    assert labels(fleet, "worker-2/eth0") == {"from": "host_vars", "fact": "eth1"}


# Which facts there are


@pytest.fixture
def local(fleet):
    """Hosts that can be reached, and nothing is known of: this machine under two names."""
    names = ["local-1", "local-2"]
    fleet.forget(*names)
    yield {name: {"ansible_remote_tmp": "/tmp", "hostendpoints_node": name} for name in names}
    fleet.forget(*names)


# This machine may have no interface that the default rules take.
EVERYTHING = {"hostendpoints_ignore": [], "hostendpoints_interfaces": [{"match": {"name": "lo"}}]}


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["import_role", "roles"])
def test_without_gathered_facts_the_role_gathers_them(fleet, local, form):
    for host in local.values():
        del host["hostendpoints_node"]
    one = {"local-1": local["local-1"]}
    more = {"roles": [NAME], "tasks": []} if form == "roles" else {}
    check = done(fleet.run(one, "--check", variables=EVERYTHING, **more))
    fleet.forget("local-1")
    run = fleet.run(one, variables=EVERYTHING, **more)
    assert done(run)["changes"] == check["changes"] != []
    assert [place.split("/")[1] for place in fleet.stored()] == ["lo"]
    assert "without facts" not in one_line(run.stderr)


@pytest.mark.thorough
def test_facts_that_were_gathered_without_the_node_name(fleet, local):
    """gather_subset in the play: the interfaces are known, and what the default of hostendpoints_node needs is not."""
    for host in local.values():
        del host["hostendpoints_node"]
    one = {"local-1": local["local-1"]}
    subset = ["!all", "!min", "network"]
    result = done(fleet.run(one, gather_facts=True, gather_subset=subset, variables=EVERYTHING))
    assert [place.split("/")[1] for place in fleet.stored()] == ["lo"], result


def test_facts_that_were_gathered_without_the_interfaces(fleet, local):
    done(fleet.run(local, gather_facts=True, gather_subset=["!all", "!min", "platform"], variables=EVERYTHING))
    assert sorted(fleet.stored()) == ["local-1/lo", "local-2/lo"]


def test_only_the_facts_that_are_missing_are_gathered(fleet, local):
    """The other hosts cannot be reached."""
    hosts = dict(local, **{"worker-1": {}})
    run = fleet.run(hosts, variables=EVERYTHING)
    result = done(run)
    assert sorted(fleet.stored()) == ["local-1/lo", "local-2/lo", "worker-1/lo"]
    assert (result["hosts"], result["hosts_without_facts"]) == (3, [])


@pytest.mark.thorough
@pytest.mark.parametrize("first", ["local", "worker"])
def test_missing_facts_are_gathered_where_each_host_goes_its_own_way(fleet, local, first):
    """One fork: every host's first task ends before any host's second one begins."""
    workers = {"worker-1": {}, "worker-2": {}}
    hosts = {**local, **workers} if first == "local" else {**workers, **local}
    run = fleet.run(hosts, "--forks=1", variables=EVERYTHING, strategy="free")
    assert run.returncode == 0, run
    assert sorted(fleet.stored()) == ["local-1/lo", "local-2/lo", "worker-1/lo", "worker-2/lo"], run


@on_all
@pytest.mark.parametrize("gather", [True, False])
def test_hosts_without_facts_lose_nothing(fleet, gather):
    fleet.put("lost-1/eth0", "lost-2/eth0", "worker-1/old")
    variables = {"hostendpoints_purge": "owned", "hostendpoints_gather_facts": gather}
    run = fleet.run(["lost-1", "worker-1", "lost-2"], variables=variables)
    result = done(run)
    assert sorted(fleet.stored()) == ["lost-1/eth0", "lost-2/eth0", *of_workers(1)]
    assert (result["hosts"], result["hosts_without_facts"]) == (1, ["lost-1", "lost-2"])
    assert "because their facts cannot be used (2): lost-1, lost-2: no facts exist" in one_line(run.stderr)
    assert {host: stats["failures"] + stats["unreachable"] for host, stats in run.stats.items()} == dict.fromkeys(
        run.stats, 0
    )


def test_when_no_host_has_facts_nothing_is_done(fleet):
    fleet.put("lost-1/eth0")
    result = done(fleet.run(["lost-1", "lost-2"], "--diff", variables={"hostendpoints_purge": "owned"}))
    assert (result["changed"], result["changes"]) == (False, [])
    assert sorted(fleet.stored()) == ["lost-1/eth0"]


# How a play runs


# Variables of the hosts, and keywords of the play.
SAID = [
    ({}, {"become": True, "become_user": "nobody"}),
    ({"ansible_become": True, "ansible_become_user": "nobody"}, {}),
    ({"ansible_python_interpreter": "/nonexistent/python"}, {}),
    ({}, {"vars": {"ansible_python_interpreter": "/nonexistent/python"}}),
    ({"ansible_python_interpreter": "{{ undefined_here }}"}, {}),
    ({}, {"vars": {"ansible_become": True, "ansible_become_user": "nobody"}}),
    ({}, {"connection": "ssh"}),
    ({"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "x"}, {}),
    ({}, {"environment": {"PATH": "/nowhere"}}),
    ({}, {"order": "reverse_sorted", "any_errors_fatal": True}),
]


@pytest.mark.thorough
def test_what_is_said_of_the_hosts_does_not_matter_on_the_controller(fleet):
    """In one run, whose plays each have two hosts."""
    numbers = range(20, 20 + 2 * len(SAID), 2)
    hosts, plays = {}, []
    for number, (variables, play) in zip(numbers, SAID):
        pair = ["worker-%d" % number, "worker-%d" % (number + 1)]
        hosts.update(dict.fromkeys(pair, dict({"ansible_become_exe": "/nonexistent/sudo"}, **variables)))
        plays.append(dict({"hosts": pair, "gather_facts": False, "tasks": [IMPORTED]}, **play))
    run = fleet.playbook(plays, hosts)
    assert run.returncode == 0, run
    assert [changes(result) for result in results(run)] == [
        ["create " + place for place in of_workers(number, number + 1)] for number in numbers
    ], run
    assert sorted(fleet.stored()) == of_workers(*range(20, 20 + 2 * len(SAID)))


PURGE = {"hostendpoints_purge": "owned"}
OLD = ["worker-%d/old" % number for number in (1, 2, 3, 4, 10)]


@on_all
def test_limit(fleet):
    fleet.put(*OLD)
    done(fleet.run(list(HOSTS), "--limit", "worker-1,worker-3", variables=PURGE))
    assert sorted(fleet.stored()) == sorted([*of_workers(1, 3), *OLD[1:2], *OLD[3:]])


@pytest.mark.thorough
def test_a_part_of_the_inventory(fleet):
    """As a slice of an inventory in AWX, where nothing says that there is more."""
    fleet.put(*OLD)
    done(fleet.run(["worker-2", "worker-4"], variables=PURGE))
    assert sorted(fleet.stored()) == sorted([*of_workers(2, 4), *OLD[:1], *OLD[2:3], *OLD[4:]])


@on_all
def test_serial_runs_once_a_batch(fleet):
    fleet.put(*OLD)
    names = list(HOSTS)
    run = fleet.run(names, variables=PURGE, serial=2)
    assert run.returncode == 0, run
    assert [(result["hosts"], changes(result)) for result in results(run)] == [
        (2, [*["create " + place for place in of_workers(1, 2)], "delete worker-1/old", "delete worker-2/old"]),
        (2, [*["create " + place for place in of_workers(3, 4)], "delete worker-3/old", "delete worker-4/old"]),
        (1, [*["create " + place for place in of_workers(10)], "delete worker-10/old"]),
    ]
    assert sorted(fleet.stored()) == sorted(of_workers(1, 2, 3, 4, 10))


@pytest.mark.thorough
@pytest.mark.parametrize("strategy", ["free", "host_pinned", "ansible.builtin.free"])
def test_strategies_in_which_each_host_goes_its_own_way(fleet, strategy):
    fleet.put(*OLD)
    run = fleet.run([*HOSTS, "lost"], variables=PURGE, strategy=strategy)
    assert run.returncode == 0, run
    # Each for itself, and the one that cannot be reached tried as well.
    assert {result["hosts"] for result in results(run)} == {0, 1}
    assert sorted(fleet.stored()) == sorted(of_workers(1, 2, 3, 4, 10))


@pytest.mark.thorough
@pytest.mark.parametrize("strategy", ["linear", "free"])
@pytest.mark.parametrize("how", ["ssh", "local", "failed", "ended"])
def test_a_host_that_is_out_of_the_play_loses_nothing(fleet, how, strategy):
    fleet.put(*OLD)
    gone = {
        "ssh": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_port()},
        "local": {},
        "failed": {},
        "ended": {},
    }[how]
    task = {
        "failed": {"ansible.builtin.fail": {"msg": "x"}},
        "ended": {"ansible.builtin.meta": "end_host"},
    }.get(how, {"ansible.builtin.ping": {}})
    tasks = [dict(task, when="inventory_hostname == 'worker-1'"), IMPORTED]
    run = fleet.run({"worker-1": gone, "worker-2": {}, "worker-3": {}}, tasks=tasks, variables=PURGE, strategy=strategy)
    assert run.returncode == {"failed": 2, "ended": 0}.get(how, 4), run
    assert sorted(fleet.stored()) == sorted([*of_workers(2, 3), "worker-1/old", *OLD[3:]])
    if strategy == "linear":
        assert "because they left the play (1): worker-1: they were unreachable" in one_line(run.stderr)


def test_a_host_that_the_role_is_not_called_for_gets_nothing_and_loses_nothing(fleet):
    fleet.put(*OLD)
    tasks = [
        {"ansible.builtin." + form: {"name": NAME}, "when": "inventory_hostname != '%s'" % host}
        for form, host in (("include_role", "worker-2"), ("import_role", "worker-4"))
    ]
    plays = [
        {"hosts": hosts, "gather_facts": False, "tasks": [task]}
        for hosts, task in zip((["worker-1", "worker-2"], ["worker-3", "worker-4"]), tasks)
    ]
    run = fleet.playbook(plays, ["worker-1", "worker-2", "worker-3", "worker-4"], variables=PURGE)
    assert run.returncode == 0 and len(results(run)) == 2, run
    assert sorted(fleet.stored()) == sorted([*of_workers(1, 3), "worker-2/old", "worker-4/old", "worker-10/old"])


# What is wrong


def nothing_done(fleet, message, *parts):
    for part in parts:
        assert part in message, message
    # Neither a programmer's words nor the name of a temporary file.
    assert len(message) < 1000 and "Unexpected failure" not in message and "ansible-tmp" not in message, message
    assert fleet.stored() == {}


def refusals(fleet, cases, beside=(), outside=None):
    """{host: the message of its play}, of one run with a play for each case, the variables of a host.

    Each play runs on the hosts `beside`, too, and none on those `outside`, which the limit of the run excludes. One run
    is many times as quick as a run for each case.
    """
    wrong = dict(zip(OTHERS, cases))
    tasks = [dict(IMPORTED, ignore_errors=True)]
    plays = [{"hosts": [*beside, host], "gather_facts": False, "tasks": tasks} for host in wrong]
    hosts = {**dict.fromkeys(beside, {}), **wrong}
    limit = "--limit", ",".join(hosts)
    hosts.update(outside or {})
    run = fleet.playbook(plays, hosts, *limit, groups={"all_of_them": list(wrong)}, variables=PURGE)
    assert run.returncode == 0, run
    messages = [result["msg"] for result in results(run, "failed")]
    assert len(messages) == len(cases) and results(run) == [], run
    return dict(zip(wrong, messages))


@on_etcd
def test_two_hosts_with_one_node_name(fleet):
    hosts = {"worker-1": {}, "worker-2": {"hostendpoints_node": "worker-1"}, "worker-3": {}}
    run = fleet.run(hosts, variables=PURGE)
    message = failure(run)
    assert all(word in message for word in ("worker-1", "worker-2", "hostendpoints_node"))
    assert [place for place in fleet.stored() if fleet.stored()[place]["expected_ips"][0][-1] == "2"] == []


RULES, ENDPOINTS, NODE = "hostendpoints_interfaces", "hostendpoints_endpoints", "hostendpoints_node"


def test_a_host_that_is_called_like_one_outside_the_run(fleet):
    """By its variable, by its facts, or by the name that the inventory has for a host that nothing is known of."""
    told = "{{ ansible_facts.nodename | replace('worker-', 'server-') }}"
    # {host: its variables}, the host of the same name with its own, and the message.
    cases = [
        ({NODE: "worker-2"}, "worker-2", {}, "are both node 'worker-2'"),
        ({NODE: "{{ 'worker-3' }}"}, "worker-3", {}, "are both node 'worker-3'"),
        ({NODE: told}, "other-22", {NODE: "server-22"}, "are both node 'server-22'"),
        ({NODE: told}, "other-23", {NODE: "{{ 'server-' ~ 23 }}"}, "are both node 'server-23'"),
        ({NODE: "unknown"}, "unknown", {}, "if unknown has another node name, gather its facts or set its " + NODE),
    ]
    fleet.put(*OLD, "server-22/old", "server-23/old", "unknown/old")
    before = fleet.stored()
    others = {name: variables for _case, name, variables, _message in cases}
    messages = refusals(fleet, [case for case, *_rest in cases], outside=others)
    for (host, message), (_case, name, _variables, expected) in zip(messages.items(), cases):
        assert host in message and name in message and expected in one_line(message), message
    assert fleet.stored() == before


@pytest.mark.thorough
@pytest.mark.parametrize(
    "other",
    [
        {"hostendpoints_node": "server-2"},
        {"hostendpoints_node": "{{ 'server-' ~ 2 }}"},
        {"hostendpoints_etcd_endpoints": ["http://other.example:2379"]},
        {"with_role": False},
    ],
)
def test_a_name_of_a_host_that_is_another_node(fleet, other):
    """In the store, or by the name that it has in the inventory."""
    role = dict(IMPORTED, when="with_role | default(true)")
    hosts = {"worker-1": {"hostendpoints_node": "worker-2"}, "worker-2": other}
    result = done(fleet.run(hosts, "--limit", "worker-1", tasks=[role]))
    assert changes(result) == ["create worker-2/eth0", "create worker-2/eth1"]


@on_etcd
def test_one_node_name_in_two_batches(fleet):
    """The second one must not take the endpoints of the first away."""
    run = fleet.run(["twin-a", "twin-b"], variables=PURGE, serial=1)
    assert run.returncode != 0, run
    (result,) = results(run)
    assert changes(result) == ["create worker-1/eth0", "create worker-1/eth1"]
    assert "twin-b and twin-a are both node 'worker-1'" in one_line(results(run, "failed")[0]["msg"])
    assert fleet.stored()["worker-1/eth0"]["expected_ips"][0] == "192.0.2.1"


@pytest.mark.parametrize(
    "play", [{"serial": 1}, pytest.param({"serial": 1, "order": "shuffle"}, marks=pytest.mark.thorough)]
)
def test_one_node_name_that_was_given_to_two_hosts_in_two_batches(fleet, play):
    hosts = {"worker-1": {"hostendpoints_node": "one"}, "worker-2": {"hostendpoints_node": "one"}}
    run = fleet.run(hosts, variables=PURGE, **play)
    assert run.returncode != 0, run
    assert "are both node 'one'" in one_line(results(run, "failed")[0]["msg"])
    (result,) = results(run)
    assert changes(result) == ["create one/eth0", "create one/eth1"]


def test_a_name_of_a_host_of_another_play_where_the_condition_means_nothing(fleet):
    role = dict(IMPORTED, when="only_here | bool")
    hosts = {"worker-1": {"hostendpoints_node": "worker-2", "only_here": True}, "worker-2": {}}
    play = {"hosts": "worker-1", "gather_facts": False, "tasks": [role]}
    result = done(fleet.playbook([play], hosts))
    assert changes(result) == ["create worker-2/eth0", "create worker-2/eth1"]


LABELS = "hostendpoints_labels"
# What is wrong with a variable of a host, and what the message says beside its name and the variable's. The unit
# tests have every key of a rule.
WRONG = [
    (RULES, [{}, {"match": {"nmae": "eth0"}}], ["rule 2", "match.nmae", "unknown"]),
    (RULES, "eth0", ["list"]),
    (RULES, [{"endpoint": {"labels": {"a": "not valid"}}}], ["rule 1", "labels[a]", "not valid"]),
    (RULES, [{"endpoint": {"profiles": "web"}}], ["rule 1", "endpoint.profiles", "web"]),
    (RULES, [{"endpoint": {"expected_ips": ["10.0.0.256"]}}], ["rule 1", "10.0.0.256"]),
    (RULES, [{"endpoint": {"name": "one"}}], ["rule 1", "one", "twice"]),
    (RULES, "{{ undefined_here }}", ["undefined_here"]),
    (RULES, [{"match": {"name": "{{ ansible_facts.eth7.device }}"}}], ["eth7"]),
    ("hostendpoints_ignore", "eth*", ["list"]),
    ("hostendpoints_ignore", [5], ["string"]),
    (LABELS, ["a"], ["mapping"]),
    ("hostendpoints_group_labels", {"all_of_them": "x"}, ["all_of_them"]),
    ("hostendpoints_host_labels", "x=y", ["mapping"]),
    (NODE, 5, ["string"]),
    (NODE, "a b", ["a b"]),
    (NODE, "{{ ansible_facts.nothing }}", ["nothing"]),
    (ENDPOINTS, {"name": "x"}, ["list"]),
    (ENDPOINTS, ["eth0"], ["eth0"]),
    (ENDPOINTS, [{"name": "eth1", "interface_name": "eth1"}], ["eth1", "twice"]),
    (ENDPOINTS, [{"interface_name": "eth1"}], ["name"]),
]


@pytest.mark.thorough
def test_what_is_wrong_is_named_by_host_and_variable(fleet):
    messages = refusals(fleet, [{variable: value} for variable, value, _parts in WRONG], beside=["worker-1"])
    for (host, message), (variable, _value, parts) in zip(messages.items(), WRONG):
        nothing_done(fleet, message, host, variable, *parts)


def test_a_label_that_is_not_valid(fleet):
    """It may come from any of several variables."""
    run = fleet.run({"worker-1": {}, "worker-2": {LABELS: {"a": "not valid"}}})
    nothing_done(fleet, failure(run), "worker-2", "labels[a]", "not valid")


def test_a_match_that_is_given_as_an_empty_list_does_not_match_everything(fleet):
    keys = ["name", "type", "network"]
    messages = refusals(fleet, [{RULES: [{"match": {key: []}}]} for key in keys])
    for (host, message), key in zip(messages.items(), keys):
        nothing_done(fleet, message, host, "match." + key)


WRONG_FOR_ALL = [
    ({"hostendpoints_purge": "mine"}, ["value of hostendpoints_purge must be", "mine"]),
    ({"hostendpoints_purge_limit": "few"}, ["argument 'hostendpoints_purge_limit' is of type"]),
    ({"hostendpoints_owner": "not valid"}, ["hostendpoints_owner", "not valid"]),
    ({"hostendpoints_owner": "", "hostendpoints_purge": "owned"}, ["hostendpoints_owner"]),
    ({"hostendpoints_decommission": ["{{ inventory_hostname }}"]}, ["worker-2", "hostendpoints_decommission"]),
    ({"hostendpoints_etcd_endpoints": "http://127.0.0.1:1"}, ["127.0.0.1:1", "hostendpoints_etcd_endpoints from"]),
    ({"hostendpoints_datastore_type": "mysql"}, ["hostendpoints_datastore_type (option): 'mysql'"]),
    ({"hostendpoints_etcd_cert_file": "/nonexistent/cert.pem"}, ["etcd_cert_file /nonexistent/cert.pem"]),
]


@pytest.mark.thorough
def test_what_is_wrong_for_all_hosts(fleet):
    messages = refusals(fleet, [variables for variables, _parts in WRONG_FOR_ALL])
    for message, (_variables, parts) in zip(messages.values(), WRONG_FOR_ALL):
        nothing_done(fleet, message, *parts)


@on_all
def test_the_purge_limit(fleet):
    fleet.put("worker-1/old-1", "worker-1/old-2")
    run = fleet.run(["worker-1"], variables=dict(PURGE, hostendpoints_purge_limit=1))
    assert "hostendpoints_purge_limit of 1" in failure(run) and "worker-1" in failure(run)
    assert sorted(fleet.stored()) == ["worker-1/old-1", "worker-1/old-2"]


@pytest.mark.parametrize("form, good", [("import_role", True), ("roles", False)])
def test_the_password_never_shows(fleet, form, good):
    password = "s3cr3t-pässword"
    variables = {"hostendpoints_etcd_username": "me", "hostendpoints_etcd_password": password}
    if not good:
        variables["hostendpoints_etcd_endpoints"] = "http://127.0.0.1:1"
    more = {"roles": [NAME], "tasks": []} if form == "roles" else {}
    run = fleet.run(["worker-1"], "-vvvv", "--diff", variables=variables, **more)
    assert (run.returncode == 0) == good, run
    shown = run.stdout + run.stderr + json.dumps(run.results, ensure_ascii=False)
    assert password not in shown and "s3cr3t" not in shown


@on_all
def test_the_installed_playbook(fleet):
    fleet.put(*OLD)
    extra = json.dumps({"hostendpoints_hosts": "worker-2:worker-3", "hostendpoints_gather_facts": False, **PURGE})
    run = fleet.playbook("netsec.calico.apply", list(HOSTS), "-e", extra, "--diff")
    assert len(done(run)["diff"]) == 6
    assert sorted(fleet.stored()) == sorted([*of_workers(2, 3), "worker-1/old", *OLD[3:]])
    # No task of the roles runs once a host: three of the policies, which are not declared, and of a plan, which is not
    # given, then the role, the call, the one that gathers what is missing, and the three that report.
    assert sorted(each["status"] for each in run.results) == ["ok"] * 5 + ["skipped"] * 4


@on_etcd
def test_a_date_is_a_text_in_every_variable(fleet):
    """Ansible makes an object of a date before the role sees it."""
    variables = {
        "hostendpoints_labels": {"patched": DATE},
        "hostendpoints_endpoints": [{"name": "by-hand", "interface_name": "x0", "labels": {"made": DATE}}],
        "hostendpoints_decommission": "worker-8, WORKER-9" if fleet.datastore.model == "v3" else "worker-8, worker-9",
    }
    fleet.put("worker-8/eth0", "worker-9/eth0")
    with_dates = json.dumps(variables).replace('"%s"' % DATE, DATE)
    play = (
        "- hosts: all\n  gather_facts: false\n  vars: {0}\n  tasks:\n"
        "  - ansible.builtin.import_role: {{name: {1}, rolespec_validate: false}}\n"
    )
    run = fleet.playbook(play.format(with_dates, NAME), ["worker-1"])
    assert done(run)["summary"]["deleted"] == 2
    places = {place: found["labels"] for place, found in fleet.stored().items()}
    assert places.pop("worker-1/by-hand")["made"] == DATE
    assert {labels["patched"] for labels in places.values()} == {DATE}


DATE = "2024-05-01"
