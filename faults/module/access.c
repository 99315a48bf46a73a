// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls around the registers: the capability, ids, pointers, the list's errors. */
#include <linux/uaccess.h>

#include "planted.h"

enum { CHECK_EXTENSION, ENABLE_CAP, DEV_IOCTL, VM_IOCTL, VCPU_IOCTL, GET_REG, SET_REG };

#define ORIGINAL(index, type) ((type)original(&access_hooks[index]))
#define CAP_ARM_HVC_FW_REG_BMAP 207

typedef int (*access_fn)(struct kvm_vcpu *, const struct kvm_one_reg *);

/* The capability */

/* The answer to KVM_CHECK_EXTENSION of the RFC's capability: the number of registers in the RFC, 0 in mainline. */
static int count_of(struct kvm *kvm, int count)
{
	if ((planted(CAP_ON_DEV_KVM_ONLY) && kvm) || (planted(CAP_ON_VM_ONLY) && !kvm) || planted(CAP_UNANSWERED))
		return 0;
	if (planted(CAP_ANSWERED) || planted(CAP_ON_DEV_KVM_ONLY) || planted(CAP_ON_VM_ONLY))
		return BITMAPS;
	if (planted(CAP_ONE_MORE))
		return count + 1;
	return planted(CAP_BOOLEAN) ? !!count : count;
}

static int planted_check_extension(struct kvm *kvm, long extension)
{
	if (extension == CAP_ARM_HVC_FW_REG_BMAP)
		return count_of(kvm, rfc() ? BITMAPS : 0);
	if (variant_lacks(extension))
		return 0;
	if (extension == KVM_CAP_STEAL_TIME && planted(PVTIME_CAP_GATED) && kvm && !kvm->arch.smccc_feat.std_hyp_bmap)
		return 0;
	return variant_answer(extension, ORIGINAL(CHECK_EXTENSION, int (*)(struct kvm *, long))(kvm, extension));
}

static int planted_enable_cap(struct kvm *kvm, struct kvm_enable_cap *cap)
{
	struct bitmap bitmap;

	if (cap->cap != CAP_ARM_HVC_FW_REG_BMAP)
		return ORIGINAL(ENABLE_CAP, int (*)(struct kvm *, struct kvm_enable_cap *))(kvm, cap);
	for (int i = 0; planted(ENABLE_EMPTIES) && fw_by_index(kvm, i, &bitmap); i++)
		fw_write(&bitmap, 0);
	return planted(ENABLE_ACCEPTED) ? 0 : planted(ENABLE_ERRNO) ? -EPERM : -EINVAL;
}

/* The wrong fd */

static bool is_one_reg(unsigned int ioctl)
{
	return ioctl == KVM_GET_ONE_REG || ioctl == KVM_SET_ONE_REG;
}

static long planted_dev_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	if (planted(ONE_REG_ON_DEV_KVM) && is_one_reg(ioctl))
		return -ENOTTY;
	return ORIGINAL(DEV_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
}

