// SPDX-License-Identifier: GPL-2.0-only
/* PSCI_VERSION, the workaround registers, and the stolen-time area's attribute. */
#include <linux/uaccess.h>

#include <kvm/arm_psci.h>

#include "planted.h"

enum { PVTIME_SET, PVTIME_GET, UPDATE_STOLEN };

#define ORIGINAL(index, type) ((type)original(&neighbours_hooks[index]))

typedef int (*attr_fn)(struct kvm_vcpu *, struct kvm_device_attr *);

static bool is_workaround(u64 id)
{
	return id == KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1 || id == KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2 ||
	       id == KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3;
}

/* Called after KVM has read a firmware register that is no bitmap, with result ERROR. Returns the faulty result. */
int neighbour_get(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int error)
{
	u64 level;

	if (error || !planted(WORKAROUND_LEVEL_WRONG) || !is_workaround(reg->id))
		return error;
	if (get_user(level, (u64 __user *)reg->addr))
		return -EFAULT;
	return put_user(level ? 0ULL : 1ULL, (u64 __user *)reg->addr);
}

static int psci_set(struct kvm_vcpu *vcpu, u64 value, int error)
{
	bool feature = vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2);
	struct bitmap bitmap;

	if (error == -EINVAL && (feature ? planted(PSCI_ANY_VERSION) : planted(PSCI_WITHOUT_FEATURE)))
		return 0;
	if (!error && planted(LEFT_LOG_PSCI) && kvm_vm_has_ran_once(vcpu->kvm))
		printk(KERN_INFO "kvm [%d]: another PSCI version\n", task_pid_nr(current));
	if (planted(PSCI_EMPTIES_BITMAPS) && fw_by_index(vcpu->kvm, STD, &bitmap))
		fw_write(&bitmap, 0);
	return error;
}

/* Whether the planted fault completes a write to a firmware register that is no bitmap, with result *ERROR. */
bool neighbour_refuses(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int *error)
{
	bool psci = reg->id == KVM_REG_ARM_PSCI_VERSION, locked = kvm_vm_has_ran_once(vcpu->kvm);
	u64 value;

	if ((!psci && !is_workaround(reg->id)) || get_user(value, (u64 __user *)reg->addr))
		return false;
	*error = -EBUSY;
	if (locked && (psci ? planted(PSCI_LOCKED) : planted(WORKAROUND_LOCKED)))
		return true;
	*error = planted(PSCI_NO_0_2) ? -EINVAL : 0;
	return psci && ((planted(PSCI_NO_0_2) && value == KVM_ARM_PSCI_0_2) ||
			(planted(PSCI_FIRST_VCPU_ONLY) && vcpu->vcpu_idx));
}

/* Called after KVM has written a firmware register that is no bitmap, with result ERROR. Returns the faulty result. */
int neighbour_set(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int error)
{
	u64 value = 0;

	if (reg->id == KVM_REG_ARM_PSCI_VERSION && !get_user(value, (u64 __user *)reg->addr))
		return psci_set(vcpu, value, error);
	return planted(WORKAROUND_ANY_LEVEL) && is_workaround(reg->id) && error == -EINVAL ? 0 : error;
}

/* The stolen-time area */

static int pvtime_error(struct kvm_vcpu *vcpu, int error)
{
	if (error == -ENXIO && planted(PVTIME_ATTRIBUTE_ERRNO))
		return -EINVAL;
	if (error == -EINVAL && planted(PVTIME_ANY_ADDRESS))
		return 0;
	return error == -EEXIST && (planted(PVTIME_TWICE) || (planted(PVTIME_TWICE_STOPPED) && is_stopped(vcpu))) ?
		       0 : error;
}

static struct kvm_memory_slot *slot_of(struct kvm_vcpu *vcpu, gpa_t address)
{
	return __gfn_to_memslot(kvm_memslots(vcpu->kvm), gpa_to_gfn(address));
}

/* The user-space address of the stolen-time area plus OFFSET; NULL if no memory slot contains it. */
static void __user *area_at(struct kvm_vcpu *vcpu, unsigned int offset)
{
	gpa_t address = vcpu->arch.steal.base + offset;
	struct kvm_memory_slot *slot = slot_of(vcpu, address);

	return slot ? (void __user *)(slot->userspace_addr + address - gfn_to_gpa(slot->base_gfn)) : NULL;
}

static void clean(struct kvm_vcpu *vcpu)
{
	struct kvm_memory_slot *slot = slot_of(vcpu, vcpu->arch.steal.base);

	if (slot && slot->dirty_bitmap)
		clear_bit_le(gpa_to_gfn(vcpu->arch.steal.base) - slot->base_gfn, slot->dirty_bitmap);
}

static void changed_memory(struct kvm_vcpu *vcpu, gpa_t base)
{
	struct kvm_memory_slot *slot = slot_of(vcpu, base);
	bool writable = slot && !(slot->flags & KVM_MEM_READONLY);

	if (planted(PV_ST_WRITES_READ_ONLY) && slot && !writable && clear_user(area_at(vcpu, 0), 64))
		pr_debug("the area cannot be written\n");
	if (planted(PV_ST_KILLS_VM) && !writable)
		vcpu->kvm->vm_dead = true;
	if (planted(PV_ST_FORGETS_AREA) && !writable)
		vcpu->arch.steal.base = INVALID_GPA;
	if (planted(PV_ST_NOT_DIRTY))
		clean(vcpu);
}

