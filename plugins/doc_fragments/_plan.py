# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # For modules that write a set of resources.
    DOCUMENTATION = r"""
options:
  plan_dest:
    description:
      - Path of a JSON file for the plan, on the host where the module runs. The module then writes nothing to the
        datastore, as in check mode, and the file holds the changes that it would make.
      - For each change, the file has the operation, the resource as a manifest, and the revision of the stored resource
        on which the change rests. It also names the datastore, the owner and the time. It holds no secret.
      - The file is also written in check mode. An existing file is replaced atomically and keeps its permissions. Only
        its owner can read a new file. If the path is a symbolic link, the target of the link is replaced.
    type: path
  plan_src:
    description:
      - Path of a file that O(plan_dest) has written, on the host where the module runs. The module plans by the
        declared set, as always, and makes the changes only if they are exactly those of the file. All other options
        apply, such as those of the guard.
      - The module fails before writing anything if another client has changed one of the resources since the plan, if
        the declared set or the purge now leads to other changes, if the datastore is another one, or if the file is
        invalid or was changed. The message names the differences. It does not matter who can change the file, since a
        change is made only if the set declares it, too.
      - A change that was already made, as the plan has it, is no difference, so a run that failed halfway can be
        repeated. If all were made, nothing changes, and a warning says so.
      - If another client changes a resource during the writes, its change is not planned again. It fails, and no
        further step of the run begins.
    type: path
"""

    # For the modules of the roles.
    ROLES = r"""
options:
  plan:
    description:
      - Path of the file with the plan of both roles, on the controller. It holds the plans of
        M(netsec.calico.calico_resources) and M(netsec.calico.calico_hostendpoints). Unset if empty.
      - With O(plan_mode=write), the file is written. An existing file keeps its permissions, and only its owner can
        read a new file. Otherwise the changes are made only if they are exactly those of the plan, as
        O(netsec.calico.calico_hostendpoints#module:plan_src).
      - A plan covers all hosts of a play at once. It cannot be used with C(serial) or the strategy C(free).
    type: path
  plan_document:
    description:
      - The plan as the string RV(plan_document), instead of O(plan). Unset if empty. Ignored with O(plan_mode=write).
    type: str
"""
