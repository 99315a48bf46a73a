# SPDX-License-Identifier: GPL-2.0-only
"""The cost of a register access in process, beside a loop in C."""
