# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's API versions: how each identifies resources, which ones it accepts, and in what form it keeps them.

A datastore holds the resources of one version and reports which. What differs between versions is in this object, so
that nothing else compares versions; two tables have a row for each version: the grammars of selectors (selector) and
how Felix reads the datastore (_dataplane/evaluator). The rules themselves are in validation_v1 and validation_v3. Their
patterns are Calico's own, from libcalico-go's validator, and apply to the whole string: Go's "$" is the end of the
string, so re.fullmatch, never re.match with "$".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, TypeVar

from .._core.errors import InvalidInput, format_message, shown
from ._specs.spec_resource import NAME_ANNOTATION, PolicyResource
from ._specs.spec_schemas import SCHEMAS_V3
from ._specs_v1.spec_schemas_v1 import SCHEMAS_V1
from .fields import with_empty_labels
from .hostendpoint import HOST_ENDPOINT, HostEndpoint
from .manifest import V1_NAME, V3_NAME, parse_manifest, to_resource
from .resource import CALICO_DOMAIN, Problem, Ref, Resource, Schema
from .upgrade_names import v3_name, v3_node
from .validation_v1 import RULES as RULES_V1
from .validation_v1 import find_doubt as find_doubt_v1
from .validation_v3 import RULES as RULES_V3
from .validators import Validators

if TYPE_CHECKING:
    from .selector import Selector

_R = TypeVar("_R", bound=Resource)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ApiVersion:
    """One version of Calico's API."""

    # As a manifest's apiVersion.
    name: str
    # {kind: its schema}, in the order in which new resources are written: a kind after the kinds that it refers to.
    schemas: Mapping[str, Schema]
    # The rules for names of nodes and endpoints, and for labels.
    validators: Validators
    # Whether a host endpoint is identified by its node and its name; else by its name alone.
    has_names_per_node: bool
    # Whether interface_name may be "*", for all interfaces.
    has_wildcards: bool
    # The name of an interface's endpoint, unless a rule sets another name.
    default_name: str
    # The name of a node or an endpoint in this version, derived from any name.
    canonical_node: Callable[[str], str]
    canonical_name: Callable[[str], str]

    def __repr__(self) -> str:
        return self.name

    def identify(self, ref: Ref) -> Ref:
        """The part of a ref that identifies the resource: two resources of the same identity cannot both exist."""
        return ref if self.has_names_per_node else ref._replace(node="")

    # Rules

    def find_problems(self, resource: Resource) -> List[str]:
        """Every rule that the resource breaks, each with the option and the value."""
        problems = self.schemas[resource.KIND].find_problems(resource)
        return [_format(*problem) for problem in problems] if problems else []

    def check(self, resource: Resource) -> None:
        """Raise InvalidInput with every rule that the resource breaks."""
        problems = self.find_problems(resource)
        if problems:
            _raise(resource, problems)

    def check_ref(self, ref: Ref) -> None:
        """Raise InvalidInput if no resource can have this node and name; Calico v3 requires no node."""
        _raise(ref, [_format(*problem) for problem in self.schemas[ref.kind].find_ref_problems(ref)])

    def check_filter(self, node: Optional[str], name: Optional[str]) -> None:
        """Raise InvalidInput if no endpoint can have the node or the name; None is not checked."""
        given = [(option, value) for option, value in (("node", node), ("name", name)) if value is not None]
        found = [problem for option, value in given for problem in self.validators.key_part(option, value)]
        _raise("filter", [_format(*problem) for problem in found])

    def check_nodes(self, option: str, nodes: Iterable[str]) -> None:
        """Raise InvalidInput if the option has an invalid node name."""
        problems = [
            "{0}: {1} {2}".format(option, shown(node), rule)
            for node in nodes
            for _option, _value, rule in self.validators.key_part("node", node)
        ]
        if problems:
            raise InvalidInput(problems)

    def check_owner(self, label: str, owner: str) -> None:
        """Raise InvalidInput if the owner is not a valid value of the label, or if the label is Calico's own."""
        domain = label.rpartition("/")[0]
        if domain == CALICO_DOMAIN or domain.endswith("." + CALICO_DOMAIN):
            text = "{owner_label}: {0} is a label of Calico, which sets it itself; use a label with another prefix"
            raise InvalidInput([format_message(text, shown(label))])
        _raise(
            format_message("{owner_label} and {owner}"),
            [_format(*problem) for problem in self.validators.label(label, owner)],
        )

    def why_ignored(self, resource: Resource) -> str:
        """Why Felix treats this stored resource as missing; "" when it does not."""
        for problem in self.schemas[resource.KIND].find_felix_problems(resource):
            return _format(*problem)
        return ""

    def find_doubt(self, resource: Resource) -> str:
        """Why the effect of this stored resource on Felix is unknown; "" if it is known."""
        return self.schemas[resource.KIND].find_doubt(resource)

    def parse_selector(self, text: str) -> Selector:
        """Raises SelectorError."""
        # Few tasks have a selector, and compiling the grammars takes longer than the rest of this package.
        from .selector import GRAMMARS, parse  # pylint: disable=import-outside-toplevel

        return parse(text, GRAMMARS[self.name])

    # Forms

    def as_stored(self, resource: _R) -> _R:
        """The resource as this version returns it after storing it."""
        stored: _R = self.schemas[resource.KIND].as_stored(resource)
        return stored

    def as_options(self, resource: Resource) -> Dict[str, Any]:
        """The modules' options of a resource, without those that this version does not support."""
        unknown = self.schemas[resource.KIND].unknown_options
        return {option: value for option, value in resource.as_options().items() if option not in unknown}

    def build_manifest(self, resource: Resource) -> Dict[str, Any]:
        """The resource as calicoctl reads it."""
        return self.schemas[resource.KIND].build_manifest(resource)


