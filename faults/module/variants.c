// SPDX-License-Identifier: GPL-2.0-only
/*
 * Benign variants: what another correct kernel or host does.  The bitmap
 * registers and the calls stay KVM's own.
 */
#include <linux/uaccess.h>

#include "planted.h"

enum { VM_IOCTL };

#define ORIGINAL(index, type) ((type)original(&variants_hooks[index]))

/* A count of calls that met the variant, since it was planted. */
static int get_met(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", atomic_read(&memory.met));
}

static const struct kernel_param_ops met_ops = { .get = get_met };

module_param_cb(met, &met_ops, NULL, 0444);

/* Capabilities */

/* Whether the variant's host lacks what EXTENSION announces. */
bool variant_lacks(long extension)
{
	return (extension == KVM_CAP_ARM_PMU_V3 && in_force(NO_PMU)) || (extension == KVM_CAP_ARM_SVE && in_force(NO_SVE));
}

/* vCPUs */

/* kvm_vcpu_init_check_features(): -EINVAL for a feature that the host lacks. */
static int init_error(const struct kvm_vcpu_init __user *init)
{
	u32 features;

	if (get_user(features, &init->features[0]))
		return 0;
	if (features & BIT(KVM_ARM_VCPU_PMU_V3) && in_force(NO_PMU))
		return -EINVAL;
	return features & BIT(KVM_ARM_VCPU_SVE) && in_force(NO_SVE) ? -EINVAL : 0;
}

/* The error of a vCPU's ioctl that the variant refuses, or 0. */
int variant_vcpu_error(unsigned int ioctl, unsigned long argument)
{
	return ioctl == KVM_ARM_VCPU_INIT ? init_error((void __user *)argument) : 0;
}

/* sys_regs.c:demux_c15_set() before 6.3: -EINVAL for the value of another kind of core. */
int variant_set_reg_error(u64 id)
{
	return (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_DEMUX && in_force(CCSIDR_REFUSED) ? -EINVAL : 0;
}

/* VMs */

/* kvm_ioctl_create_device(): -ENODEV for a type that no driver has registered, with KVM_CREATE_DEVICE_TEST too. */
static long planted_vm_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	struct kvm_create_device device;

	if (ioctl == KVM_CREATE_DEVICE && !copy_from_user(&device, (void __user *)argument, sizeof(device)) &&
	    device.type == KVM_DEV_TYPE_ARM_VGIC_V3 && in_force(NO_GICV3_DEVICE))
		return -ENODEV;
	return ORIGINAL(VM_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
}

struct hook variants_hooks[] = {
	[VM_IOCTL] = { "kvm_vm_ioctl", planted_vm_ioctl },
	{}
};
