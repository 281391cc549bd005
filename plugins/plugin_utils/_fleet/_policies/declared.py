# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resources that the variables of the role policies declare."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Dict, List, Mapping

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import format_message
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import Item
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.library import build_library, parse_list
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.networks import InventoryNetworks
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.sources import (
    list_files,
    parse_items,
    read_file,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import RunSettings
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.shared_variables import SharedVariables

# The options that declare resources.
SOURCES = ("resources", "src", "group_sets", "library")


def build_declared_items(
    run: RunSettings,
    templar: Any,
    declared: Mapping[str, Any],
    api_version: ApiVersion,
    reader: HostVariables,
    networks: InventoryNetworks,
) -> List[Item]:
    """The resources of the options SOURCES and of the library's options, each with its place. Raises RunFailed."""
    hosts, name_of = run.hosts, run.get_variable_name
    first = hosts.runner()
    raw = hosts.without_facts(first)
    check_hosts(run, reader)
    render = functools.partial(hosts.render, templar, variables=raw)
    names = parse_list(name_of("library"), declared["library"])
    groups = parse_list(name_of("group_sets"), declared["group_sets"])
    for option, value in (("library", names), ("group_sets", groups)):
        if value and "GlobalNetworkSet" not in api_version.schemas:
            text = "{0} requires Calico v3: {datastore_type} etcdv3 or kubernetes"
            raise RunFailed(format_message(text, name_of(option)))

    def render_library(path: Path, variables: Dict[str, Any]) -> List[Any]:
        text = path.read_text(encoding="utf-8")
        content = hosts.render(templar, path.name, text, {**raw, **variables})
        return [item for _place, item in parse_items(path.name, content)]

    items = networks.build_group_sets(name_of("group_sets"), groups)
    items += build_library(names, declared, name_of, networks.expand, render_library, run.is_template)
    where = name_of("src")
    for path in list_files(where, parse_list(where, declared["src"])):
        items += read_file(where, path, render)
    if declared["resources"] not in (None, ""):
        items += parse_items(name_of("resources"), declared["resources"])
    return items


def check_hosts(run: RunSettings, reader: HostVariables) -> None:
    """Raise RunFailed for a host whose variables differ from those of the first host."""
    hosts = run.hosts
    first = hosts.runner()
    shared = SharedVariables(reader, first, hosts.without_facts(first), as_written=())
    for name in hosts.names():
        shared.check_policies(name, hosts.without_facts(name))
