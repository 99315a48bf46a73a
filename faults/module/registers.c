// SPDX-License-Identifier: GPL-2.0-only
/* Reads, writes, limits, lock, defaults and list of the bitmap registers. */
#include <linux/delay.h>
#include <linux/panic.h>
#include <linux/uaccess.h>

#include <kvm/arm_psci.h>

#include "planted.h"

enum { INIT_HYPERCALLS, GET_FW_REG, SET_FW_REG, COPY_INDICES, NUM_REGS };

#define ORIGINAL(index, type) ((type)original(&registers_hooks[index]))

typedef int (*access_fn)(struct kvm_vcpu *, const struct kvm_one_reg *);

/* Defaults */

static void plant_default(struct kvm *kvm, struct bitmap *bitmap)
{
	u64 value = newer_default(bitmap);

	if (planted(DEFAULT_EMPTY))
		value = 0;
	if (planted(DEFAULT_BIT_MISSING) && bitmap->index == VENDOR_HYP)
		value &= ~BIT(fls64(bitmap->mask) - 1);
	if (planted(DEFAULT_BIT_EXTRA) && bitmap->index == STD)
		value |= BIT(fls64(bitmap->mask));
	if (planted(DEFAULT_LAST_WRITTEN) && memory.last_written[bitmap->index])
		value = memory.last_written[bitmap->index] - 1;
	fw_write(bitmap, value);
}

/* Whether this module handles the bitmap registers instead of KVM. */
static bool replaced(void)
{
	return !stock() || rfc() || newer_registers();
}

static void planted_init_hypercalls(struct kvm *kvm)
{
	struct bitmap bitmap;

	ORIGINAL(INIT_HYPERCALLS, void (*)(struct kvm *))(kvm);
	vm_state_reset(kvm);
	for (int i = 0; replaced() && fw_by_index(kvm, i, &bitmap); i++)
		plant_default(kvm, &bitmap);
	left_creates(kvm);
}

/* Reads */

static bool ran(struct kvm_vcpu *vcpu)
{
	return kvm_vm_has_ran_once(vcpu->kvm);
}

static u64 neighbour(struct kvm *kvm, int index)
{
	struct bitmap bitmap;

	fw_by_index(kvm, (index + 1) % BITMAPS, &bitmap);
	return fw_read(&bitmap);
}

static u64 value_of(struct kvm_vcpu *vcpu, const struct bitmap *bitmap)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);
	u64 other = vcpu->vcpu_idx ? state->other[bitmap->index] : 0;
	u64 value = fw_read(bitmap);

	if (planted(GET_ALWAYS_FULL) || (planted(EVENT_THIRD_VCPU_FULL) && vcpu->vcpu_idx >= 2) || (planted(GET_FULL_AFTER_RUN) && ran(vcpu)))
		value = bitmap->mask;
	if ((planted(GET_EMPTY_AFTER_RUN) && ran(vcpu)) || (planted(VCPU_OTHERS_EMPTY) && vcpu->vcpu_idx))
		value = 0;
	if (planted(GET_EXTRA_BIT))
		value |= BIT_ULL(32);
	if (planted(GET_NEIGHBOUR))
		value = neighbour(vcpu->kvm, bitmap->index) & bitmap->mask;
	if (planted(VCPU_OWN_VALUE) && other)
		value = other - 1;
	if (planted(VM_SHARED) && memory.last_written[bitmap->index])
		value = memory.last_written[bitmap->index] - 1;
	return value;
}

static int get_bitmap(struct kvm_vcpu *vcpu, const struct bitmap *bitmap, const struct kvm_one_reg *reg)
{
	u64 value = value_of(vcpu, bitmap);

	if (KVM_REG_SIZE(reg->id) != sizeof(value))
		return -ENOENT;
	if (planted(GET_BUSY_AFTER_RUN) && ran(vcpu))
		return -EBUSY;
	if (planted(LOCK_BY_READ))
		vm_state_of(vcpu->kvm)->touched = true;
	if (planted(GET_CLEARS))
		fw_write(bitmap, 0);
	return copy_to_user((void __user *)reg->addr, &value, sizeof(value)) ? -EFAULT : 0;
}

