# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converts host endpoints of Calico v1 to v3, as Calico's own upgrade does. Plain Python, without Ansible.

libcalico-go release-v3.3, lib/upgrade/converters/hostendpoint.go.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any, Dict, Iterator, List, NamedTuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, shown
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.fields import (
    parse_fields,
    with_empty_labels,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.module_utils._resources.upgrade_names import v3_name, v3_node, v3_profile


class Conversion(NamedTuple):
    """A v1 endpoint, its v3 endpoint, and each reason why it is invalid in v3, as a complete message."""

    v1: HostEndpoint
    v3: HostEndpoint
    problems: List[str]


def convert_endpoints(hostendpoints: Any) -> List[Conversion]:
    """The conversion of each endpoint of an etcdv2 datastore, in the given order.

    hostendpoints: a list of endpoints with the modules' option names as keys. It must contain all endpoints of the
    datastore, so that two endpoints with the same v3 name are found.
    Raises InvalidInput with the place of each item that is not a v1 endpoint.
    """
    pairs = [(v1, _converted(v1)) for v1 in _endpoints(hostendpoints)]
    # Calico's upgrade also fails if two endpoints get the same name.
    nodes: Dict[str, Dict[str, None]] = defaultdict(dict)
    names: Dict[str, List[HostEndpoint]] = defaultdict(list)
    for v1, v3 in pairs:
        nodes[v3.node][v1.node] = None
        names[v3.name].append(v1)

    def problems(v1: HostEndpoint, v3: HostEndpoint) -> Iterator[str]:
        yield from _starred(v1)
        yield from V3.find_problems(v3)
        other_nodes = [node for node in nodes[v3.node] if node != v1.node]
        if other_nodes:
            yield "node: {0} is also the v3 name of node {1}".format(shown(v3.node), " and node ".join(other_nodes))
        others = [str(other) for other in names[v3.name] if other is not v1]
        if others:
            yield "name: {0} is also the v3 name of {1}".format(shown(v3.name), " and ".join(others))

    return [
        Conversion(v1, v3, ["{0} becomes {1}: {2}".format(v1, v3, problem) for problem in problems(v1, v3)])
        for v1, v3 in pairs
    ]


def _starred(v1: HostEndpoint) -> Iterator[str]:
    """Names with a *, which Ansible may have masked. Calico's upgrade would convert them anyway."""
    for field in ("node", "name", "interface_name", "profiles"):
        value = getattr(v1, field)
        for text in (value,) if isinstance(value, str) else value:
            if "*" in text:
                rule = (
                    "has a *, which is invalid in v1; it may have been masked by Ansible because it contains a password"
                )
                yield "{0}: {1} {2}".format(field, shown(text), rule)


def converted(hostendpoints: Any) -> List[HostEndpoint]:
    """The v3 endpoints of all endpoints of an etcdv2 datastore, in the given order.

    Raises InvalidInput with the problems of all endpoints that are invalid in v3.
    """
    conversions = convert_endpoints(hostendpoints)
    problems = [problem for each in conversions for problem in each.problems]
    if problems:
        raise InvalidInput(problems)
    return [each.v3 for each in conversions]


def _converted(v1: HostEndpoint) -> HostEndpoint:
    node = v3_node(v1.node)
    name = v3_name("{0}.{1}".format(node, v1.name))
    return dataclasses.replace(v1, node=node, name=name, profiles=tuple(map(v3_profile, v1.profiles)))


def _endpoints(hostendpoints: Any) -> List[HostEndpoint]:
    if not isinstance(hostendpoints, (list, tuple)):
        raise InvalidInput(["{0} is not a list of endpoints".format(shown(hostendpoints))])
    endpoints, problems = [], []
    for index, item in enumerate(hostendpoints):
        try:
            endpoints.append(_endpoint(item))
        except InvalidInput as exc:
            problems += ["[{0}]: {1}".format(index, problem) for problem in exc.problems]
    if problems:
        raise InvalidInput(problems)
    return endpoints


def _endpoint(item: Any) -> HostEndpoint:
    v1 = HostEndpoint(**with_empty_labels(parse_fields(item)))
    # The v3 validation accepts these: the node alone also gives a name, and v3 has ports and annotations.
    if not v1.name:
        raise InvalidInput(["{0} is not an endpoint: it has no name".format(shown(item))])
    for field in ("ports", "annotations"):
        if getattr(v1, field):
            raise InvalidInput(["{0} is not an etcdv2 endpoint: it has {1}".format(v1, field)])
    return v1
