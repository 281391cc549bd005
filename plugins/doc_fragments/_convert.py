# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  _input:
    description:
      - All endpoints of an C(etcdv2) datastore, as returned in
        RV(netsec.calico.calico_hostendpoint_info#module:hostendpoints).
    type: list
    elements: dict
    required: true
"""
