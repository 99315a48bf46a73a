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
	/* A fault of our own: let it kill us as it would have. */
	struct sigaction plain = { .sa_handler = SIG_DFL };

	sigaction(signal, &plain, NULL);
}

/* memcpy that answers -1 and EFAULT for memory that is not there. */
static int64_t copy(void *to, const void *from, size_t n)
{
	if (sigsetjmp(fault_return, 1)) {
		fault_expected = 0;
		errno = EFAULT;
		return -1;
	}
	fault_expected = 1;
	memcpy(to, from, n);
	fault_expected = 0;
	return 0;
}

static uint64_t value_of(const struct program *p, const struct arg *arg)
{
	switch (arg->type) {
	case ARG_RESULT:
		return (uint64_t)p->ops[arg->index].last + arg->value;
	case ARG_SCRATCH:
		return (uint64_t)(uintptr_t)p->scratch + arg->value;
	default:
		return arg->value;
	}
}

/* Room for the bytes that PEEK or READ answers; NULL and ENOMEM past the limit. */
static uint8_t *answer_room(struct program *p, uint64_t n)
{
	if (n > KHX_MAX_DATA || atomic_fetch_add(&p->data_total, n) + n > KHX_MAX_DATA) {
		errno = ENOMEM;
		return NULL;
	}
	return calloc(1, n ? n : 1);
}

static int64_t get_bytes(struct program *p, struct result *res, uint16_t code, const uint64_t *a)
{
	int64_t ret;

	res->data = answer_room(p, a[1]);
	if (!res->data)
		return -1;
	if (code == KHX_PEEK) {
		ret = copy(res->data, (void *)(uintptr_t)a[0], a[1]);
		res->data_len = ret < 0 ? 0 : a[1];
	} else {
		ret = read(a[0], res->data, a[1]);
		res->data_len = ret < 0 ? 0 : ret;
	}
	return ret;
}

static int64_t clock_ns(uint64_t id)
{
	struct timespec now;

	if (clock_gettime((clockid_t)id, &now))
		return -1;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
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
	case KHX_MMAP:
		return (int64_t)(intptr_t)mmap((void *)(uintptr_t)a[0], a[1], a[2], a[3], a[4], a[5]);
	case KHX_MUNMAP:
		return munmap((void *)(uintptr_t)a[0], a[1]);
	case KHX_POKE:
		return copy((void *)(uintptr_t)a[0], op->data, op->data_len);
	case KHX_SYSCALL:
		return syscall(a[0], a[1], a[2], a[3], a[4], a[5]);
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

	for (int i = 0; i < op->arg_count; i++)
		a[i] = value_of(p, &op->args[i]);
	errno = 0;
	res->ret = call(p, op, res, a);
	res->err = res->ret == -1 ? errno : 0;
	res->state = 1;
	op->last = res->ret;
}
