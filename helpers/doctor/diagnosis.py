# SPDX-License-Identifier: GPL-2.0-only
"""The result of one check of the machine. Uses only the standard library, because packages may be missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from helpers.errors import HarnessError
from helpers.subjects.privilege import as_root


class Condition(Enum):
    """The result of a check. A warning does not prevent a run."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Diagnosis:
    """What was checked, the result, the facts, and the command that fixes a problem ("" if there is none)."""

    name: str
    condition: Condition
    detail: str
    cure: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether it prevents the runs that need it."""
        return self.condition is Condition.MISSING


def good(name: str, detail: str) -> Diagnosis:
    """A check without a problem."""
    return Diagnosis(name, Condition.OK, detail)


def warning(name: str, detail: str, cure: str = "") -> Diagnosis:
    """A check with a problem that does not prevent a run."""
    return Diagnosis(name, Condition.WARNING, detail, cure)


def missing(name: str, detail: str, cure: str) -> Diagnosis:
    """A check with a problem that prevents the runs that need it."""
    return Diagnosis(name, Condition.MISSING, detail, cure)


def diagnose(name: str, fact: Callable[[], str], cure: str = "") -> Diagnosis:
    """An OK diagnosis with the fact, or a missing one with ``cure`` or the error's cure if it raises HarnessError."""
    try:
        return good(name, fact())
    except HarnessError as error:
        why = f": {error.why}" if error.why else ""
        return missing(name, f"{error.what}{why}", cure or error.cure)


def as_warning(diagnosis: Diagnosis) -> Diagnosis:
    """The same problem as a warning, for a case in which it does not prevent a run."""
    condition = Condition.WARNING if diagnosis.is_missing else diagnosis.condition
    return Diagnosis(diagnosis.name, condition, diagnosis.detail, diagnosis.cure)


def install(packages: Iterable[str]) -> str:
    """The command that installs Debian packages; without apt, their names."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        return f"install the equivalent of these Debian packages: {names}"
    return as_root(f"apt-get install --no-install-recommends {names}")