def _raise(subject: object, problems: List[str]) -> None:
    if problems:
        raise InvalidInput(["{0}: {1}".format(subject, problems[0])] + problems[1:])


def _format(option: str, value: object, rule: str) -> str:
    return "{0}: {1}".format(option, rule if rule.startswith("is missing") else shown(value) + " " + rule)


def _keep(name: str) -> str:
    return name


def _build_host_endpoint_schema(
    name: str, rules: Validators, as_stored: Callable[[HostEndpoint], HostEndpoint], **more: Any
) -> Schema:
    return Schema(
        find_problems=rules.endpoint,
        find_ref_problems=rules.ref,
        find_felix_problems=rules.felix,
        as_stored=as_stored,
        build_manifest=lambda endpoint: to_resource(endpoint, name),
        parse_manifest=lambda manifest: HostEndpoint(**with_empty_labels(parse_manifest(manifest))),
        **more,
    )


V1 = ApiVersion(
    name=V1_NAME,
    schemas={
        **SCHEMAS_V1,
        HOST_ENDPOINT: _build_host_endpoint_schema(
            V1_NAME, RULES_V1, HostEndpoint.with_sorted_ips, unknown_options=("ports",), find_doubt=find_doubt_v1
        ),
    },
    validators=RULES_V1,
    has_names_per_node=True,
    has_wildcards=False,
    default_name="{interface}",
    canonical_node=_keep,
    canonical_name=_keep,
)
V3 = ApiVersion(
    name=V3_NAME,
    schemas={
        **SCHEMAS_V3,
        HOST_ENDPOINT: _build_host_endpoint_schema(V3_NAME, RULES_V3, HostEndpoint.with_protocol_names),
    },
    validators=RULES_V3,
    has_names_per_node=False,
    has_wildcards=True,
    # The endpoints of all nodes share one namespace of names.
    default_name="{node}-{interface}",
    # Felix lower-cases its host's name, and Calico's own upgrade names nodes like this.
    canonical_node=v3_node,
    canonical_name=v3_name,
)


def _on_kubernetes(schema: Schema) -> Schema:
    """The rules and forms behind a Kubernetes API server, whose schemas reject repeated items of some lists."""

    def find_problems(resource: Resource) -> List[Problem]:
        problems = schema.find_problems(resource)
        # In a policy, Calico sets it itself, and ignores a given one.
        if NAME_ANNOTATION in resource.annotations and not isinstance(resource, PolicyResource):
            # calicoctl accepts it, and loses the resource's own labels (measured with v3.32.1).
            problems = [*problems, ("annotations", NAME_ANNOTATION, "is where Calico keeps its own metadata")]
        return problems

    return schema._replace(
        find_problems=find_problems,
        as_stored=lambda resource: schema.as_stored(resource).without_duplicates(),
    )


# The same resources behind a Kubernetes API server.
V3_KUBERNETES = dataclasses.replace(
    V3,
    # Calico makes profiles of namespaces and service accounts, and its nodes are those of Kubernetes.
    schemas={kind: _on_kubernetes(schema) for kind, schema in V3.schemas.items() if kind not in ("Profile", "Node")},
)
