# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and writes YAML with PyYAML, which a managed host may lack."""

from __future__ import annotations

import contextlib
import functools
import traceback
from typing import Any, Callable, List

from .errors import MissingLibrary
from .yaml_builder import YamlBuilder, YamlKeyTwice, format_place, given_twice

_MOST_DIRECTIVES = 1000


class NotYaml(ValueError):
    """The string is not YAML."""

    def __init__(self, reason: str) -> None:
        super().__init__("is not YAML: " + reason)
        self.reason = reason


def library() -> Any:
    """PyYAML itself. Raises MissingLibrary if it is not installed."""
    try:
        # A task without YAML works without PyYAML.
        import yaml  # pylint: disable=import-outside-toplevel
    except ImportError as exc:
        raise MissingLibrary("PyYAML", traceback.format_exc()) from exc
    return yaml


def first(text: str) -> Any:
    """The first YAML document of a string, None for an empty string. Like Go's readers, it ignores later documents.

    Raises NotYaml, and ValueError like load_all. Messages quote only keys: the content may be secret.
    """
    documents = _loaded(text, lambda mark, _problem: mark, only_first=True)
    return documents[0] if documents else None


def load_all(text: str) -> List[Any]:
    """The YAML documents of a string. Dates and base-60 numbers are strings as written.

    Raises NotYaml with line, column and reason, and ValueError for a duplicate key, and for content that is larger or
    nested more deeply than the limits.
    """
    return _loaded(text, "{0}: {1}".format)


def _loaded(text: str, say: Callable[[str, str], str], only_first: bool = False) -> List[Any]:
    yaml = library()
    if text.count("%TAG") > _MOST_DIRECTIVES:
        # The parser compares each with all others.
        raise ValueError("has %TAG more than {0} times".format(_MOST_DIRECTIVES))
    # libyaml rejects Ansible's own types of strings, and str() may return them.
    text = str.__str__(text)
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return YamlBuilder(yaml).build(parser(text), only_first)
    except YamlKeyTwice as exc:
        raise ValueError(
            "{0}: {1}".format(format_place(exc.mark), given_twice(exc.path, _first_line(yaml, parser(text), exc)))
        ) from exc
    except (yaml.reader.ReaderError, UnicodeEncodeError) as exc:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        where = "line {0}: ".format(text.count("\n", 0, found.start()) + 1) if found else ""
        which = "the character U+{0:04X}".format(ord(found.group())) if found else "a character"
        raise NotYaml("{0}{1} is not allowed".format(where, which)) from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = format_place(mark) if mark else "somewhere"
        raise NotYaml(say(where, getattr(exc, "problem", None) or type(exc).__name__)) from exc


def dump(value: Any) -> str:
    """The value as block-style YAML that every YAML reader reads alike, mappings in their own order."""
    text: str = library().dump(value, Dumper=_dumper(), sort_keys=False, default_flow_style=False)
    return text


@functools.lru_cache(maxsize=None)
def _dumper() -> Any:
    """A dumper that quotes a string which other readers, such as calicoctl, do not read as a string."""
    dumper: Any = type("Dumper", (library().SafeDumper,), {})
    dumper.add_representer(
        str,
        lambda self, text: self.represent_scalar(
            "tag:yaml.org,2002:str", text, style="'" if _is_ambiguous(text) else None
        ),
    )
    return dumper


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


def _first_line(yaml: Any, parser: Any, twice: YamlKeyTwice) -> int:
    """The line on which the key is given first. Storing the line of every key would use as much memory as the keys."""
    builder = YamlBuilder(yaml, twice)
    with contextlib.suppress(YamlKeyTwice):
        builder.build(parser)
    return builder.first_line
