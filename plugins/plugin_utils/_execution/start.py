# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module of this collection from its file: `python start.py NAME ANSIBLE CACHE`.

NAME: of the module. ANSIBLE: the folder that has the Python package ansible. CACHE: a folder for Python's bytecode.
Standard input: the JSON that Ansible gives to a module, {"ANSIBLE_MODULE_ARGS": {...}}.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from typing import Any

# .../ansible_collections/netsec/calico/plugins/plugin_utils/_execution
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_COLLECTION = os.path.normpath(os.path.join(_FOLDER, *[os.pardir] * 3))
_COLLECTIONS = os.path.dirname(os.path.dirname(_COLLECTION))


def main() -> None:
    cache, ansible, name = sys.argv.pop(), sys.argv.pop(), sys.argv.pop()
    # Python offers the folder of the script, whose files are no libraries.
    sys.path[:] = [path for path in sys.path if path != _FOLDER]
    if not importlib.util.find_spec("ansible"):
        # A program that starts Ansible may add the folder to its own path only.
        sys.path.append(ansible)
    if not sys.pycache_prefix:
        _keep_bytecode(cache)
    # The Python package "ansible" has a package of that name, with other collections only.
    collections = types.ModuleType("ansible_collections")
    collections.__path__ = [_COLLECTIONS]
    sys.modules["ansible_collections"] = collections
    importlib.import_module("ansible_collections.netsec.calico.plugins.modules." + name).main()


def _keep_bytecode(cache: str) -> None:
    """Keep the bytecode of this collection in a folder elsewhere.

    `ansible-galaxy collection verify` rejects a collection that contains a folder of Python's.
    """

    class Loader(SourceFileLoader):
        def get_data(self, path: str) -> bytes:
            return super().get_data(_place(path))

        def set_data(self, path: str, data: Any, **options: Any) -> None:
            super().set_data(_place(path), data, **options)

    def _place(path: str) -> str:
        return os.path.join(cache, os.path.relpath(path, _COLLECTION)) if path.endswith(".pyc") else path

    find_in = FileFinder.path_hook((Loader, SOURCE_SUFFIXES))

    def find(path: str) -> Any:
        if not os.path.join(path, "").startswith(os.path.join(_COLLECTION, "")):
            raise ImportError(path)
        return find_in(path)

    sys.path_hooks.insert(0, find)


if __name__ == "__main__":
    main()
