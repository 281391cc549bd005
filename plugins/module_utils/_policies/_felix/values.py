# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of settings that stop Felix of Calico v3, and its defaults for other unreadable values.

projectcalico/calico v3.32.1, felix/config: config_params.go, param_types.go. A "die-on-fail" setting stops Felix, and
so does "none" for a "non-zero" one; any other unreadable setting has its default. The failsafes are in settings_v3.py.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Callable, Collection, Dict, List, Tuple

from ..._core.errors import shown
from ..._core.ip import parse_net
from ..._resources._specs.validation_felix_v3 import are_table_ranges, is_region, is_table_range, read_tables
from .config import INTERFACES

# The valid values, in lower case.
_CHOICES = {
    "chaininsertmode": ("insert", "append"),
    "defaultendpointtohostaction": ("drop", "return", "accept"),
    **{
        program + stage + "allowaction": ("accept", "return")
        for program in ("iptables", "nftables")
        for stage in ("filter", "mangle")
    },
    "iptablesfilterdenyaction": ("drop", "reject"),
    "nftablesfilterdenyaction": ("drop", "reject"),
}
# For these, only "none" stops Felix.
_NOT_NONE = frozenset(
    """
    awssrcdstcheck bpfattachtype bpfconnecttimeloadbalancing bpfconntrackloglevel bpfenforcerpf bpfexportbuffersizemb
    bpfexternalservicemode bpfhostnetworkednatwithoutctlb bpfjithardening bpfloglevel bpfmapsizeconntrack
    bpfmapsizeconntrackcleanupqueue bpfmapsizeconntrackscaling bpfmapsizeifstate bpfmapsizeipsets bpfmapsizenataffinity
    bpfmapsizenatbackend bpfmapsizenatfrontend bpfmapsizeroute bpfprofiling bpfredirecttopeer maxipsetsize
    wireguardinterfacename wireguardinterfacenamev6
    """.split()
)
# The interface of kube-proxy, which has the addresses of services.
_EXCLUDED = "kube-ipvs0"
# Bits that Felix requires in the mask for its marks (felix, dataplane/driver.go).
_LEAST_BITS = 5

_HOSTNAME = re.compile("[a-zA-Z0-9_.-]+")
_NUMBER = re.compile("0x[0-9a-f]{1,8}|0|[1-9][0-9]{0,9}", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)


def why_invalid(key: str, value: Any) -> str:
    """Why Felix stops on a value of the setting, given by its name in lower case; "" if it does not.

    Raises ValueError if that depends on the host.
    """
    if key == "dataplanedriver" and value:
        raise ValueError("it is {0}, and Felix stops where that program is missing".format(shown(value)))
    if isinstance(value, str) and value.lower() == "none" and key in _NOT_NONE:
        return "cannot be none"
    is_valid = _CHECKS.get(key)
    if value in ("", None) or is_valid is None or is_valid(value):
        return ""
    return "cannot be {0}".format(shown(value))


def excluded_by(value: str) -> List[str]:
    """The names and patterns of interfaceExclude. If Felix cannot read one of them, its default counts.

    Raises ValueError for a pattern that Python may read differently than Go.
    """
    if value.lower() == "none":
        return []
    found = (value or _EXCLUDED).split(",")
    if not all(map(_NAME_OR_PATTERN.fullmatch, found)):
        return [_EXCLUDED]
    for each in found:
        if each.startswith("/") and not _is_plain(each[1:-1]):
            raise ValueError("interfaceExclude has a pattern whose matches are unknown: {0}".format(shown(each)))
    return found


_NAME_OR_PATTERN = re.compile(r"/[^\t\n\f\r ]+/|[a-zA-Z0-9_-]{1,15}")
# Patterns with the same meaning in both, though maybe valid in one only.
_PLAIN = re.compile(r"(?:[a-zA-Z0-9_:.,@^$|()*+?\]-]|\[(?!:)|\\[.d/-])+")


def _is_plain(pattern: str) -> bool:
    if not _PLAIN.fullmatch(pattern) or re.search(r"\(\?|[*+?]{2}", pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _is_mark(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) and bin(int(value, 0) & 0xFFFFFFFF).count("1") >= _LEAST_BITS


def _is_port(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) and int(value, 0) <= 65535


def _are_nets(value: Any) -> bool:
    texts = value.split(",") if isinstance(value, str) else ",".join(value).split(",")
    try:
        return all(parse_net(text.strip(" ")) for text in texts if text.strip(" "))
    except ValueError:
        return False


def _is_table_range(value: Any) -> bool:
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    first, last = _numbers(found.groups() if found else (0, 0)) if isinstance(value, str) else read_tables(value)
    return is_table_range(first, last)


def _are_table_ranges(value: Any) -> bool:
    found = list(map(_numbers, _RANGE.findall(value)) if isinstance(value, str) else map(read_tables, value))
    return bool(found) and are_table_ranges(found)


def _numbers(texts: Any) -> Tuple[int, int]:
    first, last = texts
    return int(first), int(last)


def _is_one_of(choices: Collection[str], value: Any) -> bool:
    return value.lower() in choices


_CHECKS: Dict[str, Callable[[Any], bool]] = {
    **{key: functools.partial(_is_one_of, choices) for key, choices in _CHOICES.items()},
    "interfaceprefix": lambda value: value.lower() != "none" and bool(INTERFACES.fullmatch(value)),
    "iptablesmarkmask": _is_mark,
    "nftablesmarkmask": _is_mark,
    "metadataaddr": lambda value: bool(_HOSTNAME.fullmatch(value)),
    "metadataport": lambda value: value.lower() == "none" or _is_port(value),
    "openstackregion": lambda value: value.lower() == "none" or is_region(value),
    "externalnodeslist": lambda value: value == "none" or _are_nets(value),
    "routetablerange": lambda value: value == "none" or _is_table_range(value),
    "routetableranges": lambda value: value == "none" or _are_table_ranges(value),
}
