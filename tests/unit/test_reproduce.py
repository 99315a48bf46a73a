# SPDX-License-Identifier: GPL-2.0-only
"""The command in a report that repeats a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from helpers.plugin import options
from helpers.plugin.reporting import program_words
from helpers.results.records import VERSION, Session
from helpers.results.reproduce import OPTIONS, reproduce

TEST = "suites/lock/test_lock.py::test_same_value[STD]"
QUOTED = f"'{TEST}'"


def command(*argv: str, **environment: str) -> str:
    facts = {name.replace("_", " "): value for name, value in environment.items()}
    return reproduce(Session(VERSION, argv, (), 0, facts), TEST)


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ((), ""),
        (("--kernel=debian:sid", "-n", "2", "-k", "lock", "--reports", "/tmp/r"), " --kernel=debian:sid"),
        (("--kernel", "my Image", "--maxprocesses=8", "suites/lock"), " '--kernel=my Image'"),
        (("--rootdir=/suite", "-c", "/suite/pytest.ini", "-o", "cache_dir=/x", "--lf", "--baseline=b"), ""),
        (("--no-known-deviations", "suites/lock"), " --no-known-deviations"),
        (("--kernel=a", "--kernel=b", "--cpu", "max"), " --kernel=a --kernel=b --cpu=max"),
    ],
)
def test_it_has_the_options_that_matter(argv: tuple[str, ...], options: str) -> None:
    assert command(*argv) == f".venv/bin/pytest{options} {QUOTED}"


def test_it_starts_the_program_of_the_run() -> None:
    assert command(program="kvm-hvc-conformance run") == f"kvm-hvc-conformance run {QUOTED}"


def test_the_seed_of_a_random_search() -> None:
    shown = f".venv/bin/pytest --model-steps=9 --model-seed=7 {QUOTED}"
    assert command("--model-steps=9", model_seed="7") == shown
    assert command("--model-steps", "9", "--model-seed", "7", model_seed="7") == shown
    assert "seed" not in command(model_seed="0")


def test_every_option_of_the_kernel_is_kept() -> None:
    names: list[str] = []

    class Group:
        def addoption(self, name: str, **_: object) -> None:
            names.append(name)

    for add in (options._add_subjects, options._add_plants, options._add_measures):
        add(Group())  # type: ignore[arg-type]
    assert set(names) <= set(OPTIONS)
    assert len(names) > 10


def test_the_program_as_one_types_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/kvm-hvc-conformance"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    assert program_words(str(program)) == "bin/kvm-hvc-conformance run"
    assert program_words("bin/pytest") == "bin/pytest"
    assert program_words("/elsewhere/my venv/bin/pytest") == "'/elsewhere/my venv/bin/pytest'"
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert program_words(str(program)) == "kvm-hvc-conformance run"
    monkeypatch.setattr(sys, "executable", "/usr/bin/no-such-python3")
    assert program_words("/x/pytest/__main__.py") == "/usr/bin/no-such-python3 -m pytest"
    assert program_words("/x/helpers/command/__main__.py") == "/usr/bin/no-such-python3 -m helpers.command run"
    assert program_words("-c") == ".venv/bin/pytest"