/* Mainline's bitmap registers do not exist in the RFC's dialect. */
static bool vanished(u64 id)
{
	return rfc() && (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_FW_FEAT_BMAP;
}

static int planted_get_fw_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	struct bitmap bitmap;
	int error;

	if (vanished(reg->id))
		return -ENOENT;
	if (newer_access(vcpu, reg, false, &error))
		return error;
	if (!fw_by_id(vcpu->kvm, reg->id, &bitmap) || !replaced())
		return neighbour_get(vcpu, reg, ORIGINAL(GET_FW_REG, access_fn)(vcpu, reg));
	return get_bitmap(vcpu, &bitmap, reg);
}

/* Limits */

static bool supported(const struct bitmap *bitmap, u64 value)
{
	u64 allowed = bitmap->mask;

	if (planted(LIMIT_ONE_MORE))
		allowed |= BIT_ULL(fls64(bitmap->mask));
	if (planted(LIMIT_BIT_63))
		allowed |= BIT_ULL(63);
	if (planted(LIMIT_LOWER_HALF))
		allowed |= GENMASK_ULL(63, 32);
	if (planted(LIMIT_NONE) || (planted(LIMIT_FIRST_REGISTER_ONLY) && bitmap->index != STD))
		return true;
	if (planted(LIMIT_ANY_BESIDE_SUPPORTED) && value & bitmap->mask)
		return true;
	if ((planted(LIMIT_REFUSES_FULL) && value == bitmap->mask) || (planted(LIMIT_REFUSES_EMPTY) && !value))
		return false;
	if (planted(LIMIT_REFUSES_PTP_ALONE) && value == 2)
		return false;
	return !(value & ~allowed);
}

/* The result of a write with an unsupported bit. Without a fault it is -EINVAL, and nothing is stored. */
static int refuse(const struct bitmap *bitmap, u64 value)
{
	if (planted(REFUSED_STORES))
		fw_write(bitmap, value);
	if (planted(REFUSED_STORES_SUPPORTED) || planted(LIMIT_DROPS_BITS))
		fw_write(bitmap, value & bitmap->mask);
	if (planted(REFUSED_CLEARS))
		fw_write(bitmap, 0);
	if (planted(LIMIT_DROPS_BITS) || planted(LIMIT_SILENT))
		return 0;
	return planted(LIMIT_ERRNO) ? -EPERM : planted(LIMIT_NOENT) ? -ENOENT : -EINVAL;
}

/* Lock */

static bool locked(struct kvm_vcpu *vcpu, const struct bitmap *bitmap)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);

	if (planted(LOCK_MISSING) || (planted(LOCK_STD_ONLY) && bitmap->index != STD) ||
	    (planted(LOCK_NOT_VENDOR) && bitmap->index == VENDOR_HYP))
		return false;
	if ((planted(LOCK_NEEDS_PSCI) && !vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2)) ||
	    (planted(LOCK_NOT_FORWARDED) && vcpu->run->exit_reason == KVM_EXIT_HYPERCALL))
		return false;
	if (planted(LOCK_NOT_FOURTH_VCPU))
		return !bitmap_empty(state->ran, 3);
	if (planted(LOCK_PER_VCPU))
		return test_bit(vcpu->vcpu_idx, state->ran);
	if (planted(LOCK_OTHER_VCPUS))
		return bitmap_weight(state->ran, KVM_MAX_VCPUS) > test_bit(vcpu->vcpu_idx, state->ran);
	if (planted(LOCK_FIRST_VCPU))
		return test_bit(0, state->ran);
	if (planted(LOCK_NOT_IMMEDIATE_EXIT))
		return !bitmap_empty(state->entered, KVM_MAX_VCPUS);
	if (planted(LOCK_ALL_VMS))
		return any_vm_ran();
	if (planted(LOCK_BY_READ) || planted(LOCK_BY_WRITE))
		return state->touched || ran(vcpu);
	if (planted(LOCK_BY_FAILED_RUN))
		return state->tried || ran(vcpu);
	if (planted(RACE_LOCK_LATE))
		return state->left;
	return ran(vcpu);
}

/* Whether the planted fault accepts a change of a locked register. */
static bool let_through(u64 from, u64 to)
{
	return newer_unlocked(from, to) || (planted(LOCK_CLEARING_ONLY) && to & ~from) || (planted(LOCK_SETTING_ONLY) && !(to & ~from));
}

