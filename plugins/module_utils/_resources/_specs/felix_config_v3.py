# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""FelixConfiguration of Calico v3: its Go struct, as data.

projectcalico/calico v3.32.1: api/pkg/apis/projectcalico/v3/felixconfig.go. An empty list behind a pointer, such as one
of failsafe ports, differs from an absent list, which stands for Felix's default.
"""

from __future__ import annotations

import re
from typing import Dict

from .field_types import (
    DSCP,
    DURATION,
    FLAG,
    INTEGER,
    LIST_OF_TEXT,
    NUMBER,
    PORT,
    PORT_NUMBER,
    TEXT,
    TEXTS,
    UINT32,
    FieldType,
    always,
    list_of,
    pointer_to,
    struct_of,
)

# field=type, in Go's order.
_FIELDS = """
    nodeSelector=optional useInternalDataplaneDriver=flag dataplaneDriver=text dataplaneWatchdogTimeout=duration
    ipv6Support=flag routeRefreshInterval=duration interfaceRefreshInterval=duration
    iptablesRefreshInterval=duration iptablesPostWriteCheckInterval=duration iptablesLockProbeInterval=duration
    featureDetectOverride=text featureGates=text ipsetsRefreshInterval=duration maxIpsetSize=number
    iptablesBackend=optional xdpRefreshInterval=duration netlinkTimeout=duration metadataAddr=text
    metadataPort=number openstackRegion=text interfacePrefix=text interfaceExclude=text chainInsertMode=text
    defaultEndpointToHostAction=text iptablesFilterAllowAction=text iptablesMangleAllowAction=text
    iptablesFilterDenyAction=text logPrefix=text logActionRateLimit=optional logActionRateLimitBurst=number
    logFilePath=text logSeverityFile=text logSeverityScreen=text logSeveritySys=text logDebugFilenameRegex=text
    ipipEnabled=flag ipipMTU=number vxlanEnabled=flag vxlanMTU=number vxlanMTUV6=number vxlanPort=number
    vxlanVNI=number allowVXLANPacketsFromWorkloads=flag allowIPIPPacketsFromWorkloads=flag
    reportingInterval=duration reportingTTL=duration endpointReportingEnabled=flag endpointReportingDelay=duration
    endpointStatusPathPrefix=text iptablesMarkMask=mask disableConntrackInvalidCheck=flag healthEnabled=flag
    healthHost=optional healthPort=number healthTimeoutOverrides=timeouts prometheusMetricsEnabled=flag
    prometheusMetricsHost=text prometheusMetricsPort=number prometheusGoMetricsEnabled=flag
    prometheusProcessMetricsEnabled=flag prometheusWireGuardMetricsEnabled=flag prometheusMetricsCAFile=optional
    prometheusMetricsCertFile=optional prometheusMetricsKeyFile=optional prometheusMetricsClientAuth=optional
    failsafeInboundHostPorts=failsafes failsafeOutboundHostPorts=failsafes kubeNodePortRanges=ports
    policySyncPathPrefix=text usageReportingEnabled=flag usageReportingInitialDelay=duration
    usageReportingInterval=duration natPortRange=port natOutgoingAddress=text natOutgoingExclusions=optional
    deviceRouteSourceAddress=text deviceRouteSourceAddressIPv6=text deviceRouteProtocol=number
    removeExternalRoutes=flag programClusterRoutes=optional ipForwarding=text externalNodesList=texts
    debugMemoryProfilePath=text debugDisableLogDropping=flag debugSimulateCalcGraphHangAfter=duration
    debugSimulateDataplaneHangAfter=duration debugSimulateDataplaneApplyDelay=duration debugHost=optional
    debugPort=number iptablesNATOutgoingInterfaceFilter=text sidecarAccelerationEnabled=flag xdpEnabled=flag
    genericXDPEnabled=flag nftablesMode=optional nftablesRefreshInterval=duration nftablesFilterAllowAction=text
    nftablesMangleAllowAction=text nftablesFilterDenyAction=text nftablesMarkMask=mask bpfEnabled=flag
    bpfDisableUnprivileged=flag bpfJITHardening=optional bpfLogLevel=level bpfConntrackLogLevel=text
    bpfConntrackMode=optional bpfConntrackTimeouts=conntrack bpfLogFilters=mapping bpfCTLBLogFilter=text
    bpfDataIfacePattern=text bpfL3IfacePattern=text bpfConnectTimeLoadBalancingEnabled=flag
    bpfConnectTimeLoadBalancing=optional bpfHostNetworkedNATWithoutCTLB=optional bpfExternalServiceMode=text
    bpfDSROptoutCIDRs=texts bpfExtToServiceConnmark=number bpfKubeProxyIptablesCleanupEnabled=flag
    bpfKubeProxyMinSyncPeriod=duration bpfKubeProxyHealthzPort=number bpfPSNATPorts=port
    bpfMapSizeNATFrontend=number bpfMapSizeNATBackend=number bpfMapSizeNATAffinity=number bpfMapSizeRoute=number
    bpfMapSizeConntrack=number bpfMapSizePerCpuConntrack=number bpfMapSizeConntrackScaling=text
    bpfMapSizeConntrackCleanupQueue=number bpfMapSizeIPSets=number bpfMapSizeIfState=number
    bpfHostConntrackBypass=flag bpfEnforceRPF=text bpfPolicyDebugEnabled=flag bpfForceTrackPacketsFromIfaces=texts
    bpfDisableGROForIfaces=text bpfExcludeCIDRsFromNAT=texts bpfExportBufferSizeMB=number istioAmbientMode=optional
    istioDSCPMark=dscp cgroupV2Path=text flowLogsPolicyEvaluationMode=optional bpfRedirectToPeer=text
    bpfAttachType=optional flowLogsFlushInterval=duration flowLogsCollectorDebugTrace=flag
    flowLogsGoldmaneServer=optional flowLogsLocalReporter=optional bpfProfiling=text routeSource=text
    routeTableRanges=ranges routeTableRange=range routeSyncDisabled=flag ipv4NormalRoutePriority=number
    ipv4ElevatedRoutePriority=number ipv6NormalRoutePriority=number ipv6ElevatedRoutePriority=number
    liveMigrationRouteConvergenceTime=duration wireguardEnabled=flag wireguardEnabledV6=flag
    wireguardThreadingEnabled=flag wireguardListeningPort=number wireguardListeningPortV6=number
    wireguardRoutingRulePriority=number wireguardInterfaceName=text wireguardInterfaceNameV6=text
    wireguardMTU=number wireguardMTUV6=number wireguardHostEncryptionEnabled=flag wireguardKeepAlive=duration
    awsSrcDstCheck=optional serviceLoopPrevention=text workloadSourceSpoofing=text mtuIfacePattern=text
    floatingIPs=optional windowsManageFirewallRules=optional goGCThreshold=number goMemoryLimitMB=number
    goMaxProcs=number requireMTUFile=flag bpfMaglevMaxEndpointsPerService=number bpfMaglevMaxServices=number
