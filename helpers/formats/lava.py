# SPDX-License-Identifier: GPL-2.0-only
"""Results as the signals that lava-test-set and lava-test-case print on a job's console.

Each subject is a test set with a case "verdict", a case for each clause and a case for each test. LAVA's results are
pass, fail, skip and unknown. Its names consist of letters, digits, hyphens, underscores and dots.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from helpers.formats.kcidb import path_of
from helpers.results.columns import summary
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED
from helpers.results.rows import VERDICT_ROW, Section
from helpers.results.verdict import VerdictKind

_RESULTS = {
    PASSED: "pass",
    FAILED: "fail",
    ERROR: "unknown",
    NOT_APPLICABLE: "skip",
    KNOWN: "skip",
    NOT_MEASURED: "skip",
}
_VERDICTS = {
    VerdictKind.CONFORMANT: "pass",
    VerdictKind.NON_CONFORMANT: "fail",
    VerdictKind.INCONCLUSIVE: "unknown",
    VerdictKind.NOT_IMPLEMENTED: "skip",
    VerdictKind.NEWER: "skip",
}
CLAUSE = "clause."
"""The prefix of a clause's case."""


def lava(sections: Sequence[Section]) -> str:
    """The signals, a line for each."""
    sets = unique(section.subject.label for section in sections)
    return "".join(f"{line}\n" for name, each in zip(sets, sections, strict=True) for line in _set(name, each))


def unique(names: Iterable[str]) -> Iterator[str]:
    """Names that LAVA accepts, in order. A repeated name gets a number."""
    uses: Counter[str] = Counter()
    for name in names:
        valid = re.sub("[^A-Za-z0-9_.-]", "_", name) or "_"
        uses[valid] += 1
        while uses[valid] > 1:
            valid = f"{valid}-{uses[valid]}"
            uses[valid] += 1
        yield valid


def case_names(section: Section) -> tuple[str, ...]:
    """The name of each row's case, in the rows' order, without the row of the verdict."""
    ids = (row.nodeid for row in section.rows if row.nodeid != VERDICT_ROW)
    return tuple(unique(path_of(nodeid, section.subject).partition(".")[2] for nodeid in ids))


def _set(name: str, section: Section) -> Iterator[str]:
    rows = [row for row in section.rows if row.nodeid != VERDICT_ROW]
    yield f"<LAVA_SIGNAL_TESTSET START {name}>"
    tier = f"-{section.verdict.tier.name}-tier" if section.verdict.tier else ""
    yield _case(f"verdict{tier}", _VERDICTS[section.verdict.kind])
    clauses = dict.fromkeys(clause for row in rows for clause in row.clauses)
    for shown, clause in zip(unique(clauses), clauses, strict=True):
        state, _ = summary(row for row in rows if clause in row.clauses)
        yield _case(f"{CLAUSE}{shown}", _RESULTS[state or ERROR])
    for shown, row in zip(case_names(section), rows, strict=True):
        yield _case(shown, _RESULTS[row.outcome])
    yield "<LAVA_SIGNAL_TESTSET STOP>"


def _case(name: str, result: str) -> str:
    return f"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={name} RESULT={result}>"
