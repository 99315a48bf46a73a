# SPDX-License-Identifier: GPL-2.0-only
"""What helpers/uapi says is what the kernel's arm64 headers say."""

from __future__ import annotations

import subprocess
from pathlib import Path

from helpers.build import _tool
from helpers.uapi import kvm as uapi

NAMES = [
    "KVM_GET_API_VERSION", "KVM_CREATE_VM", "KVM_CHECK_EXTENSION", "KVM_GET_VCPU_MMAP_SIZE", "KVM_CREATE_VCPU",
    "KVM_SET_USER_MEMORY_REGION", "KVM_RUN", "KVM_GET_ONE_REG", "KVM_SET_ONE_REG", "KVM_ARM_VCPU_INIT",
    "KVM_ARM_PREFERRED_TARGET", "KVM_GET_REG_LIST", "KVM_SET_DEVICE_ATTR", "KVM_HAS_DEVICE_ATTR", "KVM_API_VERSION",
    "KVM_EXIT_MMIO", "KVM_EXIT_HYPERCALL", "KVM_ARM_VCPU_POWER_OFF", "KVM_ARM_VCPU_PSCI_0_2",
    "KVM_ARM_VCPU_PVTIME_CTRL", "KVM_ARM_VCPU_PVTIME_IPA", "KVM_REG_ARM64", "KVM_REG_SIZE_U64", "KVM_REG_ARM_CORE",
    "KVM_REG_ARM_FW", "KVM_SET_SIGNAL_MASK", "KVM_SET_MP_STATE", "KVM_MP_STATE_STOPPED",
    "KVM_ARM_VCPU_FINALIZE", "KVM_CREATE_DEVICE",
    "KVM_CAP_ARM_PMU_V3", "KVM_CAP_ARM_SVE", "KVM_ARM_VCPU_PMU_V3", "KVM_ARM_VCPU_SVE", "KVM_DEV_TYPE_ARM_VGIC_V3",
    "KVM_DEV_ARM_VGIC_GRP_ADDR", "KVM_DEV_ARM_VGIC_GRP_CTRL", "KVM_DEV_ARM_VGIC_CTRL_INIT",
    "KVM_VGIC_V3_ADDR_TYPE_DIST", "KVM_VGIC_V3_ADDR_TYPE_REDIST", "KVM_ARM_VCPU_PMU_V3_CTRL",
    "KVM_ARM_VCPU_PMU_V3_INIT", "KVM_REG_SIZE_SHIFT", "KVM_REG_SIZE_MASK", "KVM_ENABLE_CAP",
]  # fmt: skip
PROGRAM = """
#include <stddef.h>
#include <linux/kvm.h>
void f(void)
{
%s
}
"""
EXPRESSIONS = {
    "KVM_REG_ARM_CORE_PC": "(KVM_REG_ARM64|KVM_REG_SIZE_U64|KVM_REG_ARM_CORE|KVM_REG_ARM_CORE_REG(regs.pc))",
    "core_x(17)": "(KVM_REG_ARM64|KVM_REG_SIZE_U64|KVM_REG_ARM_CORE|KVM_REG_ARM_CORE_REG(regs.regs[17]))",
    "fw_reg(3)": "KVM_REG_ARM_FW_REG(3)",
    "sizeof_one_reg": "sizeof(struct kvm_one_reg)",
    "KVM_ARM_IRQ_VCPU0_IRQ": "(KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT | KVM_ARM_IRQ_CPU_IRQ)",
    "sizeof_init": "sizeof(struct kvm_vcpu_init)",
    "sizeof_region": "sizeof(struct kvm_userspace_memory_region)",
    "sizeof_attr": "sizeof(struct kvm_device_attr)",
    "exit_reason": "offsetof(struct kvm_run, exit_reason)",
    "immediate_exit": "offsetof(struct kvm_run, immediate_exit)",
    "mmio.phys_addr": "offsetof(struct kvm_run, mmio.phys_addr)",
    "mmio.data": "offsetof(struct kvm_run, mmio.data)",
    "hypercall.nr": "offsetof(struct kvm_run, hypercall.nr)",
    "system_event.type": "offsetof(struct kvm_run, system_event.type)",
    "hypercall.args": "offsetof(struct kvm_run, hypercall.args)",
    "hypercall.ret": "offsetof(struct kvm_run, hypercall.ret)",
    "hypercall.flags": "offsetof(struct kvm_run, hypercall.longmode)",
}
FILTER_NAMES = [
    "KVM_ARM_VM_SMCCC_CTRL", "KVM_ARM_VM_SMCCC_FILTER", "KVM_SMCCC_FILTER_HANDLE", "KVM_SMCCC_FILTER_DENY",
    "KVM_SMCCC_FILTER_FWD_TO_USER", "KVM_HYPERCALL_EXIT_SMC", "KVM_HYPERCALL_EXIT_16BIT",
    "KVM_CAP_COUNTER_OFFSET", "KVM_ARM_SET_COUNTER_OFFSET",
]  # fmt: skip
FILTER = {name: name for name in FILTER_NAMES} | {"sizeof_filter": "sizeof(struct kvm_smccc_filter)"}
"""Headers from before 6.4 lack these."""


