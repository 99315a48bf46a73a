# SPDX-License-Identifier: GPL-2.0-only
"""A target of a labgrid environment: labgrid finds it, powers it and logs in; there it is a board like any other.

labgrid is not among the suite's own requirements: it is imported when an environment is given (docs/labgrid.md).
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
"""The state of labgrid's own strategies in which a target is booted and can be logged in to."""
_READ_SECONDS = 0.5
_CHUNK, _CONSOLE_LIMIT = 4096, 16 << 20
# labgrid's own policy: a lab's boards are installed anew all the time.
_HOST_KEYS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")


def targets(file: str) -> tuple[str, ...]:
    """The names of the targets in the environment FILE. Raises UsageError."""
    return tuple(_environment(file).config.get_targets())


@functools.cache
def _environment(file: str) -> Any:
    from labgrid import Environment

    try:
        return Environment(file)
    except Exception as error:  # labgrid has no class of its own for what is wrong with a file
        raise UsageError(f"The labgrid environment {file} cannot be used", why=_said(error)) from None


def let_go(file: str) -> None:
    """Ends what labgrid holds of the environment FILE: connections, and the machines that are its own processes."""
    # Not left to labgrid's exit handlers, which run in an order that makes them fail.
    with contextlib.suppress(Exception):
        _environment(file).cleanup()


class _Console:
    """What a console driver reads, kept in a file by a thread: QEMU stands still when nobody reads."""

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
            except Exception:  # each driver has its own for a target that was switched off
                return
            if self._file.tell() < _CONSOLE_LIMIT:
                self._file.write(data)
            if not data:
                # QEMU has ended: its socket says so at once, and for ever.
                self._ended.wait(_READ_SECONDS)

    def close(self) -> None:
        """The driver belongs to nobody then."""
        self._ended.set()
        self._thread.join(_READ_SECONDS * 10)
        self._file.close()
        self._folder.cleanup()


class LabPlace(Board):
    """One target."""

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
        """Powers the target where it is off, or does not answer any more, and runs the executor there."""
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
        """Raises HarnessError: a place that is not acquired, an exporter that is down, no SSHDriver."""
        try:
            self._target = _environment(self._environment_file).get_target(self._target_name)
            self._driver = self._target.get_driver("SSHDriver", activate=False)
        except Exception as error:  # what labgrid raises differs with its resources
            self._target = None
            raise HarnessError(
                f"labgrid does not give {self.id.label}", why=_said(error),
                cure="Acquire its place (labgrid-client -p PLACE acquire), and see that it has an SSHDriver",
            ) from None  # fmt: skip

    def _power(self, *, again: bool) -> None:
        """By its strategy, else by its power driver; a target with neither is always on."""
        from labgrid.protocol import PowerProtocol
        from labgrid.strategy import Strategy

        strategy = next((d for d in self._target.drivers if isinstance(d, Strategy)), None)
        power = next((d for d in self._target.drivers if isinstance(d, PowerProtocol)), None)
        try:
            if strategy is not None:
                if again:
                    strategy.transition("off")
                strategy.transition(STATE)
            elif power is not None:
                self._target.activate(power)
                power.cycle() if again else power.on()
        except Exception as error:  # each driver has its own
            cure = f"See whether labgrid-client -c {self._environment_file} -s {STATE} ssh works by hand"
            raise HarnessError(f"labgrid could not start {self.id.label}", why=_said(error), cure=cure) from None

    def _read_console(self) -> None:
        """Only without a strategy, which may want to read there itself."""
        from labgrid.protocol import ConsoleProtocol
        from labgrid.strategy import Strategy

        driver = next((d for d in self._target.drivers if isinstance(d, ConsoleProtocol)), None)
        taken = self._console is not None or any(isinstance(d, Strategy) for d in self._target.drivers)
        if driver is not None and not taken:
            self._target.activate(driver)
            self._console = _Console(driver)

    # --- its console ---------------------------------------------------------

    def console_size(self) -> int:
        """Bytes read from the console, where labgrid has one for it."""
        return console.size(self._console.path) if self._console else super().console_size()

    def console(self, since: int) -> str:
        """The end of what it printed after the first ``since`` bytes."""
        return console.said(self._console.path, since) if self._console else super().console(since)

    def close(self) -> None:
        """Ends the connection, and leaves the target as it is: labgrid's to keep."""
        super().close()
        if self._console is not None:
            self._console.close()
            self._console = None

    def end(self, answered_nothing_for: float | None) -> MachineEnd:
        """As on any board; with a console, a panic is seen there, and nobody waits for the target to come back."""
        panic = console.last_panic(self.console(self._printed_before)) if self._console else ""
        self._panicked = bool(panic)
        return MachineEnd(panic, True) if panic else super().end(answered_nothing_for)

    # --- the way to it -------------------------------------------------------

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
        """Has labgrid log in; passwords, jumps over exporters and keys are its business. Raises Unreachable."""
        from labgrid.binding import BindingState

        driver = self._driver
        try:
            if driver.state is BindingState.active:
                self._target.deactivate(driver)
            self._target.activate(driver)
        except Exception as error:  # labgrid raises Exception itself here
            raise ssh.Unreachable(
                f"labgrid cannot log in to {self.id.label}", why=_said(error),
                cure="See that it is on, its network up, and that its SSHDriver names a user and a key",
            ) from None  # fmt: skip
        service = driver.networkservice
        user = driver.username or service.username
        options = ("-p", str(service.port), "-l", user, *driver.ssh_prefix, *_HOST_KEYS)
        self._destination = ssh.Destination(service.address, options)

    def _ask(self, script: str, stdin: bytes = b"") -> ssh.Reply:
        # The connection that labgrid keeps open, and that ours shares, ends when the target reboots.
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
        """Where it runs."""
        return {**super().describe(), "home": f"{self._target_name} of {Path(self._environment_file).name}, by labgrid"}


def _said(error: BaseException) -> str:
    """labgrid wraps one exception into another; the innermost one tells most."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:500] or type(error).__name__
