# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks are about: endpoints of servers with two interfaces each, and the facts of such servers."""

from __future__ import annotations

import json


def node(number):
    return "worker-%05d.example.com" % number


def _addresses(number, interface):
    """An IPv4 and an IPv6 address."""
    net = 10 if interface == 0 else 172
    return (
        "%d.%d.%d.%d" % (net, 16 + number // 62500, number // 250 % 250, number % 250 + 1),
        "2001:db8:%x::%x" % (interface, number + 1),
    )


def endpoints(count, changed=False, datastore_type="etcdv2"):
    """So many endpoints, two on each node, as a task gives them; changed: one in a hundred has another profile."""
    # In v3, the name alone is the identity.
    name = "{interface}" if datastore_type == "etcdv2" else "{node}-{interface}"
    return [
        {
            "name": name.format(node=node(index // 2), interface="eth%d" % (index % 2)),
            "node": node(index // 2),
            "interface_name": "eth%d" % (index % 2),
            "expected_ips": list(_addresses(index // 2, index % 2)),
            "labels": {"role": "worker", "zone": "zone-%d" % (index // 2 % 3)},
            "profiles": ["changed" if changed and index % 100 == 0 else "worker"],
        }
        for index in range(count)
    ]


def resources(count):
    """The endpoints as Calico v1 resources, for calicoctl."""
    return [
        {
            "apiVersion": "v1",
            "kind": "hostEndpoint",
            "metadata": {key: endpoint[key] for key in ("name", "node", "labels")},
            "spec": {
                "interfaceName": endpoint["interface_name"],
                "expectedIPs": endpoint["expected_ips"],
                "profiles": endpoint["profiles"],
            },
        }
        for endpoint in endpoints(count)
    ]


def facts(number):
    """The facts of a Debian server with two disks and two network cards: some 13 kB, as `setup` gathers them."""
    cards = {"eth%d" % interface: _card(number, interface) for interface in (0, 1)}
    ipv4, ipv6 = _addresses(number, 0)
    found = {
        "all_ipv4_addresses": [card["ipv4"]["address"] for card in cards.values()],
        "all_ipv6_addresses": [each["address"] for card in cards.values() for each in card["ipv6"]],
        "apparmor": {"status": "enabled"},
        "architecture": "x86_64",
        "cmdline": {"BOOT_IMAGE": "/boot/vmlinuz-6.1.0-28-amd64", "quiet": True, "root": "UUID=" + _uuid(1)},
        "default_ipv4": {
            "address": ipv4,
            "alias": "eth0",
            "gateway": "10.16.0.254",
            "interface": "eth0",
            "macaddress": _mac(number, 0),
            "mtu": 1500,
            "netmask": "255.255.0.0",
            "network": "10.16.0.0",
            "type": "ether",
        },
        "default_ipv6": {"address": ipv6, "gateway": "fe80::1", "interface": "eth0", "scope": "global"},
        "devices": {name: _disk(name) for name in ("sda", "sdb")},
        "distribution": "Debian",
        "distribution_major_version": "12",
        "distribution_release": "bookworm",
        "distribution_version": "12.8",
        "dns": {"nameservers": ["10.16.0.53", "10.16.0.54"], "search": ["example.com"]},
        "domain": "example.com",
        "env": {"LANG": "C.UTF-8", "LOGNAME": "root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SHELL": "/bin/bash"},
        "fqdn": node(number),
        "gather_subset": ["all"],
        "hostname": node(number).split(".")[0],
        "interfaces": ["lo", "eth0", "eth1", "docker0"],
        "kernel": "6.1.0-28-amd64",
        "lo": {
            "active": True,
            "device": "lo",
            "features": _features(),
            "ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0", "network": "127.0.0.0", "prefix": "8"},
            "ipv6": [{"address": "::1", "prefix": "128", "scope": "host"}],
            "mtu": 65536,
            "type": "loopback",
        },
        "docker0": {
            "active": False,
            "device": "docker0",
            "id": "8000.024200000001",
            "interfaces": [],
            "ipv4": {"address": "172.17.0.1", "netmask": "255.255.0.0", "network": "172.17.0.0", "prefix": "16"},
            "mtu": 1500,
            "stp": False,
            "type": "bridge",
        },
        "machine_id": _uuid(number).replace("-", ""),
        "memory_mb": {
            "nocache": {"free": 60012, "used": 4200},
            "real": {"free": 40960, "total": 64212, "used": 23252},
            "swap": {"cached": 0, "free": 976, "total": 976, "used": 0},
        },
        "mounts": [_mount(path) for path in ("/", "/boot", "/var", "/srv")],
        "nodename": node(number),
        "os_family": "Debian",
        "pkg_mgr": "apt",
        "processor": [text for core in range(16) for text in (str(core), "GenuineIntel", "Intel(R) Xeon(R) Processor")],
        "processor_vcpus": 16,
        "python": {"executable": "/usr/bin/python3", "version": {"major": 3, "micro": 2, "minor": 11}},
        "python_version": "3.11.2",
        "selinux": {"status": "disabled"},
        "service_mgr": "systemd",
        "system": "Linux",
        "virtualization_role": "NA",
    }
    found.update(cards)
    return found


def _card(number, interface):
    ipv4, ipv6 = _addresses(number, interface)
    return {
        "active": True,
        "device": "eth%d" % interface,
        "features": _features(),
        "hw_timestamp_filters": [],
        "ipv4": {"address": ipv4, "broadcast": "", "netmask": "255.255.0.0", "network": "10.16.0.0", "prefix": "16"},
        "ipv6": [
            {"address": ipv6, "prefix": "64", "scope": "global"},
            {"address": "fe80::%x:%x" % (interface + 1, number + 1), "prefix": "64", "scope": "link"},
        ],
        "macaddress": _mac(number, interface),
        "module": "ixgbe",
        "mtu": 1500,
        "pciid": "0000:0%d:00.0" % (interface + 1),
        "promisc": False,
        "speed": 10000,
        "timestamping": [],
        "type": "ether",
    }


def _features():
    """What ethtool says, which is the most of a card's facts."""
    names = ("checksum_%d", "segmentation_%d", "offload_%d", "vlan_%d", "tunnel_%d")
    return {"tx_" + name % number: "off [fixed]" for name in names for number in range(11)}


def _disk(name):
    return {
        "holders": [],
        "host": "SATA controller: Intel Corporation C620 Series Chipset Family SATA Controller [AHCI mode] (rev 09)",
        "links": {"ids": ["ata-DISK_%s" % name, "wwn-0x5000c500a0000001"], "labels": [], "masters": [], "uuids": []},
        "model": "MZ7LH960HAJR-00005",
        "partitions": {name + str(part): _partition(name + str(part)) for part in range(1, 4)},
        "rotational": "0",
        "size": "894.25 GB",
        "vendor": "ATA",
    }


def _partition(name):
    uuid = _uuid(int(name[-1]))
    return {
        "holders": [],
        "links": {"ids": ["ata-DISK_" + name], "labels": [], "masters": [], "uuids": [uuid]},
        "sectors": "1873383424",
        "sectorsize": 512,
        "size": "298.00 GB",
        "start": "2048",
        "uuid": uuid,
    }


def _mount(path):
    return {
        "block_available": 19036945,
        "block_size": 4096,
        "block_total": 66053021,
        "device": "/dev/sda1",
        "fstype": "ext4",
        "inode_available": 16384000,
        "inode_total": 16777216,
        "mount": path,
        "options": "rw,relatime",
        "size_available": 77975326720,
        "size_total": 270553174016,
        "uuid": _uuid(len(path)),
    }


def _mac(number, interface):
    return "52:54:%02x:%02x:%02x:%02x" % (interface, number >> 16 & 255, number >> 8 & 255, number & 255)


def _uuid(number):
    return "3d1219c7-c440-5aaa-a1f6-%012x" % number


def guard_facts(nodes):
    """What the guard has to know of so many nodes, as the option guard_facts has it."""
    return {
        node(number): {
            "interfaces": {
                "eth%d" % interface: ["%s/%d" % pair for pair in zip(_addresses(number, interface), (16, 64))]
                for interface in (0, 1)
            },
            "default_interface": "eth0",
            "ssh": {"peer": "10.16.255.1", "address": _addresses(number, 0)[0], "port": 2222},
            "require": [{"direction": "out", "protocol": "tcp", "port": 2379, "peer": "10.16.255.2"}],
        }
        for number in range(nodes)
    }


def policies(count, datastore_type="etcdv2"):
    """{key: value} of a profile, and of so many policies of which each selects all endpoints; the last one lets in."""
    found = {}
    for number in range(count):
        last = number == count - 1
        name = "policy-%04d" % number
        if datastore_type == "etcdv2":
            rule = {"action": "allow"} if last else {"action": "allow", "src_selector": "role == 'r%d'" % number}
            value = {"order": number, "selector": "role == 'worker'", "inbound_rules": [rule], "outbound_rules": [rule]}
            found["/calico/v1/policy/tier/default/policy/" + name] = json.dumps(value)
            continue
        rule = {"action": "Allow"} if last else {"action": "Allow", "source": {"selector": "role == 'r%d'" % number}}
        spec = {"order": number, "selector": "role == 'worker'", "types": ["Ingress", "Egress"]}
        value = {
            "kind": "GlobalNetworkPolicy",
            "apiVersion": "projectcalico.org/v3",
            "metadata": {"name": name},
            "spec": dict(spec, ingress=[rule], egress=[rule]),
        }
        found["/calico/resources/v3/projectcalico.org/globalnetworkpolicies/" + name] = json.dumps(value)
    if datastore_type == "etcdv2":
        rules = {"inbound_rules": [{"action": "allow"}], "outbound_rules": [{"action": "allow"}]}
        found["/calico/v1/policy/profile/worker/rules"] = json.dumps(rules)
    else:
        value = {
            "kind": "Profile",
            "apiVersion": "projectcalico.org/v3",
            "metadata": {"name": "worker"},
            "spec": {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]},
        }
        found["/calico/resources/v3/projectcalico.org/profiles/worker"] = json.dumps(value)
    return found
