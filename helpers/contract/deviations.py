# SPDX-License-Identifier: GPL-2.0-only
"""Where released kernels are known to break a clause, so that a run on one of them says so and nothing worse."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from helpers.contract.probe import Probe
from helpers.kvm import Kvm
from helpers.uapi import kvm as uapi


@dataclass(frozen=True)
class Deviation:
    """A clause that some kernels break in one known way.

    ``recognise`` asks the kernel for exactly that wrong answer: a kernel that breaks the clause in another
    way is not recognised, and its failure stays one. The clause must be the only one of each test that
    checks it: the deviation excuses whatever such a test's assertion finds, and each must find something.
    """

    name: str
    clause: str
    recognise: Callable[[Kvm, Probe], bool]
    reason: str
    link: str


def recognised(kvm: Kvm, probe: Probe) -> tuple[Deviation, ...]:
    """The deviations that this kernel shows. Raises KvmError when not even a VM can be made."""
    return tuple(each for each in DEVIATIONS if each.recognise(kvm, probe))


def _refuses_empty_filter_as_taken(kvm: Kvm, probe: Probe) -> bool:
    if not probe.smccc_filter:
        return False
    with kvm.create_vm() as vm:
        return vm.try_set_filter(0, 0, uapi.KVM_SMCCC_FILTER_HANDLE) == errno.EEXIST


DEVIATIONS = (
    Deviation(
        "empty-filter-at-base-0",
        "FILTER-14",
        _refuses_empty_filter_as_taken,
        "The end of a range, base + nr_functions - 1, wraps to 0xffffffff for an empty range at base 0, which no check"
        " of wrapping saw before the fix of 2026: the range seems to hold every function id and to overlap the"
        " reserved ones (EEXIST). Nothing is installed either way.",
        "https://git.kernel.org/linus/64dc6f1db7e6",
    ),
)
