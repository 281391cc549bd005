# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as HTML. Plain Python, without Ansible.

Values become text, never attributes, so that escaping has one rule. The only exception is a filter of the page, whose
value is percent-encoded.
"""

from __future__ import annotations

import html
from typing import List
from urllib.parse import quote

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible


def as_text(value: str) -> str:
    return html.escape(visible(value))


def as_name(value: str) -> str:
    return '<span class="name">{0}</span>'.format(as_text(value))


def as_filter(key: str, value: str, content: str) -> str:
    """The content, as HTML, which the page's script makes a link to the list with this filter."""
    return '<span data-filter="{0}={1}">{2}</span>'.format(key, quote(visible(value), safe=""), content)


def format_count(count: int, noun: str) -> str:
    return "{0:,} {1}{2}".format(count, noun, "" if count == 1 else "s")


def format_either(names: List[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
