# SPDX-License-Identifier: GPL-2.0-only
"""The types of a results log's records. This module does no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from helpers.identity import Identity

VERSION = 4
"""The version of the logs that this program writes; helpers/results/versions.py converts older ones."""

PASSED = "passed"
FAILED = "failed"
ERROR = "error"
NOT_APPLICABLE = "not-applicable"
KNOWN = "known-deviation"
NOT_MEASURED = "not-measured"
"""The conditions of the check could not be staged (helpers.errors.NotMeasured)."""

# From best to worst. A failure outranks an error, because only the failure is a fact about the kernel.
OUTCOMES = (PASSED, NOT_APPLICABLE, KNOWN, NOT_MEASURED, ERROR, FAILED)
Outcome = Annotated[str, Meta(extra_json_schema={"enum": list(OUTCOMES)})]


@dataclass(frozen=True)
class Session:
    """A run: log version, pytest's arguments, subjects, start in seconds since 1970, host and program versions."""

    version: int
    argv: tuple[str, ...]
    subjects: tuple[Identity, ...]
    time: float
    environment: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    """Whether a test that was not measured makes the verdict inconclusive."""


@dataclass(frozen=True)
class Case:
    """A test as it was collected or started; subject is None if the node id does not determine it."""

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
    """The last system calls before a failure or an error, one a line."""
    notes: tuple[str, ...] = ()
    """Observations outside of the clauses, such as a warning of another driver. They do not affect the outcome."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown outcome."""
        if self.outcome not in OUTCOMES:
            raise ValueError(f"unknown outcome {self.outcome!r}")


@dataclass(frozen=True)
class KnownDeviation:
    """A clause that this subject is known to break; the link leads to the fix or the bug report."""

    name: str
    clause: str
    reason: str
    link: str

    def excuses(self, clauses: tuple[str, ...]) -> bool:
        """Whether a test of these clauses may fail. A test that checks another clause too may not."""
        return clauses == (self.clause,)


@dataclass(frozen=True)
class UnknownService:
    """A bit, a register or a version that a subject has and the suite's tables lack.

    ``name`` is the value for --accept-unknown, such as "VENDOR_HYP:2". ``text`` is its description in the verdict.
    """

    name: str
    text: str
    accepted: bool = False
    """Whether --accept-unknown or the baseline names it."""


@dataclass(frozen=True)
class RegisterInfo:
    """A bitmap register in a new VM of the subject.

    ``bits`` are the numbers and names of the known bits; ``default`` is None if the register cannot be read.
    """

    name: str
    id: int
    bits: tuple[tuple[int, str], ...]
    default: int | None
    supported: int


@dataclass(frozen=True)
class FirmwareInfo:
    """A firmware register that is no bitmap (PSCI_VERSION, the workarounds) in a new VM of the subject.

    ``default`` is None if it cannot be read. ``accepted`` are the values that KVM_SET_ONE_REG accepts, ascending.
    """

    name: str
    id: int
    default: int | None
    accepted: tuple[int, ...]


SMC_NOT_SERVED = "NOT_SUPPORTED, x1 to x3 unchanged"
"""The answer to an SMC call on a kernel that serves only HVC."""


@dataclass(frozen=True)
class ServiceInfo:
    """What a hypercall returns to the guest in x0 to x3, as words or numbers.

    ``register`` and ``bit`` enable it; both are empty if no bit does. ``default`` is the answer in a new VM.
    ``answers`` are (bitmap, answer) for each bitmap of the register, ascending; all other registers are at reset.
    Both are by HVC; ``smc_default`` and ``smc_answers`` are the same by SMC, empty if they were not measured.
    """

    function: str
    register: str
    bit: str
    default: str
    answers: tuple[tuple[int, str], ...] = ()
    smc_default: str = ""
    smc_answers: tuple[tuple[int, str], ...] = ()


def serves_smc(services: Iterable[ServiceInfo]) -> bool | None:
    """Whether any SMC call was served as a hypercall; None if none was measured."""
    answers = {each.smc_default for each in services} - {""}
    return bool(answers - {SMC_NOT_SERVED}) if answers else None


class Standing(StrEnum):
    """The source of a clause: the documents, or only the code that user space relies on."""

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
    """A disagreement of documents and code, and which of them the tests follow.

    ``clauses`` are the clauses that it concerns; empty if no test can check it.
    """

    id: str
    clauses: tuple[str, ...]
    documents: str
    code: str
    followed: str


@dataclass(frozen=True)
class Contract:
    """The clauses that the run checks, and the differences; empty in logs of version 1."""

    sentences: tuple[Clause, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class SubjectInfo:
    """The facts about a subject, measured before its tests."""

    subject: Identity
    dialect: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    known: tuple[KnownDeviation, ...] = ()
    registers: tuple[RegisterInfo, ...] = ()
    services: tuple[ServiceInfo, ...] = ()
    firmware: tuple[FirmwareInfo, ...] = ()
    other_registers: Mapping[str, int | None] = field(default_factory=dict)
    """The registers of KVM_GET_REG_LIST that are neither firmware nor core registers: the value of those that identify
    the processor, None for the others."""
    unknown: tuple[UnknownService, ...] = ()


@dataclass(frozen=True)
class Collected:
    """Tests that are to run, as (node id, subject); a log may have several of these records.

    ``reason``: why tests that were to run are not run; "" if they are to run.
    """

    tests: tuple[tuple[str, Identity | None], ...]
    reason: str = ""


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
    not_run: tuple[tuple[Case, str], ...] = ()
    """Tests that the suite itself did not run, each with the reason. None of them has a result."""


def merge_results(results: Iterable[Result]) -> tuple[Result, ...]:
    """One result for each (node id, subject): the first of the worst ones, with the sum of the durations."""
    groups: dict[tuple[str, Identity | None], list[Result]] = {}
    for result in results:
        groups.setdefault((result.nodeid, result.subject), []).append(result)
    return tuple(
        replace(
            max(group, key=lambda each: OUTCOMES.index(each.outcome)), duration=sum(each.duration for each in group)
        )
        for group in groups.values()
    )
