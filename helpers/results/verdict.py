# SPDX-License-Identifier: GPL-2.0-only
"""The verdict on each subject: a pure function of the results log, so that all reports agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from helpers.identity import Identity, OldLabel
from helpers.results.by_subject import SubjectRecords, by_subject
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASSED,
    KnownDeviation,
    Log,
    Result,
    SubjectInfo,
)
from helpers.results.tier import TierCoverage, coverage, uncollected

UNKNOWN_SUBJECT = OldLabel("unknown subject")


class VerdictKind(Enum):
    """The kinds of verdict; the value is the word in the verdict's line."""

    CONFORMANT = "CONFORMANT"
    NON_CONFORMANT = "NON-CONFORMANT"
    NOT_IMPLEMENTED = "NOT-IMPLEMENTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NEWER = "NEWER-THAN-SUITE"

    @property
    def status(self) -> int:
        """The exit status of a run with this verdict."""
        return _STATUSES[self.value]


_STATUSES = {"CONFORMANT": 0, "NON-CONFORMANT": 1, "INCONCLUSIVE": 3, "NOT-IMPLEMENTED": 5, "NEWER-THAN-SUITE": 6}
WORST_FIRST = (1, 3, 6, 5, 0)
"""The exit statuses."""
_SELECTION_WORDS = {VerdictKind.CONFORMANT: "PASSED", VerdictKind.NON_CONFORMANT: "FAILED"}
_STATUS_REASONS = {
    2: "the run was interrupted",
    3: "pytest stopped with an internal error",
    4: "pytest was called wrongly",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one subject of a log, with everything that a report shows above its rows."""

    subject: Identity
    kind: VerdictKind
    info: SubjectInfo
    counts: Mapping[str, int]
    results: tuple[Result, ...] = field(default=(), repr=False)
    errors: tuple[Result, ...] = ()
    not_run: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    selection: str | None = None
    tier: TierCoverage | None = None
    """The coverage of the run, if only --tier excluded tests."""
    known: tuple[KnownDeviation, ...] = ()
    """The known deviations that the tests reproduced."""
    not_run_reasons: Mapping[str, str] = field(default_factory=dict)
    """By node id, why the suite itself did not run a test."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """The notes of the results, and the number of results with each."""
    unmeasured: tuple[Result, ...] = ()
    """The tests that were not measured; each message is the reason."""
    unmeasured_clauses: tuple[str, ...] = ()
    """The clauses whose applicable tests were all not measured."""

    @property
    def not_run_lines(self) -> tuple[str, ...]:
        """The tests that were not run: one line for each test, or for each test function and reason."""
        functions = Counter((nodeid.partition("[")[0], reason) for nodeid, reason in self.not_run_reasons.items())
        others = (nodeid for nodeid in self.not_run if nodeid not in self.not_run_reasons)
        return (*(f"{name} ({many(n, 'case')}): {reason}" for (name, reason), n in functions.items()), *others)

    @property
    def note_lines(self) -> tuple[str, ...]:
        """The notes, each with the number of tests."""
        return tuple(f"{note} ({many(count, 'test')})" for note, count in self.notes.items())

    @property
    def status(self) -> int:
        """The exit status of a run with this verdict."""
        return self.kind.status

    @property
    def word(self) -> str:
        """The verdict with its qualifications: known deviations, tests not measured, and the coverage of a tier."""
        word = self.kind.value
        if self.tier is not None:
            word = f"{word} ({self.tier.text})"
        elif self.selection is not None:
            word = f"SELECTION {_SELECTION_WORDS.get(self.kind, word)}"
        return ", ".join([word, *self._qualifications])

    @property
    def _qualifications(self) -> Iterator[str]:
        for accepted in (False, True):
            texts = [each.text for each in self.info.unknown if each.accepted is accepted]
            if texts:
                noun = f"{'accepted ' if accepted else ''}unknown service"
                yield f"{many(len(texts), noun)}: {', '.join(texts)}"
        if self.unmeasured:
            yield f"{len(self.unmeasured)} not measured"
        if self.known:
            yield f"{many(len(self.known), 'known deviation')}: {', '.join(each.name for each in self.known)}"

    @property
    def title(self) -> str:
        """The word, the selection if there is one, and the subject with its description."""
        subject = f"{self.subject.label}{description(self.info)}"
        qualified = self.tier is not None or any(self._qualifications)
        if self.selection is None or self.tier is not None:
            return one_line(f"{self.word}{' on' if qualified else ''} {subject}")
        return _without_verdict(one_line(f"{self.word}{';' if qualified else ':'} {self.selection} on {subject}"))

    @property
    def summary(self) -> str:
        """The counts, the broken clauses, the clauses that were not measured, and why the verdict is inconclusive."""
        text = self.counted
        if self.broken:
            text += f"; broken clauses: {', '.join(self.broken)}"
        if self.unmeasured_clauses:
            text += f"; clauses not measured: {', '.join(self.unmeasured_clauses)}"
        if self.tier is not None and self.tier.not_applicable:
            text += f"; clauses not applicable: {', '.join(self.tier.not_applicable)}"
        if self.kind is VerdictKind.INCONCLUSIVE:
            text += f"; because {'; '.join(self.reasons)}"
        text = one_line(text)
        return text if self.selection is None or self.tier is not None else _without_verdict(text)

    @property
    def counted(self) -> str:
        """The number of results of each kind. Known deviations and tests not measured only if there are any."""
        shown = (each for each in COUNT_NAMES if each not in (KNOWN, NOT_MEASURED) or self.counts[each])
        return ", ".join(f"{self.counts[each]} {COUNT_NAMES[each]}" for each in shown)

    @property
    def line(self) -> str:
        """The verdict as one line, as the terminal shows it."""
        return f"{self.title}: {self.summary}"


COUNT_NAMES = {
    FAILED: "failed",
    PASSED: "passed",
    NOT_APPLICABLE: "not applicable",
    KNOWN: "known to deviate",
    NOT_MEASURED: "not measured",
    ERROR: "errors",
    "not-run": "not run",
}


def verdicts(log: Log) -> tuple[Verdict, ...]:
    """One verdict for each subject: first the session's, then others with results, then others with tests only."""
    results = (result.subject for result in log.results)
    tests = (test.subject for test in (*log.collected, *log.started))
    named = (*log.session.subjects, *(info.subject for info in log.subjects), *results, *tests)
    subjects = tuple(dict.fromkeys(each for each in named if each is not None))
    return tuple(map(_verdict, by_subject(log, subjects or (UNKNOWN_SUBJECT,))))


def exit_status(all_verdicts: Iterable[Verdict]) -> int:
    """The exit status of the worst verdict. Without any verdict, the run is inconclusive."""
    statuses = {verdict.status for verdict in all_verdicts}
    return next((status for status in WORST_FIRST if status in statuses), VerdictKind.INCONCLUSIVE.status)


def description(info: SubjectInfo) -> str:
    """The facts about a subject in parentheses, such as " (Linux 6.12.107, mainline, 3 registers)"."""
    kernel = info.environment.get("kernel", "")
    registers = info.environment.get("registers", "")
    parts = [
        f"Linux {kernel.removeprefix('Linux ')}" if kernel else "",
        {"none": "no registers"}.get(info.dialect, info.dialect),
        f"{registers} register{'' if registers == '1' else 's'}" if registers.isdecimal() else registers,
        f"with {services}" if (services := info.environment.get("services", "")) else "",
        info.environment.get("migration", ""),
    ]
    text = ", ".join(filter(None, parts))
    return f" ({text})" if text else ""


def one_line(text: str) -> str:
    """Text for a terminal: one line, with control characters and lone surrogates escaped."""
    joined = " ".join(text.split())
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in joined)


