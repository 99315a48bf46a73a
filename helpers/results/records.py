# SPDX-License-Identifier: GPL-2.0-only
"""The values that a results log holds, as frozen tables; no input and output here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from helpers.identity import Identity

VERSION = 3
"""The version of the log that is written; helpers/results/versions.py reads the older ones."""

PASSED = "passed"
FAILED = "failed"
ERROR = "error"
NOT_APPLICABLE = "not-applicable"
KNOWN = "known-deviation"

# From best to worst. A failure is a fact about the kernel and outranks an error, which is none.
OUTCOMES = (PASSED, NOT_APPLICABLE, KNOWN, ERROR, FAILED)
Outcome = Annotated[str, Meta(extra_json_schema={"enum": list(OUTCOMES)})]


@dataclass(frozen=True)
class Session:
    """What was started: with which arguments, for which subjects, when (seconds since 1970), with which programs."""

    version: int
    argv: tuple[str, ...]
    subjects: tuple[Identity, ...]
    time: float
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A test as it was collected or started; subject is None where the node id does not tell."""

    nodeid: str
    subject: Identity | None = None


@dataclass(frozen=True)
class Result:
    """The outcome of one test on one subject; duration in seconds over all phases."""

    nodeid: str
    subject: Identity | None
    outcome: Outcome
    clauses: tuple[str, ...] = ()
    requirement: str = ""
    source: str = ""
    message: str = ""
    duration: float = 0.0
    calls: str = ""
    """The last system calls before it ended badly, one a line."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown outcome."""
        if self.outcome not in OUTCOMES:
            raise ValueError(f"unknown outcome {self.outcome!r}")


@dataclass(frozen=True)
class KnownDeviation:
    """A clause that this subject was recognised to break in a known way; the link leads to the fix or its report."""

    name: str
    clause: str
    reason: str
    link: str

    def excuses(self, clauses: tuple[str, ...]) -> bool:
        """Whether a test of these clauses may fail: only one that checks nothing else."""
        return clauses == (self.clause,)


@dataclass(frozen=True)
class RegisterInfo:
    """A bitmap register as a fresh VM of the subject has it.

    ``bits`` are the numbers and names of the known bits; ``default`` is None if the register cannot be read.
    """

    name: str
    id: int
    bits: tuple[tuple[int, str], ...]
    default: int | None
    supported: int


@dataclass(frozen=True)
class ServiceInfo:
    """A hypercall as a guest of a fresh VM sees it, its answers (x0..x3) as words or numbers.

    ``register`` and ``bit`` enable it; both are empty if nothing does. ``default`` is its answer with the registers
    as in a new VM. ``answers`` are its (bitmap, answer) for each bitmap of the register, ascending, with the other
    registers as in a new VM.
    """

    function: str
    register: str
    bit: str
    default: str
    answers: tuple[tuple[int, str], ...] = ()


class Standing(StrEnum):
    """Whether the documents require it, or only the code that user space relies on."""

    DOCUMENTED = "documented"
    OBSERVED = "observed ABI"


@dataclass(frozen=True)
class Clause:
    """A clause of the contract. In a log, ``standing`` also names the differences that concern the clause."""

    id: str
    text: str
    source: str
    standing: str = Standing.DOCUMENTED
    chapter: str = ""
    """The folder of suites/ that has its tests."""


@dataclass(frozen=True)
class Difference:
    """Two readings of the contract, the documents' and the code's, and which one the checks follow.

    ``clauses`` are those whose checks had to choose; empty if nothing can be checked.
    """

    id: str
    clauses: tuple[str, ...]
    documents: str
    code: str
    followed: str


@dataclass(frozen=True)
class Contract:
    """What the run held its subjects to; empty in logs of version 1."""

    sentences: tuple[Clause, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class SubjectInfo:
    """What the harness found out about a subject."""

    subject: Identity
    dialect: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    known: tuple[KnownDeviation, ...] = ()
    registers: tuple[RegisterInfo, ...] = ()
    services: tuple[ServiceInfo, ...] = ()


@dataclass(frozen=True)
class Collected:
    """Tests that are to run, as (node id, subject); a log may have several of these records."""

    tests: tuple[tuple[str, Identity | None], ...]


@dataclass(frozen=True)
class Selection:
    """Why only a part of the suite was run; None if all of it was."""

    text: str | None


@dataclass(frozen=True)
class End:
    """pytest's own exit status, and why the run stopped early if it did."""

    status: int
    reason: str = ""


@dataclass(frozen=True)
class Log:
    """A results log as read: one result for each test and subject."""

    session: Session
    collected: tuple[Case, ...] = ()
    started: tuple[Case, ...] = ()
    results: tuple[Result, ...] = ()
    subjects: tuple[SubjectInfo, ...] = ()
    selection: str | None = None
    status: int | None = None
    reason: str = ""
    truncated: bool = False
    contract: Contract = Contract()


def worst(outcomes: Iterable[str]) -> str:
    """The worst of some outcomes (at least one)."""
    return max(outcomes, key=OUTCOMES.index)


def merge_results(results: Iterable[Result]) -> tuple[Result, ...]:
    """One result for each (node id, subject): the worst, the first of equals; durations add up."""
    best: dict[tuple[str, Identity | None], Result] = {}
    for result in results:
        key = (result.nodeid, result.subject)
        old = best.get(key)
        if old is None:
            best[key] = result
            continue
        chosen = max((old, result), key=lambda each: OUTCOMES.index(each.outcome))
        best[key] = replace(chosen, duration=old.duration + result.duration)
    return tuple(best.values())
