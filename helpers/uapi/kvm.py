# SPDX-License-Identifier: GPL-2.0-only
"""Structures, constants and ioctl numbers of arm64's <linux/kvm.h> and <asm/kvm.h>.

Declared here, because the headers of an x86 build machine differ. tests/unit/test_uapi.py and
tests/external/test_uapi.py compare all of them with arm64's headers.
"""

from __future__ import annotations

from cffi import FFI

from helpers.uapi.ioctl import io, ior, iow, iowr

ffi = FFI()
ffi.cdef(
    """
    struct kvm_userspace_memory_region {
        uint32_t slot;
        uint32_t flags;
        uint64_t guest_phys_addr;
        uint64_t memory_size;
        uint64_t userspace_addr;
    };
    struct kvm_one_reg { uint64_t id; uint64_t addr; };
    struct kvm_vcpu_init { uint32_t target; uint32_t features[7]; };
    struct kvm_device_attr { uint32_t flags; uint32_t group; uint64_t attr; uint64_t addr; };
    struct kvm_smccc_filter { uint32_t base; uint32_t nr_functions; uint8_t action; uint8_t pad[15]; };
    struct kvm_create_device { uint32_t type; uint32_t fd; uint32_t flags; };
    struct kvm_mp_state { uint32_t mp_state; };
    struct kvm_guest_debug { uint32_t control; uint32_t pad; uint64_t arch[64]; };
    struct kvm_vcpu_events { uint8_t exception[16]; uint32_t reserved[12]; };
    struct kvm_dirty_log { uint32_t slot; uint32_t padding1; uint64_t padding2; };
    struct kvm_clear_dirty_log { uint32_t slot; uint32_t num_pages; uint64_t first_page; uint64_t padding2; };
    struct kvm_coalesced_mmio_zone { uint64_t addr; uint32_t size; uint32_t pad; };
    struct kvm_ioeventfd {
        uint64_t datamatch;
        uint64_t addr;
        uint32_t len;
        int32_t fd;
        uint32_t flags;
        uint8_t pad[36];
    };
    struct kvm_irqfd { uint32_t fd; uint32_t gsi; uint32_t flags; uint32_t resamplefd; uint8_t pad[16]; };
    struct kvm_msi {
        uint32_t address_lo;
        uint32_t address_hi;
        uint32_t data;
        uint32_t flags;
        uint32_t devid;
        uint8_t pad[12];
    };
    struct kvm_arm_device_addr { uint64_t id; uint64_t addr; };
    struct kvm_irq_routing_head { uint32_t nr; uint32_t flags; };
    struct kvm_signal_mask_head { uint32_t len; };
    struct kvm_irq_level { uint32_t irq; uint32_t level; };
    struct kvm_reg_list_head { uint64_t n; };
    struct kvm_enable_cap { uint32_t cap; uint32_t flags; uint64_t args[4]; uint8_t pad[64]; };
    struct kvm_run_mmio {   /* struct kvm_run up to the end of its mmio member */
        uint8_t request_interrupt_window;
        uint8_t immediate_exit;
        uint8_t padding1[6];
        uint32_t exit_reason;
        uint8_t ready_for_interrupt_injection;
        uint8_t if_flag;
        uint16_t flags;
        uint64_t cr8;
        uint64_t apic_base;
        uint64_t phys_addr;
        uint8_t data[8];
        uint32_t len;
        uint8_t is_write;
    };
    struct kvm_run_hypercall {   /* struct kvm_run up to the end of its hypercall member */
        uint8_t request_interrupt_window;
        uint8_t immediate_exit;
        uint8_t padding1[6];
        uint32_t exit_reason;
        uint8_t ready_for_interrupt_injection;
        uint8_t if_flag;
        uint16_t flags;
        uint64_t cr8;
        uint64_t apic_base;
        uint64_t nr;
        uint64_t args[6];
        uint64_t ret;
        uint64_t hypercall_flags;
    };
    """
)

KVMIO = 0xAE