def _without_stop(sentence: str) -> str:
    """A sentence without its full stop, because a report joins several with semicolons."""
    text = sentence.rstrip()
    return text[:-1] if text.endswith(".") and not text.endswith("..") else text


def _without_verdict(text: str) -> str:
    """The text for a selection, without a complete run's verdict in it, for example in a quoted argument."""
    return text.replace("CONFORMANT", "conformant")


def _verdict(records: SubjectRecords) -> Verdict:
    subject, info, log = records.subject, records.info, records.log
    results, not_run = records.results, records.not_run
    counts = {name: sum(result.outcome == name for result in results) for name in COUNT_NAMES}
    counts["not-run"] = len(not_run)
    reasons = (*_reasons(log, results, not_run), *_outdated(log, info, results), *_incomplete_tier(log, subject))
    failed = [result for result in results if result.outcome == FAILED]
    missed = set(not_run)
    return Verdict(
        subject=subject,
        kind=_kind(bool(failed), bool(reasons), info),
        info=info,
        counts=counts,
        results=results,
        errors=tuple(result for result in results if result.outcome == ERROR),
        not_run=not_run,
        broken=tuple(sorted({clause for result in failed for clause in result.clauses})),
        reasons=tuple(map(_without_stop, reasons)),
        selection=log.selection,
        tier=coverage(log, subject, info.dialect, results),
        known=tuple(each for each in info.known if KNOWN in _outcomes(each, results)),
        not_run_reasons={test.nodeid: why for test, why in log.not_run if test.nodeid in missed},
        notes=Counter(note for result in results for note in result.notes),
        unmeasured=tuple(result for result in results if result.outcome == NOT_MEASURED),
        unmeasured_clauses=_unmeasured_clauses(results),
    )


