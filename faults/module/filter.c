// SPDX-License-Identifier: GPL-2.0-only
/* The SMCCC filter: which filters are accepted, and which calls they apply to. */
#include <linux/maple_tree.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "planted.h"

enum { SET_ATTR, HAS_ATTR };

#define ORIGINAL(index) ((int (*)(struct kvm *, struct kvm_device_attr *))original(&filter_hooks[index]))

static bool is_reserved(u32 id)
{
	return (id & ~0x4000ffffU) == 0x80000000;
}

static int error_of(const struct kvm_smccc_filter *filter, int error)
{
	bool padded = memchr_inv(filter->pad, 0, sizeof(filter->pad));

	if (error == -EINVAL && (planted(FILTER_INVALID_SILENT) || (planted(FILTER_PADDING_IGNORED) && padded)))
		return 0;
	if (error == -EEXIST &&
	    (planted(FILTER_OVERLAP_SILENT) || (planted(FILTER_RESERVED_TAKEN) && is_reserved(filter->base))))
		return 0;
	if (error == -EBUSY && planted(FILTER_BUSY_SILENT))
		return 0;
	if (error && !filter->nr_functions && !filter->base && planted(FILTER_EMPTY_SILENT))
		return 0;
	if (error == -EINVAL && planted(FILTER_ERRNO))
		return -EPERM;
	return error == -EEXIST && planted(FILTER_OVERLAP_ERRNO) ? -EBUSY : error;
}

static bool unlocked(struct kvm *kvm)
{
	return planted(FILTER_NOT_LOCKED) ||
	       (planted(FILTER_LOCK_LATE) && bitmap_empty(vm_state_of(kvm)->entered, KVM_MAX_VCPUS));
}

/* Installs a filter as KVM does in a VM that has not run. */
int filter_insert(struct kvm *kvm, const struct kvm_smccc_filter *filter)
{
	u32 last = filter->base + filter->nr_functions - 1;
	int error;

	if (is_reserved(filter->base) || is_reserved(last))
		return -EEXIST;
	mutex_lock(&kvm->arch.config_lock);
	error = mtree_insert_range(&kvm->arch.smccc_filter, filter->base, last, xa_mk_value(filter->action),
				   GFP_KERNEL_ACCOUNT);
	mutex_unlock(&kvm->arch.config_lock);
	return error;
}

/* Checks the filter of the first read, but installs the filter of a second read, or a mixture of both. */
static int insert_read_twice(struct kvm *kvm, const struct kvm_smccc_filter *first, const void __user *from)
{
	struct kvm_smccc_filter second;
	u32 end;

	if (!first->nr_functions || first->base + first->nr_functions < first->base ||
	    first->action >= NR_SMCCC_FILTER_ACTIONS || memchr_inv(first->pad, 0, sizeof(first->pad)))
		return -EINVAL;
	if (copy_from_user(&second, from, sizeof(second)))
		return -EFAULT;
	if (planted(RACE_RANGE_TWICE)) {
		end = second.base + second.nr_functions;
		second = *first;
		second.nr_functions = end - first->base;
	}
	return kvm_vm_has_ran_once(kvm) ? -EBUSY : filter_insert(kvm, &second);
}

static int planted_set_attr(struct kvm *kvm, struct kvm_device_attr *attr)
{
	struct kvm_smccc_filter filter = {};
	bool readable = !copy_from_user(&filter, (void __user *)attr->addr, sizeof(filter));
	u64 more;
	int error;

	if (planted(FILTER_BUSY_FIRST) && kvm_vm_has_ran_once(kvm))
		return -EBUSY;
	if (readable && (planted(RACE_FILTER_TWICE) || planted(RACE_RANGE_TWICE)))
		return insert_read_twice(kvm, &filter, (void __user *)attr->addr);
	if (readable && planted(FILTER_READS_MORE) && get_user(more, (u64 __user *)attr->addr + 4))
		return -EFAULT;
	if (planted(FILTER_TWENTIETH_LOST) && ++vm_state_of(kvm)->writes == 20)
		return 0;
	error = ORIGINAL(SET_ATTR)(kvm, attr);
	if (error == -EBUSY && readable && unlocked(kvm))
		error = filter_insert(kvm, &filter);
	if (!error)
		vm_state_of(kvm)->filter = filter;
	if (!error && planted(FILTER_CLEARS_BIT) && filter.base == PTP_ID)
		kvm->arch.smccc_feat.vendor_hyp_bmap &= ~2UL;
	if (!error && filter.action == KVM_SMCCC_FILTER_DENY)
		memory.denied = filter.base;
	if (error && readable && planted(FILTER_REFUSED_APPLIES))
		vm_state_of(kvm)->denied = filter.base;
	if (!readable)
		return error == -EFAULT && planted(FILTER_FAULT_ERRNO) ? -EINVAL : error;
	return error_of(&filter, error);
}

