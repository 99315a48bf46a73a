# SPDX-License-Identifier: GPL-2.0-only
"""pytest explains the assertions of tests.support too."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.support")
