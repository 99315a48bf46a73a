// SPDX-License-Identifier: GPL-2.0-only
/* Faults that an unrelated event triggers: an ioctl or a PSCI call that must not affect the bitmap registers. */
#include <linux/uaccess.h>

#include <kvm/arm_psci.h>

#include "planted.h"

enum effect { CLEARS = 1, FILLS, LOCKS, UNLOCKS, PSCI, AREA };
enum on { VCPU_EVENT, VM_EVENT, PSCI_EVENT };

/* Events that an ioctl number alone does not describe, because they depend on its argument or result. */
enum {
	OTHER_REGISTER = 1, REFUSED_REGISTER, FAILED_SET_ATTR, FAILED_INIT, REFUSED_RUN, NO_SYNDROME, SIGNALLED_RUN,
	UNKNOWN, SECOND_SLOT, FAILED_CREATE, CREATE_BESIDE, BUSY_OFFSET, CLEARED_LOG, READ_ONLY_SLOT, HARDWARE_DEBUG,
	PMU_ENABLED, RESTORED_DEVICE
};

#define MANY_WRITES 20
#define MANY_REFUSED 10
#define LATE 24
#define PSCI_0_2 2
#define CPU_OFF 2
#define PMU_ENABLE BIT(0)	/* PMCR_EL0.E */
#define CPU_ON 3

