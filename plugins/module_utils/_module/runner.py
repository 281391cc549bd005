# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way from an AnsibleModule to a datastore, and from a module's work to its result."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable, Dict, Iterable, Mapping

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.parameters import remove_values

from .._core import yaml_io
from .._core.errors import LONGEST, CalicoError, MissingLibrary, brief, get_option_name, name_options, shown
from .._datastore.base import Datastore
from .._datastore.factory import build_settings, find_harmless, find_misplaced_secrets, list_redacted, open_datastore
from .._datastore.settings import Settings
from .._guard.verdict import Unsafe, format_records
from .results import REFUSAL_SIZE, build_guard_result

# Maximum number of characters of JSON of an option that a result repeats.
PARAMETER_SIZE = 20000


def read_settings(module: AnsibleModule) -> Settings:
    """The settings that the module's options, the environment and calicoctl's file give."""
    return build_settings(module.params, os.environ)


def connect(module: AnsibleModule) -> Datastore:
    """The datastore of these settings."""
    module.no_log_values.difference_update(find_harmless(module.params))
    # Ansible repeats the options in the result.
    module.no_log_values.update(find_misplaced_secrets(module.params))
    settings = read_settings(module)
    # They may come from the file or the environment, which Ansible does not mask.
    module.no_log_values.update(settings.secrets)
    if module._diff:
        # PyYAML must be missing now, not after something was written.
        yaml_io.library()
    return open_datastore(settings)


def describe_datastore(module: AnsibleModule, store: Datastore) -> Dict[str, Any]:
    """The datastore as plans name it."""
    settings = read_settings(module)
    endpoints = store.describe().get("endpoints", list(settings.servers))
    return {"type": settings.datastore_type, "cluster": store.read_cluster(), "endpoints": endpoints}


def warn(module: AnsibleModule, texts: Iterable[str]) -> None:
    """Add warnings to the result, each on one line, whatever it quotes."""
    for text in texts:
        module.warn(brief(text, LONGEST))


def run(module: AnsibleModule, work: Callable[[AnsibleModule, Datastore], Dict[str, Any]]) -> None:
    """Do the module's work with the datastore, and exit with its result or an error message.

    A result with the key `failures` is that of a run that failed midway.
    """
    name_options(module.params.pop("option_names", None) or {})
    _tidy(module.params, module.argument_spec)
    invocation = _shorten_invocation({**module.params, **list_redacted(module.params)})
    finish = module.fail_json
    try:
        store = connect(module)
        result = work(module, store)
        described = store.describe()
        warn(module, store.list_remarks())
        if described:
            result["datastore"] = dict(result.get("datastore", {}), **described)
        if "failures" not in result:
            finish = module.exit_json
    except MissingLibrary as exc:
        result = {"msg": _explain_missing(exc.library), "exception": exc.traceback}
    except Unsafe as exc:
        # A change that is refused later, after a conflict, is in the result's failures.
        refused = build_guard_result(format_records(exc.verdicts), REFUSAL_SIZE)
        result = dict(refused, msg="nothing was written: {0}".format(exc))
    except CalicoError as exc:
        result = {"msg": str(exc)}
    if _is_masked(module, result):
        warn(module, [_MASKED])
    finish(invocation=invocation, **result)


def _explain_missing(library: str) -> str:
    """The message about a Python library that cannot be imported."""
    variable = get_option_name(_INTERPRETER)
    if variable == _INTERPRETER:
        return str(missing_required_lib(library))
    text = (
        "the Python library {0} is missing. Install it with {1} -m pip install {0}, or set {2} to a Python that has it"
    )
    return text.format(library, sys.executable, variable)


# No option of a module, but of the actions that run one.
_INTERPRETER = "python_interpreter"
_MASKED = (
    "the password of the datastore's user also occurs in this result, and Ansible masks it there. Do not use the "
    "masked result as input; use a user with another password"
)


def _is_masked(module: AnsibleModule, result: Dict[str, Any]) -> bool:
    """Whether Ansible will mask a part of the result, because it contains a password."""
    secrets = [secret for secret in module.no_log_values if secret]
    text = json.dumps(result, ensure_ascii=False) if secrets else ""
    # This is rare, and to mask a large result takes long.
    if not any(json.dumps(secret, ensure_ascii=False)[1:-1] in text for secret in secrets):
        return False
    return json.dumps(remove_values(result, secrets), ensure_ascii=False) != text


def _tidy(params: Dict[str, Any], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Correct what Ansible makes of a list that is given as a string.

    It splits the string at its commas and keeps the blanks, and keeps the string itself under the option's alias.
    """
    for option, spec in options.items():
        for alias in spec.get("aliases", ()):
            params.pop(alias, None)
        items = params.get(option)
        if not isinstance(items, list):
            continue
        if spec.get("elements") == "str":
            params[option] = [item.strip(" \t") for item in items]
        for item in items if "options" in spec else ():
            _tidy(item, spec["options"])


def _shorten_invocation(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The task's options, which Ansible repeats in the result, without long values: AWX discards large results."""
    return {"module_args": {name: _repeated(value) for name, value in params.items()}}


def _repeated(value: Any) -> Any:
    """An option as a result repeats it."""
    if isinstance(value, int) and not isinstance(value, bool):
        # Ansible makes an integer of any string of digits, and Python does not write long integers.
        return value if abs(value) < 2**63 else shown(value)
    if isinstance(value, str) and len(value) > PARAMETER_SIZE:
        return "{0} characters".format(len(value))
    if not isinstance(value, list):
        return value
    try:
        is_short = len(json.dumps(value)) <= PARAMETER_SIZE
    except ValueError:
        is_short = False
    return value if is_short else "{0} items".format(len(value))
