# SPDX-License-Identifier: GPL-2.0-only
"""The watch on the kernel's taint and log."""

from __future__ import annotations

import errno
import os

import pytest

from helpers.errors import HarnessError
from helpers.executor.program import Answer, ArgType, Code, Op, OpResult, Program
from helpers.identity import SubjectId
from helpers.subjects.kernel_log import LOG, whole_log
from helpers.subjects.watch import COMM, TAINTED, Watch
from helpers.uapi import syscalls

WARNING = [
    *("4,1,1,-;WARNING: CPU: 0 PID: 1 at arch/arm64/kvm/arm.c:1", "4,2,1,-;Call trace:"),
    "4,3,1,-; kvm_x+0x1/0x2",
]
ELSEWHERE = [
    "4,1,1,-;WARNING: CPU: 0 PID: 7 at drivers/net/x.c:1 x_poll+0x10/0x20",
    *("4,2,1,-;CPU: 0 PID: 7 Comm: kworker/0:1", "4,3,1,-;Call trace:", "4,4,1,-; x_poll+0x10/0x20"),
]


class Talker:
    """A kernel that has a taint and a log, and nothing else."""

    id, generation, alive = SubjectId("talker"), 1, True
    label = id.label

    def __init__(self, **refused: int) -> None:
        self.taint, self.log, self._refused = 0, ["6,0,0,-;Booting", "4,0,0,-;WARNING: at boot"], refused
        self.overwritten = False

    def run(self, program: Program) -> Answer:
        opened: dict[int, str] = {}
        return Answer(tuple((self._do(i, op, opened),) for stage in program.stages for i, op in stage[0].ops), False)

    def _do(self, index: int, op: Op, opened: dict[int, str]) -> OpResult:
        if op.code == Code.OPEN:
            opened[index] = op.data.rstrip(b"\0").decode()
            error = self._refused.get("open", 0) if opened[index] == LOG else 0
            return OpResult(-1 if error else 7, error, True, b"")
        if op.code == Code.READ:
            # The log's fd is a number from an earlier program.
            return self._read(LOG if op.args[0].type == ArgType.VALUE else opened[op.args[0].index])
        if op.code == Code.SYSCALL and op.args[0].value == syscalls.LSEEK:
            assert op.args[3].value == os.SEEK_END
            self.log.clear()
        return OpResult(0, 0, True, b"")

    def _read(self, path: str) -> OpResult:
        if path == TAINTED:
            error = self._refused.get("taint", 0)
            return OpResult(0, error, True, b"" if error else f"{self.taint}\n".encode())
        if path == COMM:
            return OpResult(4, 0, True, b"khx\n")
        if self.overwritten:
            self.overwritten = False
            return OpResult(-1, errno.EPIPE, True, b"")
        if self._refused.get("read") or not self.log:
            return OpResult(-1, self._refused.get("read", errno.EAGAIN), True, b"")
        record = self.log.pop(0).encode()
        return OpResult(len(record), 0, True, record)


def watched(**refused: int) -> tuple[Talker, Watch]:
    talker = Talker(**refused)
    watch = Watch(talker)  # type: ignore[arg-type]
    watch.begin()
    return talker, watch


def test_the_whole_log_is_what_the_kernel_itself_wrote() -> None:
    talker = Talker()
    talker.log = ["6,1,1,-;kvm [1]: Hyp mode\n SUBSYSTEM=x", "12,2,1,-;kvm [1]: by a program", "garbage"]
    assert whole_log(talker) == ["kvm [1]: Hyp mode"]  # type: ignore[arg-type]


def test_what_was_before_does_not_count() -> None:
    talker = Talker()
    talker.taint = 1 << 9 | 1 << 12
    watch = Watch(talker)  # type: ignore[arg-type]
    watch.begin()
    assert watch.complaint() == ""
    assert "tainted with 4608" in watch.sees()["kernel's taint"]


def test_a_warning_is_told_once_with_its_trace() -> None:
    talker, watch = watched()
    talker.taint, talker.log = 1 << 9, ["6,1,1,-;harmless", *WARNING]
    text = watch.complaint()
    assert "W (warning)" in text and "kvm_x+0x1" in text and "harmless" not in text
    assert watch.complaint() == ""


