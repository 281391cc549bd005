# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan that a task of the roles writes, applies, or compares before other tasks write."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any, Dict, NamedTuple, Optional

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, file_problem, shown
from ansible_collections.netsec.calico.plugins.module_utils._core.files import read_text
from ansible_collections.netsec.calico.plugins.module_utils._core.replaced_file import check_replaceable, replace_file
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.role_plan import (
    HOSTENDPOINTS,
    POLICIES,
    RolePlan,
    decode,
    pack,
    parse_role_plan,
    unpack,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import RunSettings

# What a task does with a plan: it makes its changes, only compares them with those that are due, or writes a plan.
APPLY, COMPARE, WRITE = "apply", "compare", "write"
_MODES = (APPLY, COMPARE, WRITE)
# Maximum number of characters of a plan as a string, beside the lists of a result, of which AWX keeps 700,000.
PACKED_SIZE = 150000
_AGAIN = "nothing was written; make a new plan, and have it approved again"


class TaskPlan(NamedTuple):
    """The options of a task about its plan."""

    mode: str
    # The name of the variable with the plan, and the path of its file; "" without a file.
    where: str
    path: str
    # The plan to apply or to compare.
    given: Optional[RolePlan] = None

    def build_contents(self, part: str) -> Dict[str, Any]:
        """The module's option with the plan of a role, by its name. Raises RunFailed if the plan lacks this role."""
        document = self.given.get_part(part) if self.given else None
        if self.given and document is None:
            text = "{0}: the plan has no policies, but some are declared now; {1}"
            raise RunFailed(text.format(self.where, _AGAIN))
        return {"plan_src": document} if document else {}

    def check_no_policies(self) -> None:
        """Raise RunFailed if the plan has changes of policies, since none are declared."""
        operations = self.given.list_operations(POLICIES) if self.given else []
        if operations:
            text = "{0}: the plan has {1} changes of policies, but none are declared now; {2}"
            raise RunFailed(text.format(self.where, len(operations), _AGAIN))

    def save(self, plan: RolePlan) -> Dict[str, Any]:
        """Write the plan to its file, if one is given. Returns what the result has about it. Raises RunFailed."""
        document = plan.build_document()
        lines = [plan.summarize(part) for part in (POLICIES, HOSTENDPOINTS) if plan.get_part(part) is not None]
        if self.path:
            # Published as well, the job that applies it would have two plans.
            packed = ""
            self._write(document)
            option = shlex.quote("{0}={1}".format(self.where, self.path))
            lines.append("To apply exactly this: ansible-playbook netsec.calico.apply -e {0}".format(option))
        else:
            packed = pack(document)
            if len(packed) > PACKED_SIZE:
                text = "the plan is too large to be published ({0} characters); set {1} to a path for its file"
                raise RunFailed(text.format(len(packed), self.where))
            lines.append("{0} is empty, so the plan is published, and no file is written".format(self.where))
        return {"plan_path": self.path, "plan_document": packed, "plan_summary": lines}

    def _write(self, document: Mapping[str, Any]) -> None:
        try:
            replace_file(self.path, (json.dumps(document, indent=1) + "\n").encode("ascii"), 0o600)
        except (OSError, ValueError) as exc:
            raise _build_failure(self.where, self.path, file_problem(exc)) from None


def read_task_plan(run: RunSettings) -> TaskPlan:
    """The plan of a task, whose options are removed from `run.arguments`. Raises RunFailed for an invalid plan."""
    arguments = run.arguments
    mode = arguments.pop("plan_mode", APPLY)
    if mode not in _MODES:
        raise RunFailed("plan_mode: {0} is unknown; use {1}".format(shown(mode), ", ".join(_MODES)))
    given = {run.get_variable_name(option): arguments.pop(option, None) or "" for option in ("plan", "plan_document")}
    for name, value in given.items():
        if not isinstance(value, str):
            raise RunFailed("{0}: {1} is not a string".format(name, shown(value)))
    (where, path), (where_packed, packed) = given.items()
    if (path or packed or mode == WRITE) and run.hosts.has_batches():
        raise RunFailed("{0}: a plan covers all hosts at once; remove serial and the strategy free".format(where))
    if path and packed and mode != WRITE:
        raise RunFailed("{0} and {1} are both given; keep one of the two".format(where, where_packed))
    path = _resolve(where, path, mode == WRITE) if path else ""
    if mode == WRITE:
        return TaskPlan(mode, where, path)
    try:
        if path:
            return TaskPlan(mode, where, path, parse_role_plan(decode(read_text(path))))
        return TaskPlan(mode, where_packed, "", parse_role_plan(unpack(packed)) if packed else None)
    except ValueError as exc:
        raise _build_failure(where if path else where_packed, path, str(exc)) from None


def _resolve(where: str, path: str, is_writing: bool) -> str:
    """The absolute path. Raises RunFailed if no file can be written there."""
    try:
        resolved = os.path.realpath(os.path.expanduser(path))
        if is_writing:
            check_replaceable(resolved)
    except (OSError, ValueError) as exc:
        raise _build_failure(where, path, file_problem(exc)) from None
    return resolved


def _build_failure(where: str, path: str, problem: str) -> RunFailed:
    return RunFailed("{0}: {1}".format(" ".join(filter(None, [where, brief(path, 255)])), problem))


def pack_policies(document: Mapping[str, Any]) -> str:
    """The plan of the policies as a result has it, for the task that writes the plan. Raises RunFailed."""
    packed = pack(document)
    if len(packed) > PACKED_SIZE:
        raise RunFailed("the plan of the policies is too large: {0} characters".format(len(packed)))
    return packed


def read_planned_policies(run: RunSettings, policies_result: Any) -> Optional[Mapping[str, Any]]:
    """The plan in the registered result of the task that planned the policies; None if none are declared."""
    result = run.hosts.registered(run.hosts.runner(), str(policies_result)) if policies_result else {}
    if result.get("failed"):
        raise RunFailed("the policies could not be planned: {0}".format(result.get("msg")))
    packed = result.get("plan_document")
    return unpack(str(packed)) if packed else None
