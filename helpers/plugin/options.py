# SPDX-License-Identifier: GPL-2.0-only
"""The command line's options."""

from __future__ import annotations

import argparse

import pytest

from helpers.discovery.kvm_mode import MODES
from helpers.plugin import hookspecs
from helpers.results.gate import REQUIREMENTS
from helpers.subjects.apt import MIRROR_OPTION, MIRROR_VARIABLE
from helpers.subjects.qemu import BOOT_SECONDS


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """The suite's own hooks."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The suite's own options."""
    group = parser.getgroup("subject", "the kernel under test")
    _add_subjects(group)
    _add_plants(group)
    _add_measures(group)
    _add_judgement(group)


def _add_subjects(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--kernel",
        action="append",
        default=[],
        metavar="WHAT",
        help="boot WHAT in QEMU: an arm64 Image (raw, gzip, EFI zboot) or debian:SUITE; repeatable",
    )
    group.addoption(
        "--board",
        action="append",
        default=[],
        metavar="USER@HOST",
        help="the kernel that runs on an arm64 board, reached by ssh as it is set up here; repeatable",
    )
    group.addoption(
        MIRROR_OPTION, metavar="URL", help=f"Debian mirror (default: ${MIRROR_VARIABLE}, or this machine's)"
    )
    group.addoption(
        "--kvm-mode",
        type=_modes,
        default=(),
        metavar="MODES",
        help="boot each kernel once in each of these, separated by commas: vhe, nvhe, protected",
    )
    group.addoption(
        "--cpu", action="append", default=[], metavar="CPU", help="QEMU's -cpu; repeatable: each kernel once on each"
    )
    group.addoption(
        "--kernel-args",
        action="append",
        default=[],
        metavar="ARGS",
        help="more for the kernel's command line; repeatable: each kernel once with each",
    )


def _add_plants(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--dialect-host",
        choices=["rfc-v3"],
        help="load a module that gives the kernel this dialect (debian:SUITE only)",
    )
    group.addoption(
        "--plant",
        action="append",
        type=_fault,
        default=[],
        # faults/plugin.py adds to it with an option of its own.
        dest="plant",
        metavar="FAULT",
        help="plant FAULT (faults/catalogue.py) in the kernel, to see which tests notice it; repeatable",
    )


def _add_measures(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--test-deadline",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="what a test may take before its kernel is started afresh (default: 20)",
    )
    group.addoption(
        "--boot-deadline",
        type=_seconds,
        default=BOOT_SECONDS,
        metavar="SECONDS",
        help="what a kernel may take to boot; one that prints nothing for a quarter of it hangs (default: 180)",
    )
    group.addoption(
        "--race-rounds",
        type=int,
        default=1600,
        metavar="N",
        help="rounds of the race between a write and the first KVM_RUN, for each register (default: 1600)",
    )
    group.addoption(
        "--model-steps",
        type=int,
        metavar="N",
        help="drive kernel and model through about N calls, chosen at random (default: the same 3200 each time)",
    )
    group.addoption("--model-seed", type=int, metavar="N", help="choose them as the run did that printed this seed")


def _add_judgement(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--no-known-deviations",
        action="store_true",
        help="judge every failure as one, also those that are known of released kernels",
    )
    group.addoption("--baseline", metavar="FILE", help="failures that are answered for (helpers/results/gate.py)")
    group.addoption("--require", choices=REQUIREMENTS, help="fail a kernel that does not speak this dialect")
    group.addoption("--reports", metavar="DIR", help="where the results log and the reports go (default: reports)")


def _fault(name: str) -> tuple[str, None]:
    """A fault as helpers.subjects.choose.Plant; controls of a proof have an option of their own (faults/plugin.py)."""
    return name, None


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise ValueError
    return value


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(text.split(",")))
    if set(modes) - set(MODES):
        raise argparse.ArgumentTypeError(f"{text!r} is not of {', '.join(MODES)}, separated by commas")
    return modes
