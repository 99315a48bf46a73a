# SPDX-License-Identifier: GPL-2.0-only
"""The answers to calls that do not depend on the contract's tables, each with its clause."""

from __future__ import annotations

import errno

from helpers.contract.functions import U32
from helpers.contract.model import operations as op
from helpers.contract.model.state import MEMORY, ModelVcpu, ModelVm
from helpers.smccc import U64
from helpers.uapi import kvm as uapi

_NO_AREA = U64
_RESERVED = ((0x8000_0000, 0x8000_FFFF), (0xC000_0000, 0xC000_FFFF))
"""Arm's architecture calls, which a filter must not contain (vm.rst 6.1)."""


def want_errno(name: str, value: int, clause: str = "MODEL-1") -> op.Want:
    return op.Want(name, value, op.Show.ERRNO, clause=clause)


def want_exit(reason: int, clause: str = "MODEL-1") -> tuple[op.Want, ...]:
    """KVM_RUN succeeds and leaves with this reason."""
    return want_errno("KVM_RUN", 0), op.Want("exit_reason", reason, op.Show.EXIT, clause=clause)


def want_x(registers: tuple[tuple[int, int], ...], clause: str) -> tuple[op.Want, ...]:
    """x0 to x3, each as (value, mask of the compared bits)."""
    return tuple(
        op.Want(f"x{n}", value & mask, op.Show.HEX, mask, clause) for n, (value, mask) in enumerate(registers[:4])
    )


def run_answer(vm: ModelVm, vcpu: ModelVcpu, how: op.How) -> tuple[op.Want, ...]:
    """KVM_RUN, which may lock the registers."""
    if how is op.How.ARGUMENT:
        return (want_errno("KVM_RUN", errno.EINVAL, "RUN-1"),)
    if not vcpu.initialised:
        return (want_errno("KVM_RUN", errno.ENOEXEC, "RUN-2"),)
    vm.ran = True
    if how is op.How.IMMEDIATE_EXIT:
        return (want_errno("KVM_RUN", errno.EINTR, "RUN-4"),)
    return want_exit(uapi.KVM_EXIT_MMIO)


def set_filter_answer(vm: ModelVm, operation: op.SetFilter) -> tuple[op.Want, ...]:
    """KVM_ARM_VM_SMCCC_FILTER. KVM checks for EINVAL, EBUSY and EEXIST in this order (FILTER-5)."""
    first, last = operation.base, operation.base + operation.count - 1
    taken = (*_RESERVED, *((f[0], f[1]) for f in vm.filters))
    if not operation.count or last > U32 or operation.action > uapi.KVM_SMCCC_FILTER_FWD_TO_USER:
        error, clause = errno.EINVAL, "FILTER-2"
    elif vm.ran:
        error, clause = errno.EBUSY, "FILTER-4"
    elif any(first <= its_last and its_first <= last for its_first, its_last in taken):
        error, clause = errno.EEXIST, "FILTER-3"
    else:
        vm.filters.append((first, last, operation.action))
        error, clause = 0, "FILTER-13"
    return (want_errno("KVM_SET_DEVICE_ATTR", error, clause),)


def pv_time_answer(vcpu: ModelVcpu, operation: op.PvTime) -> tuple[op.Want, ...]:
    """A request on KVM_ARM_VCPU_PVTIME_IPA."""
    name = operation.request.value
    if operation.request is op.Request.HAS:
        return (want_errno(name, 0, "PVTIME-6"),)
    if operation.request is op.Request.GET:
        address = _NO_AREA if vcpu.ipa is None else vcpu.ipa
        return want_errno(name, 0, "PVTIME-4"), op.Want("address", address, clause="PVTIME-4")
    error = errno.EINVAL if operation.ipa % 64 or operation.ipa not in MEMORY else 0
    if vcpu.ipa is not None and not operation.ipa % 64:
        error = errno.EEXIST
    if not error:
        vcpu.ipa = operation.ipa
    return (want_errno(name, error, "PVTIME-3"),)
