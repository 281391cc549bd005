# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas of Calico v1's policies and profiles, in the order in which new resources are written."""

from __future__ import annotations

from typing import List, Mapping

from ..resource import Problem, Ref, Schema
from .rules_resource_v1 import PolicyV1, ProfileV1, read_manifest_v1
from .validation_rules_v1 import find_policy_name_problems, find_problems_v1, find_profile_name_problems


def _find_policy_ref_problems(ref: Ref) -> List[Problem]:
    return find_policy_name_problems(ref.name)


def _find_profile_ref_problems(ref: Ref) -> List[Problem]:
    return find_profile_name_problems(ref.name)


_PROFILE = Schema(
    find_problems=find_problems_v1,
    find_ref_problems=_find_profile_ref_problems,
    find_felix_problems=lambda resource: [],
    as_stored=lambda resource: resource.as_stored(),
    build_manifest=lambda resource: resource.as_manifest(),
    parse_manifest=read_manifest_v1,
    # Policies have no labels, and endpoints inherit those of their profiles.
    has_owner=False,
)
SCHEMAS_V1: Mapping[str, Schema] = {
    ProfileV1.KIND: _PROFILE,
    PolicyV1.KIND: _PROFILE._replace(find_ref_problems=_find_policy_ref_problems),
}
