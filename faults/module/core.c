// SPDX-License-Identifier: GPL-2.0-only
/* Installs the hooks, and has the module parameters that choose a fault and a dialect at run time. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/rcupdate.h>

#include "planted.h"

#define NAME(symbol, name) name,
static const char *const names[] = { FAULTS(NAME) EVENT_FAULTS(NAME) LEFT_FAULTS(NAME) NEIGHBOUR_FAULTS(NAME)
				      VARIANTS(NAME) NEWER_FAULTS(NAME) };
#undef NAME

#define ONE(symbol, name) + 1
enum { FIRST_VARIANT = FAULTS(ONE) EVENT_FAULTS(ONE) LEFT_FAULTS(ONE) NEIGHBOUR_FAULTS(ONE) };
#undef ONE

static const char *const dialects[] = { "mainline", "rfc-v3" };
static struct hook *const tables[] = { registers_hooks, access_hooks, calls_hooks, gates_hooks, filter_hooks,
					neighbours_hooks, run_hooks, left_hooks, variants_hooks };
static int fault, dialect;

enum fault planted_fault(void)
{
	return READ_ONCE(fault);
}

bool is_planted(enum fault one)
{
	return READ_ONCE(fault) == one;
}

bool stock(void)
{
	return planted(NO_FAULT) || READ_ONCE(fault) >= FIRST_VARIANT;
}

bool is_in_force(enum fault variant)
{
	if (!is_planted(variant))
		return false;
	atomic_inc(&memory.met);
	return true;
}

bool rfc(void)
{
	return READ_ONCE(dialect) == 1;
}

unsigned long original(const struct hook *hook)
{
	return (unsigned long)hook->probe.addr;
}

/* No hooked function has more than three arguments: the fourth register names the hook. */
typedef unsigned long (*replacement_fn)(unsigned long, unsigned long, unsigned long);

static unsigned long run_replacement(unsigned long first, unsigned long second, unsigned long third,
				     struct hook *hook)
{
	unsigned long result = ((replacement_fn)hook->replacement)(first, second, third);

	module_put(THIS_MODULE);
	return result;
}

/*
 * Runs at the entry of a hooked function, and continues in the replacement
 * unless this module called the function.  The module reference keeps the
 * replacement's code in memory until it returns, which for KVM_RUN can take as
 * long as the guest runs.  While the module is being unloaded, no reference can
 * be taken and the original function runs.
 */
static int enter(struct kprobe *probe, struct pt_regs *regs)
{
	struct hook *hook = container_of(probe, struct hook, probe);

	if (!hook->replacement || within_module(regs->regs[30], THIS_MODULE) || !try_module_get(THIS_MODULE))
		return 0;
	regs->regs[3] = (unsigned long)hook;
	instruction_pointer_set(regs, (unsigned long)run_replacement);
	return 1;
}

static int choose(const char *text, const char *const *list, int count)
{
	char name[64];

	strscpy(name, text, sizeof(name));
	return match_string(list, count, strim(name));
}

static int set_name(const char *text, const struct kernel_param *param)
{
	bool faults = param->arg == &fault;
	int chosen = faults ? choose(text, names, FAULT_COUNT) : choose(text, dialects, ARRAY_SIZE(dialects));

	if (chosen < 0)
		return -EINVAL;
	WRITE_ONCE(*(int *)param->arg, chosen);
	/* After the switch: the earlier fault can no longer add state. */
	forget_all();
	variant_chosen();
	return 0;
}

static int get_name(char *text, const struct kernel_param *param)
{
	int chosen = *(int *)param->arg;

	return sysfs_emit(text, "%s\n", param->arg == &fault ? names[chosen] : dialects[chosen]);
}

static const struct kernel_param_ops name_ops = { .set = set_name, .get = get_name };

/* The hooked functions that this kernel does not have. Faults that need them cannot be planted. */
static int get_missing(char *text, const struct kernel_param *param)
{
	int at = 0;

	for (int i = 0; i < ARRAY_SIZE(tables); i++)
		for (struct hook *hook = tables[i]; hook->symbol; hook++)
			if (hook->missing)
				at += sysfs_emit_at(text, at, "%s ", hook->symbol);
	return at + sysfs_emit_at(text, at, "\n");
}

static const struct kernel_param_ops missing_ops = { .get = get_missing };

module_param_cb(fault, &name_ops, &fault, 0644);
module_param_cb(dialect, &name_ops, &dialect, 0644);
module_param_cb(missing, &missing_ops, NULL, 0444);

static void unhook_all(void)
{
	for (int i = 0; i < ARRAY_SIZE(tables); i++)
		for (struct hook *hook = tables[i]; hook->symbol; hook++)
			if (!hook->missing)
				unregister_kprobe(&hook->probe);
}

static int __init planted_init(void)
{
	for (int i = 0; i < ARRAY_SIZE(tables); i++)
		for (struct hook *hook = tables[i]; hook->symbol; hook++) {
			int error;

			hook->probe.symbol_name = hook->symbol;
			hook->probe.pre_handler = enter;
			error = register_kprobe(&hook->probe);
			hook->missing = error < 0;
			if (error)
				pr_notice("%s cannot be hooked: %d\n", hook->symbol, error);
		}
	return 0;
}

static void __exit planted_exit(void)
{
	unhook_all();
	/* A task that has dropped its reference may still have to return from run_replacement(). */
	synchronize_rcu_tasks();
	free_all();
}

module_init(planted_init);
module_exit(planted_exit);
MODULE_DESCRIPTION("Plants named faults in KVM's hypercall bitmap registers, to prove that tests detect them");
MODULE_LICENSE("GPL");