static const struct {
	enum on on;
	unsigned int what;	/* an ioctl, one of the numbers above, or bits 4:0 of a PSCI function id */
	enum effect effect;
} events[FAULT_COUNT] = {
	[FAULT_EVENT_MP_STATE_CLEARS] = { VCPU_EVENT, KVM_SET_MP_STATE, CLEARS },
	[FAULT_EVENT_MP_STATE_UNLOCKS] = { VCPU_EVENT, KVM_SET_MP_STATE, UNLOCKS },
	[FAULT_EVENT_MP_STATE_LOCKS] = { VCPU_EVENT, KVM_SET_MP_STATE, LOCKS },
	[FAULT_EVENT_MP_STATE_AREA] = { VCPU_EVENT, KVM_SET_MP_STATE, AREA },
	[FAULT_EVENT_GET_MP_STATE_UNLOCKS] = { VCPU_EVENT, KVM_GET_MP_STATE, UNLOCKS },
	[FAULT_EVENT_GET_MP_STATE_PSCI] = { VCPU_EVENT, KVM_GET_MP_STATE, PSCI },
	[FAULT_EVENT_SIGNAL_MASK_CLEARS] = { VCPU_EVENT, KVM_SET_SIGNAL_MASK, CLEARS },
	[FAULT_EVENT_SIGNAL_MASK_UNLOCKS] = { VCPU_EVENT, KVM_SET_SIGNAL_MASK, UNLOCKS },
	[FAULT_EVENT_GUEST_DEBUG_CLEARS] = { VCPU_EVENT, KVM_SET_GUEST_DEBUG, CLEARS },
	[FAULT_EVENT_GUEST_DEBUG_UNLOCKS] = { VCPU_EVENT, KVM_SET_GUEST_DEBUG, UNLOCKS },
	[FAULT_EVENT_GUEST_DEBUG_PSCI] = { VCPU_EVENT, KVM_SET_GUEST_DEBUG, PSCI },
	[FAULT_EVENT_SET_VCPU_EVENTS_CLEARS] = { VCPU_EVENT, KVM_SET_VCPU_EVENTS, CLEARS },
	[FAULT_EVENT_SET_VCPU_EVENTS_LOCKS] = { VCPU_EVENT, KVM_SET_VCPU_EVENTS, LOCKS },
	[FAULT_EVENT_GET_VCPU_EVENTS_FILLS] = { VCPU_EVENT, KVM_GET_VCPU_EVENTS, FILLS },
	[FAULT_EVENT_GET_VCPU_EVENTS_UNLOCKS] = { VCPU_EVENT, KVM_GET_VCPU_EVENTS, UNLOCKS },
	[FAULT_EVENT_FINALIZE_CLEARS] = { VCPU_EVENT, KVM_ARM_VCPU_FINALIZE, CLEARS },
	[FAULT_EVENT_FINALIZE_LOCKS] = { VCPU_EVENT, KVM_ARM_VCPU_FINALIZE, LOCKS },
	[FAULT_EVENT_OTHER_REGISTER_CLEARS] = { VCPU_EVENT, OTHER_REGISTER, CLEARS },
	[FAULT_EVENT_OTHER_REGISTER_UNLOCKS] = { VCPU_EVENT, OTHER_REGISTER, UNLOCKS },
	[FAULT_EVENT_OTHER_REGISTER_LOCKS] = { VCPU_EVENT, OTHER_REGISTER, LOCKS },
	[FAULT_EVENT_VCPU_HAS_ATTR_CLEARS] = { VCPU_EVENT, KVM_HAS_DEVICE_ATTR, CLEARS },
	[FAULT_EVENT_VCPU_HAS_ATTR_LOCKS] = { VCPU_EVENT, KVM_HAS_DEVICE_ATTR, LOCKS },
	[FAULT_EVENT_VCPU_HAS_ATTR_AREA] = { VCPU_EVENT, KVM_HAS_DEVICE_ATTR, AREA },
	[FAULT_EVENT_VCPU_SET_ATTR_UNLOCKS] = { VCPU_EVENT, FAILED_SET_ATTR, UNLOCKS },
	[FAULT_EVENT_VCPU_SET_ATTR_PSCI] = { VCPU_EVENT, FAILED_SET_ATTR, PSCI },
	[FAULT_EVENT_INIT_REFUSED_CLEARS] = { VCPU_EVENT, FAILED_INIT, CLEARS },
	[FAULT_EVENT_INIT_REFUSED_UNLOCKS] = { VCPU_EVENT, FAILED_INIT, UNLOCKS },
	[FAULT_EVENT_INIT_REFUSED_PSCI] = { VCPU_EVENT, FAILED_INIT, PSCI },
	[FAULT_EVENT_RUN_REFUSED_CLEARS] = { VCPU_EVENT, REFUSED_RUN, CLEARS },
	[FAULT_EVENT_RUN_REFUSED_UNLOCKS] = { VCPU_EVENT, REFUSED_RUN, UNLOCKS },
	[FAULT_EVENT_VCPU_STATS_CLEARS] = { VCPU_EVENT, KVM_GET_STATS_FD, CLEARS },
	[FAULT_EVENT_VCPU_STATS_UNLOCKS] = { VCPU_EVENT, KVM_GET_STATS_FD, UNLOCKS },
	[FAULT_EVENT_VCPU_UNKNOWN_CLEARS] = { VCPU_EVENT, UNKNOWN, CLEARS },
	[FAULT_EVENT_VCPU_UNKNOWN_LOCKS] = { VCPU_EVENT, UNKNOWN, LOCKS },
	[FAULT_EVENT_MEMORY_SLOT_CLEARS] = { VM_EVENT, SECOND_SLOT, CLEARS },
	[FAULT_EVENT_MEMORY_SLOT_UNLOCKS] = { VM_EVENT, SECOND_SLOT, UNLOCKS },
	[FAULT_EVENT_MEMORY_SLOT_LOCKS] = { VM_EVENT, SECOND_SLOT, LOCKS },
	[FAULT_EVENT_DIRTY_LOG_CLEARS] = { VM_EVENT, KVM_GET_DIRTY_LOG, CLEARS },
	[FAULT_EVENT_DIRTY_LOG_UNLOCKS] = { VM_EVENT, KVM_GET_DIRTY_LOG, UNLOCKS },
	[FAULT_EVENT_CLEAR_LOG_CLEARS] = { VM_EVENT, CLEARED_LOG, CLEARS },
	[FAULT_EVENT_READ_ONLY_SLOT_FILLS] = { VM_EVENT, READ_ONLY_SLOT, FILLS },
	[FAULT_EVENT_HARDWARE_DEBUG_UNLOCKS] = { VCPU_EVENT, HARDWARE_DEBUG, UNLOCKS },
	[FAULT_EVENT_PMU_ENABLED_CLEARS] = { VCPU_EVENT, PMU_ENABLED, CLEARS },
	[FAULT_EVENT_DEVICE_RESTORED_UNLOCKS] = { VM_EVENT, RESTORED_DEVICE, UNLOCKS },
	[FAULT_EVENT_IRQ_LINE_CLEARS] = { VM_EVENT, KVM_IRQ_LINE, CLEARS },
	[FAULT_EVENT_IRQ_LINE_LOCKS] = { VM_EVENT, KVM_IRQ_LINE, LOCKS },
	[FAULT_EVENT_IRQ_LINE_PSCI] = { VM_EVENT, KVM_IRQ_LINE, PSCI },
	[FAULT_EVENT_IOEVENTFD_CLEARS] = { VM_EVENT, KVM_IOEVENTFD, CLEARS },
	[FAULT_EVENT_IOEVENTFD_UNLOCKS] = { VM_EVENT, KVM_IOEVENTFD, UNLOCKS },
	[FAULT_EVENT_COALESCED_MMIO_CLEARS] = { VM_EVENT, KVM_REGISTER_COALESCED_MMIO, CLEARS },
	[FAULT_EVENT_COALESCED_MMIO_LOCKS] = { VM_EVENT, KVM_REGISTER_COALESCED_MMIO, LOCKS },
	[FAULT_EVENT_CREATE_DEVICE_CLEARS] = { VM_EVENT, KVM_CREATE_DEVICE, CLEARS },
	[FAULT_EVENT_CREATE_DEVICE_UNLOCKS] = { VM_EVENT, KVM_CREATE_DEVICE, UNLOCKS },
	[FAULT_EVENT_ENABLE_CAP_CLEARS] = { VM_EVENT, KVM_ENABLE_CAP, CLEARS },
	[FAULT_EVENT_ENABLE_CAP_UNLOCKS] = { VM_EVENT, KVM_ENABLE_CAP, UNLOCKS },
	[FAULT_EVENT_ENABLE_CAP_LOCKS] = { VM_EVENT, KVM_ENABLE_CAP, LOCKS },
	[FAULT_EVENT_ENABLE_CAP_PSCI] = { VM_EVENT, KVM_ENABLE_CAP, PSCI },
	[FAULT_EVENT_VM_HAS_ATTR_CLEARS] = { VM_EVENT, KVM_HAS_DEVICE_ATTR, CLEARS },
	[FAULT_EVENT_VM_HAS_ATTR_LOCKS] = { VM_EVENT, KVM_HAS_DEVICE_ATTR, LOCKS },
	[FAULT_EVENT_COUNTER_OFFSET_CLEARS] = { VM_EVENT, KVM_ARM_SET_COUNTER_OFFSET, CLEARS },
	[FAULT_EVENT_COUNTER_OFFSET_UNLOCKS] = { VM_EVENT, KVM_ARM_SET_COUNTER_OFFSET, UNLOCKS },
	[FAULT_EVENT_DEVICE_ADDR_FILLS] = { VM_EVENT, KVM_ARM_SET_DEVICE_ADDR, FILLS },
	[FAULT_EVENT_DEVICE_ADDR_UNLOCKS] = { VM_EVENT, KVM_ARM_SET_DEVICE_ADDR, UNLOCKS },
	[FAULT_EVENT_SIGNAL_MSI_CLEARS] = { VM_EVENT, KVM_SIGNAL_MSI, CLEARS },
	[FAULT_EVENT_SAME_VCPU_CLEARS] = { VM_EVENT, FAILED_CREATE, CLEARS },
	[FAULT_EVENT_SAME_VCPU_UNLOCKS] = { VM_EVENT, FAILED_CREATE, UNLOCKS },
	[FAULT_EVENT_SAME_VCPU_LOCKS] = { VM_EVENT, FAILED_CREATE, LOCKS },
	[FAULT_EVENT_VM_STATS_PSCI] = { VM_EVENT, KVM_GET_STATS_FD, PSCI },
	[FAULT_EVENT_VM_STATS_UNLOCKS] = { VM_EVENT, KVM_GET_STATS_FD, UNLOCKS },
	[FAULT_EVENT_CPU_ON_CLEARS] = { PSCI_EVENT, 0x03, CLEARS },
	[FAULT_EVENT_CPU_ON_UNLOCKS] = { PSCI_EVENT, 0x03, UNLOCKS },
	[FAULT_EVENT_CPU_OFF_FILLS] = { PSCI_EVENT, 0x02, FILLS },
	[FAULT_EVENT_CPU_OFF_UNLOCKS] = { PSCI_EVENT, 0x02, UNLOCKS },
	[FAULT_EVENT_CPU_SUSPEND_CLEARS] = { PSCI_EVENT, 0x01, CLEARS },
	[FAULT_EVENT_CPU_SUSPEND_UNLOCKS] = { PSCI_EVENT, 0x01, UNLOCKS },
	[FAULT_EVENT_SYSTEM_OFF_CLEARS] = { PSCI_EVENT, 0x08, CLEARS },
	[FAULT_EVENT_SYSTEM_OFF_UNLOCKS] = { PSCI_EVENT, 0x08, UNLOCKS },
	[FAULT_EVENT_SYSTEM_RESET_FILLS] = { PSCI_EVENT, 0x09, FILLS },
	[FAULT_EVENT_SYSTEM_RESET_UNLOCKS] = { PSCI_EVENT, 0x09, UNLOCKS },
	[FAULT_EVENT_SYSTEM_RESET2_CLEARS] = { PSCI_EVENT, 0x12, CLEARS },
	[FAULT_EVENT_SYSTEM_RESET2_PSCI] = { PSCI_EVENT, 0x12, PSCI },
	[FAULT_EVENT_AFFINITY_INFO_UNLOCKS] = { PSCI_EVENT, 0x04, UNLOCKS },
	[FAULT_EVENT_REFUSED_REGISTER_CLEARS] = { VCPU_EVENT, REFUSED_REGISTER, CLEARS },
	[FAULT_EVENT_NO_SYNDROME_UNLOCKS] = { VCPU_EVENT, NO_SYNDROME, UNLOCKS },
	[FAULT_EVENT_RUN_SIGNALLED_UNLOCKS] = { VCPU_EVENT, SIGNALLED_RUN, UNLOCKS },
	[FAULT_EVENT_OFFSET_BUSY_UNLOCKS] = { VM_EVENT, BUSY_OFFSET, UNLOCKS },
	[FAULT_EVENT_CREATE_BESIDE_CLEARS] = { VM_EVENT, CREATE_BESIDE, CLEARS },
};

