# SPDX-License-Identifier: GPL-2.0-only
"""The calls that a vCPU with optional features needs before it can run."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from helpers.executor.program import Arg
from helpers.kvm import Vcpu
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi


def finalise_sve(p: KvmProgram, vcpu: int | Arg) -> Arg:
    """KVM_ARM_VCPU_FINALIZE of SVE (api.rst 4.119)."""
    sve = uapi.KVM_ARM_VCPU_SVE
    return p.call(vcpu, uapi.KVM_ARM_VCPU_FINALIZE, p.structure(struct.pack("<i", sve), "feature {}", sve))


def init_pmu(p: KvmProgram, vcpu: int | Arg) -> Arg:
    """KVM_ARM_VCPU_PMU_V3_INIT (devices/vcpu.rst 1.2)."""
    request = p.device_attr(uapi.KVM_ARM_VCPU_PMU_V3_CTRL, uapi.KVM_ARM_VCPU_PMU_V3_INIT, b"")
    return p.call(vcpu, uapi.KVM_SET_DEVICE_ATTR, request)


_COMPLETIONS = {uapi.KVM_ARM_VCPU_SVE: finalise_sve, uapi.KVM_ARM_VCPU_PMU_V3: init_pmu}


def add_completion(p: KvmProgram, vcpu: int | Arg, features: Iterable[int]) -> list[Arg]:
    """Finalises SVE and initialises the PMU, if the vCPU has them."""
    return [add(p, vcpu) for feature, add in _COMPLETIONS.items() if feature in features]


def complete(vcpus: Iterable[Vcpu], features: Iterable[int]) -> None:
    """As add_completion(), for vCPUs of one VM. Raises KvmError."""
    vcpus, features = list(vcpus), frozenset(features)
    batch = vcpus[0].vm.batch()
    done = [
        batch.pending(f"the completion of vCPU {vcpu.index}", call)
        for vcpu in vcpus
        for call in add_completion(batch.program, vcpu.fd, features)
    ]
    if done:
        batch.run()
    for each in done:
        each.ok()
