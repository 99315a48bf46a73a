# SPDX-License-Identifier: GPL-2.0-only
"""Compares two kernels by their results logs: does an update change what guests see?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from helpers.errors import UsageError
from helpers.results.columns import Column
from helpers.results.nodeids import without_subject
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASSED,
    FirmwareInfo,
    RegisterInfo,
    Result,
    ServiceInfo,
    serves_smc,
)
from helpers.results.verdict import COUNT_NAMES, VerdictKind, counted, many

SAME, CHANGED, CANNOT_TELL = 0, 1, 125
"""The exit statuses. For git bisect run they mean good, bad and skip."""
ABSENT = "-"
_SERVED = {True: "served", False: "not served"}

T = TypeVar("T")


class Weight(Enum):
    """The importance of a change. Only VISIBLE and WORSE affect the exit status."""

    VISIBLE = "guests see it"
    WORSE = "worse"
    OTHER = ""


@dataclass(frozen=True)
class Change:
    """One difference between the two sides."""

    what: str
    before: str
    after: str
    weight: Weight = Weight.OTHER


@dataclass(frozen=True)
class LogComparison:
    """Two subjects, the changes by section, and the reasons why some facts could not be compared."""

    before: Column
    after: Column
    parts: Mapping[str, tuple[Change, ...]]
    doubts: tuple[str, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(change for part in self.parts.values() for change in part)

    @property
    def status(self) -> int:
        """CHANGED if there is a change, even if other facts could not be compared."""
        if any(change.weight is not Weight.OTHER for change in self.changes):
            return CHANGED
        return CANNOT_TELL if self.doubts else SAME

    @property
    def summary(self) -> str:
        """The conclusion in one line."""
        if self.status == CHANGED:
            counts = Counter(change.weight for change in self.changes)
            visible = many(counts[Weight.VISIBLE], "change")
            return f"CHANGED: {visible} for guests or VMMs to see, {counts[Weight.WORSE]} for the worse"
        if self.status == CANNOT_TELL:
            return f"CANNOT TELL: {'; '.join(self.doubts)}"
        return "SAME: nothing changed that guests or VMMs see, and nothing got worse"


def worst_status(comparisons: Iterable[LogComparison]) -> int:
    """The worst status wins, in the order CHANGED, CANNOT_TELL, SAME."""
    statuses = {comparison.status for comparison in comparisons}
    return next((status for status in (CHANGED, CANNOT_TELL) if status in statuses), SAME)


def paired(before: Sequence[Column], after: Sequence[Column]) -> tuple[tuple[Column, Column], ...]:
    """Pairs of subjects: the same labels, or one subject on each side. Raises UsageError for any other sets."""
    if len(before) == len(after) == 1:
        return ((before[0], after[0]),)
    # By label, because logs of version 1 and 2 have only labels.
    by_label = {column.name: column for column in after}
    pairs = tuple((column, by_label[column.name]) for column in before if column.name in by_label)
    if len(pairs) == len(before) == len(after) == len(by_label):
        return pairs
    names = [", ".join(column.name for column in side) for side in (before, after)]
    raise UsageError(
        f"The subjects of the two logs cannot be paired: the first log has {names[0]}; the second log has {names[1]}",
        why="the logs must have the same subjects, or one subject each",
        cure="Run the suite on the same kernels twice, or on one kernel each",
    )


def compare_logs(before: Column, after: Column) -> LogComparison:
    """The changes between two subjects."""
    tests, unsure = _tests(before, after)
    parts = {
        "Verdict": tuple(_verdict(before, after)),
        "What guests and VMMs see": tuple(_visible(before, after)),
        "Known deviations": tuple(_known(before, after)),
        "Clauses": tuple(_clauses(before, after)),
        "Tests": tests,
        "Environment": tuple(_environment(before, after)),
    }
    doubts = (*_doubts(before, after), *unsure)
    return LogComparison(before, after, {name: part for name, part in parts.items() if part}, doubts)


# --- what guests see -----------------------------------------------------------------


def _visible(before: Column, after: Column) -> Iterator[Change]:
    for changes in (_dialect, _registers, _firmware, _services):
        yield from changes(before, after)


# Facts of the environment that a VMM sees, and facts that differ in each boot or are compared elsewhere.
_VMM_SEES = ("capability 207", "stolen time")
_NOT_COMPARED = ("kernel", "kernel image", "boot", "registers", *_VMM_SEES)


def _dialect(before: Column, after: Column) -> Iterator[Change]:
    one, other = before.verdict.info, after.verdict.info
    if one.dialect and other.dialect and one.dialect != other.dialect:
        yield Change("dialect", one.dialect, other.dialect, Weight.VISIBLE)
    for name in _VMM_SEES:
        old, new = one.environment.get(name), other.environment.get(name)
        if old and new and old != new:
            yield Change(name, old, new, Weight.VISIBLE)


def _registers(before: Column, after: Column) -> Iterator[Change]:
    """The changes of the registers; none if a side's log does not have them, which is a doubt."""
    if not (_surveyed(before) and _surveyed(after)):
        return
    old, new = ({each.name: each for each in side.verdict.info.registers} for side in (before, after))
    for name, was, now in _joined(old, new):
        if was != now:
            yield Change(f"register {name}", _register(was), _register(now), Weight.VISIBLE)


