# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Python that a module runs on. Older versions that Ansible still runs modules with must parse this file.

They must also parse a module's own file, which has no `from __future__ import annotations` and imports everything else
after this.
"""

import json
import sys

OLDEST = (3, 8)


def check_python() -> None:
    """End the module with a failure in Ansible's format, with the remedy, on a Python that is too old."""
    if sys.version_info >= OLDEST:
        return
    message = (
        "netsec.calico requires Python {0}.{1} or later where its modules run, but this is Python {2} at {3}; set "
        "ansible_python_interpreter to a later version (for the role hostendpoints, hostendpoints_python_interpreter)"
    )
    message = message.format(OLDEST[0], OLDEST[1], sys.version.split()[0], sys.executable)
    sys.stdout.write("\n" + json.dumps({"failed": True, "msg": message}) + "\n")
    raise SystemExit(1)