static int busy(struct kvm_vcpu *vcpu, const struct bitmap *bitmap, u64 value)
{
	if (planted(LOCK_STORES))
		fw_write(bitmap, value);
	if (planted(LOCK_REFUSAL_CLEARS))
		fw_write(bitmap, 0);
	if (planted(LOCK_GUEST_SEES))
		vm_state_of(vcpu->kvm)->refused[bitmap->index] = value + 1;
	if (planted(LOCK_SILENT))
		return 0;
	return planted(LOCK_ERRNO) ? -EPERM : planted(LOCK_EINVAL) ? -EINVAL : -EBUSY;
}

static void store(struct kvm_vcpu *vcpu, const struct bitmap *bitmap, u64 value)
{
	struct bitmap next;

	value = newer_written(vcpu->kvm, bitmap->index, value);
	memory.last_written[bitmap->index] = value + 1;
	if (planted(SET_IGNORED) || (planted(SET_FIRST_ONLY) && vm_state_of(vcpu->kvm)->touched))
		return;
	vm_state_of(vcpu->kvm)->touched = true;
	if (planted(SET_ONLY_SETS))
		value |= fw_read(bitmap);
	if (planted(SET_ONLY_CLEARS))
		value &= fw_read(bitmap);
	if (planted(VCPU_OWN_VALUE) && vcpu->vcpu_idx) {
		vm_state_of(vcpu->kvm)->other[bitmap->index] = value + 1;
		return;
	}
	if (planted(RACE_TRANSIENT)) {
		fw_write(bitmap, value | BIT(8));
		usleep_range(300, 600);
	}
	if (planted(RACE_TORN_WRITE)) {
		fw_write(bitmap, 0);
		barrier();
	}
	fw_write(bitmap, value);
	if (planted(BITMAP_RESETS_PSCI))
		vcpu->kvm->arch.psci_version = KVM_ARM_PSCI_1_0;
	fw_by_index(vcpu->kvm, (bitmap->index + 1) % BITMAPS, &next);
	if (planted(SET_ALSO_NEXT))
		fw_write(&next, value & next.mask);
	if (planted(SET_CLEARS_NEXT))
		fw_write(&next, 0);
}

static bool read_value(const struct kvm_one_reg *reg, u64 *value)
{
	return !copy_from_user(value, (void __user *)reg->addr, sizeof(*value));
}

static int change(struct kvm_vcpu *vcpu, const struct bitmap *bitmap, const struct kvm_one_reg *reg, u64 value)
{
	u64 now = value_of(vcpu, bitmap);

	if (locked(vcpu, bitmap) && (value != now || planted(LOCK_SAME_VALUE)) && !let_through(now, value))
		return busy(vcpu, bitmap, value);
	if (planted(RACE_CHECK_THEN_STORE) || planted(RACE_LOCK_DROPPED)) {
		mutex_unlock(&vcpu->kvm->arch.config_lock);
		if (planted(RACE_CHECK_THEN_STORE))
			usleep_range(300, 600);
		mutex_lock(&vcpu->kvm->arch.config_lock);
	}
	/* Delays one write in 64: otherwise KVM_RUN and the read after it would rarely fit between check and store. */
	if (planted(RACE_NO_LOCK) && !(get_random_u32() % 64))
		udelay(300);
	if (planted(RACE_LOCKED_TWICE) && ran(vcpu) && !read_value(reg, &value))
		return -EFAULT;
	store(vcpu, bitmap, value);
	return 0;
}

/* Reads the id from the caller's structure again. *BITMAP becomes the register with that id, if there is one. */
static void read_id(struct kvm_vcpu *vcpu, struct bitmap *bitmap)
{
	struct kvm_one_reg reg;
	struct bitmap other;

	if (!copy_from_user(&reg, vm_state_of(vcpu->kvm)->argument, sizeof(reg)) &&
	    fw_by_id(vcpu->kvm, reg.id, &other))
		*bitmap = other;
}

