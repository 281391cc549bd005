# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's own verdicts on documents, row by row, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v3 import encode
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.fields import with_empty_labels
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import parse_manifest

VECTORS = Path(__file__).resolve().parents[4] / "vectors"
UID, TIME = "11111111-2222-4333-8444-555555555555", "2020-01-02T03:04:05Z"


def rows(name):
    return {row["id"]: row for row in map(json.loads, (VECTORS / name).read_text(encoding="utf-8").splitlines())}


DOCUMENTS = {**rows("v3_hostendpoint.jsonl"), **rows("v3_random.jsonl")}
TEXTS = rows("v3_yaml.jsonl")

# Why a row has another outcome here: {reason: (a part of the message, "" where the document is taken, and the rows)}.
DIFFERENT = {
    "finalizers and owners are not managed here, so a manifest with them would be misleading": (
        "is not managed by this collection",
        "h-056 h-057",
    ),
    "nothing that a manifest should have: it would be written without it": (
        "Calico has no such key",
        "h-053 h-055 h-060 r-178 r-219",
    ),
    "Linux has no such interface": ("Linux has no interface of that name", "h-148"),
    "Calico's controllers would delete the endpoint": ("Calico's own label", "h-377"),
    "PyYAML reads 8e1 as a text": ("ports[0].port: '8e1' is not a number", "y-101"),
    "a v1 manifest is as good": ("", "h-030"),
    "an exported manifest can be applied: its resourceVersion is ignored": ("", "r-009 r-174"),
    "PyYAML reads 0o10, 1e3, and n and y as a key in its own way": ("", "y-017 y-104 y-052 y-053"),
    "PyYAML and Ansible take a %YAML directive": ("", "y-117"),
    "a tag is most likely a mistake": ("a tag is not supported", "y-039 y-049"),
    "1.0 would be written as 1": ("1.0 is a YAML number that does not keep its spelling", "y-057"),
}
MESSAGES = {row: message for message, listed in DIFFERENT.values() for row in listed.split()}


def outcome(document):
    """The bytes that are written for a document, or the message."""
    try:
        endpoint = HostEndpoint(**with_empty_labels(parse_manifest(document)))
        V3.check(endpoint)
    except InvalidInput as exc:
        return None, str(exc)
    return encode(endpoint, uid=UID, now=TIME), ""


def outcome_of_text(text):
    try:
        (document,) = yaml_io.load_all(text)
    except ValueError as exc:
        return None, str(exc)
    return outcome(document) if isinstance(document, dict) else (None, "not a resource")


def compare(row, written, message):
    expected = row["value"].replace("<uid>", UID).replace("<time>", TIME) if row["valid"] else None
    if row["id"] in MESSAGES:
        assert written != expected, "this row is not different any more"
        assert (MESSAGES[row["id"]] in message) if MESSAGES[row["id"]] else written
    else:
        assert written == expected, message
        assert bool(message) == (written is None)


@pytest.mark.parametrize("row", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents(row):
    compare(row, *outcome(row["doc"]))


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS)
def test_documents_as_yaml(row):
    compare(row, *outcome_of_text(row["text"]))


def test_what_is_listed_as_different_is_a_row():
    assert set(MESSAGES) <= set(DOCUMENTS) | set(TEXTS)
    assert len(MESSAGES) == sum(len(listed.split()) for _message, listed in DIFFERENT.values())
