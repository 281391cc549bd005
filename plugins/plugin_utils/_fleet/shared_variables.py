# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables that must have the same value for all hosts of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Sequence

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import (
    POLICIES_PREFIX,
    POLICY_VARIABLES,
    PREFIX,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

# The same setting in other words: YAML reads off as false, and an unanswered survey question is an empty string.
_MEANINGS = {("guard", "false"): "off", ("guard", ""): "enforce", ("canary", ""): "0"}

_OF_POLICIES = tuple(POLICIES_PREFIX + name for name in POLICY_VARIABLES)


class SharedVariables:
    """The values that the first host of a run has, with which all other hosts are compared."""

    def __init__(
        self,
        reader: HostVariables,
        first: str,
        raw: Dict[str, Any],
        as_written: Sequence[str],
        evaluated: Sequence[str] = (),
    ) -> None:
        """`first`, `raw`: the first host, and its variables without facts.

        `as_written`, `evaluated`: variables without the prefix, by how they are compared.
        """
        self._reader = reader
        self._first = first
        self._as_written = as_written
        self._evaluated = evaluated
        self._values = self._read(first, raw)
        self._policies = {name: raw.get(name) for name in _OF_POLICIES}

    def check(self, name: str, raw: Dict[str, Any]) -> None:
        """Raise RunFailed if a host differs from the first host: a run has one datastore and one guard."""
        values = self._read(name, raw)
        for key in self._differences(values, [*self._as_written, *self._evaluated]):
            # Without the values, of which one may be a password.
            raise RunFailed(
                "{0} and {1} differ in {2}{3}, which must be the same for all hosts of a run; use separate plays or "
                "--limit".format(self._first, name, PREFIX, key)
            )

        self.check_policies(name, raw)

    def check_policies(self, name: str, raw: Mapping[str, Any]) -> None:
        """Raise RunFailed if a host declares other policies than the first host."""
        for key in _OF_POLICIES:
            if raw.get(key) != self._policies[key]:
                text = (
                    "{0} and {1} differ in {2}, which must be the same for all hosts of a run, because policies belong "
                    "to no host; set it for the group all"
                )
                raise RunFailed(text.format(self._first, name, key))

    def has_same_datastore(self, raw: Mapping[str, Any]) -> bool:
        """Whether a host has the same variables, as far as they are compared as written."""
        return not self._differences({key: raw.get(PREFIX + key) for key in self._as_written}, self._as_written)

    def _differences(self, values: Mapping[str, Any], keys: Sequence[str]) -> List[str]:
        return [key for key in keys if values[key] != self._values[key]]

    def _read(self, name: str, raw: Dict[str, Any]) -> Dict[str, Any]:
        values = {key: raw.get(PREFIX + key) for key in self._as_written}
        for key, value in self._reader.evaluate(name, raw, self._evaluated).items():
            text = "" if value is None else str(value).lower()
            values[key] = _MEANINGS.get((key, text), text)
        return values
