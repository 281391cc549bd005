# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PyYAML, which a managed host may lack."""

from __future__ import annotations

import traceback
from typing import Any, List

from ._errors import MissingLibrary

try:
    import yaml
except ImportError:
    yaml = None
    IMPORT_ERROR = traceback.format_exc()
else:
    IMPORT_ERROR = None


def load(text: str) -> Any:
    """The YAML document of a text. Raises ValueError for what is not YAML."""
    check_library()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError("is not YAML: {0}".format(" ".join(str(exc).split()))) from exc


def load_all(text: str) -> List[Any]:
    """The YAML documents of a text. Raises ValueError for what is not YAML."""
    check_library()
    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as exc:
        raise ValueError("is not YAML: {0}".format(" ".join(str(exc).split()))) from exc


def dump(value: Any) -> str:
    """The value as block-style YAML, mappings in their own order."""
    check_library()
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False)


def check_library() -> None:
    """Raise MissingLibrary where there is no PyYAML."""
    if yaml is None:
        raise MissingLibrary("PyYAML", IMPORT_ERROR)
