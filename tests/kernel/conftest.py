# SPDX-License-Identifier: GPL-2.0-only
"""Tests that boot a kernel in QEMU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import build, guests
from helpers.identity import SubjectId
from helpers.kvm import Kvm
from helpers.progress import Progress
from helpers.subjects import choose
from helpers.subjects.base import Subject
from tests.support.sessions import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def warm() -> Iterator[dict[SubjectId, Subject]]:
    """The machines of a module's tests, which plant one fault after the other in them."""
    build.build_all()
    machines: dict[SubjectId, Subject] = {}
    yield machines
    for machine in machines.values():
        machine.close()


@pytest.fixture
def plant(warm: dict[SubjectId, Subject]) -> Callable[..., Kvm]:
    """Plants a fault or the RFC's dialect in a machine of ``warm``."""

    def plant(fault: str = "", dialect: str = "mainline") -> Kvm:
        subject_id = SubjectId("debian:stable", dialect=dialect, fault=fault)
        subject = choose.make_subject(subject_id, choose.Means(None, Progress()), warm)
        return Kvm(subject, guests.load_image(build.GUEST))

    return plant
