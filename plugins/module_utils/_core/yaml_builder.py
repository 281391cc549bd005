# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents of a YAML string, built from the events of PyYAML's parser.

PyYAML's own constructor keeps the last of two equal keys, turns a date into an object, and lets a few lines of aliases
fill the memory.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from .errors import brief

# Values and keys of a string, where an alias counts as its whole content: enough for 100,000 endpoints as calicoctl
# prints them, with some 38 each. Most values use less than 80 bytes of memory, and a long value counts as several.
MOST_VALUES = 4000000
_LETTERS_OF_A_VALUE = 64
# Calico's manifests have at most ten levels.
_DEEPEST = 100
# Python rejects an integer of more than 4300 digits.
LONGEST_NUMBER = 4000

_NO_KEY, _OPEN = object(), object()


class _Merge:
    def __repr__(self) -> str:
        return "<<"


_MERGE = _Merge()
_TAG = "tag:yaml.org,2002:"
# The message does not quote the tag: a password may begin with "!".
_UNKNOWN_TAG = "a tag is not supported; remove it, or quote the string if the ! is a part of it"
_CACHED = 65536


class YamlKeyTwice(Exception):
    """A key of the mapping that begins at this weight is given twice."""

    def __init__(self, weight: int, key: Any, path: str, mark: Any) -> None:
        super().__init__(path)
        self.weight = weight
        self.key = key
        self.path = path
        self.mark = mark


class _Frame:
    """A mapping or a list that is being read."""

    __slots__ = ("container", "key", "merged", "anchor", "weight")

    def __init__(self, container: Any, anchor: Optional[str], weight: int) -> None:
        self.container = container
        self.anchor = anchor
        # The weight of the string up to here, which is unique to the frame.
        self.weight = weight
        # In a mapping: the key whose value comes next, and the mappings that << merges, None without a <<.
        self.key: Any = _NO_KEY
        self.merged: Optional[List[Mapping[Any, Any]]] = None


