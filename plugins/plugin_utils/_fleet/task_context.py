# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables and facts of any host of the play, as a task there would see them, with one difference: facts lose.

hostvars does not do: it has neither the defaults of a role nor the variables of a play. So the variable manager behind
it is asked, as Ansible asks it before each task.

Ansible lets a fact beat a variable of the inventory and the default of a role. A managed host chooses its facts, and
their names, so here a fact never takes the place of a variable that something else defines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.inventory.helpers import sort_groups
from ansible.playbook.conditional import Conditional
from ansible.playbook.task_include import TaskInclude

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

# Every host goes its own way there, and run_once has no effect.
_FREE_STRATEGIES = ("free", "host_pinned")


class TaskContext:
    """What one task knows of the other hosts of its play."""

    def __init__(self, task: Any, task_vars: Mapping[str, Any]) -> None:
        self._task = task
        self._task_vars = task_vars
        self._hostvars = task_vars["hostvars"]
        self._manager = self._hostvars._variable_manager
        self._cache = self._manager._fact_cache
        self._play = _find_play(task)
        self._latest: Tuple[str, Mapping[str, Any]] = ("", {})

    def names(self) -> List[str]:
        """The hosts of the current batch that did not fail; where hosts do not go together, this one only."""
        if self._is_free():
            return [self._task_vars["inventory_hostname"]]
        return list(self._task_vars["ansible_play_batch"])

    def unbatched(self) -> List[str]:
        """All hosts of the play, failed ones too; none where the play has batches, each of which has its own."""
        return [] if self.has_batches() else self.all_names()

    def all_names(self) -> List[str]:
        """The hosts of the play, whatever became of them."""
        return list(self._task_vars["ansible_play_hosts_all"])

    def inventory(self) -> List[str]:
        """The hosts of the inventory, which may be a slice of a larger one."""
        return list(self._hostvars._inventory.hosts)

    def registered(self, name: str, variable: str) -> Mapping[str, Any]:
        """The result of an earlier task, as it was registered for a host; an empty one when there is none."""
        result = self._manager._nonpersistent_fact_cache.get(name, {}).get(variable)
        return result if isinstance(result, Mapping) else {}

    def role_default(self, variable: str) -> Any:
        """The default of a variable in the task's role, as written; None outside a role."""
        role = self._task._role
        return role.get_default_vars().get(variable) if role else None

    def has_batches(self) -> bool:
        """Whether other hosts of the play come before or after these."""
        return bool(self._play.serial) or self._is_free()

    def _is_free(self) -> bool:
        return self._play.strategy.rpartition(".")[2] in _FREE_STRATEGIES

    def runner(self) -> str:
        """The host whose variables the task's own options come from."""
        return str(self._task_vars["inventory_hostname"])

    def connection(self) -> Dict[str, Any]:
        """What the play says of the connection to a host that has no variable for it, by the variables' names."""
        found = {"ansible_connection": self._play.connection, "ansible_port": self._play.port}
        return {key: value for key, value in found.items() if value}

    def groups(self, name: str) -> List[str]:
        """The groups of a host, those first whose variables are beaten: by depth, priority and name."""
        return [group.name for group in sort_groups(self._hostvars._inventory.get_host(name).get_groups())]

    def is_group(self, name: str) -> bool:
        """Whether the inventory has a group of this name."""
        return name in self._hostvars._inventory.groups

    def is_host(self, name: str) -> bool:
        """Whether the inventory has a host of this name."""
        return name in self._hostvars._inventory.hosts

    def takes_part(self, name: str, templar: Any) -> bool:
        """Whether the conditions of the task, and of the role that it is in, hold on the host.

        Ansible evaluates them for the one host that runs the task.
        """
        conditions = self._conditions()
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

    def _conditions(self) -> List[Any]:
        found: List[Any] = []
        place = self._task
        while place is not None:
            # What the role itself includes on the way is no condition of who called it.
            if not (isinstance(place, TaskInclude) and place._role is self._task._role):
                conditions = getattr(place, "when", None) or []
                # Of what is imported, Ansible leaves it as it is written.
                conditions = conditions if isinstance(conditions, list) else [conditions]
                found += [condition for condition in conditions if condition not in found]
            place = getattr(place, "_parent", None)
        return found

    def facts(self, name: str) -> Dict[str, Any]:
        """The facts of a host that this run has, without the prefix "ansible_". They are not templates.

        Only what the setup module gathered: a variable that was cached as a fact has no prefix.
        """
        prefix = "ansible_"
        return {key[len(prefix) :]: value for key, value in self._cached(name).items() if key.startswith(prefix)}

    def fact_names(self, name: str) -> List[str]:
        """The names of all facts of a host, as the host or set_fact with cacheable chose them."""
        return list(self._cached(name))

    def _cached(self, name: str) -> Mapping[str, Any]:
        # Asked for more than once in a row, and a cache on disk decodes them each time.
        if self._latest[0] != name:
            self._latest = (name, _facts_in(self._cache, name))
        return self._latest[1]

    def without_facts(self, name: str) -> Dict[str, Any]:
        """The variables of a host but its facts, which take Ansible most of the time. They hold templates."""
        with self._facts_from(_NoFacts()):
            return self._variables_of(name)

    def all(self, name: str) -> Dict[str, Any]:
        """All variables of a host. They hold templates."""
        with self._weak_facts():
            return self._variables_of(name)

    def template(
        self, templar: Any, variable: str, value: Any, variables: Dict[str, Any], with_facts: bool = True
    ) -> Any:
        """The value of a host's variable without templates; other hosts' facts count as the host's own do.

        `variables`: the host's, as `all` or, for no facts, `without_facts` returns them. Raises RunFailed.
        """
        facts = self._weak_facts() if with_facts else self._facts_from(_NoFacts())
        try:
            with facts, _available(templar, variables):
                return _decrypted(templar.template(value))
        except AnsibleError as exc:
            is_fact_missing = not with_facts and isinstance(exc, AnsibleUndefinedVariable)
            reason = ". Facts are not used in it, since a managed host chooses them" if is_fact_missing else ""
            # Ansible's messages may have several lines.
            raise RunFailed("{0}: {1}{2}".format(variable, " ".join(str(exc).split()), reason)) from exc

    def _variables_of(self, name: str) -> Dict[str, Any]:
        host = self._hostvars._inventory.get_host(name)
        variables: Dict[str, Any]
        variables = self._manager.get_vars(play=self._play, host=host, task=self._task, include_hostvars=False)
        variables["hostvars"] = self._hostvars
        # Where lookups of files begin.
        variables["ansible_search_path"] = self._task_vars.get("ansible_search_path") or []
        return variables

    def _weak_facts(self) -> Any:
        return self._facts_from(_WeakFacts(self._cache, self._defined))

    def _defined(self, name: str) -> Set[str]:
        """The names that something else than facts defines for a host."""
        return set(self.without_facts(name)) - _OF_FACTS

    @contextlib.contextmanager
    def _facts_from(self, facts: Any) -> Iterator[None]:
        before, self._manager._fact_cache = self._manager._fact_cache, facts
        try:
            yield
        finally:
            self._manager._fact_cache = before


