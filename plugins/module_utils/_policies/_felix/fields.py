# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The types of the fields of a FelixConfiguration, as in its CRD of Calico v3.32.1.

Any field of a wrong type keeps Felix from starting. Fields that are not a flag, number, string, duration or list of
strings are in objects_v3.py.
"""

from __future__ import annotations

from typing import Dict, Tuple

_FLAGS = """
    allowIPIPPacketsFromWorkloads allowVXLANPacketsFromWorkloads bpfConnectTimeLoadBalancingEnabled
    bpfDisableUnprivileged bpfEnabled bpfHostConntrackBypass bpfKubeProxyIptablesCleanupEnabled
    bpfPolicyDebugEnabled debugDisableLogDropping disableConntrackInvalidCheck endpointReportingEnabled
    flowLogsCollectorDebugTrace genericXDPEnabled healthEnabled ipipEnabled ipv6Support
    prometheusGoMetricsEnabled prometheusMetricsEnabled prometheusProcessMetricsEnabled
    prometheusWireGuardMetricsEnabled removeExternalRoutes requireMTUFile routeSyncDisabled
    sidecarAccelerationEnabled usageReportingEnabled useInternalDataplaneDriver vxlanEnabled wireguardEnabled
    wireguardEnabledV6 wireguardHostEncryptionEnabled wireguardThreadingEnabled xdpEnabled
"""
_NUMBERS = """
    bpfExportBufferSizeMB bpfExtToServiceConnmark bpfKubeProxyHealthzPort bpfMaglevMaxEndpointsPerService
    bpfMaglevMaxServices bpfMapSizeConntrack bpfMapSizeConntrackCleanupQueue bpfMapSizeIPSets
    bpfMapSizeIfState bpfMapSizeNATAffinity bpfMapSizeNATBackend bpfMapSizeNATFrontend
    bpfMapSizePerCpuConntrack bpfMapSizeRoute debugPort deviceRouteProtocol goGCThreshold goMaxProcs
    goMemoryLimitMB healthPort ipipMTU ipv4ElevatedRoutePriority ipv4NormalRoutePriority
    ipv6ElevatedRoutePriority ipv6NormalRoutePriority logActionRateLimitBurst maxIpsetSize
    metadataPort prometheusMetricsPort vxlanMTU vxlanMTUV6 vxlanPort vxlanVNI
    wireguardListeningPort wireguardListeningPortV6 wireguardMTU wireguardMTUV6 wireguardRoutingRulePriority
"""
_TEXTS = """
    awsSrcDstCheck bpfAttachType bpfCTLBLogFilter bpfConnectTimeLoadBalancing bpfConntrackLogLevel
    bpfConntrackMode bpfDataIfacePattern bpfDisableGROForIfaces bpfEnforceRPF bpfExternalServiceMode
    bpfHostNetworkedNATWithoutCTLB bpfJITHardening bpfL3IfacePattern bpfLogLevel bpfMapSizeConntrackScaling
    bpfProfiling bpfRedirectToPeer cgroupV2Path chainInsertMode dataplaneDriver
    debugHost debugMemoryProfilePath defaultEndpointToHostAction deviceRouteSourceAddress
    deviceRouteSourceAddressIPv6 endpointStatusPathPrefix featureDetectOverride featureGates floatingIPs
    flowLogsGoldmaneServer flowLogsLocalReporter flowLogsPolicyEvaluationMode healthHost interfaceExclude
    interfacePrefix ipForwarding iptablesBackend iptablesFilterAllowAction iptablesFilterDenyAction
    iptablesMangleAllowAction iptablesNATOutgoingInterfaceFilter istioAmbientMode logActionRateLimit
    logDebugFilenameRegex logFilePath logPrefix logSeverityFile logSeverityScreen logSeveritySys metadataAddr
    mtuIfacePattern natOutgoingAddress natOutgoingExclusions nftablesFilterAllowAction
    nftablesFilterDenyAction nftablesMangleAllowAction nftablesMode nftablesRefreshInterval nodeSelector
    openstackRegion policySyncPathPrefix programClusterRoutes prometheusMetricsCAFile
    prometheusMetricsCertFile prometheusMetricsClientAuth prometheusMetricsHost prometheusMetricsKeyFile
    routeSource serviceLoopPrevention windowsManageFirewallRules wireguardInterfaceName
    wireguardInterfaceNameV6 workloadSourceSpoofing
"""
_DURATIONS = """
    bpfKubeProxyMinSyncPeriod dataplaneWatchdogTimeout debugSimulateCalcGraphHangAfter
    debugSimulateDataplaneApplyDelay debugSimulateDataplaneHangAfter endpointReportingDelay
    flowLogsFlushInterval interfaceRefreshInterval ipsetsRefreshInterval iptablesLockProbeInterval
    iptablesPostWriteCheckInterval iptablesRefreshInterval liveMigrationRouteConvergenceTime netlinkTimeout
    nftablesRefreshInterval reportingInterval reportingTTL routeRefreshInterval usageReportingInitialDelay
    usageReportingInterval wireguardKeepAlive xdpRefreshInterval
"""
_LISTS = """
    bpfDSROptoutCIDRs bpfExcludeCIDRsFromNAT bpfForceTrackPacketsFromIfaces externalNodesList
"""
TYPES: Dict[str, Tuple[str, ...]] = {
    "flag": tuple(_FLAGS.split()),
    "number": tuple(_NUMBERS.split()),
    "text": tuple(_TEXTS.split()),
    "duration": tuple(_DURATIONS.split()),
    "list": tuple(_LISTS.split()),
}
