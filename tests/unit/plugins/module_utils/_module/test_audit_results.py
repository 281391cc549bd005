# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit.audit import Audit
from ansible_collections.netsec.calico.plugins.module_utils._audit.connectivity import mark_unknown
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import parse_connectivity
from ansible_collections.netsec.calico.plugins.module_utils._module.audit_results import build_audit_result
from ansible_collections.netsec.calico.plugins.module_utils._module.results import FAILURES_SIZE


def result_of(hosts, reason="Calico's policies could not be read", **options):
    given = {"name": "ssh", "direction": "in", "protocol": "tcp", "port": 22, "peer": "192.0.2.0/24", "expect": "allow"}
    declared = {"host%d" % number: {"node": "node%d" % number, "expectations": [given]} for number in range(hosts)}
    reach = mark_unknown(parse_connectivity({"hosts": declared}, {}), reason)
    return build_audit_result(Audit([], {}, 0), {}, None, reach, **options)


def test_unknown_expectations_are_listed():
    found = result_of(1)
    assert found["expectations"] == {"met": 0, "unmet": 0, "unknown": 1}
    record = {"host": "host0", "node": "node0", "name": "ssh", "message": "Calico's policies could not be read"}
    assert (found["unknown_expectations"], found["unknown_expectations_omitted"]) == ([record], 0)
    (record,) = result_of(1, "unknown: the facts of db1 are unknown")["unknown_expectations"]
    assert record["message"] == "the facts of db1 are unknown"


@pytest.mark.parametrize("is_bounded", [True, False])
def test_the_list_fits_into_the_result_of_a_task(is_bounded):
    found = result_of(2000, is_bounded=is_bounded)
    listed = found["unknown_expectations"]
    assert len(listed) + found["unknown_expectations_omitted"] == 2000
    assert (len(json.dumps(listed)) <= FAILURES_SIZE) == is_bounded
