# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs are merged by the names of their entries, and messages name what is wrong without quoting it."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes._kubeconfig.content import (
    read_kubeconfig,
)

SECRET = "s3cr3t"


def entry(kind, name, **fields):
    return {"name": name, kind: fields}


def test_the_first_entry_of_a_name_and_the_last_current_context_count(tmp_path):
    documents = [
        {"kind": "Config", "current-context": "a", "users": [entry("user", "u", token="1")], "clusters": None},
        {"kind": "Other", "current-context": "b", "users": [entry("user", "u", token="2"), entry("user", "v")]},
    ]
    paths = [tmp_path / str(number) for number in range(len(documents))]
    for path, document in zip(paths, documents):
        path.write_text(json.dumps(document), encoding="utf-8")
    found = read_kubeconfig("{0}:{1}:{2}".format(*paths, tmp_path / "missing"))
    assert found.fields == {"kind": "Config", "current-context": "b"}
    assert found.find("users", "u").get_content("users") == {"token": "1"}
    assert found.find("users", "v").path == str(paths[1])
    assert found.find("clusters", "c") is None


def test_the_content_of_an_option_is_not_changed():
    content = {"users": [entry("user", "u", token="1")]}
    read_kubeconfig(content).find("users", "u").get_content("users")["token"] = "2"
    assert content["users"][0]["user"]["token"] == "1"


@pytest.mark.parametrize(
    "document, part",
    [
        ({"users": [{"user": {"token": SECRET}}]}, "users[0]: the key name is missing"),
        ({"users": [{"name": None, "user": {"token": SECRET}}]}, "users[0]: the key name is missing"),
        ({"users": [SECRET]}, "users[0] is not a mapping"),
        ({"users": {"u": {"token": SECRET}}}, "users is not a list"),
        ({"users": SECRET}, "users is not a list"),
        ([SECRET], "the content is not a mapping"),
        (SECRET, "the content is not a mapping"),
        ("*" + SECRET, "is not YAML: line 1"),
        ("users: [{name: u, user: {token: !%s x}}]" % SECRET, "a tag is not supported"),
        ("users: [{name: u, user: {token: %s\n  x: - y" % SECRET, "is not YAML: line 2"),
    ],
)
def test_what_cannot_be_read_is_named_and_not_quoted(tmp_path, document, part):
    paths = [str(tmp_path / name) for name in ("good", "bad")]
    for path, content in zip(paths, ({}, document)):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content if isinstance(content, str) else json.dumps(content))
    for path, named in ((paths[1], ""), (":".join(paths), paths[1] + ": ")):
        with pytest.raises(ValueError) as error:
            read_kubeconfig(path)
        assert str(error.value).startswith(named) and part in str(error.value) and SECRET not in str(error.value)


@pytest.mark.parametrize(
    "content, problem", [({"usr": {"token": SECRET}}, "is missing"), ({"user": SECRET}, "is not a mapping")]
)
def test_an_entry_without_its_content(content, problem):
    found = read_kubeconfig({"users": [dict(content, name="u")]}).find("users", "u")
    with pytest.raises(ValueError) as error:
        found.get_content("users")
    assert str(error.value) == "users[name=u]: the key user " + problem
