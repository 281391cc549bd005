# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock-out guard's settings in the task's own options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Dict, List

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import CalicoError, shown
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.ssh_facts import build_datastore_connections
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed


def parse_guard_mode(value: Any) -> Any:
    """The option guard as the modules accept it: YAML reads off as false. An invalid value is returned as given."""
    if value is None:
        return "enforce"
    return "off" if value in (False, "false") else value


def is_guard_on(mode: Any) -> bool:
    return str(mode).lower() != "off"


def build_required(arguments: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The connections that every host requires: those of the task, and those to the datastore. Raises RunFailed."""
    required = arguments.get("guard_require") or []
    if not isinstance(required, list):
        raise RunFailed("guard_require: {0} is not a list".format(shown(required)))
    try:
        return required + build_datastore_connections(build_settings(arguments, os.environ).servers)
    except CalicoError as exc:
        raise RunFailed(str(exc)) from exc
