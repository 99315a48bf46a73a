# SPDX-License-Identifier: GPL-2.0-only
"""Compares the constants and structures of helpers/uapi and of the registers' table with the kernel's arm64 headers.

The headers of ``make setup`` (linux-libc-dev-arm64-cross) are Linux 6.1's. ``NEWER`` are the names that they lack. Only
the headers of Debian sid, which tests/external fetches, have them. ``OURS`` are names that no header has.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from helpers.build import tool_path
from helpers.contract.registers import MAINLINE, RFC_V3
from helpers.uapi import ioctl, kvm, syscalls

NEWER = (
    *("KVM_ARM_VM_SMCCC_CTRL", "KVM_ARM_VM_SMCCC_FILTER", "KVM_SMCCC_FILTER_HANDLE", "KVM_SMCCC_FILTER_DENY"),
    *("KVM_SMCCC_FILTER_FWD_TO_USER", "KVM_HYPERCALL_EXIT_SMC", "struct kvm_smccc_filter", "KVM_CAP_COUNTER_OFFSET"),
    *("KVM_ARM_SET_COUNTER_OFFSET", "VENDOR_HYP_2", "KVM_ARM_GET_REG_WRITABLE_MASKS", "KVM_SET_USER_MEMORY_REGION2"),
    *("KVM_SET_MEMORY_ATTRIBUTES", "KVM_CREATE_GUEST_MEMFD", "KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2"),
    "MFD_NOEXEC_SEAL",
)
"""Prefixes of the names that the headers of Linux 6.1 lack."""
OURS = {
    "KVM_CAP_ARM_HVC_FW_REG_BMAP": "the RFC's number; mainline gave 207 to KVM_CAP_VM_GPA_BITS",
    "KVM_ARM_IRQ_VCPU0_IRQ": "KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT | KVM_ARM_IRQ_CPU_IRQ",
    "KVM_REG_ARM_CORE_PC": "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc)",
    "KVM_REG_ARM_CORE_SP": "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.sp)",
    "KVM_REG_ARM_CORE_PSTATE": (
        "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pstate)"
    ),
    "KVM_REG_ARM_CORE_SP_EL1": "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(sp_el1)",
    "KVM_REG_ARM_SCTLR_EL1": "ARM64_SYS_REG(3, 0, 1, 0, 0)",
}
"""Names that no header has: the reason, or the equivalent expression in the headers' names."""
_STRUCTS = {
    "kvm_signal_mask_head": ("kvm_signal_mask", ""),
    "kvm_reg_list_head": ("kvm_reg_list", ""),
    "kvm_irq_routing_head": ("kvm_irq_routing", ""),
    "kvm_run_mmio": ("kvm_run", "mmio"),
    "kvm_run_hypercall": ("kvm_run", "hypercall"),
}
"""Structures that helpers/uapi declares in part: the header's name, and the union member that is the last one here."""
_BITS = {
    "STD": "KVM_REG_ARM_STD_BIT",
    "STD_HYP": "KVM_REG_ARM_STD_HYP_BIT",
    "VENDOR_HYP": "KVM_REG_ARM_VENDOR_HYP_BIT",
    "VENDOR_HYP_2": "KVM_REG_ARM_VENDOR_HYP_BIT",
}
_NO_NUMBER = ("SIG_", "PR_", "MFD_")
"""Prefixes of the constants of helpers/uapi/syscalls that are not numbers of system calls."""
_PROGRAM = """
#include <stddef.h>
#include <asm/unistd.h>
#include <asm/signal.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#define SIZE(type, member) sizeof(((type *)0)->member)
void f(void)
{
%s
}
"""


def constants(module: ModuleType) -> dict[str, int]:
    """The public constants of a module of helpers/uapi."""
    public = {name: value for name, value in vars(module).items() if name[0] != "_"}
    return {name: value for name, value in public.items() if name.isupper() and isinstance(value, int)}


def ours() -> dict[str, int]:
    """Every value that is compared, by the same name as in ``expressions``."""
    values = constants(kvm) | constants(syscalls)
    values |= {name: value for name, value, _ in (*_members(), *_registers(), *_functions())}
    del values["KVM_CAP_ARM_HVC_FW_REG_BMAP"]
    return values


