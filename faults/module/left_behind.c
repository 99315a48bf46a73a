// SPDX-License-Identifier: GPL-2.0-only
/* Faults of other processes, of histories, and of what refused calls and closed VMs leave behind. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "planted.h"

enum { FILP_CLOSE, CLOSE_FD, DEVICE_IOCTL };

#define ORIGINAL(index, type) ((type)original(&left_hooks[index]))

/* Other processes */

static bool foreign(struct kvm *kvm)
{
	return current->mm != kvm->mm;
}

static void empty(struct kvm *kvm)
{
	struct bitmap bitmap;

	for (int i = 0; fw_by_index(kvm, i, &bitmap); i++)
		fw_write(&bitmap, 0);
}

/* Called before an ioctl; left_leave() restores the owner that this returns. */
struct mm_struct *left_enter(struct kvm *kvm, bool vcpu)
{
	struct mm_struct *owner = kvm->mm;

	if (vcpu ? planted(PROCESS_VCPU_SERVED) : planted(PROCESS_VM_SERVED))
		kvm->mm = current->mm;
	return owner;
}

void left_leave(struct kvm *kvm, struct mm_struct *owner)
{
	kvm->mm = owner;
	if (!foreign(kvm))
		return;
	if (planted(PROCESS_CLEARS))
		empty(kvm);
	if (planted(PROCESS_LOCKS))
		set_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &kvm->arch.flags);
	if (planted(PROCESS_UNLOCKS))
		clear_bit(KVM_ARCH_FLAG_HAS_RAN_ONCE, &kvm->arch.flags);
}

/* Clears the registers if another fd of the closed vCPU is still open, so that the VM remains. */
static void after_close(const struct file *file)
{
	struct kvm_vcpu *vcpu = file->private_data;

	if (is_vcpu_file(file) && file_count(file) > 1)
		empty(vcpu->kvm);
}

/* Called for each open fd when a process ends; before Linux 6.10 also by close(2). */
static int planted_filp_close(struct file *file, fl_owner_t owner)
{
	if (planted(PROCESS_CLOSE_CLEARS))
		after_close(file);
	return ORIGINAL(FILP_CLOSE, int (*)(struct file *, fl_owner_t))(file, owner);
}

/* Called by close(2) since Linux 6.10. */
static struct file *planted_close_fd(unsigned int fd)
{
	struct file *file = ORIGINAL(CLOSE_FD, struct file *(*)(unsigned int))(fd);

	if (file && planted(PROCESS_CLOSE_FD_CLEARS))
		after_close(file);
	return file;
}

/* Histories */

enum call_kind { OTHER_CALL, A_READ, A_CHANGE, A_SAME, A_REFUSAL };

static enum call_kind kind_of(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, struct bitmap *bitmap)
{
	struct kvm_one_reg reg;
	u64 value;

	if ((ioctl != KVM_GET_ONE_REG && ioctl != KVM_SET_ONE_REG) ||
	    copy_from_user(&reg, (void __user *)argument, sizeof(reg)) || !fw_by_id(vcpu->kvm, reg.id, bitmap))
		return OTHER_CALL;
	if (ioctl == KVM_GET_ONE_REG)
		return A_READ;
	if (get_user(value, (u64 __user *)reg.addr))
		return OTHER_CALL;
	return value & ~bitmap->mask ? A_REFUSAL : value == fw_read(bitmap) ? A_SAME : A_CHANGE;
}

/* Whether the result of the ioctl is *ERROR. If so, KVM's own code is not called. */
bool left_answers(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long *error)
{
	struct vm_state *state = vm_state_of(vcpu->kvm);
	struct bitmap bitmap;
	enum call_kind kind = kind_of(vcpu, ioctl, argument, &bitmap);
	unsigned int before = state->in_a_row, last = state->last_kind;

	if (kind == OTHER_CALL)
		return false;
	state->in_a_row = kind == last ? before + 1 : 1;
	state->last_kind = kind;
	*error = 0;
	if (kind == A_CHANGE && state->past_ran)
		*error = -EBUSY;
	else if (planted(HISTORY_17TH_WRITE) && kind == A_CHANGE && ++state->writes == 17)
		*error = -EBUSY;
	else if (planted(HISTORY_SAME_VALUE_CLEARS) && kind == A_SAME && state->in_a_row == 12)
		fw_write(&bitmap, 0);
	else if (planted(HISTORY_WRITE_AFTER_REFUSALS) && kind == A_CHANGE && last == A_REFUSAL && before == 5)
		*error = -EBUSY;
	else
		return (planted(HISTORY_100TH_REFUSED) && kind == A_REFUSAL && ++state->writes == 100) ||
		       (planted(HISTORY_WRITE_AFTER_READS) && kind == A_CHANGE && last == A_READ && before == 17);
	return true;
}

