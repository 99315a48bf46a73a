// SPDX-License-Identifier: GPL-2.0-only
/* What counts as a run, and what a run or an initialisation changes. */
#include "planted.h"

enum { PID_CHANGE, IOCTL_RUN };

#define ORIGINAL(index, type) ((type)original(&run_hooks[index]))

static void forget_run(struct kvm *kvm)
{
	clear_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &kvm->arch.flags);
	side_reset(kvm);
}

static int planted_pid_change(struct kvm_vcpu *vcpu)
{
	int error = ORIGINAL(PID_CHANGE, int (*)(struct kvm_vcpu *))(vcpu);
	struct side *side = side_of(vcpu->kvm);
	struct bitmap bitmap;

	side->tried = true;
	if (error)
		return error;
	side->ran |= BIT(vcpu->vcpu_idx);
	for (int i = 0; is(RUN_CLEARS) && fw_by_index(vcpu->kvm, i, &bitmap); i++)
		fw_write(&bitmap, 0);
	return 0;
}

static int planted_ioctl_run(struct kvm_vcpu *vcpu)
{
	/* struct kvm_run's second byte: later headers hide its name from the kernel. */
	if (!((u8 *)vcpu->run)[1])
		side_of(vcpu->kvm)->entered |= BIT(vcpu->vcpu_idx);
	return ORIGINAL(IOCTL_RUN, int (*)(struct kvm_vcpu *))(vcpu);
}

/* After a successful KVM_ARM_VCPU_INIT. */
void run_after_init(struct kvm_vcpu *vcpu)
{
	struct bitmap bitmap;

	if (is(LOCK_REINIT_CLEARS))
		forget_run(vcpu->kvm);
	if (is(LOCK_BY_INIT))
		set_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &vcpu->kvm->arch.flags);
	for (int i = 0; is(INIT_RESETS) && fw_by_index(vcpu->kvm, i, &bitmap); i++)
		fw_write(&bitmap, bitmap.mask);
}

struct hook run_hooks[] = {
	[PID_CHANGE] = { "kvm_arch_vcpu_run_pid_change", planted_pid_change },
	[IOCTL_RUN] = { "kvm_arch_vcpu_ioctl_run", planted_ioctl_run },
	{}
};
