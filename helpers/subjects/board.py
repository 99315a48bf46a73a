# SPDX-License-Identifier: GPL-2.0-only
"""An arm64 board over ssh. The static executor is copied to the board and started, and its file is then removed.

The board needs a shell and access to /dev/kvm. It needs no Python, package or open port.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError
from helpers.identity import Reach, SubjectId
from helpers.subjects import ssh
from helpers.subjects.remote import MachineEnd, Waiting
from helpers.subjects.stream import Stream

_STATE = "read b </proc/sys/kernel/random/boot_id; read t </proc/sys/kernel/tainted; "
_COPY = (
    'm=$(uname -m); [ "$m" = aarch64 ] || {{ echo machine "$m"; exit; }}; '
    "[ -e /dev/kvm ] || {{ echo no-kvm; exit; }}; "
    "[ -r /dev/kvm ] && [ -w /dev/kvm ] || {{ echo denied; exit; }}; "
    'umask 077; for d in "$HOME" /tmp; do f=$d/{name}; (: >"$f") 2>/dev/null && break; f=; done; '
    '[ "$f" ] || {{ echo unwritable "$HOME"; exit; }}; '
    '{{ cat >"$f" && chmod 700 "$f"; }} || {{ rm -f "$f"; echo no-room "$d"; exit; }}; '
    + _STATE
    + 'echo ready "$b" "$t" "$f"'
)
"""Copies the executor to the home directory, else to /tmp. The first word of the last line of output is the result."""
_SERVE = "{file} {file}; s=$?; rm -f {file}; exit $s"
BACK_SHARE = 0.75
"""A board that was reached before must answer again within this share of the boot timeout."""
_PAUSE = 2.0
_DIED = 1 << 7
"""TAINT_DIE (Documentation/admin-guide/tainted-kernels.rst)."""
_CANNOT_EXECUTE = (126, 127)


@dataclass(frozen=True)
class _State:
    """The boot ID and the taint of the kernel."""

    boot: str
    taint: int


class Board:
    """One board; a remote.Machine."""

    def __init__(self, destination: str, executor: Path, waiting: Waiting, *, start_seconds: float) -> None:
        self.id = SubjectId(destination, Reach.BOARD)
        self.start_seconds = self.stall_seconds = start_seconds
        self._destination = ssh.Destination(destination)
        self._executor, self._waiting = executor, waiting
        self._name = f".khx-{secrets.token_hex(8)}"
        self._state: _State | None = None
        self._file = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: int | None = None

    def launch(self) -> Stream:
        """Copies the executor and runs it. Raises HarnessError if the board cannot be used."""
        self._install()
        self._errors = os.memfd_create("ssh's messages")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            script = _SERVE.format(file=shlex.quote(self._file))
            self._process = ssh.start(self._destination, script, theirs.fileno(), self._errors)
            fd = ours.detach()
        return Stream(fd, fd)

    def _install(self) -> None:
        """Copies the executor. If the board was reached before, it may be booting, so this waits for it."""
        try:
            executor = self._executor.read_bytes()
        except OSError:
            why = f"{self._executor} is missing"
            raise HarnessError("The executor is not built", why=why, cure="Run make setup") from None
        until = time.monotonic() + self.start_seconds * BACK_SHARE if self._state else 0.0
        try:
            reply = self._persistent(_COPY.format(name=self._name), until, executor)
        except (ssh.Interrupted, ssh.Talkative):
            self._remove()
            raise
        word, _, rest = (reply.text.splitlines() or [""])[-1].partition(" ")
        if word != "ready":
            raise self._unusable(word, rest, ssh.last_line(reply.errors))
        boot, taint, self._file = rest.split(" ", 2)
        self._state = _State(boot, int(taint))

    def _persistent(self, script: str, until: float, stdin: bytes = b"") -> ssh.Reply:
        """Retries while the board cannot be reached. Raises Unreachable at ``until``, HarnessError."""
        try:
            return self._ask(script, stdin)
        except ssh.Unreachable:
            if time.monotonic() > until:
                raise
        with self._waiting(f"waiting for {self.id.label} to come back"):
            while True:
                time.sleep(_PAUSE)
                with contextlib.suppress(ssh.Unreachable):
                    return self._ask(script, stdin)
                if time.monotonic() > until:
                    raise ssh.Unreachable(
                        f"{self.id.label} did not come back within {self.start_seconds * BACK_SHARE:.0f} s",
                        cure="Check that it is on; a board with panic=10 on its command line reboots by itself",
                    )

    def _ask(self, script: str, stdin: bytes = b"") -> ssh.Reply:
        return ssh.ask(self._destination, script, stdin)

    def _remove(self) -> None:
        """Removes the file of an executor that never ran. Otherwise _SERVE removes it."""
        with contextlib.suppress(HarnessError):
            self._ask(f'rm -f "$HOME"/{self._name} /tmp/{self._name}')

    def _unusable(self, word: str, rest: str, error: str) -> HarnessError:
        causes = {
            "machine": ("is no arm64 machine", f"uname -m prints {rest}", "Name a board with a 64-bit Arm kernel"),
            "no-kvm": ("has no /dev/kvm", "its kernel has no KVM, or was not started at EL2",
                       "See its kernel log: dmesg | grep -i kvm"),
            "denied": ("does not let this user open /dev/kvm", "permission denied",
                       "There, add the user to the group that owns it: usermod -aG kvm USER"),
            "unwritable": ("has no place for the executor", f"neither {rest} nor /tmp can be written by this user",
                           "Make one of them writable"),
            "no-room": ("has no room for the executor", error, f"Free 1 MB in {rest} there"),
        }  # fmt: skip
        other = ("cannot receive the executor", error or "its shell ended early", f"Try ssh {self._destination} true")
        what, why, cure = causes.get(word, other)
        return HarnessError(f"{self.id.label} {what}", why=why, cure=cure)

    def close(self) -> None:
        """Ends the connection, which ends the executor."""
        if self._process is not None:
            ssh.end(self._process)
            self._process = None
        if self._errors is not None:
            os.close(self._errors)
            self._errors = None

    def boot_seconds(self, waited: float) -> float:
        """0, because a start does not boot the board: it logs in, perhaps after waiting for a reboot."""
        return 0

    def console_size(self) -> int:
        return 0

    def console(self, since: int) -> str:
        return "(a board's console is not read: look at its serial line, or at pstore after it has rebooted)"

    def start_failure(self, reason: str | None) -> HarnessError:
        """The error if the executor was copied but did not answer."""
        status, errors = self._status(wait=2), self._ssh_errors()
        self._remove()
        if status in _CANNOT_EXECUTE:
            cure = f"{self._file} must not be on a file system that is mounted noexec"
            return HarnessError(f"{self.id.label} cannot execute the executor", why=ssh.last_line(errors), cure=cure)
        if reason is None and status == 255:
            return ssh.failure(self._destination, errors)
        why = reason or f"it ended with status {status}"
        return HarnessError(f"The executor on {self.id.label} did not answer", why=why, cure="Run again")

    def keep_snapshot(self) -> None:
        """Only QEMU's machines have snapshots."""

    def discard_snapshot(self) -> bool:
        return False

    def use_processors(self, *, every: bool) -> bool:
        """The board's processors are left alone."""
        return False

    def end(self, answered_nothing_for: float | None) -> MachineEnd:
        """Reaches the board again. A changed boot ID or an oops in its taint is a death; a lost connection is not."""
        silent = "" if answered_nothing_for is None else f"it did not answer for {answered_nothing_for:.0f} s"
        status = self._status(wait=0 if silent else 2)
        before = self._state
        try:
            after = self._look()
        except HarnessError as error:
            how = silent or "the connection dropped"
            return MachineEnd(f"{how}, and then: {error.what}", False, error.cure or "Run again")
        if before is None or after.boot != before.boot:
            return MachineEnd("the board rebooted", True)
        if after.taint & ~before.taint & _DIED:
            return MachineEnd("its kernel oopsed (see its taint)", True)
        if silent and status is None:
            return MachineEnd(f"{silent}, while the board answered to ssh", True)
        message = ssh.last_line(self._ssh_errors())
        if status == 255 or status is None or status < 0:
            why = message or (f"ssh ended with status {status}" if status else "ssh printed no message")
            return MachineEnd(f"the connection dropped: {why}", False, "Check the network and run again")
        if status > 128:
            how = f"the executor was killed by signal {status - 128}"
            return MachineEnd(how, False, "See its dmesg for an out-of-memory message, and run again")
        return MachineEnd(f"the executor ended with status {status}{message and ': '}{message}", False)

    def _look(self) -> _State:
        until = time.monotonic() + self.start_seconds * BACK_SHARE
        text = self._persistent(f'{_STATE} echo "$b" "$t"', until).text.split()
        if len(text) != 2 or not text[1].isdigit():
            cure = "Check that /proc is mounted there"
            raise HarnessError(f"The boot ID and the taint of {self.id.label} cannot be read", cure=cure)
        return _State(text[0], int(text[1]))

    def _status(self, wait: float) -> int | None:
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait)
        return self._process.returncode

    def _ssh_errors(self) -> str:
        if self._errors is None:
            return ""
        # Not seek(): ssh shares the file offset.
        return os.pread(self._errors, 4000, 0).decode("utf-8", "replace")

    def describe(self) -> dict[str, str]:
        return {"runs on": f"{self._destination}, a board over ssh: not emulated", "executor": "copied, and removed"}
