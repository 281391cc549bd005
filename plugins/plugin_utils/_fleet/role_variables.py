# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables of the role hostendpoints and of the playbooks: which there are, and which a user may have meant."""

from __future__ import annotations

from typing import Iterable, List

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

PREFIX = "hostendpoints_"
# Without the prefix. Those of the role stand in its argument specification, too.
OF_THE_ROLE = (
    "audit_fail_on",
    "audit_report_dir",
    "audit_report_formats",
    "calicoctl_config",
    "canary",
    "canary_wait",
    "dataplane",
    "datastore_type",
    "decommission",
    "endpoints",
    "etcd_ca_cert_file",
    "etcd_cert_file",
    "etcd_endpoints",
    "etcd_key_file",
    "etcd_password",
    "etcd_username",
    "failsafes",
    "gather_facts",
    "gathered_dest",
    "group_labels",
    "guard",
    "guard_limit",
    "guard_require",
    "host_labels",
    "ignore",
    "interfaces",
    "labels",
    "node",
    "owner",
    "purge",
    "purge_limit",
    "python_interpreter",
    "timeout",
)
OF_THE_PLAYBOOKS = (
    "audit_after",
    "audit_before",
    "hosts",
    "migrate_from",
    "migrate_ignore_malformed",
    "migrate_overwrite",
    "migrate_to",
)
# What tasks register or publish.
RESULTS = ("audit", "audit_result", "decommission_result", "gathered", "migrate_result", "result")
_KNOWN = frozenset(PREFIX + name for name in (*OF_THE_ROLE, *OF_THE_PLAYBOOKS, *RESULTS))
# Names that are shorter than this are often alike by chance.
_SHORT, _LONG = 6, 9


def unknown_variables(names: Iterable[str]) -> List[str]:
    """Those that have the role's prefix and are not known, sorted."""
    return sorted(name for name in names if name.startswith(PREFIX) and name not in _KNOWN)


def check_spelling(where: str, names: Iterable[str]) -> List[str]:
    """A warning for each unknown variable. Raises RunFailed for one that is most likely misspelt.

    where: the host that has them.
    """
    warnings = []
    for name in unknown_variables(names):
        own = name[len(PREFIX) :]
        meant = next((known for known in (*OF_THE_ROLE, *OF_THE_PLAYBOOKS) if _is_slip(own, known)), "")
        if meant:
            raise RunFailed(
                "{0}: {1} is not a variable of the role, and nothing was done; did you mean {2}?".format(
                    where, brief(name), PREFIX + meant
                )
            )
        warnings.append("{0} is not a variable of the role and has no effect".format(brief(name)))
    return warnings


def _is_slip(name: str, known: str) -> bool:
    """Whether a name is most likely a known one with a slip of the fingers."""
    if name.replace("_", "") == known.replace("_", ""):
        return True
    if abs(len(name) - len(known)) > 2:
        return False
    most = 2 if min(len(name), len(known)) >= _LONG else 1
    return _slips(name, known, substitution=1 if len(known) >= _SHORT else 2) <= most


def _slips(name: str, known: str, substitution: int) -> int:
    """How many letters are missing, too many, swapped with the next one, or (at this price) others."""
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
