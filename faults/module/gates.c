// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates: which bits open which calls.  For each call, a fault changes a copy of
 * the VM's bitmaps.  If the copy then differs from the VM's bitmaps, the call is
 * served here.  The VM's bitmaps stay unchanged, because all vCPUs and user
 * space read them.
 */
#include <linux/timekeeping.h>

#include <clocksource/arm_arch_timer.h>
#include <kvm/arm_hypercalls.h>
#include <kvm/arm_psci.h>

#include "planted.h"

enum { TRNG_CALL, PSCI_CALL };

#define ORIGINAL(index) ((int (*)(struct kvm_vcpu *))original(&gates_hooks[index]))

bool is_gated(u32 id)
{
	return is_trng(id) || id == PV_FEATURES_ID || id == PV_ST_ID || id == UID_ID || id == FEATURES_ID ||
	       id == PTP_ID;
}

static void open_gates(struct kvm_smccc_features *f, const struct call *call)
{
	if (planted(GATE_TRNG_OPEN) || (planted(GATE_TRNG_UUID_OPEN) && call->id == TRNG_UUID_ID) ||
	    (planted(GATE_RND64_OPEN) && call->id == TRNG_RND64_ID))
		f->std_bmap |= 1;
	if (planted(GATE_PV_TIME_OPEN) || (planted(GATE_PV_ST_OPEN) && call->id == PV_ST_ID) ||
	    (planted(GATE_ARCH_FEATURES_OPEN) && call->id == ARCH_FEATURES_ID))
		f->std_hyp_bmap |= 1;
	if ((planted(GATE_UID_OPEN) && call->id == UID_ID))
		f->vendor_hyp_bmap |= 1;
	if (planted(GATE_PTP_OPEN) && call->id == PTP_ID)
		f->vendor_hyp_bmap |= 2;
	if (planted(GATE_ALWAYS_DEFAULT))
		*f = (struct kvm_smccc_features) { 1, 1, 3 };
}

static void shut_gates(struct kvm_smccc_features *f, const struct call *call)
{
	if (planted(GATE_TRNG_SHUT))
		f->std_bmap = 0;
	if (planted(GATE_PV_TIME_SHUT))
		f->std_hyp_bmap = 0;
	if (planted(GATE_UID_SHUT) && call->id == UID_ID)
		f->vendor_hyp_bmap &= ~1UL;
	if (planted(GATE_PTP_SHUT) && call->id == PTP_ID)
		f->vendor_hyp_bmap &= ~2UL;
}

static void misplace_gates(struct kvm_smccc_features *f, const struct call *call)
{
	unsigned long vendor = f->vendor_hyp_bmap;

	if (planted(GATE_TRNG_BY_STD_HYP) && is_trng(call->id))
		f->std_bmap = f->std_hyp_bmap;
	if (planted(GATE_PV_TIME_BY_VENDOR) && (call->id == PV_FEATURES_ID || call->id == PV_ST_ID))
		f->std_hyp_bmap = vendor >> 1;
	if (planted(GATE_VENDOR_BITS_SWAPPED) && (call->id == PTP_ID || call->id == UID_ID))
		f->vendor_hyp_bmap = vendor >> 1 | (vendor & 1) << 1;
	if (planted(GATE_PTP_NEEDS_BOTH) && call->id == PTP_ID && (vendor & 3) != 3)
		f->vendor_hyp_bmap &= ~2UL;
	if (planted(GATE_TRNG_NEEDS_OTHERS) && is_trng(call->id) && !f->std_hyp_bmap)
		f->std_bmap = 0;
}

static void gates_by_conduit(struct kvm_smccc_features *f, const struct call *call)
{
	if (planted(SMC_UNGATED) && call->smc)
		*f = (struct kvm_smccc_features) { 1, 1, 3 };
	if (planted(SMC_SHUT) && call->smc)
		*f = (struct kvm_smccc_features) { 0, 0, 0 };
}

/* Makes the values of refused writes visible to the guest. */
static void leak_refused(struct kvm_vcpu *vcpu, struct kvm_smccc_features *f)
{
	unsigned long *bitmaps[] = { &f->std_bmap, &f->std_hyp_bmap, &f->vendor_hyp_bmap };
	const u64 *refused = vm_state_of(vcpu->kvm)->refused;
	struct bitmap bitmap;

	for (int i = 0; planted(LOCK_GUEST_SEES) && fw_by_index(vcpu->kvm, i, &bitmap); i++) {
		bitmap.value = bitmaps[i];
		if (refused[i])
			fw_write(&bitmap, refused[i] - 1);
	}
}

