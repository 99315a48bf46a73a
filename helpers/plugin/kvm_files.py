# SPDX-License-Identifier: GPL-2.0-only
"""/dev/kvm of each subject, opened once, because one machine runs hundreds of faults and has a limit of open files."""

from __future__ import annotations

import contextlib

import pytest

from helpers import build, guests
from helpers.errors import HarnessError
from helpers.executor.program import Program
from helpers.identity import SubjectId
from helpers.kvm import Kvm
from helpers.subjects.base import KernelDied, Subject

_OPENED = pytest.StashKey[dict[SubjectId, Kvm]]()


def open_kvm(config: pytest.Config, subject: Subject) -> Kvm:
    """The subject's /dev/kvm, reopened after a reboot of its kernel. Raises HarnessError, KernelDied."""
    opened = config.stash.setdefault(_OPENED, {})
    kvm = opened.get(subject.id)
    if kvm is None or not kvm.alive:
        kvm = opened[subject.id] = Kvm(subject, guests.load_image(build.GUEST))
    return kvm


def closing(config: pytest.Config, subject_id: SubjectId) -> Program:
    """A program that closes the VMs of the ended test."""
    kvm = config.stash.setdefault(_OPENED, {}).get(subject_id)
    return kvm.closing() if kvm is not None else Program()


def close_kvm(config: pytest.Config, subject: Subject) -> None:
    """Closes every fd on the subject's machine, if the machine still runs."""
    kvm = config.stash.setdefault(_OPENED, {}).pop(subject.id, None)
    if kvm is not None:
        with contextlib.suppress(HarnessError, KernelDied):
            kvm.close()