def _lines(wanted: dict[str, str]) -> list[str]:
    return [f'asm volatile("\\n->{key} %0" : : "i" ((unsigned long)({text})));' for key, text in wanted.items()]


def _header_values(tmp_path: Path) -> dict[str, int]:
    """The compiler puts each value into its assembly output, so nothing has to run on arm64."""
    lines = [*_lines({name: name for name in NAMES} | EXPRESSIONS), "#ifdef KVM_ARM_VM_SMCCC_CTRL"]
    lines += [*_lines(FILTER), "#endif"]
    source = tmp_path / "values.c"
    source.write_text(PROGRAM % "\n".join(lines))
    command = [_tool("gcc"), "-S", "-o", "-", str(source)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = (line[2:].split() for line in output.splitlines() if line.startswith("->"))
    return {key: int(value.lstrip("#")) & (1 << 64) - 1 for key, value in pairs}


def test_headers_agree(tmp_path: Path) -> None:
    ours = {name: getattr(uapi, name) for name in (*NAMES, *FILTER_NAMES)} | {
        "KVM_REG_ARM_CORE_PC": uapi.KVM_REG_ARM_CORE_PC,
        "core_x(17)": uapi.core_x(17),
        "fw_reg(3)": uapi.fw_reg(3),
        "sizeof_one_reg": uapi.ffi.sizeof("struct kvm_one_reg"),
        "KVM_ARM_IRQ_VCPU0_IRQ": uapi.KVM_ARM_IRQ_VCPU0_IRQ,
        "sizeof_init": uapi.ffi.sizeof("struct kvm_vcpu_init"),
        "sizeof_region": uapi.ffi.sizeof("struct kvm_userspace_memory_region"),
        "sizeof_attr": uapi.ffi.sizeof("struct kvm_device_attr"),
        "exit_reason": uapi.offset("kvm_run_mmio", "exit_reason"),
        "immediate_exit": uapi.offset("kvm_run_mmio", "immediate_exit"),
        "mmio.phys_addr": uapi.offset("kvm_run_mmio", "phys_addr"),
        "mmio.data": uapi.offset("kvm_run_mmio", "data"),
        "hypercall.nr": uapi.offset("kvm_run_hypercall", "nr"),
        "system_event.type": uapi.offset("kvm_run_hypercall", "nr"),
        "hypercall.args": uapi.offset("kvm_run_hypercall", "args"),
        "hypercall.ret": uapi.offset("kvm_run_hypercall", "ret"),
        "hypercall.flags": uapi.offset("kvm_run_hypercall", "hypercall_flags"),
        "sizeof_filter": uapi.ffi.sizeof("struct kvm_smccc_filter"),
    }
    theirs = _header_values(tmp_path)
    assert theirs == {key: value for key, value in ours.items() if key in theirs or key not in FILTER}
