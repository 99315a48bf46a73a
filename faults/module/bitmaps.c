// SPDX-License-Identifier: GPL-2.0-only
/* The bitmap registers of the planted dialect. */
#include "planted.h"

#define FW_REG(index) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | (index))

static const u64 mainline_ids[] = {
	KVM_REG_ARM_STD_BMAP, KVM_REG_ARM_STD_HYP_BMAP, KVM_REG_ARM_VENDOR_HYP_BMAP,
};
static const int counts[] = {
	KVM_REG_ARM_STD_BMAP_BIT_COUNT, KVM_REG_ARM_STD_HYP_BMAP_BIT_COUNT, KVM_REG_ARM_VENDOR_HYP_BMAP_BIT_COUNT,
};
static const u64 rfc_ids[] = { FW_REG(3), FW_REG(4), FW_REG(5) };

bool fw_by_index(struct kvm *kvm, int index, struct bitmap *bitmap)
{
	struct kvm_smccc_features *features = &kvm->arch.smccc_feat;
	unsigned long *values[] = { &features->std_bmap, &features->std_hyp_bmap, &features->vendor_hyp_bmap };

	if (index == NEWER_BITMAP)
		return newer_bitmap(kvm, bitmap);
	if (index < 0 || index >= BITMAPS)
		return false;
	*bitmap = (struct bitmap) {
		.index = index,
		.id = rfc() ? rfc_ids[index] : mainline_ids[index],
		.value = values[index],
		.mask = rfc() ? 1 : GENMASK(counts[index] - 1, 0) | newer_bits(index),
		/* The RFC has no bit for the vendor's UID and feature calls: mainline's bit 0 is always set. */
		.shift = index == VENDOR_HYP && rfc(),
	};
	return true;
}

bool fw_by_id(struct kvm *kvm, u64 id, struct bitmap *bitmap)
{
	for (int i = 0; fw_by_index(kvm, i, bitmap); i++)
		if (bitmap->id == id)
			return true;
	return false;
}

u64 fw_read(const struct bitmap *bitmap)
{
	return READ_ONCE(*bitmap->value) >> bitmap->shift;
}

void fw_write(const struct bitmap *bitmap, u64 value)
{
	WRITE_ONCE(*bitmap->value, bitmap->shift ? value << 1 | 1 : value);
}
