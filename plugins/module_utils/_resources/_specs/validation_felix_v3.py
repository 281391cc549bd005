# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico v3's requirements for a FelixConfiguration.

projectcalico/calico v3.32.1, libcalico-go/lib/validator/v3/validator.go, the struct tags of felixconfig.go, and the
limits of the CRD, which its calicoctl checks as well. Where the collection is stricter than Calico on purpose, a
comment states the reason.
"""

from __future__ import annotations

import re
import warnings
from typing import Any, Callable, Collection, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..._core.ip import parse_address, parse_net
from ..._core.protocols import FAILSAFE_PROTOCOLS
from ..resource import Problem
from .felix_config_v3 import FELIX_CONFIGURATION

# Returns why a value is invalid, else "".
_Check = Callable[[Any], str]

FAILSAFE_SETTINGS = ("failsafeInboundHostPorts", "failsafeOutboundHostPorts")
_MOST_NODE_PORTS = 7
_MOST_OF_A_SELECTOR = 1024
_MOST_OF_A_REGION = 46
_MOST_TABLES, _LAST_TABLE = 0xFFFF, 0xFFFFFFFF
_LAST_OF_A_RANGE = 250

# {values: fields}
_CHOICES = {
    "Trace Debug Info Warning Error Fatal": "logSeverityFile logSeverityScreen logSeveritySys",
    "Debug Info Off": "bpfLogLevel",
    "Off Debug": "bpfConntrackLogLevel",
    "Drop Accept Return": "defaultEndpointToHostAction",
    "Accept Return": """
        iptablesFilterAllowAction iptablesMangleAllowAction nftablesFilterAllowAction nftablesMangleAllowAction
    """,
    "Drop Reject": "iptablesFilterDenyAction nftablesFilterDenyAction",
    "Drop Reject Disabled": "serviceLoopPrevention",
    "Disabled Any": "workloadSourceSpoofing",
    "Tunnel DSR": "bpfExternalServiceMode",
    "DoNothing Enable Disable": "awsSrcDstCheck",
    "TC TCX": "bpfAttachType",
    "TCP Enabled Disabled": "bpfConnectTimeLoadBalancing",
    "Auto Userspace BPFProgram": "bpfConntrackMode",
    "Auto Strict": "bpfJITHardening",
    "None Continuous": "flowLogsPolicyEvaluationMode",
    "Legacy NFT Auto": "iptablesBackend",
    "Disabled Enabled Auto": "nftablesMode",
    "IPPoolsOnly IPPoolsAndHostIPs": "natOutgoingExclusions",
    "RequireAndVerifyClientCert RequireAnyClientCert VerifyClientCertIfGiven NoClientCert": """
        prometheusMetricsClientAuth
    """,
    "Enabled Disabled": """
        bpfHostNetworkedNATWithoutCTLB bpfProfiling bpfRedirectToPeer floatingIPs flowLogsLocalReporter ipForwarding
        istioAmbientMode programClusterRoutes windowsManageFirewallRules
    """,
}
_CHOICES_OF_ANY_CASE = {
    "Insert Append": "chainInsertMode",
    "Disabled Strict Loose": "bpfEnforceRPF",
    "Disabled DoubleIfFull": "bpfMapSizeConntrackScaling",
    "WorkloadIPs CalicoIPAM": "routeSource",
}
# {(least, most): fields}
_LIMITS = {
    (0, 65535): "debugPort bpfKubeProxyHealthzPort",
    (1, 65535): "wireguardListeningPort wireguardListeningPortV6",
    (1, 32765): "wireguardRoutingRulePriority",
    (0, 2**32 - 1): "bpfExtToServiceConnmark",
    # The CRD excludes even Felix' default of 0xffff0000.
    (0, 2**31 - 1): "iptablesMarkMask nftablesMarkMask",
    (1, 2**63 - 1): "bpfMapSizeConntrackCleanupQueue",
    (1, 2**31 - 2): """
        ipv4NormalRoutePriority ipv4ElevatedRoutePriority ipv6NormalRoutePriority ipv6ElevatedRoutePriority
    """,
    (-1, 2**63 - 1): "goGCThreshold goMemoryLimitMB goMaxProcs",
    (1, 3000): "bpfMaglevMaxEndpointsPerService bpfMaglevMaxServices",
    (0, 9999): "logActionRateLimitBurst",
}
_INTERFACE, _INTERFACE_FILTER = "[a-zA-Z0-9_.-]{1,15}", "[a-zA-Z0-9:._+-]{1,15}"
# {pattern: (rule, fields)}
_PATTERNS = {
    r"(?:[a-zA-Z0-9_]+=(?:true|false|),)*(?:[a-zA-Z0-9_]+=(?:true|false|))?": (
        "is not a list of features, such as A=true,B=false",
        "featureDetectOverride",
    ),
    r"[a-zA-Z0-9%: /_-]*": ("has a character that is not one of a-z A-Z 0-9 % : / _ - or a space", "logPrefix"),
    r"[1-9][0-9]{0,3}/(?:second|minute|hour|day)": (
        "is not a rate such as 100/minute: a number from 1 to 9999, and second, minute, hour or day",
        "logActionRateLimit",
    ),
    r"[a-zA-Z0-9:._+-]{1,64}": ("is not a host: 1 to 64 of a-z A-Z 0-9 : . _ + -", "prometheusMetricsHost"),
    _INTERFACE_FILTER: (
        "is not an interface: 1 to 15 of a-z A-Z 0-9 : . _ -, and + for any ending",
        "iptablesNATOutgoingInterfaceFilter bpfForceTrackPacketsFromIfaces",
    ),
    r"\*|" + _INTERFACE: (
        "is not an interface: 1 to 15 of a-z A-Z 0-9 _ . -",
        "wireguardInterfaceName wireguardInterfaceNameV6",
    ),
    r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|[smh]))*": (
        "is not allowed here: the duration must be in milliseconds or longer units, and not negative",
        "liveMigrationRouteConvergenceTime",
    ),
    # Of a duration in Go's form: 1500ms is 1.5s there, which Calico rejects as well.
    r"(?:[0-9]+(?:ms|[smh]))*": (
        "is not allowed here: the duration must be whole seconds, or whole milliseconds below 1s, and not negative",
        """
        bpfKubeProxyMinSyncPeriod debugSimulateCalcGraphHangAfter debugSimulateDataplaneApplyDelay
        debugSimulateDataplaneHangAfter endpointReportingDelay flowLogsFlushInterval interfaceRefreshInterval
        ipsetsRefreshInterval iptablesLockProbeInterval iptablesPostWriteCheckInterval iptablesRefreshInterval
        netlinkTimeout reportingInterval reportingTTL routeRefreshInterval usageReportingInitialDelay
        usageReportingInterval wireguardKeepAlive xdpRefreshInterval
        """,
    ),
}
_CONNTRACK_TIMEOUT = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]*)?(?:us|[msh]))+|Auto")
_REGION = re.compile("[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


def find_felix_problems(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    if "nodeSelector" in spec and (name == "default" or name.startswith("node.")):
        reason = "is not allowed in default and node.NAME, whose nodes are given by the name: use another name"
        yield "spec.nodeSelector", spec["nodeSelector"], reason
    for field, value in spec.items():
        # An empty string is an absent field, except behind a pointer.
        check = _CHECKS.get(field) if value != "" or FELIX_CONFIGURATION.fields[field].is_pointer else None
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            reason = check(item) if check else ""
            if reason:
                yield "spec." + field + ("[{0}]".format(index) if isinstance(value, list) else ""), item, reason
    for field in FAILSAFE_SETTINGS:
        for index, failsafe in enumerate(spec.get(field) or ()):
            yield from _failsafe(failsafe, "spec.{0}[{1}]".format(field, index))
    for field, text in (spec.get("bpfConntrackTimeouts") or {}).items():
        if not _CONNTRACK_TIMEOUT.fullmatch(text):
            yield "spec.bpfConntrackTimeouts." + field, text, "is not Auto or a duration, such as 20s"
    for interface in spec.get("bpfLogFilters") or ():
        if not re.fullmatch(_INTERFACE, interface):
            yield "spec.bpfLogFilters", interface, "is not an interface: 1 to 15 of a-z A-Z 0-9 _ . -"
    if len(spec.get("kubeNodePortRanges") or ()) > _MOST_NODE_PORTS:
        reason = "is too many ranges: Calico accepts {0}".format(_MOST_NODE_PORTS)
        yield "spec.kubeNodePortRanges", len(spec["kubeNodePortRanges"]), reason
    yield from _tables(spec)


# --- Failsafe ports ---


def is_failsafe_protocol(text: str) -> bool:
    return text.lower() in FAILSAFE_PROTOCOLS


def is_failsafe_net(text: str) -> bool:
    """Whether Felix can read the network of a failsafe; an empty string is any network."""
    try:
        # Felix cannot read its own spelling of IPv4-mapped IPv6 addresses.
        return not text or parse_net(text)[0] == (6 if ":" in text else 4)
    except ValueError:
        return False


def _failsafe(failsafe: Mapping[str, Any], where: str) -> Iterator[Problem]:
    # Stricter than Calico, which stores any protocol and network: one entry that Felix cannot read stops every Felix
    # that reads the list, so an entry in `default` stops it on all hosts. An invalid network makes Typha crash as well.
    protocol, net = failsafe.get("protocol", ""), failsafe.get("net", "")
    if not is_failsafe_protocol(protocol):
        yield where + ".protocol", protocol, "is not a protocol of failsafe ports, and would stop Felix: use TCP or UDP"
    if "port" not in failsafe:
        yield where + ".port", "", "is missing: Calico would store 0, which opens no port"
    if not is_failsafe_net(net):
        reason = "is not a network such as 10.0.0.0/8 or fd00::/8, and would stop Felix; leave it out for any network"
        yield where + ".net", net, reason


# --- Route tables ---


def is_table_range(first: int, last: int) -> bool:
    """Whether routeTableRange accepts the tables."""
    return 1 <= first <= last <= _LAST_OF_A_RANGE


def are_table_ranges(ranges: Collection[Tuple[int, int]]) -> bool:
    """Whether routeTableRanges accepts the tables."""
    are_valid = all(1 <= first <= last <= _LAST_TABLE for first, last in ranges)
    return are_valid and sum(last - first + 1 for first, last in ranges) <= _MOST_TABLES


def read_tables(fields: Mapping[str, Any]) -> Tuple[int, int]:
    return fields.get("min") or 0, fields.get("max") or 0


def _tables(spec: Mapping[str, Any]) -> Iterator[Problem]:
    one, several = spec.get("routeTableRange"), spec.get("routeTableRanges")
    if one is not None and not is_table_range(*read_tables(one)):
        yield "spec.routeTableRange", one, "is not a range of tables: 1 <= min <= max <= {0}".format(_LAST_OF_A_RANGE)
    if several is not None and not are_table_ranges(list(map(read_tables, several))):
        reason = "is not a list of ranges of tables: 1 <= min <= max <= {0}, and at most {1} tables together"
        yield "spec.routeTableRanges", several, reason.format(_LAST_TABLE, _MOST_TABLES)
    if one is not None and several is not None:
        yield "spec.routeTableRange", one, "is not allowed together with routeTableRanges, which replaces it"


# --- Checks of one field ---


def is_region(text: str) -> bool:
    """Whether the string can be part of the name of a namespace, as openstackRegion."""
    return bool(_REGION.fullmatch(text)) and len(text) <= _MOST_OF_A_REGION


def _choice(choices: Sequence[str], is_any_case: bool = False) -> _Check:
    accepted = {each.lower() for each in choices} if is_any_case else set(choices)
    reason = "is not a value of this setting: {0}".format(", ".join(choices))
    return lambda value: "" if (value.lower() if is_any_case else value) in accepted else reason


def _limit(least: int, most: int) -> _Check:
    reason = "is not a number from {0} to {1}".format(least, most)
    return lambda value: "" if least <= value <= most else reason


def _match(pattern: str, rule: str) -> _Check:
    compiled = re.compile(pattern)
    return lambda value: "" if compiled.fullmatch(value) else rule


def _address(version: int) -> _Check:
    def check(text: str) -> str:
        try:
            if parse_address(text)[0] == version:
                return ""
        except ValueError:
            pass
        return "is not an IPv{0} address".format(version)

    return check


def _net(*versions: int) -> _Check:
    def check(text: str) -> str:
        try:
            if parse_net(text)[0] in versions:
                return ""
        except ValueError:
            pass
        names = " or ".join("IPv{0}".format(version) for version in versions)
        return "is not an {0} network, such as {1}".format(names, "10.0.0.0/8")

    return check


def _feature_gates(text: str) -> str:
    # The CRD and the struct tag have different patterns.
    is_list = re.fullmatch(r"(?:[a-zA-Z0-9_-]+=[^=]+,)*(?:[a-zA-Z0-9_-]+=[^=]+)?", text)
    items = [item for item in text.split(",") if item]
    if is_list and all(re.fullmatch(r"\s*\w+=.*", item, re.ASCII) for item in items):
        return ""
    return "is not a list of features, such as A=enabled,B=disabled"


# What Go rejects and Python accepts: looking ahead and behind, and references to groups.
_NOT_OF_GO = re.compile(r"(?:[^\\]|\\.)*?(?:\(\?(?:<?[=!]|P=|\(|#)|\\[1-9])", re.DOTALL)
# What Python rejects and Go accepts.
_OF_GO = re.compile(r"\\[pPQECzx]|\(\?[a-zA-Z-]*U|\(\?<[A-Za-z_]")


def _regex(text: str) -> str:
    """Go's syntax is nearly Python's. What is valid in Python only is rejected, and what is unclear is accepted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as exc:
        return "" if _OF_GO.search(text) else "is not a regular expression: {0}".format(exc)
    return "is not a regular expression of Go" if _NOT_OF_GO.match(text) else ""


