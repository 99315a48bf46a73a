/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plants one named fault or benign variant at a time in KVM, or gives it the
 * dialect of the RFC of January 2022.  Each hook replaces one of KVM's functions; the replacement
 * calls the original, before or after or not at all.
 */
#ifndef PLANTED_H
#define PLANTED_H

#include <linux/kprobes.h>
#include <linux/kvm_host.h>

#include <asm/kvm_emulate.h>

#include "events.h"
#include "faults.h"
#include "left_behind.h"
#include "psci.h"
#include "variants.h"

#define IDENTIFIER(symbol, name) FAULT_##symbol,
enum fault {
	FAULTS(IDENTIFIER) EVENT_FAULTS(IDENTIFIER) LEFT_FAULTS(IDENTIFIER) NEIGHBOUR_FAULTS(IDENTIFIER)
	VARIANTS(IDENTIFIER) NEWER_FAULTS(IDENTIFIER) FAULT_COUNT
};
#undef IDENTIFIER

/* A function of KVM.  Without a replacement, it is only looked up to be called. */
struct hook {
	const char *symbol;
	void *replacement;
	struct kprobe probe;
	bool missing;
};

/* Terminated by a hook without a symbol. */
extern struct hook registers_hooks[], access_hooks[], calls_hooks[], gates_hooks[], filter_hooks[];
extern struct hook neighbours_hooks[], run_hooks[], left_hooks[], variants_hooks[];

enum fault planted_fault(void);
bool is_planted(enum fault fault);
#define planted(symbol) is_planted(FAULT_##symbol)

/* Whether the registers and the calls are KVM's own: no fault is planted, or a variant. */
bool stock(void);

/* Whether a variant is planted; counts the call that met it. */
bool is_in_force(enum fault variant);
#define in_force(symbol) is_in_force(FAULT_##symbol)

bool rfc(void);
unsigned long original(const struct hook *hook);

/* A bitmap register in the planted dialect: what user space sees is *value >> shift. */
struct bitmap {
	int index;
	u64 id;
	unsigned long *value;
	u64 mask;
	unsigned int shift;
};

/* The registers that faults change, and the one that a newer kernel has beside them. */
enum { STD, STD_HYP, VENDOR_HYP, BITMAPS, NEWER_BITMAP = BITMAPS, MOST_BITMAPS };

bool fw_by_index(struct kvm *kvm, int index, struct bitmap *bitmap);
bool fw_by_id(struct kvm *kvm, u64 id, struct bitmap *bitmap);
u64 fw_read(const struct bitmap *bitmap);
void fw_write(const struct bitmap *bitmap, u64 value);

/*
 * What faults remember of a VM.  Its vCPUs run at once, so bits are set
 * atomically.  What follows the first member is reset by each planting.
 */
struct vm_state {
	atomic_t inside;		/* vCPUs in KVM_RUN */
	DECLARE_BITMAP(ran, KVM_MAX_VCPUS);	/* vCPUs that have run, by index */
	DECLARE_BITMAP(entered, KVM_MAX_VCPUS);	/* the same without immediate_exit */
	bool touched;			/* a register was read or written */
	bool tried;			/* a KVM_RUN failed before it counted */
	u64 refused[MOST_BITMAPS];		/* one more than the bitmap that was refused last, or 0 */
	u32 denied;			/* the function of a filter that was refused */
	u64 other[MOST_BITMAPS];	/* one more than what a vCPU but the first holds, or 0 */
	unsigned long newer;		/* the newer kernel's register */
	unsigned int writes;		/* to a bitmap; some faults count the refused ones */
	bool past_ran;			/* a closed VM whose first vCPU had the same address */
	unsigned int in_a_row, last_kind;	/* calls of one kind on the bitmaps */
	bool left;			/* a KVM_RUN has returned */
	const void __user *argument;	/* of the last KVM_SET_ONE_REG */
	u32 psci;			/* the version that was written to the newer kernel's register, or 0 */
};

struct vm_state *vm_state_of(struct kvm *kvm);
void vm_state_reset(struct kvm *kvm);
void vm_state_free(struct kvm *kvm);
bool any_vm_ran(void);

/* A VM that was closed. */
struct past_vm {
	struct kvm_vcpu *vcpu;
	u64 values[BITMAPS];
	bool ran;
};

/*
 * What faults remember of the kernel.  Keep nothing in other static data: each
 * planting resets this structure and no other.
 */
