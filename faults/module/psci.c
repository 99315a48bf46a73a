// SPDX-License-Identifier: GPL-2.0-only
/* Arguments of PSCI calls, and the exits of those that end or suspend the system. */
#include <kvm/arm_psci.h>

#include "planted.h"

#define WIDE BIT(30)
#define CPU_SUSPEND 0x84000001
#define CPU_OFF 0x84000002
#define CPU_ON 0x84000003
#define AFFINITY_INFO 0x84000004
#define PSCI_FEATURES 0x8400000a
#define SYSTEM_SUSPEND 0x8400000e
#define SYSTEM_RESET2 0x84000012
#define FIRST_VENDOR_RESET 0x80000000
#define INVALID_PARAMETERS (-2UL)
#define ALREADY_ON (-4UL)
#define DENIED (-3UL)
#define POWER_DOWN BIT(16)
#define EXTENDED_POWER_DOWN BIT(30)

static u32 narrow(const struct call *call)
{
	return call->id & ~WIDE;
}

static void mask(struct kvm_vcpu *vcpu, int number, u64 bits)
{
	vcpu_set_reg(vcpu, number, vcpu_get_reg(vcpu, number) & bits);
}

/* Looks the vCPU up by its id, and not by its MPIDR_EL1. */
static void target_by_id(struct kvm_vcpu *vcpu)
{
	u64 affinity = vcpu_get_reg(vcpu, 1);
	struct kvm_vcpu *other = affinity < 16 ? kvm_get_vcpu_by_id(vcpu->kvm, affinity) : NULL;

	if (other)
		vcpu_set_reg(vcpu, 1, ctxt_sys_reg(&other->arch.ctxt, MPIDR_EL1) & MPIDR_HWID_BITMASK);
}

static void target(struct kvm_vcpu *vcpu, const struct call *call)
{
	bool on = narrow(call) == CPU_ON;

	if (planted(PSCI_TARGET_BY_ID))
		target_by_id(vcpu);
	if (planted(PSCI_ID_WIDE))
		vcpu_set_reg(vcpu, 0, call->id | WIDE);
	if (planted(PSCI_ID_NARROW))
		vcpu_set_reg(vcpu, 0, narrow(call));
	if (planted(PSCI_RESERVED_BITS) || (on && planted(PSCI_ON_RESERVED_BITS)))
		mask(vcpu, 1, MPIDR_HWID_BITMASK);
	if (planted(PSCI_RESERVED_BIT_31))
		mask(vcpu, 1, ~BIT(31));
}

static void cpu_on(struct kvm_vcpu *vcpu)
{
	if (planted(PSCI_CONTEXT_LOST) || (planted(PSCI_CONTEXT_AT_0) && !vcpu_get_reg(vcpu, 2)))
		vcpu_set_reg(vcpu, 3, 0);
	if (planted(PSCI_CONTEXT_32_BITS))
		mask(vcpu, 3, U32_MAX);
	if (planted(PSCI_ENTRY_32_BITS))
		mask(vcpu, 2, U32_MAX);
}

static void affinity_info(struct kvm_vcpu *vcpu)
{
	u32 level = vcpu_get_reg(vcpu, 2);

	if (planted(PSCI_LEVEL_IGNORED) && level <= 3)
		vcpu_set_reg(vcpu, 2, 0);
	if (planted(PSCI_LEVEL_4) && level == 4)
		vcpu_set_reg(vcpu, 2, 3);
}

/* Called before KVM makes the call. */
void psci_arguments(struct kvm_vcpu *vcpu, const struct call *call)
{
	u32 id = narrow(call), type = call->x[1];

	if (id == CPU_ON || id == AFFINITY_INFO)
		target(vcpu, call);
	if (id == CPU_ON)
		cpu_on(vcpu);
	if (id == AFFINITY_INFO)
		affinity_info(vcpu);
	if (id == SYSTEM_RESET2 && planted(SYSTEM_ANY_TYPE) && type < FIRST_VENDOR_RESET)
		vcpu_set_reg(vcpu, 1, 0);
	if (id == SYSTEM_SUSPEND && planted(SYSTEM_SUSPEND_ALWAYS))
		set_bit(KVM_ARCH_FLAG_SYSTEM_SUSPEND_ENABLED, &vcpu->kvm->arch.flags);
}

static void set_state(struct kvm_vcpu *vcpu, u32 state)
{
	WRITE_ONCE(vcpu->arch.mp_state.mp_state, state);
}

/* Called for a call that exits with KVM_EXIT_SYSTEM_EVENT. */
static void left(struct kvm_vcpu *vcpu, const struct call *call)
{
	struct kvm_vcpu *other;
	unsigned long i;

	if (planted(SYSTEM_NO_DATA))
		vcpu->run->system_event.ndata = 0;
	if (planted(SYSTEM_FLAG_MISSING) || planted(SYSTEM_FLAG_ALWAYS))
		vcpu->run->system_event.data[0] = planted(SYSTEM_FLAG_ALWAYS);
	if (planted(SYSTEM_TYPE_OTHER))
		vcpu->run->system_event.type ^= 3;
	if (planted(SYSTEM_X0_SUCCESS))
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(SYSTEM_PC_AT_CALL) && !call->smc)
		*vcpu_pc(vcpu) -= 4;
	for (int n = 1; planted(SYSTEM_ARGUMENTS_LOST) && n <= 3; n++)
		vcpu_set_reg(vcpu, n, 0);
	kvm_for_each_vcpu(i, other, vcpu->kvm) {
		if (planted(SYSTEM_OTHERS_RUN) && other != vcpu)
			set_state(other, KVM_MP_STATE_RUNNABLE);
		if (planted(SYSTEM_STOPPED_RUN))
			kvm_clear_request(KVM_REQ_SLEEP, other);
	}
	if (planted(SYSTEM_CALLER_RUNS))
		set_state(vcpu, KVM_MP_STATE_RUNNABLE);
}

