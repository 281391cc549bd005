# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a result or a message may repeat of a kubeconfig."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes._kubeconfig.secret_values import (
    hide,
    list_strings,
    redact,
)

ENV = [{"name": "AWS_SECRET_ACCESS_KEY", "value": "s3cr3t"}]
PLUGIN = {"exec": {"command": "/bin/login", "args": ["--password", "s3cr3t", "--token=s3cr3t2", "-q"], "env": ENV}}


def test_names_are_shown_and_values_that_may_be_secret_are_not():
    plugin = {"command": "/bin/login", "args": ["--password", "********", "--token=********", "-q"]}
    env = [{"name": "AWS_SECRET_ACCESS_KEY", "value": "********"}]
    assert redact(PLUGIN) == {"exec": dict(plugin, env=env)}


@pytest.mark.parametrize(
    "key, value, shown",
    [
        ("proxy-url", "http://joe:s3cr3t@proxy:3128/", "http://********@proxy:3128/"),
        ("proxy-url", "joe:s3cr3t@proxy:3128", "********@proxy:3128"),
        ("server", "https://s3cr3t@cluster", "https://********@cluster"),
        ("server", "https://cluster:6443/path", "https://cluster:6443/path"),
        ("cluster", "joe@cluster", "joe@cluster"),
        ("tokn", "s3cr3t", "********"),
        ("password", 12345, "********"),
        ("password", None, None),
        ("insecure-skip-tls-verify", True, True),
        ("command", "login --pw s3cr3t", "login ********"),
        ("cmd-args", "--pw s3cr3t", "********"),
        ("namespace", "", ""),
    ],
)
def test_a_value_as_it_is_repeated(key, value, shown):
    assert redact({key: value}) == {key: shown}


@pytest.mark.parametrize(
    "text",
    ["login: wrong password s3cr3t2", "Cmd: gcloud --pw s3cr3t4", "proxy joe:p/ss", "AWS: s3cr3t", "proxy joe:p%2Fss"],
)
def test_a_message_of_a_program_does_not_repeat_them(text):
    content = [PLUGIN, {"cmd-args": "--pw   s3cr3t4"}, {"proxy-url": "http://joe:p%2Fss@proxy"}]
    found = hide(text, content)
    assert "********" in found and not any(part in found for part in ("s3cr3t", "p/ss", "p%2Fss"))


def test_a_message_keeps_words_that_are_not_secret():
    content = {"exec": {"command": "login", "args": ["-q", "1", "eks"], "env": [{"name": "A", "value": "1"}]}}
    text = "exec: process returned 1. login: eks is unknown, see -q, exec and A"
    assert hide(text, content) == text


def test_the_password_of_a_url_is_masked_wherever_it_occurs():
    content = {"clusters": [{"cluster": {"server": "https://h", "proxy-url": "http://joe:s3cr3t@p"}}], "token": "t0ken"}
    assert list(list_strings(content, only_secrets=True)) == ["s3cr3t", "t0ken"]
    assert "https://h" in json.dumps(list(list_strings(content, only_secrets=False)))
