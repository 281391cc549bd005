# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that is ended while a canary is tried: how the signal comes to the module is a matter of ansible-core."""

from __future__ import annotations

import signal

import pytest

from tests.harness.module import PlaybookProcess
from tests.harness.pace import HANG
from tests.harness.process import wait_for
from tests.harness.wire import Wire
from tests.integration.hosts import OPEN, Hosts
from tests.integration.sets import endpoint, task
from tests.integration.tasks import one_etcd

NODES = ("n1", "n2")
WANTED = [endpoint(node, name, profiles=[OPEN]) for node in NODES for name in ("a", "b")]

pytestmark = [one_etcd, pytest.mark.thorough]


@pytest.fixture
def hosts(datastore):
    with Hosts(datastore, *NODES) as found:
        yield found


@pytest.fixture
def wire(datastore):
    with Wire(datastore) as wire:
        yield wire


def playbook(wire, hosts, wait):
    facts = hosts.facts()
    options = task(wire, endpoints=WANTED, canary=1, canary_wait=wait, guard_facts=facts)
    return [{"hosts": "localhost", "gather_facts": False, "tasks": [{"netsec.calico.calico_hostendpoints": options}]}]


def end_of(process):
    """All of it, the module too, which may outlive ansible-playbook."""
    run = process.wait()
    wait_for(lambda: not process.pids(), HANG, "the module's end")
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("phase", ["written", "looked at"])
def test_a_playbook_that_is_ended_undoes_its_canary(datastore, hosts, wire, phase, number):
    with PlaybookProcess(playbook(wire, hosts, 120)) as process:
        if phase == "written":
            wire.before(datastore.writing(), lambda: process.send_signal(number))
        else:
            hosts.wait_for_connections("n1", 3)
            process.send_signal(number)
        assert end_of(process).returncode != 0
    assert datastore.written(wire) and datastore.stored() == {}


def test_a_terminal_that_is_closed_leaves_no_canary_untried(datastore, hosts, wire):
    """From ansible-core 2.19 on, the module does not hear of it, and does all of its work."""
    with PlaybookProcess(playbook(wire, hosts, 1)) as process:
        wire.before(datastore.writing(), lambda: process.send_signal(signal.SIGHUP))
        assert end_of(process).returncode != 0
    assert datastore.written(wire) and datastore.stored() in ({}, datastore.tree_of(WANTED))
