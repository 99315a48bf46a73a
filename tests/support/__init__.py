# SPDX-License-Identifier: GPL-2.0-only
"""Code that several tests share: fake subjects, throw-away projects, logs, validators, machines."""

from __future__ import annotations

import ast
from pathlib import Path

from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, OUTCOMES, PASSED

__all__ = ["ERROR", "FAILED", "KNOWN", "NOT_APPLICABLE", "NOT_MEASURED", "OUTCOMES", "PASSED", "ROOT", "imports_of"]

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout."""


def imports_of(path: Path) -> set[str]:
    """The full names of the modules that a file imports, and of the names that it imports from modules."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{each.name}" for each in node.names}
    return modules