/* The slot for the state of a closed VM, by the address of its struct kvm or of its first vCPU. */
static struct past_vm *past_of(const void *address)
{
	return &memory.past[hash_ptr(address, PAST_BITS)];
}

static void remember(struct kvm *kvm, const void *address)
{
	struct past_vm *past = past_of(address);
	struct bitmap bitmap;

	past->address = address;
	past->ran = kvm_vm_has_ran_once(kvm);
	past->filter = vm_state_of(kvm)->filter;
	past->psci = kvm->arch.psci_version;
	for (int i = 0; i < BITMAPS && fw_by_index(kvm, i, &bitmap); i++)
		past->values[i] = fw_read(&bitmap);
}

static void restore(struct kvm *kvm, const struct past_vm *past)
{
	struct bitmap bitmap;

	for (int i = 0; i < BITMAPS && fw_by_index(kvm, i, &bitmap); i++)
		fw_write(&bitmap, past->values[i]);
}

void left_closes(struct kvm *kvm)
{
	if (planted(LEFT_LEAK_VM))
		(void)!kmalloc(200, GFP_KERNEL);
	if (planted(LEFT_LEAK_EXIT) && foreign(kvm))
		(void)!kmalloc(2000, GFP_KERNEL);
	remember(kvm, kvm_get_vcpu(kvm, 0));
	remember(kvm, kvm);
}

void left_creates(struct kvm *kvm)
{
	struct past_vm *past = past_of(kvm);

	if (!memory.creator)
		memory.creator = current->mm;
	if (planted(PROCESS_CHILD_VM_EMPTY) && memory.creator != current->mm)
		empty(kvm);
	if (past->address != kvm)
		return;
	if (planted(HISTORY_VM_ADDRESS_VALUE))
		restore(kvm, past);
	if (planted(HISTORY_VM_ADDRESS_LOCKED))
		vm_state_of(kvm)->past_ran = past->ran;
	if (planted(HISTORY_VM_ADDRESS_FILTER) && past->filter.nr_functions)
		filter_insert(kvm, &past->filter);
	if (planted(HISTORY_VM_ADDRESS_PSCI))
		kvm->arch.psci_version = past->psci;
}

void left_creates_vcpu(struct kvm_vcpu *vcpu)
{
	struct past_vm *past = past_of(vcpu);

	if (past->address != vcpu || vcpu->vcpu_idx)
		return;
	if (planted(HISTORY_ADDRESS_VALUE))
		restore(vcpu->kvm, past);
	if (planted(HISTORY_ADDRESS_LOCKED))
		vm_state_of(vcpu->kvm)->past_ran = past->ran;
}

void left_called(struct kvm_vcpu *vcpu)
{
	if (vcpu_get_reg(vcpu, 0) != SMCCC_RET_NOT_SUPPORTED)
		return;
	if (planted(LEFT_LEAK_CALL))
		(void)!kmalloc(100, GFP_KERNEL);
	if (planted(LEFT_LOG_CALL))
		printk(KERN_INFO "kvm [%d]: refused a call\n", task_pid_nr(current));
}

/* Refused calls */

static const struct file_operations no_operations;

/* The leaked fds must leave enough for later tests. */
#define MOST_FDS 1600

