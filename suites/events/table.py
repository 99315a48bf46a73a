# SPDX-License-Identifier: GPL-2.0-only
"""The table of events, and the ioctls that are not in it."""

from __future__ import annotations

from helpers.contract.neighbours import PSCI_0_2
from helpers.guest_layout import MEMORY_IPA
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.events import events as does
from suites.events import guest_events as guest
from suites.events import memory_events as memory
from suites.events.events import Act, NeutralEvent
from suites.events.scene import FORWARDED

_OTHER = guest.OTHER
_PSCI = "Arm DEN0022, 5.1"
_SMCCC = "Arm DEN0028, 7"

_VM_IOCTLS = (
    NeutralEvent("check_extension", "api.rst 4.4", does.check_extension, ("KVM_CHECK_EXTENSION",)),
    NeutralEvent("enable_cap_0", "api.rst 4.37", does.enable_caps(0), ("KVM_ENABLE_CAP",)),
    NeutralEvent("enable_cap_1", "api.rst 4.37", does.enable_caps(1, 3), ("KVM_ENABLE_CAP",)),
    NeutralEvent("enable_cap_on_vcpu", "api.rst 4.37", does.vcpu_enable_caps, ("KVM_ENABLE_CAP",)),
    NeutralEvent("memory_slot", "api.rst 4.35", memory.more_memory, ("KVM_SET_USER_MEMORY_REGION",)),
    NeutralEvent("dirty_log", "api.rst 4.8, 4.117", memory.dirty_log, ("KVM_GET_DIRTY_LOG", "KVM_CLEAR_DIRTY_LOG")),
    NeutralEvent("memory_slot_2", "api.rst 4.140", memory.memory_slot_2, ("KVM_SET_USER_MEMORY_REGION2",)),
    NeutralEvent(
        "memory_attributes",
        "api.rst 4.141",
        does.struct_on("vm", uapi.KVM_SET_MEMORY_ATTRIBUTES, bytes(32)),
        ("KVM_SET_MEMORY_ATTRIBUTES",),
    ),
    NeutralEvent("guest_memfd", "api.rst 4.142", memory.guest_memfd, ("KVM_CREATE_GUEST_MEMFD",)),
    NeutralEvent("irq_line", "api.rst 4.25", does.interrupt_line, ("KVM_IRQ_LINE",)),
    NeutralEvent(
        "gsi_routing",
        "api.rst 4.52",
        does.struct_on("vm", uapi.KVM_SET_GSI_ROUTING, bytes(8)),
        ("KVM_SET_GSI_ROUTING",),
    ),
    NeutralEvent("eventfds", "api.rst 4.59, 4.75", does.eventfds, ("KVM_IOEVENTFD", "KVM_IRQFD")),
    NeutralEvent(
        "coalesced_mmio",
        "api.rst 4.116",
        does.coalesced_mmio,
        ("KVM_REGISTER_COALESCED_MMIO", "KVM_UNREGISTER_COALESCED_MMIO"),
    ),
    NeutralEvent(
        "signal_msi", "api.rst 4.70", does.struct_on("vm", uapi.KVM_SIGNAL_MSI, bytes(32)), ("KVM_SIGNAL_MSI",)
    ),
    NeutralEvent("device_types", "api.rst 4.79", does.devices, ("KVM_CREATE_DEVICE",)),
    NeutralEvent(
        "device_addr",
        "api.rst 4.85",
        does.struct_on("vm", uapi.KVM_ARM_SET_DEVICE_ADDR, bytes(16), b"\xff" * 16),
        ("KVM_ARM_SET_DEVICE_ADDR",),
    ),
    NeutralEvent(
        "vm_attributes",
        "api.rst 4.80, 4.81",
        does.attributes("vm", 4, 4),
        ("KVM_SET_DEVICE_ATTR", "KVM_GET_DEVICE_ATTR", "KVM_HAS_DEVICE_ATTR"),
    ),
    NeutralEvent(
        "preferred_target",
        "api.rst 4.83",
        does.struct_on("vm", uapi.KVM_ARM_PREFERRED_TARGET, bytes(32)),
        ("KVM_ARM_PREFERRED_TARGET",),
    ),
    NeutralEvent(
        "counter_offset",
        "api.rst 4.139",
        does.struct_on("vm", uapi.KVM_ARM_SET_COUNTER_OFFSET, bytes(16)),
        ("KVM_ARM_SET_COUNTER_OFFSET",),
    ),
    NeutralEvent(
        "mte_tags",
        "api.rst 4.130",
        does.struct_on("vm", uapi.KVM_ARM_MTE_COPY_TAGS, bytes(48)),
        ("KVM_ARM_MTE_COPY_TAGS",),
    ),
    NeutralEvent(
        "writable_masks",
        "api.rst 4.138",
        does.struct_on("vm", uapi.KVM_ARM_GET_REG_WRITABLE_MASKS, bytes(64)),
        ("KVM_ARM_GET_REG_WRITABLE_MASKS",),
    ),
    NeutralEvent(
        "reset_dirty_rings",
        "api.rst 8.29",
        does.number_on("vm", uapi.KVM_RESET_DIRTY_RINGS, 0),
        ("KVM_RESET_DIRTY_RINGS",),
    ),
    NeutralEvent("stats", "api.rst 4.133", does.stats, ("KVM_GET_STATS_FD",)),
    NeutralEvent("same_vcpu_id", "api.rst 4.7", does.same_vcpu, ("KVM_CREATE_VCPU",)),
    NeutralEvent("uninitialised_vcpu", "api.rst 4.7", does.blank_vcpu, ("KVM_CREATE_VCPU",)),
    NeutralEvent("another_vm", "api.rst 4.2", does.another_vm, ("KVM_CREATE_VM", "KVM_GET_VCPU_MMAP_SIZE")),
)

