# SPDX-License-Identifier: GPL-2.0-only
"""The verdict on each subject: a pure function of the results log, so that no two reports can disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from helpers.identity import Identity, OldLabel
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    PASSED,
    KnownDeviation,
    Log,
    Result,
    SubjectInfo,
)

UNKNOWN_SUBJECT = OldLabel("unknown subject")


class VerdictKind(Enum):
    """What can be said of a subject; the value is the word for it."""

    CONFORMANT = "CONFORMANT"
    NON_CONFORMANT = "NON-CONFORMANT"
    NOT_IMPLEMENTED = "NOT-IMPLEMENTED"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def status(self) -> int:
        """The exit status of a run with this verdict."""
        return _STATUS[self]


_STATUS = {
    VerdictKind.CONFORMANT: 0,
    VerdictKind.NON_CONFORMANT: 1,
    VerdictKind.INCONCLUSIVE: 3,
    VerdictKind.NOT_IMPLEMENTED: 5,
}
_WORST_FIRST = (1, 3, 5, 0)
_SELECTION_WORDS = {VerdictKind.CONFORMANT: "PASSED", VerdictKind.NON_CONFORMANT: "FAILED"}
_STATUS_REASONS = {
    2: "the run was interrupted",
    3: "pytest stopped with an internal error",
    4: "pytest was called wrongly",
}


@dataclass(frozen=True)
class Verdict:
    """What a log says of one subject, with everything that a report shows above its rows."""

    subject: Identity
    kind: VerdictKind
    info: SubjectInfo
    counts: Mapping[str, int]
    errors: tuple[Result, ...] = ()
    not_run: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    selection: str | None = None
    known: tuple[KnownDeviation, ...] = ()
    """The known deviations that the tests found again."""

    @property
    def status(self) -> int:
        """The exit status that this verdict alone would give."""
        return self.kind.status

    @property
    def word(self) -> str:
        """The verdict in a word or two, and what it overlooks. Only a complete run may speak of conformance."""
        word = self.kind.value
        if self.selection is not None:
            word = f"SELECTION {_SELECTION_WORDS.get(self.kind, word)}"
        if not self.known:
            return word
        return f"{word}, {many(len(self.known), 'known deviation')}: {', '.join(each.name for each in self.known)}"

    @property
    def title(self) -> str:
        """The word, what was selected if not everything, and the subject with what is known of it."""
        subject = f"{self.subject.label}{description(self.info)}"
        if self.selection is None:
            return one_line(f"{self.word}{' on' if self.known else ''} {subject}")
        return _modest(one_line(f"{self.word}{';' if self.known else ':'} {self.selection} on {subject}"))

    @property
    def summary(self) -> str:
        """The counts, the broken clauses, and why nothing can be concluded."""
        text = self.counted
        if self.broken:
            text += f"; broken clauses: {', '.join(self.broken)}"
        if self.kind is VerdictKind.INCONCLUSIVE:
            text += f"; because {'; '.join(self.reasons)}"
        text = one_line(text)
        return text if self.selection is None else _modest(text)

    @property
    def counted(self) -> str:
        """How many results of each kind; known deviations only where there are some."""
        shown = (each for each in COUNT_NAMES if each != KNOWN or self.counts[KNOWN])
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
    ERROR: "errors",
    "not-run": "not run",
}


def verdicts(log: Log) -> tuple[Verdict, ...]:
    """One verdict for each subject that was asked for, has a result or has a test, in that order."""
    results = (result.subject for result in log.results)
    tests = (test.subject for test in (*log.collected, *log.started))
    named = (*log.session.subjects, *(info.subject for info in log.subjects), *results, *tests)
    subjects = tuple(dict.fromkeys(each for each in named if each is not None))
    return tuple(_verdict(log, each) for each in subjects or (UNKNOWN_SUBJECT,))


def exit_status(all_verdicts: Iterable[Verdict]) -> int:
    """The worst verdict's status; no verdict at all is inconclusive."""
    found = {verdict.status for verdict in all_verdicts}
    return next((status for status in _WORST_FIRST if status in found), VerdictKind.INCONCLUSIVE.status)


def unfinished(log: Log, subject: Identity) -> tuple[str, ...]:
    """Tests of this subject that were collected or started and have no outcome.

    One whose subject cannot be told is missing from every subject: none of them may go green over it.
    """
    done: dict[str, set[Identity | None]] = {}
    for result in log.results:
        done.setdefault(result.nodeid, set()).add(result.subject)
    missing: dict[str, None] = {}
    for test in (*log.collected, *log.started):
        if test.subject not in (None, subject):
            continue
        if not _finished(test.subject, done.get(test.nodeid, set()), log.session.subjects):
            missing[test.nodeid] = None
    return tuple(missing)


def _finished(owner: Identity | None, found: set[Identity | None], asked: tuple[Identity, ...]) -> bool:
    """Whether a test of ``owner`` has its result among ``found``, the subjects of the results with its id.

    Another kernel's result is none of it. A migration's is: logs of version 1 and 2 name its source as the owner.
    """
    return bool(found) and (owner is None or owner in found or not found <= set(asked))


