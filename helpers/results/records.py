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
    """A run: how it was started, and on what."""

    version: int
    """The version of the log's format."""
    argv: tuple[str, ...]
    """pytest's arguments."""
    subjects: tuple[Identity, ...]
    """The subjects of the run, in the order of the command line."""
    time: float
    """The start, in seconds since 1970-01-01 00:00 UTC."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The versions of the suite, Python and its packages, and the seeds of random choices, by name."""
    strict: bool = False
    """Whether a test that was not measured makes the verdict inconclusive."""


@dataclass(frozen=True)
class Case:
    """A test as it was collected or started."""

    nodeid: str
    """pytest's id of the test, relative to the suite's root folder."""
    subject: Identity | None = None
    """None if the node id does not determine it."""


@dataclass(frozen=True)
class Result:
    """The outcome of one test on one subject."""

    nodeid: str
    """pytest's id of the test, relative to the suite's root folder."""
    subject: Identity | None
    """None for an error that belongs to no subject, such as a file of tests that cannot be imported."""
    outcome: Outcome
    """An "error" is a failure of the harness, not of the kernel."""
    clauses: tuple[str, ...] = ()
    """The ids of the clauses that the test checks, or that it found to be broken."""
    requirement: str = ""
    """The sentences of these clauses."""
    source: str = ""
    """The sources of these clauses."""
    message: str = ""
    """Why the outcome is not "passed"."""
    duration: float = 0.0
    """In seconds, over set-up, call and teardown."""
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
    """A clause that this subject is known to break."""

    name: str
    """Its name in the verdict."""
    clause: str
    """The id of the clause."""
    reason: str
    """Why the kernel breaks it."""
    link: str
    """The URL of the fix or the bug report."""

    def excuses(self, clauses: tuple[str, ...]) -> bool:
        """Whether a test of these clauses may fail. A test that checks another clause too may not."""
        return clauses == (self.clause,)


@dataclass(frozen=True)
class UnknownService:
    """A bit, a register or a version that a subject has and the suite's tables lack."""

    name: str
    """The value for --accept-unknown, such as "VENDOR_HYP:2"."""
    text: str
    """Its description in the verdict."""
    accepted: bool = False
    """Whether --accept-unknown or the baseline names it."""


@dataclass(frozen=True)
class RegisterInfo:
    """A bitmap register in a new VM of the subject."""

    name: str
    """As in the kernel's headers, without KVM_REG_ARM_ and _BMAP: "STD", "VENDOR_HYP"."""
    id: int
    """The id for KVM_GET_ONE_REG."""
    bits: tuple[tuple[int, str], ...]
    """The numbers and names of the known bits."""
    default: int | None
    """The reset value; None if the register cannot be read."""
    supported: int
    """The bits that KVM_SET_ONE_REG accepts."""


@dataclass(frozen=True)
class FirmwareInfo:
    """A firmware register that is not a bitmap (PSCI_VERSION, the workarounds) in a new VM of the subject."""

    name: str
    """The register's name."""
    id: int
    """The id for KVM_GET_ONE_REG."""
    default: int | None
    """The reset value; None if the register cannot be read."""
    accepted: tuple[int, ...]
    """The values that KVM_SET_ONE_REG accepts, ascending."""


SMC_NOT_SERVED = "NOT_SUPPORTED, x1 to x3 unchanged"
"""The answer to an SMC call on a kernel that serves only HVC."""


