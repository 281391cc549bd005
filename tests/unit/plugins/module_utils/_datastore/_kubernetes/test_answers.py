# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real servers answered, row by row: kube-apiserver 1.36.2 and calico-apiserver v3.32.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.answers import (
    ApiRequest,
    explain,
    is_named_missing,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.codec import (
    HostEndpointForm,
    drop_managed_fields,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.transport import ApiAnswer
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
FILES = {
    "k8s_http_v1": "crd.projectcalico.org/v1",
    "k8s_http_v3": "projectcalico.org/v3",
    "k8s_http_agg": "projectcalico.org/v3",
    "k8s_two_apis": "projectcalico.org/v3",
}


def rows():
    for name, api in FILES.items():
        for number, line in enumerate((VECTORS / (name + ".jsonl")).read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            if "code" in row:
                yield pytest.param(row, api, id=row.get("id") or "{0}-{1}".format(name, number))


def answer_of(row):
    body = row.get("body", "")
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Retry-After": row["retry-after"]} if row.get("retry-after") else {}
    return ApiAnswer(row["code"], headers, text.encode())


def request_of(row, api):
    method = (row.get("request") or {}).get("method", "GET")
    verb = {"GET": "list", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, "get")
    return ApiRequest(verb, "hostendpoints", api)


ALL = list(rows())


@pytest.mark.parametrize("row, api", [param for param in ALL if param.values[0]["code"] >= 400])
def test_a_refusal_is_explained_in_a_line(row, api):
    answer, request = answer_of(row), request_of(row, api)
    text = explain(answer, request)
    assert text and "\n" not in text and len(text) < 2500
    causes = (answer.document.get("details") or {}).get("causes") or []
    if row["code"] == 422:
        # The server's own errors, field by field.
        assert all(cause.get("field", "") in text for cause in causes[:5])
    if row["code"] == 403 and "system:anonymous" in text:
        # A rule for everybody would be worse than nothing.
        assert "No credentials were sent" in text and "verbs" not in text
    elif row["code"] == 403:
        assert "verbs: [%s]" % request.verb in text and "resources: [hostendpoints]" in text
    if row["code"] == 404:
        assert is_named_missing(answer) == bool((answer.document.get("details") or {}).get("name"))


def lists():
    for param in ALL:
        row, api = param.values
        body = row.get("body")
        if row["code"] == 200 and isinstance(body, dict) and body.get("kind") == "HostEndpointList":
            yield pytest.param(body, api, "agg" not in param.id, id=param.id)


@pytest.mark.parametrize("body, api, is_crd", list(lists()))
def test_a_list_is_read(body, api, is_crd):
    codec = HostEndpointForm(api, is_crd and api.startswith("crd."), True).build_codec()
    for item in body.get("items", []):
        name = item["metadata"]["name"]
        stored = Stored("hostendpoints/" + name, "1", drop_managed_fields(item), "", name, codec)
        assert stored.error or (stored.resource.name, stored.resource.node) == (name, item["spec"]["node"])
        assert "managedFields" not in stored.value


def test_there_are_rows():
    assert len(ALL) > 300 and len(list(lists())) > 10
