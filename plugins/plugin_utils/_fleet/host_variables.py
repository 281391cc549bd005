# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's variables of a host: evaluated, with the right types, and not replaced by facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ansible.errors import AnsibleError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, brief, shown
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import PREFIX, Scope, list_types
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template

# The only variables that count for a host without facts.
_WITHOUT_FACTS = ("node", "interfaces", "endpoints")
# {Ansible's name of a type: the type, its name in messages}
_TYPES: Dict[str, Tuple[type, str]] = {"str": (str, "string"), "list": (list, "list"), "dict": (dict, "mapping")}
# {variable of each host: Ansible's name of its type}
_OWN = list_types(Scope.HOST)
# A template that is just one fact, with or without a default.
_SINGLE_FACT = re.compile(
    r"""\{\{ \s* ansible_facts (?: \.(?P<attribute>\w+) | \[(?P<mark>['"])(?P<key>\w+)(?P=mark)\] )
    \s* (?: \| \s* default\( \s* (?P<quote>['"])(?P<default>[^'"\\{}]*)(?P=quote) \s* \) \s* )? \}\}""",
    re.VERBOSE,
)


def read_single_fact(template: Any, facts: Mapping[str, Any]) -> Optional[str]:
    """The value of a template that is just one fact, such as the default of hostendpoints_node, without templating.

    None if Ansible's templating, which is slow for many hosts, is required: for any other template, for a fact that is
    not a string, and for a missing fact without a default.
    """
    found = _SINGLE_FACT.fullmatch(template) if isinstance(template, str) else None
    if not found:
        return None
    value = facts.get(found["attribute"] or found["key"], found["default"])
    return value if isinstance(value, str) else None


