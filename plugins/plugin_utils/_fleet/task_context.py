# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables and facts of any host of the play, as a task there would see them, except that facts override nothing.

hostvars is not sufficient: it contains neither the defaults of a role nor the variables of a play. So this module uses
the variable manager, as Ansible does before each task.

In Ansible, a fact overrides a variable of the inventory and the default of a role. A managed host controls its facts
and their names, so here a fact never takes the place of a variable that something else defines.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Set

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.inventory.helpers import sort_groups
from ansible.playbook.conditional import Conditional
from ansible.playbook.task_include import TaskInclude

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import select_facts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import OWN_PREFIXES, SURVEYED
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

try:
    from ansible.template import trust_as_template
except ImportError:
    # Before ansible-core 2.19, every string is a template.
    trust_as_template = None

# With these strategies, each host runs on its own, and run_once has no effect.
_FREE_STRATEGIES = ("free", "host_pinned")
# The names of the play's hosts, which are the same for all hosts.
_PLAY_HOSTS = ("ansible_play_hosts_all", "ansible_play_hosts", "ansible_play_batch", "play_hosts")


class _KeptFacts(NamedTuple):
    """What is kept of a host's facts, since a cache on disk decodes all of them each time."""

    facts: Dict[str, Any]
    # The names of this collection's variables among them.
    own: List[str]


