# SPDX-License-Identifier: GPL-2.0-only
"""Whether a kernel runs late vCPUs. Only protected KVM may refuse one; elsewhere it is a bug that the tests report."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.discovery import kvm_mode, probe

VHE = "kvm [1]: VHE mode initialized successfully"
PROTECTED = "kvm [1]: Protected hVHE mode initialized successfully"


class Host:
    """KVM_RUN of a late vCPU gives ``late``."""

    subject = None

    def __init__(self, late: int) -> None:
        self.vcpu = SimpleNamespace(immediate_exit=lambda: errno.EINTR)
        self._late = SimpleNamespace(immediate_exit=lambda: late)

    def create_vcpu(self) -> SimpleNamespace:
        return self._late

    @contextmanager
    def create_vm(self) -> Iterator[Host]:
        yield self


@pytest.mark.parametrize(
    ("late", "log", "command_line", "runs"),
    [
        (errno.EINTR, [VHE], "", True),
        (errno.EINTR, [PROTECTED], "kvm-arm.mode=protected", True),
        (errno.EINVAL, [PROTECTED], "", False),
        (errno.EINVAL, [], "quiet kvm-arm.mode=protected", False),
        (errno.EINVAL, [VHE], "kvm-arm.mode=protected", True),
        (errno.EINVAL, [], "kvm-arm.mode=nvhe", True),
        (errno.EFAULT, [PROTECTED], "", True),
    ],
)
def test_who_may_refuse(
    late: int, log: list[str], command_line: str, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_mode, "whole_log", lambda _: log)
    monkeypatch.setattr(kvm_mode, "kernel_file", lambda *_: command_line)
    host: Any = Host(late)
    assert probe.runs_late_vcpus(host) is runs
