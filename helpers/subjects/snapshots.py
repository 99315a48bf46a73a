# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots of virtual machines whose kernel has booted. The next start of the same kernel continues from there.

QEMU writes and reads them as a migration (docs/devel/migration in its sources). If a snapshot cannot be written or
used, the kernel boots; that is not an error.

QEMU 7.2 does not restore a pending timer of EL2: target/arm/machine.c saves those of EL1 only. A kernel in VHE mode
sets the timer again at the first interrupt if it was idle and its tick was stopped. Otherwise it waits for a tick that
never comes, at once or minutes later. So each start is tested with a sleep, and the kernel boots if the sleep fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST = 8
"""The number of snapshots that are kept. Each is as large as the memory that the kernel used, about 60 MB."""
_SAVE_SECONDS = 30.0
_IDLE_SECONDS = 0.1
"""How long the kernel is left alone before it is saved, so that it stops its tick."""
_UNUSABLE = "unusable"
_BANDWIDTH = 1 << 34
"""The bandwidth of the migration in bytes per second. QEMU's default is too low."""


@dataclass(frozen=True)
class BootSnapshot:
    """A file with the state of a virtual machine, and the duration of its boot in seconds."""

    path: Path
    boot_seconds: float


class Snapshots:
    """The snapshots in a folder. The name of each depends on all of QEMU's inputs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> BootSnapshot | None:
        """The snapshot of this name; None if there is none."""
        with contextlib.suppress(OSError, ValueError):
            for path in self._folder.glob(f"{name}-*"):
                os.utime(path)
                return BootSnapshot(path, int(path.name.rpartition("-")[2]) / 1000)
        return None

    def save(self, name: str, boot_seconds: float, monitor: socket.socket) -> None:
        """Writes the state of the machine behind ``monitor``, which then continues. Failures are ignored."""
        with contextlib.suppress(OSError, ValueError, KeyError), self._alone():
            if self.find(name) is None and not self._refusal(name).exists():
                time.sleep(_IDLE_SECONDS)
                with tempfile.NamedTemporaryFile(dir=self._folder, prefix="tmp-", delete=False) as file:
                    self._write(monitor, Path(file.name), self._folder / f"{name}-{int(boot_seconds * 1000)}")
                self._remove_oldest()

    def refuse(self, name: str, snapshot: BootSnapshot) -> None:
        """Removes a snapshot that cannot be used, and keeps a note, so that it is not made again."""
        snapshot.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._refusal(name).touch()

    def _refusal(self, name: str) -> Path:
        return self._folder / f"{name}-{_UNUSABLE}"

    def _write(self, monitor: socket.socket, part: Path, whole: Path) -> None:
        try:
            with part.open("wb") as file:
                _migrate(monitor, file.fileno())
            part.rename(whole)
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Locks the folder. Raises BlockingIOError if another session writes a snapshot, which may be the same."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def _remove_oldest(self) -> None:
        kept = sorted(self._folder.glob("*-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[MOST:]:
            path.unlink(missing_ok=True)


def name_of(arguments: Sequence[str], files: Sequence[Path], *data: bytes) -> str:
    """The name for a boot with these arguments, files (identified by inode and times) and data."""
    digest = hashlib.sha256(json.dumps(list(arguments)).encode())
    for path in files:
        stat = path.stat()
        digest.update(repr((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)).encode())
    for each in data:
        digest.update(hashlib.sha256(each).digest())
    return digest.hexdigest()[:32]


def _migrate(monitor: socket.socket, file: int) -> None:
    """Copies the state to ``file``. Raises OSError, ValueError or KeyError if QEMU refuses."""
    until = time.monotonic() + _SAVE_SECONDS
    talk = _Monitor(monitor, until)
    # QEMU's limit on file sizes (for the console) would stop it, so it writes to a socket.
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            talk.ask("getfd", {"fdname": "snapshot"}, theirs.fileno())
        talk.ask("migrate-set-parameters", {"max-bandwidth": _BANDWIDTH})
        talk.ask("migrate", {"uri": "fd:snapshot"})
        ours.settimeout(_SAVE_SECONDS)
        while part := ours.recv(1 << 20):
            os.write(file, part)
    while (status := talk.ask("query-migrate")["status"]) == "active" and time.monotonic() < until:
        time.sleep(0.01)
    if not talk.ask("query-status")["running"]:
        talk.ask("cont")
    if status != "completed":
        raise ValueError(status)


class _Monitor:
    """QEMU's monitor. Commands and answers are lines of JSON (docs/interop/qmp-spec in QEMU's sources)."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until, self._read = connection, until, b""
        self._line()
        self.ask("qmp_capabilities")

    def ask(self, command: str, arguments: dict[str, object] | None = None, *fds: int) -> Any:
        """Runs a command and returns its result. Raises ValueError if it fails, OSError if there is no answer."""
        request = {"execute": command} | ({"arguments": arguments} if arguments else {})
        socket.send_fds(self._connection, [json.dumps(request).encode() + b"\n"], list(fds))
        while not {"return", "error"} & (answer := self._line()).keys():
            pass
        if "error" in answer:
            raise ValueError(f"{command}: {answer['error']}")
        return answer["return"]

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._read:
            self._connection.settimeout(max(0.01, self._until - time.monotonic()))
            part = self._connection.recv(1 << 16)
            if not part:
                raise ConnectionError("the monitor is closed")
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
