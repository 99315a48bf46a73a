# SPDX-License-Identifier: GPL-2.0-only
"""Determines, before the first test, the folder of the reports, the gate, and the facts about the suite."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from helpers import version
from helpers.contract.clauses import CHAPTERS
from helpers.contract.differences import DIFFERENCES, standing_of
from helpers.errors import UsageError
from helpers.plugin.choices import runs_suites
from helpers.recording.folder import claim
from helpers.recording.selection import suite_root
from helpers.results.baseline import Acceptance, read_acceptances, read_baseline
from helpers.results.columns import columns
from helpers.results.gate import Gate, gate
from helpers.results.records import Contract, Log, UnknownService
from helpers.results.reproduce import DEFAULT_PROGRAM, PROGRAM, SEED


def reports_folder(config: pytest.Config) -> Path:
    """The locked folder for the reports; another one if a session uses the default. Raises pytest.UsageError."""
    reports = config.getoption("--reports")
    folder = config.invocation_params.dir / reports if reports else suite_root(config) / "reports"
    try:
        return claim(folder, asked=bool(reports)) if runs_suites(config) else folder
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def judge(config: pytest.Config) -> Callable[[Log], Gate] | None:
    """The gate of --baseline and --require. Raises pytest.UsageError for a bad baseline, before any test runs."""
    file, require = config.getoption("--baseline"), config.getoption("--require")
    try:
        baseline = read_baseline(config.invocation_params.dir / file) if file else ()
        accepted = acceptances(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if not file and not require:
        return None
    return lambda log: gate(columns([log]), baseline, require, date.today(), accepted)


def acceptances(config: pytest.Config) -> tuple[Acceptance, ...]:
    """The unknown services that the baseline accepts. Raises UsageError."""
    file = config.getoption("--baseline")
    return read_acceptances(config.invocation_params.dir / file) if file else ()


def with_accepted(
    config: pytest.Config, label: str, services: tuple[UnknownService, ...]
) -> tuple[UnknownService, ...]:
    """The unknown services of the subject with this label, with the accepted ones marked. Raises UsageError."""
    valid = [each for each in acceptances(config) if each.until >= date.today()] if services else []
    names = {*config.getoption("--accept-unknown")}
    names |= {each.name for each in services for entry in valid if entry.accepts(label, each.name)}
    return tuple(replace(each, accepted=each.name in names) for each in services)


def suite(config: pytest.Config) -> dict[str, str]:
    """The suite's version and the seed of its random choices, for the log."""
    seed = {SEED: str(config.getoption("--model-seed"))} if config.getoption("--model-steps") else {}
    return {
        **version.suite_environment(),
        **seed,
        PROGRAM: program_words(sys.argv[0]),
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "random"),
    }


def program_words(path: str) -> str:
    """The words that start pytest on this suite again in the same folder; ``path`` is sys.argv[0]."""
    file = Path(path)
    if file.name == "kvm-hvc-conformance":
        return f"{_typed(path)} run"
    if file.name == "__main__.py":
        module = "pytest" if file.parent.name == "pytest" else "helpers.command run"
        return f"{_typed(sys.executable)} -m {module}"
    return _typed(path) if file.name == "pytest" else DEFAULT_PROGRAM


def _typed(path: str) -> str:
    """A program as a user types it: its name if PATH finds it, else its path relative to the working directory."""
    on_path = shutil.which(Path(path).name)
    if on_path == path and Path(path).is_absolute():
        return Path(path).name
    absolute = Path(path).absolute()
    return shlex.quote(str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute))


def contract_sentences() -> Contract:
    """The clauses and differences for the log."""
    clauses = [replace(c, chapter=name, standing=standing_of(c)) for name in CHAPTERS for c in CHAPTERS[name]]
    return Contract(tuple(clauses), DIFFERENCES)
