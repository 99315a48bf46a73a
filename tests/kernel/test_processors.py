# SPDX-License-Identifier: GPL-2.0-only
"""A machine in QEMU has its second processor only while races run: brought up, or after a reboot."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.results.log import read_log
from helpers.subjects.qemu import ONE_IS_ON
from tests.support import no_hotplug
from tests.support.sessions import KERNEL, run_pytest

TESTS = (
    "suites/concurrency/test_beside.py::test_same_value[STD]",
    "suites/concurrency/test_vcpus.py::test_new_vcpus[STD]",
    "suites/limits/test_limits.py",
)


@pytest.mark.parametrize(
    ("options", "racing"),
    [
        ((), "raced on 2 processors"),
        (("--kernel-args=khx_user=1000,/dev/kvm",), "raced on 1 processor"),
        (("--qemu-args=-smp 3",), "raced on 3 processors"),
        (("-p", "tests.support.no_hotplug"), "raced on 2 processors"),
    ],
    ids=["default", "user", "smp", "no_hotplug"],
)
def test_the_log_names_the_processors(options: tuple[str, ...], racing: str, tmp_path: Path) -> None:
    status, text = run_pytest(KERNEL, *options, f"--reports={tmp_path}", *TESTS)
    assert status == 0, text
    log = read_log(tmp_path / "results.jsonl")
    notes = {each.nodeid: each.notes for each in log.results}
    assert {each: notes.pop(each) for each in TESTS[:2]} == dict.fromkeys(TESTS[:2], (racing,))
    assert len(notes) > 10 and not any(notes.values()), notes
    assert f"{racing} (2 tests)" in text
    (info,) = (each for each in log.subjects if each.environment)
    assert info.environment["cores of vCPUs"].startswith("0-2 (" if "smp" in str(options) else "0 (")


def test_a_kernel_without_hotplug_has_two_processors_only_for_the_races(tmp_path: Path) -> None:
    """With xdist the races come first."""
    starts = tmp_path / "starts"
    options = ("-p", "tests.support.no_hotplug", "-n", "1", f"--reports={tmp_path}")
    status, text = run_pytest(KERNEL, *options, *TESTS, **{no_hotplug.VARIABLE: str(starts)})
    assert status == 0, text
    one, every, again = starts.read_text().splitlines()
    assert ONE_IS_ON in one and ONE_IS_ON not in every and again == one


def test_faults_that_share_a_machine_get_one_processor_each(tmp_path: Path) -> None:
    """The last test under the first fault is a race."""
    faults = ("race-no-lock", "late-vcpu-unlocks")
    tests = ("suites/concurrency/test_first_run.py::test_one_writer", "suites/run/test_later_vcpus.py")
    options = ("-p", "faults.plugin", *(f"--plant={fault}" for fault in faults), f"--reports={tmp_path}")
    status, text = run_pytest(KERNEL, *options, *tests)
    assert status == 1, text
    log = read_log(tmp_path / "results.jsonl")
    assert log.results[0].notes == ("raced on 2 processors",)
    cores = [each.environment["cores of vCPUs"] for each in log.subjects if each.environment]
    assert len(cores) == len(faults) and all(each.startswith("0 (") for each in cores), cores
