# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host endpoints that changed policies of Calico v3 select."""

from __future__ import annotations

import itertools
from typing import Dict, List, Sequence

from ..._core.errors import Refused, format_message
from ..._dataplane.evaluator import Evaluator
from ..._datastore._values.calico_version import STAGED_SINCE
from ..._datastore.base import Datastore
from ..._plan.plan import Change
from ..._policies._felix.config_v3 import calico_version
from ..._resources.resource import Ref
from .phases import plan_values, select_declared, select_deleted, select_effective


def list_selected_endpoints(
    store: Datastore, changes: Sequence[Change], policies: Sequence[Change]
) -> Dict[Ref, List[Ref]]:
    """The endpoints that each of the changed policies selects after all changes, sorted by node.

    Raises Refused if Calico is too old for staged policies, DatastoreError if the policies cannot be read.
    """
    changes = select_effective(changes)
    declared, planned = select_declared(changes), plan_values(changes, store)
    snapshot = store.read_policies("", declared, planned)
    version = calico_version(snapshot)
    if version is not None and version < STAGED_SINCE:
        text = "nothing was written: {canary} 'staged' requires Calico {0}, and the datastore is that of Calico {1}"
        raise Refused(format_message(text, STAGED_SINCE, version))
    evaluator = Evaluator(store.api_version, snapshot.with_changes(planned), declared, select_deleted(changes))
    # By the names of their keys, of which Calico before v3.32 has others.
    by_name = {change.before.name if change.before else change.ref.name: change.ref for change in policies}
    found: Dict[Ref, List[Ref]] = {ref: [] for ref in by_name.values()}
    for node in sorted(evaluator.nodes):
        for candidate in evaluator.candidates(node):
            endpoint = candidate.endpoint
            if candidate.rejected or endpoint.node != node:
                continue
            for policy in itertools.chain(*evaluator.rules_for(endpoint).policies.values()):
                name, namespace, _kind = policy.key.split("/")
                if not namespace and name in by_name:
                    found[by_name[name]].append(endpoint.ref)
    return found
