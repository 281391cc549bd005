# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why the facts of a host could not be gathered. Plain Python, without Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief

# Maximum number of characters of the host's text, and of a reason.
_LONGEST, _LONGEST_REASON = 200, 300


def explain_gathering(result: Mapping[str, Any]) -> str:
    """The reason in the result of a task that gathers facts; "" if it gathered them, or did not try to.

    The host controls the text.
    """
    if isinstance(result.get("problem"), str):
        return brief(result["problem"], _LONGEST_REASON)
    if not result.get("unreachable") and not result.get("failed"):
        return ""
    kind = "unreachable" if result.get("unreachable") else "no facts"
    return "{0}: {1}".format(kind, brief(" ".join(_list_messages(result).split()), _LONGEST))


def _list_messages(result: Mapping[str, Any]) -> str:
    """The messages of the failed modules. The message of gather_facts itself only names the modules."""
    modules = result.get("failed_modules")
    failed = modules.values() if isinstance(modules, Mapping) else ()
    messages = [str(each.get("msg") or "") for each in failed if isinstance(each, Mapping)]
    return "; ".join(filter(None, messages)) or str(result.get("msg", ""))