def _unmeasured_clauses(results: tuple[Result, ...]) -> tuple[str, ...]:
    outcomes: dict[str, set[str]] = {}
    for result in results:
        for clause in result.clauses:
            outcomes.setdefault(clause, set()).add(result.outcome)
    return tuple(sorted(clause for clause, each in outcomes.items() if each - {NOT_APPLICABLE} == {NOT_MEASURED}))


def _kind(failed: bool, doubtful: bool, info: SubjectInfo) -> VerdictKind:
    if failed:
        return VerdictKind.NON_CONFORMANT
    if doubtful:
        return VerdictKind.INCONCLUSIVE
    if info.dialect == "none":
        return VerdictKind.NOT_IMPLEMENTED
    return VerdictKind.CONFORMANT if all(each.accepted for each in info.unknown) else VerdictKind.NEWER


def _reasons(log: Log, results: tuple[Result, ...], not_run: tuple[str, ...]) -> tuple[str, ...]:
    """Why the results are not sufficient for the verdict CONFORMANT."""
    reasons = [log.reason] if log.reason else []
    unmeasured = [result for result in results if result.outcome == NOT_MEASURED]
    if unmeasured and log.session.strict:
        first = f"first {unmeasured[0].nodeid}: {_first_line(unmeasured[0].message)}"
        reasons.append(f"{many(len(unmeasured), 'test')} not measured (--strict), {first}")
    errors = [result for result in results if result.outcome == ERROR]
    if errors:
        reasons.append(f"{many(len(errors), 'error')}, first {errors[0].nodeid}: {_first_line(errors[0].message)}")
    started = {test.nodeid for test in log.started}
    running = [nodeid for nodeid in not_run if nodeid in started]
    if running:
        rest = f" and {len(running) - 3} more" if len(running) > 3 else ""
        reasons.append(f"running when the run ended: {', '.join(running[:3])}{rest}")
    waiting = [nodeid for nodeid in not_run if nodeid not in started]
    if waiting:
        why = next((f": {reason}" for test, reason in log.not_run if test.nodeid == waiting[0]), "")
        reasons.append(f"{many(len(waiting), 'collected test')} not run, first {waiting[0]}{why}")
    if log.truncated or log.status is None:
        reasons.append("the results log breaks off")
    if log.status in _STATUS_REASONS and not log.reason:
        reasons.append(_STATUS_REASONS[log.status])
    if not results and not not_run:
        reasons.append("no test was run")
    elif not any(result.outcome == PASSED for result in results):
        reasons.append("no test passed")
    return tuple(reasons)


def _first_line(message: str) -> str:
    line = message.strip().partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:200]}..."


def _outdated(log: Log, info: SubjectInfo, results: tuple[Result, ...]) -> Iterator[str]:
    """Known deviations that no test reproduced. Either the list is outdated, or the detection is wrong."""
    for each in info.known:
        outcomes = _outcomes(each, results)
        if PASSED in outcomes:
            yield f"{each.name} is listed as a known deviation, but {each.clause} holds: take it off the list"
        elif log.selection is None and not outcomes & {KNOWN, FAILED, ERROR, NOT_MEASURED}:
            yield f"{each.name} was recognised as a known deviation, but no test of {each.clause} found it"


def _incomplete_tier(log: Log, subject: Identity) -> Iterator[str]:
    missing = uncollected(log, subject)
    if missing and log.tier is not None:
        yield f"{many(len(missing), 'test')} of the {log.tier.name} tier not collected, first {missing[0]}"


def _outcomes(deviation: KnownDeviation, results: tuple[Result, ...]) -> set[str]:
    return {result.outcome for result in results if deviation.excuses(result.clauses)}


def many(count: int, noun: str) -> str:
    """A count and its noun, such as "2 errors"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def counted(counts: Mapping[str, int]) -> str:
    """The number of results of each outcome, such as "1 failed, 2 passed", without zeros."""
    return ", ".join(f"{counts[each]} {name}" for each, name in COUNT_NAMES.items() if counts[each])
