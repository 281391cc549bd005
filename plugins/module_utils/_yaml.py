# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PyYAML, which a managed host may lack."""

from __future__ import annotations

import functools
import traceback
from typing import Any, Callable, List

from ._errors import MissingLibrary


def library() -> Any:
    """PyYAML itself, imported only by the tasks that need it. Raises MissingLibrary where there is none."""
    try:
        import yaml  # pylint: disable=import-outside-toplevel
    except ImportError as exc:
        raise MissingLibrary("PyYAML", traceback.format_exc()) from exc
    return yaml


def load(text: str) -> Any:
    """The YAML document of a text. Raises ValueError for what is not YAML, without a word of it: it may be secret."""
    documents = _loaded(text, lambda mark, _problem: mark)
    if len(documents) > 1:
        raise ValueError("is not YAML of one document: it holds {0}".format(len(documents)))
    return documents[0] if documents else None


def load_all(text: str) -> List[Any]:
    """The YAML documents of a text. Raises ValueError for what is not YAML."""
    return _loaded(text, "{0}: {1}".format)


def _loaded(text: str, say: Callable[[str, str], str]) -> List[Any]:
    yaml = library()
    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = "line {0}, column {1}".format(mark.line + 1, mark.column + 1) if mark else "somewhere"
        raise ValueError("is not YAML: " + say(where, getattr(exc, "problem", None) or type(exc).__name__)) from exc


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