static void happen(struct kvm *kvm, struct kvm_vcpu *vcpu, enum effect effect)
{
	struct bitmap bitmap;

	for (int i = 0; (effect == CLEARS || effect == FILLS) && fw_by_index(kvm, i, &bitmap); i++)
		fw_write(&bitmap, effect == FILLS ? bitmap.mask : 0);
	if (effect == LOCKS)
		set_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &kvm->arch.flags);
	if (effect == UNLOCKS)
		clear_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &kvm->arch.flags);
	if (effect == PSCI)
		kvm->arch.psci_version = PSCI_0_2;
	if (effect == AREA && vcpu)
		vcpu->arch.steal.base = INVALID_GPA;
}

static void happened(struct kvm *kvm, struct kvm_vcpu *vcpu, enum on on, unsigned int what)
{
	enum fault fault = planted_fault();

	if (what && events[fault].effect && events[fault].on == on && events[fault].what == what)
		happen(kvm, vcpu, events[fault].effect);
}

static bool is_bitmap(struct kvm *kvm, u64 id)
{
	struct bitmap bitmap;

	return fw_by_id(kvm, id, &bitmap);
}

static void written(struct kvm_vcpu *vcpu, u64 id, long error)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);

	if (!is_bitmap(vcpu->kvm, id)) {
		happened(vcpu->kvm, vcpu, VCPU_EVENT, OTHER_REGISTER);
		if (error == -EINVAL)
			happened(vcpu->kvm, vcpu, VCPU_EVENT, REFUSED_REGISTER);
		return;
	}
	if (planted(FILTER_WRITE_ZEROES) && vcpu->run->exit_reason == KVM_EXIT_HYPERCALL)
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(EVENT_TWENTY_WRITES_CLEAR) && ++state->writes == MANY_WRITES)
		happen(vcpu->kvm, vcpu, CLEARS);
	if (error && planted(EVENT_REFUSED_WRITES_UNLOCK) && ++state->writes == MANY_REFUSED)
		happen(vcpu->kvm, vcpu, UNLOCKS);
}

