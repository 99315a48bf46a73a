# SPDX-License-Identifier: GPL-2.0-only
"""init.c as the program that a board runs, built for this machine: its streams, its exit status, its own file."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from helpers.build import EXECUTOR
from helpers.executor import wire
from helpers.executor.native import SOURCES
from helpers.executor.program import Program

RT_SIGPROCMASK = 135 if os.uname().machine == "aarch64" else 14
MEMORY = 3 << 20
"""Bytes of address space: enough to start in, not enough for the longest request."""


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("init") / "init"
    command = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-s", "-o"]
    subprocess.run([*command, path, *SOURCES, EXECUTOR / "init.c"], check=True)
    return path.read_bytes()


def serve(file: Path, requests: bytes, *, memory: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[bytes]:
    """Runs FILE as on a board, and ends its input after REQUESTS."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run([file, file], input=requests, capture_output=True, check=False, preexec_fn=limit)


@pytest.fixture
def file(executable: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "executor"
    path.write_bytes(executable)
    path.chmod(0o700)
    return path


def frame(program: Program) -> bytes:
    body = wire.encode(program)
    return struct.pack("<I", len(body)) + body


def test_the_end_of_the_stream_is_success(file: Path) -> None:
    program = Program()
    opened = program.open("/dev/null", os.O_RDONLY)
    done = serve(file, frame(program))
    assert (done.returncode, done.stderr) == (0, b"")
    assert wire.decode(program, done.stdout[4:])[opened].ret > 2
    assert not file.exists()


def test_no_memory_is_an_error(file: Path) -> None:
    done = serve(file, struct.pack("<I", 4 << 20) + bytes(4 << 20), memory=MEMORY)
    assert (done.returncode, done.stderr) == (1, b"khx: cannot serve: Cannot allocate memory\n")


def test_a_request_that_is_too_long_is_an_error(file: Path) -> None:
    done = serve(file, struct.pack("<I", (4 << 20) + 1))
    assert (done.returncode, done.stderr) == (1, b"khx: cannot serve: Message too long\n")


def test_the_signal_mask_of_one_program_is_not_the_next_ones(file: Path) -> None:
    first, second = Program(deadline_ms=100), Program()
    blocked = first.scratch_bytes(struct.pack("<Q", 1 << signal.SIGUSR1 - 1))
    first.syscall(RT_SIGPROCMASK, signal.SIG_BLOCK, blocked, 0, 8)
    # A pipe that nobody writes to.
    ends = first.scratch(8)
    first.syscall(59 if RT_SIGPROCMASK == 135 else 293, ends, 0)
    first.read(3, 1)
    mask = second.scratch(8)
    second.syscall(RT_SIGPROCMASK, signal.SIG_BLOCK, 0, mask, 8)
    peek = second.peek(mask, 8)
    answers = serve(file, frame(first) + frame(second)).stdout
    (length,) = struct.unpack_from("<I", answers)
    assert wire.decode(first, answers[4 : 4 + length]).expired
    assert wire.decode(second, answers[8 + length :])[peek].data == bytes(8)