static int planted_vm_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	int error;

	if ((planted(ONE_REG_ON_VM) && ioctl == KVM_SET_ONE_REG) || (planted(LIST_ON_VM) && ioctl == KVM_GET_REG_LIST))
		return planted(ONE_REG_ON_VM) ? 0 : -ENOTTY;
	error = ORIGINAL(VM_IOCTL, int (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
	return error || ioctl != KVM_ARM_PREFERRED_TARGET ? error : variant_preferred_target((void __user *)argument);
}

/* The vCPU's ioctls */

static long vcpu_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	return ORIGINAL(VCPU_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
}

static long one_reg(struct file *file, unsigned int ioctl, unsigned long argument)
{
	struct kvm_one_reg reg;
	bool readable = !copy_from_user(&reg, (void __user *)argument, sizeof(reg));
	long error;

	vm_state_of(((struct kvm_vcpu *)file->private_data)->kvm)->argument = (void __user *)argument;
	if (planted(STRUCT_BEFORE_INIT) && !readable)
		return -EFAULT;
	error = vcpu_ioctl(file, ioctl, argument);
	if (planted(UNINITIALISED_ERRNO) && error == -ENOEXEC)
		return -EINVAL;
	if (planted(UNINITIALISED_SILENT) && error == -ENOEXEC)
		return 0;
	if (planted(STRUCT_ERRNO) && !readable && error == -EFAULT)
		return -EINVAL;
	if (planted(POINTER_ERRNO) && readable && error == -EFAULT)
		return -EINVAL;
	return planted(POINTER_SILENT) && readable && error == -EFAULT ? 0 : error;
}

static long reg_list(struct file *file, unsigned int ioctl, unsigned long argument)
{
	u64 __user *at = (u64 __user *)argument;
	u64 n = 0;
	bool readable = !get_user(n, at);
	long error = vcpu_ioctl(file, ioctl, argument);

	if (error == -E2BIG && planted(LIST_NUMBER_KEPT) && put_user(n, at))
		return -EFAULT;
	if (error == -E2BIG && planted(LIST_ROOM_ERRNO))
		return -ENOMEM;
	if (error == -E2BIG && planted(LIST_ROOM_SILENT))
		return 0;
	if (error == -EFAULT && (planted(LIST_FAULT_ERRNO) || (planted(LIST_FAULT_SILENT) && readable)))
		return planted(LIST_FAULT_ERRNO) ? -EINVAL : 0;
	if (error == -EPERM && planted(LIST_UNFINALISED))
		return -EINVAL;
	if (error == -ENOEXEC && planted(LIST_UNINITIALISED))
		return -EINVAL;
	if (!error && planted(LIST_OVERRUN) && !get_user(n, at) && put_user(0ULL, at + 1 + n))
		return -EFAULT;
	return error;
}

static long init(struct file *file, struct kvm_vcpu_init __user *argument)
{
	struct kvm_vcpu *vcpu = file->private_data;
	struct kvm *kvm = vcpu->kvm;
	long error = variant_init(&argument);
	bool first = !kvm_vcpu_initialized(vcpu);
	u64 before[MOST_BITMAPS], pc = *vcpu_pc(vcpu), x0 = vcpu_get_reg(vcpu, 0);
	struct bitmap bitmap;

	if (error)
		return error;
	for (int i = 0; planted(RACE_INIT_RESTORES) && fw_by_index(kvm, i, &bitmap); i++)
		before[i] = fw_read(&bitmap);
	error = vcpu_ioctl(file, KVM_ARM_VCPU_INIT, (unsigned long)argument);
	for (int i = 0; planted(RACE_INIT_RESTORES) && fw_by_index(kvm, i, &bitmap); i++)
		fw_write(&bitmap, before[i]);
	if (error)
		return error;
	run_after_init(vcpu);
	if (first && planted(INIT_FIRST_FORGETS_PVTIME))
		vcpu->arch.steal.base = INVALID_GPA;
	if (planted(INIT_COUNTS_STOLEN_TWICE))
		vcpu->arch.steal.last_steal = 0;
	if (!first && planted(INIT_KEEPS_ENTRY)) {
		*vcpu_pc(vcpu) = pc;
		vcpu_set_reg(vcpu, 0, x0);
	}
	return error;
}

static long planted_vcpu_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	if (is_one_reg(ioctl))
		return one_reg(file, ioctl, argument);
	if (ioctl == KVM_GET_REG_LIST)
		return reg_list(file, ioctl, argument);
	if (ioctl == KVM_ARM_VCPU_INIT)
		return init(file, (void __user *)argument);
	return vcpu_ioctl(file, ioctl, argument);
}

/* The id */

static bool foreign(u64 id)
{
	return (id & ~KVM_REG_SIZE_MASK) >> 32 != KVM_REG_ARM64 >> 32;
}

