# SPDX-License-Identifier: GPL-2.0-only
"""Programs for those who work on the project."""
