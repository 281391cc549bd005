# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions of an audit: findings that are known and accepted until a date. Plain Python, without Ansible.

An exception never hides a finding. The reports contain it with the reason, but it does not count.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, shown
from ansible_collections.netsec.calico.plugins.module_utils._guard.checks import CHECKS
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import ALL_NODES

UNMET, EXPIRED = "unmet", "expired"
_KEYS = ("node", "group", "class", "rule", "name", "reason", "expires")
# What an exception can accept. An expired exception is renewed or removed.
_CLASSES = tuple(kind for kind in CLASSES if kind != EXPIRED)
_RULES = tuple(CHECKS) + tuple(CLASSES[kind].rule for kind in _CLASSES if CLASSES[kind].rule)
_NOT_ACCEPTED = (EXPIRED, CLASSES[EXPIRED].rule)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class AuditException(NamedTuple):
    """A checked item of hostendpoints_audit_exceptions."""

    # The variable and the index.
    where: str
    # A name of a host or node, or a pattern; "" if a group is given.
    node: str
    group: str
    # The hosts of the group. Empty if the inventory does not have the group.
    members: Collection[str]
    # The key that selects the findings, "class" or "rule", and its value.
    key: str
    kind: str
    # "" for any.
    name: str
    reason: str
    expires: datetime.date
    is_expired: bool

    def covers(self, finding: Mapping[str, Any]) -> bool:
        """Whether it is about this finding, regardless of its date."""
        if finding.get(self.key) != self.kind or not self.covers_host(finding["host"], finding["node"]):
            return False
        # The name of a policy follows its kind.
        names = [finding["name"], *(finding["name"].split(" ", 1)[1:] if finding["node"] == ALL_NODES else ())]
        return not self.name or self.name in names

    def covers_host(self, host: str, node: str = "") -> bool:
        if self.group:
            return host in self.members
        return any(fnmatchcase(name, self.node) for name in (host, node) if name)

    def format_subject(self) -> str:
        """What it accepts and where."""
        place = "group " + self.group if self.group else self.node
        return "{0}{1} on {2}".format(self.kind, " " + self.name if self.name else "", place)


def read_exceptions(
    where: str, values: Any, find_hosts: Callable[[str], Collection[str]], today: datetime.date
) -> List[AuditException]:
    """Return the exceptions in the value of a variable. Raises ReportError, naming variable and index.

    where: the name of the variable.
    find_hosts: returns the hosts of a group; none if the inventory does not have it.
    today: an exception is valid until the end of its last day, in UTC.
    """
    if values in (None, ""):
        return []
    if not isinstance(values, (list, tuple)):
        raise ReportError("{0}: {1} is not a list of exceptions".format(where, shown(values)))
    return [
        _read_exception("{0}[{1}]".format(where, index), value, find_hosts, today) for index, value in enumerate(values)
    ]


def _read_exception(
    where: str, value: Any, find_hosts: Callable[[str], Collection[str]], today: datetime.date
) -> AuditException:
    if not isinstance(value, Mapping):
        raise ReportError("{0}: {1} is not a mapping".format(where, shown(value)))
    unknown = [brief(key) for key in value if key not in _KEYS]
    if unknown:
        raise ReportError("{0}: {1} is unknown; use {2}".format(where, ", ".join(unknown[:10]), ", ".join(_KEYS)))
    expires = _read_date(where, value.get("expires"))
    texts = {key: _read_text(where, key, value.get(key)) for key in _KEYS if key != "expires"}
    _check_choice(where, texts, "node", "group")
    _check_choice(where, texts, "class", "rule")
    if not texts["reason"]:
        raise ReportError("{0}: reason is required".format(where))
    key = "class" if texts["class"] else "rule"
    known = {"class": _CLASSES, "rule": _RULES}[key]
    if texts[key] not in known:
        # What expired cannot be accepted, but renewed or removed.
        problem = "cannot be accepted" if texts[key] in _NOT_ACCEPTED else "is not a {0} of findings".format(key)
        message = "{0}: {1} {2} {3}; use {4}"
        raise ReportError(message.format(where, key, shown(texts[key]), problem, ", ".join(known)))
    return AuditException(
        where=where,
        node=texts["node"],
        group=texts["group"],
        members=frozenset(find_hosts(texts["group"])) if texts["group"] else (),
        key=key,
        kind=texts[key],
        name=texts["name"],
        reason=" ".join(texts["reason"].split()),
        expires=expires,
        is_expired=expires < today,
    )


