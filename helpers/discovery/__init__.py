# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel is, found by asking it."""