static void suspended(struct kvm_vcpu *vcpu)
{
	if (planted(SYSTEM_SUSPEND_X1_LOST))
		vcpu_set_reg(vcpu, 1, 0);
	if (planted(SYSTEM_SUSPEND_STOPS) && vcpu->vcpu_idx)
		set_state(vcpu, KVM_MP_STATE_STOPPED);
}

static void restart(struct kvm_vcpu *vcpu, const struct call *call)
{
	struct kvm_vcpu *other = kvm_get_vcpu_by_id(vcpu->kvm, call->x[1] & 0xf);

	if (!other || other == vcpu)
		return;
	other->arch.reset_state = (struct vcpu_reset_state) { .pc = call->x[2], .r0 = call->x[3], .reset = true };
	kvm_make_request(KVM_REQ_VCPU_RESET, other);
}

static void turned_off(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu *other;
	unsigned long i, on = 0;

	kvm_for_each_vcpu(i, other, vcpu->kvm)
		on += !is_stopped(other);
	if (planted(CPU_OFF_LAST_DENIED) && !on && i > 1) {
		set_state(vcpu, KVM_MP_STATE_RUNNABLE);
		kvm_clear_request(KVM_REQ_SLEEP, vcpu);
		vcpu_set_reg(vcpu, 0, DENIED);
	}
	if (planted(CPU_OFF_RETURNS))
		set_state(vcpu, KVM_MP_STATE_RUNNABLE);
	kvm_for_each_vcpu(i, other, vcpu->kvm)
		if (planted(CPU_OFF_STOPS_ALL))
			set_state(other, KVM_MP_STATE_STOPPED);
}

static void returned(struct kvm_vcpu *vcpu, const struct call *call)
{
	u32 id = narrow(call);
	bool already_on = id == CPU_ON && vcpu_get_reg(vcpu, 0) == ALREADY_ON;

	if (id == CPU_OFF)
		turned_off(vcpu);
	if (id == PSCI_FEATURES && planted(PSCI_FEATURES_WIDE) && call->x[1] >> 32)
		vcpu_set_reg(vcpu, 0, ~0UL);
	if (id == AFFINITY_INFO && planted(PSCI_LEVEL_OFF) && (u32)call->x[2] && !vcpu_get_reg(vcpu, 0))
		vcpu_set_reg(vcpu, 0, 1);
	if (already_on && planted(PSCI_ON_RESTARTS))
		restart(vcpu, call);
	if (id == CPU_ON && planted(PSCI_ON_LATE) && call->x[1] && call->x[1] == vm_state_of(vcpu->kvm)->late)
		vcpu_set_reg(vcpu, 0, INVALID_PARAMETERS);
	if (already_on && planted(PSCI_ON_TWICE))
		vcpu_set_reg(vcpu, 0, 0);
	if (id == CPU_SUSPEND && planted(SUSPEND_POWER_DOWN) && call->x[1] & POWER_DOWN)
		vcpu_set_reg(vcpu, 0, INVALID_PARAMETERS);
	if (id == CPU_SUSPEND && planted(SUSPEND_EXTENDED) && call->x[1] & EXTENDED_POWER_DOWN)
		vcpu_set_reg(vcpu, 0, INVALID_PARAMETERS);
	if (id == CPU_SUSPEND && planted(SUSPEND_CLOBBERS_X5))
		vcpu_set_reg(vcpu, 5, 0);
}

/* Makes the call. */
int psci_make(struct kvm_vcpu *vcpu, const struct call *call)
{
	struct mutex *lock = &vcpu->kvm->arch.config_lock;
	bool locks = narrow(call) == CPU_SUSPEND && planted(SUSPEND_HOLDS_LOCK);
	int result;

	if (locks)
		mutex_lock(lock);
	result = make_call(vcpu, call);
	if (locks)
		mutex_unlock(lock);
	return result;
}

/* Called after KVM has made the call. RESULT is 1 if the guest continues, 0 if KVM_RUN returns to user space. */
void psci_answer(struct kvm_vcpu *vcpu, const struct call *call, int result)
{
	if (!is_psci(call->id))
		return;
	if (result)
		returned(vcpu, call);
	else if (vcpu->run->exit_reason == KVM_EXIT_SYSTEM_EVENT && narrow(call) == SYSTEM_SUSPEND)
		suspended(vcpu);
	else if (vcpu->run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
		left(vcpu, call);
}

/* Called before KVM_RUN. */
void psci_resume(struct kvm_vcpu *vcpu)
{
	if (planted(SYSTEM_RUN_WAKES) && vcpu->run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
		set_state(vcpu, KVM_MP_STATE_RUNNABLE);
}
