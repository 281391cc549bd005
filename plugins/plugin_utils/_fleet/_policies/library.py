# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The library of policies: the templates of the role policies, and the variables that each of them reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Collection, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import shown
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import POLICIES_PREFIX
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

TEMPLATES = Path(__file__).resolve().parents[4] / "roles" / "policies" / "templates"


class LibraryPolicy(NamedTuple):
    """The options that a template reads in addition to the selector."""

    # A list of networks. If the variable is empty, a policy of `requires` allows no address, any other policy all.
    networks: str = ""
    requires: bool = False
    # A list of ports.
    ports: str = ""


LIBRARY: Mapping[str, LibraryPolicy] = {
    "neighbour_discovery": LibraryPolicy(),
    "ping": LibraryPolicy("ping_from"),
    "ssh": LibraryPolicy("ssh_from", requires=True, ports="ssh_ports"),
    "dns": LibraryPolicy("dns_servers"),
    "ntp": LibraryPolicy("ntp_servers"),
    "etcd": LibraryPolicy("etcd_servers", ports="etcd_ports"),
    "kube_apiserver": LibraryPolicy("kube_apiservers", ports="kube_apiserver_ports"),
    "dhcp": LibraryPolicy(),
    "node_exporter": LibraryPolicy("node_exporter_from", requires=True, ports="node_exporter_ports"),
    "default_deny": LibraryPolicy(),
}
# The options of the library.
OPTIONS: Tuple[str, ...] = (
    "selector",
    *(option for each in LIBRARY.values() for option in (each.networks, each.ports) if option),
)
# The values of an empty variable.
EMPTY: Tuple[Any, ...] = (None, "", [], ())


def parse_list(where: str, value: Any) -> List[Any]:
    """A list in any form that Ansible accepts, without duplicates. Raises RunFailed."""
    if value in (None, ""):
        return []
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise RunFailed("{0}: {1} is not a list".format(where, shown(value)))
    return [item for index, item in enumerate(value) if item not in value[:index]]


def build_library(
    names: Sequence[Any],
    options: Mapping[str, Any],
    name_of: Callable[[str], str],
    expand: Callable[[str, Sequence[Any]], List[str]],
    render: Callable[[Path, Dict[str, Any]], List[Any]],
    is_template: Callable[[str], bool],
) -> List[Tuple[str, Any]]:
    """The resources of the library's policies, each with its place. Raises RunFailed.

    `options`: the values of `OPTIONS`. `name_of`: the name of an option's variable.
    `expand`: replaces groups and hosts in a list of networks. `render`: the documents of a template.
    `is_template`: whether the value of an option comes from a template in its variable.
    """
    unknown = [name for name in names if name not in LIBRARY]
    if unknown:
        text = "{0}: {1} is unknown; use {2}"
        raise RunFailed(text.format(name_of("library"), shown(unknown[0]), ", ".join(LIBRARY)))
    selector = options.get("selector")
    if names and (not isinstance(selector, str) or not selector.strip()):
        # Calico reads an empty selector as all().
        raise RunFailed("{0}: must not be empty; for all endpoints, write all()".format(name_of("selector")))
    found: List[Tuple[str, Any]] = []
    # In the order of the table, whatever the order of the names.
    for name in (each for each in LIBRARY if each in names):
        values = {"selector": selector, **_read_options(name, options, name_of, expand, is_template)}
        variables = {POLICIES_PREFIX + option: value for option, value in values.items()}
        place = "{0}: {1}".format(name_of("library"), name)
        found += [(place, each) for each in render(TEMPLATES / (name + ".yml.j2"), variables)]
    return found


def list_unknown_sets(
    items: Iterable[Tuple[str, Any]], name_of: Callable[[str], str], unknown: Collection[str]
) -> List[str]:
    """The names of the network sets whose addresses come from these places, which hosts without facts have."""
    places = {"{0}: {1}".format(name_of("library"), name): name_of(each.networks) for name, each in LIBRARY.items()}
    return [
        item["metadata"]["name"]
        for place, item in items
        if (place in unknown or places.get(place) in unknown) and item["kind"] == "GlobalNetworkSet"
    ]


def _read_options(
    name: str,
    options: Mapping[str, Any],
    name_of: Callable[[str], str],
    expand: Callable[[str, Sequence[Any]], List[str]],
    is_template: Callable[[str], bool],
) -> Dict[str, Any]:
    policy = LIBRARY[name]
    found: Dict[str, Any] = {}
    if policy.networks:
        where, value = name_of(policy.networks), options.get(policy.networks)
        found[policy.networks] = expand(where, parse_list(where, value))
        if not found[policy.networks]:
            _check_empty(where, name, value, is_template(policy.networks))
        if policy.requires and not found[policy.networks]:
            text = "{0} is empty, so {1} would allow no connection; set it to networks, or to groups of the inventory"
            raise RunFailed(text.format(where, name))
    if policy.ports:
        where = name_of(policy.ports)
        found[policy.ports] = parse_list(where, options.get(policy.ports))
        if not found[policy.ports]:
            # A rule without ports matches all ports.
            raise RunFailed("{0} is empty; set it to a list of ports".format(where))
    return found


def _check_empty(where: str, name: str, value: Any, is_template: bool) -> None:
    """Raise RunFailed unless the variable itself is empty: only then may no networks stand for all addresses."""
    if value not in EMPTY:
        reason = shown(value) + " stands for no address: its groups have no hosts, or its hosts no addresses"
    elif is_template:
        reason = "its template gives an empty list"
    else:
        return
    also = "" if LIBRARY[name].requires else "; for {0} with all addresses, write [] without a template".format(name)
    raise RunFailed("{0}: {1}; add a network, or a group whose hosts have addresses{2}".format(where, reason, also))
