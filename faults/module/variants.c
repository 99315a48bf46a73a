// SPDX-License-Identifier: GPL-2.0-only
/*
 * Benign variants: the behaviour of other correct kernels and hosts.  KVM's own
 * code handles the bitmap registers and the calls.
 */
#include <linux/clocksource.h>
#include <linux/delay.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include <clocksource/arm_arch_timer.h>

#include "planted.h"

enum { DEV_IOCTL, VM_IOCTL, PVTIME_HAS, INIT_VM };

#define ORIGINAL(index, type) ((type)original(&variants_hooks[index]))

#define EVERY_RUN 3	/* one KVM_RUN in so many is interrupted */
#define EVERY_VM 16	/* another driver warns at the creation of one VM in so many */
#define MORE 300

/* The number of calls that the variant has affected since it was planted. */
static int get_met(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%d\n", atomic_read(&memory.met));
}

static const struct kernel_param_ops met_ops = { .get = get_met };

module_param_cb(met, &met_ops, NULL, 0444);

/* True for the first call of this function since planting, and then for one call in EVERY. */
static bool turn(int every)
{
	return atomic_inc_return(&memory.turns) % every == 1;
}

/* The clock source */

static u64 read_counter(struct clocksource *source)
{
	return arch_timer_read_counter();
}

/* Its rating is above the architected counter's, so the kernel uses it. KVM_PTP needs the architected counter. */
static struct clocksource other_clocksource = {
	.name = "planted",
	.rating = 500,
	.read = read_counter,
	.mask = CLOCKSOURCE_MASK(56),
	.flags = CLOCK_SOURCE_IS_CONTINUOUS,
	.owner = THIS_MODULE,
};

/* Called whenever the fault parameter is written, with "none" too, under the lock of the module's parameters. */
void variant_chosen(void)
{
	static bool registered;
	bool wanted = planted(OTHER_CLOCKSOURCE);

	if (wanted && !registered)
		registered = !clocksource_register_hz(&other_clocksource, arch_timer_get_cntfrq());
	else if (!wanted && registered)
		registered = clocksource_unregister(&other_clocksource) != 0;
}

/* Called before KVM makes a call. The clock source affects KVM_PTP only. */
void variant_called(u32 id)
{
	if (id == PTP_ID)
		in_force(OTHER_CLOCKSOURCE);
}

/* Capabilities */

/* Whether the variant's host lacks the feature of EXTENSION. */
bool variant_lacks(long extension)
{
	return (extension == KVM_CAP_ARM_PMU_V3 && in_force(NO_PMU)) ||
	       (extension == KVM_CAP_ARM_SVE && in_force(NO_SVE)) ||
	       (extension == KVM_CAP_STEAL_TIME && in_force(NO_STOLEN_TIME));
}

#define GICV2_VCPUS 8
#define DEFAULT_IPA_BITS 40
#define IPA_BITS 36

/* The variant's answer to KVM_CHECK_EXTENSION of EXTENSION, given KVM's own ANSWER. */
int variant_answer(long extension, int answer)
{
	if ((extension == KVM_CAP_MAX_VCPUS || extension == KVM_CAP_MAX_VCPU_ID) && in_force(NO_GICV3_DEVICE))
		return GICV2_VCPUS;
	return extension == KVM_CAP_ARM_VM_IPA_SIZE && in_force(IPA_36_BITS) ? IPA_BITS : answer;
}

/* vCPUs */

/* As arch/arm64/kvm/guest.c:kvm_target_cpu() before 6.6: the target depends on the calling thread's core. */
static u32 target_of_this_core(void)
{
	return raw_smp_processor_id() & 1 ? KVM_ARM_TARGET_GENERIC_V8 : KVM_ARM_TARGET_CORTEX_A53;
}

/* Called after a successful KVM_ARM_PREFERRED_TARGET. */
int variant_preferred_target(struct kvm_vcpu_init __user *init)
{
	return in_force(PREFERRED_TARGET_BY_CORE) ? put_user(target_of_this_core(), &init->target) : 0;
}

