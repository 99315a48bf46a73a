# SPDX-License-Identifier: GPL-2.0-only
"""The result of each benign variant: a pure function of the results log, the catalogue and the counts of calls.

A call meets a variant if the variant affects it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from faults.variants import BenignVariant
from helpers.identity import SubjectId
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, NOT_MEASURED, Log
from helpers.results.verdict import Verdict, verdicts

MET_FILE = "met.json"
"""The file beside a proof's log: the id of each variant, and how many calls met it."""
MET_PROPERTY = "variant_met"
"""The user property of a test's report: the planted variant, and how many calls have met it."""


@dataclass(frozen=True)
class Trial:
    """One variant. ``run`` is the number of its tests with a result, ``met`` the number of calls that met it."""

    variant: BenignVariant
    verdict: Verdict
    run: int
    met: int
    alarms: tuple[str, ...]
    """The failed tests and errors, or the reasons for another wrong verdict."""
    unmeasured: tuple[str, ...]
    """Tests that were not measured, with the reason. The variant may be accepted despite them."""

    @property
    def accepted(self) -> bool:
        """Whether some call met the variant, and the verdict is the correct one."""
        return bool(self.met) and not self.alarms


def trials(logs: Iterable[Log], variants: Iterable[BenignVariant], met: Mapping[str, int]) -> tuple[Trial, ...]:
    """One trial for each variant in ``logs``. ``met`` maps a variant's id to the number of calls that met it."""
    by_id = {variant.id: variant for variant in variants}
    found = [(log, each) for log in logs for each in log.session.subjects if isinstance(each, SubjectId)]
    return tuple(_trial(log, each, by_id[each.fault], met) for log, each in found if each.fault in by_id)


def _trial(log: Log, subject: SubjectId, variant: BenignVariant, met: Mapping[str, int]) -> Trial:
    own = _only(log, subject)
    (verdict,) = verdicts(own)
    bad = [result for result in own.results if result.outcome in (FAILED, ERROR)]
    alarms = [f"{without_subject(r.nodeid, r.subject)}: {r.outcome}: {_first_line(r.message)}" for r in bad]
    if not alarms and verdict.kind is not variant.verdict:
        alarms = [f"{verdict.kind.value}: {reason}" for reason in verdict.reasons or ("another verdict is correct",)]
    unmeasured = [
        f"{without_subject(r.nodeid, r.subject)}: {_first_line(r.message)}"
        for r in own.results
        if r.outcome == NOT_MEASURED
    ]
    return Trial(variant, verdict, len(own.results), met.get(variant.id, 0), tuple(alarms), tuple(unmeasured))


def _only(log: Log, subject: SubjectId) -> Log:
    """The subject's part of a log, with the results that have no subject."""
    return replace(
        log,
        session=replace(log.session, subjects=(subject,)),
        collected=tuple(each for each in log.collected if each.subject in (subject, None)),
        started=tuple(each for each in log.started if each.subject in (subject, None)),
        results=tuple(each for each in log.results if each.subject in (subject, None)),
        subjects=tuple(each for each in log.subjects if each.subject == subject),
    )


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0][:200]
