// SPDX-License-Identifier: GPL-2.0-only
/* Gates: which calls are open, by which bits, for the one call that is made. */
#include <kvm/arm_hypercalls.h>

#include "planted.h"

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

/* For one call: the caller puts back what was. */
void change_gates(struct kvm_smccc_features *features, const struct call *call)
{
	open_gates(features, call);
	shut_gates(features, call);
	misplace_gates(features, call);
	gates_by_conduit(features, call);
}