_STOPPED, _RUNNABLE = uapi.KVM_MP_STATE_STOPPED, uapi.KVM_MP_STATE_RUNNABLE
_DEBUG = tuple(
    uapi.pack("kvm_guest_debug", control=control)
    for control in (
        uapi.KVM_GUESTDBG_ENABLE | uapi.KVM_GUESTDBG_SINGLESTEP,
        uapi.KVM_GUESTDBG_ENABLE | uapi.KVM_GUESTDBG_USE_SW_BP,
        0,
    )
)

_VCPU_IOCTLS = (
    NeutralEvent("init_again", "api.rst 4.82", does.init(), ("KVM_ARM_VCPU_INIT",)),
    NeutralEvent("init_other_again", "api.rst 4.82", does.init(other=True), ("KVM_ARM_VCPU_INIT",)),
    NeutralEvent(
        "init_powered_off",
        "api.rst 4.82",
        does.init(uapi.KVM_ARM_VCPU_POWER_OFF),
        ("KVM_ARM_VCPU_INIT",),
        restarts=True,
    ),
    NeutralEvent("init_refused", "api.rst 4.82", does.init(63, 200), ("KVM_ARM_VCPU_INIT",)),
    NeutralEvent("init_32_bit", "api.rst 4.82", does.init(1), ("KVM_ARM_VCPU_INIT",), restarts=True),
    NeutralEvent(
        "finalize",
        "api.rst 4.110",
        does.struct_on("vcpu", uapi.KVM_ARM_VCPU_FINALIZE, b"\4\0\0\0", b"\0\0\0\0"),
        ("KVM_ARM_VCPU_FINALIZE",),
    ),
    NeutralEvent(
        "stop_and_start", "api.rst 4.39", does.mp_states(_STOPPED, _RUNNABLE), ("KVM_SET_MP_STATE", "KVM_GET_MP_STATE")
    ),
    NeutralEvent(
        "suspend_and_start",
        "api.rst 4.39",
        does.mp_states(uapi.KVM_MP_STATE_SUSPENDED, 3, _RUNNABLE),
        ("KVM_SET_MP_STATE",),
    ),
    NeutralEvent("signal_mask", "api.rst 4.21", does.signal_mask, ("KVM_SET_SIGNAL_MASK",)),
    NeutralEvent(
        "guest_debug",
        "api.rst 4.87",
        does.struct_on("vcpu", uapi.KVM_SET_GUEST_DEBUG, *_DEBUG),
        ("KVM_SET_GUEST_DEBUG",),
    ),
    NeutralEvent(
        "vcpu_events", "api.rst 4.31, 4.32", does.same_vcpu_events, ("KVM_GET_VCPU_EVENTS", "KVM_SET_VCPU_EVENTS")
    ),
    NeutralEvent(
        "register_count", "api.rst 4.84", does.struct_on("vcpu", uapi.KVM_GET_REG_LIST, bytes(8)), ("KVM_GET_REG_LIST",)
    ),
    NeutralEvent("other_registers", "api.rst 4.68, 4.69", does.same_registers, ("KVM_GET_ONE_REG", "KVM_SET_ONE_REG")),
    NeutralEvent("identification", "api.rst 4.68", does.identification, ("KVM_SET_ONE_REG",)),
    NeutralEvent("refused_bitmaps", "api.rst 4.68", does.refused_writes, ("KVM_SET_ONE_REG",)),
    NeutralEvent("same_bitmaps", "api.rst 4.68", does.same_values, ("KVM_SET_ONE_REG",)),
    NeutralEvent(
        "psci_version",
        "fw-pseudo-registers.rst",
        does.psci_version(0x10000, 0x10001, PSCI_0_2, 0x10001, 0x10000, PSCI_0_2),
        ("KVM_SET_ONE_REG",),
        psci=PSCI_0_2,
    ),
    NeutralEvent(
        "psci_version_refused",
        "fw-pseudo-registers.rst",
        does.psci_version(0, 3, 0x20000, 1 << 63),
        ("KVM_SET_ONE_REG",),
    ),
    NeutralEvent("workarounds", "fw-pseudo-registers.rst", does.workarounds, ("KVM_SET_ONE_REG",)),
    NeutralEvent("vcpu_attributes", "devices/vcpu.rst", does.attributes("vcpu", 4, 6), ("KVM_SET_DEVICE_ATTR",)),
    NeutralEvent(
        "run_refused", "kvm_main.c:kvm_vcpu_ioctl", does.number_on("vcpu", uapi.KVM_RUN, 1, 2, 1 << 63), ("KVM_RUN",)
    ),
    NeutralEvent("run_immediate_exit", "api.rst 4.10", guest.immediate_exit, ("KVM_RUN",), runs=True),
    NeutralEvent("unknown_ioctls", "api.rst 2", does.unknown_ioctls),
)

