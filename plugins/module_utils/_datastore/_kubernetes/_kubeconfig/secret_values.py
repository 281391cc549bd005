# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values of a kubeconfig that are secret or may be, for the messages and results that must not contain them."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any, Iterator, List, Mapping, Tuple

# In place of what may be secret.
MASK = "********"
# Keys whose values are secret wherever they occur.
_SECRET = ("token", "password", "client-key-data", "id-token", "refresh-token", "client-secret", "access-token")
_URLS = ("server", "proxy-url", "idp-issuer-url")
# Of a program's words, only the first one and the names of its options are shown.
_WORDS = ("args", "cmd-args", "cmd-path", "command")
_PROGRAMS = ("cmd-path", "command")
_FLAG = re.compile("--[A-Za-z][A-Za-z0-9-]*|-[A-Za-z]")
# Keys whose values are shown. Other strings and numbers may be secret.
_SHOWN = (
    *("apiVersion", "kind", "name", "current-context", "cluster", "user", "namespace"),
    *("certificate-authority", "certificate-authority-data", "tls-server-name"),
    *("client-certificate", "client-certificate-data", "client-key", "tokenFile", "username", "as", "as-groups"),
    *("interactiveMode", "client-id", "expiry", "idp-certificate-authority", "idp-certificate-authority-data"),
)
# A shorter string also occurs in other words of a message.
_SHORTEST = 4


def get_password(url: str) -> str:
    """The password in a URL."""
    user, _at, _place = url.partition("://")[2].rpartition("@")
    return user.partition(":")[2]


def list_strings(content: Any, only_secrets: bool) -> Iterator[str]:
    """The strings and numbers of a kubeconfig's content, as Ansible masks them, or only its secrets."""
    for name, text in _walk(content):
        if name in _SECRET or not only_secrets:
            yield text
        elif name in _URLS and get_password(text):
            yield get_password(text)


def _walk(content: Any, key: str = "") -> Iterator[Tuple[str, str]]:
    """(key, text) of each string and number."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _walk(value, str(name))
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from _walk(item, key)
    elif content not in ("", None) and not isinstance(content, bool):
        yield key, str(content)


def redact(content: Any, key: str = "") -> Any:
    """A kubeconfig's content as a result may repeat it, without what may be secret."""
    if isinstance(content, Mapping):
        return {name: redact(value, str(name)) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [redact(item, key) for item in content]
    if content in ("", None) or isinstance(content, bool):
        return content
    return "".join(MASK if is_secret else part for part, is_secret in _split(key, str(content)))


def hide(text: str, content: Any) -> str:
    """A message of the library, or of a program that it ran, without what may be secret in this content."""
    hidden = {part for key, value in _walk(content) for part in _list_hidden(key, value)}
    for part in sorted(hidden, key=len, reverse=True):
        if len(part) >= _SHORTEST:
            text = text.replace(part, MASK)
    return text


def _list_hidden(key: str, text: str) -> Iterator[str]:
    for part, is_secret in _split(key, text):
        if not is_secret:
            continue
        yield part
        if key in _WORDS:
            # A program may quote one of them.
            yield from (word for word in part.split() if not _FLAG.fullmatch(word))
        if key in _URLS:
            password = part.partition(":")[2]
            yield from (password, urllib.parse.unquote(password))


def _split(key: str, text: str) -> List[Tuple[str, bool]]:
    """The parts of a value, each with whether it may be secret."""
    if key in _URLS:
        before, at, place = text.rpartition("@")
        scheme, sign, user = before.rpartition("://") if "://" in before else ("", "", before)
        return [(scheme + sign, False), (user, bool(at)), (at + place, False)]
    if key in _PROGRAMS:
        program, blank, words = text.partition(" ")
        return [(program + blank, False), (words, bool(words))]
    if key == "args":
        name, sign, value = text.partition("=")
        if _FLAG.fullmatch(name):
            return [(name + sign, False), (value, bool(value))]
    return [(text, key not in _SHOWN)]
