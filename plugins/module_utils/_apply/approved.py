# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans as files: a run writes its plan, and a later run makes exactly the changes of that plan or none."""

from __future__ import annotations

import datetime
import json
import os
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence

from .._core import strict_json
from .._core.errors import InvalidInput, Refused, file_problem, join_first
from .._core.files import path_as_shown, read_text
from .._core.replaced_file import replace_file
from .._datastore.base import Datastore
from .._plan.desired import Present
from .._plan.plan import NONE, Change
from .._plan.plan_file import (
    PlanFile,
    PlannedChange,
    build_document,
    build_manifest,
    build_planned,
    find_differences,
    parse_document,
)

# Number of differences that a message names.
SHOWN = 20
AGAIN = "make a new plan, and have it approved again"


def read_approved(path: str, datastore: Mapping[str, Any]) -> PlanFile:
    """The plan in a file. Raises InvalidInput if it is not a plan, and Refused for a plan of another datastore.

    datastore: as PlanFile has it.
    """
    where = "plan_src {0}: ".format(path_as_shown(path))
    try:
        plan = parse_document(strict_json.load(read_text(path)))
    except strict_json.NotJson as exc:
        raise InvalidInput([where + "is not JSON: {0}".format(exc)]) from exc
    except ValueError as exc:
        raise InvalidInput([where + str(exc)]) from exc
    planned, now = _identify(plan.datastore, datastore), _identify(datastore, plan.datastore)
    if planned != now:
        text = "nothing was written: the plan of {0} is for another datastore: {1}, and this run's is {2}"
        raise Refused(text.format(plan.created, planned, now))
    return plan


def _identify(datastore: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What distinguishes a datastore: its cluster, unless that of one of the two is unknown."""
    if datastore.get("cluster") and other.get("cluster"):
        return "{0}, cluster {1}".format(datastore.get("type"), datastore["cluster"])
    endpoints = datastore.get("endpoints")
    names = sorted(map(str, endpoints)) if isinstance(endpoints, list) else []
    return "{0} at {1}".format(datastore.get("type"), join_first(names, SHOWN))


def check_approved(store: Datastore, plan: PlanFile, changes: Sequence[Change]) -> int:
    """Number of the plan's changes that were already made. `changes` are those of this run, `none` among them.

    Raises Refused, with the differences, unless all other changes of the plan are those of this run.
    """
    due = [_build(change, store) for change in changes if change.operation != NONE]
    keys = {change.key for change in due}
    absent = [change for change in plan.changes if change.key not in keys]
    stored = {item.key: item for item in store.read([change.ref for change in absent], ())} if absent else {}
    kept = _list_kept(store, changes, stored)
    made = {
        change.key
        for change in absent
        if (change.key not in stored if change.resource is None else kept.get(change.key) == change.resource)
    }
    revisions = {key: item.revision for key, item in stored.items()}
    differences = find_differences(plan.changes, due, made, revisions)
    if differences:
        text = "nothing was written: this run would not make exactly the changes of the plan of {0}: {1}; {2}"
        raise Refused(text.format(plan.created, _join(differences), AGAIN))
    return len(made)


def _list_kept(store: Datastore, changes: Sequence[Change], keys: Collection[str]) -> Dict[str, Mapping[str, Any]]:
    """{key: manifest} of the declared resources with these keys that are already stored as declared."""
    version = store.api_version
    return {
        change.before.key: build_manifest(version.as_stored(change.want.resource), version)
        for change in changes
        if change.before and change.before.key in keys and isinstance(change.want, Present)
    }


def _join(differences: List[str]) -> str:
    more = len(differences) - SHOWN
    return "; ".join(differences[:SHOWN] + (["and {0} more differences".format(more)] if more > 0 else []))


def write_plan(
    path: str, store: Datastore, changes: Sequence[Change], datastore: Mapping[str, Any], owner: Optional[str]
) -> None:
    """Write the plan of these changes to a file. Raises InvalidInput if that is impossible."""
    created = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    plan = PlanFile(datastore, owner or "", created, [_build(change, store) for change in changes])
    content = json.dumps(build_document(plan), indent=1) + "\n"
    try:
        replace_file(os.path.realpath(path), content.encode("ascii"), 0o600)
    except (OSError, ValueError) as exc:
        raise InvalidInput(["plan_dest {0}: {1}".format(path_as_shown(path), file_problem(exc))]) from exc


def _build(change: Change, store: Datastore) -> PlannedChange:
    return build_planned(change, store.api_version, store.key)
