# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are replaced as a whole or not at all. Plain Python, without Ansible."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import Optional

from .errors import brief

_KINDS = ((stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "FIFO"), (stat.S_ISSOCK, "socket"))


def regular_file(path: str) -> Optional[os.stat_result]:
    """The lstat result of the file at the path; None if it is missing or a symbolic link.

    Raises OSError, whose strerror is a whole reason, for a directory, a FIFO and the like.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(found.st_mode):
        return found
    if stat.S_ISLNK(found.st_mode):
        return None
    kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "device")
    raise OSError(errno.EEXIST, "it is a {0}, not a file".format(kind))


def check_replaceable(path: str) -> Optional[os.stat_result]:
    """As regular_file. Also raises OSError for a folder that replace_file cannot write into."""
    found = regular_file(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "the folder {0} does not exist".format(brief(folder, 255)))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no permission to write into the folder {0}".format(brief(folder, 255)))
    return found


def replace_file(path: str, content: bytes, mode: int = 0o666) -> None:
    """Write the content to the file at the path. Raises OSError, and then nothing has changed.

    A file that exists keeps its permissions, and its owner where that is permitted; a new file has those of `mode` that
    the umask leaves. A symbolic link at the path is replaced itself; resolve it first to write to its target.
    """
    before = check_replaceable(path)
    # In the same folder, which others may write to: the name is unpredictable, and a link is not followed.
    part = os.path.join(os.path.dirname(path), ".netsec-{0}".format(secrets.token_hex(8)))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    # No other user can read it before it has the permissions of the old file.
    descriptor = os.open(part, flags, 0o600 if before else mode)
    try:
        with open(descriptor, "wb") as file:
            if before:
                _keep_permissions(descriptor, before)
            file.write(content)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _keep_permissions(descriptor: int, before: os.stat_result) -> None:
    # The user may set a group of their own. After the owner has changed, the mode can no longer be set.
    with contextlib.suppress(OSError):
        os.fchown(descriptor, -1, before.st_gid)
    os.fchmod(descriptor, before.st_mode & 0o777)
    with contextlib.suppress(OSError):
        os.fchown(descriptor, before.st_uid, -1)
