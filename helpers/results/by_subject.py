# SPDX-License-Identifier: GPL-2.0-only
"""A results log divided by subject, in one pass: the log of a proof has hundreds of subjects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from helpers.identity import Identity
from helpers.results.records import FAILED, KNOWN, Case, Log, Result, SubjectInfo


@dataclass(frozen=True)
class SubjectRecords:
    """What one subject's verdict depends on."""

    subject: Identity
    info: SubjectInfo
    log: Log
    """The log without the tests and results of other subjects. Those without a subject are included."""
    results: tuple[Result, ...]
    """The log's results. A known deviation that the subject does not have is a failure."""
    not_run: tuple[str, ...]
    """Tests that were collected or started and have no outcome.

    A test whose subject cannot be determined is every subject's, so that no subject is conformant.
    """


def by_subject(log: Log, subjects: Iterable[Identity]) -> Iterator[SubjectRecords]:
    """The records of each subject. A result without a subject is that of a file that cannot be imported."""
    results, collected, started = _Groups(log.results), _Groups(log.collected), _Groups(log.started)
    unfinished, excluded = _Groups(_unfinished(log)), _Groups(test for test, _ in log.not_run)
    reasons = dict(log.not_run)
    infos = {info.subject: info for info in reversed(log.subjects)}
    for subject in subjects:
        info = infos.get(subject, SubjectInfo(subject))
        own = replace(
            log,
            results=results.of(subject),
            collected=collected.of(subject),
            started=started.of(subject),
            not_run=tuple((test, reasons[test]) for test in excluded.of(subject)),
        )
        not_run = dict.fromkeys(test.nodeid for test in unfinished.of(subject))
        yield SubjectRecords(
            subject, info, own, tuple(_checked(result, info) for result in own.results), tuple(not_run)
        )


class _HasSubject(Protocol):
    @property
    def subject(self) -> Identity | None: ...


_T = TypeVar("_T", bound=_HasSubject)


class _Groups(Generic[_T]):
    """Records by their subject."""

    def __init__(self, records: Iterable[_T]) -> None:
        self._groups: dict[Identity | None, dict[int, _T]] = defaultdict(dict)
        for number, record in enumerate(records):
            self._groups[record.subject][number] = record

    def of(self, subject: Identity) -> tuple[_T, ...]:
        """The subject's records and those without a subject, in the order of the log."""
        own, common = self._groups.get(subject, {}), self._groups.get(None, {})
        return tuple(record for _, record in sorted((own | common).items())) if common else tuple(own.values())


def _unfinished(log: Log) -> Iterator[Case]:
    done: dict[str, set[Identity | None]] = defaultdict(set)
    for result in log.results:
        done[result.nodeid].add(result.subject)
    kernels = set(log.session.subjects)
    for test in (*log.collected, *log.started):
        # A result of another kernel does not count, but a migration's does: in logs of version 1 and 2, the collected
        # test has the source instead of the migration.
        subjects = done.get(test.nodeid, set())
        if not subjects or (test.subject is not None and test.subject not in subjects and subjects <= kernels):
            yield test


def _checked(result: Result, info: SubjectInfo) -> Result:
    if result.outcome != KNOWN or any(each.excuses(result.clauses) for each in info.known):
        return result
    return replace(result, outcome=FAILED)
