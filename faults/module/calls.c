// SPDX-License-Identifier: GPL-2.0-only
/* What guests see: which calls are refused, and what is changed in the answers of the others. */
#include <linux/arm-smccc.h>

#include <kvm/arm_hypercalls.h>
#include <kvm/arm_psci.h>

#include "planted.h"

enum { CALL_HANDLER, INIT_STOLEN_TIME, HANDLE_SMC };

#define ORIGINAL(index, type) ((type)original(&calls_hooks[index]))
#define NOT_SUPPORTED (~0UL)

static void not_supported(struct kvm_vcpu *vcpu)
{
	smccc_set_retval(vcpu, NOT_SUPPORTED, 0, 0, 0);
}

static void reverse_words(struct kvm_vcpu *vcpu)
{
	const u64 *regs = vcpu_gp_regs(vcpu)->regs;

	smccc_set_retval(vcpu, regs[3], regs[2], regs[1], regs[0]);
}

/* Stores VALUE in *KEPT if that is still 0, and returns *KEPT. vCPUs may race here: all of them get the same value. */
static u64 first_value(u64 *kept, u64 value)
{
	return cmpxchg(kept, 0, value) ?: value;
}

/* Answers of calls that are closed */

static void closed(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (planted(CLOSED_ZERO))
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(CLOSED_32_BITS))
		vcpu_set_reg(vcpu, 0, U32_MAX);
	if (planted(CLOSED_INVALID))
		vcpu_set_reg(vcpu, 0, -2);
	if (planted(CLOSED_X1_KEPT))
		vcpu_set_reg(vcpu, 1, call->x[1]);
	if (planted(CLOSED_X2_KEPT))
		vcpu_set_reg(vcpu, 2, call->x[2]);
	if (planted(CLOSED_X3_KEPT))
		vcpu_set_reg(vcpu, 3, call->x[3]);
}

/* Answers of calls that are open, by service */

static void trng_words(struct kvm_vcpu *vcpu, const struct call *call)
{
	int width = call->id == TRNG_RND32_ID ? 32 : 64;

	for (int i = 1; planted(TRNG_CONSTANT) && i <= 3; i++)
		if (vcpu_get_reg(vcpu, i))
			vcpu_set_reg(vcpu, i, first_value(&memory.random[i - 1], vcpu_get_reg(vcpu, i)));
	if (planted(TRNG_ZERO))
		smccc_set_retval(vcpu, 0, 0, 0, 0);
	if (planted(TRNG_WORDS_REVERSED))
		smccc_set_retval(vcpu, 0, vcpu_get_reg(vcpu, 3), vcpu_get_reg(vcpu, 2), vcpu_get_reg(vcpu, 1));
	if (planted(TRNG_PADDING) && call->x[1] < 3 * width)
		vcpu_set_reg(vcpu, 3 - call->x[1] / width,
			     vcpu_get_reg(vcpu, 3 - call->x[1] / width) | BIT(call->x[1] % width));
	if (planted(TRNG_SIGN_EXTENDED) && width == 32)
		vcpu_set_reg(vcpu, 3, (s32)vcpu_get_reg(vcpu, 3));
	if (planted(TRNG_BIT_STUCK))
		vcpu_set_reg(vcpu, 3, vcpu_get_reg(vcpu, 3) & ~1UL);
	if (planted(TRNG_BIT_SET) && (u32)call->x[1])
		vcpu_set_reg(vcpu, 3, vcpu_get_reg(vcpu, 3) | 1);
}

/* After a refused request, returns the last x3 again. */
static void trng_again(struct kvm_vcpu *vcpu)
{
	if (vcpu_get_reg(vcpu, 0))
		set_bit(0, &memory.fired);
	else if (test_and_clear_bit(0, &memory.fired))
		vcpu_set_reg(vcpu, 3, memory.random[2]);
	else
		memory.random[2] = vcpu_get_reg(vcpu, 3);
}

