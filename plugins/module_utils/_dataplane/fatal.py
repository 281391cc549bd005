# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules that Felix repeatedly fails on, with the dataplane of a host."""

from __future__ import annotations

from typing import Mapping, NamedTuple

from .._policies.model import IPTABLES, NFTABLES

# The effect of a stopped Felix.
LAST_STAYS = "keeps its last rules, and a host where it never ran remains open"


class Fatal(NamedTuple):
    """A rule that Felix fails on."""

    text: str
    # Whether it certainly fails. If not, it depends on the dataplane, and is unlikely.
    is_certain: bool


NOT_FATAL = Fatal("", False)


def decide_fatal(fatal: Mapping[str, str], dataplane: str) -> Fatal:
    """What Felix fails on, given the reason for each dataplane.

    A Felix that chooses its dataplane uses iptables, unless kube-proxy uses nftables.
    """
    if dataplane:
        return Fatal(fatal.get(dataplane, ""), True)
    on_iptables, on_nftables = fatal.get(IPTABLES, ""), fatal.get(NFTABLES, "")
    if on_iptables or not on_nftables:
        return Fatal(on_iptables, True)
    return Fatal("{0} (if the dataplane is nftables, {1})".format(on_nftables, WHICH_DATAPLANE), False)


WHICH_DATAPLANE = "which is unknown: set nftablesMode in the FelixConfiguration or the option dataplane"
