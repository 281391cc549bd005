# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that users name. Whatever the path names: no hang, no traceback, no more memory than the limit."""

from __future__ import annotations

import codecs
import os
import stat

from .errors import file_problem, shown

# A thousand bytes for each of 100,000 endpoints.
MOST_BYTES = 100000000
# A file with some dozen settings.
MOST_BYTES_OF_SETTINGS = 1000000

_KINDS = {
    stat.S_IFDIR: "Is a directory",
    stat.S_IFIFO: "is a named pipe, not a file; write its content to a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
}
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def path_as_shown(path: str) -> str:
    """The path as a message shows it."""
    return path if path.isprintable() and len(path) <= 300 else shown(path, 300)


def read_text(path: str, most_bytes: int = MOST_BYTES) -> str:
    """The content of a regular file in UTF-8. Raises ValueError with the reason, without the path, if it is unreadable.

    A pipe, such as /dev/stdin or a shell's process substitution, is rejected: a module does not inherit it, as its
    standard input is Ansible's.
    """
    if "\0" in path:
        raise ValueError("is not a path: it contains a NUL character")
    try:
        data = _read(path, most_bytes)
    except UnicodeEncodeError as exc:
        raise ValueError(file_problem(exc)) from exc
    except OSError as exc:
        raise ValueError(_system_error(exc, path)) from exc
    if len(data) > most_bytes:
        text = "is larger than {0:g} MB, the maximum; split it"
        raise ValueError(text.format(most_bytes / 1e6))
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            raise ValueError("is {0}, not UTF-8; save it as UTF-8".format(encoding))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        text = "is not UTF-8: line {0} has the byte 0x{1:02x}; save it as UTF-8"
        raise ValueError(text.format(line, data[exc.start])) from exc


def _read(path: str, most_bytes: int) -> bytes:
    """The file's bytes, up to one more than the maximum."""
    # Opening a pipe waits for a writer, and opening a device may have effects.
    _check_kind(os.stat(path).st_mode)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        _check_kind(os.fstat(stream.fileno()).st_mode)
        return stream.read(most_bytes + 1)


def check_regular(path: str) -> None:
    """Raise OSError or ValueError unless the path is a regular file: opening a named pipe waits for a writer."""
    _check_kind(os.stat(path).st_mode)


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ValueError(_KINDS.get(stat.S_IFMT(mode), "is not a file"))


def _system_error(exc: OSError, path: str) -> str:
    reason = exc.strerror or str(exc)
    if isinstance(exc, FileNotFoundError) and not os.path.isabs(path):
        reason += " in {0}, the working directory of the module; give an absolute path".format(_working_directory())
    return reason


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "(a deleted folder)"