static void leak(unsigned int ioctl, long error)
{
	struct kthread_worker *worker;

	if (planted(LEFT_LEAK_REFUSED) && ioctl == KVM_SET_ONE_REG && error == -EINVAL)
		(void)!kmalloc(64, GFP_KERNEL);
	if (planted(LEFT_LEAK_BUSY) && ioctl == KVM_SET_ONE_REG && error == -EBUSY)
		(void)!kmalloc(24, GFP_KERNEL);
	if (planted(LEFT_LEAK_FINALIZE) && ioctl == KVM_ARM_VCPU_FINALIZE && error == -EPERM)
		(void)!kmalloc(2000, GFP_KERNEL);
	if (planted(LEFT_LEAK_FD) && ioctl == KVM_GET_REG_LIST && error == -E2BIG && atomic_inc_return(&memory.turns) < MOST_FDS)
		anon_inode_getfd("planted", &no_operations, NULL, O_RDWR);
	if (!planted(LEFT_LEAK_TASK) || ioctl != KVM_SET_MP_STATE)
		return;
	/* This thread runs no code of the module, so the module can be unloaded. */
	worker = kthread_create_worker(0, "planted");
	if (!IS_ERR(worker))
		wake_up_process(worker->task);
}

static void report(unsigned int ioctl, long error)
{
	if (ioctl != KVM_SET_ONE_REG || error != -EINVAL)
		return;
	if (planted(LEFT_LOG_REFUSED))
		printk(KERN_INFO "kvm [%d]: refused a bitmap\n", task_pid_nr(current));
	if (planted(LEFT_LOG_UNNAMED))
		printk(KERN_INFO "a bitmap was refused\n");
}

static void scribble(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long error)
{
	struct kvm_device_attr attr;
	u64 __user *to = (u64 __user *)argument;

	if (ioctl == KVM_GET_REG_LIST && planted(LEFT_LIST_WRITES) && error == -E2BIG && put_user(0ULL, to + 1))
		return;
	if (ioctl == KVM_RUN && planted(LEFT_RUN_WRITES) && error == -EINVAL)
		vcpu->run->exit_reason = 0x55;
	if (ioctl != KVM_GET_DEVICE_ATTR || copy_from_user(&attr, (void __user *)argument, sizeof(attr)))
		return;
	to = (u64 __user *)attr.addr;
	if (error && planted(LEFT_ATTR_WRITES) && put_user(0ULL, to))
		return;
	if (!error && planted(LEFT_ATTR_WRITES_MORE) && put_user(0ULL, to + 1))
		return;
	if (!error && planted(LEFT_TIMER_WRITES_MORE) && attr.group == KVM_ARM_VCPU_TIMER_CTRL &&
	    put_user(0, (u32 __user *)to + 1))
		return;
}

void left_by_vcpu(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long error)
{
	scribble(vcpu, ioctl, argument, error);
	if (!error)
		return;
	leak(ioctl, error);
	report(ioctl, error);
	/*
	 * The vCPU's mutex, because its waiters can be killed, unlike those of the VM's locks. Only in a forked child:
	 * in the executor's own process, the executor would have to be killed.
	 */
	if (planted(LEFT_LOCK_HELD) && ioctl == KVM_SET_DEVICE_ATTR && memory.creator != current->mm)
		mutex_lock(&vcpu->mutex);
}

void left_by_vm(unsigned int ioctl, long error)
{
	if (error && planted(LEFT_LEAK_PAGE) && ioctl == KVM_ENABLE_CAP)
		(void)!alloc_page(GFP_KERNEL);
	if (!error && planted(LEFT_LEAK_DEVICE_TEST) && ioctl == KVM_CREATE_DEVICE)
		(void)!kmalloc(200, GFP_KERNEL);
}

/* The ioctls of a device such as the vGIC. */
static long planted_device_ioctl(struct file *file, unsigned int ioctl, unsigned long argument)
{
	struct kvm *kvm = ((struct kvm_device *)file->private_data)->kvm;
	long error = ORIGINAL(DEVICE_IOCTL, long (*)(struct file *, unsigned int, unsigned long))(file, ioctl, argument);
	struct kvm_vcpu *other = kvm_get_vcpu(kvm, 1);

	event_of_device(kvm, ioctl, error);
	/* A vCPU's mutex, because its waiters can be killed. */
	if (planted(LEFT_DEVICE_LOCK_HELD) && error == -EBUSY && other)
		(void)!mutex_trylock(&other->mutex);
	return error;
}

struct hook left_hooks[] = {
	[FILP_CLOSE] = { "filp_close", planted_filp_close },
	[CLOSE_FD] = { "file_close_fd", planted_close_fd },
	[DEVICE_IOCTL] = { "kvm_device_ioctl", planted_device_ioctl },
	{}
};