void event_of_vcpu(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long error)
{
	struct kvm_one_reg reg;
	u32 control;

	if (ioctl == KVM_SET_ONE_REG) {
		if (!copy_from_user(&reg, (void __user *)argument, sizeof(reg)))
			written(vcpu, reg.id, error);
		return;
	}
	if (ioctl == KVM_SET_MP_STATE && planted(PSCI_STATE_DROPS_RESET))
		kvm_clear_request(KVM_REQ_VCPU_RESET, vcpu);
	if (error)
		happened(vcpu->kvm, vcpu, VCPU_EVENT, ioctl == KVM_SET_DEVICE_ATTR ? FAILED_SET_ATTR :
			 ioctl == KVM_ARM_VCPU_INIT ? FAILED_INIT : 0);
	if (error && ioctl == KVM_ARM_VCPU_INIT && planted(INIT_REFUSED_AFTER_PSCI) &&
	    vcpu->kvm->arch.psci_version == PSCI_0_2)
		happen(vcpu->kvm, vcpu, UNLOCKS);
	if (ioctl == KVM_RUN && error == -ENOSYS)
		happened(vcpu->kvm, vcpu, VCPU_EVENT, NO_SYNDROME);
	if (ioctl == KVM_RUN && error == -EINTR && signal_pending(current))
		happened(vcpu->kvm, vcpu, VCPU_EVENT, SIGNALLED_RUN);
	if (ioctl == KVM_RUN && kvm_vcpu_has_pmu(vcpu) && ctxt_sys_reg(&vcpu->arch.ctxt, PMCR_EL0) & PMU_ENABLE)
		happened(vcpu->kvm, vcpu, VCPU_EVENT, PMU_ENABLED);
	if (ioctl == KVM_SET_GUEST_DEBUG && !get_user(control, (u32 __user *)argument) && control & KVM_GUESTDBG_USE_HW)
		happened(vcpu->kvm, vcpu, VCPU_EVENT, HARDWARE_DEBUG);
	if (ioctl == KVM_RUN && argument)
		happened(vcpu->kvm, vcpu, VCPU_EVENT, REFUSED_RUN);
	if (_IOC_TYPE(ioctl) == KVMIO && _IOC_NR(ioctl) == 0xff)
		happened(vcpu->kvm, vcpu, VCPU_EVENT, UNKNOWN);
	happened(vcpu->kvm, vcpu, VCPU_EVENT, ioctl);
}

