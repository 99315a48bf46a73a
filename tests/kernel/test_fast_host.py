# SPDX-License-Identifier: GPL-2.0-only
"""Races and stolen time on a host that executes an instruction in 1 ns, with one and several processors.

Timers are then late by more than a system call takes, as on a real machine. QEMU executes no faster for that: its clock
counts instructions.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.identity import BootVariant, SubjectId
from helpers.results.log import read_log
from tests.support.sessions import KERNEL, run_pytest

FAST = "-icount shift=0,sleep=off"
ORDINARY_USER = "khx_user=1000,/dev/kvm"
PART = "suites/concurrency suites/hypercalls/test_stolen_time.py suites/lock"
WORDS = "VENDOR_HYP] or stolen_time"


@pytest.mark.parametrize("arguments", ["", ORDINARY_USER], ids=["root", "user"])
@pytest.mark.parametrize("processors", [1, 4])
def test_what_depends_on_time(processors: int, arguments: str, tmp_path: Path) -> None:
    variant = BootVariant(arguments=arguments, qemu=f"{FAST} -smp {processors}")
    options = (f"--qemu-args={variant.qemu}", f"--kernel-args={arguments}", "--race-rounds=60", f"--reports={tmp_path}")
    status, text = run_pytest(KERNEL, *options, *PART.split(), "-k", WORDS)
    assert status == 0 and "not measured" not in text, text
    log = read_log(tmp_path / "results.jsonl")
    (facts,) = (
        info.environment for info in log.subjects if info.subject == SubjectId("debian:stable", variant=variant)
    )
    assert facts["cores of vCPUs"].startswith("0 (" if processors == 1 else "0-3 (")
    priority = "SCHED_OTHER and SCHED_IDLE, because SCHED_FIFO is refused (EPERM)" if arguments else "SCHED_FIFO"
    assert facts["threads of races"] == priority
    assert len([each for each in log.results if each.outcome == "passed"]) > 15