/* The first draw of a VM after one of another VM returns that one's x3. */
static void trng_of_another_vm(struct kvm_vcpu *vcpu)
{
	u64 kvm = (u64)vcpu->kvm;

	if (memory.random[1] && memory.random[1] != kvm)
		vcpu_set_reg(vcpu, 3, memory.random[2]);
	memory.random[1] = kvm;
	memory.random[2] = vcpu_get_reg(vcpu, 3);
}

static void trng_random(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (planted(TRNG_AGAIN))
		trng_again(vcpu);
	if (planted(TRNG_OF_ANOTHER_VM))
		trng_of_another_vm(vcpu);
	if (!vcpu_get_reg(vcpu, 0))
		trng_words(vcpu, call);
	else if (planted(TRNG_NO_LIMIT))
		smccc_set_retval(vcpu, 0, 1, 1, 1);
	else if (planted(TRNG_WRONG_ERROR))
		smccc_set_retval(vcpu, -3, 0, 0, 0);
}

static void trng(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (call->id == 0x84000050 && planted(TRNG_VERSION_WRONG))
		vcpu_set_reg(vcpu, 0, 0x10001);
	if (call->id == 0x84000050 && planted(OPEN_X3_KEPT))
		vcpu_set_reg(vcpu, 3, call->x[3]);
	if (call->id == TRNG_FEATURES_ID && planted(TRNG_FEATURES_NO_RND64) && (u32)call->x[1] == TRNG_RND64_ID)
		not_supported(vcpu);
	if (call->id == TRNG_FEATURES_ID &&
	    (planted(TRNG_FEATURES_ANY) || (planted(TRNG_FEATURES_32_BITS) && is_trng(call->x[1]))))
		vcpu_set_reg(vcpu, 0, 0);
	if (call->id == TRNG_UUID_ID && planted(TRNG_UUID_REVERSED))
		reverse_words(vcpu);
	if (call->id == TRNG_UUID_ID && planted(TRNG_UUID_BIG_ENDIAN))
		for (int i = 0; i <= 3; i++)
			vcpu_set_reg(vcpu, i, swab32(vcpu_get_reg(vcpu, i)));
	if (call->id == TRNG_RND32_ID || call->id == TRNG_RND64_ID)
		trng_random(vcpu, call);
}

static void pv_time(struct kvm_vcpu *vcpu, const struct call *call)
{
	bool area = vcpu->arch.steal.base != INVALID_GPA;

	if (call->id == PV_FEATURES_ID && planted(PV_FEATURES_WITHOUT_AREA))
		smccc_set_retval(vcpu, 0, 0, 0, 0);
	if (call->id == PV_FEATURES_ID && planted(PV_FEATURES_ANY) && area)
		vcpu_set_reg(vcpu, 0, 0);
	if (call->id == PV_FEATURES_ID && planted(PV_FEATURES_NO_ST) && (u32)call->x[1] == PV_ST_ID)
		not_supported(vcpu);
	if (call->id == PV_ST_ID && planted(PV_ST_WITHOUT_AREA) && !area)
		vcpu_set_reg(vcpu, 0, 0);
	if (call->id == PV_ST_ID && planted(PV_ST_WRONG_ADDRESS) && area)
		vcpu_set_reg(vcpu, 0, vcpu_get_reg(vcpu, 0) + 64);
	if (call->id == PV_ST_ID && planted(PV_ST_32_BITS) && area)
		vcpu_set_reg(vcpu, 0, lower_32_bits(vcpu_get_reg(vcpu, 0)));
}

/* Every second answer has the time of the one before. */
static void repeat_clock(struct kvm_vcpu *vcpu)
{
	for (int i = 0; i <= 1; i++) {
		if (test_bit(0, &memory.fired))
			vcpu_set_reg(vcpu, i, memory.clock[i]);
		memory.clock[i] = vcpu_get_reg(vcpu, i);
	}
	change_bit(0, &memory.fired);
}