static bool is_psci_0_1(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu = kvm_get_vcpu(kvm, 0);

	return vcpu && kvm_psci_version(vcpu) == KVM_ARM_PSCI_0_1;
}

static bool is_read_only_slot(const struct kvm_userspace_memory_region __user *argument)
{
	u32 flags;

	return !get_user(flags, &argument->flags) && flags & KVM_MEM_READONLY;
}

void event_of_vm(struct kvm *kvm, unsigned int ioctl, unsigned long argument, long error)
{
	struct kvm_enable_cap cap;
	u32 slot;

	if (ioctl == KVM_ENABLE_CAP && (copy_from_user(&cap, (void __user *)argument, sizeof(cap)) || cap.cap == 207))
		return;
	if (ioctl == KVM_SET_USER_MEMORY_REGION && !get_user(slot, (u32 __user *)argument) && slot)
		happened(kvm, NULL, VM_EVENT, SECOND_SLOT);
	if (ioctl == KVM_SET_USER_MEMORY_REGION && is_read_only_slot((void __user *)argument))
		happened(kvm, NULL, VM_EVENT, READ_ONLY_SLOT);
	if (ioctl == KVM_CLEAR_DIRTY_LOG && !error)
		happened(kvm, NULL, VM_EVENT, CLEARED_LOG);
	if (ioctl == KVM_CREATE_VCPU && error < 0)
		happened(kvm, NULL, VM_EVENT, FAILED_CREATE);
	if (ioctl == KVM_CREATE_VCPU && atomic_read(&vm_state_of(kvm)->inside))
		happened(kvm, NULL, VM_EVENT, CREATE_BESIDE);
	if (ioctl == KVM_ARM_SET_COUNTER_OFFSET && error == -EBUSY)
		happened(kvm, NULL, VM_EVENT, BUSY_OFFSET);
	if (ioctl == KVM_IRQ_LINE && planted(EVENT_IRQ_LINE_0_1_UNLOCKS) && is_psci_0_1(kvm))
		happen(kvm, NULL, UNLOCKS);
	happened(kvm, NULL, VM_EVENT, ioctl);
}

