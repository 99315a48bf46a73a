# SPDX-License-Identifier: GPL-2.0-only
"""The suite's pytest plugin; conftest.py lists the modules that pytest loads."""