@dataclass(frozen=True)
class ServiceInfo:
    """What a hypercall returns to the guest in x0 to x3, as words or numbers."""

    function: str
    """The function's name."""
    register: str
    """The register whose ``bit`` enables the function; both are empty if no bit does."""
    bit: str
    """The name of the bit."""
    default: str
    """The answer in a new VM by HVC."""
    answers: tuple[tuple[int, str], ...] = ()
    """Pairs of bitmap and answer by HVC, for each bitmap of the register, ascending; other registers are at reset."""
    smc_default: str = ""
    """As ``default``, by SMC; empty if it was not measured."""
    smc_answers: tuple[tuple[int, str], ...] = ()
    """As ``answers``, by SMC; empty if they were not measured."""


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
    """A clause of the contract."""

    id: str
    """The name of the clause, such as "LOCK-1"."""
    text: str
    """The sentence."""
    source: str
    """The document's section or the kernel's function that the sentence is from."""
    standing: str = Standing.DOCUMENTED
    """Whether a document or only the code has the clause. In a log it also names the differences that concern it."""
    chapter: str = ""
    """The folder of suites/ that has its tests."""


@dataclass(frozen=True)
class Difference:
    """A disagreement of documents and code."""

    id: str
    """The name of the difference, such as "SAME-VALUE"."""
    clauses: tuple[str, ...]
    """The ids of the clauses that it concerns; empty if no test can check it."""
    documents: str
    """What the documents have."""
    code: str
    """What the code does."""
    followed: str
    """Which of them the tests follow."""


@dataclass(frozen=True)
class Contract:
    """The clauses that the run checks, and the differences; empty in logs of version 1."""

    sentences: tuple[Clause, ...] = ()
    """All clauses, in the order of the chapters."""
    differences: tuple[Difference, ...] = ()
    """All differences."""


@dataclass(frozen=True)
class SubjectInfo:
    """The facts about a subject, measured before its tests."""

    subject: Identity
    """The subject, or the migration between two subjects."""
    dialect: str = ""
    """The dialect of the bitmap registers: "mainline", "rfc-v3" or "none"; empty if it was not measured."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The kernel's build, its processor and how it is reached, by name."""
    known: tuple[KnownDeviation, ...] = ()
    """The known deviations that were recognised."""
    registers: tuple[RegisterInfo, ...] = ()
    """The bitmap registers."""
    services: tuple[ServiceInfo, ...] = ()
    """The functions that a guest can call; empty in a proof."""
    firmware: tuple[FirmwareInfo, ...] = ()
    """The firmware registers that are not bitmaps; empty in a proof."""
    other_registers: Mapping[str, int | None] = field(default_factory=dict)
    """The registers of KVM_GET_REG_LIST that are neither firmware nor core registers: the value of those that identify
    the processor, None for the others."""
    unknown: tuple[UnknownService, ...] = ()
    """What the kernel has and the suite's tables lack."""


@dataclass(frozen=True)
class Collected:
    """Tests that are to run."""

    tests: tuple[tuple[str, Identity | None], ...]
    """Pairs of node id and subject."""
    reason: str = ""
    """Why these tests, which were to run, are not run; empty if they are to run."""


@dataclass(frozen=True)
class TierScope:
    """The complete suite on one subject."""

    subject: Identity
    """The kernel or the migration."""
    tests: int
    """The number of its tests."""
    clauses: tuple[str, ...]
    """The ids of the clauses that they check."""


@dataclass(frozen=True)
class Tier:
    """A fixed part of the suite, chosen from a proof with planted faults."""

    name: str
    """The value of --tier."""
    tests: tuple[str, ...]
    """The node ids of its tests, without a subject."""
    faults: Mapping[str, Mapping[str, tuple[int, ...]]]
    """By dialect and planted fault, the indices in ``tests`` of the tests that detect it."""
    complete: tuple[TierScope, ...] = ()
    """The complete suite on each subject of the run."""


@dataclass(frozen=True)
class Selection:
    """Whether all of the suite was run."""

    text: str | None
    """Why only a part of the suite was run; None if all of it was."""
    tier: Tier | None = None
    """The tier, if nothing else than --tier excluded tests. Only the last record has it."""


@dataclass(frozen=True)
class End:
    """The end of the run."""

    status: int
    """pytest's own exit status, before the verdict replaces it."""
    reason: str = ""
    """Why the run stopped early; empty if it did not."""


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
    tier: Tier | None = None
    """The tier of the selection."""


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
