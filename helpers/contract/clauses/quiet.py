# SPDX-License-Identifier: GPL-2.0-only
"""Warnings and taint of the kernel, checked after every test."""

from __future__ import annotations

from helpers.contract.clauses.base import Clause

CLAUSES = (
    Clause("QUIET-1", "No call of user space and no call of a guest makes KVM warn, taints the kernel, or crashes it.",
           "Documentation/admin-guide/tainted-kernels.rst; Documentation/process/coding-style.rst 22 (WARN() is for"
           " what cannot happen)"),
)  # fmt: skip
