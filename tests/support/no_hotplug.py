# SPDX-License-Identifier: GPL-2.0-only
"""A pytest plugin: no kernel in QEMU can bring up a processor, as without CONFIG_HOTPLUG_CPU.

``VARIABLE`` names a file to which each start of QEMU adds a line with the kernel's command line.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.placement import BroughtUp
from helpers.plugin import processors
from helpers.subjects.base import Subject
from helpers.subjects.qemu import Qemu
from helpers.subjects.stream import Stream

VARIABLE = "KVM_HVC_STARTS"
_launch = Qemu.launch


def _bring_up(subject: Subject) -> BroughtUp:
    return BroughtUp((), fixed=True)


def _noted(machine: Qemu) -> Stream:
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        print(machine.describe()["kernel command line"], file=file)
    return _launch(machine)


def pytest_configure(config: pytest.Config) -> None:
    """Replaces the functions for the whole session."""
    vars(processors)["bring_up"] = _bring_up
    if VARIABLE in os.environ:
        Qemu.launch = _noted  # type: ignore[assignment, method-assign]