def _port(port: Any) -> str:
    first = port[0] if isinstance(port, tuple) else port
    return "" if isinstance(first, str) or first >= 1 else "is not a port: 1 to 65535, or a range such as 8000:8100"


def _numeric_port(port: Any) -> str:
    return "is not allowed here: a port must be a number" if isinstance(port, str) else _port(port)


def _selector_length(text: str) -> str:
    # Calico does not check the syntax here.
    return "" if len(text) <= _MOST_OF_A_SELECTOR else "is longer than {0} characters".format(_MOST_OF_A_SELECTOR)


def _build_checks() -> Dict[str, _Check]:
    found: Dict[str, _Check] = {
        "openstackRegion": lambda text: "" if is_region(text) else "is not a region: 1 to 46 of a-z 0-9 -",
        "natOutgoingAddress": _address(4),
        "deviceRouteSourceAddress": _address(4),
        "deviceRouteSourceAddressIPv6": _address(6),
        "externalNodesList": _net(4),
        "bpfDSROptoutCIDRs": _net(4, 6),
        "bpfExcludeCIDRsFromNAT": _net(4, 6),
        "featureGates": _feature_gates,
        "natPortRange": _port,
        "bpfPSNATPorts": _port,
        "kubeNodePortRanges": _numeric_port,
        "nodeSelector": _selector_length,
        "bpfExportBufferSizeMB": lambda number: "is not allowed: calicoctl of Calico v3.32 crashes on this setting",
    }
    regexes = "logDebugFilenameRegex bpfDataIfacePattern bpfL3IfacePattern bpfDisableGROForIfaces mtuIfacePattern"
    tables: List[Tuple[_Check, str]] = [(_regex, regexes)]
    tables += [(_choice(values.split()), fields) for values, fields in _CHOICES.items()]
    tables += [(_choice(values.split(), True), fields) for values, fields in _CHOICES_OF_ANY_CASE.items()]
    tables += [(_limit(*limits), fields) for limits, fields in _LIMITS.items()]
    tables += [(_match(pattern, rule), fields) for pattern, (rule, fields) in _PATTERNS.items()]
    for check, fields in tables:
        found.update(dict.fromkeys(fields.split(), check))
    return found


_CHECKS = _build_checks()
