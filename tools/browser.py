# SPDX-License-Identifier: GPL-2.0-only
"""A headless browser with a temporary profile, to check reports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from helpers.errors import HarnessError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# A report makes no requests. These options stop the browser's own.
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_CURE = "Run tools/setup.sh check"


@contextmanager
def browser() -> Iterator[Any]:
    """A Playwright Browser. Raises HarnessError if Playwright or Chromium is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise HarnessError("Playwright is not installed", cure=_CURE) from None
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise HarnessError("Chromium is not installed", why=f"none of {', '.join(_NAMES)} is in PATH", cure=_CURE)
    with sync_playwright() as playwright:
        # Chromium's sandbox works neither for root nor in a container without user namespaces.
        chromium = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS), chromium_sandbox=False)
        try:
            yield chromium
        finally:
            chromium.close()