KVM_GET_API_VERSION = io(KVMIO, 0x00)
KVM_CREATE_VM = io(KVMIO, 0x01)
KVM_CHECK_EXTENSION = io(KVMIO, 0x03)
KVM_GET_VCPU_MMAP_SIZE = io(KVMIO, 0x04)
KVM_CREATE_VCPU = io(KVMIO, 0x41)
KVM_SET_USER_MEMORY_REGION = iow(KVMIO, 0x46, ffi.sizeof("struct kvm_userspace_memory_region"))
KVM_IRQ_LINE = iow(KVMIO, 0x61, ffi.sizeof("struct kvm_irq_level"))
KVM_RUN = io(KVMIO, 0x80)
KVM_SET_SIGNAL_MASK = iow(KVMIO, 0x8B, ffi.sizeof("struct kvm_signal_mask_head"))
KVM_SET_MP_STATE = iow(KVMIO, 0x99, ffi.sizeof("struct kvm_mp_state"))
KVM_ENABLE_CAP = iow(KVMIO, 0xA3, ffi.sizeof("struct kvm_enable_cap"))
KVM_GET_ONE_REG = iow(KVMIO, 0xAB, ffi.sizeof("struct kvm_one_reg"))
KVM_SET_ONE_REG = iow(KVMIO, 0xAC, ffi.sizeof("struct kvm_one_reg"))
KVM_ARM_VCPU_INIT = iow(KVMIO, 0xAE, ffi.sizeof("struct kvm_vcpu_init"))
KVM_ARM_PREFERRED_TARGET = ior(KVMIO, 0xAF, ffi.sizeof("struct kvm_vcpu_init"))
KVM_GET_REG_LIST = iowr(KVMIO, 0xB0, ffi.sizeof("struct kvm_reg_list_head"))
KVM_ARM_VCPU_FINALIZE = iow(KVMIO, 0xC2, ffi.sizeof("int"))
KVM_CREATE_DEVICE = iowr(KVMIO, 0xE0, ffi.sizeof("struct kvm_create_device"))
KVM_SET_DEVICE_ATTR = iow(KVMIO, 0xE1, ffi.sizeof("struct kvm_device_attr"))
KVM_GET_DEVICE_ATTR = iow(KVMIO, 0xE2, ffi.sizeof("struct kvm_device_attr"))
KVM_HAS_DEVICE_ATTR = iow(KVMIO, 0xE3, ffi.sizeof("struct kvm_device_attr"))

KVM_GET_DIRTY_LOG = iow(KVMIO, 0x42, ffi.sizeof("struct kvm_dirty_log"))
KVM_REGISTER_COALESCED_MMIO = iow(KVMIO, 0x67, ffi.sizeof("struct kvm_coalesced_mmio_zone"))
KVM_UNREGISTER_COALESCED_MMIO = iow(KVMIO, 0x68, ffi.sizeof("struct kvm_coalesced_mmio_zone"))
KVM_SET_GSI_ROUTING = iow(KVMIO, 0x6A, ffi.sizeof("struct kvm_irq_routing_head"))
KVM_IRQFD = iow(KVMIO, 0x76, ffi.sizeof("struct kvm_irqfd"))
KVM_IOEVENTFD = iow(KVMIO, 0x79, ffi.sizeof("struct kvm_ioeventfd"))
KVM_GET_MP_STATE = ior(KVMIO, 0x98, ffi.sizeof("struct kvm_mp_state"))
KVM_SET_GUEST_DEBUG = iow(KVMIO, 0x9B, ffi.sizeof("struct kvm_guest_debug"))
KVM_GET_VCPU_EVENTS = ior(KVMIO, 0x9F, ffi.sizeof("struct kvm_vcpu_events"))
KVM_SET_VCPU_EVENTS = iow(KVMIO, 0xA0, ffi.sizeof("struct kvm_vcpu_events"))
KVM_SIGNAL_MSI = iow(KVMIO, 0xA5, ffi.sizeof("struct kvm_msi"))
KVM_ARM_SET_DEVICE_ADDR = iow(KVMIO, 0xAB, ffi.sizeof("struct kvm_arm_device_addr"))
KVM_ARM_MTE_COPY_TAGS = ior(KVMIO, 0xB4, 48)
KVM_ARM_SET_COUNTER_OFFSET = iow(KVMIO, 0xB5, 16)
KVM_ARM_GET_REG_WRITABLE_MASKS = ior(KVMIO, 0xB6, 64)
KVM_CLEAR_DIRTY_LOG = iowr(KVMIO, 0xC0, ffi.sizeof("struct kvm_clear_dirty_log"))
KVM_RESET_DIRTY_RINGS = io(KVMIO, 0xC7)
KVM_GET_STATS_FD = io(KVMIO, 0xCE)
KVM_SET_USER_MEMORY_REGION2 = iow(KVMIO, 0x49, 160)
KVM_SET_MEMORY_ATTRIBUTES = iow(KVMIO, 0xD2, 32)
KVM_CREATE_GUEST_MEMFD = iowr(KVMIO, 0xD4, 64)

KVM_API_VERSION = 12
KVM_CAP_SET_GUEST_DEBUG = 23
KVM_CAP_MAX_VCPUS = 66
KVM_CAP_ARM_VM_IPA_SIZE = 165
KVM_CAP_STEAL_TIME = 187
KVM_CAP_PTP_KVM = 198
KVM_CAP_SYSTEM_EVENT_DATA = 215
KVM_CAP_ARM_SYSTEM_SUSPEND = 216
KVM_CAP_COUNTER_OFFSET = 227
KVM_CAP_ARM_PMU_V3 = 126
KVM_CAP_ARM_SVE = 170
KVM_CAP_ARM_PTRAUTH_ADDRESS = 171
KVM_CAP_ARM_HVC_FW_REG_BMAP = 207
"""The number in the RFC. In mainline it is KVM_CAP_VM_GPA_BITS, which no arm64 kernel has."""

