# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The spec of a new resource as JSON, as Go writes it: without the plain data in between, three times as fast."""

from __future__ import annotations

from typing import Any, Mapping

from ..._core.go_types import format_members, json_text, json_texts, to_json
from ..._resources._specs.field_types import FieldType


def format_value(kind: FieldType, value: Any) -> str:
    """The JSON of `as_document`, for a value that is tidy, filled, and has no unknown fields."""
    if kind.is_text:
        return json_text(value)
    if kind.is_struct:
        if not value:
            return "{}"
        members = [mark + format_value(each, value[name]) for name, mark, each in kind.marked if name in value]
        return "{" + ",".join(members) + "}"
    if kind.item:
        if kind.item.is_text:
            return json_texts(value)
        return "[" + ",".join([format_value(kind.item, each) for each in value]) + "]"
    if kind.is_texts:
        return format_mapping(value)
    return to_json(kind.write(value))


def format_mapping(mapping: Mapping[str, str]) -> str:
    """The JSON of labels or annotations, which Go sorts."""
    return format_members(tuple(sorted(mapping.items())))