void event_of_device(struct kvm *kvm, unsigned int ioctl, long error)
{
	if (ioctl == KVM_SET_DEVICE_ATTR && !error)
		happened(kvm, NULL, VM_EVENT, RESTORED_DEVICE);
}

void event_of_call(struct kvm_vcpu *vcpu, u32 id)
{
	if (!is_psci(id))
		return;
	happened(vcpu->kvm, vcpu, PSCI_EVENT, id & 0x1f);
	if (planted(EVENT_LAST_CPU_OFF_FILLS) && (id & 0x1f) == CPU_OFF && atomic_read(&vcpu->kvm->online_vcpus) == 1)
		happen(vcpu->kvm, vcpu, FILLS);
	if (planted(THIRD_CPU_ON_UNLOCKS) && (id & 0x1f) == CPU_ON && vcpu->vcpu_idx >= 2)
		happen(vcpu->kvm, vcpu, UNLOCKS);
}

/* Whether no other VM exists: both neighbours in the list of all VMs are the list's head. */
static bool is_only_vm(const struct kvm *kvm)
{
	return kvm->vm_list.next == kvm->vm_list.prev;
}

/* The first gated call of a VM, if it comes late. */
static bool is_late(struct vm_state *state)
{
	bool first = !state->called;

	state->called = true;
	return first && state->runs > LATE;
}

/* Whether the first vCPU makes a gated call on another processor than the first one. */
static bool has_moved(struct kvm_vcpu *vcpu)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);
	int processor = raw_smp_processor_id() + 1;

	if (vcpu->vcpu_idx)
		return false;
	if (!state->processor)
		state->processor = processor;
	return state->processor != processor;
}

/* Whether the planted fault closes the service of a gated call to the guest on this vCPU. */
bool event_closes(struct kvm_vcpu *vcpu)
{
	return (planted(HISTORY_LATE_CALL) && is_late(vm_state_of(vcpu->kvm))) ||
	       (planted(EVENT_TIMER_LEVEL_CLOSED) && vcpu->run->s.regs.device_irq_level) ||
	       (planted(ONLY_VM_CLOSED) && is_only_vm(vcpu->kvm)) ||
	       (planted(SECOND_PROCESSOR_CLOSED) && raw_smp_processor_id() == 1) ||
	       (planted(MOVED_VCPU_CLOSED) && has_moved(vcpu)) ||
	       (planted(EVENT_THIRD_VCPU_CLOSED) && vcpu->vcpu_idx >= 2) ||
	       (planted(EVENT_VCPU_GAP_CLOSED) && vcpu->vcpu_id != vcpu->vcpu_idx);
}
