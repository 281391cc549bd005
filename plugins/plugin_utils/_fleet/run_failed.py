# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of an action plugin."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import LONGEST, brief


class RunFailed(AnsibleActionFail):
    """Why a run cannot continue: a complete message on one line, whatever it quotes."""

    # Of ansible-core 2.19 and later, which would repeat the message of each exception that this one is raised from.
    _include_cause_message = False

    def __init__(self, message: str) -> None:
        super().__init__(brief(message, LONGEST))
        # Before ansible-core 2.19, it is the traceback of the exception that is handled, "NoneType: None" without one.
        self.result.pop("exception", None)
