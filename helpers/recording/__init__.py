# SPDX-License-Identifier: GPL-2.0-only
"""Records the results log from pytest, and writes pytest-html's page."""
