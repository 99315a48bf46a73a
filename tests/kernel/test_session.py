# SPDX-License-Identifier: GPL-2.0-only
"""Whole sessions in which a kernel dies, hangs or flakes: no result is lost, none passes, no process remains."""

from __future__ import annotations

import time

import pytest

from tests.support.sessions import GOOD, HEAD, KERNEL, Project

DEATHS = {
    "panic": ("sysrq(subject, b'c')", "failed", 1, "Kernel panic - not syncing: sysrq triggered crash"),
    "power-off": ("reboot(subject, POWER_OFF)", "failed", 1, "powered off or rebooted"),
    "halt": ("reboot(subject, HALT)", "failed", 1, "did not answer for 6 s"),
    "QEMU killed": ("to_qemu(subject, signal.SIGKILL)", "error", 3, "SIGKILL"),
    "QEMU stopped": ("to_qemu(subject, signal.SIGSTOP)", "error", 3, "stopped"),
}


@pytest.mark.parametrize("how", DEATHS)
def test_a_death_costs_its_own_test_and_nothing_else(how: str, project: Project) -> None:
    does, outcome, status, message = DEATHS[how]
    began = time.monotonic()
    got, text = project.run(KERNEL, "--test-deadline=6", suite=f"def test_death(subject, kvm):\n    {does}\n")
    assert project.outcomes() == {**GOOD, "test_death": outcome}, text
    assert got == status
    assert message in project.results()["test_death"].message
    assert "Booting Linux" not in project.results()["test_death"].message
    assert time.monotonic() - began < 60


def test_not_measured_hides_no_death(project: Project) -> None:
    """Also with --strict, and with the text of the kernel's last lines as the reason of the failure."""
    suite = (
        "from helpers.errors import NotMeasured\nfrom helpers.subjects.base import KernelDied\n"
        "def test_unstaged(kvm):\n    raise NotMeasured('no write met the run')\n"
        "def test_hidden(subject, kvm):\n    try:\n        sysrq(subject, b'c')\n"
        "    except KernelDied:\n        raise NotMeasured('no round was measured')\n"
    )
    status, text = project.run(KERNEL, "--test-deadline=6", "--strict", suite=suite)
    assert project.outcomes() == {**GOOD, "test_unstaged": "not-measured", "test_hidden": "failed"}, text
    assert status == 1 and project.log.session.strict
    assert "Kernel panic - not syncing: sysrq triggered crash" in project.results()["test_hidden"].message
    unstaged = project.results()["test_unstaged"]
    assert (unstaged.message, unstaged.calls) == ("no write met the run", "")


def test_a_guest_that_spins_is_interrupted(project: Project) -> None:
    project.suite(
        "def test_spins(make_vm):\n    vm = make_vm()\n    program = Program()\n"
        "    program.poke(vm.memory, struct.pack('<I', 0x14000000))\n    vm.kvm.subject.run(program)\n"
        "    assert vm.vcpu.try_run() == 0\n"
        "def test_generation(subject):\n    assert subject.generation == 1\n"
    )
    began = time.monotonic()
    assert project.run(KERNEL, "--test-deadline=4")[0] == 1
    assert project.outcomes() == {**GOOD, "test_spins": "failed", "test_generation": "passed"}
    assert time.monotonic() - began < 30


DIES = "    sysrq(subject, b'c')\n"


@pytest.mark.parametrize(("mode", "most"), [((), 2), (("-n", "2"), 4)], ids=["", "-n 2"])
def test_two_deaths_leave_out_the_rest_of_the_function(mode: tuple[str, ...], most: int, project: Project) -> None:
    project.suite(f"@pytest.mark.parametrize('n', range(50))\ndef test_death(subject, kvm, n):\n{DIES}")
    status, text = project.run(KERNEL, *mode)
    outcomes = project.outcomes()
    deaths = [name for name in outcomes if name.startswith("test_death[")]
    assert status == 1 and 2 <= len(deaths) <= most, text
    assert outcomes == {**GOOD, **dict.fromkeys(deaths, "failed")}
    left_out = 50 - len(deaths)
    line = f"suites/test_it.py::test_death ({left_out} cases): 2 cases of this test function ended the kernel"
    assert text.count(line) == 1 and f", 0 errors, {left_out} not run" in text.splitlines()[-1]


def test_a_kernel_that_dies_in_tests_of_several_chapters_is_given_up(project: Project) -> None:
    project.suite("")
    for chapter in "abcd":
        (project.folder / "suites" / chapter).mkdir()
        test = f"def test_{chapter}(subject, kvm):\n{DIES}"
        (project.folder / "suites" / chapter / f"test_{chapter}.py").write_text(
            HEAD.partition("def test_before")[0] + test
        )
    status, text = project.run(KERNEL, *(f"suites/{chapter}" for chapter in "abcd"))
    assert status == 1
    assert project.outcomes() == {**dict.fromkeys(("test_a", "test_b", "test_c"), "failed"), "test_d": "error"}
    assert "debian:stable is given up: tests of 3 chapters in a row ended it (a, b, c)" in text


def test_a_flake_is_never_green(project: Project) -> None:
    project.suite(
        "def test_flake(subject, kvm, tmp_path_factory):\n"
        "    mark = tmp_path_factory.getbasetemp() / 'mark'\n"
        "    first = not mark.exists()\n    mark.touch()\n    assert not first, 'once only'\n"
        "def test_broken(subject, kvm):\n    assert False, 'always'\n"
    )
    status, text = project.run(KERNEL)
    assert status == 1
    assert project.outcomes() == {**GOOD, "test_flake": "failed", "test_broken": "failed"}
    assert "flaky: it failed, then passed when it was repeated" in project.results()["test_flake"].message
    assert "flaky" not in project.results()["test_broken"].message
    assert "once only" in text


def test_the_next_fault_on_a_machine_finds_nothing_open(project: Project) -> None:
    project.suite(
        "NUMBERS = set()\n"
        "def test_lowest_free(kvm):\n"
        "    program = Program()\n"
        "    program.close(fd := program.open('/dev/null', os.O_RDONLY))\n"
        "    NUMBERS.add(kvm.subject.run(program)[fd].ret)\n"
        "    assert len(NUMBERS) == 1, NUMBERS\n"
    )
    project.run(KERNEL, "--plant=none", "--plant=race-transient", "--plant=quiet-taint")
    outcomes = {name: outcome for name, outcome in project.outcomes().items() if name.startswith("test_lowest_free")}
    assert len(outcomes) == 3 and set(outcomes.values()) == {"passed"}, outcomes
