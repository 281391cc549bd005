# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PyYAML, which a managed host may lack."""

from __future__ import annotations

import functools
import traceback
from typing import Any, Callable, List

from ._errors import MissingLibrary, brief


def library() -> Any:
    """PyYAML itself, imported only by the tasks that need it. Raises MissingLibrary where there is none."""
    try:
        import yaml  # pylint: disable=import-outside-toplevel
    except ImportError as exc:
        raise MissingLibrary("PyYAML", traceback.format_exc()) from exc
    return yaml


def first(text: str) -> Any:
    """The first YAML document of a text, None when there is none. Like Go's readers, it does not look at the others.

    Raises ValueError for what is not YAML, without a word of it: it may be secret. No key may appear twice in a
    mapping, nor in one that is a member of it.
    """

    def load(loader: Any) -> Any:
        node = loader.get_node() if loader.check_node() else None
        _check_keys(node)
        return None if node is None else loader.construct_document(node)

    return _loaded(text, load, lambda mark, _problem: mark)


def load_all(text: str) -> List[Any]:
    """The YAML documents of a text. Raises ValueError for what is not YAML."""

    def load(loader: Any) -> List[Any]:
        documents = []
        while loader.check_data():
            documents.append(loader.get_data())
        return documents

    return _loaded(text, load, "{0}: {1}".format)


def _loaded(text: str, load: Callable[[Any], Any], say: Callable[[str, str], str]) -> Any:
    yaml = library()
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            return load(loader)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        if isinstance(exc, _Repeated):
            raise
        mark = getattr(exc, "problem_mark", None)
        where = "line {0}, column {1}".format(mark.line + 1, mark.column + 1) if mark else "somewhere"
        raise ValueError("is not YAML: " + say(where, getattr(exc, "problem", None) or type(exc).__name__)) from exc


class _Repeated(ValueError):
    """A key appears twice in one mapping."""


def _check_keys(node: Any, depth: int = 2) -> None:
    """Raise _Repeated for a key of a mapping, or of one below it, that appears twice: PyYAML takes the last one."""
    if not isinstance(node, library().MappingNode) or not depth:
        return
    known = set()
    for key, value in node.value:
        if str(key.value) in known:
            line = key.start_mark.line + 1
            raise _Repeated("line {0}: the key {1} appears twice: keep one".format(line, brief(key.value)))
        known.add(str(key.value))
        _check_keys(value, depth - 1)


def dump(value: Any) -> str:
    """The value as block-style YAML, mappings in their own order, that every reader of YAML reads alike."""
    return library().dump(value, Dumper=_dumper(), sort_keys=False, default_flow_style=False)


@functools.lru_cache(maxsize=None)
def _dumper() -> Any:
    class Dumper(library().SafeDumper):
        """Quotes what PyYAML reads as text, and other readers, calicoctl's among them, as something else."""

    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style="'" if _is_ambiguous(text) else None
        ),
    )
    return Dumper


def _is_ambiguous(text: str) -> bool:
    if text.lower() in ("y", "n"):
        return True
    for number in (float, functools.partial(int, base=0)):
        try:
            number(text)
        except ValueError:
            continue
        return True
    return False
