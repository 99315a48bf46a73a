# SPDX-License-Identifier: GPL-2.0-only
"""A target of a labgrid environment: a board that labgrid finds, powers and logs in to.

The suite does not require labgrid. It is imported only if --lg-env is given (docs/labgrid.md).
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from helpers.errors import HarnessError, UsageError
from helpers.identity import Reach, SubjectId
from helpers.subjects import console, ssh
from helpers.subjects.board import BACK_SHARE, Board
from helpers.subjects.remote import MachineEnd, Waiting
from helpers.subjects.stream import Stream

STATE = "shell"
"""The state of labgrid's strategies in which a target is booted and accepts logins."""
_READ_SECONDS = 0.5
_CHUNK, _CONSOLE_LIMIT = 4096, 16 << 20
# Host keys are not checked, as in labgrid itself: the boards of a lab are reinstalled often.
_HOST_KEYS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")


def targets(file: str) -> tuple[str, ...]:
    """The names of the targets in the environment FILE. Raises UsageError."""
    return tuple(_environment(file).config.get_targets())


@functools.cache
def _environment(file: str) -> Any:
    from labgrid import Environment

    try:
        return Environment(file)
    except Exception as error:  # labgrid has no class for errors in a file
        raise UsageError(f"The labgrid environment {file} cannot be used", why=_reason(error)) from None


def let_go(file: str) -> None:
    """Ends labgrid's connections and processes of the environment FILE."""
    # Called before exit, because labgrid's own exit handlers run in an order in which they fail.
    with contextlib.suppress(Exception):
        _environment(file).cleanup()