def _read_text(where: str, key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ReportError("{0}: {1} {2} is not a string".format(where, key, shown(value)))
    return str(value).strip()


def _check_choice(where: str, texts: Mapping[str, str], one: str, other: str) -> None:
    if bool(texts[one]) == bool(texts[other]):
        raise ReportError("{0}: exactly one of {1} and {2} is required".format(where, one, other))


def _read_date(where: str, value: Any) -> datetime.date:
    """A date, which YAML parses into an object unless it is quoted."""
    if value is None:
        raise ReportError("{0}: expires is required; set a date such as 2027-01-31".format(where))
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.date(value.year, value.month, value.day)
    found: Optional[datetime.date] = None
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        try:
            found = datetime.date(*map(int, value.strip().split("-")))
        except ValueError:
            pass
    if found is None:
        text = value.isoformat() if isinstance(value, datetime.datetime) else shown(value)
        raise ReportError("{0}: expires {1} is not a date; use YYYY-MM-DD".format(where, text))
    return found


def apply_exceptions(
    findings: Iterable[Mapping[str, Any]], exceptions: Collection[AuditException]
) -> Iterator[Dict[str, Any]]:
    """The findings, with `accepted` if a valid exception covers them; and a finding for each expired exception."""
    valid = [exception for exception in exceptions if not exception.is_expired]
    for finding in findings:
        covering = next((exception for exception in valid if exception.covers(finding)), None)
        accepted = {"accepted": "until {0}: {1}".format(covering.expires, covering.reason)} if covering else {}
        yield dict(finding, **accepted)
    yield from (_build_finding(exception) for exception in exceptions if exception.is_expired)


def _build_finding(exception: AuditException) -> Dict[str, Any]:
    message = "{0} expired on {1}; it accepted {2}, because: {3}".format(
        exception.where, exception.expires, exception.format_subject(), exception.reason
    )
    return {
        "class": EXPIRED,
        "severity": CLASSES[EXPIRED].severity,
        "rule": CLASSES[EXPIRED].rule,
        "host": "",
        "node": ALL_NODES,
        "name": exception.format_subject(),
        "interface_name": "",
        "fields": [],
        "message": message,
        "remedy": "renew {0} with a later date in expires, or remove it".format(exception.where),
    }


def warn_about_unused(
    exceptions: Iterable[AuditException],
    findings: Collection[Mapping[str, Any]],
    compared: Mapping[str, str],
    others: Collection[str],
    unknown: Iterable[Mapping[str, Any]] = (),
) -> Iterator[str]:
    """A warning for each valid exception that covers no finding.

    compared: {host: node} of the hosts that were compared.
    others: all other hosts of the inventory. Whether an exception for only these covers anything is unknown.
    unknown: the expectations that may be unmet. Whether an exception for one of them covers anything is unknown.
    """
    unmet = {"class": UNMET, "rule": CLASSES[UNMET].rule}
    possible = [*findings, *(dict(unmet, **expectation) for expectation in unknown)]
    for exception in exceptions:
        if exception.is_expired or any(exception.covers(finding) for finding in possible):
            continue
        is_compared = any(exception.covers_host(host, node) for host, node in compared.items())
        if is_compared or not any(exception.covers_host(host) for host in others):
            yield "{0} covers no finding ({1}); remove it if it is obsolete".format(
                exception.where, exception.format_subject()
            )
