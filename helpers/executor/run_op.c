// SPDX-License-Identifier: GPL-2.0-only
/* Runs one operation. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_expected;

void on_memory_fault(int signal)
{
	if (fault_expected)
		siglongjmp(fault_return, 1);
	/* A fault outside of copy() is a bug. Returning repeats it, and then the default action ends the process. */
	struct sigaction plain = { .sa_handler = SIG_DFL };

	sigaction(signal, &plain, NULL);
}

/* memcpy() that returns -1 with errno EFAULT if memory is not mapped. */
static int64_t copy(void *to, const void *from, size_t n)
{
	/* The signal mask is not saved, which would cost a system call: with SA_NODEFER it does not change. */
	if (sigsetjmp(fault_return, 0)) {
		fault_expected = 0;
		errno = EFAULT;
		return -1;
	}
	fault_expected = 1;
	memcpy(to, from, n);
	fault_expected = 0;
	return 0;
}

/* Stores the values of the operation's arguments in A. */
static void load_args(const struct program *p, const struct op *op, uint64_t *a)
{
	const uint8_t *next_index = op->args + op->arg_count * sizeof(*a);
	unsigned int types = op->types;
	uint64_t index;

	memcpy(a, op->args, op->arg_count * sizeof(*a));
	for (; types; types >>= ARG_TYPE_BITS, a++) {
		if ((types & ARG_TYPE_MASK) == ARG_SCRATCH) {
			*a += (uint64_t)(uintptr_t)p->scratch;
		} else if ((types & ARG_TYPE_MASK) == ARG_RESULT) {
			memcpy(&index, next_index, sizeof(index));
			next_index += sizeof(index);
			*a += (uint64_t)p->ops[index].last;
		}
	}
}

/* Reserves N bytes of the answer's maximum size. Returns -1 with errno ENOMEM if less is left. */
static int reserve(struct program *p, uint64_t n)
{
	size_t total = atomic_load(&p->data_total);

	do {
		if (n > KHX_MAX_DATA - total) {
			errno = ENOMEM;
			return -1;
		}
	} while (!atomic_compare_exchange_weak(&p->data_total, &total, total + n));
	return 0;
}

/* Moves the first LENGTH of SIZE reserved bytes into the result, and releases the rest and its reservation. */
static void keep(struct program *p, struct result *res, uint8_t *bytes, size_t size, size_t length)
{
	int err = errno;
	uint8_t *shrunk = NULL;

	atomic_fetch_sub(&p->data_total, size - length);
	if (!length)
		free(bytes);
	else
		shrunk = realloc(bytes, length);
	res->data = length && !shrunk ? bytes : shrunk;
	res->data_len = length;
	errno = err;
}

static int64_t get_bytes(struct program *p, struct result *res, uint16_t code, const uint64_t *a)
{
	uint8_t *bytes;
	int64_t ret = -1;

	if (reserve(p, a[1]))
		return -1;
	bytes = calloc(1, a[1] ? a[1] : 1);
	if (bytes)
		ret = code == KHX_PEEK ? copy(bytes, (void *)(uintptr_t)a[0], a[1]) : read(a[0], bytes, a[1]);
	keep(p, res, bytes, a[1], ret < 0 ? 0 : code == KHX_PEEK ? a[1] : (uint64_t)ret);
	return ret;
}

/* syscall(2), after which the executor's own signals are unblocked again. */
static int64_t call_kernel(const uint64_t *a)
{
	int64_t ret = syscall(a[0], a[1], a[2], a[3], a[4], a[5]);
	int err = errno;

	if (a[0] == SYS_rt_sigprocmask)
		unblock_own_signals();
	errno = err;
	return ret;
}

/* Repeats the ioctl after EINTR, unless the deadline's signal caused it. */
static int64_t ioctl_again(const uint64_t *a)
{
	int64_t ret;

	do
		ret = syscall(SYS_ioctl, a[0], a[1], a[2]);
	while (ret == -1 && errno == EINTR && !deadline_passed());
	return ret;
}

static int64_t clock_ns(uint64_t id)
{
	struct timespec now;

	if (clock_gettime((clockid_t)id, &now))
		return -1;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t ioctl_peek(struct program *p, struct result *res, const uint64_t *a)
{
	int64_t ret = syscall(SYS_ioctl, a[0], a[1], a[2]);
	int err = errno;

	get_bytes(p, res, KHX_PEEK, &a[3]);
	errno = err;
	return ret;
}

/* A struct kvm_one_reg, and the word to which it points. A kernel with a bug may write to the spare memory after it. */
static __thread struct {
	uint64_t id, address, word;
	uint8_t spare[512];
} one_reg;

static int64_t call_with_one_reg(struct result *res, const uint64_t *a)
{
	int64_t ret;

	one_reg.id = a[2];
	one_reg.address = (uint64_t)(uintptr_t)&one_reg.word;
	one_reg.word = a[3];
	ret = syscall(SYS_ioctl, a[0], a[1], &one_reg);
	if (one_reg.word != a[3]) {
		res->word = one_reg.word;
		res->data_len = sizeof(res->word);
	}
	return ret;
}

static int64_t call(struct program *p, const struct op *op, struct result *res, const uint64_t *a)
{
	switch (op->code) {
	case KHX_OPEN:
		return open((const char *)op->data, a[0], a[1]);
	case KHX_CLOSE:
		return close(a[0]);
	case KHX_IOCTL:
		return syscall(SYS_ioctl, a[0], a[1], a[2]);
	case KHX_IOCTL_AGAIN:
		return ioctl_again(a);
	case KHX_IOCTL_PEEK:
		return ioctl_peek(p, res, a);
	case KHX_ONE_REG:
		return call_with_one_reg(res, a);
	case KHX_MMAP:
		return (int64_t)(intptr_t)mmap((void *)(uintptr_t)a[0], a[1], a[2], a[3], a[4], a[5]);
	case KHX_MUNMAP:
		return munmap((void *)(uintptr_t)a[0], a[1]);
	case KHX_POKE:
		return copy((void *)(uintptr_t)a[0], op->data, op->data_len);
	case KHX_SYSCALL:
		return call_kernel(a);
	case KHX_CLOCK:
		return clock_ns(a[0]);
	case KHX_BARRIER:
		return wait_for_threads(p);
	case KHX_POKE_VALUE:
		return copy((void *)(uintptr_t)a[0], &a[1], sizeof(a[1]));
	case KHX_WRITE:
		return write(a[0], op->data, op->data_len);
	default:
		return get_bytes(p, res, op->code, a);
	}
}

void run_op(struct program *p, struct op *op, struct result *res)
{
	uint64_t a[MAX_ARGS] = { 0 };

	load_args(p, op, a);
	errno = 0;
	res->ret = call(p, op, res, a);
	res->err = res->ret == -1 ? errno : 0;
	res->state = 1;
	op->last = res->ret;
}
