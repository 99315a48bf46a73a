# SPDX-License-Identifier: GPL-2.0-only
"""What every other check asks as well: that the kernel finds nothing wrong with itself meanwhile."""

from __future__ import annotations

from helpers.contract.clauses.base import Clause

CLAUSES = (
    Clause("QUIET-1", "Whatever user space and guests ask, KVM neither warns nor taints the kernel, and the kernel"
           " does not die.",
           "Documentation/admin-guide/tainted-kernels.rst; Documentation/process/coding-style.rst 22 (WARN() is for"
           " what cannot happen)"),
)  # fmt: skip