/* As kvm_vcpu_init_check_features(): -EINVAL for a feature that the host lacks. */
static int feature_error(u32 features)
{
	if (features & BIT(KVM_ARM_VCPU_PMU_V3) && in_force(NO_PMU))
		return -EINVAL;
	return features & BIT(KVM_ARM_VCPU_SVE) && in_force(NO_SVE) ? -EINVAL : 0;
}

/*
 * The kernel under test accepts only KVM_ARM_TARGET_GENERIC_V8.  Other threads
 * may use the caller's structure, so KVM reads a changed copy below the thread's
 * stack pointer, where arm64 programs keep no data.
 */
static int give_only_target(struct kvm_vcpu_init *init, struct kvm_vcpu_init __user **argument)
{
	struct kvm_vcpu_init __user *copy = (void __user *)(user_stack_pointer(current_pt_regs()) - 16 * sizeof(*init));

	if (init->target != target_of_this_core())
		return -EINVAL;
	init->target = KVM_ARM_TARGET_GENERIC_V8;
	*argument = copy;
	return copy_to_user(copy, init, sizeof(*init)) ? -EFAULT : 0;
}

/* Called before KVM_ARM_VCPU_INIT. Returns the error of the variant's host, or 0. */
int variant_init(struct kvm_vcpu_init __user **argument)
{
	struct kvm_vcpu_init init;

	if (copy_from_user(&init, *argument, sizeof(init)))
		return 0;
	return in_force(PREFERRED_TARGET_BY_CORE) ? give_only_target(&init, argument) : feature_error(init.features[0]);
}

/*
 * Called before KVM_RUN.  Sets TIF_SIGPENDING although no signal is pending, as
 * when another thread takes the process's signal first, or in the freezer.
 */
void variant_interrupt(void)
{
	if (planted(SPURIOUS_EINTR) && turn(EVERY_RUN) && in_force(SPURIOUS_EINTR))
		set_thread_flag(TIF_SIGPENDING);
}

/* Registers */

/* Ids of system registers with op0 3 and op1 7, which the kernel under test does not have. */
static u64 more_id(int number)
{
	return KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | 3 << 14 | 7 << 11 | number;
}

static bool is_more(u64 id)
{
	return id >= more_id(0) && id < more_id(MORE) && in_force(MORE_REGISTERS);
}

int variant_num_regs(void)
{
	return in_force(MORE_REGISTERS) ? MORE : 0;
}

int variant_copy_indices(u64 __user *to)
{
	for (int i = 0; i < variant_num_regs(); i++)
		if (put_user(more_id(i), to + i))
			return -EFAULT;
	return 0;
}

/* Whether the variant completes a KVM_GET_ONE_REG, with result *ERROR. Its registers read as zero. */
bool variant_get_reg(const struct kvm_one_reg *reg, int *error)
{
	if (!is_more(reg->id))
		return false;
	*error = put_user(0ULL, (u64 __user *)reg->addr);
	return true;
}

/*
 * Whether the variant completes a KVM_SET_ONE_REG, with result *ERROR.  Before
 * 6.3, sys_regs.c:demux_c15_set() gives -EINVAL for the cache size of another
 * kind of core.
 */
