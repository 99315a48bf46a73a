# SPDX-License-Identifier: GPL-2.0-only
"""Settings of all tests of the harness. pytest reads this file for some command lines of the suite too, for example
``pytest --kernel debian:stable``: it must import only what ``make setup`` installs.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.support")
