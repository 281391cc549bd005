# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights that the Kubernetes guide tells its readers to give."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "kubernetes_guide.rst"
_BLOCK = re.compile(r"\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)")


def rules_of_guide():
    """The rules of an audit, and those that writes of host endpoints and of policies add to them."""
    rights = GUIDE.read_text(encoding="utf-8").partition("\nRights\n---")[2].partition("\nWhich API\n---")[0]
    role, endpoints, policies = (yaml.safe_load(textwrap.dedent(block)) for block in _BLOCK.findall(rights))
    return role["rules"], endpoints, policies