"""
_FAILSAFE = {"protocol": TEXT, "port": always(PORT_NUMBER, 0), "net": TEXT}
_TABLES = {"min": always(NUMBER, 0), "max": always(NUMBER, 0)}
_CONNTRACK_TIMEOUTS = (
    "creationGracePeriod tcpSynSent tcpEstablished tcpFinsSeen tcpResetSeen udpTimeout genericTimeout icmpTimeout"
)
_TYPES: Dict[str, FieldType] = {
    "text": TEXT,
    # A pointer to a string.
    "optional": pointer_to(TEXT),
    "flag": pointer_to(FLAG),
    "number": INTEGER,
    "mask": UINT32,
    "duration": pointer_to(DURATION),
    # Go always writes it.
    "level": always(TEXT, ""),
    "texts": pointer_to(LIST_OF_TEXT),
    "mapping": pointer_to(TEXTS),
    "port": pointer_to(PORT),
    "ports": pointer_to(list_of(PORT)),
    "failsafes": pointer_to(list_of(struct_of(_FAILSAFE))),
    "timeouts": list_of(struct_of({"name": always(TEXT, ""), "timeout": always(DURATION, "0s")})),
    "conntrack": pointer_to(struct_of(dict.fromkeys(_CONNTRACK_TIMEOUTS.split(), pointer_to(TEXT)))),
    "dscp": DSCP,
    "range": pointer_to(struct_of(_TABLES)),
    "ranges": pointer_to(list_of(struct_of(_TABLES))),
}

FELIX_CONFIGURATION = struct_of({name: _TYPES[kind] for name, kind in re.findall("([^ \n]+)=([a-z]+)", _FIELDS)})