def _joined(old: Mapping[str, T], new: Mapping[str, T]) -> Iterator[tuple[str, T | None, T | None]]:
    """Every name of either side, with its two values."""
    return ((name, old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new]))


def _register(register: RegisterInfo | None) -> str:
    if register is None:
        return "no such register"
    default = "unreadable" if register.default is None else f"{register.default:#x}"
    return f"{register.id:#x}: supported {register.supported:#x}, in a new VM {default}"


def _firmware(before: Column, after: Column) -> Iterator[Change]:
    """The changes of PSCI_VERSION and the workaround registers, which decide where a VM can migrate to."""
    old, new = ({each.name: each for each in side.verdict.info.firmware} for side in (before, after))
    if old and new:
        for name, was, now in _joined(old, new):
            if was != now:
                yield Change(f"register {name}", _firmware_text(was), _firmware_text(now), Weight.VISIBLE)


def _firmware_text(register: FirmwareInfo | None) -> str:
    if register is None:
        return "no such register"
    default = "unreadable" if register.default is None else f"{register.default:#x}"
    accepted = ", ".join(f"{value:#x}" for value in register.accepted) or "no value"
    return f"{register.id:#x}: accepts {accepted}, in a new VM {default}"


def _services(before: Column, after: Column) -> Iterator[Change]:
    old, new = ({each.function: each for each in side.verdict.info.services} for side in (before, after))
    if not (old and new):
        return
    was_served, is_served = (serves_smc(side.values()) for side in (old, new))
    if None not in (was_served, is_served) and was_served != is_served:
        yield Change("SMC calls", _SERVED[bool(was_served)], _SERVED[bool(is_served)], Weight.VISIBLE)
    for name, was, now in _joined(old, new):
        yield from _service(name, was, now, smc=bool(was_served and is_served))


def _service(name: str, old: ServiceInfo | None, new: ServiceInfo | None, *, smc: bool) -> Iterator[Change]:
    if old is None or new is None:
        # The two sides may be from versions of the suite that call different functions.
        yield Change(name, old.default if old else ABSENT, new.default if new else ABSENT)
        return
    # If only one side has a register or bitmap, ``_registers`` reports it.
    was, now = (f"{each.register}.{each.bit}" for each in (old, new))
    if old.register and new.register and was != now:
        yield Change(f"{name} is gated by", was, now, Weight.VISIBLE)
        old, new = replace(old, answers=(), smc_answers=()), replace(new, answers=(), smc_answers=())
    by_hvc = list(_answers(name, old.register, (old.default, old.answers), (new.default, new.answers)))
    yield from by_hvc
    if smc:
        by_smc = _answers(name, old.register, (old.smc_default, old.smc_answers), (new.smc_default, new.smc_answers))
        # The same change over both conduits is reported once.
        yield from (replace(each, what=f"{each.what} by SMC") for each in by_smc if each not in by_hvc)


Given = tuple[str, tuple[tuple[int, str], ...]]
"""The answer in a new VM, and pairs of bitmap and answer."""


def _answers(name: str, register: str, old: Given, new: Given) -> Iterator[Change]:
    if old[0] != new[0]:
        yield Change(f"{name} in a new VM", old[0], new[0], Weight.VISIBLE)
    answers = dict(new[1])
    for bitmap, was in old[1]:
        if was != answers.get(bitmap, was):
            yield Change(f"{name} with {register}={bitmap:#x}", was, answers[bitmap], Weight.VISIBLE)


def _surveyed(column: Column) -> bool:
    return bool(column.verdict.info.registers) or column.verdict.info.dialect == "none"


# --- verdicts and results --------------------------------------------------------------


