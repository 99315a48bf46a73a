# SPDX-License-Identifier: GPL-2.0-only
"""Several subjects in one session: their names, their workers, and their isolation from each other."""

from __future__ import annotations

import pytest

from helpers.identity import SubjectId
from tests.support.kernels import arm64_image
from tests.support.sessions import GOOD, KERNEL, Project

# In a whole run, a known deviation that no test checks is an error.
PART = ("-k", "test_")


def test_kvm_runs_in_the_mode_that_was_asked_for(project: Project) -> None:
    status, text = project.run(KERNEL, "--kvm-mode=vhe,nvhe,protected", "-n", "2", *PART, suite="")
    assert status == 0, text
    lines = text.rstrip().splitlines()[-3:]
    assert [line.split(" (")[0] for line in lines] == [
        f"SELECTION PASSED: -k test_ on debian:stable kvm-mode={mode}" for mode in ("vhe", "nvhe", "protected")
    ]


def test_a_mode_that_cannot_be_is_said(project: Project) -> None:
    status, text = project.run(KERNEL, "--kvm-mode=vhe", "--cpu=cortex-a57", suite="")
    assert status == 3
    assert "runs KVM in nvhe mode, not in vhe" in text


@pytest.mark.parametrize("arguments", [["--kvm-mode=warp"], ["--test-deadline=soon"], ["--boot-deadline=0"]])
def test_wrong_usage(arguments: list[str], project: Project) -> None:
    assert project.run(KERNEL, *arguments, suite="")[0] == 4


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_one_that_does_not_boot_costs_the_others_nothing(mode: tuple[str, ...], project: Project) -> None:
    (project.folder / "broken Image").write_bytes(arm64_image())
    status, text = project.run("--kernel=broken Image", KERNEL, "--boot-deadline=60", *PART, *mode, suite="")
    assert status == 3
    assert "INCONCLUSIVE: -k test_ on broken Image: " in text
    assert "The kernel of broken Image did not start under QEMU" in text
    assert "PASSED: -k test_ on debian:stable (Linux" in text
    mine = [r for r in project.log.results if r.subject == SubjectId("debian:stable")]
    outcomes = {(r.nodeid.rpartition("::")[2], r.outcome) for r in mine}
    assert outcomes == {(f"{name}[debian:stable]", outcome) for name, outcome in GOOD.items()}


def test_no_kernel_is_booted_more_often_than_needed(project: Project) -> None:
    project.suite(
        "@pytest.mark.parametrize('n', range(20))\ndef test_boots(subject, kvm, n, worker_id):\n"
        "    pathlib.Path(f'boot {subject.label} {worker_id}').touch()\n"
    )
    status, text = project.run(KERNEL, "--kernel-args=nokaslr", "--kernel-args=quiet", "-n", "2", *PART)
    assert status == 0, text
    assert len(list(project.folder.glob("boot *"))) == 2


def test_subjects_that_take_turns_are_booted_once(project: Project) -> None:
    project.suite(
        "def test_boots(subject, kvm):\n    pathlib.Path(f'{subject.label} {subject.generation}').touch()\n"
        "@pytest.mark.clause('LOCK-1')\ndef test_of_a_later_clause(subject, kvm):\n    test_boots(subject, kvm)\n"
    )
    # A start from a snapshot that cannot be used is followed by a boot.
    arguments = ("--kernel-args=nokaslr", "--kernel-args=quiet", "--cold-boot")
    status, text = project.run(KERNEL, *arguments, *PART)
    assert status == 0, text
    booted = {path.name for path in project.folder.glob("debian:stable *")}
    assert booted == {"debian:stable args=nokaslr 1", "debian:stable args=quiet 1"}