@pytest.mark.parametrize(("bit", "word"), [(5, "B"), (7, "D"), (9, "W"), (14, "L"), (0, ""), (12, ""), (13, "")])
def test_taints_that_are_complaints(bit: int, word: str) -> None:
    talker, watch = watched()
    talker.taint = 1 << bit
    text = watch.complaint()
    assert bool(text) == bool(word) and (not word or f"tainted itself: {word} (" in text)


@pytest.mark.parametrize(
    "line",
    [
        *("WARNING: possible circular locking dependency detected", "BUG: KASAN: slab-out-of-bounds", "UBSAN: shift"),
        *("rcu: INFO: rcu_preempt self-detected stall", "kernel BUG at x.c:1!", "------------[ cut here ]------------"),
    ],
)
def test_warnings_without_a_taint(line: str) -> None:
    talker, watch = watched()
    talker.log = [f"4,1,1,-;{line}"]
    assert line in watch.complaint()


@pytest.mark.parametrize("record", ["12,1,1,-;WARNING: by a program", "6,1,1,-;no WARNING: here", "garbage", ";"])
def test_what_is_no_warning_of_the_kernel(record: str) -> None:
    talker, watch = watched()
    talker.log = [record]
    assert watch.complaint() == ""


def test_more_than_a_batch_is_read() -> None:
    talker, watch = watched()
    talker.log = [f"6,{n},1,-;line" for n in range(1000)] + WARNING
    assert "arm.c:1" in watch.complaint()


@pytest.mark.parametrize("how", ["open", "read"])
def test_a_log_that_cannot_be_read_is_said(how: str) -> None:
    talker, watch = watched(**{how: errno.EPERM})
    assert watch.sees()["kernel's log"] == "not watched, because /dev/kmsg cannot be read (EPERM)"
    talker.taint = 1 << 9
    with pytest.raises(HarnessError, match="the cause is unknown, because /dev/kmsg cannot be read"):
        watch.complaint()
    assert watch.complaint() == ""


def test_a_taint_after_a_log_that_was_overwritten() -> None:
    talker, watch = watched()
    talker.overwritten, talker.taint, talker.log = True, 1 << 9, list(ELSEWHERE)
    with pytest.raises(HarnessError, match=r"W \(warning\): the cause is unknown, because a part of its log was overw"):
        watch.complaint()
    talker.overwritten, talker.log = True, list(WARNING)
    assert "kvm_x+0x1" in watch.complaint()


def test_a_warning_of_other_code_is_a_note() -> None:
    talker, watch = watched()
    talker.taint, talker.log = 1 << 9, list(ELSEWHERE)
    assert watch.complaint() == ""
    assert watch.notes() == ("the kernel warned outside of KVM: WARNING: at drivers/net/x.c:1 x_poll+0x10/0x20",)
    assert watch.notes() == ()
    talker.log = [*ELSEWHERE, *WARNING]
    assert "kvm_x+0x1" in watch.complaint() and len(watch.notes()) == 1


def test_other_code_in_the_last_look_is_a_note() -> None:
    talker, watch = watched()
    talker.log = list(ELSEWHERE)
    watch.end()
    assert watch.complaint() == "" and len(watch.notes()) == 1


def test_an_ioctl_of_the_executor_is_kvms() -> None:
    talker, watch = watched()
    talker.log = [each.replace("kworker/0:1", "khx") for each in ELSEWHERE]
    assert "Comm: khx" in watch.complaint()


def test_a_taint_that_cannot_be_read_is_said() -> None:
    talker, watch = watched(taint=errno.EACCES)
    assert "cannot be read (EACCES)" in watch.sees()["kernel's taint"]
    talker.log = list(WARNING)
    assert "wrote a warning" in watch.complaint()


def test_a_kernel_started_since_is_taken_as_it_is() -> None:
    talker, watch = watched()
    talker.generation, talker.taint, talker.log = 2, 1 << 9, list(WARNING)
    assert watch.complaint() == ""
    talker.alive = False
    assert watch.complaint() == ""


def test_the_last_look_is_told_after_the_end() -> None:
    talker, watch = watched()
    talker.log = list(WARNING)
    watch.end()
    talker.alive = False
    assert "arm.c:1" in watch.complaint()
    assert watch.complaint() == ""
