# SPDX-License-Identifier: GPL-2.0-only
"""Tests that fetch validators and userlands from package registries, once, or need a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tools.browser import browser


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    """Chromium."""
    with browser() as found:
        yield found
