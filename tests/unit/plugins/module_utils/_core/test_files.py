# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.files import path_as_shown, read_text


def problem(path, **options):
    with pytest.raises(ValueError) as error:
        read_text(str(path), **options)
    return str(error.value)


@pytest.mark.parametrize(
    "content, text",
    [(b"", ""), (b"a: \xc3\xa4\r\n", "a: ä\r\n"), (b"\xef\xbb\xbfa", "a"), ("\U0001f600".encode(), "\U0001f600")],
)
def test_a_text_in_utf_8_is_read(tmp_path, content, text):
    (tmp_path / "f").write_bytes(content)
    (tmp_path / "link").symlink_to("f")
    assert read_text(str(tmp_path / "f")) == read_text(str(tmp_path / "link")) == text


@pytest.mark.parametrize(
    "content, message",
    [
        ("a: b\n".encode("utf-16"), "is UTF-16, not UTF-8; save it as UTF-8"),
        (b"\xfe\xff\0a", "is UTF-16, not UTF-8; save it as UTF-8"),
        ("a: b\n".encode("utf-32"), "is UTF-32, not UTF-8; save it as UTF-8"),
        (b"a\nb\n\xe4\n", "is not UTF-8: line 3 has the byte 0xe4; save it as UTF-8"),
    ],
)
def test_another_encoding_is_named(tmp_path, content, message):
    (tmp_path / "f").write_bytes(content)
    assert problem(tmp_path / "f") == message


def test_a_file_has_a_limit(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 2000001)
    assert problem(tmp_path / "f", most_bytes=2000000) == ("is larger than 2 MB, the maximum; split it")
    assert len(read_text(str(tmp_path / "f"), most_bytes=2000001)) == 2000001


def test_what_is_no_regular_file_is_named_at_once(tmp_path):
    os.mkfifo(str(tmp_path / "pipe"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("pipe")
    assert problem(tmp_path) == "Is a directory"
    for name in ("pipe", "link"):
        assert problem(tmp_path / name) == "is a named pipe, not a file; write its content to a file"
    assert problem(tmp_path / "socket") == "is a socket, not a file"
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        assert problem(device) == "is a device, not a file"


def test_a_pipe_of_a_shell_is_refused():
    reading, writing = os.pipe()
    try:
        assert "is a named pipe" in problem("/proc/self/fd/{0}".format(reading))
    finally:
        os.close(reading)
        os.close(writing)


def test_a_relative_path_that_does_not_exist_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert problem("no/such.yml") == (
        "No such file or directory in {0}, the working directory of the module; give an absolute path".format(tmp_path)
    )
    assert problem(tmp_path / "none") == "No such file or directory"
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    (tmp_path / "folder").rmdir()
    assert "(a deleted folder)" in problem("none")


def test_other_errors_are_the_systems_words(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in problem(tmp_path / "loop")
    assert problem("/" + "x" * 300) == "File name too long"
    assert problem("/dev/null/x") == "Not a directory"


def test_a_path_that_no_path_can_be(tmp_path):
    assert problem("/a\0b") == "is not a path: it contains a NUL character"
    assert path_as_shown("/a\0b") == r"'/a\x00b'"
    assert path_as_shown("/tmp/ä b.yml") == "/tmp/ä b.yml"
    assert len(path_as_shown("/" + "x" * 100000)) < 310
