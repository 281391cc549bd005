# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""User input as the fields of a host endpoint: only the given fields, each with its type."""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Set, Sized, Tuple

from .._core.errors import MOST_BITS, InvalidInput, brief, shown
from .hostendpoint import Port

# Option names as Calico spells them.
_ALIASES = {"interfaceName": "interface_name", "expectedIPs": "expected_ips"}

# etcd rejects an endpoint with more addresses, labels or ports, so they are not checked one by one.
_MOST_ITEMS = 100000

# ansible.module_utils.common.parameters
_MASK = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def parse_options(options: Mapping[str, Any], places: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """The given fields (not None) of a module's options; `places` maps each to its name in messages."""
    fields = {}
    for name, convert in _CONVERT.items():
        value = options.get(name)
        if value is not None:
            fields[name] = convert(value, places[name] if places else name)
    return fields


def parse_fields(mapping: Any) -> Dict[str, Any]:
    """The given fields of a mapping that Ansible has not checked, in the modules' or in Calico's spelling."""
    # Here and below: the test of a dict is faster.
    if not isinstance(mapping, (dict, Mapping)):
        raise InvalidInput(["{0} is not an endpoint".format(shown(mapping))])
    return parse_options(mapping if _FIELDS.issuperset(mapping) else _in_our_spelling(mapping))


def _in_our_spelling(mapping: Mapping[str, Any]) -> Dict[str, Any]:
    options: Dict[str, Any] = {}
    unknown = [key for key, value in mapping.items() if value is not None and key not in _SPELLINGS]
    if unknown:
        named = ", ".join(sorted(map(brief, unknown[: InvalidInput.SHOWN])))
        more = len(unknown) - InvalidInput.SHOWN
        named += " and {0} more".format(more) if more > 0 else ""
        raise InvalidInput(["{0} is unknown: an endpoint has {1}".format(named, ", ".join(_CONVERT))])
    for key, value in mapping.items():
        if value is None:
            continue
        name = _SPELLINGS[key]
        # If Ansible has checked the options, both spellings exist and are equal.
        if options.setdefault(name, value) != value:
            aliases = " and ".join(spelling for spelling in _SPELLINGS if _SPELLINGS[spelling] == name)
            raise InvalidInput(["{0} are the same field, given twice".format(aliases)])
    return options


def with_empty_labels(fields: Mapping[str, Any]) -> Dict[str, Any]:
    """The fields of a whole endpoint, with null labels and annotations as empty strings, as calicoctl reads them."""
    found = dict(fields)
    for field in ("labels", "annotations") if "annotations" in fields else ("labels",):
        given = found.setdefault(field, {})
        if None in given.values():
            found[field] = {key: "" if value is None else value for key, value in given.items()}
    return found


def text(value: Any, where: str) -> str:
    """A scalar as calicoctl reads it into a string field: `true` becomes "true", `10` becomes "10", a date its string.

    Raises InvalidInput for a value that is not a scalar, and for a number that Calico would spell differently than the
    user ("2.0" becomes "2").
    """
    if isinstance(value, str):
        if _MASK in value:
            raise InvalidInput(
                ["{0}: {1} was masked by Ansible because it contains a password".format(where, shown(value))]
            )
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise InvalidInput(["{0}: {1} is too long; quote it".format(where, shown(value))])
        return str(value)
    if isinstance(value, float):
        if "{0:.6g}".format(value) != repr(value) or not math.isfinite(value):
            raise InvalidInput(
                ["{0}: {1} is a YAML number that does not keep its spelling; quote it".format(where, value)]
            )
        return repr(value)
    if isinstance(value, datetime.date):
        # Ansible has already parsed it. It was most likely written like this.
        written = value.isoformat()
        return written[: -len(_UTC)] + "Z" if written.endswith(_UTC) else written
    raise InvalidInput(["{0}: {1} is not a string".format(where, shown(value))])


_UTC = "+00:00"


def labels(value: Any, where: str) -> Dict[str, Optional[str]]:
    """Labels or annotations."""
    if not isinstance(value, (dict, Mapping)):
        raise InvalidInput(["{0}: {1} is not a mapping of keys to strings".format(where, shown(value))])
    _check_number(value, where)
    if are_plain_texts([*value, *value.values()]):
        return value if type(value) is dict else dict(value)  # pylint: disable=unidiomatic-typecheck
    # Only messages need the place, and formatting it would take most of the time.
    found = {
        key if is_plain_text(key) else text(key, where): item
        if item is None or is_plain_text(item)
        else text(item, "{0}[{1}]".format(where, brief(key)))
        for key, item in value.items()
    }
    if len(found) < len(value):
        raise InvalidInput(["{0}: {1} is given twice".format(where, _first_twice(text(key, where) for key in value))])
    return found


def _first_twice(keys: Iterable[str]) -> str:
    """The key that is given both as a string and as a number, a boolean or a date."""
    seen: Set[str] = set()
    for key in keys:
        if key in seen:
            return brief(key)
        seen.add(key)
    return ""


def is_plain_text(value: Any) -> bool:
    """Whether it is a string that needs no conversion."""
    return type(value) is str and _MASK not in value  # pylint: disable=unidiomatic-typecheck


def are_plain_texts(values: Sequence[Any]) -> bool:
    """The same for all values; they are joined, since one search is faster than several."""
    return _TEXT_ONLY.issuperset(map(type, values)) and _MASK not in "\n".join(values)


_TEXT_ONLY = frozenset([str])


def texts(value: Any, where: str) -> Tuple[str, ...]:
    items = _sequence(value, where)
    if are_plain_texts(items):
        return tuple(items)
    return tuple([text(item, "{0}[{1}]".format(where, index)) for index, item in enumerate(items)])


def addresses(value: Any, where: str) -> Tuple[str, ...]:
    items = _sequence(value, where)
    if _TEXT_ONLY.issuperset(map(type, items)):
        return tuple(items)
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise InvalidInput(["{0}[{1}]: {2} is not a string; quote the address".format(where, index, shown(item))])
    return tuple(map(str, items))


def ports(value: Any, where: str) -> Tuple[Port, ...]:
    return tuple(_port(item, "{0}[{1}]".format(where, index)) for index, item in enumerate(_sequence(value, where)))


def _port(value: Any, where: str) -> Port:
    found = value
    if isinstance(value, Mapping) and set(value) != set(Port._fields):
        # Calico reads the keys in any case.
        found = {key.lower(): item for key, item in value.items() if isinstance(key, str)}
    if not isinstance(found, Mapping) or set(found) != set(Port._fields) or len(found) < len(value):
        raise InvalidInput(
            ["{0}: {1} is not a valid port; it must have exactly name, protocol and port".format(where, shown(value))]
        )
    number = _whole(found["port"])
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidInput(["{0}.port: {1} is not a number".format(where, shown(number))])
    protocol = text(_whole(found["protocol"]), where + ".protocol")
    return Port(text(found["name"], where + ".name"), protocol, number)


def _whole(value: Any) -> Any:
    """A number such as 80.0 as an int, as Calico reads it; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _sequence(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(["{0}: {1} is not a list".format(where, shown(value))])
    _check_number(value, where)
    return value


def _check_number(items: Sized, where: str) -> None:
    if len(items) > _MOST_ITEMS:
        text = "{0}: has {1} items, more than etcd accepts in one endpoint; the maximum is {2}"
        raise InvalidInput([text.format(where, len(items), _MOST_ITEMS)])


# Here and below: the endpoints of a fleet share few nodes, interfaces, profiles and labels. In memory, equal ones exist
# once, and each is checked once.
@functools.lru_cache(maxsize=4096)
def _share_text(value: str) -> str:
    if len(value) > _MOST_SHARED or not is_plain_text(value):
        raise ValueError
    return value


@functools.lru_cache(maxsize=4096)
def _share_texts(items: Tuple[str, ...]) -> Tuple[str, ...]:
    if len(items) > _MOST_SHARED or not are_plain_texts(items):
        raise ValueError
    return items


@functools.lru_cache(maxsize=4096)
def _share_labels(members: Tuple[Tuple[str, str], ...]) -> Dict[str, Optional[str]]:
    if len(members) > _MOST_SHARED or not are_plain_texts([part for member in members for part in member]):
        raise ValueError
    return dict(members)


# Of letters and of items.
_MOST_SHARED = 300


def _shared_text(value: Any, where: str) -> str:
    """The same as `text`, of a string that others may share, as below."""
    try:
        return _share_text(value)
    except (TypeError, ValueError):
        return text(value, where)


def _shared_texts(value: Any, where: str) -> Tuple[str, ...]:
    try:
        return _share_texts(tuple(_sequence(value, where)))
    except (TypeError, ValueError):
        return texts(value, where)


def _shared_labels(value: Any, where: str) -> Mapping[str, Optional[str]]:
    try:
        return _share_labels(tuple(value.items()))
    except (AttributeError, TypeError, ValueError):
        return labels(value, where)


_CONVERT: Dict[str, Callable[[Any, str], Any]] = {
    "name": text,
    "node": _shared_text,
    "labels": _shared_labels,
    "interface_name": _shared_text,
    "expected_ips": addresses,
    "profiles": _shared_texts,
    "ports": ports,
    "annotations": labels,
}
_FIELDS = frozenset(_CONVERT)
# {spelling: our name of the field}
_SPELLINGS = {**{name: name for name in _CONVERT}, **_ALIASES}
