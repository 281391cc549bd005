# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide "Securing a fleet from nothing", typed as it is written, on hosts whose facts are recorded."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.harness.fleet import interface, server
from tests.harness.module import run_module, run_playbook
from tests.integration.role import fleet_of
from tests.integration.tasks import connection
from tests.integration.test_role_policies import stored

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "policies_guide.rst"
BLOCK = re.compile(r"(?:``([\w/]+\.\w+)``:\n\n)?\.\. code-block:: (\w+)\n\n((?:    .*\n|\n)+)")
ADDRESSES = {"bastion1": "192.0.2.10", "web1": "192.0.2.21", "web2": "192.0.2.22"}
# The test has no hosts to connect to, and none of the guide's addresses.
HERE = ["-e", "hostendpoints_gather_facts=false", "-e", "hostendpoints_canary=0"]

pytestmark = pytest.mark.thorough


def blocks():
    """(name of a file or nothing, language, text) of each block, without its indentation."""
    for name, language, text in BLOCK.findall(GUIDE.read_text()):
        yield name, language, re.sub("^    ", "", text, flags=re.MULTILINE).strip() + "\n"


def host(name, address):
    outer = interface("eth0", address + "/24", "2001:db8::%s/64" % address.rpartition(".")[2])
    facts = server(name, interface("lo", "127.0.0.1/8", type="loopback"), outer, default="eth0")
    ssh = "192.0.2.1 50000 %s 22" % address
    return dict(facts, dns={"nameservers": ["192.0.2.3"]}, env={"SSH_CONNECTION": ssh})


@pytest.fixture
def fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {name: host(name, address) for name, address in ADDRESSES.items()}) as found:
        found.reset("etcdv3")
        yield found


def test_the_guide(fleet, tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("http://192.0.2.2:2379", fleet.datastore.url))

    def run(words):
        assert words[0] == "ansible-playbook" and words[2:4] == ["-i", "inventory.yml"]
        env = dict(fleet.environment, ANSIBLE_GATHERING="explicit")
        playbook = words[1] if words[1].startswith("netsec.") else str(tmp_path / words[1])
        found = run_playbook(playbook, str(tmp_path / "inventory.yml"), [*words[4:], *HERE], env, cwd=tmp_path)
        # The guide says so of its first preview.
        is_refused = found.returncode != 0 and "G0" in found.stdout + found.stderr
        assert found.returncode == 0 or is_refused and len(commands) == 0, found.stdout + found.stderr
        commands.append(found)

    commands = []
    for name, language, text in blocks():
        if language == "yaml" and name:
            write(name, text)
        elif language == "yaml":
            inventory = yaml.safe_load((tmp_path / "inventory.yml").read_text())
            inventory["all"]["vars"].update(yaml.safe_load(text))
            write("inventory.yml", json.dumps(inventory))
        else:
            for line in text.splitlines():
                run(shlex.split(line[2:]))
    assert len(commands) == 12
    assert {"web", "fleet-allow-ssh", "fleet-default-deny"} <= set(stored(fleet))
    sets = stored(fleet, "globalnetworksets")
    assert sets["fleet-ssh-from"]["spec"]["nets"] == ["192.0.2.0/28", "192.0.2.10", "2001:db8::10"]
    assert sets["group-webservers"]["spec"]["nets"] == ["192.0.2.21", "192.0.2.22", "2001:db8::21", "2001:db8::22"]
    assert stored(fleet, "felixconfigurations")["default"]["spec"]["failsafeInboundHostPorts"][0]["port"] == 22
    assert sorted(fleet.stored()) == sorted(name + "/eth0" for name in ADDRESSES)
    assert (tmp_path / "gathered" / "globalnetworkpolicy.yml").exists()
    assert verdicts(fleet) == {
        ("tcp", 22, "192.0.2.10"): "allow",
        ("tcp", 22, "198.51.100.1"): "deny",
        ("tcp", 443, "198.51.100.1"): "allow",
        ("tcp", 8080, "192.0.2.22"): "allow",
        ("tcp", 8080, "192.0.2.10"): "deny",
    }


def verdicts(fleet):
    asked = [("tcp", 22, "192.0.2.10"), ("tcp", 22, "198.51.100.1"), ("tcp", 443, "198.51.100.1")]
    asked += [("tcp", 8080, "192.0.2.22"), ("tcp", 8080, "192.0.2.10")]
    options = {
        "node": "web1",
        "interfaces": {"eth0": ["192.0.2.21/24"]},
        # SSH is a failsafe port, from everywhere.
        "failsafes": {"inbound": [], "outbound": []},
        "dataplane": "iptables",
        "connections": [
            {"direction": "in", "protocol": protocol, "port": port, "src": source, "dst": "192.0.2.21"}
            for protocol, port, source in asked
        ],
    }
    found = run_module("calico_connection_info", dict(connection(fleet.datastore), **options))
    return dict(zip(asked, (each["verdict"] for each in found["results"])))
