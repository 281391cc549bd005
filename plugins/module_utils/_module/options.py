# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that modules share, as argument specifications, and their checks."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from .._core.errors import InvalidInput, get_option_name, shown
from .._datastore.factory import DATASTORES, list_options
from .results import FULL, SHORT


def build_connection_options() -> Dict[str, Dict[str, Any]]:
    """The connection options, as an argument specification."""
    options = {option.name: dict(option.spec) for option in list_options()}
    options["datastore_type"]["choices"] = list(DATASTORES)
    return options


HOSTENDPOINT_OPTIONS: Dict[str, Dict[str, Any]] = {
    "name": {"type": "str"},
    "node": {"type": "str"},
    "labels": {"type": "dict"},
    "interface_name": {"type": "str", "aliases": ["interfaceName"]},
    "expected_ips": {"type": "list", "elements": "str", "aliases": ["expectedIPs"]},
    "profiles": {"type": "list", "elements": "str"},
    "ports": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "protocol": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
        },
    },
    "annotations": {"type": "dict"},
}


# The options of a set of endpoints; exactly one is given.
SET_OPTIONS: Dict[str, Dict[str, Any]] = {
    "endpoints": {"type": "list", "elements": "dict", "options": HOSTENDPOINT_OPTIONS},
    # Not a list, since Ansible would split a string at its commas.
    "resources": {"type": "raw"},
    "src": {"type": "path"},
}

# The options of a plan that a later run makes.
PLAN_OPTIONS: Dict[str, Dict[str, Any]] = {"plan_dest": {"type": "path"}, "plan_src": {"type": "path"}}

# The options of a set that is written, in addition to its resources, its purge and the guard.
WRITTEN_SET_OPTIONS: Dict[str, Dict[str, Any]] = {
    "guard_limit": {"type": "int"},
    "canary_wait": {"type": "float", "default": 10},
    "overwrite": {"type": "bool", "default": True},
    "purge_limit": {"type": "int"},
    "owner": {"type": "str"},
    "owner_label": {"type": "str", "default": "app.kubernetes.io/managed-by", "no_log": False},
    "server_dry_run": {"type": "bool", "default": False},
    "diff_limit": {"type": "int", "default": 200},
    "diff_style": {"type": "str", "choices": [SHORT, FULL], "default": SHORT},
    **PLAN_OPTIONS,
}

# For modules that action plugins of this collection run.
OPTION_NAMES: Dict[str, Dict[str, Any]] = {"option_names": {"type": "dict"}}


def check_limits(params: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a negative limit."""
    for option in ("purge_limit", "diff_limit"):
        if params[option] is not None and params[option] < 0:
            text = "{0}: {1} is negative; it must be 0 or more"
            raise InvalidInput([text.format(get_option_name(option), shown(params[option]))])