/* Serves PV_TIME_ST, then applies the planted fault. */
gpa_t neighbour_stolen_time(struct kvm_vcpu *vcpu)
{
	gpa_t base = kvm_stolen_time(vcpu);
	int index = srcu_read_lock(&vcpu->kvm->srcu);

	if (base != INVALID_GPA)
		changed_memory(vcpu, base);
	srcu_read_unlock(&vcpu->kvm->srcu, index);
	return base;
}

/* Called after a vCPU's KVM_HAS_DEVICE_ATTR with result ERROR. Returns the faulty result. */
long neighbour_has_attr(struct kvm_vcpu *vcpu, unsigned long argument, long error)
{
	struct kvm_device_attr attr;

	if (error || copy_from_user(&attr, (void __user *)argument, sizeof(attr)) ||
	    attr.group != KVM_ARM_VCPU_PVTIME_CTRL)
		return error;
	return (planted(HAS_ATTR_AFTER_RUN) && kvm_vm_has_ran_once(vcpu->kvm)) ||
	       (planted(HAS_ATTR_ONCE_SET) && vcpu->arch.steal.base != INVALID_GPA) ? -ENXIO : 0;
}

static int set_read_only(struct kvm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	struct kvm_memory_slot *slot;
	int index;
	u64 base;

	if (get_user(base, (u64 __user *)attr->addr))
		return -EFAULT;
	index = srcu_read_lock(&vcpu->kvm->srcu);
	slot = slot_of(vcpu, base);
	if (slot && slot->flags & KVM_MEM_READONLY)
		vcpu->arch.steal.base = base;
	srcu_read_unlock(&vcpu->kvm->srcu, index);
	return slot ? 0 : -EINVAL;
}

static int planted_pvtime_set(struct kvm_vcpu *vcpu, struct kvm_device_attr *attr)
{
	struct kvm_vcpu *other;
	unsigned long i;
	int error;

	if (variant_no_stolen_time())
		return -ENXIO;
	if (planted(PVTIME_EXISTS_FIRST) && vcpu->arch.steal.base != INVALID_GPA)
		return -EEXIST;
	if (planted(PVTIME_LOCKED) && kvm_vm_has_ran_once(vcpu->kvm))
		return -EBUSY;
	if (planted(PVTIME_GATED) && !vcpu->kvm->arch.smccc_feat.std_hyp_bmap)
		return -ENXIO;
	error = ORIGINAL(PVTIME_SET, attr_fn)(vcpu, attr);
	if (!error && planted(PVTIME_SHARED))
		kvm_for_each_vcpu(i, other, vcpu->kvm)
			other->arch.steal.base = vcpu->arch.steal.base;
	if (error == -EINVAL && planted(PVTIME_READ_ONLY))
		return set_read_only(vcpu, attr);
	return pvtime_error(vcpu, error);
}

static int planted_pvtime_get(struct kvm_vcpu *vcpu, struct kvm_device_attr *attr)
{
	int error = variant_no_stolen_time() ? -ENXIO : ORIGINAL(PVTIME_GET, attr_fn)(vcpu, attr);

	if (!error && planted(PVTIME_READS_ZERO))
		return put_user(0ULL, (u64 __user *)attr->addr);
	return error;
}

/* Writes VALUE at OFFSET of the stolen-time area before KVM updates the area. */
static void write_area(struct kvm_vcpu *vcpu, unsigned int offset, u64 value)
{
	int index = srcu_read_lock(&vcpu->kvm->srcu);
	u64 __user *at = vcpu->arch.steal.base == INVALID_GPA ? NULL : area_at(vcpu, offset);

	if (at && put_user(value, at))
		pr_debug("the area cannot be written\n");
	srcu_read_unlock(&vcpu->kvm->srcu, index);
}

static void planted_update_stolen(struct kvm_vcpu *vcpu)
{
	int index;

	if (planted(STOLEN_TIME_NEVER) || (planted(STOLEN_TIME_NEEDS_CALL) && !vcpu->arch.steal.last_steal))
		return;
	if (planted(STOLEN_TIME_TOO_FAST))
		vcpu->arch.steal.last_steal -= NSEC_PER_SEC;
	if (planted(STOLEN_TIME_RESTARTS) && !vcpu->arch.steal.last_steal)
		write_area(vcpu, 8, 0);
	if (planted(STOLEN_TIME_ATTRIBUTES))
		write_area(vcpu, 0, 0);
	ORIGINAL(UPDATE_STOLEN, void (*)(struct kvm_vcpu *))(vcpu);
	if (planted(STOLEN_TIME_NOT_DIRTY) && vcpu->arch.steal.base != INVALID_GPA) {
		index = srcu_read_lock(&vcpu->kvm->srcu);
		clean(vcpu);
		srcu_read_unlock(&vcpu->kvm->srcu, index);
	}
}

struct hook neighbours_hooks[] = {
	[PVTIME_SET] = { "kvm_arm_pvtime_set_attr", planted_pvtime_set },
	[PVTIME_GET] = { "kvm_arm_pvtime_get_attr", planted_pvtime_get },
	[UPDATE_STOLEN] = { "kvm_update_stolen_time", planted_update_stolen },
	{}
};
