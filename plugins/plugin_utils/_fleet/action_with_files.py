# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action that passes long options to its module in files, because as parameters they would cost seconds."""

from __future__ import annotations

import json
import os
import re
import tempfile
from typing import Any, Dict, List, Mapping, Match, Optional

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import get_option_name, join_first
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings
from ansible_collections.netsec.calico.plugins.plugin_utils._execution.in_place import ActionInPlace

# Ansible's own message about an option's value.
_OWN_MESSAGE = re.compile(r"^(value of |argument '?)(\w+)")
# Number of hosts, and of reasons, in a warning.
_SHOWN = 10
# {key of the counts: title in the text}
_TITLES = {"policies": "policies", "hostendpoints": "host endpoints"}
_WOULD_CHANGE, _CHANGED = (
    "{created} to create, {updated} to change, {deleted} to delete",
    "{created} created, {updated} changed, {deleted} deleted",
)


class ActionWithFiles(ActionInPlace):
    """The base of actions that run a module with the resources and the facts of all hosts."""

    def run_with_files(
        self,
        module_name: str,
        contents: Mapping[str, Any],
        arguments: Mapping[str, Any],
        task_vars: Dict[str, Any],
        dest: str = "",
    ) -> Dict[str, Any]:
        """Run the module once. `contents`: {option that is a path: the content of the file, which becomes JSON}.

        dest: an option that is the path of a JSON file. The module writes it, and the result has its content.
        """
        folder = self._make_tmp_path()
        try:
            names = [*contents, *filter(None, [dest])]
            paths = {option: self._connection._shell.join_path(folder, option + ".json") for option in names}
            for option, content in contents.items():
                self._transfer_data(paths[option], json.dumps(content))
            done: Dict[str, Any] = self._execute_module(
                module_name=module_name, module_args=dict(arguments, **paths), task_vars=task_vars
            )
            if done.get("failed"):
                _name_options(done)
            if dest and not done.get("failed"):
                done[dest] = self._fetch(paths[dest])
            return done
        finally:
            self._remove_tmp_path(folder)

    def add_report(
        self,
        result: Dict[str, Any],
        key: str,
        arguments: Mapping[str, Any],
        failing: str,
        earlier: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Add to the result of a run what it reports at its end, unless it failed.

        `key`: that of its counts. `failing`: the name of the variable by which check mode fails if it finds changes; ""
        if it does not fail. `earlier`: the report of an earlier task of the run, which this report includes.
        """
        if result.get("failed"):
            return
        counts = {**(earlier or {}).get("counts", {}), key: result["summary"]}
        report = build_report(counts, self._task.check_mode)
        settings = build_settings(arguments, os.environ)
        report["datastore"] = {
            "type": settings.datastore_type,
            "endpoints": list(settings.servers),
            **result.get("datastore", {}),
        }
        found = [summary[operation] for summary in counts.values() for operation in ("created", "updated", "deleted")]
        fails = failing and self._task.check_mode and any(found)
        text = "check mode found changes, and {0} is true: {1}"
        result.update(report=report, check_failure=text.format(failing, report["text"]) if fails else "")

    def _fetch(self, path: str) -> Any:
        """The content of a JSON file where the module runs."""
        with tempfile.TemporaryDirectory() as here:
            copy = os.path.join(here, "copy.json")
            self._connection.fetch_file(path, copy)
            with open(copy, encoding="utf-8") as stream:
                return json.load(stream)


def _name_options(failed: Dict[str, Any]) -> None:
    """Put the names of the role's variables into Ansible's own message about an option."""
    message = str(failed.get("msg", ""))
    failed["msg"] = _OWN_MESSAGE.sub(_name_option, message)
    if failed["msg"] != message:
        # Since ansible-core 2.19, it has the message, too, and is shown above the result.
        failed.pop("exception", None)


def _name_option(found: Match[str]) -> str:
    return found[1] + get_option_name(found[2])


def build_report(counts: Mapping[str, Mapping[str, int]], is_check: bool) -> Dict[str, Any]:
    """The counts of a run, and one line for the reader."""
    text = _WOULD_CHANGE if is_check else _CHANGED
    parts = ["{0}: {1}".format(_TITLES[key], text.format(**summary)) for key, summary in counts.items()]
    return {"counts": counts, "text": "; ".join(parts), "check_mode": is_check}


def warn_about_hosts(text: str, reasons: Mapping[str, str]) -> List[str]:
    """Return a warning about hosts, grouped by reason. `text` has a place for their number, and for their names."""
    if not reasons:
        return []
    hosts: Dict[str, List[str]] = {}
    for name, reason in reasons.items():
        hosts.setdefault(reason, []).append(name)
    parts = ["{0}: {1}".format(join_first(names, _SHOWN), reason) for reason, names in list(hosts.items())[:_SHOWN]]
    more = ["and {0} more reasons".format(len(hosts) - _SHOWN)] if len(hosts) > _SHOWN else []
    return [text.format(len(reasons), "; ".join(parts + more))]
