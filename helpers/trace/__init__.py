# SPDX-License-Identifier: GPL-2.0-only
"""The system calls that a test made, kept as objects and formatted only for a failure."""
