# SPDX-License-Identifier: GPL-2.0-only
"""Differences between the kernel's documents and its code, and which of them the tests follow.

Paths are below Documentation/virt/kvm/, the code is in arch/arm64/kvm/. Checked in Linux 5.10, 6.1, 6.12, 7.2, 7.3.
"""

from __future__ import annotations

from helpers.results.records import Clause, Difference

FW = "arm/fw-pseudo-registers.rst"
_ABI = "The code: user space relies on it."

DIFFERENCES = (
    Difference(
        "SAME-VALUE", ("LOCK-2", "LOCK-3", "MIGRATE-5"),
        f"{FW} and api.rst: after a vCPU has run, KVM_SET_ONE_REG gives EBUSY.",
        "Writing the current value succeeds, and an unsupported bit gives EINVAL first"
        " (kvm_arm_set_fw_reg_bmap; 528ada2811ba, because QEMU restores the registers at every reboot).", _ABI,
    ),
    Difference(
        "BMAP2-RESET", ("DEFAULT-1",),
        f"{FW}: by default a register has every supported bit; the same page has VENDOR_HYP_BMAP_2"
        " reset to 0; api.rst makes no exception.",
        "VENDOR_HYP_BMAP_2 is 0 in a new VM, because the VM's memory is zeroed.",
        "The code, and the page's second half.",
    ),
    Difference(
        "BMAP2-BITS", ("CALL-7", "FEAT-1"),
        f"{FW}: the bits of VENDOR_HYP_BMAP_2 represent DISCOVER_IMPL_VER and DISCOVER_IMPL_CPUS.",
        "KVM implements neither call and the bits gate nothing; they only show in x2 of KVM_FEATURES.", _ABI,
    ),
    Difference(
        "ERROR-TABLES", ("ACCESS-2", "ACCESS-3", "ACCESS-7", "FILTER-1", "FILTER-5", "PVTIME-3", "PVTIME-5", "RUN-9"),
        "api.rst 4.68 and 4.69, devices/vm.rst and devices/vcpu.rst do not have ENOEXEC, EFAULT and EIO, the filter's"
        " EFAULT and ENXIO, or PVTIME's EFAULT and EINVAL for an address without memory; 4.68 gives EBUSY"
        " to RISC-V only.",
        "All of these are returned.", "The code: the tables are marked as indicative only.",
    ),
    Difference(
        "VM-FD", ("ACCESS-1",),
        "api.rst 4.69: KVM_GET_ONE_REG is an ioctl of vCPUs.",
        "Its number on a VM's fd is KVM_ARM_SET_DEVICE_ADDR's, which gives ENODEV.", "The code.",
    ),
    Difference(
        "PSCI-FEATURE", ("PSCI-2", "PSCI-3"),
        f"{FW}: KVM_REG_ARM_PSCI_VERSION is valid only with KVM_ARM_VCPU_PSCI_0_2. Writing it after"
        " a run is not mentioned.",
        "Without the feature it reads 0.1 (0x1) and accepts only that; it can be written after a run.", _ABI,
    ),
    Difference(
        "PVTIME-QUERY", ("PVTIME-2", "ARCH-1"),
        "arm/pvtime.rst: the argument of PV_TIME_FEATURES is PV_TIME_ST; a vCPU without an area is not mentioned.",
        "It also accepts its own id; NOT_SUPPORTED without an area. ARCH_FEATURES gives 0 even without one.", _ABI,
    ),
    Difference(
        "FEATURES-WIDTH", ("FEAT-1",),
        "arm/hypercalls.rst: KVM_FEATURES gives functions 0-31, 32-63, 64-95 and 96-127 in R0 to R3.",
        "x0 holds a whole 64-bit bitmap and, on newer kernels, x2 holds VENDOR_HYP_BMAP_2. Invisible while no bit above"
        " 31 exists.", "Both: they agree for every existing bit.",
    ),
    Difference(
        "FILTER-EMPTY", ("FILTER-14",),
        "devices/vm.rst: an invalid filter is refused with EINVAL.",
        "Before 64dc6f1db7e6 an empty range at base 0 gives EEXIST.",
        "The document: the code was corrected. Kernels without it have a known deviation.",
    ),
    Difference(
        "RFC-BUSY", ("LOCK-2",),
        "RFC v3, api.rst 7.30: no change after the VM has started, a write gives EBUSY.",
        "The series' own code accepts the current value.", "The code, in both dialects.",
    ),
    Difference(
        "NOT-SUPPORTED-WIDTH", ("CALL-2", "PTP-2"),
        "arm/ptp_kvm.rst: NOT_SUPPORTED (-1) is an int32.",
        "x0 is -1 in all 64 bits.", "The code, as the SMCCC allows for 64-bit registers.",
    ),
    Difference(
        "TRNG-ZERO", ("TRNG-1",),
        "Arm DEN0098, as other firmware reads it: a request for 0 bits is an invalid parameter.",
        "TRNG_RND with 0 bits succeeds and gives zeros; the count is cut to 32 bits.", _ABI,
    ),
    Difference(
        "MMIO-GUARD", (),
        "arm/hypercalls.rst of 7.3 documents MMIO_GUARD (0xC6000007) with INVALID_PARAMETER.",
        "No handler: NOT_SUPPORTED, as for any unknown function.", "No test of its own.",
    ),
    Difference(
        "POINTERS", (),
        f"api.rst since 6.12 refers to arm/hypercalls.rst for the registers, which {FW} describes now.",
        "-", "Nothing to test.",
    ),
)  # fmt: skip


def standing_of(clause: Clause) -> str:
    """The clause's standing, and the ids of the differences that concern it."""
    ids = [each.id for each in DIFFERENCES if clause.id in each.clauses]
    return f"{clause.standing}; documents and code differ: {', '.join(ids)}" if ids else clause.standing
