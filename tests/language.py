# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the texts for phrases that house style rejects: `python -m tests.language`, a part of `make lint`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("plugins", "roles", "docs", "playbooks", "changelogs/fragments", "README.md", "CONTRIBUTING.md")
SUFFIXES = (".py", ".yml", ".md", ".rst", ".html")
# {phrase, as a regular expression: what to write instead}
PHRASES = {
    r"nobody\b": "is unknown; cannot determine; no client",
    r"(is|are) not known": "is unknown",
    r"known by nobody": "is unknown",
    r"at the most": "maximum, at most",
    r"all the same\b(?! )": "anyway",
    r"written all the same": "anyway",
    r"in other hands": "governed by another endpoint",
    r"as it should be|as they should be|as wanted": "as declared; matches",
    r"is none of": "is not one of",
    r"(address|text|name|list|mapping)s? that (is|are) none\b": "is not a valid ...",
    r"goes away|is gone\b(?! )": "is deleted",
    r"of so many": "the number of",
    r"whatever becomes of": "the result of",
    r"in earnest": "for real; in normal mode",
    r"somebody else\b": "another client, another user",
    r"(is|are) asked of": "is in, are methods of",
    r"to the letter": "exactly, byte for byte",
}


def main() -> int:
    problems = list(find_problems())
    print("\n".join(problems) or "no rejected phrase")
    return bool(problems)


def find_problems() -> Iterator[str]:
    for path in list_files():
        text = path.read_text(encoding="utf-8")
        for phrase, instead in PHRASES.items():
            # A phrase may be wrapped.
            for match in re.finditer(phrase.replace(" ", r"\s+(?:#\s+)?"), text, re.IGNORECASE):
                line = text.count("\n", 0, match.start()) + 1
                found = " ".join(match.group().split())
                yield f'{path.relative_to(ROOT)}:{line}: "{found}": write "{instead}"'


def list_files() -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / place
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (each for each in files if each.is_file() and each.suffix in SUFFIXES)


if __name__ == "__main__":
    raise SystemExit(main())
