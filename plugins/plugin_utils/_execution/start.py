# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module of this collection from its file: `python start.py NAME`, with its arguments on standard input.

The arguments are the JSON that Ansible gives to a module: {"ANSIBLE_MODULE_ARGS": {...}}.
"""

from __future__ import annotations

import importlib
import os
import sys
import types

# .../ansible_collections/netsec/calico/plugins/plugin_utils/_execution
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_COLLECTIONS = os.path.normpath(os.path.join(_FOLDER, *[os.pardir] * 5))


def main() -> None:
    name = sys.argv.pop()
    # Python offers the folder of the script, whose files are no libraries.
    sys.path[:] = [path for path in sys.path if path != _FOLDER]
    # The Python package "ansible" has a package of that name, with other collections only.
    collections = types.ModuleType("ansible_collections")
    collections.__path__ = [_COLLECTIONS]
    sys.modules["ansible_collections"] = collections
    importlib.import_module("ansible_collections.netsec.calico.plugins.modules." + name).main()


if __name__ == "__main__":
    main()
