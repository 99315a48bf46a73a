# SPDX-License-Identifier: GPL-2.0-only
"""The command line's options."""

from __future__ import annotations

import argparse
import shlex

import pytest

from helpers.contract.tiers import FULL, GATE
from helpers.discovery.kvm_mode import MODES
from helpers.plugin import hookspecs, services
from helpers.results.baseline import service_name
from helpers.results.gate import REQUIREMENTS
from helpers.subjects.apt import MIRROR_OPTION, MIRROR_VARIABLE


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(*services.GROUP)
    _add_subjects(group)
    _add_plants(group)
    _add_measures(group)
    _add_tier(group)
    verdict = "the verdict; with pytest's own --strict it is INCONCLUSIVE if a test was not measured"
    _add_judgement(parser.getgroup("verdict", verdict))


def _repeatable(group: pytest.OptionGroup, name: str, metavar: str, text: str) -> None:
    group.addoption(name, action="append", default=[], metavar=metavar, help=f"{text}; repeatable")


def _add_subjects(group: pytest.OptionGroup) -> None:
    kernel = (
        "boot WHAT in QEMU: an arm64 Image, Image.xz, vmlinuz.efi, debian:SUITE or debian:SUITE/FLAVOUR, such as "
        "debian:stable/16k; or test this arm64 machine's own KVM: local (default: local on an arm64 machine, else "
        "debian:stable)"
    )
    _repeatable(group, "--kernel", "WHAT", kernel)
    _repeatable(group, "--board", "USER@HOST", "test the running kernel of an arm64 board, reached by ssh")
    group.addoption(
        MIRROR_OPTION, metavar="URL", help=f"Debian mirror (default: ${MIRROR_VARIABLE}, or this machine's)"
    )
    group.addoption(
        "--kvm-mode",
        type=_modes,
        default=(),
        metavar="MODE,...",
        help="boot each kernel in each MODE: vhe, nvhe, protected",
    )
    _repeatable(group, "--cpu", "CPU", "boot each kernel with each of these values of QEMU's -cpu")
    _repeatable(group, "--kernel-args", "ARGS", "boot each kernel with each of these additions to its command line")
    group.addoption(
        "--qemu-args",
        action="append",
        default=[],
        type=_words,
        metavar="ARGS",
        help="boot each kernel with each of these additions to QEMU's own arguments, such as '-smp 4'; repeatable",
    )


def _add_plants(group: pytest.OptionGroup) -> None:
    group.addoption("--dialect-host", choices=["rfc-v3"], help="plant this dialect (debian:SUITE only)")
    group.addoption(
        "--plant",
        action="append",
        type=_fault,
        default=[],
        # The option of faults/plugin.py has the same destination.
        dest="plant",
        metavar="FAULT",
        help="plant FAULT (faults/catalogue.py) in the kernel, to check which tests detect it; repeatable",
    )


def _add_measures(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--test-deadline",
        type=_seconds,
        metavar="SECONDS",
        help="per-test timeout; the kernel is rebooted when it expires (default: 20, or 10 boots if that is longer)",
    )
    group.addoption(
        "--boot-deadline",
        type=_seconds,
        metavar="SECONDS",
        help="boot timeout; a kernel in QEMU that prints nothing for a quarter of it has failed to boot (default: 600, "
        "and 45 without output, in QEMU; 180 on a board)",
    )
    group.addoption(
        "--cold-boot",
        action="store_true",
        help="boot each kernel, even if there is a snapshot of an earlier boot to start from",
    )
    group.addoption(
        "--race-rounds",
        type=int,
        default=500,
        metavar="N",
        help="limit of rounds of a race between writes and the first KVM_RUN, for each register (default: 500)",
    )
    group.addoption(
        "--model-steps",
        type=int,
        metavar="N",
        help="compare the kernel with the model in about N random calls (default: the same 3200 calls in each run)",
    )
    group.addoption("--model-seed", type=int, metavar="N", help="replay the sequences for seed N")


def _add_tier(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--tier",
        choices=[GATE, FULL],
        default=FULL,
        help="gate: run a fixed part of the suite that checks every clause and detects every planted fault; the "
        "verdict names it (default: full)",
    )


def _add_judgement(group: pytest.OptionGroup) -> None:
    group.addoption("--no-known-deviations", action="store_true", help="count known deviations as failures")
    group.addoption(
        "--baseline",
        metavar="FILE",
        help="waive the failures and accept the unknown services that FILE lists (docs/schema/baseline.schema.json)",
    )
    group.addoption(
        "--accept-unknown",
        action="append",
        type=service_name,
        default=[],
        metavar="NAME",
        help="accept a kernel that has the unknown service NAME, such as VENDOR_HYP:2; repeatable",
    )
    group.addoption("--require", choices=REQUIREMENTS, help="fail a kernel without this dialect, or without any")
    group.addoption("--reports", metavar="DIR", help="folder for the results log and the reports (default: reports)")


def _fault(name: str) -> tuple[str, None]:
    """The fault as a helpers.subjects.choose.Plant. faults/plugin.py has the option for controls."""
    return name, None


def _words(text: str) -> str:
    """The text unchanged. Raises ArgumentTypeError if it cannot be split into words as a shell does."""
    try:
        shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be split into words: {error}") from None
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise ValueError
    return value


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(text.split(",")))
    if set(modes) - set(MODES):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(MODES)}, separated by commas")
    return modes
