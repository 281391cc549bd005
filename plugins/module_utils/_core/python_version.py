# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Python that a module runs on. Older ones that Ansible still manages hosts with have to read this file, too.

So does a module's own file: it has no `from __future__ import annotations`, and imports everything else after this.
"""

import json
import sys

OLDEST = (3, 8)


def check_python() -> None:
    """End the module with a failure that says what to do, as Ansible reads it, on a Python that is too old."""
    if sys.version_info >= OLDEST:
        return
    message = (
        "netsec.calico needs Python {0}.{1} or later where its modules run, and this is Python {2} at {3}: set "
        "ansible_python_interpreter to a later one (for the role hostendpoints, hostendpoints_python_interpreter)"
    )
    message = message.format(OLDEST[0], OLDEST[1], sys.version.split()[0], sys.executable)
    sys.stdout.write("\n" + json.dumps({"failed": True, "msg": message}) + "\n")
    raise SystemExit(1)
