# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas of Calico v3's kinds with a spec, in the order in which new resources are written."""

from __future__ import annotations

from typing import List, Mapping, Type

from ..manifest import parse_object
from ..resource import Problem, Ref, Schema
from ..validators import find_size_problems
from .read_spec import read_spec
from .spec_resource import (
    FelixConfiguration,
    GlobalNetworkPolicy,
    GlobalNetworkSet,
    NodeResource,
    ProfileResource,
    SpecResource,
    StagedGlobalNetworkPolicy,
    TierResource,
)
from .validation_specs_v3 import find_name_problems, find_spec_problems


def _build_schema(kind: Type[SpecResource]) -> Schema:
    def find_problems(resource: SpecResource) -> List[Problem]:
        problems = find_size_problems(resource.count_bytes())
        return problems or find_spec_problems(
            kind.KIND, resource.name, resource.labels, resource.annotations, resource.spec
        )

    def find_ref_problems(ref: Ref) -> List[Problem]:
        return find_name_problems(kind.KIND, ref.name)

    def parse_manifest(manifest: Mapping[str, object]) -> SpecResource:
        fields, spec = parse_object(manifest)
        return kind(**fields, spec=read_spec(kind.KIND, spec))

    return Schema(
        find_problems=find_problems,
        find_ref_problems=find_ref_problems,
        find_felix_problems=lambda resource: [],
        as_stored=lambda resource: resource.as_stored(),
        build_manifest=lambda resource: resource.as_manifest(),
        parse_manifest=parse_manifest,
        build_twin=_build_twin if kind is GlobalNetworkPolicy else None,
    )


def _build_twin(policy: GlobalNetworkPolicy) -> StagedGlobalNetworkPolicy:
    """The staged policy with the selector and the rules of a policy."""
    return StagedGlobalNetworkPolicy(name=policy.name, spec={**policy.spec, "stagedAction": "Set"})


SCHEMAS_V3: Mapping[str, Schema] = {
    kind.KIND: _build_schema(kind)
    for kind in (
        TierResource,
        GlobalNetworkSet,
        ProfileResource,
        NodeResource,
        FelixConfiguration,
        GlobalNetworkPolicy,
        StagedGlobalNetworkPolicy,
    )
}
