# SPDX-License-Identifier: GPL-2.0-only
"""/dev/kvm of each subject, opened once: its descriptors count, where one machine serves hundreds of planted faults."""

from __future__ import annotations

import contextlib

import pytest

from helpers import build, guests
from helpers.errors import HarnessError
from helpers.identity import SubjectId
from helpers.kvm import Kvm
from helpers.subjects.base import KernelDied, Subject

_OPENED = pytest.StashKey[dict[SubjectId, Kvm]]()


def open_kvm(config: pytest.Config, subject: Subject) -> Kvm:
    """The subject's, opened again when its kernel had to be started again. Raises HarnessError, KernelDied."""
    opened = config.stash.setdefault(_OPENED, {})
    kept = opened.get(subject.id)
    if kept is None or not kept.alive:
        kept = opened[subject.id] = Kvm(subject, guests.load_image(build.GUEST))
    return kept


def close_kvm(config: pytest.Config, subject: Subject) -> None:
    """Nothing of it stays open on the subject's machine, should that live on."""
    kept = config.stash.setdefault(_OPENED, {}).pop(subject.id, None)
    if kept is not None:
        with contextlib.suppress(HarnessError, KernelDied):
            kept.close()
