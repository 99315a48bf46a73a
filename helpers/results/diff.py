# SPDX-License-Identifier: GPL-2.0-only
"""What changed from one kernel to another, by their results logs: did an update change what guests see?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from helpers.errors import UsageError
from helpers.results.columns import Column
from helpers.results.nodeids import without_subject
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    PASSED,
    RegisterInfo,
    Result,
    ServiceInfo,
)
from helpers.results.verdict import COUNT_NAMES, VerdictKind, many

SAME, CHANGED, CANNOT_TELL = 0, 1, 125
"""The exit statuses, as git bisect run takes them: good, bad, skip."""
ABSENT = "-"


class Weight(Enum):
    """What a change means; only the first two are what the exit status tells of."""

    VISIBLE = "guests see it"
    WORSE = "worse"
    OTHER = ""


@dataclass(frozen=True)
class Change:
    """One thing that is not on both sides as it is on the other."""

    what: str
    before: str
    after: str
    weight: Weight = Weight.OTHER


@dataclass(frozen=True)
class LogComparison:
    """Two subjects, what changed by kinds, and why not everything could be compared."""

    before: Column
    after: Column
    parts: Mapping[str, tuple[Change, ...]]
    doubts: tuple[str, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """All of them."""
        return tuple(change for part in self.parts.values() for change in part)

    @property
    def status(self) -> int:
        """A change that was seen is a fact, whatever else could not be found out."""
        if any(change.weight is not Weight.OTHER for change in self.changes):
            return CHANGED
        return CANNOT_TELL if self.doubts else SAME

    @property
    def summary(self) -> str:
        """The end of it, in one line."""
        counts = Counter(change.weight for change in self.changes)
        visible = many(counts[Weight.VISIBLE], "change")
        seen = f"{visible} for guests or VMMs to see, {counts[Weight.WORSE]} for the worse"
        if self.status == CHANGED:
            return f"CHANGED: {seen}"
        if self.status == CANNOT_TELL:
            return f"CANNOT TELL: {'; '.join(self.doubts)}"
        return "SAME: nothing changed that guests or VMMs see, and nothing got worse"


def worst_status(comparisons: Iterable[LogComparison]) -> int:
    """Changed before cannot tell before the same."""
    found = {comparison.status for comparison in comparisons}
    return next((status for status in (CHANGED, CANNOT_TELL) if status in found), SAME)


def paired(before: Sequence[Column], after: Sequence[Column]) -> tuple[tuple[Column, Column], ...]:
    """Subjects of the same label, or the only ones there are. Raises UsageError where nothing tells them apart."""
    if len(before) == len(after) == 1:
        return ((before[0], after[0]),)
    # Labels, because a log of version 1 or 2 has nothing else.
    there = {column.name: column for column in after}
    pairs = tuple((column, there[column.name]) for column in before if column.name in there)
    if len(pairs) == len(before) == len(after) == len(there):
        return pairs
    names = [", ".join(column.name for column in side) for side in (before, after)]
    raise UsageError(
        f"Which subjects to compare cannot be told: the first log has {names[0]}; the second {names[1]}",
        why="each must be in both logs by the same name, or each log must have one alone",
        cure="Run both with the same kernels, or one kernel each",
    )


def compare_logs(before: Column, after: Column) -> LogComparison:
    """Everything that changed between two subjects."""
    tests, unsure = _tests(before, after)
    parts = {
        "Verdict": tuple(_verdict(before, after)),
        "What guests and VMMs see": (*_dialect(before, after), *_registers(before, after), *_services(before, after)),
        "Known deviations": tuple(_known(before, after)),
        "Clauses": tuple(_clauses(before, after)),
        "Tests": tests,
        "Environment": tuple(_environment(before, after)),
    }
    doubts = (*_doubts(before, after), *unsure)
    return LogComparison(before, after, {name: part for name, part in parts.items() if part}, doubts)


# --- what guests see -----------------------------------------------------------------

# Of the environment: what a VMM is told, and what is another on every kernel or boot, or told of elsewhere.
_VMM_SEES = ("capability 207", "stolen time")
_NO_NEWS = ("kernel", "kernel image", "boot", "registers", *_VMM_SEES)


def _dialect(before: Column, after: Column) -> Iterator[Change]:
    one, other = before.verdict.info, after.verdict.info
    if one.dialect and other.dialect and one.dialect != other.dialect:
        yield Change("dialect", one.dialect, other.dialect, Weight.VISIBLE)
    for name in _VMM_SEES:
        old, new = one.environment.get(name), other.environment.get(name)
        if old and new and old != new:
            yield Change(name, old, new, Weight.VISIBLE)


def _registers(before: Column, after: Column) -> Iterator[Change]:
    """Nothing where a side's registers are not known, which is a doubt."""
    if not (_surveyed(before) and _surveyed(after)):
        return
    old, new = ({each.name: each for each in side.verdict.info.registers} for side in (before, after))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield Change(f"register {name}", _register(old.get(name)), _register(new.get(name)), Weight.VISIBLE)


def _register(register: RegisterInfo | None) -> str:
    if register is None:
        return "no such register"
    default = "unreadable" if register.default is None else f"{register.default:#x}"
    return f"{register.id:#x}: supported {register.supported:#x}, in a new VM {default}"


