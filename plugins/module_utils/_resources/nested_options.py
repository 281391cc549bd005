# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of nested options, which Ansible's argument specifications do not reach."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Collection

from .._core.errors import InvalidInput, brief, shown

_PORT = re.compile("[0-9]{1,5}", re.ASCII)


def check_keys(given: Any, known: Collection[str], where: str) -> Mapping[str, Any]:
    """The given mapping. Raises InvalidInput for another value, and for the first key that is not a known one.

    where: the option, as messages name it; "" for a whole item.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput(["{0}{1} is not a mapping".format(where and where + ": ", shown(given))])
    for key in given:
        if key not in known:
            text = "{0}{1} is unknown; use {2}"
            raise InvalidInput([text.format(where and where + ".", brief(key), ", ".join(known))])
    return given


def parse_port(value: Any, where: str) -> int:
    """A port, given as a number or as a string of digits. Raises InvalidInput."""
    is_number = not isinstance(value, bool) and bool(_PORT.fullmatch(str(value)))
    if not is_number or not 0 < int(value) <= 65535:
        raise InvalidInput(["{0}.port: {1} is not a port; set a number from 1 to 65535".format(where, shown(value))])
    return int(value)
