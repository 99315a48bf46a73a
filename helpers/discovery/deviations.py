# SPDX-License-Identifier: GPL-2.0-only
"""Recognises the known deviations of released kernels by their answers, never by version."""

from __future__ import annotations

import errno
from collections.abc import Callable

from helpers.contract.deviations import DEVIATIONS
from helpers.contract.features import Probe
from helpers.kvm import Kvm
from helpers.results.records import KnownDeviation
from helpers.uapi import kvm as uapi


def recognise_deviations(kvm: Kvm, probe: Probe) -> tuple[KnownDeviation, ...]:
    """The deviations that this kernel shows. Raises KvmError if no VM can be created."""
    return tuple(each for each in DEVIATIONS if _RECOGNISERS[each.name](kvm, probe))


def _rejects_empty_filter_as_overlap(kvm: Kvm, probe: Probe) -> bool:
    if not probe.smccc_filter:
        return False
    with kvm.create_vm() as vm:
        return vm.try_set_filter(0, 0, uapi.KVM_SMCCC_FILTER_HANDLE) == errno.EEXIST


_RECOGNISERS: dict[str, Callable[[Kvm, Probe], bool]] = {"empty-filter-at-base-0": _rejects_empty_filter_as_overlap}
"""Each tests for exactly the wrong answer: a kernel that breaks the clause in another way is not recognised."""