def _verdict(before: Column, after: Column) -> Iterator[Change]:
    """A change of the verdict has no weight, because the facts behind it are compared separately."""
    if before.verdict.word != after.verdict.word:
        yield Change("verdict", before.verdict.word, after.verdict.word)


def _known(before: Column, after: Column) -> Iterator[Change]:
    old, new = ({each.name: each for each in side.verdict.info.known} for side in (before, after))
    for name, was, now in _joined(old, new):
        if now and not was:
            yield Change(f"{name} ({now.clause})", ABSENT, "recognised", Weight.WORSE)
        elif was and not now:
            yield Change(f"{name} ({was.clause})", "recognised", ABSENT)


def _by_test(column: Column) -> dict[str, Result]:
    return {without_subject(result.nodeid, column.verdict.subject): result for result in column.results}


def _tests(before: Column, after: Column) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Tests with another outcome, and tests that cannot be compared.

    A result that only the second side has is a change if it failed.
    """
    old, new = ({name: each.outcome for name, each in _by_test(side).items()} for side in (before, after))
    incomplete = before.verdict.selection is not None or bool(before.verdict.reasons)
    changes, unsure = [], []
    for name, was, now in _joined(old, new):
        if was == now or now is None or (was is None and now not in (FAILED, KNOWN)):
            continue
        weight = Weight.WORSE if _worse(was, now) else Weight.OTHER
        if now in (FAILED, KNOWN) and (was in (ERROR, NOT_MEASURED) or (was is None and incomplete)):
            unsure.append(f"{name}, now {COUNT_NAMES[now]}, has no result before")
            weight = Weight.OTHER
        elif now == NOT_MEASURED and was in (PASSED, NOT_APPLICABLE, KNOWN):
            unsure.append(f"{name}, {COUNT_NAMES[was]} before, is now not measured")
        changes.append(Change(name, _word(was), _word(now), weight))
    changes.sort(key=lambda change: change.weight is Weight.OTHER)
    return tuple(changes), tuple(unsure[:1])


def _worse(was: str | None, now: str) -> bool:
    """Whether an outcome became worse. An error or "not measured" is not worse, because it is no fact about the kernel.

    A test that passed and is no longer applicable counts as worse.
    """
    if now == FAILED:
        return True
    if now == KNOWN:
        return was != FAILED
    return (was, now) == (PASSED, NOT_APPLICABLE)


def _word(outcome: str | None) -> str:
    return ABSENT if outcome is None else {ERROR: "error"}.get(outcome, COUNT_NAMES[outcome])


def _clauses(before: Column, after: Column) -> Iterator[Change]:
    """The clauses of the tests that both sides have, by the number of tests of each outcome."""
    old, new = _by_test(before), _by_test(after)
    counts: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for name in old.keys() & new.keys():
        for side, result in enumerate((old[name], new[name])):
            for clause in result.clauses:
                counts.setdefault(clause, (Counter(), Counter()))[side][result.outcome] += 1
    for clause, (was, now) in sorted(counts.items()):
        if was != now:
            yield Change(clause, counted(was) or ABSENT, counted(now) or ABSENT)


def _environment(before: Column, after: Column) -> Iterator[Change]:
    """Differences of the environment, which may be the cause of other changes."""
    for name, was, now in _joined(before.verdict.info.environment, after.verdict.info.environment):
        if name not in _NOT_COMPARED and was != now:
            yield Change(name, ABSENT if was is None else was, ABSENT if now is None else now)


# --- doubts ------------------------------------------------------------------------------


def _doubts(before: Column, after: Column) -> Iterator[str]:
    for side, column in (("before", before), ("after", after)):
        yield from (f"{side}, {column.name}: {reason}" for reason in column.verdict.reasons)
        if not column.verdict.reasons and column.verdict.kind is VerdictKind.INCONCLUSIVE:
            yield f"{side}, {column.name} is inconclusive"
        if column.way is not None:
            continue
        if not _surveyed(column):
            yield f"{side}, {column.name}: its log does not have the register values"
        if not column.verdict.info.firmware and (before.verdict.info.firmware or after.verdict.info.firmware):
            yield f"{side}, {column.name}: its log does not have the values that PSCI_VERSION accepts"
        if not column.verdict.info.services:
            yield f"{side}, {column.name}: its log does not have the hypercall results"
        elif serves_smc(column.verdict.info.services) is None:
            yield f"{side}, {column.name}: its log does not have the results of SMC calls"
    if not _by_test(before).keys() & _by_test(after).keys():
        yield "no test was run on both"