static int set_bitmap(struct kvm_vcpu *vcpu, const struct bitmap *bitmap, const struct kvm_one_reg *reg)
{
	struct bitmap other = *bitmap;
	u64 value;
	int error;

	if (!read_value(reg, &value))
		return -EFAULT;
	if (planted(QUIET_WARNING))
		printk(KERN_WARNING "WARNING: planted\n");
	if (planted(QUIET_TAINT))
		add_taint(TAINT_WARN, LOCKDEP_STILL_OK);
	if (planted(LOCK_BEFORE_LIMIT) && locked(vcpu, bitmap) && value != fw_read(bitmap))
		return -EBUSY;
	if (!supported(bitmap, value))
		return refuse(bitmap, value);
	error = ran(vcpu) && value != fw_read(bitmap) ? deadly_change(vcpu) : 0;
	if (error)
		return error;
	if (planted(RACE_VALUE_TWICE) && !read_value(reg, &value))
		return -EFAULT;
	if (planted(RACE_ID_TWICE))
		read_id(vcpu, &other);
	if (planted(RACE_NO_LOCK))
		return change(vcpu, bitmap, reg, value);
	mutex_lock(&vcpu->kvm->arch.config_lock);
	error = change(vcpu, &other, reg, value);
	mutex_unlock(&vcpu->kvm->arch.config_lock);
	return error;
}

static int planted_set_fw_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	struct bitmap bitmap;
	u64 value;
	int error;

	if (newer_access(vcpu, reg, true, &error))
		return error;
	if (fw_by_id(vcpu->kvm, reg->id, &bitmap) && replaced())
		return set_bitmap(vcpu, &bitmap, reg);
	if (vanished(reg->id) && KVM_REG_SIZE(reg->id) == sizeof(value))
		return copy_from_user(&value, (void __user *)reg->addr, sizeof(value)) ? -EFAULT : -ENOENT;
	if (neighbour_refuses(vcpu, reg, &error))
		return error;
	return neighbour_set(vcpu, reg, ORIGINAL(SET_FW_REG, access_fn)(vcpu, reg));
}

/* The list */

static int put_list(struct kvm_vcpu *vcpu, u64 *ids)
{
	struct kvm *kvm = vcpu->kvm;
	int n = 0;
	struct bitmap bitmap;

	if (!planted(LIST_NEEDS_PSCI) || vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2))
		ids[n++] = KVM_REG_ARM_PSCI_VERSION;
	ids[n++] = KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1;
	ids[n++] = KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2;
	/* In the RFC, this id is the first bitmap register's. */
	if (!rfc())
		ids[n++] = KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3;
	n += newer_list(ids + n);
	for (int i = 0; fw_by_index(kvm, i, &bitmap); i++) {
		if (planted(LIST_NONE) || (planted(LIST_ONE_MISSING) && i == STD_HYP))
			continue;
		ids[n++] = bitmap.id;
		if (planted(LIST_ONE_TWICE) && i == STD_HYP)
			ids[n++] = bitmap.id;
	}
	if (planted(LIST_UNKNOWN))
		ids[n++] = bitmap.id + 9;
#ifdef KVM_REG_ARM_VENDOR_HYP_BMAP_2
	if (!rfc() && !planted(LIST_NONE))
		ids[n++] = KVM_REG_ARM_VENDOR_HYP_BMAP_2;
#endif
	return n;
}

static int planted_num_regs(struct kvm_vcpu *vcpu)
{
	u64 ids[16];

	if (!replaced())
		return ORIGINAL(NUM_REGS, int (*)(struct kvm_vcpu *))(vcpu) + variant_num_regs();
	return put_list(vcpu, ids);
}

static int planted_copy_indices(struct kvm_vcpu *vcpu, u64 __user *to)
{
	u64 ids[16];

	if (!replaced())
		return ORIGINAL(COPY_INDICES, int (*)(struct kvm_vcpu *, u64 __user *))(vcpu, to) ?:
		       variant_copy_indices(to + ORIGINAL(NUM_REGS, int (*)(struct kvm_vcpu *))(vcpu));
	return copy_to_user(to, ids, put_list(vcpu, ids) * sizeof(ids[0])) ? -EFAULT : 0;
}

struct hook registers_hooks[] = {
	[INIT_HYPERCALLS] = { "kvm_arm_init_hypercalls", planted_init_hypercalls },
	[GET_FW_REG] = { "kvm_arm_get_fw_reg", planted_get_fw_reg },
	[SET_FW_REG] = { "kvm_arm_set_fw_reg", planted_set_fw_reg },
	[COPY_INDICES] = { "kvm_arm_copy_fw_reg_indices", planted_copy_indices },
	[NUM_REGS] = { "kvm_arm_get_fw_num_regs", planted_num_regs },
	{}
};