KVM_ARM_IRQ_VCPU0_IRQ = 0
"""KVM_IRQ_LINE's irq for the IRQ input of vCPU 0 (KVM_ARM_IRQ_TYPE_CPU), in a VM without an in-kernel irqchip."""

KVM_EXIT_MMIO = 6
KVM_EXIT_HYPERCALL = 3
KVM_EXIT_SYSTEM_EVENT = 24
KVM_SYSTEM_EVENT_SHUTDOWN, KVM_SYSTEM_EVENT_RESET = 1, 2
KVM_SYSTEM_EVENT_WAKEUP, KVM_SYSTEM_EVENT_SUSPEND = 4, 5
KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2 = KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2 = 1

KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_STOPPED, KVM_MP_STATE_SUSPENDED = 0, 5, 10
KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP = 1, 2
KVM_GUESTDBG_USE_SW_BP, KVM_GUESTDBG_USE_HW = 1 << 16, 1 << 17
KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY = 1, 2
KVM_CREATE_DEVICE_TEST = 1
KVM_ARM_VCPU_POWER_OFF = 0
KVM_ARM_VCPU_EL1_32BIT = 1
KVM_ARM_VCPU_PSCI_0_2 = 2

KVM_ARM_VCPU_PMU_V3 = 3
KVM_ARM_VCPU_SVE = 4
KVM_ARM_VCPU_PTRAUTH_ADDRESS = 5
KVM_ARM_VCPU_PTRAUTH_GENERIC = 6

KVM_DEV_TYPE_ARM_VGIC_V2 = 5
KVM_DEV_TYPE_ARM_VGIC_V3 = 7
KVM_DEV_TYPE_ARM_VGIC_ITS = 8
KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, KVM_DEV_ARM_VGIC_GRP_CTRL = 0, 1, 4
KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO = 5, 6, 7
KVM_DEV_ARM_VGIC_CTRL_INIT = 0
KVM_VGIC_V3_ADDR_TYPE_DIST = 2
KVM_VGIC_V3_ADDR_TYPE_REDIST = 3

KVM_ARM_VCPU_PMU_V3_CTRL = 0
KVM_ARM_VCPU_PMU_V3_INIT = 1
KVM_ARM_VCPU_PMU_V3_FILTER, KVM_ARM_VCPU_PMU_V3_SET_PMU = 2, 3
KVM_ARM_VCPU_TIMER_CTRL = 1
KVM_ARM_VCPU_PVTIME_CTRL = 2
KVM_ARM_VCPU_PVTIME_IPA = 0

KVM_ARM_VM_SMCCC_CTRL = 0
KVM_ARM_VM_SMCCC_FILTER = 0
KVM_SMCCC_FILTER_HANDLE, KVM_SMCCC_FILTER_DENY, KVM_SMCCC_FILTER_FWD_TO_USER = 0, 1, 2
KVM_HYPERCALL_EXIT_SMC = 1 << 0

KVM_REG_ARM64 = 0x6000000000000000
KVM_REG_SIZE_SHIFT = 52
KVM_REG_SIZE_MASK = 0x00F0000000000000
KVM_REG_SIZE_U64 = 0x0030000000000000
KVM_REG_SIZE_U128 = 0x0040000000000000
KVM_REG_ARM_COPROC_MASK = 0x0FFF0000
KVM_REG_ARM_CORE = 0x0010 << 16
KVM_REG_ARM_DEMUX = 0x0011 << 16
KVM_REG_ARM64_SYSREG = 0x0013 << 16
KVM_REG_ARM_FW = 0x0014 << 16
KVM_REG_ARM_FW_FEAT_BMAP = 0x0016 << 16

KVM_REG_ARM_CORE_PC = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x40
"""KVM_REG_ARM_CORE_REG(regs.pc): offsetof in 32-bit units."""
KVM_REG_ARM_CORE_SP = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x3E
KVM_REG_ARM_CORE_PSTATE = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x42
KVM_REG_ARM_CORE_SP_EL1 = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 0x44
KVM_REG_ARM_SCTLR_EL1 = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | 0xC080


def core_x(number: int) -> int:
    """KVM_REG_ARM_CORE_REG(regs.regs[number])"""
    return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 2 * number


def core_v(number: int) -> int:
    """KVM_REG_ARM_CORE_REG(fp_regs.vregs[number])"""
    return KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | 0x54 + 4 * number


def fw_reg(index: int) -> int:
    """KVM_REG_ARM_FW_REG"""
    return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | index


def fw_feat_bmap_reg(index: int) -> int:
    """KVM_REG_ARM_FW_FEAT_BMAP_REG"""
    return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW_FEAT_BMAP | index


def pack(struct: str, **fields: object) -> bytes:
    """The bytes of ``struct NAME`` with ``fields`` set and the rest zero."""
    return bytes(ffi.buffer(ffi.new(f"struct {struct} *", fields)))


def offset(struct: str, field: str) -> int:
    """offsetof, in bytes."""
    return int(ffi.offsetof(f"struct {struct}", field))
