// SPDX-License-Identifier: GPL-2.0-only
/* The state that faults keep for each VM while it exists, and for all VMs. */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "planted.h"

struct fault_memory memory;

/* Indexed by the address of struct kvm.  Hold xa_lock to iterate over the states, so that none is freed meanwhile. */
static DEFINE_XARRAY(states);

/*
 * The state of an existing VM, allocated at its first use.  The hooks cannot
 * report a failed allocation, so the allocation must not fail.
 */
struct vm_state *vm_state_of(struct kvm *kvm)
{
	struct vm_state *state = xa_load(&states, (unsigned long)kvm), *other;

	if (state)
		return state;
	state = kzalloc(sizeof(*state), GFP_KERNEL | __GFP_NOFAIL);
	other = xa_cmpxchg(&states, (unsigned long)kvm, NULL, state, GFP_KERNEL | __GFP_NOFAIL);
	if (!other)
		return state;
	kfree(state);
	return other;
}

/* Does not reset the number of vCPUs in KVM_RUN: each of them decrements it when it returns. */
static void reset(struct vm_state *state)
{
	memset_after(state, 0, inside);
}

void vm_state_reset(struct kvm *kvm)
{
	reset(vm_state_of(kvm));
}

void vm_state_free(struct kvm *kvm)
{
	kfree(xa_erase(&states, (unsigned long)kvm));
}

bool any_vm_ran(void)
{
	struct vm_state *state;
	unsigned long index;
	bool ran = false;

	xa_lock(&states);
	xa_for_each(&states, index, state)
		ran |= !bitmap_empty(state->ran, KVM_MAX_VCPUS);
	xa_unlock(&states);
	return ran;
}

/* The number of states: one for each VM that exists. */
static int get_vms(char *text, const struct kernel_param *param)
{
	struct vm_state *state;
	unsigned long index;
	int count = 0;

	xa_for_each(&states, index, state)
		count++;
	return sysfs_emit(text, "%d\n", count);
}

static const struct kernel_param_ops vms_ops = { .get = get_vms };

module_param_cb(vms, &vms_ops, NULL, 0444);

/* Called when a fault or a dialect is planted. */
void forget_all(void)
{
	struct vm_state *state;
	unsigned long index;

	xa_lock(&states);
	xa_for_each(&states, index, state)
		reset(state);
	xa_unlock(&states);
	memset(&memory, 0, sizeof(memory));
}

/* Called when the module is unloaded, after the last replacement has returned. */
void free_all(void)
{
	struct vm_state *state;
	unsigned long index;

	xa_for_each(&states, index, state)
		kfree(state);
	xa_destroy(&states);
}
