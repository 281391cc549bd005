# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which FelixConfigurations are invalid, beyond the measured rows, by Calico's own validator and its CRD."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.validation_felix_v3 import (
    find_felix_problems,
)


def find(spec, name="default"):
    return list(find_felix_problems(name, read_spec("FelixConfiguration", spec)))


def failsafe(**fields):
    return {"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22}, {"protocol": "TCP", "port": 22, **fields}]}


INVALID = [
    (failsafe(protocol="ICMP"), "spec.failsafeInboundHostPorts[1].protocol", "would stop Felix: use TCP or UDP"),
    (failsafe(protocol=6), "spec.failsafeInboundHostPorts[1].protocol", "use TCP or UDP"),
    (failsafe(port=None), "spec.failsafeInboundHostPorts[1].port", "is missing"),
    (failsafe(net="10.0.0.0/33"), "spec.failsafeInboundHostPorts[1].net", "would stop Felix"),
    # Felix cannot read its own spelling of it.
    (failsafe(net="::ffff:10.0.0.0/104"), "spec.failsafeInboundHostPorts[1].net", "would stop Felix"),
    ({"nodeSelector": ""}, "spec.nodeSelector", "is not allowed in default and node.NAME"),
    ({"logSeverityFile": "info"}, "spec.logSeverityFile", "Trace, Debug, Info, Warning, Error, Fatal"),
    ({"bpfLogLevel": "off"}, "spec.bpfLogLevel", "Debug, Info, Off"),
    ({"chainInsertMode": "first"}, "spec.chainInsertMode", "Insert, Append"),
    ({"nftablesMode": ""}, "spec.nftablesMode", "Disabled, Enabled, Auto"),
    ({"debugPort": 65536}, "spec.debugPort", "a number from 0 to 65535"),
    ({"iptablesMarkMask": 0xFFFF0000}, "spec.iptablesMarkMask", "a number from 0 to 2147483647"),
    ({"featureDetectOverride": "a-b=true"}, "spec.featureDetectOverride", "A=true,B=false"),
    ({"featureGates": "a=b,c"}, "spec.featureGates", "A=enabled,B=disabled"),
    ({"logPrefix": "a\tb"}, "spec.logPrefix", "has a character that is not one of"),
    ({"logActionRateLimit": "10/week"}, "spec.logActionRateLimit", "such as 100/minute"),
    ({"logActionRateLimit": ""}, "spec.logActionRateLimit", "such as 100/minute"),
    ({"prometheusMetricsHost": "a b"}, "spec.prometheusMetricsHost", "is not a host"),
    ({"reportingInterval": "1500ms"}, "spec.reportingInterval", "whole seconds, or whole milliseconds below 1s"),
    ({"reportingInterval": "-1s"}, "spec.reportingInterval", "not negative"),
    ({"liveMigrationRouteConvergenceTime": "5us"}, "spec.liveMigrationRouteConvergenceTime", "milliseconds or longer"),
    ({"wireguardInterfaceName": "a" * 16}, "spec.wireguardInterfaceName", "1 to 15"),
    ({"iptablesNATOutgoingInterfaceFilter": "a b"}, "spec.iptablesNATOutgoingInterfaceFilter", "+ for any ending"),
    ({"bpfForceTrackPacketsFromIfaces": ["a+", ""]}, "spec.bpfForceTrackPacketsFromIfaces[1]", "+ for any ending"),
    ({"bpfLogFilters": {"a b": "x"}}, "spec.bpfLogFilters", "is not an interface"),
    ({"bpfConntrackTimeouts": {"udpTimeout": "auto"}}, "spec.bpfConntrackTimeouts.udpTimeout", "Auto or a duration"),
    ({"bpfConntrackTimeouts": {"udpTimeout": 50 * "ms" + "!"}}, "spec.bpfConntrackTimeouts.udpTimeout", "Auto"),
    ({"openstackRegion": "a" * 47}, "spec.openstackRegion", "1 to 46"),
    ({"deviceRouteSourceAddress": "::1"}, "spec.deviceRouteSourceAddress", "is not an IPv4 address"),
    ({"deviceRouteSourceAddressIPv6": "::ffff:1.2.3.4"}, "spec.deviceRouteSourceAddressIPv6", "is not an IPv6 address"),
    ({"externalNodesList": ["10.0.0.0/8", "fd00::/8"]}, "spec.externalNodesList[1]", "is not an IPv4 network"),
    ({"bpfDSROptoutCIDRs": ["x"]}, "spec.bpfDSROptoutCIDRs[0]", "IPv4 or IPv6 network"),
    ({"natPortRange": 0}, "spec.natPortRange", "1 to 65535"),
    ({"bpfPSNATPorts": "0:80"}, "spec.bpfPSNATPorts", "1 to 65535"),
    ({"kubeNodePortRanges": [1, "http"]}, "spec.kubeNodePortRanges[1]", "must be a number"),
    ({"kubeNodePortRanges": list(range(1, 9))}, "spec.kubeNodePortRanges", "Calico accepts 7"),
    ({"bpfExportBufferSizeMB": 1}, "spec.bpfExportBufferSizeMB", "calicoctl of Calico v3.32 crashes"),
    ({"mtuIfacePattern": "(?=a)"}, "spec.mtuIfacePattern", "is not a regular expression of Go"),
    ({"mtuIfacePattern": r"(a)\1"}, "spec.mtuIfacePattern", "is not a regular expression of Go"),
    ({"mtuIfacePattern": "a**"}, "spec.mtuIfacePattern", "multiple repeat"),
    ({"routeTableRange": {}}, "spec.routeTableRange", "1 <= min <= max <= 250"),
    ({"routeTableRanges": [{"min": 1, "max": 2}, {"min": 3, "max": 2}]}, "spec.routeTableRanges", "4294967295"),
    ({"routeTableRanges": [], "routeTableRange": {"min": 1, "max": 2}}, "spec.routeTableRange", "routeTableRanges"),
]


@pytest.mark.parametrize(("spec", "place", "message"), INVALID)
def test_a_problem_names_its_place_and_what_is_expected(spec, place, message):
    ((option, _value, found),) = find(spec)
    assert option == place
    assert message in found


ACCEPTED = [
    failsafe(protocol="udp", port=0),
    failsafe(net="fd00::1/8"),
    failsafe(net=""),
    {"failsafeInboundHostPorts": [], "failsafeOutboundHostPorts": None},
    {"logSeverityFile": "", "bpfLogLevel": "", "chainInsertMode": "", "logPrefix": "", "openstackRegion": ""},
    {"chainInsertMode": "APPEND", "routeSource": "workloadips"},
    {"featureDetectOverride": "A=true,B=,", "featureGates": "A=b,,"},
    {"reportingInterval": "500ms", "dataplaneWatchdogTimeout": "-1.5s", "nftablesRefreshInterval": "1us"},
    {"liveMigrationRouteConvergenceTime": "1.5s"},
    {"wireguardInterfaceName": "*", "iptablesNATOutgoingInterfaceFilter": "docker+"},
    {"bpfConntrackTimeouts": {"udpTimeout": "1.5us", "icmpTimeout": "Auto", "tcpSynSent": "5m30s"}},
    {"externalNodesList": ["10.0.0.1", "10.0.0.1/8"], "bpfDSROptoutCIDRs": ["fd00::1"]},
    {"natPortRange": "http", "kubeNodePortRanges": ["30000:32767", 80]},
    {"mtuIfacePattern": r"^\pL\\1(?:a)\z", "logDebugFilenameRegex": "(?P<name>a)"},
    {"routeTableRanges": [{"min": 1, "max": 65535}]},
    {"istioDSCPMark": "63"},
]


@pytest.mark.parametrize("spec", ACCEPTED)
def test_an_unusual_spec_that_calico_accepts(spec):
    assert find(spec) == []


def test_only_other_names_may_select_nodes():
    assert find({"nodeSelector": "a == 'b'"}, "gpu") == []
    assert [option for option, _value, _rule in find({"nodeSelector": "all()"}, "node.n1")] == ["spec.nodeSelector"]
    assert [option for option, _value, _rule in find({"nodeSelector": 1025 * "a"}, "gpu")] == ["spec.nodeSelector"]