def results_for(log: Log, subject: Identity) -> tuple[Result, ...]:
    """The results of a subject, with those that belong to no subject (a file that cannot be imported).

    A result that claims a known deviation which this subject was not recognised to have is a failure.
    """
    known = _info(log, subject).known
    return tuple(_settled(result, known) for result in log.results if result.subject in (None, subject))


def _settled(result: Result, known: tuple[KnownDeviation, ...]) -> Result:
    if result.outcome != KNOWN or any(each.excuses(result.clauses) for each in known):
        return result
    return replace(result, outcome=FAILED)


def _info(log: Log, subject: Identity) -> SubjectInfo:
    return next((each for each in log.subjects if each.subject == subject), SubjectInfo(subject))


def description(info: SubjectInfo) -> str:
    """What is known of a subject, in brackets, such as " (Linux 6.12.107, mainline, 3 registers)"."""
    kernel = info.environment.get("kernel", "")
    registers = info.environment.get("registers", "")
    parts = [
        f"Linux {kernel.removeprefix('Linux ')}" if kernel else "",
        {"none": "no registers"}.get(info.dialect, info.dialect),
        f"{registers} register{'' if registers == '1' else 's'}" if registers.isdecimal() else registers,
        info.environment.get("migration", ""),
    ]
    known = [part for part in parts if part]
    return f" ({', '.join(known)})" if known else ""


def one_line(text: str) -> str:
    """Text made harmless for a terminal: one line, control characters and half characters spelled out."""
    joined = " ".join(text.split())
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in joined)


def _modest(text: str) -> str:
    """A selection's line never holds the word for a whole run's verdict, not even in a quoted argument."""
    return text.replace("CONFORMANT", "conformant")


def _verdict(log: Log, subject: Identity) -> Verdict:
    results = results_for(log, subject)
    not_run = unfinished(log, subject)
    info = _info(log, subject)
    counts = {name: sum(result.outcome == name for result in results) for name in COUNT_NAMES}
    counts["not-run"] = len(not_run)
    reasons = (*_reasons(log, results, not_run), *_outdated(log, info, results))
    failed = [result for result in results if result.outcome == FAILED]
    return Verdict(
        subject=subject,
        kind=_kind(bool(failed), bool(reasons), info),
        info=info,
        counts=counts,
        errors=tuple(result for result in results if result.outcome == ERROR),
        not_run=not_run,
        broken=tuple(sorted({clause for result in failed for clause in result.clauses})),
        reasons=reasons,
        selection=log.selection,
        known=tuple(each for each in info.known if KNOWN in _outcomes(each, results)),
    )


def _kind(failed: bool, doubtful: bool, info: SubjectInfo) -> VerdictKind:
    if failed:
        return VerdictKind.NON_CONFORMANT
    if doubtful:
        return VerdictKind.INCONCLUSIVE
    return VerdictKind.NOT_IMPLEMENTED if info.dialect == "none" else VerdictKind.CONFORMANT


def _reasons(log: Log, results: tuple[Result, ...], not_run: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that keeps this log from saying anything good."""
    reasons = [log.reason] if log.reason else []
    errors = [result for result in results if result.outcome == ERROR]
    if errors:
        message = _shortened(errors[0].message)
        reasons.append(f"{many(len(errors), 'error')}, first {errors[0].nodeid}: {message}")
    started = {test.nodeid for test in log.started}
    in_flight = [nodeid for nodeid in not_run if nodeid in started]
    if in_flight:
        reasons.append(f"in flight when the run ended: {_some(in_flight)}")
    waiting = [nodeid for nodeid in not_run if nodeid not in started]
    if waiting:
        reasons.append(f"{many(len(waiting), 'collected test')} not run, first {waiting[0]}")
    if log.truncated or log.status is None:
        reasons.append("the results log breaks off")
    if log.status in _STATUS_REASONS and not log.reason:
        reasons.append(_STATUS_REASONS[log.status])
    if not results and not not_run:
        reasons.append("no test was run")
    elif not any(result.outcome == PASSED for result in results):
        reasons.append("no test passed")
    return tuple(reasons)


def _outdated(log: Log, info: SubjectInfo, results: tuple[Result, ...]) -> Iterator[str]:
    """Recognised deviations that no test found again: the list, or the way of recognising, is wrong."""
    for each in info.known:
        found = _outcomes(each, results)
        if PASSED in found:
            yield f"{each.name} is listed as a known deviation, but {each.clause} holds: take it off the list"
        elif log.selection is None and not found & {KNOWN, FAILED, ERROR}:
            yield f"{each.name} was recognised as a known deviation, but no test of {each.clause} found it"


def _outcomes(known: KnownDeviation, results: tuple[Result, ...]) -> set[str]:
    return {result.outcome for result in results if known.excuses(result.clauses)}


def many(count: int, noun: str) -> str:
    """A count and its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest


def _shortened(message: str, limit: int = 200) -> str:
    first = message.strip().partition("\n")[0]
    return first if len(first) <= limit else first[:limit] + "..."
