// SPDX-License-Identifier: GPL-2.0-only
/* Benign variants of a kernel that is newer than the suite: another bit, register or version. */
#include <linux/arm-smccc.h>
#include <linux/uaccess.h>

#include <kvm/arm_hypercalls.h>
#include <kvm/arm_psci.h>

#include "planted.h"

#define BMAP(index) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW_FEAT_BMAP | (index))
#define NEWER_FIRMWARE_ID (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | 9)

enum {
	NEWER_VENDOR_BIT = 2,
	NEWER_MASK = 0x3,
	PSCI_1_3 = 0x10003,
	NEWER_PSCI_VERSION = 0x10004,
	NEWER_SMCCC_VERSION = 0x10006,
};

/* The functions that the new bits open. */
#define VENDOR_CALL 0x86000002
#define REGISTER_CALL 0xc5000040
#define OWNER_CALL 0xc7000001

#define SYSTEM_OFF2_32 0x84000015
#define SYSTEM_OFF2_64 0xc4000015
#define SYSTEM_OFF2_FLAG 1
#define SYSTEM_OFF 0x84000008
#define INVALID_PARAMETERS (-2UL)
#define PSCI_FEATURES 0x8400000a

/* Whether the variant newer-bit is planted, or a fault in its service. */
static bool has_bit(void)
{
	return planted(NEWER_BIT) || planted(NEWER_OPEN) || planted(NEWER_SHUT) || planted(NEWER_ANSWER) ||
	       planted(NEWER_X3_KEPT) || planted(NEWER_CLOBBERS_X4) || planted(NEWER_HVC_ONLY) ||
	       planted(NEWER_NEEDS_PTP) || planted(NEWER_UNFILTERED) || planted(NEWER_UNLOCKED) ||
	       planted(NEWER_DROPPED) || planted(NEWER_REFUSED) || planted(NEWER_CLEAR) || planted(NEWER_WIDTH);
}

static bool has_register(void)
{
	return planted(NEWER_REGISTER_EMPTY) || planted(NEWER_REGISTER_FULL) || planted(NEWER_OWNER);
}

/* Registers */

bool newer_registers(void)
{
	return has_bit() || planted(NEWER_FIRMWARE) || has_register();
}

u64 newer_bits(int index)
{
	return index == VENDOR_HYP && has_bit() && !planted(NEWER_REFUSED) ? BIT(NEWER_VENDOR_BIT) : 0;
}

/* The value that a write of VALUE stores. */
u64 newer_written(struct kvm *kvm, int index, u64 value)
{
	return index == VENDOR_HYP && planted(NEWER_DROPPED) ? value & ~BIT(NEWER_VENDOR_BIT) : value;
}

/* Whether a write after KVM_RUN is accepted. */
bool newer_unlocked(u64 from, u64 to)
{
	return planted(NEWER_UNLOCKED) && (from ^ to) == BIT(NEWER_VENDOR_BIT);
}

bool newer_bitmap(struct kvm *kvm, struct bitmap *bitmap)
{
	if (!has_register())
		return false;
	*bitmap = (struct bitmap) {
		.index = NEWER_BITMAP,
		.id = planted(NEWER_OWNER) ? BMAP(5) : BMAP(4),
		.value = &vm_state_of(kvm)->newer,
		.mask = NEWER_MASK,
	};
	return true;
}

u64 newer_default(const struct bitmap *bitmap)
{
	if (bitmap->index == NEWER_BITMAP && planted(NEWER_REGISTER_EMPTY))
		return 0;
	return bitmap->index == VENDOR_HYP && planted(NEWER_CLEAR) ? bitmap->mask & ~BIT(NEWER_VENDOR_BIT) : bitmap->mask;
}

int newer_list(u64 *ids)
{
	if (!in_force(NEWER_FIRMWARE))
		return 0;
	ids[0] = NEWER_FIRMWARE_ID;
	return 1;
}

/* The new register has a level of protection, like the workaround registers: a write is checked but stores nothing. */
static int firmware_access(u64 __user *user, bool set)
{
	u64 value = 1;

	if (!set)
		return put_user(value, user);
	if (get_user(value, user))
		return -EFAULT;
	return value > 1 ? -EINVAL : 0;
}

static u64 psci_of(struct kvm_vcpu *vcpu)
{
	return vm_state_of(vcpu->kvm)->psci ?: NEWER_PSCI_VERSION;
}

static int psci_write(struct kvm_vcpu *vcpu, u64 __user *user)
{
	u64 value;

	if (get_user(value, user))
		return -EFAULT;
	if (value != KVM_ARM_PSCI_0_2 && (value < KVM_ARM_PSCI_1_0 || value > NEWER_PSCI_VERSION))
		return -EINVAL;
	vm_state_of(vcpu->kvm)->psci = value;
	vcpu->kvm->arch.psci_version = min_t(u64, value, KVM_ARM_PSCI_LATEST);
	return 0;
}

