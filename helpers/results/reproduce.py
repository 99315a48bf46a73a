# SPDX-License-Identifier: GPL-2.0-only
"""The command that repeats one test of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise

from helpers.results.records import Session

PROGRAM, SEED = "program", "model seed"
"""Names in a session's environment: the command that started pytest, and the seed that --model-steps chose."""
DEFAULT_PROGRAM = ".venv/bin/pytest"
OPTIONS = (
    "--kernel", "--board", "--debian-mirror", "--kvm-mode", "--cpu", "--kernel-args", "--qemu-args", "--dialect-host",
    "--plant", "--test-deadline", "--boot-deadline", "--race-rounds", "--model-steps", "--model-seed",
    "--no-known-deviations", "--services", "--lg-env", "--cold-boot",
)  # fmt: skip
"""The options on which the id or the result of a test depends."""
_FLAGS = ("--no-known-deviations", "--cold-boot")


def reproduce(session: Session, nodeid: str) -> str:
    """A shell command for the folder of the run, with the options of the run that affect the test."""
    words = [*shlex.split(session.environment.get(PROGRAM, DEFAULT_PROGRAM)), *_options(session.argv)]
    seed = session.environment.get(SEED)
    if seed is not None and any(word.startswith("--model-steps") for word in words):
        words = [word for word in words if not word.startswith("--model-seed")] + [f"--model-seed={seed}"]
    return shlex.join([*words, nodeid])


def _options(argv: Sequence[str]) -> Iterator[str]:
    """The options with their values, each as one word."""
    for word, following in pairwise((*argv, "")):
        name, equals, _ = word.partition("=")
        if name in OPTIONS:
            yield word if equals or name in _FLAGS else f"{word}={following}"
