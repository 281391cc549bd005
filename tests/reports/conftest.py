# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that read the reports: Debian's Chromium and LibreOffice. Without them the tests fail, never skip."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness.module import collections_path  # noqa: E402

collections_path()
# Milliseconds. The machine may be busy.
expect.set_options(timeout=60_000)


def _program(name, package):
    path = shutil.which(name)
    if not path:
        pytest.fail("no %s found: install the Debian package %s" % (name, package), pytrace=False)
    return path


@pytest.fixture(scope="session")
def soffice():
    return _program("soffice", "libreoffice-calc-nogui")


@pytest.fixture(scope="session")
def chromium():
    """A running browser."""
    path = _program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()
