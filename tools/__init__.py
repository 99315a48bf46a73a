# SPDX-License-Identifier: GPL-2.0-only
"""Programs for developers of the suite."""
