# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a file is replaced: what it was keeps its mode, what others have put beside it stays, and nothing is left."""

from __future__ import annotations

import errno
import os
import secrets
import stat

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.replaced_file import (
    check_replaceable,
    regular_file,
    replace_file,
)


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path):
    replace_file(str(tmp_path / "x"), b"new")
    assert (tmp_path / "x").read_bytes() == b"new" and mode(tmp_path / "x") == 0o640


@pytest.mark.parametrize("before", [0o600, 0o664, 0o444, 0o755])
def test_a_file_keeps_its_mode(tmp_path, before):
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(before)
    replace_file(str(tmp_path / "x"), b"new")
    assert (tmp_path / "x").read_bytes() == b"new" and mode(tmp_path / "x") == before


def test_a_file_keeps_no_right_to_be_somebody_else(tmp_path):
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(0o6755)
    replace_file(str(tmp_path / "x"), b"new")
    assert mode(tmp_path / "x") == 0o755


def test_a_file_keeps_its_owner_and_group(tmp_path):
    (tmp_path / "x").write_text("old")
    # Who is not root may give it to a group of theirs.
    owner = (12345, 23456) if os.geteuid() == 0 else (os.geteuid(), os.getgroups()[-1])
    os.chown(str(tmp_path / "x"), *owner)
    replace_file(str(tmp_path / "x"), b"new")
    assert ((tmp_path / "x").stat().st_uid, (tmp_path / "x").stat().st_gid) == owner


def test_an_owner_that_may_not_be_given_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(0o604)

    def refuse(*_arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    replace_file(str(tmp_path / "x"), b"new")
    assert (tmp_path / "x").read_bytes() == b"new" and mode(tmp_path / "x") == 0o604


def test_nobody_reads_it_before_it_has_the_mode_of_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(0o600)
    real, seen = os.fchmod, []

    def watched(descriptor, wanted):
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", watched)
    replace_file(str(tmp_path / "x"), b"secret")
    assert seen == [0o600]


def test_a_link_that_waits_for_it_is_not_followed(tmp_path, monkeypatch):
    """Where somebody has guessed the name; they cannot, but if they could."""
    monkeypatch.setattr(secrets, "token_hex", lambda _size: "guessed")
    other, link = tmp_path / "other", tmp_path / ".netsec-guessed"
    other.write_text("mine")
    link.symlink_to(other)
    with pytest.raises(FileExistsError):
        replace_file(str(tmp_path / "x"), b"new")
    assert other.read_text() == "mine" and link.is_symlink() and not (tmp_path / "x").exists()


def test_no_two_files_have_the_same_name_on_their_way(tmp_path, monkeypatch):
    names, real = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *flags: names.append(path) or real(path, *flags))
    for _time in range(2):
        replace_file(str(tmp_path / "x"), b"new")
    assert len(set(names)) == 2 and {os.path.dirname(name) for name in names} == {str(tmp_path)}


def test_a_link_in_its_place_is_replaced_itself(tmp_path):
    (tmp_path / "other").write_text("mine")
    (tmp_path / "x").symlink_to(tmp_path / "other")
    replace_file(str(tmp_path / "x"), b"new")
    assert (tmp_path / "other").read_text() == "mine" and not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing_and_the_old_file(tmp_path, monkeypatch, failure):
    (tmp_path / "x").write_text("old")

    def fail(*_arguments):
        raise failure

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(failure)):
        replace_file(str(tmp_path / "x"), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "old"


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path):
    replace_file(str(tmp_path / ("x" * 255)), b"new")


def folder(path):
    path.mkdir()
    return path


def fifo(path):
    os.mkfifo(str(path))
    return path


@pytest.mark.parametrize(
    "made, message",
    [
        (folder, "is a directory, not a file"),
        (fifo, "is a FIFO, not a file"),
        (lambda _path: "/dev/null", "is a device, not a file"),
        (lambda path: path / "y", r"the folder .*/x does not exist"),
        (lambda _path: "/dev/null/x", "Not a directory"),
    ],
)
@pytest.mark.parametrize("use", [check_replaceable, lambda path: replace_file(path, b"new")])
def test_what_is_no_file_is_said_in_one_sentence(tmp_path, made, message, use):
    path = made(tmp_path / "x")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=message):
        use(str(path))
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    # Root may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    for use in (check_replaceable, lambda path: replace_file(path, b"new")):
        with pytest.raises(PermissionError, match="no permission to write into the folder"):
            use(str(tmp_path / "x"))


def test_what_is_only_read_needs_no_right_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert regular_file(str(tmp_path / "x")) is None
    (tmp_path / "x").write_text("old")
    assert regular_file(str(tmp_path / "x")).st_size == 3
