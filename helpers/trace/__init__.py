# SPDX-License-Identifier: GPL-2.0-only
"""The system calls that a test made, kept as they are and written out only when somebody wants to read them."""
