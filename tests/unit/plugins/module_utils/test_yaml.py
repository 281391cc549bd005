# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils import _yaml


@pytest.mark.parametrize(
    "text", ["y", "N", "1e3", "12e4567", "0o10", "0x1f", "1_000", ".5", "nan", "true", "null", "010", "1:20"]
)
def test_what_other_readers_take_for_something_else_is_quoted(text):
    assert _yaml.dump({text: text}) == "'{0}': '{0}'\n".format(text)


@pytest.mark.parametrize("text", ["192.168.0.1", "2001:db8::1", "eth0", "v1.2", "a/b", "yes-man"])
def test_what_is_plain_stays_plain(text):
    assert _yaml.dump([text]) == "- {0}\n".format(text)


@pytest.mark.parametrize("text", ["password: %secret", "password: *secret", "a: [secret", "[" * 5000])
def test_an_error_about_settings_does_not_repeat_them(text):
    with pytest.raises(ValueError) as error:
        _yaml.first(text)
    assert "is not YAML" in str(error.value)
    assert "secret" not in str(error.value)


def test_an_error_about_endpoints_says_what_and_where():
    with pytest.raises(ValueError, match="is not YAML: line 2, column 1: "):
        _yaml.load_all("a: [b\n")