class YamlBuilder:
    """Builds the documents of a string from the events of PyYAML's parser."""

    def __init__(self, yaml: Any, sought: Optional[YamlKeyTwice] = None) -> None:
        self._yaml = yaml
        self._sought = sought
        self.first_line = 0
        self._documents: List[Any] = []
        self._frames: List[_Frame] = []
        self._anchors: Dict[str, Tuple[Any, int]] = {}
        self._weight = 0
        self._scalars: Dict[str, Any] = {}
        self._resolvers = self._yaml.SafeLoader.yaml_implicit_resolvers

    def build(self, parser: Any, only_first: bool = False) -> List[Any]:
        yaml = self._yaml
        handlers: Dict[type, Callable[[Any], None]] = {
            yaml.DocumentStartEvent: self._start_document,
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._start_list,
            yaml.SequenceEndEvent: self._end_list,
            yaml.MappingStartEvent: self._start_mapping,
            yaml.MappingEndEvent: self._end_mapping,
        }
        get_event, end = parser.get_event, yaml.DocumentEndEvent if only_first else yaml.StreamEndEvent
        try:
            while True:
                event = get_event()
                handler = handlers.get(type(event))
                if handler:
                    handler(event)
                elif isinstance(event, (end, yaml.StreamEndEvent)):
                    return self._documents
        finally:
            parser.dispose()

    def _start_document(self, event: Any) -> None:
        self._documents.append(None)
        self._anchors.clear()

    def _scalar(self, event: Any) -> None:
        text = event.value
        self._weight += 1 + len(text) // _LETTERS_OF_A_VALUE
        if event.implicit[0]:
            # A plain scalar: its form decides on its type.
            value = self._scalars.get(text, _OPEN)
            if value is _OPEN:
                value = self._plain(text, event)
        elif event.tag in (None, "!", _TAG + "str", _TAG + "timestamp"):
            value = text
        else:
            value = self._tagged(text, event)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1 + len(text) // _LETTERS_OF_A_VALUE)
        self._add(value, event)

    def _plain(self, text: str, event: Any) -> Any:
        value: Any = text
        for tag, pattern in self._resolvers.get(text[:1], ()):
            if pattern.match(text):
                value = self._converted(text, tag, event)
                break
        if len(self._scalars) < _CACHED:
            self._scalars[text] = value
        return value

    def _tagged(self, text: str, event: Any) -> Any:
        for tag, pattern in self._resolvers.get(text[:1], ()):
            if tag == event.tag and pattern.match(text):
                return self._converted(text, tag, event)
        raise _problem(event, _UNKNOWN_TAG)

    def _converted(self, text: str, tag: str, event: Any) -> Any:
        convert = _CONVERT.get(tag)
        # calicoctl does not support base 60: 1:2:3:4:5:6:7:8 is an address.
        if not convert or ":" in text:
            return text
        if len(text) > LONGEST_NUMBER:
            raise _problem(event, "a number of {0} characters is too long; quote it".format(len(text)))
        try:
            return convert(text)
        except ValueError as exc:
            raise _problem(event, "looks like a number, but is not a valid number; quote it") from exc

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise self._yaml.composer.ComposerError(
                None, None, "found undefined alias {0}".format(brief(event.anchor)), event.start_mark
            )
        value, weight = self._anchors[event.anchor]
        if value is _OPEN:
            raise _problem(event, "an alias refers to a value that contains it")
        self._weight += weight
        self._add(value, event)

    def _start_list(self, event: Any) -> None:
        self._start([], event, "seq")

    def _start_mapping(self, event: Any) -> None:
        self._start({}, event, "map")

    def _start(self, container: Any, event: Any, tag: str) -> None:
        if event.tag not in (None, "!", _TAG + tag):
            raise _problem(event, _UNKNOWN_TAG)
        if len(self._frames) == _DEEPEST:
            raise _problem(event, "is nested more than {0} levels deep".format(_DEEPEST))
        if event.anchor:
            self._anchors[event.anchor] = (_OPEN, 0)
        self._frames.append(_Frame(container, event.anchor, self._weight))
        self._weight += 1

    def _end_list(self, event: Any) -> None:
        self._finish(self._frames.pop(), event)

    def _end_mapping(self, event: Any) -> None:
        frame = self._frames.pop()
        for mapping in frame.merged or ():
            # The mapping's own keys count first, then the first merged mapping.
            for key, value in mapping.items():
                frame.container.setdefault(key, value)
        self._finish(frame, event)

    def _finish(self, frame: _Frame, event: Any) -> None:
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.container, self._weight - frame.weight)
        self._add(frame.container, event)

    def _add(self, value: Any, event: Any) -> None:
        """Add a value or a key to the open mapping or list."""
        if self._weight > MOST_VALUES:
            text = "holds more than {0} values and keys, where an alias counts as its whole content; split the file"
            raise _problem(event, text.format(MOST_VALUES))
        if not self._frames:
            self._documents[-1] = value
            return
        frame = self._frames[-1]
        container, key = frame.container, frame.key
        if isinstance(container, list):
            container.append(value)
        elif key is _NO_KEY:
            self._add_key(frame, value, event)
        elif key is _MERGE:
            frame.merged = list(_mappings(value, event))
            frame.key = _NO_KEY
        else:
            container[key] = value
            frame.key = _NO_KEY

    def _add_key(self, frame: _Frame, key: Any, event: Any) -> None:
        if isinstance(key, (dict, list)):
            raise _problem(
                event, "a key is a {0}; a key must be a string".format("mapping" if isinstance(key, dict) else "list")
            )
        if key == "<<" and getattr(event, "implicit", (False,))[0]:
            # YAML readers differ on which of two << counts.
            key = _MERGE
        elif isinstance(key, bool):
            # As calicoctl does with keys; in Python, true and 1 are the same key.
            key = "true" if key else "false"
        elif isinstance(key, int):
            key = str(key)
        frame.key = key
        if self._sought and (frame.weight, key) == (self._sought.weight, self._sought.key):
            self.first_line = self.first_line or event.start_mark.line + 1
        if key in frame.container or key is _MERGE and frame.merged is not None:
            raise YamlKeyTwice(frame.weight, key, self._path(), event.start_mark)

    def _path(self) -> str:
        """The place of the current value in its document, such as items[3].spec.node."""
        keys = [len(frame.container) if isinstance(frame.container, list) else frame.key for frame in self._frames]
        number = len(self._documents)
        return ("document {0}: ".format(number) if number > 1 else "") + format_path(keys)


def format_path(keys: List[Any]) -> str:
    """Keys of mappings and indexes of items, as a message shows the place."""
    parts = ["[{0}]".format(key) if isinstance(key, int) else "." + brief(key) for key in keys]
    return "".join(parts).lstrip(".")


def given_twice(path: str, line: int) -> str:
    return "{0} is given twice, first on line {1}; keep one of the two".format(path, line)


def format_place(mark: Any) -> str:
    return "line {0}, column {1}".format(mark.line + 1, mark.column + 1)


def _problem(event: Any, text: str) -> ValueError:
    return ValueError("{0}: {1}".format(format_place(event.start_mark), text))


def _mappings(value: Any, event: Any) -> Iterator[Mapping[Any, Any]]:
    """The mappings that << merges."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise _problem(event, "<< needs a mapping, or a list of mappings")
        yield item


def _bool(text: str) -> bool:
    return text.lower() in ("yes", "true", "on")


def _int(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign, digits = (-1 if digits[0] == "-" else 1), digits.lstrip("+-")
    if digits[:2] in ("0b", "0x"):
        return sign * int(digits[2:], 2 if digits[1] == "b" else 16)
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def _float(text: str) -> float:
    digits = text.replace("_", "").lower()
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


# Any other scalar is the string as written.
_CONVERT: Dict[str, Callable[[str], Any]] = {
    _TAG + "null": lambda text: None,
    _TAG + "bool": _bool,
    _TAG + "int": _int,
    _TAG + "float": _float,
}