struct fault_memory {
	u64 last_written[MOST_BITMAPS];	/* one more than what was written last to any VM, or 0 */
	u64 random[3];			/* x1..x3 of the first random number */
	u64 clock[2];			/* x0 and x1 of the first KVM_PTP */
	u32 denied;			/* the first function of the last filter of any VM that denies */
	unsigned long fired;		/* bit 0: what happens once has happened */
	atomic_t met;			/* calls that met the planted variant */
	atomic_t turns;			/* calls of which it takes some */
	struct mm_struct *creator;	/* of the first VM */
	struct past_vm past[64];	/* by the address of the first vCPU */
};

extern struct fault_memory memory;

void forget_all(void);
void free_all(void);

void variant_chosen(void);
void variant_called(u32 id);
bool variant_lacks(long extension);
int variant_preferred_target(struct kvm_vcpu_init __user *init);
int variant_init(struct kvm_vcpu_init __user **argument);
void variant_interrupt(void);
int variant_num_regs(void);
int variant_copy_indices(u64 __user *to);
bool variant_get_reg(const struct kvm_one_reg *reg, int *error);
bool variant_set_reg(const struct kvm_one_reg *reg, int *error);
bool variant_no_stolen_time(void);
void variant_delay(void);
int variant_answer(long extension, int answer);

bool newer_bitmap(struct kvm *kvm, struct bitmap *bitmap);
u64 newer_bits(int index);
u64 newer_default(const struct bitmap *bitmap);
bool newer_registers(void);
bool newer_access(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, bool set, int *error);
int newer_list(u64 *ids);
u64 newer_written(struct kvm *kvm, int index, u64 value);
bool newer_unlocked(u64 from, u64 to);
int newer_call(struct kvm_vcpu *vcpu);

void event_of_vcpu(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long error);
void event_of_vm(struct kvm *kvm, unsigned int ioctl, unsigned long argument, long error);
void event_of_call(struct kvm_vcpu *vcpu, u32 id);
bool event_closes(struct kvm_vcpu *vcpu);

struct mm_struct *left_enter(struct kvm *kvm, bool vcpu);
void left_leave(struct kvm *kvm, struct mm_struct *owner);
bool left_answers(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long *error);
void left_by_vcpu(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long error);
void left_by_vm(unsigned int ioctl, long error);
void left_creates(struct kvm *kvm);
void left_creates_vcpu(struct kvm_vcpu *vcpu);
void left_closes(struct kvm *kvm);
bool is_vcpu_file(const struct file *file);

void run_after_init(struct kvm_vcpu *vcpu);
int deadly_change(struct kvm_vcpu *vcpu);
void deadly_run(struct kvm_vcpu *vcpu);

#define TRNG_FEATURES_ID 0x84000051
#define TRNG_UUID_ID 0x84000052
#define TRNG_RND32_ID 0x84000053
#define TRNG_RND64_ID 0xc4000053
#define PV_FEATURES_ID 0xc5000020
#define PV_ST_ID 0xc5000021
#define UID_ID 0x8600ff01
#define FEATURES_ID 0x86000000
#define PTP_ID 0x86000001
#define ARCH_FEATURES_ID 0x80000001
#define PSCI_VERSION_ID 0x84000000

/* A call: its function, and x0..x17 as the guest had them. */
struct call {
	u32 id;
	bool smc;
	u16 immediate;
	u64 x[18];
};

static inline bool is_trng(u32 id)
{
	return (id >= 0x84000050 && id <= 0x84000053) || id == 0xc4000053;
}

bool is_gated(u32 id);
int make_call(struct kvm_vcpu *vcpu, const struct call *call);
int kvm_call(struct kvm_vcpu *vcpu);
gpa_t kvm_stolen_time(struct kvm_vcpu *vcpu);

static inline bool is_psci(u32 id)
{
	return (id & ~0x4000001fU) == 0x84000000;
}

bool filter_stops(struct kvm_vcpu *vcpu, const struct call *call);
bool filter_ignored(struct kvm_vcpu *vcpu, const struct call *call);
bool filter_denies(struct kvm_vcpu *vcpu, const struct call *call);
bool filter_handles(struct kvm_vcpu *vcpu, const struct call *call);
void filter_answer(struct kvm_vcpu *vcpu, const struct call *call);
void filter_resume(struct kvm_vcpu *vcpu);

void psci_arguments(struct kvm_vcpu *vcpu, const struct call *call);
void psci_answer(struct kvm_vcpu *vcpu, const struct call *call, int result);
void psci_resume(struct kvm_vcpu *vcpu);
long neighbour_has_attr(struct kvm_vcpu *vcpu, unsigned long argument, long error);
gpa_t neighbour_stolen_time(struct kvm_vcpu *vcpu);
int neighbour_get(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int error);
bool neighbour_refuses(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int *error);
int neighbour_set(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int error);

#endif
