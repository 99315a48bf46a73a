# SPDX-License-Identifier: GPL-2.0-only
"""Detects a kernel's features and facts by its answers."""
