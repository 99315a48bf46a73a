# SPDX-License-Identifier: GPL-2.0-only
"""The results log written from pytest, and pytest-html's page."""
