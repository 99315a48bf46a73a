/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plants one named fault or benign variant at a time in KVM, or gives it the
 * dialect of the RFC of January 2022.  Each hook replaces one function of KVM.
 * The replacement may call the original before or after its own code, or not.
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

/* A function of KVM.  Without a replacement, the hook only finds its address. */
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

/* Whether KVM's own code handles the registers and calls: no fault is planted, or only a variant. */
bool stock(void);

/* Whether VARIANT is planted. If so, also counts this call as one that the variant affects. */
bool is_in_force(enum fault variant);
#define in_force(symbol) is_in_force(FAULT_##symbol)

bool rfc(void);
unsigned long original(const struct hook *hook);

/* A bitmap register in the planted dialect. User space reads *value >> shift. */
struct bitmap {
	int index;
	u64 id;
	unsigned long *value;
	u64 mask;
	unsigned int shift;
};

/* The registers that faults change, and the additional register of the newer-register variants. */
enum { STD, STD_HYP, VENDOR_HYP, BITMAPS, NEWER_BITMAP = BITMAPS, MOST_BITMAPS };

bool fw_by_index(struct kvm *kvm, int index, struct bitmap *bitmap);
bool fw_by_id(struct kvm *kvm, u64 id, struct bitmap *bitmap);
u64 fw_read(const struct bitmap *bitmap);
void fw_write(const struct bitmap *bitmap, u64 value);

/*
 * The state that faults keep for each VM.  Its vCPUs run concurrently, so bits
 * are set atomically.  Each planting resets all members but the first.
 */
struct vm_state {
	atomic_t inside;		/* vCPUs in KVM_RUN */
	DECLARE_BITMAP(ran, KVM_MAX_VCPUS);	/* vCPUs that have run, by index */
	DECLARE_BITMAP(entered, KVM_MAX_VCPUS);	/* vCPUs that have run without immediate_exit, by index */
	int processor;			/* that of the first vCPU's first gated call, plus 1 */
	bool touched;			/* a register was read or written */
	bool tried;			/* a KVM_RUN failed too early to count as a run */
	u64 refused[MOST_BITMAPS];	/* the last refused bitmap plus 1, or 0 */
	u32 denied;			/* the first function of the last refused filter */
	u64 other[MOST_BITMAPS];	/* the value for all vCPUs but the first plus 1, or 0 */
	unsigned long newer;		/* the register of the newer-register variants */
	unsigned int writes;		/* writes to bitmaps; for some faults, only refused ones, or filters */
	bool past_ran;			/* a closed VM at the same address had run */
	struct kvm_smccc_filter filter;	/* the last accepted filter, without functions if there is none */
	unsigned int created;		/* left-vcpus-counted: KVM_CREATE_VCPU calls, also refused ones */
	unsigned int in_a_row, last_kind;	/* consecutive bitmap accesses of one kind, and the kind */
	bool left;			/* a KVM_RUN has returned */
	const void __user *argument;	/* the argument of the last KVM_SET_ONE_REG */
	u32 psci;			/* newer-psci: the value written to PSCI_VERSION, or 0 */
	u64 smc;			/* filter-record-kept: the function of the last forwarded call plus 1, if an SMC, or 0 */
	unsigned int runs;		/* KVM_RUNs */
	bool called;			/* a guest has made a call that a register gates */
	int late;			/* the id of the last vCPU that was created after a run, or 0 */
};

struct vm_state *vm_state_of(struct kvm *kvm);
void vm_state_reset(struct kvm *kvm);
void vm_state_free(struct kvm *kvm);
bool any_vm_ran(void);

/* A VM that was closed. */
struct past_vm {
	const void *address;	/* of struct kvm, or of the first vCPU */
	u64 values[BITMAPS];
	bool ran;
	struct kvm_smccc_filter filter;
	u32 psci;
};

#define PAST_BITS 9

/*
 * The state that faults keep for all VMs.  Do not use other static data: each
 * planting resets only this structure and the VMs' states.
 */
struct fault_memory {
	u64 last_written[MOST_BITMAPS];	/* the last value written in any VM plus 1, or 0 */
	u64 random[3];			/* x1..x3 of the first random number */
	u64 clock[2];			/* x0 and x1 of the first KVM_PTP */
	u32 denied;			/* the first function of the last denying filter of any VM */
	unsigned long fired;		/* bit 0: a fault that triggers once has triggered */
	atomic_t met;			/* calls that the planted variant affected */
	atomic_t turns;			/* calls counted by faults and variants that affect only some of them */
	struct mm_struct *creator;	/* the process that created the first VM */
	struct past_vm past[1 << PAST_BITS];	/* closed VMs, hashed by the address */
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
void event_of_device(struct kvm *kvm, unsigned int ioctl, long error);
void event_of_call(struct kvm_vcpu *vcpu, u32 id);
bool event_closes(struct kvm_vcpu *vcpu);

struct mm_struct *left_enter(struct kvm *kvm, bool vcpu);
void left_leave(struct kvm *kvm, struct mm_struct *owner);
bool left_answers(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long *error);
void left_by_vcpu(struct kvm_vcpu *vcpu, unsigned int ioctl, unsigned long argument, long error);
void left_by_vm(unsigned int ioctl, long error);
void left_creates(struct kvm *kvm);
void left_creates_vcpu(struct kvm_vcpu *vcpu);
void left_called(struct kvm_vcpu *vcpu);
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

/* A hypercall: its function id, and x0..x17 at the call. */
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

/* As kvm_arm_vcpu_stopped(), which KVM does not export. */
static inline bool is_stopped(struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->arch.mp_state.mp_state) == KVM_MP_STATE_STOPPED;
}

bool filter_stops(struct kvm_vcpu *vcpu, const struct call *call);
bool filter_ignored(struct kvm_vcpu *vcpu, const struct call *call);
bool filter_denies(struct kvm_vcpu *vcpu, const struct call *call);
int filter_insert(struct kvm *kvm, const struct kvm_smccc_filter *filter);
bool filter_forwards(struct kvm *kvm, u32 id);
bool filter_handles(struct kvm_vcpu *vcpu, const struct call *call);
void filter_answer(struct kvm_vcpu *vcpu, const struct call *call);
void filter_resume(struct kvm_vcpu *vcpu);

void psci_arguments(struct kvm_vcpu *vcpu, const struct call *call);
int psci_make(struct kvm_vcpu *vcpu, const struct call *call);
void psci_answer(struct kvm_vcpu *vcpu, const struct call *call, int result);
void psci_resume(struct kvm_vcpu *vcpu);
long neighbour_has_attr(struct kvm_vcpu *vcpu, unsigned long argument, long error);
gpa_t neighbour_stolen_time(struct kvm_vcpu *vcpu);
int neighbour_get(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int error);
bool neighbour_refuses(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int *error);
int neighbour_set(struct kvm_vcpu *vcpu, const struct kvm_one_reg *reg, int error);

#endif