_PROCESS = (
    NeutralEvent("duplicated_fds", "dup(2)", does.fds),
    NeutralEvent("run_mapped_again", "api.rst 4.5", does.run_mapping),
    NeutralEvent("memory_advice", "mprotect(2), madvise(2)", memory.memory_advice),
    NeutralEvent("signal", "tgkill(2)", does.signal, ("KVM_RUN",)),
)


def _call(
    name: str, source: str, *calls: Call, stopped: bool = False, line: bool = False, blocks: bool = False
) -> NeutralEvent:
    act = guest.guest(*calls, stopped=stopped, line=line, signalled=blocks)
    return NeutralEvent(name, source, act, runs=True, restarts=True, blocks=blocks, interrupt=line)


def _ran(name: str, source: str, act: Act, *, interrupt: bool = False) -> NeutralEvent:
    return NeutralEvent(name, source, act, runs=True, restarts=True, interrupt=interrupt)


_GUEST = (
    _call("psci_cpu_on", _PSCI, Call(0xC4000003, (_OTHER, MEMORY_IPA, 0)), stopped=True),
    _call("psci_cpu_on_refused", _PSCI, Call(0xC4000003, (0xFFFF00, MEMORY_IPA, 0)), Call(0x84000003, (0, 0, 0))),
    _call("psci_cpu_off", _PSCI, Call(0x84000002), blocks=True),
    _call("psci_cpu_suspend", _PSCI, Call(0xC4000001, (0, MEMORY_IPA, 0)), Call(0x84000001), line=True),
    _call("psci_cpu_suspend_signalled", _PSCI, Call(0xC4000001, (0, MEMORY_IPA, 0)), blocks=True),
    _call("psci_system_off", _PSCI, Call(0x84000008)),
    _call("psci_system_reset", _PSCI, Call(0x84000009)),
    _call("psci_system_reset2", _PSCI, Call(0xC4000012, (0, 0))),
    _call("psci_system_reset2_vendor", _PSCI, Call(0x84000012, (0x80000000, 7))),
    _call("psci_system_off2", _PSCI, Call(0xC4000015, (0, 0))),
    _call("psci_system_suspend", _PSCI, Call(0xC400000E, (MEMORY_IPA, 0)), line=True),
    _ran("psci_queries", _PSCI, guest.psci_queries()),
    _call("psci_0_1", _PSCI, Call(0x95C1BA60, (_OTHER, MEMORY_IPA)), Call(0x95C1BA5E), Call(0x95C1BA61)),
    _ran("every_service", _SMCCC, guest.every_service),
    _ran("architecture_queries", _SMCCC, guest.architecture_queries),
    _ran("forwarded_call", "api.rst, KVM_EXIT_HYPERCALL", guest.forwarded_calls(FORWARDED)),
    _ran("traps", "handle_exit.c:arm_exit_handlers", guest.traps, interrupt=True),
    _ran("stores_to_no_memory", "api.rst 4.59, 4.116", guest.stores_to_no_memory),
    _ran("no_code", "mmu.c:kvm_handle_guest_abort", guest.no_code),
    _ran("dirty_pages", "api.rst 4.8, 4.117", guest.dirty_pages),
    _ran("read_only_slot", "api.rst 4.35", guest.stores_to_read_only_memory),
    _ran("extensions", "handle_exit.c:arm_exit_handlers", guest.extensions),
    _ran("expired_timer", "api.rst 8.9", guest.expired_timer),
    _ran("debug_exit", "api.rst, KVM_EXIT_DEBUG", guest.debug_exits),
)

EVENTS = (*_VM_IOCTLS, *_VCPU_IOCTLS, *_PROCESS, *_GUEST)
