# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  variables:
    description:
      - A mapping of options to the names of the host variables that hold their values. The variables are evaluated
        without the host's facts, because a managed host controls its own facts. An undefined or null variable does not
        change the option.
      - The key C(python_interpreter) sets the Python interpreter of the module. It can only be set here.
      - Templates in these variables must not use facts, neither the host's own facts nor those in C(hostvars).
    type: dict
    default: {}
"""