/* Whether the variant completes an access to a register that is no bitmap, with result *ERROR. */
bool newer_access(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, bool set, int *error)
{
	u64 __user *user = (u64 __user *)reg->addr;

	if (reg->id == NEWER_FIRMWARE_ID && in_force(NEWER_FIRMWARE)) {
		*error = firmware_access(user, set);
		return true;
	}
	if (reg->id != KVM_REG_ARM_PSCI_VERSION || !vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2) ||
	    !in_force(NEWER_PSCI))
		return false;
	*error = set ? psci_write(vcpu, user) : put_user(psci_of(vcpu), user);
	return true;
}

/* Calls */

static int system_off2(struct kvm_vcpu *vcpu, u32 id)
{
	u32 type = vcpu_get_reg(vcpu, 1);
	u64 cookie = vcpu_get_reg(vcpu, 2);
	int result;

	if (type > 1 || (id == SYSTEM_OFF2_64 ? cookie : lower_32_bits(cookie))) {
		smccc_set_retval(vcpu, INVALID_PARAMETERS, 0, 0, 0);
		return 1;
	}
	vcpu_set_reg(vcpu, 0, SYSTEM_OFF);
	result = kvm_call(vcpu);
	vcpu->run->system_event.data[0] = SYSTEM_OFF2_FLAG;
	return result;
}

/* SYSTEM_OFF2 is the last function in the suite's tables. */
static int psci_call(struct kvm_vcpu *vcpu, u32 id)
{
	u64 version = psci_of(vcpu);
	u32 asked = vcpu_get_reg(vcpu, 1);

	if (id == PSCI_VERSION_ID) {
		smccc_set_retval(vcpu, version, 0, 0, 0);
		return 1;
	}
	if (version < PSCI_1_3 || KVM_ARM_PSCI_LATEST >= PSCI_1_3)
		return kvm_call(vcpu);
	if (id == PSCI_FEATURES && (asked == SYSTEM_OFF2_32 || asked == SYSTEM_OFF2_64)) {
		smccc_set_retval(vcpu, 1, 0, 0, 0);
		return 1;
	}
	return id == SYSTEM_OFF2_32 || id == SYSTEM_OFF2_64 ? system_off2(vcpu, id) : kvm_call(vcpu);
}

/* Whether the service of newer-bit answers the call. */
static bool serves_vendor(struct kvm_vcpu *vcpu, u32 id, bool smc)
{
	u64 bits = vcpu->kvm->arch.smccc_feat.vendor_hyp_bmap;

	if (!has_bit() || (id != VENDOR_CALL && !(planted(NEWER_WIDTH) && id == (VENDOR_CALL | BIT(30)))))
		return false;
	if (planted(NEWER_OPEN))
		return true;
	if (planted(NEWER_SHUT) || (planted(NEWER_HVC_ONLY) && smc) || (planted(NEWER_NEEDS_PTP) && !(bits & BIT(1))))
		return false;
	return bits & BIT(NEWER_VENDOR_BIT);
}

/* Whether a new bit opens the function. */
static bool serves(struct kvm_vcpu *vcpu, u32 id, bool smc)
{
	if (serves_vendor(vcpu, id, smc)) {
		(void)in_force(NEWER_BIT);
		return true;
	}
	if (!has_register() || !(vm_state_of(vcpu->kvm)->newer & 1))
		return false;
	if (id == OWNER_CALL)
		return in_force(NEWER_OWNER);
	return id == REGISTER_CALL && (in_force(NEWER_REGISTER_EMPTY) || in_force(NEWER_REGISTER_FULL));
}

int newer_call(struct kvm_vcpu *vcpu)
{
	struct call call = {
		.id = vcpu_get_reg(vcpu, 0),
		.smc = ESR_ELx_EC(kvm_vcpu_get_esr(vcpu)) == ESR_ELx_EC_SMC64,
	};
	u64 x3 = vcpu_get_reg(vcpu, 3);
	bool smccc = call.id == 0x80000000 && in_force(NEWER_SMCCC);

	if (is_psci(call.id) && vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2) && planted(NEWER_PSCI) &&
	    !filter_stops(vcpu, &call) && in_force(NEWER_PSCI))
		return psci_call(vcpu, call.id);
	if (smccc) {
		smccc_set_retval(vcpu, NEWER_SMCCC_VERSION, 0, 0, 0);
		return 1;
	}
	if (!serves(vcpu, call.id, call.smc) || (filter_stops(vcpu, &call) && !planted(NEWER_UNFILTERED)))
		return kvm_call(vcpu);
	smccc_set_retval(vcpu, 0, 0, planted(NEWER_ANSWER) ? 8 : 7, planted(NEWER_X3_KEPT) ? x3 : 0);
	if (planted(NEWER_CLOBBERS_X4))
		vcpu_set_reg(vcpu, 4, 0);
	return 1;
}
