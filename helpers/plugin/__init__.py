# SPDX-License-Identifier: GPL-2.0-only
"""Wires the rooms together for pytest; conftest.py names the plugins among these modules."""
