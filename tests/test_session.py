# SPDX-License-Identifier: GPL-2.0-only
"""Whole sessions in which a kernel dies, hangs or flakes: nothing is lost, nothing goes green, nothing stays behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.results.log import Log, Result, read_log
from tests.fake_qemu import SILENCE, FakeQemu

ROOT = Path(__file__).resolve().parent.parent
KERNEL = "--kernel=debian:stable"

HEAD = """
import os, pathlib, signal, struct
import pytest
from helpers.executor.program import Program
pytestmark = pytest.mark.clause("CAP-1")
MAGIC = 0xfee1dead, 672274793
HALT, POWER_OFF = 0xcdef0123, 0x4321fedc
REBOOT = 142

def reboot(subject, how):
    program = Program()
    program.syscall(REBOOT, *MAGIC, how)
    subject.run(program)

def to_qemu(subject, sent):
    os.kill(subject._subject._machine.pid, sent)
    subject.run(Program())

def sysrq(subject, key):
    program = Program()
    fd = program.open("/proc/sysrq-trigger", os.O_WRONLY)
    program.write(fd, key)
    subject.run(program)

def test_before(make_vm):
    assert make_vm().vcpu.reg_list()
"""
TAIL = """
def test_after(make_vm):
    assert make_vm().vcpu.reg_list()
def test_long_after(make_vm):
    assert make_vm().vcpu.reg_list()
"""


class Project:
    """Suites of a test's own, run by the project's conftest.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = [ROOT]
        (folder / "suites").mkdir()
        for path in (ROOT / "conftest.py", ROOT / "pytest.ini", *(ROOT / "suites").glob("*.py")):
            shutil.copyfile(path, folder / path.relative_to(ROOT))

    def suite(self, text: str) -> None:
        (self.folder / "suites/test_it.py").write_text(HEAD + text + TAIL)

    def start(self, *arguments: str, terminal: int | None = None) -> subprocess.Popen[str]:
        """A session in a process group of its own, on the terminal if one is given."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
        environment["PYTHONPATH"] = ":".join(map(str, self.path))
        # setsid -c makes the terminal the session's own, so that closing it hangs up.
        command = ["setsid", "-c"] if terminal is not None else []
        command += [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        out = subprocess.PIPE if terminal is None else terminal
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=terminal is None,
            stdin=subprocess.DEVNULL if terminal is None else terminal, stdout=out, stderr=out,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit status and all that was printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in out + err and "INTERNALERROR" not in out + err, out + err
        return process.returncode, out + err

    @property
    def log(self) -> Log:
        return read_log(self.folder / "reports/results.jsonl")

    def outcomes(self) -> dict[str, str]:
        return {name: result.outcome for name, result in self.results().items()}

    def results(self) -> dict[str, Result]:
        return {r.nodeid.rpartition("::")[2]: r for r in self.log.results}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


GOOD = {"test_before": "passed", "test_after": "passed", "test_long_after": "passed"}
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
    project.suite(f"def test_death(subject, kvm):\n    {does}\n")
    began = time.monotonic()
    got, text = project.run(KERNEL, "--test-deadline=6")
    assert project.outcomes() == {**GOOD, "test_death": outcome}, text
    assert got == status
    assert message in project.results()["test_death"].message
    assert "Booting Linux" not in project.results()["test_death"].message
    assert time.monotonic() - began < 60


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


def test_a_kernel_that_dies_in_every_test_ends_the_session(project: Project) -> None:
    project.suite(
        "@pytest.mark.parametrize('n', range(50))\ndef test_death(subject, kvm, n):\n    sysrq(subject, b'c')\n"
    )
    status, text = project.run(KERNEL, "-k", "death")
    assert status == 1
    assert [*project.outcomes().values()] == ["failed"] * 5 + ["error"]
    assert "ended in 5 tests in a row" in text


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


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_boot_that_stops_half_way(mode: tuple[str, ...], project: Project, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "bin").mkdir()
    FakeQemu(tmp_path / "bin", monkeypatch).does("print('Booting Linux', file=console)\n" + SILENCE)
    project.suite("")
    began = time.monotonic()
    status, text = project.run(KERNEL, "--boot-deadline=4", *mode)
    assert status == 3
    assert "did not start under QEMU: nothing was printed for" in text
    assert "Booting Linux" in text
    assert time.monotonic() - began < 30


def test_the_next_fault_on_a_machine_finds_nothing_open(project: Project) -> None:
    project.suite(
        "NUMBERS = set()\n"
        "def test_lowest_free(kvm):\n"
        "    program = Program()\n"
        "    program.close(fd := program.open('/dev/null', os.O_RDONLY))\n"
        "    NUMBERS.add(kvm.subject.run(program)[fd].ret)\n"
        "    assert len(NUMBERS) == 1, NUMBERS\n"
    )
    project.run(KERNEL, "--plant=none", "--plant=none,1", "--plant=none,2")
    found = {name: outcome for name, outcome in project.outcomes().items() if name.startswith("test_lowest_free")}
    assert len(found) == 3 and set(found.values()) == {"passed"}, found
