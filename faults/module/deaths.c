// SPDX-License-Identifier: GPL-2.0-only
/* Faults that end the kernel, a task, a VM or a guest, or make a call fail once. */
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/panic.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>

#include "planted.h"

#define BRANCH_TO_SELF 0x14000000

/* True once for each planting. WARN_ONCE() would warn once for each load of the module. */
static bool first_time(void)
{
	return !test_and_set_bit(0, &memory.fired);
}

/* With interrupts disabled, neither the tick nor the watchdog runs on this CPU. */
static void spin(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

/* Sleeps so that no signal wakes the task. */
static void sleep_uninterruptibly(void)
{
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
}

static void oops(void)
{
	*(volatile int *)8 = 0;
}

/* Called before a bitmap register of a VM that has run changes. Returns 0 to go on, or the error for the caller. */
int deadly_change(struct kvm_vcpu *vcpu)
{
	if (planted(PANICS))
		panic("planted");
	if (planted(OOPSES))
		oops();
	if (planted(SPINS))
		spin();
	if (planted(SLEEPS))
		sleep_uninterruptibly();
	if (planted(RESTARTS))
		emergency_restart();
	WARN(planted(WARNS) && first_time(), "planted\n");
	if (planted(VM_DIES))
		vcpu->kvm->vm_dead = true;
	return planted(VM_DIES) || (planted(FLAKES) && first_time()) ? -EIO : 0;
}

/* Writes a branch to itself at the PC of the second vCPU. */
void deadly_run(struct kvm_vcpu *vcpu)
{
	u64 pc = *vcpu_pc(vcpu);
	struct kvm_memory_slot *slot;
	int token;

	if (!planted(GUEST_SPINS) || vcpu->vcpu_idx != 1)
		return;
	token = srcu_read_lock(&vcpu->kvm->srcu);
	slot = __gfn_to_memslot(kvm_memslots(vcpu->kvm), pc >> PAGE_SHIFT);
	if (!slot || put_user(BRANCH_TO_SELF, (u32 __user *)(slot->userspace_addr + pc - (slot->base_gfn << PAGE_SHIFT))))
		pr_notice("the guest at %llx cannot be made to spin\n", pc);
	srcu_read_unlock(&vcpu->kvm->srcu, token);
}