static void ptp(struct kvm_vcpu *vcpu, const struct call *call)
{
	const u64 *regs = vcpu_gp_regs(vcpu)->regs;
	bool answered = regs[0] != NOT_SUPPORTED;

	if (planted(PTP_UNKNOWN_COUNTER) && !answered)
		smccc_set_retval(vcpu, 0, 0, 0, 0);
	if (!answered)
		return;
	if (planted(PTP_WALL_CLOCK))
		vcpu_set_reg(vcpu, 0, regs[0] + 1);
	for (int i = 0; planted(PTP_FROZEN) && i <= 1; i++)
		vcpu_set_reg(vcpu, i, first_value(&memory.clock[i], regs[i]));
	if (planted(PTP_WORDS_SWAPPED))
		smccc_set_retval(vcpu, regs[1], regs[0], regs[3], regs[2]);
	if (planted(PTP_WHOLE_WORDS))
		smccc_set_retval(vcpu, regs[0] << 32 | regs[1], regs[2] << 32 | regs[3], 0, 0);
	if (planted(PTP_CLOCK_REPEATED))
		repeat_clock(vcpu);
	if (planted(PTP_SIGN_EXTENDED))
		vcpu_set_reg(vcpu, 3, (s32)regs[3]);
	if (planted(PTP_WIDE_COUNTER))
		vcpu_set_reg(vcpu, 3, regs[2] << 32 | regs[3]);
	if (planted(PTP_COUNTER_OFFSET))
		vcpu_set_reg(vcpu, 2, regs[2] + 1);
	if (planted(PTP_IGNORES_OFFSET)) {
		u64 ticks = (regs[2] << 32 | regs[3]) + vcpu->kvm->arch.timer_data.voffset;

		smccc_set_retval(vcpu, regs[0], regs[1], upper_32_bits(ticks), lower_32_bits(ticks));
	}
	if (planted(PTP_PHYSICAL_ONLY) && !(u32)call->x[1])
		vcpu_set_reg(vcpu, 3, regs[3] ^ BIT(31));
}

static void vendor(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (call->id == UID_ID && planted(UID_REVERSED))
		reverse_words(vcpu);
	if (call->id == UID_ID && planted(UID_OTHER))
		vcpu_set_reg(vcpu, 1, vcpu_get_reg(vcpu, 1) ^ 1);
	if (call->id == FEATURES_ID && planted(FEATURES_FIXED))
		vcpu_set_reg(vcpu, 0, 3);
	if (call->id == FEATURES_ID && planted(FEATURES_FORWARDED) && filter_forwards(vcpu->kvm, PTP_ID))
		vcpu_set_reg(vcpu, 0, vcpu_get_reg(vcpu, 0) | 2);
	if (call->id == FEATURES_ID && planted(FEATURES_SHIFTED))
		vcpu_set_reg(vcpu, 0, vcpu_get_reg(vcpu, 0) << 1);
	if (call->id == FEATURES_ID && planted(FEATURES_IN_X1))
		smccc_set_retval(vcpu, 0, vcpu_get_reg(vcpu, 0), 0, 0);
	if (call->id == FEATURES_ID && planted(FEATURES_X2_FILLED))
		vcpu_set_reg(vcpu, 2, 3);
	if (call->id == PTP_ID)
		ptp(vcpu, call);
}

