# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A user's spec of a resource of Calico v3, as YAML or JSON gives it.

calicoctl v3.32.1 converts YAML to JSON and reads that strictly (calicoctl/calicoctl/resourcemgr, and its YAML library):
keys in any case, unknown keys rejected, scalars as strings where the field is a string.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping
from typing import Any, Dict, List, Sequence

from ..._core import go_types
from ..._core.errors import MOST_BITS, InvalidInput, brief, shown
from ..._core.go_json import whole
from ..._core.go_types import Number, real_number
from .. import fields
from .field_types import FieldType
from .structs_v3 import SPECS

# Of a key and a similar one.
_SIMILAR = 0.75


class InvalidSpec(InvalidInput, ValueError):
    """The spec is not one that Calico can decode; `problems` names every unknown key and every invalid value."""


def read_spec(kind: str, document_spec: Any) -> Dict[str, Any]:
    """The spec of a manifest of Calico v3. Raises InvalidSpec."""
    return read_struct(SPECS[kind], document_spec, "spec")


def read_struct(kind: FieldType, document: Any, where: str) -> Dict[str, Any]:
    """The struct of a manifest in the form of `structs_v3`: the given fields, without null ones.

    where: the place of the struct in messages; "" for a whole manifest. Raises InvalidSpec.
    """
    problems: List[str] = []
    found: Dict[str, Any] = _read(kind, document, where, problems) or {}
    if problems:
        raise InvalidSpec(problems)
    return found


def _read(kind: FieldType, value: Any, where: str, problems: List[str]) -> Any:
    """The value as Go reads it; None for null and for a value with a problem, which is added to `problems`."""
    try:
        if kind.is_struct:
            return _read_struct(kind, value, where, problems)
        if kind.item:
            return _read_list(kind.item, value, where, problems)
        return _read_scalar(kind, value, where)
    except InvalidInput as exc:
        problems.extend(exc.problems)
    except ValueError as exc:
        problems.append(str(exc))
    return None


def _read_struct(kind: FieldType, value: Any, where: str, problems: List[str]) -> Any:
    if value is None:
        return None
    if not isinstance(value, (dict, Mapping)):
        raise InvalidInput(["{0}: {1} is not a mapping".format(where or "resource", shown(value))])
    found: Dict[str, Any] = {}
    prefix = where and where + "."
    spellings, types = kind.spellings, kind.fields
    for key, item in value.items():
        name = spellings.get(key) or (spellings.get(key.lower()) if isinstance(key, str) else None)
        if name is None:
            problems.append("{0}{1} {2}".format(prefix, brief(key), _unknown(kind, key, problems)))
        elif name in found:
            text = "{0}{1} is {2} in another case, which is also given; keep one of the two"
            problems.append(text.format(prefix, brief(key), name))
        elif types[name].is_text and fields.is_plain_text(item):
            found[name] = item
        else:
            found[name] = _read(types[name], item, prefix + name, problems)
    return {name: item for name, item in found.items() if item is not None} if None in found.values() else found


def _unknown(kind: FieldType, key: Any, problems: Sequence[str]) -> str:
    """The problem of an unknown key, with the similar keys here, else those of the structs in here."""
    if len(problems) >= InvalidInput.SHOWN:
        # It is only counted; the search takes long.
        return "is unknown"
    inner = {
        "{0}.{1}".format(name, each): each.lower() for name, struct in kind.fields.items() for each in struct.fields
    }
    for homes in ({name: name.lower() for name in kind.fields}, inner):
        near = difflib.get_close_matches(brief(key).lower(), sorted(set(homes.values())), 1, _SIMILAR)
        found = [home for home, name in homes.items() if name in near]
        if found:
            return "is unknown: did you mean {0}?".format(" or ".join(found))
    return "is unknown: Calico has no such key here; remove it"


def _read_list(item: FieldType, value: Any, where: str, problems: List[str]) -> Any:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(["{0}: {1} is not a list".format(where, shown(value))])
    if item.is_text and fields.are_plain_texts(value):
        return list(value)
    found = [_read(item, each, "{0}[{1}]".format(where, index), problems) for index, each in enumerate(value)]
    # As Go reads null.
    return [item.read(None, None, where) if each is None else each for each in found]


def _read_scalar(kind: FieldType, value: Any, where: str) -> Any:
    if value is None:
        return None
    if kind.is_text:
        return fields.text(value, where)
    if kind.is_texts:
        given = fields.labels(value, where)
        return {whole(key): whole(text or "") for key, text in given.items()}
    if isinstance(value, str) and not fields.is_plain_text(value):
        # Rejects a value that Ansible has masked.
        value = fields.text(value, where)
    if isinstance(value, (str, int, float)):
        try:
            return _read_again(kind.read, value)
        except (InvalidInput, ValueError):
            # The code below raises the error with the place.
            pass
    return kind.read(_as_json(value, where), None, where)


# The rules of a fleet share few protocols, ports and orders.
@functools.lru_cache(maxsize=4096, typed=True)
def _read_again(read: go_types.Reader, value: Any) -> Any:
    """A string or number as Go reads it into a field whose value cannot be changed in place."""
    return read(_as_json(value, ""), None, "")


def _as_json(value: Any, where: str) -> Any:
    """A scalar as the readers of JSON expect it. Raises InvalidInput for a number or a value that JSON lacks."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and value.bit_length() <= MOST_BITS:
        return Number(str(value))
    if isinstance(value, float) and math.isfinite(value):
        # calicoctl loses the sign of zero.
        return real_number(value or 0.0)
    raise InvalidInput(["{0}: {1} is not a valid value here".format(where, shown(value))])