static int planted_has_attr(struct kvm *kvm, struct kvm_device_attr *attr)
{
	if (planted(FILTER_ABSENT) || (planted(FILTER_HAS_AFTER_RUN) && kvm_vm_has_ran_once(kvm)))
		return -ENXIO;
	if (planted(FILTER_HAS_POINTER) && !access_ok((void __user *)attr->addr, sizeof(struct kvm_smccc_filter)))
		return -EFAULT;
	return planted(FILTER_OTHER_ATTRIBUTES) ? 0 : ORIGINAL(HAS_ATTR)(kvm, attr);
}

/* The filter's action for a function plus 1, or 0 if no filter contains it. */
static unsigned long action_of(struct kvm *kvm, u32 id)
{
	void *entry = mtree_load(&kvm->arch.smccc_filter, id);

	return entry ? xa_to_value(entry) + 1 : 0;
}

bool filter_forwards(struct kvm *kvm, u32 id)
{
	return action_of(kvm, id) == KVM_SMCCC_FILTER_FWD_TO_USER + 1;
}

/* Whether the filter denies the call or forwards it to user space. */
bool filter_stops(struct kvm_vcpu *vcpu, const struct call *call)
{
	return action_of(vcpu->kvm, call->id) > KVM_SMCCC_FILTER_HANDLE + 1;
}

/* Whether the planted fault serves a call that the filter stops. */
bool filter_ignored(struct kvm_vcpu *vcpu, const struct call *call)
{
	bool closed = !vcpu->kvm->arch.smccc_feat.std_bmap && is_trng(call->id);

	return planted(FILTER_IGNORED) || (planted(FILTER_HVC_ONLY) && call->smc) ||
	       (planted(FILTER_WHOLE_X0) && call->x[0] >> 32) ||
	       (planted(FILTER_SPARES_PSCI) && is_psci(call->id)) ||
	       (planted(FILTER_IMMEDIATE_COUNTS) && call->immediate) ||
	       (planted(FILTER_FIRST_VCPU) && vcpu->vcpu_idx) || (planted(FILTER_AFTER_BITMAPS) && closed) ||
	       (planted(FILTER_ONE_LESS) && !action_of(vcpu->kvm, call->id + 1));
}

bool filter_denies(struct kvm_vcpu *vcpu, const struct call *call)
{
	struct kvm *kvm = vcpu->kvm;

	return (planted(FILTER_REFUSED_APPLIES) && vm_state_of(kvm)->denied == call->id) ||
	       (planted(FILTER_OF_ANOTHER_VM) && memory.denied == call->id) ||
	       (planted(FILTER_ONE_MORE) && !action_of(kvm, call->id) &&
		action_of(kvm, call->id - 1) == KVM_SMCCC_FILTER_DENY + 1);
}

bool filter_handles(struct kvm_vcpu *vcpu, const struct call *call)
{
	return action_of(vcpu->kvm, call->id) == KVM_SMCCC_FILTER_HANDLE + 1;
}

/* Reports an HVC as an SMC if the call before it was a forwarded SMC of the same function. */
static void keep_conduit(struct kvm_vcpu *vcpu, const struct call *call)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);

	if (!call->smc && state->smc == call->id + 1ULL)
		vcpu->run->hypercall.flags |= KVM_HYPERCALL_EXIT_SMC;
	state->smc = call->smc ? call->id + 1ULL : 0;
}

/* Called after a call to which the filter may have applied. */
void filter_answer(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (planted(FILTER_DENIED_X1_KEPT) && action_of(vcpu->kvm, call->id) == KVM_SMCCC_FILTER_DENY + 1)
		vcpu_set_reg(vcpu, 1, call->x[1]);
	if (vcpu->run->exit_reason != KVM_EXIT_HYPERCALL)
		return;
	if (planted(FILTER_RECORD_KEPT))
		keep_conduit(vcpu, call);
	if (planted(FILTER_RECORD_FLAGS))
		vcpu->run->hypercall.flags ^= KVM_HYPERCALL_EXIT_SMC;
	if (planted(FILTER_RECORD_NUMBER))
		vcpu->run->hypercall.nr = call->x[0] ^ 1;
	if (planted(FILTER_RECORD_ARGUMENTS))
		vcpu->run->hypercall.args[0] = call->x[1];
	if (planted(FILTER_PC_AT_CALL) && !call->smc)
		*vcpu_pc(vcpu) -= 4;
	if (planted(FILTER_EXIT_CLOBBERS))
		vcpu_set_reg(vcpu, 0, ~0UL);
}

/* Called before KVM_RUN, which may complete an earlier exit. */
void filter_resume(struct kvm_vcpu *vcpu)
{
	if (planted(FILTER_RET_COUNTS) && vcpu->run->exit_reason == KVM_EXIT_HYPERCALL)
		vcpu_set_reg(vcpu, 0, vcpu->run->hypercall.ret);
}

struct hook filter_hooks[] = {
	[SET_ATTR] = { "kvm_vm_smccc_set_attr", planted_set_attr },
	[HAS_ATTR] = { "kvm_vm_smccc_has_attr", planted_has_attr },
	{}
};
