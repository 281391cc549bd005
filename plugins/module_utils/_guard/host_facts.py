# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard knows of a host."""

from __future__ import annotations

import dataclasses
from typing import Mapping, Sequence, Tuple

from .._dataplane.resolution import Interface
from .._policies._felix.failsafes import NONE_GIVEN, GivenFailsafes
from .._policies.connection import IN, LOCAL, OUT, Connection

# The check that reports a denied connection, by its direction.
CHECK_OF_DIRECTION = {IN: "G03", OUT: "G04", LOCAL: "G04"}


@dataclasses.dataclass(frozen=True)
class HostFacts:
    """What is known of a host, and which connections it must be able to make and accept."""

    # Addresses by interface, preferably with the length of the prefix.
    interfaces: Mapping[str, Sequence[str]]
    # Connections that must be allowed: inbound, such as Ansible's own, and outbound, such as to the datastore and DNS.
    required: Sequence[Connection] = ()
    # The interface that Ansible's connection comes through; "" when it is unknown.
    ansible_interface: str = ""
    ssh_port: int = 22
    # Required connections whose path is unknown: the id of a check, and why.
    doubts: Sequence[Tuple[str, str]] = ()
    # Connections that are required if they take this path, which is unknown.
    possible: Sequence[Connection] = ()
    # The failsafe ports of the host's Felix that the datastore does not hold.
    failsafes: GivenFailsafes = NONE_GIVEN
    # IPTABLES or NFTABLES; "" when the datastore determines it.
    dataplane: str = ""
    # `interfaces`, if they are parsed already.
    parsed: Mapping[str, Interface] = dataclasses.field(default_factory=dict)