class _Console:
    """A thread that copies a console driver's output to a file. QEMU would block if the output were not read."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._folder = tempfile.TemporaryDirectory(prefix="kvm-hvc-")
        self.path = Path(self._folder.name) / "console"
        self._file = self.path.open("wb", buffering=0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def _copy(self) -> None:
        from pexpect import TIMEOUT

        while not self._ended.is_set():
            try:
                data = self._driver.read(timeout=_READ_SECONDS, max_size=_CHUNK)
            except TIMEOUT:
                continue
            except Exception:  # each driver raises another exception for a target that is off
                return
            if self._file.tell() < _CONSOLE_LIMIT:
                self._file.write(data)
            if not data:
                # If QEMU has ended, each read of its socket returns immediately.
                self._ended.wait(_READ_SECONDS)

    def close(self) -> None:
        """Ends the thread and removes the file."""
        self._ended.set()
        self._thread.join(_READ_SECONDS * 10)
        self._file.close()
        self._folder.cleanup()


class LabPlace(Board):
    """One target of the environment."""

    def __init__(self, name: str, file: str, executor: Path, waiting: Waiting, *, start_seconds: float) -> None:
        super().__init__(name, executor, waiting, start_seconds=start_seconds)
        self.id = SubjectId(name, Reach.LABGRID)
        self._target_name, self._environment_file = name, file
        self._target: Any = None
        self._driver: Any = None
        self._console: _Console | None = None
        self._printed_before = 0
        self._panicked = False

    def launch(self) -> Stream:
        """Powers the target if it is off or does not answer, and runs the executor there."""
        again = self._target is not None
        if not again:
            self._find()
        if not again or self._panicked or not self._answers():
            self._power(again=again)
            self._read_console()
            self._wait_for_sshd()
        self._read_console()
        self._printed_before, self._panicked = self.console_size(), False
        return super().launch()

    def _find(self) -> None:
        """Raises HarnessError if the place is not acquired, its exporter is down or it has no SSHDriver."""
        try:
            self._target = _environment(self._environment_file).get_target(self._target_name)
            self._driver = self._target.get_driver("SSHDriver", activate=False)
        except Exception as error:  # labgrid's exceptions differ by resource
            self._target = None
            cure = "Acquire its place (labgrid-client -p PLACE acquire), and check that it has an SSHDriver"
            raise HarnessError(f"labgrid cannot provide {self.id.label}", why=_reason(error), cure=cure) from None

    def _power(self, *, again: bool) -> None:
        """Powers the target with its strategy, else with its power driver. A target with neither must be on already."""
        from labgrid.protocol import PowerProtocol
        from labgrid.strategy import Strategy

        strategy, power = self._driver_of(Strategy), self._driver_of(PowerProtocol)
        try:
            if strategy is not None:
                if again:
                    strategy.transition("off")
                strategy.transition(STATE)
            elif power is not None:
                self._target.activate(power)
                power.cycle() if again else power.on()
        except Exception as error:  # each driver raises another exception
            cure = f"Try labgrid-client -c {self._environment_file} -s {STATE} ssh"
            raise HarnessError(f"labgrid could not start {self.id.label}", why=_reason(error), cure=cure) from None

    def _driver_of(self, kind: type) -> Any:
        return next((driver for driver in self._target.drivers if isinstance(driver, kind)), None)

    def _read_console(self) -> None:
        """Starts to read the console, unless the target has a strategy, because the strategy may read the console."""
        from labgrid.protocol import ConsoleProtocol
        from labgrid.strategy import Strategy

        driver = self._driver_of(ConsoleProtocol)
        if driver is not None and self._console is None and self._driver_of(Strategy) is None:
            self._target.activate(driver)
            self._console = _Console(driver)

    def console_size(self) -> int:
        """Bytes read from the console; 0 if labgrid has none."""
        return console.size(self._console.path) if self._console else super().console_size()

    def console(self, since: int) -> str:
        return console.excerpt(self._console.path, since) if self._console else super().console(since)

    def close(self) -> None:
        """Ends the connection and leaves the target unchanged."""
        super().close()
        if self._console is not None:
            self._console.close()
            self._console = None

    def end(self, answered_nothing_for: float | None) -> MachineEnd:
        """As Board.end(), but does not wait for the target if the console shows a panic."""
        panic = console.last_panic(self.console(self._printed_before)) if self._console else ""
        self._panicked = bool(panic)
        return MachineEnd(panic, True) if panic else super().end(answered_nothing_for)

    def _wait_for_sshd(self) -> None:
        until = time.monotonic() + self.start_seconds * BACK_SHARE
        with self._waiting(f"waiting for {self.id.label} to boot"):
            while True:
                try:
                    return self._connect()
                except ssh.Unreachable:
                    if time.monotonic() > until:
                        raise

    def _connect(self) -> None:
        """Logs in by labgrid, which handles passwords, keys and proxy jumps over exporters. Raises Unreachable."""
        from labgrid.binding import BindingState

        driver = self._driver
        try:
            if driver.state is BindingState.active:
                self._target.deactivate(driver)
            self._target.activate(driver)
        except Exception as error:  # labgrid raises Exception here
            cure = "Check that it and its network are up, and that its SSHDriver names a user and a key"
            raise ssh.Unreachable(f"labgrid cannot log in to {self.id.label}", why=_reason(error), cure=cure) from None
        service = driver.networkservice
        user = driver.username or service.username
        options = ("-p", str(service.port), "-l", user, *driver.ssh_prefix, *_HOST_KEYS)
        self._destination = ssh.Destination(service.address, options)

    def _ask(self, script: str, stdin: bytes = b"") -> ssh.Reply:
        # labgrid's shared connection ends when the target reboots.
        if not Path(self._driver.control).exists():
            self._connect()
        return super()._ask(script, stdin)

    def _answers(self) -> bool:
        try:
            self._ask("true")
        except ssh.Unreachable:
            return False
        return True

    def describe(self) -> dict[str, str]:
        file = Path(self._environment_file).name
        return {**super().describe(), "runs on": f"{self._target_name} of {file}, by labgrid"}


def _reason(error: BaseException) -> str:
    """The text of the innermost exception, because labgrid wraps exceptions in others."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:500] or type(error).__name__
