# SPDX-License-Identifier: GPL-2.0-only
"""The mode in which KVM runs, from its message at boot (arch/arm64/kvm/arm.c, kvm_init_arm)."""

from __future__ import annotations

import re

from helpers.discovery.kernel_files import kernel_file
from helpers.errors import HarnessError
from helpers.kvm import Kvm
from helpers.subjects.kernel_log import whole_log

_PROTECTED = "kvm-arm.mode=protected"
MODES = ("vhe", "nvhe", "protected")
_INITIALIZED = re.compile(r"kvm \[\d+\]: (.*)mode initialized successfully")


def kvm_mode(kvm: Kvm) -> str:
    """One of MODES; "" if the kernel's log does not hold the message."""
    for line in whole_log(kvm.subject):
        message = _INITIALIZED.match(line)
        if message:
            words = message[1]
            # Before 6.6 "Hyp" alone was nVHE.
            return "protected" if "Protected" in words else "vhe" if words.startswith("VHE") else "nvhe"
    return ""


def is_protected(kvm: Kvm) -> bool:
    """Whether KVM runs in protected mode. If the kernel's log cannot be read, its command line decides."""
    mode = kvm_mode(kvm)
    return mode == "protected" if mode else _PROTECTED in kernel_file(kvm.subject, "/proc/cmdline").split()


def require_mode(kvm: Kvm, wanted: str) -> None:
    """Raises HarnessError if KVM runs in another mode: its results would be in the wrong column."""
    mode = kvm_mode(kvm) if wanted else ""
    if mode != wanted:
        raise HarnessError(
            f"{kvm.subject.label} runs KVM in {mode or 'an unknown'} mode, not in {wanted}",
            why="the kernel or the emulated processor does not support that mode",
            cure="Omit it from --kvm-mode, or give another --cpu",
        )
