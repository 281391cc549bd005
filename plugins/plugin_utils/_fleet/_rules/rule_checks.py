# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the format of an interface rule, and reads its values. Plain Python, without Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import (
    CalicoError,
    InvalidInput,
    format_message,
    shown,
)
from ansible_collections.netsec.calico.plugins.module_utils._core.ip import Net, is_in_net, parse_address, parse_net
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.resolution import ALL_INTERFACES
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.module_utils._resources.nested_options import check_keys

_RULE_KEYS = ("match", "endpoint")
_EXPECTED_KEYS = ("from", "except", "temporary")


class RuleError(CalicoError):
    """A rule, or another setting of a host, does not have the documented format."""


def check_rule(rule: Any, index: int, api_version: ApiVersion) -> None:
    """Raise RuleError for the first problem of a rule."""
    try:
        _check_form(rule)
        for section, checks in (("match", _MATCH_CHECKS), ("endpoint", _ENDPOINT_CHECKS)):
            for key, (holds, kind) in checks.items():
                value = (rule.get(section) or {}).get(key)
                if value is not None and not holds(value):
                    raise RuleError("{0}.{1} {2} is not {3}".format(section, key, shown(value), kind))
        for network in listed((rule.get("match") or {}).get("network")):
            try:
                parse_net(network)
            except ValueError as exc:
                raise RuleError("match.network: {0}".format(exc)) from exc
        endpoint = rule.get("endpoint") or {}
        if isinstance(endpoint.get("expected_ips"), Mapping):
            _check_expected_ips(endpoint["expected_ips"])
        if endpoint.get("interface_name") == ALL_INTERFACES and not api_version.has_wildcards:
            text = (
                "endpoint.interface_name '*' means all interfaces, which Calico v1 ({datastore_type} etcdv2) does not "
                "support; set it to true or false"
            )
            raise RuleError(format_message(text))
    except (RuleError, InvalidInput) as exc:
        raise RuleError("rule {0}: {1}".format(index + 1, exc)) from exc


def is_in(text: str, networks: Sequence[Net]) -> bool:
    """Whether an address is in one of the networks."""
    address = parse_address(text)
    return any(is_in_net(network, *address) for network in networks)


def listed(value: Any) -> List[str]:
    """The items of a list, or a single item as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def flag(value: Any) -> bool:
    """The value of a boolean, which a template may have converted to a string."""
    return value if isinstance(value, bool) else _FLAGS[str(value).lower()]


def is_truth(value: Any) -> bool:
    """Whether a value that may also be a pattern is a boolean, which a template may have converted to a string."""
    return isinstance(value, bool) or isinstance(value, str) and value.lower() in ("true", "false")


# --- checks ---


def _check_form(rule: Any) -> None:
    if not isinstance(rule, Mapping):
        raise RuleError("{0} is not a mapping with match and endpoint".format(shown(rule)))
    for where, content, known in (
        ("", rule, _RULE_KEYS),
        ("match", {} if rule.get("match") is None else rule["match"], _MATCH_CHECKS),
        ("endpoint", {} if rule.get("endpoint") is None else rule["endpoint"], _ENDPOINT_CHECKS),
    ):
        if not isinstance(content, Mapping):
            raise RuleError("{0} is not a mapping".format(where))
        check_keys(content, known, where)
    for section in _RULE_KEYS:
        if section in rule and rule[section] is None:
            raise RuleError("{0} is null; omit it instead".format(section))
    for key, value in (rule.get("match") or {}).items():
        if value is None or value == []:
            raise RuleError("match.{0} is empty; omit it to match every interface".format(key))


def _check_expected_ips(value: Mapping[str, Any]) -> None:
    check_keys(value, _EXPECTED_KEYS, "endpoint.expected_ips")
    where = "endpoint.expected_ips."
    if value.get("from") not in (None, "facts"):
        raise RuleError("{0}from: {1} is not facts".format(where, shown(value["from"])))
    if value.get("temporary") is not None and not _is_flag(value["temporary"]):
        raise RuleError("{0}temporary: {1} is not true or false".format(where, shown(value["temporary"])))
    left_out = value.get("except")
    if not isinstance(left_out, (str, list, type(None))):
        raise RuleError("{0}except: {1} is not a list of networks".format(where, shown(left_out)))
    for index, text in enumerate(listed(left_out)):
        try:
            # A number would be parsed as an address.
            parse_net(text if isinstance(text, str) else "")
        except ValueError as exc:
            rule = "is not a network or an address, such as 192.0.2.0/24 or 2001:db8::1"
            raise RuleError("{0}except[{1}]: {2} {3}".format(where, index, shown(text), rule)) from exc


def _is_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or str(value).lower() in _FLAGS


def _is_expected(value: Any) -> bool:
    return isinstance(value, (list, Mapping)) or value in ("facts", "none")


_Check = Tuple[Callable[[Any], bool], str]

_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_TEXTS: _Check = (_is_texts, "a string or a list of strings")
_FLAG: _Check = (_is_flag, "true or false")
_LIST: _Check = (lambda value: isinstance(value, list), "a list")
_MATCH_CHECKS: Dict[str, _Check] = {
    "name": _TEXTS,
    "type": _TEXTS,
    "network": _TEXTS,
    "default_route": _FLAG,
    "active": _FLAG,
    "driver": _TEXTS,
    "physical": _FLAG,
    "member_of": (
        lambda value: is_truth(value) or _is_texts(value),
        "true, false, a string or a list of strings",
    ),
    "mac": _TEXTS,
}
_ENDPOINT_CHECKS: Dict[str, _Check] = {
    "name": (lambda value: isinstance(value, str), "a string"),
    "labels": (lambda value: isinstance(value, Mapping), "a mapping"),
    "profiles": _LIST,
    "ports": _LIST,
    "expected_ips": (
        _is_expected,
        "facts, none, a list or a mapping with {0}".format(", ".join(_EXPECTED_KEYS)),
    ),
    "interface_name": (lambda value: value == ALL_INTERFACES or _is_flag(value), "true, false or '*'"),
}
