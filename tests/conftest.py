# SPDX-License-Identifier: GPL-2.0-only
"""Settings of all tests of the harness."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")
# No test depends on how fast the machine is.
settings.register_profile("harness", deadline=None)
settings.load_profile("harness")
