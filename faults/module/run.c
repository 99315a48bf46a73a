// SPDX-License-Identifier: GPL-2.0-only
/* Faults in what counts as a run, and in what a run or KVM_ARM_VCPU_INIT changes. */
#include <linux/delay.h>

#include "planted.h"

enum { PID_CHANGE, IOCTL_RUN, PRECREATE, POSTCREATE, RESET_VCPU, VCPU_IOCTL, DESTROY_VM };

#define ORIGINAL(index, type) ((type)original(&run_hooks[index]))

static void forget_run(struct kvm *kvm)
{
	clear_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &kvm->arch.flags);
	vm_state_reset(kvm);
}

static int planted_pid_change(struct kvm_vcpu *vcpu)
{
	int error = ORIGINAL(PID_CHANGE, int (*)(struct kvm_vcpu *))(vcpu);
	struct vm_state *state = vm_state_of(vcpu->kvm);
	struct bitmap bitmap;

	state->tried = true;
	if (error)
		return error;
	set_bit(vcpu->vcpu_idx, state->ran);
	for (int i = 0; planted(RUN_CLEARS) && fw_by_index(vcpu->kvm, i, &bitmap); i++)
		fw_write(&bitmap, 0);
	return 0;
}

static int planted_ioctl_run(struct kvm_vcpu *vcpu)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);
	int error;

	/* immediate_exit is the second byte of struct kvm_run. Newer headers give it another name in the kernel. */
	if (!((u8 *)vcpu->run)[1])
		set_bit(vcpu->vcpu_idx, state->entered);
	filter_resume(vcpu);
	psci_resume(vcpu);
	deadly_run(vcpu);
	variant_interrupt();
	state->runs++;
	atomic_inc(&state->inside);
	error = ORIGINAL(IOCTL_RUN, int (*)(struct kvm_vcpu *))(vcpu);
	atomic_dec(&state->inside);
	if (planted(CLOBBERS_V8))
		vcpu->arch.ctxt.fp_regs.vregs[8] = 0;
	state->left = true;
	if ((error == -EINTR && planted(RUN_SIGNAL_FORGETS)) || (error == -EFAULT && planted(RUN_FAILURE_FORGETS)))
		forget_run(vcpu->kvm);
	return error;
}

/* Called after a successful KVM_ARM_VCPU_INIT. */
void run_after_init(struct kvm_vcpu *vcpu)
{
	struct bitmap bitmap;

	if (planted(LOCK_REINIT_CLEARS) || (planted(LOCK_REINIT_AFTER_PSCI) && vcpu->kvm->arch.psci_version))
		forget_run(vcpu->kvm);
	if (planted(LOCK_BY_INIT))
		set_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &vcpu->kvm->arch.flags);
	if (planted(INIT_RESETS_PSCI))
		vcpu->kvm->arch.psci_version = 0;
	if (planted(INIT_FORGETS_PVTIME))
		vcpu->arch.steal.base = INVALID_GPA;
	for (int i = 0; planted(INIT_RESETS) && fw_by_index(vcpu->kvm, i, &bitmap); i++)
		fw_write(&bitmap, bitmap.mask);
}

static void reset_all(struct kvm *kvm)
{
	struct bitmap bitmap;

	for (int i = 0; fw_by_index(kvm, i, &bitmap); i++)
		fw_write(&bitmap, bitmap.mask);
}

static int planted_precreate(struct kvm *kvm, unsigned int id)
{
	int error = ORIGINAL(PRECREATE, int (*)(struct kvm *, unsigned int))(kvm, id);

	if (planted(LEFT_VCPUS_COUNTED) && ++vm_state_of(kvm)->created > KVM_MAX_VCPUS)
		return -EINVAL;
	return error == -EBUSY && planted(CREATE_ERRNO) ? -EINVAL : error;
}

static void planted_postcreate(struct kvm_vcpu *vcpu)
{
	ORIGINAL(POSTCREATE, void (*)(struct kvm_vcpu *))(vcpu);
	left_creates_vcpu(vcpu);
	if (kvm_vm_has_ran_once(vcpu->kvm))
		vm_state_of(vcpu->kvm)->late = vcpu->vcpu_id;
	if (planted(LATE_VCPU_RESETS))
		reset_all(vcpu->kvm);
	if (planted(LATE_VCPU_UNLOCKS))
		forget_run(vcpu->kvm);
}

/* KVM calls it for KVM_ARM_VCPU_INIT and for a vCPU that CPU_ON starts. */
static void planted_reset_vcpu(struct kvm_vcpu *vcpu)
{
	ORIGINAL(RESET_VCPU, void (*)(struct kvm_vcpu *))(vcpu);
	if (planted(PSCI_ON_UNMASKED))
		*vcpu_cpsr(vcpu) &= ~(unsigned long)(PSR_D_BIT | PSR_A_BIT | PSR_I_BIT | PSR_F_BIT);
	if (planted(PSCI_ON_AGAIN_UNMASKED) && test_bit(vcpu->vcpu_idx, vm_state_of(vcpu->kvm)->entered))
		*vcpu_cpsr(vcpu) &= ~(unsigned long)PSR_F_BIT;
	if (planted(RESET_RESETS))
		reset_all(vcpu->kvm);
}

static long planted_vcpu_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	struct kvm_vcpu *vcpu = file->private_data;
	struct mm_struct *owner;
	long error;

	variant_delay();
	if (ioctl == KVM_RUN && argument && planted(RUN_ARGUMENT_LOCKS))
		set_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &vcpu->kvm->arch.flags);
	while (planted(RACE_OTHERS_WAIT) && ioctl != KVM_RUN && atomic_read(&vm_state_of(vcpu->kvm)->inside) &&
	       !signal_pending(current))
		usleep_range(1000, 2000);
	if (planted(RUN_DEAD_LIVES))
		vcpu->kvm->vm_dead = false;
	if (left_answers(vcpu, ioctl, argument, &error))
		return error;
	owner = left_enter(vcpu->kvm, true);
	error = ORIGINAL(VCPU_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
	left_leave(vcpu->kvm, owner);
	if (ioctl == KVM_HAS_DEVICE_ATTR)
		error = neighbour_has_attr(vcpu, argument, error);
	event_of_vcpu(vcpu, ioctl, argument, error);
	left_by_vcpu(vcpu, ioctl, argument, error);
	return error;
}

bool is_vcpu_file(const struct file *file)
{
	return file->f_op->unlocked_ioctl == ORIGINAL(VCPU_IOCTL, long (*)(struct file *, unsigned int, unsigned long));
}

static void planted_destroy_vm(struct kvm *kvm)
{
	left_closes(kvm);
	ORIGINAL(DESTROY_VM, void (*)(struct kvm *))(kvm);
	vm_state_free(kvm);
}

struct hook run_hooks[] = {
	[PID_CHANGE] = { "kvm_arch_vcpu_run_pid_change", planted_pid_change },
	[IOCTL_RUN] = { "kvm_arch_vcpu_ioctl_run", planted_ioctl_run },
	[PRECREATE] = { "kvm_arch_vcpu_precreate", planted_precreate },
	[POSTCREATE] = { "kvm_arch_vcpu_postcreate", planted_postcreate },
	[RESET_VCPU] = { "kvm_reset_vcpu", planted_reset_vcpu },
	[VCPU_IOCTL] = { "kvm_vcpu_ioctl", planted_vcpu_ioctl },
	[DESTROY_VM] = { "kvm_arch_destroy_vm", planted_destroy_vm },
	{}
};
