# SPDX-License-Identifier: GPL-2.0-only
"""This machine's kernel as the subject: calls that block, calls that never return, tests without time left."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import build
from helpers.errors import HarnessError
from helpers.executor.native import Native
from helpers.executor.program import Program
from helpers.subjects import local
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.privilege import as_root


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[local.Local]:
    """A file replaces /dev/kvm, which no test here uses."""
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(local, "DEVICE", tmp_path / "kvm")
    build.build_all()
    subject = local.Local(build.NATIVE)
    yield subject
    subject.close()


@pytest.fixture
def blocked(silent_pipe: int) -> Program:
    """A program that blocks."""
    program = Program(deadline_ms=60_000)
    program.read(silent_pipe, 1)
    return program


def opened(subject: local.Local) -> bool:
    program = Program()
    fd = program.open("/dev/null", os.O_RDONLY)
    program.close(fd)
    return subject.run(program)[fd].errno == 0


def test_programs_run_on_one_thread(subject: local.Local) -> None:
    # KVM_RUN compares its thread with that of the last one.
    number = {"x86_64": 186, "aarch64": 178}[os.uname().machine]
    threads = set()
    for _ in range(5):
        program = Program()
        thread = program.syscall(number)
        threads.add(subject.run(program)[thread].ret)
    assert len(threads) == 1 and subject.generation == 1


def test_a_call_that_blocks_is_interrupted(subject: local.Local, blocked: Program) -> None:
    subject.begin_test(1)
    assert subject.run(blocked).expired
    subject.begin_test(20)
    assert opened(subject) and subject.generation == 1


TOO_MANY = """
import os
from pathlib import Path
from helpers import build
from helpers.errors import HarnessError
from helpers.executor.program import Program
from helpers.subjects import local

local.DEVICE = Path("/dev/null")
program = Program()
for _ in range(40):
    program.open("/dev/null", os.O_RDONLY)
subject = local.Local(build.NATIVE)
before = len(os.listdir("/proc/self/fd"))
try:
    subject.run(program)
except HarnessError as error:
    print(error)
print(len(os.listdir("/proc/self/fd")) - before)
"""


def test_too_few_files_give_no_result_and_leave_nothing_open(subject: local.Local) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    done = subprocess.run(
        [sys.executable, "-c", TOO_MANY],
        cwd=build.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=limit,
    )
    assert done.stdout.splitlines() == [
        "local ran out of file descriptors: a program of this test creates 40, and the hard limit of open files is 32."
        f" Run {as_root('prlimit --pid=$$ --nofile=128')} in this shell"
        " (for a container: docker run --ulimit nofile=128), and run again.",
        "0",
    ]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt: it would end xdist's worker."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_does_not_wait_for_a_call_that_blocks(subject: local.Local, blocked: Program, ctrl_c: None) -> None:
    subject.begin_test(8)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        subject.run(blocked)
    assert time.monotonic() - began < 5
    assert not subject.alive


def test_a_test_that_is_out_of_time(subject: local.Local, monkeypatch: pytest.MonkeyPatch) -> None:
    subject.begin_test(30)
    assert opened(subject)
    monkeypatch.setattr(time, "monotonic", lambda: time.clock_gettime(time.CLOCK_MONOTONIC) + 31)
    with pytest.raises(HarnessError, match="The test took longer than 30 s while local went on answering"):
        opened(subject)
    subject.begin_teardown(5)
    assert opened(subject)


class _Stuck(Native):
    """Its calls return when the test has ended."""

    def __init__(self, shared_object: Path) -> None:
        super().__init__(shared_object)
        self.returns = threading.Event()

    def run(self, request: bytes) -> bytes:
        self.returns.wait()
        return super().run(request)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    native = _Stuck(build.NATIVE)
    monkeypatch.setattr(local, "Native", lambda _: native)
    yield
    native.returns.set()


def test_a_call_that_never_returns_is_a_finding(subject: local.Local, stuck: None) -> None:
    subject.begin_test(1)
    with pytest.raises(KernelDied, match="a call did not return for 1 s, and signals did not end it"):
        opened(subject)
    assert not subject.alive
    with pytest.raises(GivenUp, match=r"still inside this machine's kernel.*reboot the machine"):
        opened(subject)


def test_little_time_says_nothing_about_the_kernel(subject: local.Local, stuck: None) -> None:
    subject.begin_test(2.4)
    time.sleep(1.4)
    with pytest.raises(HarnessError, match="did not answer within 1 s"):
        opened(subject)