class HostVariables:
    """Reads the role's variables of any host.

    A parameter `raw` is a host's variables without its facts, as TaskContext.without_facts returns them. They hold
    templates. A template that cannot be evaluated raises RunFailed.
    """

    def __init__(self, context: TaskContext, templar: Any, api_version: ApiVersion) -> None:
        self._context = context
        self._templar = templar
        self._api_version = api_version
        # {variable: its last value, and whether that is a template}. Most hosts have the same object, as of a default.
        self._last: Dict[str, Tuple[Any, bool]] = {}

    def takes_part(self, name: str, has_facts: bool) -> bool:
        """Whether the conditions of the task hold on a host. Without facts, a condition that needs them holds."""
        try:
            return self._context.takes_part(name, self._templar)
        except AnsibleError:
            if has_facts:
                raise
            return True

    def is_called_for(self, name: str) -> bool:
        """Whether the conditions of the task hold on a host of any play."""
        try:
            return self._context.takes_part(name, self._templar)
        except AnsibleError:
            # The host belongs to another play, where variables of the condition are undefined.
            return False

    def needs_facts(self, name: str) -> bool:
        """Whether only facts determine the host's node, or rules build endpoints from them."""
        raw = self._context.without_facts(name)
        if read_single_fact(raw.get(PREFIX + "node"), {}) == "":
            return True
        try:
            values = self._template_all(name, raw, _WITHOUT_FACTS, with_facts=False)
        except RunFailed:
            return True
        return values["interfaces"] != [] or not values["node"]

    def find_node(self, name: str, raw: Mapping[str, Any], with_facts: bool = True) -> str:
        """The node of a host outside the run; "" if it cannot be determined.

        `with_facts`: whether the host's own facts may determine the node.
        """
        written = raw.get(PREFIX + "node")
        node: Any = read_single_fact(written, self._context.facts(name) if with_facts else {})
        if node is None:
            node = written
        if has_template(node):
            variables = self._context.all(name) if with_facts else dict(raw)
            try:
                node = self._template_all(name, variables, ["node"], with_facts)["node"]
            except RunFailed:
                return ""
        return self._api_version.canonical_node(node) if isinstance(node, str) else ""

    def read_own(
        self, name: str, raw: Mapping[str, Any], facts: Mapping[str, Any], has_facts: bool = True
    ) -> Dict[str, Any]:
        """The variables of one host without the prefix, of the right types. Raises RunFailed."""
        keys = tuple(_OWN) if has_facts else _WITHOUT_FACTS
        values: Dict[str, Any] = dict.fromkeys(_OWN)
        values.update({key: raw.get(PREFIX + key) for key in keys})
        fact = read_single_fact(values["node"], facts)
        if fact is not None:
            values["node"] = fact
        if self._has_templates(values):
            values.update(self._template_all(name, self._context.all(name), keys))
        if values["interfaces"] is None:
            raise RunFailed("{0}: {1}interfaces must not be null; write an empty list as []".format(name, PREFIX))
        for key, type_name in _OWN.items():
            kind, kind_name = _TYPES[type_name]
            if values[key] is None and kind is not str:
                values[key] = kind()
            if not isinstance(values[key], kind):
                raise RunFailed(
                    "{0}: {1}{2}: {3} is not a {4}".format(name, PREFIX, key, shown(values[key]), kind_name)
                )
        if not all(isinstance(pattern, str) for pattern in values["ignore"]):
            raise RunFailed("{0}: {1}ignore: a pattern is not a string".format(name, PREFIX))
        if not values["node"]:
            raise RunFailed("{0}: {1}node is empty; set it to this host's name in Felix".format(name, PREFIX))
        values["node"] = self._canonical_node(name, values["node"])
        return values

    def read_group_labels(self, name: str, group_labels: Mapping[str, Any]) -> Dict[str, Any]:
        """The labels of a host's groups. A child group overrides its parent, as for variables. Raises RunFailed."""
        labels: Dict[str, Any] = {}
        for group, of_group in group_labels.items():
            if not isinstance(of_group, (Mapping, type(None))):
                raise RunFailed("{0}: {1}group_labels[{2}] is not a mapping".format(name, PREFIX, brief(group)))
        for group in self._context.groups(name) if group_labels else ():
            labels.update(group_labels.get(group) or {})
        return labels

    def warn_about_groups(self, group_labels: Mapping[str, Any]) -> List[str]:
        """A warning for each group that the inventory does not have."""
        text = "{0}group_labels: the inventory has no group {1}"
        return [text.format(PREFIX, brief(group)) for group in group_labels if not self._context.is_group(group)]

    def evaluate(self, name: str, raw: Dict[str, Any], keys: Sequence[str], with_facts: bool = False) -> Dict[str, Any]:
        """Variables of the role without the prefix, evaluated."""
        values = {key: raw.get(PREFIX + key) for key in keys}
        if self._has_templates(values):
            return self._template_all(name, self._context.all(name) if with_facts else raw, keys, with_facts)
        return values

    def _has_templates(self, values: Mapping[str, Any]) -> bool:
        # All of them, not only up to the first template: `_last` keeps what it found.
        return True in [self._is_template(key, value) for key, value in values.items()]

    def _is_template(self, key: str, value: Any) -> bool:
        if key not in self._last or self._last[key][0] is not value:
            self._last[key] = (value, has_template(value))
        return self._last[key][1]

    def template(self, name: str, variable: str, value: Any, variables: Dict[str, Any], with_facts: bool) -> Any:
        """The value of any variable of a host, evaluated."""
        where = "{0}: {1}".format(name, variable)
        return self._context.template(self._templar, where, value, variables, with_facts)

    def _template_all(
        self, name: str, variables: Dict[str, Any], keys: Iterable[str], with_facts: bool = True
    ) -> Dict[str, Any]:
        values = {key: variables.get(PREFIX + key) for key in keys}
        # Ansible's templating copies a value without templates, which takes long for many endpoints.
        return {
            key: self.template(name, PREFIX + key, value, variables, with_facts)
            if self._is_template(key, value)
            else value
            for key, value in values.items()
        }

    def _canonical_node(self, name: str, node: str) -> str:
        node = self._api_version.canonical_node(node)
        try:
            self._api_version.check_nodes(PREFIX + "node", [node])
        except InvalidInput as exc:
            raise RunFailed("{0}: {1}".format(name, exc)) from exc
        return node