bool variant_set_reg(const struct kvm_one_reg *reg, int *error)
{
	u64 value = 0;

	*error = -EINVAL;
	if ((reg->id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_DEMUX && in_force(CCSIDR_REFUSED))
		return true;
	if (!is_more(reg->id))
		return false;
	*error = get_user(value, (u64 __user *)reg->addr) ?: value ? -EINVAL : 0;
	return true;
}

/* As kvm_arm_pvtime_has_attr() on a host without CONFIG_SCHED_INFO, which measures stolen time. */
bool variant_no_stolen_time(void)
{
	return in_force(NO_STOLEN_TIME);
}

static int planted_pvtime_has(struct kvm_vcpu *vcpu, struct kvm_device_attr *attr)
{
	if (variant_no_stolen_time())
		return -ENXIO;
	return ORIGINAL(PVTIME_HAS, int (*)(struct kvm_vcpu *, struct kvm_device_attr *))(vcpu, attr);
}

/* /dev/kvm and VMs */

void variant_delay(void)
{
	if (in_force(SLOW_IOCTLS))
		usleep_range(5000, 5100);
}

static struct kobject never_initialised = { .name = "another-driver", .kref = KREF_INIT(1) };

/* lib/kobject.c:kobject_get() warns.  As a thread's function, it has no function of this module in its trace. */
static void let_another_warn(void)
{
	kthread_run((void *)kobject_get, &never_initialised, "another-driver");
}

static long planted_dev_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	variant_delay();
	if (ioctl == KVM_CREATE_VM && planted(WARN_ELSEWHERE) && turn(EVERY_VM) && in_force(WARN_ELSEWHERE))
		let_another_warn();
	return ORIGINAL(DEV_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
}

/* As kvm_ioctl_create_device(): -ENODEV for a type without a driver, also with KVM_CREATE_DEVICE_TEST. */
static long create_device(unsigned long argument)
{
	struct kvm_create_device device;

	return !copy_from_user(&device, (void __user *)argument, sizeof(device)) &&
	       device.type == KVM_DEV_TYPE_ARM_VGIC_V3 && in_force(NO_GICV3_DEVICE) ? -ENODEV : 0;
}

/* As pKVM's kvm_arch_prepare_memory_region(): -EPERM for a slot that is read-only or has a dirty log. */
static long set_memory(unsigned long argument)
{
	struct kvm_userspace_memory_region region;

	return !copy_from_user(&region, (void __user *)argument, sizeof(region)) && region.flags &&
	       in_force(NO_SLOT_FLAGS) ? -EPERM : 0;
}

/* The error of the variant's host for an ioctl of a VM, or 0. */
static long host_error(unsigned int ioctl, unsigned long argument)
{
	switch (ioctl) {
	case KVM_CREATE_DEVICE:
		return create_device(argument);
	case KVM_SET_USER_MEMORY_REGION:
		return set_memory(argument);
	case KVM_CREATE_VCPU:
		return argument >= GICV2_VCPUS && in_force(NO_GICV3_DEVICE) ? -EINVAL : 0;
	default:
		return 0;
	}
}

static long planted_vm_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	struct kvm *kvm = file->private_data;
	struct mm_struct *owner;
	long error;

	variant_delay();
	/* kvm_vm_ioctl() checks the process first, so another process must get KVM's own error. */
	error = kvm->mm == current->mm ? host_error(ioctl, argument) : 0;
	if (error)
		return error;
	owner = left_enter(kvm, false);
	error = ORIGINAL(VM_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
	left_leave(kvm, owner);
	event_of_vm(kvm, ioctl, argument, error);
	left_by_vm(ioctl, error);
	return error;
}

/* As kvm_init_ipa_range(): -EINVAL for an IPA size above the host's limit. Type 0 requests DEFAULT_IPA_BITS. */
static int planted_init_vm(struct kvm *kvm, unsigned long type)
{
	if ((type ? type : DEFAULT_IPA_BITS) > IPA_BITS && in_force(IPA_36_BITS))
		return -EINVAL;
	return ORIGINAL(INIT_VM, int (*)(struct kvm *, unsigned long))(kvm, type);
}

struct hook variants_hooks[] = {
	[DEV_IOCTL] = { "kvm_dev_ioctl", planted_dev_ioctl },
	[VM_IOCTL] = { "kvm_vm_ioctl", planted_vm_ioctl },
	[PVTIME_HAS] = { "kvm_arm_pvtime_has_attr", planted_pvtime_has },
	[INIT_VM] = { "kvm_arch_init_vm", planted_init_vm },
	{}
};
