# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of an action plugin, as Ansible shows it."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.sources import read_file
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed


def test_a_reason_is_shown_once(tmp_path):
    with pytest.raises(RunFailed) as error:
        read_file("check_manifests", str(tmp_path / "nothing.yml"), lambda place, text: text)
    assert error.value.message == "check_manifests: {0}: No such file or directory".format(tmp_path / "nothing.yml")


def test_it_has_no_traceback():
    """Ansible would show it before the message, and "NoneType: None" where no other exception is the cause."""
    assert "exception" not in RunFailed("the reason").result
    try:
        int("x")
    except ValueError as exc:
        assert "exception" not in RunFailed(str(exc)).result