class _NoFacts:
    """A fact cache without facts."""

    def get(self, _name: str, _default: Any = None) -> Dict[str, Any]:
        return {}


class _WeakFacts:
    """A fact cache without those facts that would take the place of a variable."""

    def __init__(self, cache: Any, defined: Callable[[str], Set[str]]) -> None:
        self._cache = cache
        self._defined = defined

    def get(self, name: str, _default: Any = None) -> Dict[str, Any]:
        facts = _facts_in(self._cache, name)
        if not facts:
            return {}
        defined = self._defined(name)
        return {key: value for key, value in facts.items() if key not in defined}


# What Ansible makes of facts even where there are none.
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
    """Before ansible-core 2.19, an encrypted value stays so until it is made a text."""
    return str(value) if getattr(value, "__ENCRYPTED__", False) else value


def _find_play(task: Any) -> Any:
    parent = task._parent
    while not hasattr(parent, "_play"):
        parent = parent._parent
    return parent._play


def has_template(value: Any) -> bool:
    """Whether a value has to go through Ansible's templating before it can be used."""
    if isinstance(value, Mapping):
        return any(has_template(key) or has_template(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(has_template(item) for item in value)
    if isinstance(value, str):
        return "{{" in value or "{%" in value or "{#" in value
    # Encrypted ones, for example.
    return not (value is None or isinstance(value, (bool, int, float)))