class TaskContext:
    """The hosts of a task's play, with their variables, facts and results."""

    def __init__(self, task: Any, task_vars: Mapping[str, Any]) -> None:
        self._task = task
        self._task_vars = task_vars
        self._hostvars = task_vars["hostvars"]
        self._manager = self._hostvars._variable_manager
        self._cache = self._manager._fact_cache
        self._play = _find_play(task)
        self._kept: Dict[str, _KeptFacts] = {}
        self._play_hosts = {key: task_vars[key] for key in _PLAY_HOSTS if key in task_vars}
        # Ansible would list them again for each host, which takes minutes for 10,000 hosts. A template in vars_files
        # reads them too early.
        parameters = inspect.signature(self._manager.get_vars).parameters
        self._has_short_lists = "_hosts" in parameters and "_hosts_all" in parameters and not self._play.vars_files
        self._conditions = self._find_conditions()

    def names(self) -> List[str]:
        """The hosts of the current batch that did not fail. With the strategy free, only this host."""
        if self._is_free():
            return [self._task_vars["inventory_hostname"]]
        return list(self._task_vars["ansible_play_batch"])

    def unbatched(self) -> List[str]:
        """All hosts of the play, including failed hosts; none if the play has batches."""
        return [] if self.has_batches() else self.all_names()

    def all_names(self) -> List[str]:
        """The hosts of the play, including failed and unreachable hosts."""
        return list(self._task_vars["ansible_play_hosts_all"])

    def inventory(self) -> List[str]:
        """The hosts of the inventory, which may be a slice of a larger one."""
        return list(self._hostvars._inventory.hosts)

    def registered(self, name: str, variable: str) -> Mapping[str, Any]:
        """The result of an earlier task that was registered for a host; empty if none was."""
        result = self._manager._nonpersistent_fact_cache.get(name, {}).get(variable)
        return result if isinstance(result, Mapping) else {}

    def role_default(self, variable: str) -> Any:
        """The default of a variable in the task's role, as written; None outside a role."""
        role = self._task._role
        return role.get_default_vars().get(variable) if role else None

    def has_batches(self) -> bool:
        """Whether the play handles its hosts in batches or one by one."""
        return bool(self._play.serial) or self._is_free()

    def _is_free(self) -> bool:
        return self._play.strategy.rpartition(".")[2] in _FREE_STRATEGIES

    def runner(self) -> str:
        """The host whose variables define the task's own options."""
        return str(self._task_vars["inventory_hostname"])

    def connection(self) -> Dict[str, Any]:
        """The play's settings of the connection, by the names of the variables that override them."""
        found = {"ansible_connection": self._play.connection, "ansible_port": self._play.port}
        return {key: value for key, value in found.items() if value}

    def groups(self, name: str) -> List[str]:
        """The groups of a host, by depth, priority and name. Later groups override the variables of earlier groups."""
        return [group.name for group in sort_groups(self._hostvars._inventory.get_host(name).get_groups())]

    def is_group(self, name: str) -> bool:
        """Whether the inventory has a group of this name."""
        return name in self._hostvars._inventory.groups

    def hosts_of_group(self, name: str) -> List[str]:
        """The hosts of a group and of its children, in the order of the inventory."""
        return [host.name for host in self._hostvars._inventory.groups[name].get_hosts()]

    def is_host(self, name: str) -> bool:
        """Whether the inventory has a host of this name."""
        return name in self._hostvars._inventory.hosts

    def takes_part(self, name: str, templar: Any) -> bool:
        """Whether the conditions of the task and of its role hold on the host.

        Ansible evaluates them only for the host that runs the task.
        """
        conditions = self._conditions
        if not conditions:
            return True
        variables = self.all(name)
        with self._weak_facts(), _available(templar, variables):
            if hasattr(templar, "evaluate_conditional"):
                return all(templar.evaluate_conditional(condition) for condition in conditions)
            # Before ansible-core 2.19.
            conditional = Conditional(loader=templar._loader)
            conditional.when = conditions
            holds: bool = conditional.evaluate_conditional(templar, variables)
            return holds

    def _find_conditions(self) -> List[Any]:
        found: List[Any] = []
        place = self._task
        while place is not None:
            # The conditions inside the role are not those of the caller.
            if not (isinstance(place, TaskInclude) and place._role is self._task._role):
                conditions = getattr(place, "when", None) or []
                # On an import, Ansible keeps the condition as written.
                conditions = conditions if isinstance(conditions, list) else [conditions]
                found += [condition for condition in conditions if condition not in found]
            place = getattr(place, "_parent", None)
        return found

    def facts(self, name: str) -> Dict[str, Any]:
        """The facts of a host in this run that the role reads, without the prefix "ansible_". They are not templates.

        Only facts of the setup module: a variable that was cached as a fact has no prefix.
        """
        return self._keep_facts(name).facts

    def own_variables_in_facts(self, name: str) -> List[str]:
        """The names of this collection's variables among all facts of a host, which set_fact with cacheable may set."""
        return self._keep_facts(name).own

    def _keep_facts(self, name: str) -> _KeptFacts:
        if name not in self._kept:
            found = _facts_in(self._cache, name)
            prefix = "ansible_"
            facts = {key[len(prefix) :]: value for key, value in found.items() if key.startswith(prefix)}
            own = sorted(key for key in map(str, found) if key.startswith(OWN_PREFIXES))
            self._kept[name] = _KeptFacts(select_facts(facts), own)
        return self._kept[name]

    def use_recorded_facts(self, recorded: Mapping[str, Mapping[str, Any]]) -> None:
        """From now on, use these facts of hosts, with the prefix "ansible_", instead of those of this run."""
        self._cache = _RecordedFacts(self._cache, recorded)
        self._kept.clear()

    def without_facts(self, name: str) -> Dict[str, Any]:
        """The variables of a host without its facts, which take most of Ansible's time. They contain templates."""
        with self._use_facts(_NoFacts()):
            return self._read_variables(name)

    def all(self, name: str) -> Dict[str, Any]:
        """All variables of a host. They contain templates."""
        with self._weak_facts():
            return self._read_variables(name)

    def template(
        self,
        templar: Any,
        variable: str,
        value: Any,
        variables: Dict[str, Any],
        with_facts: bool = True,
        escape_backslashes: bool = True,
    ) -> Any:
        """The evaluated value of a host's variable. Raises RunFailed.

        `variables`: the host's variables as `all` returns them or, without facts, `without_facts`.
        `with_facts`: whether the facts of this and of other hosts exist in templates.
        """
        facts = self._weak_facts() if with_facts else self._use_facts(_NoFacts())
        try:
            with facts, _available(templar, variables):
                return _decrypted(templar.template(value, escape_backslashes=escape_backslashes))
        except AnsibleError as exc:
            is_fact_missing = not with_facts and isinstance(exc, AnsibleUndefinedVariable)
            reason = ". Facts are not used in it, because a managed host controls them" if is_fact_missing else ""
            # Ansible's messages can have several lines.
            raise RunFailed("{0}: {1}{2}".format(variable, " ".join(str(exc).split()), reason)) from exc

    def render(self, templar: Any, where: str, text: str, variables: Dict[str, Any]) -> Any:
        """The content of a template file of the controller, which sees no facts. Raises RunFailed."""
        if trust_as_template:
            text = trust_as_template(text)
        return self.template(templar, where, text, variables, with_facts=False, escape_backslashes=False)

    def _read_variables(self, name: str) -> Dict[str, Any]:
        host = self._hostvars._inventory.get_host(name)
        lists = {"_hosts": [name], "_hosts_all": [name]} if self._has_short_lists else {}
        variables: Dict[str, Any]
        with self._answered_extra_variables():
            variables = self._manager.get_vars(
                play=self._play, host=host, task=self._task, include_hostvars=False, **lists
            )
        variables.update(self._play_hosts)
        variables["vars"].update(self._play_hosts)
        variables["hostvars"] = self._hostvars
        # Where lookups search for files.
        variables["ansible_search_path"] = self._task_vars.get("ansible_search_path") or []
        return variables

    @contextlib.contextmanager
    def _answered_extra_variables(self) -> Iterator[None]:
        """Without the extra variables of unanswered survey questions, which would hide the inventory's variables."""
        before = self._manager._extra_vars
        unanswered = {name for name in SURVEYED if before.get(name) == ""}
        if unanswered:
            self._manager._extra_vars = {name: value for name, value in before.items() if name not in unanswered}
        try:
            yield
        finally:
            self._manager._extra_vars = before

    def _weak_facts(self) -> Any:
        return self._use_facts(_WeakFacts(self._cache, self._defined))

    def _defined(self, name: str) -> Set[str]:
        """The names that something other than facts defines for a host."""
        return set(self.without_facts(name)) - _OF_FACTS

    @contextlib.contextmanager
    def _use_facts(self, facts: Any) -> Iterator[None]:
        before, self._manager._fact_cache = self._manager._fact_cache, facts
        try:
            yield
        finally:
            self._manager._fact_cache = before


