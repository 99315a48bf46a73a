# SPDX-License-Identifier: GPL-2.0-only
"""Runs the suite on mutants, each in a separate boot, and keeps the results."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import msgspec

from helpers import build
from helpers.errors import HarnessError
from helpers.identity import SubjectId
from helpers.recording.folder import without_session
from helpers.results.log import read_log
from helpers.results.nodeids import without_subject
from helpers.results.records import FAILED, Log
from helpers.results.verdict import VerdictKind, verdicts
from tools.mutants.catalogue import MUTANTS
from tools.mutants.kernel import image
from tools.mutants.schemata import PARAMETER

UNMUTATED = "none"
"""The control: the kernel with every mutant off."""
_INTERRUPTED = 2
"""The exit status of pytest after Ctrl-C."""
_ROUNDS = 200
"""Rounds of a race, as in make prove."""


@dataclass(frozen=True)
class MutantResult:
    """``verdict`` is the suite's. ``tests`` are the failed tests: one or two if the run ends at the first failure."""

    verdict: str
    tests: tuple[str, ...]
    clauses: tuple[str, ...]
    reasons: tuple[str, ...]
    part: bool = False
    """Whether only the gate tier was run, or its part without races."""

    @property
    def noticed(self) -> bool:
        """Whether the verdict is NON-CONFORMANT."""
        return self.verdict == VerdictKind.NON_CONFORMANT.value

    @property
    def inconclusive(self) -> bool:
        """Whether the run did not work, so that the mutant is run again."""
        return self.verdict == VerdictKind.INCONCLUSIVE.value


class Part(Enum):
    """The tests of a session. The value is pytest's options."""

    ALL = ()
    GATE = ("--tier=gate",)
    GATE_WITHOUT_RACES = ("--tier=gate", "--deselect=suites/concurrency")
    """Most mutants are detected by it in a tenth of the time. The races follow with all tests."""


def run_campaign(
    folder: Path, names: Sequence[str], part: Part, *, jobs: str, whole: bool, seconds: float | None
) -> dict[str, MutantResult]:
    """Run the tests of PART on the mutants NAMES, with one worker for each, and keep the results in FOLDER.

    ``whole``: do not end a mutant's run at its first failure. After SECONDS the session is killed. Mutants that then
    have neither a failure nor all results are left for a later call. The results are also kept after Ctrl-C.

    Raises HarnessError if there is no log, UsageError if another session writes to the folder.
    """
    reports = folder / "runs"
    reports.mkdir(exist_ok=True)
    log = reports / "results.jsonl"
    with without_session(reports):
        log.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:html", "-p", "no:cacheprovider", "-n", jobs,
        *([] if whole else ["-p", "tools.mutants.plugin"]), f"--race-rounds={_ROUNDS}", f"--reports={reports}",
        f"--kernel={image(folder, MUTANTS)}", *(f"--kernel-args={_argument(name)}" for name in names),
        *part.value,
    ]  # fmt: skip
    try:
        _run_pytest(command, reports / "pytest.txt", seconds)
    except KeyboardInterrupt:
        if log.exists():
            _keep(folder, results_in(read_log(log), names, part=part is not Part.ALL))
        raise
    if not log.exists():
        raise HarnessError("The session left no log", cure=f"Read {reports / 'pytest.txt'}")
    results = results_in(read_log(log), names, part=part is not Part.ALL)
    _keep(folder, results)
    return results


def _run_pytest(command: Sequence[str], output: Path, seconds: float | None) -> None:
    with output.open("w") as file, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=build.ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=seconds, check=False)


def kept_results(folder: Path) -> dict[str, MutantResult]:
    """The results of all runs so far, by mutant."""
    path = _kept(folder)
    return msgspec.json.decode(path.read_bytes(), type=dict[str, MutantResult]) if path.exists() else {}


def results_in(log: Log, names: Sequence[str], *, part: bool = False) -> dict[str, MutantResult]:
    """The results of the mutants NAMES that have a failure, or whose tests all have an outcome."""
    # In a session that was killed or interrupted, the verdict of every mutant would be inconclusive, even of those that
    # are complete.
    if log.status in (None, _INTERRUPTED):
        log = replace(log, status=0, reason="", truncated=False)
    by_argument = {_argument(name): name for name in names}
    results = {}
    for verdict in verdicts(log):
        if not isinstance(verdict.subject, SubjectId):
            continue
        failed = [each for each in log.results if each.subject == verdict.subject and each.outcome == FAILED]
        if failed or not verdict.not_run:
            results[by_argument[verdict.subject.variant.arguments]] = MutantResult(
                verdict.kind.value,
                tuple(sorted({without_subject(each.nodeid, each.subject) for each in failed})),
                tuple(sorted({clause for each in failed for clause in each.clauses})),
                verdict.reasons,
                part,
            )
    return results


def _keep(folder: Path, results: dict[str, MutantResult]) -> None:
    together = {**kept_results(folder), **results}
    _kept(folder).write_bytes(msgspec.json.format(msgspec.json.encode(together), indent=1))


def _kept(folder: Path) -> Path:
    return folder / "results.json"


def _argument(name: str) -> str:
    """The kernel command line that selects a mutant. Raises HarnessError if the name is unknown."""
    numbers = {UNMUTATED: 0, **{each.id: number for number, each in enumerate(MUTANTS, 1)}}
    if name not in numbers:
        raise HarnessError(f"No mutant is called {name}", cure="See the tables in tools/mutants")
    return f"{PARAMETER}={numbers[name]}"
