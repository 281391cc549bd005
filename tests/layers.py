# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the layers of the plugins: `python -m tests.layers`, a part of `make lint`.

Packages import only packages below them, without cycles between files. Only certain packages import Ansible and the
client libraries. A comment above an import within a function gives its reason. Files and folders are small, and a class
name has one meaning.
"""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

from graphlib import CycleError, TopologicalSorter

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
COLLECTION = "ansible_collections.netsec.calico.plugins."
# From the ground up.
MODULE_UTILS = (
    "_core",
    "_resources",
    "_plan",
    "_datastore",
    "_policies",
    "_dataplane",
    "_guard",
    "_apply",
    "_audit",
    "_module",
)
LAYERS = [
    *("module_utils." + name for name in MODULE_UTILS),
    "plugin_utils._execution",
    "plugin_utils._report",
    "plugin_utils._fleet",
]
# {library: where it may be imported}
LIBRARIES = {
    "ansible": (
        "module_utils._module",
        "plugin_utils._execution",
        "plugin_utils._fleet",
        "modules",
        "action",
        "filter",
    ),
    "kubernetes": ("module_utils._datastore._kubernetes",),
    "etcd": ("module_utils._datastore._etcd",),
    "etcd3gw": ("module_utils._datastore._etcd",),
    "requests": ("module_utils._datastore._etcd",),
    "urllib3": ("module_utils._datastore._etcd", "module_utils._datastore._kubernetes"),
    "yaml": ("module_utils._core.yaml_io",),
}


# Within these places, Ansible may not be imported.
PLAIN = ("plugin_utils._fleet._rules",)
MOST_LINES, MOST_FILES = 350, 12
# Ansible looks for modules in this folder only.
FLAT = ("modules",)
ANSIBLES_NAMES = ("ActionModule", "FilterModule", "ModuleDocFragment")


class Import(NamedTuple):
    """What a file imports, by its name below `plugins` where it is ours."""

    name: str
    line: int
    is_explained: bool


def main() -> int:
    files = {_get_name(path): path for path in sorted(PLUGINS.rglob("*.py")) if path.stem != "__init__"}
    imports = {name: list(read_imports(name, path, files)) for name, path in files.items()}
    problems = [
        f"{files[name].relative_to(PLUGINS.parent)}:{found.line}: {problem}"
        for name, all_found in imports.items()
        for found in all_found
        for problem in find_problems(name, found)
    ]
    try:
        graph = {name: {each.name for each in found if each.name in files} for name, found in imports.items()}
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        problems.append("an import cycle: " + " imports ".join(reversed(exc.args[1])))
    problems += find_large(PLUGINS)
    problems += find_shared_names(PLUGINS)
    print("\n".join(problems) or f"{len(files)} files import downwards")
    return bool(problems)


def find_problems(name: str, found: Import) -> Iterator[str]:
    if not found.is_explained:
        yield f"imports {found.name} within a function: say why in a comment above it"
    own, other = _find_layer(name), _find_layer(found.name)
    if own is not None and other is not None and other > own:
        yield f"imports {found.name}, which points up: {LAYERS[other]} is above {LAYERS[own]}"
    allowed = LIBRARIES.get(found.name.partition(".")[0])
    if allowed and (not _is_in(name, allowed) or _is_in(name, PLAIN)):
        yield f"imports {found.name}, which is for {' and '.join(allowed)} only"


def find_large(root: Path) -> Iterator[str]:
    for folder in [root, *(each for each in sorted(root.rglob("*")) if each.is_dir() and each.name != "__pycache__")]:
        files = sorted(folder.glob("*.py"))
        if len(files) > MOST_FILES and folder.name not in FLAT:
            yield f"{folder.relative_to(root.parent)} has {len(files)} files, more than {MOST_FILES}"
        for path in files:
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > MOST_LINES:
                yield f"{path.relative_to(root.parent)} has {lines} lines, more than {MOST_LINES}"


def find_shared_names(root: Path) -> Iterator[str]:
    """Classes of the same name in two files, except for the names that Ansible looks up."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name not in ANSIBLES_NAMES:
                other = found.setdefault(node.name, path)
                if other != path:
                    places = [str(each.relative_to(root.parent)) for each in (path, other)]
                    yield f"{places[0]}: class {node.name} is also in {places[1]}"


def read_imports(name: str, path: Path, files: dict[str, Path]) -> Iterator[Import]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.splitlines()
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    local = {child for function in functions for child in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            is_explained = node not in local or _has_reason(lines, node.lineno)
            for imported in _list_names(node, name, files):
                yield Import(imported, node.lineno, is_explained)


def _list_names(node: ast.Import | ast.ImportFrom, name: str, files: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    module = (node.module or "").removeprefix(COLLECTION)
    if node.level:
        module = ".".join([*name.split(".")[: -node.level], *filter(None, [node.module])])
    # `from package import file`, or `from file import name`.
    for alias in node.names:
        yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in files else module


def _has_reason(lines: list[str], number: int) -> bool:
    """Whether a comment that is more than a directive stands above this line."""
    above = reversed([line.strip() for line in lines[: number - 1]])
    comments = itertools.takewhile(lambda line: line.startswith("#"), above)
    return any(not comment.startswith("# pylint:") for comment in comments)


def _is_in(name: str, places: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(place + ".") for place in places)


def _find_layer(name: str) -> int | None:
    found = [number for number, layer in enumerate(LAYERS) if f"{name}.".startswith(layer + ".")]
    return found[0] if found else None


def _get_name(path: Path) -> str:
    return ".".join(path.relative_to(PLUGINS).with_suffix("").parts)


if __name__ == "__main__":
    sys.exit(main())