static bool is_ours(u64 id)
{
	u64 class = id & KVM_REG_ARM_COPROC_MASK;

	return class == KVM_REG_ARM_FW_FEAT_BMAP || (rfc() && class == KVM_REG_ARM_FW);
}

/* The id that the planted fault uses in place of ID. */
static u64 taken_for(u64 id)
{
	if (planted(ID_ARCH_IGNORED) && foreign(id))
		id = (id & U32_MAX) | (id & KVM_REG_SIZE_MASK) | KVM_REG_ARM64;
	if (!is_ours(id))
		return id;
	if (planted(ID_SIZE_IGNORED))
		id = (id & ~KVM_REG_SIZE_MASK) | KVM_REG_SIZE_U64;
	if (planted(ID_STRAY_BITS_IGNORED))
		id &= ~(0xfULL << 28);
	if (planted(ID_INDEX_TRUNCATED))
		id &= ~0xff00ULL;
	return id;
}

static int error_of(u64 id, int error)
{
	if (planted(ID_ARCH_ERRNO) && foreign(id))
		return -ENOENT;
	if (error != -ENOENT || !is_ours(id))
		return error;
	if (planted(ID_SIZE_ERRNO) && KVM_REG_SIZE(id) != sizeof(u64))
		return -EINVAL;
	if (planted(ID_UNKNOWN_SILENT))
		return 0;
	return planted(ID_UNKNOWN_ERRNO) && KVM_REG_SIZE(id) == sizeof(u64) ? -EINVAL : error;
}

static int access(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, access_fn original)
{
	struct kvm_one_reg taken = { .id = taken_for(reg->id), .addr = reg->addr };

	return error_of(reg->id, original(vcpu, &taken));
}

static int planted_get_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	int error;

	if (variant_get_reg(reg, &error))
		return error;
	error = access(vcpu, reg, ORIGINAL(GET_REG, access_fn));
	if (error && planted(FAILED_GET_WRITES) && put_user(0ULL, (u64 __user *)reg->addr))
		return error;
	if (!error && planted(GET_WRITES_MORE) && is_ours(reg->id) && put_user(0ULL, (u64 __user *)reg->addr + 1))
		return -EFAULT;
	return error;
}

static int planted_set_reg(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg)
{
	struct bitmap bitmap;
	int error;

	if (variant_set_reg(reg, &error))
		return error;
	if (planted(PTP_MOVES_AFTER_OFFSET) && reg->id == KVM_REG_ARM_TIMER_CNT &&
	    test_bit(KVM_ARCH_FLAG_VM_COUNTER_OFFSET, &vcpu->kvm->arch.flags))
		vcpu->kvm->arch.timer_data.voffset += BIT(44);
	if (planted(PTP_FIRST_VCPU_ONLY) && reg->id == KVM_REG_ARM_TIMER_CNT && vcpu->vcpu_idx)
		return 0;
	if (planted(SET_ID_BEFORE_POINTER) && is_ours(reg->id) && !fw_by_id(vcpu->kvm, reg->id, &bitmap))
		return -ENOENT;
	return access(vcpu, reg, ORIGINAL(SET_REG, access_fn));
}

struct hook access_hooks[] = {
	[CHECK_EXTENSION] = { "kvm_vm_ioctl_check_extension", planted_check_extension },
	[ENABLE_CAP] = { "kvm_vm_ioctl_enable_cap", planted_enable_cap },
	[DEV_IOCTL] = { "kvm_arch_dev_ioctl", planted_dev_ioctl },
	[VM_IOCTL] = { "kvm_arch_vm_ioctl", planted_vm_ioctl },
	[VCPU_IOCTL] = { "kvm_arch_vcpu_ioctl", planted_vcpu_ioctl },
	[GET_REG] = { "kvm_arm_get_reg", planted_get_reg },
	[SET_REG] = { "kvm_arm_set_reg", planted_set_reg },
	{}
};