def expressions() -> dict[str, str]:
    """The C expression of each value with the headers' names."""
    texts = {name: OURS.get(name, name) for name in constants(kvm)}
    texts |= {name: name if name.startswith(_NO_NUMBER) else f"__NR_{name.lower()}" for name in constants(syscalls)}
    texts |= {name: text for name, _, text in (*_members(), *_registers(), *_functions())}
    del texts["KVM_CAP_ARM_HVC_FW_REG_BMAP"]
    return texts


def header_values(folder: Path, wanted: dict[str, str], *include: Path) -> dict[str, int]:
    """The values of the expressions, read from the compiler's assembly output, so that nothing has to run on arm64."""
    lines = [f'asm volatile("\\n->{name}=%0" : : "i" ((unsigned long)({text})));' for name, text in wanted.items()]
    (folder / "values.c").write_text(_PROGRAM % "\n".join(lines))
    paths = [part for each in include for part in ("-isystem", str(each))]
    command = [tool_path("gcc"), *paths, "-S", "-o", "-", str(folder / "values.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    pairs = re.findall(r"^->(.*)=#?(-?\d+)$", done.stdout, re.MULTILINE)
    return {name: int(value) & (1 << 64) - 1 for name, value in pairs}


def _members() -> Iterator[tuple[str, int, str]]:
    """The offset and size of each member of each structure, and the size of each structure."""
    for name in kvm.ffi.list_types()[1]:
        ours = kvm.ffi.typeof(f"struct {name}")
        theirs, end = _STRUCTS.get(name, (name, ""))
        nested = False
        for member, field in ours.fields:
            nested = nested or (bool(end) and member in ("phys_addr", "nr"))
            spelled = f"{end}.{member.removeprefix('hypercall_')}" if nested else member
            # Headers from before 6.4 call its lower half longmode.
            spelled = "hypercall.longmode" if spelled == "hypercall.flags" else spelled
            label = f"struct {name}.{member}"
            yield f"{label} offset", field.offset, f"offsetof(struct {theirs}, {spelled})"
            if spelled != "hypercall.longmode":
                yield f"{label} size", kvm.ffi.sizeof(field.type), f"SIZE(struct {theirs}, {spelled})"
        if name not in _STRUCTS:
            yield f"struct {name}", kvm.ffi.sizeof(ours), f"sizeof(struct {name})"


def _registers() -> Iterator[tuple[str, int, str]]:
    for register in MAINLINE.registers:
        spelled = "VENDOR_HYP_BMAP_2" if register.name == "VENDOR_HYP_2" else f"{register.name}_BMAP"
        yield register.name, register.id, f"KVM_REG_ARM_{spelled}"
        for number, bit in register.bits:
            yield f"{register.name}.{bit}", number, f"{_BITS[register.name]}_{bit}"


def _functions() -> Iterator[tuple[str, int, str]]:
    core = "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE"
    for number in (0, 17, 30):
        yield f"core_x({number})", kvm.core_x(number), f"{core} | KVM_REG_ARM_CORE_REG(regs.regs[{number}])"
    for number in (0, 31):
        vector = "KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE"
        yield f"core_v({number})", kvm.core_v(number), f"{vector} | KVM_REG_ARM_CORE_REG(fp_regs.vregs[{number}])"
    # KVM_EXIT_SYSTEM_EVENT's record is read from the start of the union.
    for member, at in (("type", 0), ("ndata", 4), ("data[0]", 8)):
        place = kvm.offset("kvm_run_hypercall", "nr") + at
        yield f"system_event.{member}", place, f"offsetof(struct kvm_run, system_event.{member})"
    for index in (0, 3, 0xFFFF):
        yield f"fw_reg({index})", kvm.fw_reg(index), f"KVM_REG_ARM_FW_REG({index})"
        yield f"fw_feat_bmap_reg({index})", kvm.fw_feat_bmap_reg(index), f"KVM_REG_ARM_FW_FEAT_BMAP_REG({index})"
    # The RFC's registers are firmware registers like PSCI_VERSION.
    for index, register in enumerate(RFC_V3.registers, 3):
        yield f"RFC {register.name}", register.id, f"KVM_REG_ARM_FW_REG({index})"
    yield "io", ioctl.io(0xAE, 0xFF), "_IO(0xAE, 0xFF)"
    for name in ("ior", "iow", "iowr"):
        yield name, getattr(ioctl, name)(0xAE, 0xFF, 16), f"_{name.upper()}(0xAE, 0xFF, char[16])"