def _services(before: Column, after: Column) -> Iterator[Change]:
    old, new = ({each.function: each for each in side.verdict.info.services} for side in (before, after))
    if not old or not new:
        return
    for name in dict.fromkeys([*old, *new]):
        yield from _service(name, old.get(name), new.get(name))


def _service(name: str, old: ServiceInfo | None, new: ServiceInfo | None) -> Iterator[Change]:
    if old is None or new is None:
        # Another version of the suite asks something else.
        yield Change(name, old.default if old else ABSENT, new.default if new else ABSENT)
        return
    if old.default != new.default:
        yield Change(f"{name} in a new VM", old.default, new.default, Weight.VISIBLE)
    # A register or bitmap that one side alone has is told of with the registers.
    if old.register and new.register and (old.register, old.bit) != (new.register, new.bit):
        yield Change(f"{name} is opened by", _gate(old), _gate(new), Weight.VISIBLE)
        return
    now = dict(new.answers)
    for bitmap, was in old.answers:
        if was != now.get(bitmap, was):
            yield Change(f"{name} with {old.register}={bitmap:#x}", was, now[bitmap], Weight.VISIBLE)


def _gate(service: ServiceInfo) -> str:
    return f"{service.register}.{service.bit}"


def _surveyed(column: Column) -> bool:
    return bool(column.verdict.info.registers) or column.verdict.info.dialect == "none"


# --- verdicts and results --------------------------------------------------------------


def _verdict(before: Column, after: Column) -> Iterator[Change]:
    """The facts below count, not the word that follows from them."""
    if before.verdict.word != after.verdict.word:
        yield Change("verdict", before.verdict.word, after.verdict.word)


def _known(before: Column, after: Column) -> Iterator[Change]:
    old, new = ({each.name: each for each in side.verdict.info.known} for side in (before, after))
    for name in dict.fromkeys([*old, *new]):
        if name not in old:
            yield Change(f"{name} ({new[name].clause})", ABSENT, "recognised", Weight.WORSE)
        elif name not in new:
            yield Change(f"{name} ({old[name].clause})", "recognised", ABSENT)


def _by_test(column: Column) -> dict[str, Result]:
    return {without_subject(result.nodeid, column.verdict.subject): result for result in column.results}


def _tests(before: Column, after: Column) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """What came out otherwise, and what cannot be compared. Results that one side alone has count if they failed."""
    old, new = _by_test(before), _by_test(after)
    incomplete = before.verdict.selection is not None or bool(before.verdict.reasons)
    changes, unsure = [], []
    for name in dict.fromkeys([*old, *new]):
        was, now = (side[name].outcome if name in side else None for side in (old, new))
        if was == now or now is None or (was is None and now not in (FAILED, KNOWN)):
            continue
        if now in (FAILED, KNOWN) and (was == ERROR or (was is None and incomplete)):
            unsure.append(f"{name}, now {COUNT_NAMES[now]}, has no result before")
            weight = Weight.OTHER
        else:
            weight = Weight.WORSE if _worse(was, now) else Weight.OTHER
        changes.append(Change(name, _word(was), _word(now), weight))
    changes.sort(key=lambda change: change.weight is Weight.OTHER)
    return tuple(changes), tuple(unsure[:1])


def _worse(was: str | None, now: str) -> bool:
    """An error is no finding about the kernel; what passed and does not apply any more is gone."""
    if now == FAILED:
        return True
    if now == KNOWN:
        return was != FAILED
    return (was, now) == (PASSED, NOT_APPLICABLE)


def _word(outcome: str | None) -> str:
    return ABSENT if outcome is None else {ERROR: "error"}.get(outcome, COUNT_NAMES[outcome])


def _clauses(before: Column, after: Column) -> Iterator[Change]:
    """The clauses of tests that both have, by how many of their tests came out how."""
    old, new = _by_test(before), _by_test(after)
    counts: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for name in old.keys() & new.keys():
        for side, result in enumerate((old[name], new[name])):
            for clause in result.clauses:
                counts.setdefault(clause, (Counter(), Counter()))[side][result.outcome] += 1
    for clause, (was, now) in sorted(counts.items()):
        if was != now:
            yield Change(clause, _counted(was), _counted(now))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[each]} {name}" for each, name in COUNT_NAMES.items() if counts[each]) or ABSENT


def _environment(before: Column, after: Column) -> Iterator[Change]:
    """What else is not the same, and may be the cause."""
    old, new = before.verdict.info.environment, after.verdict.info.environment
    for name in dict.fromkeys([*old, *new]):
        if name not in _NO_NEWS and old.get(name) != new.get(name):
            yield Change(name, old.get(name, ABSENT), new.get(name, ABSENT))


# --- doubts ------------------------------------------------------------------------------


def _doubts(before: Column, after: Column) -> Iterator[str]:
    for side, column in (("before", before), ("after", after)):
        yield from (f"{side}, {column.name}: {reason}" for reason in column.verdict.reasons)
        if not column.verdict.reasons and column.verdict.kind is VerdictKind.INCONCLUSIVE:
            yield f"{side}, {column.name} is inconclusive"
        if column.way is not None:
            continue
        if not _surveyed(column):
            yield f"{side}, {column.name}: its log does not tell what the registers hold"
        if not column.verdict.info.services:
            yield f"{side}, {column.name}: its log does not tell what guests see"
    if not _by_test(before).keys() & _by_test(after).keys():
        yield "no test was run on both"
