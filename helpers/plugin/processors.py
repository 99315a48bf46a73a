# SPDX-License-Identifier: GPL-2.0-only
"""Gives the tests with the mark ``alone`` every processor of a machine in QEMU, and the other tests only one.

Most tests are faster on one: the emulator stops all processors for each TLB maintenance instruction that is broadcast,
and an RCU grace period does not wait for another processor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from helpers.errors import HarnessError
from helpers.identity import Reach
from helpers.kvm import Kvm
from helpers.placement import bring_up, take_down
from helpers.plugin.choices import needs_subject
from helpers.plugin.kvm_files import open_kvm
from helpers.subjects.base import KernelDied, Subject


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark."""
    config.addinivalue_line("markers", "alone: the test needs two processors")


class _Processors:
    """The processors that were brought up on one machine. After a reboot of its kernel, they are brought up again.

    A kernel without CONFIG_HOTPLUG_CPU is booted again to get another number of them.
    """

    def __init__(self, config: pytest.Config, subject: Subject) -> None:
        self._config, self._subject = config, subject
        self._kvm: Kvm | None = None
        self._numbers: tuple[int, ...] = ()
        self._rebooted = False

    def bring_up(self) -> None:
        kvm = open_kvm(self._config, self._subject)
        if kvm is self._kvm:
            return
        offline = bring_up(self._subject)
        if offline.fixed and self._subject.use_processors(every=True):
            self._rebooted, kvm = True, open_kvm(self._config, self._subject)
        elif offline.numbers:
            kvm.place()
        self._kvm, self._numbers = kvm, offline.numbers

    def take_down(self) -> None:
        if self._rebooted:
            self._rebooted, self._kvm = False, None
            self._subject.use_processors(every=False)
        else:
            self.end()

    def end(self) -> None:
        """Without a reboot: the kernel's log is read once more after this."""
        kvm, self._kvm = self._kvm, None
        if kvm is not None and kvm.alive and self._numbers:
            take_down(self._subject, self._numbers)
            kvm.place()


@pytest.fixture(scope="session")
def _processors_of(subject: Subject, request: pytest.FixtureRequest) -> Iterator[_Processors]:
    """Faults share a machine, so that each subject takes its processors down at its end."""
    state = _Processors(request.config, subject)
    yield state
    # A dead kernel is reported by its test. The subject's own teardown ends a machine that was booted again.
    with contextlib.suppress(KernelDied, HarnessError):
        state.end()


@pytest.fixture(autouse=True)
def _processors(request: pytest.FixtureRequest, _record_environment: None) -> None:
    """Runs before a test opens /dev/kvm, and after the facts of the subject were recorded."""
    if not needs_subject(request.node):
        return
    subject: Subject = request.getfixturevalue("subject")
    # The processors of a board and of this machine are left alone.
    if subject.id.reach is not Reach.KERNEL:
        return
    state: _Processors = request.getfixturevalue("_processors_of")
    if request.node.get_closest_marker("alone") is not None:
        state.bring_up()
    else:
        state.take_down()
