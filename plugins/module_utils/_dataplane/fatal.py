# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Felix fails on, again and again, with the dataplane that a host has."""

from __future__ import annotations

from typing import Mapping, NamedTuple

from .._policies.model import IPTABLES, NFTABLES

# What that means where Felix stops.
LAST_STAYS = "keeps its last rules, and a host where it never ran stays open"


class Fatal(NamedTuple):
    """What Felix fails on."""

    text: str
    # Whether it surely does. If not, that depends on the dataplane, and it is unlikely.
    is_certain: bool


NOT_FATAL = Fatal("", False)


def decide_fatal(fatal: Mapping[str, str], dataplane: str) -> Fatal:
    """What Felix fails on, of what it fails on with each dataplane.

    Felix that chooses its dataplane takes iptables, unless it finds that kube-proxy uses nftables.
    """
    if dataplane:
        return Fatal(fatal.get(dataplane, ""), True)
    on_iptables, on_nftables = fatal.get(IPTABLES, ""), fatal.get(NFTABLES, "")
    if on_iptables or not on_nftables:
        return Fatal(on_iptables, True)
    return Fatal("{0} (if the dataplane is nftables, {1})".format(on_nftables, WHICH_DATAPLANE), False)


WHICH_DATAPLANE = "which is unknown: set nftablesMode in the FelixConfiguration, or give dataplane"
