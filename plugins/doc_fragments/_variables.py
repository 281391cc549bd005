# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  variables:
    description:
      - "{option: name of a variable of the host}. Each option takes the value of its variable, as that is without the
        host's facts, which a managed host itself chooses. A variable that is not defined or null leaves the option as
        it is."
      - The option C(python_interpreter), which has no other form, is the Python that the module runs with.
      - Templates in these variables may not use facts, neither the host's own nor those of C(hostvars).
    type: dict
    default: {}
"""
