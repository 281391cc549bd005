# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the variables of the roles hostendpoints and policies, and of the playbooks.

A new variable is a row here, and stands in the role's argument_specs.yml, defaults/main.yml and README; a variable that
is not read of each host also in the role's vars/main.yml. A test compares them.
"""

from __future__ import annotations

import enum
from typing import Dict, Iterable, List, NamedTuple, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import list_options
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

PREFIX = "hostendpoints_"
POLICIES_PREFIX = "calico_policies_"
# The prefixes of this collection's variables.
OWN_PREFIXES = ("hostendpoints_", "calico_", "__hostendpoints_", "__calico_")


class Scope(enum.Enum):
    """Whose value counts."""

    # Each host has its own.
    HOST = "host"
    # The same, read only for the guard and the audit.
    GUARD = "guard"
    # Every host of a run must have the value of the first host.
    RUN = "run"
    # The same, evaluated, and only in a run that writes.
    WRITING = "writing"
    # The same, only in an audit.
    AUDIT = "audit"
    # The first host's, not compared with others.
    FIRST_HOST = "first host"
    # A playbook's own.
    PLAYBOOK = "playbook"
    # Registered or published by a task.
    RESULT = "result"


class RoleVariable(NamedTuple):
    """A row of the table."""

    # Without the prefix.
    name: str
    scope: Scope
    # By Ansible's name, if HostVariables checks it or the datastore's options declare it.
    type: str = ""


VARIABLES: Tuple[RoleVariable, ...] = (
    *(RoleVariable(option.role_variable or option.name, Scope.RUN, option.spec["type"]) for option in list_options()),
    RoleVariable("owner", Scope.RUN),
    RoleVariable("purge", Scope.RUN),
    RoleVariable("purge_limit", Scope.RUN),
    RoleVariable("decommission", Scope.RUN),
    RoleVariable("node", Scope.HOST, "str"),
    RoleVariable("interfaces", Scope.HOST, "list"),
    RoleVariable("ignore", Scope.HOST, "list"),
    RoleVariable("labels", Scope.HOST, "dict"),
    RoleVariable("group_labels", Scope.HOST, "dict"),
    RoleVariable("host_labels", Scope.HOST, "dict"),
    RoleVariable("endpoints", Scope.HOST, "list"),
    RoleVariable("guard_require", Scope.GUARD),
    RoleVariable("failsafes", Scope.GUARD),
    RoleVariable("dataplane", Scope.GUARD),
    RoleVariable("connectivity", Scope.GUARD),
    RoleVariable("group_connectivity", Scope.GUARD),
    RoleVariable("guard", Scope.WRITING),
    RoleVariable("guard_limit", Scope.WRITING),
    RoleVariable("canary", Scope.WRITING),
    RoleVariable("canary_wait", Scope.WRITING),
    RoleVariable("server_dry_run", Scope.WRITING),
    RoleVariable("audit_exceptions", Scope.AUDIT),
    RoleVariable("diff_style", Scope.WRITING),
    RoleVariable("check_fails_on_change", Scope.WRITING),
    RoleVariable("audit_fail_on", Scope.AUDIT),
    RoleVariable("audit_report_dir", Scope.AUDIT),
    RoleVariable("audit_report_formats", Scope.AUDIT),
    RoleVariable("gather_facts", Scope.FIRST_HOST),
    RoleVariable("gathered_dest", Scope.FIRST_HOST),
    RoleVariable("plan", Scope.FIRST_HOST),
    RoleVariable("plan_document", Scope.FIRST_HOST),
    RoleVariable("python_interpreter", Scope.FIRST_HOST),
    RoleVariable("hosts", Scope.PLAYBOOK),
    RoleVariable("audit_before", Scope.PLAYBOOK),
    RoleVariable("audit_after", Scope.PLAYBOOK),
    RoleVariable("audit_reports", Scope.PLAYBOOK),
    RoleVariable("check_manifests", Scope.PLAYBOOK),
    RoleVariable("check_facts", Scope.PLAYBOOK),
    RoleVariable("check_junit", Scope.PLAYBOOK),
    RoleVariable("migrate_from", Scope.PLAYBOOK),
    RoleVariable("migrate_to", Scope.PLAYBOOK),
    RoleVariable("migrate_ignore_malformed", Scope.PLAYBOOK),
    RoleVariable("migrate_overwrite", Scope.PLAYBOOK),
    RoleVariable("apply", Scope.RESULT),
    RoleVariable("audit", Scope.RESULT),
    RoleVariable("audit_result", Scope.RESULT),
    RoleVariable("audit_trend", Scope.RESULT),
    RoleVariable("check_result", Scope.RESULT),
    RoleVariable("decommission_result", Scope.RESULT),
    RoleVariable("gathered", Scope.RESULT),
    RoleVariable("migrate_result", Scope.RESULT),
    RoleVariable("result", Scope.RESULT),
)


def list_names(*scopes: Scope) -> Tuple[str, ...]:
    """The variables of these scopes, without the prefix."""
    return tuple(variable.name for variable in VARIABLES if variable.scope in scopes)


def list_types(scope: Scope) -> Dict[str, str]:
    """{variable without the prefix: Ansible's name of its type}"""
    return {variable.name: variable.type for variable in VARIABLES if variable.scope is scope}


# The variables of the role policies without the prefix. Every host of a run must have the value of the first host.
POLICY_VARIABLES: Tuple[str, ...] = (
    "resources",
    "src",
    "group_sets",
    "library",
    "selector",
    "ping_from",
    "ssh_from",
    "ssh_ports",
    "dns_servers",
    "ntp_servers",
    "etcd_servers",
    "etcd_ports",
    "kube_apiservers",
    "kube_apiserver_ports",
    "node_exporter_from",
    "node_exporter_ports",
    "owner",
    "purge",
    "purge_limit",
    "calico_version",
    "canary",
    "canary_hosts",
    "gathered_dest",
)
_POLICY_RESULTS = ("result", "audit_result", "gathered")

# Optional questions of the surveys in AWX. An extra variable that is an empty string is an unanswered question, and the
# inventory decides.
SURVEYED = (
    *(PREFIX + name for name in ("guard", "guard_limit", "canary", "purge", "purge_limit")),
    *(POLICIES_PREFIX + name for name in ("purge", "purge_limit")),
)

# Those of the argument specification.
OF_THE_ROLE = list_names(*(scope for scope in Scope if scope not in (Scope.PLAYBOOK, Scope.RESULT)))
_PREFIXES = (PREFIX, POLICIES_PREFIX)
_KNOWN = frozenset(
    (
        *(PREFIX + variable.name for variable in VARIABLES),
        *(POLICIES_PREFIX + name for name in (*POLICY_VARIABLES, *_POLICY_RESULTS)),
    )
)
# What a user may have meant.
_CANDIDATES = {
    PREFIX: (*sorted(OF_THE_ROLE), *sorted(list_names(Scope.PLAYBOOK))),
    POLICIES_PREFIX: tuple(sorted(POLICY_VARIABLES)),
}
# Names that are shorter than this are often similar by chance.
_SHORT, _LONG = 6, 9


def unknown_variables(names: Iterable[str]) -> List[str]:
    """The variables that have a role's prefix and are unknown, sorted."""
    return sorted(name for name in names if name.startswith(_PREFIXES) and name not in _KNOWN)


def _find_prefix(name: str) -> str:
    return next(prefix for prefix in _PREFIXES if name.startswith(prefix))


def check_spelling(where: str, names: Iterable[str]) -> List[str]:
    """A warning for each unknown variable. Raises RunFailed for a variable that is most likely misspelt.

    where: the host that has the variables.
    """
    warnings = []
    for name in unknown_variables(names):
        prefix = _find_prefix(name)
        own = name[len(prefix) :]
        meant = next((known for known in _CANDIDATES[prefix] if _is_slip(own, known)), "")
        if meant:
            raise RunFailed(
                "{0}: {1} is not a variable of the role, and nothing was done; did you mean {2}?".format(
                    where, brief(name), prefix + meant
                )
            )
        warnings.append("{0} is not a variable of the role and has no effect".format(brief(name)))
    return warnings


def _is_slip(name: str, known: str) -> bool:
    """Whether a name is most likely a mistyped known name."""
    if name.replace("_", "") == known.replace("_", ""):
        return True
    if abs(len(name) - len(known)) > 2:
        return False
    most = 2 if min(len(name), len(known)) >= _LONG else 1
    return _slips(name, known, substitution=1 if len(known) >= _SHORT else 2) <= most


def _slips(name: str, known: str, substitution: int) -> int:
    """The number of letters that are missing, extra, swapped with the next letter, or (at this cost) replaced."""
    before: List[int] = []
    row = list(range(len(known) + 1))
    for index, letter in enumerate(name):
        older, before, row = before, row, [index + 1]
        for place, wanted in enumerate(known):
            best = min(before[place + 1] + 1, row[place] + 1, before[place] + (letter != wanted) * substitution)
            if index and place and letter == known[place - 1] and name[index - 1] == wanted:
                best = min(best, older[place - 1] + 1)
            row.append(best)
    return row[-1]