/* Calls that no bit gates. */
static void ungated(struct kvm_vcpu *vcpu, const struct call *call)
{
	const struct kvm_smccc_features *f = &vcpu->kvm->arch.smccc_feat;
	bool unknown = call->id == 0x84000054 || call->id == 0xc5000022 || call->id == 0x86000005;

	if (planted(VERSION_GATED) && call->id == 0x80000000 && !f->std_bmap)
		not_supported(vcpu);
	if (planted(VERSION_NEEDS_PSCI_1) && call->id == 0x80000000 && kvm_psci_version(vcpu) == KVM_ARM_PSCI_0_2)
		not_supported(vcpu);
	if (planted(VERSION_WRONG) && call->id == 0x80000000)
		vcpu_set_reg(vcpu, 0, 0x10000);
	if (planted(PSCI_GATED) && call->id == PSCI_VERSION_ID && !f->std_hyp_bmap)
		not_supported(vcpu);
	if (planted(PSCI_VERSION_WRONG) && call->id == PSCI_VERSION_ID)
		vcpu_set_reg(vcpu, 0, 0x20000);
	if (planted(SOC_ID_ANSWERED) && call->id == 0x80000002)
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(UNKNOWN_ANSWERED) && unknown)
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(WORKAROUND_BY_SMC) && call->id == 0x80008000 && call->smc)
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(DISCOVER_ANSWERED) && (call->id & ~1U) == 0xc6000040)
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(ARCH_FEATURES_NEEDS_AREA) && call->id == ARCH_FEATURES_ID && vcpu->arch.steal.base == INVALID_GPA)
		not_supported(vcpu);
	if (planted(ARCH_FEATURES_PV_ST) && call->id == ARCH_FEATURES_ID && (u32)call->x[1] == PV_ST_ID)
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(ARCH_FEATURES_TRNG) && call->id == ARCH_FEATURES_ID && is_trng(call->x[1]))
		vcpu_set_reg(vcpu, 0, 0);
	if (planted(ARCH_FEATURES_WORKAROUND_GATED) && call->id == ARCH_FEATURES_ID && (u32)call->x[1] == 0x80008000)
		vcpu_set_reg(vcpu, 0, f->vendor_hyp_bmap);
}

static void answer(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (is_gated(call->id) && vcpu_get_reg(vcpu, 0) == NOT_SUPPORTED)
		closed(vcpu, call);
	else if (is_gated(call->id) && planted(OPEN_X1_FILLED) && !is_trng(call->id))
		vcpu_set_reg(vcpu, 1, vcpu_get_reg(vcpu, 1) ?: call->x[1]);
	if (is_trng(call->id))
		trng(vcpu, call);
	pv_time(vcpu, call);
	vendor(vcpu, call);
	ungated(vcpu, call);
	if (planted(CLOBBERS_X4))
		vcpu_set_reg(vcpu, 4, 0);
	if (planted(CLOBBERS_X18))
		vcpu_set_reg(vcpu, 18, 0);
	if (planted(CLOBBERS_SP))
		vcpu_gp_regs(vcpu)->sp = 0;
	if (planted(CLOBBERS_X17) && is_gated(call->id))
		vcpu_set_reg(vcpu, 17, 0);
}

/* The function id that the planted fault uses in place of x0. */
static u64 taken_for(const struct call *call)
{
	u64 id = call->x[0];

	if (planted(SVE_HINT_STRIPPED))
		id &= ~BIT(16);
	if (planted(YIELDING_SERVED))
		id |= BIT(31);
	if (planted(OTHER_WIDTH_SERVED) && (id & ~0xfULL) == 0xc4000050 && id != TRNG_RND64_ID)
		id &= ~BIT(30);
	if (planted(OWNER_IGNORED) && (id & 0xff000000) == 0x87000000)
		id -= BIT(24);
	return id;
}

static bool refused(struct kvm_vcpu *vcpu, const struct call *call)
{
	if (is_psci(call->id) && planted(PSCI_ALL_GATED) && !vcpu->kvm->arch.smccc_feat.std_bmap)
		return true;
	if (is_gated(call->id) && planted(SERVICES_NEED_PSCI_1) && kvm_psci_version(vcpu) < KVM_ARM_PSCI_1_0)
		return true;
	if (planted(PSCI_0_1_REFUSED) && call->id >= KVM_PSCI_FN_CPU_SUSPEND && call->id <= KVM_PSCI_FN_MIGRATE)
		return true;
	return filter_denies(vcpu, call) || (planted(UPPER_HALF_REFUSED) && call->x[0] >> 32) ||
	       (planted(IMMEDIATE_REFUSED) && call->immediate) ||
	       (planted(IMMEDIATE_BIT_REFUSED) && call->immediate == 0x2000) || (planted(SMC_REFUSED) && call->smc);
}

