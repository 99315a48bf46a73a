# SPDX-License-Identifier: GPL-2.0-only
"""Boards, through a stand-in for ssh that provokes every failure."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import build
from helpers.errors import HarnessError
from helpers.executor.native import SOURCES
from helpers.executor.program import Program
from helpers.progress import Progress
from helpers.subjects.base import KernelDied
from helpers.subjects.board import Board
from helpers.subjects.remote import Remote

GETPID = {"x86_64": 39, "aarch64": 172}[os.uname().machine]

FAKE = """#!/bin/sh
# Instead of ssh: its "board" is a folder of this machine.
cd {folder}
for command; do :; done
. ./behaviour
command=$(printf %s "$command" | sed "s| /tmp; do| {folder}/tmp; do|
s| /tmp/[.]khx| {folder}/tmp/.khx|; s|/dev/kvm|{folder}/kvm|g
s|/proc/sys/kernel/random/boot_id|{folder}/boot_id|; s|/proc/sys/kernel/tainted|{folder}/tainted|")
export HOME=${{home-{folder}/home}} PATH={folder}/bin:$PATH
sh -c "$command"
status=$?
[ ! -e dropped ] || {{ echo Connection to board closed by remote host. >&2; exit 255; }}
exit $status
"""
DIED = {"reboot": ("boot_id", "two\n", "the board rebooted"), "oops": ("tainted", "4224\n", "its kernel oopsed")}


class FakeBoard:
    """What a test changes on it: files in ``folder``, and ``does`` with lines of shell before each command."""

    def __init__(self, folder: Path, executor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._executor = folder, executor
        for name in ("home", "tmp", "bin", "path"):
            (folder / name).mkdir()
        for name, text in {"kvm": "", "boot_id": "one\n", "tainted": "4096\n", "behaviour": ""}.items():
            (folder / name).write_text(text)
        self.program("bin/uname", "echo aarch64")
        (folder / "path/ssh").write_text(FAKE.format(folder=folder))
        (folder / "path/ssh").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder / "path"), prepend=":")

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(0o755)

    def does(self, text: str) -> None:
        (self.folder / "behaviour").write_text(text)

    def subject(self, start_seconds: float = 30) -> Remote:
        waiting = Progress().waiting
        return Remote(Board("root@board", self._executor, waiting, start_seconds=start_seconds), waiting)

    def left_behind(self) -> list[Path]:
        return [*(self.folder / "home").iterdir(), *(self.folder / "tmp").iterdir()]


@pytest.fixture(scope="session")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("executor") / "khx"
    sources = [*map(str, SOURCES), str(build.EXECUTOR / "init.c")]
    subprocess.run(["gcc", "-O1", "-pthread", "-o", str(path), *sources], check=True)
    return path


@pytest.fixture
def board(tmp_path: Path, executor: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBoard:
    return FakeBoard(tmp_path, executor, monkeypatch)


@pytest.fixture
def subject(board: FakeBoard) -> Iterator[Remote]:
    remote = board.subject()
    yield remote
    remote.close()


def executor_pid(subject: Remote) -> int:
    program = Program()
    pid = program.syscall(GETPID)
    return subject.run(program)[pid].ret


def test_the_executor_answers_and_leaves_nothing_behind(board: FakeBoard, subject: Remote) -> None:
    pid = executor_pid(subject)
    assert Path(f"/proc/{pid}").exists() and board.left_behind() == []
    assert executor_pid(subject) == pid
    subject.close()
    assert not Path(f"/proc/{pid}").exists() and board.left_behind() == []


def test_a_home_that_cannot_be_written_is_passed_over(board: FakeBoard, subject: Remote) -> None:
    board.does("home=/proc/nowhere")
    assert executor_pid(subject) and board.left_behind() == []


def test_an_executor_without_memory_gives_the_reason(board: FakeBoard, subject: Remote) -> None:
    board.does("ulimit -v 6000")
    executor_pid(subject)
    program = Program()
    program.write(-1, bytes(4_000_000))
    with pytest.raises(HarnessError, match="the executor ended with status 1: khx: cannot serve: Cannot allocate"):
        subject.run(program)


def test_a_program_for_which_the_files_do_not_suffice(board: FakeBoard, subject: Remote) -> None:
    board.does("ulimit -n 20")
    pid = executor_pid(subject)
    program = Program()
    files = [program.open("/dev/null", os.O_RDONLY) for _ in range(30)]
    program.close(files[3])
    with pytest.raises(HarnessError) as caught:
        subject.run(program)
    assert str(caught.value) == (
        "board:root@board ran out of file descriptors: a program of this test creates 30, and the hard limit of open"
        " files is 20."
        " Raise the limit of its user there (USER - nofile 64 in /etc/security/limits.conf), and run again."
    )
    # The executor goes on, and has what it had before.
    assert executor_pid(subject) == pid and len(list(Path(f"/proc/{pid}/fd").iterdir())) < 10
    fewer = Program()
    file = fewer.open("/dev/null", os.O_RDONLY)
    assert not subject.run(fewer)[file].errno


DENIED = "root@board: Permission denied (publickey,password)."
REFUSED = "ssh: connect to host board port 22: Connection refused"
CHANGED = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."
UNUSABLE = {
    "missing key": (f"echo '{DENIED}' >&2; exit 255", "none of this machine's keys.*ssh-copy-id root@board"),
    "unknown host key": ("echo Host key verification failed. >&2; exit 255", "host key is not known.*fingerprint"),
    "changed host key": (f"echo '{CHANGED}' >&2; exit 255", "its host key has changed.*ssh-keygen -R"),
    "unknown name": ("echo ssh: Could not resolve hostname board: >&2; exit 255", "name is not known.*Check the name"),
    "off": (f"echo '{REFUSED}' >&2; exit 255", "Connection refused. Check that the board"),
    "dropped before the executor ran": (
        f"case $command in *ready*|*HOME*) ;; *) echo '{REFUSED}' >&2; exit 255;; esac",
        "Connection refused",
    ),
    "no login": (
        "echo This account is not available.; exit 1",
        "This account is not available.*Try ssh root@board true",
    ),
    "talkative shell": ("echo Welcome!", "prints before it runs a command: 'Welcome!.*bashrc"),
    "other machine": ("printf '#!/bin/sh\\necho riscv64' >bin/uname", "is no arm64 machine: uname -m prints riscv64"),
    "no KVM": ("rm kvm", "has no /dev/kvm.*dmesg"),
    "no home": ("home=/proc/nowhere; rm -rf tmp", "neither /proc/nowhere nor /tmp can be written"),
    "full disk": (
        "printf '#!/bin/sh\\necho cat: No space left on device >&2\\nexit 1' >bin/cat; chmod 755 bin/cat",
        "no room for the executor: cat: No space left on device. Free 1 MB in .*/home there",
    ),
    "noexec": ("printf '#!/bin/sh\\n/usr/bin/chmod 600 $2' >bin/chmod; /usr/bin/chmod 755 bin/chmod", "noexec"),
    "dropped while copying": ("touch dropped", "dropped: Connection to board closed by remote host. Check"),
}


@pytest.mark.parametrize(("does", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_board_that_cannot_be_used_says_why_and_what_to_do(
    does: str, message: str, board: FakeBoard, subject: Remote
) -> None:
    board.does(does)
    with pytest.raises(HarnessError, match=message) as caught:
        subject.start()
    assert len(str(caught.value).splitlines()) == 1
    assert not (board.folder / "tmp").exists() or board.left_behind() == []


def test_without_ssh(subject: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HarnessError, match="no program ssh on this machine"):
        subject.start()


@pytest.mark.parametrize(
    "message", ["connection dropped: Connection to board closed", "executor was killed by signal 9"]
)
def test_what_is_not_the_kernels_doing_is_no_finding(message: str, board: FakeBoard, subject: Remote) -> None:
    pid = executor_pid(subject)
    if message.startswith("connection"):
        # The next command gets through again.
        board.does("rm -f dropped")
        (board.folder / "dropped").touch()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(HarnessError, match=f"the {message}"):
        executor_pid(subject)
    assert executor_pid(subject) != pid and subject.generation == 2


@pytest.mark.parametrize(("file", "text", "message"), DIED.values(), ids=DIED)
def test_a_kernel_that_died_is_a_finding(file: str, text: str, message: str, board: FakeBoard, subject: Remote) -> None:
    pid = executor_pid(subject)
    (board.folder / file).write_text(text)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(KernelDied, match=message):
        executor_pid(subject)
    assert executor_pid(subject) != pid and subject.generation == 2


def test_a_call_that_never_returns_is_a_finding(board: FakeBoard, subject: Remote) -> None:
    pid = executor_pid(subject)
    subject.begin_test(1)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(KernelDied, match="did not answer for 1 s, while the board answered to ssh"):
        executor_pid(subject)


def test_a_board_that_does_not_come_back(board: FakeBoard) -> None:
    subject = board.subject(start_seconds=4)
    pid = executor_pid(subject)
    board.does(f"echo '{REFUSED}' >&2; exit 255")
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(HarnessError, match=r"connection dropped, and then: .* did not come back within 3 s.*panic=10"):
        executor_pid(subject)
    assert time.monotonic() - began < 20