class _NoFacts:
    """A fact cache without facts."""

    def get(self, _name: str, _default: Any = None) -> Dict[str, Any]:
        return {}


class _RecordedFacts:
    """A fact cache in which recorded facts replace those of a host."""

    def __init__(self, cache: Any, recorded: Mapping[str, Mapping[str, Any]]) -> None:
        self._cache = cache
        self._recorded = recorded

    def get(self, name: str, _default: Any = None) -> Mapping[str, Any]:
        return self._recorded[name] if name in self._recorded else _facts_in(self._cache, name)


class _WeakFacts:
    """A fact cache without the facts that would take the place of a variable."""

    def __init__(self, cache: Any, defined: Callable[[str], Set[str]]) -> None:
        self._cache = cache
        self._defined = defined

    def get(self, name: str, _default: Any = None) -> Dict[str, Any]:
        facts = _facts_in(self._cache, name)
        if not facts:
            return {}
        defined = self._defined(name)
        return {key: value for key, value in facts.items() if key not in defined}


# Variables that Ansible creates from facts, even without facts.
_OF_FACTS = frozenset(["ansible_facts", "ansible_local"])


def _facts_in(cache: Any, name: str) -> Mapping[str, Any]:
    # Before ansible-core 2.19, a host without facts is a KeyError.
    try:
        return cache.get(name) or {}
    except KeyError:
        return {}


@contextlib.contextmanager
def _available(templar: Any, variables: Dict[str, Any]) -> Iterator[None]:
    before, templar.available_variables = templar.available_variables, variables
    try:
        yield
    finally:
        templar.available_variables = before


def _decrypted(value: Any) -> Any:
    """The decrypted value. Before ansible-core 2.19, only a conversion to a string decrypts it."""
    return str(value) if getattr(value, "__ENCRYPTED__", False) else value


def _find_play(task: Any) -> Any:
    parent = task._parent
    while not hasattr(parent, "_play"):
        parent = parent._parent
    return parent._play


def has_template(value: Any) -> bool:
    """Whether a value requires Ansible's templating."""
    if isinstance(value, Mapping):
        return any(has_template(key) or has_template(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(has_template(item) for item in value)
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    # For example an encrypted value.
    return not (value is None or isinstance(value, (bool, int, float)))