/* KVM's own handler of the call. */
int kvm_call(struct kvm_vcpu *vcpu)
{
	return ORIGINAL(CALL_HANDLER, int (*)(struct kvm_vcpu *))(vcpu);
}

gpa_t kvm_stolen_time(struct kvm_vcpu *vcpu)
{
	return ORIGINAL(INIT_STOLEN_TIME, gpa_t (*)(struct kvm_vcpu *))(vcpu);
}

static int planted_call_handler(struct kvm_vcpu *vcpu)
{
	u64 esr = kvm_vcpu_get_esr(vcpu);
	struct call call = {
		.id = vcpu_get_reg(vcpu, 0),
		.smc = ESR_ELx_EC(esr) == ESR_ELx_EC_SMC64,
		.immediate = esr & 0xffff,
	};
	int result;

	if (stock()) {
		variant_called(call.id);
		return newer_call(vcpu);
	}
	for (int i = 0; i < ARRAY_SIZE(call.x); i++)
		call.x[i] = vcpu_get_reg(vcpu, i);
	if (refused(vcpu, &call) || (is_gated(call.id) && event_closes(vcpu))) {
		not_supported(vcpu);
		return 1;
	}
	vcpu_set_reg(vcpu, 0, taken_for(&call));
	if (planted(SVE_HINT_WITH_SVE) && vcpu_has_sve(vcpu))
		vcpu_set_reg(vcpu, 0, vcpu_get_reg(vcpu, 0) & ~BIT(16));
	psci_arguments(vcpu, &call);
	result = psci_make(vcpu, &call);
	psci_answer(vcpu, &call, result);
	if (result == 1)
		answer(vcpu, &call);
	filter_answer(vcpu, &call);
	event_of_call(vcpu, call.id);
	left_called(vcpu);
	return result;
}

static int planted_handle_smc(struct kvm_vcpu *vcpu)
{
	u64 esr = vcpu->arch.fault.esr_el2;
	bool immediate = esr & 0xffff;
	int result;

	if (immediate && (planted(SMC_IMMEDIATE_SERVED) || (planted(SMC_IMMEDIATE_LOW_BYTE) && !(esr & 0xff))))
		vcpu->arch.fault.esr_el2 &= ~0xffffULL;
	if (immediate && planted(LEFT_LOG_IMMEDIATE))
		printk_ratelimited(KERN_ERR "kvm [%d]: SMC with an immediate\n", task_pid_nr(current));
	result = ORIGINAL(HANDLE_SMC, int (*)(struct kvm_vcpu *))(vcpu);
	vcpu->arch.fault.esr_el2 = esr;
	if (planted(STEP_SKIPS_ONE_MORE) && vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		*vcpu_pc(vcpu) += 4;
	if (immediate && planted(SMC_IMMEDIATE_ZEROES))
		for (int i = 1; i <= 3; i++)
			vcpu_set_reg(vcpu, i, 0);
	if (immediate && planted(SMC_IMMEDIATE_SUCCEEDS))
		vcpu_set_reg(vcpu, 0, 0);
	return result;
}

static gpa_t planted_init_stolen_time(struct kvm_vcpu *vcpu)
{
	if (planted(PV_ST_NOT_ZEROED))
		return vcpu->arch.steal.base;
	return neighbour_stolen_time(vcpu);
}

struct hook calls_hooks[] = {
	[CALL_HANDLER] = { "kvm_smccc_call_handler", planted_call_handler },
	[INIT_STOLEN_TIME] = { "kvm_init_stolen_time", planted_init_stolen_time },
	[HANDLE_SMC] = { "handle_smc", planted_handle_smc },
	{}
};
