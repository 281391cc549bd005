# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of connections that a real Felix let through or not, as both generations have them."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._policies.model import ALLOW, DENY

VERDICTS = {"open": ALLOW, "blocked": DENY}
# Peers that are in no network of the host's interfaces.
_BEHIND_ETH0 = ("10.9.0.5", "fd09::5")


def read_rows(name):
    path = Path(__file__).resolve().parents[4] / "vectors" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def build_connection(given):
    """With the way that a forwarded connection took, where the addresses do not determine it."""
    fields = {key: value for key, value in given.items() if key not in ("result", "established")}
    if given["direction"] == "forward":
        fields["in_interface"] = "eth0" if given["src"] in _BEHIND_ETH0 else None
        fields["out_interface"] = "eth0" if given["dst"] in _BEHIND_ETH0 else None
    return parse_connection(fields, "connection")