static void change_gates(struct kvm_vcpu *vcpu, struct kvm_smccc_features *gates, const struct call *call)
{
	leak_refused(vcpu, gates);
	open_gates(gates, call);
	shut_gates(gates, call);
	misplace_gates(gates, call);
	gates_by_conduit(gates, call);
	if (planted(FILTER_HANDLE_OPENS) && filter_handles(vcpu, call))
		*gates = (struct kvm_smccc_features) { 1, 1, 3 };
}

/* KVM has no functions for these answers: its handler computes them from the VM's bitmaps. */

static unsigned long pv_features(struct kvm_vcpu *vcpu, const struct call *call)
{
	bool known = (u32)call->x[1] == PV_FEATURES_ID || (u32)call->x[1] == PV_ST_ID;

	return known && vcpu->arch.steal.base != INVALID_GPA ? SMCCC_RET_SUCCESS : SMCCC_RET_NOT_SUPPORTED;
}

static int serve_std_hyp(struct kvm_vcpu *vcpu, const struct call *call, bool open)
{
	unsigned long result = SMCCC_RET_NOT_SUPPORTED;

	if (open && call->id == PV_FEATURES_ID)
		result = pv_features(vcpu, call);
	else if (open && call->id == PV_ST_ID)
		result = kvm_stolen_time(vcpu);
	else if (open)
		result = SMCCC_RET_SUCCESS;
	smccc_set_retval(vcpu, result, 0, 0, 0);
	return 1;
}

static int serve_ptp(struct kvm_vcpu *vcpu, const struct call *call)
{
	const struct arch_timer_vm_data *offsets = &vcpu->kvm->arch.timer_data;
	bool physical = (u32)call->x[1];
	u64 now = ktime_get_real_ns();
	u64 ticks = arch_timer_read_counter() - (physical ? offsets->poffset : offsets->voffset);

	if ((u32)call->x[1] > 1)
		return -EINVAL;
	smccc_set_retval(vcpu, upper_32_bits(now), lower_32_bits(now), upper_32_bits(ticks), lower_32_bits(ticks));
	return 0;
}

static int serve_vendor(struct kvm_vcpu *vcpu, const struct call *call, const struct kvm_smccc_features *gates)
{
	unsigned long second = 0;

#ifdef KVM_REG_ARM_VENDOR_HYP_BMAP_2
	second = gates->vendor_hyp_bmap_2;
#endif
	if (call->id == UID_ID && gates->vendor_hyp_bmap & 1)
		smccc_set_retval(vcpu, 0xb66fb428, 0xe911c52e, 0x564bcaa9, 0x743a004d);
	else if (call->id == FEATURES_ID && gates->vendor_hyp_bmap & 1)
		smccc_set_retval(vcpu, gates->vendor_hyp_bmap, 0, second, 0);
	else if (call->id != PTP_ID || !(gates->vendor_hyp_bmap & 2) || serve_ptp(vcpu, call))
		smccc_set_retval(vcpu, SMCCC_RET_NOT_SUPPORTED, 0, 0, 0);
	return 1;
}

static int serve_trng(struct kvm_vcpu *vcpu, bool open)
{
	if (open)
		return ORIGINAL(TRNG_CALL)(vcpu);
	smccc_set_retval(vcpu, SMCCC_RET_NOT_SUPPORTED, 0, 0, 0);
	return 1;
}

/* Serves one call as KVM would with other bitmaps, and without a filter. */
static int serve(struct kvm_vcpu *vcpu, const struct call *call, const struct kvm_smccc_features *gates)
{
	bool arch_features = call->id == ARCH_FEATURES_ID && (u32)call->x[1] == PV_FEATURES_ID;

	if (is_trng(call->id))
		return serve_trng(vcpu, gates->std_bmap & 1);
	if (arch_features || call->id == PV_FEATURES_ID || call->id == PV_ST_ID)
		return serve_std_hyp(vcpu, call, gates->std_hyp_bmap & 1);
	if (is_gated(call->id))
		return serve_vendor(vcpu, call, gates);
	/* No filter can stop SMCCC's own functions. Of the rest, kvm_psci_call() serves PSCI's and refuses others. */
	return filter_stops(vcpu, call) ? ORIGINAL(PSCI_CALL)(vcpu) : kvm_call(vcpu);
}

/* Makes a call with the gates and the filter of the planted fault. */
int make_call(struct kvm_vcpu *vcpu, const struct call *call)
{
	struct kvm_smccc_features registers = vcpu->kvm->arch.smccc_feat, gates = registers;
	bool stops = filter_stops(vcpu, call), ignored = stops && filter_ignored(vcpu, call);

	change_gates(vcpu, &gates, call);
	if (ignored || (!stops && memcmp(&gates, &registers, sizeof(gates))))
		return serve(vcpu, call, &gates);
	return kvm_call(vcpu);
}

struct hook gates_hooks[] = {
	[TRNG_CALL] = { "kvm_trng_call" },
	[PSCI_CALL] = { "kvm_psci_call" },
	{}
};
