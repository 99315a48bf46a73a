// SPDX-License-Identifier: GPL-2.0-only
/* The capability. */
#include "planted.h"

enum { CHECK_EXTENSION };

#define ORIGINAL(index, type) ((type)original(&access_hooks[index]))
#define CAP_ARM_HVC_FW_REG_BMAP 207

/* The RFC's count of registers; nothing in mainline, where no fault says otherwise. */
static int count_of(struct kvm *kvm, int count)
{
	if ((is(CAP_ON_DEV_KVM_ONLY) && kvm) || (is(CAP_ON_VM_ONLY) && !kvm))
		return 0;
	if (is(CAP_ANSWERED) || is(CAP_ON_DEV_KVM_ONLY) || is(CAP_ON_VM_ONLY))
		return BITMAPS;
	if (is(CAP_ONE_MORE))
		return count + 1;
	return is(CAP_BOOLEAN) ? !!count : count;
}

static int planted_check_extension(struct kvm *kvm, long extension)
{
	if (extension == CAP_ARM_HVC_FW_REG_BMAP)
		return count_of(kvm, rfc() ? BITMAPS : 0);
	return ORIGINAL(CHECK_EXTENSION, int (*)(struct kvm *, long))(kvm, extension);
}

struct hook access_hooks[] = {
	[CHECK_EXTENSION] = { "kvm_vm_ioctl_check_extension", planted_check_extension },
	{}
};
